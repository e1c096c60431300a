// Package assignnumber serves POST /admin/phone-numbers/{phone_number_id}/assign.
package assignnumber

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/api"
	"github.com/krosai/telephony/shared/id"
	"github.com/krosai/telephony/shared/number"
	"github.com/krosai/telephony/shared/view"
)

// Numbers keeps the inventory. AssignNumber fails with fault.NotFound for an unknown number, and
// with fault.Conflict for a number that is not available or that a request is for.
type Numbers interface {
	AssignNumber(ctx context.Context, id, userID, by string) (number.Number, error)
}

// Endpoint assigns numbers to users without a request.
type Endpoint struct{ Numbers Numbers }

// Input names the number and the user.
type Input struct {
	PhoneNumberID string `path:"phone_number_id" doc:"The phone number"`
	Body          Body
}

// Body names the user.
type Body struct {
	UserID string `json:"user_id" pattern:"^[A-Za-z0-9._|:@-]{1,128}$" patternDescription:"a user's id, 1 to 128 letters, digits and any of ._|:@-" doc:"The user who gets the number, as in the sub claim of their JWTs" example:"auth0|5f7c8ec7c33c6c004bbafe82"`
}

// Output is the number after the assignment.
type Output struct{ Body view.InventoryNumber }

// Register adds the operation to the API.
func (e *Endpoint) Register(a huma.API) {
	huma.Register(a, huma.Operation{OperationID: "assign-phone-number", Method: http.MethodPost, DefaultStatus: http.StatusOK,
		Path: "/admin/phone-numbers/{phone_number_id}/assign", Summary: "Give a number to a user", Tags: []string{"Review"},
		Description: "Only an available number that no request is for can be given. The event number.assigned notifies the user.",
		Errors:      []int{http.StatusConflict}, Security: api.Needs(account.Admin)}, e.give)
}

func (e *Endpoint) give(ctx context.Context, in *Input) (*Output, error) {
	if err := id.Number.Check(in.PhoneNumberID); err != nil {
		return nil, err
	}

	n, err := e.Numbers.AssignNumber(ctx, in.PhoneNumberID, in.Body.UserID, api.CallerOf(ctx).UserID)
	if err != nil {
		return nil, err
	}

	return &Output{view.InventoryNumberOf(n)}, nil
}

// Package retirenumber serves DELETE /admin/phone-numbers/{phone_number_id}.
package retirenumber

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/api"
	"github.com/krosai/telephony/shared/id"
)

// Numbers keeps the inventory. RetireNumber fails with fault.NotFound for an unknown number, and
// with fault.Conflict while a user has the number or a request is for it. Retiring a retired number
// is no error.
type Numbers interface {
	RetireNumber(ctx context.Context, id, by string) error
}

// Endpoint takes numbers out of the inventory for good.
type Endpoint struct{ Numbers Numbers }

// Input names the number.
type Input struct {
	PhoneNumberID string `path:"phone_number_id" doc:"The phone number"`
}

// Register adds the operation to the API.
func (e *Endpoint) Register(a huma.API) {
	huma.Register(a, huma.Operation{OperationID: "retire-phone-number", Method: http.MethodDelete, Path: "/admin/phone-numbers/{phone_number_id}",
		DefaultStatus: http.StatusNoContent, Summary: "Retire a number", Tags: []string{"Review"},
		Description: "Only an available number can be retired. It is not assigned any more. Adding it with restore brings it back. Retiring it again is not an error.",
		Errors:      []int{http.StatusConflict}, Security: api.Needs(account.Admin)}, e.retire)
}

func (e *Endpoint) retire(ctx context.Context, in *Input) (*struct{}, error) {
	if err := id.Number.Check(in.PhoneNumberID); err != nil {
		return nil, err
	}
	return nil, e.Numbers.RetireNumber(ctx, in.PhoneNumberID, api.CallerOf(ctx).UserID)
}

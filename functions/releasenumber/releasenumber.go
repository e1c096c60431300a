// Package releasenumber serves POST /admin/phone-numbers/{phone_number_id}/release.
package releasenumber

import (
	"context"
	"log/slog"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/api"
	"github.com/krosai/telephony/shared/id"
	"github.com/krosai/telephony/shared/number"
	"github.com/krosai/telephony/shared/numberconfig"
	"github.com/krosai/telephony/shared/numberrequest"
	"github.com/krosai/telephony/shared/view"
)

// Numbers keeps the inventory. NumberByID fails with fault.NotFound. Unassign takes a number from
// owner. It fails with fault.Conflict if the number is not theirs, and while it is configured or
// being configured.
type Numbers interface {
	NumberByID(ctx context.Context, id string) (number.Number, error)
	Unassign(ctx context.Context, id, owner, by string) (number.Number, error)
}

// Endpoint takes a number back into the inventory. It removes the number's configuration first, and
// finally offers the number to waiting requests. After a failure the request may be repeated.
type Endpoint struct {
	Numbers    Numbers
	Configurer *numberconfig.Configurer
	Requests   numberrequest.Requests
	Workflow   numberrequest.Workflow
	Log        *slog.Logger
}

// Input names the number.
type Input struct {
	PhoneNumberID string `path:"phone_number_id" doc:"The phone number"`
}

// Output is the number as it is now.
type Output struct{ Body view.InventoryNumber }

// Register adds the operation to the API.
func (e *Endpoint) Register(a huma.API) {
	huma.Register(a, huma.Operation{OperationID: "release-phone-number", Method: http.MethodPost, DefaultStatus: http.StatusOK,
		Path: "/admin/phone-numbers/{phone_number_id}/release", Summary: "Take a number back from its owner",
		Description: "Its configuration is removed first. Calls in progress go on. Approved requests that wait for such a number get it at once.",
		Tags:        []string{"Review"}, Errors: []int{http.StatusConflict}, Security: api.Needs(account.Admin)}, e.release)
}

func (e *Endpoint) release(ctx context.Context, in *Input) (*Output, error) {
	if err := id.Number.Check(in.PhoneNumberID); err != nil {
		return nil, err
	}
	n, err := e.Numbers.NumberByID(ctx, in.PhoneNumberID)
	if err != nil {
		return nil, err
	}

	if n.UserID != "" {
		if _, _, err := e.Configurer.Remove(ctx, n.UserID, n.ID, numberconfig.All); err != nil {
			return nil, err
		}
	}
	if n, err = e.Numbers.Unassign(ctx, n.ID, n.UserID, api.CallerOf(ctx).UserID); err != nil {
		return nil, err
	}
	if err := numberrequest.Offer(ctx, e.Requests, e.Workflow, n); err != nil {
		e.Log.Warn("number not offered, the sweep will", "http_request_id", api.RequestID(ctx), "phone_number_id", n.ID, "error", err.Error())
	}

	return &Output{view.InventoryNumberOf(n)}, nil
}

// Package approverequest serves POST /admin/phone-number-requests/{request_id}/approve.
package approverequest

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/api"
	"github.com/krosai/telephony/shared/id"
	"github.com/krosai/telephony/shared/number"
	"github.com/krosai/telephony/shared/numberrequest"
	"github.com/krosai/telephony/shared/view"
)

// Requests records decisions. Decide fails with fault.NotFound for a request that does not exist,
// with fault.Forbidden when the decider is the requester, and with fault.Conflict when the
// request is decided already or the chosen number is not available. One of several
// concurrent decisions wins.
type Requests interface {
	Decide(ctx context.Context, id string, d numberrequest.Decision, now time.Time) (numberrequest.Request, error)
}

// Numbers reads the inventory. An unknown number is fault.NotFound.
type Numbers interface {
	NumberByID(ctx context.Context, id string) (number.Number, error)
}

// Workflow notifies the workflow that waits for the decision.
type Workflow interface {
	RequestDecided(ctx context.Context, token string) error
}

// Endpoint approves requests for phone numbers.
type Endpoint struct {
	Requests Requests
	Numbers  Numbers
	Workflow Workflow
	Now      func() time.Time
	Log      *slog.Logger
}

// Input names the request.
type Input struct {
	RequestID string `path:"request_id" doc:"The phone number request"`
	Body      *Body
}

// Body may choose the number to assign.
type Body struct {
	PhoneNumberID string `json:"phone_number_id,omitempty" doc:"The number of the inventory to assign. If left out, the first that fits"`
	Note          string `json:"note,omitempty" maxLength:"500" doc:"For the audit. The requester does not see it"`
}

// Output is the request after the decision.
type Output struct{ Body view.NumberRequest }

// Register adds the operation to the API.
func (e *Endpoint) Register(a huma.API) {
	huma.Register(a, huma.Operation{OperationID: "approve-phone-number-request", Method: http.MethodPost, DefaultStatus: http.StatusOK,
		Path: "/admin/phone-number-requests/{request_id}/approve", Summary: "Approve a phone number request",
		Description: "A number is then assigned from the inventory, at once or when one is added. An administrator cannot decide on their own request.",
		Tags:        []string{"Review"}, Errors: []int{http.StatusConflict}, Security: api.Needs(account.Admin)}, e.approve)
}

// approve records the decision, which is final. If the workflow cannot be notified, the
// sweep notifies it.
func (e *Endpoint) approve(ctx context.Context, in *Input) (*Output, error) {
	if err := id.Request.Check(in.RequestID); err != nil {
		return nil, err
	}
	d := numberrequest.Decision{Approve: true, By: api.CallerOf(ctx).UserID}
	if in.Body != nil {
		d.NumberID, d.Note = in.Body.PhoneNumberID, in.Body.Note
	}
	if d.NumberID != "" {
		if err := e.known(ctx, d.NumberID); err != nil {
			return nil, err
		}
	}

	r, err := e.Requests.Decide(ctx, in.RequestID, d, e.Now())
	if err != nil {
		return nil, err
	}
	if err := e.Workflow.RequestDecided(ctx, r.TaskToken); err != nil {
		e.Log.Warn("workflow not notified of the approval: the sweep will do it", "http_request_id", api.RequestID(ctx), "number_request_id", r.ID, "error", err.Error())
	}

	return &Output{view.NumberRequestOf(r)}, nil
}

// known refuses a number that the inventory does not have. Decide checks whether it is available.
func (e *Endpoint) known(ctx context.Context, numberID string) error {
	if err := id.Number.Check(numberID); err != nil {
		return err
	}
	_, err := e.Numbers.NumberByID(ctx, numberID)
	return err
}

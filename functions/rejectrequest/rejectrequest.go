// Package rejectrequest serves POST /admin/phone-number-requests/{request_id}/reject.
package rejectrequest

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/api"
	"github.com/krosai/telephony/shared/fault"
	"github.com/krosai/telephony/shared/id"
	"github.com/krosai/telephony/shared/numberrequest"
	"github.com/krosai/telephony/shared/view"
)

// Requests records decisions. Decide fails with fault.NotFound for a request that does not exist,
// with fault.Forbidden if the decider is the requester, and with fault.Conflict if the request is
// already decided. If several administrators decide at once, one wins.
type Requests interface {
	Decide(ctx context.Context, id string, d numberrequest.Decision, now time.Time) (numberrequest.Request, error)
}

// Workflow notifies the workflow that waits for the decision.
type Workflow interface {
	RequestDecided(ctx context.Context, token string) error
}

// Endpoint rejects requests for phone numbers.
type Endpoint struct {
	Requests Requests
	Workflow Workflow
	Now      func() time.Time
	Log      *slog.Logger
}

// Input names the request.
type Input struct {
	RequestID string `path:"request_id" doc:"The phone number request"`
	Body      Body
}

// Body is the reason of the rejection.
type Body struct {
	Reason string `json:"reason" minLength:"1" maxLength:"500" doc:"The reason. The requester reads it"`
}

// Output is the request as it is now.
type Output struct{ Body view.NumberRequest }

// Register adds the operation to the API.
func (e *Endpoint) Register(a huma.API) {
	huma.Register(a, huma.Operation{OperationID: "reject-phone-number-request", Method: http.MethodPost, DefaultStatus: http.StatusOK,
		Path: "/admin/phone-number-requests/{request_id}/reject", Summary: "Reject a phone number request",
		Description: "An administrator cannot decide on their own request.",
		Tags:        []string{"Review"}, Errors: []int{http.StatusConflict}, Security: api.Needs(account.Admin)}, e.reject)
}

// reject records the decision, which is final from then on. If the workflow cannot be notified, the
// sweep notifies it.
func (e *Endpoint) reject(ctx context.Context, in *Input) (*Output, error) {
	if err := id.Request.Check(in.RequestID); err != nil {
		return nil, err
	}
	if strings.TrimSpace(in.Body.Reason) == "" {
		return nil, fault.InvalidField("reason", "too_short", "say why")
	}

	d := numberrequest.Decision{By: api.CallerOf(ctx).UserID, Reason: in.Body.Reason}
	r, err := e.Requests.Decide(ctx, in.RequestID, d, e.Now())
	if err != nil {
		return nil, err
	}
	if err := e.Workflow.RequestDecided(ctx, r.TaskToken); err != nil {
		e.Log.Warn("workflow not notified of the rejection: the sweep will do it", "http_request_id", api.RequestID(ctx), "number_request_id", r.ID, "error", err.Error())
	}

	return &Output{view.NumberRequestOf(r)}, nil
}

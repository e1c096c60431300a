// Package hangupanycall serves POST /admin/calls/{call_id}/hangup.
package hangupanycall

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/api"
	"github.com/krosai/telephony/shared/call"
	"github.com/krosai/telephony/shared/id"
	"github.com/krosai/telephony/shared/teardown"
)

// Calls records the hangup request, with a line in the audit. RequestAnyHangup fails with
// fault.NotFound for a call that does not exist. open is false when the call has ended already.
type Calls interface {
	RequestAnyHangup(ctx context.Context, id, by string, at time.Time) (c call.Call, open bool, err error)
}

// Endpoint lets administrators hang up any user's call in any state.
type Endpoint struct {
	Calls    Calls
	Teardown *teardown.Ender
	Now      func() time.Time
}

// Input names the call.
type Input struct {
	CallID string `path:"call_id" doc:"The call to hang up"`
}

// Output is how the call ended.
type Output struct{ Body EndedUserCall }

// EndedUserCall is the end of a call.
type EndedUserCall struct {
	CallID      string      `json:"call_id"`
	UserID      string      `json:"user_id" doc:"The user whose call it was"`
	Status      call.Status `json:"status" enum:"completed,busy,no_answer,failed,canceled"`
	HangupCause call.Cause  `json:"hangup_cause" enum:"callee_hangup,agent_hangup,api_hangup,max_duration,transferred,busy,declined,no_answer,invalid_number,trunk_auth,trunk_unreachable,agent_unavailable,network_error,capacity,calls_disabled,not_allowed,unknown"`
	EndedAt     api.Time    `json:"ended_at"`
}

// Register adds the operation to the API.
func (e *Endpoint) Register(a huma.API) {
	huma.Register(a, huma.Operation{OperationID: "hang-up-any-call", Method: http.MethodPost, Path: "/admin/calls/{call_id}/hangup",
		DefaultStatus: http.StatusOK, Summary: "Hang up a user's call", Tags: []string{"Administration"},
		Description: "Like the owner's own hang-up, with an entry in the audit of the call. For a call that has ended the answer is its end, so the request may be repeated.",
		Security:    api.Needs(account.Admin)}, e.hangUp)
}

// hangUp records the hangup request before it acts on it, as hangupcall does. If LiveKit cannot be
// reached, the caller gets a 503 and the sweep carries the request out.
func (e *Endpoint) hangUp(ctx context.Context, in *Input) (*Output, error) {
	if err := id.Call.Check(in.CallID); err != nil {
		return nil, err
	}

	c, _, err := e.Calls.RequestAnyHangup(ctx, in.CallID, api.CallerOf(ctx).UserID, e.Now())
	if err != nil {
		return nil, err
	}
	if c, err = e.Teardown.HangUp(ctx, c); err != nil {
		return nil, err
	}

	return &Output{EndedUserCall{CallID: c.ID, UserID: c.UserID, Status: c.Status, HangupCause: c.Cause, EndedAt: api.Time(c.EndedAt)}}, nil
}

// Package hangupcall serves POST /outbound-calls/{call_id}/hangup.
package hangupcall

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

// Calls records the hangup request. RequestHangup fails with fault.NotFound for another user's
// call. open is false when the call has ended already.
type Calls interface {
	RequestHangup(ctx context.Context, userID, id string, at time.Time) (c call.Call, open bool, err error)
}

// Endpoint hangs up calls in any state.
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
type Output struct{ Body EndedCall }

// EndedCall is the end of a call.
type EndedCall struct {
	CallID      string      `json:"call_id"`
	Status      call.Status `json:"status" enum:"completed,busy,no_answer,failed,canceled"`
	HangupCause call.Cause  `json:"hangup_cause" enum:"callee_hangup,agent_hangup,api_hangup,max_duration,transferred,busy,declined,no_answer,invalid_number,trunk_auth,trunk_unreachable,agent_unavailable,network_error,capacity,calls_disabled,not_allowed,unknown"`
	EndedAt     api.Time    `json:"ended_at"`
}

// Register adds the operation to the API.
func (e *Endpoint) Register(a huma.API) {
	huma.Register(a, huma.Operation{OperationID: "hang-up-call", Method: http.MethodPost, Path: "/outbound-calls/{call_id}/hangup",
		Summary: "Hang a call up", Tags: []string{"Calls"},
		Description: "A call can be hung up while it is dialing, ringing or answered. For a call that has ended the answer is its end, so the request may be repeated.",
		Security:    api.Needs(account.CallsWrite)}, e.hangUp)
}

// hangUp records the hangup request before it acts on it. If LiveKit cannot be reached, the
// caller gets a 503 and the sweep carries the request out. hangUp also deletes the room of a call
// that has ended, because a dial that LiveKit carried out late may have created the room again,
// with a ringing phone.
func (e *Endpoint) hangUp(ctx context.Context, in *Input) (*Output, error) {
	if err := id.Call.Check(in.CallID); err != nil {
		return nil, err
	}

	c, _, err := e.Calls.RequestHangup(ctx, api.CallerOf(ctx).UserID, in.CallID, e.Now())
	if err != nil {
		return nil, err
	}
	if c, err = e.Teardown.HangUp(ctx, c); err != nil {
		return nil, err
	}

	return &Output{EndedCall{CallID: c.ID, Status: c.Status, HangupCause: c.Cause, EndedAt: api.Time(c.EndedAt)}}, nil
}

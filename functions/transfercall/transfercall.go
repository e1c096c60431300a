// Package transfercall serves POST /outbound-calls/{call_id}/transfer.
package transfercall

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/api"
	"github.com/krosai/telephony/shared/call"
	"github.com/krosai/telephony/shared/fault"
	"github.com/krosai/telephony/shared/id"
	"github.com/krosai/telephony/shared/invocation"
	"github.com/krosai/telephony/shared/livekit"
	"github.com/krosai/telephony/shared/number"
	"github.com/krosai/telephony/shared/obs"
	"github.com/krosai/telephony/shared/store"
	"github.com/krosai/telephony/shared/teardown"
	"github.com/krosai/telephony/shared/validate/destination"
)

// Calls is the record of calls. CallPermit reads one of the user's own numbers and what the user
// may do at this moment. Another user's number is fault.NotFound. BeginTransfer counts the transfer
// against the user's limits. It fails with fault.Conflict for a call that cannot be transferred
// now, and with fault.Limited if a limit is reached. FinishTransfer keeps the first outcome.
type Calls interface {
	Call(ctx context.Context, id string) (call.Call, error)
	CallPermit(ctx context.Context, userID, numberID string) (number.Number, store.Permit, error)
	BeginTransfer(ctx context.Context, c call.Call, may store.Permit, t call.Transfer) (call.Call, account.Limit, error)
	FinishTransfer(ctx context.Context, callID string, t call.Transfer) (call.Call, error)
}

// Phone is the phone in a call's room. Transfer fails with *livekit.TransferError.
type Phone interface {
	ReadRoom(ctx context.Context, room string) (call.Room, error)
	Transfer(ctx context.Context, room, identity, to string, ringing time.Duration) (livekit.Transferred, error)
}

// Endpoint transfers calls.
type Endpoint struct {
	Calls    Calls
	Phone    Phone
	Teardown *teardown.Ender
	Now      func() time.Time
	Log      *slog.Logger
}

// Input names the call and the number to connect it to.
type Input struct {
	CallID string `path:"call_id" doc:"The call to transfer"`
	Body   Body
}

// Body names the number to transfer to.
type Body struct {
	PhoneNumber string `json:"phone_number" pattern:"^\\+[1-9][0-9]{7,14}$" patternDescription:"E.164, such as +14155550100" doc:"The number to connect the phone to, E.164" example:"+14155550111"`
}

// Output is the outcome of the transfer.
type Output struct{ Body CallTransfer }

// CallTransfer is a call's transfer.
type CallTransfer struct {
	CallID   string          `json:"call_id"`
	Transfer TransferOutcome `json:"transfer"`
}

// TransferOutcome is one attempt to transfer a call.
type TransferOutcome struct {
	TransferID    string              `json:"transfer_id"`
	PhoneNumber   string              `json:"phone_number"`
	Status        call.TransferStatus `json:"status" enum:"completed,failed,unknown" doc:"completed: the phone talks to the new number. failed: it was refused and the call goes on, or the call ended first. unknown: neither is certain"`
	SIPStatusCode *int                `json:"sip_status_code" doc:"The carrier's SIP status; null if it gave none"`
}

// Register adds the operation to the API.
func (e *Endpoint) Register(a huma.API) {
	huma.Register(a, huma.Operation{OperationID: "transfer-call", Method: http.MethodPost, Path: "/outbound-calls/{call_id}/transfer",
		Summary: "Transfer a call", Tags: []string{"Calls"},
		Description: "Asks the carrier to connect the phone to another number and waits for the outcome, for up to 25 seconds. " +
			"The new number must be one that you may call. A call can be transferred while it is in progress, once at a time. " +
			"After a completed transfer the call ends as `transferred`. After a failed one it goes on.",
		Security: api.Needs(account.CallsWrite)}, e.transfer)
}

// ringing is how long the target may ring. LiveKit must have reported the outcome by asked, and the
// outcome must be on record by written, both counted from the request: API Gateway gives up after
// 30 s.
const (
	ringing = 20 * time.Second
	asked   = 22500 * time.Millisecond
	written = 24500 * time.Millisecond
)

// Longest is the longest time that a transfer may take.
const Longest = written

// transfer goes on when the client disconnects: a transfer cannot be taken back once the carrier
// was asked, and its outcome must be recorded.
func (e *Endpoint) transfer(ctx context.Context, in *Input) (*Output, error) {
	if err := id.Call.Check(in.CallID); err != nil {
		return nil, err
	}

	user := api.CallerOf(ctx).UserID
	ctx, cancel := invocation.Finish(ctx, written)
	defer cancel()
	asking, cancel := invocation.Leave(ctx, written-asked)
	defer cancel()
	c, may, country, err := e.allowed(asking, user, in)
	if err != nil {
		return nil, err
	}
	t := call.Transfer{ID: id.Transfer.New(e.Now()), To: in.Body.PhoneNumber, Country: country, Status: call.TransferPending, At: e.Now()}
	c, hour, err := e.Calls.BeginTransfer(asking, c, may, t)
	api.SetLimit(ctx, hour)
	if err != nil {
		return nil, err
	}
	outcome, refusal := e.ask(asking, c, t)
	if c, err = e.Calls.FinishTransfer(ctx, c.ID, outcome); err != nil {
		return nil, err
	}
	if outcome.Status == call.TransferUnknown {
		obs.Count(ctx, "TransfersUnknown", 1)
	}
	c = e.endIfGone(ctx, c)

	return answer(c, refusal)
}

// allowed makes the checks of a new call: the number must be one that may be called at all, and one
// that this user may call from the call's own number. country is the country of the number.
func (e *Endpoint) allowed(ctx context.Context, user string, in *Input) (c call.Call, may store.Permit, country string, err error) {
	if country, err = destination.Country("phone_number", in.Body.PhoneNumber); err != nil {
		return c, may, country, err
	}
	c, err = e.Calls.Call(ctx, in.CallID)
	switch {
	case err != nil:
		return c, may, country, err
	case c.UserID != user:
		return c, may, country, fault.Missing("call")
	case c.Status != call.InProgress:
		return c, may, country, store.CallNotActive()
	}
	_, may, err = e.Calls.CallPermit(ctx, user, c.NumberID)
	api.SetLimit(ctx, may.Hour())
	if fault.Is(err, fault.NotFound) {
		err = fault.New(fault.Conflict, "NUMBER_NOT_CONFIGURED", "the number that the call is on is no longer yours")
	}
	if err == nil {
		err = may.Allow(in.Body.PhoneNumber, country, "")
	}
	return c, may, country, err
}

// ask asks the carrier for the transfer and returns its outcome. refusal is the error to answer
// with if the transfer failed for another reason than the carrier's refusal.
func (e *Endpoint) ask(ctx context.Context, c call.Call, t call.Transfer) (outcome call.Transfer, refusal error) {
	defer func() { outcome.At = e.Now() }()
	t.Status = call.TransferFailed
	room, err := e.Phone.ReadRoom(ctx, c.RoomName)
	switch {
	case err != nil:
		return t, err
	case !room.Answered(): // LiveKit would wait for the answer and transfer then
		return t, store.CallNotActive()
	}
	done, err := e.Phone.Transfer(ctx, c.RoomName, room.Callee.Identity, t.To, ringing)
	if err != nil {
		e.Log.WarnContext(ctx, "transfer", "call_id", c.ID, "transfer_id", t.ID, "error", err)
		return failed(t, err)
	}
	t.Status, t.SIPStatus = call.TransferCompleted, done.SIPStatus
	if done.Assumed {
		t.Status, t.SIPStatus = e.assumed(ctx, c)
	}
	return t, nil
}

// assumed returns the outcome of a transfer that an old LiveKit SIP has just reported as done. It
// does so on the carrier's 200, but also if the call ends before the carrier has said anything.
// The room tells more. If the phone is still there, it was the 200 (or LiveKit has not yet removed
// the phone). If the room is empty, the call was ended on this side, because the agent stays after
// a transfer.
func (e *Endpoint) assumed(ctx context.Context, c call.Call) (status call.TransferStatus, sip int) {
	room, err := e.Phone.ReadRoom(ctx, c.RoomName)
	switch {
	case err != nil:
	case room == (call.Room{}):
		return call.TransferUnknown, 0
	case room.Up():
		return call.TransferCompleted, http.StatusOK
	}
	return call.TransferCompleted, 0
}

// failed returns the outcome of a transfer that LiveKit did not report as done.
func failed(t call.Transfer, err error) (outcome call.Transfer, refusal error) {
	failure, ok := errors.AsType[*livekit.TransferError](err)
	if !ok {
		t.Status = call.TransferUnknown
		return t, nil
	}
	switch failure.Code {
	case livekit.TransferRejected:
		t.SIPStatus = failure.SIPStatus
	case livekit.TransferCallEnded: // the call keeps its own end
	case livekit.TransferBusy: // an earlier transfer, whose outcome was unknown, is still under way
		t.Status, refusal = call.TransferUnknown, store.TransferInProgress()
	case livekit.TransferNotAsked:
		refusal = fault.Unavailable("LiveKit", err)
	default:
		t.Status = call.TransferUnknown
	}
	return t, refusal
}

// endIfGone ends the call if its phone left during the transfer, when no end could be decided.
// After a failed transfer an empty room does not say who hung up. LiveKit's event does, and its
// handler waits for the outcome, so endIfGone leaves that end to it. The sweep ends the call if
// endIfGone fails, or if the event is lost.
func (e *Endpoint) endIfGone(ctx context.Context, c call.Call) call.Call {
	if c.Status.Ended() {
		return c
	}
	room, err := e.Phone.ReadRoom(ctx, c.RoomName)
	if err == nil && (room != call.Room{} || c.Transfer.Status != call.TransferFailed) {
		c, err = e.Teardown.CheckRoom(ctx, c, room, call.Leave{}, e.Now())
	}
	if err != nil {
		e.Log.WarnContext(ctx, "end a transferred call", "call_id", c.ID, "error", err)
	}
	return c
}

func answer(c call.Call, refusal error) (*Output, error) {
	switch {
	case refusal != nil && (c.Status.Ended() || !c.HangupRequested.IsZero()):
		return nil, store.CallNotActive()
	case refusal != nil:
		return nil, refusal
	}
	out := &Output{CallTransfer{CallID: c.ID, Transfer: TransferOutcome{TransferID: c.Transfer.ID, PhoneNumber: c.Transfer.To, Status: c.Transfer.Status}}}
	if c.Transfer.SIPStatus != 0 {
		out.Body.Transfer.SIPStatusCode = &c.Transfer.SIPStatus
	}
	return out, nil
}

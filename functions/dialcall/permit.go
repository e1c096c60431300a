package dialcall

import (
	"context"
	"errors"
	"time"

	"github.com/krosai/telephony/shared/call"
	"github.com/krosai/telephony/shared/fault"
)

// refused ends a call that was accepted and may not be dialed any longer: because
// calls were switched off meanwhile, its user may not place it any more, or its
// trunk leads where no carrier is. It is read as late as can be, right before the
// claim.
func (t *Task) refused(ctx context.Context, id string) (bool, error) {
	c, err := t.Calls.Call(ctx, id)
	if err != nil || c.Status != call.Initiated {
		return false, err // what has moved on is for the claim to judge
	}
	n, err := t.Calls.DialPermit(ctx, c)
	if err == nil {
		err = t.Carriers.Check(ctx, "sip_trunk.address", n.Trunk.Address)
	}
	end, known := endOfRefusal(err)
	if err == nil || !known {
		return false, err
	}
	t.Log.WarnContext(ctx, "call not dialed", "call_id", c.ID, "error", err)
	c, err = t.Settle.End(ctx, c, func(c call.Call) call.End {
		if c.Status != call.Initiated { // another invocation has dialed it
			return call.End{}
		}
		end.At = t.Now()
		return end
	})
	if err != nil || !c.Status.Ended() {
		return false, err
	}
	if err := t.Phone.DeleteRoom(ctx, c.RoomName); err != nil { // the agent would leave by itself, only later
		t.Log.WarnContext(ctx, "room left to its time-out", "call_id", c.ID, "error", err)
	}
	return true, nil
}

// endOfRefusal is how a call ends that may not be dialed; known is false for an
// error that says nothing about it.
func endOfRefusal(err error) (end call.End, known bool) {
	e, known := errors.AsType[*fault.Error](err)
	switch {
	case !known:
		return end, false
	case e.Code == "CALLS_DISABLED":
		return call.End{Status: call.Canceled, Cause: call.CallsDisabled}, true
	case e.Kind == fault.Forbidden, e.Kind == fault.Conflict:
		return call.End{Status: call.Canceled, Cause: call.NotAllowed}, true
	case e.Kind == fault.Invalid:
		return call.End{Status: call.Failed, Cause: call.TrunkUnreachable}, true
	}
	return end, false
}

// queued is how long a dial may wait for its place without anybody being told.
const queued = 5 * time.Second

// recordWait writes down a long wait, at most once a second. A failure costs
// nothing but the sharing of places for a moment.
func (t *Task) recordWait(ctx context.Context, in Input) {
	now := t.Now()
	wait := now.Sub(in.Since)
	last := t.recorded.Load()
	if in.Since.IsZero() || wait < queued || now.Unix() <= last || !t.recorded.CompareAndSwap(last, now.Unix()) {
		return
	}
	if err := t.Calls.RecordWait(ctx, wait, now); err != nil {
		t.Log.WarnContext(ctx, "record a dial's wait", "call_id", in.CallID, "error", err)
	}
}

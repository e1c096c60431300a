package dialcall

import (
	"context"
	"time"

	"github.com/krosai/telephony/shared/call"
)

// refused ends a call that was accepted but may no longer be dialed: calls were switched off, the
// user may no longer place it, or the trunk's address does not lead to a carrier. It checks as late
// as possible, right before the claim.
func (t *Task) refused(ctx context.Context, id string) (bool, error) {
	c, err := t.Calls.Call(ctx, id)
	if err != nil || c.Status != call.Initiated {
		return false, err // ClaimDial decides about a call that has moved on
	}
	n, err := t.Calls.DialPermit(ctx, c)
	if err == nil {
		err = t.Carriers.Check(ctx, "sip_trunk.address", n.Trunk.Address)
	}
	end := c.DialForbidden(err, t.Now())
	if end == (call.End{}) {
		return false, err
	}
	t.Log.WarnContext(ctx, "call not dialed", "call_id", c.ID, "error", err)
	c, err = t.Teardown.End(ctx, c, func(c call.Call) call.End {
		if c.Status != call.Initiated { // another invocation has dialed it
			return call.End{}
		}
		return end
	})
	if err != nil || !c.Status.Ended() {
		return false, err
	}
	if err := t.Phone.DeleteRoom(ctx, c.RoomName); err != nil { // without this the agent leaves by itself, only later
		t.Log.WarnContext(ctx, "room left to its time-out", "call_id", c.ID, "error", err)
	}
	return true, nil
}

// queued is the shortest wait for a place that is recorded.
const queued = 5 * time.Second

// recordWait records a long wait, at most once a second. If that fails, only the sharing of places
// is affected for a moment.
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

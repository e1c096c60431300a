// Package settlecall is the task of a call's workflow that finds out, by
// reading LiveKit, what became of a call, and ends it if it is over.
package settlecall

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/krosai/telephony/shared/call"
	"github.com/krosai/telephony/shared/settle"
)

// Task settles calls.
type Task struct {
	Settle *settle.Settler
	Now    func() time.Time
}

// Input names the call and says why it is to be settled: "unclear" (it was
// dialled, the outcome is unknown), "expired" (its talk time is spent), "capacity"
// (its turn to be dialled did not come) or "failed" (it could not be placed).
type Input struct {
	CallID string `json:"call_id"`
	Reason string `json:"reason"`
}

// Output is "ended", "answered" (it is up) or "unclear" (it may still be
// answered).
type Output struct {
	Outcome string `json:"outcome"`
}

// A dial whose request failed may still take effect, and its phone then rings for
// its whole time. LiveKit took 5 to 8 s to carry out such requests; settling is
// what it may need on top of the ringing.
const (
	lateDial = 20 * time.Second
	settling = 3 * time.Second
)

// The room of an unclear call is read every second. The task gives up after
// patience, so that its last requests fit in the workflow's 30 s.
const (
	pause    = time.Second
	patience = 15 * time.Second
)

// Run may be repeated: an ended call keeps its end.
func (t *Task) Run(ctx context.Context, in Input) (Output, error) {
	c, err := t.Settle.Calls.Call(ctx, in.CallID)
	if err != nil {
		return Output{}, err
	}
	switch {
	case c.Status.Ended():
		_, err = t.Settle.End(ctx, c, nil)
	case !slices.Contains([]string{"unclear", "capacity", "failed", "expired"}, in.Reason):
		err = fmt.Errorf("unknown reason %q", in.Reason)
	case in.Reason != "expired" && c.DialedAt.IsZero():
		if c, err = t.Settle.End(ctx, c, t.neverDialed(in.Reason)); err == nil {
			_ = t.Settle.TakeDown(ctx, c) // if LiveKit is down: a room nobody has called from closes by itself
		}
	case in.Reason != "failed" && in.Reason != "expired" && c.HangupRequested.IsZero():
		return t.resolve(ctx, c)
	default:
		_, err = t.Settle.Stop(ctx, c, t.Settle.Hangup)
	}
	return Output{"ended"}, err
}

// neverDialed is the end of a call that was not dialled for a reason.
func (t *Task) neverDialed(reason string) settle.Judge {
	return func(c call.Call) call.End {
		end := c.EndOfDial(call.Attempt{}, t.Now())
		switch {
		case end.Status != call.Failed:
		case reason == "capacity":
			end.Cause = call.Capacity
		default:
			end.Cause = call.NetworkError
		}
		return end
	}
}

// resolve reads the room of a call whose dial had an unclear outcome, until it is
// known or for patience. A call that is known to have been answered is up until
// somebody sees its phone gone: a room that cannot be found proves nothing.
func (t *Task) resolve(ctx context.Context, c call.Call) (Output, error) {
	if c.Status == call.InProgress {
		c, err := t.Settle.Look(ctx, c, t.Now())
		if err == nil && c.Status.Ended() {
			return Output{"ended"}, nil
		}
		return Output{"answered"}, err
	}
	for until := t.Now().Add(patience); ; {
		out, err := t.look(ctx, c)
		if err != nil || out.Outcome != "unclear" || !t.Now().Before(until) {
			return out, err
		}
		select {
		case <-time.After(pause):
			c, err = t.Settle.Calls.Call(ctx, c.ID)
		case <-ctx.Done():
			err = ctx.Err()
		}
		if err != nil {
			return Output{}, err
		}
	}
}

// look reads the room once, if the call is still to be placed.
func (t *Task) look(ctx context.Context, c call.Call) (Output, error) {
	if c.Status.Ended() || !c.HangupRequested.IsZero() {
		_, err := t.Settle.Stop(ctx, c, t.Settle.Hangup)
		return Output{"ended"}, err
	}
	room, err := t.Settle.Rooms.ReadRoom(ctx, c.RoomName)
	if err != nil {
		return Output{}, fmt.Errorf("read the room of an unclear call: %w", err)
	}
	longest := c.DialedAt.Add(max(time.Duration(c.RingingTimeout)*time.Second, lateDial) + settling)
	hungUp := room.Callee != nil && !room.Up()
	switch {
	case room.Answered():
		_, err = t.Settle.Calls.Advance(ctx, c.ID, call.InProgress, c.Answered(room.Callee, t.Now()))
		return Output{"answered"}, err
	case hungUp, !t.Now().Before(longest):
		_, err = t.Settle.Stop(ctx, c, t.Settle.Hangup)
		return Output{"ended"}, err
	case room.Ringing() && c.Status != call.Ringing:
		_, err = t.Settle.Calls.Advance(ctx, c.ID, call.Ringing, t.Now())
	}
	return Output{"unclear"}, err
}

// Package finishcall is the task of a call's workflow that ends a call whose talk time is used up
// or that could not be dialed. If the outcome of a dial is unclear, it reads from LiveKit whether
// the call is over, and ends it if it is.
package finishcall

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/krosai/telephony/shared/call"
	"github.com/krosai/telephony/shared/teardown"
)

// Task finishes calls: it ends them, or finds that they go on.
type Task struct {
	Teardown *teardown.Ender
	Now      func() time.Time
}

// Input names the call and the reason to finish it: "unclear" (it was dialed, but the outcome is
// unknown), "expired" (its talk time is used up), "capacity" (its turn to be dialed did not come)
// or "failed" (it could not be placed).
type Input struct {
	CallID string `json:"call_id"`
	Reason string `json:"reason"`
}

// Output is "ended", "answered" (it is up) or "unclear" (it may still be answered).
type Output struct {
	Outcome string `json:"outcome"`
}

// A dial whose request failed may still take effect, and its phone then rings for its whole ringing
// timeout. LiveKit took 5 to 8 s to carry out such requests. An unclear call ends when the longer
// of its ringing timeout and lateDial is over, plus settling.
const (
	lateDial = 20 * time.Second
	settling = 3 * time.Second
)

// resolve reads the room of an unclear call every second. It gives up after resolveTimeout, so that
// its last requests fit in the workflow's 30 s.
const (
	pause          = time.Second
	resolveTimeout = 15 * time.Second
)

// Run may be repeated: an ended call keeps its end.
func (t *Task) Run(ctx context.Context, in Input) (Output, error) {
	c, err := t.Teardown.Calls.Call(ctx, in.CallID)
	if err != nil {
		return Output{}, err
	}
	switch {
	case c.Status.Ended():
		_, err = t.Teardown.End(ctx, c, nil)
	case !slices.Contains([]string{"unclear", "capacity", "failed", "expired"}, in.Reason):
		err = fmt.Errorf("unknown reason %q", in.Reason)
	case in.Reason != "expired" && c.DialedAt.IsZero():
		if c, err = t.Teardown.End(ctx, c, t.neverDialed(in.Reason)); err == nil {
			_ = t.Teardown.DeleteRoom(ctx, c) // if LiveKit is down, the room closes by itself because no phone was dialed from it
		}
	case in.Reason != "failed" && in.Reason != "expired" && c.HangupRequested.IsZero():
		return t.resolve(ctx, c)
	default:
		_, err = t.Teardown.TakeDown(ctx, c, t.Teardown.HungUp)
	}
	return Output{"ended"}, err
}

// neverDialed decides the end of a call that was not dialed, for the given reason.
func (t *Task) neverDialed(reason string) teardown.Disposition {
	return func(c call.Call) call.End {
		if reason == "capacity" {
			return c.NeverDialed(call.Capacity, t.Now())
		}
		return c.NeverDialed(call.NetworkError, t.Now())
	}
}

// resolve reads the room of a call whose dial had an unclear outcome, until the outcome is known or
// resolveTimeout is over. A call on record as answered stays up until a read shows that its phone
// is gone: a missing room proves nothing.
func (t *Task) resolve(ctx context.Context, c call.Call) (Output, error) {
	if c.Status == call.InProgress {
		c, err := t.Teardown.Check(ctx, c, t.Now())
		if err == nil && c.Status.Ended() {
			return Output{"ended"}, nil
		}
		return Output{"answered"}, err
	}
	for until := t.Now().Add(resolveTimeout); ; {
		out, err := t.look(ctx, c)
		if err != nil || out.Outcome != "unclear" || !t.Now().Before(until) {
			return out, err
		}
		select {
		case <-time.After(pause):
			c, err = t.Teardown.Calls.Call(ctx, c.ID)
		case <-ctx.Done():
			err = ctx.Err()
		}
		if err != nil {
			return Output{}, err
		}
	}
}

// look reads the room once, unless the call has ended or is to be hung up.
func (t *Task) look(ctx context.Context, c call.Call) (Output, error) {
	if c.Status.Ended() || !c.HangupRequested.IsZero() {
		_, err := t.Teardown.TakeDown(ctx, c, t.Teardown.HungUp)
		return Output{"ended"}, err
	}
	room, err := t.Teardown.Rooms.ReadRoom(ctx, c.RoomName)
	if err != nil {
		return Output{}, fmt.Errorf("read the room of an unclear call: %w", err)
	}
	longest := c.DialedAt.Add(max(time.Duration(c.RingingTimeout)*time.Second, lateDial) + settling)
	hungUp := room.Callee != nil && !room.Up()
	switch {
	case room.Answered():
		_, err = t.Teardown.Calls.Advance(ctx, c.ID, call.InProgress, c.Answered(room.Callee, t.Now()))
		return Output{"answered"}, err
	case hungUp, !t.Now().Before(longest):
		_, err = t.Teardown.TakeDown(ctx, c, t.Teardown.HungUp)
		return Output{"ended"}, err
	case room.Ringing() && c.Status != call.Ringing:
		_, err = t.Teardown.Calls.Advance(ctx, c.ID, call.Ringing, t.Now())
	}
	return Output{"unclear"}, err
}

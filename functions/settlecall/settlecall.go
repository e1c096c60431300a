// Package settlecall is the task of a call's workflow that finds out, by
// reading LiveKit, what became of a call, and ends it if it is over.
package settlecall

import (
	"context"
	"fmt"
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
// dialled, the outcome is unknown), "expired" (its talk time is spent) or
// "failed" (it could not be placed).
type Input struct {
	CallID string `json:"call_id"`
	Reason string `json:"reason"`
}

// Output is "ended", "answered" (it is up) or "unclear" (it may still be
// answered).
type Output struct {
	Outcome string `json:"outcome"`
}

// settling is how long after an unclear dial a phone may still appear in the
// room.
const settling = 3 * time.Second

// Run may be repeated: an ended call keeps its end.
func (t *Task) Run(ctx context.Context, in Input) (Output, error) {
	c, err := t.Settle.Calls.Call(ctx, in.CallID)
	if err != nil {
		return Output{}, err
	}
	switch {
	case c.Status.Ended():
		_, err = t.Settle.End(ctx, c, nil)
	case in.Reason != "unclear" && in.Reason != "failed" && in.Reason != "expired":
		err = fmt.Errorf("unknown reason %q", in.Reason)
	case in.Reason != "expired" && c.DialedAt.IsZero():
		if c, err = t.Settle.End(ctx, c, t.neverDialed); err == nil {
			_ = t.Settle.Rooms.DeleteRoom(ctx, c.RoomName) // if LiveKit is down: a room nobody has called from closes by itself
		}
	case in.Reason == "unclear" && c.HangupRequested.IsZero():
		return t.resolve(ctx, c)
	default:
		_, err = t.Settle.Stop(ctx, c, t.Settle.Hangup)
	}
	return Output{"ended"}, err
}

func (t *Task) neverDialed(c call.Call) call.End {
	end := c.EndOfDial(call.Attempt{}, t.Now())
	if end.Status == call.Failed {
		end.Cause = call.NetworkError
	}
	return end
}

// resolve reads the room of a call whose dial had an unclear outcome.
func (t *Task) resolve(ctx context.Context, c call.Call) (Output, error) {
	room, err := t.Settle.Rooms.ReadRoom(ctx, c.RoomName)
	if err == nil && !room.Up() {
		select {
		case <-time.After(settling):
			room, err = t.Settle.Rooms.ReadRoom(ctx, c.RoomName)
		case <-ctx.Done():
			err = ctx.Err()
		}
	}
	if err != nil {
		return Output{}, fmt.Errorf("read the room of an unclear call: %w", err)
	}
	longest := c.DialedAt.Add(time.Duration(c.RingingTimeout)*time.Second + settling)
	switch {
	case room.Answered():
		_, err := t.Settle.Calls.Advance(ctx, c.ID, call.InProgress, t.Now())
		return Output{"answered"}, err
	case room.Ringing() && t.Now().Before(longest):
		_, err := t.Settle.Calls.Advance(ctx, c.ID, call.Ringing, t.Now())
		return Output{"unclear"}, err
	case room.Up() && t.Now().Before(longest):
		return Output{"unclear"}, nil
	}
	_, err = t.Settle.Stop(ctx, c, t.Settle.Hangup)
	return Output{"ended"}, err
}

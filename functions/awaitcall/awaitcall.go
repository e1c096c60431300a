// Package awaitcall is the task of a call's workflow that leaves the token by
// which the end of an answered call will be reported.
package awaitcall

import (
	"context"
	"log/slog"
	"time"

	"github.com/krosai/telephony/shared/call"
	"github.com/krosai/telephony/shared/settle"
)

// Calls keeps the token with the call.
type Calls interface {
	AwaitEnd(ctx context.Context, id, token string) (c call.Call, open bool, err error)
	CallWithDetails(ctx context.Context, id string) (call.Call, error)
}

// Announcer announces what is due of a call. What it was told before it tells
// nobody again.
type Announcer interface {
	Call(ctx context.Context, c call.Call, s call.Summary) error
}

// Task awaits the ends of calls.
type Task struct {
	Calls    Calls
	Settle   *settle.Settler
	Announce Announcer
	Now      func() time.Time
	Log      *slog.Logger
}

// Input names the call and carries the workflow's token.
type Input struct {
	CallID    string `json:"call_id"`
	TaskToken string `json:"task_token"`
}

// Run leaves the token and then reads the room once: the callee may have hung
// up before the answer was recorded, when nobody listened for it. A look that
// fails is no failure of the wait, which would take down a call that is up: the
// sweep looks again within a minute. In the end it announces that the call was
// answered; what fails of that is made up for when the call has ended.
func (t *Task) Run(ctx context.Context, in Input) error {
	c, open, err := t.Calls.AwaitEnd(ctx, in.CallID, in.TaskToken)
	if err != nil {
		return err
	}
	if !open {
		return t.Settle.Flow.CallEnded(ctx, in.TaskToken)
	}
	c, err = t.Settle.Look(ctx, c, t.Now())
	if c, err := t.Calls.CallWithDetails(ctx, in.CallID); err == nil {
		if err := t.Announce.Call(ctx, c, call.Summary{}); err != nil {
			t.Log.WarnContext(ctx, "announce an answered call", "call_id", c.ID, "err", err)
		}
	}
	if err != nil && !c.Status.Ended() {
		t.Log.WarnContext(ctx, "look at an answered call", "call_id", c.ID, "err", err)
		return nil
	}
	return err
}

// Package awaitcall is the task of a call's workflow that stores the task token. The end of an
// answered call is reported with that token.
package awaitcall

import (
	"context"
	"log/slog"
	"time"

	"github.com/krosai/telephony/shared/call"
	"github.com/krosai/telephony/shared/teardown"
)

// Calls keeps the token with the call. open is false when the call has ended already.
type Calls interface {
	AwaitEnd(ctx context.Context, id, token string) (c call.Call, open bool, err error)
}

// Workflow notifies a workflow that its call has ended.
type Workflow interface {
	CallEnded(ctx context.Context, token string) error
}

// Task waits for the ends of calls.
type Task struct {
	Calls    Calls
	Teardown *teardown.Ender
	Workflow Workflow
	Now      func() time.Time
	Log      *slog.Logger
}

// Input names the call and carries the workflow's token.
type Input struct {
	CallID    string `json:"call_id"`
	TaskToken string `json:"task_token"`
}

// Run stores the token and then reads the room once, because the callee may have hung up before the
// answer was recorded. A failed check must not fail the task, because that would end a live call.
// The sweep checks again within a minute.
func (t *Task) Run(ctx context.Context, in Input) error {
	c, open, err := t.Calls.AwaitEnd(ctx, in.CallID, in.TaskToken)
	if err != nil {
		return err
	}
	if !open {
		return t.Workflow.CallEnded(ctx, in.TaskToken)
	}
	c, err = t.Teardown.Check(ctx, c, t.Now())
	if err != nil && !c.Status.Ended() {
		t.Log.WarnContext(ctx, "look at an answered call", "call_id", c.ID, "error", err)
		return nil
	}
	return err
}

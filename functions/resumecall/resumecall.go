// Package resumecall is the function that Lambda calls with the ends of calls from the stream of
// the table Events. It lets the workflow of each call go on, however the call was ended.
package resumecall

import (
	"context"
	"log/slog"

	"github.com/krosai/telephony/shared/invocation"
	"github.com/krosai/telephony/shared/store"
)

// Calls reads the token of the workflow that waits for a call's end. The token is empty if no
// workflow waits.
type Calls interface {
	EndToken(ctx context.Context, id string) (string, error)
}

// Workflow notifies a workflow that its call has ended. A workflow that no longer waits, and the
// empty token, count as success.
type Workflow interface {
	CallEnded(ctx context.Context, token string) error
}

// Task resumes workflows.
type Task struct {
	Calls    Calls
	Workflow Workflow
	Log      *slog.Logger
}

// Run notifies the workflows of a batch. It answers with the first record that fails: Lambda then
// delivers that record and all that follow again. A workflow that does not wait yet sees the end
// when it begins to wait (awaitcall).
func (t *Task) Run(ctx context.Context, in store.Stream) (invocation.BatchAnswer, error) {
	for _, r := range in.Records {
		e, err := r.Event()
		if err != nil {
			t.Log.ErrorContext(ctx, "not an event", "sequence_number", r.Change.SequenceNumber, "error", err)
			continue
		}
		token, err := t.Calls.EndToken(ctx, e.CallID)
		if err == nil {
			err = t.Workflow.CallEnded(ctx, token)
		}
		if err != nil {
			t.Log.WarnContext(ctx, "resume the workflow of a call", "call_id", e.CallID, "error", err)
			return invocation.Failed(r.Change.SequenceNumber), nil
		}
	}
	return invocation.Failed(), nil
}

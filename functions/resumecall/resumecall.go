// Package resumecall is the function that Lambda feeds with the ends of calls from
// the stream of the table Events: it lets the workflow of each call go on, whoever
// ended the call.
package resumecall

import (
	"context"
	"log/slog"

	"github.com/krosai/telephony/shared/batch"
	"github.com/krosai/telephony/shared/store"
)

// Calls reads the token of the workflow that waits for a call's end; empty if none
// does.
type Calls interface {
	EndToken(ctx context.Context, id string) (string, error)
}

// Flow tells a workflow that its call has ended. One that does not wait any more,
// and the empty token, are success.
type Flow interface {
	CallEnded(ctx context.Context, token string) error
}

// Task resumes workflows.
type Task struct {
	Calls Calls
	Flow  Flow
	Log   *slog.Logger
}

// Run tells the workflows of a batch. The first record that cannot be worked on is
// its answer: Lambda hands it out again with all that follow. A workflow that does
// not wait yet sees the end when it begins to (awaitcall).
func (t *Task) Run(ctx context.Context, in store.Stream) (batch.Answer, error) {
	for _, r := range in.Records {
		e, err := r.Event()
		if err != nil {
			t.Log.ErrorContext(ctx, "not an event", "sequence_number", r.Change.SequenceNumber, "error", err)
			continue
		}
		token, err := t.Calls.EndToken(ctx, e.CallID)
		if err == nil {
			err = t.Flow.CallEnded(ctx, token)
		}
		if err != nil {
			t.Log.WarnContext(ctx, "resume the workflow of a call", "call_id", e.CallID, "error", err)
			return batch.Failed(r.Change.SequenceNumber), nil
		}
	}
	return batch.Failed(), nil
}

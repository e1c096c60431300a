// Package summarizecall is the task of a call's workflow that summarizes an ended call, once all
// turns of the conversation have arrived.
package summarizecall

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/krosai/telephony/shared/call"
	"github.com/krosai/telephony/shared/call/summary"
)

// Details reads calls and stores summaries. The first summary of a call is final, and SaveSummary
// returns it.
type Details interface {
	FullDetails(ctx context.Context, id string) (call.Details, error)
	SaveSummary(ctx context.Context, c call.Call, s call.Summary) (call.Summary, error)
}

// Summarizer summarizes what was said. Its errors are of type *summary.Error.
type Summarizer interface {
	Summarize(ctx context.Context, turns []call.Turn) (text, model string, err error)
}

// Task summarizes calls.
type Task struct {
	Details    Details
	Summarizer Summarizer
	Now        func() time.Time
	Log        *slog.Logger
}

// Input names the call. Failed is the name of the error after which the workflow gives up. It is
// empty if the workflow has not given up.
type Input struct {
	CallID string `json:"call_id"`
	Failed string `json:"failed"`
}

// Output is the state of the summary: "waiting" (turns may still come), "ready", "failed" or "none"
// (nothing was said).
type Output struct {
	Outcome string `json:"outcome"`
}

// quiet is how long after the end of a call, or after the arrival of its last turn, the task waits
// for more turns. firstTurn is how long it waits for a first turn, and longestLag how long it waits
// for turns that keep coming, both from the end of the call. The workflow waits 5 s between two
// runs of the task.
const (
	quiet      = 4 * time.Second
	firstTurn  = 18 * time.Second
	longestLag = time.Minute
)

// timeout and unavailable name errors for the workflow. It repeats the task, and when it gives up,
// it passes the name back as Failed.
type (
	timeout     struct{ error }
	unavailable struct{ error }
)

// Run may be repeated: the first summary stands.
func (t *Task) Run(ctx context.Context, in Input) (Output, error) {
	s, err := t.Details.FullDetails(ctx, in.CallID)
	switch {
	case err != nil:
		return Output{}, err
	case s.Summary.Status != "":
		return Output{string(s.Summary.Status)}, nil
	case !s.Call.Status.Ended():
		return Output{}, errors.New("the call has not ended")
	case s.Call.AnsweredAt.IsZero():
		return Output{string(call.SummaryNone)}, nil // the call details say so without a row
	case in.Failed != "":
		return t.save(ctx, s.Call, call.Summary{Status: call.SummaryFailed, Reason: reasonOf(in.Failed)})
	case t.turnsMayCome(s):
		return Output{"waiting"}, nil
	case len(s.Turns) == 0:
		return t.save(ctx, s.Call, call.Summary{Status: call.SummaryNone})
	}

	text, model, err := t.Summarizer.Summarize(ctx, s.Turns)
	if err == nil {
		return t.save(ctx, s.Call, call.Summary{Status: call.SummaryReady, Text: text, Model: model})
	}
	t.Log.WarnContext(ctx, "no summary", "call_id", s.Call.ID, "model", model, "error", err)
	why, ok := errors.AsType[*summary.Error](err)
	switch {
	case ok && why.Final:
		return t.save(ctx, s.Call, call.Summary{Status: call.SummaryFailed, Model: model, Reason: why.Reason})
	case ok && why.Reason == summary.Timeout:
		return Output{}, timeout{err}
	}
	return Output{}, unavailable{err}
}

// turnsMayCome reports whether the agent may still send turns.
func (t *Task) turnsMayCome(s call.Details) bool {
	now := t.Now()
	if now.Sub(s.Call.EndedAt) >= longestLag {
		return false
	}
	if len(s.Turns) == 0 {
		return now.Sub(s.Call.EndedAt) < firstTurn
	}
	last := s.Call.EndedAt
	for _, turn := range s.Turns {
		if turn.Received.After(last) {
			last = turn.Received
		}
	}
	return now.Sub(last) < quiet
}

func (t *Task) save(ctx context.Context, c call.Call, s call.Summary) (Output, error) {
	s.CreatedAt = t.Now()
	s, err := t.Details.SaveSummary(ctx, c, s)
	if err != nil {
		return Output{}, fmt.Errorf("save a summary: %w", err)
	}
	return Output{string(s.Status)}, nil
}

// reasonOf maps the name of the error after which the workflow gave up to a reason. The name is one
// of this task's own, States.Timeout, or Lambda's name for a function that was cut off.
func reasonOf(name string) string {
	if name = strings.ToLower(name); strings.Contains(name, "timeout") || strings.Contains(name, "timedout") {
		return summary.Timeout
	}
	return summary.Unavailable
}

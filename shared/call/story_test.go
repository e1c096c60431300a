package call

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestSummaryNow checks the summary of a call with and without a written row.
func TestSummaryNow(t *testing.T) {
	t.Parallel()
	written := Summary{Status: SummaryReady, Text: "t", Model: "m", CreatedAt: t0}
	for _, tt := range []struct {
		name  string
		call  Call
		row   Summary
		after time.Duration
		want  Summary
	}{
		{"written", Call{Status: Completed, AnsweredAt: t0, EndedAt: t0}, written, time.Hour, written},
		{"rings", Call{Status: Ringing}, Summary{}, 0, Summary{Status: SummaryPending}},
		{"talks", Call{Status: InProgress, AnsweredAt: t0}, Summary{}, time.Hour, Summary{Status: SummaryPending}},
		{"busy", Call{Status: Busy, EndedAt: t0}, Summary{}, 0, Summary{Status: SummaryNone}},
		{"just over", Call{Status: Completed, AnsweredAt: t0, EndedAt: t0}, Summary{}, time.Minute, Summary{Status: SummaryPending}},
		{"long over", Call{Status: Completed, AnsweredAt: t0, EndedAt: t0}, Summary{}, time.Hour, Summary{Status: SummaryFailed, Reason: "unavailable"}},
	} {
		if d := cmp.Diff(tt.want, Story{Call: tt.call, Summary: tt.row}.SummaryNow(t0.Add(tt.after))); d != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, d)
		}
	}
}

func TestTakesTurns(t *testing.T) {
	t.Parallel()
	ended := Call{Status: Completed, EndedAt: t0}
	if !(Call{Status: Dialing}).TakesTurns(t0) || !ended.TakesTurns(t0.Add(5*time.Minute)) || ended.TakesTurns(t0.Add(5*time.Minute+1)) {
		t.Error("turns are taken until 5 minutes after the end")
	}
}

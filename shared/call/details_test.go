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
		if d := cmp.Diff(tt.want, Details{Call: tt.call, Summary: tt.row}.SummaryNow(t0.Add(tt.after))); d != "" {
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

// TestInOrder: ringing that was seen after the answer, of which LiveKit told the time, came before
// it.
func TestInOrder(t *testing.T) {
	t.Parallel()
	at := func(ms int) time.Time { return t0.Add(time.Duration(ms) * time.Millisecond) }
	timeline := []Event{{At: at(0), Name: "dialing"}, {At: at(300), Name: "ringing"}, {At: at(290), Name: "answered"}, {At: at(900), Name: "ended"}}
	want := []Event{{At: at(0), Name: "dialing"}, {At: at(290), Name: "ringing"}, {At: at(290), Name: "answered"}, {At: at(900), Name: "ended"}}
	if d := cmp.Diff(want, InOrder(timeline, at(290))); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	timeline[1].At = at(200)
	if got := InOrder(timeline, at(290)); !got[1].At.Equal(at(200)) || got[1].Name != "ringing" {
		t.Errorf("%+v", got)
	}
}

package summarizecall_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/google/go-cmp/cmp"

	"github.com/krosai/telephony/functions/summarizecall"
	"github.com/krosai/telephony/shared/call"
	"github.com/krosai/telephony/shared/call/summary"
	"github.com/krosai/telephony/shared/fault"
	"github.com/krosai/telephony/shared/store/storetest"
)

const id = "call_01KAMPJ5V0SAMPMECA00000000" // of the sample event

var t0 = time.Date(2026, 11, 22, 9, 30, 0, 0, time.UTC) // the call's end

// model returns a fixed summary or its err, and records what it was asked.
type model struct {
	err   error
	asked int
	saw   []string
}

func (m *model) Summarize(_ context.Context, turns []call.Turn) (string, string, error) {
	m.asked++
	m.saw = nil
	for _, t := range turns {
		m.saw = append(m.saw, t.Content)
	}
	if m.err != nil {
		return "", "m-1", m.err
	}
	return "They talked.", "m-1", nil
}

// bench is the task with a call that ended at t0.
type bench struct {
	*testing.T
	db    *storetest.Database
	model model
	now   time.Time
	log   bytes.Buffer
	task  *summarizecall.Task
}

func newBench(t *testing.T, answered bool) *bench {
	t.Helper()
	b := &bench{T: t, db: storetest.Open(t, nil), now: t0}
	c := call.Call{ID: id, UserID: "ada", Country: "US", MaxDuration: 600, Status: call.Ringing, CreatedAt: t0.Add(-time.Minute)}
	end := call.End{Status: call.Busy, Cause: call.CalleeBusy, At: t0}
	if answered {
		c.Status, c.AnsweredAt = call.InProgress, t0.Add(-30*time.Second)
		end.Status, end.Cause = call.Completed, call.CalleeHangup
	}
	err := b.db.Place(t.Context(), c)
	b.must(err)
	_, err = b.db.EndCall(t.Context(), c, end)
	b.must(err)
	b.task = &summarizecall.Task{Details: b.db, Summarizer: &b.model, Now: func() time.Time { return b.now }, Log: slog.New(slog.NewJSONHandler(&b.log, nil))}
	return b
}

func (b *bench) must(err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

// say records a turn that arrived that long after the end of the call.
func (b *bench) say(content string, after time.Duration) {
	b.Helper()
	b.must(b.db.AddTurns(b.Context(), id, []call.Turn{{ID: content, Role: call.RoleAgent, Content: content, At: t0.Add(-time.Second)}}, t0.Add(after)))
}

// at runs the task that long after the end of the call.
func (b *bench) at(after time.Duration, failed string) string {
	b.Helper()
	b.now = t0.Add(after)
	out, err := b.task.Run(b.Context(), summarizecall.Input{CallID: id, Failed: failed})
	b.must(err)
	return out.Outcome
}

// saved returns the stored summary. Its Status is "" if no summary is stored.
func (b *bench) saved() call.Summary {
	b.Helper()
	s, err := b.db.FullDetails(b.Context(), id)
	b.must(err)
	return s.Summary
}

func TestSampleEvent(t *testing.T) {
	t.Parallel()
	b := newBench(t, true)
	b.say("hello", -time.Second)
	b.now = t0.Add(5 * time.Second)
	event, err := os.ReadFile("../../events/summarizecall.json")
	b.must(err)
	b.db.Trips()
	out, err := lambda.NewHandler(b.task.Run).Invoke(t.Context(), event)
	if err != nil || strings.TrimSpace(string(out)) != `{"outcome":"ready"}` || b.db.Trips() != 3 { // the call, its turns, the summary
		t.Errorf("%s, %v", out, err)
	}
	if d := cmp.Diff(call.Summary{Status: call.SummaryReady, Text: "They talked.", Model: "m-1", CreatedAt: b.now}, b.saved()); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if got := b.at(time.Hour, ""); got != "ready" || b.model.asked != 1 {
		t.Errorf("again: %s, the model was asked %d times", got, b.model.asked)
	}
	if got := b.at(time.Hour, "States.Timeout"); got != "ready" {
		t.Errorf("what is written stands: %s", got)
	}
}

// TestLateTurns checks how long the task waits for turns. The call ended at 0 s.
func TestLateTurns(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		turns []float64 // seconds at which they came
		looks string    // second and outcome
		saw   int
	}{
		{"all was told before", []float64{-20, -1}, "0 waiting, 3.9 waiting, 5 ready", 2},
		{"one comes late", []float64{-1, 3}, "5 waiting, 10 ready", 2},
		{"some come on and on", []float64{-1, 4, 8, 12}, "5 waiting, 10 waiting, 15 waiting, 20 ready", 4},
		{"they never stop", []float64{1, 5, 9, 13, 17, 21, 25, 29, 33, 37, 41, 45, 49, 53, 57}, "5 waiting, 30 waiting, 58 waiting, 60 ready", 15},
		{"the first comes late", []float64{12}, "0 waiting, 5 waiting, 10 waiting, 15 waiting, 20 ready", 1},
		{"none comes", nil, "0 waiting, 5 waiting, 10 waiting, 15 waiting, 20 none", 0},
		{"looked at late", []float64{-1}, "900 ready", 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, true)
			told := 0
			for look := range strings.SplitSeq(tt.looks, ", ") {
				var second float64
				var want string
				_, err := fmt.Sscan(look, &second, &want)
				b.must(err)
				for ; told < len(tt.turns) && tt.turns[told] <= second; told++ {
					b.say(fmt.Sprint(told), time.Duration(tt.turns[told]*float64(time.Second)))
				}
				if got := b.at(time.Duration(second*float64(time.Second)), ""); got != want {
					t.Errorf("at %g s: %s, want %s", second, got, want)
				}
			}
			if len(b.model.saw) != tt.saw || string(b.saved().Status) != tt.looks[strings.LastIndexByte(tt.looks, ' ')+1:] {
				t.Errorf("the model saw %v, kept %+v", b.model.saw, b.saved())
			}
		})
	}
}

func TestNobodyAnswered(t *testing.T) {
	t.Parallel()
	b := newBench(t, false)
	for _, failed := range []string{"", "States.Timeout"} {
		if got := b.at(0, failed); got != "none" || b.model.asked != 0 || b.saved().Status != "" {
			t.Errorf("%s, asked %d times, kept %+v", got, b.model.asked, b.saved())
		}
	}
}

// TestFailure checks that a final failure is stored with its reason, and that a failure that may
// pass is not stored.
func TestFailure(t *testing.T) {
	t.Parallel()
	why := errors.New("no")
	for _, tt := range []struct {
		name   string
		err    error
		kept   string // reason
		lambda string // name of the error for the workflow
	}{
		{"refused", &summary.Error{Reason: summary.Refused, Final: true, Err: why}, "refused", ""},
		{"empty", &summary.Error{Reason: summary.Empty, Final: true, Err: why}, "empty", ""},
		{"time-out", &summary.Error{Reason: summary.Timeout, Err: why}, "", "timeout"},
		{"throttled", &summary.Error{Reason: summary.Unavailable, Err: why}, "", "unavailable"},
		{"anything else", why, "", "unavailable"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, true)
			b.say("a secret of the callee's", -time.Second)
			b.now, b.model.err = t0.Add(10*time.Second), tt.err
			event, _ := json.Marshal(summarizecall.Input{CallID: id})
			out, err := lambda.NewHandler(b.task.Run).Invoke(t.Context(), event)
			kept := b.saved()
			if tt.kept != "" {
				if err != nil || strings.TrimSpace(string(out)) != `{"outcome":"failed"}` || kept.Status != call.SummaryFailed || kept.Reason != tt.kept || kept.Text != "" {
					t.Errorf("%s, %v, kept %+v", out, err, kept)
				}
			} else {
				if name := fmt.Sprintf("%T", err); name != "summarizecall."+tt.lambda || kept.Status != "" { // Lambda leaves the package out
					t.Fatalf("%s, %s %v, kept %+v", out, name, err, kept)
				}
				if got := b.at(20*time.Second, tt.lambda); got != "failed" || b.saved().Reason != tt.lambda {
					t.Errorf("given up: %s, kept %+v", got, b.saved())
				}
			}
			if !strings.Contains(b.log.String(), id) || strings.Contains(b.log.String(), "secret") {
				t.Errorf("log: %s", &b.log)
			}
		})
	}
}

func TestGivenUp(t *testing.T) {
	t.Parallel()
	for name, reason := range map[string]string{"States.Timeout": "timeout", "Sandbox.Timedout": "timeout", "timeout": "timeout",
		"unavailable": "unavailable", "Lambda.Unknown": "unavailable", "States.TaskFailed": "unavailable", "Lambda.TooManyRequestsException": "unavailable"} {
		b := newBench(t, true)
		b.say("hello", -time.Second)
		want := call.Summary{Status: call.SummaryFailed, Reason: reason, CreatedAt: t0.Add(time.Minute)}
		if got := b.at(time.Minute, name); got != "failed" || b.model.asked != 0 {
			t.Errorf("%s: %s, asked %d times", name, got, b.model.asked)
		}
		if d := cmp.Diff(want, b.saved()); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
	}
}

func TestNotToBeSummedUp(t *testing.T) {
	t.Parallel()
	b := newBench(t, true)
	if _, err := b.task.Run(t.Context(), summarizecall.Input{CallID: "call_2"}); !fault.Is(err, fault.NotFound) {
		t.Errorf("unknown call: %v", err)
	}
	live := call.Call{ID: "call_2", UserID: "ada", Country: "US", Status: call.InProgress, CreatedAt: t0, AnsweredAt: t0}
	err := b.db.Place(t.Context(), live)
	b.must(err)
	if out, err := b.task.Run(t.Context(), summarizecall.Input{CallID: "call_2"}); err == nil {
		t.Errorf("a call that goes on: %+v", out)
	}
}

// TestLostReply checks that the model is not asked again if the database's answer is lost after the
// summary was stored.
func TestLostReply(t *testing.T) {
	t.Parallel()
	b := newBench(t, true)
	b.say("hello", -time.Second)
	b.db.LoseReplyAt(1)
	if got := b.at(5*time.Second, ""); got != "ready" || b.model.asked != 1 {
		t.Errorf("%s, the model was asked %d times", got, b.model.asked)
	}
}

package all_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"
	"github.com/google/go-cmp/cmp"

	"github.com/krosai/telephony/emulator/stepfunctions"
	"github.com/krosai/telephony/emulator/template"
	"github.com/krosai/telephony/functions/summarizecall"
	"github.com/krosai/telephony/shared/call"
	"github.com/krosai/telephony/shared/call/summary"
	"github.com/krosai/telephony/shared/store/storetest"
)

// This file tests the workflow after the end of a call, with every state that deals with the
// summary, every retry and every catch, in a bubble of fake time.

// aftermath is the workflow of a call that has just ended.
type aftermath struct {
	*testing.T
	db      *storetest.Database
	flows   *stepfunctions.Service
	sfn     *sfn.Client
	arn     string // of the execution
	writer  writer
	crashes map[string]int // "Summarize" or "SummaryFailed": how many of its runs die; -1 is all
	runs    map[string]int
	mu      sync.Mutex
}

// writer is the model. It answers with the errors of its list in turn, and then repeats the last
// one. It counts its requests.
type writer struct {
	errs  []error // nil means success
	hangs bool
	asked int
	saw   int // turns, when it last wrote
}

func (w *writer) Summarize(ctx context.Context, turns []call.Turn) (string, string, error) {
	w.asked++
	if w.hangs {
		<-ctx.Done()
		return "", "m", &summary.Error{Reason: summary.Timeout, Err: ctx.Err()}
	}
	if n := len(w.errs); n > 0 {
		if err := w.errs[min(w.asked, n)-1]; err != nil {
			return "", "m", err
		}
	}
	w.saw = len(turns)
	return "SUMMARY-TEXT", "m", nil
}

// follow starts the workflow of a call that ends at once, answered or not. It must run in a
// synctest bubble.
func follow(t *testing.T, answered bool, model writer, crashes map[string]int) *aftermath {
	t.Helper()
	db, _ := obedient(t)
	a := &aftermath{T: t, db: db, writer: model, crashes: crashes, runs: map[string]int{}}
	var err error
	functions := map[string]template.Function{}
	for _, f := range db.Template.Functions() {
		functions[f.Name] = f
	}
	a.flows, err = stepfunctions.Open(stepfunctions.Options{Log: slog.New(slog.DiscardHandler), Rand: func() float64 { return 0.99 },
		Invoke: func(ctx context.Context, name string, payload []byte) ([]byte, error) {
			ctx, cancel := context.WithTimeout(ctx, functions[name].Timeout) // as Lambda does
			defer cancel()
			return a.invoke(ctx, functions[name].Folder, payload)
		}})
	a.must(err)
	t.Cleanup(func() {
		if err := a.flows.Close(); err != nil {
			t.Error(err)
		}
	})
	machine := load(t, a.flows, db.Template, "CallMachine")
	a.flows.Start()
	a.sfn = sfn.NewFromConfig(aws.Config{Region: "us-east-1", HTTPClient: a.flows.Client(), Credentials: aws.AnonymousCredentials{}})
	a.record(answered)
	out, err := a.sfn.StartExecution(t.Context(), &sfn.StartExecutionInput{StateMachineArn: &machine, Name: aws.String(theCall), Input: aws.String(`{"call_id":"` + theCall + `"}`)})
	a.must(err)
	a.arn = *out.ExecutionArn
	return a
}

func (a *aftermath) must(err error) {
	a.Helper()
	if err != nil {
		a.Fatal(err)
	}
}

// record writes the call to the database, with its end.
func (a *aftermath) record(answered bool) {
	a.Helper()
	now := time.Now()
	c := call.Call{ID: theCall, UserID: "ada", Direction: call.Outbound, Country: "US", MaxDuration: 600, Status: call.Ringing, CreatedAt: now.Add(-time.Minute)}
	end := call.End{Status: call.Busy, Cause: call.CalleeBusy, SIPStatus: 486, At: now}
	if answered {
		c.Status, c.AnsweredAt = call.InProgress, now.Add(-30*time.Second)
		end = call.End{Status: call.Completed, Cause: call.CalleeHangup, SIPStatus: 200, At: now}
	}
	err := a.db.Place(a.Context(), c)
	a.must(err)
	_, err = a.db.EndCall(a.Context(), c, end)
	a.must(err)
}

// invoke runs summarizecall. Every other function only answers that the call is over.
func (a *aftermath) invoke(ctx context.Context, folder string, payload []byte) ([]byte, error) {
	if folder != "summarizecall" {
		return []byte(`{"outcome":"ended","dial_seconds":60,"talk_seconds":600}`), nil
	}
	var in summarizecall.Input
	a.must(json.Unmarshal(payload, &in))
	state := "Summarize"
	if in.Failed != "" {
		state = "SummaryFailed"
	}
	if a.dies(state) {
		return nil, errors.New("the sandbox died")
	}
	task := &summarizecall.Task{Details: a.db, Summarizer: &a.writer, Now: time.Now, Log: slog.New(slog.DiscardHandler)}
	out, err := lambda.NewHandler(task.Run).Invoke(as(ctx, folder), payload)
	if err != nil { // Lambda names an error by its type, without the package
		name := fmt.Sprintf("%T", err)
		return nil, &stepfunctions.FunctionError{Type: name[strings.LastIndexByte(name, '.')+1:], Message: err.Error()}
	}
	return out, nil
}

// dies counts a run in a state, and reports whether the run is to die.
func (a *aftermath) dies(state string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.runs[state]++
	return a.crashes[state] < 0 || a.runs[state] <= a.crashes[state]
}

// say records a turn as if the agent had sent it.
func (a *aftermath) say(id string) {
	a.must(a.db.AddTurns(a.Context(), theCall, []call.Turn{{ID: id, Role: call.RoleCallee, Content: "TURN-" + id, At: time.Now()}}, time.Now()))
}

// states returns the states that the execution went through, and its history as text.
func (a *aftermath) states() (names map[string]int, history string) {
	a.Helper()
	names = map[string]int{}
	pages := sfn.NewGetExecutionHistoryPaginator(a.sfn, &sfn.GetExecutionHistoryInput{ExecutionArn: &a.arn, IncludeExecutionData: aws.Bool(true)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(a.Context())
		a.must(err)
		for _, e := range page.Events {
			if d := e.StateEnteredEventDetails; d != nil {
				names[aws.ToString(d.Name)]++
			}
		}
		text, err := json.Marshal(page.Events)
		a.must(err)
		history += string(text)
	}
	return names, history
}

func TestFollowUp(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("takes 40 s: not with -short")
	}
	throttled := &summary.Error{Reason: summary.Unavailable, Err: errors.New("throttled")}
	refused := &summary.Error{Reason: summary.Refused, Final: true, Err: errors.New("no access")}
	ready := call.Summary{Status: call.SummaryReady, Text: "SUMMARY-TEXT", Model: "m"}
	failed := func(model, reason string) call.Summary {
		return call.Summary{Status: call.SummaryFailed, Model: model, Reason: reason}
	}
	var mu sync.Mutex
	visited := map[string]bool{}
	t.Run("cases", func(t *testing.T) {
		for _, tt := range []struct {
			name       string
			unanswered bool
			turns      []float64 // seconds after the end at which they come
			writer     writer
			crashes    map[string]int
			want       call.Summary
			asked, saw int
			within     time.Duration // after the end of the call, the workflow is done
		}{
			{name: "ordinary", turns: []float64{0}, want: ready, asked: 1, saw: 1, within: 6 * time.Second},
			{name: "late turns", turns: []float64{0, 4, 9, 14}, want: ready, asked: 1, saw: 4, within: 21 * time.Second},
			{name: "the first turn is late", turns: []float64{13}, want: ready, asked: 1, saw: 1, within: 21 * time.Second},
			{name: "turns without end", turns: []float64{0, 3, 6, 9, 12, 15.1, 18, 21, 24, 27, 30.1, 33, 36, 39, 42, 45.1, 48, 51, 54, 57, 61}, want: ready, asked: 1, saw: 20, within: 66 * time.Second},
			{name: "nothing was said", want: call.Summary{Status: call.SummaryNone}, within: 21 * time.Second},
			{name: "nobody answered", unanswered: true, within: time.Second},
			{name: "throttled twice", turns: []float64{0}, writer: writer{errs: []error{throttled, throttled, nil}}, want: ready, asked: 3, saw: 1, within: 20 * time.Second},
			{name: "throttled for ever", turns: []float64{0}, writer: writer{errs: []error{throttled}}, want: failed("", "unavailable"), asked: 4, within: 2 * time.Minute},
			{name: "refused", turns: []float64{0}, writer: writer{errs: []error{refused}}, want: failed("m", "refused"), asked: 1, within: 6 * time.Second},
			{name: "the model hangs", turns: []float64{0}, writer: writer{hangs: true}, want: failed("", "timeout"), asked: 4, within: 5 * time.Minute},
			{name: "the function dies once", turns: []float64{0}, crashes: map[string]int{"Summarize": 1}, want: ready, asked: 1, saw: 1, within: 10 * time.Second},
			{name: "the function dies for ever", turns: []float64{0}, crashes: map[string]int{"Summarize": -1}, want: failed("", "unavailable"), within: 2 * time.Minute},
			{name: "and when it is to say so, too", turns: []float64{0}, crashes: map[string]int{"Summarize": -1, "SummaryFailed": 4}, want: failed("", "unavailable"), within: 6 * time.Minute},
			{name: "and does so for ever", turns: []float64{0}, crashes: map[string]int{"Summarize": -1, "SummaryFailed": -1}, within: 12 * time.Minute},
		} {
			t.Run(tt.name, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					a := follow(t, !tt.unanswered, tt.writer, tt.crashes)
					before, err := a.db.Call(t.Context(), theCall)
					a.must(err)
					for _, second := range tt.turns {
						time.Sleep(time.Until(before.EndedAt.Add(time.Duration(second * float64(time.Second)))))
						a.say(fmt.Sprint(second))
					}
					time.Sleep(time.Until(before.EndedAt.Add(tt.within)))
					a.check(before, tt.want, tt.asked, tt.saw)
					names, _ := a.states()
					mu.Lock()
					defer mu.Unlock()
					for name := range names {
						visited[name] = true
					}
				})
			})
		}
	})
	for _, state := range []string{"Summarize", "Summarized", "WaitForTurns", "SummaryFailed", "Done"} {
		if !visited[state] {
			t.Errorf("no case comes to %s, only to %v", state, slices.Sorted(maps.Keys(visited)))
		}
	}
}

// check checks what must be true when the workflow is done. The workflow has succeeded, the end of
// the call is unchanged, and the summary is as wanted. The workflow's history, which AWS keeps for
// 90 days, contains nothing of what was said.
func (a *aftermath) check(before call.Call, want call.Summary, asked, saw int) {
	a.Helper()
	out, err := a.sfn.DescribeExecution(a.Context(), &sfn.DescribeExecutionInput{ExecutionArn: &a.arn})
	a.must(err)
	names, history := a.states()
	if out.Status != types.ExecutionStatusSucceeded {
		a.Errorf("the workflow is %s after %v", out.Status, names)
	}
	if strings.Contains(history, "TURN-") || strings.Contains(history, "SUMMARY-TEXT") {
		a.Errorf("the workflow's history tells what was said: %s", history)
	}
	s, err := a.db.FullDetails(a.Context(), theCall)
	a.must(err)
	if d := cmp.Diff(before, s.Call); d != "" {
		a.Errorf("the end has changed (-was +is):\n%s", d)
	}
	if s.Summary.Status != "" && s.Summary.CreatedAt.IsZero() {
		a.Error("the summary has no time")
	}
	s.Summary.CreatedAt = time.Time{}
	if d := cmp.Diff(want, s.Summary); d != "" {
		a.Errorf("summary (-want +got):\n%s", d)
	}
	if a.writer.asked != asked || a.writer.saw != saw {
		a.Errorf("the model was asked %d times and saw %d turns, want %d and %d", a.writer.asked, a.writer.saw, asked, saw)
	}
}

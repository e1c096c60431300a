package statemachines

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"
	"github.com/google/go-cmp/cmp"

	"github.com/krosai/telephony/emulator/stepfunctions"
)

// A machine is a state machine of this folder, with the payloads that its tasks must get and their
// usual answers.
type machine struct {
	file  string
	input string
	tasks map[string]task // by state
}

// A task is the stand-in for the function of a state.
type task struct {
	function string // its placeholder in the definition
	payload  string // the payload that it must get; TOKEN stands for a task token
	// usual is its usual answer. The token of a task that waits for its token is answered with it a
	// minute later.
	usual string
}

// A row is one execution.
type row struct {
	name   string
	script map[string][]answer // by state: the answers to its first attempts; the usual one follows
	asked  map[string]string   // by state: payloads that are not the usual ones

	// path is the course of the execution, from the history: each attempt of a state by its name,
	// with its duration if that is not zero, and each pause before another attempt. "Dial:1m30s +1s
	// Dial" was tried again a second after it had timed out. Here jittered pauses have their
	// longest duration.
	path   string
	failed bool // the execution fails with the error of its last attempt

	jitter float64 // jittered pauses as a fraction of their longest; 0 means 1
}

// An answer is the result of one attempt.
type answer struct {
	says   string // the function answers with this payload
	fails  string // the invocation fails with this error
	denies string // the token is answered with this error, a minute later
	hangs  bool   // the function never returns
	silent bool   // the token is never answered
}

func says(payload string) answer { return answer{says: payload} }
func fails(name string) answer   { return answer{fails: name} }
func denies(name string) answer  { return answer{denies: name} }

// times is the same answer to n attempts.
func times(n int, a answer) []answer { return slices.Repeat([]answer{a}, n) }

// Names of errors. After throttled, Lambda has not run the function. After broken, it has, and
// something went wrong (Step Functions Developer Guide, "Handle Lambda service exceptions").
const (
	throttled = "Lambda.TooManyRequestsException"
	broken    = "Lambda.Unknown"
	custom    = "SomethingElse"
)

// again is the path of a state that fails at once until its retries are exhausted, with the longest
// pauses between them.
func (d definition) again(state string, retrier int) string {
	r := d.States[state].Retry[retrier]
	path := []string{state}
	for n := 1; n <= r.MaxAttempts; n++ {
		path = append(path, "+"+(time.Duration(r.pause(n))*time.Second).String(), state)
	}
	return strings.Join(path, " ")
}

// test runs the rows. Every part of the machine must be exercised by one of them.
func (m machine) test(t *testing.T, rows []row) {
	t.Helper()
	seen := m.exercise(t, rows)
	if missing := m.missing(t, seen); len(missing) > 0 {
		t.Errorf("no row of %s exercises:\n%s", m.file, strings.Join(missing, "\n"))
	}
}

// exercise runs the rows and returns the parts of the machine that they exercise.
func (m machine) exercise(t *testing.T, rows []row) map[string]bool {
	t.Helper()
	var mu sync.Mutex
	seen := map[string]bool{}
	t.Run("rows", func(t *testing.T) {
		for _, r := range rows {
			t.Run(r.name, func(t *testing.T) {
				t.Parallel()
				parts := m.run(t, r)
				mu.Lock()
				defer mu.Unlock()
				maps.Copy(seen, parts)
			})
		}
	})
	return seen
}

func (m machine) missing(t *testing.T, seen map[string]bool) []string {
	t.Helper()
	d, _ := read(t, m.file)
	return slices.DeleteFunc(d.parts(t), func(part string) bool { return seen[part] })
}

// run runs one row, checks it, and returns the parts of the machine that it exercises.
func (m machine) run(t *testing.T, r row) (parts map[string]bool) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		x := m.open(t, r)
		status := x.await()
		events := x.history()
		d, _ := read(t, m.file)
		parts = touched(t, d, events)
		want := types.ExecutionStatusSucceeded
		if r.failed {
			want = types.ExecutionStatusFailed
		}
		if status != want {
			t.Errorf("the execution is %s, want %s", status, want)
		}
		if diff := cmp.Diff(strings.Fields(r.path), path(events)); diff != "" {
			t.Errorf("path (-want +got):\n%s\n%s", diff, strings.Join(path(events), " "))
		}
		for state, left := range x.script {
			if len(left) > 0 {
				t.Errorf("%s was not asked often enough: %d scripted answers are left", state, len(left))
			}
		}
	})
	return parts
}

// An execution is a row in progress.
type execution struct {
	*testing.T
	machine machine
	states  map[string]state
	row     row
	client  *sfn.Client
	arn     string

	mu     sync.Mutex
	script map[string][]answer // the answers that are left
}

// open loads the machine, each function under the name of its placeholder, and
// starts an execution. It must run in a bubble of fake time.
func (m machine) open(t *testing.T, r row) *execution {
	t.Helper()
	d, text := read(t, m.file)
	x := &execution{T: t, machine: m, states: d.States, row: r, script: maps.Clone(r.script)}
	jitter := r.jitter
	if jitter == 0 {
		jitter = math.Nextafter(1, 0)
	}
	flows, err := stepfunctions.Open(stepfunctions.Options{Log: slog.New(slog.DiscardHandler), Invoke: x.invoke, Rand: func() float64 { return jitter }})
	x.must(err)
	t.Cleanup(func() {
		if err := flows.Close(); err != nil {
			t.Error(err)
		}
	})
	names := map[string]string{}
	for _, found := range regexp.MustCompile(`\$\{(\w+)\}`).FindAllSubmatch(text, -1) {
		names[string(found[1])] = string(found[1])
	}
	text, err = stepfunctions.Substitute(text, names)
	x.must(err)
	machineARN, err := flows.Load("m", text)
	x.must(err)
	x.client = sfn.NewFromConfig(aws.Config{Region: "us-east-1", HTTPClient: flows.Client(), Credentials: aws.AnonymousCredentials{}})
	x.arn = strings.Replace(machineARN, ":stateMachine:", ":execution:", 1) + ":x"
	flows.Start()
	_, err = x.client.StartExecution(t.Context(), &sfn.StartExecutionInput{StateMachineArn: &machineARN, Name: aws.String("x"), Input: &m.input})
	x.must(err)
	return x
}

func (x *execution) must(err error) {
	x.Helper()
	if err != nil {
		x.Fatal(err)
	}
}

// await lets a year pass, the longest time that an execution may last, and returns the status with
// which the execution has ended.
func (x *execution) await() types.ExecutionStatus {
	x.Helper()
	time.Sleep(365 * 24 * time.Hour)
	out, err := x.client.DescribeExecution(x.Context(), &sfn.DescribeExecutionInput{ExecutionArn: &x.arn})
	x.must(err)
	return out.Status
}

func (x *execution) history() []types.HistoryEvent {
	x.Helper()
	var events []types.HistoryEvent
	pages := sfn.NewGetExecutionHistoryPaginator(x.client, &sfn.GetExecutionHistoryInput{ExecutionArn: &x.arn, MaxResults: 1000})
	for pages.HasMorePages() {
		page, err := pages.NextPage(x.Context())
		x.must(err)
		events = append(events, page.Events...)
	}
	return events
}

// invoke stands in for every function. The history shows which state invokes it.
func (x *execution) invoke(ctx context.Context, function string, payload []byte) ([]byte, error) {
	state := x.current()
	token := x.check(state, function, payload)
	a := x.next(state)
	switch {
	case a.hangs:
		<-ctx.Done()
		return nil, ctx.Err()
	case a.fails != "":
		return nil, &stepfunctions.FunctionError{Type: a.fails}
	case token == "":
		return []byte(a.says), nil
	case a.silent:
		return []byte("null"), nil
	}
	go func() {
		time.Sleep(time.Minute)
		var err error
		if a.denies != "" {
			_, err = x.client.SendTaskFailure(x.Context(), &sfn.SendTaskFailureInput{TaskToken: &token, Error: &a.denies})
		} else {
			_, err = x.client.SendTaskSuccess(x.Context(), &sfn.SendTaskSuccessInput{TaskToken: &token, Output: &a.says})
		}
		if err != nil {
			x.Error(err)
		}
	}()
	return []byte("null"), nil
}

// current is the state that the execution is in.
func (x *execution) current() string {
	out, err := x.client.GetExecutionHistory(x.Context(), &sfn.GetExecutionHistoryInput{ExecutionArn: &x.arn, ReverseOrder: true})
	if err != nil {
		x.Error(err)
		return ""
	}
	for _, e := range out.Events {
		if e.StateEnteredEventDetails != nil {
			return *e.StateEnteredEventDetails.Name
		}
	}
	x.Error("the execution is in no state")
	return ""
}

// check compares the payload that a function gets, and returns the task token in it.
func (x *execution) check(state, function string, payload []byte) (token string) {
	want := x.machine.tasks[state]
	if function != want.function {
		x.Errorf("%s invokes %s, want %s", state, function, want.function)
	}
	if other := x.row.asked[state]; other != "" {
		want.payload = other
	}
	var got, wanted map[string]any
	if err := json.Unmarshal(payload, &got); err != nil {
		x.Errorf("%s: %v", state, err)
	}
	if err := json.Unmarshal([]byte(want.payload), &wanted); err != nil {
		x.Errorf("the payload that %s should send: %v", state, err)
	}
	if x.states[state].waitsForToken() {
		token, _ = got["task_token"].(string)
		if token != "" {
			got["task_token"] = "TOKEN"
		}
	}
	if since, _ := got["waiting_since"].(string); since != "" {
		if _, err := time.Parse(time.RFC3339, since); err != nil {
			x.Errorf("%s: %v", state, err)
		}
		got["waiting_since"] = "SINCE"
	}
	if diff := cmp.Diff(wanted, got); diff != "" {
		x.Errorf("%s sends another payload (-want +got):\n%s", state, diff)
	}
	return token
}

// next is the answer to this attempt of a state.
func (x *execution) next(state string) answer {
	x.mu.Lock()
	defer x.mu.Unlock()
	if left := x.script[state]; len(left) > 0 {
		x.script[state] = left[1:]
		return left[0]
	}
	return answer{says: x.machine.tasks[state].usual}
}

// path computes row.path from the history.
func path(events []types.HistoryEvent) []string {
	var list []string
	var state string
	var since time.Time // the event of the state from which time is counted
	add := func(at time.Time, last bool) {
		if d := at.Sub(since).Round(100 * time.Millisecond); d > 0 {
			if last {
				list[len(list)-1] += ":" + d.String()
			} else {
				list = append(list, "+"+d.String())
			}
		}
		since = at
	}
	attempts := 0
	for _, e := range events {
		at := *e.Timestamp
		switch e.Type {
		case types.HistoryEventTypeTaskScheduled:
			if attempts++; attempts > 1 {
				add(at, false)
				list = append(list, state)
			}
			since = at
		case types.HistoryEventTypeTaskFailed, types.HistoryEventTypeTaskTimedOut, types.HistoryEventTypeTaskSucceeded,
			types.HistoryEventTypeWaitStateExited:
			add(at, true)
		default:
			if d := e.StateEnteredEventDetails; d != nil {
				state, since, attempts = *d.Name, at, 0
				list = append(list, state)
			}
		}
	}
	return list
}

// touched returns the parts of the machine that the history shows as exercised.
func touched(t *testing.T, d definition, events []types.HistoryEvent) map[string]bool {
	t.Helper()
	seen := map[string]bool{}
	var state string
	retrying := -1                 // the retrier whose retry is in progress
	rule := func(err string) int { // the retrier that covers an error
		return slices.IndexFunc(d.States[state].Retry, func(r retrier) bool { return covers(r.ErrorEquals, err) })
	}
	for i, e := range events {
		var err string
		switch {
		case e.StateEnteredEventDetails != nil:
			next := *e.StateEnteredEventDetails.Name
			if d.States[state].Type == "Choice" {
				seen[choice(state, next)] = true
			}
			state, retrying = next, -1
			seen[state] = true
		case e.Type == types.HistoryEventTypeTaskSucceeded && retrying >= 0:
			seen[retried(state, retrying)] = true
		case e.TaskFailedEventDetails != nil:
			err = *e.TaskFailedEventDetails.Error
		case e.TaskTimedOutEventDetails != nil:
			err = *e.TaskTimedOutEventDetails.Error
			seen[timeout(state)] = true
		}
		if err == "" {
			continue
		}
		retrying = rule(err)
		switch events[i+1].Type {
		case types.HistoryEventTypeTaskScheduled:
			continue
		case types.HistoryEventTypeExecutionFailed:
			seen[uncaught(state)] = true
		default:
			k := slices.IndexFunc(d.States[state].Catch, func(c catcher) bool { return covers(c.ErrorEquals, err) })
			if k < 0 || d.States[state].Catch[k].Next != *events[i+2].StateEnteredEventDetails.Name {
				t.Errorf("%s went on after %s as no catcher of it says", state, err)
				continue
			}
			seen[caught(state, k)] = true
		}
		if retrying >= 0 {
			seen[exhausted(state, retrying)] = true
		}
	}
	return seen
}

// TestMissingRows proves that missing rows are detected: one ordinary request exercises five states
// of the approval workflow.
func TestMissingRows(t *testing.T) { //nolint:tparallel // what the rows have seen is read when all are done
	t.Parallel()
	want := []string{
		"Assigned chooses WaitForNumber",
		"FulfillRequest.Retry[0] succeeds", "FulfillRequest.Retry[0] is exhausted", "FulfillRequest.Catch[0]", "FulfillRequest times out",
		"Notify.Retry[0] succeeds", "Notify.Retry[0] is exhausted", "Notify.Catch[0]", "Notify times out", "Pause",
		"Review.Retry[0] succeeds", "Review.Retry[0] is exhausted", "Review.Catch[0]", "Review times out", "Reviewed chooses WaitForDecision", "Reviewed chooses Notify",
		"WaitForDecision", "WaitForDecision.Retry[0] succeeds", "WaitForDecision.Retry[0] is exhausted", "WaitForDecision.Catch[0]", "WaitForDecision.Catch[1]", "WaitForDecision times out",
		"WaitForNumber", "WaitForNumber.Retry[0] succeeds", "WaitForNumber.Retry[0] is exhausted", "WaitForNumber.Catch[0]", "WaitForNumber.Catch[1]", "WaitForNumber times out",
	}
	seen := approvals.exercise(t, []row{{name: "approved", path: "Review Reviewed FulfillRequest Assigned Notify Done"}})
	if diff := cmp.Diff(want, approvals.missing(t, seen)); diff != "" {
		t.Errorf("missing (-want +got):\n%s", diff)
	}
	call, _ := read(t, "call.asl.json")
	for _, part := range []string{"Prepared chooses Dial", "Prepared chooses Summarize", "Dial.Retry[0] is exhausted", "AwaitEnd.Catch[1]", "Unprepared"} {
		if !slices.Contains(call.parts(t), part) {
			t.Errorf("%s is no part of the call workflow", part)
		}
	}
}

// transient are the temporary errors of Lambda itself (Step Functions Developer Guide, "Handle
// Lambda service exceptions"), and Step Functions' name for a function that died or took too long.
var transient = []string{"Lambda.ClientExecutionTimeoutException", "Lambda.ServiceException", "Lambda.AWSLambdaException",
	"Lambda.SdkClientException", throttled, broken}

// survives takes, for each task and each transient error, the first row that reaches the task and
// scripts no answer for it. It runs the row with one attempt of the task that fails with the error:
// only a pause and another attempt are added. A dial is repeated only if it was throttled.
func (m machine) survives(t *testing.T, rows []row) {
	t.Helper()
	d, _ := read(t, m.file)
	for state, s := range d.States {
		if s.Type != "Task" {
			continue
		}
		at := -1
		i := slices.IndexFunc(rows, func(r row) bool {
			at = slices.IndexFunc(strings.Fields(r.path), func(step string) bool { return step == state || strings.HasPrefix(step, state+":") })
			return at >= 0 && r.script[state] == nil
		})
		if i < 0 {
			t.Errorf("no row asks %s and leaves it its usual answer", state)
			continue
		}
		for _, err := range transient {
			t.Run(state+" "+err, func(t *testing.T) {
				t.Parallel()
				if state == "Dial" && err != throttled {
					if slices.ContainsFunc(s.Retry, func(r retrier) bool { return covers(r.ErrorEquals, err) }) {
						t.Error("it would be dialed again, and may have been dialed")
					}
					return
				}
				r := rows[i]
				r.script = maps.Clone(r.script)
				if r.script == nil {
					r.script = map[string][]answer{}
				}
				r.script[state] = []answer{fails(err)}
				k := slices.IndexFunc(s.Retry, func(r retrier) bool { return covers(r.ErrorEquals, err) })
				if k < 0 {
					t.Fatal("it is not tried again")
				}
				steps := strings.Fields(r.path)
				r.path = strings.Join(slices.Insert(steps, at, state, fmt.Sprintf("+%ds", s.Retry[k].pause(1))), " ")
				m.run(t, r)
			})
		}
	}
}

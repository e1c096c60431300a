package stepfunctions_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
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

// restart runs one execution of a definition, closes the service after down and
// opens it again after a pause of ten seconds; then it calls after, if any, and
// waits for the end.
type restart struct {
	definition string
	invoke     invoke
	down       time.Duration
	after      func(t *testing.T, f *fixture)
	status     types.ExecutionStatus
	result     string // output or error name
	took       time.Duration
	history    string // checked if not empty
}

func (c restart) run(t *testing.T) {
	o := stepfunctions.Options{Path: filepath.Join(t.TempDir(), "sfn.db"), Invoke: c.invoke}
	s, err := stepfunctions.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	f := &fixture{t, s, clientOf(s)}
	f.load(c.definition)
	arn := f.start("x", `{"l":[0,1,2,3]}`)
	time.Sleep(c.down)
	synctest.Wait()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(10 * time.Second)
	f = open(t, o)
	synctest.Wait()
	if c.after != nil {
		c.after(t, f)
	}
	out := f.end(arn)
	if got := aws.ToString(out.Output) + aws.ToString(out.Error); out.Status != c.status || got != c.result {
		t.Errorf("%s %s (%s), want %s %s", out.Status, got, aws.ToString(out.Cause), c.status, c.result)
	}
	if got := out.StopDate.Sub(*out.StartDate); got != c.took*time.Second {
		t.Errorf("took %v, want %v", got, c.took*time.Second)
	}
	events := f.history(arn)
	for i, e := range events {
		if e.Id != int64(i+1) || e.PreviousEventId >= e.Id {
			t.Errorf("event %d has id %d and comes after %d", i+1, e.Id, e.PreviousEventId)
		}
	}
	if c.history != "" {
		if d := cmp.Diff(strings.Fields(c.history), kinds(events)); d != "" {
			t.Error(d)
		}
	}
}

func TestRestart(t *testing.T) {
	t.Parallel()
	hang := func(ctx context.Context, _ string, _ []byte) ([]byte, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	wrong := func(context.Context, string, []byte) ([]byte, error) {
		return nil, &stepfunctions.FunctionError{Type: "Wrong"}
	}
	// once hangs the first time it is called and answers the second time.
	once := func() invoke {
		called := false
		return func(ctx context.Context, function string, payload []byte) ([]byte, error) {
			if !called {
				called = true
				return hang(ctx, function, payload)
			}
			return []byte(`"again"`), nil
		}
	}
	var token string
	keep := func(_ context.Context, _ string, payload []byte) ([]byte, error) {
		return []byte(`{}`), json.Unmarshal(payload, &token)
	}
	var early string
	perItem := map[string]int{}
	var mu sync.Mutex
	for name, c := range map[string]restart{
		"Wait keeps its deadline": {
			definition: one(`"Type":"Wait","Seconds":60,"End":true`), invoke: hang, down: 20 * time.Second,
			status: "SUCCEEDED", result: `{"l":[0,1,2,3]}`, took: 60,
		},
		"Wait that ended meanwhile": {
			definition: one(`"Type":"Wait","Seconds":25,"End":true`), invoke: hang, down: 20 * time.Second,
			status: "SUCCEEDED", result: `{"l":[0,1,2,3]}`, took: 30,
		},
		"a call in flight is lost": {
			definition: task(``), invoke: hang, down: time.Second,
			status: "FAILED", result: "Lambda.Unknown", took: 11,
			history: "ExecutionStarted TaskStateEntered TaskScheduled TaskStarted TaskFailed ExecutionFailed",
		},
		"and Retry decides": {
			definition: task(`,"OutputPath":"$.Payload","Retry":[{"ErrorEquals":["Lambda.Unknown"],"IntervalSeconds":4}]`), invoke: once(), down: time.Second,
			status: "SUCCEEDED", result: `"again"`, took: 15,
			history: "ExecutionStarted TaskStateEntered TaskScheduled TaskStarted TaskFailed TaskScheduled TaskStarted TaskSucceeded TaskStateExited ExecutionSucceeded",
		},
		"and Catch decides": {
			definition: `{"StartAt":"S","States":{"S":{"Type":"Task","Resource":"arn:aws:states:::lambda:invoke","Parameters":{"FunctionName":"f"},"Catch":[{"ErrorEquals":["States.TaskFailed"],"Next":"T"}],"Next":"T"},"T":{"Type":"Pass","InputPath":"$.Error","End":true}}}`,
			invoke:     hang, down: time.Second, status: "SUCCEEDED", result: `"Lambda.Unknown"`, took: 11,
		},
		"Retry keeps its pause": {
			definition: task(`,"Retry":[{"ErrorEquals":["Wrong"],"IntervalSeconds":40,"MaxAttempts":1}]`), invoke: wrong, down: 5 * time.Second,
			status: "FAILED", result: "Wrong", took: 40,
		},
		"a token task keeps waiting": {
			definition: waiting(`,"TimeoutSeconds":90`), invoke: keep, down: 5 * time.Second,
			after: func(t *testing.T, f *fixture) {
				time.Sleep(20 * time.Second)
				if err := f.succeed(token, `"late"`); err != nil {
					t.Error(err)
				}
				var over *types.TaskTimedOut
				if err := f.succeed(token, `"late"`); !errors.As(err, &over) {
					t.Error(err)
				}
			},
			status: "SUCCEEDED", result: `"late"`, took: 35,
		},
		"a token task keeps its deadline": {
			definition: waiting(`,"TimeoutSeconds":90`), invoke: func(context.Context, string, []byte) ([]byte, error) { return nil, nil }, down: 5 * time.Second,
			status: "FAILED", result: "States.Timeout", took: 90,
		},
		"a token task keeps its heartbeat": {
			definition: waiting(`,"HeartbeatSeconds":30`), invoke: func(context.Context, string, []byte) ([]byte, error) { return nil, nil }, down: 5 * time.Second,
			status: "FAILED", result: "States.HeartbeatTimeout", took: 30,
		},
		"a token whose call was in flight is lost": {
			definition: waiting(``), down: 5 * time.Second,
			invoke: func(ctx context.Context, _ string, payload []byte) ([]byte, error) {
				_ = json.Unmarshal(payload, &early)
				<-ctx.Done()
				return nil, ctx.Err()
			},
			after: func(t *testing.T, f *fixture) {
				var over *types.TaskTimedOut
				if err := f.succeed(early, `1`); !errors.As(err, &over) {
					t.Error(err)
				}
			},
			status: "FAILED", result: "Lambda.Unknown", took: 15,
		},
		"the execution keeps its deadline": {
			definition: strings.Replace(one(`"Type":"Wait","Seconds":600,"End":true`), `{`, `{"TimeoutSeconds":60,`, 1), invoke: hang, down: 20 * time.Second,
			status: "TIMED_OUT", result: "States.Timeout", took: 60,
		},
		"Map goes on where it was": {
			definition: mapping(`,"ItemsPath":"$.l","MaxConcurrency":2`,
				`"Type":"Task","Resource":"arn:aws:states:::lambda:invoke","Parameters":{"FunctionName":"f","Payload.$":"$"},"OutputPath":"$.Payload","Retry":[{"ErrorEquals":["Lambda.Unknown"],"IntervalSeconds":1}],"End":true`),
			invoke: func(ctx context.Context, _ string, payload []byte) ([]byte, error) {
				mu.Lock()
				perItem[string(payload)]++
				mu.Unlock()
				select {
				case <-time.After(20 * time.Second):
					return payload, nil
				case <-ctx.Done():
					return nil, ctx.Err()
				}
			},
			down: 25 * time.Second, // two have ended, two are in flight
			after: func(t *testing.T, _ *fixture) {
				time.Sleep(time.Minute)
				mu.Lock()
				defer mu.Unlock()
				if d := cmp.Diff(map[string]int{"0": 1, "1": 1, "2": 2, "3": 2}, perItem); d != "" {
					t.Error(d)
				}
			},
			status: "SUCCEEDED", result: "[0,1,2,3]", took: 56,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, c.run)
		})
	}
}

// TestRestartKeepsTheRest checks that machines and ended executions survive a restart.
func TestRestartKeepsTheRest(t *testing.T) {
	t.Parallel()
	o := stepfunctions.Options{Path: filepath.Join(t.TempDir(), "sfn.db"), Invoke: noFunction, Log: slog.New(slog.DiscardHandler)}
	s, err := stepfunctions.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{t, s, clientOf(s)}
	f.load(one(`"Type":"Wait","Seconds":3600,"End":true`))
	arn := f.start("x", `{}`)
	if _, err := f.client.StopExecution(t.Context(), &sfn.StopExecutionInput{ExecutionArn: &arn, Error: aws.String("E")}); err != nil {
		t.Fatal(err)
	}
	before, events := f.describe(arn), f.history(arn)
	again := f.start("y", `{}`) // nothing runs before Start
	if _, err := stepfunctions.Open(o); err == nil {
		t.Error("the file was opened twice")
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := f.client.StopExecution(t.Context(), &sfn.StopExecutionInput{ExecutionArn: &again}); codeOf(err) != "InternalFailure" {
		t.Errorf("after Close: %v", err)
	}
	f = open(t, o)
	after := f.describe(arn)
	if d := cmp.Diff(before, after, ignoreSerde, cmp.FilterPath(func(p cmp.Path) bool { return p.Last().String() == ".ResultMetadata" }, cmp.Ignore())); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(events, f.history(arn), ignoreSerde); d != "" {
		t.Error(d)
	}
	if same := f.start("y", `{}`); same != again || f.describe(again).Status != types.ExecutionStatusRunning {
		t.Error("the second start is not the first")
	}
	out, err := f.client.DescribeStateMachine(t.Context(), &sfn.DescribeStateMachineInput{StateMachineArn: aws.String(machineARN)})
	if err != nil || *out.Definition == "" {
		t.Error(err)
	}
}

const killMachine = `{"StartAt":"A","States":{
	"A":{"Type":"Task","Resource":"arn:aws:states:::lambda:invoke","Parameters":{"FunctionName":"a","Payload.$":"States.Format('{} A {}', $$.Execution.Name, $$.State.RetryCount)"},"ResultPath":null,"Next":"B",
		"Retry":[{"ErrorEquals":["Lambda.Unknown"],"IntervalSeconds":1,"MaxAttempts":1}]},
	"B":{"Type":"Task","Resource":"arn:aws:states:::lambda:invoke","Parameters":{"FunctionName":"b","Payload.$":"States.Format('{} B {}', $$.Execution.Name, $$.State.RetryCount)"},"ResultPath":null,"Next":"C",
		"Retry":[{"ErrorEquals":["Lambda.Unknown"],"IntervalSeconds":1,"MaxAttempts":1}]},
	"C":{"Type":"Task","Resource":"arn:aws:states:::lambda:invoke.waitForTaskToken","Parameters":{"FunctionName":"c","Payload":{"call.$":"States.Format('{} C {}', $$.Execution.Name, $$.State.RetryCount)","token.$":"$$.Task.Token"}},"End":true,
		"Retry":[{"ErrorEquals":["Lambda.Unknown"],"IntervalSeconds":1,"MaxAttempts":1}]}}}`

// journal is a function that notes every call in a file, in one write each, so
// that the notes outlive the process.
func journal(file string) invoke {
	return func(_ context.Context, function string, payload []byte) ([]byte, error) {
		notes, err := os.OpenFile(file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		if err != nil {
			return nil, err
		}
		defer notes.Close()
		if _, err := fmt.Fprintf(notes, "%s %s\n", function, payload); err != nil {
			return nil, err
		}
		time.Sleep(5 * time.Millisecond)
		return []byte(`{}`), nil
	}
}

// TestMain lets TestKill run this binary as the process that it kills.
func TestMain(m *testing.M) {
	if dir := os.Getenv("STEPFUNCTIONS_KILL_DIR"); dir != "" {
		startForever(dir)
	}
	os.Exit(m.Run())
}

// startForever starts executions until the process is killed, and prints the
// name of each one whose start was confirmed.
func startForever(dir string) {
	s, err := stepfunctions.Open(stepfunctions.Options{Path: filepath.Join(dir, "sfn.db"), Invoke: journal(filepath.Join(dir, "calls"))})
	if err != nil {
		panic(err)
	}
	s.Start()
	arn, err := s.Load("m", []byte(killMachine))
	if err != nil {
		panic(err)
	}
	client := clientOf(s)
	for i := 0; ; i++ {
		name := fmt.Sprint("x", i)
		if _, err := client.StartExecution(context.Background(), &sfn.StartExecutionInput{StateMachineArn: &arn, Name: &name, Input: aws.String(`{}`)}); err != nil {
			panic(err)
		}
		fmt.Println("started", name)
	}
}

// A process that is killed in the middle of everything loses no execution it
// has confirmed, and makes no call twice.
func TestKill(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), "STEPFUNCTIONS_KILL_DIR="+dir)
	stdout, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	var confirmed []string
	lines := bufio.NewScanner(stdout)
	for lines.Scan() {
		if name, ok := strings.CutPrefix(lines.Text(), "started "); ok {
			confirmed = append(confirmed, name)
		}
		if len(confirmed) == 60 {
			_ = child.Process.Kill()
		}
	}
	if err := child.Wait(); err == nil || len(confirmed) < 60 {
		t.Fatalf("the child ended by itself: %v after %d starts", err, len(confirmed))
	}

	f := open(t, stepfunctions.Options{Path: filepath.Join(dir, "sfn.db"), Invoke: journal(filepath.Join(dir, "calls"))})
	for _, name := range confirmed {
		arn := "arn:aws:states:us-east-1:000000000000:execution:m:" + name
		finish(t, f, arn, filepath.Join(dir, "calls"), name)
	}
	calls, err := os.ReadFile(filepath.Join(dir, "calls"))
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for line := range strings.Lines(string(calls)) {
		if line = callOf(line); seen[line] {
			t.Errorf("called twice: %s", line)
		}
		seen[line] = true
	}
	t.Logf("%d executions, %d calls", len(confirmed), len(seen))
}

// callOf takes the execution, state and attempt out of a note.
func callOf(line string) string {
	_, payload, _ := strings.Cut(strings.TrimSpace(line), " ")
	var c struct{ Call, Token string }
	if json.Unmarshal([]byte(payload), &c) == nil {
		return c.Call
	}
	return strings.Trim(payload, `"`)
}

// finish answers the tokens of an execution until it ends, and checks that it
// ends well and what its history says.
func finish(t *testing.T, f *fixture, arn, calls, name string) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); f.describe(arn).Status == types.ExecutionStatusRunning; {
		if time.Now().After(deadline) {
			t.Fatalf("%s does not end: %v", name, kinds(f.history(arn)))
		}
		notes, _ := os.ReadFile(calls)
		for line := range strings.Lines(string(notes)) {
			_, payload, _ := strings.Cut(line, " ")
			var c struct{ Call, Token string }
			if json.Unmarshal([]byte(payload), &c) == nil && strings.HasPrefix(c.Call, name+" ") {
				_ = f.succeed(c.Token, `"done"`) // one of an attempt that was lost is refused
			}
		}
		time.Sleep(5 * time.Millisecond)
	}
	if out := f.describe(arn); out.Status != types.ExecutionStatusSucceeded || aws.ToString(out.Output) != `"done"` {
		t.Errorf("%s: %s %s %s", name, out.Status, aws.ToString(out.Error), aws.ToString(out.Cause))
	}
	for i, e := range f.history(arn) {
		if e.Id != int64(i+1) {
			t.Errorf("%s: event %d has id %d", name, i+1, e.Id)
		}
	}
}

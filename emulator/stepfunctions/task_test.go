package stepfunctions_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"
	"github.com/google/go-cmp/cmp"

	"github.com/krosai/telephony/emulator/stepfunctions"
)

// waiting makes a definition of one Task state that waits for its token; the
// payload of the function is the token.
func waiting(fields string) string {
	return one(`"Type":"Task","Resource":"arn:aws:states:::lambda:invoke.waitForTaskToken","Parameters":{"FunctionName":"f","Payload.$":"$$.Task.Token"},"End":true` + fields)
}

// tokens is a function that passes on the token it is called with.
func tokens(into chan string) invoke {
	return func(_ context.Context, _ string, payload []byte) ([]byte, error) {
		var token string
		if err := json.Unmarshal(payload, &token); err != nil {
			return nil, err
		}
		into <- token
		return []byte(`{}`), nil
	}
}

func (f *fixture) succeed(token, output string) error {
	_, err := f.client.SendTaskSuccess(context.Background(), &sfn.SendTaskSuccessInput{TaskToken: &token, Output: &output})
	return err
}

func (f *fixture) heartbeat(token string) error {
	_, err := f.client.SendTaskHeartbeat(context.Background(), &sfn.SendTaskHeartbeatInput{TaskToken: &token})
	return err
}

// wantFailure checks how an execution failed.
func wantFailure(t *testing.T, out *sfn.DescribeExecutionOutput, name string) {
	t.Helper()
	if out.Status != types.ExecutionStatusFailed || aws.ToString(out.Error) != name {
		t.Errorf("%s with %q (%s), want FAILED with %q", out.Status, aws.ToString(out.Error), aws.ToString(out.Cause), name)
	}
}

func TestRetryBackOff(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		retry  string
		errors []string // of the attempts, in order; the last one repeats
		want   []time.Duration
	}{
		"defaults":             {`[{"ErrorEquals":["States.ALL"]}]`, []string{"A"}, []time.Duration{0, 1, 3, 7}},
		"interval and rate":    {`[{"ErrorEquals":["A"],"IntervalSeconds":10,"BackoffRate":3,"MaxAttempts":2}]`, []string{"A"}, []time.Duration{0, 10, 40}},
		"greatest delay":       {`[{"ErrorEquals":["A"],"IntervalSeconds":2,"MaxDelaySeconds":5,"MaxAttempts":4}]`, []string{"A"}, []time.Duration{0, 2, 6, 11, 16}},
		"constant":             {`[{"ErrorEquals":["A"],"IntervalSeconds":4,"BackoffRate":1}]`, []string{"A"}, []time.Duration{0, 4, 8, 12}},
		"never":                {`[{"ErrorEquals":["A"],"MaxAttempts":0}]`, []string{"A"}, []time.Duration{0}},
		"of another":           {`[{"ErrorEquals":["B"]}]`, []string{"A"}, []time.Duration{0}},
		"TaskFailed":           {`[{"ErrorEquals":["States.TaskFailed"],"MaxAttempts":1}]`, []string{"A"}, []time.Duration{0, 1}},
		"each its own count":   {`[{"ErrorEquals":["A","B"],"IntervalSeconds":1,"BackoffRate":2,"MaxAttempts":2},{"ErrorEquals":["C"],"IntervalSeconds":5}]`, []string{"A", "B", "C", "B"}, []time.Duration{0, 1, 3, 8}},
		"no later one instead": {`[{"ErrorEquals":["A"],"MaxAttempts":1},{"ErrorEquals":["States.ALL"],"IntervalSeconds":50}]`, []string{"A"}, []time.Duration{0, 1}},
		"a quarter of jitter":  {`[{"ErrorEquals":["A"],"IntervalSeconds":8,"JitterStrategy":"FULL"}]`, []string{"A"}, []time.Duration{0, 2, 6, 14}},
		"no jitter":            {`[{"ErrorEquals":["A"],"IntervalSeconds":8,"JitterStrategy":"NONE","MaxAttempts":1}]`, []string{"A"}, []time.Duration{0, 8}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				begin := time.Now()
				var calls []time.Duration
				f := open(t, stepfunctions.Options{
					Rand: func() float64 { return 0.25 },
					Invoke: func(_ context.Context, _ string, payload []byte) ([]byte, error) {
						if got := string(payload); got != fmt.Sprint(len(calls)) {
							t.Errorf("RetryCount %s at attempt %d", got, len(calls))
						}
						calls = append(calls, time.Since(begin))
						return nil, &stepfunctions.FunctionError{Type: c.errors[min(len(calls), len(c.errors))-1]}
					},
				})
				f.load(one(`"Type":"Task","Resource":"arn:aws:states:::lambda:invoke","Parameters":{"FunctionName":"f","Payload.$":"$$.State.RetryCount"},"End":true,"Retry":` + c.retry))
				wantFailure(t, f.end(f.start("x", `{}`)), c.errors[len(c.errors)-1])
				for i := range c.want {
					c.want[i] *= time.Second
				}
				if d := cmp.Diff(c.want, calls); d != "" {
					t.Error(d)
				}
			})
		})
	}
}

func TestMapRetries(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int32
		f := open(t, stepfunctions.Options{Invoke: func(_ context.Context, _ string, payload []byte) ([]byte, error) {
			if calls.Add(1) == 1 {
				return nil, &stepfunctions.FunctionError{Type: "Once"}
			}
			return payload, nil
		}})
		f.load(mapping(`,"MaxConcurrency":1,"Retry":[{"ErrorEquals":["Once"],"IntervalSeconds":60}]`,
			`"Type":"Task","Resource":"arn:aws:states:::lambda:invoke","Parameters":{"FunctionName":"f","Payload.$":"$"},"OutputPath":"$.Payload","End":true`))
		arn := f.start("x", `[1,2]`)
		out := f.end(arn)
		same(t, `[1,2]`, aws.ToString(out.Output))
		if got := out.StopDate.Sub(*out.StartDate); got != time.Minute || calls.Load() != 3 {
			t.Errorf("took %v and %d calls", got, calls.Load())
		}
		want := strings.Fields(`ExecutionStarted MapStateEntered MapStateStarted
			MapIterationStarted TaskStateEntered TaskScheduled TaskStarted TaskFailed MapIterationFailed MapStateFailed
			MapStateStarted
			MapIterationStarted TaskStateEntered TaskScheduled TaskStarted TaskSucceeded TaskStateExited MapIterationSucceeded
			MapIterationStarted TaskStateEntered TaskScheduled TaskStarted TaskSucceeded TaskStateExited MapIterationSucceeded
			MapStateSucceeded MapStateExited ExecutionSucceeded`)
		events := f.history(arn)
		if d := cmp.Diff(want, kinds(events)); d != "" {
			t.Error(d)
		}
		for _, e := range events[2:] {
			if e.PreviousEventId != e.Id-1 && e.Type != types.HistoryEventTypeMapIterationStarted {
				t.Errorf("event %d %s comes after %d", e.Id, e.Type, e.PreviousEventId)
			}
		}
	})
}

func TestMapFailureStopsTheOthers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var canceled atomic.Int32
		f := open(t, stepfunctions.Options{Invoke: func(ctx context.Context, _ string, payload []byte) ([]byte, error) {
			if string(payload) == "1" {
				time.Sleep(time.Second)
				return nil, &stepfunctions.FunctionError{Type: "Bad"}
			}
			<-ctx.Done()
			canceled.Add(1)
			return nil, ctx.Err()
		}})
		f.load(mapping(``, `"Type":"Task","Resource":"arn:aws:states:::lambda:invoke","Parameters":{"FunctionName":"f","Payload.$":"$"},"End":true`))
		arn := f.start("x", `[0,1,2]`)
		wantFailure(t, f.end(arn), "Bad")
		synctest.Wait()
		if n := canceled.Load(); n != 2 {
			t.Errorf("%d calls were canceled, want 2", n)
		}
		all := kinds(f.history(arn))
		if d := cmp.Diff([]string{"TaskFailed", "MapIterationFailed", "MapIterationAborted", "MapIterationAborted", "MapStateFailed", "ExecutionFailed"}, all[len(all)-6:]); d != "" {
			t.Error(d)
		}
	})
}

func TestTimeouts(t *testing.T) {
	t.Parallel()
	hang := func(ctx context.Context, _ string, _ []byte) ([]byte, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	reply := func(context.Context, string, []byte) ([]byte, error) { return []byte(`{}`), nil }
	for name, c := range map[string]struct {
		definition string
		invoke     invoke
		want       string
		took       time.Duration
		status     types.ExecutionStatus
	}{
		"function":               {task(`,"TimeoutSeconds":5`), hang, "States.Timeout", 5, types.ExecutionStatusFailed},
		"function, by path":      {task(`,"TimeoutSecondsPath":"$.t"`), hang, "States.Timeout", 7, types.ExecutionStatusFailed},
		"by a path to a word":    {task(`,"TimeoutSecondsPath":"$.w"`), hang, "States.Runtime", 0, types.ExecutionStatusFailed},
		"retried":                {task(`,"TimeoutSeconds":5,"Retry":[{"ErrorEquals":["States.Timeout"],"MaxAttempts":1}]`), hang, "States.Timeout", 11, types.ExecutionStatusFailed},
		"not a TaskFailed":       {task(`,"TimeoutSeconds":5,"Retry":[{"ErrorEquals":["States.TaskFailed"]}]`), hang, "States.Timeout", 5, types.ExecutionStatusFailed},
		"token":                  {waiting(`,"TimeoutSeconds":5`), reply, "States.Timeout", 5, types.ExecutionStatusFailed},
		"token, function hangs":  {waiting(`,"TimeoutSeconds":5`), hang, "States.Timeout", 5, types.ExecutionStatusFailed},
		"heartbeat":              {waiting(`,"TimeoutSeconds":50,"HeartbeatSeconds":3`), reply, "States.HeartbeatTimeout", 3, types.ExecutionStatusFailed},
		"heartbeat, by path":     {waiting(`,"HeartbeatSecondsPath":"$.t"`), reply, "States.HeartbeatTimeout", 7, types.ExecutionStatusFailed},
		"heartbeat as time-out":  {waiting(`,"HeartbeatSeconds":3,"Retry":[{"ErrorEquals":["States.Timeout"],"MaxAttempts":1}]`), reply, "States.HeartbeatTimeout", 7, types.ExecutionStatusFailed},
		"heartbeat, by its name": {waiting(`,"HeartbeatSeconds":3,"Retry":[{"ErrorEquals":["States.HeartbeatTimeout"],"MaxAttempts":1}]`), reply, "States.HeartbeatTimeout", 7, types.ExecutionStatusFailed},
		"execution":              {strings.Replace(task(``), `{`, `{"TimeoutSeconds":9,`, 1), hang, "States.Timeout", 9, types.ExecutionStatusTimedOut},
		"execution in a Map":     {strings.Replace(mapping(`,"ItemsPath":"$.l"`, `"Type":"Wait","Seconds":60,"End":true`), `{`, `{"TimeoutSeconds":9,`, 1), hang, "States.Timeout", 9, types.ExecutionStatusTimedOut},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var inFlight atomic.Int32
				f := open(t, stepfunctions.Options{Invoke: func(ctx context.Context, function string, payload []byte) ([]byte, error) {
					inFlight.Add(1)
					defer inFlight.Add(-1)
					return c.invoke(ctx, function, payload)
				}})
				f.load(c.definition)
				arn := f.start("x", `{"t":7,"w":"seven","l":[1,2]}`)
				out := f.end(arn)
				if out.Status != c.status || aws.ToString(out.Error) != c.want || out.StopDate.Sub(*out.StartDate) != c.took*time.Second {
					t.Errorf("%s with %s after %v", out.Status, aws.ToString(out.Error), out.StopDate.Sub(*out.StartDate))
				}
				synctest.Wait()
				if n := inFlight.Load(); n != 0 {
					t.Errorf("%d calls go on", n)
				}
			})
		})
	}
}

func TestHeartbeats(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		into := make(chan string, 1)
		f := open(t, stepfunctions.Options{Invoke: tokens(into)})
		f.load(waiting(`,"TimeoutSeconds":60,"HeartbeatSeconds":10`))
		arn := f.start("x", `{}`)
		token := <-into
		for range 4 {
			time.Sleep(9 * time.Second)
			if err := f.heartbeat(token); err != nil {
				t.Fatal(err)
			}
		}
		out := f.end(arn)
		wantFailure(t, out, "States.HeartbeatTimeout")
		if got := out.StopDate.Sub(*out.StartDate); got != 46*time.Second {
			t.Errorf("ended after %v, want 46s", got)
		}
		var late *types.TaskTimedOut
		if err := f.heartbeat(token); !errors.As(err, &late) {
			t.Error(err)
		}
	})
}

func TestTokens(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		into := make(chan string, 1)
		f := open(t, stepfunctions.Options{Invoke: tokens(into)})
		f.load(waiting(`,"Catch":[{"ErrorEquals":["No"],"ResultPath":"$.e","Next":"S"}]`))
		arn := f.start("x", `{}`)
		first := <-into
		synctest.Wait() // the function has returned
		var wrong *types.InvalidOutput
		if err := f.succeed(first, `{`); !errors.As(err, &wrong) {
			t.Error(err)
		}
		if _, err := f.client.SendTaskFailure(t.Context(), &sfn.SendTaskFailureInput{TaskToken: &first, Error: aws.String("No"), Cause: aws.String("because")}); err != nil {
			t.Fatal(err)
		}
		second := <-into
		if first == second {
			t.Error("a token came twice")
		}
		var invalid *types.InvalidToken
		if err := f.succeed("guess", `1`); !errors.As(err, &invalid) {
			t.Error(err)
		}
		var none *types.TaskDoesNotExist
		if err := f.succeed(strings.Repeat("AAAA", 16), `1`); !errors.As(err, &none) {
			t.Error(err)
		}
		var late *types.TaskTimedOut
		if err := f.succeed(first, `1`); !errors.As(err, &late) {
			t.Error(err)
		}
		if err := f.succeed(second, ` [1, 2] `); err != nil {
			t.Fatal(err)
		}
		if err := f.succeed(second, `1`); !errors.As(err, &late) {
			t.Error(err)
		}
		if out := f.end(arn); aws.ToString(out.Output) != "[1,2]" {
			t.Error(aws.ToString(out.Output))
		}
		events := f.history(arn)
		e := events[5].TaskFailedEventDetails
		if e == nil || aws.ToString(e.Error) != "No" || aws.ToString(e.Cause) != "because" || aws.ToString(e.Resource) != "invoke.waitForTaskToken" {
			t.Errorf("%+v", e)
		}
	})
}

// A token that is answered while its function still runs completes the task;
// the function is not disturbed and its outcome does not count.
func TestTokenBeforeReply(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]error{"then it returns": nil, "then it fails": errors.New("late")} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				into := make(chan string, 1)
				disturbed := errors.New("not back yet")
				f := open(t, stepfunctions.Options{Invoke: func(ctx context.Context, name string, payload []byte) ([]byte, error) {
					_, _ = tokens(into)(ctx, name, payload)
					time.Sleep(time.Minute)
					disturbed = ctx.Err()
					return []byte(`{}`), end
				}})
				f.load(waiting(``))
				arn := f.start("x", `{}`)
				if err := f.succeed(<-into, `"early"`); err != nil {
					t.Fatal(err)
				}
				out := f.end(arn)
				if aws.ToString(out.Output) != `"early"` || out.StopDate.Sub(*out.StartDate) != 0 {
					t.Error(aws.ToString(out.Output), out.StopDate.Sub(*out.StartDate))
				}
				time.Sleep(2 * time.Minute)
				synctest.Wait()
				if disturbed != nil {
					t.Error(disturbed)
				}
				if d := cmp.Diff(strings.Fields("ExecutionStarted TaskStateEntered TaskScheduled TaskStarted TaskSucceeded TaskStateExited ExecutionSucceeded"), kinds(f.history(arn))); d != "" {
					t.Error(d)
				}
			})
		})
	}
}

func TestTokenTaskWhoseFunctionFails(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		into := make(chan string, 2)
		calls := 0
		f := open(t, stepfunctions.Options{Invoke: func(ctx context.Context, name string, payload []byte) ([]byte, error) {
			_, _ = tokens(into)(ctx, name, payload)
			if calls++; calls == 1 {
				return nil, &stepfunctions.FunctionError{Type: "Full", Message: "no room"}
			}
			return nil, nil
		}})
		f.load(waiting(`,"Retry":[{"ErrorEquals":["Full"]}]`))
		arn := f.start("x", `{}`)
		first, second := <-into, <-into
		var late *types.TaskTimedOut
		if err := f.succeed(first, `1`); !errors.As(err, &late) {
			t.Error(err)
		}
		if err := f.succeed(second, `2`); err != nil {
			t.Fatal(err)
		}
		if out := f.end(arn); aws.ToString(out.Output) != `2` {
			t.Error(aws.ToString(out.Output))
		}
	})
}

// TestTokenRace sends a hundred answers to one token. Exactly one counts, even if the task's
// deadline comes at the same moment.
func TestTokenRace(t *testing.T) {
	t.Parallel()
	for _, wait := range []time.Duration{time.Second, 5 * time.Second} {
		t.Run(wait.String(), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				into := make(chan string, 1)
				f := open(t, stepfunctions.Options{Invoke: tokens(into)})
				f.load(waiting(`,"TimeoutSeconds":5`))
				arn := f.start("x", `{}`)
				token := <-into
				var won atomic.Int32
				var winner atomic.Value
				var wg sync.WaitGroup
				for i := range 100 {
					wg.Go(func() {
						time.Sleep(wait)
						if output := fmt.Sprint(i); f.succeed(token, output) == nil {
							won.Add(1)
							winner.Store(output)
						}
					})
				}
				wg.Wait()
				out := f.end(arn)
				switch {
				case wait == 5*time.Second:
					wantFailure(t, out, "States.Timeout")
					if won.Load() != 0 {
						t.Errorf("%d answers at the deadline were taken", won.Load())
					}
				case won.Load() != 1 || aws.ToString(out.Output) != winner.Load():
					t.Errorf("%d answers won, output %s", won.Load(), aws.ToString(out.Output))
				}
			})
		})
	}
}

// A function that fails at the moment its token is answered: one of the two
// counts, and the answer tells which.
func TestTokenAgainstReply(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		won := map[string]bool{} // by execution name
		var f *fixture
		f = open(t, stepfunctions.Options{Invoke: func(_ context.Context, _ string, payload []byte) ([]byte, error) {
			var in struct{ Name, Token string }
			if err := json.Unmarshal(payload, &in); err != nil {
				return nil, err
			}
			go func() {
				time.Sleep(time.Second)
				err := f.succeed(in.Token, `1`)
				mu.Lock()
				defer mu.Unlock()
				won[in.Name] = err == nil
			}()
			time.Sleep(time.Second)
			return nil, &stepfunctions.FunctionError{Type: "Failed"}
		}})
		f.load(one(`"Type":"Task","Resource":"arn:aws:states:::lambda:invoke.waitForTaskToken","Parameters":{"FunctionName":"f","Payload":{"Name.$":"$$.Execution.Name","Token.$":"$$.Task.Token"}},"Next":"W"},"W":{"Type":"Wait","Seconds":5,"End":true`))
		var arns []string
		for i := range 500 {
			arns = append(arns, f.start(fmt.Sprint(i), `{}`))
		}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		for i, arn := range arns {
			want := types.ExecutionStatusFailed
			if won[fmt.Sprint(i)] {
				want = types.ExecutionStatusSucceeded
			}
			if out := f.describe(arn); out.Status != want {
				t.Errorf("%d: %s, want %s", i, out.Status, want)
			}
			if n := len(f.history(arn)); n != 6 && n != 9 {
				t.Errorf("%d: %d events", i, n)
			}
		}
	})
}

// TestStoredTogether: states that do not wait, and the call of the task that follows, are
// one transition, also when a task that fails before its call leads to another one.
func TestStoredTogether(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var called []string
		f := open(t, stepfunctions.Options{Invoke: func(_ context.Context, function string, _ []byte) ([]byte, error) {
			called = append(called, function)
			time.Sleep(time.Second)
			return []byte(`{}`), nil
		}})
		task := func(function, more string) string {
			return `{"Type":"Task","Resource":"arn:aws:states:::lambda:invoke","Parameters":{"FunctionName":"` + function + `"` + more + `}`
		}
		f.load(`{"StartAt":"First","States":{
			"First":` + task("first", `},"ResultPath":null,"Next":"Fork"`) + `,
			"Fork":{"Type":"Choice","Choices":[{"Variable":"$.end","IsPresent":true,"Next":"Last"}],"Default":"Broken"},
			"Broken":` + task("broken", `,"Payload.$":"States.StringToJson($.s)"},"Catch":[{"ErrorEquals":["States.ALL"],"ResultPath":null,"Next":"Last"}],"End":true`) + `,
			"Last":` + task("last", `},"End":true`) + `}}`)
		arn := f.start("x", `{"s":"{"}`)
		if out := f.end(arn); out.Status != types.ExecutionStatusSucceeded || out.StopDate.Sub(*out.StartDate) != 2*time.Second {
			t.Errorf("%s after %s", out.Status, out.StopDate.Sub(*out.StartDate))
		}
		if d := cmp.Diff([]string{"first", "last"}, called); d != "" {
			t.Error(d)
		}
		want := strings.Fields(`ExecutionStarted TaskStateEntered TaskScheduled TaskStarted TaskSucceeded TaskStateExited
			ChoiceStateEntered ChoiceStateExited TaskStateEntered TaskStateExited TaskStateEntered TaskScheduled TaskStarted
			TaskSucceeded TaskStateExited ExecutionSucceeded`)
		if d := cmp.Diff(want, kinds(f.history(arn))); d != "" {
			t.Error(d)
		}
	})
}

// TestBegunBeforeStart: an execution that waits for the service to start loses no attempt
// when the service closes first.
func TestBegunBeforeStart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := stepfunctions.Options{Path: filepath.Join(t.TempDir(), "sfn.db"), Invoke: functions}
		s, err := stepfunctions.Open(o)
		if err != nil {
			t.Fatal(err)
		}
		f := &fixture{t, s, clientOf(s)}
		f.load(task(``))
		arn := f.start("x", `{}`)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		f = open(t, o)
		if out := f.end(arn); out.Status != types.ExecutionStatusSucceeded {
			t.Errorf("%s %s", out.Status, aws.ToString(out.Error))
		}
	})
}

func TestStopExecution(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		stopped := false
		f := open(t, stepfunctions.Options{Invoke: func(ctx context.Context, _ string, _ []byte) ([]byte, error) {
			<-ctx.Done()
			stopped = true
			return nil, ctx.Err()
		}})
		f.load(task(`,"Retry":[{"ErrorEquals":["States.ALL"]}]`))
		arn := f.start("x", `{}`)
		time.Sleep(3 * time.Second)
		first, err := f.client.StopExecution(t.Context(), &sfn.StopExecutionInput{ExecutionArn: &arn, Error: aws.String("Enough"), Cause: aws.String("of this")})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		again, err := f.client.StopExecution(t.Context(), &sfn.StopExecutionInput{ExecutionArn: &arn})
		if err != nil || !again.StopDate.Equal(*first.StopDate) {
			t.Errorf("%v: %v, then %v", err, first.StopDate, again.StopDate)
		}
		synctest.Wait()
		out := f.describe(arn)
		if out.Status != types.ExecutionStatusAborted || aws.ToString(out.Error) != "Enough" || aws.ToString(out.Cause) != "of this" || !stopped {
			t.Errorf("%s %s %s, function stopped: %t", out.Status, aws.ToString(out.Error), aws.ToString(out.Cause), stopped)
		}
		events := f.history(arn)
		last := events[len(events)-1].ExecutionAbortedEventDetails
		if last == nil || aws.ToString(last.Error) != "Enough" {
			t.Errorf("%+v", last)
		}
	})
}

func TestHistoryLimit(t *testing.T) {
	t.Parallel()
	for name, states := range map[string]string{
		"reached":  `"S":{"Type":"Pass","Next":"C"}`,
		"overshot": `"S":{"Type":"Task","Resource":"arn:aws:states:::lambda:invoke","Parameters":{"FunctionName":"f"},"ResultPath":null,"Next":"C"}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				f := open(t, stepfunctions.Options{Invoke: functions})
				f.load(`{"StartAt":"S","States":{` + states + `,"C":{"Type":"Choice","Choices":[{"Variable":"$.end","IsPresent":true,"Next":"E"}],"Default":"S"},"E":{"Type":"Succeed"}}}`)
				arn := f.start("x", `{}`)
				wantFailure(t, f.end(arn), "States.Runtime")
				events := f.history(arn)
				for i, e := range events {
					if e.Id != int64(i+1) {
						t.Fatalf("event %d has id %d", i+1, e.Id)
					}
				}
				if last := events[len(events)-1]; len(events) != 25_000 || last.Type != types.HistoryEventTypeExecutionFailed {
					t.Errorf("%d events, the last one %s", len(events), last.Type)
				}
			})
		})
	}
}

func TestThousandAtOnce(t *testing.T) {
	t.Parallel()
	for _, file := range []string{"", "sfn.db"} {
		t.Run("file "+file, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				const n = 1000
				var running atomic.Int32
				o := stepfunctions.Options{Invoke: func(context.Context, string, []byte) ([]byte, error) {
					running.Add(1)
					defer running.Add(-1)
					time.Sleep(time.Minute)
					return []byte(`"done"`), nil
				}}
				if file != "" {
					o.Path = filepath.Join(t.TempDir(), file)
				}
				f := open(t, o)
				f.load(task(`,"OutputPath":"$.Payload"`))
				arns := make([]string, n)
				var wg sync.WaitGroup
				for i := range n {
					wg.Go(func() { arns[i] = f.start(fmt.Sprint(i), `{}`) })
				}
				wg.Wait()
				synctest.Wait()
				if running.Load() != n {
					t.Errorf("%d of %d run", running.Load(), n)
				}
				for _, arn := range arns {
					if out := f.end(arn); aws.ToString(out.Output) != `"done"` || out.StopDate.Sub(*out.StartDate) != time.Minute {
						t.Fatal(out.Status, aws.ToString(out.Output))
					}
				}
			})
		})
	}
}

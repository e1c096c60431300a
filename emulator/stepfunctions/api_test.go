package stepfunctions_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"
	"github.com/aws/smithy-go"
	"github.com/google/go-cmp/cmp"

	"github.com/krosai/telephony/emulator/stepfunctions"
)

const machineARN = "arn:aws:states:us-east-1:000000000000:stateMachine:m"

func codeOf(err error) string {
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		return api.ErrorCode()
	}
	return fmt.Sprint(err)
}

func TestAPIErrors(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	f := open(t, stepfunctions.Options{Invoke: noFunction})
	f.load(one(`"Type":"Wait","Seconds":3600,"End":true`))
	f.start("taken", `{"a":1}`)
	start := func(arn, name, input string) error {
		_, err := f.client.StartExecution(ctx, &sfn.StartExecutionInput{StateMachineArn: &arn, Name: &name, Input: &input})
		return err
	}
	describe := func(arn string) error {
		_, err := f.client.DescribeExecution(ctx, &sfn.DescribeExecutionInput{ExecutionArn: &arn})
		return err
	}
	const execution = "arn:aws:states:us-east-1:000000000000:execution:m:taken"
	long := strings.Repeat("x", 256<<10)
	for name, c := range map[string]struct {
		err  error
		want string
	}{
		"no such machine":    {start(machineARN+"x", "n", "{}"), "StateMachineDoesNotExist"},
		"machine elsewhere":  {start(strings.Replace(machineARN, "us-east-1", "eu-west-1", 1), "n", "{}"), "StateMachineDoesNotExist"},
		"not an ARN":         {start("m", "n", "{}"), "InvalidArn"},
		"qualified ARN":      {start(machineARN+":1", "n", "{}"), "InvalidArn"},
		"bad name":           {start(machineARN, "a b", "{}"), "InvalidName"},
		"long name":          {start(machineARN, strings.Repeat("n", 81), "{}"), "InvalidName"},
		"input is not JSON":  {start(machineARN, "n", "{"), "InvalidExecutionInput"},
		"empty input":        {start(machineARN, "n", ""), "InvalidExecutionInput"},
		"large input":        {start(machineARN, "n", `"`+long+`"`), "InvalidExecutionInput"},
		"other input":        {start(machineARN, "taken", `{"a":2}`), "ExecutionAlreadyExists"},
		"no such execution":  {describe(execution + "x"), "ExecutionDoesNotExist"},
		"no execution's ARN": {describe(machineARN), "InvalidArn"},
		"history of none": {func() error {
			_, err := f.client.GetExecutionHistory(ctx, &sfn.GetExecutionHistoryInput{ExecutionArn: aws.String(execution + "x")})
			return err
		}(), "ExecutionDoesNotExist"},
		"bad page": {func() error {
			_, err := f.client.GetExecutionHistory(ctx, &sfn.GetExecutionHistoryInput{ExecutionArn: aws.String(execution), NextToken: aws.String("?")})
			return err
		}(), "InvalidToken"},
		"page too large": {func() error {
			_, err := f.client.GetExecutionHistory(ctx, &sfn.GetExecutionHistoryInput{ExecutionArn: aws.String(execution), MaxResults: 1001})
			return err
		}(), "ValidationException"},
		"unsupported member": {func() error {
			_, err := f.client.StartExecution(ctx, &sfn.StartExecutionInput{StateMachineArn: aws.String(machineARN), TraceHeader: aws.String("Root=1")})
			return err
		}(), "ValidationException"},
		"unsupported operation": {func() error {
			_, err := f.client.StartSyncExecution(ctx, &sfn.StartSyncExecutionInput{StateMachineArn: aws.String(machineARN)})
			return err
		}(), "UnknownOperationException"},
		"unsupported filter": {func() error {
			_, err := f.client.ListExecutions(ctx, &sfn.ListExecutionsInput{StateMachineArn: aws.String(machineARN), StatusFilter: types.ExecutionStatusPendingRedrive})
			return err
		}(), "ValidationException"},
		"list of none": {func() error {
			_, err := f.client.ListExecutions(ctx, &sfn.ListExecutionsInput{StateMachineArn: aws.String(machineARN + "x")})
			return err
		}(), "StateMachineDoesNotExist"},
		"description of none": {func() error {
			_, err := f.client.DescribeStateMachine(ctx, &sfn.DescribeStateMachineInput{StateMachineArn: aws.String(machineARN + "x")})
			return err
		}(), "StateMachineDoesNotExist"},
		"long cause": {func() error {
			_, err := f.client.StopExecution(ctx, &sfn.StopExecutionInput{ExecutionArn: aws.String(execution), Cause: &long})
			return err
		}(), "ValidationException"},
	} {
		if got := codeOf(c.err); got != c.want {
			t.Errorf("%s: got %s (%v), want %s", name, got, c.err, c.want)
		}
	}
}

// The protocol by hand, over a real connection: what the SDK does not show.
func TestProtocol(t *testing.T) {
	t.Parallel()
	f := open(t, stepfunctions.Options{Invoke: noFunction})
	server := httptest.NewServer(f.Service)
	t.Cleanup(server.Close)
	for name, c := range map[string]struct {
		target, body string
		status       int
		want         string
	}{
		"fine":             {"AWSStepFunctions.ListStateMachines", `{}`, 200, `{"stateMachines":[]}`},
		"unknown member":   {"AWSStepFunctions.ListStateMachines", `{"foo":1}`, 400, `{"__type":"ValidationException","message":"unsupported request: json: unknown field \"foo\""}`},
		"unknown op":       {"AWSStepFunctions.CreateActivity", `{}`, 400, `{"__type":"UnknownOperationException","message":"unsupported operation \"CreateActivity\""}`},
		"required":         {"AWSStepFunctions.DescribeExecution", `{}`, 400, `{"__type":"ValidationException","message":"1 validation error detected: Value null at 'executionArn' failed to satisfy constraint: Member must not be null"}`},
		"token is missing": {"AWSStepFunctions.SendTaskHeartbeat", `{}`, 400, `{"__type":"ValidationException","message":"1 validation error detected: Value null at 'taskToken' failed to satisfy constraint: Member must not be null"}`},
		"not JSON":         {"AWSStepFunctions.ListStateMachines", `?`, 400, `{"__type":"ValidationException","message":"unsupported request: invalid character '?' looking for beginning of value"}`},
	} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL, strings.NewReader(c.body))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("X-Amz-Target", c.target)
		response, err := server.Client().Do(request)
		if err != nil {
			t.Fatal(err)
		}
		var body strings.Builder
		_ = response.Write(&body)
		response.Body.Close()
		if response.StatusCode != c.status || !strings.HasSuffix(body.String(), c.want) || response.Header.Get("Content-Type") != "application/x-amz-json-1.0" {
			t.Errorf("%s: %s", name, body.String())
		}
	}
}

func TestClientRespectsContext(t *testing.T) {
	t.Parallel()
	f := open(t, stepfunctions.Options{Invoke: noFunction})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := f.client.ListStateMachines(ctx, &sfn.ListStateMachinesInput{}); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// A hundred starts of one execution make one, and all get the same answer; its
// function is called once.
func TestStartRace(t *testing.T) {
	t.Parallel()
	for _, file := range []bool{false, true} {
		t.Run(fmt.Sprintf("file %t", file), func(t *testing.T) {
			t.Parallel()
			calls := make(chan struct{}, 100)
			o := stepfunctions.Options{Invoke: func(ctx context.Context, _ string, _ []byte) ([]byte, error) {
				calls <- struct{}{}
				<-ctx.Done()
				return nil, ctx.Err()
			}}
			if file {
				o.Path = t.TempDir() + "/sfn.db"
			}
			f := open(t, o)
			f.load(task(``))
			var mu sync.Mutex
			answers := map[string]int{}
			var wg sync.WaitGroup
			for range 100 {
				wg.Go(func() {
					out, err := f.client.StartExecution(context.Background(), &sfn.StartExecutionInput{
						StateMachineArn: aws.String(machineARN), Name: aws.String("once"), Input: aws.String(`{"a":1}`)})
					mu.Lock()
					defer mu.Unlock()
					if err != nil {
						answers[err.Error()]++
						return
					}
					answers[*out.ExecutionArn+" "+out.StartDate.String()]++
				})
			}
			wg.Wait()
			<-calls
			if len(answers) != 1 || len(calls) != 0 {
				t.Error(answers, len(calls))
			}
			arn := "arn:aws:states:us-east-1:000000000000:execution:m:once"
			if _, err := f.client.StopExecution(t.Context(), &sfn.StopExecutionInput{ExecutionArn: &arn}); err != nil {
				t.Fatal(err)
			}
			_, err := f.client.StartExecution(t.Context(), &sfn.StartExecutionInput{StateMachineArn: aws.String(machineARN), Name: aws.String("once"), Input: aws.String(`{"a":1}`)})
			if _, exists := errors.AsType[*types.ExecutionAlreadyExists](err); !exists {
				t.Errorf("after its end: %v", err)
			}
		})
	}
}

func TestListExecutions(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := open(t, stepfunctions.Options{Invoke: noFunction})
		f.load(one(`"Type":"Choice","Choices":[{"Variable":"$.fail","IsPresent":true,"Next":"F"},{"Variable":"$.wait","IsPresent":true,"Next":"W"}],"Default":"E"},
			"F":{"Type":"Fail"},"W":{"Type":"Wait","Seconds":9,"End":true},"E":{"Type":"Succeed"`))
		for i, input := range []string{`{}`, `{"fail":1}`, `{"wait":1}`, `{}`, `{"wait":1}`} {
			f.start(fmt.Sprint(i), input)
		}
		synctest.Wait()
		list := func(filter types.ExecutionStatus) string {
			t.Helper()
			var names []string
			pages := sfn.NewListExecutionsPaginator(f.client, &sfn.ListExecutionsInput{StateMachineArn: aws.String(machineARN), StatusFilter: filter, MaxResults: 2})
			for pages.HasMorePages() {
				out, err := pages.NextPage(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				for _, e := range out.Executions {
					if (e.StopDate == nil) != (e.Status == types.ExecutionStatusRunning) || *e.StateMachineArn != machineARN {
						t.Errorf("%+v", e)
					}
					names = append(names, *e.Name)
				}
			}
			return strings.Join(names, "")
		}
		for filter, want := range map[types.ExecutionStatus]string{"": "43210", "RUNNING": "42", "SUCCEEDED": "30", "FAILED": "1", "ABORTED": "", "TIMED_OUT": ""} {
			if got := list(filter); got != want {
				t.Errorf("%s: %s, want %s", filter, got, want)
			}
		}
	})
}

func TestStateMachines(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := open(t, stepfunctions.Options{Invoke: noFunction})
		created := time.Now()
		definition := one(`"Type":"Succeed"`)
		for _, name := range []string{"c", "a", "b"} {
			if _, err := f.Load(name, []byte(definition)); err != nil {
				t.Fatal(err)
			}
		}
		var names []string
		pages := sfn.NewListStateMachinesPaginator(f.client, &sfn.ListStateMachinesInput{MaxResults: 2})
		for pages.HasMorePages() {
			out, err := pages.NextPage(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range out.StateMachines {
				names = append(names, *m.Name)
			}
		}
		if d := cmp.Diff([]string{"a", "b", "c"}, names); d != "" {
			t.Error(d)
		}
		time.Sleep(time.Hour)
		arn, err := f.Load("a", []byte(one(`"Type":"Fail"`)))
		if err != nil {
			t.Fatal(err)
		}
		out, err := f.client.DescribeStateMachine(t.Context(), &sfn.DescribeStateMachineInput{StateMachineArn: &arn})
		if err != nil {
			t.Fatal(err)
		}
		if *out.Definition != one(`"Type":"Fail"`) || !out.CreationDate.Equal(created) || out.Type != types.StateMachineTypeStandard || out.Status != types.StateMachineStatusActive {
			t.Errorf("%+v", out)
		}
	})
}

func TestRunningExecutionsKeepTheirDefinition(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := open(t, stepfunctions.Options{Invoke: noFunction})
		version := func(n int) string {
			return `{"StartAt":"W","States":{"W":{"Type":"Wait","Seconds":60,"Next":"P"},"P":{"Type":"Pass","Result":` + fmt.Sprint(n) + `,"End":true}}}`
		}
		f.load(version(1))
		old := f.start("old", `{}`)
		f.load(version(2))
		young := f.start("young", `{}`)
		if a, b := *f.end(old).Output, *f.end(young).Output; a != "1" || b != "2" {
			t.Error(a, b)
		}
	})
}

func TestHistory(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		into := make(chan string, 1)
		f := open(t, stepfunctions.Options{Invoke: tokens(into)})
		f.load(waiting(`,"TimeoutSeconds":60,"HeartbeatSeconds":30`))
		arn := f.start("x", `{"a":1}`)
		token := <-into
		synctest.Wait()
		time.Sleep(1500 * time.Millisecond)
		if err := f.succeed(token, `"ok"`); err != nil {
			t.Fatal(err)
		}
		f.end(arn)

		begin := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
		data := &types.HistoryEventExecutionDataDetails{}
		resource, kind := aws.String("invoke.waitForTaskToken"), aws.String("lambda")
		want := []types.HistoryEvent{
			{Id: 1, Type: "ExecutionStarted", Timestamp: &begin, ExecutionStartedEventDetails: &types.ExecutionStartedEventDetails{Input: aws.String(`{"a":1}`), InputDetails: data, RoleArn: aws.String("arn:aws:iam::000000000000:role/StepFunctions")}},
			{Id: 2, Type: "TaskStateEntered", Timestamp: &begin, StateEnteredEventDetails: &types.StateEnteredEventDetails{Name: aws.String("S"), Input: aws.String(`{"a":1}`), InputDetails: data}},
			{Id: 3, PreviousEventId: 2, Type: "TaskScheduled", Timestamp: &begin, TaskScheduledEventDetails: &types.TaskScheduledEventDetails{Region: aws.String("us-east-1"), Resource: resource, ResourceType: kind, Parameters: aws.String(`{"FunctionName":"f","Payload":"` + token + `"}`), TimeoutInSeconds: aws.Int64(60), HeartbeatInSeconds: aws.Int64(30)}},
			{Id: 4, PreviousEventId: 3, Type: "TaskStarted", Timestamp: &begin, TaskStartedEventDetails: &types.TaskStartedEventDetails{Resource: resource, ResourceType: kind}},
			{Id: 5, PreviousEventId: 4, Type: "TaskSubmitted", Timestamp: &begin, TaskSubmittedEventDetails: &types.TaskSubmittedEventDetails{Output: aws.String(`{"ExecutedVersion":"$LATEST","Payload":{},"SdkHttpMetadata":{"HttpStatusCode":200},"StatusCode":200}`), OutputDetails: data, Resource: resource, ResourceType: kind}},
			{Id: 6, PreviousEventId: 5, Type: "TaskSucceeded", Timestamp: aws.Time(begin.Add(1500 * time.Millisecond)), TaskSucceededEventDetails: &types.TaskSucceededEventDetails{Output: aws.String(`"ok"`), OutputDetails: data, Resource: resource, ResourceType: kind}},
			{Id: 7, PreviousEventId: 6, Type: "TaskStateExited", Timestamp: aws.Time(begin.Add(1500 * time.Millisecond)), StateExitedEventDetails: &types.StateExitedEventDetails{Name: aws.String("S"), Output: aws.String(`"ok"`), OutputDetails: data}},
			{Id: 8, PreviousEventId: 7, Type: "ExecutionSucceeded", Timestamp: aws.Time(begin.Add(1500 * time.Millisecond)), ExecutionSucceededEventDetails: &types.ExecutionSucceededEventDetails{Output: aws.String(`"ok"`), OutputDetails: data}},
		}
		if d := cmp.Diff(want, f.history(arn), ignoreSerde); d != "" {
			t.Error(d)
		}

		page := func(in sfn.GetExecutionHistoryInput) (ids []int64, next *string, events []types.HistoryEvent) {
			t.Helper()
			in.ExecutionArn = &arn
			out, err := f.client.GetExecutionHistory(t.Context(), &in)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range out.Events {
				ids = append(ids, e.Id)
			}
			return ids, out.NextToken, out.Events
		}
		ids, next, _ := page(sfn.GetExecutionHistoryInput{ReverseOrder: true, MaxResults: 5})
		rest, end, _ := page(sfn.GetExecutionHistoryInput{ReverseOrder: true, MaxResults: 5, NextToken: next})
		if d := cmp.Diff([]int64{8, 7, 6, 5, 4, 3, 2, 1}, append(ids, rest...)); d != "" || end != nil {
			t.Error(d, end)
		}
		ids, next, _ = page(sfn.GetExecutionHistoryInput{MaxResults: 4})
		rest, end, _ = page(sfn.GetExecutionHistoryInput{MaxResults: 4, NextToken: next})
		if d := cmp.Diff([]int64{1, 2, 3, 4, 5, 6, 7, 8}, append(ids, rest...)); d != "" || end != nil {
			t.Error(d, end)
		}
		_, _, bare := page(sfn.GetExecutionHistoryInput{IncludeExecutionData: aws.Bool(false)})
		if d := bare[1].StateEnteredEventDetails; d == nil || aws.ToString(d.Name) != "S" || d.Input != nil || bare[7].ExecutionSucceededEventDetails.Output != nil || bare[2].TaskScheduledEventDetails.Parameters != nil {
			t.Errorf("%+v", d)
		}
	})
}

// ignoreSerde passes over the unexported marker in the SDK's types.
var ignoreSerde = cmp.FilterPath(func(p cmp.Path) bool { return p.Last().String() == ".noSmithyDocumentSerde" }, cmp.Ignore())

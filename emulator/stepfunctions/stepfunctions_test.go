package stepfunctions_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"
	"github.com/google/go-cmp/cmp"

	"github.com/krosai/telephony/emulator/stepfunctions"
)

// A fixture is a running service and the real SDK client that reaches it.
type fixture struct {
	testing.TB
	*stepfunctions.Service
	client *sfn.Client
}

type invoke = func(ctx context.Context, function string, payload []byte) ([]byte, error)

// open starts a service, in memory unless o.Path is set.
func open(t testing.TB, o stepfunctions.Options) *fixture {
	t.Helper()
	s, err := stepfunctions.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	s.Start()
	return &fixture{t, s, clientOf(s)}
}

func clientOf(s *stepfunctions.Service) *sfn.Client {
	return sfn.New(sfn.Options{
		Region:     "us-east-1",
		HTTPClient: s.Client(),
		Retryer:    aws.NopRetryer{},
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "a", SecretAccessKey: "b"}, nil
		}),
	})
}

// load registers a definition under the name "m".
func (f *fixture) load(definition string) string {
	f.Helper()
	arn, err := f.Load("m", []byte(definition))
	if err != nil {
		f.Fatal(err)
	}
	return arn
}

func (f *fixture) start(name, input string) string {
	f.Helper()
	out, err := f.client.StartExecution(context.Background(), &sfn.StartExecutionInput{
		StateMachineArn: aws.String("arn:aws:states:us-east-1:000000000000:stateMachine:m"),
		Name:            aws.String(name), Input: aws.String(input),
	})
	if err != nil {
		f.Fatal(err)
	}
	return *out.ExecutionArn
}

func (f *fixture) describe(arn string) *sfn.DescribeExecutionOutput {
	f.Helper()
	out, err := f.client.DescribeExecution(context.Background(), &sfn.DescribeExecutionInput{ExecutionArn: &arn})
	if err != nil {
		f.Fatal(err)
	}
	return out
}

// end waits, within a synctest bubble, until the execution is over.
func (f *fixture) end(arn string) *sfn.DescribeExecutionOutput {
	f.Helper()
	for range 10_000_000 {
		synctest.Wait()
		out := f.describe(arn)
		if out.Status != types.ExecutionStatusRunning {
			return out
		}
		time.Sleep(time.Second)
	}
	f.Fatal("the execution does not end")
	return nil
}

func (f *fixture) history(arn string) []types.HistoryEvent {
	f.Helper()
	var events []types.HistoryEvent
	pages := sfn.NewGetExecutionHistoryPaginator(f.client, &sfn.GetExecutionHistoryInput{ExecutionArn: &arn, MaxResults: 1000})
	for pages.HasMorePages() {
		out, err := pages.NextPage(context.Background())
		if err != nil {
			f.Fatal(err)
		}
		events = append(events, out.Events...)
	}
	return events
}

func kinds(events []types.HistoryEvent) []string {
	var list []string
	for _, e := range events {
		list = append(list, string(e.Type))
	}
	return list
}

// noFunction is for machines without tasks.
func noFunction(_ context.Context, name string, _ []byte) ([]byte, error) {
	return nil, errors.New("no function is called " + name)
}

// sample reads a machine from testdata and fills its placeholders.
func sample(t testing.TB, file string) string {
	t.Helper()
	asl, err := os.ReadFile("testdata/" + file)
	if err != nil {
		t.Fatal(err)
	}
	asl, err = stepfunctions.Substitute(asl, map[string]string{
		"AskFunction": "ask", "AssignFunction": "assign", "DeliverFunction": "arn:aws:lambda:us-east-1:000000000000:function:deliver:live",
	})
	if err != nil {
		t.Fatal(err)
	}
	return string(asl)
}

// same compares JSON by value.
func same(t testing.TB, want, got string) {
	t.Helper()
	var a, b any
	if err := errors.Join(json.Unmarshal([]byte(want), &a), json.Unmarshal([]byte(got), &b)); err != nil {
		t.Fatalf("%v: %s", err, got)
	}
	if d := cmp.Diff(a, b); d != "" {
		t.Error(d)
	}
}

func TestApproval(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tokens := make(chan string, 1)
		assigns := 0
		f := open(t, stepfunctions.Options{
			Rand: func() float64 { return 0.5 },
			Invoke: func(_ context.Context, function string, payload []byte) ([]byte, error) {
				var in struct {
					Token string `json:"task_token"`
				}
				if err := json.Unmarshal(payload, &in); err != nil {
					return nil, err
				}
				switch function {
				case "ask":
					tokens <- in.Token
					return []byte("null"), nil
				case "assign":
					if assigns++; assigns < 3 {
						return nil, &stepfunctions.FunctionError{Type: "NoneFree", Message: "none"}
					}
					return []byte(`{"number_id":"n1"}`), nil
				}
				return noFunction(t.Context(), function, nil)
			},
		})
		f.load(sample(t, "approval.asl.json"))
		arn := f.start("r1", `{"request_id":"r1"}`)
		begin := time.Now()
		token := <-tokens
		time.Sleep(time.Hour)
		if _, err := f.client.SendTaskSuccess(t.Context(), &sfn.SendTaskSuccessInput{TaskToken: &token, Output: aws.String(`{"approved":true}`)}); err != nil {
			t.Fatal(err)
		}
		out := f.end(arn)
		if out.Status != types.ExecutionStatusSucceeded {
			t.Fatalf("%s: %s", aws.ToString(out.Error), aws.ToString(out.Cause))
		}
		same(t, `{"number_id":"n1"}`, *out.Output)
		if got, want := out.StopDate.Sub(begin), time.Hour+30*time.Second+45*time.Second; got != want {
			t.Errorf("took %v, want %v", got, want)
		}
		want := []string{
			"ExecutionStarted", "TaskStateEntered", "TaskScheduled", "TaskStarted", "TaskSubmitted", "TaskSucceeded", "TaskStateExited",
			"ChoiceStateEntered", "ChoiceStateExited",
			"TaskStateEntered", "TaskScheduled", "TaskStarted", "TaskFailed", "TaskScheduled", "TaskStarted", "TaskFailed",
			"TaskScheduled", "TaskStarted", "TaskSucceeded", "TaskStateExited",
			"SucceedStateEntered", "SucceedStateExited", "ExecutionSucceeded",
		}
		if d := cmp.Diff(want, kinds(f.history(arn))); d != "" {
			t.Error(d)
		}
	})
}

func TestNotify(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := open(t, stepfunctions.Options{Invoke: func(_ context.Context, function string, payload []byte) ([]byte, error) {
			if function != "deliver" {
				return noFunction(t.Context(), function, nil)
			}
			var in struct{ URL, Delivery string }
			if err := json.Unmarshal(payload, &in); err != nil {
				return nil, err
			}
			time.Sleep(time.Second)
			if in.URL == "bad" {
				return nil, &stepfunctions.FunctionError{Type: "Refused", Message: "410"}
			}
			return []byte(`{"delivered":true,"id":"` + in.Delivery + `"}`), nil
		}})
		f.load(sample(t, "notify.asl.json"))
		arn := f.start("c1", `{"call":"c1","endpoints":[{"url":"a"},{"url":"bad"},{"url":"c"},{"url":"d"}]}`)
		out := f.end(arn)
		same(t, `{"told":4,"deliveries":[{"delivered":true,"id":"c1-0"},{"delivered":false,"error":"Refused"},{"delivered":true,"id":"c1-2"},{"delivered":true,"id":"c1-3"}]}`, aws.ToString(out.Output))
		if got, want := out.StopDate.Sub(*out.StartDate), 93*time.Second; got != want {
			t.Errorf("took %v, want %v", got, want)
		}
	})
}

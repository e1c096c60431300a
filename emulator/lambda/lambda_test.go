package lambda_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	aws "github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdacontext"
	"github.com/google/go-cmp/cmp"

	"github.com/krosai/telephony/emulator/lambda"
)

const arn = "arn:aws:lambda:eu-west-1:123456789012:function:echo"

// TestMain is the function itself when a test starts it as one.
func TestMain(m *testing.M) {
	switch os.Getenv("FUNCTION") {
	case "":
		os.Exit(m.Run())
	case "handler":
		aws.Start(handle)
	case "streams":
		aws.Start(func() (*events.APIGatewayProxyStreamingResponse, error) {
			return &events.APIGatewayProxyStreamingResponse{StatusCode: 200, Body: strings.NewReader("a")}, nil
		})
	case "breaks off":
		aws.Start(func() (io.Reader, error) { return io.MultiReader(strings.NewReader("a"), broken{}), nil })
	case "extension":
		aws.StartWithOptions(handle, aws.WithEnableSIGTERM())
	case "dies":
		fmt.Fprintln(os.Stderr, "configuration: TABLE is not set")
		os.Exit(1)
	case "leaves":
	case "init error":
		reports("init/error", `{"errorType":"Config.Missing","errorMessage":"no table"}`)
		os.Exit(1)
	case "hangs":
		time.Sleep(time.Hour)
	case "answers another's":
		reports("invocation/8476a536/response", `{}`)
		aws.Start(handle)
	}
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, errors.New("broken") }

// reports posts to the Runtime API and prints the answer.
func reports(path, body string) {
	resp, err := http.Post("http://"+os.Getenv("AWS_LAMBDA_RUNTIME_API")+"/2018-06-01/runtime/"+path, "application/json", strings.NewReader(body))
	if err != nil {
		panic(err)
	}
	defer resp.Body.Close()
	said, err := io.ReadAll(resp.Body)
	if err != nil {
		panic(err)
	}
	fmt.Printf("%d %s\n", resp.StatusCode, said)
}

type noLine struct{}

func (noLine) Error() string { return "the line is dead" }

var count = 0

// handle does what the event says.
func handle(ctx context.Context, do string) (any, error) {
	fmt.Println("out:", do)
	fmt.Fprintln(os.Stderr, "err:", do)
	count++
	switch do {
	case "fail":
		return nil, noLine{}
	case "panic":
		panic("out of line")
	case "exit":
		os.Exit(3)
	case "leave":
		os.Exit(0)
	case "hang":
		<-ctx.Done() // the deadline; that it ignores
		select {}
	case "much":
		return strings.Repeat("a", 6<<20+100), nil
	case "process":
		return os.Getpid(), nil
	case "environment":
		return os.Environ(), nil
	case "context":
		lc, _ := lambdacontext.FromContext(ctx)
		deadline, _ := ctx.Deadline()
		return map[string]any{"arn": lc.InvokedFunctionArn, "id": len(lc.AwsRequestID), "left": time.Until(deadline).Round(time.Minute).String(),
			"trace": os.Getenv("_X_AMZN_TRACE_ID")[:7], "name": lambdacontext.FunctionName, "memory": lambdacontext.MemoryLimitInMB}, nil
	}
	return count, nil
}

// config is the function of that kind, a child of this test's binary.
func config(kind string) lambda.Config {
	return lambda.Config{Binary: os.Args[0], ARN: arn, Timeout: time.Minute, MemoryMB: 256, Environment: map[string]string{"FUNCTION": kind}}
}

func start(t *testing.T, c lambda.Config) *lambda.Function {
	t.Helper()
	f, err := lambda.Start(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Stop)
	return f
}

// invoke gives the function an event that says what to do.
func invoke(t *testing.T, f *lambda.Function, do string) (string, error) {
	t.Helper()
	event, err := json.Marshal(do)
	if err != nil {
		t.Fatal(err)
	}
	out, err := f.Invoke(t.Context(), event)
	return string(out), err
}

func TestInvoke(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, kind string
		timeout    time.Duration
		events     []string
		answers    []string // the last one an error, if it begins with "error "
	}{
		{"answers, in one process", "handler", time.Minute, []string{"a", "b", "c"}, []string{"1", "2", "3"}},
		{"an error, and on", "handler", time.Minute, []string{"fail", "b"}, []string{"error noLine: the line is dead", "2"}},
		{"a panic, and no more", "handler", time.Minute, []string{"panic", "b"}, []string{"error string: out of line", "error Runtime.ExitError: RequestId: ID Error: Runtime exited with error: exit status 1"}},
		{"an exit", "handler", time.Minute, []string{"a", "exit"}, []string{"1", "error Runtime.ExitError: RequestId: ID Error: Runtime exited with error: exit status 3"}},
		{"an exit without a reason", "handler", time.Minute, []string{"leave"}, []string{"error Runtime.ExitError: RequestId: ID Error: Runtime exited without providing a reason"}},
		{"a time-out, and no more", "handler", 300 * time.Millisecond, []string{"hang", "b"}, []string{"error Sandbox.Timedout: RequestId: ID Error: Task timed out after 0.30 seconds", "error Sandbox.Timedout: RequestId: ID Error: Task timed out after 0.30 seconds"}},
		{"too large an answer", "handler", time.Minute, []string{"much"}, []string{"error Function.ResponseSizeTooLarge: Response payload size exceeded maximum allowed payload size (6291556 bytes)."}},
		{"what the context tells", "handler", 5 * time.Minute, []string{"context"}, []string{`{"arn":"` + arn + `","id":36,"left":"5m0s","memory":256,"name":"echo","trace":"Root=1-"}`}},
		{"an answer to another's event", "answers another's", time.Minute, []string{"a"}, []string{"1"}},
		{"a streamed response", "streams", time.Minute, []string{"a"}, []string{"error not supported: a streamed response"}},
		{"half a response", "breaks off", time.Minute, []string{"a"}, []string{"error not supported: a response that breaks off, as only streamed ones can"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			cfg := config(c.kind)
			cfg.Timeout = c.timeout
			f := start(t, cfg)
			var got []string
			for _, event := range c.events {
				out, err := invoke(t, f, event)
				if err != nil {
					out = "error " + withoutID(err.Error())
				}
				got = append(got, out)
			}
			if diff := cmp.Diff(c.answers, got); diff != "" {
				t.Errorf("%s\n%s", diff, f.Output())
			}
		})
	}
}

// withoutID replaces a request's id in Lambda's messages by ID.
func withoutID(message string) string {
	before, after, ok := strings.Cut(message, "RequestId: ")
	if !ok {
		return message
	}
	return before + "RequestId: ID" + after[strings.IndexByte(after, ' '):]
}

func TestWhatItRefusesToInvoke(t *testing.T) {
	t.Parallel()
	f := start(t, config("handler"))
	for event, want := range map[string]string{
		"":                                       "not JSON",
		"{":                                      "not JSON",
		`"` + strings.Repeat("a", 6<<20-1) + `"`: "an event of 6291457 bytes",
	} {
		if _, err := f.Invoke(t.Context(), []byte(event)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("an event of %d bytes: %v, want %s", len(event), err, want)
		}
	}
	if out, err := invoke(t, f, "a"); out != "1" || err != nil {
		t.Errorf("afterwards it answers %s, %v", out, err)
	}
}

func TestInit(t *testing.T) {
	t.Parallel()
	began := time.Now()
	if f := start(t, config("handler")); f.Init <= 0 || f.Init > time.Since(began) {
		t.Errorf("the start took %s", f.Init)
	}
	f := start(t, config("handler"))
	f.Stop()
	if f.CPU() <= 0 {
		t.Errorf("the process took %s of a processor", f.CPU())
	}
	for kind, want := range map[string]struct{ message, errorType string }{
		"dies":       {"Runtime.ExitError: RequestId: init Error: Runtime exited with error: exit status 1\nconfiguration: TABLE is not set\n", "Runtime.ExitError"},
		"leaves":     {"Runtime.ExitError: RequestId: init Error: Runtime exited without providing a reason\n", "Runtime.ExitError"},
		"init error": {"Config.Missing: no table\n", "Config.Missing"},
		"extension":  {"not supported: POST /2020-01-01/extension/register\n", ""},
	} {
		_, err := lambda.Start(t.Context(), config(kind))
		if err == nil || !strings.HasPrefix(err.Error(), want.message) {
			t.Errorf("%s: %v, want %q", kind, err, want.message)
		}
		failed, ok := errors.AsType[*lambda.Error](err)
		if ok != (want.errorType != "") || ok && failed.Type != want.errorType {
			t.Errorf("%s: %#v is not an Error of type %q", kind, err, want.errorType)
		}
	}
}

func TestNotStarted(t *testing.T) {
	t.Parallel()
	reserved, hangs := config("handler"), config("hangs")
	reserved.Environment = map[string]string{"AWS_REGION": "eu-west-2"}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	for name, c := range map[string]struct {
		config lambda.Config
		want   string
	}{
		"a reserved variable": {reserved, "AWS_REGION is reserved"},
		"no program":          {lambda.Config{Binary: "testdata/none", ARN: arn}, "no such file"},
		"no ARN":              {lambda.Config{Binary: os.Args[0], ARN: "echo"}, "not the ARN"},
		"no request":          {hangs, "deadline exceeded"},
	} {
		if _, err := lambda.Start(ctx, c.config); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
}

// TestEnvironment: the process has Lambda's variables and its own, and nothing
// of ours.
func TestEnvironment(t *testing.T) {
	t.Setenv("OURS", "1")
	c := config("handler")
	c.Environment["TZ"] = "Africa/Lagos"
	out, err := invoke(t, start(t, c), "environment")
	if err != nil {
		t.Fatal(err)
	}
	var variables []string
	if err := json.Unmarshal([]byte(out), &variables); err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, v := range variables {
		name, value, _ := strings.Cut(v, "=")
		got[name] = value
	}
	for _, name := range []string{"AWS_LAMBDA_RUNTIME_API", "_X_AMZN_TRACE_ID"} { // new each time
		if got[name] == "" {
			t.Errorf("%s is not set", name)
		}
		delete(got, name)
	}
	root, err := filepath.Abs(filepath.Dir(os.Args[0]))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"FUNCTION": "handler", "TZ": "Africa/Lagos", "LANG": "en_US.UTF-8", "PATH": "/usr/local/bin:/usr/bin/:/bin:/opt/bin",
		"LD_LIBRARY_PATH": "/lib64:/usr/lib64:/var/runtime:/var/runtime/lib:/var/task:/var/task/lib:/opt/lib",
		"_HANDLER":        "bootstrap", "AWS_REGION": "eu-west-1", "AWS_DEFAULT_REGION": "eu-west-1",
		"AWS_ACCESS_KEY_ID": "emulator", "AWS_SECRET_ACCESS_KEY": "emulator", "AWS_SESSION_TOKEN": "emulator",
		"AWS_LAMBDA_FUNCTION_NAME": "echo", "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256",
		"AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand", "AWS_LAMBDA_LOG_GROUP_NAME": "/aws/lambda/echo", "AWS_LAMBDA_LOG_STREAM_NAME": "emulator",
		"LAMBDA_TASK_ROOT": root, "LAMBDA_RUNTIME_DIR": "/var/runtime",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestOutput(t *testing.T) {
	t.Parallel()
	f := start(t, config("handler"))
	for _, event := range []string{"a", "b"} {
		if _, err := invoke(t, f, event); err != nil {
			t.Fatal(err)
		}
	}
	f.Stop()
	if diff := cmp.Diff("out: a\nerr: a\nout: b\nerr: b\n", string(f.Output())); diff != "" {
		t.Error(diff)
	}
	if _, err := invoke(t, f, "c"); err == nil || !strings.Contains(err.Error(), "stopped") {
		t.Errorf("a stopped function answers %v", err)
	}
}

// TestConcurrently: functions run beside each other, and each has one event at
// a time.
func TestConcurrently(t *testing.T) {
	t.Parallel()
	const functions, each = 4, 8
	var mu sync.Mutex
	answers := map[int]int{} // by process
	var running []*lambda.Function
	var wg sync.WaitGroup
	for range functions {
		f := start(t, config("handler"))
		running = append(running, f)
		for range each {
			wg.Go(func() {
				pid := process(t, f)
				mu.Lock()
				defer mu.Unlock()
				answers[pid]++
			})
		}
	}
	wg.Wait()
	if diff := cmp.Diff(slices.Repeat([]int{each}, functions), slices.Collect(maps.Values(answers))); diff != "" {
		t.Error(diff)
	}
	for _, f := range running {
		f.Stop()
	}
	for pid := range answers {
		isGone(t, pid)
	}
}

// TestGivenUp: a function is ended while it works, when its caller goes.
func TestGivenUp(t *testing.T) {
	t.Parallel()
	f := start(t, config("handler"))
	pid := process(t, f)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := f.Invoke(ctx, []byte(`"hang"`)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the invocation ended with %v", err)
	}
	isGone(t, pid)
}

// process is the id of the function's process.
func process(t *testing.T, f *lambda.Function) (pid int) {
	t.Helper()
	out, err := f.Invoke(t.Context(), []byte(`"process"`))
	if err := errors.Join(err, json.Unmarshal(out, &pid)); err != nil {
		t.Error(err)
	}
	return pid
}

func isGone(t *testing.T, pid int) {
	t.Helper()
	if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("process %d is still there: %v", pid, err)
	}
}

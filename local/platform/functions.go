package platform

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambda/messages"
	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/krosai/telephony/emulator/iam"
	"github.com/krosai/telephony/emulator/stepfunctions"
	"github.com/krosai/telephony/emulator/template"
	"github.com/krosai/telephony/functions/all"
	"github.com/krosai/telephony/functions/createcall"
	"github.com/krosai/telephony/functions/preparecall"
	"github.com/krosai/telephony/shared/api"
	"github.com/krosai/telephony/shared/call/summary"
	"github.com/krosai/telephony/shared/env"
	"github.com/krosai/telephony/shared/invocation"
	"github.com/krosai/telephony/shared/lambdahttp"
	"github.com/krosai/telephony/shared/livekit"
	"github.com/krosai/telephony/shared/obs"
	"github.com/krosai/telephony/shared/secret"
	"github.com/krosai/telephony/shared/store"
	"github.com/krosai/telephony/shared/teardown"
	"github.com/krosai/telephony/shared/workflow"
)

// function is a Lambda function as this process runs it. Each invocation gets its own handler, as
// each sandbox does, because aws-lambda-go's handlers keep their answer in a buffer that the next
// invocation overwrites.
type function struct {
	logicalID string
	folder    string
	handler   func() lambda.Handler
	timeout   time.Duration
}

// clients connect to DynamoDB and to the emulated Step Functions and SQS. They restrict functions
// to the rights of their roles.
type clients struct {
	dynamodb, sfn, sqs *http.Client
	machines           workflow.Config
	// written is the emulated DynamoDB's Written. It is nil with another DynamoDB.
	written func(table string) <-chan struct{}
}

// config reaches an emulator in this process, or endpoint if it is not empty.
func config(client *http.Client, endpoint string) aws.Config {
	c := aws.Config{Region: region, Credentials: aws.CredentialsProviderFunc(anyone), HTTPClient: client}
	if endpoint != "" {
		c.BaseEndpoint = &endpoint
	}
	return c
}

// The emulators' region and credentials. The emulators accept any credentials.
const (
	region        = "us-east-1"
	anyCredential = "local"
)

// version is what GET /health reports here.
const version = "local"

// anyone provides meaningless credentials to sign requests with.
func anyone(context.Context) (aws.Credentials, error) {
	return aws.Credentials{AccessKeyID: anyCredential, SecretAccessKey: anyCredential}, nil
}

// dependencies are the functions' dependencies, as in AWS.
func (p *Platform) dependencies(c clients, tables store.Config) all.Deps {
	p.DB = store.Open(config(c.dynamodb, p.Config.DynamoDB), tables, time.Now)
	p.LiveKit = livekit.Open(livekit.Config{URL: p.Access.LiveKitURL, APIKey: p.Access.LiveKitKey, APISecret: secret.New(p.Access.LiveKitSecret)})
	return all.Deps{DB: p.DB, LiveKit: p.LiveKit, Flow: workflow.Open(config(c.sfn, ""), c.machines),
		Agents:  preparecall.Agents{APIURL: p.Access.URL, TokenKey: secret.New(p.Access.LiveKitSecret)},
		Summary: summary.Open(env.AWS(), p.Config.Summary),
		Now:     time.Now, Log: p.log, AllowLoopback: true, Resolver: net.DefaultResolver,
		Version: version, Console: p.console()}
}

// endpoints are the HTTP functions. Here createcall accepts only as many calls as this machine
// can carry.
func (p *Platform) endpoints(d all.Deps) map[string]api.Endpoint {
	endpoints := all.HTTP(d)
	calls := &admission{DB: d.DB, most: mostCalls(p.Config), starts: startsPerCore * runtime.GOMAXPROCS(0), now: d.Now}
	endpoints["createcall"] = &createcall.Endpoint{Calls: calls, Numbers: d.DB, Flow: d.Flow, Now: d.Now}
	return endpoints
}

// tasks are the functions of workflows. Here preparecall makes only as many rooms at a time as
// LiveKit makes in time.
func tasks(d all.Deps) map[string]any {
	tasks := all.Tasks(d)
	tasks["preparecall"] = (&preparecall.Task{Calls: d.DB, Rooms: rooms{d.LiveKit, make(chan struct{}, roomsPerCore*runtime.GOMAXPROCS(0))},
		Teardown: &teardown.Ender{Calls: d.DB, Rooms: d.LiveKit, Now: d.Now}, Agents: d.Agents, Now: d.Now}).Run
	return tasks
}

// build makes each function of the template with the handler that Lambda would run.
func (p *Platform) build(tmpl *template.Template, endpoints map[string]api.Endpoint, tasks map[string]any, d all.Deps) map[string]function {
	edge := &api.Edge{Keys: d.DB, Answers: d.DB, Tokens: p.users, Now: d.Now, Log: p.log, CursorKey: secret.New(p.Access.LiveKitSecret)}
	built := map[string]function{}
	for _, f := range tmpl.Functions() {
		made := function{logicalID: f.LogicalID, folder: f.Folder, timeout: f.Timeout}
		if ep, ok := endpoints[f.Folder]; ok {
			served := edge.Handler(ep)
			made.handler = func() lambda.Handler { return lambdahttp.Handler(served) }
		} else if task, ok := tasks[f.Folder]; ok {
			made.handler = func() lambda.Handler { return invocation.Handler(task) }
		} else {
			panic("template.yaml has a function that functions/all does not: " + f.Folder)
		}
		built[f.Folder], built[f.Name], built[f.ARN] = made, made, made
	}
	return built
}

// invoke runs a function as the Lambda service would.
func (p *Platform) invoke(ctx context.Context, name string, payload []byte) ([]byte, error) {
	f, ok := p.functions[name]
	if !ok {
		return nil, fmt.Errorf("no function %s", name)
	}
	ctx, cancel := context.WithTimeout(ctx, f.timeout)
	defer cancel()
	out, err := f.handler().Invoke(iam.As(obs.WithOutput(ctx, io.Discard), f.folder), payload)
	if err == nil && name == "setconfiguration" {
		p.callAgents(ctx)
	}
	return out, err
}

// invokeTask runs a function for a workflow. The workflow knows an error of the function by
// its type.
func (p *Platform) invokeTask(ctx context.Context, name string, payload []byte) ([]byte, error) {
	invoke := p.invoke
	if p.Config.Lambda != "" {
		invoke = p.invokeElsewhere
	}
	out, err := invoke(ctx, name, payload)
	if err == nil {
		return out, nil
	}
	p.log.Error("task failed", slog.String("function", name), slog.Any("error", err))
	if e, ok := errors.AsType[messages.InvokeResponse_Error](err); ok {
		return nil, &stepfunctions.FunctionError{Type: e.Type, Message: e.Message}
	}
	return nil, &stepfunctions.FunctionError{Type: fmt.Sprintf("%T", err), Message: err.Error()}
}

// invokeElsewhere runs a function at Config.Lambda. It uses the function's logical id, because SAM
// gives the stack, and therefore the functions, another name.
func (p *Platform) invokeElsewhere(ctx context.Context, name string, payload []byte) ([]byte, error) {
	f, ok := p.functions[name]
	if !ok {
		return nil, fmt.Errorf("no function %s", name)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.Config.Lambda+"/2015-03-31/functions/"+f.logicalID+"/invocations", bytes.NewReader(payload))
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	out, err := io.ReadAll(resp.Body)
	switch {
	case err != nil:
		return nil, err
	case resp.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("invoke %s: %s: %s", f.logicalID, resp.Status, out)
	case resp.Header.Get("X-Amz-Function-Error") == "":
		return out, nil
	}
	var failed messages.InvokeResponse_Error
	if err := json.Unmarshal(out, &failed); err != nil {
		return nil, fmt.Errorf("invoke %s: %s", f.logicalID, out)
	}
	return nil, failed
}

// schedule runs the scheduled functions, first at the start and then every Config.SweepEvery.
// EventBridge uses the template's rate instead.
func (p *Platform) schedule(ctx context.Context, schedules []template.Schedule) {
	for _, s := range schedules {
		p.running.Go(func() {
			tick := time.NewTicker(p.Config.SweepEvery)
			defer tick.Stop()
			for {
				event, _ := json.Marshal(map[string]any{"source": "aws.events", "detail-type": "Scheduled Event", "time": time.Now().UTC()})
				if _, err := p.invoke(ctx, s.Function, event); err != nil && ctx.Err() == nil {
					p.log.Error("scheduled function", slog.String("function", s.Function), slog.Any("error", err))
				}
				select {
				case <-tick.C:
				case <-ctx.Done():
					return
				}
			}
		})
	}
}

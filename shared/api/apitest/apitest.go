// Package apitest serves endpoints to tests as the API does: behind the edge, with a database, API
// keys, and users' tokens from its own issuer.
package apitest

import (
	"bytes"
	"context"
	"crypto/md5"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/krosai/telephony/emulator/iam"
	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/api"
	"github.com/krosai/telephony/shared/api/lambdahttp"
	"github.com/krosai/telephony/shared/id"
	"github.com/krosai/telephony/shared/number"
	"github.com/krosai/telephony/shared/oidc"
	"github.com/krosai/telephony/shared/secret"
	"github.com/krosai/telephony/shared/store/storetest"
	"github.com/krosai/telephony/shared/webhook/queue"
	"github.com/krosai/telephony/shared/workflow"
)

// Bench holds a database, an issuer, recording stand-ins for workflows and a queue, and, after
// Serve, endpoints.
type Bench struct {
	testing.TB
	*storetest.Database
	Issuer    *Issuer
	Workflows *Workflows
	Workflow  *workflow.Client
	Messages  *Messages
	Queue     *queue.Client
	Now       func() time.Time
	Logged    bytes.Buffer  // by the edge, as JSON, at every level
	Timeout   time.Duration // ends the context of a request as Lambda does; 0 means never
	Function  string        // the function with whose rights requests run after Obey
	handler   http.Handler
}

// Open creates a bench. now is the clock of all its parts, and nil means time.Now.
func Open(t testing.TB, now func() time.Time) *Bench {
	t.Helper()
	if now == nil {
		now = time.Now
	}
	b := &Bench{TB: t, Database: storetest.Open(t, now), Issuer: NewIssuer(t), Workflows: &Workflows{}, Messages: &Messages{}, Now: now}
	b.Workflow, b.Queue = b.client(b.Workflows), b.queue(b.Messages)
	return b
}

// Obey restricts Function to the rights of its role from now on. Call it before Workflow and Queue
// are used.
func (b *Bench) Obey(roles *iam.Roles) {
	b.Database.Obey(roles)
	b.Workflow, b.Queue = b.client(roles.Guard(b.Workflows, nil)), b.queue(roles.Guard(b.Messages, nil))
}

// Serve puts endpoints behind the edge. Ask then reaches them.
func (b *Bench) Serve(endpoints ...api.Endpoint) {
	b.Helper()
	tokens, err := oidc.Open(b.Issuer.Config(), b.Now)
	b.Must(err)
	log := slog.New(slog.NewMultiHandler(
		slog.NewJSONHandler(&b.Logged, &slog.HandlerOptions{Level: slog.LevelDebug}),
		slog.NewTextHandler(b.Output(), &slog.HandlerOptions{Level: slog.LevelError}))) // shown if the test fails
	edge := &api.Edge{Keys: b.DB, Answers: b.DB, Tokens: tokens, Now: b.Now, Log: log, CursorKey: secret.New("the cursor key of tests")}
	b.handler = edge.Handler(endpoints...)
}

// Must ends the test on an error.
func (b *Bench) Must(err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

// Key creates an API key of a user.
func (b *Bench) Key(user string, scopes ...string) (keyID, text string) {
	b.Helper()
	keyID = id.Key.New(b.Now())
	text, err := account.NewKey(keyID, rand.Reader)
	b.Must(err)
	b.keep(text, user, scopes)
	return keyID, text
}

// SampleKey creates the API key of the sample events for a user, and returns its text.
func (b *Bench) SampleKey(user string, scopes ...string) (text string) {
	b.Helper()
	text = sample("KROS_API_KEY")
	b.keep(text, user, scopes)
	return text
}

func (b *Bench) keep(text, user string, scopes []string) {
	b.Helper()
	id, sum, ok := account.ParseKey(text)
	if !ok {
		b.Fatalf("not a key: %s", text)
	}
	b.Must(b.PutKey(b.Context(), account.Key{ID: id, UserID: user, Hash: sum[:], Scopes: scopes, CreatedAt: b.Now()}))
}

// User is a token of a user, valid for an hour.
func (b *Bench) User(id string) string { return b.Issuer.Token(id, b.Now()) }

// Admin is a token of an administrator, valid for an hour.
func (b *Bench) Admin(id string) string { return b.Issuer.Token(id, b.Now(), account.Admin) }

// Answer is the API's response. Body is the decoded JSON object, and Text the original.
type Answer struct {
	Status int
	Header http.Header
	Body   map[string]any
	Text   string
}

// Code is the code of a problem, or empty if the answer is not a problem.
func (a Answer) Code() string { code, _ := a.Body["code"].(string); return code }

// Fields are the codes of the fields that a problem names, by field.
func (a Answer) Fields() map[string]string {
	fields := map[string]string{}
	list, _ := a.Body["errors"].([]any)
	for _, item := range list {
		field, _ := item.(map[string]any)
		name, _ := field["field"].(string)
		fields[name], _ = field["code"].(string)
	}
	return fields
}

// Outcome is the status of an answer and, if it is a problem, its code and its fields with their
// codes, such as "400 INVALID_REQUEST phone_number:pattern".
func (a Answer) Outcome() string {
	parts := []string{strconv.Itoa(a.Status)}
	if a.Code() != "" {
		parts = append(parts, a.Code())
	}
	for field, code := range a.Fields() {
		parts = append(parts, field+":"+code)
	}
	slices.Sort(parts[min(2, len(parts)):])
	return strings.Join(parts, " ")
}

// Page returns the ids, which are in the member id, and the cursor of an answer that must be a
// page.
func (b *Bench) Page(a Answer, id string) (ids []string, next string) {
	b.Helper()
	if a.Status != http.StatusOK {
		b.Fatalf("%d %s", a.Status, a.Text)
	}
	for _, item := range a.Body["data"].([]any) {
		ids = append(ids, item.(map[string]any)[id].(string))
	}
	next, _ = a.Body["next_cursor"].(string)
	return ids, next
}

// Ask sends a request. An empty credential or body is omitted. A body is JSON unless header says
// otherwise. header holds the names and values of further headers in turn. Every request has the
// same id, so that equal problems have equal texts.
func (b *Bench) Ask(credential, method, target, body string, header ...string) Answer {
	b.Helper()
	ctx, cancel := b.requestContext()
	defer cancel()
	r := httptest.NewRequestWithContext(api.WithRequestID(ctx, "test"), method, target, strings.NewReader(body))
	if body != "" && !slices.Contains(header, "Content-Type") {
		r.Header.Set("Content-Type", "application/json")
	}
	if credential != "" {
		r.Header.Set("Authorization", "Bearer "+credential)
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	b.handler.ServeHTTP(w, r)
	return b.answer(w.Code, w.Header(), w.Body.String())
}

func (b *Bench) requestContext() (context.Context, context.CancelFunc) {
	ctx := iam.As(b.Context(), b.Function)
	if b.Timeout == 0 {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, b.Timeout)
}

// sample is the value of a $KROS_… variable in sample events, or "" if the variable has no default.
func sample(name string) string {
	switch name {
	case "KROS_API_KEY":
		return "kros_live_01KAMPJ5V0SAMPMEKEY0000000_ThisIsTheSampleKeyOfEventsOnly1iVkyP"
	case "KROS_NUMBER_ID":
		return number.ID("+2348012345678")
	}
	return ""
}

// Event reads the sample event of a function. It replaces variables $KROS_… with the given values,
// or else with those of sample.
func Event(t testing.TB, function string, values map[string]string) []byte {
	t.Helper()
	_, file, _, _ := runtime.Caller(0)
	text, err := os.ReadFile(filepath.Join(filepath.Dir(file), "../../../events", function+".json"))
	if err != nil {
		t.Fatal(err)
	}
	return []byte(os.Expand(string(text), func(name string) string {
		switch {
		case !strings.HasPrefix(name, "KROS_"):
			return "$" + name // $default is the name of a stage
		case values[name] != "":
			return values[name]
		case sample(name) == "":
			t.Fatalf("events/%s.json: nobody knows $%s", function, name)
		}
		return sample(name)
	}))
}

// Invoke passes an event of API Gateway to the endpoints as Lambda does, and returns the response
// for API Gateway.
func (b *Bench) Invoke(event []byte) []byte {
	b.Helper()
	ctx, cancel := b.requestContext()
	defer cancel()
	out, err := lambdahttp.Handler(b.handler).Invoke(ctx, event)
	b.Must(err)
	return out
}

// Replay sends a sample event of API Gateway. A credential replaces the event's own.
func (b *Bench) Replay(event, credential string) Answer {
	b.Helper()
	var e events.APIGatewayV2HTTPRequest
	b.Must(json.Unmarshal(Event(b, event, map[string]string{"KROS_ADMIN_JWT": credential}), &e))
	if credential != "" {
		e.Headers["authorization"] = "Bearer " + credential
	}
	payload, err := json.Marshal(e)
	b.Must(err)
	var w events.APIGatewayV2HTTPResponse
	b.Must(json.Unmarshal(b.Invoke(payload), &w))
	header := http.Header{}
	for name, value := range w.Headers {
		header.Set(name, value)
	}
	return b.answer(w.StatusCode, header, w.Body)
}

func (b *Bench) answer(status int, header http.Header, text string) Answer {
	b.Helper()
	a := Answer{Status: status, Header: header, Text: text}
	if text != "" {
		b.Must(json.Unmarshal([]byte(text), &a.Body))
	}
	return a
}

// Workflows stands in for Step Functions on the wire. It records the started executions and the
// sent task tokens, and runs nothing.
type Workflows struct {
	// OnStart, if set, is called with the input of each execution once it is recorded. An error
	// takes the place of the answer, which is lost.
	OnStart func(ctx context.Context, input string) error

	mu      sync.Mutex
	started []string
	sent    []string
	down    bool
}

// Down makes all requests fail from now on, or succeed again.
func (w *Workflows) Down(down bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.down = down
}

// Started are the names of the started executions.
func (w *Workflows) Started() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.started
}

// Sent are the task tokens that were sent.
func (w *Workflows) Sent() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.sent
}

// RoundTrip answers a request of the AWS SDK.
func (w *Workflows) RoundTrip(r *http.Request) (*http.Response, error) {
	var q struct{ Name, Input, TaskToken string }
	if err := json.NewDecoder(r.Body).Decode(&q); err != nil {
		return nil, err
	}
	status, answer := http.StatusOK, `{"executionArn":"arn:aws:states:us-east-1:000000000000:execution:m:`+q.Name+`","startDate":1}`
	if !w.record(r.Header.Get("X-Amz-Target"), q.Name, q.TaskToken) {
		status, answer = http.StatusBadRequest, `{"__type":"AccessDeniedException"}`
	} else if w.OnStart != nil && q.Name != "" {
		if err := w.OnStart(r.Context(), q.Input); err != nil {
			return nil, err
		}
	}
	return &http.Response{StatusCode: status, Header: http.Header{"Content-Type": {"application/x-amz-json-1.0"}},
		Body: io.NopCloser(strings.NewReader(answer)), Request: r}, nil
}

// record records a request, unless requests fail.
func (w *Workflows) record(operation, name, token string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.down:
		return false
	case operation == "AWSStepFunctions.SendTaskSuccess":
		w.sent = append(w.sent, token)
	case operation == "AWSStepFunctions.StartExecution":
		w.started = append(w.started, name)
	default:
		return false
	}
	return true
}

// Messages stands in for SQS on the wire. It records the sent messages.
type Messages struct {
	mu   sync.Mutex
	sent []string
	down bool
}

// Down makes all requests fail from now on, or succeed again.
func (m *Messages) Down(down bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.down = down
}

// Sent are the bodies of the messages, in order.
func (m *Messages) Sent() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.sent)
}

// RoundTrip answers a SendMessageBatch of the AWS SDK.
func (m *Messages) RoundTrip(r *http.Request) (*http.Response, error) {
	var q struct {
		Entries []struct{ Id, MessageBody string }
	}
	if err := json.NewDecoder(r.Body).Decode(&q); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	status, answer := http.StatusBadRequest, []byte(`{"__type":"AccessDeniedException"}`)
	if !m.down {
		type success struct{ Id, MessageId, MD5OfMessageBody string }
		var out struct{ Successful []success }
		for _, e := range q.Entries {
			m.sent = append(m.sent, e.MessageBody)
			out.Successful = append(out.Successful, success{e.Id, e.Id, fmt.Sprintf("%x", md5.Sum([]byte(e.MessageBody)))})
		}
		var err error
		if answer, err = json.Marshal(out); err != nil {
			return nil, err
		}
		status = http.StatusOK
	}
	return &http.Response{StatusCode: status, Header: http.Header{"Content-Type": {"application/x-amz-json-1.0"}},
		Body: io.NopCloser(bytes.NewReader(answer)), Request: r}, nil
}

func (b *Bench) queue(messages http.RoundTripper) *queue.Client {
	url := ""
	for _, q := range b.Template.Queues() {
		if q.LogicalID == "DeliveriesQueue" {
			url = "https://sqs.us-east-1.amazonaws.com/000000000000/" + q.Name
		}
	}
	return queue.Open(config(messages), queue.Config{Deliveries: url})
}

func config(wire http.RoundTripper) aws.Config {
	return aws.Config{Region: "us-east-1", HTTPClient: &http.Client{Transport: wire},
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "test", SecretAccessKey: "test"}, nil
		})}
}

func (b *Bench) client(workflows http.RoundTripper) *workflow.Client {
	machines := map[string]string{}
	for _, m := range b.Template.StateMachines() {
		machines[m.LogicalID] = m.ARN
	}
	return workflow.Open(config(workflows), workflow.Config{CallMachine: machines["CallMachine"], ApprovalMachine: machines["ApprovalMachine"]})
}

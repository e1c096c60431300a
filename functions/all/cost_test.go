package all_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/aws"
	dynamodbsdk "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"
	"github.com/livekit/protocol/auth"
	lk "github.com/livekit/protocol/livekit"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/krosai/telephony/emulator/dynamodb"
	"github.com/krosai/telephony/emulator/stepfunctions"
	"github.com/krosai/telephony/emulator/template"
	"github.com/krosai/telephony/functions/all"
	"github.com/krosai/telephony/functions/preparecall"
	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/api"
	"github.com/krosai/telephony/shared/api/lambdahttp"
	"github.com/krosai/telephony/shared/call"
	"github.com/krosai/telephony/shared/call/summary"
	"github.com/krosai/telephony/shared/event"
	"github.com/krosai/telephony/shared/livekit"
	"github.com/krosai/telephony/shared/livekit/livekittest"
	"github.com/krosai/telephony/shared/number"
	"github.com/krosai/telephony/shared/obs"
	"github.com/krosai/telephony/shared/secret"
	"github.com/krosai/telephony/shared/store"
	"github.com/krosai/telephony/shared/validate/carrier/carriertest"
	"github.com/krosai/telephony/shared/webhook"
	"github.com/krosai/telephony/shared/webhook/webhooktest"
	"github.com/krosai/telephony/shared/workflow"
)

// This file counts, at the emulators, what an ordinary call makes AWS do.

// counts holds what was asked of each service.
type counts struct {
	requests    int                // of the API
	invocations map[string]int     // by function
	reads       map[string]float64 // DynamoDB request units by table, or table/index
	writes      map[string]float64
	asked       int // requests to DynamoDB
	livekit     int // requests to LiveKit
	transitions int // of state machines
	queued      int // requests to SQS, Lambda's own included
	executions  int
	history     int             // events of executions, each a line of log
	lines       int             // of log, by the functions
	bytes       int             // of those lines
	metrics     map[string]bool // CloudWatch metrics in the lines
	kept        int             // bytes added to tables in which nothing expires
}

func newCounts() *counts {
	return &counts{invocations: map[string]int{}, reads: map[string]float64{}, writes: map[string]float64{}, metrics: map[string]bool{}}
}

// add adds n times the counts of d.
func (c *counts) add(d *counts, n int) {
	c.requests, c.asked, c.livekit = c.requests+n*d.requests, c.asked+n*d.asked, c.livekit+n*d.livekit
	c.queued += n * d.queued
	c.transitions, c.executions, c.history = c.transitions+n*d.transitions, c.executions+n*d.executions, c.history+n*d.history
	c.lines, c.bytes, c.kept = c.lines+n*d.lines, c.bytes+n*d.bytes, c.kept+n*d.kept
	for name, v := range d.invocations {
		if c.invocations[name] += n * v; c.invocations[name] == 0 {
			delete(c.invocations, name)
		}
	}
	addUnits(c.reads, d.reads, n)
	addUnits(c.writes, d.writes, n)
	maps.Copy(c.metrics, d.metrics)
}

func addUnits(units, more map[string]float64, n int) {
	for name, v := range more {
		if units[name] += float64(n) * v; units[name] == 0 {
			delete(units, name)
		}
	}
}

// counter is the platform with a meter at each of its interfaces.
type counter struct {
	*testing.T
	template *template.Template
	admin    *dynamodbsdk.Client
	quiet    *store.DB // the same database, through a connection that is not counted
	livekit  *livekittest.Server
	receiver *webhooktest.Receiver
	sfn      *sfn.Client
	machines []string
	deps     all.Deps
	edge     *api.Edge
	dynamodb http.RoundTripper
	sources  *sources

	mu    sync.Mutex
	now   time.Time
	count *counts
	looks int // reads of the call's room
}

const countedCaller = "kros_live_01KAMPJ5V0SAMPMEKEY0000000_ThisIsTheSampleKeyOfEventsOnly1iVkyP"

func newCounter(t *testing.T) *counter {
	t.Helper()
	c := &counter{T: t, now: sampleTime, count: newCounts(), livekit: livekittest.New(t), receiver: webhooktest.NewReceiver(t)}
	var err error
	c.template, err = template.Open("../../template.yaml", template.Values{"LiveKitUrl": "ws://127.0.0.1", "LiveKitApiKey": "k", "LiveKitApiSecret": "s"})
	c.must(err)
	db, err := dynamodb.Open("", dynamodb.Options{})
	c.must(err)
	t.Cleanup(func() { c.must(db.Close()) })
	anyone := aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{AccessKeyID: "test", SecretAccessKey: "test"}, nil
	})
	cfg := aws.Config{Region: "us-east-1", HTTPClient: db.Client(), Credentials: anyone}
	c.admin = dynamodbsdk.NewFromConfig(cfg)
	for _, table := range c.template.Tables() {
		_, err := c.admin.CreateTable(t.Context(), table.Create)
		c.must(err)
	}
	tables := store.Config{Numbers: "kros-numbers", Requests: "kros-requests", Calls: "kros-calls", Stats: "kros-stats", Keys: "kros-keys",
		Limits: "kros-limits", Audit: "kros-audit", Webhooks: "kros-webhooks", Events: "kros-events"}
	c.quiet = store.Open(cfg, tables, c.clock)
	c.livekit.Look = c.look
	c.dynamodb, cfg.HTTPClient = db.Client().Transport, &http.Client{Transport: c}
	counted := store.Open(cfg, tables, c.clock)

	machines := c.workflows()
	cfg.HTTPClient = machines
	c.sfn = sfn.NewFromConfig(cfg)
	log := slog.New(slog.NewJSONHandler(c, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.String(slog.TimeKey, "2026-11-22T09:31:00.123456789Z") // of the same length each time
		}
		return a
	}}))
	c.edge = &api.Edge{Keys: counted, Answers: counted, Now: c.clock, Log: log, CursorKey: secret.New("the cursor key of tests")}
	c.deps = all.Deps{Resolver: carriertest.Zone{}, DB: counted, Now: c.clock, Log: log, AllowLoopback: true, Summary: summary.Open(aws.Config{}, summary.Config{}),
		Agents:   preparecall.Agents{APIURL: "https://a1b2c3d4e5.execute-api.us-east-1.amazonaws.com", TokenKey: secret.New("a call token key")},
		LiveKit:  livekit.Open(livekit.Config{URL: c.livekit.URL, APIKey: livekittest.APIKey, APISecret: secret.New(livekittest.APISecret)}),
		Workflow: workflow.Open(cfg, workflow.Config{CallMachine: c.machines[0]})}
	c.feed(db)
	return c
}

// feed runs the event source mappings. It does not count the requests to SQS that yield nothing
// while Lambda waits for messages.
func (c *counter) feed(db *dynamodb.DB) {
	c.Helper()
	counts := func(wire http.RoundTripper) http.RoundTripper {
		return roundTrip(func(r *http.Request) (*http.Response, error) {
			_, operation, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
			if operation == "SendMessageBatch" || operation == "DeleteMessageBatch" {
				c.mu.Lock()
				c.count.queued++
				if operation == "DeleteMessageBatch" {
					c.count.queued++ // the request that received them
				}
				c.mu.Unlock()
			}
			return wire.RoundTrip(r)
		})
	}
	streamOf := func(ctx context.Context, table string) (string, error) {
		out, err := c.admin.DescribeTable(ctx, &dynamodbsdk.DescribeTableInput{TableName: &table})
		if err != nil {
			return "", err
		}
		return aws.ToString(out.Table.LatestStreamArn), nil
	}
	streams := dynamodbstreams.NewFromConfig(awsConfig(db.Client().Transport))
	c.sources = feed{c.template, streams, streamOf, db.Written, counts, counts}.open(c.T, c.invoke, []string{"queuedeliveries", "resumecall", "deliverwebhook"})
	c.deps.Queue = c.sources.Queue
}

// told reports whether the user's server has received n messages, and no message is on its way.
func (c *counter) told(n int) bool {
	list, _, err := c.quiet.DeliveriesOf(c.Context(), sampleUser, sampleEndpoint, webhook.Delivered, 100, "")
	c.must(err)
	return len(list) == n && c.sources.left() == 0
}

// workflows starts the emulator with the call machine.
func (c *counter) workflows() *http.Client {
	folders := map[string]string{}
	for _, f := range c.template.Functions() {
		folders[f.Name] = f.Folder
	}
	flows, err := stepfunctions.Open(stepfunctions.Options{Log: slog.New(slog.DiscardHandler),
		Invoke: func(ctx context.Context, name string, payload []byte) ([]byte, error) {
			return c.invoke(ctx, folders[name], payload)
		}})
	c.must(err)
	c.Cleanup(func() { c.must(flows.Close()) })
	c.machines = []string{load(c.T, flows, c.template, "CallMachine")}
	flows.Start()
	return flows.Client()
}

func (c *counter) must(err error) {
	c.Helper()
	if err != nil {
		c.Fatal(err)
	}
}

func (c *counter) clock() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// wait advances the clock.
func (c *counter) wait(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// until waits for something that happens by itself.
func (c *counter) until(what string, happened func() bool) {
	c.Helper()
	for end := time.Now().Add(time.Minute); !happened(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			c.Fatalf("in vain: %s", what)
		}
	}
}

// counted returns the counts of what happens while f runs.
func (c *counter) counted(f func()) *counts {
	c.Helper()
	livekit, kept := len(c.livekit.Requests()), c.kept()
	was := c.workflowCounts()
	c.mu.Lock()
	c.count = newCounts()
	c.mu.Unlock()
	f()
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.count
	n.livekit, n.kept = len(c.livekit.Requests())-livekit, c.kept()-kept
	now := c.workflowCounts()
	n.executions, n.transitions, n.history = now.executions-was.executions, now.transitions-was.transitions, now.history-was.history
	return n
}

// kept is the size in bytes of the tables in which nothing expires, as DynamoDB bills it: with 100
// bytes for each item and each entry of an index.
func (c *counter) kept() (bytes int) {
	c.Helper()
	for _, table := range c.template.Tables() {
		if table.TTLAttribute != "" {
			continue
		}
		out, err := c.admin.DescribeTable(c.Context(), &dynamodbsdk.DescribeTableInput{TableName: table.Create.TableName})
		c.must(err)
		bytes += int(*out.Table.TableSizeBytes + 100**out.Table.ItemCount)
		for _, index := range out.Table.GlobalSecondaryIndexes {
			bytes += int(*index.IndexSizeBytes + 100**index.ItemCount)
		}
	}
	return bytes
}

// workflowCounts reads the histories of all executions. AWS bills each state that is entered, and
// each retry.
func (c *counter) workflowCounts() (n counts) {
	c.Helper()
	for _, x := range c.executionsOf() {
		n.executions++
		for _, e := range c.historyOf(x) {
			n.history++
			switch {
			case e.Type == types.HistoryEventTypeTaskScheduled: // the first one of its entry, or a retry
				n.transitions++
			case e.StateEnteredEventDetails != nil && e.Type != types.HistoryEventTypeTaskStateEntered:
				n.transitions++
			}
		}
	}
	return n
}

func (c *counter) historyOf(x types.ExecutionListItem) (events []types.HistoryEvent) {
	c.Helper()
	pages := sfn.NewGetExecutionHistoryPaginator(c.sfn, &sfn.GetExecutionHistoryInput{ExecutionArn: x.ExecutionArn})
	for pages.HasMorePages() {
		page, err := pages.NextPage(c.Context())
		c.must(err)
		events = append(events, page.Events...)
	}
	return events
}

func (c *counter) executionsOf() (list []types.ExecutionListItem) {
	c.Helper()
	for _, machine := range c.machines {
		out, err := c.sfn.ListExecutions(c.Context(), &sfn.ListExecutionsInput{StateMachineArn: &machine})
		c.must(err)
		list = append(list, out.Executions...)
	}
	return list
}

// running returns how many executions have not ended.
func (c *counter) running() (n int) {
	for _, x := range c.executionsOf() {
		if x.Status == types.ExecutionStatusRunning {
			n++
		}
	}
	return n
}

// invoke runs a function as Lambda does.
func (c *counter) invoke(ctx context.Context, function string, event []byte) ([]byte, error) {
	c.mu.Lock()
	c.count.invocations[function]++
	again := c.count.invocations[function] == 2
	c.mu.Unlock()
	if function == "summarizecall" && again { // it has waited for more turns, and none came
		c.until("the end is told", func() bool { return c.told(2) })
		c.wait(5 * time.Second)
	}
	ctx = obs.WithOutput(ctx, c)
	if ep, route := all.HTTP(c.deps)[function]; route {
		return lambdahttp.Handler(c.edge.Handler(ep)).Invoke(ctx, event)
	}
	return lambda.NewHandler(all.Tasks(c.deps)[function]).Invoke(ctx, event)
}

// Write counts a line of log, and the metrics in it.
func (c *counter) Write(line []byte) (int, error) {
	var m struct {
		AWS *struct {
			CloudWatchMetrics []struct {
				Dimensions [][]string
				Metrics    []struct{ Name string }
			}
		} `json:"_aws"`
	}
	var values map[string]any
	if err := json.Unmarshal(line, &m); err != nil {
		return 0, err
	}
	if err := json.Unmarshal(line, &values); err != nil {
		return 0, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.count.lines, c.count.bytes = c.count.lines+1, c.count.bytes+len(line)
	if m.AWS != nil {
		for _, directive := range m.AWS.CloudWatchMetrics {
			name := directive.Metrics[0].Name
			for _, dimension := range directive.Dimensions[0] {
				name += fmt.Sprintf(" %s=%v", dimension, values[dimension])
			}
			c.count.metrics[name] = true
		}
	}
	return len(line), nil
}

// RoundTrip asks DynamoDB what a request costs, and counts the cost whether or not the function
// waits for the answer.
func (c *counter) RoundTrip(r *http.Request) (*http.Response, error) {
	var request map[string]json.RawMessage
	if err := json.NewDecoder(r.Body).Decode(&request); err != nil {
		return nil, err
	}
	request["ReturnConsumedCapacity"] = json.RawMessage(`"INDEXES"`)
	body, err := json.Marshal(request)
	if err != nil {
		return nil, err
	}
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	response, err := c.dynamodb.RoundTrip(r.WithContext(context.WithoutCancel(r.Context())))
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, err
	}
	response.Body = io.NopCloser(bytes.NewReader(text))
	_, operation, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	spent, err := unitsOf(operation, response.StatusCode, string(request["TableName"]), text)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.count.asked++
	if strings.Contains(operation, "Get") || operation == "Query" {
		addUnits(c.count.reads, spent, 1)
	} else {
		addUnits(c.count.writes, spent, 1)
	}
	return response, nil
}

// unitsOf returns the units of an answer by table, or table/index.
func unitsOf(operation string, status int, table string, answer []byte) (map[string]float64, error) {
	if status != http.StatusOK {
		return unitsOfRefusal(operation, strings.Trim(table, `"`), answer)
	}
	var several struct{ ConsumedCapacity []dynamoUnits }
	if json.Unmarshal(answer, &several) != nil {
		var one struct{ ConsumedCapacity dynamoUnits }
		if err := json.Unmarshal(answer, &one); err != nil {
			return nil, err
		}
		several.ConsumedCapacity = []dynamoUnits{one.ConsumedCapacity}
	}
	if len(several.ConsumedCapacity) == 0 {
		return nil, fmt.Errorf("%s says nothing of what it costs: %s", operation, answer)
	}
	spent := map[string]float64{}
	for _, u := range several.ConsumedCapacity {
		table := strings.TrimPrefix(u.TableName, "kros-")
		if u.Table.CapacityUnits > 0 {
			spent[table] += u.Table.CapacityUnits
		}
		for index, i := range u.GlobalSecondaryIndexes {
			spent[table+"/"+index] += i.CapacityUnits
		}
	}
	return spent, nil
}

// unitsOfRefusal returns the units of a write whose condition is not met: the size in kilobytes of
// the item that is there, rounded up.
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/read-write-operations.html
func unitsOfRefusal(operation, table string, answer []byte) (map[string]float64, error) {
	var refusal struct{ Item map[string]map[string]string } // of texts, numbers and bytes
	if err := json.Unmarshal(answer, &refusal); err != nil || refusal.Item == nil {
		return nil, fmt.Errorf("%s was refused and cannot be counted: %s", operation, answer)
	}
	size := 0
	for name, value := range refusal.Item {
		size += len(name) + len(value["S"]) + len(value["N"])/2 + 1 + base64.StdEncoding.DecodedLen(len(value["B"]))
	}
	return map[string]float64{strings.TrimPrefix(table, "kros-"): float64(size/1024 + 1)}, nil
}

// dynamoUnits is DynamoDB's ConsumedCapacity.
type dynamoUnits struct {
	TableName              string
	Table                  struct{ CapacityUnits float64 }
	GlobalSecondaryIndexes map[string]struct{ CapacityUnits float64 }
}

// send sends a request to the API and returns its answer. LiveKit sends its authorization without
// a scheme.
func (c *counter) send(function, method, path, authorization, contentType, body string) map[string]any {
	c.Helper()
	var e events.APIGatewayV2HTTPRequest
	e.Version, e.RawPath, e.Body = "2.0", path, body
	e.Headers = map[string]string{"authorization": authorization, "content-type": contentType, "host": "a1b2c3d4e5.execute-api.us-east-1.amazonaws.com"}
	e.RequestContext.RequestID, e.RequestContext.HTTP.Method = "JKJaXmPLvHcESHA=", method
	event, err := json.Marshal(e)
	c.must(err)
	c.mu.Lock()
	c.count.requests++
	c.mu.Unlock()
	out, err := c.invoke(c.Context(), function, event)
	c.must(err)
	var w events.APIGatewayV2HTTPResponse
	c.must(json.Unmarshal(out, &w))
	if w.StatusCode/100 != 2 {
		c.Fatalf("%s: %d %s", function, w.StatusCode, w.Body)
	}
	answer := map[string]any{}
	if w.Body != "" {
		c.must(json.Unmarshal([]byte(w.Body), &answer))
	}
	return answer
}

// tell sends an event of LiveKit.
func (c *counter) tell(name, room string, who *lk.ParticipantInfo) {
	c.Helper()
	e := &lk.WebhookEvent{Event: name, Id: "EV_" + name, CreatedAt: c.clock().Unix(), Participant: who,
		Room: &lk.Room{Sid: "RM_1", Name: room, CreationTimeMs: sampleTime.UnixMilli()}}
	body, err := protojson.Marshal(e)
	c.must(err)
	sum := sha256.Sum256(body)
	token, err := auth.NewAccessToken(livekittest.APIKey, livekittest.APISecret).SetValidFor(5 * time.Minute).
		SetSha256(base64.StdEncoding.EncodeToString(sum[:])).ToJWT()
	c.must(err)
	c.send("livekitwebhook", http.MethodPost, "/webhooks/livekit", token, "application/webhook+json", string(body))
}

// furnish gives a user a key, a number, a country to call, and a webhook endpoint for the events of
// an ordinary call.
func (c *counter) furnish() {
	c.Helper()
	id, sum, _ := account.ParseKey(countedCaller)
	c.must(c.quiet.PutKey(c.Context(), account.Key{ID: id, UserID: sampleUser, Hash: sum[:], Scopes: account.Scopes(), CreatedAt: c.clock()}))
	policy := account.DefaultPolicy()
	policy.AllowedCountries = []string{"US"}
	c.must(c.quiet.PutPolicy(c.Context(), sampleUser, policy))
	c.must(c.quiet.PutNumber(c.Context(), number.Number{ID: number.ID(sampleE164), E164: sampleE164, Country: "NG", Type: "mobile", UserID: sampleUser,
		Capabilities: []string{"outbound"}, AssignedAt: c.clock(), Trunk: &number.Trunk{Name: "t", Address: "sample.pstn.twilio.com", Transport: "tls", Numbers: []string{sampleE164},
			Directions: []string{"outbound"}, OutboundID: "ST_1"}, Rule: &number.Rule{AgentName: "support-agent", ID: "SDR_1"}}))
	c.receiver.Trust(c, webhookSecret)
	c.must(c.quiet.AddEndpoint(c.Context(), webhook.Endpoint{ID: sampleEndpoint, UserID: sampleUser, URL: c.receiver.URL, Secret: secret.New(webhookSecret),
		Events: []string{event.CallAnswered, event.CallEnded, event.CallSummaryReady}, CreatedAt: c.clock()}))
}

// phone returns the callee in the room.
func phone(status string) *lk.ParticipantInfo {
	return &lk.ParticipantInfo{Sid: "PA_2", Identity: call.CalleeIdentity, Kind: lk.ParticipantInfo_SIP, State: lk.ParticipantInfo_ACTIVE,
		Attributes: map[string]string{"sip.callStatus": status, "sip.callTag": "5f0c2a71b", "sip.callIDFull": "1@198.51.100.20"}}
}

var agent = &lk.ParticipantInfo{Sid: "PA_1", Identity: "agent-AJ_1", Kind: lk.ParticipantInfo_AGENT, State: lk.ParticipantInfo_ACTIVE}

// look lets the agent join at the first read of the room, just after its creation. It lets the
// phone ring at the third read, which is the second read of the dial, after 700 ms.
func (c *counter) look(room string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch c.looks++; c.looks {
	case 1:
		c.livekit.Join(room, agent)
	case 3:
		c.livekit.Join(room, phone("ringing"))
	}
}

// place places a call whose phone rings and is answered. It returns once the user has been notified
// of the answer.
func (c *counter) place() (id string) {
	c.Helper()
	c.livekit.Dial = func(q *lk.CreateSIPParticipantRequest) (*lk.SIPParticipantInfo, error) {
		c.until("that it rings is known", func() bool { return c.is(q.RoomName, call.Ringing) })
		c.livekit.Leave(q.RoomName, call.CalleeIdentity)
		c.livekit.Join(q.RoomName, phone("active"))
		return &lk.SIPParticipantInfo{ParticipantId: "PA_2", ParticipantIdentity: call.CalleeIdentity, RoomName: q.RoomName}, nil
	}
	made := c.send("createcall", http.MethodPost, "/outbound-calls/create", "Bearer "+countedCaller, "application/json",
		`{"phone_number":"+14155550100","phone_number_id":"`+number.ID(sampleE164)+`","agent_name":"support-agent","system_prompt":"`+
			strings.Repeat("Be helpful. ", 1000/12)+`","welcome_message":"Hello, this is Ada from Acme.","metadata":{"order":"A-1001"}}`)
	id = made["call_id"].(string)
	c.until("the answer is told", func() bool { return c.told(1) && c.running() == 1 })
	for _, e := range []struct {
		name string
		who  *lk.ParticipantInfo
	}{{"room_started", nil}, {"participant_joined", agent}, {"track_published", agent}, {"participant_joined", phone("dialing")}, {"track_published", phone("dialing")}} {
		c.tell(e.name, id, e.who)
	}
	return id
}

func (c *counter) is(id string, status call.Status) bool {
	now, err := c.quiet.Call(c.Context(), id)
	c.must(err)
	return now.Status == status
}

// talk sends ten turns as the agent does, each when it was said.
func (c *counter) talk(id string) {
	c.Helper()
	token, err := c.deps.Agents.Metadata(call.Call{ID: id})
	c.must(err)
	var told struct {
		Token string `json:"call_token"`
	}
	c.must(json.Unmarshal([]byte(token), &told))
	for i := range 10 {
		c.wait(6 * time.Second)
		role := []string{"agent", "callee"}[i%2]
		c.send("addtranscript", http.MethodPost, "/outbound-calls/"+id+"/transcript", "Bearer "+told.Token, "application/json",
			fmt.Sprintf(`{"turns":[{"turn_id":"%d","role":%q,"content":"Your order will arrive tomorrow before noon, if that suits you.","at":%q}]}`,
				i, role, c.clock().Format(time.RFC3339)))
	}
}

// hangUp hangs up the phone, and waits until all events have been delivered.
func (c *counter) hangUp(id string) {
	c.Helper()
	c.livekit.Leave(id, call.CalleeIdentity)
	c.tell("track_unpublished", id, phone("hangup"))
	gone := phone("hangup")
	gone.DisconnectReason = lk.DisconnectReason_CLIENT_INITIATED
	c.tell("participant_left", id, gone)
	c.tell("track_unpublished", id, agent)
	c.tell("participant_left", id, agent)
	c.tell("room_finished", id, nil)
	c.until("the summary is told", func() bool { return c.told(3) && c.running() == 0 })
}

// ordinaryCall counts what a call of a minute asks of AWS, and one run of each sweep while nothing
// happens. For the sweep during the minute, it counts only what the call adds.
func ordinaryCall(t *testing.T) (tpl *template.Template, one, calls, numbers *counts) {
	t.Helper()
	c := newCounter(t)
	c.furnish()
	sweep := func(function string) *counts {
		return c.counted(func() {
			_, err := c.invoke(t.Context(), function, []byte("{}"))
			c.must(err)
		})
	}
	calls, numbers = sweep("sweepcalls"), sweep("sweepnumbers")
	var id string
	one = c.counted(func() { id = c.place() })
	one.add(c.counted(func() { c.talk(id) }), 1)
	one.add(sweep("sweepcalls"), 1)
	one.add(calls, -1)
	one.add(c.counted(func() { c.hangUp(id) }), 1)
	one.add(c.counted(func() {
		details := c.send("getcall", http.MethodGet, "/outbound-calls/"+id+"/details", "Bearer "+countedCaller, "", "")
		if details["status"] != "completed" || details["duration_seconds"] != 60.0 {
			t.Errorf("the call was not an ordinary one: %v", details)
		}
	}), 1)
	for name := range calls.metrics {
		delete(one.metrics, name) // these exist without calls
	}
	return c.template, one, calls, numbers
}

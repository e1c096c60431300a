package createcall_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/google/go-cmp/cmp"
	"github.com/oklog/ulid/v2"

	"github.com/krosai/telephony/functions/createcall"
	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/api"
	"github.com/krosai/telephony/shared/api/apitest"
	"github.com/krosai/telephony/shared/call"
	"github.com/krosai/telephony/shared/lambdahttp"
	"github.com/krosai/telephony/shared/number"
	"github.com/krosai/telephony/shared/store/storetest"
	"github.com/krosai/telephony/shared/workflow"
)

var now = time.Date(2026, 11, 22, 9, 30, 0, 123456789, time.UTC)

// workflows is Step Functions as an HTTP transport.
type workflows struct {
	started []string // target, name and input of each execution
	down    bool
	onStart func()
	lost    bool // the reply is lost
	hangs   bool // until the request is canceled
}

func (w *workflows) RoundTrip(r *http.Request) (*http.Response, error) {
	var q struct{ Name, Input string }
	if err := json.NewDecoder(r.Body).Decode(&q); err != nil {
		return nil, err
	}
	if w.hangs {
		<-r.Context().Done()
		return nil, r.Context().Err()
	}
	status, answer := http.StatusOK, `{"executionArn":"arn:aws:states:us-east-1:000000000000:execution:call:`+q.Name+`","startDate":1}`
	if w.down {
		status, answer = http.StatusBadRequest, `{"__type":"AccessDeniedException"}`
	} else {
		w.started = append(w.started, r.Header.Get("X-Amz-Target")+" "+q.Name+" "+q.Input)
		if w.onStart != nil {
			w.onStart()
		}
	}
	if w.lost {
		return nil, errors.New("the reply was lost")
	}
	return &http.Response{StatusCode: status, Header: http.Header{"Content-Type": {"application/x-amz-json-1.0"}},
		Body: io.NopCloser(strings.NewReader(answer)), Request: r}, nil
}

// bench is the function with ada's API key, which is that of the sample events, one configured
// number of hers, and a policy that allows calls to the United States.
type bench struct {
	*testing.T
	db        *storetest.Database
	workflows *workflows
	log       bytes.Buffer
	handler   http.Handler
}

func newBench(t *testing.T) *bench {
	t.Helper()
	clock := func() time.Time { return now }
	b := &bench{T: t, db: storetest.Open(t, clock), workflows: &workflows{}}
	b.must(b.db.AllowCountries(t.Context(), "ada", "US"))
	b.key("ada", "kros_live_01KAMPJ5V0SAMPMEKEY0000000_ThisIsTheSampleKeyOfEventsOnly1iVkyP")
	b.number("ada", lagos)
	flows := workflow.Open(aws.Config{Region: "us-east-1", HTTPClient: &http.Client{Transport: b.workflows},
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "test", SecretAccessKey: "test"}, nil
		})}, workflow.Config{CallMachine: "arn:aws:states:us-east-1:000000000000:stateMachine:call"})
	edge := &api.Edge{Keys: b.db, Now: clock, Log: slog.New(slog.NewJSONHandler(&b.log, nil))}
	b.handler = edge.Handler(&createcall.Endpoint{Calls: b.db, Numbers: b.db, Flow: flows, Now: clock})
	b.db.Trips()
	return b
}

func (b *bench) must(err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

func (b *bench) key(user, text string) {
	b.Helper()
	id, sum, ok := account.ParseKey(text)
	if !ok {
		b.Fatalf("not a key: %s", text)
	}
	b.must(b.db.PutKey(b.Context(), account.Key{ID: id, UserID: user, Hash: sum[:], Scopes: []string{account.CallsWrite}}))
}

const lagos, abuja, accra = "+2348012345678", "+2348012345679", "+233201234567"

// number gives a user a configured number, with the changes applied, and returns its id.
func (b *bench) number(user, e164 string, change ...func(*number.Number)) string {
	b.Helper()
	n := number.Number{ID: number.ID(e164), E164: e164, Country: "NG", Type: "mobile", UserID: user, AssignedAt: now,
		Trunk: &number.Trunk{Name: "t", Transport: "auto", Numbers: []string{e164}, Directions: []string{"outbound"}, OutboundID: "ST_" + e164},
		Rule:  &number.Rule{Name: "r", RoomPrefix: "support-", AgentName: "number-agent"}}
	for _, f := range change {
		f(&n)
	}
	b.must(b.db.PutNumber(b.Context(), n))
	return n.ID
}

func noTrunk(n *number.Number) { n.Trunk = nil }
func noRule(n *number.Number)  { n.Rule = nil }
func inbound(n *number.Number) { n.Trunk.OutboundID = "" }

type reply struct {
	StatusCode int
	Headers    map[string]string
	Body       string
}

func (r reply) view(b *bench) (v struct {
	CallID        string `json:"call_id"`
	PhoneNumberID string `json:"phone_number_id"`
}) {
	b.Helper()
	b.must(json.Unmarshal([]byte(r.Body), &v))
	return v
}

// send posts body as the sample event does, with the given headers and without its Idempotency-Key.
// For sample it sends the sample event unchanged.
func (b *bench) send(body string, headers ...string) reply {
	b.Helper()
	text := apitest.Event(b, "createcall", nil)
	var event map[string]any
	b.must(json.Unmarshal(text, &event))
	h := event["headers"].(map[string]any)
	delete(h, "idempotency-key")
	for i := 0; i < len(headers); i += 2 {
		h[headers[i]] = headers[i+1]
	}
	if event["body"] = body; body == sample {
		b.must(json.Unmarshal(text, &event))
	}
	payload, err := json.Marshal(event)
	b.must(err)
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	out, err := lambdahttp.Handler(b.handler).Invoke(ctx, payload)
	b.must(err)
	var r reply
	b.must(json.Unmarshal(out, &r))
	return r
}

// timeout is the function's timeout in the template.
const timeout = 15 * time.Second

// sample stands for the body of the sample event.
const sample = "sample"

func (b *bench) active() []string {
	b.Helper()
	ids, err := b.db.ActiveCalls(b.Context(), now.Add(time.Second))
	b.must(err)
	return ids
}

func TestSampleEvent(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	r := b.send(sample)
	if n := b.db.Trips(); r.StatusCode != http.StatusCreated || n > 3 || len(b.workflows.started) != 1 {
		t.Fatalf("%+v after %d round trips to the database and %d executions; at most 3 and 1 are due", r, n, len(b.workflows.started))
	}
	id := r.view(b).CallID
	made, err := ulid.ParseStrict(strings.TrimPrefix(id, "call_"))
	if err != nil || made.Time() != ulid.Timestamp(now) {
		t.Errorf("call_id %s, %v", id, err)
	}
	want := `{"call_id":"` + id + `","status":"initiated","direction":"outbound","phone_number":"+14155550100","from_number":"+2348012345678",` +
		`"phone_number_id":"pn_3K31FNKK5S011QQF6GKTRG4CAC","room_name":"` + id + `","created_at":"2026-11-22T09:30:00.123Z"}` + "\n"
	if d := cmp.Diff(want, r.Body); d != "" {
		t.Errorf("answer (-want +got):\n%s", d)
	}
	if _, told := r.Headers["Idempotency-Replayed"]; told {
		t.Errorf("the first answer has the headers %v", r.Headers)
	}
	if d := cmp.Diff([]string{"AWSStepFunctions.StartExecution " + id + ` {"call_id":"` + id + `"}`}, b.workflows.started); d != "" {
		t.Errorf("executions (-want +got):\n%s", d)
	}
	if line := b.log.String(); !strings.Contains(line, `"status":201`) || !strings.Contains(line, `"call_id":"`+id+`"`) {
		t.Errorf("the log does not name the call: %s", line)
	}
	c, err := b.db.CallWithDetails(t.Context(), id)
	b.must(err)
	wantCall := call.Call{ID: id, UserID: "ada", Direction: call.Outbound, PhoneNumber: "+14155550100", FromNumber: lagos,
		NumberID: "pn_3K31FNKK5S011QQF6GKTRG4CAC", RoomName: id, TrunkID: "ST_" + lagos, AgentName: "demo-agent", Country: "US",
		SystemPrompt: "You confirm deliveries.", WelcomeMessage: "Hello, this is Ada from Acme.", Voice: &call.Voice{Language: "en-NG", Speed: 1},
		Metadata: map[string]string{"order": "A-1001"}, HasMetadata: true, DTMF: "ww42#", RingingTimeout: 30, MaxDuration: 600, Status: call.Initiated,
		CreatedAt: now.Truncate(time.Millisecond)}
	if d := cmp.Diff(wantCall, c); d != "" {
		t.Errorf("record (-want +got):\n%s", d)
	}
}

func TestDefaults(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	r := b.send(`{"phone_number":"+14155550100"}`)
	// Without a phone_number_id there is one round trip more. Only the index of numbers tells which
	// number to use, and an index cannot be read together with other rows.
	if n := b.db.Trips(); r.StatusCode != http.StatusCreated || n > 4 {
		t.Fatalf("%+v after %d round trips", r, n)
	}
	c, err := b.db.Call(t.Context(), r.view(b).CallID)
	b.must(err)
	if c.AgentName != "number-agent" || c.RingingTimeout != 30 || c.MaxDuration != 1800 || c.FromNumber != lagos {
		t.Errorf("agent %q, ringing %d s, talk %d s, from %s", c.AgentName, c.RingingTimeout, c.MaxDuration, c.FromNumber)
	}
}

// TestNumbersThatExist covers numbers that are newer than other tables of numbering plans or look
// like service numbers.
func TestNumbersThatExist(t *testing.T) {
	t.Parallel()
	for called, from := range map[string]string{
		"+2349101234567": "NG",
		"+19835550123":   "US",
		"+18004110100":   "US",
		"+16644110123":   "MS",
		"+18005550199":   "CA", // toll-free numbers belong to each country of +1
		"+18885550199":   "AG",
	} {
		b := newBench(t)
		b.must(b.db.PutPolicy(t.Context(), "ada", account.DefaultPolicy()))
		id := b.number("ada", accra, func(n *number.Number) { n.Country = from })
		if r := b.send(`{"phone_number":"` + called + `","phone_number_id":"` + id + `"}`); r.StatusCode != http.StatusCreated {
			t.Errorf("%s from a number of %s: %d %s", called, from, r.StatusCode, r.Body)
		}
	}
}

// TestTollFreeByPolicy checks that an allowed country permits calls to toll-free numbers, as the
// country of the user's own number does.
func TestTollFreeByPolicy(t *testing.T) {
	t.Parallel()
	for country, want := range map[string]int{"CA": http.StatusCreated, "US": http.StatusCreated, "GB": http.StatusForbidden} {
		b := newBench(t)
		policy := account.DefaultPolicy()
		policy.AllowedCountries = []string{country}
		b.must(b.db.PutPolicy(t.Context(), "ada", policy))
		if r := b.send(`{"phone_number":"+18005550199"}`); r.StatusCode != want {
			t.Errorf("with %s allowed: %d %s", country, r.StatusCode, r.Body)
		}
	}
}

func TestLimitsAreInclusive(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	if r := b.send(`{"phone_number":"+14155550100","system_prompt":"` + strings.Repeat("é", 8192) + `","welcome_message":"` + strings.Repeat("a", 1024) +
		`","metadata":` + entries(49, `,"`+strings.Repeat("k", 64)+`":"`+strings.Repeat("v", 512)+`"`) +
		`,"dtmf":"` + strings.Repeat("0123456789ABCD*#", 3) + strings.Repeat("w", 16) + `","ringing_timeout_seconds":80,"max_duration_seconds":14400}`); r.StatusCode != http.StatusCreated {
		t.Errorf("%+v", r)
	}
}

// entries is a JSON object of n members, followed by more.
func entries(n int, more string) string {
	var members []string
	for i := range n {
		members = append(members, fmt.Sprintf(`"m%d":""`, i))
	}
	return "{" + strings.Join(members, ",") + more + "}"
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	to := func(members string) string { return `{"phone_number":"+14155550100",` + members + `}` }
	for _, tt := range []struct {
		name, body string
		status     int
		code       string
		field      string
		fieldCode  string
	}{
		{"nobody to call", `{}`, 400, "INVALID_REQUEST", "phone_number", "required"},
		{"a national number", `{"phone_number":"08012345678"}`, 400, "INVALID_REQUEST", "phone_number", "pattern"},
		{"spaces", `{"phone_number":"+1 415 555 0100"}`, 400, "INVALID_REQUEST", "phone_number", "pattern"},
		{"a number that cannot be", `{"phone_number":"+14155550"}`, 400, "INVALID_REQUEST", "phone_number", "invalid_number"},
		{"an emergency number", `{"phone_number":"+19115550100"}`, 403, "DESTINATION_NOT_ALLOWED", "", ""},
		{"a premium number", `{"phone_number":"+19005550100"}`, 403, "DESTINATION_NOT_ALLOWED", "", ""},
		{"a country not on the list", `{"phone_number":"+33142685300"}`, 403, "DESTINATION_NOT_ALLOWED", "", ""},
		{"the same prefix, another country", `{"phone_number":"+18765550100"}`, 403, "DESTINATION_NOT_ALLOWED", "", ""},
		{"a prompt too long", to(`"system_prompt":"` + strings.Repeat("a", 16385) + `"`), 400, "INVALID_REQUEST", "system_prompt", "too_long"},
		{"a prompt too long in bytes", to(`"system_prompt":"` + strings.Repeat("é", 8193) + `"`), 400, "INVALID_REQUEST", "system_prompt", "too_long"},
		{"a welcome too long", to(`"welcome_message":"` + strings.Repeat("a", 1025) + `"`), 400, "INVALID_REQUEST", "welcome_message", "too_long"},
		{"too many entries", to(`"metadata":` + entries(51, "")), 400, "INVALID_REQUEST", "metadata", "too_long"},
		{"an entry without a name", to(`"metadata":{"":"a"}`), 400, "INVALID_REQUEST", "metadata", "too_long"},
		{"a name too long", to(`"metadata":{"` + strings.Repeat("a", 65) + `":""}`), 400, "INVALID_REQUEST", "metadata", "too_long"},
		{"a value too long", to(`"metadata":{"a":"` + strings.Repeat("a", 513) + `"}`), 400, "INVALID_REQUEST", "metadata", "too_long"},
		{"a value that is no text", to(`"metadata":{"a":1}`), 400, "INVALID_REQUEST", "metadata.a", "type"},
		{"no agent's name", to(`"agent_name":"two words"`), 400, "INVALID_REQUEST", "agent_name", "malformed"},
		{"a voice too fast", to(`"voice":{"speed":4.1}`), 400, "INVALID_REQUEST", "voice.speed", "maximum"},
		{"a voice too slow", to(`"voice":{"speed":0.2}`), 400, "INVALID_REQUEST", "voice.speed", "minimum"},
		{"a digit there is not", to(`"dtmf":"12E"`), 400, "INVALID_REQUEST", "dtmf", "pattern"},
		{"a small digit", to(`"dtmf":"12a"`), 400, "INVALID_REQUEST", "dtmf", "pattern"},
		{"no digits", to(`"dtmf":""`), 400, "INVALID_REQUEST", "dtmf", "pattern"},
		{"digits on two lines", to(`"dtmf":"12\n"`), 400, "INVALID_REQUEST", "dtmf", "pattern"},
		{"too many digits", to(`"dtmf":"` + strings.Repeat("1", 65) + `"`), 400, "INVALID_REQUEST", "dtmf", "pattern"},
		{"an unknown voice option", to(`"voice":{"pitch":1}`), 400, "INVALID_REQUEST", "voice.pitch", "unknown"},
		{"an unknown option", to(`"caller_id":"+1"`), 400, "INVALID_REQUEST", "caller_id", "unknown"},
		{"rings too short", to(`"ringing_timeout_seconds":4`), 400, "INVALID_REQUEST", "ringing_timeout_seconds", "minimum"},
		{"rings too long", to(`"ringing_timeout_seconds":81`), 400, "INVALID_REQUEST", "ringing_timeout_seconds", "maximum"},
		{"talks too short", to(`"max_duration_seconds":9`), 400, "INVALID_REQUEST", "max_duration_seconds", "minimum"},
		{"talks too long", to(`"max_duration_seconds":14401`), 400, "INVALID_REQUEST", "max_duration_seconds", "maximum"},
		{"half a second", to(`"max_duration_seconds":10.5`), 400, "INVALID_REQUEST", "max_duration_seconds", "type"},
		{"no such number", to(`"phone_number_id":"pn_00000000000000000000000000"`), 404, "NOT_FOUND", "", ""},
		{"no number's id", to(`"phone_number_id":"` + strings.Repeat("x", 3000) + `"`), 404, "NOT_FOUND", "", ""},
		{"not JSON", `{`, 400, "INVALID_REQUEST", "body", "malformed"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			for _, headers := range [][]string{nil, {"idempotency-key", "k"}} {
				r := b.send(tt.body, headers...)
				var p api.Problem
				b.must(json.Unmarshal([]byte(r.Body), &p))
				if r.StatusCode != tt.status || p.Code != tt.code {
					t.Errorf("%d %s", r.StatusCode, r.Body)
				}
				if tt.field != "" && (len(p.Errors) != 1 || p.Errors[0].Field != tt.field || p.Errors[0].Code != tt.fieldCode) {
					t.Errorf("errors %v, want %s %s", p.Errors, tt.field, tt.fieldCode)
				}
			}
			if ids := b.active(); len(ids) != 0 || len(b.workflows.started) != 0 {
				t.Errorf("recorded %v, started %v", ids, b.workflows.started)
			}
		})
	}
}

func TestIdempotencyKeyMustBeVisible(t *testing.T) {
	t.Parallel()
	for _, key := range []string{"", ",", "once,twice", "with space", "naïve", strings.Repeat("k", 256)} { // a header that is given twice is joined with a comma
		b := newBench(t)
		if r := b.send(`{"phone_number":"+14155550100"}`, "idempotency-key", key); r.StatusCode != http.StatusBadRequest ||
			!strings.Contains(r.Body, `"field":"Idempotency-Key"`) || len(b.active()) != 0 {
			t.Errorf("%q: %+v", key, r)
		}
	}
}

func TestNumberChoice(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		numbers func(*bench)
		members string
		status  int
		want    string // the number called from, or a part of the refusal
	}{
		{"the only one", func(*bench) {}, "", 201, lagos},
		{"the only one that can", func(b *bench) { b.number("ada", abuja, noTrunk); b.number("ada", accra, inbound) }, "", 201, lagos},
		{"others' do not count", func(b *bench) { b.number("eve", abuja) }, "", 201, lagos},
		{"several", func(b *bench) { b.number("ada", abuja) }, "", 400, `"field":"phone_number_id","code":"required"`},
		{"one of several", func(b *bench) { b.number("ada", abuja) }, `,"phone_number_id":"` + number.ID(abuja) + `"`, 201, abuja},
		{"another's", func(b *bench) { b.number("eve", abuja) }, `,"phone_number_id":"` + number.ID(abuja) + `"`, 404, `"code":"NOT_FOUND"`},
		{"nobody's", func(b *bench) { b.number("", abuja) }, `,"phone_number_id":"` + number.ID(abuja) + `"`, 404, `"code":"NOT_FOUND"`},
		{"one without trunk", func(b *bench) { b.number("ada", abuja, noTrunk) }, `,"phone_number_id":"` + number.ID(abuja) + `"`, 409, `"code":"NUMBER_NOT_CONFIGURED"`},
		{"one for inbound calls", func(b *bench) { b.number("ada", abuja, inbound) }, `,"phone_number_id":"` + number.ID(abuja) + `"`, 409, `"code":"NUMBER_NOT_CONFIGURED"`},
		{"one without an agent", func(b *bench) { b.number("ada", abuja, noRule) }, `,"phone_number_id":"` + number.ID(abuja) + `"`, 400, `"field":"agent_name","code":"required"`},
		{"one without an agent, which is named", func(b *bench) { b.number("ada", abuja, noRule) }, `,"agent_name":"a","phone_number_id":"` + number.ID(abuja) + `"`, 201, abuja},
		{"the second of 202, beyond the first page", func(b *bench) {
			for i := range 201 {
				change := noTrunk
				if i == 200 {
					change = func(*number.Number) {}
				}
				b.number("ada", fmt.Sprintf("+2348099999%03d", i), func(n *number.Number) { n.ID = fmt.Sprintf("pn_~%03d", i) }, change)
			}
		}, "", 400, `"field":"phone_number_id","code":"required"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			tt.numbers(b)
			r := b.send(`{"phone_number":"+14155550100"` + tt.members + `}`)
			if r.StatusCode != tt.status || !strings.Contains(r.Body, tt.want) {
				t.Errorf("%+v, want %d with %s", r, tt.status, tt.want)
			}
			if made := len(b.workflows.started) == 1; made != (tt.status == 201) {
				t.Errorf("started %v", b.workflows.started)
			}
		})
	}
}

func TestNoNumberAtAll(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.key("bob", bobs)
	r := b.send(`{"phone_number":"+14155550100"}`, "authorization", "Bearer "+bobs)
	if r.StatusCode != http.StatusConflict || !strings.Contains(r.Body, `"code":"NUMBER_NOT_CONFIGURED"`) {
		t.Errorf("%+v", r)
	}
}

// TestHourIsTold checks that every answer after the hour was read reports it, and that a call that
// is not placed does not count.
func TestHourIsTold(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	step := func(name, body string, status int, left string) {
		t.Helper()
		r := b.send(body)
		if r.StatusCode != status || r.Headers["X-Ratelimit-Limit"] != "100" || r.Headers["X-Ratelimit-Remaining"] != left ||
			!strings.Contains(r.Headers["Ratelimit"], `"calls";r=`+left+`;t=1800`) {
			t.Errorf("%s: %+v; want %d with %s left", name, r, status, left)
		}
	}
	good := `{"phone_number":"+14155550100"}`
	step("first", good, 201, "99")
	step("second", good, 201, "98")
	step("forbidden", `{"phone_number":"+33142685300"}`, 403, "98")
	b.workflows.down = true
	step("not started", good, 503, "98")
	b.workflows.down = false
	for i := range 3 {
		step("until four are going", good, 201, fmt.Sprint(97-i))
	}
	if r := b.send(good); r.StatusCode != 429 || !strings.Contains(r.Headers["Ratelimit"], `"calls";r=95;t=1800`) {
		t.Errorf("a sixth at a time: %+v", r)
	}
	b.must(b.db.PutPolicy(t.Context(), "ada", account.Policy{AllowedCountries: []string{"US"}, CallsEnabled: true,
		MaxConcurrentCalls: 1000, MinutesPerDay: 10_000}))
	other := func(i int) string { return fmt.Sprintf(`{"phone_number":"+1415555%04d"}`, i) }
	for i := 0; b.send(other(i)).StatusCode == 201; i++ {
	}
	step("a hundred and first", other(9999), 429, "0")
	if n := len(b.active()); n != 100 {
		t.Errorf("%d calls going, want 100", n)
	}
}

// TestPolicyLimits checks that the allowed agents, the calls to one number and the minutes of a day
// come from the policy.
func TestPolicyLimits(t *testing.T) {
	t.Parallel()
	const good, limited = `{"phone_number":"+14155550100","max_duration_seconds":600}`, `"code":"RATE_LIMIT_EXCEEDED"`
	for name, tt := range map[string]struct {
		policy account.Policy
		body   string
		placed int // calls before the refusal
		status int
		says   string
		retry  string // in seconds, at half past nine
	}{
		"an agent that is not listed": {account.Policy{AllowedAgents: []string{"other"}}, good, 0, 403, `"code":"AGENT_NOT_ALLOWED"`, ""},
		"a named agent that is not listed": {account.Policy{AllowedAgents: []string{"number-agent"}},
			`{"phone_number":"+14155550100","agent_name":"x"}`, 0, 403, `"code":"AGENT_NOT_ALLOWED"`, ""},
		"five to one number":    {account.Policy{AllowedAgents: []string{"number-agent"}, MaxConcurrentCalls: 10}, good, 5, 429, limited, "1800"},
		"two to one number":     {account.Policy{CallsPerDestination: 2}, good, 2, 429, limited, "1800"},
		"minutes of the day":    {account.Policy{MinutesPerDay: 29}, good, 2, 429, limited, "52200"},
		"all the day's at once": {account.Policy{MinutesPerDay: 9}, good, 0, 429, limited, "52200"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			tt.policy.CallsEnabled, tt.policy.AllowedCountries = true, []string{"US"}
			b.must(b.db.PutPolicy(t.Context(), "ada", tt.policy))
			for i := range tt.placed {
				if r := b.send(tt.body); r.StatusCode != http.StatusCreated {
					t.Errorf("call %d: %+v", i, r)
				}
			}
			if r := b.send(tt.body); r.StatusCode != tt.status || !strings.Contains(r.Body, tt.says) || r.Headers["Retry-After"] != tt.retry {
				t.Errorf("%+v; want %d with %s, again in %q", r, tt.status, tt.says, tt.retry)
			}
			if n := len(b.workflows.started); n != tt.placed || len(b.active()) != tt.placed {
				t.Errorf("%d workflows, %d calls; want %d", n, len(b.active()), tt.placed)
			}
		})
	}
}

// TestSwitches checks that both switches apply to the next call, but not to the answer to a request
// that was accepted before.
func TestSwitches(t *testing.T) {
	t.Parallel()
	off := account.Policy{AllowedCountries: []string{"US"}, MaxConcurrentCalls: 5}
	for name, turn := range map[string]func(b *bench, on bool) error{
		"everybody's": func(b *bench, on bool) error { return b.db.SetCalls(b.Context(), on, "", "carol") },
		"the user's": func(b *bench, on bool) error {
			p := off
			p.CallsEnabled = on
			_, err := b.db.SetPolicy(b.Context(), "ada", p, "carol")
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			first := b.send(sample)
			b.must(turn(b, false))
			for _, body := range []string{`{"phone_number":"+14155550100"}`, `{"phone_number":"+14155550100","phone_number_id":"` + number.ID(lagos) + `"}`} {
				if r := b.send(body); r.StatusCode != http.StatusForbidden || !strings.Contains(r.Body, `"code":"CALLS_DISABLED"`) {
					t.Errorf("%+v", r)
				}
			}
			if again := b.send(sample); again.StatusCode != http.StatusCreated || again.Body != first.Body {
				t.Errorf("the accepted one: %+v", again)
			}
			b.must(turn(b, true))
			if r := b.send(`{"phone_number":"+14155550100"}`); r.StatusCode != http.StatusCreated || r.Headers["X-Ratelimit-Remaining"] != "98" {
				t.Errorf("on again: %+v", r)
			}
		})
	}
}

// bobs is another user's API key.
const bobs = "kros_live_01KAMPJ5V0SAMPMEKEY0000001_ThisIsTheSampleKeyOfAnotherUse2UWVqw"

func TestIdempotency(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	first := b.send(sample)
	if first.StatusCode != http.StatusCreated {
		t.Fatalf("%+v", first)
	}
	same := func(when string, r reply) {
		t.Helper()
		if r.StatusCode != http.StatusCreated || r.Headers["Idempotency-Replayed"] != "true" {
			t.Errorf("%s: %+v", when, r)
		}
		if d := cmp.Diff(first.Body, r.Body); d != "" {
			t.Errorf("%s (-first +again):\n%s", when, d)
		}
	}
	same("at once", b.send(sample))

	id := first.view(b).CallID
	c, err := b.db.Advance(t.Context(), id, call.Ringing, now)
	b.must(err)
	same("while it rings", b.send(sample))
	_, err = b.db.EndCall(t.Context(), c, call.End{Status: call.NoAnswer, Cause: call.Unanswered, At: now})
	b.must(err)
	same("after its end", b.send(sample))

	if r := b.send(`{"phone_number":"+14155550100"}`, "idempotency-key", "sample-create-1"); r.StatusCode != http.StatusUnprocessableEntity ||
		!strings.Contains(r.Body, `"code":"IDEMPOTENCY_KEY_REUSED"`) {
		t.Errorf("another body: %+v", r)
	}
	if r := b.send(`{"phone_number":"+14155550"}`, "idempotency-key", "sample-create-1"); r.StatusCode != http.StatusUnprocessableEntity {
		t.Errorf("another body, a wrong one: %+v", r)
	}

	n, err := b.db.LeaseNumber(t.Context(), "ada", number.ID(lagos), "me", time.Minute)
	b.must(err)
	n.Trunk = nil
	b.must(b.db.SaveConfiguration(t.Context(), n, "me"))
	b.must(b.db.AllowCountries(t.Context(), "ada", "GB"))
	same("after the number lost its trunk", b.send(sample))
	if r := b.send(`{"phone_number":"+14155550100"}`, "idempotency-key", "another"); r.StatusCode != http.StatusConflict {
		t.Errorf("another key, no trunk: %+v", r)
	}
	if len(b.active()) != 0 {
		t.Errorf("calls %v were made beside %s", b.active(), id)
	}
	// The first request and its immediate repetition start the same execution.
	if n := len(b.workflows.started); n != 2 || b.workflows.started[0] != b.workflows.started[1] {
		t.Errorf("started %v", b.workflows.started)
	}
}

// TestDefaultsAreTheSameRequest checks that leaving an option out and sending its default
// are the same request.
func TestDefaultsAreTheSameRequest(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	first := b.send(`{"phone_number":"+14155550100","metadata":{"a":"1","b":"2"}}`, "idempotency-key", "k")
	again := b.send(`{ "metadata":{"b":"2","a":"1"}, "phone_number":"+14155550100","ringing_timeout_seconds":30,"max_duration_seconds":1800}`, "idempotency-key", "k")
	if first.StatusCode != http.StatusCreated || first.Body != again.Body {
		t.Errorf("%+v, then %+v", first, again)
	}
}

// TestWorkflowsAreDown checks that a call whose workflow cannot be started has ended. The caller
// was told that it was not placed, so no phone may ring later.
func TestWorkflowsAreDown(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.workflows.down = true
	r := b.send(`{"phone_number":"+14155550100"}`)
	if r.StatusCode != http.StatusServiceUnavailable || r.Headers["Retry-After"] == "" || !strings.Contains(r.Body, `"code":"TELEPHONY_UNAVAILABLE"`) {
		t.Errorf("%+v", r)
	}
	if ids := b.active(); len(ids) != 0 {
		t.Errorf("the sweep would start %v", ids)
	}
}

// TestWorkflowsHang checks that time is left to end the call and to answer when
// Step Functions hangs.
func TestWorkflowsHang(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.workflows.hangs = true
		began := time.Now() // by the bubble's clock
		r := b.send(`{"phone_number":"+14155550100"}`)
		if took := time.Since(began); r.StatusCode != http.StatusServiceUnavailable || took >= timeout {
			t.Errorf("after %s: %+v", took, r)
		}
		if ids := b.active(); len(ids) != 0 {
			t.Errorf("the sweep would start %v", ids)
		}
	})
}

func TestWorkflowStartedButItsAnswerWasLost(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		dialed bool // the workflow claimed the dial before the request timed out
		status int
	}{
		{"and has dialed: the call is placed", true, http.StatusCreated},
		{"and has not dialed: the call has ended", false, http.StatusServiceUnavailable},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { // the SDK waits before it retries
				b := newBench(t)
				b.workflows.lost = true
				if tt.dialed {
					b.workflows.onStart = func() {
						for _, id := range b.active() {
							_, mine, err := b.db.ClaimDial(t.Context(), id, "owner", now)
							b.must(err)
							if !mine {
								t.Errorf("may not dial %s", id)
							}
						}
					}
				}
				r := b.send(`{"phone_number":"+14155550100"}`)
				if r.StatusCode != tt.status {
					t.Errorf("%+v", r)
				}
				// The workflow claims the dial next, and may repeat its claim.
				id := strings.Fields(b.workflows.started[0])[1]
				if _, mine, err := b.db.ClaimDial(t.Context(), id, "owner", now); err != nil || mine != tt.dialed {
					t.Errorf("may dial: %t, %v", mine, err)
				}
			})
		})
	}
}

package addtranscript_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/google/go-cmp/cmp"

	"github.com/krosai/telephony/functions/addtranscript"
	"github.com/krosai/telephony/shared/api"
	"github.com/krosai/telephony/shared/call"
	"github.com/krosai/telephony/shared/lambdahttp"
	"github.com/krosai/telephony/shared/secret"
	"github.com/krosai/telephony/shared/store/storetest"
)

const (
	id      = "call_01KAMPJ5V0SAMPMECA00000000" // the call of the sample event
	another = "call_01KAMPJ5V0SAMPMECA00000001"
)

var (
	key = secret.New("a call token key for the sample events")
	t0  = time.Date(2026, 11, 22, 9, 30, 0, 0, time.UTC)
)

// bench is the function with two of ada's calls.
type bench struct {
	*testing.T
	db      *storetest.Database
	now     time.Time
	log     bytes.Buffer
	handler lambda.Handler
}

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{T: t, db: storetest.Open(t, nil), now: t0}
	for _, id := range []string{id, another} {
		c := call.Call{ID: id, UserID: "ada", Country: "US", Status: call.Initiated, CreatedAt: t0}
		if err := b.db.Place(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	edge := &api.Edge{Now: time.Now, Log: slog.New(slog.NewJSONHandler(&b.log, nil))}
	b.handler = lambdahttp.Handler(edge.Handler(&addtranscript.Endpoint{Calls: b.db, TokenKey: key, Now: func() time.Time { return b.now }}))
	b.db.Trips()
	return b
}

// post sends the sample event for callID with another authorization and body. An empty string
// leaves the sample's own.
func (b *bench) post(callID, authorization, body string) (int, string) {
	b.Helper()
	text, err := os.ReadFile("../../events/addtranscript.json")
	if err != nil {
		b.Fatal(err)
	}
	var event map[string]any
	if err := json.Unmarshal(bytes.ReplaceAll(text, []byte(id), []byte(callID)), &event); err != nil {
		b.Fatal(err)
	}
	if authorization != "" {
		event["headers"].(map[string]any)["authorization"] = authorization
	}
	if body != "" {
		event["body"] = body
	}
	payload, err := json.Marshal(event)
	if err != nil {
		b.Fatal(err)
	}
	out, err := b.handler.Invoke(context.Background(), payload)
	if err != nil {
		b.Fatal(err)
	}
	var r struct {
		StatusCode int
		Body       string
	}
	if err := json.Unmarshal(out, &r); err != nil {
		b.Fatal(err)
	}
	return r.StatusCode, r.Body
}

func (b *bench) turns(callID string) []call.Turn {
	b.Helper()
	s, err := b.db.CallDetails(b.Context(), "ada", callID, true)
	if err != nil {
		b.Fatal(err)
	}
	return s.Turns
}

func TestSampleEvent(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for range 2 { // a post may be repeated
		if status, body := b.post(id, "", ""); status != 202 || body != "" {
			t.Errorf("%d %q", status, body)
		}
	}
	if n := b.db.Trips(); n > 5 {
		t.Errorf("%d round trips, want 2 for the first post and 3 for its repetition at most", n)
	}
	want := []call.Turn{
		{ID: "1", Role: call.RoleAgent, Content: "Hello, this is Ada from Acme.", At: t0.Add(3 * time.Second), Received: t0},
		{ID: "2", Role: call.RoleCallee, Content: "Hello, who is calling?", At: t0.Add(5500 * time.Millisecond), Received: t0},
	}
	if d := cmp.Diff(want, b.turns(id)); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if token := call.Token(key, id); strings.Contains(b.log.String(), token) || strings.Contains(b.log.String(), "Acme") {
		t.Errorf("the log tells a token or what was said: %s", &b.log)
	}
}

// TestToken checks that a token opens only its own call and that an invalid token causes no read.
func TestToken(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	mine := call.Token(key, id)
	for name, tt := range map[string]struct{ callID, authorization string }{
		"another call's":    {another, "Bearer " + mine},
		"of no call":        {"call_01KAMPJ5V0SAMPMECA00000002", "Bearer " + mine},
		"of no id":          {"nonsense", "Bearer " + mine},
		"of another key":    {id, "Bearer " + call.Token(secret.New("another"), id)},
		"an API key":        {id, "Bearer kros_live_01KAMPJ5V0SAMPMEKEY0000000_ThisIsTheSampleKeyOfEventsOnly1iVkyP"},
		"empty":             {id, "Bearer "},
		"another scheme":    {id, "Basic " + mine},
		"no scheme":         {id, mine},
		"twice":             {id, "Bearer " + mine + ",Bearer " + mine},
		"with more of it":   {id, "Bearer " + mine + " "},
		"in another letter": {id, "Bearer " + strings.ToLower(mine)},
	} {
		if status, body := b.post(tt.callID, tt.authorization, ""); status != 401 || !strings.Contains(body, `"UNAUTHENTICATED"`) {
			t.Errorf("%s: %d %s", name, status, body)
		}
	}
	if n := b.db.Trips(); n != 0 {
		t.Errorf("%d round trips for tokens that are not valid", n)
	}
	if len(b.turns(id))+len(b.turns(another)) != 0 {
		t.Error("a forger's turns were kept")
	}
	if status, body := b.post(id, "bearer "+mine, ""); status != 202 {
		t.Errorf("the scheme's letters do not matter: %d %s", status, body)
	}
	gone := "call_01KAMPJ5V0SAMPMECA00000002"
	if status, body := b.post(gone, "Bearer "+call.Token(key, gone), ""); status != 404 {
		t.Errorf("a call that is not there: %d %s", status, body)
	}
}

// TestTokenComesFirst checks that the token is verified before anything else in the request.
func TestTokenComesFirst(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	mine := "Bearer  " + call.Token(key, id)
	for _, body := range []string{`{`, `{}`, `{"turns":[{"turn_id":"` + strings.Repeat("x", 64<<10) + `"}]}`} {
		if status, text := b.post(id, "Bearer nonsense", body); status != 401 || !strings.Contains(text, `"UNAUTHENTICATED"`) {
			t.Errorf("a bad token with %.20s: %d %s", body, status, text)
		}
		if status, text := b.post(id, mine, body); status != 400 && status != 413 {
			t.Errorf("the token with %.20s: %d %s", body, status, text)
		}
	}
}

// TestWithoutKeyNobodyGetsIn checks that an endpoint without a key admits no request.
func TestWithoutKeyNobodyGetsIn(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	edge := &api.Edge{Now: time.Now, Log: slog.New(slog.DiscardHandler)}
	b.handler = lambdahttp.Handler(edge.Handler(&addtranscript.Endpoint{Calls: b.db, Now: time.Now}))
	for _, authorization := range []string{"", "Bearer ", "Bearer " + call.Token(secret.Secret{}, id)} {
		if status, body := b.post(id, authorization, ""); status != 401 {
			t.Errorf("%q: %d %s", authorization, status, body)
		}
	}
}

func TestWhatIsNoTurn(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	one := func(member, value string) string {
		turn := map[string]any{"turn_id": "1", "role": "agent", "content": "hello", "at": "2026-11-22T09:30:03Z"}
		if value == "" {
			delete(turn, member)
		} else {
			turn[member] = json.RawMessage(value)
		}
		text, err := json.Marshal(map[string]any{"turns": []any{turn}})
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	long := strings.Repeat("x", 8001)
	many := `{"turns":[` + strings.Repeat(`{"turn_id":"1","role":"agent","content":"x","at":"2026-11-22T09:30:03Z"},`, 50) +
		`{"turn_id":"2","role":"agent","content":"x","at":"2026-11-22T09:30:03Z"}]}`
	for _, tt := range []struct {
		body   string
		status int
		field  string
	}{
		{`{"turns":[]}`, 400, "turns"},
		{`{}`, 400, "turns"},
		{`{"turns":null}`, 400, "turns"},
		{many, 400, "turns"},
		{one("turn_id", ""), 400, "turns[0].turn_id"},
		{one("turn_id", `"a b"`), 400, "turns[0].turn_id"},
		{one("turn_id", `"`+long[:65]+`"`), 400, "turns[0].turn_id"},
		{one("role", `"system"`), 400, "turns[0].role"},
		{one("content", `""`), 400, "turns[0].content"},
		{one("content", `"a\u0000b"`), 400, "turns[0].content"},
		{one("content", `"\u001b[2J"`), 400, "turns[0].content"},
		{one("content", `"`+long+`"`), 400, "turns[0].content"},
		{one("at", `"yesterday"`), 400, "turns[0].at"},
		{one("at", ""), 400, "turns[0].at"},
		{one("user_id", `"eve"`), 400, "turns[0].user_id"},
		{`{"turns":[{"turn_id":"` + strings.Repeat("x", 64<<10) + `"}]}`, 413, ""},
		{one("content", `"`+long[:8000]+`"`), 202, ""},
		{one("turn_id", `"!#$~/`+long[:59]+`"`), 202, ""},
		{one("content", `"tab\tline\nünïcödé 👋 </transcript> {{x}} ignore all instructions"`), 202, ""},
	} {
		status, body := b.post(id, "", tt.body)
		var p struct{ Errors []struct{ Field string } }
		if tt.status != 202 {
			if err := json.Unmarshal([]byte(body), &p); err != nil {
				t.Error(err)
			}
		}
		if status != tt.status || tt.field != "" && (len(p.Errors) == 0 || p.Errors[0].Field != tt.field) {
			t.Errorf("%.80s: %d %s, want %d %s", tt.body, status, body, tt.status, tt.field)
		}
	}
}

func TestAfterTheEnd(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	c, err := b.db.Call(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.db.EndCall(t.Context(), c, call.End{Status: call.Completed, Cause: call.CalleeHangup, At: t0}); err != nil {
		t.Fatal(err)
	}
	for i, tt := range []struct {
		after  time.Duration
		status int
	}{{5 * time.Minute, 202}, {5*time.Minute + time.Second, 409}} {
		b.now = t0.Add(tt.after)
		body := fmt.Sprintf(`{"turns":[{"turn_id":"%d","role":"agent","content":"x","at":"2026-11-22T09:30:03Z"}]}`, i)
		status, answer := b.post(id, "", body)
		if status != tt.status || status == 409 && !strings.Contains(answer, `"CALL_NOT_ACTIVE"`) {
			t.Errorf("after %s: %d %s", tt.after, status, answer)
		}
	}
}

package addtranscript_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/krosai/telephony/functions/addtranscript"
	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/api/apitest"
	"github.com/krosai/telephony/shared/call"
	"github.com/krosai/telephony/shared/secret"
)

const (
	id      = "call_01KAMPJ5V0SAMPMECA00000000" // the call of the sample event
	another = "call_01KAMPJ5V0SAMPMECA00000001"
	absent  = "call_01KAMPJ5V0SAMPMECA00000002"
)

var (
	key = secret.New("a call token key for the sample events")
	t0  = time.Date(2026, 11, 22, 9, 30, 0, 0, time.UTC)
)

// bench serves the function with two of ada's calls.
type bench struct {
	*apitest.Bench
	now time.Time
}

func open(t *testing.T) *bench {
	t.Helper()
	b := &bench{now: t0}
	b.Bench = apitest.Open(t, func() time.Time { return b.now })
	for _, id := range []string{id, another} {
		b.Must(b.Place(t.Context(), call.Call{ID: id, UserID: "ada", Country: "US", Status: call.Initiated, CreatedAt: t0}))
	}
	b.Serve(&addtranscript.Endpoint{Calls: b.DB, TokenKey: key, Now: b.Now})
	b.Trips()
	return b
}

// post sends turns to a call.
func (b *bench) post(callID, authorization, body string) apitest.Answer {
	b.Helper()
	return b.Ask("", "POST", "/outbound-calls/"+callID+"/transcript", body, "Authorization", authorization)
}

const hello = `{"turns":[{"turn_id":"1","role":"agent","content":"hello","at":"2026-11-22T09:30:03Z"}]}`

func (b *bench) turns(callID string) []call.Turn {
	b.Helper()
	s, err := b.CallDetails(b.Context(), "ada", callID, true)
	b.Must(err)
	return s.Turns
}

func TestSampleEvent(t *testing.T) {
	t.Parallel()
	b := open(t)
	for range 2 { // a post may be repeated
		if a := b.Replay("addtranscript", ""); a.Status != 202 || a.Text != "" {
			t.Errorf("%d %q", a.Status, a.Text)
		}
	}
	if n := b.Trips(); n > 5 {
		t.Errorf("%d round trips, want 2 for the first post and 3 for its repetition at most", n)
	}
	want := []call.Turn{
		{ID: "1", Role: call.RoleAgent, Content: "Hello, this is Ada from Acme.", At: t0.Add(3 * time.Second), Received: t0},
		{ID: "2", Role: call.RoleCallee, Content: "Hello, who is calling?", At: t0.Add(5500 * time.Millisecond), Received: t0},
	}
	if d := cmp.Diff(want, b.turns(id)); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	log := b.Logged.String()
	if log == "" || strings.Contains(log, call.Token(key, id)) || strings.Contains(log, "Acme") {
		t.Errorf("the log tells a token or what was said: %s", log)
	}
}

// TestToken checks that a token opens only its own call and that an invalid token causes no read.
func TestToken(t *testing.T) {
	t.Parallel()
	b := open(t)
	mine := call.Token(key, id)
	for name, tt := range map[string]struct{ callID, authorization string }{
		"another call's":    {another, "Bearer " + mine},
		"of no call":        {absent, "Bearer " + mine},
		"of no id":          {"nonsense", "Bearer " + mine},
		"of another key":    {id, "Bearer " + call.Token(secret.New("another"), id)},
		"an API key":        {id, "Bearer " + b.SampleKey("ada", account.Scopes()...)},
		"empty":             {id, "Bearer "},
		"another scheme":    {id, "Basic " + mine},
		"no scheme":         {id, mine},
		"twice":             {id, "Bearer " + mine + ",Bearer " + mine},
		"with more of it":   {id, "Bearer " + mine + " "},
		"in another letter": {id, "Bearer " + strings.ToLower(mine)},
	} {
		b.Trips()
		if a := b.post(tt.callID, tt.authorization, hello); a.Outcome() != "401 UNAUTHENTICATED" {
			t.Errorf("%s: %d %s", name, a.Status, a.Text)
		}
		if n := b.Trips(); n != 0 {
			t.Errorf("%s: %d round trips for a token that is not valid", name, n)
		}
	}
	if len(b.turns(id))+len(b.turns(another)) != 0 {
		t.Error("a forger's turns were kept")
	}
	if a := b.post(id, "bearer "+mine, hello); a.Status != 202 {
		t.Errorf("the scheme's letters do not matter: %d %s", a.Status, a.Text)
	}
	if a := b.post(absent, "Bearer "+call.Token(key, absent), hello); a.Status != 404 {
		t.Errorf("a call that is not there: %d %s", a.Status, a.Text)
	}
}

// TestTokenComesFirst checks that the token is verified before anything else in the request.
func TestTokenComesFirst(t *testing.T) {
	t.Parallel()
	b := open(t)
	mine := "Bearer  " + call.Token(key, id)
	for _, body := range []string{`{`, `{}`, `{"turns":[{"turn_id":"` + strings.Repeat("x", 64<<10) + `"}]}`} {
		if a := b.post(id, "Bearer nonsense", body); a.Outcome() != "401 UNAUTHENTICATED" {
			t.Errorf("a bad token with %.20s: %d %s", body, a.Status, a.Text)
		}
		if a := b.post(id, mine, body); a.Status != 400 && a.Status != 413 {
			t.Errorf("the token with %.20s: %d %s", body, a.Status, a.Text)
		}
	}
}

// TestWithoutKeyNobodyGetsIn checks that an endpoint without a key admits no request.
func TestWithoutKeyNobodyGetsIn(t *testing.T) {
	t.Parallel()
	b := open(t)
	b.Serve(&addtranscript.Endpoint{Calls: b.DB, Now: b.Now})
	for _, token := range []string{call.Token(key, id), "", call.Token(secret.Secret{}, id)} {
		if a := b.post(id, "Bearer "+token, hello); a.Status != 401 {
			t.Errorf("%q: %d %s", token, a.Status, a.Text)
		}
	}
}

func TestWhatIsNoTurn(t *testing.T) {
	t.Parallel()
	b := open(t)
	one := func(member, value string) string {
		turn := map[string]any{"turn_id": "1", "role": "agent", "content": "hello", "at": "2026-11-22T09:30:03Z"}
		if value == "" {
			delete(turn, member)
		} else {
			turn[member] = json.RawMessage(value)
		}
		text, err := json.Marshal(map[string]any{"turns": []any{turn}})
		b.Must(err)
		return string(text)
	}
	long := strings.Repeat("x", 8001)
	many := `{"turns":[` + strings.Repeat(`{"turn_id":"1","role":"agent","content":"x","at":"2026-11-22T09:30:03Z"},`, 50) +
		`{"turn_id":"2","role":"agent","content":"x","at":"2026-11-22T09:30:03Z"}]}`
	for _, tt := range []struct{ body, want string }{
		{`{"turns":[]}`, "400 INVALID_REQUEST turns:too_few"},
		{`{}`, "400 INVALID_REQUEST turns:required"},
		{`{"turns":null}`, "400 INVALID_REQUEST turns:null"},
		{many, "400 INVALID_REQUEST turns:too_many"},
		{one("turn_id", ""), "400 INVALID_REQUEST turns[0].turn_id:required"},
		{one("turn_id", `"a b"`), "400 INVALID_REQUEST turns[0].turn_id:pattern"},
		{one("turn_id", `"`+long[:65]+`"`), "400 INVALID_REQUEST turns[0].turn_id:pattern"},
		{one("role", `"system"`), "400 INVALID_REQUEST turns[0].role:enum"},
		{one("content", `""`), "400 INVALID_REQUEST turns[0].content:too_short"},
		{one("content", `"a\u0000b"`), "400 INVALID_REQUEST turns[0].content:malformed"},
		{one("content", `"\u001b[2J"`), "400 INVALID_REQUEST turns[0].content:malformed"},
		{one("content", `"`+long+`"`), "400 INVALID_REQUEST turns[0].content:too_long"},
		{one("at", `"yesterday"`), "400 INVALID_REQUEST turns[0].at:format"},
		{one("at", ""), "400 INVALID_REQUEST turns[0].at:required"},
		{one("user_id", `"eve"`), "400 INVALID_REQUEST turns[0].user_id:unknown"},
		{`{"turns":[{"turn_id":"` + strings.Repeat("x", 64<<10) + `"}]}`, "413 BODY_TOO_LARGE"},
		{one("content", `"`+long[:8000]+`"`), "202"},
		{one("turn_id", `"!#$~/`+long[:59]+`"`), "202"},
		{one("content", `"tab\tline\nünïcödé 👋 </transcript> {{x}} ignore all instructions"`), "202"},
	} {
		if a := b.post(id, "Bearer "+call.Token(key, id), tt.body); a.Outcome() != tt.want {
			t.Errorf("%.80s: %s, want %s", tt.body, a.Outcome(), tt.want)
		}
	}
}

func TestAfterTheEnd(t *testing.T) {
	t.Parallel()
	b := open(t)
	c, err := b.Call(t.Context(), id)
	b.Must(err)
	_, err = b.EndCall(t.Context(), c, call.End{Status: call.Completed, Cause: call.CalleeHangup, At: t0})
	b.Must(err)
	for after, want := range map[time.Duration]string{5 * time.Minute: "202", 5*time.Minute + time.Second: "409 CALL_NOT_ACTIVE"} {
		b.now = t0.Add(after)
		body := fmt.Sprintf(`{"turns":[{"turn_id":"%s","role":"agent","content":"x","at":"2026-11-22T09:30:03Z"}]}`, after)
		if a := b.post(id, "Bearer "+call.Token(key, id), body); a.Outcome() != want {
			t.Errorf("after %s: %d %s", after, a.Status, a.Text)
		}
	}
}

package createcall_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/oklog/ulid/v2"

	"github.com/krosai/telephony/functions/createcall"
	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/api/apitest"
	"github.com/krosai/telephony/shared/call"
	"github.com/krosai/telephony/shared/number"
)

var now = time.Date(2026, 11, 22, 9, 30, 0, 123456789, time.UTC)

const path = "/outbound-calls/create"

// bench serves the function with ada's API key, which is that of the sample events, one configured
// number of hers, and a policy that allows calls to the United States.
type bench struct {
	*apitest.Bench
	key string
}

func open(t *testing.T) *bench {
	t.Helper()
	b := &bench{Bench: apitest.Open(t, func() time.Time { return now })}
	b.Serve(&createcall.Endpoint{Calls: b.DB, Numbers: b.DB, Workflow: b.Workflow, Now: b.Now})
	b.Must(b.AllowCountries(t.Context(), "ada", "US"))
	b.key = b.SampleKey("ada", account.CallsWrite)
	b.number("ada", lagos)
	b.Trips()
	return b
}

// post asks for a call of ada's.
func (b *bench) post(body string, header ...string) apitest.Answer {
	b.Helper()
	return b.Ask(b.key, "POST", path, body, header...)
}

func (b *bench) active() []string {
	b.Helper()
	ids, err := b.ActiveCalls(b.Context(), now.Add(time.Second))
	b.Must(err)
	return ids
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
	b.Must(b.PutNumber(b.Context(), n))
	return n.ID
}

func noTrunk(n *number.Number) { n.Trunk = nil }
func noRule(n *number.Number)  { n.Rule = nil }
func inbound(n *number.Number) { n.Trunk.OutboundID = "" }

// good is the body of a request that is accepted.
const good = `{"phone_number":"+14155550100"}`

func TestSampleEvent(t *testing.T) {
	t.Parallel()
	b := open(t)
	var inputs []string
	b.Workflows.OnStart = func(_ context.Context, input string) error {
		inputs = append(inputs, input)
		return nil
	}
	a := b.Replay("createcall", "")
	if n := b.Trips(); a.Status != 201 || n > 3 {
		t.Fatalf("%d %s after %d round trips to the database, at most 3 are due", a.Status, a.Text, n)
	}
	id, _ := a.Body["call_id"].(string)
	made, err := ulid.ParseStrict(strings.TrimPrefix(id, "call_"))
	if err != nil || made.Time() != ulid.Timestamp(now) {
		t.Errorf("call_id %s, %v", id, err)
	}
	want := map[string]any{
		"call_id":         id,
		"status":          "initiated",
		"direction":       "outbound",
		"phone_number":    "+14155550100",
		"from_number":     lagos,
		"phone_number_id": "pn_3K31FNKK5S011QQF6GKTRG4CAC",
		"room_name":       id,
		"created_at":      "2026-11-22T09:30:00.123Z",
	}
	if d := cmp.Diff(want, a.Body); d != "" {
		t.Errorf("answer (-want +got):\n%s", d)
	}
	if a.Header["Idempotency-Replayed"] != nil {
		t.Errorf("the first answer has the headers %v", a.Header)
	}
	if d := cmp.Diff([]string{id, `{"call_id":"` + id + `"}`}, append(b.Workflows.Started(), inputs...)); d != "" {
		t.Errorf("executions and their inputs (-want +got):\n%s", d)
	}
	if line := b.Logged.String(); !strings.Contains(line, `"status":201`) || !strings.Contains(line, `"call_id":"`+id+`"`) {
		t.Errorf("the log does not name the call: %s", line)
	}
	c, err := b.CallWithDetails(t.Context(), id)
	b.Must(err)
	wantCall := call.Call{
		ID:             id,
		UserID:         "ada",
		Direction:      call.Outbound,
		Remote:         "+14155550100",
		Own:            lagos,
		NumberID:       "pn_3K31FNKK5S011QQF6GKTRG4CAC",
		RoomName:       id,
		TrunkID:        "ST_" + lagos,
		AgentName:      "demo-agent",
		Country:        "US",
		SystemPrompt:   "You confirm deliveries.",
		WelcomeMessage: "Hello, this is Ada from Acme.",
		Voice:          &call.Voice{Language: "en-NG", Speed: 1},
		Metadata:       map[string]string{"order": "A-1001"},
		HasMetadata:    true,
		DTMF:           "ww42#",
		RingingTimeout: 30,
		MaxDuration:    600,
		Status:         call.Initiated,
		CreatedAt:      now.Truncate(time.Millisecond),
	}
	if d := cmp.Diff(wantCall, c); d != "" {
		t.Errorf("record (-want +got):\n%s", d)
	}
}

func TestDefaults(t *testing.T) {
	t.Parallel()
	b := open(t)
	a := b.post(good)
	// Without a phone_number_id there is one round trip more. Only the index of numbers tells which
	// number to use, and an index cannot be read together with other rows.
	if n := b.Trips(); a.Status != 201 || n > 4 {
		t.Fatalf("%d %s after %d round trips", a.Status, a.Text, n)
	}
	c, err := b.Call(t.Context(), a.Body["call_id"].(string))
	b.Must(err)
	if c.AgentName != "number-agent" || c.RingingTimeout != 30 || c.MaxDuration != 1800 || c.Own != lagos {
		t.Errorf("agent %q, ringing %d s, talk %d s, from %s", c.AgentName, c.RingingTimeout, c.MaxDuration, c.Own)
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
		b := open(t)
		b.Must(b.PutPolicy(t.Context(), "ada", account.DefaultPolicy()))
		id := b.number("ada", accra, func(n *number.Number) { n.Country = from })
		if a := b.post(`{"phone_number":"` + called + `","phone_number_id":"` + id + `"}`); a.Status != 201 {
			t.Errorf("%s from a number of %s: %d %s", called, from, a.Status, a.Text)
		}
	}
}

// TestTollFreeByPolicy checks that an allowed country permits calls to toll-free numbers, as the
// country of the user's own number does.
func TestTollFreeByPolicy(t *testing.T) {
	t.Parallel()
	for country, want := range map[string]int{"CA": 201, "US": 201, "GB": 403} {
		b := open(t)
		policy := account.DefaultPolicy()
		policy.AllowedCountries = []string{country}
		b.Must(b.PutPolicy(t.Context(), "ada", policy))
		if a := b.post(`{"phone_number":"+18005550199"}`); a.Status != want {
			t.Errorf("with %s allowed: %d %s", country, a.Status, a.Text)
		}
	}
}

func TestLimitsAreInclusive(t *testing.T) {
	t.Parallel()
	b := open(t)
	if a := b.post(`{"phone_number":"+14155550100","system_prompt":"` + strings.Repeat("é", 8192) + `","welcome_message":"` + strings.Repeat("a", 1024) +
		`","metadata":` + entries(49, `,"`+strings.Repeat("k", 64)+`":"`+strings.Repeat("v", 512)+`"`) +
		`,"dtmf":"` + strings.Repeat("0123456789ABCD*#", 3) + strings.Repeat("w", 16) + `","ringing_timeout_seconds":80,"max_duration_seconds":14400}`); a.Status != 201 {
		t.Errorf("%d %s", a.Status, a.Text)
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
	for _, tt := range []struct{ name, body, want string }{
		{"nobody to call", `{}`, "400 INVALID_REQUEST phone_number:required"},
		{"a national number", `{"phone_number":"08012345678"}`, "400 INVALID_REQUEST phone_number:pattern"},
		{"spaces", `{"phone_number":"+1 415 555 0100"}`, "400 INVALID_REQUEST phone_number:pattern"},
		{"a number that cannot be", `{"phone_number":"+14155550"}`, "400 INVALID_REQUEST phone_number:invalid_number"},
		{"an emergency number", `{"phone_number":"+19115550100"}`, "403 DESTINATION_NOT_ALLOWED"},
		{"a premium number", `{"phone_number":"+19005550100"}`, "403 DESTINATION_NOT_ALLOWED"},
		{"a country not on the list", `{"phone_number":"+33142685300"}`, "403 DESTINATION_NOT_ALLOWED"},
		{"the same prefix, another country", `{"phone_number":"+18765550100"}`, "403 DESTINATION_NOT_ALLOWED"},
		{"a prompt too long", to(`"system_prompt":"` + strings.Repeat("a", 16385) + `"`), "400 INVALID_REQUEST system_prompt:too_long"},
		{"a prompt too long in bytes", to(`"system_prompt":"` + strings.Repeat("é", 8193) + `"`), "400 INVALID_REQUEST system_prompt:too_long"},
		{"a welcome too long", to(`"welcome_message":"` + strings.Repeat("a", 1025) + `"`), "400 INVALID_REQUEST welcome_message:too_long"},
		{"too many entries", to(`"metadata":` + entries(51, "")), "400 INVALID_REQUEST metadata:too_long"},
		{"an entry without a name", to(`"metadata":{"":"a"}`), "400 INVALID_REQUEST metadata:too_long"},
		{"a name too long", to(`"metadata":{"` + strings.Repeat("a", 65) + `":""}`), "400 INVALID_REQUEST metadata:too_long"},
		{"a value too long", to(`"metadata":{"a":"` + strings.Repeat("a", 513) + `"}`), "400 INVALID_REQUEST metadata:too_long"},
		{"a value that is no text", to(`"metadata":{"a":1}`), "400 INVALID_REQUEST metadata.a:type"},
		{"no agent's name", to(`"agent_name":"two words"`), "400 INVALID_REQUEST agent_name:malformed"},
		{"a voice too fast", to(`"voice":{"speed":4.1}`), "400 INVALID_REQUEST voice.speed:maximum"},
		{"a voice too slow", to(`"voice":{"speed":0.2}`), "400 INVALID_REQUEST voice.speed:minimum"},
		{"a digit there is not", to(`"dtmf":"12E"`), "400 INVALID_REQUEST dtmf:pattern"},
		{"a small digit", to(`"dtmf":"12a"`), "400 INVALID_REQUEST dtmf:pattern"},
		{"no digits", to(`"dtmf":""`), "400 INVALID_REQUEST dtmf:pattern"},
		{"digits on two lines", to(`"dtmf":"12\n"`), "400 INVALID_REQUEST dtmf:pattern"},
		{"too many digits", to(`"dtmf":"` + strings.Repeat("1", 65) + `"`), "400 INVALID_REQUEST dtmf:pattern"},
		{"an unknown voice option", to(`"voice":{"pitch":1}`), "400 INVALID_REQUEST voice.pitch:unknown"},
		{"an unknown option", to(`"caller_id":"+1"`), "400 INVALID_REQUEST caller_id:unknown"},
		{"rings too short", to(`"ringing_timeout_seconds":4`), "400 INVALID_REQUEST ringing_timeout_seconds:minimum"},
		{"rings too long", to(`"ringing_timeout_seconds":81`), "400 INVALID_REQUEST ringing_timeout_seconds:maximum"},
		{"talks too short", to(`"max_duration_seconds":9`), "400 INVALID_REQUEST max_duration_seconds:minimum"},
		{"talks too long", to(`"max_duration_seconds":14401`), "400 INVALID_REQUEST max_duration_seconds:maximum"},
		{"half a second", to(`"max_duration_seconds":10.5`), "400 INVALID_REQUEST max_duration_seconds:type"},
		{"no such number", to(`"phone_number_id":"pn_00000000000000000000000000"`), "404 NOT_FOUND"},
		{"no number's id", to(`"phone_number_id":"` + strings.Repeat("x", 3000) + `"`), "404 NOT_FOUND"},
		{"not JSON", `{`, "400 INVALID_REQUEST body:malformed"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := open(t)
			for _, header := range [][]string{nil, {"Idempotency-Key", "k"}} {
				if a := b.post(tt.body, header...); a.Outcome() != tt.want {
					t.Errorf("%s, want %s", a.Text, tt.want)
				}
			}
			if ids := b.active(); len(ids) != 0 || len(b.Workflows.Started()) != 0 {
				t.Errorf("recorded %v, started %v", ids, b.Workflows.Started())
			}
		})
	}
}

func TestIdempotencyKeyMustBeVisible(t *testing.T) {
	t.Parallel()
	for _, key := range []string{"", ",", "once,twice", "with space", "naïve", strings.Repeat("k", 256)} { // a header that is given twice is joined with a comma
		b := open(t)
		if a := b.post(good, "Idempotency-Key", key); a.Outcome() != "400 INVALID_REQUEST Idempotency-Key:pattern" || len(b.active()) != 0 {
			t.Errorf("%q: %d %s", key, a.Status, a.Text)
		}
	}
}

func TestNumberChoice(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		numbers func(*bench)
		members string
		want    string // the number called from, or the refusal
	}{
		{"the only one", func(*bench) {}, "", lagos},
		{"the only one that can", func(b *bench) { b.number("ada", abuja, noTrunk); b.number("ada", accra, inbound) }, "", lagos},
		{"others' do not count", func(b *bench) { b.number("eve", abuja) }, "", lagos},
		{"several", func(b *bench) { b.number("ada", abuja) }, "", "400 INVALID_REQUEST phone_number_id:required"},
		{"one of several", func(b *bench) { b.number("ada", abuja) }, `,"phone_number_id":"` + number.ID(abuja) + `"`, abuja},
		{"another's", func(b *bench) { b.number("eve", abuja) }, `,"phone_number_id":"` + number.ID(abuja) + `"`, "404 NOT_FOUND"},
		{"nobody's", func(b *bench) { b.number("", abuja) }, `,"phone_number_id":"` + number.ID(abuja) + `"`, "404 NOT_FOUND"},
		{"one without trunk", func(b *bench) { b.number("ada", abuja, noTrunk) }, `,"phone_number_id":"` + number.ID(abuja) + `"`, "409 NUMBER_NOT_CONFIGURED"},
		{"one for inbound calls", func(b *bench) { b.number("ada", abuja, inbound) }, `,"phone_number_id":"` + number.ID(abuja) + `"`, "409 NUMBER_NOT_CONFIGURED"},
		{"one without an agent", func(b *bench) { b.number("ada", abuja, noRule) }, `,"phone_number_id":"` + number.ID(abuja) + `"`, "400 INVALID_REQUEST agent_name:required"},
		{"one without an agent, which is named", func(b *bench) { b.number("ada", abuja, noRule) }, `,"agent_name":"a","phone_number_id":"` + number.ID(abuja) + `"`, abuja},
		{"the second of 202, beyond the first page", func(b *bench) {
			for i := range 201 {
				change := noTrunk
				if i == 200 {
					change = func(*number.Number) {}
				}
				b.number("ada", fmt.Sprintf("+2348099999%03d", i), func(n *number.Number) { n.ID = fmt.Sprintf("pn_~%03d", i) }, change)
			}
		}, "", "400 INVALID_REQUEST phone_number_id:required"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := open(t)
			tt.numbers(b)
			a := b.post(`{"phone_number":"+14155550100"` + tt.members + `}`)
			got := a.Outcome()
			if a.Status == 201 {
				got, _ = a.Body["from_number"].(string)
			}
			if got != tt.want {
				t.Errorf("%s, want %s: %s", got, tt.want, a.Text)
			}
			if made := len(b.Workflows.Started()) == 1; made != (a.Status == 201) {
				t.Errorf("started %v", b.Workflows.Started())
			}
		})
	}
}

func TestNoNumberAtAll(t *testing.T) {
	t.Parallel()
	b := open(t)
	_, bobs := b.Key("bob", account.CallsWrite)
	if a := b.Ask(bobs, "POST", path, good); a.Outcome() != "409 NUMBER_NOT_CONFIGURED" {
		t.Errorf("%d %s", a.Status, a.Text)
	}
}

// TestHourIsTold checks that every answer after the hour was read reports it, and that a call that
// is not placed does not count.
func TestHourIsTold(t *testing.T) {
	t.Parallel()
	b := open(t)
	step := func(name, body string, status int, left string) {
		t.Helper()
		a := b.post(body)
		if a.Status != status || a.Header.Get("X-Ratelimit-Limit") != "100" || a.Header.Get("X-Ratelimit-Remaining") != left ||
			!strings.Contains(a.Header.Get("Ratelimit"), `"calls";r=`+left+`;t=1800`) {
			t.Errorf("%s: %d %s %v; want %d with %s left", name, a.Status, a.Text, a.Header, status, left)
		}
	}
	step("first", good, 201, "99")
	step("second", good, 201, "98")
	step("forbidden", `{"phone_number":"+33142685300"}`, 403, "98")
	b.Workflows.Down(true)
	step("not started", good, 503, "98")
	b.Workflows.Down(false)
	for i := range 3 {
		step("until four are going", good, 201, fmt.Sprint(97-i))
	}
	if a := b.post(good); a.Status != 429 || !strings.Contains(a.Header.Get("Ratelimit"), `"calls";r=95;t=1800`) {
		t.Errorf("a sixth at a time: %d %s %v", a.Status, a.Text, a.Header)
	}
	b.Must(b.PutPolicy(t.Context(), "ada", account.Policy{AllowedCountries: []string{"US"}, CallsEnabled: true,
		MaxConcurrentCalls: 1000, MinutesPerDay: 10_000}))
	other := func(i int) string { return fmt.Sprintf(`{"phone_number":"+1415555%04d"}`, i) }
	for i := 0; b.post(other(i)).Status == 201; i++ {
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
	const (
		long       = `{"phone_number":"+14155550100","max_duration_seconds":600}`
		limited    = "429 RATE_LIMIT_EXCEEDED"
		notAllowed = "403 AGENT_NOT_ALLOWED"
	)
	for name, tt := range map[string]struct {
		policy account.Policy
		body   string
		placed int // calls before the refusal
		want   string
		retry  string // in seconds, at half past nine
	}{
		"an agent that is not listed": {
			policy: account.Policy{AllowedAgents: []string{"other"}},
			body:   long,
			want:   notAllowed,
		},
		"a named agent that is not listed": {
			policy: account.Policy{AllowedAgents: []string{"number-agent"}},
			body:   `{"phone_number":"+14155550100","agent_name":"x"}`,
			want:   notAllowed,
		},
		"five to one number": {
			policy: account.Policy{AllowedAgents: []string{"number-agent"}, MaxConcurrentCalls: 10},
			body:   long, placed: 5, want: limited, retry: "1800",
		},
		"two to one number":     {policy: account.Policy{CallsPerDestination: 2}, body: long, placed: 2, want: limited, retry: "1800"},
		"minutes of the day":    {policy: account.Policy{MinutesPerDay: 29}, body: long, placed: 2, want: limited, retry: "52200"},
		"all the day's at once": {policy: account.Policy{MinutesPerDay: 9}, body: long, want: limited, retry: "52200"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := open(t)
			tt.policy.CallsEnabled, tt.policy.AllowedCountries = true, []string{"US"}
			b.Must(b.PutPolicy(t.Context(), "ada", tt.policy))
			for i := range tt.placed {
				if a := b.post(tt.body); a.Status != 201 {
					t.Errorf("call %d: %d %s", i, a.Status, a.Text)
				}
			}
			if a := b.post(tt.body); a.Outcome() != tt.want || a.Header.Get("Retry-After") != tt.retry {
				t.Errorf("%s %v; want %s, again in %q", a.Text, a.Header, tt.want, tt.retry)
			}
			if n := len(b.Workflows.Started()); n != tt.placed || len(b.active()) != tt.placed {
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
		"everybody's": func(b *bench, on bool) error { return b.SetSwitch(b.Context(), on, "", "carol") },
		"the user's": func(b *bench, on bool) error {
			p := off
			p.CallsEnabled = on
			_, err := b.SetPolicy(b.Context(), "ada", p, "carol")
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := open(t)
			first := b.Replay("createcall", "")
			b.Must(turn(b, false))
			for _, body := range []string{good, `{"phone_number":"+14155550100","phone_number_id":"` + number.ID(lagos) + `"}`} {
				if a := b.post(body); a.Outcome() != "403 CALLS_DISABLED" {
					t.Errorf("%d %s", a.Status, a.Text)
				}
			}
			if again := b.Replay("createcall", ""); again.Status != 201 || again.Text != first.Text {
				t.Errorf("the accepted one: %d %s", again.Status, again.Text)
			}
			b.Must(turn(b, true))
			if a := b.post(good); a.Status != 201 || a.Header.Get("X-RateLimit-Remaining") != "98" {
				t.Errorf("on again: %d %s %v", a.Status, a.Text, a.Header)
			}
		})
	}
}

func TestIdempotency(t *testing.T) {
	t.Parallel()
	b := open(t)
	first := b.Replay("createcall", "")
	if first.Status != 201 {
		t.Fatal(first.Text)
	}
	same := func(when string, a apitest.Answer) {
		t.Helper()
		if a.Status != 201 || a.Header.Get("Idempotency-Replayed") != "true" || a.Text != first.Text {
			t.Errorf("%s: %d %s, at first %s", when, a.Status, a.Text, first.Text)
		}
	}
	same("at once", b.Replay("createcall", ""))

	id := first.Body["call_id"].(string)
	c, err := b.Advance(t.Context(), id, call.Ringing, now)
	b.Must(err)
	same("while it rings", b.Replay("createcall", ""))
	_, err = b.EndCall(t.Context(), c, call.End{Status: call.NoAnswer, Cause: call.Unanswered, At: now})
	b.Must(err)
	same("after its end", b.Replay("createcall", ""))

	for _, body := range []string{good, `{"phone_number":"+14155550"}`} { // the second is not valid
		if a := b.post(body, "Idempotency-Key", "sample-create-1"); a.Outcome() != "422 IDEMPOTENCY_KEY_REUSED" {
			t.Errorf("another body: %d %s", a.Status, a.Text)
		}
	}

	n, err := b.LeaseNumber(t.Context(), "ada", number.ID(lagos), "me", time.Minute)
	b.Must(err)
	n.Trunk = nil
	b.Must(b.SaveConfiguration(t.Context(), n, "me"))
	b.Must(b.AllowCountries(t.Context(), "ada", "GB"))
	same("after the number lost its trunk", b.Replay("createcall", ""))
	if a := b.post(good, "Idempotency-Key", "another"); a.Status != 409 {
		t.Errorf("another key, no trunk: %d %s", a.Status, a.Text)
	}
	if len(b.active()) != 0 {
		t.Errorf("calls %v were made beside %s", b.active(), id)
	}
	// The first request and its immediate repetition start the same execution.
	if d := cmp.Diff([]string{id, id}, b.Workflows.Started()); d != "" {
		t.Errorf("executions (-want +got):\n%s", d)
	}
}

// TestDefaultsAreTheSameRequest checks that leaving an option out and sending its default
// are the same request.
func TestDefaultsAreTheSameRequest(t *testing.T) {
	t.Parallel()
	b := open(t)
	first := b.post(`{"phone_number":"+14155550100","metadata":{"a":"1","b":"2"}}`, "Idempotency-Key", "k")
	again := b.post(`{ "metadata":{"b":"2","a":"1"}, "phone_number":"+14155550100","ringing_timeout_seconds":30,"max_duration_seconds":1800}`, "Idempotency-Key", "k")
	if first.Status != 201 || first.Text != again.Text {
		t.Errorf("%s, then %s", first.Text, again.Text)
	}
}

// TestWorkflowsAreDown checks that a call whose workflow cannot be started has ended. The caller
// was told that it was not placed, so no phone may ring later.
func TestWorkflowsAreDown(t *testing.T) {
	t.Parallel()
	b := open(t)
	b.Workflows.Down(true)
	a := b.post(good)
	if a.Outcome() != "503 TELEPHONY_UNAVAILABLE" || a.Header.Get("Retry-After") == "" {
		t.Errorf("%s %v", a.Text, a.Header)
	}
	if ids := b.active(); len(ids) != 0 {
		t.Errorf("the sweep would start %v", ids)
	}
}

// TestWorkflowsHang checks that time is left to end the call and to answer when
// Step Functions hangs.
func TestWorkflowsHang(t *testing.T) {
	t.Parallel()
	b := open(t)
	b.Timeout = 15 * time.Second // as in the template
	b.Workflows.OnStart = func(ctx context.Context, _ string) error {
		<-ctx.Done()
		return ctx.Err()
	}
	synctest.Test(t, func(t *testing.T) {
		began := time.Now() // by the bubble's clock
		a := b.Replay("createcall", "")
		if took := time.Since(began); a.Status != 503 || took >= b.Timeout {
			t.Errorf("after %s: %d %s", took, a.Status, a.Text)
		}
		if ids := b.active(); len(ids) != 0 {
			t.Errorf("the sweep would start %v", ids)
		}
	})
}

func TestWorkflowStartedButItsAnswerWasLost(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		dialed bool // the workflow claimed the dial before the request timed out
		status int
	}{
		"and has dialed: the call is placed":     {true, 201},
		"and has not dialed: the call has ended": {false, 503},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := open(t)
			b.Workflows.OnStart = func(context.Context, string) error {
				if tt.dialed {
					for _, id := range b.active() {
						if _, mine, err := b.ClaimDial(b.Context(), id, "owner", now); err != nil || !mine {
							t.Errorf("may dial %s: %t, %v", id, mine, err)
						}
					}
				}
				return errors.New("the reply was lost")
			}
			synctest.Test(t, func(t *testing.T) { // the SDK waits before it retries
				if a := b.post(good); a.Status != tt.status {
					t.Errorf("%d %s", a.Status, a.Text)
				}
			})
			// The workflow claims the dial next, and may repeat its claim.
			id := b.Workflows.Started()[0]
			if _, mine, err := b.ClaimDial(t.Context(), id, "owner", now); err != nil || mine != tt.dialed {
				t.Errorf("may dial: %t, %v", mine, err)
			}
		})
	}
}

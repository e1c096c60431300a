package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/krosai/telephony/local/calltest"
	"github.com/krosai/telephony/local/carrier"
	"github.com/krosai/telephony/local/livekitd"
	"github.com/krosai/telephony/shared/livekit"
)

// TestFiftyCallsAtOnce runs before the parallel tests, alone on the platform, so that leftovers are
// its own.
func TestFiftyCallsAtOnce(t *testing.T) {
	if os.Getenv("KROS_DYNAMODB_ENDPOINT") != "" {
		t.Skip("50 calls at once take all of a laptop; another DynamoDB on it would take half of that")
	}
	u := demo(t, shared)
	u.until(u.place("+14155550101", nil).CallID, details.over) // starts all that starts on first use
	settled := retried(goleak.IgnoreCurrent)
	parts := []part{}
	for _, p := range cast() {
		if slices.Contains([]string{"+14155550100", "+14155550101", "+14155550102", "+14155550103", "+14155550105", "+14155550106"}, p.number) && p.extra == nil {
			parts = append(parts, p)
		}
	}
	others := calltest.BusyElsewhere()
	f := &flood{user: u, ends: map[string]string{}, callees: map[string]string{}}
	var calls sync.WaitGroup
	for i := range 50 {
		p := parts[i%len(parts)]
		calls.Go(func() { f.call(p.number, member{name: p.name, hangUp: p.hangUp, end: p.status + " " + p.cause}) })
	}
	calls.Wait()
	if share := others(); len(f.others) > 0 && share < 0.1 {
		t.Errorf("ended otherwise: %v", f.others)
	} else if len(f.others) > 0 {
		t.Logf("50 calls take two cores, and %.0f %% of the processor went to others: %v", 100*share, f.others)
	}
	noRooms(t, shared.LiveKit)
	http.DefaultClient.CloseIdleConnections()
	nothingLeft(t, settled)
}

// nothingLeft waits until no new goroutine is left. It ignores connections kept open for the next
// call and the goroutines that LiveKit's server leaves. A call's workflow may wait 20 s for a first
// turn of the transcript.
func nothingLeft(t *testing.T, before goleak.Option) {
	t.Helper()
	ignored := []goleak.Option{before}
	for _, function := range append(livekitd.Leftovers(),
		"net/http.(*persistConn).readLoop", "net/http.(*persistConn).writeLoop", "net/http.(*conn).serve",
		"github.com/alicebob/miniredis/v2/server.(*Server).servePeer", "github.com/alicebob/miniredis/v2/server.(*Server).servePeer.func2",
		"github.com/krosai/telephony/emulator/sqs.(*Service).await",   // the standing poll of the queue, renewed every few seconds
		"github.com/emiago/sipgo/sip.(*ServerTx).TerminateGracefully", // keeps the answer to a BYE for 32 s: RFC 3261, timer J
	) {
		ignored = append(ignored, goleak.IgnoreAnyFunction(function))
	}
	var err error
	for range looks() {
		if err = retried(func() error { return goleak.Find(ignored...) }); err == nil {
			return
		}
	}
	t.Errorf("left over after 50 calls: %v", err)
}

// retried calls f until it does not panic. goleak 1.3.0 panics at a stack of more than 100 frames,
// which Go prints abbreviated.
func retried[T any](f func() T) (value T) {
	defer func() {
		if recover() != nil {
			time.Sleep(10 * time.Millisecond)
			value = retried(f)
		}
	}()
	return f()
}

// noRooms waits until LiveKit has no rooms.
func noRooms(t *testing.T, lk *livekit.Client) {
	t.Helper()
	var rooms []livekit.RoomInfo
	for range looks() {
		var err error
		if rooms, err = lk.Rooms(context.Background()); err != nil {
			t.Fatal(err)
		}
		if len(rooms) == 0 {
			return
		}
	}
	t.Fatalf("%d rooms left, such as %+v", len(rooms), rooms[0])
}

// part is a callee, their behavior, and the expected end of a call to them.
type part struct {
	name, number  string
	extra         request
	hangUp        bool // by the API, once answered
	status, cause string
	sip           int
	events        string
	least         int // minimum seconds of talk; the answer may be detected seconds late
}

// cast are the carrier's callees and those of the recordings.
func cast() []part {
	return []part{
		{"talks until hung up", "+14155550100", nil, true, "completed", "api_hangup", 200, "dialing ringing answered ended", 0},
		{"hangs up after 3 s", "+14155550101", nil, false, "completed", "callee_hangup", 200, "dialing ringing answered ended", 1},
		{"busy", "+14155550102", nil, false, "busy", "busy", 486, "dialing ringing ended", 0},
		{"declines", "+14155550103", nil, false, "busy", "declined", 603, "dialing ringing ended", 0},
		{"never answers", "+14155550104", request{"ringing_timeout_seconds": 10}, false, "no_answer", "no_answer", 0, "dialing ringing ended", 0},
		{"does not exist", "+14155550105", nil, false, "failed", "invalid_number", 404, "dialing ended", 0},
		{"carrier failure", "+14155550106", nil, false, "failed", "trunk_unreachable", 503, "dialing ended", 0},
		{"answers after 10 s", "+14155550107", nil, true, "completed", "api_hangup", 200, "dialing ringing answered ended", 0},
		{"any other number", "+14155550110", nil, false, "completed", "callee_hangup", 200, "dialing ringing answered ended", 1},
		{"unavailable", "+14155550120", nil, false, "no_answer", "no_answer", 480, "dialing ringing ended", 0},
		{"busy everywhere", "+14155550121", nil, false, "busy", "busy", 600, "dialing ringing ended", 0},
		{"forbidden", "+14155550122", nil, false, "failed", "trunk_auth", 403, "dialing ended", 0},
		{"address incomplete", "+14155550123", nil, false, "failed", "invalid_number", 484, "dialing ended", 0},
		{"server error", "+14155550124", nil, false, "failed", "trunk_unreachable", 500, "dialing ended", 0},
		{"carrier's time-out", "+14155550125", nil, false, "no_answer", "no_answer", 408, "dialing ringing ended", 0},
		{"challenged for ever", "+14155550126", nil, false, "failed", "trunk_auth", 407, "dialing ended", 0},
		{"hangs up at once", "+14155550127", nil, false, "completed", "callee_hangup", 200, "dialing ringing answered ended", 0},
		{"answers without ringing", "+14155550128", nil, true, "completed", "api_hangup", 200, "dialing answered ended", 0},
		{"early media", "+14155550150", nil, true, "completed", "api_hangup", 200, "dialing ringing answered ended", 0},
		{"early media, then ringing", "+14155550151", nil, true, "completed", "api_hangup", 200, "dialing ringing answered ended", 0},
		{"moved", "+14155550152", nil, false, "failed", "trunk_unreachable", 302, "dialing ended", 0},
		{"unwanted", "+14155550157", nil, false, "busy", "declined", 607, "dialing ringing ended", 0},
		{"screened", "+14155550158", nil, false, "busy", "declined", 608, "dialing ended", 0},
		{"talk time spent", "+14155550100", request{"max_duration_seconds": 10}, false, "completed", "max_duration", 200, "dialing ringing answered ended", 10},
	}
}

func TestCast(t *testing.T) {
	t.Parallel()
	for _, p := range cast() {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			p.play(t, demo(t, shared))
		})
	}
}

func (p part) play(t *testing.T, u user) {
	t.Helper()
	placed := u.place(p.number, p.extra)
	if p.hangUp {
		u.until(placed.CallID, is("in_progress"))
		if end := u.hangUp(placed.CallID); end.Status != p.status || end.Cause != p.cause {
			t.Errorf("hang-up answered %s %s", end.Status, end.Cause)
		}
	}
	d := u.until(placed.CallID, details.over)
	events := p.events
	if p.number != "+14155550104" && p.number != "+14155550107" && !strings.Contains(d.events(), "ringing") {
		// On a busy machine, ringing of a second or less may fall between two reads.
		events = strings.Replace(events, "ringing ", "", 1)
	}
	got := fmt.Sprintln(d.Status, d.Cause, d.SIP, d.events())
	if diff := cmp.Diff(fmt.Sprintln(p.status, p.cause, p.sip, events), got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if d.Duration < p.least {
		t.Errorf("talked %d s, want %d at least", d.Duration, p.least)
	}
	if !slices.IsSortedFunc(d.Timeline, func(a, b struct {
		At            time.Time
		Event, Detail string
	}) int {
		return a.At.Compare(b.At)
	}) {
		t.Errorf("timeline out of order: %+v", d.Timeline)
	}
	detail := p.cause
	if p.sip == 608 {
		detail = "rejected_by_screening"
	}
	if last := d.Timeline[len(d.Timeline)-1]; last.Detail != detail {
		t.Errorf("the timeline's end says %q", last.Detail)
	}
}

// TestHangUpAtAnyMoment hangs up at many moments between the create and well after the answer. The
// moments are closest around the time when the phone joins the room. LiveKit must end the call on
// the phone, because the phone itself hangs up only 5 s after the answer.
func TestHangUpAtAnyMoment(t *testing.T) {
	t.Parallel()
	moments := []time.Duration{0, 100, 600, 800, 1000, 1300, 1400, 1500, 2000}
	for at := time.Duration(150); at <= 500; at += 50 {
		moments = append(moments, at)
	}
	for _, after := range moments {
		after *= time.Millisecond
		t.Run(after.String(), func(t *testing.T) {
			t.Parallel()
			u, callee := demo(t, shared), fresh()
			id := u.place(callee, nil).CallID
			time.Sleep(after)
			before := u.details(id)
			asked := time.Now()
			end := u.hangUp(id)
			if end.Cause != "api_hangup" || (end.Status != "canceled" && end.Status != "completed") {
				t.Errorf("hung up while %s: %s %s", before.Status, end.Status, end.Cause)
			}
			if again := u.hangUp(id); again.Status != end.Status || again.Cause != end.Cause || !again.EndedAt.Equal(end.EndedAt) {
				t.Errorf("a second hang-up says %s %s", again.Status, again.Cause)
			}
			time.Sleep(time.Until(asked.Add(1500 * time.Millisecond))) // a late INVITE arrives by now
			var c carrier.CallInfo
			var rang bool
			for range looks() {
				if c, rang = phone(t, shared, callee); !rang || c.State == "ended" {
					break
				}
			}
			if rang && (c.State != "ended" || c.EndedBy == "bye-out") {
				t.Errorf("hung up while %s: the phone is %s by %s, %s after the hang-up was asked for", before.Status, c.State, c.EndedBy, c.Ended.Sub(asked))
			} else if rang {
				t.Logf("hung up while %s: the phone was quiet after %s", before.Status, c.Ended.Sub(asked))
			}
			if d := u.details(id); d.Status != end.Status || d.Cause != end.Cause {
				t.Errorf("the end changed to %s %s", d.Status, d.Cause)
			}
		})
	}
}

func TestNoAgentNobodyIsCalled(t *testing.T) {
	t.Parallel()
	u, callee := demo(t, shared), fresh()
	id := u.place(callee, request{"agent_name": "nobody"}).CallID
	d := u.until(id, details.over)
	if d.Status != "failed" || d.Cause != "agent_unavailable" || d.events() != "ended" {
		t.Errorf("%s %s, %s", d.Status, d.Cause, d.events())
	}
	if _, rang := phone(t, shared, callee); rang {
		t.Error("the phone rang")
	}
}

func TestAgentHangsUp(t *testing.T) {
	t.Parallel()
	u, callee := demo(t, shared), fresh()
	id := u.place(callee, nil).CallID
	u.until(id, is("in_progress"))
	if err := shared.LiveKit.DeleteRoom(t.Context(), id); err != nil { // as agents do
		t.Fatal(err)
	}
	if d := u.until(id, details.over); d.Status != "completed" || d.Cause != "agent_hangup" {
		t.Errorf("%s %s", d.Status, d.Cause)
	}
}

func TestSoundGoesBothWays(t *testing.T) {
	t.Parallel()
	u, callee := demo(t, shared), fresh()
	id := u.place(callee, request{"welcome_message": "Hello"}).CallID
	u.until(id, details.over)
	if c, ok := phone(t, shared, callee); !ok || c.RTPReceived < 10 {
		t.Errorf("the callee heard %d packets of 250 in 5 s", c.RTPReceived)
	}
}

func TestIdempotencyKey(t *testing.T) {
	t.Parallel()
	u, callee := demo(t, shared), fresh()
	body := request{"phone_number": callee, "phone_number_id": demoNumber}
	answers := make([]answer, 20)
	var race sync.WaitGroup
	for i := range answers {
		race.Go(func() { answers[i] = u.do("POST", "/outbound-calls/create", body, "Idempotency-Key", callee) })
	}
	race.Wait()
	fresh := 0
	for _, a := range answers {
		if a.Status != http.StatusCreated || !bytes.Equal(a.Body, answers[0].Body) {
			t.Errorf("%d %s", a.Status, a.Body)
		}
		if a.Header.Get("Idempotency-Replayed") != "true" {
			fresh++
		}
	}
	if fresh != 1 {
		t.Errorf("%d first answers, want 1", fresh)
	}
	body["max_duration_seconds"] = 99
	if a := u.do("POST", "/outbound-calls/create", body, "Idempotency-Key", callee); a.Status != 422 || a.problem(t).Code != "IDEMPOTENCY_KEY_REUSED" {
		t.Errorf("another body: %d %s", a.Status, a.Body)
	}
	var d details
	if err := json.Unmarshal(answers[0].Body, &d); err != nil {
		t.Fatal(err)
	}
	u.until(d.CallID, details.over)
	if _, rang := phone(t, shared, callee); !rang { // phone fails the test if there are two
		t.Error("nobody was called")
	}
}

// TestRefusals covers the refusals that must happen before a phone rings.
func TestRefusals(t *testing.T) {
	t.Parallel()
	u, to := demo(t, shared), fresh()
	stranger, nobody := u, u
	stranger.key = u.key[:len(u.key)-1] + strings.Map(func(r rune) rune {
		if r == 'a' {
			return 'b'
		}
		return 'a'
	}, u.key[len(u.key)-1:])
	nobody.key = ""
	const unknown = "call_01ARZ3NDEKTSV4RRFFQ69G5FAV"
	create, long := "/outbound-calls/create", strings.Repeat("x", 17<<10)
	for _, tt := range []struct {
		name         string
		by           user
		method, path string
		body         any
		status       int
		code, field  string
	}{
		{"no key", nobody, "POST", create, request{"phone_number": to}, 401, "UNAUTHENTICATED", ""},
		{"wrong key", stranger, "POST", create, request{"phone_number": to}, 401, "UNAUTHENTICATED", ""},
		{"no key, bad body", nobody, "POST", create, "{", 401, "UNAUTHENTICATED", ""},
		{"no body", u, "POST", create, nil, 400, "INVALID_REQUEST", ""},
		{"not JSON", u, "POST", create, "{", 400, "INVALID_REQUEST", ""},
		{"no number", u, "POST", create, request{}, 400, "INVALID_REQUEST", "phone_number"},
		{"not E.164", u, "POST", create, request{"phone_number": "0800 123"}, 400, "INVALID_REQUEST", "phone_number"},
		{"emergency", u, "POST", create, request{"phone_number": "+1911"}, 400, "INVALID_REQUEST", "phone_number"},
		{"unknown field", u, "POST", create, request{"phone_number": to, "room_name": "x"}, 400, "INVALID_REQUEST", "room_name"},
		{"twice a field", u, "POST", create, `{"phone_number":"` + to + `","phone_number":"+14155550100"}`, 400, "INVALID_REQUEST", "phone_number"},
		{"rings too long", u, "POST", create, request{"phone_number": to, "ringing_timeout_seconds": 81}, 400, "INVALID_REQUEST", "ringing_timeout_seconds"},
		{"talks too long", u, "POST", create, request{"phone_number": to, "max_duration_seconds": 14401}, 400, "INVALID_REQUEST", "max_duration_seconds"},
		{"long prompt", u, "POST", create, request{"phone_number": to, "system_prompt": long}, 400, "INVALID_REQUEST", "system_prompt"},
		{"country not allowed", u, "POST", create, request{"phone_number": "+447911123456", "phone_number_id": demoNumber}, 403, "DESTINATION_NOT_ALLOWED", ""},
		{"premium rate", u, "POST", create, request{"phone_number": "+19002345678"}, 403, "DESTINATION_NOT_ALLOWED", ""},
		{"foreign number", u, "POST", create, request{"phone_number": to, "phone_number_id": "pn_01ARZ3NDEKTSV4RRFFQ69G5FAV"}, 404, "NOT_FOUND", ""},
		{"unknown call", u, "GET", "/outbound-calls/" + unknown + "/details", nil, 404, "NOT_FOUND", ""},
		{"malformed id", u, "GET", "/outbound-calls/nonsense/details", nil, 404, "NOT_FOUND", ""},
		{"hang up unknown", u, "POST", "/outbound-calls/" + unknown + "/hangup", nil, 404, "NOT_FOUND", ""},
		{"forged webhook", nobody, "POST", "/webhooks/livekit", `{"event":"room_finished"}`, 401, "UNAUTHENTICATED", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tt.by.t = t
			a := tt.by.do(tt.method, tt.path, tt.body)
			p := a.problem(t)
			if a.Status != tt.status || p.Code != tt.code {
				t.Errorf("%d %s, want %d %s: %s", a.Status, p.Code, tt.status, tt.code, a.Body)
			}
			if tt.field != "" && (len(p.Errors) == 0 || p.Errors[0].Field != tt.field) {
				t.Errorf("does not name %s: %s", tt.field, a.Body)
			}
			if a.Header.Get("X-Request-Id") == "" || a.Header.Get("Cache-Control") != "no-store" {
				t.Errorf("headers %v", a.Header)
			}
		})
	}
	t.Cleanup(func() {
		if _, rang := phone(t, shared, to); rang {
			t.Error("a phone rang")
		}
	})
}

func TestHealth(t *testing.T) {
	t.Parallel()
	u := user{t, shared.Access.URL, ""}
	if h := must[map[string]string](u, "GET", "/health", nil); h["status"] != "ok" || h["version"] == "" {
		t.Errorf("%v", h)
	}
}

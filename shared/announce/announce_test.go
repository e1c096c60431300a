package announce_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/krosai/telephony/shared/announce"
	"github.com/krosai/telephony/shared/api/apitest"
	"github.com/krosai/telephony/shared/call"
	"github.com/krosai/telephony/shared/request"
	"github.com/krosai/telephony/shared/secret"
	"github.com/krosai/telephony/shared/webhook"
)

var t0 = time.Date(2026, 11, 22, 9, 30, 0, 123e6, time.UTC)

type bench struct {
	*apitest.Bench
	*announce.Announcer
}

func open(t *testing.T) *bench {
	t.Helper()
	b := apitest.Open(t, func() time.Time { return t0.Add(time.Hour) })
	return &bench{b, &announce.Announcer{Webhooks: b.DB, Flow: b.Flow, Now: b.Now}}
}

func (b *bench) endpoint(n int, user string, at time.Time, events ...string) string {
	b.Helper()
	e := webhook.Endpoint{ID: fmt.Sprintf("whe_01KAMPJ5V0SAMPMEWHE000000%d", n), UserID: user, URL: "https://hooks.acme.co/", Events: events,
		Secret: secret.New("whsec_c2VjcmV0"), CreatedAt: at}
	b.Must(b.AddEndpoint(b.Context(), e))
	return e.ID
}

// deliveries to an endpoint, oldest first, with their bodies.
func (b *bench) deliveries(user, endpoint string) []webhook.Delivery {
	b.Helper()
	list, _, err := b.DeliveriesOf(b.Context(), user, endpoint, "", 100, "")
	b.Must(err)
	slices.Reverse(list)
	for i := range list {
		list[i], _, err = b.DB.Delivery(b.Context(), user, endpoint, list[i].ID)
		b.Must(err)
	}
	return list
}

func answeredCall() call.Call {
	return call.Call{ID: "call_01KAMPJ5V0SAMPMECA00000000", UserID: "ada", Direction: call.Outbound, PhoneNumber: "+14155550100", FromNumber: "+2348012345678",
		NumberID: "pn_AAAAAAAAAAAAAAAAAAAAAAAAAA", RoomName: "canary", TrunkID: "canary", AgentName: "canary", SystemPrompt: "canary", WelcomeMessage: "canary",
		Metadata: map[string]string{"order": "A-1001"}, Status: call.InProgress, CreatedAt: t0, DialedAt: t0, AnsweredAt: t0.Add(2 * time.Second)}
}

func endedCall() call.Call {
	c := answeredCall()
	c.Status, c.Cause, c.SIPStatus, c.EndedAt = call.Completed, call.Transferred, 200, t0.Add(44*time.Second)
	c.Transfer = call.Transfer{ID: "tr_01KAMPJ5V0SAMPMETR00000000", To: "+14155550199", Status: call.TransferCompleted, SIPStatus: 202, At: c.EndedAt}
	return c
}

const (
	sameOfBoth = `"direction":"outbound","phone_number":"+14155550100","from_number":"+2348012345678","phone_number_id":"pn_AAAAAAAAAAAAAAAAAAAAAAAAAA",`
	answered   = `{"type":"call.answered","timestamp":"2026-11-22T09:30:02.123Z","data":{"call_id":"call_01KAMPJ5V0SAMPMECA00000000","status":"in_progress",` + sameOfBoth +
		`"hangup_cause":null,"sip_status_code":null,"metadata":{"order":"A-1001"},"created_at":"2026-11-22T09:30:00.123Z","answered_at":"2026-11-22T09:30:02.123Z","ended_at":null,` +
		`"duration_seconds":0,"transfer":null}}`
	ended = `{"type":"call.ended","timestamp":"2026-11-22T09:30:44.123Z","data":{"call_id":"call_01KAMPJ5V0SAMPMECA00000000","status":"completed",` + sameOfBoth +
		`"hangup_cause":"transferred","sip_status_code":200,"metadata":{"order":"A-1001"},"created_at":"2026-11-22T09:30:00.123Z","answered_at":"2026-11-22T09:30:02.123Z",` +
		`"ended_at":"2026-11-22T09:30:44.123Z","duration_seconds":42,"transfer":{"transfer_id":"tr_01KAMPJ5V0SAMPMETR00000000","phone_number":"+14155550199","status":"completed","sip_status_code":202}}}`
	busy = `{"type":"call.ended","timestamp":"2026-11-22T09:30:05.123Z","data":{"call_id":"call_01KAMPJ5V0SAMPMECA00000000","status":"busy","direction":"inbound","phone_number":"+14155550100",` +
		`"from_number":"+2348012345678","phone_number_id":"pn_AAAAAAAAAAAAAAAAAAAAAAAAAA","hangup_cause":"declined","sip_status_code":603,"metadata":{},"created_at":"2026-11-22T09:30:00.123Z",` +
		`"answered_at":null,"ended_at":"2026-11-22T09:30:05.123Z","duration_seconds":0,"transfer":null}}`
)

// bodies are what endpoints will get, and nothing that is secret.
func (b *bench) bodies(user, endpoint string) []string {
	b.Helper()
	var all []string
	for _, d := range b.deliveries(user, endpoint) {
		if body := string(d.Event.Body); !strings.Contains(body, "canary") {
			all = append(all, body)
		} else {
			b.Errorf("a secret is in %s", body)
		}
		if !slices.Contains(b.Workflows.Started(), d.ID) {
			b.Errorf("%s is not carried out", d.ID)
		}
	}
	return all
}

func TestCall(t *testing.T) {
	t.Parallel()
	unanswered := answeredCall()
	unanswered.Direction, unanswered.Metadata, unanswered.AnsweredAt = call.Inbound, nil, time.Time{}
	unanswered.Status, unanswered.Cause, unanswered.SIPStatus, unanswered.EndedAt = call.Busy, call.Declined, 603, t0.Add(5*time.Second)
	ringing := answeredCall()
	ringing.Status, ringing.AnsweredAt = call.Ringing, time.Time{}
	for name, tt := range map[string]struct {
		calls []call.Call
		want  []string
	}{
		"ringing":                  {[]call.Call{ringing}, nil},
		"answered":                 {[]call.Call{answeredCall()}, []string{answered}},
		"answered, then ended":     {[]call.Call{answeredCall(), endedCall()}, []string{answered, ended}},
		"both told at the end":     {[]call.Call{endedCall()}, []string{answered, ended}},
		"never answered":           {[]call.Call{unanswered}, []string{busy}},
		"told over and over again": {[]call.Call{answeredCall(), answeredCall(), endedCall(), answeredCall(), endedCall()}, []string{answered, ended}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := open(t)
			e := b.endpoint(1, "ada", t0, webhook.CallAnswered, webhook.CallEnded, webhook.RequestAssigned)
			for _, c := range tt.calls {
				b.Must(b.Call(t.Context(), c, call.Summary{}))
			}
			if diff := cmp.Diff(tt.want, b.bodies("ada", e)); diff != "" {
				t.Error(diff)
			}
			ids := map[string]bool{}
			for _, d := range b.deliveries("ada", e) {
				ids[d.Event.ID] = true
			}
			if len(ids) != len(tt.want) {
				t.Errorf("%d ids of %d events", len(ids), len(tt.want))
			}
		})
	}
}

func TestSummary(t *testing.T) {
	t.Parallel()
	b := open(t)
	e := b.endpoint(1, "ada", t0, webhook.CallSummaryReady)
	for status, want := range map[call.SummaryStatus]int{call.SummaryPending: 0, call.SummaryFailed: 0, call.SummaryNone: 0, "": 0} {
		b.Must(b.Call(t.Context(), endedCall(), call.Summary{Status: status, Reason: "canary", CreatedAt: t0.Add(time.Minute)}))
		if n := len(b.bodies("ada", e)); n != want {
			t.Errorf("%q: %d events", status, n)
		}
	}
	for range 2 {
		b.Must(b.Call(t.Context(), endedCall(), call.Summary{Status: call.SummaryReady, Text: "Delivery <b>on Monday</b>.", Model: "m", CreatedAt: t0.Add(time.Minute)}))
	}
	want := `{"type":"call.summary_ready","timestamp":"2026-11-22T09:31:00.123Z","data":{"call_id":"call_01KAMPJ5V0SAMPMECA00000000","metadata":{"order":"A-1001"},` +
		`"summary":{"text":"Delivery \u003cb\u003eon Monday\u003c/b\u003e.","model":"m","created_at":"2026-11-22T09:31:00.123Z"}}}`
	if diff := cmp.Diff([]string{want}, b.bodies("ada", e)); diff != "" {
		t.Error(diff)
	}
}

// TestWho: an endpoint gets the events it asked for, of its user, that happened
// since it was registered.
func TestWho(t *testing.T) {
	t.Parallel()
	b := open(t)
	all := b.endpoint(1, "ada", t0, webhook.CallAnswered, webhook.CallEnded)
	ends := b.endpoint(2, "ada", t0, webhook.CallEnded, webhook.CallSummaryReady)
	late := b.endpoint(3, "ada", t0.Add(3*time.Second), webhook.CallAnswered, webhook.CallEnded)
	others := b.endpoint(4, "bob", t0, webhook.CallAnswered, webhook.CallEnded)
	b.Trips()
	b.Must(b.Call(t.Context(), endedCall(), call.Summary{}))
	if trips := b.Trips(); trips != 1+4 {
		t.Errorf("%d DynamoDB round trips", trips)
	}
	for id, want := range map[string][]string{all: {answered, ended}, ends: {ended}, late: {ended}} {
		if diff := cmp.Diff(want, b.bodies("ada", id)); diff != "" {
			t.Errorf("%s: %s", id, diff)
		}
	}
	if got := b.bodies("bob", others); got != nil {
		t.Errorf("another user gets %s", got)
	}
	if started := b.Workflows.Started(); len(started) != 4 {
		t.Errorf("started %v", started)
	}
}

// TestAtOnce: whoever announces it, and however many at once, it is one event
// and one delivery.
func TestAtOnce(t *testing.T) {
	t.Parallel()
	b := open(t)
	e := b.endpoint(1, "ada", t0, webhook.CallEnded)
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if err := b.Call(t.Context(), endedCall(), call.Summary{}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if diff := cmp.Diff([]string{ended}, b.bodies("ada", e)); diff != "" {
		t.Error(diff)
	}
	if names := slices.Compact(slices.Sorted(slices.Values(b.Workflows.Started()))); len(names) != 1 {
		t.Errorf("started %v", names)
	}
}

// TestTrouble: what failed half way is made up for by the next announcement, and
// what is on its way is not started again.
func TestTrouble(t *testing.T) {
	t.Parallel()
	b := open(t)
	first, second := b.endpoint(1, "ada", t0, webhook.CallEnded), b.endpoint(2, "ada", t0, webhook.CallEnded)
	b.Workflows.Down(true)
	if err := b.Call(t.Context(), endedCall(), call.Summary{}); err == nil {
		t.Error("nothing failed")
	}
	b.Workflows.Down(false)
	b.LoseReplies(2)
	b.Must(b.Call(t.Context(), endedCall(), call.Summary{}))
	for _, e := range []string{first, second} {
		if diff := cmp.Diff([]string{ended}, b.bodies("ada", e)); diff != "" {
			t.Error(diff)
		}
		for _, d := range b.deliveries("ada", e) {
			b.Must(b.RecordAttempt(t.Context(), d, webhook.Attempt{At: t0, Status: webhook.Pending, Error: "timeout", NextAt: t0}))
		}
	}
	b.Must(b.Call(t.Context(), endedCall(), call.Summary{}))
	if n := len(b.Workflows.Started()); n != 2 {
		t.Errorf("%d started", n)
	}
}

func TestRequest(t *testing.T) {
	t.Parallel()
	r := request.Request{ID: "req_01KAMPJ5V0SAMPMECA00000000", UserID: "ada", Country: "NG", Type: "mobile", Capabilities: []string{"outbound"}, Purpose: "Orders",
		Status: request.Pending, WantedNumberID: "canary", DecidedBy: "canary", TaskToken: "canary", CreatedAt: t0, UpdatedAt: t0}
	approved := r
	approved.Status, approved.DecidedAt, approved.UpdatedAt = request.Approved, t0.Add(time.Minute), t0.Add(time.Minute)
	assigned := approved
	assigned.Status, assigned.NumberID, assigned.UpdatedAt = request.Assigned, "pn_AAAAAAAAAAAAAAAAAAAAAAAAAA", t0.Add(2*time.Minute)
	rejected := approved
	rejected.Status, rejected.Reason = request.Rejected, "No such purpose"
	body := func(kind, at, status, reason, number string) string {
		return `{"type":"number_request.` + kind + `","timestamp":"2026-11-22T09:` + at + `","data":{"request_id":"req_01KAMPJ5V0SAMPMECA00000000","status":"` + status +
			`","country":"NG","number_type":"mobile","area_code":null,"phone_number":null,"capabilities":["outbound"],"purpose":"Orders","reason":` + reason +
			`,"phone_number_id":` + number + `,"created_at":"2026-11-22T09:30:00.123Z","updated_at":"2026-11-22T09:` + at + `"}}`
	}
	yes, no := body("decided", "31:00.123Z", "approved", "null", "null"), body("decided", "31:00.123Z", "rejected", `"No such purpose"`, "null")
	got := body("assigned", "32:00.123Z", "assigned", "null", `"pn_AAAAAAAAAAAAAAAAAAAAAAAAAA"`)
	for name, tt := range map[string]struct {
		requests []request.Request
		want     []string
	}{
		"pending":                   {[]request.Request{r}, nil},
		"approved":                  {[]request.Request{approved, approved}, []string{yes}},
		"approved, assigned":        {[]request.Request{approved, assigned, assigned}, []string{yes, got}},
		"told when it was assigned": {[]request.Request{assigned}, []string{yes, got}},
		"rejected":                  {[]request.Request{rejected}, []string{no}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := open(t)
			e := b.endpoint(1, "ada", t0, webhook.RequestDecided, webhook.RequestAssigned, webhook.CallEnded)
			for _, r := range tt.requests {
				b.Must(b.Request(t.Context(), r))
			}
			if diff := cmp.Diff(tt.want, b.bodies("ada", e)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

package livekitwebhook_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/livekit/protocol/auth"
	lk "github.com/livekit/protocol/livekit"

	"github.com/krosai/telephony/functions/livekitwebhook"
	"github.com/krosai/telephony/shared/api/apitest"
	"github.com/krosai/telephony/shared/call"
	"github.com/krosai/telephony/shared/call/inbound"
	"github.com/krosai/telephony/shared/fault"
	"github.com/krosai/telephony/shared/livekit"
	"github.com/krosai/telephony/shared/livekit/livekittest"
	"github.com/krosai/telephony/shared/secret"
	"github.com/krosai/telephony/shared/teardown"
)

const id = "call_01KAMPJ5V0SAMPMECA00000000" // of the sample event

// sentAt is the createdAt of the sample event; answered is 42 s before.
var (
	sentAt   = time.Date(2026, 11, 22, 9, 30, 8, 0, time.UTC)
	answered = sentAt.Add(-42 * time.Second)
)

func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", "32"); err != nil { // tests wait more than they compute
		panic(err)
	}
	os.Exit(m.Run())
}

// bench serves the function, with a LiveKit and a clock that tests set.
type bench struct {
	*apitest.Bench
	livekit  *livekittest.Server
	now      time.Time
	endpoint *livekitwebhook.Endpoint
}

func newBench(t *testing.T, now time.Time) *bench {
	t.Helper()
	b := &bench{livekit: livekittest.New(t), now: now}
	b.Bench = apitest.Open(t, func() time.Time { return b.now })
	client := livekit.Open(livekit.Config{URL: b.livekit.URL, APIKey: livekittest.APIKey, APISecret: secret.New(livekittest.APISecret)})
	b.endpoint = &livekitwebhook.Endpoint{LiveKit: client, Now: b.Now,
		Teardown: &teardown.Ender{Calls: b.DB, Rooms: client, Now: b.Now},
		Inbound:  &inbound.Adopter{Numbers: b.DB, Calls: b.DB, Rooms: client, Workflow: b.Workflow}}
	b.Serve(b.endpoint)
	return b
}

// newOutboundBench holds one call of ada's, whose room the phone has just left.
func newOutboundBench(t *testing.T, status call.Status) *bench {
	t.Helper()
	b := newBench(t, sentAt.Add(1500*time.Millisecond))
	c := call.Call{ID: id, UserID: "ada", RoomName: id, Country: "US", RingingTimeout: 30, MaxDuration: 600, Status: status,
		CreatedAt: answered.Add(-10 * time.Second), DialedAt: answered.Add(-9 * time.Second)}
	if status == call.InProgress {
		c.AnsweredAt = answered
	}
	b.Must(b.Place(t.Context(), c))
	_, _, err := b.AwaitEnd(t.Context(), id, "token")
	b.Must(err)
	b.livekit.Join(id, &lk.ParticipantInfo{Identity: "agent", Kind: lk.ParticipantInfo_AGENT})
	b.Trips()
	return b
}

// joinPhone puts the phone back into the room.
func (b *bench) joinPhone(status string) {
	b.livekit.Join(id, &lk.ParticipantInfo{Identity: call.CalleeIdentity, Kind: lk.ParticipantInfo_SIP, State: lk.ParticipantInfo_ACTIVE,
		Attributes: map[string]string{"sip.callStatus": status}})
}

// call returns the call and the number of times that its timeline says that it ended.
func (b *bench) call() (call.Call, int) {
	b.Helper()
	details, err := b.CallDetails(b.Context(), "ada", id, false)
	b.Must(err)
	ends := 0
	for _, e := range details.Events {
		if e.Name == "ended" {
			ends++
		}
	}
	return details.Call, ends
}

// sampleEvent returns the sample event of API Gateway and its decoded body.
func (b *bench) sampleEvent() (event map[string]any, body string) {
	b.Helper()
	b.Must(json.Unmarshal(apitest.Event(b, "livekitwebhook", nil), &event))
	raw, err := base64.StdEncoding.DecodeString(event["body"].(string))
	b.Must(err)
	return event, string(raw)
}

// sign makes the Authorization header that LiveKit makes.
func (b *bench) sign(body string) string {
	b.Helper()
	sum := sha256.Sum256([]byte(body))
	token, err := auth.NewAccessToken(livekittest.APIKey, livekittest.APISecret).SetValidFor(5 * time.Minute).
		SetSha256(base64.StdEncoding.EncodeToString(sum[:])).ToJWT()
	b.Must(err)
	return token
}

// deliver posts a body as LiveKit does.
func (b *bench) deliver(body, authorization string) apitest.Answer {
	b.Helper()
	return b.Ask("", "POST", "/webhooks/livekit", body, "Content-Type", "application/webhook+json", "Authorization", authorization)
}

// send delivers a signed body and expects the status want.
func (b *bench) send(want int, body string) {
	b.Helper()
	if a := b.deliver(body, b.sign(body)); a.Status != want {
		b.Errorf("status %d %s, want %d", a.Status, a.Text, want)
	}
}

// event returns an event of LiveKit about the bench's room. more is the rest of its JSON members.
func event(name, more string, at time.Time) string {
	return fmt.Sprintf(`{"event":%q,"room":{"name":%q}%s,"id":"EV_1","createdAt":"%d"}`, name, id, more, at.Unix())
}

const (
	agent = `,"participant":{"sid":"PA_2","identity":"agent","kind":"AGENT","disconnectReason":"ROOM_DELETED"}`
	track = `,"participant":{"sid":"PA_1","identity":"callee"},"track":{"sid":"TR_1"}`
)

func phone(status, reason string) string {
	return `,"participant":{"sid":"PA_1","identity":"callee","kind":"SIP","attributes":{"sip.callStatus":"` + status + `"},"disconnectReason":"` + reason + `"}`
}

func TestSampleEvent(t *testing.T) {
	t.Parallel()
	for _, asBase64 := range []bool{true, false} {
		b := newOutboundBench(t, call.InProgress)
		event, body := b.sampleEvent()
		event["headers"].(map[string]any)["authorization"] = b.sign(body)
		if event["isBase64Encoded"] = asBase64; !asBase64 {
			event["body"] = body
		}
		payload, err := json.Marshal(event)
		b.Must(err)
		var answer struct {
			StatusCode int
			Body       string
		}
		b.Must(json.Unmarshal(b.Invoke(payload), &answer))
		if answer.StatusCode != http.StatusOK || answer.Body != "" {
			t.Errorf("base64 %t: %+v", asBase64, answer)
		}
		c, _ := b.call()
		if c.Status != call.Completed || c.Cause != call.CalleeHangup || !c.EndedAt.Equal(b.now) {
			t.Errorf("base64 %t: %s %q at %v", asBase64, c.Status, c.Cause, c.EndedAt)
		}
	}
}

// TestEffect checks the effect of each event on a call in each state.
func TestEffect(t *testing.T) {
	t.Parallel()
	left := event("participant_left", phone("hangup", "CLIENT_INITIATED"), sentAt)
	for _, tt := range []struct {
		name  string
		event string
		room  string     // callStatus of the phone in the room; "" when it has left
		cause call.Cause // of an answered call; "" when it goes on
	}{
		{"room_started", event("room_started", "", sentAt), "active", ""},
		{"phone joined", event("participant_joined", phone("dialing", ""), sentAt), "active", ""},
		{"track published", event("track_published", track, sentAt), "active", ""},
		{"track unpublished", event("track_unpublished", track, sentAt), "", ""},
		{"callee hung up", left, "", call.CalleeHangup},
		{"callee hung up and lingers", left, "hangup", call.CalleeHangup},
		{"phone left, and is there", left, "active", ""},
		{"agent ended it", event("participant_left", phone("active", "ROOM_DELETED"), sentAt), "", call.AgentHangup},
		{"no sound", event("participant_left", phone("active", "CLIENT_INITIATED"), sentAt), "", call.NetworkError},
		{"agent left", event("participant_left", agent, sentAt), "", ""},
		{"room finished", event("room_finished", "", sentAt), "", call.CalleeHangup}, // the stand-in still has the room, unlike LiveKit
		{"room finished, and phone is there", event("room_finished", "", sentAt), "active", ""},
		{"an event of next year", event("participant_teleported", phone("hangup", ""), sentAt), "", ""},
	} {
		for _, status := range []call.Status{call.Initiated, call.Dialing, call.Ringing, call.InProgress, call.Failed} {
			t.Run(tt.name+"/"+string(status), func(t *testing.T) {
				t.Parallel()
				b := newOutboundBench(t, status)
				if tt.room != "" {
					b.joinPhone(tt.room)
				}
				b.send(http.StatusOK, tt.event)
				want, cause, ends := status, call.Cause(""), 0
				if status == call.InProgress && tt.cause != "" {
					want, cause, ends = call.Completed, tt.cause, 1
				}
				if c, n := b.call(); c.Status != want || c.Cause != cause || n != ends {
					t.Errorf("%s %q, ended %d times; want %s %q", c.Status, c.Cause, n, want, cause)
				}
			})
		}
	}
}

// TestPhoneComesLate checks a phone that joins after its call has ended, because LiveKit carried
// out the dial late. The handler deletes the room at once. If LiveKit fails to delete it, the
// handler answers 503, so that LiveKit sends the event again.
func TestPhoneComesLate(t *testing.T) {
	t.Parallel()
	came := event("participant_joined", phone("dialing", ""), sentAt)
	for _, tt := range []struct {
		status call.Status
		there  bool
	}{{call.Dialing, true}, {call.InProgress, true}, {call.Failed, false}, {call.Canceled, false}} {
		b := newOutboundBench(t, tt.status)
		b.joinPhone("dialing")
		b.send(http.StatusOK, came)
		if there := b.livekit.Room(id) != nil; there != tt.there {
			t.Errorf("%s: the room is there: %t", tt.status, there)
		}
	}
	b := newOutboundBench(t, call.Failed)
	b.livekit.Fail("DeleteRoom", livekittest.ErrorBefore)
	b.send(http.StatusServiceUnavailable, came)
}

// TestEndTime checks that the time of LiveKit's event, in whole seconds, counts only if the event
// is more than 3 s old.
func TestEndTime(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ delay, duration time.Duration }{
		{0, 42 * time.Second}, {3 * time.Second, 45 * time.Second}, {3001 * time.Millisecond, 42 * time.Second},
		{20 * time.Minute, 42 * time.Second}, {-time.Second, 41 * time.Second},
	} {
		b := newOutboundBench(t, call.InProgress)
		b.now = sentAt.Add(tt.delay)
		b.send(http.StatusOK, event("participant_left", phone("hangup", "CLIENT_INITIATED"), sentAt))
		if c, _ := b.call(); c.EndedAt.Sub(c.AnsweredAt) != tt.duration || c.Cause != call.CalleeHangup {
			t.Errorf("delivered after %s: %s of talk, %s; want %s", tt.delay, c.EndedAt.Sub(c.AnsweredAt), c.Cause, tt.duration)
		}
	}
}

// TestDoubledAndShuffled checks that events that come twice and in any order end the call once, and
// never change its end.
func TestDoubledAndShuffled(t *testing.T) {
	t.Parallel()
	events := []string{event("participant_joined", phone("dialing", ""), answered), event("track_published", track, answered),
		event("participant_left", phone("hangup", "CLIENT_INITIATED"), sentAt), event("participant_left", agent, sentAt), event("room_finished", "", sentAt)}
	events = append(events, events...)
	for seed := range uint64(10) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			b := newOutboundBench(t, call.InProgress)
			var first call.Call
			for _, i := range rand.New(rand.NewPCG(seed, 0)).Perm(len(events)) {
				b.now = b.now.Add(time.Second)
				b.send(http.StatusOK, events[i])
				if c, _ := b.call(); first.ID == "" && c.Status.Ended() {
					first = c
				}
			}
			c, ends := b.call()
			if d := cmp.Diff(first, c); d != "" || ends != 1 || c.Status != call.Completed {
				t.Errorf("ended %d times (-first end +last):\n%s", ends, d)
			}
		})
	}
}

func TestManyAtOnce(t *testing.T) {
	t.Parallel()
	b := newOutboundBench(t, call.InProgress)
	left := event("participant_left", phone("hangup", "CLIENT_INITIATED"), sentAt)
	var race sync.WaitGroup
	for range 10 {
		race.Go(func() { b.send(http.StatusOK, left) })
	}
	race.Wait()
	if c, ends := b.call(); c.Cause != call.CalleeHangup || ends != 1 {
		t.Errorf("%s %q, ended %d times", c.Status, c.Cause, ends)
	}
}

func TestForgery(t *testing.T) {
	t.Parallel()
	b := newOutboundBench(t, call.InProgress)
	event, body := b.sampleEvent()
	good := b.sign(body)
	for name, tt := range map[string]struct{ body, authorization string }{
		"no signature":          {body, ""},
		"another key":           {body, event["headers"].(map[string]any)["authorization"].(string)},
		"an API key":            {body, "Bearer kros_live_01KAMPJ5V0SAMPMEKEY0000000_ThisIsTheSampleKeyOfEventsOnly1iVkyP"},
		"another body":          {strings.Replace(body, "CLIENT_INITIATED", "ROOM_DELETED", 1), good},
		"the same, spelled new": {body + "\n", good},
	} {
		if a := b.deliver(tt.body, tt.authorization); a.Status != http.StatusUnauthorized {
			t.Errorf("%s: %d %s", name, a.Status, a.Text)
		}
	}
	if c, _ := b.call(); c.Status != call.InProgress || b.Trips() != 1 || len(b.livekit.Requests()) != 0 {
		t.Errorf("a forgery was acted on: %s, %v", c.Status, b.livekit.Requests())
	}
	b.send(http.StatusBadRequest, "{") // signed by LiveKit, but not an event
}

func TestSize(t *testing.T) {
	t.Parallel()
	b := newOutboundBench(t, call.InProgress)
	left := event("participant_left", phone("hangup", "CLIENT_INITIATED"), sentAt)
	fill := strings.Repeat(" ", 256<<10-len(left))
	b.send(http.StatusRequestEntityTooLarge, left+fill+" ")
	if c, _ := b.call(); c.Status != call.InProgress {
		t.Errorf("a body too large was acted on: %s", c.Status)
	}
	b.send(http.StatusOK, left+fill)
	if c, _ := b.call(); c.Status != call.Completed {
		t.Errorf("256 KiB: %s", c.Status)
	}
}

// TestUnknownRoom checks that events of rooms without a call of this platform are ignored.
func TestUnknownRoom(t *testing.T) {
	t.Parallel()
	b := newOutboundBench(t, call.InProgress)
	for room, trips := range map[string]int{"call_01KAMPJ5V0SAMPMECA00000009": 1, "support-_+15550100_x": 0, "": 0, strings.Repeat("x", 3000): 0} {
		body := strings.Replace(event("room_finished", "", sentAt), id, room, 1)
		b.send(http.StatusOK, body)
		if n := b.Trips(); n != trips || len(b.livekit.Requests()) != 0 {
			t.Errorf("%.20q: %d round trips to the database, asked LiveKit %v", room, n, b.livekit.Requests())
		}
	}
}

// brokenCalls is a database that fails every read of a call.
type brokenCalls struct{ teardown.Calls }

func (brokenCalls) Call(context.Context, string) (call.Call, error) {
	return call.Call{}, fault.Unavailable("the database", nil)
}

// TestOurTrouble checks that an event that could not be handled gets a 503, so that LiveKit sends
// it again.
func TestOurTrouble(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name          string
		begin, finish func(*bench)
	}{
		{"the database is down",
			func(b *bench) { b.endpoint.Teardown.Calls = brokenCalls{b.DB} },
			func(b *bench) { b.endpoint.Teardown.Calls = b.DB }},
		{"LiveKit is down",
			func(b *bench) { b.livekit.Fail("ListParticipants", livekittest.ErrorBefore) },
			func(b *bench) { b.livekit.Fail("ListParticipants", livekittest.None) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := newOutboundBench(t, call.InProgress)
			left := event("participant_left", phone("hangup", "CLIENT_INITIATED"), sentAt)
			tt.begin(b)
			b.send(http.StatusServiceUnavailable, left)
			tt.finish(b)
			b.now = b.now.Add(20 * time.Second)
			b.send(http.StatusOK, left)
			if c, ends := b.call(); c.Cause != call.CalleeHangup || c.Duration() > 44 || ends != 1 {
				t.Errorf("%s %q after %d s, ended %d times", c.Status, c.Cause, c.Duration(), ends)
			}
		})
	}
}

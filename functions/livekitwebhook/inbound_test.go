package livekitwebhook_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	lk "github.com/livekit/protocol/livekit"

	"github.com/krosai/telephony/functions/livekitwebhook"
	"github.com/krosai/telephony/shared/api"
	"github.com/krosai/telephony/shared/call"
	"github.com/krosai/telephony/shared/call/inbound"
	"github.com/krosai/telephony/shared/fault"
	"github.com/krosai/telephony/shared/livekit"
	"github.com/krosai/telephony/shared/livekit/livekittest"
	"github.com/krosai/telephony/shared/number"
	"github.com/krosai/telephony/shared/secret"
	"github.com/krosai/telephony/shared/store/storetest"
	"github.com/krosai/telephony/shared/teardown"
)

const (
	called     = "+2348012345678"
	caller     = "sip_+14155550100"
	roomMillis = 1795339750123 // when the room was made
)

var (
	cameAt    = time.UnixMilli(roomMillis).UTC()
	inboundID = call.InboundID("RM_1", cameAt)
	ownRoom   = number.RoomPrefix("ada", "support-") + "_+14155550100_x"
)

// starts records the names of the workflows that were started. Each name is started once.
type starts struct {
	mu    sync.Mutex
	names []string
	err   error
}

func (s *starts) StartCall(_ context.Context, id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil && !slices.Contains(s.names, id) {
		s.names = append(s.names, id)
	}
	return s.err
}

// newInboundBench serves the function with one number of ada's that takes inbound calls.
func newInboundBench(t *testing.T) (*bench, *starts) {
	t.Helper()
	b, s := &bench{T: t, db: storetest.Open(t, nil), livekit: livekittest.New(t), now: cameAt.Add(5 * time.Second)}, &starts{}
	b.must(b.db.PutNumber(t.Context(), number.Number{ID: number.ID(called), E164: called, Country: "NG", Type: "mobile", UserID: "ada",
		Trunk: &number.Trunk{InboundID: "ST_in"}, Rule: &number.Rule{RoomPrefix: "support-", AgentName: "support-agent", ID: "SDR_1"}}))
	client := livekit.Open(livekit.Config{URL: b.livekit.URL, APIKey: livekittest.APIKey, APISecret: secret.New(livekittest.APISecret)})
	clock := func() time.Time { return b.now }
	b.ender = &teardown.Ender{Calls: b.db, Rooms: client, Now: clock}
	edge := &api.Edge{Now: clock, Log: slog.New(slog.NewJSONHandler(&b.log, nil))}
	b.handler = edge.Handler(&livekitwebhook.Endpoint{LiveKit: client, Teardown: b.ender, Now: clock,
		Inbound: &inbound.Adopter{Numbers: b.db, Calls: b.db, Rooms: client, Flow: s}})
	b.db.Trips()
	return b, s
}

// told returns an event about ada's inbound room, as LiveKit writes it.
func told(name, participant, reason, status string) string {
	attributes := fmt.Sprintf(`{"sip.callStatus":%q,"sip.callTag":"y","sip.callIDFull":"x","sip.phoneNumber":"+14155550100",`+
		`"sip.trunkPhoneNumber":%q,"sip.trunkID":"ST_in","sip.ruleID":"SDR_1"}`, status, called)
	who := map[string]string{"": "",
		"phone": fmt.Sprintf(`,"participant":{"sid":"PA_1","identity":%q,"kind":"SIP","attributes":%s,"disconnectReason":%q}`, caller, attributes, reason),
		"agent": fmt.Sprintf(`,"participant":{"sid":"PA_2","identity":"agent-1","kind":"AGENT","disconnectReason":%q}`, reason)}[participant]
	return fmt.Sprintf(`{"event":%q,"room":{"name":%q,"sid":"RM_1","creationTime":"%d","creationTimeMs":"%d"}%s,"id":"EV_1","createdAt":"%d"}`,
		name, ownRoom, roomMillis/1000, roomMillis, who, cameAt.Add(5*time.Second).Unix())
}

// phoneInRoom makes LiveKit list the caller.
func (b *bench) phoneInRoom(status string) {
	b.livekit.Leave(ownRoom, caller)
	b.livekit.Join(ownRoom, &lk.ParticipantInfo{Identity: caller, Kind: lk.ParticipantInfo_SIP, State: lk.ParticipantInfo_ACTIVE,
		Attributes: map[string]string{"sip.callStatus": status, "sip.ruleID": "SDR_1"}})
}

// record returns the inbound call, or the zero Call if it is not on record.
func (b *bench) record() call.Call {
	b.Helper()
	c, err := b.db.Call(b.Context(), inboundID)
	if err != nil && !fault.Is(err, fault.NotFound) {
		b.Fatal(err)
	}
	return c
}

// TestLogNamesTheCall checks that the log line of an event names the event's call, and no call if
// the event has none.
func TestLogNamesTheCall(t *testing.T) {
	t.Parallel()
	out := newBench(t, call.InProgress)
	_, left := out.sampleEvent()
	in, _ := newInboundBench(t)
	came := told("participant_joined", "phone", "", "ringing")
	for _, tt := range []struct {
		b           *bench
		event, want string
	}{
		{out, left, id},
		{out, strings.ReplaceAll(left, id, "a-room-of-somebody-else"), ""},
		{in, came, inboundID},
		{in, told("participant_left", "phone", "CLIENT_INITIATED", "hangup"), inboundID},
		{in, strings.Replace(came, `"sip.trunkID":"ST_in"`, `"sip.trunkID":"ST_other"`, 1), ""},
	} {
		tt.b.log.Reset()
		status, _ := tt.b.deliver(tt.event, tt.b.sign(tt.event), false)
		var line struct {
			CallID string `json:"call_id"`
		}
		if err := json.Unmarshal(tt.b.log.Bytes(), &line); err != nil || status != 200 || line.CallID != tt.want {
			t.Errorf("%d, %v, the log names %q, not %q: %.200s", status, err, line.CallID, tt.want, tt.event)
		}
	}
}

// TestInboundOnce checks that events that come twice and in any order, also concurrently, make one
// record and one workflow.
func TestInboundOnce(t *testing.T) {
	t.Parallel()
	events := []string{told("room_started", "", "", ""), told("participant_joined", "phone", "", "ringing"),
		told("participant_joined", "agent", "", ""), told("participant_left", "phone", "CLIENT_INITIATED", "hangup"),
		told("participant_left", "agent", "ROOM_DELETED", ""), told("room_finished", "", "", "")}
	events = append(events, events...)
	for seed := range uint64(10) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			b, s := newInboundBench(t)
			var race sync.WaitGroup
			for _, i := range rand.New(rand.NewPCG(seed, 0)).Perm(len(events)) {
				if seed%2 == 0 {
					b.send(http.StatusOK, events[i])
				} else {
					race.Go(func() { b.send(http.StatusOK, events[i]) })
				}
			}
			race.Wait()
			c := b.record()
			if !slices.Equal(s.names, []string{inboundID}) || c.UserID != "ada" || c.Direction != call.Inbound || c.PhoneNumber != "+14155550100" ||
				c.FromNumber != called || c.RoomName != ownRoom || !c.CreatedAt.Equal(cameAt) || !c.Status.Ended() {
				t.Errorf("started %v, record %+v", s.names, c)
			}
			days, err := b.db.StatsOf(t.Context(), "ada", cameAt, cameAt)
			if err != nil || len(days) != 1 || days[0].Started != 1 || days[0].Total() != 1 {
				t.Errorf("statistics %+v, %v", days, err)
			}
		})
	}
}

// TestInboundEffect checks the effect of each event on an inbound call in each state.
func TestInboundEffect(t *testing.T) {
	t.Parallel()
	gaveUp := told("participant_left", "phone", "CLIENT_INITIATED", "hangup")
	for _, tt := range []struct {
		name   string
		event  string
		phone  string // callStatus of the phone in the room; "" when it has left
		agent  bool   // is in the room
		before call.Status
		want   string // status and cause
	}{
		{"joined, unknown", told("participant_joined", "phone", "", "ringing"), "ringing", false, "", "initiated "},
		{"joined, and gone since", told("participant_joined", "phone", "", "ringing"), "", false, "", "initiated "},
		{"joined, again", told("participant_joined", "phone", "", "ringing"), "active", true, call.InProgress, "in_progress "},
		{"agent joined", told("participant_joined", "agent", "", ""), "ringing", true, "", " "},
		{"room started", told("room_started", "", "", ""), "ringing", false, "", " "},
		{"left, unknown", gaveUp, "", false, "", "failed unknown"},
		{"finished, unknown", told("room_finished", "", "", ""), "", false, "", " "},
		{"agent left, unknown", told("participant_left", "agent", "ROOM_CLOSED", ""), "", false, "", " "},
		{"caller gave up", gaveUp, "", true, call.Ringing, "no_answer callee_hangup"},
		{"caller left, and nobody saw it ring", gaveUp, "", true, call.Initiated, "failed unknown"},
		{"nobody answered", told("participant_left", "phone", "CLIENT_INITIATED", "ringing"), "", false, call.Ringing, "failed agent_unavailable"},
		{"agent deleted the room", told("participant_left", "phone", "ROOM_DELETED", "ringing"), "", false, call.Ringing, "failed unknown"},
		{"left, and is there", gaveUp, "ringing", false, call.Ringing, "ringing "},
		{"agent left a ringing phone", told("participant_left", "agent", "CLIENT_INITIATED", ""), "ringing", false, call.Ringing, "ringing "},
		{"finished while ringing", told("room_finished", "", "", ""), "", false, call.Ringing, "failed unknown"},
		{"hung up", gaveUp, "", true, call.InProgress, "completed callee_hangup"},
		{"agent ended it", told("participant_left", "phone", "ROOM_DELETED", "active"), "", false, call.InProgress, "completed agent_hangup"},
		{"no sound", told("participant_left", "phone", "CLIENT_INITIATED", "active"), "", true, call.InProgress, "completed network_error"},
		{"after its end", told("participant_left", "phone", "CLIENT_INITIATED", "active"), "", true, call.NoAnswer, "no_answer "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b, _ := newInboundBench(t)
			if tt.before != "" {
				c := call.Call{ID: inboundID, UserID: "ada", Direction: call.Inbound, RoomName: ownRoom, RingingTimeout: 30, MaxDuration: 14400,
					Status: tt.before, CreatedAt: cameAt, DialedAt: cameAt}
				if tt.before == call.InProgress {
					c.AnsweredAt = cameAt.Add(-30 * time.Second) // LiveKit hangs up after 30 s without sound
				}
				_, err := b.db.CreateInbound(t.Context(), c, 0)
				b.must(err)
			}
			if tt.phone != "" {
				b.phoneInRoom(tt.phone)
			}
			if tt.agent {
				b.livekit.Join(ownRoom, &lk.ParticipantInfo{Identity: "agent-1", Kind: lk.ParticipantInfo_AGENT})
			}
			b.send(http.StatusOK, tt.event)
			c := b.record()
			if got := fmt.Sprint(c.Status, " ", c.Cause); got != tt.want {
				t.Errorf("%s, want %s", got, tt.want)
			}
			if c.Status.Ended() && c.Status != tt.before && b.livekit.Room(ownRoom) != nil {
				t.Error("the room was left there")
			}
		})
	}
}

// TestInboundOfOthers checks that the handler ignores events of calls to numbers outside the
// platform, whatever their rooms are called.
func TestInboundOfOthers(t *testing.T) {
	t.Parallel()
	joined := told("participant_joined", "phone", "", "ringing")
	for name, body := range map[string]string{
		"another trunk":    strings.Replace(joined, "ST_in", "ST_out", 1),
		"another rule":     strings.Replace(joined, "SDR_1", "SDR_2", 1),
		"hidden number":    strings.NewReplacer(`"sip.phoneNumber"`, `"x"`, `"sip.trunkPhoneNumber"`, `"y"`).Replace(joined),
		"unknown number":   strings.ReplaceAll(joined, called, "+2348099999999"),
		"another's room":   strings.Replace(joined, ownRoom, number.RoomPrefix("bob", "support-")+"_+14155550100_x", 1),
		"a person":         strings.Replace(joined, `"kind":"SIP",`, "", 1),
		"no creation time": strings.NewReplacer(`"creationTime"`, `"x"`, `"creationTimeMs"`, `"y"`).Replace(joined),
		"a room elsewhere": strings.Replace(joined, ownRoom, "support-_+14155550100_x", 1),
	} {
		b, s := newInboundBench(t)
		b.send(http.StatusOK, body)
		b.send(http.StatusOK, strings.Replace(body, "participant_joined", "participant_left", 1))
		if ids, err := b.db.ActiveCalls(t.Context(), cameAt.Add(time.Hour)); err != nil || len(ids) != 0 || len(s.names) != 0 || len(b.livekit.Requests()) != 0 {
			t.Errorf("%s: calls %v, %v, started %v, asked LiveKit %v", name, ids, err, s.names, b.livekit.Requests())
		}
	}
}

// TestInboundTrouble checks that a failure on our side loses no call: LiveKit sends the
// event again.
func TestInboundTrouble(t *testing.T) {
	t.Parallel()
	b, s := newInboundBench(t)
	joined := told("participant_joined", "phone", "", "ringing")
	s.err = errors.New("the workflows are down")
	b.send(http.StatusServiceUnavailable, joined)
	s.err = nil
	b.send(http.StatusOK, joined)
	if !slices.Equal(s.names, []string{inboundID}) {
		t.Errorf("started %v", s.names)
	}
	b.livekit.Fail("ListParticipants", livekittest.ErrorBefore)
	left := told("participant_left", "phone", "CLIENT_INITIATED", "hangup")
	b.send(http.StatusServiceUnavailable, left)
	b.livekit.Fail("ListParticipants", livekittest.None)
	b.send(http.StatusOK, left)
	if c := b.record(); !c.Status.Ended() {
		t.Errorf("%s %s", c.Status, c.Cause)
	}
}

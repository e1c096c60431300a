package livekitwebhook_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	lk "github.com/livekit/protocol/livekit"

	"github.com/krosai/telephony/shared/call"
	"github.com/krosai/telephony/shared/fault"
	"github.com/krosai/telephony/shared/livekit/livekittest"
	"github.com/krosai/telephony/shared/number"
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

// newInboundBench holds one number of ada's that takes inbound calls.
func newInboundBench(t *testing.T) *bench {
	t.Helper()
	b := newBench(t, cameAt.Add(5*time.Second))
	b.Must(b.PutNumber(t.Context(), number.Number{ID: number.ID(called), E164: called, Country: "NG", Type: "mobile", UserID: "ada",
		Trunk: &number.Trunk{InboundID: "ST_in"}, Rule: &number.Rule{RoomPrefix: "support-", AgentName: "support-agent", ID: "SDR_1"}}))
	b.Trips()
	return b
}

// started returns the names of the started workflows. Step Functions starts each name once.
func (b *bench) started() []string { return slices.Compact(slices.Clone(b.Workflows.Started())) }

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
	c, err := b.Call(b.Context(), inboundID)
	if err != nil && !fault.Is(err, fault.NotFound) {
		b.Fatal(err)
	}
	return c
}

// TestLogNamesTheCall checks that the log line of an event names the event's call, and no call if
// the event has none.
func TestLogNamesTheCall(t *testing.T) {
	t.Parallel()
	out := newOutboundBench(t, call.InProgress)
	_, left := out.sampleEvent()
	in := newInboundBench(t)
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
		tt.b.Logged.Reset()
		tt.b.send(http.StatusOK, tt.event)
		var line struct {
			CallID string `json:"call_id"`
		}
		if err := json.Unmarshal(tt.b.Logged.Bytes(), &line); err != nil || line.CallID != tt.want {
			t.Errorf("%v, the log names %q, not %q: %.200s", err, line.CallID, tt.want, tt.event)
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
			b := newInboundBench(t)
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
			if !slices.Equal(b.started(), []string{inboundID}) || c.UserID != "ada" || c.Direction != call.Inbound || c.Remote != "+14155550100" ||
				c.Own != called || c.RoomName != ownRoom || !c.CreatedAt.Equal(cameAt) || !c.Status.Ended() {
				t.Errorf("started %v, record %+v", b.started(), c)
			}
			days, err := b.StatsOf(t.Context(), "ada", cameAt, cameAt)
			if err != nil || len(days) != 1 || days[0].Started != 1 || days[0].Total() != 1 {
				t.Errorf("statistics %+v, %v", days, err)
			}
		})
	}
}

// TestInboundEffect checks the effect of each event on an inbound call in each state.
func TestInboundEffect(t *testing.T) {
	t.Parallel()
	came, finished := told("participant_joined", "phone", "", "ringing"), told("room_finished", "", "", "")
	silent := told("participant_left", "phone", "CLIENT_INITIATED", "active")
	gaveUp := told("participant_left", "phone", "CLIENT_INITIATED", "hangup")
	for _, tt := range []struct {
		name   string
		event  string
		phone  string // callStatus of the phone in the room; "" when it has left
		agent  bool   // is in the room
		before call.Status
		want   string // status and cause
	}{
		{name: "joined, unknown", event: came, phone: "ringing", want: "initiated "},
		{name: "joined, and gone since", event: came, want: "initiated "},
		{name: "joined, again", event: came, phone: "active", agent: true, before: call.InProgress, want: "in_progress "},
		{name: "agent joined", event: told("participant_joined", "agent", "", ""), phone: "ringing", agent: true, want: " "},
		{name: "room started", event: told("room_started", "", "", ""), phone: "ringing", want: " "},
		{name: "left, unknown", event: gaveUp, want: "failed unknown"},
		{name: "finished, unknown", event: finished, want: " "},
		{name: "agent left, unknown", event: told("participant_left", "agent", "ROOM_CLOSED", ""), want: " "},
		{name: "caller gave up", event: gaveUp, agent: true, before: call.Ringing, want: "no_answer callee_hangup"},
		{name: "caller left, and nobody saw it ring", event: gaveUp, agent: true, before: call.Initiated, want: "failed unknown"},
		{
			name:   "nobody answered",
			event:  told("participant_left", "phone", "CLIENT_INITIATED", "ringing"),
			before: call.Ringing,
			want:   "failed agent_unavailable",
		},
		{
			name:   "agent deleted the room",
			event:  told("participant_left", "phone", "ROOM_DELETED", "ringing"),
			before: call.Ringing,
			want:   "failed unknown",
		},
		{name: "left, and is there", event: gaveUp, phone: "ringing", before: call.Ringing, want: "ringing "},
		{
			name:   "agent left a ringing phone",
			event:  told("participant_left", "agent", "CLIENT_INITIATED", ""),
			phone:  "ringing",
			before: call.Ringing,
			want:   "ringing ",
		},
		{name: "finished while ringing", event: finished, before: call.Ringing, want: "failed unknown"},
		{name: "hung up", event: gaveUp, agent: true, before: call.InProgress, want: "completed callee_hangup"},
		{
			name:   "agent ended it",
			event:  told("participant_left", "phone", "ROOM_DELETED", "active"),
			before: call.InProgress,
			want:   "completed agent_hangup",
		},
		{name: "no sound", event: silent, agent: true, before: call.InProgress, want: "completed network_error"},
		{name: "after its end", event: silent, agent: true, before: call.NoAnswer, want: "no_answer "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := newInboundBench(t)
			if tt.before != "" {
				c := call.Call{ID: inboundID, UserID: "ada", Direction: call.Inbound, RoomName: ownRoom, RingingTimeout: 30, MaxDuration: 14400,
					Status: tt.before, CreatedAt: cameAt, DialedAt: cameAt}
				if tt.before == call.InProgress {
					c.AnsweredAt = cameAt.Add(-30 * time.Second) // LiveKit hangs up after 30 s without sound
				}
				_, err := b.CreateInbound(t.Context(), c, 0)
				b.Must(err)
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
		b := newInboundBench(t)
		b.send(http.StatusOK, body)
		b.send(http.StatusOK, strings.Replace(body, "participant_joined", "participant_left", 1))
		if ids, err := b.ActiveCalls(t.Context(), cameAt.Add(time.Hour)); err != nil || len(ids) != 0 || len(b.started()) != 0 || len(b.livekit.Requests()) != 0 {
			t.Errorf("%s: calls %v, %v, started %v, asked LiveKit %v", name, ids, err, b.started(), b.livekit.Requests())
		}
	}
}

// TestInboundTrouble checks that a failure on our side loses no call: LiveKit sends the
// event again.
func TestInboundTrouble(t *testing.T) {
	t.Parallel()
	b := newInboundBench(t)
	joined := told("participant_joined", "phone", "", "ringing")
	b.Workflows.Down(true)
	b.send(http.StatusServiceUnavailable, joined)
	b.Workflows.Down(false)
	b.send(http.StatusOK, joined)
	if !slices.Equal(b.started(), []string{inboundID}) {
		t.Errorf("started %v", b.started())
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

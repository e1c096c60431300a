package all_test

import (
	"fmt"
	"testing"
	"time"

	lk "github.com/livekit/protocol/livekit"

	"github.com/krosai/telephony/shared/call"
	"github.com/krosai/telephony/shared/call/inbound"
	"github.com/krosai/telephony/shared/fault"
	"github.com/krosai/telephony/shared/livekit/livekittest"
	"github.com/krosai/telephony/shared/number"
	"github.com/krosai/telephony/shared/teardown"
)

const caller = "sip_+14155550100"

// ring lets a call come in for ada's number. Its phone rings in its room, and is answered before
// the read of a room with the number answered. Zero means never.
func (w *world) ring(answered int64) {
	w.t.Helper()
	const e164 = "+2348012345678"
	err := w.db.PutNumber(w.t.Context(), number.Number{ID: number.ID(e164), E164: e164, Country: "NG", Type: "mobile", UserID: "ada",
		Trunk: &number.Trunk{InboundID: "ST_in"}, Rule: &number.Rule{RoomPrefix: "support-", AgentName: "a", ID: "SDR_1"}})
	if err != nil {
		w.t.Fatal(err)
	}
	room := number.RoomPrefix("ada", "support-") + "_+14155550100_x"
	phone := func(status string) {
		w.livekit.Leave(room, caller)
		w.livekit.Join(room, &lk.ParticipantInfo{Identity: caller, Kind: lk.ParticipantInfo_SIP, State: lk.ParticipantInfo_ACTIVE,
			Attributes: map[string]string{"sip.callStatus": status, "sip.ruleID": "SDR_1"}})
	}
	phone("ringing")
	w.onLook = func(n int64) {
		if n == answered {
			w.livekit.Join(room, &lk.ParticipantInfo{Identity: "agent", Kind: lk.ParticipantInfo_AGENT, State: lk.ParticipantInfo_ACTIVE})
			phone("active")
		}
	}
	adopter := inbound.Adopter{Numbers: w.db, Calls: w.db, Rooms: w.deps.LiveKit, Workflow: w.deps.Workflow}
	c, ours, err := adopter.Adopt(w.t.Context(), call.Arrival{Room: room, RoomID: "RM_1", CreatedAt: time.Now().UTC().Truncate(time.Millisecond),
		TrunkID: "ST_in", RuleID: "SDR_1", Caller: "+14155550100", Called: e164})
	if err != nil || !ours {
		w.t.Fatal(ours, err)
	}
	w.id = c.ID
}

// leave lets the caller hang up and LiveKit report it.
func (w *world) leave() {
	w.t.Helper()
	c, err := w.db.Call(w.t.Context(), w.id)
	if err != nil {
		w.t.Fatal(err)
	}
	w.livekit.Leave(c.RoomName, caller)
	s := &teardown.Ender{Calls: w.db, Rooms: w.deps.LiveKit, Now: time.Now}
	for range 3 { // as the webhook does: LiveKit sends it again after a 503
		_, err = s.PhoneLeft(w.t.Context(), c, call.Leave{Reason: "CLIENT_INITIATED", Status: "hangup"}, time.Now())
		if !fault.Is(err, fault.Upstream) {
			break
		}
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

func TestOrdinaryInboundCallAsksLittleOfLiveKit(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.ring(3) // 1.75 s after it began to ring
	w.until(w.up)
	w.leave()
	if c := w.until(ended); c.Cause != call.CalleeHangup {
		t.Errorf("%s %s", c.Status, c.Cause)
	}
	if asked := w.livekit.Requests(); len(asked) > 8 {
		t.Errorf("%d requests, want at most 8: %v", len(asked), asked)
	}
}

// TestOneFaultOfAnInboundCall fails each request to LiveKit in turn. In half of the cases the
// function that watches the phone also dies once. The call is answered all the same, and its
// recorded end is the true one.
func TestOneFaultOfAnInboundCall(t *testing.T) {
	t.Parallel()
	for n := range 4 { // UpdateRoomMetadata, and reads of the room
		for _, f := range livekittest.Faults {
			t.Run(fmt.Sprintf("request %d fault %d", n, f), func(t *testing.T) {
				t.Parallel()
				w := newWorld(t)
				w.livekit.FailAt(n, f)
				w.crash["preparecall"] = n % 2
				w.ring(2)
				c := w.until(w.up)
				if room := w.livekit.Room(c.RoomName); room == nil || room.Metadata == "" {
					t.Error("the agent was told nothing")
				}
				w.leave()
				if c := w.until(ended); c.Status != call.Completed || c.Cause != call.CalleeHangup {
					t.Errorf("%s %s", c.Status, c.Cause)
				}
			})
		}
	}
}

// TestInboundCallOutlivesItsPreparation checks that a call goes on to its own end even if the
// function that watches the phone dies each time.
func TestInboundCallOutlivesItsPreparation(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.crash["preparecall"] = 3
	w.ring(2)
	w.until(w.up)
	w.leave()
	if c := w.until(ended); c.Status != call.Completed || c.Cause != call.CalleeHangup {
		t.Errorf("%s %s", c.Status, c.Cause)
	}
}

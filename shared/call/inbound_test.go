package call

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/oklog/ulid/v2"
)

func TestInboundID(t *testing.T) {
	t.Parallel()
	// Fixed forever: another id for the same room would be another call.
	if id := InboundID("RM_bs6k4iVcpRC8", time.UnixMilli(1795328695782)); id != "call_01M80YVQF6QK2N53PBZH7BYDDC" {
		t.Error(id)
	}
	seen := map[string]bool{}
	for i := range 1000 {
		at := t0.Add(time.Duration(i/10) * time.Hour)
		id := InboundID(fmt.Sprintf("RM_%d", i), at)
		u, err := ulid.ParseStrict(id[len("call_"):])
		if err != nil || u.String() != id[len("call_"):] || !ulid.Time(u.Time()).Equal(at) || seen[id] {
			t.Fatalf("%s of %v: %v, seen before %t", id, at, err, seen[id])
		}
		seen[id] = true
	}
	if InboundID("RM_1", t0) != InboundID("RM_1", t0.In(time.FixedZone("WAT", 3600))) || InboundID("RM_1", t0) == InboundID("RM_1", t0.Add(time.Millisecond)) {
		t.Error("the id follows from the room and the moment it was made, and from nothing else")
	}
}

func TestEndOfLeave(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		leave  Leave
		status Status
		cause  Cause
	}{
		{"caller gave up", Leave{"CLIENT_INITIATED", "hangup"}, NoAnswer, CalleeHangup},
		{"caller gave up, seen late", Leave{"CONNECTION_TIMEOUT", "hangup"}, NoAnswer, CalleeHangup},
		{"rang to the end", Leave{"CLIENT_INITIATED", "ringing"}, Failed, AgentUnavailable},
		{"agent deleted the room", Leave{"ROOM_DELETED", "ringing"}, Failed, Unknown},
		{"LiveKit stopped", Leave{"SERVER_SHUTDOWN", "ringing"}, Failed, Unknown},
		{"gone while active", Leave{"CLIENT_INITIATED", "active"}, Failed, Unknown},
		{"nothing was said", Leave{}, Failed, Unknown},
	} {
		c := Call{Direction: Inbound, Status: Ringing, CreatedAt: t0}
		if d := cmp.Diff(End{Status: tt.status, Cause: tt.cause, At: t0}, c.PhoneLeft(tt.leave, t0)); d != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, d)
		}
		c.HangupRequested = t0
		if d := cmp.Diff(End{Status: Canceled, Cause: APIHangup, At: t0}, c.PhoneLeft(tt.leave, t0)); d != "" {
			t.Errorf("%s, after a hang-up (-want +got):\n%s", tt.name, d)
		}
	}
	if end := (Call{Direction: Inbound, Status: Initiated}).PhoneLeft(Leave{"CLIENT_INITIATED", "hangup"}, t0); end.Status != Failed || end.Cause != Unknown {
		t.Errorf("nobody saw it ring, and yet it ended %s %s", end.Status, end.Cause)
	}
	c := Call{Direction: Inbound, CreatedAt: t0, AnsweredAt: t0, MaxDuration: 60}
	if d := cmp.Diff(End{Status: Completed, Cause: CalleeHangup, SIPStatus: 200, At: t0}, c.PhoneLeft(Leave{"CLIENT_INITIATED", "hangup"}, t0)); d != "" {
		t.Errorf("answered (-want +got):\n%s", d)
	}
}

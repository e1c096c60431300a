package sweepcalls

import (
	"context"

	"github.com/krosai/telephony/shared/call"
	"github.com/krosai/telephony/shared/fault"
	"github.com/krosai/telephony/shared/livekit"
	"github.com/krosai/telephony/shared/number"
)

// Inbound makes calls of what comes in; ours is false for what is not for a
// number of the platform.
type Inbound interface {
	Adopt(ctx context.Context, in call.Arrival) (c call.Call, ours bool, err error)
}

// adopt makes calls of phones that have come in and of which no webhook told.
func (t *Task) adopt(ctx context.Context, rooms []livekit.RoomInfo, active []string, r *Report) {
	going := setOf(active)
	for _, room := range rooms {
		if !number.InboundRoom(room.Name) || going[call.InboundID(room.ID, room.CreatedAt)] {
			continue
		}
		adopted, err := t.adoptRoom(ctx, room)
		if err != nil {
			r.Failures++
			t.Log.ErrorContext(ctx, "inbound call", "room_id", room.ID, "err", err) // its name tells who calls
		}
		if adopted {
			r.Adopted++
		}
	}
}

// adoptRoom looks into a room that may be a call's without a record. A room that
// the phone has left already tells nobody's number: such a call leaves no trace.
func (t *Task) adoptRoom(ctx context.Context, room livekit.RoomInfo) (adopted bool, err error) {
	_, err = t.Calls.Call(ctx, call.InboundID(room.ID, room.CreatedAt))
	if !fault.Is(err, fault.NotFound) {
		return false, err
	}
	inside, err := t.Rooms.ReadRoom(ctx, room.Name)
	if err != nil || !inside.Up() {
		return false, err
	}
	p := inside.Callee
	_, adopted, err = t.Inbound.Adopt(ctx, call.Arrival{Room: room.Name, RoomID: room.ID, CreatedAt: room.CreatedAt,
		TrunkID: p.TrunkID, RuleID: p.RuleID, Caller: p.Caller, Called: p.Called})
	return adopted && err == nil, err
}

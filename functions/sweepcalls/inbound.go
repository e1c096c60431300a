package sweepcalls

import (
	"context"

	"github.com/krosai/telephony/shared/call"
	"github.com/krosai/telephony/shared/fault"
	"github.com/krosai/telephony/shared/livekit"
	"github.com/krosai/telephony/shared/number"
)

// Inbound creates the calls that come in. Adopt sets ours to false for a call that is not for a
// number of the platform.
type Inbound interface {
	Adopt(ctx context.Context, in call.Arrival) (c call.Call, ours bool, err error)
}

// adopt creates calls for phones that have come in and that no webhook reported.
func (r *run) adopt(ctx context.Context, rooms []livekit.RoomInfo, active []string) {
	going := setOf(active)
	var strangers []livekit.RoomInfo
	for _, room := range rooms {
		if number.InboundRoom(room.Name) && !going[inboundID(room)] {
			strangers = append(strangers, room)
		}
	}
	each(ctx, r, strangers, inboundID, r.adoptRoom) // not the room's name, because it contains the caller's number
}

func inboundID(room livekit.RoomInfo) string { return call.InboundID(room.ID, room.CreatedAt) }

// adoptRoom reads a room that may belong to a call without a record. If the phone has already left,
// the room does not tell the numbers, and the call leaves no trace.
func (r *run) adoptRoom(ctx context.Context, room livekit.RoomInfo) error {
	_, err := r.Calls.Call(ctx, inboundID(room))
	if !fault.Is(err, fault.NotFound) {
		return err
	}
	inside, err := r.livekit.ReadRoom(ctx, room.Name)
	if err != nil || !inside.Up() {
		return err
	}
	p := inside.Callee
	_, adopted, err := r.Inbound.Adopt(ctx, call.Arrival{Room: room.Name, RoomID: room.ID, CreatedAt: room.CreatedAt,
		TrunkID: p.TrunkID, RuleID: p.RuleID, Caller: p.Caller, Called: p.Called})
	if adopted && err == nil {
		r.add(&r.report.Adopted, 1)
	}
	return err
}

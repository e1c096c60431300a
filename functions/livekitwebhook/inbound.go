package livekitwebhook

import (
	"context"

	"github.com/krosai/telephony/shared/api"
	"github.com/krosai/telephony/shared/call"
	"github.com/krosai/telephony/shared/fault"
	"github.com/krosai/telephony/shared/livekit"
)

// applyInbound creates a call for a phone that has come in, and ends it when the phone or the
// agent has left. It creates the record from the event itself, which LiveKit has signed: the
// call took place even if the phone is gone by now. The workflow then reads the state of the
// call from LiveKit.
func (e *Endpoint) applyInbound(ctx context.Context, event livekit.Event) error {
	var c call.Call
	var err error
	switch event.Name {
	case "participant_joined":
		if event.Phone {
			c, _, err = e.Inbound.Adopt(ctx, arrival(event))
		}
		api.LogCall(ctx, c.ID)
		return err
	case "participant_left", "room_finished":
		c, err = e.callOf(ctx, event)
		api.LogCall(ctx, c.ID)
	}
	switch {
	case err != nil:
		return err
	case c.Status == call.InProgress:
		return e.left(ctx, c, event)
	case c.ID == "" || c.Status.Ended() || event.Agent:
		return nil
	case event.Name == "room_finished":
		if c, err = e.later(ctx, c, outOfOrder); err != nil || c.Status.Ended() {
			return err
		}
	}
	_, err = e.Teardown.CallerGaveUp(ctx, c, event.Leave, e.when(event))
	return err
}

// callOf returns the call of an inbound room. If this event of the phone is the first that arrives,
// callOf creates the call. The zero Call means that the room has no call of this platform.
func (e *Endpoint) callOf(ctx context.Context, event livekit.Event) (call.Call, error) {
	c, err := e.Teardown.Calls.Call(ctx, call.InboundID(event.RoomID, event.RoomCreatedAt))
	if fault.Is(err, fault.NotFound) && event.Phone {
		c, _, err = e.Inbound.Adopt(ctx, arrival(event))
	}
	return c, err
}

func arrival(e livekit.Event) call.Arrival {
	return call.Arrival{Room: e.Room, RoomID: e.RoomID, CreatedAt: e.RoomCreatedAt,
		TrunkID: e.TrunkID, RuleID: e.RuleID, Caller: e.Caller, Called: e.Called}
}

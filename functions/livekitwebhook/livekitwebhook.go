// Package livekitwebhook serves POST /webhooks/livekit, where LiveKit reports what happens in its
// rooms. An event is only a hint: it may come late, twice or never. The handler reads the room from
// LiveKit before it ends a call.
package livekitwebhook

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/krosai/telephony/shared/api"
	"github.com/krosai/telephony/shared/call"
	"github.com/krosai/telephony/shared/fault"
	"github.com/krosai/telephony/shared/id"
	"github.com/krosai/telephony/shared/livekit"
	"github.com/krosai/telephony/shared/number"
	"github.com/krosai/telephony/shared/teardown"
)

// Verifier checks an event's signature over its raw bytes. It fails with
// fault.Unauthenticated for a forgery.
type Verifier interface {
	ReceiveWebhook(raw []byte, authorization string) (livekit.Event, error)
}

// Inbound creates the calls that come in. Adopt sets ours to false for a call that is not for a
// number of the platform.
type Inbound interface {
	Adopt(ctx context.Context, in call.Arrival) (c call.Call, ours bool, err error)
}

// Endpoint receives LiveKit's events.
type Endpoint struct {
	LiveKit  Verifier
	Inbound  Inbound
	Teardown *teardown.Ender
	Now      func() time.Time
}

// Input is the signed event.
type Input struct {
	Authorization string `header:"Authorization" doc:"LiveKit's signature: a JWT over the body's SHA-256"`
	RawBody       []byte `contentType:"application/webhook+json"`
}

// maxBody is in bytes, and many times the size of LiveKit's events.
const maxBody = 256 << 10

// Register adds the operation to the API.
func (e *Endpoint) Register(a huma.API) {
	huma.Register(a, huma.Operation{OperationID: "livekit-webhook", Method: http.MethodPost, Path: "/webhooks/livekit",
		DefaultStatus: http.StatusOK, MaxBodyBytes: maxBody, Summary: "Receive an event of LiveKit", Tags: []string{"LiveKit"},
		Description: "LiveKit signs the event with the project's key. 401 means a forgery. Any failure of the platform is a 503, so that LiveKit sends the event again.",
		Security:    api.Public(), Errors: []int{http.StatusUnauthorized, http.StatusServiceUnavailable}}, e.receive)
}

func (e *Endpoint) receive(ctx context.Context, in *Input) (*struct{}, error) {
	event, err := e.LiveKit.ReceiveWebhook(in.RawBody, in.Authorization)
	if err != nil {
		return nil, err
	}

	if err := e.apply(ctx, event); err != nil && !fault.Is(err, fault.NotFound) {
		return nil, fault.Unavailable("the event's handling", err)
	}

	return nil, nil
}

// apply ends the call whose phone or agent has left. While a call is being dialed, its dial knows
// more than any event, so apply considers only answered calls. It waits for an answer that the dial
// has not recorded yet. A phone that joins an ended call comes from a dial that LiveKit carried out
// after the dial had failed: apply deletes its room.
func (e *Endpoint) apply(ctx context.Context, event livekit.Event) error {
	if number.InboundRoom(event.Room) {
		return e.applyInbound(ctx, event)
	}
	left := event.Name == "participant_left"
	phoneLeft, agentLeft := left && event.Identity == call.CalleeIdentity, left && event.Agent
	phoneCame := event.Name == "participant_joined" && event.Identity == call.CalleeIdentity
	if !phoneCame && !phoneLeft && !agentLeft && event.Name != "room_finished" {
		return nil
	}
	if err := id.Call.Check(event.Room); err != nil {
		return err // not a room of this platform: there is no call to read
	}
	c, err := e.Teardown.Calls.Call(ctx, event.Room)
	api.LogCall(ctx, c.ID)
	if phoneCame {
		if err == nil && c.Status.Ended() {
			err = e.Teardown.Rooms.DeleteRoom(ctx, c.RoomName)
		}
		return err
	}
	if err == nil && event.Answered {
		c, err = e.await(ctx, c, func(c call.Call) bool { return !c.Status.Before(call.InProgress) })
	}
	if err != nil || c.Status != call.InProgress {
		return err
	}
	return e.left(ctx, c, event)
}

// looks and pause are how often, and at what interval, the handler reads a call whose phone has
// left before its dial recorded the answer, or before the outcome of its transfer was recorded.
const (
	looks = 10
	pause = 300 * time.Millisecond
)

// outOfOrder is how much later than the end of its room LiveKit may report that the phone has left.
const outOfOrder = 2 * time.Second

// left ends an answered call that is over. The end of the room alone does not say why the call
// ended. The event of the phone's leaving does, and it usually comes first. If the phone leaves
// while a transfer is under way, left waits for the outcome, because only the outcome says whether
// the phone hung up or was transferred.
func (e *Endpoint) left(ctx context.Context, c call.Call, event livekit.Event) error {
	switch {
	case event.Agent:
		_, err := e.Teardown.AgentLeft(ctx, c)
		return err
	case event.Name == "room_finished":
		now, err := e.later(ctx, c, outOfOrder)
		if c = now; err != nil || c.Status.Ended() {
			return err
		}
	case !event.Phone:
		return nil // a person who talked to the phone has left
	}
	c, err := e.await(ctx, c, func(c call.Call) bool { return !c.Transferring(e.Now()) })
	if err != nil {
		return err
	}
	_, err = e.Teardown.PhoneLeft(ctx, c, event.Leave, e.when(event))
	return err
}

// await reads a call again until recorded reports that its record has what the handler waits for,
// at most looks times.
func (e *Endpoint) await(ctx context.Context, c call.Call, recorded func(call.Call) bool) (_ call.Call, err error) {
	for range looks {
		if err != nil || recorded(c) {
			break
		}
		c, err = e.later(ctx, c, pause)
	}
	return c, err
}

// later reads a call again after a pause.
func (e *Endpoint) later(ctx context.Context, c call.Call, pause time.Duration) (call.Call, error) {
	select {
	case <-time.After(pause):
		return e.Teardown.Calls.Call(ctx, c.ID)
	case <-ctx.Done():
		return c, ctx.Err()
	}
}

// when returns the moment of an event. LiveKit's timestamps are whole seconds, so our own clock is
// more exact for an event that is at most 3 s old.
func (e *Endpoint) when(event livekit.Event) time.Time {
	if now := e.Now(); now.Sub(event.CreatedAt) <= 3*time.Second {
		return now
	}
	return event.CreatedAt
}

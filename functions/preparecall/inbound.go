package preparecall

import (
	"context"
	"time"

	"github.com/krosai/telephony/shared/call"
)

// An inbound call is already prepared: LiveKit has created the room and dispatched the agent, and
// it answers the phone as soon as the agent speaks. The task only sends the agent its metadata and
// waits for the answer.

// firstPause and longestPause are the shortest and the longest pause between two reads of an
// inbound room. A call that is answered and over between two reads is recorded as not answered,
// because LiveKit does not tell that it was. arriving is how long after the room's creation LiveKit
// may not list its phone.
const (
	firstPause   = 250 * time.Millisecond
	longestPause = 500 * time.Millisecond
	arriving     = 3 * time.Second
)

// answerMargin is added to the ringing timeout of an inbound call. When both are over, LiveKit has
// given up.
const answerMargin = 5 * time.Second

// inbound sends the agent of an inbound call its metadata and watches the phone until it is
// answered or gone. The metadata is set on the room, because the agent was dispatched before there
// was a call. A failed request to LiveKit is not an error: the caller may be talking, and the next
// read may succeed.
func (t *Task) inbound(ctx context.Context, c call.Call) (Output, error) {
	c, err := t.Teardown.Calls.Advance(ctx, c.ID, call.Ringing, c.CreatedAt)
	if err != nil || c.Status.Ended() {
		return Output{Outcome: "ended"}, err
	}
	metadata, err := t.Agents.Metadata(c)
	if err != nil {
		return Output{}, err
	}
	told, seen := false, false
	tell := func() { told = told || t.Rooms.UpdateRoomMetadata(ctx, c.RoomName, metadata) == nil }
	until := t.Now().Add(time.Duration(c.RingingTimeout)*time.Second + answerMargin)
	for pause := firstPause; t.Now().Before(until); pause = min(2*pause, longestPause) {
		tell()
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return Output{}, ctx.Err()
		}
		room, err := t.Rooms.ReadRoom(ctx, c.RoomName)
		seen = seen || err == nil && room.Up()
		switch {
		case err != nil:
		case room.Answered():
			tell()
			return t.answered(ctx, c, c.Answered(room.Callee, t.Now()))
		case !room.Up() && (seen || t.Now().Sub(c.CreatedAt) > arriving):
			_, err := t.Teardown.PhoneGone(ctx, c, t.rangUntil(c, seen), t.Now())
			return Output{Outcome: "ended"}, err
		}
	}
	return Output{Outcome: "unclear", TalkSeconds: c.MaxDuration}, nil
}

func (t *Task) answered(ctx context.Context, c call.Call, at time.Time) (Output, error) {
	c, err := t.Teardown.Calls.Advance(ctx, c.ID, call.InProgress, at)
	if err == nil && (c.Status.Ended() || !c.HangupRequested.IsZero()) {
		_, err = t.Teardown.TakeDown(ctx, c, t.Teardown.HungUp)
		return Output{Outcome: "ended"}, err
	}
	return Output{Outcome: "answered", TalkSeconds: c.MaxDuration}, err
}

// rangUntil reconstructs the event that LiveKit must have sent for a phone that was seen ringing
// and is now gone. The phone either rang for as long as LiveKit allows, or the caller gave up
// before. For a phone that was never seen, rangUntil returns the zero Leave.
func (t *Task) rangUntil(c call.Call, seen bool) call.Leave {
	switch {
	case !seen:
		return call.Leave{}
	case t.Now().Sub(c.CreatedAt) >= time.Duration(c.RingingTimeout)*time.Second:
		return call.Leave{Reason: call.ClientInitiated, Status: call.PhoneRinging}
	}
	return call.Leave{Reason: call.ClientInitiated, Status: call.PhoneHungUp}
}

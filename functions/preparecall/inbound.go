package preparecall

import (
	"context"
	"time"

	"github.com/krosai/telephony/shared/call"
)

// A call that has come in is prepared already: LiveKit has made the room, called
// the agent in, and answers the phone as soon as the agent speaks. What is left
// is to tell the agent what it needs and to see the answer.

// The pauses between looks at an inbound room, and how long after its creation
// LiveKit may not list the phone that it was made for.
const (
	firstPause   = 250 * time.Millisecond
	longestPause = time.Second
	arriving     = 3 * time.Second
)

// answerMargin is how much longer than its ringing time an inbound call is
// watched: by then LiveKit has given up.
const answerMargin = 5 * time.Second

// inbound gives the agent of a call that has come in its metadata, with the room
// because the agent was called before there was a call, and watches the phone
// until it is answered or gone. Trouble with LiveKit is no failure: the caller
// may be talking, and the next look may tell.
func (t *Task) inbound(ctx context.Context, c call.Call) (Output, error) {
	c, err := t.Settle.Calls.Advance(ctx, c.ID, call.Ringing, c.CreatedAt)
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
			_, err := t.Settle.Left(ctx, c, t.rangUntil(c, seen), t.Now())
			return Output{Outcome: "ended"}, err
		}
	}
	return Output{Outcome: "unclear", TalkSeconds: c.MaxDuration}, nil
}

func (t *Task) answered(ctx context.Context, c call.Call, at time.Time) (Output, error) {
	c, err := t.Settle.Calls.Advance(ctx, c.ID, call.InProgress, at)
	if err == nil && (c.Status.Ended() || !c.HangupRequested.IsZero()) {
		_, err = t.Settle.Stop(ctx, c, t.Settle.Hangup)
		return Output{Outcome: "ended"}, err
	}
	return Output{Outcome: "answered", TalkSeconds: c.MaxDuration}, err
}

// rangUntil is what LiveKit will have said of a phone that was seen ringing and
// then was gone: it had rung for as long as LiveKit lets it, or the caller gave
// up before. Of one that was never seen there is nothing to say.
func (t *Task) rangUntil(c call.Call, seen bool) call.Leave {
	switch {
	case !seen:
		return call.Leave{}
	case t.Now().Sub(c.CreatedAt) >= time.Duration(c.RingingTimeout)*time.Second:
		return call.Leave{Reason: "CLIENT_INITIATED", Status: "ringing"}
	}
	return call.Leave{Reason: "CLIENT_INITIATED", Status: "hangup"}
}

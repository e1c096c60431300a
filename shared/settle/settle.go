// Package settle brings calls to their one end. The workflow, a hang-up, a
// webhook and the sweep all end calls through it; the first one wins and the
// others read its result.
package settle

import (
	"context"
	"time"

	"github.com/krosai/telephony/shared/call"
	"github.com/krosai/telephony/shared/fault"
	"github.com/krosai/telephony/shared/obs"
)

// Calls is the record of calls.
type Calls interface {
	Call(ctx context.Context, id string) (call.Call, error)
	Advance(ctx context.Context, id string, to call.Status, at time.Time) (call.Call, error)
	EndCall(ctx context.Context, c call.Call, end call.End) (call.Call, error)
}

// Rooms is LiveKit's view of who is in a call's room.
type Rooms interface {
	ReadRoom(ctx context.Context, room string) (call.Room, error)
	DeleteRoom(ctx context.Context, room string) error
}

// Settler ends calls.
type Settler struct {
	Calls Calls
	Rooms Rooms
	Now   func() time.Time
}

// Judge decides the end of a call from its record as it stands at that moment.
// The zero End means that it cannot be decided now.
type Judge func(c call.Call) call.End

// End writes the end that judge decides; the event written with it tells the
// workflow (functions/resumecall). If the call
// moves on between decision and writing, judge is asked again; if it has ended,
// its end stands. It returns the call with its end, or as it is if judge decides
// nothing.
func (s *Settler) End(ctx context.Context, c call.Call, judge Judge) (call.Call, error) {
	for {
		var err error
		if !c.Status.Ended() {
			end := judge(c)
			if end == (call.End{}) {
				return c, nil
			}
			c, err = s.Calls.EndCall(ctx, c, end)
			if err == nil && c.EndedAt.Equal(end.At) { // no other end was first
				obs.Count(ctx, "CallsEnded", 1, "Status", string(c.Status))
				if c.Cause == call.Unknown {
					obs.Count(ctx, "OutcomesUnknown", 1)
				}
			}
		}
		if fault.Is(err, fault.Conflict) {
			continue // c is the call as it moved on: by a state, a hang-up, a transfer or its outcome
		}
		return c, err
	}
}

// Stop takes the room down, so that no phone goes on ringing or talking, and
// then ends the call. If LiveKit cannot be told, the call is not ended: the
// error is fault.Upstream, and the sweep will try again.
func (s *Settler) Stop(ctx context.Context, c call.Call, judge Judge) (call.Call, error) {
	if err := s.TakeDown(ctx, c); err != nil {
		return c, err
	}
	return s.End(ctx, c, judge)
}

// TakeDown deletes the room of a call that ends. c must be read after its dial
// could not be claimed any more: when the hang-up or the end was in the record.
// A room that the dialed phone has not come into yet stays, and who dials takes it
// down as soon as the phone is in it. LiveKit (1.13, routing.ErrNotFound) loses a
// room that somebody enters while it is deleted: the phone would ring and talk
// there, and no request could end it.
func (s *Settler) TakeDown(ctx context.Context, c call.Call) error {
	if c.Joining(s.Now()) {
		room, err := s.Rooms.ReadRoom(ctx, c.RoomName)
		if err != nil || room.Callee == nil {
			return err
		}
	}
	return s.Rooms.DeleteRoom(ctx, c.RoomName)
}

// CarryOut stops a call whose end a user or an administrator has asked for. A call
// that has ended keeps its end and is no error, even if its room cannot be taken
// down: the sweep takes down rooms of ended calls.
func (s *Settler) CarryOut(ctx context.Context, c call.Call) (call.Call, error) {
	after, err := s.Stop(ctx, c, s.Hangup)
	if c.Status.Ended() {
		return c, nil
	}
	return after, err
}

// Hangup is the end of a call that was stopped because a user asked, or that
// nobody may talk on any longer: what it was when it was stopped decides.
func (s *Settler) Hangup(c call.Call) call.End {
	if c.AnsweredAt.IsZero() {
		return c.EndOfDial(call.Attempt{}, s.Now())
	}
	return c.EndOfTalk(call.Leave{}, s.Now())
}

// Gone ends an answered call if a reading of its room shows that the phone has
// left, or that it is there alone, and takes the room down. left is what LiveKit
// said of it, the zero value if nothing; at is when it happened. While a call is
// being transferred nothing is decided: who transfers it looks when the outcome
// is written down, and if they die, the sweep does.
func (s *Settler) Gone(ctx context.Context, c call.Call, left call.Leave, at time.Time) (call.Call, error) {
	if c.Transferring(s.Now()) {
		return c, nil
	}
	room, err := s.Rooms.ReadRoom(ctx, c.RoomName)
	if err != nil {
		return c, err
	}
	return s.Found(ctx, c, room, left, at)
}

// closing is more than LiveKit takes to close a room, one participant after the
// other: meanwhile the phone may be gone and the agent seem to be there.
const closing = time.Second

// Look is Gone for who has been told nothing. It makes nothing of a room in which
// nobody is: LiveKit's word of the phone, or the sweep's list, says more.
func (s *Settler) Look(ctx context.Context, c call.Call, at time.Time) (call.Call, error) {
	if c.Transferring(s.Now()) {
		return c, nil
	}
	room, err := s.Rooms.ReadRoom(ctx, c.RoomName)
	if err == nil && !room.Up() && room != (call.Room{}) {
		c, room, err = s.again(ctx, c, closing)
	}
	if err != nil || room == (call.Room{}) {
		return c, err
	}
	return s.Found(ctx, c, room, call.Leave{}, at)
}

// again reads a call and its room after a pause.
func (s *Settler) again(ctx context.Context, c call.Call, pause time.Duration) (call.Call, call.Room, error) {
	select {
	case <-time.After(pause):
	case <-ctx.Done():
		return c, call.Room{}, ctx.Err()
	}
	c, err := s.Calls.Call(ctx, c.ID)
	if err != nil {
		return c, call.Room{}, err
	}
	room, err := s.Rooms.ReadRoom(ctx, c.RoomName)
	return c, room, err
}

// Found is Gone for a reading of the room that has been made already, while no
// transfer was under way.
func (s *Settler) Found(ctx context.Context, c call.Call, room call.Room, left call.Leave, at time.Time) (call.Call, error) {
	switch {
	case room.Alone():
		return s.Left(ctx, c, agentLeft(), s.Now())
	case room.Up():
		return c, nil
	case left == (call.Leave{}) && room != (call.Room{}):
		left.Status = "hangup" // the room is still there: it was the phone that went
	}
	return s.Left(ctx, c, left, at)
}

// Left is Gone without the reading: the phone is known to have left. The call
// need not have been answered if it came in.
func (s *Settler) Left(ctx context.Context, c call.Call, left call.Leave, at time.Time) (call.Call, error) {
	c, err := s.End(ctx, c, func(c call.Call) call.End {
		if c.Transferring(s.Now()) {
			return call.End{}
		}
		return c.EndOfLeave(left, at)
	})
	if err != nil || !c.Status.Ended() {
		return c, err
	}
	return c, s.Rooms.DeleteRoom(ctx, c.RoomName)
}

// Missed ends an inbound call that nobody has answered yet, if a reading of its
// room shows that the phone has left, and takes the room down. Unlike Gone it
// makes nothing of a room that is still there: whether the caller gave up or the
// agent never came is for those who saw it.
func (s *Settler) Missed(ctx context.Context, c call.Call, left call.Leave, at time.Time) (call.Call, error) {
	room, err := s.Rooms.ReadRoom(ctx, c.RoomName)
	if err != nil || room.Up() {
		return c, err
	}
	return s.Left(ctx, c, left, at)
}

// handover is how long an agent that has handed its call over may leave the
// phone alone until the next one is there.
const handover = 2 * time.Second

// Deserted ends an answered call whose agent has left, if the phone is alone and
// still is after a moment, and takes the room down. Unlike Gone it decides
// nothing when the phone has left too: whoever learns that knows more about it.
func (s *Settler) Deserted(ctx context.Context, c call.Call) (call.Call, error) {
	if c.Transferring(s.Now()) {
		return c, nil
	}
	room, err := s.Rooms.ReadRoom(ctx, c.RoomName)
	if err == nil && room.Alone() {
		c, room, err = s.again(ctx, c, handover)
	}
	if err != nil || !room.Alone() || c.Status != call.InProgress {
		return c, err
	}
	return s.Left(ctx, c, agentLeft(), s.Now())
}

// agentLeft is what LiveKit says of a phone whose agent deletes the room. A phone
// that its agent has left alone ends its call as if it had: first the record, for
// who finds the room gone before would not know why.
func agentLeft() call.Leave { return call.Leave{Reason: "ROOM_DELETED"} }

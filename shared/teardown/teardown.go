// Package settle brings each call to its one end. The workflow, a hangup request, a webhook and the
// sweep all end calls through it. The first of them wins, and the others read its result.
package teardown

import (
	"context"
	"time"

	"github.com/krosai/telephony/shared/call"
	"github.com/krosai/telephony/shared/fault"
	"github.com/krosai/telephony/shared/obs"
)

// Calls reads and changes the records of calls.
type Calls interface {
	Call(ctx context.Context, id string) (call.Call, error)
	Advance(ctx context.Context, id string, to call.Status, at time.Time) (call.Call, error)
	EndCall(ctx context.Context, c call.Call, end call.End) (call.Call, error)
}

// Rooms reads and deletes the rooms of calls in LiveKit.
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

// Judge decides the end of a call from its record at that moment. The zero End means that the end
// cannot be decided yet.
type Judge func(c call.Call) call.End

// End writes the end that judge decides. The event that is written with it wakes the workflow
// (functions/resumecall). If the call changes between decision and writing, End asks judge again.
// If the call has already ended, that end stays. End returns the call with its end, or unchanged if
// judge decides nothing.
func (s *Settler) End(ctx context.Context, c call.Call, judge Judge) (call.Call, error) {
	for {
		var err error
		if !c.Status.Ended() {
			end := judge(c)
			if end == (call.End{}) {
				return c, nil
			}
			c, err = s.Calls.EndCall(ctx, c, end)
			if err == nil && c.EndedAt.Equal(end.At) { // no other end came first
				obs.Count(ctx, "CallsEnded", 1, "Status", string(c.Status))
				if c.Cause == call.Unknown {
					obs.Count(ctx, "OutcomesUnknown", 1)
				}
			}
		}
		if fault.Is(err, fault.Conflict) {
			continue // c has changed: its state, a hangup request, a transfer or its outcome
		}
		return c, err
	}
}

// Stop deletes the room, so that no phone goes on ringing or talking, and then ends the call. If
// LiveKit is unavailable, the call does not end: the error is fault.Upstream, and the sweep
// tries again.
func (s *Settler) Stop(ctx context.Context, c call.Call, judge Judge) (call.Call, error) {
	if err := s.TakeDown(ctx, c); err != nil {
		return c, err
	}
	return s.End(ctx, c, judge)
}

// TakeDown deletes the room of a call that ends. c must have been read after the hangup request or
// the end was recorded, because from then on its dial can no longer be claimed. If the dialed phone
// has not come into the room yet, the room stays. The task that dials deletes it as soon as the
// phone is in it. LiveKit (1.13, routing.ErrNotFound) loses a room that a participant enters while
// it is deleted: the phone would ring and talk there, and no request could end it.
func (s *Settler) TakeDown(ctx context.Context, c call.Call) error {
	if c.Joining(s.Now()) {
		room, err := s.Rooms.ReadRoom(ctx, c.RoomName)
		if err != nil || room.Callee == nil {
			return err
		}
	}
	return s.Rooms.DeleteRoom(ctx, c.RoomName)
}

// CarryOut stops a call whose end a user or an administrator has requested. A call that has already
// ended keeps its end. That is no error, even if its room cannot be deleted, because the sweep
// deletes the rooms of ended calls.
func (s *Settler) CarryOut(ctx context.Context, c call.Call) (call.Call, error) {
	after, err := s.Stop(ctx, c, s.Hangup)
	if c.Status.Ended() {
		return c, nil
	}
	return after, err
}

// Hangup is the end of a call that is stopped because a user asked for it, or because it may not go
// on. It depends on whether the call had been answered.
func (s *Settler) Hangup(c call.Call) call.End {
	if c.AnsweredAt.IsZero() {
		return c.EndOfDial(call.Attempt{}, s.Now())
	}
	return c.EndOfTalk(call.Leave{}, s.Now())
}

// Gone reads the room of an answered call. If the phone has left or is alone, Gone ends the call
// and deletes the room. left is LiveKit's report of the phone, or the zero value without one; at is
// the time of the event. Gone decides nothing while the call is being transferred: the function
// that transfers it checks the room after it has recorded the outcome, and if that function dies,
// the sweep checks it.
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

// closing is more than LiveKit needs to close a room. LiveKit removes one participant after the
// other, so meanwhile the phone may be gone while the agent still seems to be there.
const closing = time.Second

// Look is like Gone for callers without an event. It ignores an empty room, because LiveKit's event
// or the sweep's room list carries more information.
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

// Found is like Gone for a room that the caller has already read, while no transfer was
// in progress.
func (s *Settler) Found(ctx context.Context, c call.Call, room call.Room, left call.Leave, at time.Time) (call.Call, error) {
	switch {
	case room.Alone():
		return s.Left(ctx, c, agentLeft(), s.Now())
	case room.Up():
		return c, nil
	case left == (call.Leave{}) && room != (call.Room{}):
		left.Status = "hangup" // the room still exists, so the phone left it
	}
	return s.Left(ctx, c, left, at)
}

// Left is like Gone without the reading, for a phone that is known to have left. An inbound call
// need not have been answered.
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

// Missed ends an inbound call that is not answered yet, if a reading of its room shows that the
// phone has left, and deletes the room. Unlike Gone it draws no conclusion from a room that
// still exists: only the functions that saw the call know whether the caller gave up or the
// agent never came.
func (s *Settler) Missed(ctx context.Context, c call.Call, left call.Leave, at time.Time) (call.Call, error) {
	room, err := s.Rooms.ReadRoom(ctx, c.RoomName)
	if err != nil || room.Up() {
		return c, err
	}
	return s.Left(ctx, c, left, at)
}

// handover is how long a phone may be alone after an agent has handed its call over and before the
// next agent joins.
const handover = 2 * time.Second

// Deserted ends an answered call whose agent has left, if the phone is alone and still is alone
// after handover, and deletes the room. Unlike Gone it decides nothing if the phone has left too,
// because the event of the phone's leaving carries more information.
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

// agentLeft is LiveKit's report of a phone whose agent deletes the room. If an agent leaves its
// phone alone, the call ends in the same way. The record is written before the room is deleted,
// because a function that found the room gone first would not know the reason.
func agentLeft() call.Leave { return call.Leave{Reason: "ROOM_DELETED"} }

// Package teardown brings each call to its one end. The workflow, a hangup request, a webhook and
// the sweep all end calls through it. The first of them wins, and the others read its result.
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

// Ender ends calls.
type Ender struct {
	Calls Calls
	Rooms Rooms
	Now   func() time.Time
}

// Disposition decides the end of a call from its record at that moment. The zero End means that the
// end cannot be decided yet.
type Disposition func(c call.Call) call.End

// End writes the end that disposition decides. The event that is written with it wakes the workflow
// (functions/resumecall). If the call changes between decision and writing, End asks again.
// If the call has already ended, that end stays. End returns the call with its end, or unchanged if
// disposition decides nothing.
func (e *Ender) End(ctx context.Context, c call.Call, disposition Disposition) (call.Call, error) {
	for {
		var err error
		if !c.Status.Ended() {
			end := disposition(c)
			if end == (call.End{}) {
				return c, nil
			}
			c, err = e.Calls.EndCall(ctx, c, end)
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

// TakeDown deletes the room, so that no phone goes on ringing or talking, and then ends the call.
// If LiveKit is unavailable, the call does not end: the error is fault.Upstream, and the sweep
// tries again.
func (e *Ender) TakeDown(ctx context.Context, c call.Call, disposition Disposition) (call.Call, error) {
	if err := e.DeleteRoom(ctx, c); err != nil {
		return c, err
	}
	return e.End(ctx, c, disposition)
}

// DeleteRoom deletes the room of a call that ends. c must have been read after the hangup request
// or the end was recorded, because from then on its dial can no longer be claimed. If the dialed
// phone has not come into the room yet, the room stays. The task that dials deletes it as soon as
// the phone is in it. LiveKit (1.13, routing.ErrNotFound) loses a room that a participant enters
// while it is deleted: the phone would ring and talk there, and no request could end it.
func (e *Ender) DeleteRoom(ctx context.Context, c call.Call) error {
	if c.Joining(e.Now()) {
		room, err := e.Rooms.ReadRoom(ctx, c.RoomName)
		if err != nil || room.Callee == nil {
			return err
		}
	}
	return e.Rooms.DeleteRoom(ctx, c.RoomName)
}

// HangUp stops a call whose end a user or an administrator has requested. A call that has already
// ended keeps its end. That is no error, even if its room cannot be deleted, because the sweep
// deletes the rooms of ended calls.
func (e *Ender) HangUp(ctx context.Context, c call.Call) (call.Call, error) {
	after, err := e.TakeDown(ctx, c, e.HungUp)
	if c.Status.Ended() {
		return c, nil
	}
	return after, err
}

// HungUp is the end of a call that is stopped because a user asked for it, or because it may not go
// on. It depends on whether the call had been answered.
func (e *Ender) HungUp(c call.Call) call.End {
	return c.HungUp(e.Now())
}

// PhoneLeft reads the room of an answered call. If the phone has left or is alone, PhoneLeft ends
// the call and deletes the room. left is LiveKit's report of the phone, or the zero value without
// one; at is the time of the event. PhoneLeft decides nothing while the call is being transferred:
// the function that transfers it checks the room after it has recorded the outcome, and if that
// function dies, the sweep checks it.
func (e *Ender) PhoneLeft(ctx context.Context, c call.Call, left call.Leave, at time.Time) (call.Call, error) {
	if c.Transferring(e.Now()) {
		return c, nil
	}
	room, err := e.Rooms.ReadRoom(ctx, c.RoomName)
	if err != nil {
		return c, err
	}
	return e.CheckRoom(ctx, c, room, left, at)
}

// closing is more than LiveKit needs to close a room. LiveKit removes one participant after the
// other, so meanwhile the phone may be gone while the agent still seems to be there.
const closing = time.Second

// Check is like PhoneLeft for callers without an event. It ignores an empty room, because LiveKit's
// event or the sweep's room list carries more information.
func (e *Ender) Check(ctx context.Context, c call.Call, at time.Time) (call.Call, error) {
	if c.Transferring(e.Now()) {
		return c, nil
	}
	room, err := e.Rooms.ReadRoom(ctx, c.RoomName)
	if err == nil && !room.Up() && room != (call.Room{}) {
		c, room, err = e.again(ctx, c, closing)
	}
	if err != nil || room == (call.Room{}) {
		return c, err
	}
	return e.CheckRoom(ctx, c, room, call.Leave{}, at)
}

// again reads a call and its room after a pause.
func (e *Ender) again(ctx context.Context, c call.Call, pause time.Duration) (call.Call, call.Room, error) {
	select {
	case <-time.After(pause):
	case <-ctx.Done():
		return c, call.Room{}, ctx.Err()
	}
	c, err := e.Calls.Call(ctx, c.ID)
	if err != nil {
		return c, call.Room{}, err
	}
	room, err := e.Rooms.ReadRoom(ctx, c.RoomName)
	return c, room, err
}

// CheckRoom is like PhoneLeft for a room that the caller has already read, while no transfer was
// in progress.
func (e *Ender) CheckRoom(ctx context.Context, c call.Call, room call.Room, left call.Leave, at time.Time) (call.Call, error) {
	switch {
	case room.Alone():
		return e.PhoneGone(ctx, c, agentHungUp(), e.Now())
	case room.Up():
		return c, nil
	case left == (call.Leave{}) && room != (call.Room{}):
		left.Status = call.PhoneHungUp // the room still exists, so the phone left it
	}
	return e.PhoneGone(ctx, c, left, at)
}

// PhoneGone is like PhoneLeft without the reading, for a phone that is known to have left. An
// inbound call need not have been answered.
func (e *Ender) PhoneGone(ctx context.Context, c call.Call, left call.Leave, at time.Time) (call.Call, error) {
	c, err := e.End(ctx, c, func(c call.Call) call.End {
		if c.Transferring(e.Now()) {
			return call.End{}
		}
		return c.PhoneLeft(left, at)
	})
	if err != nil || !c.Status.Ended() {
		return c, err
	}
	return c, e.Rooms.DeleteRoom(ctx, c.RoomName)
}

// CallerGaveUp ends an inbound call that is not answered yet, if a reading of its room shows that
// the phone has left, and deletes the room. Unlike PhoneLeft it draws no conclusion from a room
// that still exists: only the functions that saw the call know whether the caller gave up or the
// agent never came.
func (e *Ender) CallerGaveUp(ctx context.Context, c call.Call, left call.Leave, at time.Time) (call.Call, error) {
	room, err := e.Rooms.ReadRoom(ctx, c.RoomName)
	if err != nil || room.Up() {
		return c, err
	}
	return e.PhoneGone(ctx, c, left, at)
}

// handover is how long a phone may be alone after an agent has handed its call over and before the
// next agent joins.
const handover = 2 * time.Second

// AgentLeft ends an answered call whose agent has left, if the phone is alone and still is alone
// after handover, and deletes the room. Unlike PhoneLeft it decides nothing if the phone has left
// too, because the event of the phone's leaving carries more information.
func (e *Ender) AgentLeft(ctx context.Context, c call.Call) (call.Call, error) {
	if c.Transferring(e.Now()) {
		return c, nil
	}
	room, err := e.Rooms.ReadRoom(ctx, c.RoomName)
	if err == nil && room.Alone() {
		c, room, err = e.again(ctx, c, handover)
	}
	if err != nil || !room.Alone() || c.Status != call.InProgress {
		return c, err
	}
	return e.PhoneGone(ctx, c, agentHungUp(), e.Now())
}

// agentHungUp is LiveKit's report of a phone whose agent deletes the room. If an agent leaves its
// phone alone, the call ends in the same way. The record is written before the room is deleted,
// because a function that found the room gone first would not know the reason.
func agentHungUp() call.Leave { return call.Leave{Reason: call.RoomDeleted} }

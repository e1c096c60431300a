package sweepcalls

import (
	"context"
	"time"

	"github.com/krosai/telephony/shared/call"
)

// overdue reports whether the record alone says that a call must end now.
func (r *run) overdue(c call.Call) bool {
	now := r.Now()
	undialed := c.Direction != call.Inbound && c.Status.Before(call.Ringing) && c.DialedAt.IsZero()
	return now.After(c.Deadline()) || undialed && now.After(c.CreatedAt.Add(dialGrace))
}

// visit does what the record of a call asks for by itself. It records an answered call as doubtful
// if the list of rooms does not confirm it.
func (r *run) visit(ctx context.Context, c call.Call) error {
	c, err := r.byRecord(ctx, c)
	if err != nil {
		return err
	}
	switch {
	case c.Status.Ended():
		r.add(&r.report.Ended, 1)
	case c.Status != call.InProgress || !r.Now().After(c.AnsweredAt.Add(grace)):
	case !r.rooms[c.RoomName].Settled():
		r.mu.Lock()
		defer r.mu.Unlock()
		r.doubtful = append(r.doubtful, c.ID)
	default:
		return r.trust(ctx, c)
	}
	return nil
}

// trust counts an answered call whose room was seen, and clears its doubt.
func (r *run) trust(ctx context.Context, c call.Call) error {
	r.add(&r.seen, 1)
	if c.MissedAt.IsZero() {
		return nil
	}
	return r.Calls.MissCall(ctx, c.ID, time.Time{})
}

// byRecord does what the record of a call asks for by itself, and returns the call afterwards.
func (r *run) byRecord(ctx context.Context, c call.Call) (call.Call, error) {
	now := r.Now()
	ringing := time.Duration(c.RingingTimeout) * time.Second
	switch {
	case r.overdue(c):
		c, err := r.ender.End(ctx, c, r.ender.HungUp)
		if err == nil {
			if err := r.ender.DeleteRoom(ctx, c); err != nil {
				r.Log.WarnContext(ctx, "overdue call's room", "call_id", c.ID, "error", err)
			}
		}
		return c, err
	case !c.HangupRequested.IsZero() && now.After(c.HangupRequested.Add(grace)):
		return r.ender.TakeDown(ctx, c, r.ender.HungUp)
	case c.Status == call.Initiated && now.After(c.CreatedAt.Add(startGrace)):
		return c, r.start(ctx, c)
	case c.Status == call.InProgress && now.After(c.AnsweredAt.Add(time.Duration(c.MaxDuration)*time.Second+grace)):
		return r.ender.TakeDown(ctx, c, r.ender.HungUp)
	case !c.DialedAt.IsZero() && c.AnsweredAt.IsZero() && now.After(c.DialedAt.Add(ringing+time.Minute)):
		return r.stuck(ctx, c)
	}
	return c, nil
}

// start starts the workflow of a call that has not been dialed, if the call has none. A call that
// waits for its turn to be dialed has one that started when the call was created.
func (r *run) start(ctx context.Context, c call.Call) error {
	started, err := r.Workflow.RestartCall(ctx, c.ID)
	if err == nil && started.Sub(c.CreatedAt) >= startGrace {
		r.add(&r.report.Started, 1)
	}
	return err
}

// stuck handles a call that was dialed and has not been reported on since. If its room shows an
// answer, the call goes on. If its room is missing, the call is in doubt. Otherwise it ends.
func (r *run) stuck(ctx context.Context, c call.Call) (call.Call, error) {
	r.add(&r.report.Doubtful, 1)
	room, err := r.livekit.ReadRoom(ctx, c.RoomName)
	switch {
	case err != nil:
		return c, err
	case room.Answered():
		return r.Calls.Advance(ctx, c.ID, call.InProgress, c.Answered(room.Callee, r.Now()))
	case room == (call.Room{}):
		r.lost(c)
		return c, nil
	}
	return r.ender.TakeDown(ctx, c, r.ender.HungUp)
}

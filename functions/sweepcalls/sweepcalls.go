// Package sweepcalls runs every minute and reads what is true: each call that
// has not ended is compared with LiveKit, so that it reaches its end whatever
// was lost on the way, and rooms whose call is over are taken down.
package sweepcalls

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/krosai/telephony/shared/call"
	"github.com/krosai/telephony/shared/fault"
	"github.com/krosai/telephony/shared/livekit"
	"github.com/krosai/telephony/shared/settle"
)

// Calls is the record of calls.
type Calls interface {
	settle.Calls
	ActiveCalls(ctx context.Context, before time.Time) ([]string, error)
}

// Rooms lists, reads and deletes LiveKit's rooms.
type Rooms interface {
	settle.Rooms
	Rooms(ctx context.Context) ([]livekit.RoomInfo, error)
}

// Flow starts the workflow of a call.
type Flow interface {
	StartCall(ctx context.Context, callID string) error
}

// Task sweeps.
type Task struct {
	Calls  Calls
	Rooms  Rooms
	Flow   Flow
	Settle *settle.Settler
	Now    func() time.Time
	Log    *slog.Logger
}

// Report counts what one run did.
type Report struct {
	Active   int `json:"active"`   // calls not ended
	Started  int `json:"started"`  // workflows that were missing
	Ended    int `json:"ended"`    // calls settled
	Orphans  int `json:"orphans"`  // rooms taken down
	Failures int `json:"failures"` // calls that could not be looked after this time
}

// The patience of the sweep. A call is younger than grace while the functions
// that placed it may still be at work on it.
const (
	grace      = 10 * time.Second
	startGrace = 30 * time.Second
	roomGrace  = 2 * time.Minute
	maxOrphans = 20 // a run that wants to delete more has misread something
)

// Run may overlap with another run of itself. When LiveKit does not answer,
// calls that are long overdue still end and forgotten ones start; no room is
// touched.
func (t *Task) Run(ctx context.Context) (Report, error) {
	var r Report
	ids, err := t.Calls.ActiveCalls(ctx, t.Now().Add(-grace))
	if err != nil {
		return r, err
	}
	r.Active = len(ids)
	for _, id := range ids {
		if err := t.visit(ctx, id, &r); err != nil {
			r.Failures++
			t.Log.ErrorContext(ctx, "sweep call", "call_id", id, "err", err)
		}
	}
	err = t.orphans(ctx, &r)
	t.Log.InfoContext(ctx, "sweep", "active", r.Active, "started", r.Started, "ended", r.Ended, "orphans", r.Orphans, "failures", r.Failures)
	return r, err
}

func (t *Task) visit(ctx context.Context, id string, r *Report) error {
	c, err := t.Calls.Call(ctx, id)
	if err != nil || c.Status.Ended() {
		return err
	}
	after, err := t.settle(ctx, c, r)
	if err == nil && after.Status.Ended() {
		r.Ended++
	}
	return err
}

func (t *Task) settle(ctx context.Context, c call.Call, r *Report) (call.Call, error) {
	now := t.Now()
	ringing := time.Duration(c.RingingTimeout) * time.Second
	switch {
	case now.After(c.Deadline()):
		if err := t.Rooms.DeleteRoom(ctx, c.RoomName); err != nil {
			t.Log.ErrorContext(ctx, "overdue call's room", "call_id", c.ID, "err", err)
		}
		return t.Settle.End(ctx, c, t.Settle.Hangup)
	case !c.HangupRequested.IsZero() && now.After(c.HangupRequested.Add(grace)):
		return t.Settle.Stop(ctx, c, t.Settle.Hangup)
	case c.Status == call.Initiated && now.After(c.CreatedAt.Add(startGrace)):
		err := t.Flow.StartCall(ctx, c.ID)
		if err == nil {
			r.Started++
		}
		return c, err
	case c.Status == call.InProgress && now.After(c.AnsweredAt.Add(time.Duration(c.MaxDuration)*time.Second+grace)):
		return t.Settle.Stop(ctx, c, t.Settle.Hangup)
	case c.Status == call.InProgress && now.After(c.AnsweredAt.Add(grace)):
		return t.Settle.Gone(ctx, c, call.Leave{}, now)
	case !c.DialedAt.IsZero() && c.AnsweredAt.IsZero() && now.After(c.DialedAt.Add(ringing+time.Minute)):
		return t.Settle.Stop(ctx, c, t.Settle.Hangup)
	}
	return c, nil
}

// ours reports whether a room is named as this platform names the room of an
// outbound call.
func ours(room string) bool {
	text, ok := strings.CutPrefix(room, "call_")
	id, err := ulid.ParseStrict(text)
	return ok && err == nil && id.String() == text // ParseStrict takes small letters too
}

// orphans deletes rooms of calls that have ended. A room of a call that is not
// in the table belongs to another deployment in the same LiveKit project.
func (t *Task) orphans(ctx context.Context, r *Report) error {
	rooms, err := t.Rooms.Rooms(ctx)
	if err != nil {
		return fmt.Errorf("list rooms: %w", err)
	}
	var orphans []string
	for _, room := range rooms {
		if !ours(room.Name) || t.Now().Sub(room.CreatedAt) < roomGrace {
			continue
		}
		c, err := t.Calls.Call(ctx, room.Name)
		switch {
		case err == nil && c.Status.Ended():
			orphans = append(orphans, room.Name)
		case err != nil && !fault.Is(err, fault.NotFound):
			return err
		}
	}
	if len(orphans) > maxOrphans {
		return errors.New("too many orphaned rooms, none deleted: is this the right LiveKit project?")
	}
	for _, name := range orphans {
		if err := t.Rooms.DeleteRoom(ctx, name); err != nil {
			return err
		}
		r.Orphans++
	}
	return nil
}

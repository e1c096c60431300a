// Package sweepcalls runs every minute and reads what is true: each call that
// has not ended is compared with LiveKit, so that it reaches its end whatever
// was lost on the way, webhooks first of all, and rooms whose call is over are
// taken down.
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
	"github.com/krosai/telephony/shared/number"
	"github.com/krosai/telephony/shared/obs"
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
	Calls   Calls
	Rooms   Rooms
	Flow    Flow
	Inbound Inbound
	Settle  *settle.Settler
	Now     func() time.Time
	Log     *slog.Logger
}

// Report counts what one run did.
type Report struct {
	Active   int `json:"active"`   // calls not ended
	Started  int `json:"started"`  // workflows that were missing
	Adopted  int `json:"adopted"`  // calls that had come in and that nobody had told of
	Doubtful int `json:"doubtful"` // calls whose own room was read
	Ended    int `json:"ended"`    // calls settled
	Orphans  int `json:"orphans"`  // rooms taken down
	Failures int `json:"failures"` // calls that could not be looked after this time
}

// The patience of the sweep. A call is younger than grace while the functions
// that placed it may still be at work on it. Before a doubtful call is looked at
// again, what may clear the doubt gets time: a webhook on its way, an agent that
// hands over to another, and LiveKit's counts, which are up to 5 s old.
const (
	grace      = 10 * time.Second
	startGrace = 30 * time.Second
	dialGrace  = 3 * time.Minute // who asked for a call does not want it placed later
	doubtGrace = 5 * time.Second
	roomGrace  = 2 * time.Minute
	maxOrphans = 20 // a run that wants to delete more has misread something
)

// Run may overlap with another run of itself. It lists LiveKit's rooms once and
// reads on its own only the room of a call that the list leaves in doubt. When
// LiveKit does not answer, calls that are long overdue still end and forgotten
// ones start; no room is touched.
func (t *Task) Run(ctx context.Context) (Report, error) {
	var r Report
	ids, err := t.Calls.ActiveCalls(ctx, t.Now().Add(-grace))
	if err != nil {
		return r, err
	}
	r.Active = len(ids)
	listed := t.Now()
	rooms, unlisted := t.Rooms.Rooms(ctx)
	doubtful := t.visitAll(ctx, ids, byName(rooms), &r)
	if unlisted != nil {
		err, r.Failures = fmt.Errorf("list rooms: %w", unlisted), r.Failures+len(doubtful)
	} else {
		t.adopt(ctx, rooms, ids, &r)
		err = errors.Join(t.resolve(ctx, doubtful, byName(rooms), listed, &r), t.orphans(ctx, rooms, ids, &r))
	}
	t.Log.InfoContext(ctx, "sweep", "active", r.Active, "started", r.Started, "adopted", r.Adopted, "doubtful", r.Doubtful, "ended", r.Ended,
		"orphans", r.Orphans, "failures", r.Failures)
	if err == nil {
		obs.Count(ctx, "Sweeps", 1, "Of", "calls")
	}
	return r, err
}

func byName(rooms []livekit.RoomInfo) map[string]livekit.RoomInfo {
	found := make(map[string]livekit.RoomInfo, len(rooms))
	for _, room := range rooms {
		found[room.Name] = room
	}
	return found
}

// visitAll does what the record of each call asks for, and returns the answered
// calls that are doubtful: the list of rooms does not show them going on.
func (t *Task) visitAll(ctx context.Context, ids []string, rooms map[string]livekit.RoomInfo, r *Report) (doubtful []string) {
	for _, id := range ids {
		c, err := t.Calls.Call(ctx, id)
		if err == nil && c.Status.Ended() {
			continue
		}
		if err == nil {
			c, err = t.settle(ctx, c, r)
		}
		t.count(ctx, r, id, c, err)
		if err == nil && c.Status == call.InProgress && t.Now().After(c.AnsweredAt.Add(grace)) && !rooms[c.RoomName].Settled() {
			doubtful = append(doubtful, id)
		}
	}
	return doubtful
}

func setOf(ids []string) map[string]bool {
	set := make(map[string]bool, len(ids))
	for _, id := range ids {
		set[id] = true
	}
	return set
}

// count notes what became of a call.
func (t *Task) count(ctx context.Context, r *Report, id string, c call.Call, err error) {
	if err != nil {
		r.Failures++
		t.Log.ErrorContext(ctx, "sweep call", "call_id", id, "err", err)
	} else if c.Status.Ended() {
		r.Ended++
	}
}

// settle does what the record of a call asks for by itself.
func (t *Task) settle(ctx context.Context, c call.Call, r *Report) (call.Call, error) {
	now := t.Now()
	ringing := time.Duration(c.RingingTimeout) * time.Second
	undialed := c.Direction != call.Inbound && c.Status.Before(call.Ringing) && c.DialedAt.IsZero()
	switch {
	case now.After(c.Deadline()), undialed && now.After(c.CreatedAt.Add(dialGrace)):
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
	case !c.DialedAt.IsZero() && c.AnsweredAt.IsZero() && now.After(c.DialedAt.Add(ringing+time.Minute)):
		return t.stuck(ctx, c, r)
	}
	return c, nil
}

// stuck settles a call that was dialled and of which nothing has been heard
// since. If somebody talks on it, it goes on.
func (t *Task) stuck(ctx context.Context, c call.Call, r *Report) (call.Call, error) {
	r.Doubtful++
	room, err := t.Rooms.ReadRoom(ctx, c.RoomName)
	switch {
	case err != nil:
		return c, err
	case room.Answered():
		return t.Calls.Advance(ctx, c.ID, call.InProgress, t.Now())
	}
	return t.Settle.Stop(ctx, c, t.Settle.Hangup)
}

// resolve reads the rooms of doubtful calls, and ends those whose phone has left
// or is there alone. A room that was listed without its phone has not been deleted
// by anybody: it was the phone that hung up.
func (t *Task) resolve(ctx context.Context, doubtful []string, rooms map[string]livekit.RoomInfo, listed time.Time, r *Report) error {
	if len(doubtful) == 0 {
		return nil
	}
	select {
	case <-time.After(doubtGrace):
	case <-ctx.Done():
		return ctx.Err()
	}
	for _, id := range doubtful {
		c, err := t.Calls.Call(ctx, id)
		if err == nil && c.Status.Ended() {
			continue
		}
		if err == nil {
			r.Doubtful++
			left, at := call.Leave{}, t.Now()
			if room, there := rooms[c.RoomName]; room.Participants == 0 {
				at = listed
				if there {
					left.Status = "hangup"
				}
			}
			c, err = t.Settle.Gone(ctx, c, left, at)
		}
		t.count(ctx, r, id, c, err)
	}
	return nil
}

// callIn is the id of the call that a room is named as the room of: an outbound
// call's room is named after it, an inbound call's id follows from its room.
func callIn(room livekit.RoomInfo) (id string, ok bool) {
	if number.InboundRoom(room.Name) {
		return call.InboundID(room.ID, room.CreatedAt), true
	}
	text, ok := strings.CutPrefix(room.Name, "call_")
	parsed, err := ulid.ParseStrict(text)
	return room.Name, ok && err == nil && parsed.String() == text // ParseStrict takes small letters too
}

// orphans deletes rooms of calls that have ended. A room of a call that is not
// in the table belongs to another deployment in the same LiveKit project.
func (t *Task) orphans(ctx context.Context, rooms []livekit.RoomInfo, active []string, r *Report) error {
	going := setOf(active)
	var orphans []string
	for _, room := range rooms {
		id, named := callIn(room)
		if !named || going[id] || t.Now().Sub(room.CreatedAt) < roomGrace {
			continue
		}
		c, err := t.Calls.Call(ctx, id)
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

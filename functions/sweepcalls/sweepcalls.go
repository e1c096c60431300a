// Package sweepcalls runs every minute. It compares each call that has not ended with LiveKit, so
// that the call ends even if webhooks or other messages were lost. It also deletes the rooms of
// calls that are over.
package sweepcalls

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/krosai/telephony/shared/call"
	"github.com/krosai/telephony/shared/livekit"
	"github.com/krosai/telephony/shared/obs"
	"github.com/krosai/telephony/shared/teardown"
)

// Calls is the record of calls.
type Calls interface {
	teardown.Calls
	ActiveCalls(ctx context.Context, before time.Time) ([]string, error)
	ReadCalls(ctx context.Context, ids []string) ([]call.Call, error)
	MissCall(ctx context.Context, id string, at time.Time) error
}

// Rooms lists, reads and deletes LiveKit's rooms.
type Rooms interface {
	teardown.Rooms
	Rooms(ctx context.Context) ([]livekit.RoomInfo, error)
}

// Workflow starts the workflow of a call that has none, and returns when the workflow started.
type Workflow interface {
	RestartCall(ctx context.Context, callID string) (started time.Time, err error)
}

// Task sweeps calls.
type Task struct {
	Calls    Calls
	Rooms    Rooms
	Workflow Workflow
	Inbound  Inbound
	Teardown *teardown.Ender
	Now      func() time.Time
	Log      *slog.Logger
}

// Report counts what one run did.
type Report struct {
	Active      int `json:"active"`       // calls not ended
	Started     int `json:"started"`      // workflows that were missing
	Adopted     int `json:"adopted"`      // inbound calls that no webhook reported
	Doubtful    int `json:"doubtful"`     // calls whose own room was read
	Ended       int `json:"ended"`        // calls that the run ended
	Orphans     int `json:"orphans"`      // rooms deleted
	OrphansLeft int `json:"orphans_left"` // rooms that the next runs will delete
	Withheld    int `json:"withheld"`     // calls not ended because too many rooms were missing at once
	Left        int `json:"left"`         // calls and rooms that the run had no time for
	Failures    int `json:"failures"`     // calls and rooms that the run failed to handle
}

// The timing of the sweep. While a call is younger than grace, the functions that placed it may
// still be at work on it. Before a doubtful call is checked again, doubtGrace leaves time for
// events that clear the doubt: a webhook on its way, an agent that hands over to another, and
// LiveKit's counts, which are up to 5 s old.
const (
	grace      = 10 * time.Second
	startGrace = 30 * time.Second
	dialGrace  = 3 * time.Minute // no user wants a call placed later
	doubtGrace = 5 * time.Second
	reporting  = 5 * time.Second // at the end of the run are kept for its report
	atOnce     = 16              // calls or rooms that one run handles at a time
	batch      = 100             // calls that are read in one request
)

// run is one run of the sweep. Its Ender uses the run's guarded LiveKit.
type run struct {
	*Task
	livekit *guarded
	ender   *teardown.Ender
	listed  time.Time
	rooms   map[string]livekit.RoomInfo // by name

	mu       sync.Mutex
	report   Report
	doubtful []string // answered calls that the list of rooms does not confirm
	missing  []call.Call
	seen     int // answered calls whose room was seen or found missing
}

// Run may overlap with another run of itself. It lists LiveKit's rooms once, and reads single rooms
// only for calls that are in doubt or not on record. If LiveKit does not answer, calls that are
// long overdue still end and forgotten calls still start, but no room is adopted and no orphan
// deleted. Run stops five seconds before ctx ends and reports what is left to the next run.
func (t *Task) Run(ctx context.Context) (Report, error) {
	work, stop := early(ctx, reporting)
	defer stop()
	ender := *t.Teardown
	r := &run{Task: t, livekit: &guarded{rooms: t.Rooms}, ender: &ender}
	ender.Rooms = r.livekit
	err := r.sweep(work)
	if errors.Is(err, context.DeadlineExceeded) && work.Err() != nil && ctx.Err() == nil {
		err = nil // the report counts what is left
	}
	s := r.report
	t.Log.InfoContext(ctx, "sweep", "active", s.Active, "started", s.Started, "adopted", s.Adopted, "doubtful", s.Doubtful, "ended", s.Ended,
		"orphans", s.Orphans, "orphans_left", s.OrphansLeft, "withheld", s.Withheld, "left", s.Left, "failures", s.Failures)
	if held := float64(s.OrphansLeft + s.Withheld + s.Left); held > 0 {
		obs.Count(ctx, "SweepHeldBack", held)
	}
	if err == nil {
		obs.Count(ctx, "Sweeps", 1, "Of", "calls")
	}
	return s, err
}

// early returns a context that ends earlier than ctx, by the given time.
func early(ctx context.Context, by time.Duration) (context.Context, context.CancelFunc) {
	if end, ok := ctx.Deadline(); ok {
		return context.WithDeadline(ctx, end.Add(-by))
	}
	return context.WithCancel(ctx)
}

func (r *run) sweep(ctx context.Context) error {
	ids, err := r.Calls.ActiveCalls(ctx, r.Now().Add(-grace))
	if err != nil {
		return err
	}
	r.report.Active = len(ids)
	r.listed = r.Now()
	rooms, unlisted := r.livekit.List(ctx)
	r.rooms = byName(rooms)
	r.visitAll(ctx, ids)
	if unlisted == nil && len(rooms) == 0 && len(r.doubtful) > 1 {
		unlisted = fmt.Errorf("no room, and %d calls are going on", len(r.doubtful))
	}
	if unlisted != nil {
		r.report.Failures += len(r.doubtful)
		return fmt.Errorf("list rooms: %w", unlisted)
	}
	r.adopt(ctx, rooms, ids)
	r.resolve(ctx)
	return r.orphans(ctx, rooms, ids)
}

func byName(rooms []livekit.RoomInfo) map[string]livekit.RoomInfo {
	found := make(map[string]livekit.RoomInfo, len(rooms))
	for _, room := range rooms {
		found[room.Name] = room
	}
	return found
}

func setOf(ids []string) map[string]bool {
	set := make(map[string]bool, len(ids))
	for _, id := range ids {
		set[id] = true
	}
	return set
}

// visitAll visits each call, overdue calls first. Each minute it begins the others at another place
// in their list, so that no call is always the last.
func (r *run) visitAll(ctx context.Context, ids []string) {
	if n := len(ids); n > 0 {
		first := int(r.Now().Unix()/60) % turns * n / turns
		ids = append(slices.Clone(ids[first:]), ids[:first]...)
	}
	calls := slices.DeleteFunc(r.read(ctx, ids), func(c call.Call) bool { return c.Status.Ended() })
	slices.SortStableFunc(calls, func(a, b call.Call) int {
		switch {
		case r.overdue(a) == r.overdue(b):
			return 0
		case r.overdue(a):
			return -1
		}
		return 1
	})
	each(ctx, r, calls, callID, r.visit)
}

func callID(c call.Call) string { return c.ID }

// turns is the number of minutes after which the sweep begins at the same place again.
const turns = 8

// read reads calls. A batch that cannot be read does not keep it from the others.
func (r *run) read(ctx context.Context, ids []string) []call.Call {
	var calls []call.Call
	for part := range slices.Chunk(ids, batch) {
		found, err := r.Calls.ReadCalls(ctx, part)
		switch {
		case err == nil:
			calls = append(calls, found...)
		case ctx.Err() != nil:
			r.report.Left += len(part)
		default:
			r.report.Failures += len(part)
			r.Log.ErrorContext(ctx, "read calls", "error", err)
		}
	}
	return calls
}

// each runs do for every item, atOnce at a time. It counts the items that failed and those that it
// had no time for.
func each[T any](ctx context.Context, r *run, items []T, name func(T) string, do func(context.Context, T) error) {
	next := make(chan T)
	var workers sync.WaitGroup
	for range min(atOnce, len(items)) {
		workers.Go(func() {
			for item := range next {
				if err := do(ctx, item); err != nil {
					r.failed(ctx, name(item), err)
				}
			}
		})
	}
	for i, item := range items {
		if ctx.Err() != nil {
			r.add(&r.report.Left, len(items)-i)
			break
		}
		next <- item
	}
	close(next)
	workers.Wait()
}

func (r *run) add(to *int, n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	*to += n
}

// failed counts an item that failed. id is the id of the item's call.
func (r *run) failed(ctx context.Context, id string, err error) {
	if ctx.Err() != nil {
		r.add(&r.report.Left, 1)
		return
	}
	r.add(&r.report.Failures, 1)
	if !errors.Is(err, errLeftAlone) { // the timeouts that led to it are in the log
		r.Log.ErrorContext(ctx, "sweep call", "call_id", id, "error", err)
	}
}

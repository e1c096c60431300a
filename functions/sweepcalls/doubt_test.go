package sweepcalls_test

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/krosai/telephony/functions/sweepcalls"
	"github.com/krosai/telephony/shared/call"
	"github.com/krosai/telephony/shared/livekit"
	"github.com/krosai/telephony/shared/obs"
	"github.com/krosai/telephony/shared/store/storetest"
)

// nth is the id of the i-th call of a test.
func nth(i int) string { return fmt.Sprintf("call_01KAMPJ5V0SAMPMECA0000%04d", i) }

// crowd records live calls, each with its room, and dead calls, whose rooms are missing.
func crowd(t *testing.T, db *storetest.Database, live, dead int) *world {
	t.Helper()
	w := &world{}
	for i := range live + dead {
		create(t, db, call.Call{ID: nth(i), Status: call.InProgress, CreatedAt: ago(45), DialedAt: ago(44), AnsweredAt: ago(40)})
		if i < live {
			w.rooms = append(w.rooms, livekit.RoomInfo{Name: nth(i), CreatedAt: ago(45), Participants: 1, Publishers: 2})
		}
	}
	return w
}

// at runs a sweep some seconds after the first one.
func (w *world) at(t *testing.T, db *storetest.Database, seconds int) (sweepcalls.Report, error) {
	t.Helper()
	w.clock = now.Add(time.Duration(seconds) * time.Second)
	return w.task(db).Run(t.Context())
}

// ends counts the calls that have ended.
func ends(t *testing.T, db *storetest.Database, calls int) (n int) {
	t.Helper()
	for i := range calls {
		c, err := db.Call(t.Context(), nth(i))
		if err != nil {
			t.Fatal(err)
		}
		if c.Status.Ended() {
			n++
		}
	}
	return n
}

// TestMissingTwice checks that a call ends if two runs in a row miss its room. Its end is the time
// of the first of them.
func TestMissingTwice(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		runs  []int // seconds after the first run, which misses the room
		again int   // when the room is seen again, until the next run
		ended bool
	}{
		{name: "once"},
		{name: "twice", runs: []int{60}, ended: true},
		{name: "by two runs that overlap", runs: []int{20}},
		{name: "a run was left out", runs: []int{120}, ended: true},
		{name: "then seen, then missing", runs: []int{60, 120}, again: 60},
		{name: "then seen, then missing twice", runs: []int{60, 120, 180}, again: 60, ended: true},
		{name: "long ago", runs: []int{360}},
		{name: "long ago, then twice", runs: []int{360, 420}, ended: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				db := storetest.Open(t, nil)
				w := crowd(t, db, 1, 1)
				there := w.rooms
				first := now
				for _, at := range append([]int{0}, tt.runs...) {
					w.rooms = there
					if at > 0 && at == tt.again {
						w.rooms = append(w.rooms, livekit.RoomInfo{Name: nth(1), Participants: 1, Publishers: 2})
					} else if c, err := db.Call(t.Context(), nth(1)); err == nil && (c.MissedAt.IsZero() || at >= 360) && !c.Status.Ended() && at < 420 {
						first = now.Add(time.Duration(at) * time.Second)
					}
					if r, err := w.at(t, db, at); err != nil || r.Withheld != 0 {
						t.Fatal(r, err)
					}
				}
				c, err := db.Call(t.Context(), nth(1))
				if err != nil || c.Status.Ended() != tt.ended || tt.ended && (c.Cause != call.Unknown || !c.EndedAt.Equal(first)) {
					t.Errorf("%s %s at %v, %v; want an end %t at %v", c.Status, c.Cause, c.EndedAt, err, tt.ended, first)
				}
				if n := ends(t, db, 1); n != 0 {
					t.Error("the other call was ended")
				}
			})
		})
	}
}

// TestNothingAtAll checks that an empty list of rooms counts as no answer while calls are going on.
func TestNothingAtAll(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		db := storetest.Open(t, nil)
		w := crowd(t, db, 3, 0)
		there := w.rooms
		for run := range 5 {
			w.rooms = nil
			r, err := w.at(t, db, run*60)
			if d := cmp.Diff(sweepcalls.Report{Active: 3, Failures: 3}, r); d != "" || err == nil {
				t.Errorf("%v (-want +got):\n%s", err, d)
			}
		}
		w.rooms = there
		if r, err := w.at(t, db, 300); err != nil || r != (sweepcalls.Report{Active: 3}) || len(w.deleted) != 0 {
			t.Errorf("%+v, deleted %v, %v", r, w.deleted, err)
		}
		w.rooms = nil
		for i, want := range []int{0, 3, 3} { // their talk time is spent
			if _, err := w.at(t, db, 560+i*60); ends(t, db, 3) != want {
				t.Errorf("%d have ended, want %d; %v", ends(t, db, 3), want, err)
			}
		}
	})
}

// If more than five rooms are missing, and these are more than half of the rooms that were looked
// for, none of the calls ends before it is overdue.
func TestManyMissing(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ live, dead, ended, withheld int }{
		{1, 5, 5, 0}, {6, 6, 6, 0}, {5, 6, 0, 6}, {20, 19, 19, 0}, {19, 20, 0, 20},
	} {
		t.Run(fmt.Sprintf("%d live, %d dead", tt.live, tt.dead), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				db := storetest.Open(t, nil)
				w, all := crowd(t, db, tt.live, tt.dead), tt.live+tt.dead
				var metrics bytes.Buffer
				for run := range 5 {
					w.clock = now.Add(time.Duration(run) * time.Minute)
					r, err := w.task(db).Run(obs.WithOutput(t.Context(), &metrics))
					if err != nil || r.Withheld != tt.withheld {
						t.Errorf("%+v, %v", r, err)
					}
				}
				if got := ends(t, db, all); got != tt.ended {
					t.Errorf("%d have ended, want %d", got, tt.ended)
				}
				if strings.Contains(metrics.String(), "SweepHeldBack") != (tt.withheld > 0) {
					t.Error(metrics.String())
				}
				if _, err := w.at(t, db, 740); err != nil || ends(t, db, all) != all {
					t.Errorf("%d of %d overdue calls have ended, %v", ends(t, db, all), all, err)
				}
			})
		})
	}
}

// hanging is a LiveKit whose requests time out.
type hanging struct {
	*world
	lists bool // it still lists the rooms
}

func (h hanging) hang(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	<-ctx.Done()
	return fmt.Errorf("LiveKit: %w", ctx.Err())
}

func (h hanging) ReadRoom(ctx context.Context, name string) (call.Room, error) {
	_, _ = h.world.ReadRoom(ctx, name)
	return call.Room{}, h.hang(ctx)
}

func (h hanging) DeleteRoom(ctx context.Context, _ string) error { return h.hang(ctx) }

func (h hanging) Rooms(ctx context.Context) ([]livekit.RoomInfo, error) {
	if h.lists {
		return h.rooms, nil
	}
	return nil, h.hang(ctx)
}

// TestLiveKitHangs checks a LiveKit whose requests time out. All overdue calls end in this run, and
// the run leaves LiveKit alone after three timeouts.
func TestLiveKitHangs(t *testing.T) {
	t.Parallel()
	for _, lists := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			db := storetest.Open(t, nil)
			const all, overdue = 300, 100
			w := &world{rooms: []livekit.RoomInfo{{Name: "somebody else's"}}}
			for i := range all {
				c := call.Call{ID: nth(i), Status: call.InProgress, CreatedAt: ago(45), DialedAt: ago(44), AnsweredAt: ago(40)}
				if i%3 == 0 {
					c.CreatedAt, c.DialedAt, c.AnsweredAt = ago(800), ago(799), ago(780)
				}
				create(t, db, c)
			}
			h := hanging{world: w, lists: lists}
			task := w.task(db)
			task.Rooms, task.Teardown.Rooms = h, h
			ctx, cancel := context.WithTimeout(t.Context(), 55*time.Second)
			defer cancel()
			began := time.Now()
			r, err := task.Run(ctx)
			if (err == nil) != lists || r.Ended != overdue || r.Failures != all-overdue || ends(t, db, all) != overdue {
				t.Errorf("%+v, %v", r, err)
			}
			if took := time.Since(began); w.looks > 16 || took > 16*time.Second {
				t.Errorf("%d rooms were read, and it took %v", w.looks, took)
			}
		})
	}
}

// slow is a LiveKit that takes 4 s to answer.
type slow struct{ *world }

func (s slow) ReadRoom(ctx context.Context, name string) (call.Room, error) {
	select {
	case <-time.After(4 * time.Second):
	case <-ctx.Done():
		return call.Room{}, ctx.Err()
	}
	return s.world.ReadRoom(ctx, name)
}

// TestTooMuchForOneRun checks that a run stops five seconds before its time is over and reports
// what is left, and that the next run begins elsewhere.
func TestTooMuchForOneRun(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		db := storetest.Open(t, nil)
		const all = 500
		w := &world{rooms: []livekit.RoomInfo{{Name: "somebody else's"}}, room: call.Room{Agent: true}}
		for i := range all {
			create(t, db, call.Call{ID: nth(i), Status: call.InProgress, CreatedAt: ago(45), DialedAt: ago(44), AnsweredAt: ago(40)})
		}
		task := w.task(db)
		task.Rooms, task.Teardown.Rooms = slow{w}, slow{w}
		left := all
		for run := range 3 {
			w.clock = now.Add(time.Duration(run) * time.Minute)
			ctx, cancel := context.WithTimeout(t.Context(), 55*time.Second)
			began := time.Now()
			r, err := task.Run(ctx)
			cancel()
			if took := time.Since(began); err != nil || took > 50*time.Second || r.Active != left || r.Ended == 0 || r.Ended+r.Left != left || r.Failures != 0 {
				t.Fatalf("%v: %+v, %v", took, r, err)
			}
			left -= r.Ended
		}
		if left > 20 {
			t.Errorf("%d calls are left", left)
		}
	})
}

// failing is a LiveKit that takes 4 s for each answer, which is an error.
type failing struct{ *world }

func (f failing) ReadRoom(ctx context.Context, name string) (call.Room, error) {
	if _, err := slow(f).ReadRoom(ctx, name); err != nil {
		return call.Room{}, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.read = append(f.read, name)
	return call.Room{}, errDown
}

// TestEachCallHasItsTurn gives a run more stuck calls than it has time for, minute after minute.
// The overdue calls among them end in the first run, and each room is read within eight runs.
func TestEachCallHasItsTurn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		db := storetest.Open(t, nil)
		const all, every = 400, 40
		w := &world{rooms: []livekit.RoomInfo{{Name: "somebody else's"}}}
		for i := range all {
			c := call.Call{ID: nth(i), Status: call.Ringing, CreatedAt: ago(95), DialedAt: ago(91)}
			if i%every == every-1 {
				c.CreatedAt, c.DialedAt = ago(800), ago(751)
			}
			create(t, db, c)
		}
		task := w.task(db)
		task.Rooms = failing{w}
		for run := range 8 {
			w.clock = now.Add(time.Duration(run) * time.Minute)
			ctx, cancel := context.WithTimeout(t.Context(), 55*time.Second)
			r, err := task.Run(ctx)
			cancel()
			if err != nil || run == 0 && (r.Left < all/4 || ends(t, db, all) != all/every) {
				t.Errorf("run %d: %+v, %v; %d have ended", run, r, err, ends(t, db, all))
			}
		}
		slices.Sort(w.read)
		if n := len(slices.Compact(w.read)); n != all-all/every {
			t.Errorf("%d rooms were read, want %d", n, all-all/every)
		}
	})
}

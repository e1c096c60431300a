package finishcall_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/krosai/telephony/functions/finishcall"
	"github.com/krosai/telephony/shared/call"
	"github.com/krosai/telephony/shared/fault"
	"github.com/krosai/telephony/shared/store/storetest"
	"github.com/krosai/telephony/shared/teardown"
)

const id = "call_01KAMPJ5V0SAMPMECA00000000"

// rooms is a LiveKit with one room. It gives the readings in turn, and then repeats the last one.
type rooms struct {
	readings []call.Room
	err      error
	errAfter int // readings that succeed before err

	mu      sync.Mutex
	looks   int
	deleted int
}

func (r *rooms) ReadRoom(context.Context, string) (call.Room, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.looks++
	if r.err != nil && r.looks > r.errAfter {
		return call.Room{}, r.err
	}
	if len(r.readings) == 0 {
		return call.Room{}, nil
	}
	return r.readings[min(r.looks, len(r.readings))-1], nil
}

func (r *rooms) DeleteRoom(context.Context, string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err == nil {
		r.deleted++
	}
	return r.err
}

func phone(status string) call.Room {
	return call.Room{Agent: true, Callee: &call.Phone{Status: call.PhoneStatus(status)}}
}

// created records a call that is not dialed yet. It and the functions below make the states from
// which a call is settled. The call may ring for 30 s (10 s in dialedShort) and talk for 600 s.
func created(t *testing.T, db *storetest.Database) { place(t, db, 30) }

func place(t *testing.T, db *storetest.Database, ringing int) {
	t.Helper()
	c := call.Call{ID: id, UserID: "ada", RoomName: id, Country: "US", Status: call.Initiated, CreatedAt: time.Now(),
		RingingTimeout: ringing, MaxDuration: 600}
	must(t, db.Place(t.Context(), c))
}

func dialed(t *testing.T, db *storetest.Database) {
	created(t, db)
	_, _, err := db.ClaimDial(t.Context(), id, "owner", time.Now())
	must(t, err)
}

func dialedShort(t *testing.T, db *storetest.Database) {
	place(t, db, 10)
	_, _, err := db.ClaimDial(t.Context(), id, "owner", time.Now())
	must(t, err)
}

func answered(t *testing.T, db *storetest.Database) {
	dialed(t, db)
	_, err := db.Advance(t.Context(), id, call.InProgress, time.Now())
	must(t, err)
	_, _, err = db.AwaitEnd(t.Context(), id, "token")
	must(t, err)
}

func ended(t *testing.T, db *storetest.Database) {
	answered(t, db)
	c, err := db.Call(t.Context(), id)
	must(t, err)
	_, err = db.EndCall(t.Context(), c, call.End{Status: call.Completed, Cause: call.AgentHangup, SIPStatus: 200, At: time.Now()})
	must(t, err)
}

func unwanted(before func(*testing.T, *storetest.Database)) func(*testing.T, *storetest.Database) {
	return func(t *testing.T, db *storetest.Database) {
		before(t, db)
		_, _, err := db.RequestHangup(t.Context(), "ada", id, time.Now())
		must(t, err)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestRun(t *testing.T) {
	t.Parallel()
	down := fault.Unavailable("LiveKit", nil)
	for _, tt := range []struct {
		name    string
		reason  string
		before  func(*testing.T, *storetest.Database)
		after   time.Duration // since then
		rooms   *rooms
		outcome string // "" for an error
		status  call.Status
		cause   call.Cause
		deleted int
		looks   int
	}{
		{name: "not placed, never dialed", reason: "failed", before: created, outcome: "ended", status: call.Failed, cause: call.NetworkError, deleted: 1},
		{name: "not placed, LiveKit down", reason: "failed", before: created, rooms: &rooms{err: down}, outcome: "ended", status: call.Failed, cause: call.NetworkError},
		{name: "not placed and not wanted", reason: "failed", before: unwanted(created), outcome: "ended", status: call.Canceled, cause: call.APIHangup, deleted: 1},
		{name: "given up after the dial", reason: "failed", before: dialed, after: 10 * time.Second, outcome: "ended", status: call.Failed, cause: call.Unknown, deleted: 1},
		{name: "given up after the dial, LiveKit down", reason: "failed", before: dialed, after: 10 * time.Second, rooms: &rooms{err: down}, status: call.Dialing},
		{name: "given up while the phone may come", reason: "failed", before: dialed, after: 9 * time.Second, outcome: "ended", status: call.Failed, cause: call.Unknown, looks: 1},
		{name: "given up when the phone has come", reason: "failed", before: dialed, rooms: &rooms{readings: []call.Room{phone("dialing")}}, outcome: "ended", status: call.Failed, cause: call.Unknown, looks: 1, deleted: 1},
		{name: "given up while the phone may come, LiveKit down", reason: "failed", before: dialed, rooms: &rooms{err: down}, status: call.Dialing, looks: 1},

		{name: "unclear, answered", reason: "unclear", before: dialed, rooms: &rooms{readings: []call.Room{phone("active")}},
			outcome: "answered", status: call.InProgress, looks: 1},
		{name: "unclear, answered and dialing digits", reason: "unclear", before: dialed, rooms: &rooms{readings: []call.Room{phone("automation")}},
			outcome: "answered", status: call.InProgress, looks: 1},
		{name: "unclear, answered long ago", reason: "unclear", before: dialed, after: time.Hour, rooms: &rooms{readings: []call.Room{phone("active")}},
			outcome: "answered", status: call.InProgress, looks: 1},
		{name: "unclear, ringing", reason: "unclear", before: dialed, after: 5 * time.Second, rooms: &rooms{readings: []call.Room{phone("ringing")}},
			outcome: "unclear", status: call.Ringing, looks: 16},
		{name: "unclear, ringing too long", reason: "unclear", before: dialed, after: 33 * time.Second, rooms: &rooms{readings: []call.Room{phone("ringing")}},
			outcome: "ended", status: call.Failed, cause: call.Unknown, looks: 1, deleted: 1},
		{name: "unclear, soon ringing too long", reason: "unclear", before: dialed, after: 30 * time.Second, rooms: &rooms{readings: []call.Room{phone("ringing")}},
			outcome: "ended", status: call.Failed, cause: call.Unknown, looks: 4, deleted: 1},
		{name: "unclear, dialing", reason: "unclear", before: dialed, after: 5 * time.Second, rooms: &rooms{readings: []call.Room{phone("dialing")}},
			outcome: "unclear", status: call.Dialing, looks: 16},
		{name: "unclear, dialing too long", reason: "unclear", before: dialed, after: 33 * time.Second, rooms: &rooms{readings: []call.Room{phone("dialing")}},
			outcome: "ended", status: call.Failed, cause: call.Unknown, looks: 1, deleted: 1},
		{name: "unclear, answered at the second look", reason: "unclear", before: dialed, rooms: &rooms{readings: []call.Room{{Agent: true}, phone("active")}},
			outcome: "answered", status: call.InProgress, looks: 2},
		{name: "unclear, no phone", reason: "unclear", before: dialed, rooms: &rooms{readings: []call.Room{{Agent: true}}},
			outcome: "unclear", status: call.Dialing, looks: 16},
		{name: "unclear, no phone while it could have rung", reason: "unclear", before: dialed, after: 33 * time.Second, rooms: &rooms{readings: []call.Room{{Agent: true}}},
			outcome: "ended", status: call.Failed, cause: call.Unknown, looks: 1, deleted: 1},
		{name: "unclear, short ringing, the phone comes after 19 s", reason: "unclear", before: dialedShort, after: 15 * time.Second,
			rooms:   &rooms{readings: []call.Room{{}, {}, {}, {}, phone("dialing"), phone("ringing"), phone("active")}},
			outcome: "answered", status: call.InProgress, looks: 7},
		{name: "unclear, short ringing, no phone for 23 s", reason: "unclear", before: dialedShort, after: 15 * time.Second,
			outcome: "ended", status: call.Failed, cause: call.Unknown, looks: 9, deleted: 1},
		{name: "unclear, hung up and lingering", reason: "unclear", before: dialed, rooms: &rooms{readings: []call.Room{phone("hangup")}},
			outcome: "ended", status: call.Failed, cause: call.Unknown, looks: 2, deleted: 1},
		{name: "unclear, LiveKit down", reason: "unclear", before: dialed, rooms: &rooms{err: down}, status: call.Dialing, looks: 1},
		{name: "unclear, LiveKit down at the second look", reason: "unclear", before: dialed, rooms: &rooms{err: down, errAfter: 1}, status: call.Dialing, looks: 2},
		{name: "unclear, answered before, the room not found", reason: "unclear", before: answered, after: time.Minute, outcome: "answered", status: call.InProgress, looks: 1},
		{name: "unclear, answered before, the phone gone", reason: "unclear", before: answered, after: time.Minute, rooms: &rooms{readings: []call.Room{{Agent: true}}},
			outcome: "ended", status: call.Completed, cause: call.CalleeHangup, looks: 2, deleted: 1},
		{name: "no capacity", reason: "capacity", before: created, outcome: "ended", status: call.Failed, cause: call.Capacity, deleted: 1},
		{name: "no capacity, and not wanted", reason: "capacity", before: unwanted(created), outcome: "ended", status: call.Canceled, cause: call.APIHangup, deleted: 1},
		{name: "no capacity, and came in", reason: "capacity", before: dialed, rooms: &rooms{readings: []call.Room{phone("active")}},
			outcome: "answered", status: call.InProgress, looks: 1},
		{name: "unclear and not wanted, ringing", reason: "unclear", before: unwanted(dialed), rooms: &rooms{readings: []call.Room{phone("ringing")}},
			outcome: "ended", status: call.Canceled, cause: call.APIHangup, deleted: 1, looks: 1},
		{name: "unclear, never dialed", reason: "unclear", before: created, outcome: "ended", status: call.Failed, cause: call.NetworkError, deleted: 1},

		{name: "talk time spent", reason: "expired", before: answered, after: 10 * time.Minute, rooms: &rooms{readings: []call.Room{phone("active")}},
			outcome: "ended", status: call.Completed, cause: call.MaxDuration, deleted: 1},
		{name: "talk time spent, seen late", reason: "expired", before: answered, after: time.Hour, outcome: "ended", status: call.Completed, cause: call.MaxDuration, deleted: 1},
		{name: "the wait failed", reason: "expired", before: answered, after: time.Minute, outcome: "ended", status: call.Completed, cause: call.Unknown, deleted: 1},
		{name: "talk time spent and not wanted", reason: "expired", before: unwanted(answered), after: 10 * time.Minute,
			outcome: "ended", status: call.Completed, cause: call.APIHangup, deleted: 1},
		{name: "talk time spent, LiveKit down", reason: "expired", before: answered, after: 10 * time.Minute, rooms: &rooms{err: down}, status: call.InProgress},

		{name: "ended, failed", reason: "failed", before: ended, outcome: "ended", status: call.Completed, cause: call.AgentHangup},
		{name: "ended, unclear", reason: "unclear", before: ended, outcome: "ended", status: call.Completed, cause: call.AgentHangup},
		{name: "ended, expired", reason: "expired", before: ended, outcome: "ended", status: call.Completed, cause: call.AgentHangup},
		{name: "for no reason", reason: "", before: answered, status: call.InProgress},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				db := storetest.Open(t, nil)
				if tt.rooms == nil {
					tt.rooms = &rooms{}
				}
				tt.before(t, db)
				time.Sleep(tt.after)
				task := &finishcall.Task{Now: time.Now, Teardown: &teardown.Ender{Calls: db, Rooms: tt.rooms, Now: time.Now}}
				out, err := task.Run(t.Context(), finishcall.Input{CallID: id, Reason: tt.reason})
				if (err != nil) != (tt.outcome == "") || err == nil && out.Outcome != tt.outcome {
					t.Errorf("%q, %v; want %q", out.Outcome, err, tt.outcome)
				}
				c, err := db.Call(t.Context(), id)
				must(t, err)
				if c.Status != tt.status || c.Cause != tt.cause || tt.rooms.deleted != tt.deleted || tt.rooms.looks != tt.looks {
					t.Errorf("%s %q after %d looks, %d deletions; want %s %q after %d, %d",
						c.Status, c.Cause, tt.rooms.looks, tt.rooms.deleted, tt.status, tt.cause, tt.looks, tt.deleted)
				}
				if c.Cause == call.MaxDuration && c.Duration() != 600 {
					t.Errorf("%d s of talk, 600 were agreed", c.Duration())
				}
				if !c.Status.Ended() {
					return
				}
				if _, err := task.Run(t.Context(), finishcall.Input{CallID: id, Reason: tt.reason}); err != nil {
					t.Errorf("again: %v", err)
				}
				again, err := db.Call(t.Context(), id)
				must(t, err)
				if d := cmp.Diff(c, again); d != "" {
					t.Errorf("settled again (-first +second):\n%s", d)
				}
			})
		})
	}
}

// A hang-up ends the call while the task waits for its outcome.
func TestHungUpMeanwhile(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		db, lk := storetest.Open(t, nil), &rooms{}
		dialed(t, db)
		s := &teardown.Ender{Calls: db, Rooms: lk, Now: time.Now}
		time.AfterFunc(2500*time.Millisecond, func() {
			if c, _, err := db.RequestHangup(context.Background(), "ada", id, time.Now()); err == nil {
				_, _ = s.TakeDown(context.Background(), c, s.HungUp)
			}
		})
		began := time.Now()
		out, err := (&finishcall.Task{Now: time.Now, Teardown: s}).Run(t.Context(), finishcall.Input{CallID: id, Reason: "unclear"})
		c, readErr := db.Call(t.Context(), id)
		if err != nil || readErr != nil || out.Outcome != "ended" || c.Status != call.Canceled || time.Since(began) > 3*time.Second {
			t.Errorf("%s after %v, %s %s, %v, %v", out.Outcome, time.Since(began), c.Status, c.Cause, err, readErr)
		}
	})
}

func TestUnknownCall(t *testing.T) {
	t.Parallel()
	task := &finishcall.Task{Teardown: &teardown.Ender{Calls: storetest.Open(t, nil)}, Now: time.Now}
	if _, err := task.Run(t.Context(), finishcall.Input{CallID: id, Reason: "expired"}); !fault.Is(err, fault.NotFound) {
		t.Error(err)
	}
}

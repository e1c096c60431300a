package sweepcalls_test

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/krosai/telephony/functions/sweepcalls"
	"github.com/krosai/telephony/shared/call"
	"github.com/krosai/telephony/shared/fault"
	"github.com/krosai/telephony/shared/livekit"
	"github.com/krosai/telephony/shared/settle"
	"github.com/krosai/telephony/shared/store"
	"github.com/krosai/telephony/shared/store/storetest"
)

const id = "call_01KAMPJ5V0SAMPMECA00000000"

// now is when the sweep runs.
var now = time.Date(2026, 11, 22, 9, 30, 0, 0, time.UTC)

func ago(seconds int) time.Time { return now.Add(-time.Duration(seconds) * time.Second) }

// world is LiveKit and the workflows.
type world struct {
	room    call.Room // every room, when it is read
	rooms   []livekit.RoomInfo
	down    bool // LiveKit
	stuck   bool // the workflows
	looks   int
	deleted []string
	started []string
}

var errDown = fault.Unavailable("LiveKit", nil)

func (w *world) answer() error {
	if w.down {
		return errDown
	}
	return nil
}

func (w *world) ReadRoom(context.Context, string) (call.Room, error) {
	w.looks++
	return w.room, w.answer()
}

func (w *world) DeleteRoom(_ context.Context, name string) error {
	if !w.down {
		w.deleted = append(w.deleted, name)
	}
	return w.answer()
}

func (w *world) Rooms(context.Context) ([]livekit.RoomInfo, error) { return w.rooms, w.answer() }

func (w *world) StartCall(_ context.Context, id string) error {
	if w.stuck {
		return fault.Unavailable("the call workflow", nil)
	}
	w.started = append(w.started, id)
	return nil
}

func (w *world) CallEnded(context.Context, string) error { return nil }

func (w *world) task(db *storetest.Database) *sweepcalls.Task {
	clock := func() time.Time { return now }
	return &sweepcalls.Task{Calls: db, Rooms: w, Flow: w, Now: clock, Log: slog.New(slog.DiscardHandler),
		Settle: &settle.Settler{Calls: db, Rooms: w, Flow: w, Now: clock}}
}

func create(t *testing.T, db *storetest.Database, c call.Call) {
	t.Helper()
	c.Country, c.RingingTimeout, c.MaxDuration = "US", 30, 600
	if c.ID == "" {
		c.ID = id
	}
	c.RoomName, c.UserID = c.ID, "user of "+c.ID // who so has one call going, whatever the test
	if _, _, _, err := db.CreateCall(t.Context(), c, store.Permit{Home: "US"}, store.Once{}); err != nil {
		t.Fatal(err)
	}
}

func TestCalls(t *testing.T) {
	t.Parallel()
	up := call.Room{Agent: true, Callee: &call.Phone{Status: "active"}}
	type report = sweepcalls.Report
	talking := func(seconds int) call.Call {
		return call.Call{Status: call.InProgress, CreatedAt: ago(seconds + 5), DialedAt: ago(seconds + 4), AnsweredAt: ago(seconds)}
	}
	dialled := func(s call.Status, seconds int) call.Call {
		return call.Call{Status: s, CreatedAt: ago(seconds + 5), DialedAt: ago(seconds)}
	}
	unwanted := func(c call.Call, seconds int) call.Call {
		c.HangupRequested = ago(seconds)
		return c
	}
	nothing, failure, ended := report{Active: 1}, report{Active: 1, Failures: 1}, report{Active: 1, Ended: 1}
	for _, tt := range []struct {
		name    string
		call    call.Call
		world   world
		want    report
		end     string // status and cause; "" when it goes on
		looks   int
		deleted bool
	}{
		{name: "young", call: unwanted(call.Call{Status: call.Initiated, CreatedAt: ago(10)}, 10)},

		{name: "not started for 30 s", call: call.Call{Status: call.Initiated, CreatedAt: ago(30)}, want: nothing},
		{name: "not started for 31 s", call: call.Call{Status: call.Initiated, CreatedAt: ago(31)}, want: report{Active: 1, Started: 1}},
		{name: "not started, LiveKit down", call: call.Call{Status: call.Initiated, CreatedAt: ago(31)}, world: world{down: true}, want: report{Active: 1, Started: 1}},
		{name: "cannot be started", call: call.Call{Status: call.Initiated, CreatedAt: ago(31)}, world: world{stuck: true}, want: failure},
		{name: "never started", call: call.Call{Status: call.Initiated, CreatedAt: ago(751)}, want: ended, end: "failed unknown", deleted: true},

		{name: "prepared, not dialled", call: call.Call{Status: call.Dialing, CreatedAt: ago(750)}, want: nothing},
		{name: "never dialled", call: call.Call{Status: call.Dialing, CreatedAt: ago(751)}, want: ended, end: "failed unknown", deleted: true},
		{name: "dialled 90 s ago", call: dialled(call.Dialing, 90), want: nothing},
		{name: "dialled 91 s ago", call: dialled(call.Dialing, 91), want: ended, end: "failed unknown", deleted: true},
		{name: "ringing for 91 s", call: dialled(call.Ringing, 91), want: ended, end: "failed unknown", deleted: true},
		{name: "dialled 91 s ago, LiveKit down", call: dialled(call.Dialing, 91), world: world{down: true}, want: failure},

		{name: "answered late, a moment ago", call: call.Call{Status: call.InProgress, CreatedAt: ago(120), DialedAt: ago(110), AnsweredAt: ago(5)}, want: nothing},

		{name: "not wanted for 10 s", call: unwanted(dialled(call.Ringing, 20), 10), want: nothing},
		{name: "not wanted for 11 s", call: unwanted(dialled(call.Ringing, 20), 11), want: ended, end: "canceled api_hangup", deleted: true},
		{name: "not wanted for 11 s, talking", call: unwanted(talking(20), 11), world: world{room: up}, want: ended, end: "completed api_hangup", deleted: true},
		{name: "not wanted, not started", call: unwanted(call.Call{Status: call.Initiated, CreatedAt: ago(40)}, 20), want: ended, end: "canceled api_hangup", deleted: true},
		{name: "not wanted, LiveKit down", call: unwanted(talking(20), 11), world: world{down: true}, want: failure},

		{name: "talking", call: talking(11), world: world{room: up}, want: nothing, looks: 1},
		{name: "talking for a moment", call: talking(10), want: nothing},
		{name: "phone gone", call: talking(11), world: world{room: call.Room{Agent: true}}, want: ended, end: "completed callee_hangup", looks: 1, deleted: true},
		{name: "phone hung up and lingers", call: talking(11), world: world{room: call.Room{Callee: &call.Phone{Status: "hangup"}}}, want: ended, end: "completed callee_hangup", looks: 1, deleted: true},
		{name: "room gone", call: talking(11), want: ended, end: "completed unknown", looks: 1, deleted: true},
		{name: "talking, LiveKit down", call: talking(11), world: world{down: true}, want: failure, looks: 1},
		{name: "talk time spent 10 s ago", call: talking(610), world: world{room: up}, want: nothing, looks: 1},
		{name: "talk time spent 11 s ago", call: talking(611), world: world{room: up}, want: ended, end: "completed max_duration", deleted: true},
		{name: "talk time spent, LiveKit down", call: talking(611), world: world{down: true}, want: failure},
		{name: "overdue", call: talking(746), world: world{room: up}, want: ended, end: "completed max_duration", deleted: true},
		{name: "overdue, LiveKit down", call: talking(746), world: world{down: true}, want: ended, end: "completed max_duration"},
		{name: "overdue and not wanted", call: unwanted(talking(746), 300), want: ended, end: "completed api_hangup", deleted: true},

		{name: "ended", call: call.Call{Status: call.Failed, Cause: call.Unknown, CreatedAt: ago(751)}, end: "failed unknown"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			db := storetest.Open(t, nil)
			create(t, db, tt.call)
			got, err := tt.world.task(db).Run(t.Context())
			if (err != nil) != tt.world.down {
				t.Errorf("error %v", err)
			}
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Errorf("report (-want +got):\n%s", d)
			}
			c, err := db.Call(t.Context(), id)
			if err != nil {
				t.Fatal(err)
			}
			end := ""
			if c.Status.Ended() {
				end = string(c.Status) + " " + string(c.Cause)
			}
			if end != tt.end || tt.end == "" && c.Status != tt.call.Status {
				t.Errorf("end %q, status %s; want %q", end, c.Status, tt.end)
			}
			if deleted := slices.Equal(tt.world.deleted, []string{id}); deleted != tt.deleted || tt.world.looks != tt.looks {
				t.Errorf("deleted %v, %d looks; want %t, %d", tt.world.deleted, tt.world.looks, tt.deleted, tt.looks)
			}
			if len(tt.world.started) != tt.want.Started {
				t.Errorf("started %v", tt.world.started)
			}
			if got, err := tt.world.task(db).Run(t.Context()); got.Ended != 0 || (err != nil) != tt.world.down {
				t.Errorf("again: %+v, %v", got, err)
			}
		})
	}
}

// One call that cannot be looked after does not keep the others from it.
func TestOneFailureAmongMany(t *testing.T) {
	t.Parallel()
	db := storetest.Open(t, nil)
	w := &world{stuck: true}
	for i := range 5 {
		create(t, db, call.Call{ID: fmt.Sprintf("call_01KAMPJ5V0SAMPMECA0000000%d", i), Status: call.Initiated, CreatedAt: ago(31)})
		create(t, db, call.Call{ID: fmt.Sprintf("call_01KAMPJ5V0SAMPMECA0000001%d", i), Status: call.InProgress, CreatedAt: ago(31), AnsweredAt: ago(20)})
	}
	got, err := w.task(db).Run(t.Context())
	if d := cmp.Diff(sweepcalls.Report{Active: 10, Ended: 5, Failures: 5}, got); d != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, d)
	}
}

func TestOrphans(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		room    string
		age     int
		status  call.Status // of the call; "" when there is none
		deleted bool
	}{
		{"of a call that ended", id, 120, call.Completed, true},
		{"of a call that ended, young", id, 119, call.Completed, false},
		{"of a call that goes on", id, 3600, call.InProgress, false},
		{"of no call of ours", id, 3600, "", false},
		{"somebody else's", "support-_+15550100_x", 3600, "", false},
		{"no id", "call_", 3600, "", false},
		{"another kind of id", "pn_01KAMPJ5V0SAMPMECA00000000", 3600, "", false},
		{"no prefix", "01KAMPJ5V0SAMPMECA00000000", 3600, "", false},
		{"small letters", "call_01kampj5v0sampmeca00000000", 3600, "", false},
		{"too short", "call_01KAMPJ5V0SAMPMECA0000000", 3600, "", false},
		{"too long", "call_01KAMPJ5V0SAMPMECA000000000", 3600, "", false},
		{"not base 32", "call_01KAMPJ5V0SAMPMECU00000000", 3600, "", false},
		{"no ULID's time", "call_81KAMPJ5V0SAMPMECA00000000", 3600, "", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			db := storetest.Open(t, nil)
			if tt.status != "" {
				create(t, db, call.Call{Status: tt.status, CreatedAt: ago(300), AnsweredAt: ago(300)})
			}
			w := &world{room: call.Room{Callee: &call.Phone{Status: "active"}}, rooms: []livekit.RoomInfo{{Name: tt.room, CreatedAt: ago(tt.age)}}}
			r, err := w.task(db).Run(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if deleted := slices.Equal(w.deleted, []string{tt.room}); deleted != tt.deleted || (r.Orphans == 1) != tt.deleted {
				t.Errorf("deleted %v, report %+v; want %t", w.deleted, r, tt.deleted)
			}
		})
	}
}

func TestTooManyOrphans(t *testing.T) {
	t.Parallel()
	for n, refused := range map[int]bool{20: false, 21: true} {
		w, db := &world{}, storetest.Open(t, nil)
		for i := range n {
			id := fmt.Sprintf("call_01KAMPJ5V0SAMPMECA000000%02d", i)
			create(t, db, call.Call{ID: id, Status: call.Completed, CreatedAt: ago(3600)})
			w.rooms = append(w.rooms, livekit.RoomInfo{Name: id, CreatedAt: ago(3600)})
		}
		r, err := w.task(db).Run(t.Context())
		if (err != nil) != refused || (len(w.deleted) == 0) != refused || r.Orphans != len(w.deleted) {
			t.Errorf("of %d rooms %d were deleted: %+v, %v", n, len(w.deleted), r, err)
		}
	}
}

package sweepcalls_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	lkproto "github.com/livekit/protocol/livekit"

	"github.com/krosai/telephony/functions/sweepcalls"
	"github.com/krosai/telephony/shared/call"
	"github.com/krosai/telephony/shared/fault"
	"github.com/krosai/telephony/shared/livekit"
	"github.com/krosai/telephony/shared/livekit/livekittest"
	"github.com/krosai/telephony/shared/obs"
	"github.com/krosai/telephony/shared/secret"
	"github.com/krosai/telephony/shared/store/storetest"
	"github.com/krosai/telephony/shared/teardown"
)

const id = "call_01KAMPJ5V0SAMPMECA00000000"

// now is when the sweep runs.
var now = time.Date(2026, 11, 22, 9, 30, 0, 0, time.UTC)

func ago(seconds int) time.Time { return now.Add(-time.Duration(seconds) * time.Second) }

// world is both LiveKit and Step Functions.
type world struct {
	room    call.Room // every room, when it is read
	rooms   []livekit.RoomInfo
	down    bool // LiveKit
	mu      sync.Mutex
	stuck   bool      // the workflows
	runs    time.Time // when every call's workflow started; zero if calls have no workflow
	lists   int
	looks   int
	read    []string // rooms, by failing
	deleted []string
	started []string
	clock   time.Time // now if zero
}

func (w *world) now() time.Time {
	if w.clock.IsZero() {
		return now
	}
	return w.clock
}

var errDown = fault.Unavailable("LiveKit", nil)

func (w *world) answer() error {
	if w.down {
		return errDown
	}
	return nil
}

func (w *world) ReadRoom(context.Context, string) (call.Room, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.looks++
	return w.room, w.answer()
}

func (w *world) DeleteRoom(_ context.Context, name string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.down {
		w.deleted = append(w.deleted, name)
	}
	return w.answer()
}

func (w *world) Rooms(context.Context) ([]livekit.RoomInfo, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lists++
	return w.rooms, w.answer()
}

func (w *world) RestartCall(_ context.Context, id string) (time.Time, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.stuck {
		return time.Time{}, fault.Unavailable("the call workflow", nil)
	}
	if !w.runs.IsZero() {
		return w.runs, nil
	}
	w.started = append(w.started, id)
	return w.now(), nil
}

func (w *world) StartCall(ctx context.Context, id string) error {
	_, err := w.RestartCall(ctx, id)
	return err
}

func (w *world) task(db *storetest.Database) *sweepcalls.Task {
	return &sweepcalls.Task{Calls: db, Rooms: w, Workflow: w, Now: w.now, Log: slog.New(slog.DiscardHandler),
		Teardown: &teardown.Ender{Calls: db, Rooms: w, Now: w.now}}
}

func create(t *testing.T, db *storetest.Database, c call.Call) {
	t.Helper()
	c.Country, c.RingingTimeout, c.MaxDuration = "US", 30, 600
	if c.ID == "" {
		c.ID = id
	}
	c.RoomName, c.UserID = c.ID, "user of "+c.ID // one user for each call
	if err := db.Place(t.Context(), c); err != nil {
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
	dialed := func(s call.Status, seconds int) call.Call {
		return call.Call{Status: s, CreatedAt: ago(seconds + 5), DialedAt: ago(seconds)}
	}
	unwanted := func(c call.Call, seconds int) call.Call {
		c.HangupRequested = ago(seconds)
		return c
	}
	// room returns a world that lists the call's room with the given participants (phones and
	// people) and publishers. A read of the room returns is.
	room := func(participants, publishers int, is call.Room) world {
		return world{room: is, rooms: []livekit.RoomInfo{{Name: id, Participants: participants, Publishers: publishers}}}
	}
	nothing, failure, ended := report{Active: 1}, report{Active: 1, Failures: 1}, report{Active: 1, Ended: 1}
	looked, resolved := report{Active: 1, Doubtful: 1}, report{Active: 1, Doubtful: 1, Ended: 1}
	phone := &call.Phone{Status: "active"}
	for _, tt := range []*sweep{
		{name: "young", call: unwanted(call.Call{Status: call.Initiated, CreatedAt: ago(10)}, 10)},

		{name: "not started for 30 s", call: call.Call{Status: call.Initiated, CreatedAt: ago(30)}, want: nothing},
		{name: "not started for 31 s", call: call.Call{Status: call.Initiated, CreatedAt: ago(31)}, want: report{Active: 1, Started: 1}},
		{name: "not started, LiveKit down", call: call.Call{Status: call.Initiated, CreatedAt: ago(31)}, world: world{down: true}, want: report{Active: 1, Started: 1}},
		{name: "cannot be started", call: call.Call{Status: call.Initiated, CreatedAt: ago(31)}, world: world{stuck: true}, want: failure},
		{name: "waits for its turn to be dialed", call: call.Call{Status: call.Initiated, CreatedAt: ago(155)}, world: world{runs: ago(154)}, want: nothing},
		{name: "not started for 3 min", call: call.Call{Status: call.Initiated, CreatedAt: ago(180)}, want: report{Active: 1, Started: 1}},
		{name: "never started", call: call.Call{Status: call.Initiated, CreatedAt: ago(181)}, want: ended, end: "failed unknown", deleted: true},

		{name: "prepared, not dialed", call: call.Call{Status: call.Dialing, CreatedAt: ago(180)}, want: nothing},
		{name: "never dialed", call: call.Call{Status: call.Dialing, CreatedAt: ago(181)}, want: ended, end: "failed unknown", deleted: true},
		{name: "dialed 90 s ago", call: dialed(call.Dialing, 90), want: nothing},
		{name: "dialed 91 s ago, in a room without a phone", call: dialed(call.Dialing, 91), world: room(0, 1, call.Room{Agent: true}),
			want: resolved, end: "failed unknown", looks: 1, deleted: true},
		{name: "dialed 91 s ago, no room", call: dialed(call.Dialing, 91), want: looked, looks: 1},
		{name: "ringing for 91 s", call: dialed(call.Ringing, 91), world: room(1, 2, call.Room{Agent: true, Callee: &call.Phone{Status: "ringing"}}),
			want: resolved, end: "failed unknown", looks: 1, deleted: true},
		{name: "dialed 91 s ago, LiveKit down", call: dialed(call.Dialing, 91), world: world{down: true}, want: report{Active: 1, Doubtful: 1, Failures: 1}, looks: 1},

		{name: "answered late, a moment ago", call: call.Call{Status: call.InProgress, CreatedAt: ago(120), DialedAt: ago(110), AnsweredAt: ago(5)}, want: nothing},

		{name: "not wanted for 10 s", call: unwanted(dialed(call.Ringing, 20), 10), want: nothing},
		{name: "not wanted for 11 s", call: unwanted(dialed(call.Ringing, 20), 11), want: ended, end: "canceled api_hangup", deleted: true},
		{name: "not wanted for 11 s, talking", call: unwanted(talking(20), 11), world: world{room: up}, want: ended, end: "completed api_hangup", deleted: true},
		{name: "not wanted, not started", call: unwanted(call.Call{Status: call.Initiated, CreatedAt: ago(40)}, 20), want: ended, end: "canceled api_hangup", deleted: true},
		{name: "not wanted, LiveKit down", call: unwanted(talking(20), 11), world: world{down: true}, want: failure},

		{name: "talking", call: talking(11), world: room(1, 2, up), want: nothing},
		{name: "talking for a moment", call: talking(10), want: nothing},
		{name: "talking, the agent listens only", call: talking(11), world: room(1, 1, up), want: looked, looks: 1},
		{name: "talking, listed late", call: talking(11), world: world{room: up}, want: looked, looks: 1},
		{name: "talking, LiveKit down", call: talking(11), world: world{down: true}, want: failure},
		{name: "phone gone", call: talking(11), world: room(0, 1, call.Room{Agent: true}), want: resolved, end: "completed callee_hangup", looks: 1, deleted: true},
		{name: "phone gone after the list", call: talking(11), world: room(1, 1, call.Room{Agent: true}), want: resolved, end: "completed callee_hangup", looks: 1, deleted: true},
		{name: "phone gone, a person is there", call: talking(11), world: room(1, 1, call.Room{Others: true}), want: resolved, end: "completed callee_hangup", looks: 1, deleted: true},
		{name: "everybody gone, the room is there", call: talking(11), world: room(0, 0, call.Room{}), want: resolved, end: "completed callee_hangup", looks: 1, deleted: true},
		{name: "phone hung up and lingers", call: talking(11), world: room(1, 1, call.Room{Callee: &call.Phone{Status: "hangup"}}),
			want: resolved, end: "completed callee_hangup", looks: 1, deleted: true},
		{name: "room gone", call: talking(11), want: looked, looks: 1},
		{name: "room gone after the list", call: talking(11), world: room(1, 1, call.Room{}), want: looked, looks: 1},
		{name: "agent gone", call: talking(11), world: room(1, 1, call.Room{Callee: phone}), want: resolved, end: "completed agent_hangup", looks: 1, deleted: true},
		{name: "agent gone, a person has taken over", call: talking(11), world: room(2, 1, call.Room{Callee: phone, Others: true}), want: looked, looks: 1},
		{name: "talk time spent 10 s ago", call: talking(610), world: room(1, 2, up), want: nothing},
		{name: "talk time spent 10 s ago, phone gone", call: talking(610), world: room(0, 1, call.Room{Agent: true}),
			want: resolved, end: "completed max_duration", looks: 1, deleted: true},
		{name: "talk time spent 11 s ago", call: talking(611), world: world{room: up}, want: ended, end: "completed max_duration", deleted: true},
		{name: "talk time spent, LiveKit down", call: talking(611), world: world{down: true}, want: failure},
		{name: "overdue", call: talking(747), world: world{room: up}, want: ended, end: "completed max_duration", deleted: true},
		{name: "overdue, LiveKit down", call: talking(747), world: world{down: true}, want: ended, end: "completed max_duration"},
		{name: "not overdue, dialed after a wait of 170 s", call: call.Call{Status: call.InProgress, CreatedAt: ago(775), DialedAt: ago(605), AnsweredAt: ago(600)},
			world: room(1, 2, up), want: nothing},
		{name: "overdue and not wanted", call: unwanted(talking(747), 300), want: ended, end: "completed api_hangup", deleted: true},

		{name: "ended", call: call.Call{Status: call.Failed, Cause: call.Unknown, CreatedAt: ago(751)}, end: "failed unknown"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { tt.run(t) })
		})
	}
}

// sweep is one call, what LiveKit shows of it, and the expected result.
type sweep struct {
	name    string
	call    call.Call
	world   world
	want    sweepcalls.Report
	end     string // status and cause; "" when it goes on
	looks   int
	deleted bool
}

func (tt *sweep) run(t *testing.T) {
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
	if tt.world.lists != 1 {
		t.Errorf("rooms were listed %d times", tt.world.lists)
	}
	if got, err := tt.world.task(db).Run(t.Context()); got.Ended != 0 || (err != nil) != tt.world.down {
		t.Errorf("again: %+v, %v", got, err)
	}
}

// A call that was answered after its workflow died goes on.
func TestStuckAndAnswered(t *testing.T) {
	t.Parallel()
	db, w := storetest.Open(t, nil), &world{room: call.Room{Agent: true, Callee: &call.Phone{Status: "active", AnsweredAt: ago(2)}}}
	create(t, db, call.Call{Status: call.Ringing, CreatedAt: ago(100), DialedAt: ago(91)})
	got, err := w.task(db).Run(t.Context())
	if d := cmp.Diff(sweepcalls.Report{Active: 1, Doubtful: 1}, got); d != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, d)
	}
	if c, err := db.Call(t.Context(), id); err != nil || c.Status != call.InProgress || !c.AnsweredAt.Equal(ago(2)) || len(w.deleted) != 0 {
		t.Errorf("%s, answered at %v, deleted %v, %v", c.Status, c.AnsweredAt, w.deleted, err)
	}
}

// A sweep of a hundred healthy calls sends LiveKit one request.
func TestHealthyCallsCostOneRequest(t *testing.T) {
	t.Parallel()
	db, lk := storetest.Open(t, nil), livekittest.New(t)
	for i := range 100 {
		id := fmt.Sprintf("call_01KAMPJ5V0SAMPMECA0000%04d", i)
		create(t, db, call.Call{ID: id, Status: call.InProgress, CreatedAt: ago(300), DialedAt: ago(299), AnsweredAt: ago(290)})
		lk.Join(id, &lkproto.ParticipantInfo{Identity: "agent", Kind: lkproto.ParticipantInfo_AGENT})
		lk.Join(id, &lkproto.ParticipantInfo{Identity: call.CalleeIdentity, Kind: lkproto.ParticipantInfo_SIP,
			Attributes: map[string]string{"sip.callStatus": "active"}})
	}
	client := livekit.Open(livekit.Config{URL: lk.URL, APIKey: livekittest.APIKey, APISecret: secret.New(livekittest.APISecret)})
	clock := func() time.Time { return now }
	task := &sweepcalls.Task{Calls: db, Rooms: client, Workflow: &world{}, Now: clock, Log: slog.New(slog.DiscardHandler),
		Teardown: &teardown.Ender{Calls: db, Rooms: client, Now: clock}}
	got, err := task.Run(t.Context())
	if d := cmp.Diff(sweepcalls.Report{Active: 100}, got); d != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, d)
	}
	if d := cmp.Diff([]string{"ListRooms"}, lk.Requests()); d != "" {
		t.Errorf("requests (-want +got):\n%s", d)
	}
}

// Two concurrent sweeps end each call without a room once, and no other call.
func TestTwoAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		db := storetest.Open(t, nil)
		w := &world{room: call.Room{Agent: true}}
		for i := range 20 {
			id := fmt.Sprintf("call_01KAMPJ5V0SAMPMECA000000%02d", i)
			create(t, db, call.Call{ID: id, Status: call.InProgress, CreatedAt: ago(300), AnsweredAt: ago(290)})
			if i%2 == 0 {
				w.rooms = append(w.rooms, livekit.RoomInfo{Name: id, CreatedAt: ago(295), Participants: 1, Publishers: 2})
			}
		}
		var sweeps sync.WaitGroup
		for range 2 {
			sweeps.Go(func() {
				if _, err := w.task(db).Run(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		sweeps.Wait()
		for i := range 20 {
			id := fmt.Sprintf("call_01KAMPJ5V0SAMPMECA000000%02d", i)
			details, err := db.CallDetails(t.Context(), "user of "+id, id, false)
			c, events := details.Call, details.Events
			if err != nil || c.Status.Ended() != (i%2 == 1) || c.Status.Ended() != slices.Contains(w.deleted, id) || len(events) > 1 {
				t.Errorf("%s: %s %s, events %v, %v", id, c.Status, c.Cause, events, err)
			}
		}
	})
}

// A call that cannot be handled does not keep the sweep from the others.
func TestOneFailureAmongMany(t *testing.T) {
	t.Parallel()
	synctest.Test(t, oneFailureAmongMany)
}

func oneFailureAmongMany(t *testing.T) {
	db := storetest.Open(t, nil)
	w := &world{stuck: true}
	for i := range 5 {
		create(t, db, call.Call{ID: fmt.Sprintf("call_01KAMPJ5V0SAMPMECA0000000%d", i), Status: call.Initiated, CreatedAt: ago(31)})
		id := fmt.Sprintf("call_01KAMPJ5V0SAMPMECA0000001%d", i)
		create(t, db, call.Call{ID: id, Status: call.InProgress, CreatedAt: ago(31), AnsweredAt: ago(20)})
		w.rooms = append(w.rooms, livekit.RoomInfo{Name: id, CreatedAt: ago(30)})
	}
	got, err := w.task(db).Run(t.Context())
	if d := cmp.Diff(sweepcalls.Report{Active: 10, Doubtful: 5, Ended: 5, Failures: 5}, got); d != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, d)
	}
}

func TestOrphans(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		room    string
		age     int
		status  call.Status // of the call; "" without a call
		deleted bool
	}{
		{"of a call that ended", id, 120, call.Completed, true},
		{"of a call that ended, young", id, 0, call.Completed, true},
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
			w := &world{room: call.Room{Agent: true, Callee: &call.Phone{Status: "active"}}, rooms: []livekit.RoomInfo{{Name: tt.room, CreatedAt: ago(tt.age), Participants: 1, Publishers: 2}}}
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

// TestManyOrphans checks that a run deletes at most 20 orphaned rooms, the oldest first.
func TestManyOrphans(t *testing.T) {
	t.Parallel()
	w, db := &world{}, storetest.Open(t, nil)
	for i := range 45 {
		id := fmt.Sprintf("call_01KAMPJ5V0SAMPMECA000000%02d", i)
		create(t, db, call.Call{ID: id, Status: call.Completed, CreatedAt: ago(3600)})
		w.rooms = append(w.rooms, livekit.RoomInfo{Name: id, CreatedAt: ago(1000 + i)})
	}
	for _, want := range []sweepcalls.Report{{Orphans: 20, OrphansLeft: 25}, {Orphans: 20, OrphansLeft: 5}, {Orphans: 5}, {}} {
		var metrics bytes.Buffer
		r, err := w.task(db).Run(obs.WithOutput(t.Context(), &metrics))
		if d := cmp.Diff(want, r); d != "" || err != nil {
			t.Errorf("%v (-want +got):\n%s", err, d)
		}
		held := fmt.Sprintf(`"SweepHeldBack":%d`, want.OrphansLeft)
		if strings.Contains(metrics.String(), held) != (want.OrphansLeft > 0) {
			t.Errorf("metrics %s, want %s", &metrics, held)
		}
		oldest := len(w.rooms) - want.Orphans
		for _, room := range w.rooms[oldest:] {
			if !slices.Contains(w.deleted, room.Name) {
				t.Errorf("%s is still there", room.Name)
			}
		}
		w.rooms = w.rooms[:oldest]
	}
}

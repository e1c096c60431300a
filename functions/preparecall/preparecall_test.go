package preparecall_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/krosai/telephony/functions/preparecall"
	"github.com/krosai/telephony/shared/call"
	"github.com/krosai/telephony/shared/fault"
	"github.com/krosai/telephony/shared/livekit"
	"github.com/krosai/telephony/shared/store/storetest"
	"github.com/krosai/telephony/shared/teardown"
)

const (
	id    = "call_01KAMPJ5V0SAMPMECA00000000"
	never = time.Hour
)

// rooms is a LiveKit with one room. An agent joins it some time after its creation.
type rooms struct {
	join             time.Duration
	noCreate, noRead error
	made             []livekit.Room
	madeAt           time.Time
	looks, deleted   int
	onLook           func(look int)
}

func (r *rooms) CreateRoom(_ context.Context, room livekit.Room) error {
	if r.noCreate != nil {
		return r.noCreate
	}
	if len(r.made) == 0 {
		r.madeAt = time.Now()
	}
	r.made = append(r.made, room)
	return nil
}

func (r *rooms) UpdateRoomMetadata(context.Context, string, string) error {
	return errors.New("the agent of a call that goes out gets its metadata with its job")
}

func (r *rooms) ReadRoom(context.Context, string) (call.Room, error) {
	r.looks++
	if r.onLook != nil {
		r.onLook(r.looks)
	}
	return call.Room{Agent: time.Since(r.madeAt) >= r.join}, r.noRead
}

func (r *rooms) DeleteRoom(context.Context, string) error {
	r.deleted++
	return nil
}

// setUp records a call. It must run in a synctest bubble.
func setUp(t *testing.T, r *rooms) (*storetest.Database, *preparecall.Task) {
	t.Helper()
	db := storetest.Open(t, nil)
	c := call.Call{ID: id, UserID: "ada", Direction: call.Outbound, Remote: "+14155550100", Own: "+2348012345678",
		RoomName: id, AgentName: "support-agent", Country: "US", SystemPrompt: "Be kind.", RingingTimeout: 40, MaxDuration: 600,
		Status: call.Initiated, CreatedAt: time.Now()}
	if err := db.Place(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	return db, &preparecall.Task{Calls: db, Rooms: r, Now: time.Now, Agents: agents, Teardown: &teardown.Ender{Calls: db, Rooms: r, Now: time.Now}}
}

// hangUp ends the call as a hang-up does.
func hangUp(t *testing.T, db *storetest.Database) {
	t.Helper()
	c, _, err := db.RequestHangup(t.Context(), "ada", id, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.EndCall(t.Context(), c, c.DialRefused(call.Attempt{}, time.Now())); err != nil {
		t.Fatal(err)
	}
}

func TestAgent(t *testing.T) {
	t.Parallel()
	ready := preparecall.Output{Outcome: "ready", DialSeconds: 70, TalkSeconds: 600}
	ended := preparecall.Output{Outcome: "ended"}
	for _, tt := range []struct {
		name     string
		rooms    rooms
		hangUpAt int // the read at which the user hangs up
		want     preparecall.Output
		took     time.Duration
		looks    int
		status   call.Status
		cause    call.Cause
		deleted  int
	}{
		{name: "after 0.2 s", rooms: rooms{join: 200 * time.Millisecond}, want: ready, took: 200 * time.Millisecond, looks: 6, status: call.Initiated},
		{name: "after 0.21 s", rooms: rooms{join: 210 * time.Millisecond}, want: ready, took: 210 * time.Millisecond, looks: 7, status: call.Initiated},
		{name: "after 4 s", rooms: rooms{join: 4 * time.Second}, want: ready, took: 4002250823, looks: 34, status: call.Initiated},
		{name: "at the last moment", rooms: rooms{join: 10 * time.Second}, want: ready, took: 10 * time.Second, looks: 41, status: call.Initiated},
		{name: "never", rooms: rooms{join: never}, want: ended, took: 10 * time.Second, looks: 41,
			status: call.Failed, cause: call.AgentUnavailable, deleted: 1},
		{name: "never, hung up meanwhile", rooms: rooms{join: never}, hangUpAt: 2, want: ended, took: 10 * time.Second, looks: 41,
			status: call.Canceled, cause: call.APIHangup, deleted: 1},
		// The claim of the dial, which comes next, finds the hang-up.
		{name: "after 1 s, hung up meanwhile", rooms: rooms{join: time.Second}, hangUpAt: 2, want: ready, took: 1112040712, looks: 25,
			status: call.Canceled, cause: call.APIHangup},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				db, task := setUp(t, &tt.rooms)
				tt.rooms.onLook = func(look int) {
					if look == tt.hangUpAt {
						hangUp(t, db)
					}
				}
				start := time.Now()
				got, err := task.Run(t.Context(), preparecall.Input{CallID: id})
				if err != nil {
					t.Fatal(err)
				}
				if d := cmp.Diff(tt.want, got); d != "" {
					t.Errorf("(-want +got):\n%s", d)
				}
				if took := time.Since(start); took != tt.took || tt.rooms.looks != tt.looks || tt.rooms.deleted != tt.deleted {
					t.Errorf("%s, %d looks, %d deletions; want %s, %d, %d", took, tt.rooms.looks, tt.rooms.deleted, tt.took, tt.looks, tt.deleted)
				}
				c, err := db.Call(t.Context(), id)
				if err != nil || c.Status != tt.status || c.Cause != tt.cause || !c.DialedAt.IsZero() {
					t.Errorf("%s %q, dialed %v, %v; want %s %q", c.Status, c.Cause, c.DialedAt, err, tt.status, tt.cause)
				}
			})
		})
	}
}

// TestTrouble checks that a failure leaves the call in its state, so that the workflow can
// try again.
func TestTrouble(t *testing.T) {
	t.Parallel()
	down := errors.New("LiveKit is down")
	for name, r := range map[string]*rooms{"create": {noCreate: down}, "read": {noRead: down}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				db, task := setUp(t, r)
				if out, err := task.Run(t.Context(), preparecall.Input{CallID: id}); !errors.Is(err, down) || out.Outcome == "ready" {
					t.Errorf("%q, %v", out.Outcome, err)
				}
				if c, err := db.Call(t.Context(), id); err != nil || c.Status != call.Initiated || r.looks > 1 {
					t.Errorf("%s after %d looks, %v", c.Status, r.looks, err)
				}
				r.noCreate, r.noRead, r.looks = nil, nil, 0
				if out, err := task.Run(t.Context(), preparecall.Input{CallID: id}); err != nil || out.Outcome != "ready" || r.looks != 1 {
					t.Errorf("again: %q after %d looks, %v", out.Outcome, r.looks, err)
				}
			})
		})
	}
}

func TestTheWaitEndsWithItsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, task := setUp(t, &rooms{join: never})
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		start := time.Now()
		if _, err := task.Run(ctx, preparecall.Input{CallID: id}); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != 3*time.Second {
			t.Errorf("%v after %s", err, time.Since(start))
		}
	})
}

func TestRepeatIsHarmless(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := &rooms{}
		db, task := setUp(t, r)
		db.LoseReplies(1)
		for range 2 {
			if out, err := task.Run(t.Context(), preparecall.Input{CallID: id}); err != nil || out.Outcome != "ready" {
				t.Fatalf("%q, %v", out.Outcome, err)
			}
			time.Sleep(time.Minute)
		}
		want := livekit.Room{Name: id, AgentName: "support-agent", EmptyTimeout: time.Minute, DepartureTimeout: 90 * time.Second,
			Metadata: `{"call_id":"` + id + `","direction":"outbound","phone_number":"+14155550100","from_number":"+2348012345678","system_prompt":"Be kind.",` +
				toldOfTranscript + `}`}
		if d := cmp.Diff([]livekit.Room{want, want}, r.made); d != "" {
			t.Errorf("rooms (-want +got):\n%s", d)
		}
		details, err := db.CallDetails(t.Context(), "ada", id, false)
		if err != nil || len(details.Events) != 0 || details.Call.Status != call.Initiated { // the dial writes the first line
			t.Errorf("%s, timeline %v, %v", details.Call.Status, details.Events, err)
		}
	})
}

func TestNoRoomForACallThatIsOver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := &rooms{}
		db, task := setUp(t, r)
		hangUp(t, db)
		if out, err := task.Run(t.Context(), preparecall.Input{CallID: id}); err != nil || out.Outcome != "ended" || len(r.made) != 0 {
			t.Errorf("%q, %v, rooms %v", out.Outcome, err, r.made)
		}
		if _, err := task.Run(t.Context(), preparecall.Input{CallID: "call_2"}); !fault.Is(err, fault.NotFound) {
			t.Errorf("unknown call: %v", err)
		}
	})
}

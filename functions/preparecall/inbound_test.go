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

const inboundRoom = "h7yq2m0c-demo-_+14155550100_x"

// ringer is a LiveKit with the room of one inbound call. Its times count from the call's creation.
// Zero means never.
type ringer struct {
	start           time.Time
	answered, gone  time.Duration
	hidden          time.Duration // not listed before
	downFrom, until time.Duration // LiveKit does not answer
	told            []string
	looks, deleted  int
	onLook          func(look int)
}

func (r *ringer) after(d time.Duration) bool { return d != 0 && time.Since(r.start) >= d }

func (r *ringer) down() error {
	if r.until != 0 && time.Since(r.start) >= r.downFrom && !r.after(r.until) {
		return errors.New("LiveKit is down")
	}
	return nil
}

func (r *ringer) ReadRoom(_ context.Context, name string) (call.Room, error) {
	r.looks++
	if r.onLook != nil {
		r.onLook(r.looks)
	}
	if err := r.down(); err != nil || name != inboundRoom || r.deleted > 0 || r.after(r.gone) || r.hidden != 0 && !r.after(r.hidden) {
		return call.Room{}, err
	}
	phone := &call.Phone{Identity: "sip_+14155550100", Status: "ringing"}
	if r.after(r.answered) {
		phone.Status = "active"
	}
	return call.Room{Callee: phone, Agent: r.after(r.answered)}, nil
}

func (r *ringer) DeleteRoom(context.Context, string) error {
	err := r.down()
	if err == nil {
		r.deleted++
	}
	return err
}

func (r *ringer) UpdateRoomMetadata(_ context.Context, room, metadata string) error {
	err := r.down()
	if err == nil && room == inboundRoom {
		r.told = append(r.told, metadata)
	}
	return err
}

func (r *ringer) CreateRoom(context.Context, livekit.Room) error {
	return errors.New("an inbound call has its room")
}

// ring records a call that came in that long ago. It must run in a synctest bubble.
func ring(t *testing.T, r *ringer, ago time.Duration) (*storetest.Database, *preparecall.Task) {
	t.Helper()
	db := storetest.Open(t, nil)
	r.start = time.Now().Add(-ago).Truncate(time.Millisecond)
	c := call.Call{ID: id, UserID: "ada", Direction: call.Inbound, Remote: "+14155550100", Own: "+2348012345678", RoomName: inboundRoom,
		AgentName: "support-agent", Country: "US", RingingTimeout: 30, MaxDuration: 14400, Status: call.Initiated, CreatedAt: r.start, DialedAt: r.start}
	if _, err := db.CreateInbound(t.Context(), c, 0); err != nil {
		t.Fatal(err)
	}
	return db, &preparecall.Task{Calls: db, Rooms: r, Now: time.Now, Agents: agents, Teardown: &teardown.Ender{Calls: db, Rooms: r, Now: time.Now}}
}

func TestInbound(t *testing.T) {
	t.Parallel()
	const ms, s = time.Millisecond, time.Second
	answered := preparecall.Output{Outcome: "answered", TalkSeconds: 14400}
	unclear := preparecall.Output{Outcome: "unclear", TalkSeconds: 14400}
	ended := preparecall.Output{Outcome: "ended"}
	for _, tt := range []struct {
		name     string
		rings    ringer
		ago      time.Duration // the call came in before the task began
		hangUpAt int           // the read at which the user hangs up; LiveKit is told unless it is down
		want     preparecall.Output
		status   call.Status
		cause    call.Cause
		looks    int
		untold   bool
		deleted  int
	}{
		{name: "answered at once", rings: ringer{answered: ms}, ago: ms, want: answered, status: call.InProgress, looks: 1},
		{name: "answered after 0.5 s", rings: ringer{answered: 500 * ms}, want: answered, status: call.InProgress, looks: 2},
		{name: "answered after 3 s", rings: ringer{answered: 3 * s}, want: answered, status: call.InProgress, looks: 7},
		{name: "answered long before anybody knew", rings: ringer{answered: s}, ago: 50 * s, want: answered, status: call.InProgress, looks: 1},
		{name: "caller gives up", rings: ringer{gone: 5 * s}, want: ended, status: call.NoAnswer, cause: call.CalleeHangup, looks: 11, deleted: 1},
		{name: "no agent", rings: ringer{gone: 30050 * ms}, want: ended, status: call.Failed, cause: call.AgentUnavailable, looks: 61, deleted: 1},
		{name: "gone before anybody knew", rings: ringer{gone: s}, ago: 4 * s, want: ended, status: call.Failed, cause: call.Unknown, looks: 1, deleted: 1},
		{name: "gone at once", rings: ringer{gone: ms}, ago: ms, want: ended, status: call.Failed, cause: call.Unknown, looks: 7, deleted: 1},
		{name: "listed late", rings: ringer{hidden: 2 * s, answered: 4 * s}, want: answered, status: call.InProgress, looks: 9},
		{name: "rings for ever", want: unclear, status: call.Ringing, looks: 71},
		{name: "hung up while ringing", rings: ringer{}, hangUpAt: 3, want: ended, status: call.Canceled, cause: call.APIHangup, looks: 3, deleted: 2},
		{name: "LiveKit down for 10 s", rings: ringer{answered: s, until: 10 * s}, want: answered, status: call.InProgress, looks: 21},
		{name: "LiveKit down", rings: ringer{answered: s, until: time.Hour}, want: unclear, status: call.Ringing, looks: 71, untold: true},
		{name: "hung up, LiveKit hears of it late", rings: ringer{answered: 2 * s, downFrom: s, until: 8 * s}, hangUpAt: 5, want: ended,
			status: call.Completed, cause: call.APIHangup, looks: 17, deleted: 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				db, task := ring(t, &tt.rings, tt.ago)
				tt.rings.onLook = func(look int) {
					if look != tt.hangUpAt {
						return
					}
					c, open, err := db.RequestHangup(t.Context(), "ada", id, time.Now())
					if err != nil || !open {
						t.Fatal(open, err)
					}
					_, _ = task.Teardown.TakeDown(t.Context(), c, task.Teardown.HungUp) // fails while LiveKit is down
				}
				got, err := task.Run(t.Context(), preparecall.Input{CallID: id})
				if d := cmp.Diff(tt.want, got); err != nil || d != "" {
					t.Errorf("%v (-want +got):\n%s", err, d)
				}
				if len(tt.rings.told) > 1 || len(tt.rings.told) == 0 != tt.untold || tt.rings.looks != tt.looks || tt.rings.deleted != tt.deleted {
					t.Errorf("told %d times, %d looks, %d deletions; want %d, %d", len(tt.rings.told), tt.rings.looks, tt.rings.deleted, tt.looks, tt.deleted)
				}
				c, err := db.Call(t.Context(), id)
				if err != nil || c.Status != tt.status || c.Cause != tt.cause {
					t.Errorf("%s %q, %v; want %s %q", c.Status, c.Cause, err, tt.status, tt.cause)
				}
			})
		})
	}
}

// TestInboundAgain checks that the agent's metadata is in the room, and that a repeated run changes
// no line of the timeline.
func TestInboundAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := &ringer{answered: time.Second}
		db, task := ring(t, r, 0)
		for range 2 {
			db.LoseReplies(1)
			if out, err := task.Run(t.Context(), preparecall.Input{CallID: id}); err != nil || out.Outcome != "answered" {
				t.Fatalf("%q, %v", out.Outcome, err)
			}
			time.Sleep(time.Minute)
		}
		want := `{"call_id":"` + id + `","direction":"inbound","phone_number":"+14155550100","from_number":"+2348012345678",` + toldOfTranscript + `}`
		if d := cmp.Diff([]string{want, want}, r.told); d != "" {
			t.Errorf("metadata (-want +got):\n%s", d)
		}
		details, err := db.CallDetails(t.Context(), "ada", id, false)
		for i := range details.Events {
			details.Events[i].At = details.Events[i].At.Truncate(4 * time.Second) // the store retries after random pauses
		}
		if d := cmp.Diff([]call.Event{{At: r.start.UTC(), Name: "ringing"}, {At: r.start.UTC(), Name: "answered"}}, details.Events); err != nil || d != "" {
			t.Errorf("timeline %v (-want +got):\n%s", err, d)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		r.answered = 0
		if _, err := task.Run(ctx, preparecall.Input{CallID: id}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the wait did not end with its context: %v", err)
		}
		if _, err := task.Run(t.Context(), preparecall.Input{CallID: "call_2"}); !fault.Is(err, fault.NotFound) {
			t.Errorf("unknown call: %v", err)
		}
	})
}

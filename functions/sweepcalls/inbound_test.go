package sweepcalls_test

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/krosai/telephony/functions/sweepcalls"
	"github.com/krosai/telephony/shared/call"
	"github.com/krosai/telephony/shared/call/inbound"
	"github.com/krosai/telephony/shared/livekit"
	"github.com/krosai/telephony/shared/number"
	"github.com/krosai/telephony/shared/store/storetest"
)

const called = "+2348012345678"

// addNumber gives ada a number that takes inbound calls.
func addNumber(t *testing.T, db *storetest.Database) {
	t.Helper()
	err := db.PutNumber(t.Context(), number.Number{ID: number.ID(called), E164: called, Country: "NG", Type: "mobile", UserID: "ada",
		Trunk: &number.Trunk{InboundID: "ST_in"}, Rule: &number.Rule{RoomPrefix: "support-", AgentName: "support-agent", ID: "SDR_1"}})
	if err != nil {
		t.Fatal(err)
	}
}

// came is a room that ada's dispatch rule created that many seconds ago.
func came(seconds int) livekit.RoomInfo {
	return livekit.RoomInfo{Name: number.RoomPrefix("ada", "support-") + "_+14155550100_x", ID: "RM_1", CreatedAt: ago(seconds), Participants: 1, Publishers: 2}
}

func phoneIn(status string) call.Room {
	return call.Room{Agent: status == "active", Callee: &call.Phone{Identity: "sip_+14155550100", Status: call.PhoneStatus(status),
		TrunkID: "ST_in", RuleID: "SDR_1", Caller: "+14155550100", Called: called}}
}

func withInbound(task *sweepcalls.Task, db *storetest.Database, w *world) *sweepcalls.Task {
	task.Inbound = &inbound.Adopter{Numbers: db, Calls: db, Rooms: w, Workflow: w}
	return task
}

func TestAdopt(t *testing.T) {
	t.Parallel()
	foreign := phoneIn("active")
	foreign.Callee.TrunkID = "ST_other"
	hidden := phoneIn("active")
	hidden.Callee.Caller, hidden.Callee.Called = "", ""
	for _, tt := range []struct {
		name     string
		room     call.Room
		age      int
		stuck    bool // the workflows are down
		adopted  bool
		failures int
	}{
		{name: "ringing", room: phoneIn("ringing"), age: 1, adopted: true},
		{name: "talking", room: phoneIn("active"), age: 3600, adopted: true},
		{name: "the phone has left", room: call.Room{Agent: true}, age: 50},
		{name: "the phone has left and lingers", room: phoneIn("hangup"), age: 50},
		{name: "somebody else's trunk", room: foreign, age: 50},
		{name: "hidden numbers", room: hidden, age: 50},
		{name: "the workflows are down", room: phoneIn("ringing"), age: 1, stuck: true, failures: 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			db, w := storetest.Open(t, nil), &world{stuck: tt.stuck}
			addNumber(t, db)
			w.room, w.rooms = tt.room, []livekit.RoomInfo{came(tt.age), {Name: "support-_+14155550100_x", ID: "RM_2", CreatedAt: ago(50)}}
			task := withInbound(w.task(db), db, w)
			r, err := task.Run(t.Context())
			if err != nil || (r.Adopted == 1) != tt.adopted || r.Failures != tt.failures || len(w.deleted) != 0 {
				t.Errorf("%+v, %v, deleted %v", r, err, w.deleted)
			}
			id := call.InboundID("RM_1", ago(tt.age))
			c, err := db.Call(t.Context(), id)
			if made := err == nil; made != (tt.adopted || tt.failures > 0) || made && (c.UserID != "ada" || c.Status != call.Initiated || !c.CreatedAt.Equal(ago(tt.age))) {
				t.Errorf("call %+v, %v", c, err)
			}
			if want := map[bool][]string{true: {id}}[tt.adopted]; !slices.Equal(w.started, want) {
				t.Errorf("started %v, want %v", w.started, want)
			}
			if r, err := task.Run(t.Context()); r.Adopted != 0 || err != nil {
				t.Errorf("again: %+v, %v", r, err)
			}
		})
	}
}

// An inbound call whose workflow has died is swept like any other.
func TestInboundWithoutItsWorkflow(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		status call.Status
		age    int
		room   call.Room
		want   string // status and cause
	}{
		{"not started", call.Initiated, 31, phoneIn("ringing"), "initiated "},
		{"ringing", call.Ringing, 60, phoneIn("ringing"), "ringing "},
		{"talks, and nobody has noticed", call.Ringing, 91, phoneIn("active"), "in_progress "},
		{"rang, and is gone", call.Ringing, 91, call.Room{Agent: true}, "failed unknown"},
		{"rang, and the room is gone", call.Ringing, 91, call.Room{}, "ringing "},
		{"talks", call.InProgress, 600, phoneIn("active"), "in_progress "},
		{"talked, and is gone", call.InProgress, 600, call.Room{Agent: true}, "completed callee_hangup"},
		{"talked, and the agent is gone", call.InProgress, 600, call.Room{Callee: &call.Phone{Status: "active"}}, "completed agent_hangup"},
		{"overdue", call.InProgress, 14551, phoneIn("active"), "completed max_duration"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				db, w := storetest.Open(t, nil), &world{room: tt.room}
				room := came(tt.age)
				if !tt.room.Up() || !tt.room.Agent {
					room.Publishers = 1
				}
				w.rooms = []livekit.RoomInfo{room}
				c := call.Call{ID: call.InboundID(room.ID, room.CreatedAt), UserID: "ada", Direction: call.Inbound, RoomName: room.Name,
					RingingTimeout: 30, MaxDuration: 14400, Status: tt.status, CreatedAt: room.CreatedAt, DialedAt: room.CreatedAt}
				if tt.status == call.InProgress {
					c.AnsweredAt = room.CreatedAt
				}
				if _, err := db.CreateInbound(t.Context(), c, 0); err != nil {
					t.Fatal(err)
				}
				task := withInbound(w.task(db), db, w)
				r, err := task.Run(t.Context())
				after, readErr := db.Call(t.Context(), c.ID)
				if got := fmt.Sprint(after.Status, " ", after.Cause); err != nil || readErr != nil || got != tt.want || r.Adopted != 0 {
					t.Errorf("%s, want %s; %+v, %v, %v", got, tt.want, r, err, readErr)
				}
				if ended := after.Status.Ended(); slices.Contains(w.deleted, room.Name) != ended {
					t.Errorf("deleted %v", w.deleted)
				}
				if (len(w.started) == 1) != (tt.status == call.Initiated) {
					t.Errorf("started %v", w.started)
				}
			})
		})
	}
}

// The room of an inbound call that has ended is deleted like an outbound call's.
func TestInboundOrphan(t *testing.T) {
	t.Parallel()
	for age, goes := range map[int]bool{0: true, 60: true, 180: true} {
		db, w := storetest.Open(t, nil), &world{rooms: []livekit.RoomInfo{came(age)}}
		c := call.Call{ID: call.InboundID("RM_1", ago(age)), UserID: "ada", Direction: call.Inbound, Status: call.Completed, CreatedAt: ago(age)}
		if _, err := db.CreateInbound(t.Context(), c, 0); err != nil {
			t.Fatal(err)
		}
		r, err := withInbound(w.task(db), db, w).Run(t.Context())
		if err != nil || (r.Orphans == 1) != goes || (len(w.deleted) == 1) != goes {
			t.Errorf("%d s old: %+v, %v, deleted %v", age, r, err, w.deleted)
		}
	}
}

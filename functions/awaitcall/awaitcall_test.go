package awaitcall_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/krosai/telephony/functions/awaitcall"
	"github.com/krosai/telephony/shared/call"
	"github.com/krosai/telephony/shared/fault"
	"github.com/krosai/telephony/shared/store/storetest"
	"github.com/krosai/telephony/shared/teardown"
)

const id = "call_01KAMPJ5V0SAMPMECA00000000"

var t0 = time.Date(2026, 11, 22, 9, 30, 0, 0, time.UTC)

// room is LiveKit with one room in it.
type room struct {
	call.Room
	err     error
	deleted int
}

func (r *room) ReadRoom(context.Context, string) (call.Room, error) { return r.Room, r.err }

func (r *room) DeleteRoom(context.Context, string) error {
	r.deleted++
	return r.err
}

// tokens are the task tokens that CallEnded received.
type tokens []string

func (f *tokens) CallEnded(_ context.Context, token string) error {
	*f = append(*f, token)
	return nil
}

// answered creates a call that was answered a minute after t0.
func answered(t *testing.T, db *storetest.Database) call.Call {
	t.Helper()
	c := call.Call{ID: id, UserID: "ada", RoomName: id, Country: "US", Status: call.Initiated, CreatedAt: t0,
		RingingTimeout: 30, MaxDuration: 600}
	if err := db.Place(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	c, err := db.Advance(t.Context(), id, call.InProgress, t0.Add(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestRun(t *testing.T) {
	t.Parallel()
	up := call.Room{Agent: true, Callee: &call.Phone{Status: "active"}}
	for _, tt := range []struct {
		name  string
		room  room
		ended bool // before the task runs
		lost  int  // replies of the database that are lost
		kept  string
		told  tokens
		want  string
	}{
		{name: "on the line", room: room{Room: up}, kept: "token", want: "in_progress "},
		{name: "on the line, the database's answer is lost", room: room{Room: up}, lost: 1, kept: "token", want: "in_progress "},
		{name: "ended already", room: room{Room: up}, ended: true, kept: "token", told: tokens{"token"}, want: "completed agent_hangup"},
		{name: "the phone has left", room: room{Room: call.Room{Agent: true}}, kept: "token", want: "completed callee_hangup"},
		{name: "the phone hangs up and lingers", room: room{Room: call.Room{Callee: &call.Phone{Status: "hangup"}}}, kept: "token", want: "completed callee_hangup"},
		{name: "nobody is there, and who left is for others to say", kept: "token", want: "in_progress "},
		{name: "LiveKit is silent: the call goes on", room: room{err: fault.Unavailable("LiveKit", nil)}, kept: "token", want: "in_progress "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			db, told := storetest.Open(t, nil), tokens(nil)
			c := answered(t, db)
			if tt.ended {
				if _, err := db.EndCall(t.Context(), c, call.End{Status: call.Completed, Cause: call.AgentHangup, At: t0.Add(2 * time.Minute)}); err != nil {
					t.Fatal(err)
				}
			}
			now := func() time.Time { return t0.Add(2 * time.Minute) }
			db.LoseReplies(tt.lost)
			task := &awaitcall.Task{Calls: db, Workflow: &told, Now: now, Log: slog.New(slog.DiscardHandler),
				Teardown: &teardown.Ender{Calls: db, Rooms: &tt.room, Now: now}}
			if err := task.Run(t.Context(), awaitcall.Input{CallID: id, TaskToken: "token"}); err != nil {
				t.Error(err)
			}
			c, err := db.Call(t.Context(), id)
			if err != nil {
				t.Fatal(err)
			}
			kept, err := db.EndToken(t.Context(), id)
			if got := string(c.Status) + " " + string(c.Cause); err != nil || got != tt.want || kept != tt.kept {
				t.Errorf("%q with token %q, %v; want %q with %q", got, kept, err, tt.want, tt.kept)
			}
			if deleted := tt.room.deleted == 1; deleted != (c.Status.Ended() && !tt.ended) {
				t.Errorf("room deleted: %t", deleted)
			}
			if d := cmp.Diff(tt.told, told); d != "" {
				t.Errorf("tokens answered (-want +got):\n%s", d)
			}
		})
	}
}

func TestUnknownCall(t *testing.T) {
	t.Parallel()
	task := &awaitcall.Task{Calls: storetest.Open(t, nil)}
	if err := task.Run(t.Context(), awaitcall.Input{CallID: id, TaskToken: "token"}); !fault.Is(err, fault.NotFound) {
		t.Error(err)
	}
}

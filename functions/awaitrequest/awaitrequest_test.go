package awaitrequest_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/krosai/telephony/functions/awaitrequest"
	"github.com/krosai/telephony/shared/fault"
	"github.com/krosai/telephony/shared/number"
	"github.com/krosai/telephony/shared/numberrequest"
	"github.com/krosai/telephony/shared/store/storetest"
)

const id = "req_01KAMPJ5V0SAMPMECA00000000"

var t0 = time.Date(2026, 11, 22, 9, 30, 0, 0, time.UTC)

// told lists the notifications that workflows received.
type told []string

func (f *told) RequestDecided(_ context.Context, token string) error {
	*f = append(*f, "decided "+token)
	return nil
}

func (f *told) NumberAvailable(_ context.Context, token string) error {
	*f = append(*f, "available "+token)
	return nil
}

func TestRun(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name      string
		what      string
		decided   *numberrequest.Decision
		inventory string // the country of an available number
		lost      int    // replies of the database that are lost
		kept      string // the stored token
		told      told
	}{
		{name: "nobody has decided", what: "decision", kept: "token"},
		{name: "nobody has decided, the database's answer is lost", what: "decision", lost: 1, kept: "token"},
		{name: "approved already", what: "decision", decided: &numberrequest.Decision{Approve: true, By: "root"}, told: told{"decided token"}},
		{name: "rejected already", what: "decision", decided: &numberrequest.Decision{By: "root"}, told: told{"decided token"}},
		{name: "none is available", what: "number", decided: &numberrequest.Decision{Approve: true, By: "root"}, kept: "token"},
		{name: "another kind is available", what: "number", decided: &numberrequest.Decision{Approve: true, By: "root"}, inventory: "GH", kept: "token"},
		{name: "one is available already", what: "number", decided: &numberrequest.Decision{Approve: true, By: "root"}, inventory: "NG", kept: "token", told: told{"available token"}},
		{name: "nothing to wait for", what: "number", decided: &numberrequest.Decision{By: "root"}, inventory: "NG", told: told{"available token"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			db, heard := storetest.Open(t, nil), told(nil)
			if _, _, err := db.CreateRequest(t.Context(), numberrequest.Request{ID: id, UserID: "ada", Country: "NG", CreatedAt: t0}); err != nil {
				t.Fatal(err)
			}
			if tt.decided != nil {
				if _, err := db.Decide(t.Context(), id, *tt.decided, t0); err != nil {
					t.Fatal(err)
				}
			}
			if tt.inventory != "" {
				n := number.Number{ID: number.ID("+23412345678"), E164: "+23412345678", Country: tt.inventory, Type: "local", UpdatedAt: t0}
				if err := db.AddNumber(t.Context(), n, "root"); err != nil {
					t.Fatal(err)
				}
			}
			db.LoseReplies(tt.lost)
			task := &awaitrequest.Task{Requests: db, Workflow: &heard}
			if err := task.Run(t.Context(), awaitrequest.Input{RequestID: id, What: tt.what, TaskToken: "token"}); err != nil {
				t.Error(err)
			}
			r, err := db.RequestByID(t.Context(), id)
			if err != nil || r.TaskToken != tt.kept {
				t.Errorf("token %q, want %q, %v", r.TaskToken, tt.kept, err)
			}
			if d := cmp.Diff(tt.told, heard); d != "" {
				t.Errorf("told (-want +got):\n%s", d)
			}
		})
	}
}

func TestRefuses(t *testing.T) {
	t.Parallel()
	task := &awaitrequest.Task{Requests: storetest.Open(t, nil), Workflow: new(told)}
	if err := task.Run(t.Context(), awaitrequest.Input{RequestID: id, What: "decision", TaskToken: "token"}); !fault.Is(err, fault.NotFound) {
		t.Errorf("unknown request: %v", err)
	}
	if err := task.Run(t.Context(), awaitrequest.Input{RequestID: id, What: "godot", TaskToken: "token"}); err == nil {
		t.Error("it waits for Godot")
	}
}

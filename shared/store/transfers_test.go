package store_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/krosai/telephony/shared/call"
	"github.com/krosai/telephony/shared/fault"
	"github.com/krosai/telephony/shared/store/storetest"
)

// talking makes a call that was answered at t0.
func talking(t *testing.T, db *storetest.Database, id string) call.Call {
	t.Helper()
	create(t, db, newCall(id))
	c, err := db.Advance(t.Context(), "call_"+id, call.InProgress, t0)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// begin begins a transfer of a call with its user's current permit.
func begin(t *testing.T, db *storetest.Database, callID string, tr call.Transfer) (call.Call, error) {
	t.Helper()
	c, err := db.Call(t.Context(), callID)
	if err != nil {
		t.Fatal(err)
	}
	c, _, err = db.BeginTransfer(t.Context(), c, permit(t, db, c.UserID, "US"), tr)
	return c, err
}

func pending(id string, at time.Time) call.Transfer {
	return call.Transfer{ID: "tr_" + id, To: "+14155550111", Status: call.TransferPending, At: at}
}

func outcome(t call.Transfer, s call.TransferStatus, sip int, at time.Time) call.Transfer {
	t.Status, t.SIPStatus, t.At = s, sip, at
	return t
}

// TestTransferIsRecorded: a failed transfer and then a completed one are recorded, although answers
// of the database are lost.
func TestTransferIsRecorded(t *testing.T) {
	t.Parallel()
	db, ctx := open(t), t.Context()
	c, may := talking(t, db, "1"), permit(t, db, "ada", "US")
	first := pending("1", t0.Add(time.Second))
	db.LoseReplies(1)
	c, hour, err := db.BeginTransfer(ctx, c, may, first)
	if d := cmp.Diff(first, c.Transfer); err != nil || d != "" || c.Transfers != 1 || hour.Used != 2 {
		t.Fatal(err, d, c.Transfers, hour)
	}
	first = outcome(first, call.TransferFailed, 603, t0.Add(2*time.Second))
	db.LoseReplies(1)
	c, err = db.FinishTransfer(ctx, "call_1", first)
	if d := cmp.Diff(first, c.Transfer); err != nil || d != "" {
		t.Fatal(err, d)
	}
	second := pending("2", t0.Add(3*time.Second))
	if c, err = begin(t, db, "call_1", second); err != nil || c.Transfer != second {
		t.Fatal(err, c.Transfer)
	}
	second = outcome(second, call.TransferCompleted, 200, t0.Add(4*time.Second))
	if c, err = db.FinishTransfer(ctx, "call_1", second); err != nil || c.Transfer != second {
		t.Fatal(err, c.Transfer)
	}
	if c, err = db.FinishTransfer(ctx, "call_1", outcome(second, call.TransferFailed, 486, t0.Add(5*time.Second))); err != nil || c.Transfer != second {
		t.Errorf("a second outcome: %v, %v", c.Transfer, err)
	}
	full, err := db.CallWithDetails(ctx, "call_1")
	if err != nil || full.Transfer != c.Transfer {
		t.Error(err, full.Transfer)
	}
	got, err := db.CallDetails(ctx, "ada", "call_1", false)
	if d := cmp.Diff(full, got.Call); err != nil || d != "" {
		t.Error(err, d)
	}
	want := []call.Event{{At: t0, Name: "answered"}, {At: first.At, Name: "transfer", Detail: "failed"}, {At: second.At, Name: "transfer", Detail: "completed"}}
	if d := cmp.Diff(want, got.Events); d != "" {
		t.Errorf("timeline (-want +got):\n%s", d)
	}
}

func TestWhatCannotBeTransferred(t *testing.T) {
	t.Parallel()
	began := t0.Add(time.Second)
	for _, tt := range []struct {
		name  string
		setUp func(t *testing.T, db *storetest.Database)
		at    time.Time
		code  string
	}{
		{"never was", func(*testing.T, *storetest.Database) {}, began, "NOT_FOUND"},
		{"ringing", func(t *testing.T, db *storetest.Database) {
			create(t, db, newCall("1"))
			if _, err := db.Advance(t.Context(), "call_1", call.Ringing, t0); err != nil {
				t.Fatal(err)
			}
		}, began, "CALL_NOT_ACTIVE"},
		{"ended", func(t *testing.T, db *storetest.Database) {
			if _, err := db.EndCall(t.Context(), talking(t, db, "1"), call.End{Status: call.Completed, Cause: call.CalleeHangup, At: t0}); err != nil {
				t.Fatal(err)
			}
		}, began, "CALL_NOT_ACTIVE"},
		{"being hung up", func(t *testing.T, db *storetest.Database) {
			talking(t, db, "1")
			if _, _, err := db.RequestHangup(t.Context(), "ada", "call_1", t0); err != nil {
				t.Fatal(err)
			}
		}, began, "CALL_NOT_ACTIVE"},
		{"being transferred", transferring(""), began.Add(call.TransferLimit - time.Millisecond), "TRANSFER_IN_PROGRESS"},
		{"given up", transferring(""), began.Add(call.TransferLimit), "<nil>"},
		{"refused before", transferring(call.TransferFailed), began, "<nil>"},
		{"unclear before", transferring(call.TransferUnknown), began, "<nil>"},
		{"transferred before", transferring(call.TransferCompleted), began, "CALL_NOT_ACTIVE"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			db := open(t)
			tt.setUp(t, db)
			before, _ := db.Call(t.Context(), "call_1")
			_, _, err := db.BeginTransfer(t.Context(), call.Call{ID: "call_1", UserID: "ada"}, permit(t, db, "ada", "US"), pending("2", tt.at))
			if got := codeOf(err); got != tt.code {
				t.Errorf("%v, want %s", err, tt.code)
			}
			if after, _ := db.Call(t.Context(), "call_1"); err != nil && !cmp.Equal(before, after) {
				t.Errorf("the call changed: %s", cmp.Diff(before, after))
			}
		})
	}
}

// transferring sets up a call whose transfer began at t0 + 1 s. With a status, the transfer has
// finished with it.
func transferring(s call.TransferStatus) func(t *testing.T, db *storetest.Database) {
	return func(t *testing.T, db *storetest.Database) {
		t.Helper()
		talking(t, db, "1")
		p := pending("1", t0.Add(time.Second))
		if _, err := begin(t, db, "call_1", p); err != nil {
			t.Fatal(err)
		}
		if s == "" {
			return
		}
		if _, err := db.FinishTransfer(t.Context(), "call_1", outcome(p, s, 0, t0.Add(time.Second))); err != nil {
			t.Fatal(err)
		}
	}
}

func TestOneTransferAtATime(t *testing.T) {
	t.Parallel()
	db, ctx := open(t), t.Context()
	c, may := talking(t, db, "1"), permit(t, db, "ada", "US")
	codes := race(50, func(i int) error {
		_, _, err := db.BeginTransfer(ctx, c, may, pending(fmt.Sprint(i), t0.Add(time.Duration(i)*time.Millisecond)))
		return err
	})
	if d := cmp.Diff(map[string]int{"admitted": 1, "TRANSFER_IN_PROGRESS": 49}, codes); d != "" {
		t.Error(d)
	}
}

// TestHangUpDuringTransfer: LiveKit reports a transfer as completed if the call was hung up in
// the meantime.
func TestHangUpDuringTransfer(t *testing.T) {
	t.Parallel()
	db, ctx := open(t), t.Context()
	transferring("")(t, db)
	c, _, err := db.RequestHangup(ctx, "ada", "call_1", t0.Add(2*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	done := outcome(c.Transfer, call.TransferCompleted, 200, t0.Add(3*time.Second))
	if c, err = db.FinishTransfer(ctx, "call_1", done); err != nil || c.Transfer.Status != call.TransferUnknown || c.Transfer.SIPStatus != 0 {
		t.Errorf("hang-up asked for: %+v, %v", c.Transfer, err)
	}

	talking(t, db, "2")
	p := pending("2", t0)
	if c, err = begin(t, db, "call_2", p); err != nil {
		t.Fatal(err)
	}
	if _, err := db.EndCall(ctx, c, call.End{Status: call.Completed, Cause: call.MaxDuration, At: t0.Add(time.Second)}); err != nil {
		t.Fatal(err)
	}
	if c, err = db.FinishTransfer(ctx, "call_2", outcome(p, call.TransferCompleted, 200, t0.Add(2*time.Second))); err != nil ||
		c.Transfer.Status != call.TransferUnknown || c.Cause != call.MaxDuration {
		t.Errorf("ended meanwhile: %+v, %s, %v", c.Transfer, c.Cause, err)
	}
	details, err := db.CallDetails(ctx, "ada", "call_2", false)
	events := details.Events
	if err != nil || events[len(events)-1] != (call.Event{At: t0.Add(2 * time.Second), Name: "transfer", Detail: "unknown"}) {
		t.Errorf("timeline %v, %v", events, err)
	}
}

// TestEndOverlooksNoTransfer: an end that was decided before a transfer began, or before its
// outcome was known, must be decided again.
func TestEndOverlooksNoTransfer(t *testing.T) {
	t.Parallel()
	db, ctx := open(t), t.Context()
	before := talking(t, db, "1")
	p := pending("1", t0)
	during, err := begin(t, db, "call_1", p)
	if err != nil {
		t.Fatal(err)
	}
	end := call.End{Status: call.Completed, Cause: call.CalleeHangup, At: t0}
	if now, err := db.EndCall(ctx, before, end); !fault.Is(err, fault.Conflict) || now.Transfer != p {
		t.Errorf("begun since: %+v, %v", now.Transfer, err)
	}
	after, err := db.FinishTransfer(ctx, "call_1", outcome(p, call.TransferCompleted, 200, t0))
	if err != nil {
		t.Fatal(err)
	}
	if now, err := db.EndCall(ctx, during, end); !fault.Is(err, fault.Conflict) || now.Transfer.Status != call.TransferCompleted {
		t.Errorf("completed since: %+v, %v", now.Transfer, err)
	}
	if now, err := db.EndCall(ctx, after, end); err != nil || !now.Status.Ended() {
		t.Errorf("%s, %v", now.Status, err)
	}
}

package call

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestEndOfTransferredCall checks how a call ends after its phone has left, for each outcome of its
// transfer at t0.
func TestEndOfTransferredCall(t *testing.T) {
	t.Parallel()
	hangup, silence := Leave{Reason: "CLIENT_INITIATED", Status: "hangup"}, Leave{Status: "hangup"}
	for _, tt := range []struct {
		name   string
		status TransferStatus
		leave  Leave
		after  time.Duration
		asked  bool // a hangup was requested
		cause  Cause
	}{
		{"transferred", TransferCompleted, hangup, time.Second, false, Transferred},
		{"transferred, found later", TransferCompleted, Leave{}, time.Minute, false, Transferred},
		{"transferred, then a hang-up", TransferCompleted, hangup, time.Second, true, Transferred},
		{"transferred, found after the maximum", TransferCompleted, Leave{}, time.Hour, false, Transferred},
		{"refused, hung up at once", TransferFailed, hangup, time.Second, false, CalleeHangup},
		{"unknown, left at once", TransferUnknown, hangup, time.Second, false, Unknown},
		{"unknown, the room was deleted", TransferUnknown, Leave{"ROOM_DELETED", "active"}, time.Second, false, Unknown},
		{"unknown, left within a minute", TransferUnknown, hangup, 59 * time.Second, false, Unknown},
		{"unknown, left after a minute", TransferUnknown, hangup, 60 * time.Second, false, CalleeHangup},
		{"unknown, looked for after a minute", TransferUnknown, silence, 60 * time.Second, false, Unknown},
		{"unknown, looked for after two", TransferUnknown, silence, 120 * time.Second, false, CalleeHangup},
		{"unknown, hung up by a user", TransferUnknown, Leave{}, time.Second, true, APIHangup},
		{"unknown, the maximum is over", TransferUnknown, Leave{}, time.Hour, false, MaxDuration},
		{"nobody wrote the outcome down", TransferPending, hangup, 89 * time.Second, false, Unknown},
		{"nobody wrote the outcome down, long ago", TransferPending, hangup, 90 * time.Second, false, CalleeHangup},
		{"none", "", hangup, time.Second, false, CalleeHangup},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := Call{AnsweredAt: t0, MaxDuration: 600, Transfer: Transfer{Status: tt.status, At: t0}}
			if tt.asked {
				c.HangupRequested = t0
			}
			want := End{Status: Completed, Cause: tt.cause, SIPStatus: 200, At: t0.Add(min(tt.after, 10*time.Minute))}
			if d := cmp.Diff(want, c.PhoneLeft(tt.leave, t0.Add(tt.after))); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

func TestTransferring(t *testing.T) {
	t.Parallel()
	for status, want := range map[TransferStatus]bool{"": false, TransferPending: true, TransferCompleted: false, TransferFailed: false, TransferUnknown: false} {
		c := Call{Transfer: Transfer{Status: status, At: t0}}
		if got := c.Transferring(t0.Add(TransferLimit - 1)); got != want {
			t.Errorf("%q: %t", status, got)
		}
		if c.Transferring(t0.Add(TransferLimit)) {
			t.Errorf("%q is under way for ever", status)
		}
	}
}

package call

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var t0 = time.Date(2026, 11, 22, 9, 30, 0, 0, time.UTC)

func TestDialRefused(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		a      Attempt
		status Status
		cause  Cause
	}{
		{"busy", Attempt{SIPStatus: 486, Rang: true, Certain: true}, Busy, CalleeBusy},
		{"busy everywhere", Attempt{SIPStatus: 600, Certain: true}, Busy, CalleeBusy},
		{"declined", Attempt{SIPStatus: 603, Certain: true}, Busy, Declined},
		{"unavailable", Attempt{SIPStatus: 480, Certain: true}, NoAnswer, Unanswered},
		{"carrier's time-out", Attempt{SIPStatus: 408, Certain: true}, NoAnswer, Unanswered},
		{"no such number", Attempt{SIPStatus: 404, Certain: true}, Failed, InvalidNumber},
		{"incomplete number", Attempt{SIPStatus: 484, Certain: true}, Failed, InvalidNumber},
		{"forbidden", Attempt{SIPStatus: 403, Certain: true}, Failed, TrunkAuth},
		{"wrong password", Attempt{SIPStatus: 407, Certain: true}, Failed, TrunkAuth},
		{"carrier down", Attempt{SIPStatus: 503, Certain: true}, Failed, TrunkUnreachable},
		{"no credit", Attempt{SIPStatus: 402, Certain: true}, Failed, TrunkAuth},
		{"no credentials given", Attempt{SIPStatus: 401, Certain: true}, Failed, TrunkAuth},
		{"no anonymous calls", Attempt{SIPStatus: 433, Certain: true}, Busy, Declined},
		{"unwanted", Attempt{SIPStatus: 607, Certain: true}, Busy, Declined},
		{"screened", Attempt{SIPStatus: 608, Certain: true}, Busy, Declined},
		{"ambiguous", Attempt{SIPStatus: 485, Certain: true}, Failed, InvalidNumber},
		{"no INVITE there", Attempt{SIPStatus: 405, Certain: true}, Failed, TrunkUnreachable},
		{"no audio like that", Attempt{SIPStatus: 415, Certain: true}, Failed, TrunkUnreachable},
		{"no audio in common", Attempt{SIPStatus: 488, Certain: true}, Failed, TrunkUnreachable},
		{"no audio in common anywhere", Attempt{SIPStatus: 606, Certain: true}, Failed, TrunkUnreachable},
		{"moved", Attempt{SIPStatus: 302, Certain: true}, Failed, TrunkUnreachable},
		{"several choices", Attempt{SIPStatus: 300, Certain: true}, Failed, TrunkUnreachable},
		{"rang to the end", Attempt{Rang: true, Certain: true}, NoAnswer, Unanswered},
		{"nothing came back", Attempt{Certain: true}, Failed, TrunkUnreachable},
		{"an odd refusal", Attempt{SIPStatus: 420, Certain: true}, Failed, Unknown},
		{"nobody knows", Attempt{Rang: true}, Failed, Unknown},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			want := End{Status: tt.status, Cause: tt.cause, SIPStatus: tt.a.SIPStatus, At: t0}
			if tt.a.SIPStatus == 608 {
				want.Detail = "rejected_by_screening"
			}
			if d := cmp.Diff(want, Call{}.DialRefused(tt.a, t0)); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
			want = End{Status: Canceled, Cause: APIHangup, At: t0}
			if d := cmp.Diff(want, Call{HangupRequested: t0}.DialRefused(tt.a, t0)); d != "" {
				t.Errorf("after a hang-up (-want +got):\n%s", d)
			}
		})
	}
}

func TestPhoneLeft(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		leave Leave
		after time.Duration
		cause Cause
	}{
		{"callee hung up", Leave{"CLIENT_INITIATED", "hangup"}, 5 * time.Second, CalleeHangup},
		{"callee hung up, seen late", Leave{"CONNECTION_TIMEOUT", "hangup"}, 5 * time.Second, CalleeHangup},
		{"agent deleted the room", Leave{"ROOM_DELETED", "active"}, 5 * time.Second, AgentHangup},
		{"agent removed the phone", Leave{"PARTICIPANT_REMOVED", "active"}, 5 * time.Second, AgentHangup},
		{"no sound for 30 s", Leave{"CLIENT_INITIATED", "active"}, 35 * time.Second, NetworkError},
		{"callee hung up before LiveKit said so", Leave{"CLIENT_INITIATED", "active"}, time.Second, CalleeHangup},
		{"LiveKit lost it", Leave{"CONNECTION_TIMEOUT", "active"}, 5 * time.Second, NetworkError},
		{"LiveKit stopped", Leave{"SERVER_SHUTDOWN", "active"}, 5 * time.Second, NetworkError},
		{"the trunk failed", Leave{"SIP_TRUNK_FAILURE", "active"}, 5 * time.Second, NetworkError},
		{"the trunk failed and hung up", Leave{"SIP_TRUNK_FAILURE", "hangup"}, 5 * time.Second, NetworkError},
		{"nothing was said", Leave{}, 5 * time.Second, Unknown},
		{"maximum", Leave{"CLIENT_INITIATED", "hangup"}, time.Minute, MaxDuration},
		{"maximum, by our clock nearly", Leave{"ROOM_DELETED", "active"}, 59500 * time.Millisecond, MaxDuration},
		{"found long after", Leave{}, time.Hour, MaxDuration},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := Call{AnsweredAt: t0, MaxDuration: 60}
			want := End{Status: Completed, Cause: tt.cause, SIPStatus: 200, At: t0.Add(min(tt.after, time.Minute))}
			if d := cmp.Diff(want, c.PhoneLeft(tt.leave, t0.Add(tt.after))); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
			c.HangupRequested = t0
			want.Cause = APIHangup
			if d := cmp.Diff(want, c.PhoneLeft(tt.leave, t0.Add(tt.after))); d != "" {
				t.Errorf("after a hang-up (-want +got):\n%s", d)
			}
		})
	}
	if at := (Call{AnsweredAt: t0, MaxDuration: 60}).PhoneLeft(Leave{}, t0.Add(-time.Second)).At; at != t0 {
		t.Errorf("ended at %v, before it was answered", at)
	}
}

// TestAnswered checks that LiveKit's own time of the answer counts if it is plausible.
func TestAnswered(t *testing.T) {
	t.Parallel()
	dialed, seen := t0.Add(10*time.Second), t0.Add(20*time.Second)
	for name, tt := range map[string]struct {
		phone *Phone
		want  time.Time
	}{
		"told":                 {&Phone{AnsweredAt: t0.Add(15 * time.Second)}, t0.Add(15 * time.Second)},
		"at the dial":          {&Phone{AnsweredAt: dialed}, dialed},
		"as it was seen":       {&Phone{AnsweredAt: seen}, seen},
		"before the dial":      {&Phone{AnsweredAt: dialed.Add(-time.Millisecond)}, seen},
		"before the call":      {&Phone{AnsweredAt: t0.Add(-time.Hour)}, seen},
		"after it was seen":    {&Phone{AnsweredAt: seen.Add(time.Millisecond)}, seen},
		"not told":             {&Phone{}, seen},
		"no phone in the room": {nil, seen},
	} {
		if got := (Call{CreatedAt: t0, DialedAt: dialed}).Answered(tt.phone, seen); !got.Equal(tt.want) {
			t.Errorf("%s: %v, want %v", name, got, tt.want)
		}
	}
	if got := (Call{CreatedAt: t0}).Answered(&Phone{AnsweredAt: t0.Add(time.Second)}, seen); !got.Equal(t0.Add(time.Second)) {
		t.Errorf("a call that nobody dialed: %v", got)
	}
}

func TestStatusOnlyMovesForward(t *testing.T) {
	t.Parallel()
	order := []Status{Initiated, Dialing, Ringing, InProgress, Completed}
	for i, from := range order {
		for j, to := range order {
			if got := from.Before(to); got != (i < j) {
				t.Errorf("%s before %s: %t", from, to, got)
			}
		}
	}
	for _, s := range []Status{Completed, Busy, NoAnswer, Failed, Canceled} {
		if !s.Ended() || s.Before(Completed) {
			t.Errorf("%s is not an end", s)
		}
	}
}

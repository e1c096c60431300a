package transfercall_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/call"
	"github.com/krosai/telephony/shared/fault"
	"github.com/krosai/telephony/shared/livekit"
)

// declining is a phone whose carrier declines every transfer, so that the call goes on.
type declining struct{ refers int }

func (*declining) ReadRoom(context.Context, string) (call.Room, error) {
	return call.Room{Agent: true, Callee: &call.Phone{Identity: call.CalleeIdentity, Status: "active"}}, nil
}

func (*declining) DeleteRoom(context.Context, string) error { return nil }

func (d *declining) Transfer(context.Context, string, string, string, time.Duration) (livekit.Transferred, error) {
	d.refers++
	return livekit.Transferred{}, &livekit.TransferError{Code: livekit.TransferRejected, SIPStatus: 603, Err: errors.New("declined")}
}

// TestTransfersAreLimited asks for 120 transfers. Each transfer that the carrier is asked for
// counts as one of the hour's calls and of the calls to its number, and a call has at most five.
func TestTransfersAreLimited(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		calls   int // talking at the time
		numbers int // targets, asked for in turn
		policy  account.Policy
		want    map[string]int // answers by outcome, with the quota and the rest of the limit that is reached
		refers  int
	}{
		"of one call": {calls: 1, numbers: 120, refers: 5,
			want: map[string]int{"OK failed": 5, "Conflict TRANSFER_LIMIT_REACHED": 115}},
		"of an hour": {calls: 24, numbers: 120, refers: 76, // the calls themselves are the other 24
			want: map[string]int{"OK failed": 76, "Too Many Requests RATE_LIMIT_EXCEEDED calls 100 0": 44}},
		"to one number": {calls: 24, numbers: 1, refers: 5,
			want: map[string]int{"OK failed": 5, "Too Many Requests RATE_LIMIT_EXCEEDED calls_to_number 5 0": 115}},
		"by a policy": {calls: 24, numbers: 120, policy: account.Policy{CallsPerHour: 30}, refers: 6,
			want: map[string]int{"OK failed": 6, "Too Many Requests RATE_LIMIT_EXCEEDED calls 30 0": 114}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			carrier := &declining{}
			b.endpoint.Phone = carrier
			b.endpoint.Teardown.Rooms = carrier
			p := tt.policy
			p.AllowedCountries, p.CallsEnabled, p.MaxConcurrentCalls, p.CallsPerDestination = []string{"NG"}, true, 100, 5
			p.MinutesPerDay = 1000
			b.Must(b.PutPolicy(t.Context(), "ada", p))
			ids := []string{callID} // newBench's own
			for i := range tt.calls - 1 {
				ids = append(ids, fmt.Sprintf("call_01KAMPJ5V0SAMPMECB%08d", i))
				b.talk(ids[i+1], fmt.Sprintf("+23480100%05d", i))
			}
			got := map[string]int{}
			for i := range 120 {
				a := b.ask(ids[i%len(ids)], fmt.Sprintf(`{"phone_number":"+23480200%05d"}`, i%tt.numbers))
				outcome := outcome(a)
				if a.Status == http.StatusTooManyRequests {
					outcome += limitOf(a.Header)
				}
				got[outcome]++
			}
			if d := cmp.Diff(tt.want, got); d != "" || carrier.refers != tt.refers {
				t.Errorf("the carrier was asked %d times, want %d; answers (-want +got):\n%s", carrier.refers, tt.refers, d)
			}
		})
	}
}

// talk records another call of ada's that is in progress.
func (b *bench) talk(callID, to string) {
	b.Helper()
	c := b.record()
	c.ID, c.RoomName, c.Remote, c.MaxDuration = callID, callID, to, 60
	b.Must(b.Place(b.Context(), c))
}

// limitOf returns the limit that an answer reports as reached, its quota and its rest.
func limitOf(h http.Header) string {
	if h.Get("Retry-After") == "" {
		return " without Retry-After"
	}
	for _, name := range []string{"calls_to_number", "calls"} {
		var left, seconds int
		if _, told, ok := strings.Cut(h.Get("RateLimit"), `"`+name+`";`); ok {
			if _, err := fmt.Sscanf(told, "r=%d;t=%d", &left, &seconds); err == nil && left == 0 {
				return fmt.Sprintf(" %s %s %s", name, h.Get("X-RateLimit-Limit"), h.Get("X-RateLimit-Remaining"))
			}
		}
	}
	return " without its limit"
}

// TestCompletedTransferIsCounted checks that a completed transfer counts as one of the calls to its
// target, although it ends the call here.
func TestCompletedTransferIsCounted(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	if a := b.transfer(); outcome(a) != "OK completed" {
		t.Fatal(a.Text)
	}
	p := account.DefaultPolicy()
	p.AllowedCountries, p.MaxConcurrentCalls = []string{"US"}, 100 // no other limit is reached
	b.Must(b.PutPolicy(t.Context(), "ada", p))
	for i := range 5 {
		c := b.record()
		c.ID, c.RoomName = fmt.Sprintf("call_01KAMPJ5V0SAMPMECC%08d", i), fmt.Sprint("room-", i)
		c.Remote, c.MaxDuration, c.Status, c.CreatedAt = target, 60, call.Initiated, now
		err := b.Place(t.Context(), c)
		f, _ := errors.AsType[*fault.Error](err)
		if limited := f != nil && f.Code == "RATE_LIMIT_EXCEEDED"; limited != (i == 4) {
			t.Errorf("call %d to the number of the transfer: %v", i+1, err)
		}
	}
}

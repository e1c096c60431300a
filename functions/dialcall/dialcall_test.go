package dialcall_test

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/krosai/telephony/functions/dialcall"
	"github.com/krosai/telephony/shared/call"
	"github.com/krosai/telephony/shared/livekit"
	"github.com/krosai/telephony/shared/number"
	"github.com/krosai/telephony/shared/store/storetest"
	"github.com/krosai/telephony/shared/teardown"
	"github.com/krosai/telephony/shared/validate/carrier"
	"github.com/krosai/telephony/shared/validate/carrier/carriertest"
)

const (
	id    = "call_01KAMPJ5V0SAMPMECA00000000"
	never = time.Hour
)

// phone is LiveKit with one callee, whose phone joins the room, rings and is answered at these
// times after the dial. Deleting the room ends the dial, as in LiveKit.
type phone struct {
	joins, rings, answers time.Duration
	keys                  time.Duration // how long sending the digits takes
	fails                 error         // the error of the dial, at answers
	tells                 time.Duration // the answer's time after the dial by LiveKit's clock, or 0 if LiveKit has none
	onLook                func()

	mu      sync.Mutex
	start   time.Time
	dials   []livekit.Dial
	looks   []time.Duration // times after the dial at which the room was read
	deletes []time.Duration
	gone    chan struct{}
}

func (p *phone) Dial(ctx context.Context, d livekit.Dial) (string, error) {
	gone := make(chan struct{})
	p.mu.Lock()
	p.dials, p.start, p.gone = append(p.dials, d), time.Now(), gone
	p.mu.Unlock()
	select {
	case <-time.After(min(p.answers, d.RingingTimeout)):
	case <-gone:
		return "", &livekit.DialError{Code: livekit.DialNoAnswer, Certain: true}
	case <-ctx.Done():
		return "", &livekit.DialError{Code: livekit.DialUnclear, Err: ctx.Err()}
	}
	if p.fails == nil && p.answers > d.RingingTimeout {
		return "", &livekit.DialError{Code: livekit.DialNoAnswer, Certain: true}
	}
	select {
	case <-time.After(p.keys):
	case <-ctx.Done():
		return "", &livekit.DialError{Code: livekit.DialUnclear, Err: ctx.Err()}
	}
	return "PA_1", p.fails
}

func (p *phone) ReadRoom(context.Context, string) (call.Room, error) {
	if p.onLook != nil {
		p.onLook()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	since := time.Since(p.start)
	if since >= p.answers { // the dial has returned
		callee := &call.Phone{Status: "active"}
		if p.tells != 0 {
			callee.AnsweredAt = p.start.Add(p.tells)
		}
		return call.Room{Agent: true, Callee: callee}, nil
	}
	p.looks = append(p.looks, since)
	switch {
	case since < p.joins:
		return call.Room{Agent: true}, nil
	case since < p.rings:
		return call.Room{Agent: true, Callee: &call.Phone{Status: "dialing"}}, nil
	}
	return call.Room{Agent: true, Callee: &call.Phone{Status: "ringing"}}, nil
}

func (p *phone) DeleteRoom(context.Context, string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.deletes = append(p.deletes, time.Since(p.start))
	if p.gone != nil && time.Since(p.start) >= p.joins {
		close(p.gone)
		p.gone = nil
	}
	return nil
}

// bench is a call that is ready to be dialed. It must be created in a bubble.
type bench struct {
	*testing.T
	db   *storetest.Database
	task *dialcall.Task
}

func newBench(t *testing.T, p *phone, ringing int, change ...func(*call.Call)) bench {
	t.Helper()
	db := storetest.Open(t, nil)
	c := call.Call{ID: id, UserID: "ada", Direction: call.Outbound, Remote: "+14155550100", Own: "+2348012345678",
		NumberID: number.ID("+2348012345678"), RoomName: id, TrunkID: "ST_1", Country: "US", RingingTimeout: ringing, MaxDuration: 600, Status: call.Initiated, CreatedAt: time.Now()}
	for _, f := range change {
		f(&c)
	}
	own := number.Number{ID: c.NumberID, E164: c.Own, Country: "US", UserID: c.UserID, Trunk: &number.Trunk{Address: "sbc.acme.net", OutboundID: c.TrunkID}}
	if err := db.PutNumber(t.Context(), own); err != nil {
		t.Fatal(err)
	}
	b := bench{t, db, &dialcall.Task{Calls: db, Phone: p, Carriers: &carrier.Checker{Resolver: carriertest.Zone{}}, Now: time.Now, Log: slog.New(slog.DiscardHandler),
		Teardown: &teardown.Ender{Calls: db, Rooms: p, Now: time.Now}}}
	b.must(db.Place(t.Context(), c))
	return b
}

func (b bench) must(err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

func (b bench) dial(want string) {
	b.Helper()
	out, err := b.task.Run(b.Context(), dialcall.Input{CallID: id})
	if err != nil || out.Outcome != want {
		b.Errorf("%q, %v; want %q", out.Outcome, err, want)
	}
}

// wish records that the user wants the call to end. It does not act on it.
func (b bench) wish() call.Call {
	b.Helper()
	c, open, err := b.db.RequestHangup(b.Context(), "ada", id, time.Now())
	if b.must(err); !open {
		b.Fatal("the call has ended")
	}
	return c
}

func (b bench) hangUp() {
	b.Helper()
	_, err := b.task.Teardown.TakeDown(b.Context(), b.wish(), b.task.Teardown.HungUp)
	b.must(err)
}

func (b bench) ends(status call.Status, cause call.Cause, sip int) {
	b.Helper()
	c, err := b.db.Call(b.Context(), id)
	b.must(err)
	if c.Status != status || c.Cause != cause || c.SIPStatus != sip {
		b.Errorf("%s %q %d, want %s %q %d", c.Status, c.Cause, c.SIPStatus, status, cause, sip)
	}
}

func (b bench) timeline() (names []string) {
	b.Helper()
	details, err := b.db.CallDetails(b.Context(), "ada", id, false)
	b.must(err)
	for _, e := range details.Events {
		names = append(names, e.Name)
	}
	return names
}

func seconds(s ...float64) (d []time.Duration) {
	for _, x := range s {
		d = append(d, time.Duration(x*float64(time.Second)))
	}
	return d
}

// TestLooks checks what is dialed, when the room is read during the dial, and what is recorded.
func TestLooks(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name     string
		ringing  int
		phone    *phone
		outcome  string
		looks    []time.Duration
		timeline []string
		cause    call.Cause
	}{
		{
			name:     "nothing comes back in 5 s",
			ringing:  5,
			phone:    &phone{rings: never, answers: never},
			outcome:  "ended",
			looks:    seconds(.3, .7, 1.5, 3, 4.5),
			timeline: []string{"dialing", "ended"},
			cause:    call.TrunkUnreachable,
		},
		{
			name:     "nothing comes back in 30 s",
			ringing:  30,
			phone:    &phone{rings: never, answers: never},
			outcome:  "ended",
			looks:    seconds(.3, .7, 1.5, 3, 7, 15, 29.5),
			timeline: []string{"dialing", "ended"},
			cause:    call.TrunkUnreachable,
		},
		{
			name:     "nothing comes back in 80 s",
			ringing:  80,
			phone:    &phone{rings: never, answers: never},
			outcome:  "ended",
			looks:    seconds(.3, .7, 1.5, 3, 7, 15, 79.5),
			timeline: []string{"dialing", "ended"},
			cause:    call.TrunkUnreachable,
		},
		{
			name:     "rings at once, not answered",
			ringing:  30,
			phone:    &phone{answers: never},
			outcome:  "ended",
			looks:    seconds(.3),
			timeline: []string{"dialing", "ringing", "ended"},
			cause:    call.Unanswered,
		},
		{
			name:     "rings late, not answered",
			ringing:  30,
			phone:    &phone{rings: 2 * time.Second, answers: never},
			outcome:  "ended",
			looks:    seconds(.3, .7, 1.5, 3),
			timeline: []string{"dialing", "ringing", "ended"},
			cause:    call.Unanswered,
		},
		{
			name:     "rings at the last, not answered",
			ringing:  30,
			phone:    &phone{rings: 29 * time.Second, answers: never},
			outcome:  "ended",
			looks:    seconds(.3, .7, 1.5, 3, 7, 15, 29.5),
			timeline: []string{"dialing", "ringing", "ended"},
			cause:    call.Unanswered,
		},
		{name: "answered at once", ringing: 30, phone: &phone{}, outcome: "answered", timeline: []string{"dialing", "answered"}},
		{
			name:     "answered after 1 s",
			ringing:  30,
			phone:    &phone{rings: 500 * time.Millisecond, answers: time.Second},
			outcome:  "answered",
			looks:    seconds(.3, .7),
			timeline: []string{"dialing", "ringing", "answered"},
		},
		{
			name:     "answered after 10 s",
			ringing:  30,
			phone:    &phone{rings: 500 * time.Millisecond, answers: 10 * time.Second},
			outcome:  "answered",
			looks:    seconds(.3, .7),
			timeline: []string{"dialing", "ringing", "answered"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, tt.phone, tt.ringing)
				b.dial(tt.outcome)
				if d := cmp.Diff(tt.looks, tt.phone.looks); d != "" {
					t.Errorf("looks (-want +got):\n%s", d)
				}
				if d := cmp.Diff(tt.timeline, b.timeline()); d != "" {
					t.Errorf("timeline (-want +got):\n%s", d)
				}
				want := []livekit.Dial{{Room: id, TrunkID: "ST_1", To: "+14155550100", From: "+2348012345678",
					RingingTimeout: time.Duration(tt.ringing) * time.Second, MaxDuration: time.Duration(tt.ringing+600) * time.Second}}
				if d := cmp.Diff(want, tt.phone.dials); d != "" {
					t.Errorf("dials (-want +got):\n%s", d)
				}
				c, err := b.db.Call(t.Context(), id)
				b.must(err)
				if wantDeletes := min(1, len(tt.cause)); c.Cause != tt.cause || len(tt.phone.deletes) != wantDeletes {
					t.Errorf("cause %q, room deleted %d times; want %q, %d", c.Cause, len(tt.phone.deletes), tt.cause, wantDeletes)
				}
			})
		})
	}
}

// TestAnsweredAt checks that the talk begins when the phone was answered. LiveKit sends the digits
// before the dial returns, and that time belongs to the talk. LiveKit's own time of the answer
// counts if it is plausible.
func TestAnsweredAt(t *testing.T) {
	t.Parallel()
	const digits, keying, answers = "ww42#", 2560 * time.Millisecond, 5 * time.Second
	for name, tt := range map[string]struct {
		tells, want time.Duration // after the dial
	}{
		"LiveKit does not say":            {0, answers},
		"LiveKit says":                    {4987 * time.Millisecond, 4987 * time.Millisecond},
		"LiveKit's clock is a day behind": {-24 * time.Hour, answers},
		"LiveKit's clock is a day ahead":  {24 * time.Hour, answers},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := &phone{answers: answers, keys: keying, tells: tt.tells}
				b := newBench(t, p, 5, func(c *call.Call) { c.DTMF = digits })
				dialed := time.Now()
				b.dial("answered")
				c, err := b.db.Call(t.Context(), id)
				b.must(err)
				if got := c.AnsweredAt.Sub(dialed); got.Round(time.Millisecond) != tt.want || p.dials[0].DTMF != digits {
					t.Errorf("answered %v after the dial, which has the digits %q; want %v", got, p.dials[0].DTMF, tt.want)
				}
			})
		})
	}
}

// TestLooksEndWithTheRinging checks that the dial causes no more requests once the phone rings.
// From then on a hangup finds the phone in the room.
func TestLooksEndWithTheRinging(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, &phone{answers: 29 * time.Second}, 30)
		go func() {
			time.Sleep(400 * time.Millisecond)
			b.db.Trips()
			time.Sleep(28 * time.Second)
			if n := b.db.Trips(); n != 0 {
				t.Errorf("%d requests to the database while it rang", n)
			}
		}()
		b.dial("answered")
	})
}

func TestDialErrors(t *testing.T) {
	t.Parallel()
	sip := func(status int) *livekit.DialError {
		return &livekit.DialError{Code: livekit.DialSIP, SIPStatus: status, Certain: true}
	}
	certain := func(code string) *livekit.DialError { return &livekit.DialError{Code: code, Certain: true} }
	for _, tt := range []struct {
		name    string
		err     error
		rings   bool
		outcome string
		status  call.Status
		cause   call.Cause
		sip     int
	}{
		{name: "busy", err: sip(486), rings: true, outcome: "ended", status: call.Busy, cause: call.CalleeBusy, sip: 486},
		{name: "declined", err: sip(603), rings: true, outcome: "ended", status: call.Busy, cause: call.Declined, sip: 603},
		{name: "unavailable", err: sip(480), outcome: "ended", status: call.NoAnswer, cause: call.Unanswered, sip: 480},
		{name: "no such number", err: sip(404), outcome: "ended", status: call.Failed, cause: call.InvalidNumber, sip: 404},
		{name: "wrong password", err: sip(407), outcome: "ended", status: call.Failed, cause: call.TrunkAuth, sip: 407},
		{name: "carrier failure", err: sip(503), outcome: "ended", status: call.Failed, cause: call.TrunkUnreachable, sip: 503},
		{name: "rang to the end", err: certain(livekit.DialNoAnswer), rings: true, outcome: "ended", status: call.NoAnswer, cause: call.Unanswered},
		{name: "nothing came back", err: certain(livekit.DialNoAnswer), outcome: "ended", status: call.Failed, cause: call.TrunkUnreachable},
		{name: "no carrier there", err: certain(livekit.DialUnreachable), outcome: "ended", status: call.Failed, cause: call.TrunkUnreachable},
		{name: "trunk deleted", err: certain(livekit.DialNoTrunk), outcome: "ended", status: call.Failed, cause: call.TrunkUnreachable},
		{name: "LiveKit refuses", err: certain(livekit.DialRefused), outcome: "ended", status: call.Failed, cause: call.NetworkError},
		{name: "LiveKit not reached", err: certain(livekit.DialNotSent), outcome: "ended", status: call.Failed, cause: call.NetworkError},
		{name: "reply lost", err: &livekit.DialError{Code: livekit.DialUnclear}, outcome: "unclear", status: call.Dialing},
		{name: "reply lost after ringing", err: &livekit.DialError{Code: livekit.DialUnclear}, rings: true, outcome: "unclear", status: call.Ringing},
		{name: "an error of another kind", err: errors.New("?"), outcome: "unclear", status: call.Dialing},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := &phone{rings: never, answers: 2 * time.Second, fails: tt.err}
				if tt.rings {
					p.rings = 0
				}
				b := newBench(t, p, 30)
				b.dial(tt.outcome)
				b.ends(tt.status, tt.cause, tt.sip)
				if deleted := len(p.deletes) == 1; deleted != tt.status.Ended() {
					t.Errorf("room deleted: %t", deleted)
				}
			})
		})
	}
}

func TestOneDialInALife(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &phone{answers: time.Second}
		b := newBench(t, p, 30)
		var race sync.WaitGroup
		outcomes := make([]string, 5)
		for i := range outcomes {
			race.Go(func() {
				out, err := b.task.Run(t.Context(), dialcall.Input{CallID: id})
				if err != nil {
					t.Error(err)
				}
				outcomes[i] = out.Outcome
			})
		}
		race.Wait()
		b.dial("unclear") // the room shows the outcome
		answered := 0
		for _, o := range outcomes {
			if o == "answered" {
				answered++
			} else if o != "unclear" {
				t.Errorf("outcome %q", o)
			}
		}
		if answered != 1 || len(p.dials) != 1 || len(p.deletes) != 0 {
			t.Errorf("%d answered, %d dials, %d deletions", answered, len(p.dials), len(p.deletes))
		}
	})
}

// TestLostReply checks that a claim whose reply is lost is still the one claim when it is repeated.
func TestLostReply(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &phone{answers: time.Second}
		b := newBench(t, p, 30)
		b.db.LoseReplies(1)
		b.dial("answered")
		if len(p.dials) != 1 {
			t.Errorf("%d dials", len(p.dials))
		}
	})
}

func TestHangup(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		phone   *phone
		at      time.Duration // when the hangup comes after the dial; < 0 is before the dial
		how     func(bench)
		dials   int
		deletes []time.Duration
		status  call.Status
	}{
		{name: "before the dial", phone: &phone{}, at: -1, how: bench.hangUp, status: call.Canceled},
		{name: "before the dial, only written down", phone: &phone{}, at: -1, how: func(b bench) { b.wish() }, status: call.Canceled},
		{
			name:    "before the phone is in the room",
			phone:   &phone{joins: 200 * time.Millisecond, answers: never},
			at:      100 * time.Millisecond,
			how:     bench.hangUp,
			dials:   1,
			deletes: seconds(.3, .3),
			status:  call.Canceled,
		},
		{
			name:    "before a slow phone is in the room",
			phone:   &phone{joins: 6 * time.Second, rings: never, answers: never},
			at:      2 * time.Second,
			how:     bench.hangUp,
			dials:   1,
			deletes: seconds(6, 6),
			status:  call.Canceled,
		},
		{
			name:    "before a phone of which LiveKit says nothing for long",
			phone:   &phone{joins: 12 * time.Second, answers: never},
			at:      11 * time.Second,
			how:     bench.hangUp,
			dials:   1,
			deletes: seconds(11, 15, 15),
			status:  call.Canceled,
		},
		{
			name:    "while dialing",
			phone:   &phone{rings: never, answers: never},
			at:      400 * time.Millisecond,
			how:     bench.hangUp,
			dials:   1,
			deletes: seconds(.4, .4),
			status:  call.Canceled,
		},
		{
			name:    "while ringing",
			phone:   &phone{answers: never},
			at:      10 * time.Second,
			how:     bench.hangUp,
			dials:   1,
			deletes: seconds(10, 10),
			status:  call.Canceled,
		},
		{
			name:    "while dialing, only written down",
			phone:   &phone{rings: never, answers: never},
			at:      400 * time.Millisecond,
			how:     func(b bench) { b.wish() },
			dials:   1,
			deletes: seconds(.7, .7),
			status:  call.Canceled,
		},
		{
			name:    "as it is answered",
			phone:   &phone{joins: 10 * time.Second, answers: 10 * time.Second},
			at:      9 * time.Second,
			how:     bench.hangUp,
			dials:   1,
			deletes: seconds(10),
			status:  call.Canceled,
		},
		{
			name:    "as it is answered, only written down",
			phone:   &phone{answers: 10 * time.Second},
			at:      9 * time.Second,
			how:     func(b bench) { b.wish() },
			dials:   1,
			deletes: seconds(10),
			status:  call.Completed,
		},
		// The hangup dies after it deleted the room and before it ended the call.
		{
			name:  "while dialing, and died",
			phone: &phone{rings: never, answers: never},
			at:    100 * time.Millisecond,
			how: func(b bench) {
				b.must(b.task.Phone.DeleteRoom(b.Context(), b.wish().RoomName))
			},
			dials:   1,
			deletes: seconds(.1, .1),
			status:  call.Canceled,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, tt.phone, 30)
				var hangup sync.WaitGroup
				if tt.at < 0 {
					tt.how(b)
					tt.phone.deletes = nil
				} else {
					hangup.Go(func() { time.Sleep(tt.at); tt.how(b) })
				}
				b.dial("ended")
				hangup.Wait()
				sip := 0
				if tt.status == call.Completed {
					sip = 200
				}
				b.ends(tt.status, call.APIHangup, sip)
				if len(tt.phone.dials) != tt.dials {
					t.Errorf("%d dials, want %d", len(tt.phone.dials), tt.dials)
				}
				if tt.at < 0 { // nothing was dialed: only the deletion matters, not its time
					if len(tt.phone.deletes) != 1 {
						t.Errorf("room deleted %d times", len(tt.phone.deletes))
					}
				} else if d := cmp.Diff(tt.deletes, tt.phone.deletes); d != "" {
					t.Errorf("deletions (-want +got):\n%s", d)
				}
			})
		})
	}
}

// TestHangupWithinALook checks a hangup that comes while the dial reads the room, a moment before
// the phone joins. No later read would find it, because the phone rings.
func TestHangupWithinALook(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &phone{joins: 301 * time.Millisecond, answers: never}
		b := newBench(t, p, 30)
		var hungUp atomic.Bool // the hangup reads the room, too
		p.onLook = func() {
			if !hungUp.Swap(true) {
				b.hangUp()
				time.Sleep(2 * time.Millisecond)
			}
		}
		b.dial("ended")
		b.ends(call.Canceled, call.APIHangup, 0)
		if d := cmp.Diff(seconds(.302, .302), p.deletes); d != "" {
			t.Errorf("deletions (-want +got):\n%s", d)
		}
	})
}

// TestAnsweredAfterTheEnd checks that the room is deleted when the phone answers a call that
// the sweep has ended.
func TestAnsweredAfterTheEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &phone{answers: 10 * time.Second}
		b := newBench(t, p, 30)
		time.AfterFunc(9*time.Second, func() {
			c, err := b.db.Call(t.Context(), id)
			b.must(err)
			_, err = b.db.EndCall(t.Context(), c, call.End{Status: call.Failed, Cause: call.Unknown, At: time.Now()})
			b.must(err)
		})
		b.dial("ended")
		b.ends(call.Failed, call.Unknown, 0)
		if d := cmp.Diff(seconds(10), p.deletes); d != "" {
			t.Errorf("deletions (-want +got):\n%s", d)
		}
	})
}

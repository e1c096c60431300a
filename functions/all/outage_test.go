package all_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/krosai/telephony/shared/call"
	"github.com/krosai/telephony/shared/fault"
	"github.com/krosai/telephony/shared/livekit"
)

// fleet is a LiveKit with many calls, each an exchange. It is out of order for a while.
type fleet struct {
	rooms map[string]*exchange
	out   outage

	mu         sync.Mutex
	from, till time.Time // it is out of order
}

// outage is the behavior of a LiveKit that is out of order, for one request. carry is whether
// it carries out the request, and answer is its answer. errNothing means that it claims to know
// of nothing.
type outage func(ctx context.Context) (carry bool, answer error)

// errNothing is the answer of a LiveKit that knows of no room.
var errNothing = &fault.Error{Kind: fault.NotFound, Code: "NOT_FOUND"}

var outages = map[string]outage{
	"refuses": func(context.Context) (bool, error) { return false, fault.Unavailable("LiveKit", nil) },
	"nothing": func(context.Context) (bool, error) { return false, errNothing },
	"late":    func(ctx context.Context) (bool, error) { return true, timeOut(ctx, 4*time.Second) },
	"hangs":   func(ctx context.Context) (bool, error) { return false, timeOut(ctx, 5*time.Second) },
	"hangs, and carries out what it is asked": func(ctx context.Context) (bool, error) {
		return true, timeOut(ctx, 5*time.Second)
	},
}

// timeOut waits as long as given, and fails if that is the 5 s that a request may take.
func timeOut(ctx context.Context, long time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	select {
	case <-time.After(long - time.Nanosecond):
		if long < 5*time.Second {
			return nil
		}
		<-ctx.Done()
	case <-ctx.Done():
	}
	return fault.Unavailable("LiveKit", ctx.Err())
}

func (f *fleet) order(ctx context.Context) (carry bool, answer error) {
	f.mu.Lock()
	now := time.Now()
	broken := !now.Before(f.from) && now.Before(f.till)
	f.mu.Unlock()
	if !broken {
		return true, nil
	}
	return f.out(ctx)
}

// known returns err, or nil if err says that there is nothing.
func known(err error) error {
	if fault.Is(err, fault.NotFound) {
		return nil
	}
	return err
}

func (f *fleet) CreateRoom(ctx context.Context, r livekit.Room) error {
	carry, err := f.order(ctx)
	if carry {
		_ = f.rooms[r.Name].CreateRoom(ctx, r)
	}
	return err
}

func (f *fleet) UpdateRoomMetadata(context.Context, string, string) error { return nil }

func (f *fleet) DeleteRoom(ctx context.Context, name string) error {
	carry, err := f.order(ctx)
	if carry {
		_ = f.rooms[name].DeleteRoom(ctx, name)
	}
	return known(err)
}

func (f *fleet) ReadRoom(ctx context.Context, name string) (call.Room, error) {
	if _, err := f.order(ctx); err != nil {
		return call.Room{}, known(err)
	}
	return f.rooms[name].ReadRoom(ctx, name)
}

func (f *fleet) Rooms(ctx context.Context) ([]livekit.RoomInfo, error) {
	if _, err := f.order(ctx); err != nil {
		return nil, known(err)
	}
	var all []livekit.RoomInfo
	for _, x := range f.rooms {
		rooms, err := x.Rooms(ctx)
		if err != nil {
			return nil, err
		}
		all = append(all, rooms...)
	}
	return all, nil
}

func (f *fleet) Dial(ctx context.Context, d livekit.Dial) (string, error) {
	return f.rooms[d.Room].Dial(ctx, d)
}

// TestOutagesOfLiveKit lets LiveKit refuse, know of nothing, answer late or hang for ten minutes
// under 50 live calls, and again half an hour later. None of these calls is ended. Ten other calls
// have two minutes to talk. Each of them is over within two runs after its deadline. In the end no
// room is left of a call that has ended.
func TestOutagesOfLiveKit(t *testing.T) {
	t.Parallel()
	for name, out := range outages {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { newOutageTest(t, out).run() })
		})
	}
}

type outageTest struct {
	*testing.T
	lk    *fleet
	p     *callPlatform
	calls []call.Call
	live  int // this many calls, from the first, go on
}

func newOutageTest(t *testing.T, out outage) *outageTest {
	o := &outageTest{T: t, live: 50, lk: &fleet{rooms: map[string]*exchange{}, out: out}}
	o.p = newCallPlatform(t, o.lk, "")
	for i := range o.live + 10 {
		id := "call_" + ulid.MustNew(ulid.Now(), ulid.Monotonic(repeated(i), 0)).String()
		c := call.Call{ID: id, UserID: fmt.Sprint("user ", i), Direction: call.Outbound, Remote: "+14155550100", Own: fmt.Sprintf("+23480123456%02d", i),
			RoomName: id, TrunkID: "ST_1", AgentName: "a", Country: "US", RingingTimeout: 30, MaxDuration: 4 * 60 * 60,
			Status: call.Initiated, CreatedAt: time.Now().UTC()}
		if i >= o.live {
			c.MaxDuration = 120
		}
		never := callee{rings: 100 * time.Millisecond, answers: time.Second, hangsUp: never, agentLeaves: never, nextAgent: never, agentDeletes: never}
		o.lk.rooms[id] = &exchange{callee: never, room: id}
		c, err := o.p.db.Own(t.Context(), c)
		if err == nil {
			err = o.p.db.Place(t.Context(), c)
		}
		if err != nil {
			t.Fatal(err)
		}
		o.calls = append(o.calls, c)
	}
	for _, c := range o.calls { // from now on the rooms are read
		if err := o.p.flows.StartCall(t.Context(), c.ID); err != nil {
			t.Fatal(err)
		}
	}
	return o
}

// repeated is entropy that differs for each i.
type repeated byte

func (r repeated) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(r)
	}
	return len(p), nil
}

func (o *outageTest) run() {
	began := time.Now()
	for minute := range 50 {
		if minute == 1 || minute == 31 {
			o.lk.mu.Lock()
			o.lk.from, o.lk.till = time.Now(), time.Now().Add(10*time.Minute)
			o.lk.mu.Unlock()
		}
		ctx, cancel := context.WithTimeout(as(o.Context(), "sweepcalls"), 55*time.Second)
		_, _ = o.p.sweep.Run(ctx) // it fails while LiveKit does
		if err := ctx.Err(); err != nil {
			o.Errorf("minute %d: %v", minute, err)
		}
		cancel()
		o.look()
		time.Sleep(time.Until(began.Add(time.Duration(minute+1) * time.Minute)))
	}
	for i, c := range o.calls {
		x := o.lk.rooms[c.ID]
		x.mu.Lock()
		if gone := x.over(time.Now()); gone != (i >= o.live) {
			o.Errorf("call %d: its room is gone: %t", i, gone)
		}
		x.mu.Unlock()
	}
}

// look checks what must be true of the calls after each run.
func (o *outageTest) look() {
	for i, was := range o.calls {
		c, err := o.p.db.Call(as(o.Context(), "sweepcalls"), was.ID)
		switch {
		case err != nil:
			o.Fatal(err)
		case i < o.live && (c.Status.Ended() || !o.lk.rooms[c.ID].deleted.IsZero()):
			o.Errorf("live call %d is %s %s at %v", i, c.Status, c.Cause, c.EndedAt)
		case i >= o.live && !c.Status.Ended() && time.Now().After(c.Deadline().Add(2*time.Minute)):
			o.Errorf("call %d is %s at %v, %v after its deadline", i, c.Status, time.Now(), time.Since(c.Deadline()))
		}
	}
}

package transfercall_test

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/krosai/telephony/functions/transfercall"
	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/api/apitest"
	"github.com/krosai/telephony/shared/call"
	"github.com/krosai/telephony/shared/fault"
	"github.com/krosai/telephony/shared/livekit"
	"github.com/krosai/telephony/shared/number"
	"github.com/krosai/telephony/shared/store"
	"github.com/krosai/telephony/shared/store/storetest"
	"github.com/krosai/telephony/shared/teardown"
)

// actor works on a call in steps, and waits for its turn before each step.
type actor chan struct{}

func (a actor) turn() { <-a }

// step lets the actor take a step, and reports whether it had one to take.
func (a actor) step() bool {
	synctest.Wait()
	defer synctest.Wait()
	select {
	case a <- struct{}{}:
		return true
	default:
		return false
	}
}

// calls is the database as an actor uses it.
type calls struct {
	*storetest.Database
	actor
}

func (c calls) Call(ctx context.Context, id string) (call.Call, error) {
	c.turn()
	return c.Database.Call(ctx, id)
}

func (c calls) EndCall(ctx context.Context, seen call.Call, end call.End) (call.Call, error) {
	c.turn()
	return c.Database.EndCall(ctx, seen, end)
}

func (c calls) BeginTransfer(ctx context.Context, seen call.Call, may store.Permit, t call.Transfer) (call.Call, account.Limit, error) {
	c.turn()
	return c.Database.BeginTransfer(ctx, seen, may, t)
}

func (c calls) FinishTransfer(ctx context.Context, callID string, t call.Transfer) (call.Call, error) {
	c.turn()
	return c.Database.FinishTransfer(ctx, callID, t)
}

func (c calls) RequestHangup(ctx context.Context, userID, id string, at time.Time) (call.Call, bool, error) {
	c.turn()
	return c.Database.RequestHangup(ctx, userID, id, at)
}

// stage is the room of the call. The phone leaves it at some moment after the carrier was asked.
// LiveKit answers with outcome, also at some moment.
type stage struct {
	mu      sync.Mutex
	gone    bool // the phone
	deleted bool
	outcome error
	asked   chan struct{}
	left    chan struct{}
}

func (s *stage) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.gone {
		s.gone = true
		close(s.left)
	}
}

// rooms is the stage as an actor sees it.
type rooms struct {
	*stage
	actor
}

func (r rooms) ReadRoom(context.Context, string) (call.Room, error) {
	r.turn()
	r.mu.Lock()
	defer r.mu.Unlock()
	room := call.Room{Agent: !r.deleted}
	if !r.gone {
		room.Callee = &call.Phone{Identity: call.CalleeIdentity, Status: "active"}
	}
	return room, nil
}

func (r rooms) DeleteRoom(context.Context, string) error {
	r.turn()
	r.leave()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.deleted = true
	return nil
}

func (r rooms) Transfer(context.Context, string, string, string, time.Duration) (livekit.Transferred, error) {
	r.turn()
	r.mu.Lock()
	gone := r.gone
	r.mu.Unlock()
	if gone {
		return livekit.Transferred{}, &livekit.TransferError{Code: livekit.TransferNotAsked, Err: fault.Missing("participant")}
	}
	close(r.asked)
	r.turn()
	return livekit.Transferred{Assumed: true}, r.outcome
}

// TestEveryOrder runs a webhook, two sweeps and sometimes a hang-up in many orders while the call
// is transferred. The call must end once, and in line with the outcome of the transfer.
func TestEveryOrder(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		outcome error
		hangUp  bool
		want    map[string]string // the end by the outcome of the transfer
	}{
		"completed": {nil, false, map[string]string{"completed": "completed transferred"}},
		"refused":   {&livekit.TransferError{Code: livekit.TransferRejected, SIPStatus: 603}, false, map[string]string{"failed": "completed callee_hangup"}},
		"unclear":   {&livekit.TransferError{Code: livekit.TransferUnclear}, false, map[string]string{"unknown": "completed unknown"}},
		"completed or hung up": {nil, true, map[string]string{"completed": "completed transferred", "unknown": "completed api_hangup",
			"failed": "completed api_hangup", "": "completed api_hangup"}},
		"refused and hung up": {&livekit.TransferError{Code: livekit.TransferRejected, SIPStatus: 603}, true, map[string]string{
			"failed": "completed api_hangup|completed callee_hangup", "": "completed api_hangup"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			outside, key := openForBubbles(t)
			for seed := range uint64(100) {
				synctest.Test(t, func(t *testing.T) { anOrder(inBubble(t, outside), key, seed, tt.outcome, tt.hangUp, tt.want) })
			}
		})
	}
}

// anOrder plays one order of steps.
func anOrder(b *apitest.Bench, key string, seed uint64, outcome error, hangUp bool, want map[string]string) {
	b.Helper()
	id := fmt.Sprintf("call_01KAMPJ5V0SAMPMECA%08d", seed)
	s := &stage{outcome: outcome, asked: make(chan struct{}), left: make(chan struct{})}
	ender := func(a actor) *teardown.Ender {
		return &teardown.Ender{Calls: calls{b.Database, a}, Rooms: rooms{s, a}, Now: time.Now}
	}
	look := func(a actor, left call.Leave) {
		c, err := ender(a).Calls.Call(b.Context(), id)
		if err == nil && !c.Status.Ended() {
			_, err = ender(a).PhoneLeft(b.Context(), c, left, time.Now())
		}
		if err != nil {
			b.Error(err)
		}
	}
	talk(b, id)
	var actors []actor
	act := func(do func(a actor)) {
		a := make(actor)
		actors = append(actors, a)
		go do(a)
	}
	act(func(a actor) {
		e := &transfercall.Endpoint{Calls: calls{b.Database, a}, Phone: rooms{s, a}, Teardown: ender(a), Now: time.Now, Log: slog.New(slog.DiscardHandler)}
		askInBubble(b, key, id, e)
	})
	act(func(a actor) { // the carrier
		select {
		case <-s.asked:
		case <-s.left: // hung up before the carrier was asked
			return
		}
		a.turn()
		s.leave()
	})
	act(func(a actor) { // LiveKit's webhook
		<-s.left
		look(a, call.Leave{Reason: "CLIENT_INITIATED", Status: "hangup"})
	})
	for range 2 {
		act(func(a actor) { look(a, call.Leave{}) }) // the sweep
	}
	if hangUp {
		act(func(a actor) {
			c, open, err := calls{b.Database, a}.RequestHangup(b.Context(), "ada", id, time.Now())
			if err == nil && open {
				_, err = ender(a).TakeDown(b.Context(), c, ender(a).HungUp)
			}
			if err != nil {
				b.Error(err)
			}
		})
	}
	play(seed, actors)
	c, err := b.Call(b.Context(), id)
	b.Must(err)
	if got := string(c.Status) + " " + string(c.Cause); !strings.Contains(want[string(c.Transfer.Status)], got) || !c.Status.Ended() {
		b.Errorf("order %d: transfer %s, call %s; want %v", seed, c.Transfer.Status, got, want)
	}
}

// play lets the actors take turns, in an order that seed determines, until none has a step left.
func play(seed uint64, actors []actor) {
	order := rand.New(rand.NewPCG(seed, 0))
	for more := true; more; {
		more = false
		for _, i := range order.Perm(len(actors)) {
			for actors[i].step() {
				more = true
				if order.IntN(2) == 0 {
					break
				}
			}
		}
	}
}

// openForBubbles opens a bench outside the bubbles that use it, because a bubble's clock stands
// still while the bench's issuer waits for connections. ada has a key, a number to call from, and
// limits that are not reached in the hour in which all bubbles begin.
func openForBubbles(t *testing.T) (outside *apitest.Bench, key string) {
	t.Helper()
	b := apitest.Open(t, nil)
	_, key = b.Key("ada", account.CallsWrite)
	b.Must(b.PutNumber(t.Context(), number.Number{ID: number.ID("+14155550100"), E164: "+14155550100", Country: "US", UserID: "ada", AssignedAt: now}))
	b.Must(b.PutPolicy(t.Context(), "ada", account.Policy{CallsEnabled: true, CallsPerHour: 10_000, CallsPerDestination: 10_000}))
	return b, key
}

// inBubble is a bench as the test of a bubble uses it.
func inBubble(t *testing.T, outside *apitest.Bench) *apitest.Bench {
	b := *outside
	b.TB = t
	return &b
}

// talk records a call of ada's that is in progress.
func talk(b *apitest.Bench, id string) {
	b.Helper()
	b.Must(b.Place(b.Context(), call.Call{ID: id, UserID: "ada", Direction: call.Outbound, RoomName: id, NumberID: number.ID("+14155550100"),
		Country: "US", MaxDuration: 600, Status: call.InProgress, CreatedAt: time.Now(), AnsweredAt: time.Now()}))
}

// askInBubble requests the transfer of a call from an endpoint.
func askInBubble(b *apitest.Bench, key, id string, e *transfercall.Endpoint) apitest.Answer {
	b.Helper()
	b.Serve(e)
	return b.Ask(key, "POST", "/outbound-calls/"+id+"/transfer", `{"phone_number":"`+target+`"}`)
}

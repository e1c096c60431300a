package platform

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/krosai/telephony/functions/preparecall"
	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/call"
	"github.com/krosai/telephony/shared/fault"
	"github.com/krosai/telephony/shared/livekit"
	"github.com/krosai/telephony/shared/store"
	"github.com/krosai/telephony/shared/store/storetest"
)

// TestAdmission sends many calls at once. admission accepts only as many as the machine can carry
// and start, and refuses the rest. A call that ends frees its place.
func TestAdmission(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ most, starts int }{"the calls": {20, 100}, "the starts": {100, 20}} {
		t.Run(name, func(t *testing.T) { t.Parallel(); testAdmission(t, tt.most, tt.starts) })
	}
}

func testAdmission(t *testing.T, most, starts int) {
	t.Helper()
	start := time.Date(2026, 11, 22, 9, 30, 0, 0, time.UTC)
	var passed atomic.Int64 // milliseconds
	clock := func() time.Time { return start.Add(time.Duration(passed.Load()) * time.Millisecond) }
	db, ctx := storetest.Open(t, clock), t.Context()
	err := db.PutPolicy(ctx, "ada", account.Policy{CallsEnabled: true, AllowedCountries: []string{"US"}, MaxConcurrentCalls: 100, MinutesPerDay: 10_000})
	if err != nil {
		t.Fatal(err)
	}
	a := &admission{DB: db.DB, most: most, starts: starts, now: clock}
	place := func(i int) (call.Call, bool, error) {
		_, may, err := a.CallPermit(ctx, "ada", "")
		if err != nil {
			return call.Call{}, false, err
		}
		id := fmt.Sprintf("call_%026d", i)
		c := call.Call{ID: id, UserID: "ada", Direction: call.Outbound, Remote: fmt.Sprintf("+1415555%04d", i), RoomName: id, Country: "US",
			RingingTimeout: 30, MaxDuration: 60, Status: call.Initiated, CreatedAt: clock()}
		made, replayed, _, err := a.CreateCall(ctx, c, may, store.Once{Route: "create-call", Key: fmt.Sprint(i), Hash: "x"})
		return made, replayed, err
	}
	var race sync.WaitGroup
	var mu sync.Mutex
	var accepted []int
	for i := range 50 {
		race.Go(func() {
			_, _, err := place(i)
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				accepted = append(accepted, i)
			} else if e, ok := errors.AsType[*fault.Error](err); !ok || e.Code != "AT_CAPACITY" || e.Kind != fault.Upstream || e.RetryAfter == 0 {
				t.Errorf("call %d: %v", i, err)
			}
		})
	}
	race.Wait()
	if want := min(most, starts); len(accepted) != want {
		t.Fatalf("%d calls accepted, want %d", len(accepted), want)
	}
	passed.Add(200)
	made, replayed, err := place(accepted[0])
	if err != nil || !replayed {
		t.Errorf("an accepted one again: %t, %v", replayed, err)
	}
	if _, err := db.EndCall(ctx, made, call.End{Status: call.Canceled, Cause: call.APIHangup, At: clock()}); err != nil {
		t.Fatal(err)
	}
	passed.Add(startTime.Milliseconds())
	if _, _, err := place(60); err != nil {
		t.Errorf("after an end: %v", err)
	}
	if _, _, err := place(61); (err == nil) != (most > starts) {
		t.Errorf("one more: %v", err)
	}
}

// slowRooms counts the rooms that are made at the same time.
type slowRooms struct {
	preparecall.Rooms
	now, most atomic.Int64
}

func (s *slowRooms) CreateRoom(context.Context, livekit.Room) error {
	n := s.now.Add(1)
	defer s.now.Add(-1)
	s.most.Store(max(s.most.Load(), n))
	time.Sleep(time.Second)
	return nil
}

// TestRooms checks that no more rooms are made at a time than there are places, and that a wait
// ends with its context.
func TestRooms(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		slow := &slowRooms{}
		r := rooms{slow, make(chan struct{}, 2)}
		var all sync.WaitGroup
		for range 10 {
			all.Go(func() {
				if err := r.CreateRoom(t.Context(), livekit.Room{}); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		if err := r.CreateRoom(ctx, livekit.Room{}); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		all.Wait()
		if most := slow.most.Load(); most != 2 {
			t.Errorf("%d rooms at a time, want 2", most)
		}
	})
}

package store_test

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/krosai/telephony/shared/fault"
	"github.com/krosai/telephony/shared/number"
	"github.com/krosai/telephony/shared/store/storetest"
)

var morning = time.Date(2026, 11, 22, 9, 30, 0, 0, time.UTC)

func aNumber(e164, user string) number.Number {
	n := number.Number{ID: number.ID(e164), E164: e164, Country: "NG", Type: "mobile", Capabilities: []string{"inbound", "outbound"},
		UserID: user, UpdatedAt: morning}
	if user != "" {
		n.AssignedAt = morning
	}
	return n
}

func configured(n number.Number) number.Number {
	n.Trunk = &number.Trunk{Name: "Twilio", Address: "a.pstn.twilio.com", Numbers: []string{n.E164}, AuthUsername: "u", HasAuthPassword: true,
		DestinationCountry: "NG", Transport: "auto", Directions: []string{"outbound", "inbound"}, AllowedAddresses: []string{"54.172.60.0/30"},
		OutboundID: "ST_1", InboundID: "ST_2"}
	n.Rule = &number.Rule{Name: "Line", RoomPrefix: "support-", AgentName: "agent", ID: "SDR_1"}
	n.UpdatedAt = morning.Add(time.Minute)
	return n
}

func TestNumberBelongsToItsUser(t *testing.T) {
	t.Parallel()
	db, ctx := storetest.Open(t, nil), t.Context()
	mine, free := aNumber("+2348012345678", "usr_a"), aNumber("+2348012345679", "")
	for _, n := range []number.Number{mine, free, mine} {
		if err := db.PutNumber(ctx, n); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.PutNumber(ctx, aNumber("+2348012345678", "usr_b")); !fault.Is(err, fault.Conflict) {
		t.Errorf("put for another user: %v", err)
	}
	db.Trips()
	got, err := db.Number(ctx, "usr_a", mine.ID)
	if diff := cmp.Diff(mine, got); err != nil || diff != "" || db.Trips() != 1 {
		t.Errorf("%v %s", err, diff)
	}
	for user, id := range map[string]string{"usr_b": mine.ID, "usr_a": free.ID, "": free.ID, "usr_c": number.ID("+1")} {
		if _, err := db.Number(ctx, user, id); !fault.Is(err, fault.NotFound) {
			t.Errorf("%q reads %s: %v", user, id, err)
		}
		if _, err := db.LeaseNumber(ctx, user, id, "o", time.Minute); !fault.Is(err, fault.NotFound) {
			t.Errorf("%q leases %s: %v", user, id, err)
		}
	}
}

func TestNumbersOfPages(t *testing.T) {
	t.Parallel()
	db, ctx := storetest.Open(t, nil), t.Context()
	var want []string
	for i := range 7 {
		n := aNumber(fmt.Sprintf("+23480123456%02d", i), "usr_a")
		want = append(want, n.ID)
		if err := db.PutNumber(ctx, n); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.PutNumber(ctx, aNumber("+2348099999999", "usr_b")); err != nil {
		t.Fatal(err)
	}
	slices.Sort(want)
	for _, limit := range []int{1, 2, 3, 7, 100} {
		var got []string
		pages, after := 0, ""
		for {
			list, next, err := db.NumbersOf(ctx, "usr_a", limit, after)
			if err != nil {
				t.Fatal(err)
			}
			pages++
			for _, n := range list {
				got = append(got, n.ID)
			}
			if after = next; next == "" {
				break
			}
		}
		if diff := cmp.Diff(want, got); diff != "" || pages != (7+limit-1)/limit {
			t.Errorf("limit %d, %d pages: %s", limit, pages, diff)
		}
	}
	if list, next, err := db.NumbersOf(ctx, "usr_c", 10, ""); len(list) != 0 || next != "" || err != nil {
		t.Errorf("a user without numbers: %v %q %v", list, next, err)
	}
}

func TestLease(t *testing.T) {
	t.Parallel()
	var now atomic.Pointer[time.Time]
	now.Store(&morning)
	db, ctx := storetest.Open(t, func() time.Time { return *now.Load() }), t.Context()
	n := aNumber("+2348012345678", "usr_a")
	if err := db.PutNumber(ctx, n); err != nil {
		t.Fatal(err)
	}
	lease := func(owner string) (number.Number, error) {
		return db.LeaseNumber(ctx, "usr_a", n.ID, owner, time.Minute)
	}
	if got, err := lease("one"); err != nil || !cmp.Equal(n, got) {
		t.Fatalf("%v %v", got, err)
	}
	if _, err := lease("one"); err != nil {
		t.Errorf("repeated by its owner: %v", err)
	}
	if _, err := lease("two"); !fault.Is(err, fault.Conflict) {
		t.Errorf("a second owner: %v", err)
	}
	done := configured(n)
	if err := db.SaveConfiguration(ctx, done, "two"); !fault.Is(err, fault.Conflict) {
		t.Errorf("saved without the lease: %v", err)
	}
	if err := db.ReleaseLease(ctx, n, "two"); err != nil {
		t.Errorf("released without the lease: %v", err)
	}
	db.LoseReplies(1)
	if err := db.SaveConfiguration(ctx, done, "one"); err != nil {
		t.Errorf("saved, first answer lost: %v", err)
	}
	if got, err := db.Number(ctx, "usr_a", n.ID); err != nil || cmp.Diff(done, got) != "" {
		t.Errorf("%v %s", err, cmp.Diff(done, got))
	}

	// An expired lease is a fault, and another owner can take it.
	if _, err := lease("three"); err != nil {
		t.Fatal(err)
	}
	if got, err := db.Number(ctx, "usr_a", n.ID); err != nil || got.Fault {
		t.Errorf("while leased: %v %v", got.Fault, err)
	}
	later := morning.Add(time.Minute)
	now.Store(&later)
	if got, err := db.Number(ctx, "usr_a", n.ID); err != nil || got.Configuration() != number.Broken {
		t.Errorf("abandoned: %v %v", got.Configuration(), err)
	}
	got, err := lease("four")
	if err != nil || !got.Fault {
		t.Fatalf("%v %v", got.Fault, err)
	}
	if err := db.SaveConfiguration(ctx, done, "three"); !fault.Is(err, fault.Conflict) {
		t.Errorf("the old owner wakes up and saves: %v", err)
	}
	if err := db.ReleaseLease(ctx, got, "four"); err != nil {
		t.Fatal(err)
	}
	if got, err := db.Number(ctx, "usr_a", n.ID); err != nil || !got.Fault {
		t.Errorf("released without repair: %v %v", got.Fault, err)
	}
	bare := n
	if _, err := lease("five"); err != nil {
		t.Fatal(err)
	}
	if err := db.SaveConfiguration(ctx, bare, "five"); err != nil {
		t.Fatal(err)
	}
	if got, err := db.Number(ctx, "usr_a", n.ID); err != nil || cmp.Diff(bare, got) != "" {
		t.Errorf("emptied: %v %s", err, cmp.Diff(bare, got))
	}
}

// TestLeaseHasOneWinner: one of many concurrent requests gets the lease.
func TestLeaseHasOneWinner(t *testing.T) {
	t.Parallel()
	db, ctx := storetest.Open(t, nil), t.Context()
	n := aNumber("+2348012345678", "usr_a")
	if err := db.PutNumber(ctx, n); err != nil {
		t.Fatal(err)
	}
	for round := range rounds {
		var won atomic.Int32
		var winner atomic.Value
		var all sync.WaitGroup
		for i := range 50 {
			all.Go(func() {
				owner := fmt.Sprintf("r%d-%d", round, i)
				_, err := db.LeaseNumber(ctx, "usr_a", n.ID, owner, time.Minute)
				switch {
				case err == nil:
					won.Add(1)
					winner.Store(owner)
				case !fault.Is(err, fault.Conflict):
					t.Errorf("loser: %v", err)
				}
			})
		}
		all.Wait()
		if won.Load() != 1 {
			t.Fatalf("%d winners", won.Load())
		}
		if err := db.ReleaseLease(ctx, n, winner.Load().(string)); err != nil {
			t.Fatal(err)
		}
	}
}

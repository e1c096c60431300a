package store_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/krosai/telephony/shared/call"
	"github.com/krosai/telephony/shared/fault"
	"github.com/krosai/telephony/shared/store"
	"github.com/krosai/telephony/shared/store/storetest"
)

var t0 = time.Date(2026, 11, 22, 9, 30, 0, 0, time.UTC)

func newCall(id string) call.Call {
	return call.Call{ID: "call_" + id, UserID: "ada", Direction: call.Outbound, Remote: "+14155550100",
		Own: "+2348012345678", NumberID: "pn_1", RoomName: "call_" + id, TrunkID: "ST_1", AgentName: "a", Country: "US",
		SystemPrompt: "be kind", Metadata: map[string]string{"order": "A-1"}, Voice: &call.Voice{Language: "en-NG"}, DTMF: "12#",
		RingingTimeout: 30, MaxDuration: 600, Status: call.Initiated, CreatedAt: t0}
}

// open gives a test a database whose clock stands at t0.
func open(t *testing.T) *storetest.Database {
	t.Helper()
	return storetest.Open(t, func() time.Time { return t0 })
}

// permit reads a user's permit for calls from a number of the country home.
func permit(t *testing.T, db *storetest.Database, user, home string) store.Permit {
	t.Helper()
	_, may, err := db.CallPermit(t.Context(), user, "")
	if err != nil {
		t.Fatal(err)
	}
	may.Home = home
	return may
}

func create(t *testing.T, db *storetest.Database, c call.Call) {
	t.Helper()
	if _, _, _, err := db.CreateCall(t.Context(), c, permit(t, db, c.UserID, c.Country), store.Once{}); err != nil {
		t.Fatal(err)
	}
}

func TestCallLifeIsRecordedOnce(t *testing.T) {
	t.Parallel()
	db, ctx := open(t), t.Context()
	want := newCall("1")
	create(t, db, want)
	if _, mine, err := db.ClaimDial(ctx, want.ID, "me", t0.Add(time.Second)); err != nil || !mine {
		t.Fatal(mine, err)
	}
	for i, s := range []call.Status{call.Ringing, call.Ringing, call.InProgress, call.Ringing, call.InProgress} {
		if _, err := db.Advance(ctx, want.ID, s, t0.Add(time.Duration(i+2)*time.Second)); err != nil {
			t.Fatal(err)
		}
	}
	if _, mine, err := db.ClaimDial(ctx, want.ID, "another", t0.Add(9*time.Second)); err != nil || mine {
		t.Errorf("a second dial: %t, %v", mine, err)
	}
	now, err := db.Call(ctx, want.ID)
	if err != nil {
		t.Fatal(err)
	}
	end := call.End{Status: call.Completed, Cause: call.CalleeHangup, SIPStatus: 200, At: t0.Add(46 * time.Second)}
	if _, err := db.EndCall(ctx, now, end); err != nil {
		t.Fatal(err)
	}
	second, err := db.EndCall(ctx, now, call.End{Status: call.Failed, Cause: call.Unknown, At: t0.Add(time.Minute)})
	if err != nil || second.Cause != call.CalleeHangup {
		t.Errorf("second end: %v, %v; the first must stand", second.Cause, err)
	}
	details, err := db.CallDetails(ctx, "ada", want.ID, false)
	if err != nil {
		t.Fatal(err)
	}
	got, events := details.Call, details.Events
	want.Status, want.Cause, want.SIPStatus = call.Completed, call.CalleeHangup, 200
	want.DialedAt, want.AnsweredAt, want.EndedAt, want.HasMetadata = t0.Add(time.Second), t0.Add(4*time.Second), end.At, true
	wantEvents := []call.Event{{At: t0.Add(1 * time.Second), Name: "dialing"}, {At: t0.Add(2 * time.Second), Name: "ringing"},
		{At: t0.Add(4 * time.Second), Name: "answered"}, {At: end.At, Name: "ended", Detail: "callee_hangup"}}
	want.Timeline = wantEvents
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("call (-want +got):\n%s", d)
	}
	if d := cmp.Diff(wantEvents, events); d != "" {
		t.Errorf("timeline (-want +got):\n%s", d)
	}
	if got.Duration() != 42 {
		t.Errorf("duration %d, want 42", got.Duration())
	}
}

func TestAnotherUsersCallDoesNotExist(t *testing.T) {
	t.Parallel()
	db, ctx := open(t), t.Context()
	create(t, db, newCall("1"))
	_, absent := db.CallDetails(ctx, "ada", "call_2", true)
	_, foreign := db.CallDetails(ctx, "eve", "call_1", true)
	if d := cmp.Diff(absent.Error(), foreign.Error()); d != "" || !fault.Is(foreign, fault.NotFound) {
		t.Errorf("foreign call told apart: %s", d)
	}
	if _, _, err := db.RequestHangup(ctx, "eve", "call_1", t0); !fault.Is(err, fault.NotFound) {
		t.Errorf("foreign hang-up: %v", err)
	}
	if c, _ := db.Call(ctx, "call_1"); !c.HangupRequested.IsZero() {
		t.Error("a stranger hung up")
	}
}

func TestOneDialOneEndUnderRaces(t *testing.T) {
	t.Parallel()
	db, ctx := open(t), t.Context()
	create(t, db, newCall("1"))
	var mu sync.Mutex
	var race sync.WaitGroup
	dials, ends := 0, map[call.Cause]int{}
	causes := []call.Cause{call.APIHangup, call.CalleeHangup, call.AgentHangup, call.Unknown}
	for i := range 100 {
		race.Go(func() {
			_, mine, err := db.ClaimDial(ctx, "call_1", string(rune('A'+i)), t0)
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			if mine {
				dials++
			}
		})
	}
	race.Wait()
	seen, err := db.Call(ctx, "call_1")
	if err != nil {
		t.Fatal(err)
	}
	for i := range 100 {
		race.Go(func() {
			c, err := db.EndCall(ctx, seen, call.End{Status: call.Failed, Cause: causes[i%len(causes)], At: t0})
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			ends[c.Cause]++
		})
	}
	race.Wait()
	if dials != 1 || len(ends) != 1 {
		t.Errorf("%d dials, ends %v; want one of each", dials, ends)
	}
}

// TestLostRepliesAreNotLostWins: the SDK sends a request again if its answer is lost, so the winner
// of a race must recognize its own write.
func TestLostRepliesAreNotLostWins(t *testing.T) {
	t.Parallel()
	db, ctx := open(t), t.Context()
	once, may := store.Once{Route: "r", Key: "k", Hash: "h"}, permit(t, db, "ada", "US")
	db.LoseReplies(1)
	if c, replayed, _, err := db.CreateCall(ctx, newCall("1"), may, once); err != nil || replayed || c.ID != "call_1" {
		t.Errorf("create: %v %v %v", c.ID, replayed, err)
	}
	db.LoseReplies(1)
	if _, mine, err := db.ClaimDial(ctx, "call_1", "me", t0); err != nil || !mine {
		t.Errorf("claim: %v %v; the right to dial was lost", mine, err)
	}
	db.LoseReplies(1)
	c, err := db.Advance(ctx, "call_1", call.InProgress, t0)
	if err != nil || c.Status != call.InProgress {
		t.Errorf("advance: %v %v", c.Status, err)
	}
	db.LoseReplies(1)
	if c, err = db.EndCall(ctx, c, call.End{Status: call.Completed, Cause: call.CalleeHangup, At: t0}); err != nil || c.Cause != call.CalleeHangup {
		t.Errorf("end: %v %v", c.Cause, err)
	}
}

func TestStaleDecisionIsTakenAgain(t *testing.T) {
	t.Parallel()
	db, ctx := open(t), t.Context()
	create(t, db, newCall("1"))
	stale := newCall("1")
	if _, err := db.Advance(ctx, "call_1", call.InProgress, t0); err != nil {
		t.Fatal(err)
	}
	now, err := db.EndCall(ctx, stale, call.End{Status: call.NoAnswer, Cause: call.Unanswered, At: t0})
	if !fault.Is(err, fault.Conflict) || now.Status != call.InProgress {
		t.Errorf("got %v, %v; an answered call must not end as unanswered", now.Status, err)
	}
}

func TestIdempotencyKey(t *testing.T) {
	t.Parallel()
	clock := t0
	db, ctx := storetest.Open(t, func() time.Time { return clock }), t.Context()
	may := permit(t, db, "ada", "US")
	once := store.Once{Route: "create-call", Key: "k1", Hash: "h1"}
	first, replayed, _, err := db.CreateCall(ctx, newCall("1"), may, once)
	if err != nil || replayed {
		t.Fatal(replayed, err)
	}
	second, replayed, _, err := db.CreateCall(ctx, newCall("2"), may, once)
	if err != nil || !replayed || second.ID != first.ID {
		t.Errorf("same key, same body: %v %v %v", second.ID, replayed, err)
	}
	other := once
	other.Hash = "h2"
	if _, _, _, err := db.CreateCall(ctx, newCall("3"), may, other); !fault.Is(err, fault.Unprocessable) {
		t.Errorf("same key, other body: %v", err)
	}
	late := newCall("4")
	clock = t0.Add(24 * time.Hour)
	late.CreatedAt = clock
	if c, replayed, _, err := db.CreateCall(ctx, late, permit(t, db, "ada", "US"), other); err != nil || replayed || c.ID != "call_4" {
		t.Errorf("a day later: %v %v %v", c.ID, replayed, err)
	}
	for _, id := range []string{"call_2", "call_3"} {
		if _, err := db.Call(ctx, id); !fault.Is(err, fault.NotFound) {
			t.Errorf("%s was recorded: %v", id, err)
		}
	}
}

func TestFiftyRequestsWithOneKeyMakeOneCall(t *testing.T) {
	t.Parallel()
	db, ctx := open(t), t.Context()
	var race sync.WaitGroup
	ids, may := make([]string, 50), permit(t, db, "ada", "US")
	for i := range ids {
		race.Go(func() {
			c, _, _, err := db.CreateCall(ctx, newCall(string(rune('A'+i))), may, store.Once{Route: "r", Key: "k", Hash: "h"})
			if err != nil {
				t.Error(err)
			}
			ids[i] = c.ID
		})
	}
	race.Wait()
	for _, id := range ids {
		if id != ids[0] {
			t.Fatalf("two calls: %s and %s", ids[0], id)
		}
	}
}

func TestCountryMustBeAllowed(t *testing.T) {
	t.Parallel()
	db, ctx := open(t), t.Context()
	if _, _, _, err := db.CreateCall(ctx, newCall("1"), permit(t, db, "ada", "NG"), store.Once{}); !fault.Is(err, fault.Forbidden) {
		t.Errorf("no list: %v", err)
	}
	if err := db.AllowCountries(ctx, "ada", "GB", "US"); err != nil {
		t.Fatal(err)
	}
	if _, _, _, err := db.CreateCall(ctx, newCall("1"), permit(t, db, "ada", "NG"), store.Once{}); err != nil {
		t.Errorf("on the list: %v", err)
	}
}

func TestRoundTrips(t *testing.T) {
	t.Parallel()
	db := open(t)
	ctx := context.Background()
	may := permit(t, db, "ada", "US")
	if n := db.Trips(); n != 1 {
		t.Errorf("permit: %d round trips, want 1", n)
	}
	if _, _, _, err := db.CreateCall(ctx, newCall("1"), may, store.Once{}); err != nil {
		t.Fatal(err)
	}
	if n := db.Trips(); n != 1 {
		t.Errorf("create: %d round trips, want 1", n)
	}
	for withTurns, want := range map[bool]int{false: 1, true: 2} { // the transcript is a second query
		if _, err := db.CallDetails(ctx, "ada", "call_1", withTurns); err != nil {
			t.Fatal(err)
		}
		if n := db.Trips(); n != want {
			t.Errorf("story: %d round trips, want %d", n, want)
		}
	}
}

func TestActiveCallsForgetEndedOnes(t *testing.T) {
	t.Parallel()
	db, ctx := open(t), t.Context()
	for _, id := range []string{"1", "2", "3"} {
		create(t, db, newCall(id))
	}
	if _, err := db.EndCall(ctx, newCall("2"), call.End{Status: call.Failed, Cause: call.Unknown, At: t0}); err != nil {
		t.Fatal(err)
	}
	ids, err := db.ActiveCalls(ctx, t0.Add(time.Second))
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]bool{}
	for _, id := range ids {
		got[id] = true
	}
	if d := cmp.Diff(map[string]bool{"call_1": true, "call_3": true}, got); d != "" {
		t.Errorf("active (-want +got):\n%s", d)
	}
	if ids, _ := db.ActiveCalls(ctx, t0); len(ids) != 0 {
		t.Errorf("young calls listed: %v", ids)
	}
}

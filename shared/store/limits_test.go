package store_test

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/call"
	"github.com/krosai/telephony/shared/fault"
	"github.com/krosai/telephony/shared/store"
	"github.com/krosai/telephony/shared/store/storetest"
)

// allowing is the default policy with these countries.
func allowing(countries ...string) account.Policy {
	p := account.DefaultPolicy()
	p.AllowedCountries = countries
	return p
}

// callOf is a call of a user in an hour.
func callOf(user string, n int, at time.Time) call.Call {
	c := newCall(fmt.Sprintf("%s-%d-%d", user, at.Unix(), n))
	c.UserID, c.CreatedAt = user, at
	return c
}

func codeOf(err error) string {
	if f, ok := errors.AsType[*fault.Error](err); ok {
		return f.Code
	}
	return fmt.Sprint(err)
}

// race has 50 goroutines make the calls 0 to n-1 and counts how they end.
func race(n int, do func(i int) error) map[string]int {
	var next atomic.Int64
	var mu sync.Mutex
	var all sync.WaitGroup
	ends := map[string]int{}
	for range 50 {
		all.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				err := do(i)
				end := "admitted"
				if err != nil {
					end = codeOf(err)
				}
				mu.Lock()
				ends[end]++
				mu.Unlock()
			}
		})
	}
	all.Wait()
	return ends
}

// However many ask at once, a limit admits exactly its quota.
func TestLimitsAreExact(t *testing.T) {
	t.Parallel()
	db := storetest.Open(t, nil)
	for _, tt := range []struct {
		name             string
		perHour, atATime int
		asked            int
		refusal          string
		wantActive       int
	}{
		{"calls an hour", 100, 1000, 200, "RATE_LIMIT_EXCEEDED", 100},
		{"as many as number requests", 5, 1000, 50, "RATE_LIMIT_EXCEEDED", 5},
		{"as many as configurations", 10, 1000, 50, "RATE_LIMIT_EXCEEDED", 10},
		{"calls at a time", 1000, 5, 50, "CONCURRENT_LIMIT_EXCEEDED", 5},
		{"one at a time", 1000, 1, 50, "CONCURRENT_LIMIT_EXCEEDED", 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			for round := range rounds {
				user := fmt.Sprintf("%s %d", tt.name, round)
				policy := allowing()
				policy.MaxConcurrentCalls = tt.atATime
				if err := db.PutPolicy(t.Context(), user, policy); err != nil {
					t.Fatal(err)
				}
				got := race(tt.asked, func(i int) error {
					_, _, _, err := db.CreateCall(t.Context(), callOf(user, i, t0), store.Permit{Home: "US", Calls: account.Limit{Quota: tt.perHour}}, store.Once{})
					return err
				})
				want := map[string]int{"admitted": tt.wantActive, tt.refusal: tt.asked - tt.wantActive}
				if d := cmp.Diff(want, got); d != "" {
					t.Fatalf("round %d (-want +got):\n%s", round, d)
				}
				if _, active, err := db.Policy(t.Context(), user); err != nil || active != tt.wantActive {
					t.Fatalf("round %d: %d calls going, %v", round, active, err)
				}
			}
		})
	}
}

func TestHourIsAClockHour(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 22, 9, 59, 59, 999e6, time.UTC)
	db, ctx := storetest.Open(t, func() time.Time { return now }), t.Context()
	policy := allowing()
	policy.CallsPerHour, policy.MaxConcurrentCalls = 2, 100
	if err := db.PutPolicy(ctx, "ada", policy); err != nil {
		t.Fatal(err)
	}
	n := 0
	admitted := func() (account.Limit, error) {
		n++
		_, may, err := db.CallPermit(ctx, "ada", "")
		if err != nil {
			t.Fatal(err)
		}
		may.Home = "US"
		_, _, hour, err := db.CreateCall(ctx, callOf("ada", n, now), may, store.Once{})
		return hour, err
	}
	ten := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	for _, step := range []struct {
		at   time.Time
		used int
		err  string
		end  time.Time
	}{
		{now, 1, "", ten}, {now, 2, "", ten}, {now, 2, "RATE_LIMIT_EXCEEDED", ten},
		{ten, 1, "", ten.Add(time.Hour)}, {ten.Add(time.Hour - time.Millisecond), 2, "", ten.Add(time.Hour)},
		{ten.Add(time.Hour - time.Millisecond), 2, "RATE_LIMIT_EXCEEDED", ten.Add(time.Hour)},
		{ten.Add(time.Hour), 1, "", ten.Add(2 * time.Hour)},
	} {
		now = step.at
		hour, err := admitted()
		if d := cmp.Diff(account.Limit{Name: "calls", Quota: 2, Used: step.used, Resets: step.end}, hour); d != "" || (err != nil || step.err != "") && codeOf(err) != step.err {
			t.Errorf("%s: %v, (-want +got):\n%s", step.at, err, d)
		}
		if f, ok := errors.AsType[*fault.Error](err); ok && (f.Kind != fault.Limited || f.RetryAfter != step.end.Sub(now)) {
			t.Errorf("%s: kind %d, again after %s", step.at, f.Kind, f.RetryAfter)
		}
	}
}

// What is refused for any reason uses up nothing, and neither does a repetition
// nor a call whose workflow could not be started.
func TestRefusedUsesUpNothing(t *testing.T) {
	t.Parallel()
	clock := func() time.Time { return t0 }
	for _, tt := range []struct {
		name string
		do   func(t *testing.T, db *storetest.Database, once store.Once) error
		want string
	}{
		{"country", func(t *testing.T, db *storetest.Database, _ store.Once) error {
			_, _, _, err := db.CreateCall(t.Context(), callOf("ada", 9, t0), store.Permit{Home: "NG"}, store.Once{})
			return err
		}, "DESTINATION_NOT_ALLOWED"},
		{"switched off", func(t *testing.T, db *storetest.Database, _ store.Once) error {
			off := allowing("US")
			off.CallsEnabled = false
			if err := db.PutPolicy(t.Context(), "ada", off); err != nil {
				t.Fatal(err)
			}
			_, _, _, err := db.CreateCall(t.Context(), callOf("ada", 9, t0), store.Permit{Home: "US"}, store.Once{})
			return err
		}, "CALLS_DISABLED"},
		{"too many at a time", func(t *testing.T, db *storetest.Database, _ store.Once) error {
			one := allowing("US")
			one.MaxConcurrentCalls = 1
			if err := db.PutPolicy(t.Context(), "ada", one); err != nil {
				t.Fatal(err)
			}
			_, _, _, err := db.CreateCall(t.Context(), callOf("ada", 9, t0), store.Permit{Home: "US"}, store.Once{})
			return err
		}, "CONCURRENT_LIMIT_EXCEEDED"},
		{"spent hour", func(t *testing.T, db *storetest.Database, _ store.Once) error {
			_, _, _, err := db.CreateCall(t.Context(), callOf("ada", 9, t0), store.Permit{Home: "US", Calls: account.Limit{Quota: 1}}, store.Once{})
			return err
		}, "RATE_LIMIT_EXCEEDED"},
		{"key with another body", func(t *testing.T, db *storetest.Database, once store.Once) error {
			once.Hash = "other"
			_, _, _, err := db.CreateCall(t.Context(), callOf("ada", 9, t0), store.Permit{Home: "US"}, once)
			return err
		}, "IDEMPOTENCY_KEY_REUSED"},
		{"the same again, though the hour is spent", func(t *testing.T, db *storetest.Database, once store.Once) error {
			_, replayed, _, err := db.CreateCall(t.Context(), callOf("ada", 9, t0), store.Permit{Home: "US", Calls: account.Limit{Quota: 1}}, once)
			if !replayed {
				t.Error("not replayed")
			}
			return err
		}, "<nil>"},
		{"workflow not started", func(t *testing.T, db *storetest.Database, _ store.Once) error {
			c := callOf("ada", 9, t0)
			once := store.Once{Route: "r", Key: "k2", Hash: "h"}
			if _, _, _, err := db.CreateCall(t.Context(), c, store.Permit{Home: "US"}, once); err != nil {
				t.Fatal(err)
			}
			_, err := db.RefuseCall(t.Context(), c, call.End{Status: call.Failed, Cause: call.NetworkError, At: t0}, once)
			return err
		}, "<nil>"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			db := storetest.Open(t, clock)
			once := store.Once{Route: "r", Key: "k", Hash: "h"}
			if _, _, _, err := db.CreateCall(t.Context(), callOf("ada", 1, t0), store.Permit{Home: "US"}, once); err != nil {
				t.Fatal(err)
			}
			if err := tt.do(t, db, once); codeOf(err) != tt.want {
				t.Errorf("error %v, want %s", err, tt.want)
			}
			_, may, err := db.CallPermit(t.Context(), "ada", "")
			if err != nil {
				t.Fatal(err)
			}
			if _, active, err := db.Policy(t.Context(), "ada"); may.Calls.Used != 1 || active != 1 || err != nil {
				t.Errorf("%d calls counted, %d going, want 1 and 1; %v", may.Calls.Used, active, err)
			}
		})
	}
}

// A lease ends with its call, once, whoever ends it and however often.
func TestLeaseEndsWithTheCall(t *testing.T) {
	t.Parallel()
	db, ctx := storetest.Open(t, nil), t.Context()
	var calls []call.Call
	for i := range 5 {
		calls = append(calls, callOf("ada", i, t0))
		if _, _, _, err := db.CreateCall(ctx, calls[i], store.Permit{Home: "US"}, store.Once{}); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, _, err := db.CreateCall(ctx, callOf("ada", 5, t0), store.Permit{Home: "US"}, store.Once{}); codeOf(err) != "CONCURRENT_LIMIT_EXCEEDED" {
		t.Fatalf("the sixth: %v", err)
	}
	end := call.End{Status: call.Failed, Cause: call.Unknown, At: t0}
	got := race(100, func(i int) error {
		_, err := db.EndCall(ctx, calls[i%2], end)
		return err
	})
	if _, active, err := db.Policy(ctx, "ada"); got["admitted"] != 100 || active != 3 || err != nil {
		t.Errorf("%v; %d calls are going, want 3; %v", got, active, err)
	}
	db.LoseReplies(1)
	if _, err := db.EndCall(ctx, calls[2], end); err != nil {
		t.Fatal(err)
	}
	db.LoseReplies(1)
	if _, _, _, err := db.CreateCall(ctx, callOf("ada", 6, t0), store.Permit{Home: "US"}, store.Once{}); err != nil {
		t.Fatal(err)
	}
	if _, active, err := db.Policy(ctx, "ada"); active != 3 || err != nil {
		t.Errorf("%d calls are going, want 3; %v", active, err)
	}
}

// Transactions that meet at a row are cancelled by DynamoDB and sent again.
func TestCollisionsAreNotRefusals(t *testing.T) {
	t.Parallel()
	synctest.Test(t, testCollisions) // which are waited out
}

func testCollisions(t *testing.T) {
	db, ctx := storetest.Open(t, nil), t.Context()
	db.Collide(3)
	if _, _, hour, err := db.CreateCall(ctx, newCall("1"), store.Permit{Home: "US"}, store.Once{}); err != nil || hour.Used != 1 {
		t.Fatal(hour, err)
	}
	db.Collide(1000)
	if _, _, _, err := db.CreateCall(ctx, newCall("2"), store.Permit{Home: "US"}, store.Once{}); !fault.Is(err, fault.Upstream) {
		t.Errorf("without end: %v", err)
	}
}

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

// callOf is a user's call at a moment to the n-th of 10,000 numbers, with a maximum duration of
// a minute.
func callOf(user string, n int, at time.Time) call.Call {
	c := newCall(fmt.Sprintf("%s-%d-%d", user, at.Unix(), n))
	c.UserID, c.CreatedAt, c.Remote, c.MaxDuration = user, at, fmt.Sprintf("+1415555%04d", n), 60
	return c
}

// setPolicy gives a user the default policy with a change.
func setPolicy(t *testing.T, db *storetest.Database, user string, change func(*account.Policy)) {
	t.Helper()
	p := account.DefaultPolicy()
	change(&p)
	if err := db.PutPolicy(t.Context(), user, p); err != nil {
		t.Fatal(err)
	}
}

// tryCall creates a call from a number of the country home, with the user's current permit.
func tryCall(t *testing.T, db *storetest.Database, c call.Call, home string, once store.Once) (replayed bool, err error) {
	t.Helper()
	_, replayed, _, err = db.CreateCall(t.Context(), c, permit(t, db, c.UserID, home), once)
	return replayed, err
}

func codeOf(err error) string {
	if f, ok := errors.AsType[*fault.Error](err); ok {
		return f.Code
	}
	return fmt.Sprint(err)
}

// race calls do with 0 to n-1 from 50 goroutines and counts the outcomes by code.
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

// plenty is a limit that these tests do not reach.
const plenty = 1000

// TestLimitsAreExact: a limit admits exactly its quota of concurrent requests.
func TestLimitsAreExact(t *testing.T) {
	t.Parallel()
	db := open(t)
	for _, tt := range []struct {
		name             string
		perHour, atATime int
		toOne, minutes   int
		asked            int
		refusal          string
		wantActive       int
	}{
		{"calls an hour", 100, plenty, plenty, plenty, 200, "RATE_LIMIT_EXCEEDED", 100},
		{"as many as number requests", 5, plenty, plenty, plenty, 50, "RATE_LIMIT_EXCEEDED", 5},
		{"as many as configurations", 10, plenty, plenty, plenty, 50, "RATE_LIMIT_EXCEEDED", 10},
		{"calls at a time", plenty, 5, plenty, plenty, 50, "CONCURRENT_LIMIT_EXCEEDED", 5},
		{"one at a time", plenty, 1, plenty, plenty, 50, "CONCURRENT_LIMIT_EXCEEDED", 1},
		{"calls to one number", plenty, plenty, 7, plenty, 50, "RATE_LIMIT_EXCEEDED", 7},
		{"minutes a day", plenty, plenty, plenty, 12, 50, "RATE_LIMIT_EXCEEDED", 12},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			for round := range rounds {
				user := fmt.Sprintf("%s %d", tt.name, round)
				setPolicy(t, db, user, func(p *account.Policy) {
					p.CallsPerHour, p.MaxConcurrentCalls, p.CallsPerDestination, p.MinutesPerDay = tt.perHour, tt.atATime, tt.toOne, tt.minutes
				})
				may := permit(t, db, user, "US")
				got := race(tt.asked, func(i int) error {
					c := callOf(user, i, t0)
					if tt.toOne < plenty {
						c.Remote = "+14155550100"
					}
					_, _, _, err := db.CreateCall(t.Context(), c, may, store.Once{})
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
	setPolicy(t, db, "ada", func(p *account.Policy) { p.CallsPerHour, p.MaxConcurrentCalls = 2, 100 })
	n := 0
	admitted := func() (account.Limit, error) {
		n++
		_, _, hour, err := db.CreateCall(ctx, callOf("ada", n, now), permit(t, db, "ada", "US"), store.Once{})
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

// TestRefusedUsesUpNothing: a request that is refused for any reason uses up nothing. Neither does
// a repetition, nor a call whose workflow could not be started.
func TestRefusedUsesUpNothing(t *testing.T) {
	t.Parallel()
	clock := func() time.Time { return t0 }
	for _, tt := range []struct {
		name string
		do   func(t *testing.T, db *storetest.Database, once store.Once) error
		want string
	}{
		{"country", func(t *testing.T, db *storetest.Database, _ store.Once) error {
			_, err := tryCall(t, db, callOf("ada", 9, t0), "NG", store.Once{})
			return err
		}, "DESTINATION_NOT_ALLOWED"},
		{"agent", func(t *testing.T, db *storetest.Database, _ store.Once) error {
			setPolicy(t, db, "ada", func(p *account.Policy) { p.AllowedAgents = []string{"b"} })
			_, err := tryCall(t, db, callOf("ada", 9, t0), "US", store.Once{})
			return err
		}, "AGENT_NOT_ALLOWED"},
		{"switched off", func(t *testing.T, db *storetest.Database, _ store.Once) error {
			setPolicy(t, db, "ada", func(p *account.Policy) { p.CallsEnabled = false })
			_, err := tryCall(t, db, callOf("ada", 9, t0), "US", store.Once{})
			return err
		}, "CALLS_DISABLED"},
		{"too many at a time", func(t *testing.T, db *storetest.Database, _ store.Once) error {
			setPolicy(t, db, "ada", func(p *account.Policy) { p.MaxConcurrentCalls = 1 })
			_, err := tryCall(t, db, callOf("ada", 9, t0), "US", store.Once{})
			return err
		}, "CONCURRENT_LIMIT_EXCEEDED"},
		{"spent hour", func(t *testing.T, db *storetest.Database, _ store.Once) error {
			setPolicy(t, db, "ada", func(p *account.Policy) { p.CallsPerHour = 1 })
			_, err := tryCall(t, db, callOf("ada", 9, t0), "US", store.Once{})
			return err
		}, "RATE_LIMIT_EXCEEDED"},
		{"spent for a number", func(t *testing.T, db *storetest.Database, _ store.Once) error {
			setPolicy(t, db, "ada", func(p *account.Policy) { p.CallsPerDestination = 1 })
			c := callOf("ada", 9, t0)
			c.Remote = callOf("ada", 1, t0).Remote
			_, err := tryCall(t, db, c, "US", store.Once{})
			return err
		}, "RATE_LIMIT_EXCEEDED"},
		{"spent day", func(t *testing.T, db *storetest.Database, _ store.Once) error {
			setPolicy(t, db, "ada", func(p *account.Policy) { p.MinutesPerDay = 1 })
			_, err := tryCall(t, db, callOf("ada", 9, t0), "US", store.Once{})
			return err
		}, "RATE_LIMIT_EXCEEDED"},
		{"key with another body", func(t *testing.T, db *storetest.Database, once store.Once) error {
			once.Hash = "other"
			_, err := tryCall(t, db, callOf("ada", 9, t0), "US", once)
			return err
		}, "IDEMPOTENCY_KEY_REUSED"},
		{"the same again, though the hour is spent", func(t *testing.T, db *storetest.Database, once store.Once) error {
			setPolicy(t, db, "ada", func(p *account.Policy) { p.CallsPerHour = 1 })
			replayed, err := tryCall(t, db, callOf("ada", 9, t0), "US", once)
			if !replayed {
				t.Error("not replayed")
			}
			return err
		}, "<nil>"},
		{"workflow not started", func(t *testing.T, db *storetest.Database, _ store.Once) error {
			c := callOf("ada", 9, t0)
			once := store.Once{Route: "r", Key: "k2", Hash: "h"}
			if _, err := tryCall(t, db, c, "US", once); err != nil {
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
			if _, err := tryCall(t, db, callOf("ada", 1, t0), "US", once); err != nil {
				t.Fatal(err)
			}
			if err := tt.do(t, db, once); codeOf(err) != tt.want {
				t.Errorf("error %v, want %s", err, tt.want)
			}
			want := map[string]string{"hour_2026-11-22T09": "1", "to_2026-11-22T09_+14155550001": "1", "day_2026-11-22": "60", "active_calls": "1"}
			if d := cmp.Diff(want, used(t, db, "ada")); d != "" {
				t.Errorf("used (-want +got):\n%s", d)
			}
			if hour := permit(t, db, "ada", "US").Hour(); hour.Used != 1 {
				t.Errorf("%d calls counted, want 1", hour.Used)
			}
		})
	}
}

// TestLeaseEndsWithTheCall: a call leaves the active calls when it ends, once, no matter how often
// its end is written.
func TestLeaseEndsWithTheCall(t *testing.T) {
	t.Parallel()
	db, ctx := open(t), t.Context()
	var calls []call.Call
	for i := range 5 {
		calls = append(calls, callOf("ada", i, t0))
		if _, err := tryCall(t, db, calls[i], "US", store.Once{}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := tryCall(t, db, callOf("ada", 5, t0), "US", store.Once{}); codeOf(err) != "CONCURRENT_LIMIT_EXCEEDED" {
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
	may := permit(t, db, "ada", "US")
	db.LoseReplies(1)
	if _, _, _, err := db.CreateCall(ctx, callOf("ada", 6, t0), may, store.Once{}); err != nil {
		t.Fatal(err)
	}
	if _, active, err := db.Policy(ctx, "ada"); active != 3 || err != nil {
		t.Errorf("%d calls are going, want 3; %v", active, err)
	}
}

// TestCollisionsAreNotRefusals: DynamoDB cancels transactions that meet at a row, and the store
// sends them again.
func TestCollisionsAreNotRefusals(t *testing.T) {
	t.Parallel()
	synctest.Test(t, testCollisions) // the SDK waits before it sends a transaction again
}

func testCollisions(t *testing.T) {
	db, ctx := open(t), t.Context()
	may := permit(t, db, "ada", "US")
	db.Collide(3)
	if _, _, hour, err := db.CreateCall(ctx, newCall("1"), may, store.Once{}); err != nil || hour.Used != 1 {
		t.Fatal(hour, err)
	}
	db.Collide(1000)
	if _, _, _, err := db.CreateCall(ctx, newCall("2"), may, store.Once{}); !fault.Is(err, fault.Upstream) {
		t.Errorf("without end: %v", err)
	}
}

package store_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/krosai/telephony/shared/call"
	"github.com/krosai/telephony/shared/fault"
	"github.com/krosai/telephony/shared/number"
	"github.com/krosai/telephony/shared/numberrequest"
	"github.com/krosai/telephony/shared/store"
	"github.com/krosai/telephony/shared/store/storetest"
)

// operations are methods of the store, by the DynamoDB operation that they use. Each returns
// its result.
var operations = map[string]func(context.Context, *storetest.Database) (any, error){
	"GetItem": func(ctx context.Context, db *storetest.Database) (any, error) { return db.Call(ctx, "call_1") },
	"PutItem": func(ctx context.Context, db *storetest.Database) (any, error) {
		return nil, db.PutNumber(ctx, number.Number{ID: "pn_2", E164: "+2348030000002", Country: "NG", UserID: "ada"})
	},
	"UpdateItem": func(ctx context.Context, db *storetest.Database) (any, error) {
		_, mine, err := db.ClaimDial(ctx, "call_1", "me", t0)
		return mine, err
	},
	"Query": func(ctx context.Context, db *storetest.Database) (any, error) {
		return db.ActiveCalls(ctx, t0.Add(time.Hour))
	},
	"BatchGetItem": func(ctx context.Context, db *storetest.Database) (any, error) {
		_, may, err := db.CallPermit(ctx, "ada", "pn_1")
		return []any{may.Home, may.Hour().Used}, err
	},
	"TransactGetItems": func(ctx context.Context, db *storetest.Database) (any, error) {
		return db.HasAvailable(ctx, numberrequest.Request{ID: "req_1", Country: "NG", Type: "mobile", Capabilities: []string{"inbound"}})
	},
	"TransactWriteItems": func(ctx context.Context, db *storetest.Database) (any, error) {
		_, may, err := db.CallPermit(ctx, "ada", "pn_1")
		if err != nil {
			return nil, err
		}
		_, replayed, hour, err := db.CreateCall(ctx, newCall("2"), may, store.Once{})
		return []any{replayed, hour.Used}, err
	},
}

// furnish creates what the operations need: a call, a number of the call's user and a free number.
func furnish(t *testing.T, db *storetest.Database) {
	t.Helper()
	create(t, db, newCall("1"))
	for _, n := range []number.Number{
		{ID: "pn_1", E164: "+14155550199", Country: "US", UserID: "ada"},
		{ID: "pn_3", E164: "+2348030000003", Country: "NG", Type: "mobile", Capabilities: []string{"inbound"}}} {
		if err := db.PutNumber(t.Context(), n); err != nil {
			t.Fatal(err)
		}
	}
}

// TestRefusedForTheMoment: after any temporary failure each operation returns the same result as
// without it, and gives up only when its deadline leaves no time.
func TestRefusedForTheMoment(t *testing.T) {
	t.Parallel()
	for operation, do := range operations {
		want := found(t, operation, do, 0, "")
		for _, refusal := range storetest.Refusals(operation) {
			t.Run(operation+"/"+refusal, func(t *testing.T) {
				t.Parallel()
				if d := cmp.Diff(want, found(t, operation, do, 6, refusal)); d != "" {
					t.Error(d)
				}
				unanswered(t, operation, do, refusal)
			})
		}
	}
}

// refusing opens a database that refuses the first n requests of an operation.
func refusing(t *testing.T, operation, refusal string, n *atomic.Int64) *storetest.Database {
	t.Helper()
	db := storetest.Open(t, nil)
	furnish(t, db)
	db.Between(func(next http.RoundTripper) http.RoundTripper {
		return storetest.RoundTrip(func(r *http.Request) (*http.Response, error) {
			if storetest.Operation(r) == operation && n.Add(-1) >= 0 {
				return storetest.Refuse(refusal, r, next)
			}
			return next.RoundTrip(r)
		})
	})
	return db
}

// found is the result of an operation after n refusals.
func found(t *testing.T, operation string, do func(context.Context, *storetest.Database) (any, error), n int64, refusal string) (got any) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		var left atomic.Int64
		left.Store(n)
		db := refusing(t, operation, refusal, &left)
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		var err error
		if got, err = do(ctx, db); err != nil {
			t.Errorf("%s: %v", operation, err)
		}
		if left.Load() > 0 {
			t.Errorf("%s was refused %d times, not %d", operation, n-left.Load(), n)
		}
	})
	return got
}

// unanswered checks that an operation that is always refused fails at its deadline.
func unanswered(t *testing.T, operation string, do func(context.Context, *storetest.Database) (any, error), refusal string) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		var always atomic.Int64
		always.Store(1 << 40)
		db := refusing(t, operation, refusal, &always)
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		began := time.Now() // by the bubble's clock
		_, err := do(ctx, db)
		if took := time.Since(began); !fault.Is(err, fault.Upstream) || took < time.Second || took >= 3*time.Second {
			t.Errorf("always refused, it ended after %s with %v", took, err)
		}
	})
}

// TestConditionsAreFinal: a failed condition is the final answer, even next to a conflict.
func TestConditionsAreFinal(t *testing.T) {
	t.Parallel()
	db := storetest.Open(t, nil)
	create(t, db, newCall("1"))
	may := permit(t, db, "ada", "US")
	db.Trips()
	if _, _, _, err := db.CreateCall(t.Context(), newCall("1"), may, store.Once{}); err == nil || db.Trips() != 1 {
		t.Errorf("the same call again: %v", err)
	}
	db.Between(func(next http.RoundTripper) http.RoundTripper {
		return storetest.RoundTrip(func(r *http.Request) (*http.Response, error) {
			return storetest.Refuse(`canceled: ConditionalCheckFailed"},{"Code":"TransactionConflict`, r, next)
		})
	})
	if _, _, _, err := db.CreateCall(t.Context(), newCall("2"), may, store.Once{}); err == nil || db.Trips() != 1 {
		t.Errorf("a condition and a conflict: %v", err)
	}
}

// TestRefusedAtRandom: DynamoDB refuses every fifth request on average, in every possible way,
// while 200 calls are created, dialed, answered and ended at the same time. No operation fails, and
// each happens once.
func TestRefusedAtRandom(t *testing.T) {
	t.Parallel()
	for seed := range uint64(2) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { refuseAtRandom(t, seed) })
		})
	}
}

func refuseAtRandom(t *testing.T, seed uint64) {
	db := storetest.Open(t, nil)
	var mu sync.Mutex
	random := rand.New(rand.NewPCG(seed, 0))
	drawn := map[string]int{}
	db.Between(func(next http.RoundTripper) http.RoundTripper {
		return storetest.RoundTrip(func(r *http.Request) (*http.Response, error) {
			mu.Lock()
			names := storetest.Refusals(storetest.Operation(r))
			conditionFailed, name := random.IntN(5) == 0, names[random.IntN(len(names))]
			if conditionFailed {
				drawn[name]++
			}
			mu.Unlock()
			if conditionFailed {
				return storetest.Refuse(name, r, next)
			}
			return next.RoundTrip(r)
		})
	})
	const users, each = 50, 4
	var wg sync.WaitGroup
	for i := range users * each {
		wg.Go(func() {
			c := newCall(fmt.Sprint(i))
			c.UserID = fmt.Sprint("user", i%users)
			if err := live(t.Context(), db, c); err != nil {
				t.Errorf("%s: %v", c.ID, err)
			}
		})
	}
	wg.Wait()
	for i := range users {
		accounted(t, db, fmt.Sprint("user", i), each)
	}
	if len(drawn) < 10 {
		t.Errorf("only these refusals came: %v", drawn)
	}
}

// live creates a call and takes it to its end like the functions do, each step with a timeout.
func live(ctx context.Context, db *storetest.Database, c call.Call) error {
	within := func(do func(context.Context) error) error {
		ctx, cancel := context.WithTimeout(ctx, 9*time.Second)
		defer cancel()
		return do(ctx)
	}
	steps := []func(context.Context) error{
		func(ctx context.Context) error {
			_, may, err := db.CallPermit(ctx, c.UserID, "")
			if err != nil {
				return err
			}
			may.Home = "US"
			_, _, _, err = db.CreateCall(ctx, c, may, store.Once{Route: "r", Key: c.ID, Hash: "h"})
			return err
		},
		func(ctx context.Context) error {
			_, mine, err := db.ClaimDial(ctx, c.ID, "me", t0)
			if err == nil && !mine {
				return fmt.Errorf("the dial was claimed by nobody and not given")
			}
			return err
		},
		func(ctx context.Context) error {
			_, err := db.Advance(ctx, c.ID, call.InProgress, t0.Add(time.Second))
			return err
		},
		func(ctx context.Context) error {
			now, err := db.Call(ctx, c.ID)
			if err != nil {
				return err
			}
			_, err = db.EndCall(ctx, now, call.End{Status: call.Completed, Cause: call.CalleeHangup, At: t0.Add(11 * time.Second)})
			return err
		},
	}
	for _, step := range steps {
		if err := within(step); err != nil {
			return err
		}
	}
	return nil
}

// accounted checks that each of a user's calls is counted once and that none is active.
func accounted(t *testing.T, db *storetest.Database, user string, calls int) {
	t.Helper()
	days, err := db.StatsOf(t.Context(), user, t0, t0)
	if err != nil || len(days) != 1 {
		t.Fatalf("%s: %v, %v", user, days, err)
	}
	_, active, err := db.Policy(t.Context(), user)
	if err != nil || active != 0 || days[0].Started != calls || days[0].TalkSeconds != 10*calls {
		t.Errorf("%s has %d calls going and %+v, %v", user, active, days[0], err)
	}
}

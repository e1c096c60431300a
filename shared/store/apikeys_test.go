package store_test

import (
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/google/go-cmp/cmp"
	"github.com/oklog/ulid/v2"

	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/fault"
	"github.com/krosai/telephony/shared/store/storetest"
)

// clock is a clock that tests can set.
type clock struct{ at atomic.Int64 }

func newClock(t time.Time) *clock { c := &clock{}; c.at.Store(t.UnixNano()); return c }

func (c *clock) now() time.Time      { return time.Unix(0, c.at.Load()).UTC() }
func (c *clock) add(d time.Duration) { c.at.Add(int64(d)) }

// aKey is a key of user, with its hash. change, if not nil, changes it first.
func aKey(t testing.TB, user string, change func(*account.Key)) (account.Key, [32]byte) {
	t.Helper()
	k := account.Key{ID: "key_" + ulid.MustNew(ulid.Timestamp(morning), rand.Reader).String(), UserID: user, Name: "CI",
		Scopes: []string{account.CallsRead}, CreatedAt: morning}
	if change != nil {
		change(&k)
	}
	k, str, err := account.Issue(k, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	_, sum, _ := account.ParseKey(str)
	return k, sum
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestUseKey(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		change func(*account.Key)
		at     time.Duration // after morning
		live   bool
	}{
		"for ever":         {nil, 0, true},
		"expires later":    {func(k *account.Key) { k.ExpiresAt = morning.Add(time.Second) }, 0, true},
		"expires now":      {func(k *account.Key) { k.ExpiresAt = morning.Add(time.Second) }, time.Second, false},
		"has expired":      {func(k *account.Key) { k.ExpiresAt = morning.Add(time.Second) }, time.Minute, false},
		"revoked":          {func(k *account.Key) { k.RevokedAt = morning }, 0, false},
		"in time of grace": {func(k *account.Key) { k.RevokedAt = morning.Add(time.Hour) }, time.Hour - 1e6, true},
		"grace has ended":  {func(k *account.Key) { k.RevokedAt = morning.Add(time.Hour) }, time.Hour, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newClock(morning.Add(tt.at))
			db := storetest.Open(t, c.now)
			k, sum := aKey(t, "usr_a", tt.change)
			must(t, db.PutKey(t.Context(), k))
			got, err := db.UseKey(t.Context(), k.ID, sum)
			if !tt.live {
				if !fault.Is(err, fault.Unauthenticated) || got.ID != "" {
					t.Errorf("%+v, %v", got, err)
				}
				return
			}
			want := k
			want.LastUsedAt, want.HourLimit, want.HourUsed = c.now().Truncate(time.Hour), account.KeyHourLimit, 1
			want.HourResets = c.now().Truncate(time.Hour).Add(time.Hour)
			if diff := cmp.Diff(want, got); err != nil || diff != "" {
				t.Errorf("%v %s", err, diff)
			}
			if _, err := db.UseKey(t.Context(), k.ID, sha256.Sum256([]byte("other"))); !fault.Is(err, fault.Unauthenticated) {
				t.Errorf("another hash: %v", err)
			}
			if _, err := db.UseKey(t.Context(), "user#usr_a", sum); !fault.Is(err, fault.Unauthenticated) {
				t.Errorf("another id: %v", err)
			}
		})
	}
}

// TestRoundTripsOfUseKey: a request takes one round trip, and a second one if it draws 25 from the
// user's hour. The first request of the user's hour takes a third. The row of a key that is used
// now and then does not grow.
func TestRoundTripsOfUseKey(t *testing.T) {
	t.Parallel()
	c := newClock(morning)
	db := storetest.Open(t, c.now)
	k, sum := aKey(t, "usr_a", nil)
	another, anotherSum := aKey(t, "usr_a", nil)
	for _, k := range []account.Key{k, another} {
		_, err := db.AddKey(t.Context(), k)
		must(t, err)
	}
	use := func(id string, sum [32]byte, want int) {
		t.Helper()
		db.Trips()
		_, err := db.UseKey(t.Context(), id, sum)
		if trips := db.Trips(); err != nil || trips != want {
			t.Errorf("%d round trips, want %d; %v", trips, want, err)
		}
	}
	for range 5 { // hours
		for i := range 76 {
			switch {
			case i == 0:
				use(k.ID, sum, 3)
				use(another.ID, anotherSum, 2)
			case i%25 == 0:
				use(k.ID, sum, 2)
			default:
				use(k.ID, sum, 1)
			}
		}
		c.add(time.Hour)
	}
	hours, _ := db.Rows(t, "keys", k.ID)[0]["hours"].(*types.AttributeValueMemberM)
	if hours == nil || len(hours.Value) != 2 {
		t.Errorf("the key holds the hours %v, want the last two", hours)
	}
}

// spend uses the key n times from 200 goroutines and counts the requests that were let in. The
// others must be refused for the limit.
func spend(t *testing.T, db *storetest.Database, id string, sum [32]byte, n int) int {
	t.Helper()
	var in, left atomic.Int64
	left.Store(int64(n))
	var wg sync.WaitGroup
	for range 200 {
		wg.Go(func() {
			for left.Add(-1) >= 0 {
				_, err := db.UseKey(t.Context(), id, sum)
				switch {
				case err == nil:
					in.Add(1)
				case !fault.Is(err, fault.Limited):
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	return int(in.Load())
}

// TestHourLimitIsExact: 200 goroutines share the last 100 requests of an hour of 1000, and exactly
// 100 are let in, in each round.
func TestHourLimitIsExact(t *testing.T) {
	t.Parallel()
	db := storetest.Open(t, newClock(morning).now)
	next := morning.Truncate(time.Hour).Add(time.Hour)
	for round := range rounds {
		k, sum := aKey(t, "usr_a", func(k *account.Key) { k.HourUsed, k.HourResets = 900, next })
		must(t, db.PutKey(t.Context(), k))
		if in := spend(t, db, k.ID, sum, 200); in != 100 {
			t.Fatalf("round %d: %d of the last 100", round, in)
		}
		got, err := db.UseKey(t.Context(), k.ID, sum)
		f, _ := errors.AsType[*fault.Error](err)
		if f == nil || f.Code != "RATE_LIMIT_EXCEEDED" || f.RetryAfter != next.Sub(morning) {
			t.Fatalf("round %d: %v", round, err)
		}
		if got.HourLimit != 1000 || got.HourUsed != 1000 || !got.HourResets.Equal(next) || got.UserID != "usr_a" {
			t.Fatalf("round %d: the key with the fault is %+v", round, got)
		}
		if _, err := db.UseKey(t.Context(), k.ID, sha256.Sum256([]byte("guess"))); !fault.Is(err, fault.Unauthenticated) {
			t.Fatalf("round %d: a guess learns that the hour is spent: %v", round, err)
		}
	}
}

// TestHourLimitAtTheTurn: all 200 requests come in the first instant of an hour, when there is no
// count yet and an old count is to be removed.
func TestHourLimitAtTheTurn(t *testing.T) {
	t.Parallel()
	c := newClock(morning)
	db := storetest.Open(t, c.now)
	k, sum := aKey(t, "usr_a", func(k *account.Key) { k.HourLimit = 60 })
	must(t, db.PutKey(t.Context(), k))
	for round := range rounds {
		if in := spend(t, db, k.ID, sum, 200); in != 60 {
			t.Fatalf("round %d: %d let in", round, in)
		}
		c.add(time.Hour)
	}
	// A function whose clock is an hour behind counts in its own hour, which is used up.
	if in := spend(t, db, k.ID, sum, 60); in != 60 {
		t.Fatalf("%d let in", in)
	}
	c.add(-time.Hour)
	if in := spend(t, db, k.ID, sum, 60); in != 0 {
		t.Errorf("a clock that is behind let %d in", in)
	}
}

// TestLostRepliesCountTwice: after a lost reply the SDK repeats the request. It counts twice, and
// no request is let in beyond the limit.
func TestLostRepliesCountTwice(t *testing.T) {
	t.Parallel()
	c := newClock(morning)
	db := storetest.Open(t, c.now)
	k, sum := aKey(t, "usr_a", func(k *account.Key) { k.HourLimit = 4 })
	must(t, db.PutKey(t.Context(), k))
	in := 0
	for range 3 {
		db.LoseReplies(1)
		if _, err := db.UseKey(t.Context(), k.ID, sum); err == nil {
			in++
		} else if !fault.Is(err, fault.Limited) {
			t.Fatal(err)
		}
	}
	db.LoseReplies(0)
	if got, err := db.UseKey(t.Context(), k.ID, sum); in != 2 || got.HourUsed != 4 || !fault.Is(err, fault.Limited) {
		t.Errorf("%d let in, %d counted, %v", in, got.HourUsed, err)
	}
}

var guesses = flag.Int("guesses", 0, "how many keys TestRandomKeysAreRefused tries; 0 is 250 in each round")

// TestRandomKeysAreRefused: keys with a right checksum, made by chance, are refused. Half of them
// have an id that exists. To try more of them:
//
//	go test ./shared/store -run TestRandomKeysAreRefused -guesses 100000
func TestRandomKeysAreRefused(t *testing.T) {
	t.Parallel()
	n := *guesses
	if n == 0 {
		n = 250 * rounds
	}
	db := storetest.Open(t, newClock(morning).now)
	k, _ := aKey(t, "usr_a", nil)
	must(t, db.PutKey(t.Context(), k))
	db.Trips()
	var left atomic.Int64
	left.Store(int64(n))
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for i := left.Add(-1); i >= 0; i = left.Add(-1) {
				id := k.ID
				if i%2 == 0 {
					id = "key_" + ulid.MustNew(uint64(i), rand.Reader).String()
				}
				str, err := account.NewKey(id, rand.Reader)
				if err != nil {
					t.Error(err)
				}
				_, sum, ok := account.ParseKey(str)
				if got, err := db.UseKey(t.Context(), id, sum); !ok || !fault.Is(err, fault.Unauthenticated) || got.ID != "" {
					t.Errorf("%s: %+v, %v", str, got, err)
				}
			}
		})
	}
	wg.Wait()
	if trips := db.Trips(); trips != n {
		t.Errorf("%d round trips for %d keys", trips, n)
	}
	t.Logf("%d keys refused", n)
}

func TestRevokeKey(t *testing.T) {
	t.Parallel()
	c := newClock(morning)
	db, ctx := storetest.Open(t, c.now), t.Context()
	k, sum := aKey(t, "usr_a", nil)
	must(t, db.PutKey(ctx, k))
	for _, user := range []string{"usr_b", ""} {
		if err := db.RevokeKey(ctx, user, k.ID); !fault.Is(err, fault.NotFound) {
			t.Errorf("%q revokes: %v", user, err)
		}
	}
	if err := db.RevokeKey(ctx, "usr_a", "key_01JD8Z7N5R4T3V2W1X0YABCDEF"); !fault.Is(err, fault.NotFound) {
		t.Errorf("no key: %v", err)
	}
	if _, err := db.UseKey(ctx, k.ID, sum); err != nil {
		t.Fatal(err)
	}
	db.LoseReplies(1)
	must(t, db.RevokeKey(ctx, "usr_a", k.ID))
	if _, err := db.UseKey(ctx, k.ID, sum); !fault.Is(err, fault.Unauthenticated) {
		t.Errorf("after revocation: %v", err)
	}
	c.add(-time.Hour) // a function whose clock is behind
	if _, err := db.UseKey(ctx, k.ID, sum); !fault.Is(err, fault.Unauthenticated) {
		t.Errorf("by a clock that is behind: %v", err)
	}
	c.add(2 * time.Hour)
	must(t, db.RevokeKey(ctx, "usr_a", k.ID))
	got, err := db.Key(ctx, "usr_a", k.ID)
	if err != nil || !got.RevokedAt.Equal(morning) || got.Hash != nil {
		t.Errorf("%+v, %v: want the first revocation and no hash", got, err)
	}
}

// TestRevokeAmongRequests: a key dies in one instant, no matter how many requests are under way. No
// request that begins after the revocation was answered is let in.
func TestRevokeAmongRequests(t *testing.T) {
	t.Parallel()
	db, ctx := storetest.Open(t, nil), t.Context()
	for range 5 {
		k, sum := aKey(t, "usr_a", nil)
		must(t, db.PutKey(ctx, k))
		var gone atomic.Bool
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				for range 10 {
					late := gone.Load()
					if _, err := db.UseKey(ctx, k.ID, sum); err == nil && late {
						t.Error("a revoked key was let in")
					}
				}
			})
		}
		must(t, db.RevokeKey(ctx, "usr_a", k.ID))
		gone.Store(true)
		wg.Wait()
	}
}

func TestRotateKey(t *testing.T) {
	t.Parallel()
	for _, grace := range []time.Duration{0, time.Minute, 24 * time.Hour} {
		t.Run(grace.String(), func(t *testing.T) {
			t.Parallel()
			c := newClock(morning)
			db, ctx := storetest.Open(t, c.now), t.Context()
			old, oldSum := aKey(t, "usr_a", nil)
			fresh, freshSum := aKey(t, "usr_a", nil)
			must(t, db.PutKey(ctx, old))
			ended := old
			ended.RevokedAt = morning.Add(grace)
			db.LoseReplies(1)
			_, err := db.RotateKey(ctx, ended, fresh)
			must(t, err)

			uses := func(sum [32]byte, id string) bool {
				_, err := db.UseKey(ctx, id, sum)
				if err != nil && !fault.Is(err, fault.Unauthenticated) {
					t.Error(err)
				}
				return err == nil
			}
			if !uses(freshSum, fresh.ID) || uses(oldSum, old.ID) != (grace > 0) {
				t.Error("at once: want the new key and the old one only in a time of grace")
			}
			c.add(grace - time.Millisecond)
			if grace > 0 && !uses(oldSum, old.ID) {
				t.Error("the old key died before its time")
			}
			c.add(time.Millisecond)
			if uses(oldSum, old.ID) || !uses(freshSum, fresh.ID) {
				t.Error("after the time of grace: want only the new key")
			}
			again, _ := aKey(t, "usr_a", nil)
			if _, err := db.RotateKey(ctx, ended, again); !fault.Is(err, fault.Conflict) {
				t.Errorf("rotated twice: %v", err)
			}
			if _, err := db.Key(ctx, "usr_a", again.ID); !fault.Is(err, fault.NotFound) {
				t.Errorf("the refused rotation left a key: %v", err)
			}
		})
	}
}

func TestRotateRefuses(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*account.Key){
		"revoked": func(k *account.Key) { k.RevokedAt = morning.Add(-time.Minute) },
		"expired": func(k *account.Key) { k.ExpiresAt = morning },
		"rotated": func(k *account.Key) { k.RevokedAt = morning.Add(time.Hour) },
		"another": func(k *account.Key) { k.UserID = "usr_b" },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db, ctx := storetest.Open(t, newClock(morning).now), t.Context()
			old, _ := aKey(t, "usr_a", change)
			must(t, db.PutKey(ctx, old))
			fresh, _ := aKey(t, "usr_a", nil)
			old.UserID, old.RevokedAt = "usr_a", morning.Add(time.Minute)
			if _, err := db.RotateKey(ctx, old, fresh); !fault.Is(err, fault.Conflict) {
				t.Error(err)
			}
		})
	}
}

// TestRotateRace: one of 20 concurrent rotations wins, and there is one new key.
func TestRotateRace(t *testing.T) {
	t.Parallel()
	db, ctx := storetest.Open(t, newClock(morning).now), t.Context()
	old, _ := aKey(t, "usr_a", nil)
	must(t, db.PutKey(ctx, old))
	old.RevokedAt = morning.Add(time.Hour)
	var won atomic.Int64
	var wg sync.WaitGroup
	for range 20 {
		fresh, _ := aKey(t, "usr_a", nil)
		wg.Go(func() {
			switch _, err := db.RotateKey(ctx, old, fresh); {
			case err == nil:
				won.Add(1)
			case !fault.Is(err, fault.Conflict):
				t.Error(err)
			}
		})
	}
	wg.Wait()
	keys, _, err := db.KeysOf(ctx, "usr_a", 100, "")
	if won.Load() != 1 || len(keys) != 2 || err != nil {
		t.Errorf("%d won, %d keys, %v", won.Load(), len(keys), err)
	}
}

// TestMaxKeys: 60 concurrent requests make 50 keys, and a key that dies makes room for one.
func TestMaxKeys(t *testing.T) {
	t.Parallel()
	c := newClock(morning)
	db, ctx := storetest.Open(t, c.now), t.Context()
	must(t, db.PutKeyQuotas(ctx, "usr_a", account.RequestsPerHour, 100))
	var mu sync.Mutex
	var made []account.Key
	var wg sync.WaitGroup
	for i := range 60 {
		k, _ := aKey(t, "usr_a", func(k *account.Key) {
			if i%2 == 0 {
				k.ExpiresAt = morning.Add(time.Hour)
			}
		})
		wg.Go(func() {
			switch _, err := db.AddKey(ctx, k); {
			case err == nil:
				mu.Lock()
				made = append(made, k)
				mu.Unlock()
			case !fault.Is(err, fault.Conflict):
				t.Error(err)
			}
		})
	}
	wg.Wait()
	add := func(user string) error {
		k, _ := aKey(t, user, nil)
		_, err := db.AddKey(ctx, k)
		return err
	}
	if err := add("usr_a"); len(made) != account.MaxKeys || !fault.Is(err, fault.Conflict) {
		t.Fatalf("%d keys, then %v", len(made), err)
	}
	db.Collide(2)
	must(t, add("usr_b"))

	must(t, db.RevokeKey(ctx, "usr_a", made[0].ID))
	must(t, add("usr_a"))
	if err := add("usr_a"); !fault.Is(err, fault.Conflict) {
		t.Errorf("after one was revoked and one made: %v", err)
	}

	live := slices.DeleteFunc(slices.Clone(made[1:]), func(k account.Key) bool { return !k.ExpiresAt.IsZero() })
	rotate := func(k account.Key, grace time.Duration) error {
		fresh, _ := aKey(t, "usr_a", nil)
		k.RevokedAt = c.now().Add(grace)
		_, err := db.RotateKey(ctx, k, fresh)
		return err
	}
	if err := rotate(live[0], time.Minute); !fault.Is(err, fault.Conflict) {
		t.Errorf("rotated with grace at 50: %v", err)
	}
	for _, k := range live[:3] {
		if err := rotate(k, 0); err != nil {
			t.Errorf("rotated at once at 50: %v", err)
		}
	}
	if err := add("usr_a"); !fault.Is(err, fault.Conflict) {
		t.Errorf("after rotations: %v", err)
	}
	c.add(time.Hour) // the keys with an expiry die
	dead := 0
	for _, k := range made[1:] {
		if !k.ExpiresAt.IsZero() {
			dead++
		}
	}
	for i := range dead {
		if err := add("usr_a"); err != nil {
			t.Fatalf("place %d of %d: %v", i, dead, err)
		}
	}
	if err := add("usr_a"); !fault.Is(err, fault.Conflict) {
		t.Errorf("after %d places were taken: %v", dead, err)
	}
}

func TestKeysOf(t *testing.T) {
	t.Parallel()
	db, ctx := storetest.Open(t, newClock(morning).now), t.Context()
	var want []string
	for i := range 7 {
		k, sum := aKey(t, "usr_a", func(k *account.Key) { k.ID = fmt.Sprintf("key_01JD8Z7N5R4T3V2W1X0YABCDE%d", i) })
		_, err := db.AddKey(ctx, k)
		must(t, err)
		want = append(want, k.ID)
		if _, err := db.UseKey(ctx, k.ID, sum); err != nil {
			t.Fatal(err)
		}
	}
	other, _ := aKey(t, "usr_b", nil)
	_, err := db.AddKey(ctx, other)
	must(t, err)
	slices.Reverse(want)
	var got []string
	after := ""
	for pages := 1; ; pages++ {
		db.Trips()
		keys, next, err := db.KeysOf(ctx, "usr_a", 3, after)
		if err != nil || db.Trips() != 1 {
			t.Fatal(err)
		}
		for _, k := range keys {
			got = append(got, k.ID)
			if k.Hash != nil || k.Name != "CI" || k.LastFour == "" || !k.LastUsedAt.Equal(morning.Truncate(time.Hour)) || len(k.Scopes) != 1 {
				t.Errorf("%+v", k)
			}
		}
		if after = next; next == "" {
			if pages != 3 {
				t.Errorf("%d pages", pages)
			}
			break
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if _, err := db.Key(ctx, "usr_b", want[0]); !fault.Is(err, fault.NotFound) {
		t.Errorf("another user's key: %v", err)
	}
}

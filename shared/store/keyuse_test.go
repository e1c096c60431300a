package store_test

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/fault"
	"github.com/krosai/telephony/shared/store/storetest"
)

// atOnce sends n requests with each use, 20 at a time for each, and counts the requests that were
// let in.
func atOnce(t *testing.T, n int, uses ...func() error) int {
	t.Helper()
	var in atomic.Int64
	var wg sync.WaitGroup
	for _, use := range uses {
		var left atomic.Int64
		left.Store(int64(n))
		for range 20 {
			wg.Go(func() {
				for left.Add(-1) >= 0 {
					switch err := use(); {
					case err == nil:
						in.Add(1)
					case !fault.Is(err, fault.Limited):
						t.Error(err)
					}
				}
			})
		}
	}
	wg.Wait()
	return int(in.Load())
}

// TestKeysOfAUserShareAnHour: all keys of a user share one hour, another user has another, and each
// hour starts anew.
func TestKeysOfAUserShareAnHour(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ quota, each, want int }{
		"as all users":          {0, 525, account.RequestsPerHour}, // in whole blocks
		"of less than a block":  {10, 12, 10},
		"not a multiple of one": {90, 100, 90},
		"more than is asked":    {500, 40, 160},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newClock(morning)
			db := storetest.Open(t, c.now)
			if tt.quota > 0 {
				must(t, db.PutKeyQuotas(t.Context(), "usr_a", tt.quota, 20))
			}
			var uses []func() error
			var last account.Key
			for range 4 {
				k, sum := aKey(t, "usr_a", nil)
				_, err := db.AddKey(t.Context(), k)
				must(t, err)
				uses = append(uses, func() error { _, err := db.UseKey(t.Context(), k.ID, sum); return err })
			}
			if in := atOnce(t, tt.each, uses...); in != tt.want {
				t.Errorf("%d let in, want %d", in, tt.want)
			}
			k, sum := aKey(t, "usr_a", nil)
			_, err := db.AddKey(t.Context(), k)
			must(t, err)
			if tt.want < 4*tt.each {
				last, err = db.UseKey(t.Context(), k.ID, sum)
				f, _ := errors.AsType[*fault.Error](err)
				next := morning.Truncate(time.Hour).Add(time.Hour)
				want := account.Limit{Name: "user_requests", Quota: tt.want, Used: tt.want, Resets: next}
				if f == nil || f.Code != "RATE_LIMIT_EXCEEDED" || f.RetryAfter != next.Sub(morning) || !cmp.Equal(want, last.Together) {
					t.Errorf("a new key: %v, %+v", err, last.Together)
				}
			}
			other, sum := aKey(t, "usr_b", nil)
			must(t, db.PutKey(t.Context(), other))
			if _, err := db.UseKey(t.Context(), other.ID, sum); err != nil {
				t.Errorf("another user: %v", err)
			}
			c.add(time.Hour)
			if in := atOnce(t, 10, uses[0]); in != 10 {
				t.Errorf("in the next hour %d of 10 let in", in)
			}
		})
	}
}

// TestTokensHaveAnHour: requests with JWTs have an hour of their own, exact and in one round trip.
func TestTokensHaveAnHour(t *testing.T) {
	t.Parallel()
	c := newClock(morning)
	db := storetest.Open(t, c.now)
	use := func() error { _, err := db.UseToken(t.Context(), "usr_a"); return err }
	if in := atOnce(t, account.TokenHourLimit+100, use); in != account.TokenHourLimit {
		t.Errorf("%d let in", in)
	}
	next := morning.Truncate(time.Hour).Add(time.Hour)
	limit, err := db.UseToken(t.Context(), "usr_a")
	want := account.Limit{Name: "requests", Quota: account.TokenHourLimit, Used: account.TokenHourLimit, Resets: next}
	if f, _ := errors.AsType[*fault.Error](err); f == nil || f.RetryAfter != next.Sub(morning) || !cmp.Equal(want, limit) {
		t.Errorf("%+v %v", limit, err)
	}
	for i, step := range []struct {
		wait        time.Duration
		trips, used int
	}{{time.Hour, 2, 1}, {0, 1, 2}, {time.Minute, 1, 3}, {48 * time.Hour, 2, 1}, {0, 1, 2}} {
		c.add(step.wait)
		db.Trips()
		limit, err := db.UseToken(t.Context(), "usr_a")
		if trips := db.Trips(); err != nil || trips != step.trips || limit.Used != step.used {
			t.Errorf("step %d: %d round trips, %+v, %v", i, trips, limit, err)
		}
	}
	if _, err := db.UseToken(t.Context(), "usr_b"); err != nil {
		t.Error(err)
	}
}

// TestKeysPerHour: made and rotated keys count alike, and no other keys count.
func TestKeysPerHour(t *testing.T) {
	t.Parallel()
	c := newClock(morning)
	db, ctx := storetest.Open(t, c.now), t.Context()
	last, _ := aKey(t, "usr_a", nil)
	must(t, db.PutKey(ctx, last))
	var add, rotate func() error
	add = func() error {
		k, _ := aKey(t, "usr_a", nil)
		_, err := db.AddKey(ctx, k)
		return err
	}
	rotate = func() error {
		fresh, _ := aKey(t, "usr_a", nil)
		ended := last
		ended.RevokedAt = c.now()
		_, err := db.RotateKey(ctx, ended, fresh)
		if err == nil {
			last = fresh
		}
		return err
	}
	for hour := range 3 {
		for i := range account.KeysPerHour / 2 {
			if err := errors.Join(add(), rotate()); err != nil {
				t.Fatalf("hour %d, key %d: %v", hour, i, err)
			}
		}
		for name, err := range map[string]error{"made": add(), "rotated": rotate()} {
			if f, _ := errors.AsType[*fault.Error](err); f == nil || f.Code != "RATE_LIMIT_EXCEEDED" || f.RetryAfter <= 0 {
				t.Errorf("hour %d: one more %s: %v", hour, name, err)
			}
		}
		c.add(time.Hour)
	}
}

// TestKeysAreMadeAgain: a second attempt at the same request gives the key of the first attempt
// another text. Only the later text works, whichever attempt finishes last.
func TestKeysAreMadeAgain(t *testing.T) {
	t.Parallel()
	c := newClock(morning)
	db, ctx := storetest.Open(t, c.now), t.Context()
	first, firstSum := aKey(t, "usr_a", func(k *account.Key) { k.IssuedAt = morning })
	again := func(at time.Duration) (account.Key, [32]byte) {
		return aKey(t, "usr_a", func(k *account.Key) { k.ID, k.IssuedAt, k.CreatedAt = first.ID, morning.Add(at), morning.Add(at) })
	}
	second, secondSum := again(time.Minute)
	_, err := db.AddKey(ctx, first)
	must(t, err)
	db.LoseReplies(1)
	made, err := db.AddKey(ctx, second)
	if err != nil || made.ID != first.ID || !made.CreatedAt.Equal(morning) || made.LastFour != second.LastFour {
		t.Errorf("%+v %v", made, err)
	}
	if _, err := db.AddKey(ctx, first); codeOf(err) != "IDEMPOTENCY_IN_PROGRESS" {
		t.Errorf("the first attempt, late: %v", err)
	}
	lives := func(sum [32]byte) bool { _, err := db.UseKey(ctx, first.ID, sum); return err == nil }
	if lives(firstSum) || !lives(secondSum) {
		t.Error("want the second text to be good, and the first not")
	}
	if keys, _, err := db.KeysOf(ctx, "usr_a", 10, ""); len(keys) != 1 || err != nil {
		t.Errorf("%d keys, %v", len(keys), err)
	}
	others, _ := again(time.Hour)
	others.UserID = "usr_b"
	if _, err := db.AddKey(ctx, others); err == nil || !lives(secondSum) {
		t.Errorf("another user: %v", err)
	}

	fresh, freshSum := aKey(t, "usr_a", func(k *account.Key) { k.IssuedAt = morning })
	newer, newerSum := aKey(t, "usr_a", func(k *account.Key) { k.ID, k.IssuedAt = fresh.ID, morning.Add(time.Minute) })
	made.RevokedAt = c.now().Add(time.Hour)
	for _, k := range []account.Key{fresh, newer} {
		if _, err := db.RotateKey(ctx, made, k); err != nil {
			t.Errorf("rotated: %v", err)
		}
	}
	_, freshErr := db.UseKey(ctx, fresh.ID, freshSum)
	_, newerErr := db.UseKey(ctx, fresh.ID, newerSum)
	if freshErr == nil || newerErr != nil {
		t.Errorf("after a second rotation: %v, %v", freshErr, newerErr)
	}
	must(t, db.RevokeKey(ctx, "usr_a", fresh.ID))
	last, _ := aKey(t, "usr_a", func(k *account.Key) { k.ID, k.IssuedAt = fresh.ID, morning.Add(time.Hour) })
	if _, err := db.AddKey(ctx, last); codeOf(err) != "CONFLICT" {
		t.Errorf("the key was revoked meanwhile: %v", err)
	}
}

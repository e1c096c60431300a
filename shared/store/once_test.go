package store_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/store/storetest"
)

func TestOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, testOnce) // the SDK waits before it sends a request again
}

func testOnce(t *testing.T) {
	now := t0
	db, ctx := storetest.Open(t, func() time.Time { return now }), t.Context()
	o := account.Once{UserID: "ada", Credential: "key_1", Route: "POST /things", Key: "k", Hash: "h", Owner: "1"}
	with := func(change func(*account.Once)) account.Once { changed := o; change(&changed); return changed }
	second := with(func(o *account.Once) { o.Owner = "2" })
	another := with(func(o *account.Once) { o.Owner, o.Hash = "2", "other" })
	var seed account.Seed
	begin := func(o account.Once, answer, want string) {
		t.Helper()
		db.LoseReplies(1)
		a, given, err := db.BeginOnce(ctx, o)
		if string(a) != answer || codeOf(err) != want {
			t.Errorf("%q %v, want %q %s", a, err, answer, want)
		}
		if err == nil && a == nil {
			seed = given
		}
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Error(err)
		}
	}
	begin(o, "", "<nil>")
	first := seed
	begin(second, "", "IDEMPOTENCY_IN_PROGRESS")
	begin(another, "", "IDEMPOTENCY_KEY_REUSED")
	for _, other := range []account.Once{with(func(o *account.Once) { o.UserID = "eve" }), with(func(o *account.Once) { o.Route = "POST /others" }),
		with(func(o *account.Once) { o.Key = "K" }), with(func(o *account.Once) { o.UserID, o.Route = "ada#POST", "/things" }),
		with(func(o *account.Once) { o.Credential = "key_2" })} {
		begin(other, "", "<nil>")
	}
	now = t0.Add(time.Minute - time.Millisecond)
	begin(second, "", "IDEMPOTENCY_IN_PROGRESS")
	now = t0.Add(time.Minute) // the first attempt is assumed to have ended
	begin(another, "", "IDEMPOTENCY_KEY_REUSED")
	begin(second, "", "<nil>")
	if d := cmp.Diff(first, seed); d != "" || seed.Text == "" {
		t.Errorf("the second attempt has another seed (-first +second):\n%s", d)
	}
	must(db.FinishOnce(ctx, o, []byte("late"))) // it has not, but its answer comes too late
	must(db.ForgetOnce(ctx, o))
	begin(o, "", "IDEMPOTENCY_IN_PROGRESS")
	db.LoseReplies(1)
	must(db.FinishOnce(ctx, second, []byte("answer")))
	must(db.ForgetOnce(ctx, second)) // no effect: the answer is kept
	begin(o, "answer", "<nil>")
	begin(another, "", "IDEMPOTENCY_KEY_REUSED")
	now = t0.Add(24*time.Hour + time.Minute - time.Second)
	begin(o, "answer", "<nil>")
	now = now.Add(time.Second) // expired, although DynamoDB deletes the row later
	begin(another, "", "<nil>")
	if seed.Text == first.Text || seed.At.Equal(first.At) {
		t.Error("a day later the ids are those of the day before")
	}
	again := seed
	db.LoseReplies(1)
	must(db.ForgetOnce(ctx, another)) // the request was refused
	begin(o, "", "<nil>")             // the corrected request
	if d := cmp.Diff(again, seed); d != "" {
		t.Errorf("after a refusal the seed is another (-before +after):\n%s", d)
	}
}

func TestOnceHasOneWinner(t *testing.T) {
	t.Parallel()
	db := storetest.Open(t, nil)
	for round := range rounds {
		got := race(50, func(i int) error {
			_, _, err := db.BeginOnce(t.Context(), account.Once{UserID: "ada", Route: "r", Key: fmt.Sprint(round), Hash: "h", Owner: fmt.Sprint(i)})
			return err
		})
		if d := cmp.Diff(map[string]int{"admitted": 1, "IDEMPOTENCY_IN_PROGRESS": 49}, got); d != "" {
			t.Errorf("round %d (-want +got):\n%s", round, d)
		}
	}
}

package store_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/krosai/telephony/shared/fault"
	"github.com/krosai/telephony/shared/secret"
	"github.com/krosai/telephony/shared/store/storetest"
	"github.com/krosai/telephony/shared/webhook"
)

var hookMorning = time.Date(2026, 11, 22, 9, 30, 0, 123e6, time.UTC)

func endpoint(n int, user string) webhook.Endpoint {
	return webhook.Endpoint{ID: fmt.Sprintf("whe_01KAMPJ5V0SAMPMEWHE00000%02d", n), UserID: user, URL: "https://hooks.acme.co/a?b=c",
		Events: []string{webhook.CallAnswered, webhook.CallEnded}, Secret: secret.New("whsec_c2VjcmV0"), CreatedAt: hookMorning}
}

func delivery(n int, user, endpointID string) webhook.Delivery {
	return webhook.Delivery{ID: fmt.Sprintf("dlv_01KAMPJ5V0SAMPMEDEV0000%03d", n), EndpointID: endpointID, Status: webhook.Pending,
		CreatedAt: hookMorning, NextAt: hookMorning,
		Event: webhook.Event{ID: "evt_01KAMPJ5V0SAMPMEEVT0000000", UserID: user, Type: webhook.CallEnded, At: hookMorning.Add(-time.Second), Body: []byte(`{"a":1}`)}}
}

// secrets lets cmp compare what it may not see.
var secrets = cmp.Comparer(func(a, b secret.Secret) bool { return a.Reveal() == b.Reveal() })

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestEndpoints(t *testing.T) {
	t.Parallel()
	db := storetest.Open(t, nil)
	for i := range webhook.MaxEndpoints {
		ok(t, db.AddEndpoint(t.Context(), endpoint(i, "ada")))
	}
	if err := db.AddEndpoint(t.Context(), endpoint(10, "ada")); !fault.Is(err, fault.Conflict) {
		t.Errorf("one too many: %v", err)
	}
	ok(t, db.AddEndpoint(t.Context(), endpoint(11, "bob")))

	var ids []string
	for after := ""; ; {
		page, next, err := db.EndpointsOf(t.Context(), "ada", 4, after)
		ok(t, err)
		for _, e := range page {
			want := endpoint(9-len(ids), "ada")
			want.Secret = secret.Secret{} // a list has none
			if diff := cmp.Diff(want, e, secrets); diff != "" {
				t.Error(diff)
			}
			ids = append(ids, e.ID)
		}
		if after = next; after == "" {
			break
		}
	}
	if len(ids) != 10 || !slices.IsSortedFunc(ids, func(a, b string) int { return strings.Compare(b, a) }) {
		t.Errorf("listed %v", ids)
	}

	for user, id := range map[string]string{"bob": ids[0], "ada": endpoint(11, "").ID} {
		if err := db.DeleteEndpoint(t.Context(), user, id); !fault.Is(err, fault.NotFound) {
			t.Errorf("%s deletes %s: %v", user, id, err)
		}
	}
	db.LoseReplies(1)
	ok(t, db.DeleteEndpoint(t.Context(), "ada", ids[0]))
	if err := db.DeleteEndpoint(t.Context(), "ada", ids[0]); !fault.Is(err, fault.NotFound) {
		t.Errorf("again: %v", err)
	}
	db.LoseReplies(1)
	ok(t, db.AddEndpoint(t.Context(), endpoint(12, "ada")))
	if err := db.AddEndpoint(t.Context(), endpoint(13, "ada")); !fault.Is(err, fault.Conflict) {
		t.Errorf("one too many after one was deleted: %v", err)
	}
}

// TestEndpointsAtOnce: however many are added at once, no user gets more than
// they may have.
func TestEndpointsAtOnce(t *testing.T) {
	t.Parallel()
	db := storetest.Open(t, nil)
	var wg sync.WaitGroup
	for i := range 30 {
		wg.Go(func() { _ = db.AddEndpoint(t.Context(), endpoint(i, "ada")) })
	}
	wg.Wait()
	if all, _, err := db.EndpointsOf(t.Context(), "ada", 100, ""); err != nil || len(all) != webhook.MaxEndpoints {
		t.Errorf("%d endpoints, %v", len(all), err)
	}
}

func TestDelivery(t *testing.T) {
	t.Parallel()
	db := storetest.Open(t, func() time.Time { return hookMorning })
	e := endpoint(1, "ada")
	ok(t, db.AddEndpoint(t.Context(), e))
	want := delivery(1, "ada", e.ID)
	for _, lose := range []int{1, 0} {
		db.LoseReplies(lose)
		stored, err := db.AddDelivery(t.Context(), want)
		ok(t, err)
		if diff := cmp.Diff(want, stored); diff != "" {
			t.Errorf("lost %d replies: %s", lose, diff)
		}
	}
	db.Trips()
	d, found, err := db.Delivery(t.Context(), "ada", e.ID, want.ID)
	if diff := cmp.Diff(want, d) + cmp.Diff(e, found, secrets); err != nil || diff != "" || db.Trips() != 1 {
		t.Errorf("%v %s", err, diff)
	}
	for name, ids := range map[string][3]string{"another user": {"bob", e.ID, want.ID}, "another endpoint": {"ada", endpoint(2, "").ID, want.ID},
		"another delivery": {"ada", e.ID, delivery(2, "", "").ID}} {
		if _, _, err := db.Delivery(t.Context(), ids[0], ids[1], ids[2]); !fault.Is(err, fault.NotFound) {
			t.Errorf("%s: %v", name, err)
		}
	}

	next := hookMorning.Add(10 * time.Second)
	for range 2 { // an attempt counts once, although its record is repeated
		ok(t, db.RecordAttempt(t.Context(), want, webhook.Attempt{At: hookMorning, Status: webhook.Pending, Code: 500, Error: "status", NextAt: next}))
	}
	want.Attempts, want.LastStatus, want.LastError, want.LastAt, want.NextAt = 1, 500, "status", hookMorning, next
	see := func(when string) {
		t.Helper()
		d, _, err := db.Delivery(t.Context(), "ada", e.ID, want.ID)
		if diff := cmp.Diff(want, d); err != nil || diff != "" {
			t.Errorf("%s: %v %s", when, err, diff)
		}
	}
	see("tried")
	ok(t, db.RecordAttempt(t.Context(), want, webhook.Attempt{At: next, Status: webhook.Delivered, Code: 204}))
	want.Attempts, want.Status, want.LastStatus, want.LastError, want.LastAt, want.NextAt = 2, webhook.Delivered, 204, "", next, time.Time{}
	see("delivered")
	ok(t, db.BuryDelivery(t.Context(), "ada", e.ID, want.ID))
	ok(t, db.RecordAttempt(t.Context(), want, webhook.Attempt{At: next, Status: webhook.Dead, Code: 410, Error: "status"}))
	see("an end does not change")

	lost := delivery(2, "ada", e.ID)
	_, err = db.AddDelivery(t.Context(), lost)
	ok(t, err)
	ok(t, db.DeleteEndpoint(t.Context(), "ada", e.ID))
	if _, found, err = db.Delivery(t.Context(), "ada", e.ID, lost.ID); err != nil || found.ID != "" || !found.Secret.IsZero() {
		t.Errorf("of a deleted endpoint: %+v, %v", found, err)
	}
	ok(t, db.BuryDelivery(t.Context(), "ada", e.ID, lost.ID))
	if d, _, err = db.Delivery(t.Context(), "ada", e.ID, lost.ID); err != nil || d.Status != webhook.Dead || !d.NextAt.IsZero() {
		t.Errorf("buried: %+v, %v", d, err)
	}
	absent := delivery(3, "ada", e.ID)
	ok(t, db.BuryDelivery(t.Context(), "ada", e.ID, absent.ID))
	ok(t, db.RecordAttempt(t.Context(), absent, webhook.Attempt{At: next, Status: webhook.Dead}))
	if _, _, err := db.Delivery(t.Context(), "ada", e.ID, absent.ID); !fault.Is(err, fault.NotFound) {
		t.Errorf("one that was never there: %v", err)
	}
}

func TestDeliveries(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	now := hookMorning
	db := storetest.Open(t, func() time.Time { mu.Lock(); defer mu.Unlock(); return now })
	mine, others, quiet := endpoint(1, "ada"), endpoint(2, "bob"), endpoint(3, "ada")
	for _, e := range []webhook.Endpoint{mine, others, quiet} {
		ok(t, db.AddEndpoint(t.Context(), e))
	}
	for i := range 30 {
		d := delivery(i, "ada", mine.ID)
		_, err := db.AddDelivery(t.Context(), d)
		ok(t, err)
		if i%3 == 0 {
			ok(t, db.BuryDelivery(t.Context(), "ada", mine.ID, d.ID))
		}
	}
	_, err := db.AddDelivery(t.Context(), delivery(0, "bob", others.ID))
	ok(t, err)

	list := func(status webhook.Status, limit int) (numbers []int, trips int) {
		t.Helper()
		for after := ""; ; {
			db.Trips()
			page, next, err := db.DeliveriesOf(t.Context(), "ada", mine.ID, status, limit, after)
			ok(t, err)
			trips = max(trips, db.Trips())
			for _, d := range page {
				var n int
				_, err := fmt.Sscanf(d.ID, "dlv_01KAMPJ5V0SAMPMEDEV0000%03d", &n)
				ok(t, err)
				want := delivery(n, "ada", mine.ID)
				want.Event.Body = nil
				if n%3 == 0 {
					want.Status, want.NextAt = webhook.Dead, time.Time{}
				}
				if diff := cmp.Diff(want, d); diff != "" {
					t.Error(diff)
				}
				numbers = append(numbers, n)
			}
			if len(page) > limit {
				t.Errorf("a page of %d, at most %d were asked for", len(page), limit)
			}
			if after = next; after == "" {
				return numbers, trips
			}
		}
	}
	var all, dead []int
	for i := 29; i >= 0; i-- {
		if all = append(all, i); i%3 == 0 {
			dead = append(dead, i)
		}
	}
	for _, limit := range []int{1, 7, 10, 29, 30, 100} {
		for status, want := range map[webhook.Status][]int{"": all, webhook.Dead: dead} {
			if got, trips := list(status, limit); cmp.Diff(want, got) != "" || trips != 1 {
				t.Errorf("%q by %d: %v in %d trips", status, limit, got, trips)
			}
		}
	}

	for name, ids := range map[string][2]string{"another user's": {"ada", others.ID}, "absent": {"ada", endpoint(4, "").ID}, "mine as another": {"bob", mine.ID}} {
		if _, _, err := db.DeliveriesOf(t.Context(), ids[0], ids[1], "", 25, ""); !fault.Is(err, fault.NotFound) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if page, next, err := db.DeliveriesOf(t.Context(), "ada", quiet.ID, "", 25, ""); err != nil || len(page) > 0 || next != "" {
		t.Errorf("an endpoint that nothing came to: %v %q %v", page, next, err)
	}
	ok(t, db.DeleteEndpoint(t.Context(), "ada", mine.ID))
	if got, _ := list("", 100); len(got) != 30 {
		t.Errorf("%d deliveries to an endpoint that was deleted", len(got))
	}
	mu.Lock()
	now = hookMorning.Add(webhook.Kept)
	mu.Unlock()
	if page, _, err := db.DeliveriesOf(t.Context(), "ada", mine.ID, "", 25, ""); err != nil || len(page) > 0 {
		t.Errorf("after %s: %d deliveries, %v", webhook.Kept, len(page), err)
	}
	if _, _, err := db.Delivery(t.Context(), "ada", mine.ID, delivery(1, "", "").ID); !fault.Is(err, fault.NotFound) {
		t.Errorf("after %s: %v", webhook.Kept, err)
	}
}

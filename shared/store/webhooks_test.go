package store_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/call"
	"github.com/krosai/telephony/shared/event"
	"github.com/krosai/telephony/shared/fault"
	"github.com/krosai/telephony/shared/secret"
	"github.com/krosai/telephony/shared/store"
	"github.com/krosai/telephony/shared/store/storetest"
	"github.com/krosai/telephony/shared/webhook"
)

var webhookMorning = time.Date(2026, 11, 22, 9, 30, 0, 123e6, time.UTC)

func endpoint(n int, user string) webhook.Endpoint {
	return webhook.Endpoint{ID: fmt.Sprintf("whe_01KAMPJ5V0SAMPMEWHE00000%02d", n), UserID: user, URL: "https://hooks.acme.co/a?b=c",
		Events: []string{event.CallAnswered, event.CallEnded}, Secret: secret.New("whsec_c2VjcmV0"), CreatedAt: webhookMorning}
}

func delivery(n int, user, endpointID string) webhook.Delivery {
	return webhook.Delivery{ID: fmt.Sprintf("dlv_01KAMPJ5V0SAMPMEDEV0000%03d", n), EndpointID: endpointID, Status: webhook.Pending,
		CreatedAt: webhookMorning, NextAt: webhookMorning,
		Event: webhook.Event{ID: "evt_01KAMPJ5V0SAMPMEEVT0000000", UserID: user, Type: event.CallEnded, At: webhookMorning.Add(-time.Second), Body: []byte(`{"a":1}`)}}
}

// secrets compares secrets, whose fields cmp cannot see.
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
			want.Secret = secret.Secret{} // a list has no secrets
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

// TestEndpointsAtOnce: no user gets more endpoints than allowed, no matter how many are added at
// the same time.
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
	db := storetest.Open(t, func() time.Time { return webhookMorning })
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

	next := webhookMorning.Add(10 * time.Second)
	see := func(when string, want webhook.Delivery) {
		t.Helper()
		d, _, err := db.Delivery(t.Context(), "ada", e.ID, want.ID)
		if diff := cmp.Diff(want, d); err != nil || diff != "" {
			t.Errorf("%s: %v %s", when, err, diff)
		}
	}
	tried := want.With(webhook.Attempt{At: webhookMorning, Status: webhook.Pending, Code: 500, Error: "status", Answer: "oh", NextAt: next})
	db.LoseReplies(1)
	for range 2 { // an attempt counts once, although it is saved twice
		ok(t, db.SaveDelivery(t.Context(), tried, 0))
	}
	see("tried", tried)
	if err := db.SaveDelivery(t.Context(), want.With(webhook.Attempt{At: next, Status: webhook.Delivered, Code: 200}), 0); !fault.Is(err, fault.Conflict) {
		t.Errorf("a first attempt that another made: %v", err)
	}
	for i, mine := range []bool{true, false} { // one of two makes the second attempt
		if got, err := db.ClaimAttempt(t.Context(), tried, next.Add(time.Minute)); err != nil || got != mine {
			t.Errorf("claim %d: %v, %v", i, got, err)
		}
	}
	done := tried.With(webhook.Attempt{At: next, Status: webhook.Delivered, Code: 204})
	ok(t, db.SaveDelivery(t.Context(), done, 2))
	see("delivered", done)
	dead := done
	dead.Status = webhook.Dead
	if err := db.SaveDelivery(t.Context(), dead, 2); !fault.Is(err, fault.Conflict) {
		t.Errorf("after the end: %v", err)
	}
	if mine, err := db.ClaimAttempt(t.Context(), done, next); mine || err != nil {
		t.Errorf("claimed after the end: %v %v", mine, err)
	}
	see("an end does not change", done)

	lost := delivery(2, "ada", e.ID)
	_, err = db.AddDelivery(t.Context(), lost)
	ok(t, err)
	ok(t, db.DeleteEndpoint(t.Context(), "ada", e.ID))
	if _, found, err = db.Delivery(t.Context(), "ada", e.ID, lost.ID); err != nil || found.ID != "" || !found.Secret.IsZero() {
		t.Errorf("of a deleted endpoint: %+v, %v", found, err)
	}
}

// TestDeliveryFor: the delivery that a message asks for is read, or made from the message's source,
// in one request.
func TestDeliveryFor(t *testing.T) {
	t.Parallel()
	db := storetest.Open(t, func() time.Time { return webhookMorning })
	e := endpoint(1, "ada")
	ok(t, db.AddEndpoint(t.Context(), e))
	c := newCall("with-metadata")
	c.UserID, c.Metadata = "ada", map[string]string{"order": "42"}
	ok(t, db.AllowCountries(t.Context(), "ada", c.Country))
	_, may, err := db.CallPermit(t.Context(), "ada", "")
	ok(t, err)
	c, _, _, err = db.CreateCall(t.Context(), c, may, store.Once{})
	ok(t, err)
	_, err = db.EndCall(t.Context(), c, call.End{Status: call.Busy, Cause: call.CalleeBusy, At: webhookMorning})
	ok(t, err)
	events, _, err := db.EventsOf(t.Context(), "ada", store.Log{}, 10, "")
	ok(t, err)
	happened := events[len(events)-1]
	old := delivery(7, "ada", e.ID)
	_, err = db.AddDelivery(t.Context(), old)
	ok(t, err)
	message := func(m webhook.Message) webhook.Message {
		m.UserID, m.EndpointID, m.DeliveryID = "ada", e.ID, "dlv_new"
		return m
	}
	for name, tt := range map[string]struct {
		m    webhook.Message
		body string // a part of the body
	}{
		"an event":              {message(webhook.Message{Event: store.EventKey(happened), CallID: c.ID}), `"metadata":{"order":"42"}`},
		"a replay":              {message(webhook.Message{ReplayOf: old.ID}), `{"a":1}`},
		"a test":                {message(webhook.Message{TestAt: webhookMorning}), `"type":"webhook.test"`},
		"one that is on record": {webhook.Message{UserID: "ada", EndpointID: e.ID, DeliveryID: old.ID, TestAt: webhookMorning}, `{"a":1}`},
	} {
		db.Trips()
		d, found, err := db.DeliveryFor(t.Context(), tt.m)
		if err != nil || db.Trips() != 1 || !strings.Contains(string(d.Event.Body), tt.body) || d.ID != tt.m.DeliveryID || d.Status != webhook.Pending {
			t.Errorf("%s: %+v %s, %v", name, d, d.Event.Body, err)
		}
		if diff := cmp.Diff(e, found, secrets); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	for name, m := range map[string]webhook.Message{"no such event": {Event: "2026"}, "no such delivery": {ReplayOf: "dlv_x"}} {
		if _, _, err := db.DeliveryFor(t.Context(), message(m)); !fault.Is(err, fault.NotFound) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestUpdateEndpoint: each field can be changed alone, and a new URL or the end of a pause enables
// the endpoint.
func TestUpdateEndpoint(t *testing.T) {
	t.Parallel()
	url, yes, failed := "https://hooks.acme.co/new", true, false
	for name, tt := range map[string]struct {
		change  store.EndpointChange
		want    func(*webhook.Endpoint)
		enables bool
	}{
		"url":    {store.EndpointChange{URL: &url}, func(e *webhook.Endpoint) { e.URL = url }, true},
		"events": {store.EndpointChange{Events: []string{event.CallEnded}}, func(e *webhook.Endpoint) { e.Events = []string{event.CallEnded} }, false},
		"pause":  {store.EndpointChange{Paused: &yes}, func(e *webhook.Endpoint) { e.Paused = true }, false},
		"resume": {store.EndpointChange{Paused: &failed}, func(*webhook.Endpoint) {}, true},
		"all":    {store.EndpointChange{URL: &url, Events: []string{event.CallEnded}, Paused: &yes}, func(e *webhook.Endpoint) { e.URL, e.Events, e.Paused = url, []string{event.CallEnded}, true }, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := storetest.Open(t, func() time.Time { return webhookMorning })
			e := endpoint(1, "ada")
			ok(t, db.AddEndpoint(t.Context(), e))
			failing, err := db.RecordFailure(t.Context(), e, webhookMorning)
			ok(t, err)
			ok(t, db.DisableEndpoint(t.Context(), failing, webhookMorning))
			want, err := db.Endpoint(t.Context(), "ada", e.ID)
			ok(t, err)
			if want.Status() != webhook.Disabled || want.DisabledReason != webhook.Failures || want.Failures != 1 {
				t.Errorf("disabled: %+v", want)
			}
			if tt.enables {
				want = e
			}
			tt.want(&want)
			db.LoseReplies(1)
			got, err := db.UpdateEndpoint(t.Context(), "ada", e.ID, tt.change)
			if diff := cmp.Diff(want, got, secrets); err != nil || diff != "" {
				t.Errorf("%v %s", err, diff)
			}
			if _, err := db.UpdateEndpoint(t.Context(), "bob", e.ID, tt.change); !fault.Is(err, fault.NotFound) {
				t.Errorf("another user's: %v", err)
			}
			events, _, err := db.EventsOf(t.Context(), "ada", store.Log{}, 10, "")
			if err != nil || len(events) != 1 || events[0].Type != event.EndpointDisabled {
				t.Errorf("%v %v", events, err)
			}
		})
	}
}

// TestRotateSecret: a rotation whose answer is lost happens once.
func TestRotateSecret(t *testing.T) {
	t.Parallel()
	db := storetest.Open(t, nil)
	e := endpoint(1, "ada")
	ok(t, db.AddEndpoint(t.Context(), e))
	next, until := secret.New("whsec_bmV3"), webhookMorning.Add(time.Hour)
	db.LoseReplies(1)
	got, err := db.RotateSecret(t.Context(), "ada", e.ID, next, until)
	want := e
	want.Secret, want.OldSecret, want.OldUntil = next, e.Secret, until
	if diff := cmp.Diff(want, got, secrets); err != nil || diff != "" {
		t.Errorf("%v %s", err, diff)
	}
	for at, n := range map[time.Duration]int{-time.Millisecond: 2, 0: 1} {
		if signers := got.Secrets(until.Add(at)); len(signers) != n || signers[0].Reveal() != next.Reveal() {
			t.Errorf("%s from the end of the grace %d sign", at, len(signers))
		}
	}
	if _, err := db.RotateSecret(t.Context(), "bob", e.ID, next, until); !fault.Is(err, fault.NotFound) {
		t.Errorf("another user's: %v", err)
	}
}

// TestFailuresOfEndpoint: failures are counted, one delivery may try a held endpoint, and a success
// resets the count.
func TestFailuresOfEndpoint(t *testing.T) {
	t.Parallel()
	db := storetest.Open(t, nil)
	e := endpoint(1, "ada")
	ok(t, db.AddEndpoint(t.Context(), e))
	for n := 1; n <= 6; n++ {
		at := webhookMorning.Add(time.Duration(n) * time.Second)
		var err error
		e, err = db.RecordFailure(t.Context(), e, at)
		held := time.Time{}
		if hold := webhook.Hold(n); hold > 0 {
			held = at.Add(hold)
		}
		if err != nil || e.Failures != n || !e.FailingSince.Equal(webhookMorning.Add(time.Second)) || !e.HeldUntil.Equal(held) {
			t.Errorf("after %d: %+v, %v", n, e, err)
		}
	}
	for i, want := range []bool{true, false} {
		if mine, err := db.ClaimProbe(t.Context(), e, webhookMorning.Add(time.Hour)); mine != want || err != nil {
			t.Errorf("claim %d: %v, %v", i, mine, err)
		}
	}
	ok(t, db.ClearFailures(t.Context(), e))
	clear, err := db.Endpoint(t.Context(), "ada", e.ID)
	if diff := cmp.Diff(endpoint(1, "ada"), clear, secrets); err != nil || diff != "" {
		t.Errorf("%v %s", err, diff)
	}
	ok(t, db.DisableEndpoint(t.Context(), e, webhookMorning)) // no effect: the endpoint works again
	if clear, err = db.Endpoint(t.Context(), "ada", e.ID); err != nil || clear.Status() != webhook.Active {
		t.Errorf("%+v %v", clear, err)
	}
	ok(t, db.DeleteEndpoint(t.Context(), "ada", e.ID))
	if e, err = db.RecordFailure(t.Context(), e, webhookMorning); err != nil || e.ID != "" {
		t.Errorf("of one that was deleted: %+v %v", e, err)
	}
}

// TestSpendDelivery: the hour allows ten of one delivery or endpoint, and a hundred in total.
func TestSpendDelivery(t *testing.T) {
	t.Parallel()
	db := storetest.Open(t, func() time.Time { return webhookMorning })
	var limits []account.Limit
	for n := range 100 {
		if n == 10 {
			if limits, err := db.SpendDelivery(t.Context(), "ada", "dlv_0", webhookMorning); !fault.Is(err, fault.Limited) || limits[1].Left() != 0 || limits[0].Left() != 90 {
				t.Errorf("an eleventh: %+v %v", limits, err)
			}
		}
		var err error
		limits, err = db.SpendDelivery(t.Context(), "ada", fmt.Sprint("dlv_", n/10), webhookMorning)
		ok(t, err)
		if limits[0].Used != n+1 || limits[1].Used != n%10+1 {
			t.Errorf("%d: %+v", n, limits)
		}
	}
	if limits, err := db.SpendDelivery(t.Context(), "ada", "dlv_x", webhookMorning); !fault.Is(err, fault.Limited) || limits[0].Left() != 0 {
		t.Errorf("the 101st: %+v %v", limits, err)
	}
	_, err := db.SpendDelivery(t.Context(), "bob", "dlv_x", webhookMorning)
	ok(t, err)
	_, err = db.SpendDelivery(t.Context(), "ada", "dlv_x", webhookMorning.Add(time.Hour))
	ok(t, err)
}

func TestDeliveries(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	now := webhookMorning
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
			d.Status, d.NextAt = webhook.Dead, time.Time{}
			ok(t, db.SaveDelivery(t.Context(), d, 0))
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
	now = webhookMorning.Add(webhook.Kept)
	mu.Unlock()
	if page, _, err := db.DeliveriesOf(t.Context(), "ada", mine.ID, "", 25, ""); err != nil || len(page) > 0 {
		t.Errorf("after %s: %d deliveries, %v", webhook.Kept, len(page), err)
	}
	if _, _, err := db.Delivery(t.Context(), "ada", mine.ID, delivery(1, "", "").ID); !fault.Is(err, fault.NotFound) {
		t.Errorf("after %s: %v", webhook.Kept, err)
	}
}

// TestLargeDeliveries: bodies that are small only in the table, where they are compressed, do not
// make a page larger than an answer may be.
func TestLargeDeliveries(t *testing.T) {
	t.Parallel()
	db := storetest.Open(t, func() time.Time { return webhookMorning })
	e := endpoint(1, "ada")
	ok(t, db.AddEndpoint(t.Context(), e))
	for i := range 45 {
		d := delivery(i, "ada", e.ID)
		d.Event.Body = []byte(strings.Repeat("a", 100<<10))
		_, err := db.AddDelivery(t.Context(), d)
		ok(t, err)
	}
	var pages []int
	for after := ""; ; {
		page, next, err := db.DeliveriesOf(t.Context(), "ada", e.ID, "", 100, after)
		ok(t, err)
		pages = append(pages, len(page))
		if after = next; after == "" {
			break
		}
	}
	if diff := cmp.Diff([]int{20, 20, 5}, pages); diff != "" {
		t.Error(diff)
	}
}

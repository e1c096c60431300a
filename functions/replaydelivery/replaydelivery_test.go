package replaydelivery_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/krosai/telephony/functions/replaydelivery"
	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/api/apitest"
	"github.com/krosai/telephony/shared/event"
	"github.com/krosai/telephony/shared/id"
	"github.com/krosai/telephony/shared/secret"
	"github.com/krosai/telephony/shared/store"
	"github.com/krosai/telephony/shared/webhook"
)

const (
	endpointID = "whe_01KAMPJ5V0SAMPMEWHE0000000"
	deliveryID = "dlv_01KAMPJ5V0SAMPMEDEV0000000"
)

var morning = time.Date(2026, 11, 22, 9, 30, 0, 123e6, time.UTC)

// open returns a bench with a delivery of ada's that has the status end.
func open(t *testing.T, end webhook.Status) *apitest.Bench {
	t.Helper()
	b := apitest.Open(t, func() time.Time { return morning })
	b.Serve(&replaydelivery.Endpoint{Deliveries: b.DB, Queue: b.Queue, Now: b.Now})
	b.Must(b.AddEndpoint(t.Context(), webhook.Endpoint{ID: endpointID, UserID: "ada", URL: "https://hooks.acme.co/", Events: []string{event.CallEnded},
		Secret: secret.New("whsec_canary"), CreatedAt: morning}))
	d := webhook.Delivery{ID: deliveryID, EndpointID: endpointID, Status: webhook.Pending, CreatedAt: morning.Add(-time.Hour), NextAt: morning,
		Event: webhook.Event{ID: "evt_01KAMPJ5V0SAMPMEEVT0000000", UserID: "ada", Type: event.CallEnded, At: morning.Add(-time.Hour), Body: []byte(`{"a":1}`)}}
	b.Must(b.SaveDelivery(t.Context(), d.With(webhook.Attempt{At: morning, Status: end, Code: 500, Error: "status", Answer: "oh"}), 0))
	return b
}

func all(b *apitest.Bench) []webhook.Delivery {
	b.Helper()
	list, _, err := b.DeliveriesOf(b.Context(), "ada", endpointID, "", 100, "")
	b.Must(err)
	return list
}

// TestReplay checks that a dead, delivered or pending delivery is sent once more, as the
// same event.
func TestReplay(t *testing.T) {
	t.Parallel()
	for _, end := range []webhook.Status{webhook.Dead, webhook.Delivered, webhook.Pending} {
		t.Run(string(end), func(t *testing.T) {
			t.Parallel()
			b := open(t, end)
			b.SampleKey("ada", account.WebhooksWrite)
			a := b.Replay("replaydelivery", "")
			made, _ := a.Body["delivery_id"].(string)
			delete(a.Body, "delivery_id")
			want := map[string]any{"endpoint_id": endpointID, "event_id": "evt_01KAMPJ5V0SAMPMEEVT0000000", "event_type": "call.ended", "happened_at": "2026-11-22T08:30:00.123Z",
				"status": "pending", "attempts": 0.0, "last_status_code": nil, "last_error": nil, "last_attempt_at": nil, "next_attempt_at": "2026-11-22T09:30:00.123Z",
				"replay_of": deliveryID, "request_body": `{"a":1}`, "response_status": nil, "response_body": nil, "created_at": "2026-11-22T09:30:00.123Z"}
			if diff := cmp.Diff(want, a.Body); a.Status != 202 || diff != "" || !id.Delivery.Valid(made) || made == deliveryID {
				t.Errorf("%d %s %s", a.Status, made, diff)
			}
			sent := []string{`{"user_id":"ada","endpoint_id":"` + endpointID + `","delivery_id":"` + made + `","replay_of":"` + deliveryID + `"}`}
			if diff := cmp.Diff(sent, b.Messages.Sent()); diff != "" {
				t.Error(diff)
			}
			if !strings.Contains(a.Header.Get("RateLimit"), `"deliveries";r=99;t=1800, "repetitions";r=9;t=1800`) {
				t.Errorf("limits: %v", a.Header)
			}
			old, _, err := b.DB.Delivery(t.Context(), "ada", endpointID, deliveryID)
			b.Must(err)
			again, _, err := b.DB.Delivery(t.Context(), "ada", endpointID, made)
			b.Must(err)
			if diff := cmp.Diff(old.Event, again.Event); diff != "" || old.Status != end {
				t.Errorf("%s is now %s; %s", end, old.Status, diff)
			}
			if a := b.Replay("replaydelivery", ""); a.Header.Get("Idempotency-Replayed") != "true" || len(all(b)) != 2 {
				t.Errorf("the same once more: %d %s, %d deliveries", a.Status, a.Text, len(all(b)))
			}
		})
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	b := open(t, webhook.Dead)
	for name, c := range map[string]struct{ user, endpoint, delivery string }{
		"another user's":    {"bob", endpointID, deliveryID},
		"another endpoint":  {"ada", "whe_01KAMPJ5V0SAMPMEWHE0000001", deliveryID},
		"no such delivery":  {"ada", endpointID, "dlv_01KAMPJ5V0SAMPMEDEV0000001"},
		"an endpoint twice": {"ada", endpointID, endpointID},
		"no endpoint":       {"ada", "x", deliveryID},
	} {
		if a := b.Ask(b.User(c.user), "POST", "/webhook-endpoints/"+c.endpoint+"/deliveries/"+c.delivery+"/replay", ""); a.Status != 404 || a.Body["detail"] != "no such webhook delivery" {
			t.Errorf("%s: %d %s", name, a.Status, a.Text)
		}
	}
	b.Must(b.DeleteEndpoint(t.Context(), "ada", endpointID))
	if a := b.Replay("replaydelivery", b.User("ada")); a.Status != 404 {
		t.Errorf("of a deleted endpoint: %d %s", a.Status, a.Text)
	}
	if n := len(all(b)); n != 1 || len(b.Messages.Sent()) > 0 {
		t.Errorf("%d deliveries, sent %v", n, b.Messages.Sent())
	}
}

// TestQueueIsDown checks that no delivery is recorded whose message could not be sent.
func TestQueueIsDown(t *testing.T) {
	t.Parallel()
	b := open(t, webhook.Dead)
	b.Messages.Down(true)
	if a := b.Replay("replaydelivery", b.User("ada")); a.Status != 503 || len(all(b)) != 1 {
		t.Errorf("%d %s", a.Status, a.Text)
	}
	b.Messages.Down(false)
	if a := b.Replay("replaydelivery", b.User("ada")); a.Status != 202 || len(all(b)) != 2 {
		t.Errorf("%d %s", a.Status, a.Text)
	}
}

// TestLimits checks that ten of 400 replays of one delivery are accepted, and that the answers
// state the limit.
func TestLimits(t *testing.T) {
	t.Parallel()
	b := open(t, webhook.Dead)
	token, answers := b.User("ada"), map[int]int{}
	for range 400 {
		a := b.Ask(token, "POST", "/webhook-endpoints/"+endpointID+"/deliveries/"+deliveryID+"/replay", "")
		answers[a.Status]++
		if a.Status == 429 && (a.Code() != "RATE_LIMIT_EXCEEDED" || a.Header.Get("X-RateLimit-Remaining") != "0" || a.Header.Get("Retry-After") == "") {
			t.Fatalf("%v %s", a.Header, a.Text)
		}
	}
	if diff := cmp.Diff(map[int]int{202: 10, 429: 390}, answers); diff != "" || len(b.Messages.Sent()) != 10 {
		t.Errorf("%s, %d messages", diff, len(b.Messages.Sent()))
	}
}

// TestInactive checks that a delivery to a paused endpoint is not replayed.
func TestInactive(t *testing.T) {
	t.Parallel()
	b := open(t, webhook.Dead)
	paused := true
	_, err := b.UpdateEndpoint(t.Context(), "ada", endpointID, store.EndpointChange{Paused: &paused})
	b.Must(err)
	if a := b.Replay("replaydelivery", b.User("ada")); a.Status != 409 || a.Body["detail"] != "the webhook endpoint is paused" || len(b.Messages.Sent()) > 0 {
		t.Errorf("%d %s", a.Status, a.Text)
	}
}

// TestTheSameRequestMakesOneDelivery checks that a second attempt, after the first died before its
// answer, finds the delivery that the first one recorded.
func TestTheSameRequestMakesOneDelivery(t *testing.T) {
	t.Parallel()
	b := open(t, webhook.Dead)
	at := morning
	b.Now = func() time.Time { return at }
	dying := &dies{b.DB, true}
	b.Serve(&replaydelivery.Endpoint{Deliveries: dying, Queue: b.Queue, Now: b.Now})
	token := b.User("ada")
	if a := b.Replay("replaydelivery", token); a.Status != 500 {
		t.Fatalf("%d %s", a.Status, a.Text)
	}
	dying.now, at = false, morning.Add(2*time.Minute)
	a := b.Replay("replaydelivery", token)
	if list := all(b); a.Status != 202 || len(list) != 2 || a.Body["delivery_id"] != list[0].ID {
		t.Errorf("%d %s, %d deliveries", a.Status, a.Text, len(list))
	}
	if sent := b.Messages.Sent(); len(sent) != 2 || sent[0] != sent[1] {
		t.Errorf("sent %v", sent)
	}
}

// dies panics once the delivery is recorded, as if the function was killed.
type dies struct {
	replaydelivery.Deliveries
	now bool
}

func (d *dies) AddDelivery(ctx context.Context, v webhook.Delivery) (webhook.Delivery, error) {
	made, err := d.Deliveries.AddDelivery(ctx, v)
	if d.now {
		panic("killed")
	}
	return made, err
}

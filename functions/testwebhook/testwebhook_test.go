package testwebhook_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/krosai/telephony/functions/testwebhook"
	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/api/apitest"
	"github.com/krosai/telephony/shared/event"
	"github.com/krosai/telephony/shared/secret"
	"github.com/krosai/telephony/shared/store"
	"github.com/krosai/telephony/shared/webhook"
)

const endpointID = "whe_01KAMPJ5V0SAMPMEWHE0000000"

var morning = time.Date(2026, 11, 22, 9, 30, 0, 123e6, time.UTC)

func open(t *testing.T) *apitest.Bench {
	t.Helper()
	b := apitest.Open(t, func() time.Time { return morning })
	b.Serve(&testwebhook.Endpoint{Endpoints: b.DB, Queue: b.Queue, Now: b.Now})
	b.Must(b.AddEndpoint(t.Context(), webhook.Endpoint{ID: endpointID, UserID: "ada", URL: "https://hooks.acme.co/", Events: []string{event.CallEnded},
		Secret: secret.New("whsec_canary"), CreatedAt: morning}))
	return b
}

const path = "/webhook-endpoints/" + endpointID + "/test"

// TestTest checks that the delivery in the answer is the one that was requested, and that the event
// log stays empty.
func TestTest(t *testing.T) {
	t.Parallel()
	b := open(t)
	b.SampleKey("ada", account.WebhooksWrite)
	a := b.Replay("testwebhook", "")
	if a.Status != 202 || a.Body["event_type"] != "webhook.test" || a.Body["status"] != "pending" || len(b.Messages.Sent()) != 1 {
		t.Fatalf("%d %s, sent %v", a.Status, a.Text, b.Messages.Sent())
	}
	var m webhook.Message
	b.Must(json.Unmarshal([]byte(b.Messages.Sent()[0]), &m))
	want := webhook.Message{UserID: "ada", EndpointID: endpointID, DeliveryID: a.Body["delivery_id"].(string), TestAt: morning}
	if diff := cmp.Diff(want, m); diff != "" {
		t.Error(diff)
	}
	listed, _, err := b.DeliveriesOf(t.Context(), "ada", endpointID, "", 10, "")
	b.Must(err)
	if len(listed) != 1 || listed[0].ID != m.DeliveryID || string(listed[0].Event.Body) != a.Body["request_body"] {
		t.Errorf("%+v", listed)
	}
	b.Forget(t, "webhooks", "ada", "d#"+endpointID+"#"+m.DeliveryID)
	made, _, err := b.DeliveryFor(t.Context(), m)
	if diff := cmp.Diff(listed[0].Event, made.Event); err != nil || diff != "" {
		t.Errorf("what is delivered differs: %v %s", err, diff)
	}
	if events, _, err := b.EventsOf(t.Context(), "ada", store.Log{}, 10, ""); err != nil || len(events) > 0 {
		t.Errorf("%v %v", events, err)
	}
	if a := b.Replay("testwebhook", ""); a.Header.Get("Idempotency-Replayed") != "true" || len(b.Messages.Sent()) != 1 {
		t.Errorf("the same once more: %d %s", a.Status, a.Text)
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	b := open(t)
	for name, tt := range map[string]struct{ user, id string }{"another user's": {"bob", endpointID}, "not there": {"ada", "whe_01KAMPJ5V0SAMPMEWHE0000001"}, "no id": {"ada", "x"}} {
		if a := b.Ask(b.User(tt.user), "POST", "/webhook-endpoints/"+tt.id+"/test", ""); a.Status != 404 {
			t.Errorf("%s: %d %s", name, a.Status, a.Text)
		}
	}
	b.Messages.Down(true)
	if a := b.Ask(b.User("ada"), "POST", path, ""); a.Status != 503 {
		t.Errorf("the queue is down: %d %s", a.Status, a.Text)
	}
	b.Messages.Down(false)
	for n := range 12 {
		want := 202
		if n >= 9 { // one was counted while the queue was down
			want = 429
		}
		if a := b.Ask(b.User("ada"), "POST", path, ""); a.Status != want {
			t.Errorf("test %d: %d %s", n, a.Status, a.Text)
		}
	}
	paused := true
	_, err := b.UpdateEndpoint(t.Context(), "ada", endpointID, store.EndpointChange{Paused: &paused})
	b.Must(err)
	if a := b.Ask(b.User("ada"), "POST", path, ""); a.Status != 409 {
		t.Errorf("paused: %d %s", a.Status, a.Text)
	}
}

package deletewebhook_test

import (
	"testing"
	"time"

	"github.com/krosai/telephony/functions/deletewebhook"
	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/api/apitest"
	"github.com/krosai/telephony/shared/event"
	"github.com/krosai/telephony/shared/secret"
	"github.com/krosai/telephony/shared/webhook"
)

const sampleID = "whe_01KAMPJ5V0SAMPMEWHE0000000"

func open(t *testing.T, owner string) *apitest.Bench {
	t.Helper()
	b := apitest.Open(t, nil)
	b.Serve(&deletewebhook.Endpoint{Endpoints: b.DB})
	b.Must(b.AddEndpoint(t.Context(), webhook.Endpoint{ID: sampleID, UserID: owner, URL: "https://hooks.acme.co/", Events: []string{event.CallEnded},
		Secret: secret.New("whsec_canary"), CreatedAt: time.Now()}))
	return b
}

func TestDelete(t *testing.T) {
	t.Parallel()
	b := open(t, "ada")
	b.SampleKey("ada", account.WebhooksWrite)
	b.Trips()
	if a, trips := b.Replay("deletewebhook", ""), b.Trips(); a.Status != 204 || a.Text != "" || trips != 2 {
		t.Errorf("%d %s in %d DynamoDB round trips", a.Status, a.Text, trips)
	}
	if left, _, err := b.EndpointsOf(t.Context(), "ada", 10, ""); err != nil || len(left) > 0 {
		t.Errorf("%v, %v", left, err)
	}
	if a := b.Replay("deletewebhook", ""); a.Status != 404 {
		t.Errorf("again: %d %s", a.Status, a.Text)
	}
}

func TestAnothers(t *testing.T) {
	t.Parallel()
	b := open(t, "bob")
	if a := b.Replay("deletewebhook", b.User("ada")); a.Status != 404 {
		t.Errorf("%d %s", a.Status, a.Text)
	}
	if left, _, err := b.EndpointsOf(t.Context(), "bob", 10, ""); err != nil || len(left) != 1 {
		t.Errorf("%v, %v", left, err)
	}
}

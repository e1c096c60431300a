package rotatewebhooksecret_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/krosai/telephony/functions/rotatewebhooksecret"
	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/api/apitest"
	"github.com/krosai/telephony/shared/event"
	"github.com/krosai/telephony/shared/secret"
	"github.com/krosai/telephony/shared/webhook"
)

const endpointID = "whe_01KAMPJ5V0SAMPMEWHE0000000"

var morning = time.Date(2026, 11, 22, 9, 30, 0, 123e6, time.UTC)

// random reads as an endless sequence of the same byte.
type random byte

func (r random) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = byte(r)
	}
	return len(b), nil
}

const next = "whsec_a2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2s="

func open(t *testing.T) *apitest.Bench {
	t.Helper()
	b := apitest.Open(t, func() time.Time { return morning })
	b.Serve(&rotatewebhooksecret.Endpoint{Endpoints: b.DB, Now: b.Now, Random: random('k')})
	b.Must(b.AddEndpoint(t.Context(), webhook.Endpoint{ID: endpointID, UserID: "ada", URL: "https://hooks.acme.co/", Events: []string{event.CallEnded},
		Secret: secret.New("whsec_b2xk"), CreatedAt: morning}))
	return b
}

// TestRotate checks that the answer shows the new secret, and that the old secret signs for the
// requested time.
func TestRotate(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		body  string
		grace time.Duration
	}{
		"as usual":   {"", time.Hour},
		"empty":      {"{}", time.Hour},
		"at once":    {`{"grace_seconds":0}`, 0},
		"over a day": {`{"grace_seconds":86400}`, 24 * time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := open(t)
			a := b.Ask(b.User("ada"), "POST", "/webhook-endpoints/"+endpointID+"/rotate-secret", tt.body)
			want := map[string]any{"signing_secret": next, "endpoint_id": endpointID, "url": "https://hooks.acme.co/", "events": []any{"call.ended"}, "status": "active",
				"disabled_at": nil, "disabled_reason": nil, "failures_in_a_row": 0.0, "created_at": "2026-11-22T09:30:00.123Z"}
			if diff := cmp.Diff(want, a.Body); a.Status != 200 || diff != "" {
				t.Errorf("%d %s %s", a.Status, a.Text, diff)
			}
			e, err := b.Endpoint(t.Context(), "ada", endpointID)
			b.Must(err)
			if e.Secret.Reveal() != next || e.OldSecret.Reveal() != "whsec_b2xk" || !e.OldUntil.Equal(morning.Add(tt.grace)) {
				t.Errorf("%v until %v", e.OldSecret.Reveal(), e.OldUntil)
			}
		})
	}
}

func TestSample(t *testing.T) {
	t.Parallel()
	b := open(t)
	b.SampleKey("ada", account.WebhooksWrite)
	for n := range 2 {
		if a := b.Replay("rotatewebhooksecret", ""); a.Status != 200 || a.Body["signing_secret"] != next || (a.Header.Get("Idempotency-Replayed") == "true") != (n == 1) {
			t.Errorf("%d %s", a.Status, a.Text)
		}
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	b := open(t)
	for name, tt := range map[string]struct {
		user, id, body string
		status         int
	}{
		"another user's": {"bob", endpointID, "", 404},
		"not there":      {"ada", "whe_01KAMPJ5V0SAMPMEWHE0000001", "", 404},
		"no id":          {"ada", "x", "", 404},
		"too long":       {"ada", endpointID, `{"grace_seconds":86401}`, 400},
		"negative":       {"ada", endpointID, `{"grace_seconds":-1}`, 400},
	} {
		if a := b.Ask(b.User(tt.user), "POST", "/webhook-endpoints/"+tt.id+"/rotate-secret", tt.body); a.Status != tt.status {
			t.Errorf("%s: %d %s", name, a.Status, a.Text)
		}
	}
}

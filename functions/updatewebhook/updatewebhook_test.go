package updatewebhook_test

import (
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/krosai/telephony/functions/updatewebhook"
	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/api/apitest"
	"github.com/krosai/telephony/shared/event"
	"github.com/krosai/telephony/shared/secret"
	"github.com/krosai/telephony/shared/webhook"
	"github.com/krosai/telephony/shared/webhook/webhooktest"
)

const endpointID = "whe_01KAMPJ5V0SAMPMEWHE0000000"

var morning = time.Date(2026, 11, 22, 9, 30, 0, 123e6, time.UTC)

// open returns a bench with an endpoint of ada's that was disabled. The name inside.acme.co
// resolves to a private address.
func open(t *testing.T) *apitest.Bench {
	t.Helper()
	b := apitest.Open(t, func() time.Time { return morning })
	resolver := webhooktest.Resolver(t, func(name string) []netip.Addr {
		switch name {
		case "hooks.acme.co":
			return []netip.Addr{netip.MustParseAddr("93.184.216.34")}
		case "inside.acme.co":
			return []netip.Addr{netip.MustParseAddr("10.0.0.1")}
		}
		return nil
	})
	b.Serve(&updatewebhook.Endpoint{Endpoints: b.DB, Resolver: resolver})
	e := webhook.Endpoint{ID: endpointID, UserID: "ada", URL: "https://hooks.acme.co/", Events: []string{event.CallEnded}, Secret: secret.New("whsec_canary"), CreatedAt: morning}
	b.Must(b.AddEndpoint(t.Context(), e))
	failing, err := b.RecordFailure(t.Context(), e, morning)
	b.Must(err)
	b.Must(b.DisableEndpoint(t.Context(), failing, morning))
	return b
}

func TestUpdate(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		body   string
		change map[string]any
	}{
		"events":  {`{"events":["call.answered","api_key.created"]}`, map[string]any{"events": []any{"api_key.created", "call.answered"}}},
		"paused":  {`{"paused":true}`, map[string]any{}},
		"enabled": {`{"paused":false}`, map[string]any{"status": "active", "disabled_at": nil, "disabled_reason": nil, "failures_in_a_row": 0.0}},
		"moved":   {`{"url":"https://hooks.acme.co/b"}`, map[string]any{"url": "https://hooks.acme.co/b", "status": "active", "disabled_at": nil, "disabled_reason": nil, "failures_in_a_row": 0.0}},
		"moved, and paused": {`{"url":"https://hooks.acme.co/b","paused":true}`, map[string]any{"url": "https://hooks.acme.co/b", "status": "paused", "disabled_at": nil,
			"disabled_reason": nil, "failures_in_a_row": 0.0}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := open(t)
			want := map[string]any{"endpoint_id": endpointID, "url": "https://hooks.acme.co/", "events": []any{"call.ended"}, "status": "disabled",
				"disabled_at": "2026-11-22T09:30:00.123Z", "disabled_reason": "failures", "failures_in_a_row": 1.0, "created_at": "2026-11-22T09:30:00.123Z"}
			for k, v := range tt.change {
				want[k] = v
			}
			for range 2 {
				a := b.Ask(b.User("ada"), "PATCH", "/webhook-endpoints/"+endpointID, tt.body)
				if diff := cmp.Diff(want, a.Body); a.Status != 200 || diff != "" {
					t.Errorf("%d %s %s", a.Status, a.Text, diff)
				}
			}
		})
	}
}

func TestSample(t *testing.T) {
	t.Parallel()
	b := open(t)
	b.SampleKey("ada", account.WebhooksWrite)
	b.Trips()
	if a := b.Replay("updatewebhook", ""); a.Status != 200 || a.Body["status"] != "active" || b.Trips() != 2 {
		t.Errorf("%d %s", a.Status, a.Text)
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	b := open(t)
	for name, tt := range map[string]struct {
		user, id, body string
		status         int
	}{
		"another user's":    {"bob", endpointID, `{"paused":true}`, 404},
		"not there":         {"ada", "whe_01KAMPJ5V0SAMPMEWHE0000001", `{"paused":true}`, 404},
		"no id":             {"ada", "x", `{"paused":true}`, 404},
		"nothing":           {"ada", endpointID, `{}`, 400},
		"no event":          {"ada", endpointID, `{"events":[]}`, 400},
		"an unknown event":  {"ada", endpointID, `{"events":["webhook.test"]}`, 400},
		"an unknown member": {"ada", endpointID, `{"secret":"x"}`, 400},
		"http":              {"ada", endpointID, `{"url":"http://hooks.acme.co/"}`, 400},
		"a private network": {"ada", endpointID, `{"url":"https://inside.acme.co/"}`, 400},
		"no such host":      {"ada", endpointID, `{"url":"https://nowhere.acme.co/"}`, 400},
	} {
		if a := b.Ask(b.User(tt.user), "PATCH", "/webhook-endpoints/"+tt.id, tt.body); a.Status != tt.status {
			t.Errorf("%s: %d %s", name, a.Status, a.Text)
		}
	}
}

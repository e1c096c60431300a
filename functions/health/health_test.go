package health_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/krosai/telephony/functions/health"
	"github.com/krosai/telephony/shared/api/apitest"
)

func open(t *testing.T) *apitest.Bench {
	t.Helper()
	b := apitest.Open(t, nil)
	b.Serve(&health.Endpoint{Version: "1.2.3"})
	return b
}

// TestHealth checks that the answer needs no credential and no database.
func TestHealth(t *testing.T) {
	t.Parallel()
	b := open(t)
	a := b.Ask("", "GET", "/health", "")
	if diff := cmp.Diff(map[string]any{"status": "ok", "version": "1.2.3"}, a.Body); a.Status != 200 || diff != "" {
		t.Errorf("%d %s", a.Status, diff)
	}
	if a := b.Ask("", "GET", "/health?x", ""); a.Outcome() != "400 INVALID_REQUEST x:unknown" {
		t.Errorf("%d %s", a.Status, a.Text)
	}
	if trips := b.Trips(); trips != 0 {
		t.Errorf("%d DynamoDB round trips", trips)
	}
}

// TestFallback checks that a request without a route gets a problem. For a path that exists the
// answer lists its methods.
func TestFallback(t *testing.T) {
	t.Parallel()
	b := open(t)
	const call = "/outbound-calls/call_01KAMPJ5V0SAMPMECA00000000"
	for request, want := range map[[2]string]struct{ outcome, allow string }{
		{"HEAD", "/health"}:                                 {"200", ""},
		{"POST", "/health"}:                                 {"405 METHOD_NOT_ALLOWED", "GET, HEAD"},
		{"PUT", "/outbound-calls/create"}:                   {"405 METHOD_NOT_ALLOWED", "GET, POST"},
		{"OPTIONS", "/outbound-calls/stats"}:                {"405 METHOD_NOT_ALLOWED", "GET"},
		{"HEAD", "/outbound-calls"}:                         {"405", "GET"},
		{"DELETE", call}:                                    {"405 METHOD_NOT_ALLOWED", "GET"},
		{"GET", call + "/hangup"}:                           {"405 METHOD_NOT_ALLOWED", "POST"},
		{"PATCH", "/admin/calls"}:                           {"405 METHOD_NOT_ALLOWED", "GET, PUT"},
		{"PUT", "/webhook-endpoints/whe_1"}:                 {"405 METHOD_NOT_ALLOWED", "DELETE, PATCH"},
		{"GET", "/"}:                                        {"404 NOT_FOUND", ""},
		{"GET", "/nothing"}:                                 {"404 NOT_FOUND", ""},
		{"GET", "/health/"}:                                 {"404 NOT_FOUND", ""},
		{"GET", "/HEALTH"}:                                  {"404 NOT_FOUND", ""},
		{"GET", "/outbound-calls//details"}:                 {"404 NOT_FOUND", ""},
		{"GET", call + "/details/more"}:                     {"404 NOT_FOUND", ""},
		{"GET", "/outbound-calls/%2e%2e/admin/user-policy"}: {"404 NOT_FOUND", ""},
	} {
		a := b.Ask("", request[0], request[1], "")
		if allow := a.Header.Get("Allow"); a.Outcome() != want.outcome || allow != want.allow {
			t.Errorf("%s: %s, allow %q, want %+v", request, a.Outcome(), allow, want)
		}
		if media := a.Header.Get("Content-Type"); a.Status != 200 && media != "application/problem+json" {
			t.Errorf("%s is %s", request, media)
		}
		if request[0] == "HEAD" && a.Text != "" {
			t.Errorf("%s has a body: %s", request, a.Text)
		}
	}
}

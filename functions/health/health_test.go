package health_test

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/krosai/telephony/functions/health"
	"github.com/krosai/telephony/shared/api"
)

func TestHealth(t *testing.T) {
	t.Parallel()
	edge := &api.Edge{Now: time.Now, Log: slog.New(slog.DiscardHandler)}
	h := edge.Handler(&health.Endpoint{Version: "1.2.3"})
	for target, want := range map[string]string{
		"/health":   `{"status":"ok","version":"1.2.3"}` + "\n",
		"/health?x": "",
	} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, target, nil))
		if ok := w.Code == http.StatusOK; ok != (want != "") || ok && w.Body.String() != want {
			t.Errorf("GET %s = %d %s", target, w.Code, w.Body)
		}
	}
}

// TestFallback checks that a request without a route gets a problem. For a path that exists the
// answer lists its methods.
func TestFallback(t *testing.T) {
	t.Parallel()
	type answer struct {
		Status      int
		Code, Allow string
	}
	edge := &api.Edge{Now: time.Now, Log: slog.New(slog.DiscardHandler)}
	h := edge.Handler(&health.Endpoint{Version: "1.2.3"})
	const call = "/outbound-calls/call_01KAMPJ5V0SAMPMECA00000000"
	for request, want := range map[[2]string]answer{
		{"HEAD", "/health"}:                                 {200, "", ""},
		{"POST", "/health"}:                                 {405, "METHOD_NOT_ALLOWED", "GET, HEAD"},
		{"PUT", "/outbound-calls/create"}:                   {405, "METHOD_NOT_ALLOWED", "GET, POST"},
		{"OPTIONS", "/outbound-calls/stats"}:                {405, "METHOD_NOT_ALLOWED", "GET"},
		{"HEAD", "/outbound-calls"}:                         {405, "METHOD_NOT_ALLOWED", "GET"},
		{"DELETE", call}:                                    {405, "METHOD_NOT_ALLOWED", "GET"},
		{"GET", call + "/hangup"}:                           {405, "METHOD_NOT_ALLOWED", "POST"},
		{"PATCH", "/admin/calls"}:                           {405, "METHOD_NOT_ALLOWED", "GET, PUT"},
		{"PUT", "/webhook-endpoints/whe_1"}:                 {405, "METHOD_NOT_ALLOWED", "DELETE, PATCH"},
		{"GET", "/"}:                                        {404, "NOT_FOUND", ""},
		{"GET", "/nothing"}:                                 {404, "NOT_FOUND", ""},
		{"GET", "/health/"}:                                 {404, "NOT_FOUND", ""},
		{"GET", "/HEALTH"}:                                  {404, "NOT_FOUND", ""},
		{"GET", "/outbound-calls//details"}:                 {404, "NOT_FOUND", ""},
		{"GET", call + "/details/more"}:                     {404, "NOT_FOUND", ""},
		{"GET", "/outbound-calls/%2e%2e/admin/user-policy"}: {404, "NOT_FOUND", ""},
	} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(request[0], request[1], nil))
		got := answer{w.Code, "", w.Header().Get("Allow")}
		if request[0] == "HEAD" {
			got.Code = want.Code // the code is in the body, and an answer to HEAD has no body
		} else if w.Code != 200 {
			var p api.Problem
			if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || w.Header().Get("Content-Type") != "application/problem+json" {
				t.Errorf("%s: %v, %s %s", request, err, w.Header().Get("Content-Type"), w.Body)
			}
			got.Code = p.Code
		}
		if d := cmp.Diff(want, got); d != "" || request[0] == "HEAD" && w.Body.Len() > 0 {
			t.Errorf("%s with %d bytes (-want +got):\n%s", request, w.Body.Len(), d)
		}
	}
}

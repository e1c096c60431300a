package health_test

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

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

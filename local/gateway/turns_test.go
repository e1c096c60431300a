package gateway

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/krosai/telephony/emulator/template"
)

var anyRoute = []template.Route{{Method: "GET", Path: "/{id}", Function: "f"}}

// TestTurns checks that requests begin in the order in which they arrive. A function that only
// waits delays other requests by at most turnTime.
func TestTurns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var begun []string
		stop := make(chan struct{})
		invoke := func(_ context.Context, _ string, event []byte) ([]byte, error) {
			mu.Lock()
			begun = append(begun, fmt.Sprint(len(begun)))
			mu.Unlock()
			<-stop
			return []byte(`{"statusCode":200}`), nil
		}
		h := New(anyRoute, invoke, Options{Log: slog.New(slog.DiscardHandler)}).(*handler)
		var all sync.WaitGroup
		const requests = 3
		for range requests * cap(h.turns) {
			all.Go(func() {
				w := httptest.NewRecorder()
				h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/x", nil))
				if w.Code != http.StatusOK {
					t.Errorf("%d %s", w.Code, w.Body)
				}
			})
		}
		count := func() int { mu.Lock(); defer mu.Unlock(); return len(begun) }
		var counts []int
		for range requests {
			synctest.Wait()
			counts = append(counts, count()/cap(h.turns))
			time.Sleep(turnTime)
		}
		if d := cmp.Diff([]int{1, 2, 3}, counts); d != "" {
			t.Errorf("turns taken at once, after one turnTime and after two (-want +got):\n%s", d)
		}
		close(stop)
		all.Wait()
		if len(h.turns) != 0 {
			t.Errorf("%d turns were not given up", len(h.turns))
		}
	})
}

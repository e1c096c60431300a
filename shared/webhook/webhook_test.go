package webhook_test

import (
	"testing"
	"time"

	"github.com/krosai/telephony/shared/webhook"
)

func TestWants(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 22, 9, 30, 0, 123e6, time.UTC)
	e := webhook.Endpoint{Events: []string{webhook.CallEnded}, CreatedAt: at.Add(456 * time.Microsecond)}
	for name, tt := range map[string]struct {
		event webhook.Event
		want  bool
	}{
		"of its type":        {webhook.Event{Type: webhook.CallEnded, At: at.Add(time.Second)}, true},
		"of the same moment": {webhook.Event{Type: webhook.CallEnded, At: at}, true},
		"earlier":            {webhook.Event{Type: webhook.CallEnded, At: at.Add(-time.Millisecond)}, false},
		"of another type":    {webhook.Event{Type: webhook.CallAnswered, At: at.Add(time.Second)}, false},
	} {
		if got := e.Wants(tt.event); got != tt.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// TestPause: the waits grow, and the last attempt comes a day after the first.
func TestPause(t *testing.T) {
	t.Parallel()
	var total, before time.Duration
	n := 1
	for ; ; n++ {
		pause, ok := webhook.Pause(n)
		if !ok {
			break
		}
		if pause < before {
			t.Errorf("after attempt %d: %s, after the one before %s", n, pause, before)
		}
		total, before = total+pause, pause
	}
	if n != 12 || total != 24*time.Hour+130*time.Second {
		t.Errorf("%d attempts in %s", n, total)
	}
}

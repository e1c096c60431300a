package webhook_test

import (
	"testing"
	"time"

	"github.com/krosai/telephony/shared/event"
	"github.com/krosai/telephony/shared/webhook"
)

func TestWants(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 22, 9, 30, 0, 123e6, time.UTC)
	e := webhook.Endpoint{Events: []string{event.CallEnded}, CreatedAt: at.Add(456 * time.Microsecond)}
	for name, tt := range map[string]struct {
		event webhook.Event
		want  bool
	}{
		"of its type":        {webhook.Event{Type: event.CallEnded, At: at.Add(time.Second)}, true},
		"of the same moment": {webhook.Event{Type: event.CallEnded, At: at}, true},
		"earlier":            {webhook.Event{Type: event.CallEnded, At: at.Add(-time.Millisecond)}, false},
		"of another type":    {webhook.Event{Type: event.CallAnswered, At: at.Add(time.Second)}, false},
	} {
		if got := e.Wants(tt.event.Type, tt.event.At); got != tt.want {
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

// TestHold: five failures in a row hold an endpoint. Each further failure holds it for longer, at
// most for five minutes.
func TestHold(t *testing.T) {
	t.Parallel()
	for n, want := range map[int]time.Duration{0: 0, 4: 0, 5: 30 * time.Second, 6: time.Minute, 7: 2 * time.Minute, 8: 4 * time.Minute,
		9: 5 * time.Minute, 1000: 5 * time.Minute} {
		if got := webhook.Hold(n); got != want {
			t.Errorf("after %d failures: %s", n, got)
		}
	}
}

func TestFailsTooOften(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 22, 9, 30, 0, 0, time.UTC)
	for name, tt := range map[string]struct {
		failures int
		over     time.Duration
		want     bool
	}{
		"none":                {0, 0, false},
		"for long, a few":     {19, 24 * time.Hour, false},
		"twenty, too fast":    {20, time.Hour - time.Second, false},
		"twenty over an hour": {20, time.Hour, true},
		"ninety-nine at once": {99, 0, false},
		"a hundred at once":   {100, 0, true},
	} {
		e := webhook.Endpoint{Failures: tt.failures, FailingSince: now.Add(-tt.over)}
		if got := e.FailsTooOften(now); got != tt.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestStatusOfEndpoint(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 22, 9, 30, 0, 0, time.UTC)
	for want, e := range map[webhook.EndpointStatus]webhook.Endpoint{webhook.Active: {Failures: 5}, webhook.Paused: {Paused: true},
		webhook.Disabled: {Paused: true, DisabledAt: now}} {
		e.Events, e.CreatedAt = []string{event.CallEnded}, now
		if e.Status() != want || e.Wants(event.CallEnded, now) != (want == webhook.Active) {
			t.Errorf("%s is %s", want, e.Status())
		}
	}
}

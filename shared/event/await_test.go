package event_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/krosai/telephony/shared/event"
)

// places is an event.Places with a number of free places.
type places struct{ free, taken, given int }

var errFull = errors.New("full")

func (p *places) Wait(context.Context, string, time.Time) (int, error) {
	if p.free == 0 {
		return 0, errFull
	}
	p.free, p.taken = p.free-1, p.taken+1
	return 1, nil
}

func (p *places) StopWaiting(context.Context, string, int, time.Time) error {
	p.free, p.given = p.free+1, p.given+1
	return nil
}

func TestAwait(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	for _, c := range []struct {
		name   string
		comes  time.Duration // when something is found; negative means never
		wait   time.Duration
		places int
		fails  error         // of each check but the first
		gone   time.Duration // when the client disconnects; 0 means never
		after  time.Duration
		looks  int
		err    error
		taken  int
	}{
		{name: "there already", wait: 20 * time.Second, looks: 1},
		{name: "not asked to wait", comes: -1, looks: 1},
		{name: "comes", comes: 3 * time.Second, wait: 20 * time.Second, places: 1, after: 3750 * time.Millisecond, looks: 6, taken: 1},
		{name: "never comes", comes: -1, wait: 5 * time.Second, places: 1, after: 5 * time.Second, looks: 7, taken: 1},
		{name: "no place", comes: -1, wait: 5 * time.Second, err: errFull, looks: 1},
		{name: "look fails", comes: -1, wait: 5 * time.Second, places: 1, fails: broken, after: 250 * time.Millisecond, looks: 2, err: broken, taken: 1},
		{name: "client gone", comes: -1, wait: 20 * time.Second, places: 1, gone: time.Second, after: time.Second, looks: 3, taken: 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ctx, began, looks, p := t.Context(), time.Now(), 0, &places{free: c.places}
				if c.gone > 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, c.gone)
					defer cancel()
				}
				err := event.Await(ctx, p, "ada", time.Now, c.wait, func() (bool, error) {
					if looks++; looks > 1 && c.fails != nil {
						return false, c.fails
					}
					return c.comes >= 0 && time.Since(began) >= c.comes, nil
				})
				if !errors.Is(err, c.err) || looks != c.looks || time.Since(began) != c.after || p.taken != c.taken || p.given != c.taken {
					t.Errorf("%v after %s, %d looks, %d places taken, %d given back", err, time.Since(began), looks, p.taken, p.given)
				}
			})
		})
	}
}

// Package stock offers a number that has become free to the requests that wait
// for one.
package stock

import (
	"context"
	"errors"

	"github.com/krosai/telephony/shared/number"
	"github.com/krosai/telephony/shared/request"
)

// Requests finds the approved requests that a number would do for, the oldest
// few.
type Requests interface {
	WaitingFor(ctx context.Context, n number.Number) ([]request.Request, error)
}

// Flow wakes the workflow that waits with a token.
type Flow interface {
	StockArrived(ctx context.Context, token string) error
}

// Offer wakes the requests that wait for a number like n, so that they try to
// have one assigned. It assigns nothing itself: they may find others quicker.
// What it misses, the sweep offers again.
func Offer(ctx context.Context, requests Requests, flow Flow, n number.Number) error {
	waiting, err := requests.WaitingFor(ctx, n)
	for _, r := range waiting {
		err = errors.Join(err, flow.StockArrived(ctx, r.TaskToken))
	}
	return err
}

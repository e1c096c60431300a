// Package stock offers numbers that have become free to the requests that wait
// for one.
package stock

import (
	"context"
	"errors"

	"github.com/krosai/telephony/shared/number"
	"github.com/krosai/telephony/shared/request"
)

// Requests finds the approved requests that one of the numbers would do for, the
// oldest few.
type Requests interface {
	WaitingFor(ctx context.Context, numbers ...number.Number) ([]request.Request, error)
}

// Flow wakes the workflow that waits with a token.
type Flow interface {
	StockArrived(ctx context.Context, token string) error
}

// Offer wakes the requests that wait for a number like one of these, so that they
// try to have one assigned. It assigns nothing itself: they may find others quicker.
// What it misses, the sweep offers again.
func Offer(ctx context.Context, requests Requests, flow Flow, numbers ...number.Number) error {
	waiting, err := requests.WaitingFor(ctx, numbers...)
	for _, r := range waiting {
		err = errors.Join(err, flow.StockArrived(ctx, r.TaskToken))
	}
	return err
}

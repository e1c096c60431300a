package numberrequest

import (
	"context"
	"errors"

	"github.com/krosai/telephony/shared/number"
)

// Requests finds the oldest few of the approved requests that one of the numbers fits.
type Requests interface {
	WaitingFor(ctx context.Context, numbers ...number.Number) ([]Request, error)
}

// Workflow wakes the workflow that waits with a token.
type Workflow interface {
	NumberAvailable(ctx context.Context, token string) error
}

// Offer wakes the requests that wait for a number like one of these, so that they try to have one
// assigned. It assigns nothing itself, so another request may be quicker. The sweep offers again
// what Offer misses.
func Offer(ctx context.Context, requests Requests, flow Workflow, numbers ...number.Number) error {
	waiting, err := requests.WaitingFor(ctx, numbers...)
	for _, r := range waiting {
		err = errors.Join(err, flow.NumberAvailable(ctx, r.TaskToken))
	}
	return err
}

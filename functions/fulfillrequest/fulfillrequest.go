// Package fulfillrequest is the task of an approval workflow that assigns a number from the
// inventory to an approved request.
package fulfillrequest

import (
	"context"
	"log/slog"

	"github.com/krosai/telephony/shared/numberrequest"
)

// Requests assigns numbers to requests, one to each.
type Requests interface {
	FulfillRequest(ctx context.Context, id string) (r numberrequest.Request, assigned bool, err error)
}

// Task assigns numbers.
type Task struct {
	Requests Requests
	Log      *slog.Logger
}

// Input names the request.
type Input struct {
	RequestID string `json:"request_id"`
}

// Output is the status of the request: assigned, or still approved when no number is available.
type Output struct {
	Status numberrequest.Status `json:"status"`
}

// Run may be repeated, because a request gets only one number.
func (t *Task) Run(ctx context.Context, in Input) (Output, error) {
	r, assigned, err := t.Requests.FulfillRequest(ctx, in.RequestID)
	if err != nil {
		return Output{}, err
	}
	if !assigned {
		t.Log.WarnContext(ctx, "no number is free", "number_request_id", r.ID, "country", r.Country, "number_type", r.Type, "area_code", r.AreaCode)
	}
	return Output{r.Status}, nil
}

// Package expirerequest is the task of an approval workflow that checks a pending request. It gives
// the reminders that are due while the request is undecided, and rejects the request when its
// review has taken too long.
package expirerequest

import (
	"context"
	"log/slog"
	"time"

	"github.com/krosai/telephony/shared/numberrequest"
)

// Requests reads requests, records reminders and rejects expired requests. first is false when the
// reminder was recorded before or the request is decided.
type Requests interface {
	RequestByID(ctx context.Context, id string) (numberrequest.Request, error)
	RemindRequest(ctx context.Context, id string, n int, now time.Time) (first bool, err error)
	ExpireRequest(ctx context.Context, id string, now time.Time) (numberrequest.Request, error)
}

// Task checks requests.
type Task struct {
	Requests Requests
	Now      func() time.Time
	Log      *slog.Logger
}

// Input names the request.
type Input struct {
	RequestID string `json:"request_id"`
}

// Output is the status of the request. While the request is pending, Seconds is how long to wait
// for its decision before it needs another check.
type Output struct {
	Status  numberrequest.Status `json:"status"`
	Seconds int                  `json:"seconds"`
}

// Run may be repeated and may come late. Each reminder is given at most once. If several are due,
// only the last is given.
func (t *Task) Run(ctx context.Context, in Input) (Output, error) {
	r, err := t.Requests.RequestByID(ctx, in.RequestID)
	now := t.Now()
	switch {
	case err != nil:
		return Output{}, err
	case r.Overdue(now):
		r, err = t.Requests.ExpireRequest(ctx, r.ID, now)
	case r.Status == numberrequest.Pending && r.Due(now) > r.Reminders:
		err = t.remind(ctx, r, now)
	}
	return Output{r.Status, int(r.Patience(now).Round(time.Second) / time.Second)}, err
}

func (t *Task) remind(ctx context.Context, r numberrequest.Request, now time.Time) error {
	first, err := t.Requests.RemindRequest(ctx, r.ID, r.Due(now), now)
	if first {
		t.Log.WarnContext(ctx, "number request waits for a decision", "number_request_id", r.ID, "created_at", r.CreatedAt,
			"reminder", r.Due(now), "expires_at", r.CreatedAt.Add(numberrequest.ReviewTime))
	}
	return err
}

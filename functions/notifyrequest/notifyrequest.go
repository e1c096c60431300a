// Package notifyrequest is the task of an approval workflow that notifies the owner of a request
// that it was assigned or rejected.
package notifyrequest

import (
	"context"
	"log/slog"
	"time"

	"github.com/krosai/telephony/shared/numberrequest"
)

// Requests reads requests and records that their owners were notified.
type Requests interface {
	RequestByID(ctx context.Context, id string) (numberrequest.Request, error)
	NotifyRequest(ctx context.Context, id string, now time.Time) (first bool, err error)
}

// Task notifies owners.
type Task struct {
	Requests Requests
	Now      func() time.Time
	Log      *slog.Logger
}

// Input names the request.
type Input struct {
	RequestID string `json:"request_id"`
}

// Run may be repeated: the owner is notified once, through their webhook endpoints. The log and the
// audit also record the end of a request.
func (t *Task) Run(ctx context.Context, in Input) error {
	r, err := t.Requests.RequestByID(ctx, in.RequestID)
	if err != nil {
		return err
	}
	first, err := t.Requests.NotifyRequest(ctx, r.ID, t.Now())
	if first {
		t.Log.InfoContext(ctx, "number request ended", "number_request_id", r.ID, "user_id", r.UserID, "status", string(r.Status),
			"phone_number_id", r.NumberID)
	}
	return err
}

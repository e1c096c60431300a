// Package sweepnumbers runs every five minutes and repairs what was lost on the way of number
// requests: workflows that never started or died, notifications that never reached a workflow,
// available numbers that were not offered, and configurations that stopped half way.
package sweepnumbers

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/krosai/telephony/shared/numberrequest"
	"github.com/krosai/telephony/shared/obs"
	"github.com/krosai/telephony/shared/store"
)

// Requests lists the requests with work left, and reports whether a number is available for one.
type Requests interface {
	OpenRequests(ctx context.Context) ([]numberrequest.Request, error)
	HasAvailable(ctx context.Context, r numberrequest.Request) (bool, error)
}

// Numbers lists and ends the leases that were not given back.
type Numbers interface {
	AbandonedLeases(ctx context.Context, before time.Time) ([]store.Lease, error)
	EndLease(ctx context.Context, l store.Lease) (ended bool, err error)
}

// Workflow starts workflows and notifies them. Its requests are harmless to repeat. RestartApproval
// starts a workflow only if none of the request runs. It returns when the one that runs started.
type Workflow interface {
	RestartApproval(ctx context.Context, requestID string) (started time.Time, err error)
	RequestDecided(ctx context.Context, token string) error
	NumberAvailable(ctx context.Context, token string) error
}

// Task sweeps number requests and leases.
type Task struct {
	Requests Requests
	Numbers  Numbers
	Workflow Workflow
	Now      func() time.Time
	Log      *slog.Logger
}

// Report counts what one run did.
type Report struct {
	Open     int `json:"open"`     // requests with work left
	Started  int `json:"started"`  // workflows that had not begun, or had died
	Notified int `json:"notified"` // workflows notified again of a decision
	Offered  int `json:"offered"`  // requests that a number was found for
	Leases   int `json:"leases"`   // half-done configurations, which now show as faults
	Failures int `json:"failures"` // requests and leases that the run failed to handle
}

// grace is how long the sweep leaves a request or a number to the functions at work on it.
const grace = time.Minute

// Run may overlap with another run of itself.
func (t *Task) Run(ctx context.Context) (Report, error) {
	var r Report
	open, openErr := t.Requests.OpenRequests(ctx)
	var longest time.Duration // that a request has been approved
	for _, q := range open {
		if q.Status == numberrequest.Approved {
			longest = max(longest, t.Now().Sub(q.UpdatedAt))
		}
		if err := t.visit(ctx, q, &r); err != nil {
			r.Failures++
			t.Log.ErrorContext(ctx, "sweep request", "number_request_id", q.ID, "error", err)
		}
	}
	r.Open = len(open)
	leasesErr := t.leases(ctx, &r)
	t.Log.InfoContext(ctx, "sweep numbers", "open", r.Open, "started", r.Started, "notified", r.Notified, "offered", r.Offered,
		"leases", r.Leases, "failures", r.Failures)
	err, hours := errors.Join(openErr, leasesErr), longest.Hours()
	if err == nil {
		obs.Count(ctx, "Sweeps", 1, "Of", "numbers")
		obs.Count(ctx, "ApprovedHours", hours)
	}
	return r, err
}

// visit repairs one request. A token does not tell whether its workflow still lives, because Step
// Functions takes the token of a workflow that has died without an error. So visit also restarts
// the workflow of each request on which a workflow should already have acted.
func (t *Task) visit(ctx context.Context, q numberrequest.Request, r *Report) error {
	now := t.Now()
	if now.Before(q.UpdatedAt.Add(grace)) {
		return nil
	}
	var err error
	switch {
	case q.TaskToken == "":
	case q.Status.Decided() && q.Awaits == numberrequest.AwaitsDecision:
		err = count(&r.Notified, t.Workflow.RequestDecided(ctx, q.TaskToken))
	case q.Status == numberrequest.Approved:
		found, failed := t.Requests.HasAvailable(ctx, q)
		if failed != nil || !found {
			return failed
		}
		err = count(&r.Offered, t.Workflow.NumberAvailable(ctx, q.TaskToken))
	case q.Overdue(now.Add(-grace)), q.Due(now.Add(-grace)) > q.Reminders:
	default:
		return nil
	}
	if err != nil {
		return err
	}
	started, err := t.Workflow.RestartApproval(ctx, q.ID)
	if err == nil && now.Sub(started) < grace {
		r.Started++
	}
	return err
}

// leases turns expired leases into faults of their numbers. The owner of a number sees the fault
// and repairs it by configuring the number again.
func (t *Task) leases(ctx context.Context, r *Report) error {
	leases, err := t.Numbers.AbandonedLeases(ctx, t.Now().Add(-grace))
	for _, l := range leases {
		ended, err := t.Numbers.EndLease(ctx, l)
		if err != nil {
			r.Failures++
			t.Log.ErrorContext(ctx, "end lease", "phone_number_id", l.NumberID, "error", err)
			continue
		}
		if ended {
			r.Leases++
			t.Log.WarnContext(ctx, "a configuration stopped half way", "phone_number_id", l.NumberID, "lease_until", l.Until)
		}
	}
	return err
}

// count increments n if err is nil, and returns err.
func count(n *int, err error) error {
	if err == nil {
		*n++
	}
	return err
}

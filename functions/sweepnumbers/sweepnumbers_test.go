package sweepnumbers_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/krosai/telephony/functions/sweepnumbers"
	"github.com/krosai/telephony/shared/number"
	"github.com/krosai/telephony/shared/numberrequest"
	"github.com/krosai/telephony/shared/store"
	"github.com/krosai/telephony/shared/store/storetest"
)

var t0 = time.Date(2026, 11, 22, 9, 30, 0, 0, time.UTC)

// flows is Step Functions. It records its requests and answers them with err.
type flows struct {
	asked []string
	err   error
}

func (f *flows) ask(what string) error {
	f.asked = append(f.asked, what)
	return f.err
}

// RestartApproval finds that every workflow runs, but that of the request that was forgotten.
func (f *flows) RestartApproval(_ context.Context, id string) (time.Time, error) {
	if err := f.ask("start " + id); err != nil || id != "req_forgotten" {
		return t0, err
	}
	return t0.Add(5 * time.Minute), nil
}
func (f *flows) RequestDecided(_ context.Context, token string) error {
	return f.ask("decided " + token)
}
func (f *flows) NumberAvailable(_ context.Context, token string) error {
	return f.ask("available " + token)
}

// fill adds a request of every kind to the database, and leases.
func fill(t *testing.T, db *storetest.Database) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	submit := func(name, country string) numberrequest.Request {
		r, _, err := db.CreateRequest(t.Context(), numberrequest.Request{ID: "req_" + name, UserID: name, Country: country, CreatedAt: t0})
		must(err)
		return r
	}
	await := func(r numberrequest.Request, what string) {
		_, _, err := db.AwaitRequest(t.Context(), r.ID, r.ID, what)
		must(err)
	}
	decide := func(r numberrequest.Request, approve bool) {
		_, err := db.Decide(t.Context(), r.ID, numberrequest.Decision{Approve: approve, By: "root"}, t0)
		must(err)
	}
	submit("forgotten", "NG")
	await(submit("pending", "NG"), numberrequest.AwaitsDecision)
	for name, approve := range map[string]bool{"approved": true, "rejected": false} {
		r := submit(name, "NG")
		await(r, numberrequest.AwaitsDecision)
		decide(r, approve)
	}
	for name, country := range map[string]string{"served": "NG", "unserved": "GH"} {
		r := submit(name, country)
		decide(r, true)
		await(r, numberrequest.AwaitsNumber)
	}
	_, _, err := db.CreateRequest(t.Context(), numberrequest.Request{ID: "req_young", UserID: "young", Country: "NG", CreatedAt: t0.Add(5 * time.Minute)})
	must(err)
	for i, e164 := range []string{"+23412345678", "+23412345679", "+23412345670"} {
		n := number.Number{ID: number.ID(e164), E164: e164, Country: "NG", Type: "local", UpdatedAt: t0}
		if i > 0 {
			n.UserID, n.AssignedAt = "ada", t0
		}
		must(db.AddNumber(t.Context(), n, "root"))
		if i > 0 {
			_, err := db.LeaseNumber(t.Context(), "ada", n.ID, "lease", time.Duration(i*i)*time.Minute)
			must(err)
		}
	}
}

func TestRun(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		err   error
		want  sweepnumbers.Report
		asked []string
	}{
		{"all is well", nil, sweepnumbers.Report{Open: 7, Started: 1, Notified: 2, Offered: 1, Leases: 1}, []string{"available req_served", "decided req_approved",
			"decided req_rejected", "start req_approved", "start req_forgotten", "start req_rejected", "start req_served"}},
		{"Step Functions does not answer", errors.New("down"), sweepnumbers.Report{Open: 7, Leases: 1, Failures: 4}, []string{"available req_served",
			"decided req_approved", "decided req_rejected", "start req_forgotten"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			db := storetest.Open(t, func() time.Time { return t0 })
			fill(t, db)
			f := &flows{err: tt.err}
			task := &sweepnumbers.Task{Requests: db, Numbers: db, Workflow: f, Now: func() time.Time { return t0.Add(5 * time.Minute) }, Log: slog.New(slog.DiscardHandler)}
			got, err := task.Run(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Errorf("report (-want +got):\n%s", d)
			}
			slices.Sort(f.asked)
			if d := cmp.Diff(tt.asked, f.asked); d != "" {
				t.Errorf("asked (-want +got):\n%s", d)
			}
			n, err := db.Number(t.Context(), "ada", number.ID("+23412345679"))
			if err != nil || !n.Fault {
				t.Errorf("half configured: %+v, %v", n, err)
			}
		})
	}
}

// broken is a database that lists one lease and otherwise fails.
type broken struct{}

var errDown = errors.New("down")

func (broken) OpenRequests(context.Context) ([]numberrequest.Request, error) { return nil, errDown }
func (broken) HasAvailable(context.Context, numberrequest.Request) (bool, error) {
	return false, errDown
}
func (broken) EndLease(context.Context, store.Lease) (bool, error) { return false, errDown }
func (broken) AbandonedLeases(context.Context, time.Time) ([]store.Lease, error) {
	return []store.Lease{{NumberID: "pn_1"}}, nil
}

// TestOneFailureDoesNotStopTheRest checks that the run handles what can be listed, and fails if
// something could not be listed.
func TestOneFailureDoesNotStopTheRest(t *testing.T) {
	t.Parallel()
	task := &sweepnumbers.Task{Requests: broken{}, Numbers: broken{}, Workflow: &flows{}, Now: func() time.Time { return t0 }, Log: slog.New(slog.DiscardHandler)}
	got, err := task.Run(t.Context())
	if !errors.Is(err, errDown) || got != (sweepnumbers.Report{Failures: 1}) {
		t.Errorf("%+v, %v", got, err)
	}
	if text, err := json.Marshal(got); err != nil || string(text) != `{"open":0,"started":0,"notified":0,"offered":0,"leases":0,"failures":1}` {
		t.Errorf("%s, %v", text, err)
	}
}

package all_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"
	"github.com/google/go-cmp/cmp"

	"github.com/krosai/telephony/emulator/stepfunctions"
	"github.com/krosai/telephony/functions/all"
	"github.com/krosai/telephony/functions/sweepnumbers"
	"github.com/krosai/telephony/shared/id"
	"github.com/krosai/telephony/shared/number"
	"github.com/krosai/telephony/shared/numberrequest"
	"github.com/krosai/telephony/shared/store/storetest"
	"github.com/krosai/telephony/shared/workflow"
)

// office is the approval workflow with all its functions and a database, in a synctest bubble,
// where time passes at once. Functions die on demand.
type office struct {
	*testing.T
	db      *storetest.Database
	deps    all.Deps
	machine string
	history *sfn.Client

	mu    sync.Mutex
	crash map[string]crash
}

// crash is how often a function dies, before its work or after it.
type crash struct{ before, after int }

var errDied = errors.New("the sandbox died")

func openOffice(t *testing.T) *office {
	t.Helper()
	db, roles := obedient(t)
	o := &office{T: t, db: db, crash: map[string]crash{}}
	folders := map[string]string{}
	for _, f := range db.Template.Functions() {
		folders[f.Name] = f.Folder
	}
	flows, err := stepfunctions.Open(stepfunctions.Options{Log: slog.New(slog.DiscardHandler),
		Invoke: func(ctx context.Context, name string, payload []byte) ([]byte, error) {
			return o.invoke(ctx, folders[name], payload)
		}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := flows.Close(); err != nil {
			t.Error(err)
		}
	})
	o.machine = load(t, flows, db.Template, "ApprovalMachine")
	flows.Start()
	cfg := aws.Config{Region: "us-east-1", HTTPClient: workflows(roles, flows), Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{AccessKeyID: "test", SecretAccessKey: "test"}, nil
	})}
	o.history = sfn.NewFromConfig(cfg)
	o.deps = all.Deps{DB: o.db.DB, Now: time.Now, Log: slog.New(slog.DiscardHandler), Workflow: workflow.Open(cfg, workflow.Config{ApprovalMachine: o.machine})}
	o.deps.Queue = openSources(t, db, roles, o.invoke, "queuedeliveries", "deliverwebhook").Queue
	return o
}

func (o *office) invoke(ctx context.Context, folder string, payload []byte) ([]byte, error) {
	time.Sleep(5 * time.Millisecond) // so that no two steps have the same time
	if o.dies(folder, func(c *crash) *int { return &c.before }) {
		return nil, errDied
	}
	out, err := lambda.NewHandler(all.Tasks(o.deps)[folder]).Invoke(as(ctx, folder), payload)
	if o.dies(folder, func(c *crash) *int { return &c.after }) {
		return nil, errDied
	}
	return out, err
}

func (o *office) dies(folder string, when func(*crash) *int) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	c := o.crash[folder]
	n := when(&c)
	if *n == 0 {
		return false
	}
	*n--
	o.crash[folder] = c
	return true
}

// finish gives the workflows a second, which is more than they need.
func (o *office) finish() {
	time.Sleep(time.Second)
	synctest.Wait()
}

// submit records a request and starts its workflow, as requestnumber does.
func (o *office) submit(user string) numberrequest.Request {
	o.Helper()
	r, _, err := o.db.CreateRequest(o.Context(), numberrequest.Request{ID: id.Request.New(time.Now()), UserID: user, Country: "NG", Type: "mobile",
		Capabilities: []string{"outbound"}, Purpose: "Order follow-up calls", CreatedAt: time.Now().UTC()})
	if err != nil {
		o.Fatal(err)
	}
	o.start(r)
	return r
}

func (o *office) start(r numberrequest.Request) {
	o.Helper()
	if err := o.deps.Workflow.StartApproval(o.Context(), r.ID); err != nil {
		o.Fatal(err)
	}
	o.finish()
}

// decide decides and notifies the workflow, as approverequest and rejectrequest do.
func (o *office) decide(r numberrequest.Request, d numberrequest.Decision) {
	o.Helper()
	d.By = "root"
	now, err := o.db.Decide(o.Context(), r.ID, d, time.Now())
	if err != nil {
		o.Fatal(err)
	}
	if err := o.deps.Workflow.RequestDecided(o.Context(), now.TaskToken); err != nil {
		o.Fatal(err)
	}
	o.finish()
}

// inventory adds the n-th number to the inventory and notifies no workflow.
func (o *office) inventory(n int) number.Number {
	o.Helper()
	e164 := fmt.Sprintf("+234801234%04d", n)
	made := number.Number{ID: number.ID(e164), E164: e164, Country: "NG", Type: "mobile", Capabilities: []string{"inbound", "outbound"}, UpdatedAt: time.Now()}
	if err := o.db.AddNumber(o.Context(), made, "root"); err != nil {
		o.Fatal(err)
	}
	return made
}

// offer notifies the requests that wait for a number like n, as addnumber does.
func (o *office) offer(n number.Number) {
	o.Helper()
	waiting, err := o.db.WaitingFor(o.Context(), n)
	if err != nil {
		o.Fatal(err)
	}
	for _, r := range waiting {
		if err := o.deps.Workflow.NumberAvailable(o.Context(), r.TaskToken); err != nil {
			o.Fatal(err)
		}
	}
	o.finish()
}

func (o *office) sweep() sweepnumbers.Report {
	o.Helper()
	defer o.finish()
	return o.sweepOnly()
}

func (o *office) sweepOnly() sweepnumbers.Report {
	o.Helper()
	r, err := (&sweepnumbers.Task{Requests: o.db, Numbers: o.db, Workflow: o.deps.Workflow, Now: time.Now, Log: o.deps.Log}).Run(as(o.Context(), "sweepnumbers"))
	if err != nil {
		o.Error(err)
	}
	return r
}

// is checks the status of a request, and returns the request.
func (o *office) is(r numberrequest.Request, want numberrequest.Status) numberrequest.Request {
	o.Helper()
	now, err := o.db.RequestByID(o.Context(), r.ID)
	if err != nil || now.Status != want {
		o.Fatalf("the request is %s, want %s, %v", now.Status, want, err)
	}
	return now
}

// sameAudit compares the audit of a request.
func (o *office) sameAudit(r numberrequest.Request, want ...string) {
	o.Helper()
	entries, _, err := o.db.Audit(o.Context(), r.ID, 100, "")
	if err != nil {
		o.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		got = append(got, e.Action)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		o.Errorf("audit (-want +got):\n%s", diff)
	}
}

// states returns the states that a request's execution has entered, and its status.
func (o *office) states(r numberrequest.Request) (names []string, status types.ExecutionStatus) {
	o.Helper()
	executions, err := o.history.ListExecutions(o.Context(), &sfn.ListExecutionsInput{StateMachineArn: &o.machine})
	if err != nil {
		o.Fatal(err)
	}
	i := slices.IndexFunc(executions.Executions, func(e types.ExecutionListItem) bool { return *e.Name == r.ID })
	if i < 0 {
		return nil, ""
	}
	pages := sfn.NewGetExecutionHistoryPaginator(o.history, &sfn.GetExecutionHistoryInput{ExecutionArn: executions.Executions[i].ExecutionArn})
	for pages.HasMorePages() {
		page, err := pages.NextPage(o.Context())
		if err != nil {
			o.Fatal(err)
		}
		for _, e := range page.Events {
			if e.StateEnteredEventDetails != nil {
				names = append(names, *e.StateEnteredEventDetails.Name)
			}
		}
	}
	return names, executions.Executions[i].Status
}

// sameStates compares the states of an execution that has succeeded.
func (o *office) sameStates(r numberrequest.Request, want ...string) {
	o.Helper()
	names, status := o.states(r)
	if diff := cmp.Diff(want, names); diff != "" || status != types.ExecutionStatusSucceeded {
		o.Errorf("%s, states (-want +got):\n%s", status, diff)
	}
}

// inOffice runs a test in a bubble of its own.
func inOffice(t *testing.T, f func(o *office)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { f(openOffice(t)) })
}

const day = 24 * time.Hour

func TestApprovedRequestIsAssigned(t *testing.T) {
	inOffice(t, func(o *office) {
		n := o.inventory(1)
		r := o.submit("ada")
		o.is(r, numberrequest.Pending)
		o.decide(r, numberrequest.Decision{Approve: true})
		if got := o.is(r, numberrequest.Assigned); got.NumberID != n.ID {
			o.Errorf("assigned %s", got.NumberID)
		}
		if _, err := o.db.Number(o.Context(), "ada", n.ID); err != nil {
			o.Error(err)
		}
		o.sameAudit(r, "submitted", "approved", "assigned", "notified")
		o.sameStates(r, "Review", "Reviewed", "WaitForDecision", "Review", "Reviewed", "FulfillRequest", "Assigned", "Notify", "Done")
	})
}

func TestRejectedRequestIsNotified(t *testing.T) {
	inOffice(t, func(o *office) {
		r := o.submit("ada")
		o.decide(r, numberrequest.Decision{Reason: "no"})
		o.is(r, numberrequest.Rejected)
		o.sameAudit(r, "submitted", "rejected", "notified")
		o.sameStates(r, "Review", "Reviewed", "WaitForDecision", "Review", "Reviewed", "Notify", "Done")
	})
}

// TestForgottenRequestExpires checks that a request has a reminder each week and ends after
// thirty days.
func TestForgottenRequestExpires(t *testing.T) {
	inOffice(t, func(o *office) {
		r := o.submit("ada")
		time.Sleep(30*day - 10*time.Second)
		o.finish()
		o.is(r, numberrequest.Pending)
		o.sameAudit(r, "submitted", "reminded", "reminded", "reminded", "reminded")
		time.Sleep(10 * time.Second)
		o.finish()
		if got := o.is(r, numberrequest.Rejected); got.Reason != numberrequest.Expired || got.DecidedBy != numberrequest.Platform {
			o.Errorf("%+v", got)
		}
		o.sameAudit(r, "submitted", "reminded", "reminded", "reminded", "reminded", "rejected", "notified")
		o.submit("ada") // the claim is free again
	})
}

func TestNumberThatArrivesIsAssignedAtOnce(t *testing.T) {
	inOffice(t, func(o *office) {
		first, second := o.submit("ada"), o.submit("bea")
		o.decide(first, numberrequest.Decision{Approve: true})
		o.decide(second, numberrequest.Decision{Approve: true})
		time.Sleep(40 * day) // nothing expires once it is approved
		o.finish()
		o.is(first, numberrequest.Approved)
		o.offer(o.inventory(1))
		a, b := o.statusOf(first), o.statusOf(second)
		if a == b || a != numberrequest.Assigned && b != numberrequest.Assigned {
			o.Errorf("one number: %s and %s", a, b)
		}
		waiting := second
		if b == numberrequest.Assigned {
			waiting = first
		}
		o.inventory(2)
		o.finish()
		o.is(waiting, numberrequest.Approved) // no workflow was notified
		time.Sleep(6 * time.Minute)
		if r := o.sweep(); r.Offered != 1 || r.Started != 0 || r.Failures != 0 {
			o.Errorf("%+v", r)
		}
		o.is(waiting, numberrequest.Assigned)
		o.sameAudit(waiting, "submitted", "approved", "assigned", "notified")
	})
}

func (o *office) statusOf(r numberrequest.Request) numberrequest.Status {
	o.Helper()
	now, err := o.db.RequestByID(o.Context(), r.ID)
	if err != nil {
		o.Fatal(err)
	}
	return now.Status
}

// TestReleasedNumberGoesToWhoWaits checks that a released number goes to a waiting request.
func TestReleasedNumberGoesToWhoWaits(t *testing.T) {
	inOffice(t, func(o *office) {
		n := o.inventory(1)
		r := o.submit("ada")
		o.decide(r, numberrequest.Decision{Approve: true})
		o.is(r, numberrequest.Assigned)
		next := o.submit("bea")
		o.decide(next, numberrequest.Decision{Approve: true})
		o.is(next, numberrequest.Approved)
		released, err := o.db.Unassign(o.Context(), n.ID, "ada", "root")
		if err != nil {
			o.Fatal(err)
		}
		o.offer(released)
		if got := o.is(next, numberrequest.Assigned); got.NumberID != n.ID {
			o.Errorf("assigned %s", got.NumberID)
		}
	})
}

// TestNumberForAnotherWakesNobodyInVain checks that a number that one user has requested by name is
// not available to the others, so that their workflows do not try again and again.
func TestNumberForAnotherWakesNobodyInVain(t *testing.T) {
	inOffice(t, func(o *office) {
		n := o.inventory(1)
		named, _, err := o.db.CreateRequest(o.Context(), numberrequest.Request{ID: id.Request.New(time.Now()), UserID: "bea", PhoneNumber: n.E164, CreatedAt: time.Now().UTC()})
		if err != nil {
			o.Fatal(err)
		}
		o.start(named)
		r := o.submit("ada")
		o.decide(r, numberrequest.Decision{Approve: true})
		time.Sleep(time.Hour)
		if report := o.sweep(); report.Offered != 0 {
			o.Errorf("%+v", report)
		}
		o.is(r, numberrequest.Approved)
		if names, _ := o.states(r); len(names) > 9 {
			o.Errorf("it went around: %v", names)
		}
		o.decide(named, numberrequest.Decision{Approve: true})
		o.is(named, numberrequest.Assigned)
	})
}

// TestEachTaskMayDie lets each function of the workflow die, before its work and after it. The work
// must not be done twice.
func TestEachTaskMayDie(t *testing.T) {
	t.Parallel()
	for _, folder := range []string{"expirerequest", "awaitrequest", "fulfillrequest", "notifyrequest"} {
		for _, c := range []crash{{before: 1}, {after: 1}, {before: 1, after: 2}, {before: 9}, {after: 9}} {
			t.Run(fmt.Sprintf("%s %+v", folder, c), func(t *testing.T) {
				inOffice(t, func(o *office) {
					o.crash[folder] = c
					waits := o.submit("ada")
					late := o.submit("bea")
					time.Sleep(2 * time.Hour)
					o.finish()
					o.decide(waits, numberrequest.Decision{Approve: true})
					o.decide(late, numberrequest.Decision{Reason: "no"})
					time.Sleep(2 * time.Hour)
					o.finish()
					o.offer(o.inventory(1))
					o.inventory(2)
					for range 3 {
						time.Sleep(2 * time.Hour)
						o.sweep()
					}
					got := o.is(waits, numberrequest.Assigned)
					numbers, _, err := o.db.NumbersOf(o.Context(), "ada", 10, "")
					if err != nil || len(numbers) != 1 || numbers[0].ID != got.NumberID {
						o.Errorf("ada has %+v, %v", numbers, err)
					}
					o.sameAudit(waits, "submitted", "approved", "assigned", "notified")
					o.sameAudit(late, "submitted", "rejected", "notified")
					for _, r := range []numberrequest.Request{waits, late} {
						if _, status := o.states(r); status != types.ExecutionStatusSucceeded {
							o.Errorf("the workflow is %s", status)
						}
					}
					if r := o.sweep(); r != (sweepnumbers.Report{}) {
						o.Errorf("there is work left: %+v", r)
					}
				})
			})
		}
	}
}

// TestSweepMendsWhatWasLost checks that the sweep repairs the lost start of a workflow, and the
// lost notification of a decision.
func TestSweepMendsWhatWasLost(t *testing.T) {
	inOffice(t, func(o *office) {
		o.inventory(1)
		r, _, err := o.db.CreateRequest(o.Context(), numberrequest.Request{ID: id.Request.New(time.Now()), UserID: "ada", Country: "NG", Type: "mobile", CreatedAt: time.Now().UTC()})
		if err != nil {
			o.Fatal(err)
		}
		if got := o.sweep(); got != (sweepnumbers.Report{Open: 1}) {
			o.Errorf("too young: %+v", got)
		}
		time.Sleep(5 * time.Minute)
		if got := o.sweep(); got != (sweepnumbers.Report{Open: 1, Started: 1}) {
			o.Errorf("not started: %+v", got)
		}
		if got := o.sweep(); got != (sweepnumbers.Report{Open: 1}) {
			o.Errorf("started: %+v", got)
		}
		if _, err := o.db.Decide(o.Context(), r.ID, numberrequest.Decision{Approve: true, By: "root"}, time.Now()); err != nil { // and the workflow is not notified
			o.Fatal(err)
		}
		time.Sleep(5 * time.Minute)
		if got := o.sweep(); got != (sweepnumbers.Report{Open: 1, Notified: 1}) {
			o.Errorf("not told: %+v", got)
		}
		o.is(r, numberrequest.Assigned)
		if got := o.sweep(); got != (sweepnumbers.Report{}) {
			o.Errorf("all done: %+v", got)
		}
	})
}

// TestTwoSweepsAtOnce checks that two concurrent sweeps change nothing that one would not.
func TestTwoSweepsAtOnce(t *testing.T) {
	inOffice(t, func(o *office) {
		for i := range 5 {
			if _, _, err := o.db.CreateRequest(o.Context(), numberrequest.Request{ID: id.Request.New(time.Now()), UserID: fmt.Sprint("user", i), Country: "NG", Type: "mobile",
				CreatedAt: time.Now().UTC()}); err != nil {
				o.Fatal(err)
			}
		}
		time.Sleep(time.Hour)
		var wg sync.WaitGroup
		for range 2 {
			wg.Go(func() { o.sweepOnly() })
		}
		wg.Wait()
		o.finish()
		open, err := o.db.OpenRequests(o.Context())
		if err != nil || len(open) != 5 {
			o.Fatal(len(open), err)
		}
		for _, r := range open {
			if names, status := o.states(r); status != types.ExecutionStatusRunning || r.TaskToken == "" {
				o.Errorf("%s: %s %v", r.ID, status, names)
			}
			o.sameAudit(r, "submitted")
		}
	})
}

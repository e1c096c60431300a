package store_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/oklog/ulid/v2"

	"github.com/krosai/telephony/shared/fault"
	"github.com/krosai/telephony/shared/number"
	"github.com/krosai/telephony/shared/numberrequest"
	"github.com/krosai/telephony/shared/store/storetest"
)

// asked is a user's request for any mobile number of Nigeria.
func asked(user string) numberrequest.Request {
	return numberrequest.Request{ID: "req_" + ulid.Make().String(), UserID: user, Country: "NG", Type: "mobile",
		Capabilities: []string{"outbound"}, Purpose: "Order follow-up calls", CreatedAt: t0}
}

// spare is the n-th mobile number of Nigeria, which has no owner.
func spare(n int) number.Number {
	e164 := fmt.Sprintf("+234801234%04d", n)
	return number.Number{ID: number.ID(e164), E164: e164, Country: "NG", Type: "mobile",
		Capabilities: []string{"inbound", "outbound"}, Provider: "carrier", UpdatedAt: t0}
}

// desk is a database with helpers that fail the test on an error.
type desk struct {
	*storetest.Database
	t *testing.T
}

func openDesk(t *testing.T) desk {
	t.Helper()
	return desk{storetest.Open(t, func() time.Time { return t0 }), t}
}

func (d desk) submit(r numberrequest.Request) numberrequest.Request {
	d.t.Helper()
	r, _, err := d.CreateRequest(d.t.Context(), r)
	if err != nil {
		d.t.Fatal(err)
	}
	return r
}

func (d desk) approve(r numberrequest.Request, numberID string) numberrequest.Request {
	d.t.Helper()
	r, err := d.Decide(d.t.Context(), r.ID, numberrequest.Decision{Approve: true, By: "root", NumberID: numberID}, t0)
	if err != nil {
		d.t.Fatal(err)
	}
	return r
}

func (d desk) add(numbers ...number.Number) {
	d.t.Helper()
	for _, n := range numbers {
		if err := d.AddNumber(d.t.Context(), n, "root"); err != nil {
			d.t.Fatal(err)
		}
	}
}

// actions is the audit of a subject: actor, action and states of each line.
func (d desk) actions(subject string) []string {
	d.t.Helper()
	entries, _, err := d.Audit(d.t.Context(), subject, 100, "")
	if err != nil {
		d.t.Fatal(err)
	}
	var lines []string
	for _, e := range entries {
		lines = append(lines, e.Actor+" "+e.Action+" "+e.From+">"+e.To)
	}
	return lines
}

func (d desk) sameActions(subject string, want ...string) {
	d.t.Helper()
	if diff := cmp.Diff(want, d.actions(subject)); diff != "" {
		d.t.Errorf("audit (-want +got):\n%s", diff)
	}
}

// code is an error's code, "" without an error.
func code(err error) string {
	if err == nil {
		return ""
	}
	if e, ok := errors.AsType[*fault.Error](err); ok {
		return e.Code
	}
	return err.Error()
}

// together runs f n times at once and counts those that return true.
func together(n int, f func(int) bool) int {
	var wg sync.WaitGroup
	var yes atomic.Int64
	start := make(chan struct{})
	for i := range n {
		wg.Go(func() {
			<-start
			if f(i) {
				yes.Add(1)
			}
		})
	}
	close(start)
	wg.Wait()
	return int(yes.Load())
}

func TestRequestLife(t *testing.T) {
	t.Parallel()
	d := openDesk(t)
	d.add(spare(1))
	r := d.submit(asked("ada"))
	d.approve(r, "")
	got, assigned, err := d.FulfillRequest(t.Context(), r.ID)
	if err != nil || !assigned {
		t.Fatalf("assigned %t, %v", assigned, err)
	}
	first, err := d.NotifyRequest(t.Context(), r.ID, t0)
	if err != nil || !first {
		t.Fatalf("notified first %t, %v", first, err)
	}
	want := r
	want.Status, want.DecidedBy, want.DecidedAt, want.NumberID = numberrequest.Assigned, "root", t0, spare(1).ID
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("assigned (-want +got):\n%s", diff)
	}
	want.NotifiedAt = t0
	got, err = d.Request(t.Context(), "ada", r.ID)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("read again (-want +got):\n%s", diff)
	}
	n, err := d.Number(t.Context(), "ada", spare(1).ID)
	if err != nil || !n.AssignedAt.Equal(t0) || n.Provider != "carrier" {
		t.Errorf("%+v, %v", n, err)
	}
	d.sameActions(r.ID, "ada submitted >pending", "root approved pending>approved", "platform assigned approved>assigned", "platform notified >")
	d.sameActions(n.ID, "root added >available", "platform assigned available>assigned")
	d.submit(asked("ada")) // the claim of the first request is gone
}

func TestAlreadyRequested(t *testing.T) {
	t.Parallel()
	named := func(user string, n int) numberrequest.Request {
		r := asked(user)
		r.PhoneNumber = spare(n).E164
		return r
	}
	local := asked("ada")
	local.Type = "local"
	ghana := asked("ada")
	ghana.Country = "GH"
	for _, tt := range []struct {
		name    string
		before  numberrequest.Request
		then    func(d desk, r numberrequest.Request)
		request numberrequest.Request
		want    string
	}{
		{"the same kind twice", asked("ada"), nil, asked("ada"), "PHONE_NUMBER_ALREADY_REQUESTED"},
		{"the same kind, another user", asked("ada"), nil, asked("bea"), ""},
		{"another type", asked("ada"), nil, local, ""},
		{"another country", asked("ada"), nil, ghana, ""},
		{"the same number, another user", named("ada", 1), nil, named("bea", 1), "PHONE_NUMBER_ALREADY_REQUESTED"},
		{"another number, another user", named("ada", 1), nil, named("bea", 2), ""},
		{"another number, the same user", named("ada", 1), nil, named("ada", 2), "PHONE_NUMBER_ALREADY_REQUESTED"},
		{"the number after a rejection", named("ada", 1), func(d desk, r numberrequest.Request) {
			if _, err := d.Decide(t.Context(), r.ID, numberrequest.Decision{By: "root", Reason: "no"}, t0); err != nil {
				d.t.Fatal(err)
			}
		}, named("bea", 1), ""},
		{"the kind after it expired", asked("ada"), func(d desk, r numberrequest.Request) {
			if _, err := d.ExpireRequest(t.Context(), r.ID, t0); err != nil {
				d.t.Fatal(err)
			}
		}, asked("ada"), ""},
		{"the kind while it waits for stock", asked("ada"), func(d desk, r numberrequest.Request) { d.approve(r, "") }, asked("ada"), "PHONE_NUMBER_ALREADY_REQUESTED"},
		{"a number that is owned", named("ada", 1), func(d desk, r numberrequest.Request) {
			d.add(spare(1))
			d.approve(r, "")
			if _, ok, err := d.FulfillRequest(t.Context(), r.ID); !ok || err != nil {
				d.t.Fatal(ok, err)
			}
		}, named("bea", 1), "PHONE_NUMBER_ALREADY_REQUESTED"},
		{"the number asked for when another was chosen", named("ada", 1), func(d desk, r numberrequest.Request) {
			d.add(spare(2))
			d.approve(r, spare(2).ID)
		}, named("bea", 1), ""},
		{"the number chosen for another", asked("ada"), func(d desk, r numberrequest.Request) {
			d.add(spare(2))
			d.approve(r, spare(2).ID)
		}, named("bea", 2), "PHONE_NUMBER_ALREADY_REQUESTED"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			d := openDesk(t)
			first := d.submit(tt.before)
			if tt.then != nil {
				tt.then(d, first)
			}
			if _, _, err := d.CreateRequest(t.Context(), tt.request); code(err) != tt.want {
				t.Errorf("%v, want %s", err, tt.want)
			}
		})
	}
}

// TestFiveRequestsAnHour: exactly five of many concurrent requests succeed, and a request that is
// refused for another reason is not counted.
func TestFiveRequestsAnHour(t *testing.T) {
	t.Parallel()
	for range 5 { // few rounds, because the counter has its own tests
		d := openDesk(t)
		d.submit(asked("ada"))
		_, hour, err := d.CreateRequest(t.Context(), asked("ada"))
		if code(err) != "PHONE_NUMBER_ALREADY_REQUESTED" || hour.Used != 1 || hour.Quota != 5 {
			t.Fatalf("%v, %+v", err, hour)
		}
		made := together(30, func(i int) bool {
			r := asked("ada")
			r.Country = fmt.Sprint("C", i)
			_, _, err := d.CreateRequest(context.Background(), r)
			if err != nil && code(err) != "RATE_LIMIT_EXCEEDED" {
				t.Error(err)
			}
			return err == nil
		})
		r := asked("ada")
		r.Country, r.CreatedAt = "GH", t0.Add(time.Hour)
		_, hour, err = d.CreateRequest(t.Context(), r)
		if made != 4 || err != nil || hour.Used != 1 {
			t.Errorf("%d more made, an hour later %v, %+v", made, err, hour)
		}
	}
}

// TestTheSameRequestAgain: a request that is repeated does not conflict with its own claims.
func TestTheSameRequestAgain(t *testing.T) {
	t.Parallel()
	d := openDesk(t)
	r := asked("ada")
	r.PhoneNumber = spare(1).E164
	first := d.submit(r)
	r.Purpose = "something else"
	if diff := cmp.Diff(first, d.submit(r)); diff != "" {
		t.Error(diff)
	}
	d.sameActions(r.ID, "ada submitted >pending")
}

func TestReadingRequests(t *testing.T) {
	t.Parallel()
	d := openDesk(t)
	r := d.submit(asked("ada"))
	for _, tt := range []struct{ user, id, want string }{
		{"ada", r.ID, ""},
		{"bea", r.ID, "NOT_FOUND"},
		{"", r.ID, "NOT_FOUND"},
		{"ada", "req_none", "NOT_FOUND"},
		{"", "claim#kind#NG#mobile#ada", "NOT_FOUND"},
	} {
		if _, err := d.Request(t.Context(), tt.user, tt.id); code(err) != tt.want {
			t.Errorf("%s reads %s: %v", tt.user, tt.id, err)
		}
	}
	if _, err := d.RequestByID(t.Context(), "claim#kind#NG#mobile#ada"); code(err) != "NOT_FOUND" {
		t.Errorf("a claim is read as a request: %v", err)
	}
}

// TestListingRequests pages through lists with pages of several lengths.
func TestListingRequests(t *testing.T) {
	t.Parallel()
	d := openDesk(t)
	var all []string
	for i := range 23 {
		r := asked("ada")
		r.Country, r.CreatedAt = fmt.Sprintf("C%d", i), t0.Add(time.Duration(i)*time.Hour) // the limit is five an hour
		all = append(all, d.submit(r).ID)
	}
	slices.Sort(all) // ids of one millisecond may be in any order
	newest := slices.Clone(all)
	slices.Reverse(newest)
	time.Sleep(2 * time.Millisecond)
	d.submit(asked("bea"))
	for _, limit := range []int{1, 5, 22, 23, 24, 100} {
		var mine, pending []string
		for after, more := "", true; more; more = after != "" {
			page, next, err := d.RequestsOf(t.Context(), "ada", limit, after)
			if err != nil || len(page) > limit {
				t.Fatal(len(page), err)
			}
			for _, r := range page {
				mine = append(mine, r.ID)
			}
			after = next
		}
		for after, more := "", true; more; more = after != "" {
			page, next, err := d.RequestsWith(t.Context(), numberrequest.Pending, limit, after)
			if err != nil || len(page) > limit {
				t.Fatal(len(page), err)
			}
			for _, r := range page {
				pending = append(pending, r.ID)
			}
			after = next
		}
		if diff := cmp.Diff(newest, mine); diff != "" {
			t.Errorf("ada's by %d: %s", limit, diff)
		}
		if diff := cmp.Diff(all, pending[:len(pending)-1]); diff != "" {
			t.Errorf("pending by %d: %s", limit, diff)
		}
	}
	if none, next, err := d.RequestsWith(t.Context(), numberrequest.Approved, 10, ""); len(none) != 0 || next != "" || err != nil {
		t.Error(none, next, err)
	}
}

func TestDecide(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		before *numberrequest.Decision
		d      numberrequest.Decision
		want   string // code of the error
		status numberrequest.Status
		audit  []string
	}{
		{"approve", nil, numberrequest.Decision{Approve: true, By: "root"}, "", numberrequest.Approved, []string{"root approved pending>approved"}},
		{"reject", nil, numberrequest.Decision{By: "root", Reason: "no"}, "", numberrequest.Rejected, []string{"root rejected pending>rejected"}},
		{"approve with a number", nil, numberrequest.Decision{Approve: true, By: "root", NumberID: spare(1).ID}, "", numberrequest.Approved, []string{"root approved pending>approved"}},
		{"approve with a number that is not there", nil, numberrequest.Decision{Approve: true, By: "root", NumberID: spare(2).ID}, "CONFLICT", numberrequest.Pending, nil},
		{"approve with a number that is owned", nil, numberrequest.Decision{Approve: true, By: "root", NumberID: spare(3).ID}, "CONFLICT", numberrequest.Pending, nil},
		{"approve with a number that another asked for", nil, numberrequest.Decision{Approve: true, By: "root", NumberID: spare(4).ID}, "CONFLICT", numberrequest.Pending, nil},
		{"one's own", nil, numberrequest.Decision{Approve: true, By: "ada"}, "FORBIDDEN", numberrequest.Pending, nil},
		{"approve twice", &numberrequest.Decision{Approve: true, By: "root"}, numberrequest.Decision{Approve: true, By: "toor"}, "CONFLICT", numberrequest.Approved, []string{"root approved pending>approved"}},
		{"reject what is approved", &numberrequest.Decision{Approve: true, By: "root"}, numberrequest.Decision{By: "toor", Reason: "no"}, "CONFLICT", numberrequest.Approved, []string{"root approved pending>approved"}},
		{"approve what is rejected", &numberrequest.Decision{By: "root", Reason: "no"}, numberrequest.Decision{Approve: true, By: "toor"}, "CONFLICT", numberrequest.Rejected, []string{"root rejected pending>rejected"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			d := openDesk(t)
			assigned, other := spare(3), asked("cyd")
			assigned.UserID, other.PhoneNumber = "cyd", spare(4).E164
			d.add(spare(1), assigned, spare(4))
			d.submit(other)
			r := d.submit(asked("ada"))
			if tt.before != nil {
				if _, err := d.Decide(t.Context(), r.ID, *tt.before, t0); err != nil {
					t.Fatal(err)
				}
			}
			got, err := d.Decide(t.Context(), r.ID, tt.d, t0.Add(time.Minute))
			if code(err) != tt.want {
				t.Errorf("%v, want %s", err, tt.want)
			}
			if got.Status != tt.status {
				t.Errorf("the answer says %s, want %s", got.Status, tt.status)
			}
			now, err := d.RequestByID(t.Context(), r.ID)
			if err != nil || now.Status != tt.status {
				t.Errorf("it is %s, want %s, %v", now.Status, tt.status, err)
			}
			d.sameActions(r.ID, append([]string{"ada submitted >pending"}, tt.audit...)...)
		})
	}
	if _, err := openDesk(t).Decide(t.Context(), "req_none", numberrequest.Decision{By: "root"}, t0); code(err) != "NOT_FOUND" {
		t.Error(err)
	}
}

// TestDecisionHasTheToken: either the decision returns the token that the workflow stored
// meanwhile, or the workflow learns that there is nothing to wait for.
func TestDecisionHasTheToken(t *testing.T) {
	t.Parallel()
	for range rounds {
		d := openDesk(t)
		r := d.submit(asked("ada"))
		var token string
		var waiting bool
		together(2, func(i int) bool {
			var err error
			if i == 0 {
				_, waiting, err = d.AwaitRequest(context.Background(), r.ID, "token", numberrequest.AwaitsDecision)
			} else {
				var got numberrequest.Request
				got, err = d.Decide(context.Background(), r.ID, numberrequest.Decision{Approve: true, By: "root"}, t0)
				token = got.TaskToken
			}
			if err != nil {
				t.Error(err)
			}
			return true
		})
		if waiting != (token == "token") {
			t.Fatalf("waiting %t, and the decision tells %q", waiting, token)
		}
	}
}

func TestAwaitRequest(t *testing.T) {
	t.Parallel()
	d := openDesk(t)
	r := d.submit(asked("ada"))
	await := func(what string, want bool) {
		t.Helper()
		got, waiting, err := d.AwaitRequest(t.Context(), r.ID, "token "+what, what)
		if err != nil || waiting != want || waiting && got.Awaits != what {
			t.Errorf("await %s: %t, %q, %v", what, waiting, got.Awaits, err)
		}
	}
	await(numberrequest.AwaitsNumber, false)
	await(numberrequest.AwaitsDecision, true)
	d.approve(r, "")
	await(numberrequest.AwaitsDecision, false)
	await(numberrequest.AwaitsNumber, true)
	if _, _, err := d.AwaitRequest(t.Context(), "req_none", "token", numberrequest.AwaitsDecision); code(err) != "NOT_FOUND" {
		t.Error(err)
	}
	waiting, err := d.WaitingFor(t.Context(), spare(1))
	if err != nil || len(waiting) != 1 || waiting[0].TaskToken != "token number" {
		t.Errorf("%+v, %v", waiting, err)
	}
	if waiting, err = d.WaitingFor(t.Context(), number.Number{Country: "GH"}); err != nil || len(waiting) != 0 {
		t.Errorf("%+v, %v", waiting, err)
	}
}

// TestOnceEach: each reminder and the notification are recorded once.
func TestOnceEach(t *testing.T) {
	t.Parallel()
	d := openDesk(t)
	r := d.submit(asked("ada"))
	remind := func(n int) bool {
		first, err := d.RemindRequest(t.Context(), r.ID, n, t0)
		if err != nil {
			t.Fatal(err)
		}
		return first
	}
	notify := func() bool {
		first, err := d.NotifyRequest(t.Context(), r.ID, t0)
		if err != nil {
			t.Fatal(err)
		}
		return first
	}
	got := []bool{remind(1), remind(1), remind(3), remind(2), notify()}
	if _, err := d.ExpireRequest(t.Context(), r.ID, t0); err != nil {
		t.Fatal(err)
	}
	now, err := d.ExpireRequest(t.Context(), r.ID, t0)
	if err != nil || now.Status != numberrequest.Rejected || now.Reason != numberrequest.Expired {
		t.Errorf("%+v, %v", now, err)
	}
	got = append(got, remind(4), notify(), notify())
	if diff := cmp.Diff([]bool{true, false, true, false, false, false, true, false}, got); diff != "" {
		t.Error(diff)
	}
	d.sameActions(r.ID, "ada submitted >pending", "platform reminded >", "platform reminded >", "platform rejected pending>rejected", "platform notified >")
	open, err := d.OpenRequests(t.Context())
	if err != nil || len(open) != 0 {
		t.Errorf("%+v, %v", open, err)
	}
}

// TestOneDecision: of a hundred concurrent decisions one wins, whether all administrators approve
// or some reject.
func TestOneDecision(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		approve func(int) bool
	}{
		{"approve", func(int) bool { return true }},
		{"approve and reject", func(i int) bool { return i%2 == 0 }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			d := openDesk(t)
			r := d.submit(asked("ada"))
			won := together(100, func(i int) bool {
				_, err := d.Decide(context.Background(), r.ID, numberrequest.Decision{Approve: tt.approve(i), By: fmt.Sprint("admin ", i), Reason: "no"}, t0)
				if err != nil && code(err) != "CONFLICT" {
					t.Error(err)
				}
				return err == nil
			})
			if lines := d.actions(r.ID); won != 1 || len(lines) != 2 {
				t.Errorf("%d winners, audit %v", won, lines)
			}
		})
	}
}

// TestLostReplies: at each step in turn, either the answer to one of the step's requests is lost,
// so that the SDK sends the request again, or the step's transaction meets another.
func TestLostReplies(t *testing.T) {
	t.Parallel()
	r := asked("ada")
	r.PhoneNumber = spare(1).E164
	steps := []func(d desk) error{
		func(d desk) error { d.submit(r); return nil },
		func(d desk) error { d.add(spare(1)); return nil },
		func(d desk) error {
			_, waiting, err := d.AwaitRequest(d.t.Context(), r.ID, "token", numberrequest.AwaitsDecision)
			return errors.Join(err, sure(waiting))
		},
		func(d desk) error {
			first, err := d.RemindRequest(d.t.Context(), r.ID, 1, t0)
			return errors.Join(err, sure(first))
		},
		func(d desk) error { d.approve(r, ""); return nil },
		func(d desk) error {
			_, assigned, err := d.FulfillRequest(d.t.Context(), r.ID)
			return errors.Join(err, sure(assigned))
		},
		func(d desk) error {
			first, err := d.NotifyRequest(d.t.Context(), r.ID, t0)
			return errors.Join(err, sure(first))
		},
		func(d desk) error { _, err := d.Unassign(d.t.Context(), spare(1).ID, "ada", "root"); return err },
	}
	const requests = 3 // no step makes more
	for unlucky := range steps {
		for n := range requests + 1 {
			t.Run(fmt.Sprintf("step %d request %d", unlucky, n), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) { // in a bubble the SDK's pauses take no time
					d := openDesk(t)
					for i, step := range steps {
						d.LoseReplyAt(-1)
						switch {
						case i == unlucky && n < requests:
							d.LoseReplyAt(n)
						case i == unlucky:
							d.Collide(2)
						}
						if err := step(d); err != nil {
							t.Errorf("step %d: %v", i, err)
						}
						d.Collide(0)
					}
					d.sameActions(r.ID, "ada submitted >pending", "platform reminded >", "root approved pending>approved",
						"platform assigned approved>assigned", "platform notified >")
					d.sameActions(spare(1).ID, "root added >available", "platform assigned available>assigned", "root released assigned>available")
				})
			})
		}
	}
}

// sure returns an error unless ok.
func sure(ok bool) error {
	if ok {
		return nil
	}
	return errors.New("it says no")
}

// TestAuditPages: entries of the same moment keep their order, and each is on one page.
func TestAuditPages(t *testing.T) {
	t.Parallel()
	d := openDesk(t)
	r := d.submit(asked("ada"))
	for n := range 8 {
		if _, err := d.RemindRequest(t.Context(), r.ID, n+1, t0.Add(time.Duration(n/3)*time.Second)); err != nil {
			t.Fatal(err)
		}
	}
	whole, _, err := d.Audit(t.Context(), r.ID, 100, "")
	if err != nil || len(whole) != 9 {
		t.Fatal(len(whole), err)
	}
	for _, limit := range []int{1, 4, 8, 9} {
		var got []numberrequest.Entry
		for after, more := "", true; more; more = after != "" {
			page, next, err := d.Audit(t.Context(), r.ID, limit, after)
			if err != nil || len(page) > limit {
				t.Fatal(len(page), err)
			}
			got, after = append(got, page...), next
		}
		if diff := cmp.Diff(whole, got, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("by %d: %s", limit, diff)
		}
	}
	if none, next, err := d.Audit(t.Context(), "req_none", 5, ""); len(none) != 0 || next != "" || err != nil {
		t.Error(none, next, err)
	}
}

package store_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/krosai/telephony/shared/fault"
	"github.com/krosai/telephony/shared/number"
	"github.com/krosai/telephony/shared/numberrequest"
	"github.com/krosai/telephony/shared/store"
)

// granted submits a request and approves it.
func (d desk) granted(r numberrequest.Request) numberrequest.Request {
	d.t.Helper()
	return d.approve(d.submit(r), "")
}

// assign assigns a number to a request, and reports whether it has one.
func (d desk) assign(r numberrequest.Request) bool {
	d.t.Helper()
	_, ok, err := d.FulfillRequest(context.Background(), r.ID)
	if err != nil {
		d.t.Error(err)
	}
	return ok
}

// owned lists the numbers of a user.
func (d desk) assigned(user string) []string {
	d.t.Helper()
	numbers, _, err := d.NumbersOf(d.t.Context(), user, 100, "")
	if err != nil {
		d.t.Fatal(err)
	}
	var e164 []string
	for _, n := range numbers {
		e164 = append(e164, n.E164)
	}
	return e164
}

// TestFulfillRequest: a request gets the number that suits it.
func TestFulfillRequest(t *testing.T) {
	t.Parallel()
	lagos := spare(1)
	lagos.E164, lagos.Type = "+23412345678", "local"
	lagos.ID = number.ID(lagos.E164)
	deaf := spare(2)
	deaf.Capabilities = []string{"inbound"}
	mobile := spare(3)
	ghana := spare(4)
	ghana.E164, ghana.Country = "+233201234567", "GH"
	ghana.ID = number.ID(ghana.E164)
	anyType := asked("ada")
	anyType.Type = ""
	for _, tt := range []struct {
		name      string
		request   numberrequest.Request
		chosen    string
		inventory []number.Number
		want      string
	}{
		{"the one that fits", asked("ada"), "", []number.Number{lagos, deaf, mobile, ghana}, mobile.E164},
		{"none that can call", asked("ada"), "", []number.Number{lagos, deaf, ghana}, ""},
		{"any type", anyType, "", []number.Number{deaf, lagos, ghana}, lagos.E164},
		{"by area", numberrequest.Request{Country: "NG", AreaCode: "803"}, "", []number.Number{spare(1), lagos}, ""},
		{"the area's", numberrequest.Request{Country: "NG", AreaCode: "1"}, "", []number.Number{spare(1), lagos}, lagos.E164},
		{"the one asked for", numberrequest.Request{Country: "NG", PhoneNumber: spare(7).E164}, "", []number.Number{spare(1), spare(7)}, spare(7).E164},
		{"the one asked for is not there", numberrequest.Request{Country: "NG", PhoneNumber: spare(7).E164}, "", []number.Number{spare(1)}, ""},
		{"the one chosen", asked("ada"), ghana.ID, []number.Number{mobile, ghana}, ghana.E164},
		{"the one chosen over the one asked for", numberrequest.Request{PhoneNumber: mobile.E164}, ghana.ID, []number.Number{mobile, ghana}, ghana.E164},
		{"nothing there", asked("ada"), "", nil, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			d := openDesk(t)
			r := tt.request
			r.ID, r.UserID, r.CreatedAt = asked("ada").ID, "ada", t0
			d.add(tt.inventory...)
			r = d.approve(d.submit(r), tt.chosen)
			found, err := d.HasAvailable(t.Context(), r)
			if err != nil || found != (tt.want != "") {
				t.Errorf("in stock: %t, %v", found, err)
			}
			for range 2 { // repeating it changes nothing
				if ok := d.assign(r); ok != (tt.want != "") {
					t.Errorf("assigned: %t", ok)
				}
			}
			got := d.assigned("ada")
			if tt.want == "" && len(got) != 0 || tt.want != "" && !cmp.Equal(got, []string{tt.want}) {
				t.Errorf("ada owns %v, want %q", got, tt.want)
			}
		})
	}
}

func TestFulfillRequestInOtherStates(t *testing.T) {
	t.Parallel()
	d := openDesk(t)
	d.add(spare(1))
	r := d.submit(asked("ada"))
	for _, id := range []string{r.ID, "req_none"} {
		if _, ok, err := d.FulfillRequest(t.Context(), id); ok || err == nil {
			t.Errorf("%s: %t, %v", id, ok, err)
		}
	}
	if got := d.assigned("ada"); got != nil {
		t.Error(got)
	}
}

// TestANumberAskedForIsLeftAlone: other requests do not get a number while a request for it is
// under review. After a rejection they do.
func TestANumberAskedForIsLeftAlone(t *testing.T) {
	t.Parallel()
	d := openDesk(t)
	d.add(spare(1))
	named := asked("bea")
	named.PhoneNumber = spare(1).E164
	named = d.submit(named)
	r := d.granted(asked("ada"))
	if found, err := d.HasAvailable(t.Context(), r); found || err != nil {
		t.Errorf("in stock: %t, %v", found, err)
	}
	if d.assign(r) {
		t.Error("ada got the number that bea has asked for")
	}
	if _, err := d.Decide(t.Context(), named.ID, numberrequest.Decision{By: "root", Reason: "no"}, t0); err != nil {
		t.Fatal(err)
	}
	if found, err := d.HasAvailable(t.Context(), r); !found || err != nil || !d.assign(r) {
		t.Errorf("in stock: %t, %v", found, err)
	}
}

// TestManyInStock: the search goes through all available numbers, page by page.
func TestManyInStock(t *testing.T) {
	t.Parallel()
	d := openDesk(t)
	for n := range 300 {
		d.add(spare(n))
	}
	d.add(number.Number{ID: number.ID("+2348031234567"), E164: "+2348031234567", Country: "NG", Type: "mobile", UpdatedAt: t0})
	r := asked("ada")
	r.AreaCode, r.Capabilities = "803", nil
	if !d.assign(d.granted(r)) || !cmp.Equal(d.assigned("ada"), []string{"+2348031234567"}) {
		t.Errorf("ada owns %v", d.assigned("ada"))
	}
}

// TestOneAssignment: a hundred workers assign a number to one request, and the number is
// assigned once.
func TestOneAssignment(t *testing.T) {
	t.Parallel()
	for round := range rounds {
		d := openDesk(t)
		d.add(spare(1))
		r := d.granted(asked("ada"))
		if got := together(100, func(int) bool { return d.assign(r) }); got != 100 {
			t.Errorf("round %d: %d of 100 were told that it is assigned", round, got)
		}
		d.sameActions(r.ID, "ada submitted >pending", "root approved pending>approved", "platform assigned approved>assigned")
		d.sameActions(spare(1).ID, "root added >available", "platform assigned available>assigned")
	}
}

// TestOneNumberForManyRequests: of a hundred requests that compete for one number, one gets it.
// When it is released, the remaining requests compete again.
func TestOneNumberForManyRequests(t *testing.T) {
	t.Parallel()
	d := openDesk(t)
	d.add(spare(1))
	var waiting []numberrequest.Request
	for i := range 100 + rounds {
		waiting = append(waiting, d.granted(asked(fmt.Sprint("user ", i))))
	}
	for round := range rounds {
		got := make([]bool, 100)
		won := together(100, func(i int) bool {
			got[i] = d.assign(waiting[i])
			return got[i]
		})
		winner := slices.Index(got, true)
		if won != 1 || !cmp.Equal(d.assigned(waiting[winner].UserID), []string{spare(1).E164}) {
			t.Fatalf("round %d: %d winners", round, won)
		}
		if _, err := d.Unassign(t.Context(), spare(1).ID, waiting[winner].UserID, "root"); err != nil {
			t.Fatal(err)
		}
		waiting = slices.Delete(waiting, winner, winner+1)
	}
	if lines := d.actions(spare(1).ID); len(lines) != 1+2*rounds {
		t.Errorf("audit: %d lines", len(lines))
	}
}

// TestManyNumbersForManyRequests: if there are as many numbers as requests, each request gets a
// number of its own.
func TestManyNumbersForManyRequests(t *testing.T) {
	t.Parallel()
	d := openDesk(t)
	var requests []numberrequest.Request
	for i := range 30 {
		d.add(spare(i))
		requests = append(requests, d.granted(asked(fmt.Sprint("user ", i))))
	}
	if won := together(30, func(i int) bool { return d.assign(requests[i]) }); won != 30 {
		t.Errorf("%d of 30 got one", won)
	}
	seen := map[string]bool{}
	for i := range 30 {
		for _, e164 := range d.assigned(fmt.Sprint("user ", i)) {
			seen[e164] = true
		}
	}
	if len(seen) != 30 {
		t.Errorf("%d different numbers", len(seen))
	}
}

// TestTwoRequestsForOneNumber: of many concurrent requests for the same number, one succeeds. The
// others fail with PHONE_NUMBER_ALREADY_REQUESTED.
func TestTwoRequestsForOneNumber(t *testing.T) {
	t.Parallel()
	for range rounds / 2 {
		d := openDesk(t)
		won := together(20, func(i int) bool {
			r := asked(fmt.Sprint("user ", i))
			r.PhoneNumber = spare(1).E164
			_, _, err := d.CreateRequest(context.Background(), r)
			if err != nil && code(err) != "PHONE_NUMBER_ALREADY_REQUESTED" {
				t.Error(err)
			}
			return err == nil
		})
		if won != 1 {
			t.Errorf("%d requests for one number", won)
		}
	}
}

func TestUnassign(t *testing.T) {
	t.Parallel()
	trunk := &number.Trunk{Name: "t", Numbers: []string{spare(1).E164}, Transport: "udp"}
	for _, tt := range []struct {
		name   string
		change func(d desk, n *number.Number)
		want   string
	}{
		{"as assigned", func(desk, *number.Number) {}, ""},
		{"with a trunk", func(_ desk, n *number.Number) { n.Trunk = trunk }, "CONFLICT"},
		{"with a rule", func(_ desk, n *number.Number) { n.Rule = &number.Rule{Name: "r"} }, "CONFLICT"},
		{"half configured", func(_ desk, n *number.Number) { n.Fault = true }, "CONFLICT"},
		{"available", func(_ desk, n *number.Number) { n.UserID = "" }, "CONFLICT"},
		{"somebody else's by now", func(_ desk, n *number.Number) { n.UserID = "bob" }, "CONFLICT"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			d := openDesk(t)
			n := spare(1)
			n.UserID, n.AssignedAt = "ada", t0
			tt.change(d, &n)
			d.add(n)
			got, err := d.Unassign(t.Context(), n.ID, "ada", "root")
			if code(err) != tt.want {
				t.Errorf("%v, want %s", err, tt.want)
			}
			if err == nil && (got.UserID != "" || !got.AssignedAt.IsZero()) {
				t.Errorf("%+v", got)
			}
			now, err := d.NumberByID(t.Context(), n.ID)
			if err != nil || tt.want == "" && (now.UserID != "" || !now.AssignedAt.IsZero()) || tt.want != "" && now.UserID != n.UserID {
				t.Errorf("%+v, %v", now, err)
			}
		})
	}
	if _, err := openDesk(t).Unassign(t.Context(), "pn_none", "ada", "root"); !fault.Is(err, fault.NotFound) {
		t.Error(err)
	}
}

// TestUnassignOrConfigure: a number is either released or leased for its configuration, never both.
func TestUnassignOrConfigure(t *testing.T) {
	t.Parallel()
	for range rounds {
		d := openDesk(t)
		n := spare(1)
		n.UserID, n.AssignedAt = "ada", t0
		d.add(n)
		won := together(2, func(i int) bool {
			var err error
			if i == 0 {
				_, err = d.Unassign(context.Background(), n.ID, "ada", "root")
			} else {
				_, err = d.LeaseNumber(context.Background(), "ada", n.ID, "lease", time.Minute)
			}
			return err == nil
		})
		if won != 1 {
			t.Fatalf("%d of the two happened", won)
		}
	}
}

// TestReleaseDuringAssignment: a number is released while requests compete for it. It has one owner
// at a time and an audit line for every step.
func TestReleaseDuringAssignment(t *testing.T) {
	t.Parallel()
	for range rounds / 2 {
		d := openDesk(t)
		n := spare(1)
		n.UserID, n.AssignedAt = "eve", t0
		d.add(n)
		var requests []numberrequest.Request
		for i := range 10 {
			requests = append(requests, d.granted(asked(fmt.Sprint("user ", i))))
		}
		var mu sync.Mutex
		released := 0
		won := together(20, func(i int) bool {
			if i >= 10 {
				seen, err := d.NumberByID(context.Background(), n.ID)
				if err == nil {
					_, err = d.Unassign(context.Background(), n.ID, seen.UserID, "root")
				}
				if err == nil {
					mu.Lock()
					released++
					mu.Unlock()
				}
				return false
			}
			return d.assign(requests[i])
		})
		now, err := d.NumberByID(t.Context(), n.ID)
		if err != nil {
			t.Fatal(err)
		}
		owners := won + 1 - released // eve is the first owner
		if owners < 0 || owners > 1 || (now.UserID != "") != (owners == 1) {
			t.Errorf("%d assigned, %d released, now of %q", won, released, now.UserID)
		}
		if lines := d.actions(n.ID); len(lines) != 1+won+released {
			t.Errorf("%d assigned, %d released, audit %v", won, released, lines)
		}
	}
}

func TestAddNumber(t *testing.T) {
	t.Parallel()
	d := openDesk(t)
	named := asked("ada")
	named.PhoneNumber = spare(1).E164
	d.submit(named) // a request does not prevent adding the number
	added := together(20, func(int) bool {
		err := d.AddNumber(context.Background(), spare(1), "root")
		if err != nil && code(err) != "CONFLICT" {
			t.Error(err)
		}
		return err == nil
	})
	if added != 1 {
		t.Errorf("added %d times", added)
	}
	d.sameActions(spare(1).ID, "root added >available")
	got, err := d.NumberByID(t.Context(), spare(1).ID)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(spare(1), got); diff != "" {
		t.Error(diff)
	}
}

// TestInventory pages through the available and the assigned numbers with pages of several lengths.
func TestInventory(t *testing.T) {
	t.Parallel()
	d := openDesk(t)
	want := map[string]map[string]bool{store.Available: {}, store.Assigned: {}}
	for i := range 23 {
		n := spare(i)
		status := store.Available
		if i%3 == 0 {
			n.UserID, n.AssignedAt, status = "ada", t0, store.Assigned
		}
		d.add(n)
		want[status][n.E164] = true
	}
	for status, all := range want {
		for _, limit := range []int{1, 2, 7, 15, 16, 100} {
			got := map[string]bool{}
			seen := 0
			for after, more := "", true; more; more = after != "" {
				page, next, err := d.Inventory(t.Context(), status, limit, after)
				if err != nil || len(page) > limit || len(page) == 0 {
					t.Fatal(len(page), err)
				}
				for _, n := range page {
					got[n.E164] = true
				}
				seen, after = seen+len(page), next
			}
			if diff := cmp.Diff(all, got); diff != "" || seen != len(all) {
				t.Errorf("%s by %d: %d lines, %s", status, limit, seen, diff)
			}
		}
	}
}

// TestAbandonedLeases: an expired lease becomes a fault, once, and a lease that was taken again
// since is left alone.
func TestAbandonedLeases(t *testing.T) {
	t.Parallel()
	d := openDesk(t)
	for i := range 4 {
		n := spare(i)
		n.UserID, n.AssignedAt = "ada", t0
		d.add(n)
	}
	lease := func(i int, ttl time.Duration) number.Number {
		n, err := d.LeaseNumber(t.Context(), "ada", spare(i).ID, fmt.Sprint("lease ", i, ttl), ttl)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	lease(0, -time.Minute)
	lease(1, time.Minute)
	if err := d.ReleaseLease(t.Context(), lease(2, -time.Minute), fmt.Sprint("lease ", 2, -time.Minute)); err != nil {
		t.Fatal(err)
	}
	lease(3, -time.Minute)
	leases, err := d.AbandonedLeases(t.Context(), t0)
	if err != nil || len(leases) != 2 {
		t.Fatalf("%+v, %v", leases, err)
	}
	lease(3, time.Minute) // taken over in the meantime
	for _, l := range leases {
		if ended, err := d.EndLease(t.Context(), l); err != nil || ended != (l.NumberID == spare(0).ID) {
			t.Errorf("%s ended: %t, %v", l.NumberID, ended, err)
		}
	}
	n, err := d.Number(t.Context(), "ada", spare(0).ID)
	if err != nil || !n.Fault {
		t.Errorf("%+v, %v", n, err)
	}
	if leases, err = d.AbandonedLeases(t.Context(), t0); err != nil || len(leases) != 0 {
		t.Errorf("%+v, %v", leases, err)
	}
}

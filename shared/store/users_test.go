package store_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/fault"
	"github.com/krosai/telephony/shared/number"
	"github.com/krosai/telephony/shared/numberrequest"
	"github.com/krosai/telephony/shared/store/storetest"
)

// everyUser reads all pages of Users.
func everyUser(t *testing.T, db *storetest.Database, limit int) (users []account.User) {
	t.Helper()
	for after := ""; ; {
		page, next, err := db.Users(t.Context(), limit, after)
		must(t, err)
		if users = append(users, page...); next == "" {
			return users
		}
		if len(page) != limit {
			t.Fatalf("%d users on a page of %d that has a next", len(page), limit)
		}
		after = next
	}
}

// TestUsersHaveDoneSomething: each of these actions adds a user to the list, with what the user
// has. Requests with a token alone do not.
func TestUsersHaveDoneSomething(t *testing.T) {
	t.Parallel()
	c := newClock(morning)
	db := storetest.Open(t, c.now)
	ctx := t.Context()
	must(t, db.PutPolicy(ctx, "put#user|1", account.Policy{CallsEnabled: true}))
	_, err := db.SetPolicy(ctx, "set", account.Policy{MaxConcurrentCalls: 7}, "root")
	must(t, err)
	_, _, err = db.CreateRequest(ctx, numberrequest.Request{ID: "req_1", UserID: "asks", Country: "NG", Type: "mobile", CreatedAt: morning})
	must(t, err)
	k, _ := aKey(t, "keyed", nil)
	_, err = db.AddKey(ctx, k)
	must(t, err)
	n := number.Number{ID: number.ID("+2348030000001"), E164: "+2348030000001", Country: "NG", Type: "mobile", UpdatedAt: morning}
	must(t, db.AddNumber(ctx, n, "root"))
	_, err = db.AssignNumber(ctx, n.ID, "given", "root")
	must(t, err)
	_, err = db.UseToken(ctx, "only a token")
	must(t, err)

	want := map[string]account.User{
		"put#user|1": {CallsEnabled: true},
		"set":        {},
		"asks":       {CallsEnabled: true, OpenRequests: 1},
		"keyed":      {CallsEnabled: true, LiveKeys: 1},
		"given":      {CallsEnabled: true, Numbers: 1},
	}
	for _, limit := range []int{1, 2, 100} {
		got := map[string]account.User{}
		for _, u := range everyUser(t, db, limit) {
			id := u.ID
			if u.ID = ""; got[id] != (account.User{}) {
				t.Errorf("%s is listed twice", id)
			}
			got[id] = u
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("limit %d (-want +got):\n%s", limit, d)
		}
	}

	must(t, db.RevokeKey(ctx, "keyed", k.ID))
	_, err = db.Decide(ctx, "req_1", numberrequest.Decision{By: "root", Reason: "no"}, morning)
	must(t, err)
	for _, u := range everyUser(t, db, 100) {
		if u.LiveKeys != 0 || u.OpenRequests != 0 {
			t.Errorf("a dead key or a request that is decided counts: %+v", u)
		}
	}
}

// TestUsersInFewTrips: a page costs a query of each shard, one read of the rows, and the counts.
func TestUsersInFewTrips(t *testing.T) {
	t.Parallel()
	db := storetest.Open(t, newClock(morning).now)
	for i := range 30 {
		must(t, db.PutPolicy(t.Context(), fmt.Sprint("user-", i), account.Policy{CallsEnabled: true}))
	}
	db.Trips()
	users, next, err := db.Users(t.Context(), 30, "")
	if trips := db.Trips(); len(users) != 30 || next != "" || err != nil || trips != 8+1+3*30 {
		t.Errorf("%d users, next %q, %v in %d trips", len(users), next, err, trips)
	}
}

// TestWholeAudit: the list shows every line once, newest first, across months without lines.
func TestWholeAudit(t *testing.T) {
	t.Parallel()
	begin := time.Date(2026, 11, 2, 23, 59, 59, 999e6, time.UTC)
	c := newClock(begin)
	db := storetest.Open(t, c.now)
	var want []string
	for i, later := range []time.Duration{0, time.Millisecond, 0, 24 * time.Hour, 70 * 24 * time.Hour, 50 * 24 * time.Hour} {
		c.add(later)
		user := fmt.Sprint("u", i)
		_, err := db.SetPolicy(t.Context(), user, account.Policy{MaxConcurrentCalls: 1 + i}, "root")
		must(t, err)
		want = append([]string{"user_" + user + " policy_set " + c.now().Format(time.RFC3339)}, want...)
	}
	c.add(40 * 24 * time.Hour)
	for _, limit := range []int{1, 2, 3, 100} {
		var got []string
		pages := 0
		for after := ""; ; pages++ {
			lines, next, err := db.WholeAudit(t.Context(), limit, after)
			must(t, err)
			for _, l := range lines {
				got = append(got, l.Subject+" "+l.Action+" "+l.At.Format(time.RFC3339))
			}
			if after = next; next == "" {
				break
			}
		}
		if d := cmp.Diff(want, got); d != "" || pages > 20 {
			t.Errorf("limit %d, %d pages (-want +got):\n%s", limit, pages, d)
		}
	}
	db.Trips()
	if lines, next, err := db.WholeAudit(t.Context(), 10, ""); len(lines) != 0 || next == "" || err != nil || db.Trips() > 31 {
		t.Errorf("an empty month: %v, next %q, %v", lines, next, err)
	}
	if _, _, err := db.WholeAudit(t.Context(), 10, "yesterday"); err == nil {
		t.Error("a position that is none was taken")
	}
}

// TestRetire: a retired number cannot be assigned until it is restored. A number that is assigned
// or requested cannot be retired.
func TestRetire(t *testing.T) {
	t.Parallel()
	db := storetest.Open(t, newClock(morning).now)
	ctx := t.Context()
	add := func(i int) number.Number {
		e164 := fmt.Sprintf("+23480300000%02d", i)
		n := number.Number{ID: number.ID(e164), E164: e164, Country: "NG", Type: "mobile", Capabilities: []string{"inbound"}, UpdatedAt: morning}
		must(t, db.AddNumber(ctx, n, "root"))
		return n
	}
	gone, assigned, asked := add(1), add(2), add(3)
	_, err := db.AssignNumber(ctx, assigned.ID, "ada", "root")
	must(t, err)
	_, _, err = db.CreateRequest(ctx, numberrequest.Request{ID: "req_1", UserID: "bob", PhoneNumber: asked.E164, CreatedAt: morning})
	must(t, err)
	must(t, db.RetireNumber(ctx, gone.ID, "root"))
	must(t, db.RetireNumber(ctx, gone.ID, "root"))
	_, _, err = db.CreateRequest(ctx, numberrequest.Request{ID: "req_2", UserID: "eve", PhoneNumber: gone.E164, CreatedAt: morning})
	must(t, err)

	_, giveGone := db.AssignNumber(ctx, gone.ID, "ada", "root")
	_, giveAsked := db.AssignNumber(ctx, asked.ID, "ada", "root")
	_, giveOwned := db.AssignNumber(ctx, assigned.ID, "ada", "root")
	_, giveNone := db.AssignNumber(ctx, "pn_none", "ada", "root")
	_, choose := db.Decide(ctx, "req_1", numberrequest.Decision{Approve: true, By: "root", NumberID: gone.ID}, morning)
	for name, tc := range map[string]struct {
		err  error
		want string
	}{
		"retire owned":     {db.RetireNumber(ctx, assigned.ID, "root"), "CONFLICT"},
		"retire asked for": {db.RetireNumber(ctx, asked.ID, "root"), "CONFLICT"},
		"retire unknown":   {db.RetireNumber(ctx, "pn_none", "root"), "NOT_FOUND"},
		"give retired":     {giveGone, "NUMBER_RETIRED"},
		"give asked for":   {giveAsked, "CONFLICT"},
		"give owned":       {giveOwned, "CONFLICT"},
		"give unknown":     {giveNone, "NOT_FOUND"},
		"choose retired":   {choose, "CONFLICT"},
		"add retired":      {db.AddNumber(ctx, gone, "root"), "NUMBER_RETIRED"},
		"restore owned":    {db.RestoreNumber(ctx, assigned, "root"), "CONFLICT"},
	} {
		if got := codeOf(tc.err); got != tc.want {
			t.Errorf("%s: %v, want %s", name, tc.err, tc.want)
		}
	}
	_, err = db.Decide(ctx, "req_2", numberrequest.Decision{Approve: true, By: "root"}, morning)
	must(t, err)
	if r, assigned, err := db.FulfillRequest(ctx, "req_2"); assigned || err != nil {
		t.Errorf("a retired number was assigned: %+v, %v", r, err)
	}
	_, err = db.AssignNumber(ctx, gone.ID, "ada", "root")
	if !fault.Is(err, fault.Conflict) {
		t.Error(err)
	}

	for status, want := range map[string][]string{"": {asked.ID, gone.ID, assigned.ID}, "available": {asked.ID}, "assigned": {assigned.ID}, "retired": {gone.ID}} {
		for _, limit := range []int{1, 2, 10} {
			got := inventoryIDs(t, db, status, limit)
			slices.Sort(want)
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("%q, limit %d: %s", status, limit, d)
			}
		}
	}
	must(t, db.RestoreNumber(ctx, gone, "root"))
	if r, assigned, err := db.FulfillRequest(ctx, "req_2"); !assigned || err != nil {
		t.Errorf("a restored number was not assigned: %+v, %v", r, err)
	}
	entries, _, err := db.Audit(ctx, gone.ID, 10, "")
	must(t, err)
	var did []string
	for _, e := range entries {
		did = append(did, e.Action)
	}
	if d := cmp.Diff([]string{"added", "retired", "restored", "assigned"}, did); d != "" {
		t.Error(d)
	}
}

func inventoryIDs(t *testing.T, db *storetest.Database, status string, limit int) (ids []string) {
	t.Helper()
	for after := ""; ; {
		page, next, err := db.Inventory(t.Context(), status, limit, after)
		must(t, err)
		for _, n := range page {
			ids = append(ids, n.ID)
		}
		if after = next; next == "" {
			slices.Sort(ids)
			return ids
		}
	}
}

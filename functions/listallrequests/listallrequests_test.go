package listallrequests_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/krosai/telephony/functions/listallrequests"
	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/api/apitest"
	"github.com/krosai/telephony/shared/numberrequest"
)

var now = time.Date(2026, 11, 22, 9, 30, 0, 123e6, time.UTC)

const path = "/admin/phone-number-requests"

func id(i int) string { return fmt.Sprintf("req_01KAMPJ5V0SAMP0REQ000000%02d", i) }

// setup makes thirty requests of as many users. The administrator carol has decided on the
// last two.
func setup(t *testing.T) *apitest.Bench {
	t.Helper()
	b := apitest.Open(t, func() time.Time { return now })
	b.Serve(&listallrequests.Endpoint{Requests: b.DB})
	for i := range 30 {
		_, _, err := b.CreateRequest(t.Context(), numberrequest.Request{ID: id(i), UserID: fmt.Sprint("user", i), Country: "NG", Type: "local",
			Capabilities: []string{"inbound"}, Purpose: "p", CreatedAt: now})
		b.Must(err)
	}
	for i, d := range map[int]numberrequest.Decision{28: {Approve: true, By: "carol", Note: "known"}, 29: {By: "carol", Reason: "unknown"}} {
		_, err := b.Decide(t.Context(), id(i), d, now.Add(time.Minute))
		b.Must(err)
	}
	return b
}

func page(b *apitest.Bench, a apitest.Answer) (found []string, next string) {
	b.Helper()
	if a.Status != 200 {
		b.Fatalf("%d %s", a.Status, a.Text)
	}
	for _, item := range a.Body["data"].([]any) {
		r := item.(map[string]any)
		found = append(found, fmt.Sprint(r["request_id"], " ", r["user_id"], " ", r["status"], " ", r["decided_by"], " ", r["decided_at"]))
	}
	next, _ = a.Body["next_cursor"].(string)
	return found, next
}

func TestByStatus(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var pending []string
	for i := range 28 {
		pending = append(pending, fmt.Sprint(id(i), " user", i, " pending <nil> <nil>"))
	}
	for query, want := range map[string][]string{
		"?limit=100":                pending,
		"?status=pending&limit=100": pending,
		"?status=approved":          {id(28) + " user28 approved carol 2026-11-22T09:31:00.123Z"},
		"?status=rejected":          {id(29) + " user29 rejected carol 2026-11-22T09:31:00.123Z"},
		"?status=assigned":          nil,
	} {
		found, next := page(b, b.Ask(b.Admin("carol"), "GET", path+query, ""))
		if diff := cmp.Diff(want, found); diff != "" || next != "" {
			t.Errorf("%s: next %q %s", query, next, diff)
		}
	}
	var found []string
	for query := "?limit=9"; query != ""; {
		part, next := page(b, b.Ask(b.Admin("carol"), "GET", path+query, ""))
		found, query = append(found, part...), ""
		if next != "" {
			query = "?limit=9&cursor=" + next
		}
	}
	if diff := cmp.Diff(pending, found); diff != "" {
		t.Errorf("page by page: %s", diff)
	}
}

func TestRefused(t *testing.T) {
	t.Parallel()
	b := setup(t)
	_, key := b.Key("carol", account.Scopes()...)
	if a := b.Replay("listallrequests", b.Admin("carol")); a.Status != 200 {
		t.Errorf("%d %s", a.Status, a.Text)
	}
	_, cursor := page(b, b.Ask(b.Admin("carol"), "GET", path+"?limit=1", ""))
	for name, c := range map[string]struct {
		credential, query string
		want              int
	}{
		"an administrator's key":         {key, "", 403},
		"a user":                         {b.User("ada"), "", 403},
		"nobody":                         {"", "", 401},
		"an unknown status":              {b.Admin("carol"), "?status=open", 400},
		"a cursor of another status":     {b.Admin("carol"), "?status=approved&cursor=" + cursor, 400},
		"another administrator's cursor": {b.Admin("dave"), "?cursor=" + cursor, 400},
	} {
		if a := b.Ask(c.credential, "GET", path+c.query, ""); a.Status != c.want {
			t.Errorf("%s: %d %s", name, a.Status, a.Text)
		}
	}
}

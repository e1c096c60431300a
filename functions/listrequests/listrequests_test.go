package listrequests_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/krosai/telephony/functions/listrequests"
	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/api/apitest"
	"github.com/krosai/telephony/shared/numberrequest"
)

var now = time.Date(2026, 11, 22, 9, 30, 0, 0, time.UTC)

const path = "/telephony/phone-number-requests"

// setup creates 30 requests of ada's and one of bob's.
func setup(t *testing.T) *apitest.Bench {
	t.Helper()
	clock := now.Add(-31 * 13 * time.Minute) // an hour allows five requests
	b := apitest.Open(t, func() time.Time { return clock })
	b.Serve(&listrequests.Endpoint{Requests: b.DB})
	for i := range 31 {
		r := numberrequest.Request{ID: fmt.Sprintf("req_01KAMPJ5V0SAMP0REQ000000%02d", i), UserID: "ada", Country: "NG", Type: fmt.Sprint("t", i),
			Purpose: "p", CreatedAt: clock}
		if i == 30 {
			r.UserID = "bob"
		}
		_, _, err := b.CreateRequest(t.Context(), r)
		b.Must(err)
		clock = clock.Add(13 * time.Minute)
	}
	return b
}

// ids returns the ids of a page and its cursor.
func ids(a apitest.Answer) (found []string, next string) {
	data, _ := a.Body["data"].([]any)
	for _, item := range data {
		r, _ := item.(map[string]any)
		found = append(found, fmt.Sprint(r["request_id"]))
	}
	next, _ = a.Body["next_cursor"].(string)
	return found, next
}

func TestPages(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var want []string
	for i := 29; i >= 0; i-- {
		want = append(want, fmt.Sprintf("req_01KAMPJ5V0SAMP0REQ000000%02d", i))
	}
	for _, limit := range []int{1, 7, 29, 30, 100} {
		var got []string
		query := fmt.Sprint("?limit=", limit)
		for next := ""; ; {
			a := b.Ask(b.User("ada"), "GET", path+query+next, "")
			if a.Status != 200 {
				t.Fatal(a.Text)
			}
			page, cursor := ids(a)
			if got = append(got, page...); cursor == "" {
				break
			}
			next = "&cursor=" + cursor
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("limit %d: %s", limit, diff)
		}
	}
}

func TestList(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.SampleKey("ada", account.NumbersRead)
	b.Trips()
	a := b.Replay("listrequests", "")
	found, cursor := ids(a)
	if a.Status != 200 || len(found) != 25 || cursor == "" {
		t.Errorf("%d %s", a.Status, a.Text)
	}
	if trips := b.Trips(); trips != 2 {
		t.Errorf("%d DynamoDB round trips", trips)
	}
	if a := b.Ask(b.User("carol"), "GET", path, ""); a.Text != "{\"data\":[],\"next_cursor\":null}\n" {
		t.Errorf("nothing: %s", a.Text)
	}
	for name, c := range map[string]struct{ user, query string }{
		"another user's cursor": {"bob", "?cursor=" + cursor},
		"no cursor at all":      {"ada", "?cursor=abc"},
		"limit 0":               {"ada", "?limit=0"},
		"limit 101":             {"ada", "?limit=101"},
		"an unknown parameter":  {"ada", "?status=pending"},
	} {
		if a := b.Ask(b.User(c.user), "GET", path+c.query, ""); a.Status != 400 {
			t.Errorf("%s: %d %s", name, a.Status, a.Text)
		}
	}
}

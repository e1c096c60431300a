package listaudit_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/krosai/telephony/functions/listaudit"
	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/api/apitest"
	"github.com/krosai/telephony/shared/number"
	"github.com/krosai/telephony/shared/numberrequest"
)

var now = time.Date(2026, 11, 22, 9, 30, 0, 123e6, time.UTC)

const (
	id   = "req_01KAMPJ5V0SAMP0REQ00000000"
	path = "/admin/audit"
)

// setup creates a request of ada's that is approved and has a number assigned.
func setup(t *testing.T) *apitest.Bench {
	t.Helper()
	clock := now
	b := apitest.Open(t, func() time.Time { return clock })
	b.Serve(&listaudit.Endpoint{Entries: b.DB})
	_, _, err := b.CreateRequest(t.Context(), numberrequest.Request{ID: id, UserID: "ada", Country: "NG", Type: "mobile", Purpose: "p", CreatedAt: clock})
	b.Must(err)
	clock = clock.Add(time.Minute)
	_, err = b.Decide(t.Context(), id, numberrequest.Decision{Approve: true, By: "carol", Note: "a known firm"}, clock)
	b.Must(err)
	b.Must(b.AddNumber(t.Context(), number.Number{ID: number.ID("+2348012345678"), E164: "+2348012345678", Country: "NG", Type: "mobile", UpdatedAt: clock}, "dave"))
	clock = clock.Add(time.Minute)
	_, _, err = b.FulfillRequest(t.Context(), id)
	b.Must(err)
	return b
}

func lines(b *apitest.Bench, query string) (found []string, next string) {
	b.Helper()
	a := b.Ask(b.Admin("carol"), "GET", path+query, "")
	if a.Status != 200 {
		b.Fatalf("%s: %d %s", query, a.Status, a.Text)
	}
	for _, item := range a.Body["data"].([]any) {
		e := item.(map[string]any)
		found = append(found, fmt.Sprint(e["at"], " ", e["actor"], " ", e["action"], " ", e["from"], ">", e["to"], " ", e["note"]))
	}
	next, _ = a.Body["next_cursor"].(string)
	return found, next
}

func TestAudit(t *testing.T) {
	t.Parallel()
	b := setup(t)
	pn := number.ID("+2348012345678")
	ofRequest := []string{
		"2026-11-22T09:30:00.123Z ada submitted <nil>>pending <nil>",
		"2026-11-22T09:31:00.123Z carol approved pending>approved a known firm",
		"2026-11-22T09:32:00.123Z platform assigned approved>assigned " + pn,
	}
	for subject, want := range map[string][]string{
		id:                               ofRequest,
		pn:                               {"2026-11-22T09:31:00.123Z dave added <nil>>available <nil>", "2026-11-22T09:32:00.123Z platform assigned available>assigned " + id},
		"req_01KAMPJ5V0SAMP0REQ00000001": nil,
	} {
		found, next := lines(b, "?subject="+subject)
		if diff := cmp.Diff(want, found); diff != "" || next != "" {
			t.Errorf("%s: next %q %s", subject, next, diff)
		}
	}
	var found []string
	for query := "?subject=" + id + "&limit=1"; query != ""; {
		line, next := lines(b, query)
		found, query = append(found, line...), ""
		if next != "" {
			query = "?subject=" + id + "&limit=1&cursor=" + next
		}
	}
	if diff := cmp.Diff(ofRequest, found); diff != "" {
		t.Errorf("line by line: %s", diff)
	}
}

// TestEverything checks that the list without a subject has all entries, newest first.
func TestEverything(t *testing.T) {
	t.Parallel()
	b := setup(t)
	pn := number.ID("+2348012345678")
	want := []string{
		"2026-11-22T09:32:00.123Z platform assigned available>assigned " + id,
		"2026-11-22T09:32:00.123Z platform assigned approved>assigned " + pn,
		"2026-11-22T09:31:00.123Z dave added <nil>>available <nil>",
		"2026-11-22T09:31:00.123Z carol approved pending>approved a known firm",
		"2026-11-22T09:30:00.123Z ada submitted <nil>>pending <nil>",
	}
	var found []string
	for query := "?limit=2"; query != ""; {
		line, next := lines(b, query)
		found, query = append(found, line...), ""
		if next != "" {
			query = "?limit=2&cursor=" + next
		}
	}
	if diff := cmp.Diff(want, found); diff != "" {
		t.Error(diff)
	}
}

func TestRefused(t *testing.T) {
	t.Parallel()
	b := setup(t)
	if a := b.Replay("listaudit", b.Admin("carol")); a.Status != 200 {
		t.Errorf("%d %s", a.Status, a.Text)
	}
	_, key := b.Key("carol", account.Scopes()...)
	_, cursor := lines(b, "?limit=1&subject="+id)
	for name, c := range map[string]struct {
		credential, query string
		want              int
	}{
		"an administrator's key":      {key, "?subject=" + id, 403},
		"a user":                      {b.User("ada"), "?subject=" + id, 403},
		"a cursor of no subject":      {b.Admin("carol"), "?cursor=" + cursor, 400},
		"no id":                       {b.Admin("carol"), "?subject=everything", 400},
		"a cursor of another subject": {b.Admin("carol"), "?subject=" + number.ID("+1") + "&cursor=" + cursor, 400},
	} {
		if a := b.Ask(c.credential, "GET", path+c.query, ""); a.Status != c.want {
			t.Errorf("%s: %d %s", name, a.Status, a.Text)
		}
	}
}

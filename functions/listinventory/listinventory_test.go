package listinventory_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/krosai/telephony/functions/listinventory"
	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/api/apitest"
	"github.com/krosai/telephony/shared/number"
)

var now = time.Date(2026, 11, 22, 9, 30, 0, 123e6, time.UTC)

const path = "/admin/phone-numbers"

// setup creates 30 available numbers and one that is ada's.
func setup(t *testing.T) *apitest.Bench {
	t.Helper()
	b := apitest.Open(t, func() time.Time { return now })
	b.Serve(&listinventory.Endpoint{Numbers: b.DB})
	for i := range 31 {
		e164 := fmt.Sprintf("+23480123456%02d", i)
		n := number.Number{ID: number.ID(e164), E164: e164, Country: "NG", Type: "mobile", Capabilities: []string{"inbound"}, Provider: "Twilio", UpdatedAt: now}
		if i == 30 {
			n.UserID, n.AssignedAt = "ada", now
		}
		b.Must(b.PutNumber(t.Context(), n))
	}
	return b
}

func page(b *apitest.Bench, query string) (found []string, next string) {
	b.Helper()
	a := b.Ask(b.Admin("carol"), "GET", path+query, "")
	if a.Status != 200 {
		b.Fatalf("%s: %d %s", query, a.Status, a.Text)
	}
	for _, item := range a.Body["data"].([]any) {
		n := item.(map[string]any)
		found = append(found, fmt.Sprint(n["phone_number"], " ", n["status"]))
	}
	next, _ = a.Body["next_cursor"].(string)
	return found, next
}

func TestPages(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var want []string
	for i := range 30 {
		want = append(want, fmt.Sprintf("+23480123456%02d available", i))
	}
	for _, limit := range []int{1, 7, 30, 100} {
		var got []string
		for query := fmt.Sprint("?status=available&limit=", limit); query != ""; {
			found, next := page(b, query)
			got, query = append(got, found...), ""
			if next != "" {
				query = fmt.Sprint("?status=available&limit=", limit, "&cursor=", next)
			}
		}
		slices.Sort(got)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("limit %d: %s", limit, diff)
		}
	}
}

// TestAll checks that the list without a status has the numbers of every status.
func TestAll(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.Must(b.RetireNumber(t.Context(), number.ID("+2348012345607"), "carol"))
	got := map[string]int{}
	for query := "?limit=4"; query != ""; {
		found, next := page(b, query)
		for _, n := range found {
			_, status, _ := strings.Cut(n, " ")
			got[status]++
		}
		query = ""
		if next != "" {
			query = "?limit=4&cursor=" + next
		}
	}
	if diff := cmp.Diff(map[string]int{"available": 29, "assigned": 1, "retired": 1}, got); diff != "" {
		t.Error(diff)
	}
}

func TestAssigned(t *testing.T) {
	t.Parallel()
	b := setup(t)
	a := b.Ask(b.Admin("carol"), "GET", path+"?status=assigned", "")
	want := map[string]any{"next_cursor": nil, "data": []any{map[string]any{"phone_number_id": number.ID("+2348012345630"),
		"phone_number": "+2348012345630", "country": "NG", "number_type": "mobile", "capabilities": []any{"inbound"}, "provider": "Twilio",
		"status": "assigned", "user_id": "ada", "configuration_status": "unconfigured", "assigned_at": "2026-11-22T09:30:00.123Z"}}}
	if diff := cmp.Diff(want, a.Body); a.Status != 200 || diff != "" {
		t.Errorf("%d %s", a.Status, diff)
	}
}

func TestRefused(t *testing.T) {
	t.Parallel()
	b := setup(t)
	if a := b.Replay("listinventory", b.Admin("carol")); a.Status != 200 {
		t.Errorf("%d %s", a.Status, a.Text)
	}
	_, key := b.Key("carol", account.Scopes()...)
	_, cursor := page(b, "?limit=1")
	for name, c := range map[string]struct {
		credential, query string
		want              int
	}{
		"an administrator's key":         {key, "", 403},
		"a user":                         {b.User("ada"), "", 403},
		"an unknown status":              {b.Admin("carol"), "?status=lost", 400},
		"a cursor of another status":     {b.Admin("carol"), "?status=assigned&cursor=" + cursor, 400},
		"another administrator's cursor": {b.Admin("dave"), "?cursor=" + cursor, 400},
	} {
		if a := b.Ask(c.credential, "GET", path+c.query, ""); a.Status != c.want {
			t.Errorf("%s: %d %s", name, a.Status, a.Text)
		}
	}
}

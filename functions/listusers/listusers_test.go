package listusers_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/krosai/telephony/functions/listusers"
	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/api/apitest"
	"github.com/krosai/telephony/shared/call"
)

var now = time.Date(2026, 11, 22, 9, 31, 0, 0, time.UTC)

func setup(t *testing.T) *apitest.Bench {
	t.Helper()
	b := apitest.Open(t, func() time.Time { return now })
	b.Serve(&listusers.Endpoint{Users: b.DB})
	return b
}

func TestList(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.Must(b.AllowCountries(t.Context(), "ada", "US"))
	b.Must(b.Place(t.Context(), call.Call{ID: "call_1", UserID: "ada", Direction: call.Outbound, Remote: "+14155550100", RoomName: "call_1",
		Country: "US", MaxDuration: 60, Status: call.Initiated, CreatedAt: now}))
	_, text := b.Key("ada", account.CallsRead)
	a := b.Ask(b.Admin("carol"), "GET", "/admin/users", "")
	want := map[string]any{"next_cursor": nil, "data": []any{map[string]any{"user_id": "ada", "calls_enabled": true, "phone_numbers": 0.0,
		"open_number_requests": 0.0, "active_calls": 1.0, "active_inbound_calls": 0.0, "calls_this_hour": 1.0, "live_api_keys": 1.0}}}
	if d := cmp.Diff(want, a.Body); a.Status != 200 || d != "" {
		t.Errorf("%d %s", a.Status, d)
	}
	if a := b.Ask(text, "GET", "/admin/users", ""); a.Status != 403 {
		t.Errorf("with a key: %d %s", a.Status, a.Text)
	}
}

// TestPages checks that every user is on exactly one page, even if the user's id
// looks like a position.
func TestPages(t *testing.T) {
	t.Parallel()
	b := setup(t)
	want := map[string]int{}
	for i := range 12 {
		id := fmt.Sprintf("auth0|%d#user#%d", i, i)
		b.Must(b.PutPolicy(t.Context(), id, account.DefaultPolicy()))
		want[id] = 1
	}
	got := map[string]int{}
	for query := "?limit=5"; query != ""; {
		a := b.Ask(b.Admin("carol"), "GET", "/admin/users"+query, "")
		for _, u := range a.Body["data"].([]any) {
			got[u.(map[string]any)["user_id"].(string)]++
		}
		query = ""
		if next, more := a.Body["next_cursor"].(string); more {
			query = "?limit=5&cursor=" + next
		}
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

package listallcalls_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/krosai/telephony/functions/listallcalls"
	"github.com/krosai/telephony/shared/api/apitest"
	"github.com/krosai/telephony/shared/call"
)

var now = time.Date(2026, 11, 22, 9, 31, 0, 0, time.UTC)

func setup(t *testing.T) *apitest.Bench {
	t.Helper()
	b := apitest.Open(t, func() time.Time { return now })
	b.Serve(&listallcalls.Endpoint{Calls: b.DB})
	for i, user := range []string{"ada", "bob", "ada"} {
		id := "call_" + string(rune('1'+i))
		b.Must(b.AllowCountries(t.Context(), user, "US"))
		c := call.Call{ID: id, UserID: user, Direction: call.Outbound, Remote: "+14155550100", RoomName: id, Country: "US", MaxDuration: 60,
			Metadata: map[string]string{"order": "A-1001"}, Status: call.Initiated, CreatedAt: now.Add(time.Duration(i) * time.Second)}
		b.Must(b.Place(t.Context(), c))
		if i == 2 {
			_, err := b.EndCall(t.Context(), c, call.End{Status: call.Canceled, Cause: call.APIHangup, At: now.Add(time.Minute)})
			b.Must(err)
		}
	}
	return b
}

// listed returns the calls of a page, each with its user and status.
func listed(a apitest.Answer) (calls []string) {
	for _, item := range a.Body["data"].([]any) {
		c := item.(map[string]any)
		calls = append(calls, c["call_id"].(string)+" "+c["user_id"].(string)+" "+c["status"].(string))
	}
	return calls
}

func TestLists(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for query, want := range map[string][]string{
		"":                          {"call_2 bob initiated", "call_1 ada initiated"},
		"?active=true":              {"call_2 bob initiated", "call_1 ada initiated"},
		"?user_id=ada":              {"call_3 ada canceled", "call_1 ada initiated"},
		"?user_id=ada&active=false": {"call_3 ada canceled", "call_1 ada initiated"},
		"?user_id=eve":              nil,
	} {
		a := b.Ask(b.Admin("carol"), "GET", "/admin/calls"+query, "")
		if d := cmp.Diff(want, listed(a)); a.Status != 200 || d != "" || a.Body["calls_enabled"] != true {
			t.Errorf("%s: %d %s %s", query, a.Status, a.Text, d)
		}
		for _, item := range a.Body["data"].([]any) {
			if _, shown := item.(map[string]any)["metadata"]; shown {
				t.Errorf("%s shows metadata: %s", query, a.Text)
			}
		}
	}
	b.Must(b.SetSwitch(t.Context(), false, "", "carol"))
	a := b.Ask(b.Admin("carol"), "GET", "/admin/calls?limit=1", "")
	if d := cmp.Diff([]string{"call_2 bob initiated"}, listed(a)); d != "" || a.Body["calls_enabled"] != false {
		t.Errorf("%s %s", a.Text, d)
	}
	next, _ := a.Body["next_cursor"].(string)
	a = b.Ask(b.Admin("carol"), "GET", "/admin/calls?limit=1&cursor="+next, "")
	if d := cmp.Diff([]string{"call_1 ada initiated"}, listed(a)); d != "" || a.Body["next_cursor"] != nil {
		t.Errorf("%s %s", a.Text, d)
	}
	if a := b.Ask(b.Admin("carol"), "GET", "/admin/calls?user_id=ada&cursor="+next, ""); a.Status != 400 {
		t.Errorf("a cursor of another list: %d %s", a.Status, a.Text)
	}
}

func TestRefused(t *testing.T) {
	t.Parallel()
	b := setup(t)
	if a := b.Ask(b.Admin("carol"), "GET", "/admin/calls?active=false", ""); a.Status != 400 || a.Fields()["user_id"] == "" {
		t.Errorf("%d %s", a.Status, a.Text)
	}
	if a := b.Ask(b.User("ada"), "GET", "/admin/calls?user_id=ada", ""); a.Status != 403 {
		t.Errorf("%d %s", a.Status, a.Text)
	}
}

// TestStrangersRoom checks that the name of an inbound room, which holds the caller's own text, is
// not shown if it has characters that a room's name cannot have.
func TestStrangersRoom(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.Must(b.Place(t.Context(), call.Call{ID: "call_9", UserID: "bob", Direction: call.Inbound, RoomName: "h7yq2m0c-_'+alert(1)+'_x7Kd",
		Country: "US", Status: call.Initiated, CreatedAt: now.Add(9 * time.Second)}))
	a := b.Ask(b.Admin("carol"), "GET", "/admin/calls?limit=1", "")
	if name := a.Body["data"].([]any)[0].(map[string]any)["room_name"]; a.Status != 200 || name != "anonymous" {
		t.Errorf("%d %s", a.Status, a.Text)
	}
}

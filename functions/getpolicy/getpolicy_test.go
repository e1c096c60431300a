package getpolicy_test

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/krosai/telephony/functions/getpolicy"
	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/api/apitest"
	"github.com/krosai/telephony/shared/call"
)

const user = "auth0|5f7c8ec7c33c6c004bbafe82"

func setup(t *testing.T) *apitest.Bench {
	t.Helper()
	b := apitest.Open(t, nil)
	b.Serve(&getpolicy.Endpoint{Policies: b.DB})
	return b
}

func TestGet(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const numbers = `"max_concurrent_inbound":20,"calls_per_hour":100,"calls_per_destination_per_hour":5,"configurations_per_hour":10,` +
		`"number_requests_per_hour":5,"requests_per_hour":2000,"minutes_per_day":300`
	const changedNumbers = `"max_concurrent_inbound":1,"calls_per_hour":2,"calls_per_destination_per_hour":3,"configurations_per_hour":4,` +
		`"number_requests_per_hour":6,"requests_per_hour":8,"minutes_per_day":9`
	const default5 = `{"user_id":"` + user + `","allowed_countries":[],"calls_enabled":true,"max_concurrent_calls":5,"allowed_agents":[],` + numbers + `,"active_calls":0}` + "\n"
	if a := b.Replay("getpolicy", b.Admin("carol")); a.Status != 200 || a.Text != default5 {
		t.Errorf("%d %s, want %s", a.Status, a.Text, default5)
	}
	b.Must(b.PutPolicy(t.Context(), user, account.Policy{AllowedCountries: []string{"US", "GB"}, CallsEnabled: true, MaxConcurrentCalls: 7,
		AllowedAgents: []string{"b", "a"}, MaxConcurrentInbound: 1, CallsPerHour: 2, CallsPerDestination: 3, ConfigurationsPerHour: 4,
		NumberRequestsPerHour: 6, RequestsPerHour: 8, MinutesPerDay: 9}))
	c := call.Call{ID: "call_1", UserID: user, Direction: call.Outbound, Country: "NG", Status: call.Initiated, CreatedAt: time.Now()}
	b.Must(b.Place(t.Context(), c))
	const changed = `{"user_id":"` + user + `","allowed_countries":["GB","US"],"calls_enabled":true,"max_concurrent_calls":7,"allowed_agents":["a","b"],` + changedNumbers + `,"active_calls":1}` + "\n"
	if a := b.Replay("getpolicy", b.Admin("carol")); a.Status != 200 || a.Text != changed {
		t.Errorf("%d %s, want %s", a.Status, a.Text, changed)
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for name, tt := range map[string]struct {
		credential, userID string
		status             int
	}{
		"no administrator": {b.User("carol"), user, 403},
		"nobody":           {b.Admin("carol"), "", 400},
		"a space":          {b.Admin("carol"), "a b", 400},
		"too long":         {b.Admin("carol"), strings.Repeat("a", 129), 400},
	} {
		if a := b.Ask(tt.credential, "GET", "/admin/user-policy?user_id="+url.QueryEscape(tt.userID), ""); a.Status != tt.status {
			t.Errorf("%s: %d %s", name, a.Status, a.Text)
		}
	}
}

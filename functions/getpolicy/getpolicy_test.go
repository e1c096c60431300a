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
	"github.com/krosai/telephony/shared/store"
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
	const default5 = `{"user_id":"` + user + `","allowed_countries":[],"calls_enabled":true,"max_concurrent_calls":5,"active_calls":0}` + "\n"
	if a := b.Replay("getpolicy", b.Admin("carol")); a.Status != 200 || a.Text != default5 {
		t.Errorf("%d %s, want %s", a.Status, a.Text, default5)
	}
	b.Must(b.PutPolicy(t.Context(), user, account.Policy{AllowedCountries: []string{"US", "GB"}, CallsEnabled: true, MaxConcurrentCalls: 7}))
	c := call.Call{ID: "call_1", UserID: user, Direction: call.Outbound, Country: "NG", Status: call.Initiated, CreatedAt: time.Now()}
	_, _, _, err := b.CreateCall(t.Context(), c, store.Permit{Home: "NG"}, store.Once{})
	b.Must(err)
	const changed = `{"user_id":"` + user + `","allowed_countries":["GB","US"],"calls_enabled":true,"max_concurrent_calls":7,"active_calls":1}` + "\n"
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

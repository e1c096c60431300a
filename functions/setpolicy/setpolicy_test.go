package setpolicy_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/krosai/telephony/functions/setpolicy"
	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/api/apitest"
	"github.com/krosai/telephony/shared/request"
)

var now = time.Date(2026, 11, 22, 9, 30, 0, 0, time.UTC)

const (
	path = "/admin/user-policy"
	user = "auth0|5f7c8ec7c33c6c004bbafe82"
)

func setup(t *testing.T, clock func() time.Time) *apitest.Bench {
	t.Helper()
	b := apitest.Open(t, clock)
	b.Serve(&setpolicy.Endpoint{Policies: b.DB})
	return b
}

func TestSet(t *testing.T) {
	t.Parallel()
	b := setup(t, func() time.Time { return now })
	want := `{"user_id":"` + user + `","allowed_countries":["GB","US"],"calls_enabled":true,"max_concurrent_calls":10}` + "\n"
	if a := b.Replay("setpolicy", b.Admin("carol")); a.Status != 200 || a.Text != want {
		t.Errorf("%d %s, want %s", a.Status, a.Text, want)
	}
	if a := b.Ask(b.Admin("carol"), "PUT", path, `{"user_id":"`+user+`","allowed_countries":[],"calls_enabled":false,"max_concurrent_calls":1}`); a.Status != 200 {
		t.Errorf("%d %s", a.Status, a.Text)
	}
	p, _, err := b.Policy(t.Context(), user)
	if d := cmp.Diff(account.Policy{MaxConcurrentCalls: 1, CallsPerHour: 100, ConfigurationsPerHour: 10}, p); d != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, d)
	}
	entries, _, err := b.Audit(t.Context(), "user_"+user, 10, "")
	b.Must(err)
	first, second, third := "calls on, 5 at a time, countries none", "calls on, 10 at a time, countries GB US", "calls off, 1 at a time, countries none"
	line := func(from, to string) request.Entry {
		return request.Entry{At: now, Actor: "carol", Action: "policy_set", From: from, To: to}
	}
	if d := cmp.Diff([]request.Entry{line(first, second), line(second, third)}, entries); d != "" {
		t.Errorf("audit (-want +got):\n%s", d)
	}
}

// What only the platform sets stays as it is.
func TestCallsPerHourStay(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	b.Must(b.PutPolicy(t.Context(), user, account.Policy{CallsPerHour: 500, MaxConcurrentCalls: 50}))
	b.Replay("setpolicy", b.Admin("carol"))
	if p, _, err := b.Policy(t.Context(), user); err != nil || p.CallsPerHour != 500 || p.MaxConcurrentCalls != 10 || !p.CallsEnabled {
		t.Errorf("%+v, %v", p, err)
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	const rest = `,"allowed_countries":["GB"],"calls_enabled":true,"max_concurrent_calls":1}`
	for name, tt := range map[string]struct {
		admin  bool
		body   string
		status int
		says   string
	}{
		"no administrator":    {false, `{"user_id":"a"` + rest, 403, `"code":"FORBIDDEN"`},
		"no user":             {true, `{"user_id":""` + rest, 400, `"field":"user_id"`},
		"a user with a space": {true, `{"user_id":"a b"` + rest, 400, `"field":"user_id"`},
		"a user with a hash":  {true, `{"user_id":"a#b"` + rest, 400, `"field":"user_id"`},
		"a user too long":     {true, `{"user_id":"` + strings.Repeat("a", 129) + `"` + rest, 400, `"field":"user_id"`},
		"not a country":       {true, `{"user_id":"a","allowed_countries":["gb"],"calls_enabled":true,"max_concurrent_calls":1}`, 400, `"field":"allowed_countries[0]"`},
		"the same twice":      {true, `{"user_id":"a","allowed_countries":["GB","GB"],"calls_enabled":true,"max_concurrent_calls":1}`, 400, `"field":"allowed_countries"`},
		"none at a time":      {true, `{"user_id":"a","allowed_countries":[],"calls_enabled":true,"max_concurrent_calls":0}`, 400, `"field":"max_concurrent_calls"`},
		"101 at a time":       {true, `{"user_id":"a","allowed_countries":[],"calls_enabled":true,"max_concurrent_calls":101}`, 400, `"field":"max_concurrent_calls"`},
		"more calls an hour":  {true, `{"user_id":"a","allowed_countries":[],"calls_enabled":true,"max_concurrent_calls":1,"calls_per_hour":101}`, 400, `"field":"calls_per_hour"`},
		"without the switch":  {true, `{"user_id":"a","allowed_countries":[],"max_concurrent_calls":1}`, 400, `"field":"calls_enabled"`},
		"without countries":   {true, `{"user_id":"a","calls_enabled":true,"max_concurrent_calls":1}`, 400, `"field":"allowed_countries"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, nil)
			credential := b.User("carol")
			if tt.admin {
				credential = b.Admin("carol")
			}
			if a := b.Ask(credential, "PUT", path, tt.body); a.Status != tt.status || !strings.Contains(a.Text, tt.says) {
				t.Errorf("%d %s", a.Status, a.Text)
			}
			for _, who := range []string{"a", user} {
				p, _, err := b.Policy(t.Context(), who)
				if d := cmp.Diff(account.DefaultPolicy(), p); d != "" || err != nil {
					t.Errorf("%v (-default +got):\n%s", err, d)
				}
			}
		})
	}
}

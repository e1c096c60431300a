package setpolicy_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/krosai/telephony/functions/setpolicy"
	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/api/apitest"
	"github.com/krosai/telephony/shared/numberrequest"
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
	want := `{"user_id":"` + user + `","allowed_countries":["GB","US"],"calls_enabled":true,"max_concurrent_calls":10,"allowed_agents":[],` +
		`"max_concurrent_inbound":20,"calls_per_hour":100,"calls_per_destination_per_hour":5,"configurations_per_hour":10,` +
		`"number_requests_per_hour":5,"requests_per_hour":2000,"minutes_per_day":300}` + "\n"
	if a := b.Replay("setpolicy", b.Admin("carol")); a.Status != 200 || a.Text != want {
		t.Errorf("%d %s, want %s", a.Status, a.Text, want)
	}
	if a := b.Ask(b.Admin("carol"), "PUT", path, `{"user_id":"`+user+`","allowed_countries":[],"calls_enabled":false,"max_concurrent_calls":1}`); a.Status != 200 {
		t.Errorf("%d %s", a.Status, a.Text)
	}
	p, _, err := b.Policy(t.Context(), user)
	off := account.DefaultPolicy()
	off.CallsEnabled, off.MaxConcurrentCalls = false, 1
	if d := cmp.Diff(off, p); d != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, d)
	}
	entries, _, err := b.Audit(t.Context(), "user_"+user, 10, "")
	b.Must(err)
	first, second, third := "calls on, 5 at a time, countries none, agents any", "calls on, 10 at a time, countries GB US, agents any", "calls off, 1 at a time, countries none, agents any"
	line := func(from, to string) numberrequest.Entry {
		return numberrequest.Entry{At: now, Actor: "carol", Action: "policy_set", From: from, To: to}
	}
	if d := cmp.Diff([]numberrequest.Entry{line(first, second), line(second, third)}, entries); d != "" {
		t.Errorf("audit (-want +got):\n%s", d)
	}
}

// TestOptionalMembers checks that each optional member is set by its own name, and keeps its value
// when the next request leaves it out.
func TestOptionalMembers(t *testing.T) {
	t.Parallel()
	const rest = `{"user_id":"` + user + `","allowed_countries":[],"calls_enabled":true,"max_concurrent_calls":5`
	for member, tt := range map[string]struct {
		value string
		set   func(*account.Policy)
	}{
		"allowed_agents":                 {`["a-1","b"]`, func(p *account.Policy) { p.AllowedAgents = []string{"a-1", "b"} }},
		"max_concurrent_inbound":         {"1000", func(p *account.Policy) { p.MaxConcurrentInbound = account.MaxPolicyInbound }},
		"calls_per_hour":                 {"100000", func(p *account.Policy) { p.CallsPerHour = account.MaxPolicyPerHour }},
		"calls_per_destination_per_hour": {"100000", func(p *account.Policy) { p.CallsPerDestination = account.MaxPolicyPerHour }},
		"configurations_per_hour":        {"100000", func(p *account.Policy) { p.ConfigurationsPerHour = account.MaxPolicyPerHour }},
		"number_requests_per_hour":       {"100000", func(p *account.Policy) { p.NumberRequestsPerHour = account.MaxPolicyPerHour }},
		"requests_per_hour":              {"100000", func(p *account.Policy) { p.RequestsPerHour = account.MaxPolicyPerHour }},
		"minutes_per_day":                {"1000000", func(p *account.Policy) { p.MinutesPerDay = account.MaxPolicyMinutes }},
	} {
		t.Run(member, func(t *testing.T) {
			t.Parallel()
			b := setup(t, nil)
			want := account.DefaultPolicy()
			tt.set(&want)
			for _, body := range []string{rest + `,"` + member + `":` + tt.value + "}", rest + "}"} {
				a := b.Ask(b.Admin("carol"), "PUT", path, body)
				p, _, err := b.Policy(t.Context(), user)
				if d := cmp.Diff(want, p); d != "" || err != nil || a.Status != 200 || !strings.Contains(a.Text, `"`+member+`":`+tt.value) {
					t.Errorf("%s: %d %s, %v (-want +got):\n%s", body, a.Status, a.Text, err, d)
				}
			}
			if tt.value[0] == '[' { // an empty list differs from one that is left out
				if a := b.Ask(b.Admin("carol"), "PUT", path, rest+`,"`+member+`":[]}`); a.Status != 200 || !strings.Contains(a.Text, `"`+member+`":[]`) {
					t.Errorf("emptied: %d %s", a.Status, a.Text)
				}
				return
			}
			for _, bad := range []string{"0", "-1", tt.value + "1"} {
				if a := b.Ask(b.Admin("carol"), "PUT", path, rest+`,"`+member+`":`+bad+"}"); a.Status != 400 || a.Fields()[member] == "" {
					t.Errorf("%s: %d %s", bad, a.Status, a.Text)
				}
			}
		})
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
		"not an agent":        {true, `{"user_id":"a","allowed_countries":[],"calls_enabled":true,"max_concurrent_calls":1,"allowed_agents":["a b"]}`, 400, `"field":"allowed_agents[0]"`},
		"an agent twice":      {true, `{"user_id":"a","allowed_countries":[],"calls_enabled":true,"max_concurrent_calls":1,"allowed_agents":["a","a"]}`, 400, `"field":"allowed_agents"`},
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

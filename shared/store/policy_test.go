package store_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/store/storetest"
)

// own is a policy that differs from the default in every field.
func own() account.Policy {
	return account.Policy{AllowedCountries: []string{"GB", "US"}, AllowedAgents: []string{"a", "b"}, MaxConcurrentCalls: 11, MaxConcurrentInbound: 12,
		CallsPerHour: 13, CallsPerDestination: 14, ConfigurationsPerHour: 15, NumberRequestsPerHour: 16, RequestsPerHour: 17, MinutesPerDay: 18}
}

// TestPolicyIsKept: every field of a policy is stored, a number that is 0 stays as it was, and the
// user's usage stays.
func TestPolicyIsKept(t *testing.T) {
	t.Parallel()
	changed := own()
	changed.AllowedAgents, changed.CallsEnabled, changed.CallsPerHour = nil, true, 99
	onlyHour := account.Policy{CallsEnabled: true, CallsPerHour: 99, AllowedCountries: []string{"GB", "US"}}
	for name, tt := range map[string]struct {
		puts []account.Policy
		want account.Policy
	}{
		"nothing":             {nil, account.DefaultPolicy()},
		"nothing but that":    {[]account.Policy{{CallsEnabled: true}}, account.DefaultPolicy()},
		"all":                 {[]account.Policy{own()}, own()},
		"numbers that are 0":  {[]account.Policy{own(), onlyHour}, changed},
		"back to the default": {[]account.Policy{own(), account.DefaultPolicy()}, account.DefaultPolicy()},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			put, set, ctx := open(t), open(t), t.Context()
			create(t, put, newCall("1"))
			create(t, set, newCall("1"))
			for _, p := range tt.puts {
				if err := put.PutPolicy(ctx, "ada", p); err != nil {
					t.Fatal(err)
				}
				if p.AllowedAgents == nil {
					p.AllowedAgents = []string{} // nil leaves them as they were
				}
				if _, err := set.SetPolicy(ctx, "ada", p, "root"); err != nil {
					t.Fatal(err)
				}
			}
			for way, db := range map[string]*storetest.Database{"put": put, "set": set} {
				got, active, err := db.Policy(ctx, "ada")
				if d := cmp.Diff(tt.want, got); d != "" || active != 1 || err != nil {
					t.Errorf("%s: %d calls active, %v (-want +got):\n%s", way, active, err, d)
				}
			}
			if hour := permit(t, put, "ada", "US").Hour(); hour.Used != 1 || hour.Quota != tt.want.CallsPerHour {
				t.Errorf("hour %+v", hour)
			}
		})
	}
}

// TestPolicyInTheAudit: an audit line names the numbers that differ from the default.
func TestPolicyInTheAudit(t *testing.T) {
	t.Parallel()
	db, ctx := open(t), t.Context()
	if _, err := db.SetPolicy(ctx, "ada", own(), "root"); err != nil {
		t.Fatal(err)
	}
	lines, _, err := db.Audit(ctx, "user_ada", 10, "")
	if err != nil || len(lines) != 1 {
		t.Fatal(lines, err)
	}
	const want = "calls off, 11 at a time, countries GB US, agents a b, calls_per_destination 14, calls_per_hour 13, configurations_per_hour 15, " +
		"max_inbound 12, minutes_per_day 18, number_requests_per_hour 16, requests_per_hour 17"
	if d := cmp.Diff([]string{"calls on, 5 at a time, countries none, agents any", want}, []string{lines[0].From, lines[0].To}); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

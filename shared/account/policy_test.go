package account_test

import (
	"errors"
	"testing"

	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/fault"
)

// TestAllowsNumber checks that a user may call the country of their own number and those of their
// policy. Toll-free numbers of +1 belong to each country of +1.
func TestAllowsNumber(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		e164, country, home string
		allowed             []string
		want                bool
	}{
		{"+14155550100", "US", "US", nil, true},
		{"+14155550100", "US", "CA", nil, false},
		{"+14155550100", "US", "CA", []string{"GB", "US"}, true},
		{"+18005550199", "US", "CA", nil, true},
		{"+18005550199", "US", "JM", nil, true},
		{"+18005550199", "US", "NG", nil, false},
		{"+18005550199", "US", "NG", []string{"GB"}, false},
		{"+18005550199", "US", "NG", []string{"GB", "CA"}, true},
		{"+448001111111", "GB", "GG", nil, false},
		{"+18765550123", "JM", "US", nil, false},
		{"+14155550100", "US", "", nil, false},
		{"+18005550199", "US", "", nil, false},
		{"+870773111632", "", "NG", nil, false},
	} {
		p := account.Policy{AllowedCountries: tt.allowed}
		if got := p.AllowsNumber(tt.e164, tt.country, tt.home); got != tt.want {
			t.Errorf("%s of %s from %q, with %v: %t", tt.e164, tt.country, tt.home, tt.allowed, got)
		}
	}
}

// TestAllow checks what a policy refuses, and with which code.
func TestAllow(t *testing.T) {
	t.Parallel()
	policy := account.Policy{CallsEnabled: true, AllowedCountries: []string{"GB"}, AllowedAgents: []string{"support"}}
	off := policy
	off.CallsEnabled = false
	for name, tt := range map[string]struct {
		policy         account.Policy
		country, agent string
		want           string
	}{
		"home":                 {policy, "NG", "support", ""},
		"another country":      {policy, "GB", "support", ""},
		"the agent on a call":  {policy, "GB", "", ""},
		"calls are off":        {off, "NG", "support", "CALLS_DISABLED"},
		"a forbidden country":  {policy, "US", "support", "DESTINATION_NOT_ALLOWED"},
		"a forbidden agent":    {policy, "NG", "sales", "AGENT_NOT_ALLOWED"},
		"any agent is allowed": {account.Policy{CallsEnabled: true}, "NG", "sales", ""},
	} {
		err := tt.policy.Allow("+12025550100", tt.country, "NG", tt.agent)
		var code string
		if e, ok := errors.AsType[*fault.Error](err); ok && e.Kind == fault.Forbidden {
			code = e.Code
		}
		if code != tt.want || (err == nil) != (tt.want == "") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

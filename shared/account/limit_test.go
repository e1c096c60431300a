package account_test

import (
	"testing"

	"github.com/krosai/telephony/shared/account"
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

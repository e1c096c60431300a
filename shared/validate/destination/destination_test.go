package destination_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/krosai/telephony/shared/fault"
	"github.com/krosai/telephony/shared/validate/destination"
)

func TestCountry(t *testing.T) {
	t.Parallel()
	const refused, denied = "INVALID_REQUEST", "DESTINATION_NOT_ALLOWED"
	tests := []struct{ number, country, code string }{
		{"+2348012345678", "NG", ""}, {"+442079460000", "GB", ""}, {"+4915112345678", "DE", ""}, {"+18005550199", "US", ""},
		{"+18765550123", "JM", ""}, {"+12684641234", "AG", ""}, {"+14165550123", "CA", ""}, {"+77012345678", "KZ", ""}, {"+390612345678", "IT", ""},

		{"", "", refused}, {"14155550100", "", refused}, {"+1415555010", "", refused}, {"+1 415 555 0100", "", refused}, {"+1415555010a", "", refused},
		{"+1-415-555-0100", "", refused}, {"00442079460000", "", refused}, {"+04155550100", "", refused}, {"＋14155550100", "", refused},
		{"+1４155550100", "", refused}, {"+14155550100;ext=1", "", refused}, {"+14155550100 x911", "", refused}, {"tel:+14155550100", "", refused},
		{"+14155550100\n", "", refused}, {"+1415555\u200b0100", "", refused}, {"+1800FLOWERS", "", refused}, {"+99999999999", "", refused}, {"+1911", "", refused},
		{"911", "", refused}, {"112", "", refused}, {"999", "", refused}, {"+4402079460000", "", refused}, {"+1234567890123456", "", refused}, {"+12005550100", "", refused},

		{"+19115550100", "", denied}, {"+14159110000", "", denied}, {"+14154110000", "", denied}, {"+14159760000", "", denied},
		{"+19005550100", "", denied}, {"+15005550006", "", denied}, {"+449098790879", "", denied}, {"+448431234567", "", denied}, {"+447012345678", "", denied},
		// N11 is an ordinary exchange in toll-free codes and outside the United States. So is 976,
		// except in Canada.
		{"+18004110100", "US", ""}, {"+18889110100", "US", ""}, {"+18009760100", "US", ""}, {"+16644110123", "MS", ""}, {"+18769760123", "JM", ""},
		{"+14164110100", "CA", ""}, {"+14169760100", "", denied},
		{"+2349101234567", "NG", ""}, {"+19835550123", "US", ""},

		{"+447640123456", "", denied}, {"+881612345678", "", denied}, {"+870773111632", "", denied}, {"+88213012345678", "", denied}, {"+80012345678", "", denied}, {"+97912345678", "", denied},
	}
	for last := range 10 { // the numbers of the simulated carrier
		tests = append(tests, struct{ number, country, code string }{fmt.Sprintf("+1415555010%d", last), "US", ""})
	}
	for _, tt := range tests {
		country, err := destination.Country("phone_number", tt.number)
		code := ""
		if e, ok := errors.AsType[*fault.Error](err); ok {
			code = e.Code
		}
		if country != tt.country || code != tt.code {
			t.Errorf("%q: country %q, code %q; want %q, %q", tt.number, country, code, tt.country, tt.code)
		}
	}
}

// TestReasons checks that the error names the kind of number.
func TestReasons(t *testing.T) {
	t.Parallel()
	for number, kind := range map[string]string{
		"+443031231234":  "universal access",
		"+31881234567":   "universal access",
		"+46101234567":   "universal access",
		"+2347001234567": "universal access",
		"+447012345678":  "personal",
		"+611300123456":  "shared cost",
		"+449098790879":  "premium rate",
		"+14159760000":   "premium rate",
		"+447640123456":  "pager",
		"+881612345678":  "global network",
		"+14154110000":   "emergency and service",
	} {
		_, err := destination.Country("phone_number", number)
		if e, ok := errors.AsType[*fault.Error](err); !ok || e.Detail != kind+" numbers cannot be called" {
			t.Errorf("%s: %v, want %s", number, err, kind)
		}
	}
}

func FuzzCountry(f *testing.F) {
	for _, s := range []string{"+14155550100", "+2348012345678", "+1 415", "+881612345678", "911"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		country, err := destination.Country("f", s)
		if err == nil && (len(country) != 2 || len(s) < 9 || len(s) > 16 || s[0] != '+') {
			t.Errorf("%q: %q", s, country)
		}
		if err != nil && !fault.Is(err, fault.Invalid) && !fault.Is(err, fault.Forbidden) {
			t.Errorf("%q: %v", s, err)
		}
	})
}

package destination_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/nyaruka/phonenumbers"

	"github.com/krosai/telephony/shared/fault"
	"github.com/krosai/telephony/shared/guard/destination"
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
		{"+447640123456", "", denied}, {"+881612345678", "", denied}, {"+870773111632", "", denied}, {"+88213012345678", "", denied}, {"+80012345678", "", denied}, {"+97912345678", "", denied},
	}
	for last := range 10 { // the cast of the simulated carrier
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

// The library's example number of every region and type: a call may go to those
// of ordinary types and to no other.
func TestEveryRegionAndType(t *testing.T) {
	t.Parallel()
	ordinary := map[phonenumbers.PhoneNumberType]bool{phonenumbers.FIXED_LINE: true, phonenumbers.MOBILE: true,
		phonenumbers.FIXED_LINE_OR_MOBILE: true, phonenumbers.TOLL_FREE: true, phonenumbers.VOIP: true}
	seen := 0
	for region := range phonenumbers.GetSupportedRegions() {
		for kind := phonenumbers.FIXED_LINE; kind <= phonenumbers.VOICEMAIL; kind++ {
			n := phonenumbers.GetExampleNumberForType(region, kind)
			if n == nil || !phonenumbers.IsValidNumber(n) {
				continue
			}
			e164 := phonenumbers.Format(n, phonenumbers.E164)
			if len(e164) < 9 {
				continue
			}
			seen++
			country, err := destination.Country("phone_number", e164)
			if got := err == nil; got != ordinary[phonenumbers.GetNumberType(n)] {
				t.Errorf("%s %s type %v: %q, %v", region, e164, phonenumbers.GetNumberType(n), country, err)
			}
			if err == nil && country != phonenumbers.GetRegionCodeForNumber(n) {
				t.Errorf("%s %s: country %q", region, e164, country)
			}
		}
	}
	if seen < 400 {
		t.Errorf("only %d numbers", seen)
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

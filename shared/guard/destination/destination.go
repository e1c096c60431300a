// Package destination decides which telephone numbers a phone call may go to,
// whoever asks. Which countries a user may call is the user's own list.
package destination

import (
	"github.com/nyaruka/phonenumbers"

	"github.com/krosai/telephony/shared/fault"
)

// Country is the country (ISO 3166-1 alpha-2) that a number belongs to, which
// is not what its prefix suggests: Jamaica and the United States share +1.
//
// A number that is not in E.164 exactly, or is nobody's by its country's
// numbering plan, is a fault.Invalid about the field. Emergency and service
// numbers, numbers that cost more than a call or follow a person, and
// satellite and other global networks are fault.Forbidden,
// DESTINATION_NOT_ALLOWED.
func Country(field, e164 string) (string, error) {
	invalid := fault.InvalidField(field, "invalid_number", "is not a telephone number in E.164 that exists")
	if !strict(e164) {
		return "", invalid
	}
	n, err := phonenumbers.Parse(e164, "")
	if err != nil || phonenumbers.Format(n, phonenumbers.E164) != e164 {
		return "", invalid
	}
	if service(e164) {
		return "", forbidden("emergency and service numbers cannot be called")
	}
	region := phonenumbers.GetRegionCodeForNumber(n)
	if region == "001" {
		return "", forbidden("numbers of global networks cannot be called")
	}
	if !phonenumbers.IsValidNumber(n) || len(region) != 2 || region == "ZZ" {
		return "", invalid
	}
	switch phonenumbers.GetNumberType(n) {
	case phonenumbers.FIXED_LINE, phonenumbers.MOBILE, phonenumbers.FIXED_LINE_OR_MOBILE, phonenumbers.TOLL_FREE, phonenumbers.VOIP:
		return region, nil
	}
	return "", forbidden("numbers of this kind (premium rate, shared cost, personal, pager, voicemail) cannot be called")
}

// Known reports whether a country (ISO 3166-1 alpha-2) has telephone numbers.
func Known(country string) bool {
	return len(country) == 2 && phonenumbers.GetCountryCodeForRegion(country) != 0
}

func forbidden(detail string) error {
	return fault.New(fault.Forbidden, "DESTINATION_NOT_ALLOWED", "%s", detail)
}

// strict reports whether s is a plus and 8 to 15 ASCII digits, the first not 0.
// The parser below would also take other scripts' digits, letters and spaces.
func strict(s string) bool {
	if len(s) < 9 || len(s) > 16 || s[0] != '+' || s[1] == '0' {
		return false
	}
	for i := 1; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}

// service reports numbers of the North American plan whose area or exchange
// code is N11 (911, 411 …) or whose exchange is the premium 976. Elsewhere
// emergency numbers are shorter than any E.164 number.
func service(e164 string) bool {
	if e164[1] != '1' || len(e164) != 12 {
		return false
	}
	area, exchange := e164[2:5], e164[5:8]
	return area[1:] == "11" || exchange[1:] == "11" || exchange == "976"
}

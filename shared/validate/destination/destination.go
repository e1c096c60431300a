// Package destination decides which telephone numbers a call may go to, regardless of the user, and
// which of them the inventory takes. The user's own policy decides which countries they may call.
package destination

import (
	"slices"
	"strings"

	"github.com/krosai/telephony/shared/fault"
	"github.com/krosai/telephony/shared/phonenumber"
)

// Country returns the country (ISO 3166-1 alpha-2) that a number belongs to. The calling code does
// not determine it: Jamaica and the United States share +1.
//
// A number that is not exactly in E.164, or that no numbering plan assigns, is a fault.Invalid
// about the field. Emergency and service numbers, numbers that cost more than a call or follow a
// person, and satellite and other global networks are a fault.Forbidden, DESTINATION_NOT_ALLOWED.
func Country(field, e164 string) (string, error) {
	n, ok := phonenumber.Parse(e164)
	invalid := fault.InvalidField(field, "invalid_number", "is not a telephone number in E.164 that exists")
	switch {
	case !strict(e164):
		return "", invalid
	case service(e164, n):
		return "", forbidden("emergency and service")
	case slices.ContainsFunc(networks, func(code string) bool { return strings.HasPrefix(e164, code) }):
		return "", forbidden("global network")
	case !ok:
		return "", invalid
	case premium(n):
		return "", forbidden(phonenumber.Premium.String())
	}
	switch n.Kind {
	case phonenumber.Fixed, phonenumber.Mobile, phonenumber.FixedOrMobile, phonenumber.TollFree, phonenumber.VoIP:
		return n.Country, nil
	}
	return "", forbidden(n.Kind.String())
}

// networks are the calling codes that belong to no country (ITU-T E.164, list of assigned country
// codes): satellites, ships and other networks that are dialed in the same way everywhere.
var networks = []string{"+800", "+808", "+870", "+878", "+881", "+882", "+883", "+888", "+979"}

// strict reports whether s is a plus and 8 to 15 ASCII digits, the first not 0, as the API accepts.
// Some islands have shorter numbers.
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

func forbidden(kind string) error {
	return fault.New(fault.Forbidden, "DESTINATION_NOT_ALLOWED", "%s numbers cannot be called", kind)
}

// service reports whether a number of the North American plan has the area code N11 (911, 411 …),
// or the exchange code N11 in a geographic area code of the United States. Only the United States
// keeps these exchanges free in all its area codes, and toll-free codes use them. Elsewhere
// emergency numbers are shorter than any E.164 number.
func service(e164 string, n phonenumber.Number) bool {
	if len(e164) != len("+1NPANXXXXXX") || !strings.HasPrefix(e164, "+1") {
		return false
	}
	return e164[3:5] == "11" || geographic(n, "US") && e164[6:8] == "11"
}

// premium reports whether a number is in the exchange 976, a premium-rate exchange in every area
// code of the United States and Canada.
func premium(n phonenumber.Number) bool {
	return (geographic(n, "US") || geographic(n, "CA")) && n.E164[5:8] == "976"
}

// geographic reports whether a number is in an area code of a country of the North American plan.
func geographic(n phonenumber.Number, country string) bool {
	return n.Country == country && n.Kind != phonenumber.TollFree
}

// Package phonenumber finds the country and the kind of a telephone number, and reads numbers as
// carriers write them. It knows the numbering plans that libphonenumber knows, from a table that is
// generated from libphonenumber's metadata and used directly as it is embedded in the binary.
package phonenumber

import "strings"

// Kind is the use that a country's numbering plan gives a number.
type Kind uint8

// The kinds of numbers. If a plan does not distinguish fixed from mobile numbers, they
// are FixedOrMobile.
const (
	_ Kind = iota
	Fixed
	Mobile
	FixedOrMobile
	TollFree
	Premium
	SharedCost
	VoIP
	Personal // follows a person wherever they are, at the caller's cost
	Pager
	UAN // universal access number: a company's, the same everywhere in the country
	Voicemail
)

// String is the kind in words that can precede "number", such as "premium rate".
func (k Kind) String() string {
	return [...]string{"unknown", "fixed", "mobile", "fixed or mobile", "toll-free", "premium rate", "shared cost",
		"VoIP", "personal", "pager", "universal access", "voicemail"}[k]
}

// Number is a telephone number that exists in a numbering plan.
type Number struct {
	E164        string // such as +14155550100
	Country     string // ISO 3166-1 alpha-2, or AC, TA or XK; empty for a global network's number
	CallingCode int    // the digits after the plus that select the plan: 1, 44, 234
	Kind        Kind
}

// Parse reads a number written in E.164 exactly: a plus and at most 15 digits. ok is false for any
// other text, and for a number that is in no numbering plan.
func Parse(e164 string) (n Number, ok bool) {
	digits, plus := strings.CutPrefix(e164, "+")
	if !plus || len(digits) > maxDigits {
		return n, false
	}
	at := u32(headerNumbers)
	for i := range len(digits) {
		if at = next(at, digits[i]); at == nowhere {
			return n, false
		}
	}
	found, ok := valueOf(at)
	if !ok {
		return n, false
	}
	c := countryAt(found >> kindBits)
	if c.name == global {
		c.name = ""
	}
	return Number{E164: e164, Country: c.name, CallingCode: c.callingCode, Kind: Kind(found & (1<<kindBits - 1))}, true
}

// In reports whether a number written in E.164 belongs to a country (ISO 3166-1 alpha-2). A
// toll-free number of the North American plan belongs to every country of the plan, because these
// countries share such numbers.
func In(e164, country string) bool {
	n, ok := Parse(e164)
	if n.Kind == TollFree && n.CallingCode == 1 {
		return CallingCode(country) == 1
	}
	return ok && n.Country != "" && n.Country == country
}

// CallingCode is the calling code of a country (ISO 3166-1 alpha-2), 0 for a country without
// telephone numbers.
func CallingCode(country string) int { return find(country).callingCode }

// TimeZones names the IANA time zones that a number may be in: those of its area if the plan has
// areas, else those of its country. A number of a global network has no time zone.
func TimeZones(n Number) []string {
	list, found := 0, false
	at := u32(headerZones)
	for i := 1; i < len(n.E164); i++ {
		if at = next(at, n.E164[i]); at == nowhere {
			break
		}
		if v, ok := valueOf(at); ok {
			list, found = v, true
		}
	}
	if !found {
		return nil
	}
	return listAt(list)
}

package phonenumber

import (
	"strconv"
	"strings"
)

// Caller reads the number of a caller as a carrier writes it in a call to a number of the country
// called (ISO 3166-1 alpha-2). It drops parameters after a semicolon, and the spaces and visual
// separators that RFC 3966, section 3, allows between digits. With a plus, the rest is an
// international number. Without a plus, it is the first of these readings that exists in a
// numbering plan:
//
//   - an international number as dialed in the called country: 011 44 20 … in the US
//   - a national number with the trunk prefix: 020 … in the United Kingdom
//   - an international number of the called country without its plus
//   - a national number
//   - a local number, in a country with one area code
//   - an international number of another country without its plus
//
// ok is false if there is no such reading. Argentine mobile numbers are read without the 15 that is
// dialed inside Argentina.
func Caller(said, called string) (n Number, ok bool) {
	said, _, _ = strings.Cut(said, ";")
	digits, plus := strings.CutPrefix(unseparated(said), "+")
	home := find(called)
	code := strconv.Itoa(home.callingCode)
	rest, own := strings.CutPrefix(digits, code)
	if plus {
		if n, ok = Parse("+" + digits); !ok && own { // +44 (0)20 …
			n, ok = after(home.trunk, rest, code)
		}
		return n, ok
	}
	if n, ok = after(home.abroad, digits, ""); ok {
		return n, true
	}
	if n, ok = after(home.trunk, digits, code); ok {
		return n, true
	}
	if n, ok = Parse("+" + digits); ok && own {
		return n, true
	}
	if national, ok := Parse("+" + code + digits); ok {
		return national, true
	}
	if local, ok := Parse("+" + code + home.area + digits); ok && home.area != "" && local.Country == called {
		return local, true
	}
	return n, ok
}

// after strips a prefix that the automaton accepts, puts front before the remaining digits and
// parses the result. It takes the longest prefix that leaves a number.
func after(automaton int, digits, front string) (n Number, ok bool) {
	if automaton == nowhere || digits == "" {
		return n, false
	}
	at := next(automaton, digits[0])
	if at == nowhere {
		return n, false
	}
	if n, ok = after(at, digits[1:], front); ok {
		return n, true
	}
	if _, ends := valueOf(at); !ends {
		return n, false
	}
	return Parse("+" + front + digits[1:])
}

func unseparated(s string) string {
	return strings.Map(func(r rune) rune {
		if strings.ContainsRune(" -.()", r) {
			return -1
		}
		return r
	}, s)
}

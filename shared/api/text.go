package api

import (
	"strings"
	"unicode"
)

const illegible = "must not hold control characters other than newline and tab, nor characters that direct the order of text"

// legible reports whether people see all of a text as it is. Control characters
// (Unicode category Cc) but newline and tab would let a text write to a terminal;
// the marks, embeddings, overrides and isolates of the bidirectional algorithm
// (UAX #9, section 2) would let it show something else than it says.
func legible(s string) bool { return strings.IndexFunc(s, hidden) < 0 }

func hidden(r rune) bool {
	switch {
	case r == '\n' || r == '\t':
		return false
	case r == '\u061C', r == '\u200E', r == '\u200F', '\u202A' <= r && r <= '\u202E', '\u2066' <= r && r <= '\u2069':
		return true
	}
	return unicode.IsControl(r)
}

// visibly is a text with a replacement character for each one that is hidden.
func visibly(s string) string {
	return strings.Map(func(r rune) rune {
		if hidden(r) {
			return '\uFFFD'
		}
		return r
	}, s)
}

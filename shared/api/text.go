package api

import (
	"strings"
	"unicode"
)

const illegible = "must not hold control characters other than newline and tab, nor characters that direct the order of text"

// legible reports whether a text displays exactly its content. Control characters (Unicode category
// Cc) except newline and tab could control a terminal. The marks, embeddings, overrides and
// isolates of the bidirectional algorithm (UAX #9, section 2) could make the text show something
// else than it contains.
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

// visibly is a text with a replacement character for each hidden character.
func visibly(s string) string {
	return strings.Map(func(r rune) rune {
		if hidden(r) {
			return '\uFFFD'
		}
		return r
	}, s)
}

package dynamodb

import (
	"slices"
	"strings"
)

type tokenKind int

const (
	tokenEnd   tokenKind = iota
	tokenWord            // a name, keyword or function
	tokenName            // #placeholder
	tokenValue           // :placeholder
	tokenInt             // a list index
	tokenMark            // punctuation
)

// token is a piece of an expression; start and end are its place in the text.
type token struct {
	kind       tokenKind
	text       string
	start, end int
}

// is reports whether the token is the given mark or, in any case, the given keyword.
func (t token) is(text string) bool {
	switch t.kind {
	case tokenMark:
		return t.text == text
	case tokenWord:
		return strings.EqualFold(t.text, text)
	}
	return false
}

// isKeyword reports whether the token is a word that grammar gives a meaning everywhere.
func (t token) isKeyword() bool {
	return t.kind == tokenWord && slices.Contains([]string{"AND", "OR", "NOT", "BETWEEN", "IN", "SET", "REMOVE", "ADD", "DELETE"}, strings.ToUpper(t.text))
}

// lex cuts an expression into tokens, ended by a tokenEnd. A character that belongs to
// no token becomes a mark of its own, which the parser will refuse.
func lex(text string) []token {
	var tokens []token
	for at := 0; ; {
		for at < len(text) && strings.IndexByte(" \t\r\n", text[at]) >= 0 {
			at++
		}
		t := next(text, at)
		tokens = append(tokens, t)
		if t.kind == tokenEnd {
			return tokens
		}
		at = t.end
	}
}

func next(text string, at int) token {
	if at == len(text) {
		return token{tokenEnd, "<EOF>", at, at}
	}
	cut := func(k tokenKind, length int) token {
		return token{k, text[at : at+length], at, at + length}
	}
	switch c := text[at]; {
	case isLetter(c):
		return cut(tokenWord, span(text[at:], isNameByte))
	case c == '0':
		return cut(tokenInt, 1)
	case isDigit(c):
		return cut(tokenInt, span(text[at:], isDigit))
	case (c == '#' || c == ':') && at+1 < len(text) && isNameByte(text[at+1]):
		k := tokenName
		if c == ':' {
			k = tokenValue
		}
		return cut(k, 1+span(text[at+1:], isNameByte))
	case strings.HasPrefix(text[at:], "<>"), strings.HasPrefix(text[at:], "<="), strings.HasPrefix(text[at:], ">="):
		return cut(tokenMark, 2)
	}
	width := 1
	for at+width < len(text) && text[at+width]&0xc0 == 0x80 { // the rest of a UTF-8 character
		width++
	}
	return cut(tokenMark, width)
}

func span(text string, in func(byte) bool) int {
	n := 0
	for n < len(text) && in(text[n]) {
		n++
	}
	return n
}

func isLetter(c byte) bool   { return c|0x20 >= 'a' && c|0x20 <= 'z' }
func isDigit(c byte) bool    { return c >= '0' && c <= '9' }
func isNameByte(c byte) bool { return isLetter(c) || isDigit(c) || c == '_' }

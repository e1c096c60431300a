// Package validate holds the rules for values that users choose: SIP addresses, webhook URLs,
// names, prefixes and credentials. The rules are pure, except that ResolveWebhook looks names up.
// Each error is a fault.Invalid about the field that the caller passes. The rules for telephone
// numbers are in package destination, because its tables weigh megabytes.
package validate

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/krosai/telephony/shared/fault"
)

const (
	letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	digits  = "0123456789"
)

// Name checks a display name: 1 to 64 printable characters without a space at either end.
// Characters that break a line, are invisible or change the direction of the text are refused.
func Name(field, s string) error {
	if !utf8.ValidString(s) || utf8.RuneCountInString(s) > 64 || s == "" || strings.TrimSpace(s) != s {
		return fault.InvalidField(field, "malformed", "must have 1 to 64 characters and no space at its ends")
	}
	for _, r := range s {
		if r != ' ' && !unicode.IsGraphic(r) || unicode.Is(unicode.Zs, r) && r != ' ' || unicode.Is(unicode.Cf, r) {
			return fault.InvalidField(field, "malformed", "must hold printable characters only")
		}
	}
	return nil
}

// AgentName checks the name of a LiveKit agent: 1 to 64 ASCII letters, digits,
// dots, underscores and hyphens, the first a letter or digit.
func AgentName(field, s string) error {
	if len(s) > 64 || !word(s, "._-") {
		return fault.InvalidField(field, "malformed", "must have 1 to 64 letters, digits, dots, underscores or hyphens and begin with a letter or digit")
	}
	return nil
}

// RoomPrefix checks the prefix of a number's room names: 1 to 32 ASCII letters, digits, underscores
// and hyphens, the first a letter or digit.
func RoomPrefix(field, s string) error {
	if len(s) > 32 || !word(s, "_-") {
		return fault.InvalidField(field, "malformed", "must have 1 to 32 letters, digits, underscores or hyphens and begin with a letter or digit")
	}
	return nil
}

// word reports whether s consists of letters, digits and characters of extra, and begins with a
// letter or digit.
func word(s, extra string) bool {
	return s != "" && only(s, letters+digits+extra) && only(s[:1], letters+digits)
}

func only(s, alphabet string) bool {
	for i := range len(s) {
		if strings.IndexByte(alphabet, s[i]) < 0 {
			return false
		}
	}
	return true
}

// Username checks the user name of a SIP credential: 1 to 128 visible ASCII characters except
// quotes, backslashes and colons, which have a meaning in digest authentication (RFC 7616).
func Username(field, s string) error {
	if s == "" || len(s) > 128 || !visible(s) || strings.ContainsAny(s, `"\: `) {
		return fault.InvalidField(field, "malformed", `must have 1 to 128 visible ASCII characters other than ", \ and :`)
	}
	return nil
}

// Password checks the password of a SIP credential: 1 to 128 printable ASCII characters. The error
// never contains the password.
func Password(field, s string) error {
	if s == "" || len(s) > 128 || !visible(s) {
		return fault.InvalidField(field, "malformed", "must have 1 to 128 printable ASCII characters")
	}
	return nil
}

func visible(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

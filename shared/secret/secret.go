// Package secret holds values that must never be printed.
package secret

import (
	"fmt"
	"log/slog"
)

// Secret is a string that shows as *** however it is printed, logged or encoded. Decoding JSON or
// text takes the value unchanged.
type Secret struct{ value string }

// New wraps a secret value.
func New(value string) Secret { return Secret{value} }

// Reveal returns the value. It is called only where the value is checked, stored, signed with, sent
// to the service that it belongs to, or shown once to its owner.
func (s Secret) Reveal() string { return s.value }

// IsZero reports whether there is no value.
func (s Secret) IsZero() bool { return s.value == "" }

const stars = "***"

func (s Secret) String() string               { return stars }
func (s Secret) GoString() string             { return stars }
func (s Secret) Format(f fmt.State, _ rune)   { fmt.Fprint(f, stars) }
func (s Secret) MarshalJSON() ([]byte, error) { return []byte(`"` + stars + `"`), nil }
func (s Secret) MarshalText() ([]byte, error) { return []byte(stars), nil }
func (s Secret) LogValue() slog.Value         { return slog.StringValue(stars) }

// UnmarshalText takes the value unchanged.
func (s *Secret) UnmarshalText(b []byte) error {
	s.value = string(b)
	return nil
}

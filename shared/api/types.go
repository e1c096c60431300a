package api

import (
	"errors"
	"fmt"
	"time"

	"github.com/danielgtaylor/huma/v2"
)

// E164 is the pattern of a phone number: a plus and 8 to 15 ASCII digits, the first of them not 0
// (ITU-T E.164).
const E164 = `^\+[1-9][0-9]{7,14}$`

const timeLayout = "2006-01-02T15:04:05.000Z"

// Time is an instant as the API writes it: RFC 3339, UTC, milliseconds. Convert with api.Time(t).
// An optional time is a *Time, null if absent. OrNull creates one.
type Time time.Time

// OrNull is t, or nil when t is zero.
func OrNull(t time.Time) *Time {
	if t.IsZero() {
		return nil
	}
	return (*Time)(&t)
}

// TextOrNull is s, or nil when s is empty.
func TextOrNull(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// MarshalText writes the instant.
func (t Time) MarshalText() ([]byte, error) {
	return time.Time(t).UTC().AppendFormat(nil, timeLayout), nil
}

// UnmarshalText reads RFC 3339 with any offset and any precision.
func (t *Time) UnmarshalText(b []byte) error {
	at, err := time.Parse(time.RFC3339Nano, string(b))
	if err == nil && !rfc3339(string(b)) {
		err = errors.New("a part has another form")
	}
	if err != nil {
		return fmt.Errorf("time is not RFC 3339: %w", err)
	}
	*t = Time(at.UTC())
	return nil
}

// rfc3339 reports whether a text that time.Parse accepts as RFC 3339 has that form. time.Parse
// also accepts an hour of one digit, a comma before the fraction, and zones of 24 hours and
// more (go.dev/issue/54580).
func rfc3339(text string) bool {
	const form = "2006-01-02T15:04:05"
	if len(text) <= len(form) || text[len("2006-01-02T15")] != ':' {
		return false
	}
	rest := text[len(form):]
	if zone := rest[len(rest)-min(6, len(rest)):]; zone[0] == '+' || zone[0] == '-' {
		return zone[1:3] < "24" && zone[4:] < "60" && rest[0] != ','
	}
	return rest[0] != ','
}

// TransformSchema makes the schema a date-time.
func (Time) TransformSchema(_ huma.Registry, s *huma.Schema) *huma.Schema {
	s.Format, s.Examples = "date-time", []any{"2026-11-22T09:30:00.000Z"}
	return s
}

package api

import (
	"fmt"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/krosai/telephony/shared/fault"
)

// E164 is the pattern of a phone number: a plus and 8 to 15 ASCII digits, the
// first of them not 0 (ITU-T E.164).
const E164 = `^\+[1-9][0-9]{7,14}$`

const timeLayout = "2006-01-02T15:04:05.000Z"

// Time is an instant as the API writes it: RFC 3339, UTC, milliseconds. Make one
// with api.Time(t).
type Time time.Time

// NullTime is a Time that is null while it is zero.
type NullTime time.Time

// MarshalJSON writes the instant.
func (t Time) MarshalJSON() ([]byte, error) {
	return []byte(`"` + time.Time(t).UTC().Format(timeLayout) + `"`), nil
}

// MarshalJSON writes the instant, or null when it is zero.
func (t NullTime) MarshalJSON() ([]byte, error) {
	if time.Time(t).IsZero() {
		return []byte("null"), nil
	}
	return Time(t).MarshalJSON()
}

// UnmarshalJSON reads RFC 3339 with any offset and any precision.
func (t *Time) UnmarshalJSON(b []byte) error {
	at, err := time.Parse(`"`+time.RFC3339Nano+`"`, string(b))
	if err != nil {
		return fmt.Errorf("time is not RFC 3339: %w", err)
	}
	*t = Time(at.UTC())
	return nil
}

// UnmarshalJSON reads RFC 3339 with any offset and any precision, or null.
func (t *NullTime) UnmarshalJSON(b []byte) error {
	if string(b) == "null" {
		*t = NullTime{}
		return nil
	}
	return (*Time)(t).UnmarshalJSON(b)
}

// Schema is a date-time.
func (Time) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeString, Format: "date-time", Examples: []any{"2026-11-22T09:30:00.000Z"}}
}

// Schema is a date-time or null.
func (NullTime) Schema(r huma.Registry) *huma.Schema {
	s := Time{}.Schema(r)
	s.Nullable = true
	return s
}

// ID checks the form of an id from a path: the type prefix with its underscore
// ("call_") and 26 Crockford base32 characters. Any other value gets the same
// 404 as an id that does not exist; thing names it ("call").
func ID(prefix, value, thing string) error {
	rest, ok := strings.CutPrefix(value, prefix)
	if !ok || len(rest) != 26 || strings.Trim(rest, "0123456789ABCDEFGHJKMNPQRSTVWXYZ") != "" {
		return fault.Missing(thing)
	}
	return nil
}

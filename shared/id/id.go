// Package id makes and checks the ids of the API: a prefix for the kind of thing, and 26 characters
// of Crockford's base 32. The characters are a ULID, so that ids are in the order in which the
// things came to be. Phone numbers are the exception: their ids follow from the number alone.
package id

import (
	"crypto/sha256"
	"encoding/base32"
	"fmt"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/krosai/telephony/shared/fault"
)

// Kind is a kind of thing. Its text is the prefix of the ids.
type Kind string

// The kinds of things that have ids.
const (
	Call     Kind = "call_"
	Transfer Kind = "tr_"
	Number   Kind = "pn_"
	Request  Kind = "req_" // a request for a phone number
	Key      Kind = "key_"
	Endpoint Kind = "whe_" // a webhook endpoint
	Delivery Kind = "dlv_"
	Event    Kind = "evt_"
)

// Characters are the characters behind the prefix, and Length is how many there are.
const (
	Characters = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
	Length     = 26
)

// noun names the thing in errors.
func (k Kind) noun() string {
	switch k {
	case Number:
		return "phone number"
	case Request:
		return "phone number request"
	case Key:
		return "API key"
	case Endpoint:
		return "webhook endpoint"
	}
	return strings.TrimSuffix(string(k), "_")
}

// New makes the id of a thing that comes to be at a moment.
func (k Kind) New(at time.Time) string { return string(k) + ulid.MustNewDefault(at).String() }

// Derived makes the id of a thing that is known by its moment and its names. It is the same
// whenever it is made.
func (k Kind) Derived(at time.Time, names ...string) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%q", names))
	var text ulid.ULID
	copy(text[6:], sum[:])
	_ = text.SetTime(ulid.Timestamp(at)) // fails from the year 10889 on
	return string(k) + text.String()
}

// Named makes the id of a thing that is known by its name alone.
func (k Kind) Named(name string) string { return string(k) + Hash(name) }

// Hash stands for a name in the characters of ids. Two names do not have the same hash.
func Hash(name string) string {
	sum := sha256.Sum256([]byte(name))
	return base32.NewEncoding(Characters).EncodeToString(sum[:])[:Length]
}

// Valid reports whether a text has the form of such an id.
func (k Kind) Valid(text string) bool {
	rest, ok := strings.CutPrefix(text, string(k))
	return ok && len(rest) == Length && strings.Trim(rest, Characters) == ""
}

// Check returns the error for a thing that does not exist, fault.NotFound, if a text does not have
// the form of such an id. A client cannot tell the two apart.
func (k Kind) Check(text string) error {
	if !k.Valid(text) {
		return fault.Missing(k.noun())
	}
	return nil
}

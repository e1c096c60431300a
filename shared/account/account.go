// Package account is who calls the API: users, administrators and API keys.
package account

import (
	"slices"
	"time"
)

// The scopes an API key can hold.
const (
	NumbersRead   = "numbers:read"
	NumbersWrite  = "numbers:write"
	CallsRead     = "calls:read"
	CallsWrite    = "calls:write"
	WebhooksRead  = "webhooks:read"
	WebhooksWrite = "webhooks:write"
	KeysWrite     = "keys:write"
)

// Admin is what only administrators can do. No API key holds it.
const Admin = "admin"

// Scopes lists every scope an API key can be granted.
func Scopes() []string {
	return []string{NumbersRead, NumbersWrite, CallsRead, CallsWrite, WebhooksRead, WebhooksWrite, KeysWrite}
}

// Caller is who sent a request. KeyID is empty when a user came with a JWT of
// their own; Admin is true only then.
type Caller struct {
	UserID string
	KeyID  string
	Scopes []string // of the API key
	Admin  bool

	KeyExpires time.Time // when the API key expires; zero is never
	Retiring   bool      // the API key has been rotated and is in its time of grace
}

// Can reports whether the caller may do what scope names. A user with a JWT can
// do everything that is theirs; a key can do what it was granted. The scope
// Admin is for administrators, and an empty scope is for every caller.
func (c Caller) Can(scope string) bool {
	switch {
	case c.UserID == "":
		return false
	case scope == Admin:
		return c.Admin && c.KeyID == ""
	case c.KeyID == "" || scope == "":
		return true
	}
	return slices.Contains(c.Scopes, scope)
}

// MaxKeys is how many live API keys a user can have.
const MaxKeys = 50

// KeyHourLimit is how many requests an API key can make in an hour,
// TokenHourLimit how many a user can make with JWTs, and RequestsPerHour how many
// all API keys of a user can make together.
const (
	KeyHourLimit   = 1000
	TokenHourLimit = 1000
)

// KeysPerHour is how many API keys a user can make in an hour, those that are
// made by rotation included.
const KeysPerHour = 20

// Key is an API key as it is kept: the hash and never the text. A zero time
// means "not".
type Key struct {
	ID         string // key_ and a ULID
	UserID     string
	Name       string
	Hash       []byte // SHA-256 of the text
	LastFour   string // the end of the text, by which people tell keys apart
	Scopes     []string
	CreatedAt  time.Time
	IssuedAt   time.Time // when the text was made; later than CreatedAt when it was made again
	ExpiresAt  time.Time
	RevokedAt  time.Time // may lie ahead: a rotated key works until then
	LastUsedAt time.Time // the hour of its last use

	HourLimit  int       // requests in an hour; 0 is KeyHourLimit
	HourUsed   int       // of them made in this hour, the one being served included
	HourResets time.Time // when the next hour begins

	Together Limit // of all keys of the user; known only when it refuses a request
}

// Live reports whether the key can be used at the given moment. Both ends are
// exclusive of the moment itself: a key is dead at the instant it expires.
func (k Key) Live(now time.Time) bool {
	return (k.ExpiresAt.IsZero() || now.Before(k.ExpiresAt)) && (k.RevokedAt.IsZero() || now.Before(k.RevokedAt))
}

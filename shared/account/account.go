// Package account defines the callers of the API (users, administrators and API keys) and
// their limits.
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

// Admin is the scope of administrators. No API key holds it.
const Admin = "admin"

// Scopes lists every scope an API key can be granted.
func Scopes() []string {
	return []string{NumbersRead, NumbersWrite, CallsRead, CallsWrite, WebhooksRead, WebhooksWrite, KeysWrite}
}

// Caller is the authenticated sender of a request. KeyID is empty when a user sent a JWT. Admin is
// true only in that case.
type Caller struct {
	UserID string
	KeyID  string
	Scopes []string // of the API key
	Admin  bool

	KeyExpires time.Time // when the API key expires; zero means never
	Retiring   bool      // the API key has been rotated and is in its grace period
}

// Can reports whether the caller holds scope. A user with a JWT holds every scope except Admin,
// which only an administrator's JWT holds. An API key holds the scopes it was granted. Every caller
// holds the empty scope.
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

// KeyHourLimit is how many requests an API key can make in an hour, and TokenHourLimit how many a
// user can make with JWTs. RequestsPerHour limits all API keys of a user together.
const (
	KeyHourLimit   = 1000
	TokenHourLimit = 1000
)

// KeysPerHour is how many API keys a user can create in an hour, including keys created
// by rotation.
const KeysPerHour = 20

// Key is an API key as it is stored: with the hash of its text, never the text. A zero time means
// that it is not set.
type Key struct {
	ID         string // key_ and a ULID
	UserID     string
	Name       string
	Hash       []byte // SHA-256 of the text
	LastFour   string // the end of the text, which identifies the key to its user
	Scopes     []string
	CreatedAt  time.Time
	IssuedAt   time.Time // when the text was made; later than CreatedAt if it was made again
	ExpiresAt  time.Time
	RevokedAt  time.Time // may be in the future: a rotated key works until then
	LastUsedAt time.Time // the hour of its last use

	HourLimit  int       // requests per hour; 0 means KeyHourLimit
	HourUsed   int       // requests made in this hour, including the current one
	HourResets time.Time // when the next hour begins

	Together Limit // of all keys of the user; set only when it refuses a request
}

// Live reports whether the key can be used at the given moment. A key is dead from the instant of
// ExpiresAt or RevokedAt on.
func (k Key) Live(now time.Time) bool {
	return (k.ExpiresAt.IsZero() || now.Before(k.ExpiresAt)) && (k.RevokedAt.IsZero() || now.Before(k.RevokedAt))
}

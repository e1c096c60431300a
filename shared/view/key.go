package view

import (
	"slices"

	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/api"
)

// Key is an API key without its text and its hash.
type Key struct {
	KeyID      string    `json:"key_id"`
	Name       string    `json:"name"`
	LastFour   string    `json:"last_four" doc:"The last four characters of the key"`
	Scopes     []string  `json:"scopes" enum:"numbers:read,numbers:write,calls:read,calls:write,webhooks:read,webhooks:write,keys:write"`
	CreatedAt  api.Time  `json:"created_at"`
	ExpiresAt  *api.Time `json:"expires_at" doc:"null: it never expires"`
	LastUsedAt *api.Time `json:"last_used_at" doc:"The hour in which it was last used; null: not used yet"`
	RevokedAt  *api.Time `json:"revoked_at" doc:"When the key stopped working, or will stop after a rotation; null: not revoked"`
}

// NewKey is a new API key with its text, which is shown only once.
type NewKey struct {
	APIKey string `json:"api_key" doc:"The key itself. Only this answer shows it"`
	Key
}

// KeyOf returns the view of a key.
func KeyOf(k account.Key) Key {
	v := Key{KeyID: k.ID, Name: k.Name, LastFour: k.LastFour, Scopes: []string{}, CreatedAt: api.Time(k.CreatedAt),
		ExpiresAt: api.OrNull(k.ExpiresAt), LastUsedAt: api.OrNull(k.LastUsedAt), RevokedAt: api.OrNull(k.RevokedAt)}
	for _, scope := range account.Scopes() { // in this order; the database stores none
		if slices.Contains(k.Scopes, scope) {
			v.Scopes = append(v.Scopes, scope)
		}
	}
	return v
}

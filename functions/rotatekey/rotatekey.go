// Package rotatekey serves POST /api-keys/{key_id}/rotate.
package rotatekey

import (
	"context"
	"io"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/api"
	"github.com/krosai/telephony/shared/fault"
	"github.com/krosai/telephony/shared/id"
	"github.com/krosai/telephony/shared/view"
)

// Keys reads and rotates a user's keys. Key fails with fault.NotFound for another user's key.
// RotateKey ends old at old.RevokedAt and returns the new key. If an earlier attempt has stored the
// new key, RotateKey gives it the new text. RotateKey fails with fault.Conflict if old is not live
// or has been rotated, or if the user has too many keys. It fails with fault.Limited if the user
// has made account.KeysPerHour keys in this hour.
type Keys interface {
	Key(ctx context.Context, userID, id string) (account.Key, error)
	RotateKey(ctx context.Context, old, fresh account.Key) (account.Key, error)
}

// Endpoint replaces an API key with a new one.
type Endpoint struct {
	Keys   Keys
	Now    func() time.Time
	Random io.Reader // of cryptographic quality
}

// Input names the key.
type Input struct {
	KeyID string `path:"key_id" doc:"The key to rotate"`
	Body  *Body
}

// Body says how long the old key still works.
type Body struct {
	GraceSeconds int `json:"grace_seconds,omitempty" minimum:"0" maximum:"86400" default:"0" doc:"How long the old key still works, in seconds"`
}

// Output is the new key with its text.
type Output struct{ Body RotatedKey }

// RotatedKey is the new key, and the old one with its end.
type RotatedKey struct {
	view.NewKey
	Replaces view.Key `json:"replaces" doc:"The old key. It works until revoked_at"`
}

// Register adds the operation to the API.
func (e *Endpoint) Register(a huma.API) {
	huma.Register(a, huma.Operation{OperationID: "rotate-api-key", Method: http.MethodPost, Path: "/api-keys/{key_id}/rotate",
		DefaultStatus: http.StatusCreated, Summary: "Rotate an API key", Tags: []string{"API keys"},
		Description: "Creates a key with the same name, scopes and expiry. Only this answer shows it. The old key stops working at once, or after grace_seconds. It manages no keys during that time. An API key can only rotate keys whose scopes it holds itself, and the new key expires no later than the key that rotates.",
		Errors:      []int{http.StatusConflict}, Security: api.Needs(account.KeysWrite)}, e.rotate)
}

func (e *Endpoint) rotate(ctx context.Context, in *Input) (*Output, error) {
	if err := id.Key.Check(in.KeyID); err != nil {
		return nil, err
	}
	caller := api.CallerOf(ctx)
	old, err := e.Keys.Key(ctx, caller.UserID, in.KeyID)
	if err != nil {
		return nil, err
	}
	for _, scope := range old.Scopes { // otherwise the caller would get a key that can do more
		if !caller.Can(scope) {
			return nil, fault.New(fault.Forbidden, "FORBIDDEN", "this API key cannot rotate one with the scope %s, which it does not have", scope)
		}
	}

	now := e.Now()
	fresh, text, err := account.Issue(account.Key{ID: api.NewID(ctx, id.Key, now), UserID: old.UserID, Name: old.Name,
		Scopes: old.Scopes, CreatedAt: now, IssuedAt: now, ExpiresAt: earlier(old.ExpiresAt, caller.KeyExpires),
		HourLimit: old.HourLimit, HourUsed: old.HourUsed, HourResets: old.HourResets}, e.Random)
	if err != nil {
		return nil, err
	}
	if old.RevokedAt.IsZero() { // otherwise an earlier attempt has set it, or RotateKey refuses
		old.RevokedAt = now.Add(grace(in.Body))
	}
	fresh, err = e.Keys.RotateKey(ctx, old, fresh)
	if fault.Is(err, fault.Limited) {
		api.SetLimit(ctx, account.SpentKeys(now))
	}
	if err != nil {
		return nil, err
	}

	return &Output{RotatedKey{view.NewKey{APIKey: text, Key: view.KeyOf(fresh)}, view.KeyOf(old)}}, nil
}

func grace(b *Body) time.Duration {
	if b == nil {
		return 0
	}
	return time.Duration(b.GraceSeconds) * time.Second
}

// earlier returns the earlier of two expiries. Zero means never.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

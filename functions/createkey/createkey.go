// Package createkey serves POST /api-keys.
package createkey

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
	"github.com/krosai/telephony/shared/validate"
	"github.com/krosai/telephony/shared/view"
)

// Keys stores a new key and returns it. AddKey fails with fault.Conflict when the user has
// account.MaxKeys live keys, and with fault.Limited when the user has made account.KeysPerHour keys
// in this hour. A key that an earlier attempt has stored gets the new text.
type Keys interface {
	AddKey(ctx context.Context, k account.Key) (account.Key, error)
}

// Endpoint creates API keys.
type Endpoint struct {
	Keys   Keys
	Now    func() time.Time
	Random io.Reader // must be cryptographically secure
}

// Input is the request.
type Input struct{ Body Body }

// Body describes the key to create.
type Body struct {
	Name      string    `json:"name" minLength:"1" doc:"The purpose of the key, at most 64 characters"`
	Scopes    []string  `json:"scopes" minItems:"1" uniqueItems:"true" enum:"numbers:read,numbers:write,calls:read,calls:write,webhooks:read,webhooks:write,keys:write" doc:"The scopes of the key. An API key can only grant scopes that it holds itself"`
	ExpiresAt *api.Time `json:"expires_at,omitempty" doc:"When the key stops working, at most 5 years ahead. If left out, never, or when the API key that creates it does"`
}

// Output is the new key with its text.
type Output struct{ Body view.NewKey }

// Register adds the operation to the API.
func (e *Endpoint) Register(a huma.API) {
	huma.Register(a, huma.Operation{OperationID: "create-api-key", Method: http.MethodPost, Path: "/api-keys",
		DefaultStatus: http.StatusCreated, Summary: "Create an API key", Tags: []string{"API keys"},
		Description: "Only this answer shows the key itself. An account can have 50 live keys and create 20 in an hour. One more is a 409. A key that an API key creates expires no later than that key.",
		Errors:      []int{http.StatusConflict}, Security: api.Needs(account.KeysWrite)}, e.create)
}

func (e *Endpoint) create(ctx context.Context, in *Input) (*Output, error) {
	k, err := e.plan(ctx, in.Body)
	if err != nil {
		return nil, err
	}

	k, text, err := account.Issue(k, e.Random)
	if err != nil {
		return nil, err
	}
	k, err = e.Keys.AddKey(ctx, k)
	if fault.Is(err, fault.Limited) {
		api.SetLimit(ctx, account.SpentKeys(e.Now()))
	}
	if err != nil {
		return nil, err
	}

	return &Output{view.NewKey{APIKey: text, Key: view.KeyOf(k)}}, nil
}

// plan returns the key that the caller asks for, if the caller may have it.
func (e *Endpoint) plan(ctx context.Context, b Body) (account.Key, error) {
	caller, now := api.CallerOf(ctx), e.Now()
	k := account.Key{ID: api.NewID(ctx, id.Key, now), UserID: caller.UserID, Name: b.Name, Scopes: b.Scopes,
		CreatedAt: now, IssuedAt: now, ExpiresAt: caller.KeyExpires}
	if err := validate.Name("name", b.Name); err != nil {
		return k, err
	}
	if b.ExpiresAt != nil {
		k.ExpiresAt = time.Time(*b.ExpiresAt).Truncate(time.Millisecond)
		if !k.ExpiresAt.After(now) || k.ExpiresAt.After(now.AddDate(5, 0, 0)) {
			return k, fault.InvalidField("expires_at", "range", "must lie ahead, at most 5 years")
		}
		if !caller.KeyExpires.IsZero() && k.ExpiresAt.After(caller.KeyExpires) {
			return k, fault.InvalidField("expires_at", "range", "must not be later than when the API key that makes it expires")
		}
	}
	for _, scope := range b.Scopes {
		if !caller.Can(scope) {
			return k, fault.New(fault.Forbidden, "FORBIDDEN", "this API key cannot grant the scope %s, which it does not have", scope)
		}
	}
	return k, nil
}

// Package revokekey serves DELETE /api-keys/{key_id}.
package revokekey

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/api"
	"github.com/krosai/telephony/shared/id"
)

// Keys revokes a user's key at once. Another user's key is fault.NotFound. Revoking a revoked key
// is no error.
type Keys interface {
	RevokeKey(ctx context.Context, userID, id string) error
}

// Endpoint revokes API keys.
type Endpoint struct{ Keys Keys }

// Input names the key.
type Input struct {
	KeyID string `path:"key_id" doc:"The key to revoke"`
}

// Register adds the operation to the API.
func (e *Endpoint) Register(a huma.API) {
	huma.Register(a, huma.Operation{OperationID: "revoke-api-key", Method: http.MethodDelete, Path: "/api-keys/{key_id}",
		DefaultStatus: http.StatusNoContent, Summary: "Revoke an API key", Tags: []string{"API keys"},
		Description: "The key stops working at once, also during its grace period. Revoking it again is not an error.",
		Security:    api.Needs(account.KeysWrite)}, e.revoke)
}

func (e *Endpoint) revoke(ctx context.Context, in *Input) (*struct{}, error) {
	if err := id.Key.Check(in.KeyID); err != nil {
		return nil, err
	}
	return nil, e.Keys.RevokeKey(ctx, api.CallerOf(ctx).UserID, in.KeyID)
}

// Package revokeuserkey serves DELETE /admin/api-keys/{key_id}.
package revokeuserkey

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/api"
	"github.com/krosai/telephony/shared/id"
)

// Keys revokes a key at once, with a line in the audit. A key that does not exist is
// fault.NotFound, and so is a key that is not the user's if userID is set. Revoking a revoked key
// is no error.
type Keys interface {
	RevokeAnyKey(ctx context.Context, userID, id, by string) error
}

// Endpoint lets administrators revoke any user's API keys.
type Endpoint struct{ Keys Keys }

// Input names the key.
type Input struct {
	KeyID  string `path:"key_id" doc:"The key to revoke"`
	UserID string `query:"user_id" pattern:"^[A-Za-z0-9._|:@-]{1,128}$" patternDescription:"a user's id, 1 to 128 letters, digits and any of ._|:@-" doc:"The key must be this user's"`
}

// Register adds the operation to the API.
func (e *Endpoint) Register(a huma.API) {
	huma.Register(a, huma.Operation{OperationID: "revoke-user-api-key", Method: http.MethodDelete, Path: "/admin/api-keys/{key_id}",
		DefaultStatus: http.StatusNoContent, Summary: "Revoke a user's API key", Tags: []string{"Administration"},
		Description: "The key stops working at once, also during its grace period. The event api_key.revoked notifies its owner. Revoking it again is not an error.",
		Security:    api.Needs(account.Admin)}, e.revoke)
}

func (e *Endpoint) revoke(ctx context.Context, in *Input) (*struct{}, error) {
	if err := id.Key.Check(in.KeyID); err != nil {
		return nil, err
	}
	return nil, e.Keys.RevokeAnyKey(ctx, in.UserID, in.KeyID, api.CallerOf(ctx).UserID)
}

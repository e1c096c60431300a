// Package listuserkeys serves GET /admin/api-keys.
package listuserkeys

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/api"
	"github.com/krosai/telephony/shared/view"
)

// Keys lists a user's keys newest first, at most limit of them, starting after the position after.
type Keys interface {
	KeysOf(ctx context.Context, userID string, limit int, after string) (keys []account.Key, next string, err error)
}

// Endpoint lists a user's API keys for administrators.
type Endpoint struct{ Keys Keys }

// Input selects a page of the list.
type Input struct {
	UserID string `query:"user_id" required:"true" pattern:"^[A-Za-z0-9._|:@-]{1,128}$" patternDescription:"a user's id, 1 to 128 letters, digits and any of ._|:@-" doc:"The user, as in the sub claim of their JWTs" example:"auth0|5f7c8ec7c33c6c004bbafe82"`
	Limit  int    `query:"limit" minimum:"1" maximum:"100" default:"25" doc:"The most keys in the answer"`
	Cursor string `query:"cursor" doc:"next_cursor of the page before, with the same user_id"`
}

// Output is the page.
type Output struct{ Body api.Page[view.Key] }

// Register adds the operation to the API.
func (e *Endpoint) Register(a huma.API) {
	huma.Register(a, huma.Operation{OperationID: "list-user-api-keys", Method: http.MethodGet, Path: "/admin/api-keys",
		Summary: "List a user's API keys", Tags: []string{"Administration"},
		Description: "Newest first, with the revoked and expired ones. An unknown user has no keys.",
		Security:    api.Needs(account.Admin)}, e.list)
}

func (e *Endpoint) list(ctx context.Context, in *Input) (*Output, error) {
	page, err := api.List(ctx, in.Cursor, in.UserID, in.Limit, view.KeyOf, func(after string, limit int) ([]account.Key, string, error) {
		return e.Keys.KeysOf(ctx, in.UserID, limit, after)
	})
	return &Output{page}, err
}

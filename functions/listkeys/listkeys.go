// Package listkeys serves GET /api-keys.
package listkeys

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

// Endpoint lists the caller's API keys, including revoked and expired ones.
type Endpoint struct{ Keys Keys }

// Input selects a page of the list.
type Input struct {
	Limit  int    `query:"limit" minimum:"1" maximum:"100" default:"25" doc:"The most keys in the answer"`
	Cursor string `query:"cursor" doc:"next_cursor of the page before"`
}

// Output is the page.
type Output struct{ Body api.Page[view.Key] }

// Register adds the operation to the API.
func (e *Endpoint) Register(a huma.API) {
	huma.Register(a, huma.Operation{OperationID: "list-api-keys", Method: http.MethodGet, Path: "/api-keys",
		Summary: "List your API keys", Tags: []string{"API keys"},
		Description: "Newest first, with the revoked and expired ones. A key's text is never shown again.",
		Security:    api.Needs(account.KeysWrite)}, e.list)
}

func (e *Endpoint) list(ctx context.Context, in *Input) (*Output, error) {
	page, err := api.List(ctx, in.Cursor, "", in.Limit, view.KeyOf, func(after string, limit int) ([]account.Key, string, error) {
		return e.Keys.KeysOf(ctx, api.CallerOf(ctx).UserID, limit, after)
	})
	return &Output{page}, err
}

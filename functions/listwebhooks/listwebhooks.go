// Package listwebhooks serves GET /webhook-endpoints.
package listwebhooks

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/api"
	"github.com/krosai/telephony/shared/view"
	"github.com/krosai/telephony/shared/webhook"
)

// Endpoints lists a user's endpoints newest first, at most limit of them, starting after
// the position after.
type Endpoints interface {
	EndpointsOf(ctx context.Context, userID string, limit int, after string) (endpoints []webhook.Endpoint, next string, err error)
}

// Endpoint lists the caller's webhook endpoints.
type Endpoint struct{ Endpoints Endpoints }

// Input selects a page of the list.
type Input struct {
	Limit  int    `query:"limit" minimum:"1" maximum:"100" default:"25" doc:"The most endpoints in the answer"`
	Cursor string `query:"cursor" doc:"next_cursor of the page before"`
}

// Output is the page.
type Output struct {
	Body api.Page[view.WebhookEndpoint]
}

// Register adds the operation to the API.
func (e *Endpoint) Register(a huma.API) {
	huma.Register(a, huma.Operation{OperationID: "list-webhook-endpoints", Method: http.MethodGet, Path: "/webhook-endpoints",
		Summary: "List your webhook endpoints", Description: "Newest first. Signing secrets are never shown again.",
		Tags: []string{"Webhooks"}, Security: api.Needs(account.WebhooksRead)}, e.list)
}

func (e *Endpoint) list(ctx context.Context, in *Input) (*Output, error) {
	page, err := api.List(ctx, in.Cursor, "", in.Limit, view.WebhookEndpointOf, func(after string, limit int) ([]webhook.Endpoint, string, error) {
		return e.Endpoints.EndpointsOf(ctx, api.CallerOf(ctx).UserID, limit, after)
	})
	return &Output{page}, err
}

// Package deletewebhook serves DELETE /webhook-endpoints/{endpoint_id}.
package deletewebhook

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/api"
	"github.com/krosai/telephony/shared/id"
)

// Endpoints deletes a user's endpoint. An unknown endpoint, or another user's, is fault.NotFound.
type Endpoints interface {
	DeleteEndpoint(ctx context.Context, userID, id string) error
}

// Endpoint deletes webhook endpoints.
type Endpoint struct{ Endpoints Endpoints }

// Input names the endpoint.
type Input struct {
	EndpointID string `path:"endpoint_id" doc:"The endpoint to delete"`
}

// Register adds the operation to the API.
func (e *Endpoint) Register(a huma.API) {
	huma.Register(a, huma.Operation{OperationID: "delete-webhook-endpoint", Method: http.MethodDelete, Path: "/webhook-endpoints/{endpoint_id}",
		DefaultStatus: http.StatusNoContent, Summary: "Delete a webhook endpoint", Tags: []string{"Webhooks"},
		Description: "Nothing is sent there any more, and pending deliveries are given up. The list of its deliveries stays for 30 days.",
		Security:    api.Needs(account.WebhooksWrite)}, e.remove)
}

func (e *Endpoint) remove(ctx context.Context, in *Input) (*struct{}, error) {
	if err := id.Endpoint.Check(in.EndpointID); err != nil {
		return nil, err
	}
	return nil, e.Endpoints.DeleteEndpoint(ctx, api.CallerOf(ctx).UserID, in.EndpointID)
}

// Package listdeliveries serves GET /webhook-endpoints/{endpoint_id}/deliveries.
package listdeliveries

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/api"
	"github.com/krosai/telephony/shared/id"
	"github.com/krosai/telephony/shared/view"
	"github.com/krosai/telephony/shared/webhook"
)

// Deliveries lists the deliveries to a user's endpoint newest first, at most limit of them,
// starting after the position after. With a status it lists only those that have it. A page may be
// short although next is not empty. An unknown endpoint, or another user's, is fault.NotFound.
type Deliveries interface {
	DeliveriesOf(ctx context.Context, userID, endpointID string, status webhook.Status, limit int, after string) (deliveries []webhook.Delivery, next string, err error)
}

// Endpoint lists deliveries.
type Endpoint struct{ Deliveries Deliveries }

// Input selects a page of the list.
type Input struct {
	EndpointID string         `path:"endpoint_id" doc:"The endpoint that they were sent to"`
	Status     webhook.Status `query:"status" enum:"pending,delivered,dead" doc:"The status of the deliveries. If left out, all"`
	Limit      int            `query:"limit" minimum:"1" maximum:"100" default:"25" doc:"The most deliveries in the answer"`
	Cursor     string         `query:"cursor" doc:"next_cursor of the page before"`
}

// Output is the page.
type Output struct{ Body api.Page[view.Delivery] }

// Register adds the operation to the API.
func (e *Endpoint) Register(a huma.API) {
	huma.Register(a, huma.Operation{OperationID: "list-webhook-deliveries", Method: http.MethodGet, Path: "/webhook-endpoints/{endpoint_id}/deliveries",
		Summary: "List the deliveries to a webhook endpoint", Tags: []string{"Webhooks"},
		Description: "Newest first, of the last 30 days. With a status a page may be short or empty and still have a next_cursor: follow it.",
		Security:    api.Needs(account.WebhooksRead)}, e.list)
}

func (e *Endpoint) list(ctx context.Context, in *Input) (*Output, error) {
	if err := id.Endpoint.Check(in.EndpointID); err != nil {
		return nil, err
	}
	asked := in.EndpointID + " " + string(in.Status)
	page, err := api.List(ctx, in.Cursor, asked, in.Limit, view.DeliveryOf, func(after string, limit int) ([]webhook.Delivery, string, error) {
		return e.Deliveries.DeliveriesOf(ctx, api.CallerOf(ctx).UserID, in.EndpointID, in.Status, limit, after)
	})
	return &Output{page}, err
}

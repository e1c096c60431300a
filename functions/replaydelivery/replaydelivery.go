// Package replaydelivery serves POST
// /webhook-endpoints/{endpoint_id}/deliveries/{delivery_id}/replay.
package replaydelivery

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/api"
	"github.com/krosai/telephony/shared/fault"
	"github.com/krosai/telephony/shared/hook"
	"github.com/krosai/telephony/shared/webhook"
)

// Deliveries keeps deliveries. Delivery reads one of a user's, whose endpoint has
// no id when it was deleted; one that is not there, or another's, is
// fault.NotFound.
type Deliveries interface {
	Delivery(ctx context.Context, userID, endpointID, id string) (webhook.Delivery, webhook.Endpoint, error)
	AddDelivery(ctx context.Context, d webhook.Delivery) (webhook.Delivery, error)
	BuryDelivery(ctx context.Context, userID, endpointID, id string) error
}

// Flow carries out deliveries.
type Flow interface {
	StartDelivery(ctx context.Context, d webhook.Delivery) error
}

// Endpoint repeats deliveries.
type Endpoint struct {
	Deliveries Deliveries
	Flow       Flow
	Now        func() time.Time
}

// Input names the delivery.
type Input struct {
	EndpointID string `path:"endpoint_id" doc:"Where it was sent"`
	DeliveryID string `path:"delivery_id" doc:"The delivery to repeat"`
}

// Output is the new delivery.
type Output struct{ Body hook.Delivery }

// Register adds the operation to the API.
func (e *Endpoint) Register(a huma.API) {
	huma.Register(a, huma.Operation{OperationID: "replay-webhook-delivery", Method: http.MethodPost,
		Path: "/webhook-endpoints/{endpoint_id}/deliveries/{delivery_id}/replay", DefaultStatus: http.StatusAccepted,
		Summary: "Send an event once more", Tags: []string{"Webhooks"},
		Description: "A new delivery of the same event, with the same webhook-id and the same body, whatever has become of the first one.",
		Security:    api.Needs(account.WebhooksWrite)}, e.replay)
}

func (e *Endpoint) replay(ctx context.Context, in *Input) (*Output, error) {
	old, err := e.find(ctx, api.CallerOf(ctx).UserID, in)
	if err != nil {
		return nil, err
	}

	now := e.Now()
	d, err := e.Deliveries.AddDelivery(ctx, webhook.Delivery{ID: api.NewID(ctx, "dlv_", now), EndpointID: old.EndpointID, Event: old.Event,
		Status: webhook.Pending, ReplayOf: old.ID, CreatedAt: now, NextAt: now})
	if err != nil {
		return nil, err
	}
	if err := e.Flow.StartDelivery(ctx, d); err != nil {
		return nil, errors.Join(err, e.Deliveries.BuryDelivery(ctx, d.Event.UserID, d.EndpointID, d.ID))
	}

	return &Output{hook.DeliveryOf(d)}, nil
}

// find reads the delivery. Without its endpoint it cannot be repeated.
func (e *Endpoint) find(ctx context.Context, userID string, in *Input) (webhook.Delivery, error) {
	const thing = "webhook delivery"
	if err := errors.Join(api.ID("whe_", in.EndpointID, thing), api.ID("dlv_", in.DeliveryID, thing)); err != nil {
		return webhook.Delivery{}, fault.Missing(thing)
	}
	d, endpoint, err := e.Deliveries.Delivery(ctx, userID, in.EndpointID, in.DeliveryID)
	if err == nil && endpoint.ID == "" {
		err = fault.Missing(thing)
	}
	return d, err
}

// Package replaydelivery serves
// POST /webhook-endpoints/{endpoint_id}/deliveries/{delivery_id}/replay.
package replaydelivery

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/api"
	"github.com/krosai/telephony/shared/fault"
	"github.com/krosai/telephony/shared/id"
	"github.com/krosai/telephony/shared/view"
	"github.com/krosai/telephony/shared/webhook"
	"github.com/krosai/telephony/shared/webhook/queue"
)

// Deliveries keeps deliveries. Delivery reads a delivery of a user and its endpoint. The endpoint
// has no id if it was deleted. A delivery that is missing or another user's is fault.NotFound.
// SpendDelivery counts a replay of the delivery and returns the limits. It fails with fault.Limited
// if a limit is reached.
type Deliveries interface {
	Delivery(ctx context.Context, userID, endpointID, id string) (webhook.Delivery, webhook.Endpoint, error)
	SpendDelivery(ctx context.Context, userID, id string, at time.Time) ([]account.Limit, error)
	AddDelivery(ctx context.Context, d webhook.Delivery) (webhook.Delivery, error)
}

// Queue takes messages for deliverwebhook.
type Queue interface {
	Send(ctx context.Context, messages []queue.Message) error
}

// Endpoint replays deliveries.
type Endpoint struct {
	Deliveries Deliveries
	Queue      Queue
	Now        func() time.Time
}

// Input names the delivery.
type Input struct {
	EndpointID string `path:"endpoint_id" doc:"The endpoint that it was sent to"`
	DeliveryID string `path:"delivery_id" doc:"The delivery to repeat"`
}

// Output is the new delivery.
type Output struct{ Body view.Delivery }

// Register adds the operation to the API.
func (e *Endpoint) Register(a huma.API) {
	huma.Register(a, huma.Operation{OperationID: "replay-webhook-delivery", Method: http.MethodPost,
		Path: "/webhook-endpoints/{endpoint_id}/deliveries/{delivery_id}/replay", DefaultStatus: http.StatusAccepted,
		Summary: "Repeat a delivery", Tags: []string{"Webhooks"},
		Description: "Makes a new delivery of the same event, with the same webhook-id and the same body, whatever the outcome of the first one. A paused or disabled endpoint is a 409. A user can have 100 replays and tests an hour, and 10 replays of one delivery.",
		Errors:      []int{http.StatusConflict},
		Security:    api.Needs(account.WebhooksWrite)}, e.replay)
}

// replay sends the message first and then records the delivery, so that no recorded delivery lacks
// its message. The function deliverwebhook may handle the message before the delivery is recorded.
func (e *Endpoint) replay(ctx context.Context, in *Input) (*Output, error) {
	old, err := e.find(ctx, api.CallerOf(ctx).UserID, in)
	if err != nil {
		return nil, err
	}

	now := e.Now()
	limits, err := e.Deliveries.SpendDelivery(ctx, old.Event.UserID, old.ID, now)
	for _, l := range limits {
		api.SetLimit(ctx, l)
	}
	if err != nil {
		return nil, err
	}
	d := webhook.Delivery{ID: api.NewID(ctx, id.Delivery, now), EndpointID: old.EndpointID, Event: old.Event,
		Status: webhook.Pending, ReplayOf: old.ID, CreatedAt: now, NextAt: now}
	body, err := json.Marshal(webhook.Message{UserID: d.Event.UserID, EndpointID: d.EndpointID, DeliveryID: d.ID, ReplayOf: d.ReplayOf})
	if err != nil {
		return nil, err
	}
	if err := e.Queue.Send(ctx, []queue.Message{{Body: body}}); err != nil {
		return nil, err
	}
	if d, err = e.Deliveries.AddDelivery(ctx, d); err != nil {
		return nil, err
	}

	return &Output{view.DeliveryOf(d)}, nil
}

// find reads the delivery. It fails if the endpoint was deleted, or while the endpoint is paused
// or disabled.
func (e *Endpoint) find(ctx context.Context, userID string, in *Input) (webhook.Delivery, error) {
	const thing = "webhook delivery"
	if !id.Endpoint.Valid(in.EndpointID) || !id.Delivery.Valid(in.DeliveryID) {
		return webhook.Delivery{}, fault.Missing(thing)
	}
	d, endpoint, err := e.Deliveries.Delivery(ctx, userID, in.EndpointID, in.DeliveryID)
	switch {
	case err == nil && endpoint.ID == "":
		err = fault.Missing(thing)
	case err == nil && endpoint.Status() != webhook.Active:
		err = fault.New(fault.Conflict, "CONFLICT", "the webhook endpoint is %s", endpoint.Status())
	}
	return d, err
}

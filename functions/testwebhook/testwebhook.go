// Package testwebhook serves POST /webhook-endpoints/{endpoint_id}/test.
package testwebhook

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/api"
	"github.com/krosai/telephony/shared/event"
	"github.com/krosai/telephony/shared/fault"
	"github.com/krosai/telephony/shared/id"
	"github.com/krosai/telephony/shared/view"
	"github.com/krosai/telephony/shared/webhook"
	"github.com/krosai/telephony/shared/webhook/queue"
)

// Endpoints reads a user's endpoint. A missing endpoint, or another user's, is fault.NotFound.
// SpendDelivery counts a test of the endpoint and returns the limits. It fails with fault.Limited
// if a limit is reached.
type Endpoints interface {
	Endpoint(ctx context.Context, userID, id string) (webhook.Endpoint, error)
	SpendDelivery(ctx context.Context, userID, id string, at time.Time) ([]account.Limit, error)
	AddDelivery(ctx context.Context, d webhook.Delivery) (webhook.Delivery, error)
}

// Queue takes messages for deliverwebhook.
type Queue interface {
	Send(ctx context.Context, messages []queue.Message) error
}

// Endpoint tests webhook endpoints.
type Endpoint struct {
	Endpoints Endpoints
	Queue     Queue
	Now       func() time.Time
}

// Input names the endpoint.
type Input struct {
	EndpointID string `path:"endpoint_id" doc:"The endpoint to test"`
}

// Output is the delivery of the test.
type Output struct{ Body view.Delivery }

// Register adds the operation to the API.
func (e *Endpoint) Register(a huma.API) {
	huma.Register(a, huma.Operation{OperationID: "test-webhook-endpoint", Method: http.MethodPost, Path: "/webhook-endpoints/{endpoint_id}/test",
		DefaultStatus: http.StatusAccepted, Summary: "Send a test to a webhook endpoint", Tags: []string{"Webhooks"},
		Description: "Sends the event webhook.test at once, whichever events the endpoint gets. The delivery is in the list of deliveries. A paused or disabled endpoint is a 409.",
		Errors:      []int{http.StatusConflict}, Security: api.Needs(account.WebhooksWrite)}, e.test)
}

// test sends the message first and then records the delivery, so that no recorded delivery lacks
// its message. The function deliverwebhook may handle the message before the delivery is recorded.
func (e *Endpoint) test(ctx context.Context, in *Input) (*Output, error) {
	endpoint, err := e.find(ctx, in)
	if err != nil {
		return nil, err
	}

	now := e.Now().UTC().Truncate(time.Millisecond)
	limits, err := e.Endpoints.SpendDelivery(ctx, endpoint.UserID, endpoint.ID, now)
	for _, l := range limits {
		api.SetLimit(ctx, l)
	}
	if err != nil {
		return nil, err
	}
	m := webhook.Message{UserID: endpoint.UserID, EndpointID: endpoint.ID, DeliveryID: id.Delivery.New(now), TestAt: now}
	body, err := json.Marshal(m)
	if err != nil {
		return nil, err
	}
	if err := e.Queue.Send(ctx, []queue.Message{{Body: body}}); err != nil {
		return nil, err
	}
	d, err := e.Endpoints.AddDelivery(ctx, deliveryFor(m))
	if err != nil {
		return nil, err
	}

	return &Output{view.DeliveryOf(d)}, nil
}

func (e *Endpoint) find(ctx context.Context, in *Input) (webhook.Endpoint, error) {
	if err := id.Endpoint.Check(in.EndpointID); err != nil {
		return webhook.Endpoint{}, err
	}
	endpoint, err := e.Endpoints.Endpoint(ctx, api.CallerOf(ctx).UserID, in.EndpointID)
	if err == nil && endpoint.Status() != webhook.Active {
		err = fault.New(fault.Conflict, "CONFLICT", "the webhook endpoint is %s", endpoint.Status())
	}
	return endpoint, err
}

// deliveryFor returns the delivery that deliverwebhook makes of the message.
func deliveryFor(m webhook.Message) webhook.Delivery {
	v := event.Test(m.UserID, m.EndpointID, m.DeliveryID, m.TestAt)
	return webhook.Delivery{ID: m.DeliveryID, EndpointID: m.EndpointID, Status: webhook.Pending, CreatedAt: m.TestAt, NextAt: m.TestAt,
		Event: webhook.Event{ID: v.ID, UserID: v.UserID, Type: v.Type, At: v.At, Body: v.Body(nil)}}
}

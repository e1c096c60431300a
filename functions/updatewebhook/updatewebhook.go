// Package updatewebhook serves PATCH /webhook-endpoints/{endpoint_id}.
package updatewebhook

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/api"
	"github.com/krosai/telephony/shared/fault"
	"github.com/krosai/telephony/shared/id"
	"github.com/krosai/telephony/shared/store"
	"github.com/krosai/telephony/shared/validate"
	"github.com/krosai/telephony/shared/view"
	"github.com/krosai/telephony/shared/webhook"
)

// Endpoints changes a user's endpoint. A missing endpoint, or another user's, is fault.NotFound.
type Endpoints interface {
	UpdateEndpoint(ctx context.Context, userID, id string, change store.EndpointChange) (webhook.Endpoint, error)
}

// Endpoint changes webhook endpoints. AllowLoopback is for the laptop.
type Endpoint struct {
	Endpoints     Endpoints
	Resolver      validate.Resolver
	AllowLoopback bool
}

// Input is the request.
type Input struct {
	EndpointID string `path:"endpoint_id" doc:"The endpoint to change"`
	Body       Body
}

// Body is the change. A member that is left out keeps its value.
type Body struct {
	URL    *string  `json:"url,omitempty" minLength:"1" doc:"The address that events are sent to from now on: https, with a public host name. It enables a disabled endpoint"`
	Events []string `json:"events,omitempty" minItems:"1" uniqueItems:"true" enum:"call.answered,call.ended,call.summary_ready,call.transfer_finished,number_request.decided,number_request.assigned,number.assigned,number.configured,number.released,api_key.created,api_key.revoked,webhook_endpoint.disabled" doc:"The events that are sent there from now on"`
	Paused *bool    `json:"paused,omitempty" doc:"true: nothing is sent there, and pending deliveries are given up. false: events are sent from now on, also if the endpoint was disabled"`
}

// Output is the changed endpoint.
type Output struct{ Body view.WebhookEndpoint }

// Register adds the operation to the API.
func (e *Endpoint) Register(a huma.API) {
	huma.Register(a, huma.Operation{OperationID: "update-webhook-endpoint", Method: http.MethodPatch, Path: "/webhook-endpoints/{endpoint_id}",
		Summary: "Change, pause or enable a webhook endpoint", Tags: []string{"Webhooks"},
		Description: "A new url, or paused false, enables an endpoint that was disabled after too many failures. Events of the meantime are not sent. GET /events has them.",
		Security:    api.Needs(account.WebhooksWrite)}, e.update)
}

func (e *Endpoint) update(ctx context.Context, in *Input) (*Output, error) {
	if err := e.check(ctx, in); err != nil {
		return nil, err
	}

	changed, err := e.Endpoints.UpdateEndpoint(ctx, api.CallerOf(ctx).UserID, in.EndpointID,
		store.EndpointChange{URL: in.Body.URL, Events: in.Body.Events, Paused: in.Body.Paused})
	if err != nil {
		return nil, err
	}

	return &Output{view.WebhookEndpointOf(changed)}, nil
}

// check rejects a change of nothing, and a URL to which events may not be sent.
func (e *Endpoint) check(ctx context.Context, in *Input) error {
	if err := id.Endpoint.Check(in.EndpointID); err != nil {
		return err
	}
	if in.Body.URL == nil && in.Body.Events == nil && in.Body.Paused == nil {
		return fault.InvalidField("body", "required", "name at least one of url, events and paused")
	}
	if in.Body.URL == nil {
		return nil
	}
	return validate.ResolveWebhook(ctx, e.Resolver, "url", *in.Body.URL, e.AllowLoopback)
}

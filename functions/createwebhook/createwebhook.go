// Package createwebhook serves POST /webhook-endpoints.
package createwebhook

import (
	"context"
	"io"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/api"
	"github.com/krosai/telephony/shared/id"
	"github.com/krosai/telephony/shared/validate"
	"github.com/krosai/telephony/shared/view"
	"github.com/krosai/telephony/shared/webhook"
)

// Endpoints stores a new endpoint. AddEndpoint fails with fault.Conflict when the user has
// webhook.MaxEndpoints already. An endpoint that an earlier attempt has stored gets the new secret.
type Endpoints interface {
	AddEndpoint(ctx context.Context, e webhook.Endpoint) error
}

// Endpoint registers webhook endpoints. AllowLoopback is for the laptop.
type Endpoint struct {
	Endpoints     Endpoints
	Resolver      validate.Resolver
	Now           func() time.Time
	Random        io.Reader // must be cryptographically secure
	AllowLoopback bool
}

// Input is the request.
type Input struct{ Body Body }

// Body describes the endpoint.
type Body struct {
	URL    string   `json:"url" minLength:"1" doc:"The address that events are sent to: https, with a public host name. Redirects are not followed"`
	Events []string `json:"events" minItems:"1" uniqueItems:"true" enum:"call.answered,call.ended,call.summary_ready,call.transfer_finished,number_request.decided,number_request.assigned,number.assigned,number.configured,number.released,api_key.created,api_key.revoked,webhook_endpoint.disabled" doc:"The events that are sent there, from now on"`
}

// Output is the new endpoint with its secret.
type Output struct{ Body view.NewWebhookEndpoint }

// Register adds the operation to the API.
func (e *Endpoint) Register(a huma.API) {
	huma.Register(a, huma.Operation{OperationID: "create-webhook-endpoint", Method: http.MethodPost, Path: "/webhook-endpoints",
		DefaultStatus: http.StatusCreated, Summary: "Send events to a server of yours", Tags: []string{"Webhooks"},
		Description: "Events are signed according to Standard Webhooks. Only this answer shows the secret that verifies them. An account can have 10 endpoints. One more is a 409.",
		Errors:      []int{http.StatusConflict}, Security: api.Needs(account.WebhooksWrite)}, e.create)
}

func (e *Endpoint) create(ctx context.Context, in *Input) (*Output, error) {
	if err := validate.ResolveWebhook(ctx, e.Resolver, "url", in.Body.URL, e.AllowLoopback); err != nil {
		return nil, err
	}

	signing, err := webhook.NewSecret(e.Random)
	if err != nil {
		return nil, err
	}
	now := e.Now()
	made := webhook.Endpoint{ID: api.NewID(ctx, id.Endpoint, now), UserID: api.CallerOf(ctx).UserID, URL: in.Body.URL, Events: in.Body.Events,
		Secret: signing, CreatedAt: now}
	if err := e.Endpoints.AddEndpoint(ctx, made); err != nil {
		return nil, err
	}

	return &Output{view.NewWebhookEndpoint{SigningSecret: signing.Reveal(), WebhookEndpoint: view.WebhookEndpointOf(made)}}, nil
}

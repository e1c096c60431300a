// Package rotatewebhooksecret serves POST /webhook-endpoints/{endpoint_id}/rotate-secret.
package rotatewebhooksecret

import (
	"context"
	"io"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/api"
	"github.com/krosai/telephony/shared/id"
	"github.com/krosai/telephony/shared/secret"
	"github.com/krosai/telephony/shared/view"
	"github.com/krosai/telephony/shared/webhook"
)

// Endpoints gives a user's endpoint its next secret. The old secret signs as well until the given
// moment. A missing endpoint, or another user's, is fault.NotFound.
type Endpoints interface {
	RotateSecret(ctx context.Context, userID, id string, next secret.Secret, until time.Time) (webhook.Endpoint, error)
}

// Endpoint rotates signing secrets.
type Endpoint struct {
	Endpoints Endpoints
	Now       func() time.Time
	Random    io.Reader // of cryptographic quality
}

// Input is the request.
type Input struct {
	EndpointID string `path:"endpoint_id" doc:"The endpoint that gets a new secret"`
	Body       *Body
}

// Body says how long the old secret signs as well.
type Body struct {
	GraceSeconds *int `json:"grace_seconds,omitempty" minimum:"0" maximum:"86400" doc:"How long the old secret signs too, in seconds. If left out, an hour"`
}

// grace is how long the old secret signs as well if the caller does not say.
const grace = time.Hour

// Output is the endpoint with its new secret.
type Output struct{ Body view.NewWebhookEndpoint }

// Register adds the operation to the API.
func (e *Endpoint) Register(a huma.API) {
	huma.Register(a, huma.Operation{OperationID: "rotate-webhook-secret", Method: http.MethodPost, Path: "/webhook-endpoints/{endpoint_id}/rotate-secret",
		Summary: "Give a webhook endpoint a new signing secret", Tags: []string{"Webhooks"},
		Description: "Only this answer shows the new secret. During the grace period each message carries two signatures, one of each secret. The libraries of Standard Webhooks accept a message if one of them verifies.",
		Security:    api.Needs(account.WebhooksWrite)}, e.rotate)
}

func (e *Endpoint) rotate(ctx context.Context, in *Input) (*Output, error) {
	if err := id.Endpoint.Check(in.EndpointID); err != nil {
		return nil, err
	}

	next, err := webhook.NewSecret(e.Random)
	if err != nil {
		return nil, err
	}
	until := e.Now().Add(grace)
	if in.Body != nil && in.Body.GraceSeconds != nil {
		until = e.Now().Add(time.Duration(*in.Body.GraceSeconds) * time.Second)
	}
	rotated, err := e.Endpoints.RotateSecret(ctx, api.CallerOf(ctx).UserID, in.EndpointID, next, until)
	if err != nil {
		return nil, err
	}

	return &Output{view.NewWebhookEndpoint{SigningSecret: next.Reveal(), WebhookEndpoint: view.WebhookEndpointOf(rotated)}}, nil
}

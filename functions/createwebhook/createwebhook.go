// Package createwebhook serves POST /webhook-endpoints.
package createwebhook

import (
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/api"
	"github.com/krosai/telephony/shared/fault"
	"github.com/krosai/telephony/shared/guard"
	"github.com/krosai/telephony/shared/hook"
	"github.com/krosai/telephony/shared/secret"
	"github.com/krosai/telephony/shared/webhook"
)

// Endpoints stores a new endpoint; fault.Conflict when its user has
// webhook.MaxEndpoints already. An endpoint that an earlier attempt has stored
// gets the new secret.
type Endpoints interface {
	AddEndpoint(ctx context.Context, e webhook.Endpoint) error
}

// Resolver finds the addresses of a name. It is asked for both kinds ("ip").
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// Endpoint registers webhook endpoints. AllowLoopback is for the laptop.
type Endpoint struct {
	Endpoints     Endpoints
	Resolver      Resolver
	Now           func() time.Time
	Random        io.Reader // of cryptographic quality
	AllowLoopback bool
}

// Input is the request.
type Input struct{ Body Body }

// Body describes the endpoint.
type Body struct {
	URL    string   `json:"url" minLength:"1" doc:"Where events are sent: https, with a public host name. Redirects are not followed"`
	Events []string `json:"events" minItems:"1" uniqueItems:"true" enum:"call.answered,call.ended,call.summary_ready,number_request.decided,number_request.assigned" doc:"Which events are sent there. It gets those that happen from now on"`
}

// Output is the new endpoint with its secret.
type Output struct{ Body hook.Issued }

// Register adds the operation to the API.
func (e *Endpoint) Register(a huma.API) {
	huma.Register(a, huma.Operation{OperationID: "create-webhook-endpoint", Method: http.MethodPost, Path: "/webhook-endpoints",
		DefaultStatus: http.StatusCreated, Summary: "Have events sent to a server of yours", Tags: []string{"Webhooks"},
		Description: "Events are signed as Standard Webhooks says; the answer holds the secret that verifies them, this once. An account can have 10 endpoints; one more is a 409.",
		Errors:      []int{http.StatusConflict}, Security: api.Needs(account.WebhooksWrite)}, e.create)
}

func (e *Endpoint) create(ctx context.Context, in *Input) (*Output, error) {
	if err := e.check(ctx, in.Body.URL); err != nil {
		return nil, err
	}

	random := make([]byte, 32)
	if _, err := io.ReadFull(e.Random, random); err != nil {
		return nil, fmt.Errorf("random bytes of a signing secret: %w", err)
	}
	signing, now := "whsec_"+base64.StdEncoding.EncodeToString(random), e.Now()
	made := webhook.Endpoint{ID: api.NewID(ctx, "whe_", now), UserID: api.CallerOf(ctx).UserID, URL: in.Body.URL, Events: in.Body.Events,
		Secret: secret.New(signing), CreatedAt: now}
	if err := e.Endpoints.AddEndpoint(ctx, made); err != nil {
		return nil, err
	}

	return &Output{hook.Issued{SigningSecret: signing, Endpoint: hook.EndpointOf(made)}}, nil
}

// check looks where the URL leads at this moment. Where it leads later is looked
// at when something is delivered there.
func (e *Endpoint) check(ctx context.Context, url string) error {
	host, err := guard.WebhookURL("url", url, e.AllowLoopback)
	if err != nil {
		return err
	}
	if guard.LoopbackName(host) {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	found, err := e.Resolver.LookupNetIP(ctx, "ip", host)
	if err != nil || len(found) == 0 {
		return fault.InvalidField("url", "unknown_host", "the name of the host cannot be resolved")
	}
	for _, a := range found {
		if !guard.PublicAddress(a) {
			return fault.InvalidField("url", "malformed", "the host must lead to addresses of the public Internet")
		}
	}
	return nil
}

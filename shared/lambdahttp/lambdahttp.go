// Package lambdahttp runs an HTTP handler as a Lambda function behind an API Gateway HTTP API
// (payload format 2.0).
package lambdahttp

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdacontext"
	"github.com/awslabs/aws-lambda-go-api-proxy/httpadapter"

	"github.com/krosai/telephony/shared/api"
	"github.com/krosai/telephony/shared/env"
	"github.com/krosai/telephony/shared/invocation"
	"github.com/krosai/telephony/shared/obs"
	"github.com/krosai/telephony/shared/oidc"
	"github.com/krosai/telephony/shared/secret"
)

// config is what every HTTP function reads from its environment. An endpoint may need more.
type config struct {
	Users     oidc.Config   // without an issuer no JWT is accepted
	CursorKey secret.Secret `env:"CURSOR_KEY"`
	LogLevel  string        `env:"LOG_LEVEL"`
}

// Records is the part of the database that the edge needs.
type Records interface {
	api.Keys
	api.Answers
}

// Start serves one endpoint until Lambda stops the process. It reads the edge's configuration
// from the environment. If that is not valid, the process exits with status 1. db is nil for a
// public endpoint.
func Start(db Records, endpoint api.Endpoint) {
	edge, err := newEdge(env.Must[config](), db)
	if err != nil {
		fmt.Fprintln(os.Stderr, "configuration:", err)
		os.Exit(1)
	}
	lambda.Start(Handler(edge.Handler(endpoint)))
}

func newEdge(cfg config, db Records) (*api.Edge, error) {
	edge := &api.Edge{Now: time.Now, Log: obs.Logger(os.Stdout, cfg.LogLevel), CursorKey: cfg.CursorKey}
	if db == nil {
		return edge, nil
	}
	edge.Keys, edge.Answers = db, db
	if cfg.CursorKey.IsZero() {
		return nil, errors.New("CURSOR_KEY is not set")
	}
	if cfg.Users.Issuer != "" {
		tokens, err := oidc.Open(cfg.Users, time.Now)
		if err != nil {
			return nil, err
		}
		edge.Tokens = tokens
	}
	return edge, nil
}

// Handler turns h into a handler of API Gateway events. It fails only on events that API Gateway
// never sends, such as an invalid method or a body that is marked as base64 and is not. The context
// of h ends invocation.Margin before Lambda ends the function.
func Handler(h http.Handler) lambda.Handler {
	adapter := httpadapter.NewV2(restoreHeaders(h))
	return lambda.NewHandler(func(ctx context.Context, event events.APIGatewayV2HTTPRequest) (events.APIGatewayV2HTTPResponse, error) {
		ctx, cancel := invocation.Leave(ctx, invocation.Margin)
		defer cancel()
		ctx = oidc.WithAudience(ctx, consoleClient(event))
		ctx = api.WithRequestID(ctx, requestID(ctx, event))
		ctx = context.WithValue(ctx, headersKey{}, event.Headers)
		event.RawPath = plainPath(event)
		event.RawQueryString = strings.ReplaceAll(event.RawQueryString, "#", "%23")
		return adapter.ProxyWithContext(ctx, event)
	})
}

// consoleClient is the id of the console's client in the stack's own user pool. It is empty if
// there is no such client. functions/console says why the id is a stage variable.
func consoleClient(event events.APIGatewayV2HTTPRequest) string {
	if id := event.StageVariables["ConsoleClientId"]; id != "off" {
		return id
	}
	return ""
}

// requestID is the id that API Gateway gave the request and wrote to its access log, or else
// Lambda's id.
func requestID(ctx context.Context, event events.APIGatewayV2HTTPRequest) string {
	if id := event.RequestContext.RequestID; id != "" {
		return id
	}
	if lc, ok := lambdacontext.FromContext(ctx); ok {
		return lc.AwsRequestID
	}
	return ""
}

// plainPath is the path of the event in the form that the API accepts. API Gateway decodes
// paths, so a path may contain a "#" or "?" that would change the meaning of the URL that the
// adapter builds.
func plainPath(event events.APIGatewayV2HTTPRequest) string {
	if event.RawPath != "" {
		return api.PlainPath(event.RawPath)
	}
	return api.PlainPath(event.RequestContext.HTTP.Path)
}

type headersKey struct{}

// restoreHeaders sets the headers as API Gateway sent them. The adapter splits values at commas,
// after which only the first part would be read.
func restoreHeaders(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		headers, _ := r.Context().Value(headersKey{}).(map[string]string)
		for name, value := range headers {
			r.Header.Set(name, value)
		}
		h.ServeHTTP(w, r)
	})
}

// Package lambdahttp runs an HTTP handler as a Lambda function behind an API
// Gateway HTTP API (payload format 2.0).
package lambdahttp

import (
	"context"
	"net/http"
	"strings"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdacontext"
	"github.com/awslabs/aws-lambda-go-api-proxy/httpadapter"

	"github.com/krosai/telephony/shared/api"
)

// Start serves one endpoint until Lambda stops the process.
func Start(edge *api.Edge, endpoint api.Endpoint) {
	lambda.Start(Handler(edge.Handler(endpoint)))
}

// Handler turns h into the handler of API Gateway events. It fails only for what
// API Gateway never sends: a method that is none, a body that is not base64
// although marked so.
func Handler(h http.Handler) lambda.Handler {
	adapter := httpadapter.NewV2(restoreHeaders(h))
	return lambda.NewHandler(func(ctx context.Context, event events.APIGatewayV2HTTPRequest) (events.APIGatewayV2HTTPResponse, error) {
		ctx = api.WithRequestID(ctx, requestID(ctx, event))
		ctx = context.WithValue(ctx, headersKey{}, event.Headers)
		event.RawPath = plainPath(event)
		event.RawQueryString = strings.ReplaceAll(event.RawQueryString, "#", "%23")
		return adapter.ProxyWithContext(ctx, event)
	})
}

// requestID is the id API Gateway gave the request, which is in its access log,
// or else Lambda's.
func requestID(ctx context.Context, event events.APIGatewayV2HTTPRequest) string {
	if id := event.RequestContext.RequestID; id != "" {
		return id
	}
	if lc, ok := lambdacontext.FromContext(ctx); ok {
		return lc.AwsRequestID
	}
	return ""
}

// plainPath is the path of the event when it is one the API can have. API
// Gateway decodes paths, so what arrives may hold a "#" or "?" that would change
// the meaning of the URL the adapter builds; such a path becomes "/", which no
// endpoint has.
func plainPath(event events.APIGatewayV2HTTPRequest) string {
	path := event.RawPath
	if path == "" {
		path = event.RequestContext.HTTP.Path
	}
	if !api.PlainPath(path) {
		return "/"
	}
	return path
}

type headersKey struct{}

// restoreHeaders sets the headers as API Gateway sent them: the adapter splits
// values at commas, and then only the first part would be read.
func restoreHeaders(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		headers, _ := r.Context().Value(headersKey{}).(map[string]string)
		for name, value := range headers {
			r.Header.Set(name, value)
		}
		h.ServeHTTP(w, r)
	})
}

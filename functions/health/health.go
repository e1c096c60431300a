// Package health serves GET /health and answers the requests that match no route of the API.
package health

import (
	"context"
	_ "embed"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/krosai/telephony/shared/api"
)

// Config is the function's environment.
type Config struct {
	Version string `env:"VERSION" envDefault:"dev"`
}

// routes has the routes of openapi.json, one a line. It is written by make generate.
//
//go:embed routes.txt
var routes string

// Endpoint reports that the API answers, and its version. API Gateway also sends it the requests
// without a route, HEAD /health among them. Their answers are thus problems like all others: 404,
// or 405 with Allow.
type Endpoint struct{ Version string }

// Output is the answer.
type Output struct {
	Body struct {
		Status  string `json:"status" enum:"ok"`
		Version string `json:"version" doc:"The deployed version"`
	}
}

// Register declares the operation.
func (e *Endpoint) Register(a huma.API) {
	huma.Register(a, huma.Operation{OperationID: "health", Method: http.MethodGet, Path: "/health",
		Summary: "Is the API up?", Tags: []string{"Health"}, Security: api.Public()}, e.health)
}

// Routes returns the routes of the whole API, such as "GET /health".
func (e *Endpoint) Routes() []string { return strings.Split(strings.TrimSpace(routes), "\n") }

func (e *Endpoint) health(context.Context, *struct{}) (*Output, error) {
	out := &Output{}
	out.Body.Status, out.Body.Version = "ok", e.Version
	return out, nil
}

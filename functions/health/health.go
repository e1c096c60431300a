// Package health serves GET /health.
package health

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/krosai/telephony/shared/api"
)

// Config is the function's environment.
type Config struct {
	Version string `env:"VERSION" envDefault:"dev"`
}

// Endpoint tells that the API answers, and which version of it.
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

func (e *Endpoint) health(context.Context, *struct{}) (*Output, error) {
	out := &Output{}
	out.Body.Status, out.Body.Version = "ok", e.Version
	return out, nil
}

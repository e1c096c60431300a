// Package getrequest serves GET /telephony/phone-number-requests/{request_id}.
package getrequest

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/api"
	"github.com/krosai/telephony/shared/id"
	"github.com/krosai/telephony/shared/numberrequest"
	"github.com/krosai/telephony/shared/view"
)

// Requests reads a user's requests. Another user's request is fault.NotFound.
type Requests interface {
	Request(ctx context.Context, userID, id string) (numberrequest.Request, error)
}

// Endpoint shows the state of a request for a phone number.
type Endpoint struct{ Requests Requests }

// Input names the request.
type Input struct {
	RequestID string `path:"request_id" doc:"The phone number request"`
}

// Output is the request.
type Output struct{ Body view.NumberRequest }

// Register adds the operation to the API.
func (e *Endpoint) Register(a huma.API) {
	huma.Register(a, huma.Operation{OperationID: "get-phone-number-request", Method: http.MethodGet,
		Path: "/telephony/phone-number-requests/{request_id}", Summary: "Read a phone number request",
		Tags: []string{"Phone number requests"}, Security: api.Needs(account.NumbersRead)}, e.get)
}

func (e *Endpoint) get(ctx context.Context, in *Input) (*Output, error) {
	if err := id.Request.Check(in.RequestID); err != nil {
		return nil, err
	}

	r, err := e.Requests.Request(ctx, api.CallerOf(ctx).UserID, in.RequestID)
	if err != nil {
		return nil, err
	}

	return &Output{view.NumberRequestOf(r)}, nil
}

// Package getconfiguration serves
// GET /outbound-calls/phone-numbers/{phone_number_id}/configuration.
package getconfiguration

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/api"
	"github.com/krosai/telephony/shared/id"
	"github.com/krosai/telephony/shared/number"
	"github.com/krosai/telephony/shared/view"
)

// Numbers reads a user's number. Another user's number is fault.NotFound.
type Numbers interface {
	Number(ctx context.Context, userID, id string) (number.Number, error)
}

// Endpoint shows a number's configuration.
type Endpoint struct{ Numbers Numbers }

// Input names the number.
type Input struct {
	PhoneNumberID string `path:"phone_number_id" doc:"The phone number"`
}

// Output is the number's configuration.
type Output struct{ Body view.Configuration }

// Register adds the operation to the API.
func (e *Endpoint) Register(a huma.API) {
	huma.Register(a, huma.Operation{OperationID: "get-phone-number-configuration", Method: http.MethodGet,
		Path: "/outbound-calls/phone-numbers/{phone_number_id}/configuration", Summary: "Show a number's configuration",
		Tags: []string{"Phone numbers"}, Security: api.Needs(account.NumbersRead)}, e.show)
}

func (e *Endpoint) show(ctx context.Context, in *Input) (*Output, error) {
	if err := id.Number.Check(in.PhoneNumberID); err != nil {
		return nil, err
	}

	n, err := e.Numbers.Number(ctx, api.CallerOf(ctx).UserID, in.PhoneNumberID)
	if err != nil {
		return nil, err
	}

	return &Output{view.ConfigurationOf(n)}, nil
}

// Package setswitch serves PUT /admin/calls.
package setswitch

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/api"
)

// Switch switches the outbound calls of all users on or off, with a line in the audit. It fails
// with fault.Conflict while another administrator switches them.
type Switch interface {
	SetSwitch(ctx context.Context, enabled bool, reason, by string) error
}

// Endpoint is the kill switch of outbound calls. It does not touch calls in progress.
type Endpoint struct{ Switch Switch }

// Input is the position of the switch.
type Input struct{ Body Body }

// Body says whether outbound calls are on.
type Body struct {
	Enabled bool   `json:"enabled" doc:"false: every new outbound call of every user is refused"`
	Reason  string `json:"reason,omitempty" minLength:"1" maxLength:"200" doc:"The reason, for the audit. It is kept while calls are off"`
}

// Output is the position as it is now.
type Output struct{ Body Body }

// Register adds the operation to the API.
func (e *Endpoint) Register(a huma.API) {
	huma.Register(a, huma.Operation{OperationID: "set-calls", Method: http.MethodPut, Path: "/admin/calls",
		Summary: "Switch everybody's outbound calls on or off", Tags: []string{"Administration"}, Security: api.Needs(account.Admin),
		Description: "It applies to new calls at once. Calls in progress go on.", Errors: []int{http.StatusConflict}}, e.set)
}

func (e *Endpoint) set(ctx context.Context, in *Input) (*Output, error) {
	if err := e.Switch.SetSwitch(ctx, in.Body.Enabled, in.Body.Reason, api.CallerOf(ctx).UserID); err != nil {
		return nil, err
	}
	return &Output{in.Body}, nil
}

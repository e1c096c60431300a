// Package getswitch serves GET /admin/calls/switch.
package getswitch

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/api"
)

// Switch reads the switch of all users' outbound calls.
type Switch interface {
	CallsSwitch(ctx context.Context) (account.CallsSwitch, error)
}

// Endpoint shows administrators the kill switch of outbound calls.
type Endpoint struct{ Switch Switch }

// Output is the switch.
type Output struct{ Body CallsSwitch }

// CallsSwitch is the switch and the administrator who changed it last.
type CallsSwitch struct {
	Enabled   bool      `json:"enabled" doc:"false: every new outbound call of every user is refused"`
	Reason    *string   `json:"reason" doc:"Why the switch is off; null if no reason was given"`
	ChangedAt *api.Time `json:"changed_at" doc:"null: it was never changed"`
	ChangedBy *string   `json:"changed_by" doc:"The administrator"`
}

// Register adds the operation to the API.
func (e *Endpoint) Register(a huma.API) {
	huma.Register(a, huma.Operation{OperationID: "get-calls-switch", Method: http.MethodGet, Path: "/admin/calls/switch",
		Summary: "Read the switch of everybody's outbound calls", Tags: []string{"Administration"}, Security: api.Needs(account.Admin)}, e.get)
}

func (e *Endpoint) get(ctx context.Context, _ *struct{}) (*Output, error) {
	s, err := e.Switch.CallsSwitch(ctx)
	if err != nil {
		return nil, err
	}
	return &Output{CallsSwitch{Enabled: s.Enabled, Reason: api.TextOrNull(s.Reason), ChangedAt: api.OrNull(s.ChangedAt), ChangedBy: api.TextOrNull(s.ChangedBy)}}, nil
}

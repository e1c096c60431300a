// Package getpolicy serves GET /admin/user-policy.
package getpolicy

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/api"
	"github.com/krosai/telephony/shared/view"
)

// Policies reads a user's policy and the number of their active calls. A user without a policy
// has the default one.
type Policies interface {
	Policy(ctx context.Context, userID string) (p account.Policy, active int, err error)
}

// Endpoint shows administrators what a user may do.
type Endpoint struct{ Policies Policies }

// Input names the user.
type Input struct {
	UserID string `query:"user_id" required:"true" pattern:"^[A-Za-z0-9._|:@-]{1,128}$" patternDescription:"a user's id, 1 to 128 letters, digits and any of ._|:@-" doc:"The user, as in the sub claim of their JWTs" example:"auth0|5f7c8ec7c33c6c004bbafe82"`
}

// Output is the policy and the active calls that count against it.
type Output struct{ Body UserPolicy }

// UserPolicy is a user's policy with the number of their active calls.
type UserPolicy struct {
	view.Policy
	ActiveCalls int `json:"active_calls" doc:"Outbound calls that have not ended"`
}

// Register adds the operation to the API.
func (e *Endpoint) Register(a huma.API) {
	huma.Register(a, huma.Operation{OperationID: "get-user-policy", Method: http.MethodGet, Path: "/admin/user-policy",
		Summary: "Read what a user may do", Tags: []string{"Administration"}, Security: api.Needs(account.Admin)}, e.get)
}

func (e *Endpoint) get(ctx context.Context, in *Input) (*Output, error) {
	p, active, err := e.Policies.Policy(ctx, in.UserID)
	if err != nil {
		return nil, err
	}
	return &Output{UserPolicy{view.PolicyOf(in.UserID, p), active}}, nil
}

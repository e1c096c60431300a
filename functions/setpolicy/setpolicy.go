// Package setpolicy serves PUT /admin/user-policy.
package setpolicy

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/api"
	"github.com/krosai/telephony/shared/policy"
)

// Policies sets a user's policy, all but their calls an hour, with a line in the
// audit. While another administrator does, it is fault.Conflict.
type Policies interface {
	SetPolicy(ctx context.Context, userID string, p account.Policy, by string) (account.Policy, error)
}

// Endpoint lets administrators say what a user may do with calls. Calls that are
// going on are not touched.
type Endpoint struct{ Policies Policies }

// Input is the whole policy.
type Input struct{ Body Body }

// Body is the policy that takes the place of the one there was.
type Body struct {
	UserID             string   `json:"user_id" pattern:"^[A-Za-z0-9._|:@-]{1,128}$" doc:"The user, as in the sub claim of their JWTs" example:"auth0|5f7c8ec7c33c6c004bbafe82"`
	AllowedCountries   []string `json:"allowed_countries" pattern:"^[A-Z]{2}$" maxItems:"250" uniqueItems:"true" doc:"Countries the user may call besides that of the number they call from, ISO 3166-1 alpha-2"`
	CallsEnabled       bool     `json:"calls_enabled" doc:"false: every new outbound call is refused"`
	MaxConcurrentCalls int      `json:"max_concurrent_calls" minimum:"1" maximum:"100" doc:"How many outbound calls the user can have at a time"`
}

// Output is the policy as it is now.
type Output struct{ Body policy.View }

// Register adds the operation to the API.
func (e *Endpoint) Register(a huma.API) {
	huma.Register(a, huma.Operation{OperationID: "set-user-policy", Method: http.MethodPut, Path: "/admin/user-policy",
		Summary: "Say what a user may do with calls", Tags: []string{"Administration"}, Security: api.Needs(account.Admin),
		Description: "New calls obey it at once; calls in progress are not touched. 100 calls an hour are fixed.",
		Errors:      []int{http.StatusConflict}}, e.set)
}

func (e *Endpoint) set(ctx context.Context, in *Input) (*Output, error) {
	b := in.Body
	p, err := e.Policies.SetPolicy(ctx, b.UserID, account.Policy{AllowedCountries: b.AllowedCountries, CallsEnabled: b.CallsEnabled,
		MaxConcurrentCalls: b.MaxConcurrentCalls}, api.CallerOf(ctx).UserID)
	if err != nil {
		return nil, err
	}
	return &Output{policy.Of(b.UserID, p)}, nil
}

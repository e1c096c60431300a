// Package setpolicy serves PUT /admin/user-policy.
package setpolicy

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/api"
	"github.com/krosai/telephony/shared/view"
)

// Policies sets a user's policy, with a line in the audit. A limit that is 0 and a nil list
// of agents keep their values. It fails with fault.Conflict while another administrator sets
// the policy.
type Policies interface {
	SetPolicy(ctx context.Context, userID string, p account.Policy, by string) (account.Policy, error)
}

// Endpoint lets administrators say what a user may do. It does not touch calls in progress.
type Endpoint struct{ Policies Policies }

// Input is the policy.
type Input struct{ Body Body }

// Body is the policy. An optional member that is left out keeps its value.
type Body struct {
	UserID             string   `json:"user_id" pattern:"^[A-Za-z0-9._|:@-]{1,128}$" patternDescription:"a user's id, 1 to 128 letters, digits and any of ._|:@-" doc:"The user, as in the sub claim of their JWTs" example:"auth0|5f7c8ec7c33c6c004bbafe82"`
	AllowedCountries   []string `json:"allowed_countries" pattern:"^[A-Z]{2}$" patternDescription:"a country as ISO 3166-1 alpha-2, such as NG" maxItems:"250" uniqueItems:"true" doc:"Countries the user may call besides that of the number they call from, ISO 3166-1 alpha-2"`
	CallsEnabled       bool     `json:"calls_enabled" doc:"false: every new outbound call is refused"`
	MaxConcurrentCalls int      `json:"max_concurrent_calls" minimum:"1" maximum:"100" doc:"The most outbound calls at a time"`

	AllowedAgents         []string `json:"allowed_agents,omitempty" pattern:"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$" patternDescription:"an agent's name, 1 to 64 letters, digits and any of ._-, with a letter or digit first" maxItems:"100" uniqueItems:"true" doc:"The agents that the user may use. An empty list allows any"`
	MaxConcurrentInbound  int      `json:"max_concurrent_inbound,omitempty" minimum:"1" maximum:"1000" doc:"The most inbound calls at a time"`
	CallsPerHour          int      `json:"calls_per_hour,omitempty" minimum:"1" maximum:"100000" doc:"The most outbound calls and transfers in an hour"`
	CallsPerDestination   int      `json:"calls_per_destination_per_hour,omitempty" minimum:"1" maximum:"100000" doc:"The most outbound calls and transfers to one number in an hour"`
	ConfigurationsPerHour int      `json:"configurations_per_hour,omitempty" minimum:"1" maximum:"100000" doc:"The most configurations of numbers in an hour"`
	NumberRequestsPerHour int      `json:"number_requests_per_hour,omitempty" minimum:"1" maximum:"100000" doc:"The most requests for numbers in an hour"`
	RequestsPerHour       int      `json:"requests_per_hour,omitempty" minimum:"1" maximum:"100000" doc:"The most requests in an hour with all of the user's API keys together"`
	MinutesPerDay         int      `json:"minutes_per_day,omitempty" minimum:"1" maximum:"1000000" doc:"The most minutes of talk on outbound calls in a day"`
}

func (b *Body) policy() account.Policy {
	return account.Policy{
		AllowedCountries:      b.AllowedCountries,
		AllowedAgents:         b.AllowedAgents,
		CallsEnabled:          b.CallsEnabled,
		MaxConcurrentCalls:    b.MaxConcurrentCalls,
		MaxConcurrentInbound:  b.MaxConcurrentInbound,
		CallsPerHour:          b.CallsPerHour,
		CallsPerDestination:   b.CallsPerDestination,
		ConfigurationsPerHour: b.ConfigurationsPerHour,
		NumberRequestsPerHour: b.NumberRequestsPerHour,
		RequestsPerHour:       b.RequestsPerHour,
		MinutesPerDay:         b.MinutesPerDay,
	}
}

// Output is the policy as it is now.
type Output struct{ Body view.Policy }

// Register adds the operation to the API.
func (e *Endpoint) Register(a huma.API) {
	huma.Register(a, huma.Operation{OperationID: "set-user-policy", Method: http.MethodPut, Path: "/admin/user-policy",
		Summary: "Set what a user may do", Tags: []string{"Administration"}, Security: api.Needs(account.Admin),
		Description: "New calls obey it at once; calls in progress are not touched. Members that are not required stay as they were when they are left out.",
		Errors:      []int{http.StatusConflict}}, e.set)
}

func (e *Endpoint) set(ctx context.Context, in *Input) (*Output, error) {
	p, err := e.Policies.SetPolicy(ctx, in.Body.UserID, in.Body.policy(), api.CallerOf(ctx).UserID)
	if err != nil {
		return nil, err
	}
	return &Output{view.PolicyOf(in.Body.UserID, p)}, nil
}

package account

import (
	"slices"

	"github.com/krosai/telephony/shared/fault"
	"github.com/krosai/telephony/shared/phonenumber"
)

// The default limits of a user without a policy.
const (
	CallsPerHour          = 100
	CallsPerDestination   = 5 // in an hour, to one number
	ConfigurationsPerHour = 10
	NumberRequestsPerHour = 5
	RequestsPerHour       = 2000 // of all the user's API keys together
	MinutesPerDay         = 300  // of talk
	MaxConcurrentCalls    = 5
	MaxConcurrentInbound  = 20
)

// Policy is the set of a user's permissions and limits, set by administrators.
type Policy struct {
	AllowedCountries     []string // other callable countries, ISO 3166-1 alpha-2
	AllowedAgents        []string // the agents the user may use; an empty list allows any
	CallsEnabled         bool
	MaxConcurrentCalls   int // 1 to MaxPolicyCalls
	MaxConcurrentInbound int // 1 to MaxPolicyInbound

	CallsPerHour          int
	CallsPerDestination   int // in an hour, to one number
	ConfigurationsPerHour int
	NumberRequestsPerHour int
	RequestsPerHour       int // of all API keys together
	MinutesPerDay         int // of talk, outbound
}

// The upper bounds of a policy.
const (
	MaxPolicyCalls   = 100
	MaxPolicyInbound = 1000
	MaxPolicyPerHour = 100_000
	MaxPolicyMinutes = 1_000_000
)

// DefaultPolicy is the policy of a user without one of their own.
func DefaultPolicy() Policy {
	return Policy{CallsEnabled: true, MaxConcurrentCalls: MaxConcurrentCalls, MaxConcurrentInbound: MaxConcurrentInbound,
		CallsPerHour: CallsPerHour, CallsPerDestination: CallsPerDestination, ConfigurationsPerHour: ConfigurationsPerHour,
		NumberRequestsPerHour: NumberRequestsPerHour, RequestsPerHour: RequestsPerHour, MinutesPerDay: MinutesPerDay}
}

// Allow checks whether a user with this policy may have an agent call a number of country from a
// number of home. An empty agent is the agent that is already on the call. The error is
// fault.Forbidden: CALLS_DISABLED, DESTINATION_NOT_ALLOWED or AGENT_NOT_ALLOWED.
func (p Policy) Allow(e164, country, home, agent string) error {
	switch {
	case !p.CallsEnabled:
		return CallsDisabled()
	case !p.AllowsNumber(e164, country, home):
		return fault.New(fault.Forbidden, "DESTINATION_NOT_ALLOWED", "calls to %s are not allowed for this account", country)
	case agent != "":
		return p.AllowAgent(agent)
	}
	return nil
}

// AllowsNumber reports whether the user may call a number of country from a number of home. Calls
// to home are always allowed.
func (p Policy) AllowsNumber(e164, country, home string) bool {
	allowed := func(c string) bool { return c == country || phonenumber.In(e164, c) }
	return allowed(home) || slices.ContainsFunc(p.AllowedCountries, allowed)
}

// AllowAgent checks whether the user may use an agent for calls. The error is fault.Forbidden
// AGENT_NOT_ALLOWED.
func (p Policy) AllowAgent(name string) error {
	if len(p.AllowedAgents) == 0 || slices.Contains(p.AllowedAgents, name) {
		return nil
	}
	return fault.New(fault.Forbidden, "AGENT_NOT_ALLOWED", "the agent %s is not allowed for this account", name)
}

// CallsDisabled is the error while calls are switched off, for a user or for everybody.
func CallsDisabled() error {
	return fault.New(fault.Forbidden, "CALLS_DISABLED", "outbound calls are switched off")
}

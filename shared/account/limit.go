package account

import (
	"math"
	"slices"
	"time"

	"github.com/krosai/telephony/shared/phonenumber"
)

// Limit is how much a user or an API key may use in a window, and how much is used.
type Limit struct {
	Name   string // the name in the RateLimit headers
	Quota  int
	Used   int
	Resets time.Time // the end of the window, when Used is 0 again
	Window int       // its length in seconds; 0 means an hour, NoWindow no window
}

// NoWindow marks a limit on how much may exist at the same time.
const NoWindow = -1

// Left is how much may still be used, at least 0.
func (l Limit) Left() int { return max(0, l.Quota-l.Used) }

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

// AllowsAgent reports whether the user may use an agent for calls.
func (p Policy) AllowsAgent(name string) bool {
	return len(p.AllowedAgents) == 0 || slices.Contains(p.AllowedAgents, name)
}

// AllowsNumber reports whether the user may call a number of country from a number of home. Calls
// to home are always allowed.
func (p Policy) AllowsNumber(e164, country, home string) bool {
	allowed := func(c string) bool { return c == country || phonenumber.In(e164, c) }
	return allowed(home) || slices.ContainsFunc(p.AllowedCountries, allowed)
}

// Seconds is the time from now to the end of the window, in whole seconds, rounded up.
func (l Limit) Seconds(now time.Time) int {
	return max(0, int(math.Ceil(l.Resets.Sub(now).Seconds())))
}

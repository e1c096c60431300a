package account

import (
	"math"
	"slices"
	"time"

	"github.com/krosai/telephony/shared/phonenumber"
)

// Limit is how much of something a user or an API key may use in a window of an
// hour, and how much of it is used.
type Limit struct {
	Name   string // as the RateLimit headers name it
	Quota  int
	Used   int
	Resets time.Time // the end of the window, when Used is 0 again
	Window int       // its length in seconds; 0 is an hour, NoWindow none
}

// NoWindow marks a limit of how much there may be at a time.
const NoWindow = -1

// Left is how much may still be used, never less than 0.
func (l Limit) Left() int { return max(0, l.Quota-l.Used) }

// What a user may do unless their policy says otherwise.
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

// Policy is what a user may do, set by administrators.
type Policy struct {
	AllowedCountries     []string // they may call besides the country of the number they call from, ISO 3166-1 alpha-2
	AllowedAgents        []string // the agents they may use; none listed allows any
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

// The most that a policy can allow.
const (
	MaxPolicyCalls   = 100
	MaxPolicyInbound = 1000
	MaxPolicyPerHour = 100_000
	MaxPolicyMinutes = 1_000_000
)

// DefaultPolicy is the policy of a user for whom none was set.
func DefaultPolicy() Policy {
	return Policy{CallsEnabled: true, MaxConcurrentCalls: MaxConcurrentCalls, MaxConcurrentInbound: MaxConcurrentInbound,
		CallsPerHour: CallsPerHour, CallsPerDestination: CallsPerDestination, ConfigurationsPerHour: ConfigurationsPerHour,
		NumberRequestsPerHour: NumberRequestsPerHour, RequestsPerHour: RequestsPerHour, MinutesPerDay: MinutesPerDay}
}

// AllowsAgent reports whether the user may have an agent take calls.
func (p Policy) AllowsAgent(name string) bool {
	return len(p.AllowedAgents) == 0 || slices.Contains(p.AllowedAgents, name)
}

// AllowsNumber reports whether the user may call a number of a country from a number
// of the country home, which is always allowed.
func (p Policy) AllowsNumber(e164, country, home string) bool {
	allowed := func(c string) bool { return c == country || phonenumber.In(e164, c) }
	return allowed(home) || slices.ContainsFunc(p.AllowedCountries, allowed)
}

// Seconds is the time from now to the end of the window in whole seconds,
// rounded up.
func (l Limit) Seconds(now time.Time) int {
	return max(0, int(math.Ceil(l.Resets.Sub(now).Seconds())))
}

package account

import (
	"math"
	"time"
)

// Limit is how much of something a user or an API key may use in a window of an
// hour, and how much of it is used.
type Limit struct {
	Name   string // as the RateLimit headers name it
	Quota  int
	Used   int
	Resets time.Time // the end of the window, when Used is 0 again
}

// Left is how much may still be used, never less than 0.
func (l Limit) Left() int { return max(0, l.Quota-l.Used) }

// What a user may do unless their policy says otherwise.
const (
	CallsPerHour          = 100
	ConfigurationsPerHour = 10
	MaxConcurrentCalls    = 5
)

// Policy is what a user may do with calls, set by administrators.
type Policy struct {
	AllowedCountries   []string // they may call besides the country of the number they call from, ISO 3166-1 alpha-2
	CallsEnabled       bool
	MaxConcurrentCalls int // 1 to MaxPolicyCalls

	// These are the same for every user but the laptop's demo user: the API
	// cannot set them.
	CallsPerHour          int
	ConfigurationsPerHour int
}

// MaxPolicyCalls is the most calls a policy can allow at a time.
const MaxPolicyCalls = 100

// DefaultPolicy is the policy of a user for whom none was set.
func DefaultPolicy() Policy {
	return Policy{CallsEnabled: true, MaxConcurrentCalls: MaxConcurrentCalls, CallsPerHour: CallsPerHour,
		ConfigurationsPerHour: ConfigurationsPerHour}
}

// Seconds is the time from now to the end of the window in whole seconds,
// rounded up.
func (l Limit) Seconds(now time.Time) int {
	return max(0, int(math.Ceil(l.Resets.Sub(now).Seconds())))
}

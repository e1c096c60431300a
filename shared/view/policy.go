package view

import (
	"github.com/krosai/telephony/shared/account"
)

// Policy is a user's policy. The user id is not part of a path, because the user ids of some
// issuers contain characters that the paths of this API do not allow.
type Policy struct {
	UserID             string   `json:"user_id"`
	AllowedCountries   []string `json:"allowed_countries" doc:"The countries that the user may call besides that of the number they call from"`
	CallsEnabled       bool     `json:"calls_enabled"`
	MaxConcurrentCalls int      `json:"max_concurrent_calls" doc:"The most outbound calls at a time"`

	AllowedAgents         []string `json:"allowed_agents" doc:"The agents that the user may use. An empty list allows any"`
	MaxConcurrentInbound  int      `json:"max_concurrent_inbound" doc:"The most inbound calls at a time"`
	CallsPerHour          int      `json:"calls_per_hour" doc:"The most outbound calls and transfers in an hour"`
	CallsPerDestination   int      `json:"calls_per_destination_per_hour" doc:"The most outbound calls and transfers to one number in an hour"`
	ConfigurationsPerHour int      `json:"configurations_per_hour" doc:"The most configurations of numbers in an hour"`
	NumberRequestsPerHour int      `json:"number_requests_per_hour" doc:"The most requests for numbers in an hour"`
	RequestsPerHour       int      `json:"requests_per_hour" doc:"The most requests in an hour with all of the user's API keys together"`
	MinutesPerDay         int      `json:"minutes_per_day" doc:"The most minutes of talk on outbound calls in a day"`
}

// PolicyOf shows a policy.
func PolicyOf(userID string, p account.Policy) Policy {
	return Policy{
		UserID:                userID,
		AllowedCountries:      append([]string{}, p.AllowedCountries...),
		CallsEnabled:          p.CallsEnabled,
		MaxConcurrentCalls:    p.MaxConcurrentCalls,
		AllowedAgents:         append([]string{}, p.AllowedAgents...),
		MaxConcurrentInbound:  p.MaxConcurrentInbound,
		CallsPerHour:          p.CallsPerHour,
		CallsPerDestination:   p.CallsPerDestination,
		ConfigurationsPerHour: p.ConfigurationsPerHour,
		NumberRequestsPerHour: p.NumberRequestsPerHour,
		RequestsPerHour:       p.RequestsPerHour,
		MinutesPerDay:         p.MinutesPerDay,
	}
}

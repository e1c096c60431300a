// Package policy is how the API shows what a user may do with calls.
package policy

import (
	"github.com/krosai/telephony/shared/account"
)

// View is a user's policy. The user id is not part of a path, because those of
// some issuers have characters that paths of this API do not.
type View struct {
	UserID             string   `json:"user_id"`
	AllowedCountries   []string `json:"allowed_countries" doc:"Countries the user may call besides that of the number they call from"`
	CallsEnabled       bool     `json:"calls_enabled"`
	MaxConcurrentCalls int      `json:"max_concurrent_calls" doc:"How many outbound calls the user can have at a time"`
}

// Of shows a policy.
func Of(userID string, p account.Policy) View {
	return View{UserID: userID, AllowedCountries: append([]string{}, p.AllowedCountries...), CallsEnabled: p.CallsEnabled,
		MaxConcurrentCalls: p.MaxConcurrentCalls}
}

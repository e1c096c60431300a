package account

import "time"

// User is a user as administrators see it.
type User struct {
	ID            string
	CallsEnabled  bool
	Numbers       int
	OpenRequests  int // number requests that are pending or approved
	ActiveCalls   int // outbound calls that have not ended
	ActiveInbound int
	CallsThisHour int // outbound calls and transfers begun in this clock hour (UTC)
	LiveKeys      int
}

// CallsSwitch turns the outbound calls of all users on or off. ChangedAt is zero if the switch has
// never been changed.
type CallsSwitch struct {
	Enabled   bool
	Reason    string // why the switch is off; may be empty
	ChangedAt time.Time
	ChangedBy string
}

package account

import "time"

// User is what administrators see of a user.
type User struct {
	ID            string
	CallsEnabled  bool
	Numbers       int
	OpenRequests  int // number requests that are pending or approved
	ActiveCalls   int // outbound calls that have not ended
	ActiveInbound int
	CallsThisHour int // outbound calls and transfers that began in this clock hour (UTC)
	LiveKeys      int
}

// CallsSwitch is the switch of everybody's outbound calls. The zero ChangedAt is a
// switch that nobody has touched.
type CallsSwitch struct {
	Enabled   bool
	Reason    string // of a switch that is off; may be empty
	ChangedAt time.Time
	ChangedBy string
}

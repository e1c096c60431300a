package account

import (
	"math"
	"time"
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

// Seconds is the time from now to the end of the window, in whole seconds, rounded up.
func (l Limit) Seconds(now time.Time) int {
	return max(0, int(math.Ceil(l.Resets.Sub(now).Seconds())))
}

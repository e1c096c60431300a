// Package numberconfig connects a number to a carrier and an agent, and takes the connection away:
// the SIP configuration in LiveKit first, then the number's record. Each change holds the number's
// lease. If the function dies half way, the lease expires, the number shows the status error, and
// the next change continues from what was left behind.
package numberconfig

import (
	"context"
	"crypto/rand"
	"errors"
	"time"

	"github.com/krosai/telephony/shared/invocation"
	"github.com/krosai/telephony/shared/livekit"
	"github.com/krosai/telephony/shared/number"
)

// Numbers leases, saves and releases a user's number. LeaseNumber fails with fault.NotFound for
// another user's number, and with fault.Conflict while another request holds the lease.
// SaveConfiguration gives the lease back, and fails with fault.Conflict if the lease was lost.
type Numbers interface {
	LeaseNumber(ctx context.Context, userID, id, owner string, ttl time.Duration) (number.Number, error)
	SaveConfiguration(ctx context.Context, n number.Number, owner string) error
	ReleaseLease(ctx context.Context, n number.Number, owner string) error
}

// LiveKit reads and changes LiveKit's SIP configuration of a number.
type LiveKit interface {
	SIPConfiguration(ctx context.Context, n number.Number) (livekit.SIPConfiguration, error)
	Apply(ctx context.Context, have livekit.SIPConfiguration, want livekit.Desired) (livekit.SIPConfiguration, error)
	Restore(ctx context.Context, before livekit.SIPConfiguration) (livekit.SIPConfiguration, error)
}

// Configurer changes the configurations of numbers. Calls in progress continue.
type Configurer struct {
	Numbers Numbers
	LiveKit LiveKit
	Now     func() time.Time
}

// The lease outlives the longest request. The work in LiveKit leaves time before the deadline for
// the steps after it: undoing the changes and recording the result.
const (
	leaseTime = time.Minute
	workTime  = 12 * time.Second
	undoTime  = 6 * time.Second
	saveTime  = 3 * time.Second
)

// Longest is how long a change takes at most after its lease, from the start of the work to the
// record of the result.
const Longest = workTime + undoTime + saveTime

// Lease is a number that one request may change.
type Lease struct {
	Number number.Number
	owner  string
}

// Lease takes the lease of a user's number.
func (c *Configurer) Lease(ctx context.Context, userID, id string) (Lease, error) {
	ctx, cancel := invocation.Leave(ctx, saveTime)
	defer cancel()
	l := Lease{owner: rand.Text()}
	var err error
	l.Number, err = c.Numbers.LeaseNumber(ctx, userID, id, l.owner, leaseTime)
	return l, err
}

// Release gives the lease back when nothing was changed, and returns cause.
func (c *Configurer) Release(ctx context.Context, l Lease, cause error) error {
	ctx, cancel := invocation.Finish(ctx, saveTime)
	defer cancel()
	return errors.Join(cause, c.Numbers.ReleaseLease(ctx, l.Number, l.owner))
}

// save records the result of a change and gives the lease back.
func (c *Configurer) save(ctx context.Context, l Lease, after number.Number) error {
	ctx, cancel := invocation.Finish(ctx, saveTime)
	defer cancel()
	return c.Numbers.SaveConfiguration(ctx, after, l.owner)
}

// Package unwire removes a number's SIP configuration, first in LiveKit and then in the record. It
// is used when a user removes a configuration and when an administrator releases a number.
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
// SaveConfiguration gives the lease back.
type Numbers interface {
	LeaseNumber(ctx context.Context, userID, id, owner string, ttl time.Duration) (number.Number, error)
	SaveConfiguration(ctx context.Context, n number.Number, owner string) error
	ReleaseNumber(ctx context.Context, n number.Number, owner string) error
}

// LiveKit reads and changes LiveKit's SIP configuration of a number.
type LiveKit interface {
	SIPConfiguration(ctx context.Context, n number.Number) (livekit.SIPConfiguration, error)
	Apply(ctx context.Context, have livekit.SIPConfiguration, want livekit.Desired) (livekit.SIPConfiguration, error)
}

// Remover removes configurations. Calls in progress continue.
type Remover struct {
	Numbers Numbers
	LiveKit LiveKit
	Now     func() time.Time
}

// The parts that Remove can remove.
const (
	Trunk = "sip_trunk"
	Rule  = "dispatch_rule"
	All   = "all"
)

// The lease outlives the longest request. The work ends saveTime before the deadline, so that its
// result can still be recorded.
const (
	leaseTime = time.Minute
	workTime  = 18 * time.Second
	saveTime  = 5 * time.Second
)

// Longest is the longest time that a removal may take.
const Longest = workTime + saveTime

// Remove removes the Trunk, the Rule or All of a user's number. It returns the number as it is now,
// and which of dispatch_rule, inbound_trunk and outbound_trunk existed. It may be repeated: a
// missing part is no error, and objects that an interrupted request left behind are deleted too. If
// LiveKit fails half way, the number is marked as broken, and another removal goes on from there.
// The errors are those of Numbers and LiveKit.
func (u *Remover) Remove(ctx context.Context, userID, id, what string) (after number.Number, removed []string, err error) {
	owner := rand.Text()
	n, err := u.Numbers.LeaseNumber(ctx, userID, id, owner, leaseTime)
	if err != nil {
		return n, nil, err
	}
	work, cancel := invocation.Leave(ctx, saveTime)
	defer cancel()
	work, cancel = context.WithTimeout(work, workTime)
	defer cancel()
	have, err := u.LiveKit.SIPConfiguration(work, n)
	if err != nil {
		save, cancel := invocation.Finish(ctx, saveTime)
		defer cancel()
		return n, nil, errors.Join(err, u.Numbers.ReleaseNumber(save, n, owner))
	}
	after, want, removed := plan(n, have, what)
	_, err = u.LiveKit.Apply(work, have, want)
	if err != nil {
		after = n
		after.Fault = true
	}
	after.UpdatedAt = u.Now()
	save, cancel := invocation.Finish(ctx, saveTime)
	defer cancel()
	return after, removed, errors.Join(err, u.Numbers.SaveConfiguration(save, after, owner))
}

// plan returns the number after the removal, the desired state of LiveKit, and the parts that
// are removed.
func plan(n number.Number, have livekit.SIPConfiguration, what string) (after number.Number, want livekit.Desired, removed []string) {
	after, removed = n, []string{}
	if what != Trunk {
		if n.Rule != nil || have.RuleID() != "" {
			removed = append(removed, "dispatch_rule")
		}
		after.Rule = nil
	}
	if what != Rule {
		if have.InboundID() != "" || n.Trunk != nil && n.Trunk.InboundID != "" {
			removed = append(removed, "inbound_trunk")
		}
		if have.OutboundID() != "" || n.CanCall() {
			removed = append(removed, "outbound_trunk")
		}
		after.Trunk, want.Trunks = nil, &livekit.Trunks{}
		if n.Rule != nil && after.Rule != nil { // the rule waits for the next trunk
			rule := *n.Rule
			rule.ID = ""
			after.Rule = &rule
		}
	}
	after.Fault = n.Fault && what != All // after All nothing is left that could be broken
	return after, want, removed
}

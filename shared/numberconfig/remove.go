package numberconfig

import (
	"context"
	"errors"

	"github.com/krosai/telephony/shared/invocation"
	"github.com/krosai/telephony/shared/livekit"
	"github.com/krosai/telephony/shared/number"
)

// The parts that Remove can remove.
const (
	Trunk = "sip_trunk"
	Rule  = "dispatch_rule"
	All   = "all"
)

// Remove removes the Trunk, the Rule or All of a user's number. It returns the number as it is now,
// and which of dispatch_rule, inbound_trunk and outbound_trunk existed. It may be repeated: a
// missing part is no error, and objects that an interrupted request left behind are deleted too. If
// LiveKit fails half way, the number is marked as broken, and another removal goes on from there.
// The errors are those of Numbers and LiveKit.
func (c *Configurer) Remove(ctx context.Context, userID, id, part string) (after number.Number, removed []string, err error) {
	l, err := c.Lease(ctx, userID, id)
	n := l.Number
	if err != nil {
		return n, nil, err
	}
	work, cancel := invocation.Leave(ctx, saveTime)
	defer cancel()
	work, cancel = context.WithTimeout(work, workTime+undoTime) // nothing is undone
	defer cancel()
	have, err := c.LiveKit.SIPConfiguration(work, n)
	if err != nil {
		return n, nil, c.Release(ctx, l, err)
	}
	after, want, removed := plan(n, have, part)
	_, err = c.LiveKit.Apply(work, have, want)
	if err != nil {
		after = n
		after.Fault = true
	}
	after.UpdatedAt = c.Now()
	return after, removed, errors.Join(err, c.save(ctx, l, after))
}

// plan returns the number after the removal, the desired state of LiveKit, and the parts that
// are removed.
func plan(n number.Number, have livekit.SIPConfiguration, part string) (after number.Number, want livekit.Desired, removed []string) {
	after, removed = n, []string{}
	if part != Trunk {
		if n.Rule != nil || have.RuleID() != "" {
			removed = append(removed, "dispatch_rule")
		}
		after.Rule = nil
	}
	if part != Rule {
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
	after.Fault = n.Fault && part != All // after All nothing is left that could be broken
	return after, want, removed
}

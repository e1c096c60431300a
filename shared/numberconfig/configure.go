package numberconfig

import (
	"context"
	"errors"

	"github.com/krosai/telephony/shared/invocation"
	"github.com/krosai/telephony/shared/livekit"
	"github.com/krosai/telephony/shared/number"
)

// Change is a new configuration of a number.
type Change struct {
	// Merge returns the number as it is to become, without LiveKit's ids. It refuses what cannot
	// be.
	Merge func(ctx context.Context, before number.Number) (after number.Number, err error)

	// Desired returns what LiveKit is to hold, and completes after. It refuses what does not fit
	// the configuration that LiveKit has.
	Desired func(before number.Number, after *number.Number, have livekit.SIPConfiguration) (livekit.Desired, error)
}

// Configure applies a change as a whole or not at all, gives the lease back, and returns the number
// as it is now. It changes nothing before Merge and Desired have accepted the change. If LiveKit
// fails, Configure restores the configuration that LiveKit had.
func (c *Configurer) Configure(ctx context.Context, l Lease, change Change) (number.Number, error) {
	n := l.Number
	work, cancel := invocation.Leave(ctx, undoTime+saveTime)
	defer cancel()
	work, cancel = context.WithTimeout(work, workTime)
	defer cancel()
	after, err := change.Merge(work, n)
	if err != nil {
		return n, c.Release(ctx, l, err)
	}
	have, err := c.LiveKit.SIPConfiguration(work, n)
	if err != nil {
		return n, c.Release(ctx, l, err)
	}
	want, err := change.Desired(n, &after, have)
	if err != nil {
		return n, c.Release(ctx, l, err)
	}
	done, err := c.LiveKit.Apply(work, have, want)
	if err != nil {
		return n, c.undo(ctx, l, have, err)
	}
	setIDs(&after, done)
	after.Fault, after.UpdatedAt = false, c.Now()
	return after, c.save(ctx, l, after)
}

// undo restores the configuration that LiveKit had, records the restored ids, and returns cause. If
// LiveKit cannot be restored, undo marks the number as broken, and the next Configure repairs it.
func (c *Configurer) undo(ctx context.Context, l Lease, before livekit.SIPConfiguration, cause error) error {
	undoing, cancel := invocation.Leave(ctx, saveTime)
	defer cancel()
	undoing, cancel = invocation.Finish(undoing, undoTime)
	defer cancel()
	n := l.Number
	restored, err := c.LiveKit.Restore(undoing, before)
	if err != nil {
		n.Fault = true
	} else {
		setIDs(&n, restored)
	}
	return errors.Join(cause, err, c.save(ctx, l, n))
}

// setIDs records LiveKit's ids.
func setIDs(n *number.Number, have livekit.SIPConfiguration) {
	if n.Trunk != nil {
		trunk := *n.Trunk
		trunk.OutboundID, trunk.InboundID = have.OutboundID(), have.InboundID()
		n.Trunk = &trunk
	}
	if n.Rule != nil {
		rule := *n.Rule
		rule.ID = have.RuleID()
		n.Rule = &rule
	}
}

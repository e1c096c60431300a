package livekit

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/livekit/protocol/livekit"
	"google.golang.org/protobuf/proto"
)

// reconcile changes LiveKit from have to want in an order that never leaves a rule without its
// trunk. It removes duplicates first, because a duplicate inbound trunk would make LiveKit refuse
// the change. Then it saves the trunks and the rule. Then it removes unwanted objects, the rule
// before the trunks.
func (c *Client) reconcile(ctx context.Context, have, want SIPConfiguration) (SIPConfiguration, error) {
	done := SIPConfiguration{number: have.number}
	if err := c.removeDuplicates(ctx, have); err != nil {
		return done, err
	}
	if len(want.outbound) > 0 {
		o, err := c.saveOutbound(ctx, first(have.outbound), want.outbound[0])
		if err != nil {
			return done, err
		}
		done.outbound = []*livekit.SIPOutboundTrunkInfo{o}
	}
	if len(want.inbound) > 0 {
		i, err := c.saveInbound(ctx, first(have.inbound), want.inbound[0])
		if err != nil {
			return done, err
		}
		done.inbound = []*livekit.SIPInboundTrunkInfo{i}
	}
	if len(want.rules) > 0 && len(want.inbound) > 0 {
		r, err := c.saveRule(ctx, first(have.rules), want.rules[0], done.InboundID())
		if err != nil {
			return done, err
		}
		done.rules = []*livekit.SIPDispatchRuleInfo{r}
	}
	return done, c.removeOthers(ctx, have, done)
}

func first[T any](list []*T) *T {
	if len(list) == 0 {
		return nil
	}
	return list[0]
}

func (c *Client) removeDuplicates(ctx context.Context, have SIPConfiguration) error {
	for _, r := range have.rules[min(1, len(have.rules)):] {
		if err := c.deleteRule(ctx, r.SipDispatchRuleId); err != nil {
			return err
		}
	}
	for _, t := range have.inbound[min(1, len(have.inbound)):] {
		if err := c.deleteTrunk(ctx, t.SipTrunkId); err != nil {
			return err
		}
	}
	for _, t := range have.outbound[min(1, len(have.outbound)):] {
		if err := c.deleteTrunk(ctx, t.SipTrunkId); err != nil {
			return err
		}
	}
	return nil
}

func (c *Client) removeOthers(ctx context.Context, have, done SIPConfiguration) error {
	if id := have.RuleID(); id != "" && id != done.RuleID() {
		if err := c.deleteRule(ctx, id); err != nil {
			return err
		}
	}
	if id := have.InboundID(); id != "" && id != done.InboundID() {
		if err := c.deleteTrunk(ctx, id); err != nil {
			return err
		}
	}
	if id := have.OutboundID(); id != "" && id != done.OutboundID() {
		return c.deleteTrunk(ctx, id)
	}
	return nil
}

// saveOutbound creates the trunk or changes the fields that differ. The fields that this platform
// does not set stay unchanged.
func (c *Client) saveOutbound(ctx context.Context, have, want *livekit.SIPOutboundTrunkInfo) (*livekit.SIPOutboundTrunkInfo, error) {
	if have == nil {
		trunk := proto.CloneOf(want)
		trunk.SipTrunkId = ""
		made, err := send(ctx, c.sip.CreateSIPOutboundTrunk, &livekit.CreateSIPOutboundTrunkRequest{Trunk: trunk})
		if err != nil {
			return nil, fmt.Errorf("create outbound trunk: %w", err)
		}
		return made, nil
	}
	update := &livekit.SIPOutboundTrunkUpdate{
		Name:               changed(have.Name, want.Name),
		Metadata:           changed(have.Metadata, want.Metadata),
		Address:            changed(have.Address, want.Address),
		DestinationCountry: changed(have.DestinationCountry, want.DestinationCountry),
		AuthUsername:       changed(have.AuthUsername, want.AuthUsername),
		AuthPassword:       changed(have.AuthPassword, want.AuthPassword),
		Transport:          changed(have.Transport, want.Transport),
		Numbers:            changedList(have.Numbers, want.Numbers),
	}
	if proto.Equal(update, &livekit.SIPOutboundTrunkUpdate{}) {
		return have, nil
	}
	saved, err := send(ctx, c.sip.UpdateSIPOutboundTrunk, &livekit.UpdateSIPOutboundTrunkRequest{
		SipTrunkId: have.SipTrunkId, Action: &livekit.UpdateSIPOutboundTrunkRequest_Update{Update: update}})
	if err != nil {
		return nil, fmt.Errorf("update outbound trunk: %w", err)
	}
	return saved, nil
}

func (c *Client) saveInbound(ctx context.Context, have, want *livekit.SIPInboundTrunkInfo) (*livekit.SIPInboundTrunkInfo, error) {
	if have == nil {
		trunk := proto.CloneOf(want)
		trunk.SipTrunkId = ""
		made, err := send(ctx, c.sip.CreateSIPInboundTrunk, &livekit.CreateSIPInboundTrunkRequest{Trunk: trunk})
		if err != nil {
			return nil, fmt.Errorf("create inbound trunk: %w", err)
		}
		return made, nil
	}
	if have.MaxCallDuration.AsDuration() != want.MaxCallDuration.AsDuration() {
		return c.replaceInbound(ctx, have, want)
	}
	update := &livekit.SIPInboundTrunkUpdate{
		Name:             changed(have.Name, want.Name),
		Metadata:         changed(have.Metadata, want.Metadata),
		AuthUsername:     changed(have.AuthUsername, want.AuthUsername),
		AuthPassword:     changed(have.AuthPassword, want.AuthPassword),
		Numbers:          changedList(have.Numbers, want.Numbers),
		AllowedAddresses: changedList(have.AllowedAddresses, want.AllowedAddresses),
	}
	if proto.Equal(update, &livekit.SIPInboundTrunkUpdate{}) {
		return have, nil
	}
	saved, err := send(ctx, c.sip.UpdateSIPInboundTrunk, &livekit.UpdateSIPInboundTrunkRequest{
		SipTrunkId: have.SipTrunkId, Action: &livekit.UpdateSIPInboundTrunkRequest_Update{Update: update}})
	if err != nil {
		return nil, fmt.Errorf("update inbound trunk: %w", err)
	}
	return saved, nil
}

// replaceInbound replaces the whole trunk, because LiveKit's update of single fields has no maximum
// call duration. The fields that this platform does not set stay unchanged.
func (c *Client) replaceInbound(ctx context.Context, have, want *livekit.SIPInboundTrunkInfo) (*livekit.SIPInboundTrunkInfo, error) {
	whole := proto.CloneOf(have)
	whole.Name, whole.Metadata, whole.Numbers, whole.AllowedAddresses = want.Name, want.Metadata, want.Numbers, want.AllowedAddresses
	whole.AuthUsername, whole.AuthPassword = want.AuthUsername, want.AuthPassword
	whole.RingingTimeout, whole.MaxCallDuration = want.RingingTimeout, want.MaxCallDuration
	saved, err := send(ctx, c.sip.UpdateSIPInboundTrunk, &livekit.UpdateSIPInboundTrunkRequest{
		SipTrunkId: have.SipTrunkId, Action: &livekit.UpdateSIPInboundTrunkRequest_Replace{Replace: whole}})
	if err != nil {
		return nil, fmt.Errorf("replace inbound trunk: %w", err)
	}
	return saved, nil
}

// saveRule creates the rule or replaces it as a whole: a rule holds no secret, and LiveKit's update
// of single fields cannot change its agent. The rule names exactly the number's own trunk, because
// a rule without trunks takes the calls of the whole project.
func (c *Client) saveRule(ctx context.Context, have, want *livekit.SIPDispatchRuleInfo, trunkID string) (*livekit.SIPDispatchRuleInfo, error) {
	if trunkID == "" {
		return nil, errors.New("dispatch rule without an inbound trunk")
	}
	rule := proto.CloneOf(want)
	rule.TrunkIds = []string{trunkID}
	rule.SipDispatchRuleId = ""
	if have == nil {
		made, err := send(ctx, c.sip.CreateSIPDispatchRule, &livekit.CreateSIPDispatchRuleRequest{DispatchRule: rule})
		if err != nil {
			return nil, fmt.Errorf("create dispatch rule: %w", err)
		}
		return made, nil
	}
	if sameRule(have, rule) {
		return have, nil
	}
	saved, err := send(ctx, c.sip.UpdateSIPDispatchRule, &livekit.UpdateSIPDispatchRuleRequest{
		SipDispatchRuleId: have.SipDispatchRuleId, Action: &livekit.UpdateSIPDispatchRuleRequest_Replace{Replace: rule}})
	if err != nil {
		return nil, fmt.Errorf("replace dispatch rule: %w", err)
	}
	return saved, nil
}

// sameRule compares the fields that this platform sets.
func sameRule(a, b *livekit.SIPDispatchRuleInfo) bool {
	return a.Name == b.Name && a.Metadata == b.Metadata &&
		slices.Equal(a.TrunkIds, b.TrunkIds) && slices.Equal(a.Numbers, b.Numbers) && slices.Equal(a.InboundNumbers, b.InboundNumbers) &&
		proto.Equal(a.Rule, b.Rule) && a.RoomConfig.GetDepartureTimeout() == b.RoomConfig.GetDepartureTimeout() &&
		slices.EqualFunc(a.RoomConfig.GetAgents(), b.RoomConfig.GetAgents(),
			func(x, y *livekit.RoomAgentDispatch) bool { return x.AgentName == y.AgentName })
}

func changed[T comparable](have, want T) *T {
	if have == want {
		return nil
	}
	return &want
}

func changedList(have, want []string) *livekit.ListUpdate {
	if slices.Equal(have, want) {
		return nil
	}
	if len(want) == 0 {
		return &livekit.ListUpdate{Clear: true}
	}
	return &livekit.ListUpdate{Set: want}
}

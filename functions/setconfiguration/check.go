package setconfiguration

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/krosai/telephony/shared/fault"
	"github.com/krosai/telephony/shared/livekit"
	"github.com/krosai/telephony/shared/number"
	"github.com/krosai/telephony/shared/secret"
	"github.com/krosai/telephony/shared/validate"
)

// check refuses what is invalid for every number.
func (e *Endpoint) check(ctx context.Context, b Body) error {
	if b.Trunk == nil && b.Rule == nil {
		return fault.InvalidField("body", "required", "give sip_trunk, dispatch_rule or both")
	}
	if b.Trunk != nil {
		if err := e.checkTrunk(b.Trunk); err != nil {
			return err
		}
	}
	if b.Rule != nil {
		if err := checkRule(b.Rule); err != nil {
			return err
		}
	}
	if b.Trunk != nil && b.Trunk.Address != "" { // last, because it queries name servers
		return e.Carriers.Check(ctx, "sip_trunk.address", b.Trunk.Address)
	}
	return nil
}

func checkRule(r *DispatchRuleSettings) error {
	if err := validate.Name("dispatch_rule.rule_name", r.RuleName); err != nil {
		return err
	}
	if err := validate.RoomPrefix("dispatch_rule.room_prefix", r.RoomPrefix); err != nil {
		return err
	}
	return validate.AgentName("dispatch_rule.agent_name", r.AgentName)
}

func (e *Endpoint) checkTrunk(t *TrunkSettings) error {
	if err := validate.Name("sip_trunk.name", t.Name); err != nil {
		return err
	}
	for i, a := range t.AllowedAddresses {
		if err := validate.AllowedAddress(fmt.Sprintf("sip_trunk.allowed_addresses[%d]", i), a, e.AllowLoopback); err != nil {
			return err
		}
	}
	return checkAuth(t)
}

func checkAuth(t *TrunkSettings) error {
	if t.AuthUsername == "" {
		if !t.AuthPassword.IsZero() {
			return fault.InvalidField("sip_trunk.auth_username", "required", "a password needs a user name")
		}
		return nil
	}
	if err := validate.Username("sip_trunk.auth_username", t.AuthUsername); err != nil {
		return err
	}
	if t.AuthPassword.IsZero() {
		return nil // keepPassword decides
	}
	return validate.Password("sip_trunk.auth_password", t.AuthPassword.Reveal())
}

// merge returns the number with the configuration of b, but without LiveKit's ids and the password.
func (e *Endpoint) merge(ctx context.Context, n number.Number, b Body) (number.Number, error) {
	if b.Rule != nil {
		n.Rule = &number.Rule{Name: b.Rule.RuleName, RoomPrefix: b.Rule.RoomPrefix, AgentName: b.Rule.AgentName,
			MaxConcurrent: b.Rule.MaxConcurrent, MaxDuration: b.Rule.MaxDuration}
	}
	if b.Trunk == nil {
		if n.Fault && n.Trunk != nil {
			return n, fault.New(fault.Conflict, "CONFLICT", "the last configuration stopped half way: send sip_trunk as well, with its password")
		}
		return n, nil
	}
	directions, err := directionsOf(n, b.Trunk)
	if err != nil {
		return n, err
	}
	numbers, err := e.numbersOf(ctx, n, b.Trunk)
	if err != nil {
		return n, err
	}
	n.Trunk = &number.Trunk{Name: b.Trunk.Name, Address: strings.ToLower(b.Trunk.Address), Numbers: numbers, AuthUsername: b.Trunk.AuthUsername,
		DestinationCountry: b.Trunk.DestinationCountry, Transport: cmp.Or(b.Trunk.Transport, "auto"), Directions: directions,
		AllowedAddresses: b.Trunk.AllowedAddresses}
	return n, nil
}

// directionsOf returns the directions that t asks for. It refuses a direction that the number is
// not capable of, or that t lacks the settings for.
func directionsOf(n number.Number, t *TrunkSettings) ([]string, error) {
	var directions []string
	for _, d := range []string{"outbound", "inbound"} {
		asked := len(t.Directions) == 0 || slices.Contains(t.Directions, d)
		able := slices.Contains(n.Capabilities, d)
		if asked && !able && len(t.Directions) > 0 {
			return nil, fault.InvalidField("sip_trunk.directions", "not_capable", "the number is not capable of "+d+" calls")
		}
		if asked && able {
			directions = append(directions, d)
		}
	}
	switch {
	case len(directions) == 0:
		return nil, fault.InvalidField("sip_trunk.directions", "not_capable", "the number is not capable of calls")
	case t.Address == "" && slices.Contains(directions, "outbound"):
		return nil, fault.InvalidField("sip_trunk.address", "required", "outbound calls need the carrier's address")
	case len(t.AllowedAddresses) == 0 && t.AuthUsername == "" && slices.Contains(directions, "inbound"):
		return nil, fault.InvalidField("sip_trunk.allowed_addresses", "required",
			`inbound calls need allowed_addresses, or auth_username and auth_password; directions ["outbound"] takes no calls in`)
	}
	return directions, nil
}

// numbersOf returns the caller ids that t asks for, if all of them are the user's.
func (e *Endpoint) numbersOf(ctx context.Context, n number.Number, t *TrunkSettings) ([]string, error) {
	if len(t.Numbers) == 0 {
		return []string{n.E164}, nil
	}
	if !slices.Contains(t.Numbers, n.E164) {
		return nil, fault.InvalidField("sip_trunk.numbers", "incomplete", "must contain the number that is configured")
	}
	numbers := slices.Clone(t.Numbers)
	slices.Sort(numbers)
	numbers = slices.Compact(numbers)
	for _, e164 := range numbers {
		if e164 == n.E164 {
			continue
		}
		_, err := e.Numbers.Number(ctx, n.UserID, number.ID(e164))
		if fault.Is(err, fault.NotFound) {
			return nil, fault.InvalidField("sip_trunk.numbers", "not_yours", "must be numbers of yours")
		}
		if err != nil {
			return nil, err
		}
	}
	return numbers, nil
}

// keepPassword decides whether the trunk has a password. A password that is left out is kept only
// if LiveKit holds it for the same address. Otherwise a changed address would send proof of the
// password to another host.
func keepPassword(before number.Number, after *number.Number, b Body, have livekit.SIPConfiguration) error {
	if b.Trunk == nil {
		return stillThere(before, have)
	}
	if b.Trunk.AuthUsername == "" || !authenticates(after.Trunk) {
		return nil
	}
	after.Trunk.HasAuthPassword = true
	if !b.Trunk.AuthPassword.IsZero() {
		return nil
	}
	same := before.Trunk != nil && strings.EqualFold(before.Trunk.Address, after.Trunk.Address) &&
		(have.OutboundID() == "" || strings.EqualFold(have.OutboundAddress(), after.Trunk.Address))
	if !same || !have.HasPassword() {
		return fault.InvalidField("sip_trunk.auth_password", "required", "none is set for this address")
	}
	return nil
}

// stillThere refuses to attach a rule to trunks that no longer exist in LiveKit.
func stillThere(n number.Number, have livekit.SIPConfiguration) error {
	if n.Trunk.Has("outbound") && have.OutboundID() == "" || n.Trunk.Has("inbound") && have.InboundID() == "" {
		return fault.New(fault.Conflict, "CONFLICT", "the number's trunk has gone from LiveKit: send sip_trunk as well, with its password")
	}
	return nil
}

// desired is the desired state of the number in LiveKit.
func desired(n number.Number, b Body) livekit.Desired {
	var w livekit.Desired
	if n.Rule != nil {
		w.Rule = &livekit.DispatchRule{Name: n.Rule.Name, RoomPrefix: number.RoomPrefix(n.UserID, n.Rule.RoomPrefix), AgentName: n.Rule.AgentName,
			MaxDuration: time.Duration(n.Rule.InboundSeconds()) * time.Second}
	}
	t := n.Trunk
	if b.Trunk == nil && t != nil {
		return w // the trunks stay as they are
	}
	w.Trunks = &livekit.Trunks{}
	if t.Has("outbound") {
		w.Trunks.Outbound = &livekit.OutboundTrunk{Name: t.Name, Address: t.Address, Transport: t.Transport, Country: t.DestinationCountry,
			Numbers: t.Numbers, Auth: livekit.Auth{Username: t.AuthUsername, Password: b.Trunk.AuthPassword}}
	}
	if t.Has("inbound") {
		w.Trunks.Inbound = &livekit.InboundTrunk{Name: t.Name, AllowedAddresses: t.AllowedAddresses, Auth: inboundAuth(t, b.Trunk.AuthPassword)}
	}
	return w
}

// authenticates reports whether the trunk uses credentials. Outbound calls authenticate to the
// carrier with them. Callers are asked for them only if no allowed addresses are set, because
// carriers that are known by their addresses do not authenticate.
func authenticates(t *number.Trunk) bool {
	return t.Has("outbound") || len(t.AllowedAddresses) == 0
}

func inboundAuth(t *number.Trunk, password secret.Secret) livekit.Auth {
	if len(t.AllowedAddresses) > 0 {
		return livekit.Auth{}
	}
	return livekit.Auth{Username: t.AuthUsername, Password: password}
}

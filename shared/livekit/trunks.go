package livekit

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"time"

	"github.com/livekit/protocol/livekit"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/krosai/telephony/shared/fault"
	"github.com/krosai/telephony/shared/number"
	"github.com/krosai/telephony/shared/secret"
)

// Desired is the desired state of LiveKit for a number: its trunks (nil leaves them unchanged) and
// its rule (nil for no rule). A rule needs the inbound trunk and does not exist without it.
type Desired struct {
	Trunks *Trunks
	Rule   *DispatchRule
}

// Trunks are the two trunks of a number. A nil trunk must not exist.
type Trunks struct {
	Outbound *OutboundTrunk
	Inbound  *InboundTrunk
}

// Auth is a digest credential. A Username without a Password keeps the password
// that LiveKit holds for the number.
type Auth struct {
	Username string
	Password secret.Secret
}

// OutboundTrunk carries outbound calls to the carrier at Address.
type OutboundTrunk struct {
	Name      string
	Address   string   // host or host:port
	Transport string   // auto, udp, tcp or tls
	Country   string   // ISO 3166-1 alpha-2, may be empty; selects the LiveKit region that dials
	Numbers   []string // the caller ids it may show, E.164
	Auth      Auth
}

// InboundTrunk accepts calls to the number from AllowedAddresses (IP or CIDR) or from callers that
// know Auth. At least one of the two is set.
type InboundTrunk struct {
	Name             string
	AllowedAddresses []string
	Auth             Auth
}

// asks reports whether the trunk turns strangers away. LiveKit ignores entries that are neither an
// address nor a network. A trunk without any other entry and without credentials admits everybody.
// Therefore a trunk with such an entry is never accepted.
func (t *InboundTrunk) asks() bool {
	for _, a := range t.AllowedAddresses {
		_, notAddress := netip.ParseAddr(a)
		_, notNetwork := netip.ParsePrefix(a)
		if notAddress != nil && notNetwork != nil {
			return false
		}
	}
	return len(t.AllowedAddresses) > 0 || t.Auth.Username != ""
}

// DispatchRule puts each inbound call of the number into a room of its own and dispatches the agent
// to it.
type DispatchRule struct {
	Name        string
	RoomPrefix  string // as LiveKit gets it, including the owner's namespace
	AgentName   string
	MaxDuration time.Duration // of a call; LiveKit keeps it on the trunk
}

// inboundRinging is how long an inbound call may ring. It is set on every inbound trunk. The caller
// hears ringing, then gets 486.
const inboundRinging = 30 * time.Second

// inboundMaximum is how long an inbound call may last. It is set on every inbound trunk.
func (want Desired) inboundMaximum() time.Duration {
	if want.Rule == nil || want.Rule.MaxDuration == 0 {
		return number.LongestInbound * time.Second
	}
	return want.Rule.MaxDuration
}

// SIPConfiguration is LiveKit's SIP configuration for one number: the trunks and rules whose
// metadata carries the number's id, including those that an interrupted request left behind. It
// holds passwords and therefore prints ids only.
type SIPConfiguration struct {
	number   number.Number
	outbound []*livekit.SIPOutboundTrunkInfo
	inbound  []*livekit.SIPInboundTrunkInfo
	rules    []*livekit.SIPDispatchRuleInfo
}

// OutboundID is the id of the number's outbound trunk, "" without one.
func (w SIPConfiguration) OutboundID() string {
	if len(w.outbound) == 0 {
		return ""
	}
	return w.outbound[0].SipTrunkId
}

// InboundID is the id of the number's inbound trunk, "" without one.
func (w SIPConfiguration) InboundID() string {
	if len(w.inbound) == 0 {
		return ""
	}
	return w.inbound[0].SipTrunkId
}

// RuleID is the id of the number's dispatch rule, "" without one.
func (w SIPConfiguration) RuleID() string {
	if len(w.rules) == 0 {
		return ""
	}
	return w.rules[0].SipDispatchRuleId
}

// OutboundAddress is the carrier's address on the outbound trunk, "" without one.
func (w SIPConfiguration) OutboundAddress() string {
	if len(w.outbound) == 0 {
		return ""
	}
	return w.outbound[0].Address
}

// HasPassword reports whether LiveKit holds a password for the number.
func (w SIPConfiguration) HasPassword() bool { return w.password() != "" }

func (w SIPConfiguration) password() string {
	for _, t := range w.outbound {
		if t.AuthPassword != "" {
			return t.AuthPassword
		}
	}
	for _, t := range w.inbound {
		if t.AuthPassword != "" {
			return t.AuthPassword
		}
	}
	return ""
}

func (w SIPConfiguration) String() string {
	return fmt.Sprintf("outbound %q inbound %q rule %q", w.OutboundID(), w.InboundID(), w.RuleID())
}

// GoString keeps %#v from showing passwords.
func (w SIPConfiguration) GoString() string { return w.String() }

// LogValue keeps logs from showing passwords.
func (w SIPConfiguration) LogValue() slog.Value { return slog.StringValue(w.String()) }

// MarshalJSON keeps encoders from showing passwords.
func (w SIPConfiguration) MarshalJSON() ([]byte, error) { return json.Marshal(w.String()) }

// tag is the metadata that marks an object as belonging to a number.
type tag struct {
	NumberID string `json:"kros_number_id"`
	Owner    string `json:"owner"`
}

func tagOf(n number.Number) string {
	b, _ := json.Marshal(tag{NumberID: n.ID, Owner: n.UserID}) // two strings: cannot fail
	return string(b)
}

func tagged(metadata string, n number.Number) bool {
	var t tag
	return json.Unmarshal([]byte(metadata), &t) == nil && t.NumberID == n.ID
}

// SIPConfiguration reads LiveKit's SIP configuration for a number, in two to four requests. If
// there are several objects of a kind, the one whose id the number knows comes first.
func (c *Client) SIPConfiguration(ctx context.Context, n number.Number) (SIPConfiguration, error) {
	w := SIPConfiguration{number: n}
	var known number.Trunk
	if n.Trunk != nil {
		known = *n.Trunk
	}
	out, err := send(ctx, c.sip.ListSIPOutboundTrunk, &livekit.ListSIPOutboundTrunkRequest{Numbers: []string{n.E164}})
	if err != nil {
		return w, fmt.Errorf("list outbound trunks: %w", err)
	}
	for _, t := range out.GetItems() {
		if t != nil && tagged(t.Metadata, n) {
			w.outbound = keepFirst(w.outbound, t, t.SipTrunkId == known.OutboundID)
		}
	}
	in, err := send(ctx, c.sip.ListSIPInboundTrunk, &livekit.ListSIPInboundTrunkRequest{Numbers: []string{n.E164}})
	if err != nil {
		return w, fmt.Errorf("list inbound trunks: %w", err)
	}
	for _, t := range in.GetItems() {
		if t != nil && tagged(t.Metadata, n) {
			w.inbound = keepFirst(w.inbound, t, t.SipTrunkId == known.InboundID)
		}
	}
	w.rules, err = c.rulesOf(ctx, n, w.inbound)
	return w, err
}

// rulesOf finds a number's rules through its inbound trunks. If the rule whose id the number knows
// is not among them, for example because its trunk has gone, rulesOf looks it up by its id.
func (c *Client) rulesOf(ctx context.Context, n number.Number, trunks []*livekit.SIPInboundTrunkInfo) ([]*livekit.SIPDispatchRuleInfo, error) {
	var rules []*livekit.SIPDispatchRuleInfo
	list := func(request *livekit.ListSIPDispatchRuleRequest) error {
		answer, err := send(ctx, c.sip.ListSIPDispatchRule, request)
		if err != nil {
			return fmt.Errorf("list dispatch rules: %w", err)
		}
		for _, r := range answer.GetItems() {
			if r != nil && tagged(r.Metadata, n) {
				rules = keepFirst(rules, r, n.Rule != nil && r.SipDispatchRuleId == n.Rule.ID)
			}
		}
		return nil
	}
	if len(trunks) > 0 {
		ids := make([]string, 0, len(trunks))
		for _, t := range trunks {
			ids = append(ids, t.SipTrunkId)
		}
		if err := list(&livekit.ListSIPDispatchRuleRequest{TrunkIds: ids}); err != nil {
			return nil, err
		}
	}
	lost := n.Rule != nil && n.Rule.ID != "" && !slices.ContainsFunc(rules, func(r *livekit.SIPDispatchRuleInfo) bool {
		return r.SipDispatchRuleId == n.Rule.ID
	})
	if lost {
		if err := list(&livekit.ListSIPDispatchRuleRequest{DispatchRuleIds: []string{n.Rule.ID}}); err != nil {
			return nil, err
		}
	}
	return rules, nil
}

func keepFirst[T any](list []T, item T, first bool) []T {
	if first {
		return slices.Insert(list, 0, item)
	}
	return append(list, item)
}

// Apply makes LiveKit hold exactly the desired state of the number. have is the state that
// SIPConfiguration read. Apply deletes duplicates, changes existing objects in place (calls in
// progress are not affected), creates missing objects and deletes unwanted ones. It sends nothing
// for parts that are already right. After an error some changes may have been made. Restore reverts
// them. The caller must hold the number's lease, because two changes of one number must not run at
// the same time.
func (c *Client) Apply(ctx context.Context, have SIPConfiguration, want Desired) (SIPConfiguration, error) {
	if t := want.Trunks; t != nil && t.Inbound != nil && !t.Inbound.asks() {
		return have, fault.InvalidField("sip_trunk.allowed_addresses", "malformed", "an inbound trunk must ask for an address or a password")
	}
	done, err := c.reconcile(ctx, have, have.target(want))
	if fault.Is(err, fault.NotFound) { // an object was deleted meanwhile
		err = fault.Unavailable("LiveKit", err)
	}
	return done, err
}

// Restore returns LiveKit to the state that it held for the number before. Objects that had been
// deleted come back under new ids.
func (c *Client) Restore(ctx context.Context, before SIPConfiguration) (SIPConfiguration, error) {
	have, err := c.SIPConfiguration(ctx, before.number)
	if err != nil {
		return before, err
	}
	return c.reconcile(ctx, have, before)
}

// target converts the desired state into LiveKit's objects. Trunks that stay unchanged keep their
// ids, all other objects have none.
func (w SIPConfiguration) target(want Desired) SIPConfiguration {
	n := w.number
	t := SIPConfiguration{number: n}
	password := func(a Auth) string {
		if a.Username == "" {
			return ""
		}
		if a.Password.IsZero() {
			return w.password()
		}
		return a.Password.Reveal()
	}
	trunks := want.Trunks
	if trunks == nil {
		trunks = &Trunks{}
		t.outbound = w.outbound[:min(1, len(w.outbound))]
		// Only the maximum duration may change, which the rule sets.
		for _, i := range w.inbound[:min(1, len(w.inbound))] {
			i = proto.CloneOf(i)
			i.MaxCallDuration = durationpb.New(want.inboundMaximum())
			t.inbound = []*livekit.SIPInboundTrunkInfo{i}
		}
	}
	if o := trunks.Outbound; o != nil {
		t.outbound = []*livekit.SIPOutboundTrunkInfo{{
			Name: o.Name, Metadata: tagOf(n), Address: o.Address, Transport: transports[o.Transport],
			DestinationCountry: o.Country, Numbers: o.Numbers, AuthUsername: o.Auth.Username, AuthPassword: password(o.Auth),
		}}
	}
	if i := trunks.Inbound; i != nil {
		t.inbound = []*livekit.SIPInboundTrunkInfo{{
			Name: i.Name, Metadata: tagOf(n), Numbers: []string{n.E164}, AllowedAddresses: i.AllowedAddresses,
			AuthUsername: i.Auth.Username, AuthPassword: password(i.Auth),
			RingingTimeout: durationpb.New(inboundRinging), MaxCallDuration: durationpb.New(want.inboundMaximum()),
		}}
	}
	if r := want.Rule; r != nil && len(t.inbound) > 0 {
		t.rules = []*livekit.SIPDispatchRuleInfo{{
			// Numbers stays empty: LiveKit compares it character by character with the number that
			// the carrier sends, and many carriers leave out the plus. The rule's trunk has only
			// this number, and accepts both forms.
			Name: r.Name, Metadata: tagOf(n),
			Rule: &livekit.SIPDispatchRule{Rule: &livekit.SIPDispatchRule_DispatchRuleIndividual{
				DispatchRuleIndividual: &livekit.SIPDispatchRuleIndividual{RoomPrefix: r.RoomPrefix}}},
			RoomConfig: &livekit.RoomConfiguration{DepartureTimeout: uint32(DepartureTimeout / time.Second),
				Agents: []*livekit.RoomAgentDispatch{{AgentName: r.AgentName}}},
		}}
	}
	return t
}

var transports = map[string]livekit.SIPTransport{
	"auto": livekit.SIPTransport_SIP_TRANSPORT_AUTO,
	"udp":  livekit.SIPTransport_SIP_TRANSPORT_UDP,
	"tcp":  livekit.SIPTransport_SIP_TRANSPORT_TCP,
	"tls":  livekit.SIPTransport_SIP_TRANSPORT_TLS,
}

// deleteTrunk deletes a trunk of either kind. A missing trunk is success.
func (c *Client) deleteTrunk(ctx context.Context, id string) error {
	_, err := send(ctx, c.sip.DeleteSIPTrunk, &livekit.DeleteSIPTrunkRequest{SipTrunkId: id})
	if err != nil && !fault.Is(err, fault.NotFound) {
		return fmt.Errorf("delete trunk: %w", err)
	}
	return nil
}

// deleteRule deletes a dispatch rule. A missing rule is success.
func (c *Client) deleteRule(ctx context.Context, id string) error {
	_, err := send(ctx, c.sip.DeleteSIPDispatchRule, &livekit.DeleteSIPDispatchRuleRequest{SipDispatchRuleId: id})
	if err != nil && !fault.Is(err, fault.NotFound) {
		return fmt.Errorf("delete dispatch rule: %w", err)
	}
	return nil
}

// Package number describes a phone number of the platform: its owner, and its SIP configuration,
// which connects it to a carrier and an agent.
package number

import (
	"slices"
	"strings"
	"time"

	"github.com/krosai/telephony/shared/id"
)

// ID derives the id of a phone number from its E.164 form. A number has the same id forever, so the
// primary key guarantees that a number is unique.
func ID(e164 string) string {
	return id.Number.Named(e164)
}

// Number is a phone number in the inventory.
type Number struct {
	ID           string
	E164         string
	Country      string // ISO 3166-1 alpha-2
	Type         string // local, mobile, toll_free
	Capabilities []string
	Provider     string // the company that rents out the number
	UserID       string // the owner; empty while unassigned
	AssignedAt   time.Time
	Retired      bool // no longer assigned to users
	Trunk        *Trunk
	Rule         *Rule
	Fault        bool // the last configuration stopped half way; repeating it repairs it
	UpdatedAt    time.Time
}

// Trunk is the SIP carrier side of a number. It has no password, because only LiveKit stores that.
type Trunk struct {
	Name               string
	Address            string // host or host:port
	Numbers            []string
	AuthUsername       string
	HasAuthPassword    bool
	DestinationCountry string
	Transport          string // auto, udp, tcp, tls
	Directions         []string
	AllowedAddresses   []string
	OutboundID         string // LiveKit's id, ST_…
	InboundID          string
}

// Has reports whether the trunk carries calls in a direction, outbound or inbound.
func (t *Trunk) Has(direction string) bool {
	return t != nil && slices.Contains(t.Directions, direction)
}

// RoomPrefix begins the names of a user's inbound rooms in LiveKit. It is the user's namespace, a
// hyphen and the user's own prefix. Therefore the rooms of two users never collide, nor does such a
// room collide with the room of an outbound call (call_…).
func RoomPrefix(userID, own string) string {
	return strings.ToLower(id.Hash(userID)[:8]) + "-" + own
}

// InboundRoom reports whether a room is named as LiveKit names the rooms of inbound calls under
// this platform's rules: RoomPrefix, the caller and a random part, separated by _. A room of
// another deployment may match too.
func InboundRoom(room string) bool {
	if len(room) < 9 || room[8] != '-' || strings.Count(room[9:], "_") < 2 {
		return false
	}
	for _, c := range room[:8] {
		if !strings.ContainsRune(strings.ToLower(id.Characters), c) {
			return false
		}
	}
	return true
}

// Rule sends inbound calls to the number into rooms with an agent.
type Rule struct {
	Name       string
	RoomPrefix string
	AgentName  string
	ID         string // LiveKit's id, SDR_…

	MaxConcurrent int // inbound calls in progress at a time; 0 is the owner's own limit
	MaxDuration   int // of an inbound call, in seconds; 0 is LongestInbound
}

// LongestInbound is the maximum duration of an inbound call, in seconds.
const LongestInbound = 4 * 60 * 60

// InboundSeconds is the maximum duration of a call that the rule takes in, in seconds.
func (r *Rule) InboundSeconds() int {
	if r == nil || r.MaxDuration == 0 {
		return LongestInbound
	}
	return r.MaxDuration
}

// Status is how complete a number's configuration is.
type Status string

// The configuration states of a number.
const (
	Unconfigured Status = "unconfigured"
	Partial      Status = "partial"
	Configured   Status = "configured"
	Broken       Status = "error"
)

// Configuration says how complete the configuration is. Configured means that the number has a
// trunk and a rule. The trunk's directions decide whether calls can be placed from it and come in.
func (n Number) Configuration() Status {
	switch {
	case n.Fault:
		return Broken
	case n.Trunk == nil && n.Rule == nil:
		return Unconfigured
	case n.Trunk == nil || n.Rule == nil:
		return Partial
	}
	return Configured
}

// CanCall reports whether outbound calls can be placed from the number.
func (n Number) CanCall() bool { return n.Trunk != nil && n.Trunk.OutboundID != "" }

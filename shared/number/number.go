// Package number is a phone number of the platform: who owns it and how it is
// wired to a SIP carrier and an agent.
package number

import (
	"crypto/sha256"
	"encoding/base32"
	"slices"
	"strings"
	"time"
)

// ID derives the id of a phone number from its E.164 form: one number has one
// id for ever, so the primary key is what makes a number unique.
func ID(e164 string) string {
	sum := sha256.Sum256([]byte(e164))
	return "pn_" + crockford.EncodeToString(sum[:])[:26]
}

var crockford = base32.NewEncoding("0123456789ABCDEFGHJKMNPQRSTVWXYZ").WithPadding(base32.NoPadding)

// Number is a phone number in the inventory.
type Number struct {
	ID           string
	E164         string
	Country      string // ISO 3166-1 alpha-2
	Type         string // local, mobile, toll_free
	Capabilities []string
	Provider     string // whom the number is rented from
	UserID       string // the owner; empty while unassigned
	AssignedAt   time.Time
	Retired      bool // nobody gets it any more
	Trunk        *Trunk
	Rule         *Rule
	Fault        bool // the last configuration stopped half way; configuring again repairs it
	UpdatedAt    time.Time
}

// Trunk is the SIP carrier side of a number. The password is not here: LiveKit
// keeps it.
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

// Has reports whether the trunk carries calls in a direction, outbound or
// inbound.
func (t *Trunk) Has(direction string) bool {
	return t != nil && slices.Contains(t.Directions, direction)
}

// RoomPrefix is what the names of a user's inbound rooms begin with in LiveKit:
// the user's own prefix in a name space of the user's, so that no two users'
// rooms can meet, nor a room and a call's (call_…).
func RoomPrefix(userID, own string) string {
	sum := sha256.Sum256([]byte(userID))
	return strings.ToLower(crockford.EncodeToString(sum[:])[:8]) + "-" + own
}

// InboundRoom reports whether a room is named as LiveKit names those that the
// rules of this platform make for inbound calls: RoomPrefix, the caller and
// something random, with _ between them. Another deployment's may be as well.
func InboundRoom(room string) bool {
	if len(room) < 9 || room[8] != '-' || strings.Count(room[9:], "_") < 2 {
		return false
	}
	for _, c := range room[:8] {
		if !strings.ContainsRune("0123456789abcdefghjkmnpqrstvwxyz", c) {
			return false
		}
	}
	return true
}

// Rule sends calls that come in for the number to rooms with an agent.
type Rule struct {
	Name       string
	RoomPrefix string
	AgentName  string
	ID         string // LiveKit's id, SDR_…

	MaxConcurrent int // calls that may be in at a time; 0 is the owner's own limit
	MaxDuration   int // of a call that has come in, in seconds; 0 is LongestInbound
}

// LongestInbound is how long an inbound call lasts at most, in seconds.
const LongestInbound = 4 * 60 * 60

// InboundSeconds is how long a call that the rule takes in may last.
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
	Faulty       Status = "error"
)

// Configuration says how complete the configuration is: configured means that
// calls can be placed with an agent, and come in if the trunk takes them in.
func (n Number) Configuration() Status {
	switch {
	case n.Fault:
		return Faulty
	case n.Trunk == nil && n.Rule == nil:
		return Unconfigured
	case n.Trunk == nil || n.Rule == nil:
		return Partial
	}
	return Configured
}

// CanCall reports whether outbound calls can be placed from the number.
func (n Number) CanCall() bool { return n.Trunk != nil && n.Trunk.OutboundID != "" }

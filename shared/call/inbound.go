package call

import (
	"crypto/sha256"
	"encoding/binary"
	"strings"
	"time"
)

// Arrival is a call that has come in, as LiveKit shows it: a phone in a room
// that a dispatch rule has made for it. Caller and Called are what the carrier
// said; LiveKit leaves both out where a rule hides them.
type Arrival struct {
	Room      string // its name
	RoomID    string // LiveKit's sid of the room, which is never used twice
	CreatedAt time.Time
	TrunkID   string // ST_…
	RuleID    string // SDR_…
	Caller    string
	Called    string
}

// ShownRoom is the name of the call's room as people may see it. LiveKit puts the
// text that a caller gives for their number into the name of an inbound room, so a
// name that holds more than such names need is "anonymous".
func (c Call) ShownRoom() string {
	strange := func(r rune) bool { return !strings.ContainsRune(roomCharacters, r) }
	if strings.ContainsFunc(c.RoomName, strange) {
		return "anonymous"
	}
	return c.RoomName
}

const roomCharacters = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_+-"

// InboundID is the id of the call that a room was made for. It is derived, so
// that everybody who learns of the call, however often, means the same one.
func InboundID(roomID string, createdAt time.Time) string {
	sum := sha256.Sum256([]byte(roomID))
	return "call_" + ulidText(createdAt, [10]byte(sum[:]))
}

// ulidText writes a moment and 80 bits in 26 characters of Crockford's base 32.
func ulidText(at time.Time, bits [10]byte) string {
	const alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
	high := uint64(at.UnixMilli())<<16 | uint64(binary.BigEndian.Uint16(bits[:]))
	low := binary.BigEndian.Uint64(bits[2:])
	var text [26]byte
	for i := len(text) - 1; i >= 0; i-- {
		text[i] = alphabet[low&31]
		low, high = low>>5|high<<59, high>>5
	}
	return string(text[:])
}

// EndOfRinging decides how an inbound call that was never answered ended, once
// its phone is known to be gone. LiveKit answers when the agent has published
// its voice and gives up after RingingTimeout, when the phone's status still is
// ringing; a caller who gives up before leaves with the status hangup. So does
// one who has talked: of a call that nobody saw ringing it says nothing.
func (c Call) EndOfRinging(l Leave, now time.Time) End {
	end := End{Status: Failed, Cause: Unknown, At: now}
	switch {
	case !c.HangupRequested.IsZero():
		end.Status, end.Cause = Canceled, APIHangup
	case c.Status == Ringing && l.Status == "hangup":
		end.Status, end.Cause = NoAnswer, CalleeHangup
	case l.Reason == "CLIENT_INITIATED" && l.Status == "ringing":
		end.Cause = AgentUnavailable
	}
	return end
}

// EndOfLeave decides how a call ended whose phone is known to be gone, by what
// its record says at that moment.
func (c Call) EndOfLeave(l Leave, now time.Time) End {
	if c.AnsweredAt.IsZero() {
		return c.EndOfRinging(l, now)
	}
	return c.EndOfTalk(l, now)
}

package call

import (
	"crypto/sha256"
	"encoding/binary"
	"strings"
	"time"
)

// Arrival is an inbound call as LiveKit shows it: a phone in a room that a dispatch rule has
// created for it. Caller and Called come from the carrier. LiveKit omits both if a rule hides them.
type Arrival struct {
	Room      string // its name
	RoomID    string // LiveKit's sid of the room, never used twice
	CreatedAt time.Time
	TrunkID   string // ST_…
	RuleID    string // SDR_…
	Caller    string
	Called    string
}

// ShownRoom is the name of the call's room as the API shows it. LiveKit puts the text that a caller
// gives as their number into the name of an inbound room. A name with characters outside
// roomCharacters is therefore shown as "anonymous".
func (c Call) ShownRoom() string {
	strange := func(r rune) bool { return !strings.ContainsRune(roomCharacters, r) }
	if strings.ContainsFunc(c.RoomName, strange) {
		return "anonymous"
	}
	return c.RoomName
}

const roomCharacters = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_+-"

// InboundID is the id of the call that a room was created for. It is derived from the room and its
// creation time, so that every function that learns of the call, however often, uses the same id.
func InboundID(roomID string, createdAt time.Time) string {
	sum := sha256.Sum256([]byte(roomID))
	return "call_" + ulidText(createdAt, [10]byte(sum[:]))
}

// ulidText encodes a moment and 80 bits in 26 characters of Crockford's base 32.
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

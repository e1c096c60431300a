package call

import (
	"strings"
	"time"

	"github.com/krosai/telephony/shared/id"
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
	return id.Call.Derived(createdAt, roomID)
}

package number_test

import (
	"regexp"
	"testing"

	"github.com/krosai/telephony/shared/number"
)

// The rooms of two users never collide, whatever prefixes they choose, and never look like the room
// of an outbound call.
func TestRoomPrefix(t *testing.T) {
	t.Parallel()
	a, b := number.RoomPrefix("usr_a", "support-"), number.RoomPrefix("usr_b", "support-")
	if a == b || a != number.RoomPrefix("usr_a", "support-") || !regexp.MustCompile(`^[0-9a-z]{8}-support-$`).MatchString(a) {
		t.Errorf("%s %s", a, b)
	}
}

func TestID(t *testing.T) {
	t.Parallel()
	if id := number.ID("+2348012345678"); id != "pn_3K31FNKK5S011QQF6GKTRG4CAC" {
		t.Error(id) // an id never changes
	}
}

func TestInboundRoom(t *testing.T) {
	t.Parallel()
	for room, want := range map[string]bool{
		number.RoomPrefix("usr_a", "support-") + "_+14155550100_DVBHmXhqaQ5k": true,
		number.RoomPrefix("usr_a", "") + "_anonymous_DVBHmXhqaQ5k":            true,
		number.RoomPrefix("usr_a", "a_b") + "_+14155550100_x":                 true,
		number.RoomPrefix("usr_a", "support-") + "_+14155550100":              false,
		number.RoomPrefix("usr_a", "support-"):                                false,
		"support-_+14155550100_DVBHmXhqaQ5k":                                  false, // l, o, u and i are not in the alphabet
		"SUPP0RTS-_+14155550100_x":                                            false,
		"call_01KAMPJ5V0SAMPMECA00000000":                                     false,
		"tést1234-_+14155550100_x":                                            false,
		"":                                                                    false,
	} {
		if number.InboundRoom(room) != want {
			t.Errorf("%q: %t", room, !want)
		}
	}
}

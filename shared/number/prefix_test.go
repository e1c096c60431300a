package number_test

import (
	"regexp"
	"testing"

	"github.com/krosai/telephony/shared/number"
)

// Two users' rooms never meet, whatever prefixes they choose, nor do they look
// like a call's room.
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
		t.Error(id) // an id is for ever
	}
}

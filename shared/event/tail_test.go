package event_test

import (
	"cmp"
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/krosai/telephony/shared/call"
	"github.com/krosai/telephony/shared/event"
)

var start = time.Date(2026, 11, 22, 9, 30, 0, 0, time.UTC)

// written is an event and the time from which readers can see it.
type written struct {
	event.Event
	visible time.Time
}

// TestCursorMissesNothing lets writers fill a log whose clocks differ by seconds and whose writes
// take seconds. A reader that follows the log with a cursor meets each event once.
func TestCursorMissesNothing(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var log []written
		for i := range rapid.IntRange(1, 120).Draw(t, "events") {
			at := start.Add(time.Duration(rapid.IntRange(0, 90_000).Draw(t, "ms")) * time.Millisecond)
			skew := time.Duration(rapid.IntRange(-4000, 4000).Draw(t, "skew")) * time.Millisecond
			lag := time.Duration(rapid.IntRange(0, 5000).Draw(t, "lag")) * time.Millisecond
			log = append(log, written{event.Event{ID: fmt.Sprintf("evt_%d", i), Recorded: at.Add(skew)}, at.Add(lag)})
		}
		slices.SortFunc(log, func(a, b written) int { return cmp.Or(a.Recorded.Compare(b.Recorded), cmp.Compare(a.ID, b.ID)) })
		limit := rapid.IntRange(1, 30).Draw(t, "limit")
		cursor, met := event.Cursor{}, map[string]int{}
		for now := start; now.Before(start.Add(3 * time.Minute)); now = now.Add(time.Duration(rapid.IntRange(50, 20_000).Draw(t, "pause")) * time.Millisecond) {
			text := cursor.String()
			for more := true; more; { // read until nothing is left, as a client does
				var page []event.Event
				if more, page = read(log, cursor, now, limit); more {
					cursor = cursor.Past(page)
				} else {
					cursor = cursor.Past(page).End(now)
				}
				for _, e := range page {
					met[e.ID]++
				}
			}
			if parsed, err := event.ParseCursor(text); err != nil || parsed.String() != text {
				t.Fatalf("cursor %q becomes %q, %v", text, parsed, err)
			}
		}
		for _, e := range log {
			if met[e.ID] != 1 {
				t.Fatalf("%s, recorded %s and seen from %s on, was met %d times", e.ID, e.Recorded, e.visible, met[e.ID])
			}
		}
	})
}

// read is a page of the events that the cursor has not met. more reports that the page is full.
func read(log []written, at event.Cursor, now time.Time, limit int) (more bool, page []event.Event) {
	for _, e := range log {
		if e.visible.After(now) || at.Met(e.Event) {
			continue
		}
		if len(page) == limit {
			return true, page
		}
		page = append(page, e.Event)
	}
	return false, page
}

// TestCursorIsShort checks that a cursor fits into a query string however many events its user has.
func TestCursorIsShort(t *testing.T) {
	t.Parallel()
	var events []event.Event
	for i := range 5000 {
		events = append(events, event.Event{ID: fmt.Sprint(i), Recorded: start.Add(time.Duration(i/10) * time.Millisecond)})
	}
	c := event.Cursor{}.Past(events)
	if n := len(c.String()); n > 3000 {
		t.Errorf("the cursor has %d characters", n)
	}
	for _, e := range events {
		if !c.Met(e) {
			t.Fatalf("event %s is met again", e.ID)
		}
	}
}

func TestParseCursorRefuses(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"AAAA", "====", "AAAAAAAAAAAAAA", "é"} {
		if c, err := event.ParseCursor(text); err == nil {
			t.Errorf("ParseCursor(%q) = %v", text, c)
		}
	}
}

// TestSaidHasNoMetadata checks that the event of a turn contains no metadata of the call.
func TestSaidHasNoMetadata(t *testing.T) {
	t.Parallel()
	e := event.Said("ada", "call_1", call.Turn{ID: "t1", Role: call.RoleAgent, Content: "Hello.", At: start, Received: start})
	want := `{"turn_id":"t1","role":"agent","content":"Hello.","at":"2026-11-22T09:30:00.000Z"}`
	if got := string(e.DataWith(map[string]string{"order": "A-1001"})); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

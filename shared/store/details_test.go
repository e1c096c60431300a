package store_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/krosai/telephony/shared/call"
	"github.com/krosai/telephony/shared/fault"
	"github.com/krosai/telephony/shared/store/storetest"
)

// turn is a turn that was spoken so many seconds after t0.
func turn(id string, role call.Role, content string, seconds int) call.Turn {
	return call.Turn{ID: id, Role: role, Content: content, At: t0.Add(time.Duration(seconds) * time.Second)}
}

// turns reads the transcript of call_1.
func turns(t *testing.T, db *storetest.Database) []call.Turn {
	t.Helper()
	s, err := db.CallDetails(t.Context(), "ada", "call_1", true)
	if err != nil {
		t.Fatal(err)
	}
	return s.Turns
}

// ended ends call_1 at t0.
func ended(t *testing.T, db *storetest.Database) {
	t.Helper()
	c, err := db.Call(t.Context(), "call_1")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.EndCall(t.Context(), c, call.End{Status: call.Completed, Cause: call.CalleeHangup, At: t0}); err != nil {
		t.Fatal(err)
	}
}

func TestTranscriptIsInItsOrder(t *testing.T) {
	t.Parallel()
	db, ctx := open(t), t.Context()
	create(t, db, newCall("1"))
	second, first := t0.Add(20*time.Second), t0.Add(10*time.Second)
	for at, posted := range map[time.Time][]call.Turn{
		first:  {turn("10", call.RoleAgent, "three", 3), turn("9", call.RoleCallee, "four", 3), turn("z", call.RoleAgent, "one", 1)},
		second: {turn("8", call.RoleAgent, "five", 3), turn("#/ é", call.RoleCallee, "two", 2)},
	} {
		if err := db.AddTurns(ctx, "call_1", posted, at); err != nil {
			t.Fatal(err)
		}
	}
	want := []call.Turn{turn("z", call.RoleAgent, "one", 1), turn("#/ é", call.RoleCallee, "two", 2), turn("10", call.RoleAgent, "three", 3),
		turn("9", call.RoleCallee, "four", 3), turn("8", call.RoleAgent, "five", 3)}
	for i, at := range []time.Time{first, second, first, first, second} {
		want[i].Received = at
	}
	if d := cmp.Diff(want, turns(t, db)); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if s, err := db.CallDetails(ctx, "ada", "call_1", false); err != nil || s.Turns != nil {
		t.Errorf("turns that nobody asked for: %v, %v", s.Turns, err)
	}
	if s, err := db.FullDetails(ctx, "call_1"); err != nil || len(s.Turns) != 5 || s.Call.ID != "call_1" {
		t.Errorf("whole story: %+v, %v", s, err)
	}
}

// TestRepeatedTurnsAreIgnored: the first turn with an id stands, in one request and
// across requests.
func TestRepeatedTurnsAreIgnored(t *testing.T) {
	t.Parallel()
	db, ctx := open(t), t.Context()
	create(t, db, newCall("1"))
	for i, posted := range [][]call.Turn{
		{turn("1", call.RoleAgent, "hello", 1), turn("1", call.RoleAgent, "again", 1)},
		{turn("1", call.RoleCallee, "forged", 0)},
		{turn("2", call.RoleCallee, "who is it?", 2), turn("1", call.RoleAgent, "again", 1), turn("3", call.RoleAgent, "Ada", 3)},
		nil,
	} {
		if err := db.AddTurns(ctx, "call_1", posted, t0.Add(time.Duration(i)*time.Minute)); err != nil {
			t.Fatal(err)
		}
	}
	var said []string
	for _, turn := range turns(t, db) {
		said = append(said, turn.Content)
	}
	if d := cmp.Diff([]string{"hello", "who is it?", "Ada"}, said); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

func TestTranscriptCloses(t *testing.T) {
	t.Parallel()
	db, ctx := open(t), t.Context()
	create(t, db, newCall("1"))
	ended(t, db)
	late := t0.Add(call.TranscriptGrace)
	if err := db.AddTurns(ctx, "call_1", []call.Turn{turn("1", call.RoleAgent, "in time", 1)}, late); err != nil {
		t.Error(err)
	}
	err := db.AddTurns(ctx, "call_1", []call.Turn{turn("2", call.RoleAgent, "too late", 1)}, late.Add(time.Millisecond))
	if !fault.Is(err, fault.Conflict) || !strings.Contains(err.Error(), "CALL_NOT_ACTIVE") {
		t.Errorf("too late: %v", err)
	}
	if err := db.AddTurns(ctx, "call_2", []call.Turn{turn("1", call.RoleAgent, "?", 1)}, t0); !fault.Is(err, fault.NotFound) {
		t.Errorf("no such call: %v", err)
	}
	if got := turns(t, db); len(got) != 1 {
		t.Errorf("%v", got)
	}
}

// TestTranscriptIsBounded: a transcript at its limits, in turns or in bytes, is read in one query,
// after the query of the call.
func TestTranscriptIsBounded(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name        string
		each, total int
	}{
		{"many", 10, call.MaxTurns},
		{"long", 9000 - call.TurnOverhead - 6, call.MaxTurnBytes / 9000},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			db, ctx := open(t), t.Context()
			c := newCall("1")
			c.SystemPrompt, c.WelcomeMessage = strings.Repeat("p", 16<<10), strings.Repeat("w", 1<<10)
			create(t, db, c)
			content := strings.Repeat("x", tt.each)
			for n := 0; n < tt.total; n += 50 {
				var posted []call.Turn
				for i := n; i < min(n+50, tt.total); i++ {
					posted = append(posted, turn(fmt.Sprintf("%04d", i), call.RoleAgent, content, i))
				}
				if err := db.AddTurns(ctx, "call_1", posted, t0); err != nil {
					t.Fatal(n, err)
				}
			}
			over := []call.Turn{turn("0000", call.RoleAgent, content, 0), turn("last", call.RoleAgent, content, 0)}
			if err := db.AddTurns(ctx, "call_1", over, t0); !fault.Is(err, fault.Conflict) || !strings.Contains(err.Error(), "TRANSCRIPT_FULL") {
				t.Errorf("one too many: %v", err)
			}
			if err := db.AddTurns(ctx, "call_1", over[:1], t0); err != nil {
				t.Errorf("a repetition needs no room: %v", err)
			}
			if _, err := db.SaveSummary(ctx, c, call.Summary{Status: call.SummaryReady, Text: strings.Repeat("s", 4000), CreatedAt: t0}); err != nil {
				t.Fatal(err)
			}
			db.Trips()
			if got := turns(t, db); len(got) != tt.total || db.Trips() != 2 {
				t.Errorf("%d turns, want %d in one round trip more", len(got), tt.total)
			}
			if s, err := db.CallDetails(ctx, "ada", "call_1", false); err != nil || s.Summary.Status != call.SummaryReady || db.Trips() != 1 {
				t.Errorf("%+v, %v", s.Summary, err)
			}
		})
	}
}

func TestTurnsOfManyPosts(t *testing.T) {
	t.Parallel()
	db, ctx := open(t), t.Context()
	create(t, db, newCall("1"))
	var race sync.WaitGroup
	for i := range 20 {
		race.Go(func() {
			// Each goroutine posts a turn of its own and one that its neighbor posts too.
			posted := []call.Turn{turn(fmt.Sprint(i), call.RoleAgent, "x", i), turn(fmt.Sprint((i+1)%20), call.RoleAgent, "x", (i+1)%20)}
			if err := db.AddTurns(ctx, "call_1", posted, t0); err != nil {
				t.Error(err)
			}
		})
	}
	race.Wait()
	if got := turns(t, db); len(got) != 20 || !slices.IsSortedFunc(got, func(a, b call.Turn) int { return a.At.Compare(b.At) }) {
		t.Errorf("%d turns, want 20 in order", len(got))
	}
}

func TestTurnsSurviveLostRepliesAndCollisions(t *testing.T) {
	t.Parallel()
	db, ctx := open(t), t.Context()
	create(t, db, newCall("1"))
	db.Trips()
	if err := db.AddTurns(ctx, "call_1", []call.Turn{turn("0", call.RoleAgent, "x", 0)}, t0); err != nil || db.Trips() != 2 {
		t.Errorf("%v, want two round trips", err)
	}
	for n := range 2 {
		db.LoseReplyAt(n)
		if err := db.AddTurns(ctx, "call_1", []call.Turn{turn(fmt.Sprint(n+1), call.RoleAgent, "x", n+1)}, t0); err != nil {
			t.Errorf("reply %d lost: %v", n, err)
		}
	}
	db.Collide(2)
	if err := db.AddTurns(ctx, "call_1", []call.Turn{turn("3", call.RoleAgent, "x", 3)}, t0); err != nil {
		t.Errorf("collision: %v", err)
	}
	if got := turns(t, db); len(got) != 4 {
		t.Errorf("%d turns, want 4", len(got))
	}
}

func TestFirstSummaryStands(t *testing.T) {
	t.Parallel()
	db, ctx := open(t), t.Context()
	create(t, db, newCall("1"))
	first := call.Summary{Status: call.SummaryReady, Text: "They agreed.", Model: "m", CreatedAt: t0}
	db.LoseReplies(1)
	for i, s := range []call.Summary{first, {Status: call.SummaryFailed, Reason: "timeout", CreatedAt: t0.Add(time.Second)}} {
		got, err := db.SaveSummary(ctx, newCall("1"), s)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(first, got); d != "" {
			t.Errorf("%d (-want +got):\n%s", i, d)
		}
	}
	s, err := db.CallDetails(ctx, "ada", "call_1", false)
	if d := cmp.Diff(first, s.Summary); err != nil || d != "" {
		t.Errorf("%v (-want +got):\n%s", err, d)
	}
}

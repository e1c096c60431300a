package getcall_test

import (
	"encoding/json"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/krosai/telephony/functions/getcall"
	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/api"
	"github.com/krosai/telephony/shared/call"
	"github.com/krosai/telephony/shared/store/storetest"
)

// told holds the transcript and the summary, the parts of the call details that are
// shown only on request.
type told struct {
	Transcript json.RawMessage `json:"transcript"`
	Summary    json.RawMessage `json:"summary"`
}

// ask gets the call details with a query and checks the number of round trips.
func ask(t *testing.T, db *storetest.Database, now time.Time, query string) told {
	t.Helper()
	edge := &api.Edge{Keys: db, Now: time.Now, Log: slog.New(slog.DiscardHandler)}
	h := edge.Handler(&getcall.Endpoint{Calls: db, Now: func() time.Time { return now }})
	db.Trips()
	r := detailsWith(t, h, id, query)
	want := 2
	if strings.Contains(query, "include_transcript=true") {
		want = 3 // turns are read once the call is known to be the caller's
	}
	if n := db.Trips(); n != want || r.StatusCode != 200 {
		t.Fatalf("%s: %d round trips, want %d: %d %s", query, n, want, r.StatusCode, r.Body)
	}
	var d told
	if err := json.Unmarshal([]byte(r.Body), &d); err != nil {
		t.Fatal(err)
	}
	return d
}

const none = `{"status":"none","text":null,"model":null,"reason":null,"created_at":null}`

func TestTranscriptAndSummary(t *testing.T) {
	t.Parallel()
	db, _ := newHandler(t, account.CallsRead)
	create(t, db, call.Call{ID: id, UserID: "ada", RoomName: id, Country: "US", MaxDuration: 600, Status: call.InProgress, CreatedAt: t0, AnsweredAt: t0})
	pending := strings.Replace(none, "none", "pending", 1)
	compare := func(query string, now time.Time, want told) {
		t.Helper()
		if d := cmp.Diff(want, ask(t, db, now, query)); d != "" {
			t.Errorf("%s (-want +got):\n%s", query, d)
		}
	}
	compare("include_transcript=true&include_summary=true", t0, told{json.RawMessage(`[]`), json.RawMessage(pending)})

	if err := db.AddTurns(t.Context(), id, []call.Turn{
		{ID: "2", Role: call.RoleCallee, Content: "<b>Hi</b> & \"bye\"\n", At: t0.Add(2 * time.Second)},
		{ID: "1", Role: call.RoleAgent, Content: "Hello.", At: t0.Add(time.Second)},
	}, t0); err != nil {
		t.Fatal(err)
	}
	turns := json.RawMessage(`[{"role":"agent","content":"Hello.","at":"2026-11-22T09:30:01.000Z"},` +
		`{"role":"callee","content":"<b>Hi</b> & \"bye\"\n","at":"2026-11-22T09:30:02.000Z"}]`)
	compare("include_transcript=true", t0, told{Transcript: turns})
	compare("include_transcript=false&include_summary=false", t0, told{})
	compare("", t0, told{})

	c, err := db.Call(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.EndCall(t.Context(), c, call.End{Status: call.Completed, Cause: call.CalleeHangup, At: t0.Add(time.Minute)}); err != nil {
		t.Fatal(err)
	}
	compare("include_summary=true", t0.Add(2*time.Minute), told{Summary: json.RawMessage(pending)})
	failed := strings.Replace(strings.Replace(none, "none", "failed", 1), `"reason":null`, `"reason":"unavailable"`, 1)
	compare("include_summary=true", t0.Add(time.Hour), told{Summary: json.RawMessage(failed)})

	if _, err := db.SaveSummary(t.Context(), c, call.Summary{Status: call.SummaryReady, Text: "They said hello.", Model: "m", CreatedAt: t0.Add(65 * time.Second)}); err != nil {
		t.Fatal(err)
	}
	compare("include_summary=true&include_transcript=true", t0.Add(time.Hour), told{turns,
		json.RawMessage(`{"status":"ready","text":"They said hello.","model":"m","reason":null,"created_at":"2026-11-22T09:31:05.000Z"}`)})
}

// TestNoSummary checks that an unanswered call has no summary.
func TestNoSummary(t *testing.T) {
	t.Parallel()
	db, _ := newHandler(t, account.CallsRead)
	create(t, db, call.Call{ID: id, UserID: "ada", Country: "US", Status: call.Busy, CreatedAt: t0, EndedAt: t0})
	if d := cmp.Diff(told{json.RawMessage(`[]`), json.RawMessage(none)}, ask(t, db, t0, "include_transcript=true&include_summary=true")); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

func TestQueryIsChecked(t *testing.T) {
	t.Parallel()
	_, h := newHandler(t, account.CallsRead)
	for _, query := range []string{"include_transcript=yes", "include_summary=1", "include_summary=", "include_summary=true&include_summary=true", "include=all"} {
		if r := detailsWith(t, h, id, query); r.StatusCode != 400 {
			t.Errorf("%s: %d", query, r.StatusCode)
		}
	}
}

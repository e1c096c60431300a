package getcall_test

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/krosai/telephony/functions/getcall"
	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/api/apitest"
	"github.com/krosai/telephony/shared/call"
	"github.com/krosai/telephony/shared/store/storetest"
)

const id = "call_01KAMPJ5V0SAMPMECA00000000" // the call of the sample event

var t0 = time.Date(2026, 11, 22, 9, 30, 0, 0, time.UTC)

// bench serves the function with one call, and with ada's API key.
type bench struct {
	*apitest.Bench
	key string
	now time.Time // of the function; the edge and the database stay at t0
}

func open(t *testing.T, c call.Call) *bench {
	t.Helper()
	b := &bench{Bench: apitest.Open(t, func() time.Time { return t0 }), now: t0}
	b.Serve(&getcall.Endpoint{Calls: b.DB, Now: func() time.Time { return b.now }})
	b.key = b.SampleKey("ada", account.CallsRead)
	b.Must(b.Place(t.Context(), c))
	b.Trips()
	return b
}

// show asks for a call, with a query or none.
func (b *bench) show(callID, query string) apitest.Answer {
	b.Helper()
	return b.Ask(b.key, "GET", "/outbound-calls/"+callID+"/details"+query, "")
}

func (b *bench) call() call.Call {
	b.Helper()
	c, err := b.DB.Call(b.Context(), id)
	b.Must(err)
	return c
}

func TestAnEndedCall(t *testing.T) {
	t.Parallel()
	b := open(t, call.Call{
		ID:             id,
		UserID:         "ada",
		Direction:      call.Outbound,
		Remote:         "+14155550101",
		Own:            "+2348012345678",
		NumberID:       "pn_3K31FNKK5S011QQF6GKTRG4CAC",
		RoomName:       id,
		TrunkID:        "ST_secret",
		AgentName:      "support-agent",
		Country:        "US",
		SystemPrompt:   "You confirm deliveries.",
		WelcomeMessage: "Hello <Ada> & all.",
		Voice:          &call.Voice{Language: "en-NG", Speed: 1.5},
		Metadata:       map[string]string{"order": "A-1001"},
		DTMF:           "ww42#",
		RingingTimeout: 30,
		MaxDuration:    600,
		Status:         call.Initiated,
		CreatedAt:      t0.Add(123456 * time.Microsecond),
	})
	if _, mine, err := b.ClaimDial(t.Context(), id, "owner", t0.Add(time.Second)); err != nil || !mine {
		t.Fatalf("may dial: %t, %v", mine, err)
	}
	for i, s := range []call.Status{call.Ringing, call.InProgress} {
		_, err := b.Advance(t.Context(), id, s, t0.Add(time.Duration(i+2)*time.Second))
		b.Must(err)
	}
	c, _, err := b.AwaitEnd(t.Context(), id, "secret-token")
	b.Must(err)
	_, err = b.EndCall(t.Context(), c, call.End{Status: call.Completed, Cause: call.CalleeHangup, SIPStatus: 200, At: t0.Add(45 * time.Second)})
	b.Must(err)
	b.Trips()
	a := b.Replay("getcall", "")
	if n := b.Trips(); n != 2 {
		t.Errorf("%d round trips to the database, want 2", n)
	}
	want := map[string]any{
		"call_id":                 id,
		"status":                  "completed",
		"direction":               "outbound",
		"phone_number":            "+14155550101",
		"from_number":             "+2348012345678",
		"phone_number_id":         "pn_3K31FNKK5S011QQF6GKTRG4CAC",
		"room_name":               id,
		"agent_name":              "support-agent",
		"hangup_cause":            "callee_hangup",
		"sip_status_code":         200.0,
		"system_prompt":           "You confirm deliveries.",
		"welcome_message":         "Hello <Ada> & all.",
		"voice":                   map[string]any{"language": "en-NG", "speed": 1.5},
		"metadata":                map[string]any{"order": "A-1001"},
		"dtmf":                    "ww42#",
		"ringing_timeout_seconds": 30.0,
		"max_duration_seconds":    600.0,
		"created_at":              "2026-11-22T09:30:00.123Z",
		"answered_at":             "2026-11-22T09:30:03.000Z",
		"ended_at":                "2026-11-22T09:30:45.000Z",
		"duration_seconds":        42.0,
		"transfer":                nil,
		"timeline": []any{
			map[string]any{"at": "2026-11-22T09:30:01.000Z", "event": "dialing"},
			map[string]any{"at": "2026-11-22T09:30:02.000Z", "event": "ringing"},
			map[string]any{"at": "2026-11-22T09:30:03.000Z", "event": "answered"},
			map[string]any{"at": "2026-11-22T09:30:45.000Z", "event": "ended", "detail": "callee_hangup"},
		},
	}
	if d := cmp.Diff(want, a.Body); a.Status != 200 || d != "" {
		t.Errorf("%d (-want +got):\n%s", a.Status, d)
	}
}

// TestShortPath checks that the path without /details gives the same answer.
func TestShortPath(t *testing.T) {
	t.Parallel()
	b := open(t, call.Call{ID: id, UserID: "ada", Direction: call.Outbound, Remote: "+14155550101", RingingTimeout: 20,
		MaxDuration: 60, Status: call.Initiated, CreatedAt: t0})
	another := strings.Replace(id, "MECA", "MECB", 1)
	for _, tt := range []struct {
		id, query string
		status    int
	}{{id, "", 200}, {id, "?include_transcript=true&include_summary=true", 200}, {id, "?include=all", 400}, {another, "", 404}, {"nonsense", "", 404}} {
		long, short := b.show(tt.id, tt.query), b.Ask(b.key, "GET", "/outbound-calls/"+tt.id+tt.query, "")
		if d := cmp.Diff(long.Body, short.Body); d != "" || short.Status != tt.status {
			t.Errorf("%s%s: %d (-details +short):\n%s", tt.id, tt.query, short.Status, d)
		}
	}
	if a := b.Ask("", "GET", "/outbound-calls/"+id, ""); a.Status != 401 {
		t.Errorf("without a credential: %d", a.Status)
	}
}

func TestANewCall(t *testing.T) {
	t.Parallel()
	b := open(t, call.Call{
		ID:             id,
		UserID:         "ada",
		Direction:      call.Outbound,
		Remote:         "+14155550101",
		Own:            "+2348012345678",
		NumberID:       "pn_1",
		RoomName:       id,
		AgentName:      "a",
		Country:        "US",
		RingingTimeout: 5,
		MaxDuration:    10,
		Status:         call.Initiated,
		CreatedAt:      t0,
	})
	want := map[string]any{
		"call_id":                 id,
		"status":                  "initiated",
		"direction":               "outbound",
		"phone_number":            "+14155550101",
		"from_number":             "+2348012345678",
		"phone_number_id":         "pn_1",
		"room_name":               id,
		"agent_name":              "a",
		"hangup_cause":            nil,
		"sip_status_code":         nil,
		"system_prompt":           "",
		"welcome_message":         "",
		"metadata":                map[string]any{},
		"ringing_timeout_seconds": 5.0,
		"max_duration_seconds":    10.0,
		"created_at":              "2026-11-22T09:30:00.000Z",
		"answered_at":             nil,
		"ended_at":                nil,
		"duration_seconds":        0.0,
		"transfer":                nil,
		"timeline":                []any{},
	}
	a := b.show(id, "")
	if d := cmp.Diff(want, a.Body); a.Status != 200 || d != "" {
		t.Errorf("%d (-want +got):\n%s", a.Status, d)
	}
}

// TestAnothersCallIsNoCall checks that no user can find out which calls other users have made.
func TestAnothersCallIsNoCall(t *testing.T) {
	t.Parallel()
	b := open(t, call.Call{ID: id, UserID: "eve", Country: "US", Status: call.Initiated, CreatedAt: t0})
	foreign := b.show(id, "")
	if n := b.Trips(); foreign.Status != 404 || n == 0 {
		t.Fatalf("%d %s", foreign.Status, foreign.Text)
	}
	for _, absent := range []string{"call_01KAMPJ5V0SAMPMECA00000001", "call_1", "pn_01KAMPJ5V0SAMPMECA00000000", strings.ToLower(id)} {
		if a := b.show(absent, ""); a.Status != 404 || a.Text != foreign.Text {
			t.Errorf("%s: %d %s, another's call gets %s", absent, a.Status, a.Text, foreign.Text)
		}
	}
}

// TestStrangersRoom checks that the name of an inbound room, which holds the caller's own text, is
// not shown if it has characters that a room's name cannot have.
func TestStrangersRoom(t *testing.T) {
	t.Parallel()
	b := open(t, call.Call{ID: id, UserID: "ada", Direction: call.Inbound, RoomName: "h7yq2m0c-_'+alert(1)+'_x7Kd", Country: "US",
		Status: call.Initiated, CreatedAt: t0})
	if a := b.show(id, ""); a.Status != 200 || a.Body["room_name"] != "anonymous" {
		t.Errorf("%d %s", a.Status, a.Text)
	}
}

// TestAnothersTranscriptIsNotRead checks that the transcript of another user's call is not read
// before the 404. The time of the answer would otherwise tell that the call exists.
func TestAnothersTranscriptIsNotRead(t *testing.T) {
	t.Parallel()
	b := open(t, call.Call{ID: id, UserID: "eve", Country: "US", Status: call.Initiated, CreatedAt: t0})
	for i := range 100 {
		turn := call.Turn{ID: fmt.Sprint(i), Role: call.RoleAgent, Content: strings.Repeat("x", 7000), At: t0}
		b.Must(b.AddTurns(t.Context(), id, []call.Turn{turn}, t0))
	}
	read := 0 // bytes
	b.Between(func(next http.RoundTripper) http.RoundTripper {
		return storetest.RoundTrip(func(r *http.Request) (*http.Response, error) {
			resp, err := next.RoundTrip(r)
			if err != nil {
				return nil, err
			}
			body, err := io.ReadAll(resp.Body)
			read += len(body)
			resp.Body = io.NopCloser(bytes.NewReader(body))
			return resp, err
		})
	})
	a := b.show(id, "?include_transcript=true&include_summary=true")
	if a.Status != 404 || read == 0 || read > 10<<10 {
		t.Errorf("%d bytes were read for %d %s", read, a.Status, a.Text)
	}
}

func TestScope(t *testing.T) {
	t.Parallel()
	b := open(t, call.Call{ID: id, UserID: "ada", Country: "US", Status: call.Initiated, CreatedAt: t0})
	_, b.key = b.Key("ada", account.CallsWrite)
	if a := b.show(id, ""); a.Status != 403 {
		t.Errorf("without %s: %d %s", account.CallsRead, a.Status, a.Text)
	}
}

func TestTransfer(t *testing.T) {
	t.Parallel()
	b := open(t, call.Call{ID: id, UserID: "ada", RoomName: id, Country: "US", MaxDuration: 600, Status: call.InProgress, CreatedAt: t0, AnsweredAt: t0})
	timeline := b.show(id, "").Body["timeline"].([]any)
	for _, tt := range []struct {
		status call.TransferStatus
		sip    any
	}{{call.TransferFailed, 486.0}, {call.TransferUnknown, nil}, {call.TransferCompleted, 200.0}} {
		transfer := call.Transfer{ID: "tr_" + string(tt.status), To: "+14155550111", Status: call.TransferPending, At: t0.Add(time.Second)}
		b.Must(b.Transfer(t.Context(), b.call(), transfer))
		want := map[string]any{
			"transfer_id":     transfer.ID,
			"phone_number":    "+14155550111",
			"status":          "pending",
			"sip_status_code": nil,
			"at":              "2026-11-22T09:30:01.000Z",
		}
		if d := cmp.Diff(want, b.show(id, "").Body["transfer"]); d != "" {
			t.Errorf("pending (-want +got):\n%s", d)
		}
		sip, _ := tt.sip.(float64)
		transfer.Status, transfer.SIPStatus, transfer.At = tt.status, int(sip), t0.Add(2*time.Second)
		_, err := b.FinishTransfer(t.Context(), id, transfer)
		b.Must(err)
		want["status"], want["sip_status_code"], want["at"] = string(tt.status), tt.sip, "2026-11-22T09:30:02.000Z"
		timeline = append(timeline, map[string]any{"at": want["at"], "event": "transfer", "detail": string(tt.status)})
		a := b.show(id, "")
		if d := cmp.Diff([]any{want, timeline}, []any{a.Body["transfer"], a.Body["timeline"]}); d != "" {
			t.Errorf("%s (-want +got):\n%s", tt.status, d)
		}
	}
}

// included returns the transcript and the summary, which are shown only on request. It also checks
// the number of round trips.
func (b *bench) included(query string) map[string]any {
	b.Helper()
	b.Trips()
	a := b.show(id, query)
	want := 2
	if strings.Contains(query, "include_transcript=true") {
		want = 3 // turns are read once the call is known to be the caller's
	}
	if n := b.Trips(); n != want || a.Status != 200 {
		b.Fatalf("%s: %d round trips, want %d: %d %s", query, n, want, a.Status, a.Text)
	}
	maps.DeleteFunc(a.Body, func(member string, _ any) bool { return member != "transcript" && member != "summary" })
	return a.Body
}

// summary is a summary as it is shown.
func summary(status string, text, model, reason, at any) map[string]any {
	return map[string]any{"status": status, "text": text, "model": model, "reason": reason, "created_at": at}
}

func TestTranscriptAndSummary(t *testing.T) {
	t.Parallel()
	b := open(t, call.Call{ID: id, UserID: "ada", RoomName: id, Country: "US", MaxDuration: 600, Status: call.InProgress, CreatedAt: t0, AnsweredAt: t0})
	pending := summary("pending", nil, nil, nil, nil)
	compare := func(query string, now time.Time, want map[string]any) {
		t.Helper()
		b.now = now
		if d := cmp.Diff(want, b.included(query)); d != "" {
			t.Errorf("%s (-want +got):\n%s", query, d)
		}
	}
	compare("?include_transcript=true&include_summary=true", t0, map[string]any{"transcript": []any{}, "summary": pending})

	b.Must(b.AddTurns(t.Context(), id, []call.Turn{
		{ID: "2", Role: call.RoleCallee, Content: "<b>Hi</b> & \"bye\"\n", At: t0.Add(2 * time.Second)},
		{ID: "1", Role: call.RoleAgent, Content: "Hello.", At: t0.Add(time.Second)},
	}, t0))
	turns := []any{
		map[string]any{"role": "agent", "content": "Hello.", "at": "2026-11-22T09:30:01.000Z"},
		map[string]any{"role": "callee", "content": "<b>Hi</b> & \"bye\"\n", "at": "2026-11-22T09:30:02.000Z"},
	}
	compare("?include_transcript=true", t0, map[string]any{"transcript": turns})
	compare("?include_transcript=false&include_summary=false", t0, map[string]any{})
	compare("", t0, map[string]any{})

	c := b.call()
	_, err := b.EndCall(t.Context(), c, call.End{Status: call.Completed, Cause: call.CalleeHangup, At: t0.Add(time.Minute)})
	b.Must(err)
	compare("?include_summary=true", t0.Add(2*time.Minute), map[string]any{"summary": pending})
	compare("?include_summary=true", t0.Add(time.Hour), map[string]any{"summary": summary("failed", nil, nil, "unavailable", nil)})

	_, err = b.SaveSummary(t.Context(), c, call.Summary{Status: call.SummaryReady, Text: "They said hello.", Model: "m", CreatedAt: t0.Add(65 * time.Second)})
	b.Must(err)
	compare("?include_summary=true&include_transcript=true", t0.Add(time.Hour), map[string]any{"transcript": turns,
		"summary": summary("ready", "They said hello.", "m", nil, "2026-11-22T09:31:05.000Z")})
}

// TestNoSummary checks that an unanswered call has no summary.
func TestNoSummary(t *testing.T) {
	t.Parallel()
	b := open(t, call.Call{ID: id, UserID: "ada", Country: "US", Status: call.Busy, CreatedAt: t0, EndedAt: t0})
	want := map[string]any{"transcript": []any{}, "summary": summary("none", nil, nil, nil, nil)}
	if d := cmp.Diff(want, b.included("?include_transcript=true&include_summary=true")); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

func TestQueryIsChecked(t *testing.T) {
	t.Parallel()
	b := open(t, call.Call{ID: id, UserID: "ada", Country: "US", Status: call.Initiated, CreatedAt: t0})
	for _, query := range []string{"include_transcript=yes", "include_summary=1", "include_summary=", "include_summary=true&include_summary=true", "include=all"} {
		if a := b.show(id, "?"+query); a.Status != 400 {
			t.Errorf("%s: %d %s", query, a.Status, a.Text)
		}
	}
}

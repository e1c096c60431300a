package e2e

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/krosai/telephony/local/agent"
)

// told are a call's details with the transcript and the summary.
type told struct {
	details
	Transcript []struct {
		Role, Content string
		At            time.Time
	} `json:"transcript"`
	Summary *struct {
		Status, Text, Model, Reason string
		CreatedAt                   time.Time `json:"created_at"`
	} `json:"summary"`
}

func (u user) withTranscript(id string) told {
	u.t.Helper()
	return must[told](u, "GET", "/outbound-calls/"+id+"/details?include_transcript=true&include_summary=true", nil)
}

// summed waits for a call's summary.
func (u user) summed(id string) told {
	u.t.Helper()
	var s told
	for range looks() {
		if s = u.withTranscript(id); s.Summary.Status != "pending" {
			break
		}
	}
	return s
}

// TestTranscriptAndSummary checks that the demo agent's scripted conversation is in the transcript,
// in order, during the call, and in the summary afterwards.
func TestTranscriptAndSummary(t *testing.T) {
	t.Parallel()
	u := demo(t, shared)
	id := u.place("+14155550100", request{"welcome_message": "Hello, this is Ada from Acme.", "max_duration_seconds": 600}).CallID
	script := append([]agent.Line{{Role: "agent", Text: "Hello, this is Ada from Acme."}}, agent.DefaultScript()...)
	var live told
	for range looks() {
		if live = u.withTranscript(id); len(live.Transcript) >= len(script) {
			break
		}
	}
	if live.Status != "in_progress" || live.Summary.Status != "pending" {
		t.Errorf("%s, summary %+v", live.Status, live.Summary)
	}
	u.hangUp(id)

	s := u.summed(id)
	for i, line := range script {
		if i >= len(s.Transcript) || s.Transcript[i].Role != line.Role || s.Transcript[i].Content != line.Text {
			t.Fatalf("turn %d: %+v, want %+v", i, s.Transcript, line)
		}
		if at := s.Transcript[i].At; at.Before(s.CreatedAt) || at.After(s.EndedAt.Add(time.Second)) {
			t.Errorf("turn %d at %s, the call was made at %s and ended at %s", i, at, s.CreatedAt, s.EndedAt)
		}
	}
	if s.Status != "completed" || s.Cause != "api_hangup" {
		t.Errorf("%s %s", s.Status, s.Cause)
	}
	if s.Summary.Status != "ready" || s.Summary.Model != "extractive-textrank" || !strings.Contains(s.Summary.Text, "the demo agent") {
		t.Errorf("summary %+v", s.Summary)
	}
	if after := s.Summary.CreatedAt.Sub(s.EndedAt); after < 4*time.Second {
		t.Errorf("summed up %s after the end", after)
	}

	// Details without the parameter do not show the transcript and the summary.
	a := u.do("GET", "/outbound-calls/"+id+"/details", nil)
	var members map[string]json.RawMessage
	if err := json.Unmarshal(a.Body, &members); err != nil || members["transcript"] != nil || members["summary"] != nil {
		t.Errorf("%v: %s", err, a.Body)
	}
}

// TestNothingToTell checks a call that was not answered.
func TestNothingToTell(t *testing.T) {
	t.Parallel()
	u := demo(t, shared)
	id := u.place("+14155550102", nil).CallID
	u.until(id, details.over)
	if s := u.summed(id); s.Summary.Status != "none" || len(s.Transcript) != 0 {
		t.Errorf("%+v %+v", s.Summary, s.Transcript)
	}
}

// TestTranscriptIsTheAgents checks that only the call's own token can write the transcript. The
// credentials of the call's owner cannot.
func TestTranscriptIsTheAgents(t *testing.T) {
	t.Parallel()
	u := demo(t, shared)
	id := u.place("+14155550102", nil).CallID
	turn := request{"turns": []request{{"turn_id": "x", "role": "agent", "content": "forged", "at": time.Now().UTC()}}}
	for _, key := range []string{"", u.key, shared.Access.UserJWT, "kct_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"} {
		as := user{t, u.url, key}
		if a := as.do("POST", "/outbound-calls/"+id+"/transcript", turn); a.Status != http.StatusUnauthorized || a.problem(t).Code != "UNAUTHENTICATED" {
			t.Errorf("%.10s…: %d %s", key, a.Status, a.Body)
		}
	}
	u.until(id, details.over)
	if s := u.withTranscript(id); len(s.Transcript) != 0 {
		t.Errorf("%+v", s.Transcript)
	}
}

package listcallevents_test

import (
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/krosai/telephony/functions/listcallevents"
	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/api/apitest"
	"github.com/krosai/telephony/shared/call"
)

var morning = time.Date(2026, 11, 22, 9, 30, 0, 123e6, time.UTC)

const id = "call_01KAMPJ5V0SAMPMECA00000000"

// bench serves the endpoint for an inbound call of ada's. Its clock stands still
// unless wait advances it.
type bench struct {
	*apitest.Bench
	passed atomic.Int64
	call   call.Call
}

func open(t *testing.T) *bench {
	t.Helper()
	b := &bench{}
	b.Bench = apitest.Open(t, func() time.Time { return morning.Add(time.Duration(b.passed.Load())) })
	b.Serve(&listcallevents.Endpoint{Calls: b.DB, Now: b.Now})
	c, err := b.CreateInbound(t.Context(), call.Call{ID: id, UserID: "ada", Direction: call.Inbound, Remote: "+14155550100",
		Own: "+2348012345678", Country: "US", Status: call.Initiated, CreatedAt: morning, DialedAt: morning, MaxDuration: 600}, 0)
	b.Must(err)
	b.call = c
	return b
}

func (b *bench) wait(d time.Duration) { b.passed.Add(int64(d)) }

func (b *bench) said(turn, content string) {
	b.Helper()
	b.Must(b.AddTurns(b.Context(), id, []call.Turn{{ID: turn, Role: call.RoleAgent, Content: content, At: b.Now()}}, b.Now()))
}

// live takes the call from its answer to its summary.
func (b *bench) live() {
	b.Helper()
	var err error
	b.wait(time.Second)
	b.call, err = b.Advance(b.Context(), id, call.InProgress, b.Now())
	b.Must(err)
	b.wait(time.Second)
	b.said("t1", "Hello.")
	b.wait(time.Second)
	b.call, err = b.EndCall(b.Context(), b.call, call.End{Status: call.Completed, Cause: call.CalleeHangup, SIPStatus: 200, At: b.Now()})
	b.Must(err)
	b.wait(time.Second)
	b.said("t2", "Bye.") // after the end of the call
	b.wait(time.Second)
	_, err = b.SaveSummary(b.Context(), b.call, call.Summary{Status: call.SummaryReady, Text: "They met.", Model: "m", CreatedAt: b.Now()})
	b.Must(err)
}

// follow returns the types of all events after the position next, read page by page,
// and the new position.
func (b *bench) follow(query, next string) (types string, _ string) {
	b.Helper()
	for {
		a := b.Ask(b.User("ada"), "GET", "/outbound-calls/"+id+"/events?"+query+next, "")
		if a.Status != 200 {
			b.Fatal(a.Text)
		}
		next = "&after=" + a.Body["next_after"].(string)
		data := a.Body["data"].([]any)
		for _, one := range data {
			types += " " + one.(map[string]any)["type"].(string)
		}
		if len(data) == 0 {
			return types, next
		}
	}
}

func TestFollow(t *testing.T) {
	t.Parallel()
	const all = " call.answered call.turn call.ended call.turn call.summary_ready"
	b := open(t)
	types, next := b.follow("include=transcript&limit=2", "")
	if types != "" {
		t.Errorf("before anything happens:%s", types)
	}
	b.live()
	if types, next = b.follow("include=transcript&limit=2", next); types != all {
		t.Errorf("with the transcript:%s", types)
	}
	if types, _ = b.follow("include=transcript&limit=2", next); types != "" {
		t.Errorf("once more:%s", types)
	}
	b.wait(20 * 24 * time.Hour)
	if types, _ = b.follow("include=transcript&limit=100", ""); types != all {
		t.Errorf("weeks later:%s", types)
	}
	if types, _ = b.follow("limit=1", ""); types != strings.ReplaceAll(all, " call.turn", "") {
		t.Errorf("without the transcript:%s", types)
	}
}

func TestBody(t *testing.T) {
	t.Parallel()
	b := open(t)
	b.SampleKey("ada", account.CallsRead)
	b.wait(time.Second)
	b.said("t1", "Hello.")
	a := b.Replay("listcallevents", "")
	want := `"type":"call.turn","at":"2026-11-22T09:30:01.123Z","call_id":"` + id + `","data":{"at":"2026-11-22T09:30:01.123Z","content":"Hello.","role":"agent","turn_id":"t1"}}]`
	if _, got, _ := strings.Cut(a.Text, ","); a.Status != 200 || !strings.HasPrefix(got, want) {
		t.Errorf("%d %s", a.Status, cmp.Diff(want, got))
	}
}

func TestRefuses(t *testing.T) {
	t.Parallel()
	b := open(t)
	_, reader := b.Key("ada", account.NumbersRead)
	_, next := b.follow("limit=1", "")
	for _, c := range []struct {
		name, credential, path string
		status                 int
	}{
		{"another user's call", b.User("grace"), id + "/events", 404},
		{"no such call", b.User("ada"), "call_01KAMPJ5V0SAMPMECA00000009/events", 404},
		{"no id", b.User("ada"), "x/events", 404},
		{"a key that reads numbers", reader, id + "/events", 403},
		{"the position of another list", b.User("ada"), id + "/events?include=transcript" + next, 400},
		{"includes what is not there", b.User("ada"), id + "/events?include=prompt", 400},
	} {
		if a := b.Ask(c.credential, "GET", "/outbound-calls/"+c.path, ""); a.Status != c.status {
			t.Errorf("%s: %d %s", c.name, a.Status, a.Text)
		}
	}
}

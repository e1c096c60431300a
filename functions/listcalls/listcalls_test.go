package listcalls_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/krosai/telephony/functions/listcalls"
	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/api/apitest"
	"github.com/krosai/telephony/shared/call"
	"github.com/krosai/telephony/shared/number"
)

var now = time.Date(2026, 11, 22, 9, 30, 0, 123e6, time.UTC)

// lagos is the number that ada calls from.
const lagos = "+2348012345678"

// setup is the endpoint with ada's calls 01 to 30, one every six hours, the last one now. A third
// of them has completed, a third was busy, and a third has not ended.
func setup(t *testing.T) (b *apitest.Bench, key string) {
	t.Helper()
	b = apitest.Open(t, func() time.Time { return now })
	b.Serve(&listcalls.Endpoint{Calls: b.DB})
	b.Must(b.PutPolicy(t.Context(), "ada", account.Policy{CallsEnabled: true, MaxConcurrentCalls: 100}))
	for i := 1; i <= 30; i++ {
		c := newCall("ada", i)
		add(b, c)
		switch i % 3 {
		case 0:
			c, err := b.Advance(t.Context(), c.ID, call.InProgress, c.CreatedAt.Add(3*time.Second))
			b.Must(err)
			_, err = b.EndCall(t.Context(), c, call.End{Status: call.Completed, Cause: call.CalleeHangup, SIPStatus: 200, At: c.CreatedAt.Add(45 * time.Second)})
			b.Must(err)
		case 1:
			_, err := b.EndCall(t.Context(), c, call.End{Status: call.Busy, Cause: call.CalleeBusy, SIPStatus: 486, At: c.CreatedAt.Add(time.Second)})
			b.Must(err)
		}
	}
	add(b, newCall("bob", 31))
	_, key = b.Key("ada", account.CallsRead)
	return b, key
}

func newCall(user string, i int) call.Call {
	id := fmt.Sprintf("call_01KAMPJ5V0SAMPMECA000000%02d", i)
	return call.Call{ID: id, UserID: user, Direction: call.Outbound, Remote: "+14155550100", Own: lagos, NumberID: number.ID(lagos),
		RoomName: id, TrunkID: "ST_1", AgentName: "support-agent", Country: "US", SystemPrompt: "secret plan", Metadata: map[string]string{"order": "A-1001"},
		RingingTimeout: 30, MaxDuration: 60, Status: call.Initiated, CreatedAt: now.Add(time.Duration(i-30) * 6 * time.Hour)}
}

func add(b *apitest.Bench, c call.Call) {
	b.Helper()
	err := b.Place(b.Context(), c)
	b.Must(err)
}

// ids returns the last two digits of the calls on each page of a list.
func ids(b *apitest.Bench, key, query string) (pages []string) {
	b.Helper()
	for cursor, more := "", true; more; {
		a := b.Ask(key, "GET", "/outbound-calls?"+query+cursor, "")
		if a.Status != 200 {
			b.Fatalf("%s: %d %s", query, a.Status, a.Text)
		}
		var page []string
		for _, item := range a.Body["data"].([]any) {
			id := item.(map[string]any)["call_id"].(string)
			page = append(page, id[len(id)-2:])
		}
		pages = append(pages, strings.Join(page, " "))
		next, _ := a.Body["next_cursor"].(string)
		cursor, more = "&cursor="+next, next != ""
	}
	return pages
}

func TestSample(t *testing.T) {
	t.Parallel()
	b, _ := setup(t)
	b.SampleKey("ada", account.CallsRead)
	b.Trips()
	a := b.Replay("listcalls", "")
	if trips := b.Trips(); a.Status != 200 || trips != 3 { // the key, the page, the metadata
		t.Fatalf("%d round trips, %d %s", trips, a.Status, a.Text)
	}
	data := a.Body["data"].([]any)
	want := map[string]any{"call_id": "call_01KAMPJ5V0SAMPMECA00000030", "status": "completed", "direction": "outbound", "phone_number": "+14155550100",
		"from_number": lagos, "phone_number_id": number.ID(lagos), "room_name": "call_01KAMPJ5V0SAMPMECA00000030", "agent_name": "support-agent",
		"hangup_cause": "callee_hangup", "sip_status_code": 200.0, "metadata": map[string]any{"order": "A-1001"}, "created_at": "2026-11-22T09:30:00.123Z",
		"answered_at": "2026-11-22T09:30:03.123Z", "ended_at": "2026-11-22T09:30:45.123Z", "duration_seconds": 42.0}
	if d := cmp.Diff(want, data[0]); d != "" || len(data) != 10 {
		t.Errorf("%d calls (-want +got):\n%s", len(data), d)
	}
	if strings.Contains(a.Text, "secret plan") {
		t.Error("a list shows prompts")
	}
}

func TestUnendedCall(t *testing.T) {
	t.Parallel()
	b, key := setup(t)
	a := b.Ask(key, "GET", "/outbound-calls?status=initiated&limit=1", "")
	c := a.Body["data"].([]any)[0].(map[string]any)
	for _, name := range []string{"hangup_cause", "sip_status_code", "answered_at", "ended_at"} {
		if value, there := c[name]; !there || value != nil {
			t.Errorf("%s is %v", name, value)
		}
	}
}

func TestFilters(t *testing.T) {
	t.Parallel()
	b, key := setup(t)
	for query, want := range map[string][]string{
		"limit=20":                                                     {"30 29 28 27 26 25 24 23 22 21 20 19 18 17 16 15 14 13 12 11", "10 09 08 07 06 05 04 03 02 01"},
		"status=completed&limit=4":                                     {"30 27 24 21", "18 15 12 09", "06 03"},
		"status=canceled":                                              {""},
		"direction=inbound":                                            {""},
		"active=true&limit=2":                                          {"29 26"},
		"active=true&from=2026-11-21&limit=3":                          {"29 26"},
		"active=false&limit=20&from=2026-11-21":                        {"30 29 28 27 26 25"},
		"active=true&status=completed":                                 {""},
		"metadata[order]=A-1001&from=2026-11-21":                       {"30 29 28 27 26 25"},
		"metadata%5Border%5D=A-1001&from=2026-11-21&status=busy":       {"28 25"},
		"metadata[order]=A-1002":                                       {"", ""},
		"metadata[order]=A-1001&metadata[shop]=1":                      {"", ""},
		"metadata[Order]=A-1001":                                       {"", ""},
		"cursor=&from=2026-11-22":                                      {"30 29"},
		"direction=outbound&limit=100":                                 {"30 29 28 27 26 25 24 23 22 21 20 19 18 17 16 15 14 13 12 11 10 09 08 07 06 05 04 03 02 01"},
		"phone_number_id=" + number.ID("+1"):                           {""},
		"from=2026-11-21":                                              {"30 29 28 27 26 25"},
		"from=2026-11-21&to=2026-11-21":                                {"28 27 26 25"},
		"from=2026-11-22T03:30:00.123Z":                                {"30 29"},
		"from=2026-11-22T03:30:00.124Z":                                {"30"},
		"from=2026-11-22T04:30:00.123%2B01:00":                         {"30 29"},
		"to=2026-11-15T21:30:00.123Z&limit=50":                         {"03 02 01"},
		"from=2026-11-22T03:30:00.1231Z&to=2026-11-22T03:30:00.124Z":   {"29"},
		"from=2026-11-20&to=2026-11-21&status=busy&limit=1":            {"28", "25", "22"},
		"from=2026-11-23":                                              {""},
		"to=2026-11-01":                                                {""},
		"from=1900-01-01&to=9000-12-30":                                {"30 29 28 27 26 25 24 23 22 21 20 19 18 17 16 15 14 13 12 11 10 09 08 07 06", "05 04 03 02 01"},
		"phone_number_id=" + number.ID(lagos) + "&status=busy&limit=9": {"28 25 22 19 16 13 10 07 04", "01"},
	} {
		if d := cmp.Diff(want, ids(b, key, query)); d != "" {
			t.Errorf("%s (-want +got):\n%s", query, d)
		}
	}
}

// TestTripsDoNotDependOnTheFilter checks for one round trip for the key, one for the page, and one
// for metadata if a call of the page has some.
func TestTripsDoNotDependOnTheFilter(t *testing.T) {
	t.Parallel()
	b, key := setup(t)
	for _, query := range []string{"", "limit=1", "status=canceled", "direction=outbound&status=busy", "from=2026-11-20&to=2026-11-21", "phone_number_id=" + number.ID("+1")} {
		b.Trips()
		a := b.Ask(key, "GET", "/outbound-calls?"+query, "")
		want := 2
		if strings.Contains(a.Text, `"metadata":{"`) {
			want = 3
		}
		if trips := b.Trips(); a.Status != 200 || trips != want {
			t.Errorf("%s: %d round trips, want %d: %d %s", query, trips, want, a.Status, a.Text)
		}
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	b, key := setup(t)
	next := b.Ask(key, "GET", "/outbound-calls?status=busy&limit=1", "").Body["next_cursor"].(string)
	for query, want := range map[string]string{
		"status=over":                    "status",
		"direction=up":                   "direction",
		"phone_number_id=pn_1":           "phone_number_id",
		"from=yesterday":                 "from",
		"from=2026-02-30":                "from",
		"from=2026-11-22T09:30:00":       "from",
		"to=2026-11-22%2009:30":          "to",
		"to=9999-12-31":                  "to",
		"from=9999-12-31T23:59:59-14:00": "from",
		"to=0000-01-01":                  "to",
		"from=2026-11-22&to=2026-11-21":  "to",
		"from=2026-11-22T09:30:00.0001Z&to=2026-11-22T09:30:00.0009Z": "to",
		"limit=0":                         "limit",
		"limit=101":                       "limit",
		"cursor=" + next:                  "cursor",
		"status=completed&cursor=" + next: "cursor",
		"status=busy&from=2026-11-01&cursor=" + next:        "cursor",
		"active=true&cursor=" + next:                        "cursor",
		"status=busy&active=true&cursor=" + next:            "cursor",
		"status=busy&metadata[order]=A-1001&cursor=" + next: "cursor",
		"active=yes":                              "active",
		"metadata=A-1001":                         "metadata",
		"metadata[]=A-1001":                       "metadata[]",
		"metadata[order=A-1001":                   "metadata[order",
		"metadata[a][b]=A-1001":                   "metadata[a][b]",
		"metadata[order]=":                        "metadata[order]",
		"metadata[order]=A-1&metadata[order]=A-1": "metadata[order]",
		"limit[a]=1":                              "limit[a]",
		"state=busy":                              "state",
	} {
		a := b.Ask(key, "GET", "/outbound-calls?"+query, "")
		if a.Status != 400 || a.Fields()[want] == "" {
			t.Errorf("%s: %d %s", query, a.Status, a.Text)
		}
	}
	_, other := b.Key("bob", account.CallsRead)
	if a := b.Ask(other, "GET", "/outbound-calls?status=busy&cursor="+next, ""); a.Status != 400 {
		t.Errorf("another's cursor: %d %s", a.Status, a.Text)
	}
	if got := ids(b, other, ""); len(got) != 1 || got[0] != "31" {
		t.Errorf("bob sees %v", got)
	}
}

// TestStrangersRoom checks that the name of an inbound room, which holds the caller's own text, is
// not shown if it has characters that a room's name cannot have.
func TestStrangersRoom(t *testing.T) {
	t.Parallel()
	b, key := setup(t)
	c := newCall("ada", 32)
	c.Direction, c.RoomName = call.Inbound, "h7yq2m0c-_'+alert(1)+'_x7Kd"
	add(b, c)
	a := b.Ask(key, "GET", "/outbound-calls?limit=1", "")
	if name := a.Body["data"].([]any)[0].(map[string]any)["room_name"]; a.Status != 200 || name != "anonymous" {
		t.Errorf("%d %s", a.Status, a.Text)
	}
}

package listevents_test

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/krosai/telephony/functions/listevents"
	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/api/apitest"
	"github.com/krosai/telephony/shared/call"
	"github.com/krosai/telephony/shared/store"
)

var morning = time.Date(2026, 11, 22, 9, 30, 0, 123e6, time.UTC)

// bench serves the endpoint. Its clock stands still unless a test advances passed.
type bench struct {
	*apitest.Bench
	passed atomic.Int64
}

func open(t *testing.T) *bench {
	t.Helper()
	b := &bench{}
	b.Bench = apitest.Open(t, func() time.Time { return morning.Add(time.Duration(b.passed.Load())) })
	b.Serve(&listevents.Endpoint{Events: b.DB, Now: b.Now})
	return b
}

// end creates a call of a user and ends it, which makes one event.
func (b *bench) end(user string, n int, metadata map[string]string) string {
	b.Helper()
	id := fmt.Sprintf("call_01KAMPJ5V0SAMPMECA000000%02d", n)
	c := call.Call{ID: id, UserID: user, Direction: call.Outbound, Remote: fmt.Sprintf("+1415555%04d", n), Own: "+2348012345678",
		Country: "US", Status: call.Initiated, CreatedAt: b.Now(), MaxDuration: 60, Metadata: metadata}
	_, may, err := b.CallPermit(b.Context(), user, "")
	b.Must(err)
	may.Home = "US"
	c, _, _, err = b.CreateCall(b.Context(), c, may, store.Once{})
	b.Must(err)
	c.HasMetadata = len(metadata) > 0
	_, err = b.EndCall(b.Context(), c, call.End{Status: call.Busy, Cause: call.CalleeBusy, SIPStatus: 486, At: b.Now()})
	b.Must(err)
	return id
}

// follow reads a log to its end and returns the calls of its events in order, and the
// position at the end.
func (b *bench) follow(credential, query string) (calls []string, next string) {
	b.Helper()
	for {
		a := b.Ask(credential, "GET", "/events?"+query, "")
		if a.Status != 200 {
			b.Fatal(a.Text)
		}
		next = a.Body["next_after"].(string)
		data := a.Body["data"].([]any)
		for _, one := range data {
			calls = append(calls, one.(map[string]any)["call_id"].(string))
		}
		if len(data) == 0 {
			return calls, next
		}
		query, _, _ = strings.Cut(query, "&after=")
		query += "&after=" + next
	}
}

func TestList(t *testing.T) {
	t.Parallel()
	b := open(t)
	b.SampleKey("ada", account.WebhooksRead)
	b.end("ada", 0, map[string]string{"order": "A-1001"})
	b.end("grace", 1, nil)
	a := b.Replay("listevents", "")
	want := `{"data":[{"event_id":"evt_01M819EKHV5410C75T7ACZ5Z51","type":"call.ended","at":"2026-11-22T09:30:00.123Z","call_id":"call_01KAMPJ5V0SAMPMECA00000000",` +
		`"data":{"answered_at":null,"call_id":"call_01KAMPJ5V0SAMPMECA00000000","created_at":"2026-11-22T09:30:00.123Z","direction":"outbound","duration_seconds":0,` +
		`"ended_at":"2026-11-22T09:30:00.123Z","from_number":"+2348012345678","hangup_cause":"busy","metadata":{"order":"A-1001"},"phone_number":"+14155550000",` +
		`"phone_number_id":"","sip_status_code":486,"status":"busy","transfer":null}}],"next_after":"`
	if got, _, _ := strings.Cut(a.Text, a.Body["next_after"].(string)); a.Status != 200 || got != want {
		t.Errorf("%d %s", a.Status, cmp.Diff(want, got))
	}
	b.Trips()
	if b.Replay("listevents", ""); b.Trips() != 3 { // the key, the log, and the metadata that one call has
		t.Error("more than three round trips")
	}
}

// TestFollow checks that a client that keeps next_after gets each event once, whatever the
// size of its pages.
func TestFollow(t *testing.T) {
	t.Parallel()
	b, want := open(t), []string(nil)
	for n := range 23 {
		want = append(want, b.end("ada", n, nil))
		b.passed.Add(int64(time.Duration(n) * 700 * time.Millisecond))
	}
	user := b.User("ada")
	for _, limit := range []string{"limit=1", "limit=7", "limit=100", "limit=10&types=call.ended,api_key.created"} {
		calls, next := b.follow(user, limit)
		if d := cmp.Diff(want, calls); d != "" {
			t.Errorf("%s: %s", limit, d)
		}
		if calls, _ = b.follow(user, limit+"&after="+next); calls != nil {
			t.Errorf("%s: once more: %s", limit, calls)
		}
	}
	_, next := b.follow(user, "after=latest")
	b.passed.Add(int64(time.Millisecond))
	last := b.end("ada", 40, nil)
	if calls, _ := b.follow(user, "&after="+next); len(calls) != 1 || calls[0] != last {
		t.Errorf("from latest on: %s, want %s", calls, last)
	}
}

func TestWhoSeesWhat(t *testing.T) {
	t.Parallel()
	b := open(t)
	b.end("ada", 0, nil)
	_, reader := b.Key("ada", account.WebhooksRead)
	_, calls := b.Key("ada", account.CallsRead)
	for _, c := range []struct {
		name, credential, query string
		status, events          int
	}{
		{"the user", b.User("ada"), "", 200, 1},
		{"a key that reads webhooks", reader, "", 200, 1},
		{"of another type", reader, "types=call.answered", 200, 0},
		{"a key that reads calls", calls, "", 403, 0},
		{"another user", b.User("grace"), "", 200, 0},
		{"nobody", "", "", 401, 0},
		{"no such type", b.User("ada"), "types=call.dialed", 400, 0},
		{"too long", b.User("ada"), "wait_seconds=21", 400, 0},
		{"no cursor", b.User("ada"), "after=AAAA", 400, 0},
	} {
		a := b.Ask(c.credential, "GET", "/events?"+c.query, "")
		if data, _ := a.Body["data"].([]any); a.Status != c.status || len(data) != c.events {
			t.Errorf("%s: %s", c.name, a.Text)
		}
	}
	_, next := b.follow(b.User("ada"), "limit=10")
	for _, query := range []string{"types=call.ended&after=" + next, "limit=3&after=" + next[:len(next)-1] + "x"} {
		if a := b.Ask(b.User("ada"), "GET", "/events?"+query, ""); a.Status != 400 || !strings.Contains(a.Text, `"field":"after"`) {
			t.Errorf("%s: %s", query, a.Text)
		}
	}
	if a := b.Ask(b.User("grace"), "GET", "/events?after="+next, ""); a.Status != 400 {
		t.Errorf("another user's next_after: %s", a.Text)
	}
}

// TestWaiters checks that the sixth request that waits is refused, and that a place is free again
// when its time is over.
func TestWaiters(t *testing.T) {
	t.Parallel()
	b := open(t)
	for place := range store.MaxWaiters {
		if got, err := b.Wait(t.Context(), "ada", b.Now().Add(time.Minute)); err != nil || got != place {
			t.Fatalf("place %d, %v", got, err)
		}
	}
	a := b.Ask(b.User("ada"), "GET", "/events?wait_seconds=20", "")
	if a.Status != 429 || a.Body["code"] != "TOO_MANY_WAITERS" || a.Header.Get("Retry-After") != "5" {
		t.Errorf("%d %s", a.Status, a.Text)
	}
	b.end("ada", 0, nil)
	if a := b.Ask(b.User("ada"), "GET", "/events?wait_seconds=20", ""); a.Status != 200 {
		t.Errorf("who need not wait: %s", a.Text)
	}
	b.Must(b.StopWaiting(t.Context(), "ada", 3, b.Now().Add(time.Minute)))
	b.Must(b.StopWaiting(t.Context(), "ada", 2, b.Now().Add(time.Hour))) // by now the place is another request's
	if place, err := b.Wait(t.Context(), "ada", b.Now().Add(time.Minute)); err != nil || place != 3 {
		t.Errorf("the place given back: %d, %v", place, err)
	}
	if _, err := b.Wait(t.Context(), "ada", b.Now().Add(time.Minute)); err == nil {
		t.Error("a sixth request waits")
	}
	b.passed.Add(int64(time.Minute))
	if _, err := b.Wait(t.Context(), "ada", b.Now().Add(time.Minute)); err != nil {
		t.Errorf("after a minute: %v", err)
	}
}

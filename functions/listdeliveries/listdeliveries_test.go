package listdeliveries_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/krosai/telephony/functions/listdeliveries"
	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/api/apitest"
	"github.com/krosai/telephony/shared/event"
	"github.com/krosai/telephony/shared/secret"
	"github.com/krosai/telephony/shared/webhook"
)

const sampleID = "whe_01KAMPJ5V0SAMPMEWHE0000000"

var morning = time.Date(2026, 11, 22, 9, 30, 0, 123e6, time.UTC)

// open is a bench with an endpoint of ada's and n deliveries to it, every third of them dead.
func open(t *testing.T, n int) *apitest.Bench {
	t.Helper()
	b := apitest.Open(t, func() time.Time { return morning })
	b.Serve(&listdeliveries.Endpoint{Deliveries: b.DB})
	b.Must(b.AddEndpoint(t.Context(), webhook.Endpoint{ID: sampleID, UserID: "ada", URL: "https://hooks.acme.co/", Events: []string{event.CallEnded},
		Secret: secret.New("whsec_canary"), CreatedAt: morning}))
	for i := range n {
		d := webhook.Delivery{ID: fmt.Sprintf("dlv_01KAMPJ5V0SAMPMEDEV00000%02d", i), EndpointID: sampleID, Status: webhook.Pending, CreatedAt: morning, NextAt: morning,
			Event: webhook.Event{ID: "evt_01KAMPJ5V0SAMPMEEVT0000000", UserID: "ada", Type: event.CallEnded, At: morning, Body: []byte(`{"a":1}`)}}
		_, err := b.AddDelivery(t.Context(), d)
		b.Must(err)
		if i%3 == 0 {
			b.Must(b.SaveDelivery(t.Context(), d.With(webhook.Attempt{At: morning.Add(time.Second), Status: webhook.Dead, Code: 410, Error: "status", Answer: "go away"}), 0))
		}
	}
	return b
}

func TestList(t *testing.T) {
	t.Parallel()
	b := open(t, 2)
	b.SampleKey("ada", account.WebhooksRead)
	common := `"endpoint_id":"whe_01KAMPJ5V0SAMPMEWHE0000000","event_id":"evt_01KAMPJ5V0SAMPMEEVT0000000","event_type":"call.ended","happened_at":"2026-11-22T09:30:00.123Z",`
	dead := `{"delivery_id":"dlv_01KAMPJ5V0SAMPMEDEV0000000",` + common + `"status":"dead","attempts":1,"last_status_code":410,"last_error":"status",` +
		`"last_attempt_at":"2026-11-22T09:30:01.123Z","next_attempt_at":null,"replay_of":null,"request_body":"{\"a\":1}","response_status":410,"response_body":"go away","created_at":"2026-11-22T09:30:00.123Z"}`
	pending := `{"delivery_id":"dlv_01KAMPJ5V0SAMPMEDEV0000001",` + common + `"status":"pending","attempts":0,"last_status_code":null,"last_error":null,` +
		`"last_attempt_at":null,"next_attempt_at":"2026-11-22T09:30:00.123Z","replay_of":null,"request_body":"{\"a\":1}","response_status":null,"response_body":null,"created_at":"2026-11-22T09:30:00.123Z"}`
	b.Trips()
	a := b.Replay("listdeliveries", "") // asks for the dead ones
	if diff := cmp.Diff(`{"data":[`+dead+`],"next_cursor":null}`+"\n", a.Text); a.Status != 200 || diff != "" || b.Trips() != 2 {
		t.Errorf("%d %s", a.Status, diff)
	}
	a = b.Ask(b.User("ada"), "GET", "/webhook-endpoints/"+sampleID+"/deliveries", "")
	if diff := cmp.Diff(`{"data":[`+pending+`,`+dead+`],"next_cursor":null}`+"\n", a.Text); a.Status != 200 || diff != "" {
		t.Errorf("%d %s", a.Status, diff)
	}
}

func TestPages(t *testing.T) {
	t.Parallel()
	b := open(t, 20)
	list := func(query string) (numbers string, cursor string) {
		t.Helper()
		for {
			a := b.Ask(b.User("ada"), "GET", "/webhook-endpoints/"+sampleID+"/deliveries?limit=3"+query, "")
			if a.Status != 200 {
				t.Fatal(a.Text)
			}
			for _, d := range a.Body["data"].([]any) {
				numbers += " " + strings.TrimPrefix(d.(map[string]any)["delivery_id"].(string), "dlv_01KAMPJ5V0SAMPMEDEV00000")
			}
			next, more := a.Body["next_cursor"].(string)
			if !more {
				return numbers, cursor
			}
			cursor = next
			query, _, _ = strings.Cut(query, "&cursor=")
			query += "&cursor=" + cursor
		}
	}
	if got, _ := list("&status=dead"); got != " 18 15 12 09 06 03 00" {
		t.Errorf("dead: %s", got)
	}
	if got, _ := list("&status=delivered"); got != "" {
		t.Errorf("delivered: %s", got)
	}
	all, cursor := list("")
	if all != " 19 18 17 16 15 14 13 12 11 10 09 08 07 06 05 04 03 02 01 00" {
		t.Errorf("all: %s", all)
	}
	for name, c := range map[string]struct{ user, path string }{
		"another list's":    {"ada", sampleID + "/deliveries?status=dead&cursor=" + cursor},
		"another endpoint":  {"ada", "whe_01KAMPJ5V0SAMPMEWHE0000001/deliveries?cursor=" + cursor},
		"another user's":    {"bob", sampleID + "/deliveries?cursor=" + cursor},
		"an unknown status": {"ada", sampleID + "/deliveries?status=lost"},
	} {
		if a := b.Ask(b.User(c.user), "GET", "/webhook-endpoints/"+c.path, ""); a.Status != 400 {
			t.Errorf("%s: %d %s", name, a.Status, a.Text)
		}
	}
}

func TestNothing(t *testing.T) {
	t.Parallel()
	b := open(t, 0)
	if a := b.Ask(b.User("ada"), "GET", "/webhook-endpoints/"+sampleID+"/deliveries", ""); a.Text != `{"data":[],"next_cursor":null}`+"\n" {
		t.Errorf("%d %s", a.Status, a.Text)
	}
	if a := b.Ask(b.User("bob"), "GET", "/webhook-endpoints/"+sampleID+"/deliveries", ""); a.Status != 404 {
		t.Errorf("another user's: %d %s", a.Status, a.Text)
	}
}

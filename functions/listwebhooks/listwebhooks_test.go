package listwebhooks_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/krosai/telephony/functions/listwebhooks"
	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/api/apitest"
	"github.com/krosai/telephony/shared/event"
	"github.com/krosai/telephony/shared/secret"
	"github.com/krosai/telephony/shared/webhook"
)

var morning = time.Date(2026, 11, 22, 9, 30, 0, 123e6, time.UTC)

func open(t *testing.T) *apitest.Bench {
	t.Helper()
	b := apitest.Open(t, func() time.Time { return morning })
	b.Serve(&listwebhooks.Endpoint{Endpoints: b.DB})
	return b
}

func add(b *apitest.Bench, n int, user string) {
	b.Helper()
	b.Must(b.AddEndpoint(b.Context(), webhook.Endpoint{ID: fmt.Sprintf("whe_01KAMPJ5V0SAMPMEWHE00000%02d", n), UserID: user, URL: fmt.Sprintf("https://hooks.acme.co/%d", n),
		Events: []string{event.RequestAssigned, event.CallEnded}, Secret: secret.New("whsec_canary"), CreatedAt: morning}))
}

func TestList(t *testing.T) {
	t.Parallel()
	b := open(t)
	b.SampleKey("ada", account.WebhooksRead)
	if a := b.Replay("listwebhooks", ""); a.Text != `{"data":[],"next_cursor":null}`+"\n" {
		t.Errorf("none: %d %s", a.Status, a.Text)
	}
	add(b, 1, "ada")
	add(b, 2, "bob")
	b.Trips()
	a := b.Replay("listwebhooks", "")
	want := `{"data":[{"endpoint_id":"whe_01KAMPJ5V0SAMPMEWHE0000001","url":"https://hooks.acme.co/1","events":["call.ended","number_request.assigned"],` +
		`"status":"active","disabled_at":null,"disabled_reason":null,"failures_in_a_row":0,"created_at":"2026-11-22T09:30:00.123Z"}],"next_cursor":null}` + "\n"
	if diff := cmp.Diff(want, a.Text); a.Status != 200 || diff != "" || strings.Contains(a.Text, "canary") {
		t.Errorf("%d %s", a.Status, diff)
	}
	if trips := b.Trips(); trips != 2 {
		t.Errorf("%d DynamoDB round trips", trips)
	}
}

func TestPages(t *testing.T) {
	t.Parallel()
	b := open(t)
	for n := range webhook.MaxEndpoints {
		add(b, n, "ada")
	}
	var urls []string
	query := ""
	for {
		a := b.Ask(b.User("ada"), "GET", "/webhook-endpoints?limit=3"+query, "")
		if a.Status != 200 {
			t.Fatal(a.Text)
		}
		for _, e := range a.Body["data"].([]any) {
			urls = append(urls, strings.TrimPrefix(e.(map[string]any)["url"].(string), "https://hooks.acme.co/"))
		}
		cursor, more := a.Body["next_cursor"].(string)
		if !more {
			break
		}
		query = "&cursor=" + cursor
	}
	if got := strings.Join(urls, " "); got != "9 8 7 6 5 4 3 2 1 0" {
		t.Errorf("listed %s", got)
	}
	if a := b.Ask(b.User("bob"), "GET", "/webhook-endpoints?limit=3"+query, ""); a.Status != 400 {
		t.Errorf("another user's cursor: %d %s", a.Status, a.Text)
	}
}

package approverequest_test

import (
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/krosai/telephony/functions/approverequest"
	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/api/apitest"
	"github.com/krosai/telephony/shared/number"
	"github.com/krosai/telephony/shared/numberrequest"
)

var now = time.Date(2026, 11, 22, 9, 30, 0, 123e6, time.UTC)

const (
	id   = "req_01KAMPJ5V0SAMP0REQ00000000"
	path = "/admin/phone-number-requests/" + id + "/approve"
)

// setup creates ada's request, whose workflow waits for a decision, and an available number.
func setup(t *testing.T) *apitest.Bench {
	t.Helper()
	b := apitest.Open(t, func() time.Time { return now })
	b.Serve(&approverequest.Endpoint{Requests: b.DB, Numbers: b.DB, Workflow: b.Workflow, Now: func() time.Time { return now.Add(time.Minute) }, Log: slog.New(slog.DiscardHandler)})
	_, _, err := b.CreateRequest(t.Context(), numberrequest.Request{ID: id, UserID: "ada", Country: "NG", Type: "mobile",
		Capabilities: []string{"inbound"}, Purpose: "p", CreatedAt: now})
	b.Must(err)
	_, _, err = b.AwaitRequest(t.Context(), id, "the token", numberrequest.AwaitsDecision)
	b.Must(err)
	number := free("+2348012345678")
	b.Must(b.AddNumber(t.Context(), number, "carol"))
	return b
}

func free(e164 string) number.Number {
	return number.Number{ID: number.ID(e164), E164: e164, Country: "NG", Type: "mobile", Capabilities: []string{"inbound"}, Provider: "p", UpdatedAt: now}
}

// entries returns the lines of the request's audit.
func entries(b *apitest.Bench) (lines []string) {
	b.Helper()
	found, _, err := b.Audit(b.Context(), id, 100, "")
	b.Must(err)
	for _, e := range found {
		lines = append(lines, fmt.Sprintf("%s %s %s %s>%s %s", e.At.Format(time.TimeOnly), e.Actor, e.Action, e.From, e.To, e.Note))
	}
	return lines
}

func TestApprove(t *testing.T) {
	t.Parallel()
	b := setup(t)
	a := b.Replay("approverequest", b.Admin("carol"))
	if a.Status != 200 || a.Body["status"] != "approved" || a.Body["request_id"] != id || a.Body["updated_at"] != "2026-11-22T09:31:00.123Z" || a.Body["phone_number_id"] != nil {
		t.Errorf("%d %s", a.Status, a.Text)
	}
	if diff := cmp.Diff([]string{"the token"}, b.Workflows.Sent()); diff != "" {
		t.Errorf("the workflow was told %s", diff)
	}
	if diff := cmp.Diff([]string{"09:30:00 ada submitted >pending ", "09:31:00 carol approved pending>approved Known customer"}, entries(b)); diff != "" {
		t.Error(diff)
	}
	if r, err := b.RequestByID(t.Context(), id); err != nil || r.WantedNumberID != number.ID("+2348012345678") || r.DecidedBy != "carol" {
		t.Errorf("%+v %v", r, err)
	}
	for _, who := range []string{"carol", "dave"} {
		if a := b.Ask(b.Admin(who), "POST", path, ""); a.Status != 409 || a.Code() != "CONFLICT" || !strings.Contains(a.Text, "approved") {
			t.Errorf("again by %s: %d %s", who, a.Status, a.Text)
		}
	}
}

// TestWithoutBody checks that the body may be missing or empty.
func TestWithoutBody(t *testing.T) {
	t.Parallel()
	for _, body := range []string{"", "{}", `{"note":"n"}`} {
		b := setup(t)
		if a := b.Ask(b.Admin("carol"), "POST", path, body); a.Status != 200 || a.Body["status"] != "approved" {
			t.Errorf("%q: %d %s", body, a.Status, a.Text)
		}
	}
}

func TestRefused(t *testing.T) {
	t.Parallel()
	b := setup(t)
	owned := free("+2348012345679")
	owned.UserID = "bob"
	b.Must(b.PutNumber(t.Context(), owned))
	_, key := b.Key("carol", account.Scopes()...)
	admin := b.Admin("carol")
	for name, c := range map[string]struct {
		credential, path, body string
		want                   int
	}{
		"the requester":           {b.Admin("ada"), path, "", 403},
		"a user":                  {b.User("bob"), path, "", 403},
		"an administrator's key":  {key, path, "", 403},
		"an unknown request":      {admin, strings.Replace(path, "REQ0", "REQ1", 1), "", 404},
		"no request id":           {admin, strings.Replace(path, "req_", "pn_", 1), "", 404},
		"an unknown number":       {admin, path, `{"phone_number_id":"` + number.ID("+1") + `"}`, 404},
		"no number id":            {admin, path, `{"phone_number_id":"` + id + `"}`, 404},
		"somebody's number":       {admin, path, `{"phone_number_id":"` + owned.ID + `"}`, 409},
		"a long note":             {admin, path, `{"note":"` + strings.Repeat("n", 501) + `"}`, 400},
		"a decision for somebody": {admin, path, `{"by":"dave"}`, 400},
	} {
		if a := b.Ask(c.credential, "POST", c.path, c.body); a.Status != c.want {
			t.Errorf("%s: %d %s, want %d", name, a.Status, a.Text, c.want)
		}
	}
	if r, err := b.RequestByID(t.Context(), id); err != nil || r.Status != numberrequest.Pending || len(b.Workflows.Sent()) != 0 {
		t.Errorf("%+v %v, told %v", r, err, b.Workflows.Sent())
	}
}

// TestOneWins checks that one of a hundred concurrent administrators approves. The others get the
// conflict that the request is decided already.
func TestOneWins(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var race sync.WaitGroup
	var mu sync.Mutex
	statuses := map[int]int{}
	for i := range 100 {
		credential := b.Admin(fmt.Sprint("admin", i))
		race.Go(func() {
			a := b.Ask(credential, "POST", path, "")
			mu.Lock()
			defer mu.Unlock()
			statuses[a.Status]++
		})
	}
	race.Wait()
	if diff := cmp.Diff(map[int]int{200: 1, 409: 99}, statuses); diff != "" {
		t.Error(diff)
	}
	if lines := entries(b); len(lines) != 2 {
		t.Errorf("%d lines: %q", len(lines), lines)
	}
}

// TestWorkflowsDown checks that a decision stands even if its workflow cannot be notified. The
// sweep notifies it later.
func TestWorkflowsDown(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.Workflows.Down(true)
	if a := b.Ask(b.Admin("carol"), "POST", path, ""); a.Status != 200 || a.Body["status"] != "approved" {
		t.Errorf("%d %s", a.Status, a.Text)
	}
}

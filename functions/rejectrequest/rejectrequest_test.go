package rejectrequest_test

import (
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/krosai/telephony/functions/rejectrequest"
	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/api/apitest"
	"github.com/krosai/telephony/shared/fault"
	"github.com/krosai/telephony/shared/numberrequest"
)

var now = time.Date(2026, 11, 22, 9, 30, 0, 123e6, time.UTC)

const (
	id   = "req_01KAMPJ5V0SAMP0REQ00000000"
	path = "/admin/phone-number-requests/" + id + "/reject"
)

// setup creates a request of ada's, whose workflow waits for the decision.
func setup(t *testing.T) *apitest.Bench {
	t.Helper()
	b := apitest.Open(t, func() time.Time { return now })
	b.Serve(&rejectrequest.Endpoint{Requests: b.DB, Workflow: b.Workflow, Now: func() time.Time { return now.Add(time.Minute) }, Log: slog.New(slog.DiscardHandler)})
	_, _, err := b.CreateRequest(t.Context(), numberrequest.Request{ID: id, UserID: "ada", Country: "NG", Type: "mobile", PhoneNumber: "+2348012345678",
		Capabilities: []string{"inbound"}, Purpose: "p", CreatedAt: now})
	b.Must(err)
	_, _, err = b.AwaitRequest(t.Context(), id, "the token", numberrequest.AwaitsDecision)
	b.Must(err)
	return b
}

func TestReject(t *testing.T) {
	t.Parallel()
	b := setup(t)
	a := b.Replay("rejectrequest", b.Admin("carol"))
	if a.Status != 200 || a.Body["status"] != "rejected" || a.Body["reason"] != "Please say which company this is for" || a.Body["phone_number_id"] != nil {
		t.Errorf("%d %s", a.Status, a.Text)
	}
	if diff := cmp.Diff([]string{"the token"}, b.Workflows.Sent()); diff != "" {
		t.Errorf("the workflow was told %s", diff)
	}
	entries, _, err := b.Audit(t.Context(), id, 100, "")
	want := []numberrequest.Entry{{At: now, Actor: "ada", Action: "submitted", To: "pending"},
		{At: now.Add(time.Minute), Actor: "carol", Action: "rejected", From: "pending", To: "rejected", Note: "Please say which company this is for"}}
	if diff := cmp.Diff(want, entries); err != nil || diff != "" {
		t.Errorf("%v %s", err, diff)
	}
	if a := b.Ask(b.Admin("dave"), "POST", path, `{"reason":"r"}`); a.Status != 409 || !strings.Contains(a.Text, "rejected") {
		t.Errorf("again: %d %s", a.Status, a.Text)
	}
	// another user can claim the number now
	_, _, err = b.CreateRequest(t.Context(), numberrequest.Request{ID: strings.Replace(id, "REQ0", "REQ1", 1), UserID: "bob", Country: "NG", Type: "mobile",
		PhoneNumber: "+2348012345678", Purpose: "p", CreatedAt: now})
	b.Must(err)
}

func TestRefused(t *testing.T) {
	t.Parallel()
	b := setup(t)
	_, key := b.Key("carol", account.Scopes()...)
	admin := b.Admin("carol")
	for name, c := range map[string]struct {
		credential, path, body string
		want                   int
	}{
		"the requester":          {b.Admin("ada"), path, `{"reason":"r"}`, 403},
		"a user":                 {b.User("bob"), path, `{"reason":"r"}`, 403},
		"an administrator's key": {key, path, `{"reason":"r"}`, 403},
		"an unknown request":     {admin, strings.Replace(path, "REQ0", "REQ1", 1), `{"reason":"r"}`, 404},
		"no request id":          {admin, strings.Replace(path, "req_", "pn_", 1), `{"reason":"r"}`, 404},
		"no body":                {admin, path, "", 400},
		"no reason":              {admin, path, "{}", 400},
		"an empty reason":        {admin, path, `{"reason":""}`, 400},
		"a blank reason":         {admin, path, `{"reason":" "}`, 400},
		"a long reason":          {admin, path, `{"reason":"` + strings.Repeat("r", 501) + `"}`, 400},
	} {
		if a := b.Ask(c.credential, "POST", c.path, c.body); a.Status != c.want {
			t.Errorf("%s: %d %s, want %d", name, a.Status, a.Text, c.want)
		}
	}
	if r, err := b.RequestByID(t.Context(), id); err != nil || r.Status != numberrequest.Pending || len(b.Workflows.Sent()) != 0 {
		t.Errorf("%+v %v, told %v", r, err, b.Workflows.Sent())
	}
}

// TestOneWins checks that exactly one decision stands if approvals and rejections come at once.
func TestOneWins(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var race sync.WaitGroup
	var mu sync.Mutex
	won := map[string]int{}
	count := func(decision string) {
		mu.Lock()
		defer mu.Unlock()
		won[decision]++
	}
	for i := range 50 {
		credential := b.Admin(fmt.Sprint("rejects", i))
		race.Go(func() {
			if a := b.Ask(credential, "POST", path, `{"reason":"r"}`); a.Status == 200 {
				count("rejected")
			} else if a.Status != 409 {
				t.Errorf("reject: %d %s", a.Status, a.Text)
			}
		})
		race.Go(func() {
			_, err := b.Decide(t.Context(), id, numberrequest.Decision{Approve: true, By: fmt.Sprint("approves", i)}, now)
			if err == nil {
				count("approved")
			} else if !fault.Is(err, fault.Conflict) {
				t.Errorf("approve: %v", err)
			}
		})
	}
	race.Wait()
	r, err := b.RequestByID(t.Context(), id)
	if diff := cmp.Diff(map[string]int{string(r.Status): 1}, won); err != nil || diff != "" {
		t.Errorf("%v %s", err, diff)
	}
}

// A decision stands even if its workflow cannot be notified. The sweep notifies it.
func TestWorkflowsDown(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.Workflows.Down(true)
	if a := b.Ask(b.Admin("carol"), "POST", path, `{"reason":"r"}`); a.Status != 200 || a.Body["status"] != "rejected" {
		t.Errorf("%d %s", a.Status, a.Text)
	}
}

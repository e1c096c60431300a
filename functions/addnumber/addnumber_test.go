package addnumber_test

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/krosai/telephony/functions/addnumber"
	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/api/apitest"
	"github.com/krosai/telephony/shared/number"
	"github.com/krosai/telephony/shared/numberrequest"
)

var now = time.Date(2026, 11, 22, 9, 30, 0, 123e6, time.UTC)

const path = "/admin/phone-numbers"

func setup(t *testing.T) *apitest.Bench {
	t.Helper()
	b := apitest.Open(t, func() time.Time { return now })
	b.Serve(&addnumber.Endpoint{Numbers: b.DB, Requests: b.DB, Workflow: b.Workflow, Now: b.Now, Log: slog.New(slog.DiscardHandler)})
	return b
}

// waits creates an approved request whose workflow waits for stock. The user's name is the token.
func waits(b *apitest.Bench, r numberrequest.Request) {
	b.Helper()
	r.ID, r.Purpose, r.CreatedAt = "req_01KAMPJ5V0SAMP0REQ000000"+strings.ToUpper(r.UserID[:2]), "p", now
	_, _, err := b.CreateRequest(b.Context(), r)
	b.Must(err)
	_, err = b.Decide(b.Context(), r.ID, numberrequest.Decision{Approve: true, By: "carol"}, now)
	b.Must(err)
	_, _, err = b.AwaitRequest(b.Context(), r.ID, r.UserID, numberrequest.AwaitsNumber)
	b.Must(err)
}

func TestAdd(t *testing.T) {
	t.Parallel()
	b := setup(t)
	a := b.Replay("addnumber", b.Admin("carol"))
	id := number.ID("+2348012345680")
	want := map[string]any{"phone_number_id": id, "phone_number": "+2348012345680", "country": "NG", "number_type": "mobile",
		"capabilities": []any{"inbound", "outbound"}, "provider": "Twilio", "status": "available", "user_id": nil,
		"configuration_status": "unconfigured", "assigned_at": nil}
	if diff := cmp.Diff(want, a.Body); a.Status != 201 || diff != "" {
		t.Errorf("%d %s", a.Status, diff)
	}
	n, err := b.NumberByID(t.Context(), id)
	if err != nil || n.Provider != "Twilio" || n.UserID != "" {
		t.Errorf("%+v %v", n, err)
	}
	entries, _, err := b.Audit(t.Context(), id, 10, "")
	if diff := cmp.Diff([]numberrequest.Entry{{At: now, Actor: "carol", Action: "added", To: "available"}}, entries); err != nil || diff != "" {
		t.Errorf("%v %s", err, diff)
	}
	if a := b.Replay("addnumber", b.Admin("dave")); a.Status != 409 && a.Header.Get("Idempotency-Replayed") == "" {
		t.Errorf("again: %d %s", a.Status, a.Text)
	}
	if a := b.Ask(b.Admin("dave"), "POST", path, `{"phone_number":"+2348012345680","country":"NG","number_type":"local","capabilities":["inbound"],"provider":"x"}`); a.Status != 409 || a.Code() != "CONFLICT" {
		t.Errorf("a number that is there: %d %s", a.Status, a.Text)
	}
}

// TestWakesWhoWaits checks that exactly the waiting requests that the number fits are woken.
func TestWakesWhoWaits(t *testing.T) {
	t.Parallel()
	b := setup(t)
	waits(b, numberrequest.Request{UserID: "ada", Country: "NG", Type: "mobile", Capabilities: []string{"inbound"}})
	waits(b, numberrequest.Request{UserID: "bob", Country: "NG", Type: "local", Capabilities: []string{"inbound"}})
	waits(b, numberrequest.Request{UserID: "eve", Country: "NG", Type: "local", PhoneNumber: "+2348012345680"})
	waits(b, numberrequest.Request{UserID: "fay", Country: "NG", Type: "mobile", PhoneNumber: "+2348012345679"})
	if a := b.Replay("addnumber", b.Admin("carol")); a.Status != 201 {
		t.Fatal(a.Text)
	}
	if diff := cmp.Diff([]string{"ada", "eve"}, b.Workflows.Sent()); diff != "" {
		t.Error(diff)
	}
}

// TestWorkflowsDown checks that a number is added even if no workflow can be woken.
func TestWorkflowsDown(t *testing.T) {
	t.Parallel()
	b := setup(t)
	waits(b, numberrequest.Request{UserID: "ada", Country: "NG", Type: "mobile", Capabilities: []string{"inbound"}})
	b.Workflows.Down(true)
	if a := b.Replay("addnumber", b.Admin("carol")); a.Status != 201 {
		t.Errorf("%d %s", a.Status, a.Text)
	}
}

// TestCountryOfANumber checks that a number is added only with its own country. A toll-free number
// of +1 may have any country of +1.
func TestCountryOfANumber(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for i, tt := range []struct {
		phoneNumber, country string
		status               int
	}{
		{"+18005550199", "CA", 201}, {"+18885550199", "US", 201}, {"+18335550199", "JM", 201}, {"+18005550198", "GB", 400},
		{"+14155550100", "CA", 400}, {"+18765550123", "US", 400}, {"+2349101234567", "NG", 201}, {"+19835550123", "US", 201},
	} {
		body := fmt.Sprintf(`{"phone_number":%q,"country":%q,"number_type":"toll_free","capabilities":["inbound"],"provider":"p"}`, tt.phoneNumber, tt.country)
		a := b.Ask(b.Admin("carol"), "POST", path, body)
		if a.Status != tt.status || tt.status == 400 && a.Fields()["country"] != "mismatch" || tt.status == 201 && a.Body["country"] != tt.country {
			t.Errorf("%d %s of %s: %d %s", i, tt.phoneNumber, tt.country, a.Status, a.Text)
		}
	}
}

func TestInvalid(t *testing.T) {
	t.Parallel()
	b := setup(t)
	good := map[string]string{"phone_number": `"+2348012345680"`, "country": `"NG"`, "number_type": `"mobile"`, "capabilities": `["inbound"]`, "provider": `"p"`}
	for field, values := range map[string][]string{
		"phone_number": {"", `"08012345678"`, `"+99999999999"`, `"+19005550100"`, `"+881612345678"`, `"+19115550100"`, "null"},
		"country":      {"", `"GH"`, `"ng"`, `"ZZ"`},
		"number_type":  {"", `"premium"`},
		"capabilities": {"", "[]", `["inbound","inbound"]`, "null"},
		"provider":     {"", `""`, `" p"`, `"` + strings.Repeat("p", 65) + `"`, `"p\u0000"`},
		"user_id":      {`"ada"`},
	} {
		for _, value := range values {
			var members []string
			for name, v := range good {
				if name != field {
					members = append(members, `"`+name+`":`+v)
				}
			}
			if value != "" {
				members = append(members, `"`+field+`":`+value)
			}
			a := b.Ask(b.Admin("carol"), "POST", path, "{"+strings.Join(members, ",")+"}")
			if a.Status != 400 || a.Fields()[field] == "" {
				t.Errorf("%s %s: %d %s", field, value, a.Status, a.Text)
			}
		}
	}
	_, key := b.Key("carol", account.Scopes()...)
	for who, credential := range map[string]string{"a user": b.User("ada"), "an administrator's key": key} {
		if a := b.Replay("addnumber", credential); a.Status != 403 {
			t.Errorf("%s: %d %s", who, a.Status, a.Text)
		}
	}
	if _, err := b.NumberByID(t.Context(), number.ID("+2348012345680")); err == nil {
		t.Error("it was added")
	}
}

package getrequest_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/krosai/telephony/functions/getrequest"
	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/api/apitest"
	"github.com/krosai/telephony/shared/numberrequest"
)

var now = time.Date(2026, 11, 22, 9, 30, 0, 123e6, time.UTC)

func TestGet(t *testing.T) {
	t.Parallel()
	b := apitest.Open(t, func() time.Time { return now })
	b.Serve(&getrequest.Endpoint{Requests: b.DB})
	const id = "req_01KAMPJ5V0SAMP0REQ00000000"
	_, _, err := b.CreateRequest(t.Context(), numberrequest.Request{ID: id, UserID: "ada", Country: "NG", Type: "local", AreaCode: "1",
		Capabilities: []string{"outbound"}, Purpose: "Orders", CreatedAt: now})
	b.Must(err)
	b.SampleKey("ada", account.NumbersRead)
	b.Trips()
	want := map[string]any{"request_id": id, "status": "pending", "country": "NG", "number_type": "local", "area_code": "1",
		"phone_number": nil, "capabilities": []any{"outbound"}, "purpose": "Orders", "reason": nil, "phone_number_id": nil,
		"created_at": "2026-11-22T09:30:00.123Z", "updated_at": "2026-11-22T09:30:00.123Z"}
	a := b.Replay("getrequest", "")
	if diff := cmp.Diff(want, a.Body); a.Status != 200 || diff != "" {
		t.Errorf("%d %s", a.Status, diff)
	}
	if trips := b.Trips(); trips != 2 {
		t.Errorf("%d DynamoDB round trips", trips)
	}
	if a := b.Replay("getrequest", b.User("bob")); a.Status != 404 {
		t.Errorf("another user's: %d %s", a.Status, a.Text)
	}
}

// TestDecided checks that the owner of a decided request sees the reason, but not the decider.
func TestDecided(t *testing.T) {
	t.Parallel()
	b := apitest.Open(t, func() time.Time { return now })
	b.Serve(&getrequest.Endpoint{Requests: b.DB})
	const id = "req_01KAMPJ5V0SAMP0REQ00000000"
	_, _, err := b.CreateRequest(t.Context(), numberrequest.Request{ID: id, UserID: "ada", Country: "NG", Type: "local", Purpose: "p", CreatedAt: now})
	b.Must(err)
	_, err = b.Decide(t.Context(), id, numberrequest.Decision{By: "carol", Reason: "no such firm"}, now.Add(time.Minute))
	b.Must(err)
	a := b.Ask(b.User("ada"), "GET", "/telephony/phone-number-requests/"+id, "")
	if a.Status != 200 || a.Body["status"] != "rejected" || a.Body["reason"] != "no such firm" || a.Body["updated_at"] != "2026-11-22T09:31:00.123Z" {
		t.Errorf("%d %s", a.Status, a.Text)
	}
	if _, shown := a.Body["decided_by"]; shown {
		t.Errorf("the owner sees who decided: %s", a.Text)
	}
}

package assignnumber_test

import (
	"testing"
	"time"

	"github.com/krosai/telephony/functions/assignnumber"
	"github.com/krosai/telephony/shared/api/apitest"
	"github.com/krosai/telephony/shared/event"
	"github.com/krosai/telephony/shared/number"
	"github.com/krosai/telephony/shared/store"
)

var now = time.Date(2026, 11, 22, 9, 31, 0, 0, time.UTC)

// stocked puts the sample's number into the inventory.
func stocked(b *apitest.Bench) string {
	b.Helper()
	const e164 = "+2348012345678"
	n := number.Number{ID: number.ID(e164), E164: e164, Country: "NG", Type: "mobile", Capabilities: []string{"inbound"}, Provider: "Twilio", UpdatedAt: now}
	b.Must(b.AddNumber(b.Context(), n, "root"))
	return n.ID
}

// TestGive checks that the user gets the number and an event, and that no other
// user gets the number.
func TestGive(t *testing.T) {
	t.Parallel()
	b := apitest.Open(t, func() time.Time { return now })
	b.Serve(&assignnumber.Endpoint{Numbers: b.DB})
	id := stocked(b)
	for i, step := range []struct {
		path, body string
		want       int
	}{
		{id, `{"user_id":"a/b"}`, 400},
		{id, `{}`, 400},
		{"pn_01ARZ3NDEKTSV4RRFFQ69G5FAV", `{"user_id":"ada"}`, 404},
		{id, `{"user_id":"ada"}`, 200},
		{id, `{"user_id":"bob"}`, 409},
	} {
		if a := b.Ask(b.Admin("carol"), "POST", "/admin/phone-numbers/"+step.path+"/assign", step.body); a.Status != step.want {
			t.Errorf("%d: %d %s", i, a.Status, a.Text)
		}
	}
	if n, err := b.Number(t.Context(), "ada", id); err != nil || !n.AssignedAt.Equal(now) {
		t.Errorf("%+v, %v", n, err)
	}
	events, _, err := b.EventsOf(t.Context(), "ada", store.Log{}, 10, "")
	if err != nil || len(events) != 1 || events[0].Type != event.NumberAssigned {
		t.Errorf("%+v, %v", events, err)
	}
	if a := b.Ask(b.User("ada"), "POST", "/admin/phone-numbers/"+id+"/assign", `{"user_id":"ada"}`); a.Status != 403 {
		t.Errorf("%d %s", a.Status, a.Text)
	}
}

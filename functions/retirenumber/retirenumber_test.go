package retirenumber_test

import (
	"log/slog"
	"testing"
	"time"

	"github.com/krosai/telephony/functions/addnumber"
	"github.com/krosai/telephony/functions/retirenumber"
	"github.com/krosai/telephony/shared/api/apitest"
	"github.com/krosai/telephony/shared/number"
)

var now = time.Date(2026, 11, 22, 9, 31, 0, 0, time.UTC)

// stocked adds the sample's number to the inventory and returns its id.
func stocked(b *apitest.Bench) string {
	b.Helper()
	const e164 = "+2348012345678"
	n := number.Number{ID: number.ID(e164), E164: e164, Country: "NG", Type: "mobile", Capabilities: []string{"inbound"}, Provider: "Twilio", UpdatedAt: now}
	b.Must(b.AddNumber(b.Context(), n, "root"))
	return n.ID
}

// TestRetire checks that a retired number can be added again only with restore.
func TestRetire(t *testing.T) {
	t.Parallel()
	b := apitest.Open(t, func() time.Time { return now })
	b.Serve(&retirenumber.Endpoint{Numbers: b.DB}, &addnumber.Endpoint{Numbers: b.DB, Requests: b.DB, Workflow: b.Workflow, Now: b.Now, Log: slog.New(slog.DiscardHandler)})
	id := stocked(b)
	const add = `{"phone_number":"+2348012345678","country":"NG","number_type":"mobile","capabilities":["inbound","outbound"],"provider":"Telnyx"`
	for i, step := range []struct {
		method, path, body string
		want               int
		code               string
	}{
		{"DELETE", "/" + id, "", 204, ""},
		{"DELETE", "/" + id, "", 204, ""},
		{"DELETE", "/pn_01ARZ3NDEKTSV4RRFFQ69G5FAV", "", 404, "NOT_FOUND"},
		{"POST", "", add + "}", 409, "NUMBER_RETIRED"},
		{"POST", "", add + `,"restore":true}`, 201, ""},
		{"POST", "", add + `,"restore":true}`, 409, "CONFLICT"},
	} {
		if a := b.Ask(b.Admin("carol"), step.method, "/admin/phone-numbers"+step.path, step.body); a.Status != step.want || a.Code() != step.code {
			t.Errorf("%d: %d %s", i, a.Status, a.Text)
		}
	}
	if n, err := b.NumberByID(t.Context(), id); err != nil || n.Retired || n.Provider != "Telnyx" {
		t.Errorf("%+v, %v", n, err)
	}
	_, err := b.AssignNumber(t.Context(), id, "ada", "carol")
	b.Must(err)
	if a := b.Ask(b.Admin("carol"), "DELETE", "/admin/phone-numbers/"+id, ""); a.Status != 409 {
		t.Errorf("while somebody has it: %d %s", a.Status, a.Text)
	}
	if a := b.Ask(b.User("ada"), "DELETE", "/admin/phone-numbers/"+id, ""); a.Status != 403 {
		t.Errorf("%d %s", a.Status, a.Text)
	}
}

package importnumbers_test

import (
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/krosai/telephony/functions/importnumbers"
	"github.com/krosai/telephony/shared/api/apitest"
	"github.com/krosai/telephony/shared/number"
	"github.com/krosai/telephony/shared/numberrequest"
)

var now = time.Date(2026, 11, 22, 9, 31, 0, 0, time.UTC)

const path = "/admin/phone-numbers/import"

func setup(t *testing.T) *apitest.Bench {
	t.Helper()
	b := apitest.Open(t, func() time.Time { return now })
	b.Serve(&importnumbers.Endpoint{Numbers: b.DB, Requests: b.DB, Workflow: b.Workflow, Now: b.Now, Log: slog.New(slog.DiscardHandler)})
	return b
}

// load imports a table of the given media type.
func load(b *apitest.Bench, media, body string) apitest.Answer {
	b.Helper()
	return b.Ask(b.Admin("carol"), http.MethodPost, path, body, "Content-Type", media)
}

func row(phone, rest string) string { return fmt.Sprintf(`{"phone_number":%q,%s}`, phone, rest) }

const mobile = `"country":"NG","number_type":"mobile","capabilities":["inbound","outbound"],"provider":"Twilio"`

// TestRows checks that an invalid row refuses only itself and reports the reason.
func TestRows(t *testing.T) {
	t.Parallel()
	b := setup(t)
	retired := number.Number{ID: number.ID("+2348012345689"), E164: "+2348012345689", Country: "NG", Type: "mobile", UpdatedAt: now}
	b.Must(b.AddNumber(t.Context(), retired, "root"))
	b.Must(b.RetireNumber(t.Context(), retired.ID, "root"))
	rows := []string{
		row("+2348012345681", mobile),
		row("+2348012345681", mobile), // the same number twice
		row("2348012345682", mobile),
		row("+2348012345683", strings.Replace(mobile, "NG", "GH", 1)),
		row("+2348012345684", strings.Replace(mobile, "mobile", "satellite", 1)),
		row("+2348012345685", strings.Replace(mobile, `["inbound","outbound"]`, `["fax"]`, 1)),
		row("+2348012345686", strings.Replace(mobile, `["inbound","outbound"]`, `[]`, 1)),
		row("+2348012345687", strings.Replace(mobile, "Twilio", "", 1)),
		row("+2348012345688", mobile+`,"color":"red"`),
		row("+2348012345689", mobile),
		`7`,
		row("+2348012345690", mobile),
	}
	a := load(b, "application/json", `{"numbers":[`+strings.Join(rows, ",")+`]}`)
	var got []string
	for _, r := range a.Body["refused"].([]any) {
		refused := r.(map[string]any)
		got = append(got, fmt.Sprint(refused["row"], " ", refused["phone_number"], " ", refused["code"]))
	}
	want := []string{"3 2348012345682 invalid_number", "4 +2348012345683 mismatch", "5 +2348012345684 enum", "6 +2348012345685 enum",
		"7 +2348012345686 required", "8 +2348012345687 malformed", "9 +2348012345688 malformed", "10 +2348012345689 NUMBER_RETIRED", "11  malformed"}
	if d := cmp.Diff(want, got); d != "" || a.Status != 200 || a.Body["added"] != 2.0 || a.Body["known"] != 1.0 {
		t.Errorf("%d %s %s", a.Status, a.Text, d)
	}
	entries, _, err := b.Audit(t.Context(), number.ID("+2348012345690"), 10, "")
	if d := cmp.Diff([]numberrequest.Entry{{At: now, Actor: "carol", Action: "added", To: "available"}}, entries); err != nil || d != "" {
		t.Errorf("%v %s", err, d)
	}
}

// TestTables checks that the same table in JSON and CSV is the same import, that an import may be
// repeated, and that a malformed table is refused as a whole.
func TestTables(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const header = "phone_number,country,number_type,capabilities,provider\n"
	for _, step := range []struct {
		name, media, body string
		status            int
		added, known      float64
		refused           int
	}{
		{
			name:   "CSV",
			media:  "text/csv; charset=utf-8",
			body:   "\uFEFF" + header + "+2348012345681,NG,mobile,inbound outbound,Twilio\r\n+2348012345682,NG,mobile,\"inbound,outbound\",\"Twilio\"\n",
			status: 200,
			added:  2,
		},
		{
			name:   "the same in JSON",
			media:  "application/json",
			body:   `{"numbers":[` + row("+2348012345681", mobile) + `,` + row("+2348012345682", mobile) + `]}`,
			status: 200,
			known:  2,
		},
		{
			name:   "columns in another order",
			media:  "text/csv",
			body:   "provider,phone_number,country,number_type,capabilities\nTwilio,+2348012345683,NG,mobile,inbound\n",
			status: 200,
			added:  1,
		},
		{
			name:    "a row with too many cells",
			media:   "text/csv",
			body:    header + "+2348012345684,NG,mobile,inbound,outbound,Twilio\n+2348012345685,NG,mobile,inbound,Twilio\n",
			status:  200,
			added:   1,
			refused: 1,
		},
		{name: "no rows", media: "text/csv", body: header, status: 400},
		{name: "nothing", media: "text/csv", status: 400},
		{name: "a column that is none", media: "text/csv", body: "phone_number,color\n", status: 400},
		{name: "a column twice", media: "text/csv", body: "phone_number,phone_number\n", status: 400},
		{name: "a quote that is not closed", media: "text/csv", body: header + "\"+2348012345686,NG", status: 400},
		{name: "an empty list", media: "application/json", body: `{"numbers":[]}`, status: 400},
		{name: "another member", media: "application/json", body: `{"numbers":[],"more":1}`, status: 400},
		{name: "two objects", media: "application/json", body: `{"numbers":[` + row("+2348012345687", mobile) + `]}{}`, status: 400},
		{name: "no JSON", media: "application/json", body: `+2348012345681`, status: 400},
		{name: "another type", media: "text/plain", body: header, status: 415},
		{name: "501 rows", media: "text/csv", body: header + strings.Repeat("+2348012345681,NG,mobile,inbound,Twilio\n", 501), status: 400},
		{name: "more than 200 kB", media: "text/csv", body: header + strings.Repeat("x", 200<<10), status: 413},
	} {
		a := load(b, step.media, step.body)
		if a.Status != step.status {
			t.Errorf("%s: %d %s", step.name, a.Status, a.Text)
			continue
		}
		if step.status != 200 {
			continue
		}
		if refused, _ := a.Body["refused"].([]any); a.Body["added"] != step.added || a.Body["known"] != step.known || len(refused) != step.refused {
			t.Errorf("%s: %s", step.name, a.Text)
		}
	}
	n, err := b.NumberByID(t.Context(), number.ID("+2348012345682"))
	if d := cmp.Diff([]string{"inbound", "outbound"}, n.Capabilities); err != nil || d != "" {
		t.Errorf("%v %s", err, d)
	}
}

// TestFull checks that 500 numbers of realistic size fit into one import and wake a request that
// waits for one of them.
func TestFull(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const id = "req_01KAMPJ5V0SAMP0REQ00000000"
	_, _, err := b.CreateRequest(t.Context(), numberrequest.Request{ID: id, UserID: "ada", Country: "NG", Type: "mobile", Capabilities: []string{"inbound"}, CreatedAt: now})
	b.Must(err)
	_, err = b.Decide(t.Context(), id, numberrequest.Decision{Approve: true, By: "carol"}, now)
	b.Must(err)
	_, _, err = b.AwaitRequest(t.Context(), id, "token", numberrequest.AwaitsNumber)
	b.Must(err)
	var rows []string
	for i := range 500 {
		rows = append(rows, row(fmt.Sprintf("+2348012345%03d", i), strings.Replace(mobile, "Twilio", "A carrier of Lagos", 1)))
	}
	body := `{"numbers":[` + strings.Join(rows, ",") + `]}`
	a := load(b, "application/json", body)
	if a.Status != 200 || a.Body["added"] != 500.0 || len(body) < 64<<10 {
		t.Errorf("%d %s, %d bytes", a.Status, a.Text, len(body))
	}
	if d := cmp.Diff([]string{"token"}, b.Workflows.Sent()); d != "" {
		t.Error(d)
	}
	if a := load(b, "application/json", body); a.Status != 200 || a.Body["added"] != 0.0 || a.Body["known"] != 500.0 {
		t.Errorf("again: %d %s", a.Status, a.Text)
	}
}

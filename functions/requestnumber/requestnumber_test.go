package requestnumber_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/krosai/telephony/functions/requestnumber"
	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/api/apitest"
	"github.com/krosai/telephony/shared/number"
	"github.com/krosai/telephony/shared/numberrequest"
)

var now = time.Date(2026, 11, 22, 9, 30, 0, 123456789, time.UTC)

const path = "/telephony/phone-number-requests"

func setup(t *testing.T) *apitest.Bench {
	t.Helper()
	b := apitest.Open(t, func() time.Time { return now })
	b.Serve(&requestnumber.Endpoint{Requests: b.DB, Workflow: b.Workflow, Now: b.Now, Log: slog.New(slog.DiscardHandler)})
	return b
}

func TestRequest(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.SampleKey("ada", account.NumbersWrite)
	a := b.Replay("requestnumber", "")
	if a.Status != 201 {
		t.Fatalf("%d %s", a.Status, a.Text)
	}
	id, _ := a.Body["request_id"].(string)
	want := map[string]any{"request_id": id, "status": "pending", "country": "NG", "number_type": "mobile", "area_code": nil,
		"phone_number": "+2348012345680", "capabilities": []any{"inbound", "outbound"}, "purpose": "Order follow-up calls", "reason": nil,
		"phone_number_id": nil, "created_at": "2026-11-22T09:30:00.123Z", "updated_at": "2026-11-22T09:30:00.123Z"}
	if diff := cmp.Diff(want, a.Body); diff != "" || !strings.HasPrefix(id, "req_") {
		t.Errorf("%s %s", id, diff)
	}
	if diff := cmp.Diff([]string{id}, b.Workflows.Started()); diff != "" {
		t.Errorf("workflows: %s", diff)
	}
	r, err := b.Request(t.Context(), "ada", id)
	if err != nil || r.Purpose != "Order follow-up calls" {
		t.Errorf("%+v %v", r, err)
	}
}

// TestDefaults checks that omitted fields get their defaults, and that a phone number determines
// its country.
func TestDefaults(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{
		`{"country":"NG","purpose":"p"}`:                                                          `NG local <nil> <nil> [inbound outbound]`,
		`{"country":"NG","area_code":"1","capabilities":["outbound"],"purpose":"p"}`:              `NG local 1 <nil> [outbound]`,
		`{"phone_number":"+14155550100","purpose":"p"}`:                                           `US local <nil> +14155550100 [inbound outbound]`,
		`{"phone_number":"+18765550123","country":"JM","number_type":"mobile","purpose":"p"}`:     `JM mobile <nil> +18765550123 [inbound outbound]`,
		`{"phone_number":"+18005550199","country":"CA","purpose":"p"}`:                            `CA local <nil> +18005550199 [inbound outbound]`,
		`{"phone_number":"+18005550199","purpose":"p"}`:                                           `US local <nil> +18005550199 [inbound outbound]`,
		`{"phone_number":"+2349101234567","purpose":"p"}`:                                         `NG local <nil> +2349101234567 [inbound outbound]`,
		`{"country":"US","number_type":"toll_free","purpose":"` + strings.Repeat("ö", 500) + `"}`: `US toll_free <nil> <nil> [inbound outbound]`,
	} {
		b := setup(t)
		a := b.Ask(b.User("ada"), "POST", path, body)
		got := fmt.Sprint(a.Body["country"], " ", a.Body["number_type"], " ", a.Body["area_code"], " ", a.Body["phone_number"], " ", a.Body["capabilities"])
		if a.Status != 201 || got != want {
			t.Errorf("%s: %d %s, want %s: %s", body, a.Status, got, want, a.Text)
		}
	}
}

func TestInvalid(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for body, field := range map[string]string{
		`{"purpose":"p"}`:                  "country",
		`{"country":"NG"}`:                 "purpose",
		`{"country":"NG","purpose":""}`:    "purpose",
		`{"country":"NG","purpose":" \n"}`: "purpose",
		`{"country":"NG","purpose":"` + strings.Repeat("ö", 501) + `"}`:       "purpose",
		`{"country":"ZZ","purpose":"p"}`:                                      "country",
		`{"country":"AQ","purpose":"p"}`:                                      "country",
		`{"country":"ng","purpose":"p"}`:                                      "country",
		`{"country":"NGA","purpose":"p"}`:                                     "country",
		`{"country":"NG","number_type":"premium","purpose":"p"}`:              "number_type",
		`{"country":"NG","area_code":"1a","purpose":"p"}`:                     "area_code",
		`{"country":"NG","area_code":"+1","purpose":"p"}`:                     "area_code",
		`{"country":"NG","area_code":"1234567","purpose":"p"}`:                "area_code",
		`{"country":"NG","capabilities":[],"purpose":"p"}`:                    "capabilities",
		`{"country":"NG","capabilities":["sms"],"purpose":"p"}`:               "capabilities[0]",
		`{"country":"NG","capabilities":["inbound","inbound"],"purpose":"p"}`: "capabilities",
		`{"phone_number":"08012345678","purpose":"p"}`:                        "phone_number",
		`{"phone_number":"+234 801 234 5678","purpose":"p"}`:                  "phone_number",
		`{"phone_number":"+99999999999","purpose":"p"}`:                       "phone_number",
		`{"phone_number":"+19005550100","purpose":"p"}`:                       "phone_number",
		`{"phone_number":"+881612345678","purpose":"p"}`:                      "phone_number",
		`{"phone_number":"+2348012345680","country":"GH","purpose":"p"}`:      "country",
		`{"phone_number":"+18765550123","country":"US","purpose":"p"}`:        "country",
		`{"phone_number":"+18005550199","country":"NG","purpose":"p"}`:        "country",
		`{"country":"NG","purpose":"p","color":"red"}`:                        "color",
		`{"country":"NG","purpose":"p","status":"approved"}`:                  "status",
	} {
		if a := b.Ask(b.User("ada"), "POST", path, body); a.Status != 400 || a.Fields()[field] == "" {
			t.Errorf("%s: %d %s, want the field %s", body, a.Status, a.Text, field)
		}
	}
	if started := b.Workflows.Started(); len(started) != 0 {
		t.Errorf("started %v", started)
	}
}

// TestAlreadyRequested checks that the answer does not reveal whose number or request is
// in conflict.
func TestAlreadyRequested(t *testing.T) {
	t.Parallel()
	b := setup(t)
	owned := number.Number{ID: number.ID("+2348030000001"), E164: "+2348030000001", Country: "NG", Type: "mobile", UserID: "carol", AssignedAt: now}
	b.Must(b.PutNumber(t.Context(), owned))
	ask := func(user, body string) apitest.Answer { return b.Ask(b.User(user), "POST", path, body) }
	if a := ask("ada", `{"phone_number":"+2348030000002","purpose":"p"}`); a.Status != 201 {
		t.Fatal(a.Text)
	}
	for name, c := range map[string]struct{ user, body string }{
		"an owned number":                  {"bob", `{"phone_number":"+2348030000001","purpose":"p"}`},
		"a requested number":               {"bob", `{"phone_number":"+2348030000002","purpose":"p"}`},
		"their own number":                 {"carol", `{"phone_number":"+2348030000001","purpose":"p"}`},
		"the same country and type":        {"ada", `{"country":"NG","purpose":"p"}`},
		"the same once more, word by word": {"ada", `{"phone_number":"+2348030000002","purpose":"p"}`},
	} {
		a := ask(c.user, c.body)
		if a.Status != 409 || a.Code() != "PHONE_NUMBER_ALREADY_REQUESTED" || strings.Contains(a.Text, "carol") || strings.Contains(a.Text, "ada") {
			t.Errorf("%s: %d %s", name, a.Status, a.Text)
		}
	}
	for name, c := range map[string]struct{ user, body string }{
		"another type":    {"ada", `{"country":"NG","number_type":"mobile","purpose":"p"}`},
		"another country": {"ada", `{"country":"GH","purpose":"p"}`},
		"another user":    {"bob", `{"country":"NG","purpose":"p"}`},
	} {
		if a := ask(c.user, c.body); a.Status != 201 {
			t.Errorf("%s: %d %s", name, a.Status, a.Text)
		}
	}
}

// TestLimit checks the limit of five requests an hour. A request that is refused for another reason
// uses up none.
func TestLimit(t *testing.T) {
	t.Parallel()
	b := setup(t)
	countries := []string{"NG", "GH", "US", "GB", "DE", "FR"}
	for i, country := range countries {
		a := b.Ask(b.User("ada"), "POST", path, `{"country":"`+country+`","purpose":"p"}`)
		want, left := 201, fmt.Sprint(4-i)
		if i == 5 {
			want, left = 429, "0"
		}
		if a.Status != want || a.Header.Get("X-RateLimit-Limit") != "5" || a.Header.Get("X-RateLimit-Remaining") != left {
			t.Errorf("request %d: %d %s %v", i+1, a.Status, a.Text, a.Header)
		}
		if i == 5 && (a.Code() != "RATE_LIMIT_EXCEEDED" || a.Header.Get("Retry-After") == "") {
			t.Errorf("%s %v", a.Text, a.Header)
		}
		if i < 4 {
			if again := b.Ask(b.User("ada"), "POST", path, `{"country":"`+country+`","purpose":"p"}`); again.Status != 409 {
				t.Errorf("again: %d %s", again.Status, again.Text)
			}
		}
	}
}

// A request whose workflow could not be started is recorded all the same.
func TestWorkflowsDown(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.Workflows.Down(true)
	a := b.Ask(b.User("ada"), "POST", path, `{"country":"NG","purpose":"p"}`)
	if a.Status != 201 {
		t.Fatalf("%d %s", a.Status, a.Text)
	}
	open, err := b.OpenRequests(t.Context())
	if err != nil || len(open) != 1 || open[0].ID != a.Body["request_id"] {
		t.Errorf("the sweep finds %+v, %v", open, err)
	}
}

func TestRoundTrips(t *testing.T) {
	t.Parallel()
	b := setup(t)
	_, key := b.Key("ada", account.NumbersWrite)
	b.Trips()
	if a := b.Ask(key, "POST", path, `{"country":"NG","purpose":"p"}`); a.Status != 201 {
		t.Fatal(a.Text)
	}
	if trips := b.Trips(); trips != 4 { // the key, the policy, the transaction, the hour
		t.Errorf("%d DynamoDB round trips", trips)
	}
}

// TestTheSameRequestMakesOneRequest checks that a second attempt, after the first died before its
// answer, finds the request that the first one recorded.
func TestTheSameRequestMakesOneRequest(t *testing.T) {
	t.Parallel()
	at := now
	b := apitest.Open(t, func() time.Time { return at })
	dying := &dies{b.DB, true}
	b.Serve(&requestnumber.Endpoint{Requests: dying, Workflow: b.Workflow, Now: b.Now, Log: slog.New(slog.DiscardHandler)})
	token := b.User("ada")
	post := func() apitest.Answer {
		return b.Ask(token, "POST", path, `{"country":"NG","purpose":"p"}`, "Idempotency-Key", "k")
	}
	if a := post(); a.Status != 500 {
		t.Fatalf("%d %s", a.Status, a.Text)
	}
	dying.now, at = false, now.Add(2*time.Minute)
	a := post()
	made, _, err := b.RequestsOf(t.Context(), "ada", 10, "")
	b.Must(err)
	if a.Status != 201 || len(made) != 1 || a.Body["request_id"] != made[0].ID || a.Body["created_at"] != "2026-11-22T09:30:00.123Z" {
		t.Errorf("%d %s, %d requests", a.Status, a.Text, len(made))
	}
}

// dies panics once the request is recorded, as if the function was killed.
type dies struct {
	requestnumber.Requests
	now bool
}

func (d *dies) CreateRequest(ctx context.Context, r numberrequest.Request) (numberrequest.Request, account.Limit, error) {
	made, limit, err := d.Requests.CreateRequest(ctx, r)
	if d.now {
		panic("killed")
	}
	return made, limit, err
}

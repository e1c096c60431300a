package listnumbers_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/krosai/telephony/functions/listnumbers"
	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/api/apitest"
	"github.com/krosai/telephony/shared/number"
)

var morning = time.Date(2026, 11, 22, 9, 30, 0, 123e6, time.UTC)

type bench struct{ *apitest.Bench }

func setup(t *testing.T) bench {
	t.Helper()
	b := bench{apitest.Open(t, nil)}
	b.Serve(&listnumbers.Endpoint{Numbers: b.DB})
	return b
}

func (b bench) key(user, scope string) string {
	b.Helper()
	_, text := b.Key(user, scope)
	return text
}

func (b bench) number(e164, user string, change func(*number.Number)) {
	b.Helper()
	n := number.Number{ID: number.ID(e164), E164: e164, Country: "NG", Type: "mobile", Capabilities: []string{"inbound", "outbound"},
		UserID: user, AssignedAt: morning, UpdatedAt: morning}
	if change != nil {
		change(&n)
	}
	b.Must(b.PutNumber(b.Context(), n))
}

func (b bench) list(key, query string) apitest.Answer {
	b.Helper()
	return b.Ask(key, "GET", "/outbound-calls/phone-numbers"+query, "")
}

func TestList(t *testing.T) {
	t.Parallel()
	b := setup(t)
	key := b.key("usr_a", account.NumbersRead)
	a := b.list(key, "")
	if diff := cmp.Diff(map[string]any{"data": []any{}, "next_cursor": nil}, a.Body); a.Status != 200 || diff != "" {
		t.Errorf("no numbers: %d %s", a.Status, diff)
	}
	b.number("+2348012345678", "usr_a", func(n *number.Number) {
		n.Trunk = &number.Trunk{Name: "T", OutboundID: "ST_1", InboundID: "ST_2", Directions: []string{"outbound", "inbound"}}
		n.Rule = &number.Rule{Name: "R", ID: "SDR_1"}
	})
	b.number("+2348099999999", "usr_b", nil)
	b.number("+2348077777777", "", nil)
	b.Trips()
	a = b.list(key, "")
	want := map[string]any{
		"data": []any{map[string]any{
			"phone_number_id":      number.ID("+2348012345678"),
			"phone_number":         "+2348012345678",
			"country":              "NG",
			"number_type":          "mobile",
			"capabilities":         []any{"inbound", "outbound"},
			"configuration_status": "configured",
			"has_outbound_trunk":   true,
			"has_inbound_trunk":    true,
			"has_dispatch_rule":    true,
			"assigned_at":          "2026-11-22T09:30:00.123Z",
		}},
		"next_cursor": nil,
	}
	if diff := cmp.Diff(want, a.Body); a.Status != 200 || diff != "" {
		t.Errorf("%d %s", a.Status, diff)
	}
	if trips := b.Trips(); trips != 2 {
		t.Errorf("%d DynamoDB round trips", trips)
	}
}

func TestPages(t *testing.T) {
	t.Parallel()
	b := setup(t)
	key, other := b.key("usr_a", account.NumbersRead), b.key("usr_b", account.NumbersRead)
	for i := range 30 {
		b.number(fmt.Sprintf("+23480123456%02d", i), "usr_a", nil)
	}
	ids, cursor := b.Page(b.list(key, ""), "phone_number_id")
	if len(ids) != 25 || cursor == "" {
		t.Fatalf("%d numbers, cursor %q", len(ids), cursor)
	}
	seen := map[string]bool{}
	pages := 0
	for query := "?limit=7"; query != ""; pages++ {
		ids, next := b.Page(b.list(key, query), "phone_number_id")
		for _, id := range ids {
			seen[id] = true
		}
		if query = ""; next != "" {
			query = "?limit=7&cursor=" + next
		}
	}
	if len(seen) != 30 || pages != 5 {
		t.Errorf("%d numbers on %d pages", len(seen), pages)
	}
	for name, c := range map[string]struct{ key, query string }{
		"another user's cursor": {other, "?cursor=" + cursor},
		"no cursor at all":      {key, "?cursor=abc"},
		"limit 0":               {key, "?limit=0"},
		"limit 101":             {key, "?limit=101"},
	} {
		if a := b.list(c.key, c.query); a.Status != 400 {
			t.Errorf("%s: %d %s", name, a.Status, a.Text)
		}
	}
	if a := b.list(b.key("usr_a", account.CallsRead), ""); a.Status != 403 {
		t.Errorf("without the scope: %d %s", a.Status, a.Text)
	}
}

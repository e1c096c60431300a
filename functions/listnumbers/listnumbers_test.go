package listnumbers_test

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/krosai/telephony/functions/listnumbers"
	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/api"
	"github.com/krosai/telephony/shared/number"
	"github.com/krosai/telephony/shared/secret"
	"github.com/krosai/telephony/shared/store/storetest"
)

var morning = time.Date(2026, 11, 22, 9, 30, 0, 123e6, time.UTC)

type bench struct {
	*storetest.Database
	t       *testing.T
	handler http.Handler
}

func setup(t *testing.T) *bench {
	t.Helper()
	b := &bench{t: t, Database: storetest.Open(t, nil)}
	edge := &api.Edge{Keys: b.DB, Now: time.Now, Log: slog.New(slog.DiscardHandler), CursorKey: secret.New("a cursor key for tests")}
	b.handler = edge.Handler(&listnumbers.Endpoint{Numbers: b.DB})
	return b
}

func (b *bench) key(id, user string, scopes ...string) string {
	b.t.Helper()
	text, err := account.NewKey(id, rand.Reader)
	if err != nil {
		b.t.Fatal(err)
	}
	_, sum, _ := account.ParseKey(text)
	if err := b.PutKey(b.t.Context(), account.Key{ID: id, UserID: user, Hash: sum[:], Scopes: scopes, CreatedAt: morning}); err != nil {
		b.t.Fatal(err)
	}
	return text
}

func (b *bench) number(e164, user string, change func(*number.Number)) {
	b.t.Helper()
	n := number.Number{ID: number.ID(e164), E164: e164, Country: "NG", Type: "mobile", Capabilities: []string{"inbound", "outbound"},
		UserID: user, AssignedAt: morning, UpdatedAt: morning}
	if change != nil {
		change(&n)
	}
	if err := b.PutNumber(b.t.Context(), n); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) list(key, query string) (int, api.Page[listnumbers.PhoneNumber], string) {
	b.t.Helper()
	r := httptest.NewRequestWithContext(b.t.Context(), http.MethodGet, "/outbound-calls/phone-numbers"+query, nil)
	r.Header.Set("Authorization", "Bearer "+key)
	w := httptest.NewRecorder()
	b.handler.ServeHTTP(w, r)
	var page api.Page[listnumbers.PhoneNumber]
	if w.Code == http.StatusOK {
		if err := json.Unmarshal(w.Body.Bytes(), &page); err != nil {
			b.t.Fatal(err)
		}
	}
	return w.Code, page, w.Body.String()
}

const (
	keyA = "key_01JD8Z7N5R4T3V2W1X0YABCDEF"
	keyB = "key_01JD8Z7N5R4T3V2W1X0YABCDEG"
	keyC = "key_01JD8Z7N5R4T3V2W1X0YABCDEH"
)

func TestList(t *testing.T) {
	t.Parallel()
	b := setup(t)
	key := b.key(keyA, "usr_a", account.NumbersRead)
	if status, page, raw := b.list(key, ""); status != 200 || raw != "{\"data\":[],\"next_cursor\":null}\n" {
		t.Errorf("no numbers: %d %s %+v", status, raw, page)
	}
	b.number("+2348012345678", "usr_a", func(n *number.Number) {
		n.Trunk = &number.Trunk{Name: "T", OutboundID: "ST_1", InboundID: "ST_2", Directions: []string{"outbound", "inbound"}}
		n.Rule = &number.Rule{Name: "R", ID: "SDR_1"}
	})
	b.number("+2348099999999", "usr_b", nil)
	b.number("+2348077777777", "", nil)
	b.Trips()
	status, page, raw := b.list(key, "")
	want := `{"data":[{"phone_number_id":"` + number.ID("+2348012345678") + `","phone_number":"+2348012345678","country":"NG","number_type":"mobile",` +
		`"capabilities":["inbound","outbound"],"configuration_status":"configured","has_outbound_trunk":true,"has_inbound_trunk":true,` +
		`"has_dispatch_rule":true,"assigned_at":"2026-11-22T09:30:00.123Z"}],"next_cursor":null}` + "\n"
	if diff := cmp.Diff(want, raw); status != 200 || diff != "" {
		t.Errorf("%d %s %+v", status, diff, page)
	}
	if trips := b.Trips(); trips != 2 {
		t.Errorf("%d DynamoDB round trips", trips)
	}
}

func TestPages(t *testing.T) {
	t.Parallel()
	b := setup(t)
	key, other := b.key(keyA, "usr_a", account.NumbersRead), b.key(keyB, "usr_b", account.NumbersRead)
	for i := range 30 {
		b.number(fmt.Sprintf("+23480123456%02d", i), "usr_a", nil)
	}
	_, page, _ := b.list(key, "")
	if len(page.Data) != 25 || page.NextCursor == nil {
		t.Fatalf("%d numbers, cursor %v", len(page.Data), page.NextCursor)
	}
	seen := map[string]bool{}
	query, pages := "?limit=7", 0
	for {
		status, page, raw := b.list(key, query)
		if status != 200 {
			t.Fatal(raw)
		}
		pages++
		for _, n := range page.Data {
			seen[n.PhoneNumberID] = true
		}
		if page.NextCursor == nil {
			break
		}
		query = "?limit=7&cursor=" + *page.NextCursor
	}
	if len(seen) != 30 || pages != 5 {
		t.Errorf("%d numbers on %d pages", len(seen), pages)
	}
	for name, c := range map[string]struct{ key, query string }{
		"another user's cursor": {other, "?cursor=" + *page.NextCursor},
		"no cursor at all":      {key, "?cursor=abc"},
		"limit 0":               {key, "?limit=0"},
		"limit 101":             {key, "?limit=101"},
	} {
		if status, _, raw := b.list(c.key, c.query); status != 400 {
			t.Errorf("%s: %d %s", name, status, raw)
		}
	}
	if status, _, raw := b.list(b.key(keyC, "usr_a", account.CallsRead), ""); status != 403 {
		t.Errorf("without the scope: %d %s", status, raw)
	}
}

package listkeys_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/krosai/telephony/functions/listkeys"
	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/api"
	"github.com/krosai/telephony/shared/secret"
	"github.com/krosai/telephony/shared/store/storetest"
	"github.com/krosai/telephony/shared/view"
)

var morning = time.Date(2026, 11, 22, 9, 30, 0, 123e6, time.UTC)

type bench struct {
	*storetest.Database
	t       *testing.T
	handler http.Handler
}

func setup(t *testing.T) *bench {
	t.Helper()
	now := func() time.Time { return morning }
	b := &bench{t: t, Database: storetest.Open(t, now)}
	edge := &api.Edge{Keys: b.DB, Now: now, Log: slog.New(slog.DiscardHandler), CursorKey: secret.New("a cursor key for tests")}
	b.handler = edge.Handler(&listkeys.Endpoint{Keys: b.DB})
	return b
}

// key creates a key of user whose id ends in n, changed by change unless that is nil,
// and returns its text.
func (b *bench) key(n int, user string, change func(*account.Key)) string {
	b.t.Helper()
	k := account.Key{ID: fmt.Sprintf("key_01JD8Z7N5R4T3V2W1X0YABCD%02d", n), UserID: user, Name: "CI",
		Scopes: []string{account.KeysWrite, account.CallsRead}, CreatedAt: morning}
	if change != nil {
		change(&k)
	}
	k, text, err := account.Issue(k, strings.NewReader(strings.Repeat(fmt.Sprint(k.ID, "xyzw"), 5)))
	if err != nil {
		b.t.Fatal(err)
	}
	if err := b.PutKey(b.t.Context(), k); err != nil {
		b.t.Fatal(err)
	}
	return text
}

func (b *bench) list(key, query string) (int, api.Page[view.Key], string) {
	b.t.Helper()
	r := httptest.NewRequestWithContext(b.t.Context(), http.MethodGet, "/api-keys"+query, nil)
	r.Header.Set("Authorization", "Bearer "+key)
	w := httptest.NewRecorder()
	b.handler.ServeHTTP(w, r)
	var page api.Page[view.Key]
	if w.Code == http.StatusOK {
		if err := json.Unmarshal(w.Body.Bytes(), &page); err != nil {
			b.t.Fatal(err)
		}
	}
	return w.Code, page, w.Body.String()
}

func TestList(t *testing.T) {
	t.Parallel()
	b := setup(t)
	text := b.key(1, "usr_a", nil)
	old := b.key(0, "usr_a", func(k *account.Key) {
		k.Name, k.ExpiresAt, k.RevokedAt = "old", morning.Add(time.Hour), morning.Add(-time.Hour)
	})
	b.key(2, "usr_b", nil)
	b.Trips()
	status, _, raw := b.list(text, "")
	want := `{"data":[{"key_id":"key_01JD8Z7N5R4T3V2W1X0YABCD01","name":"CI","last_four":"` + text[len(text)-4:] + `","scopes":["calls:read","keys:write"],` +
		`"created_at":"2026-11-22T09:30:00.123Z","expires_at":null,"last_used_at":"2026-11-22T09:00:00.000Z","revoked_at":null},` +
		`{"key_id":"key_01JD8Z7N5R4T3V2W1X0YABCD00","name":"old","last_four":"` + old[len(old)-4:] + `","scopes":["calls:read","keys:write"],` +
		`"created_at":"2026-11-22T09:30:00.123Z","expires_at":"2026-11-22T10:30:00.123Z","last_used_at":null,"revoked_at":"2026-11-22T08:30:00.123Z"}],` +
		`"next_cursor":null}` + "\n"
	if diff := cmp.Diff(want, raw); status != 200 || diff != "" {
		t.Errorf("%d %s", status, diff)
	}
	if trips := b.Trips(); trips != 2 {
		t.Errorf("%d DynamoDB round trips", trips)
	}
	if status, _, raw := b.list(old, ""); status != 401 {
		t.Errorf("a revoked key: %d %s", status, raw)
	}
}

func TestPages(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var mine string
	for i := range 30 {
		mine = b.key(i, "usr_a", nil)
	}
	other := b.key(40, "usr_b", nil)
	_, page, _ := b.list(mine, "")
	if len(page.Data) != 25 || page.NextCursor == nil || page.Data[0].KeyID != "key_01JD8Z7N5R4T3V2W1X0YABCD29" {
		t.Fatalf("%d keys, cursor %v", len(page.Data), page.NextCursor)
	}
	seen := map[string]bool{}
	query, pages := "?limit=7", 0
	for {
		status, page, raw := b.list(mine, query)
		if status != 200 {
			t.Fatal(raw)
		}
		pages++
		for _, k := range page.Data {
			seen[k.KeyID] = true
		}
		if page.NextCursor == nil {
			break
		}
		query = "?limit=7&cursor=" + *page.NextCursor
	}
	if len(seen) != 30 || pages != 5 {
		t.Errorf("%d keys on %d pages", len(seen), pages)
	}
	for name, c := range map[string]struct{ key, query string }{
		"another user's cursor": {other, "?cursor=" + *page.NextCursor},
		"no cursor at all":      {mine, "?cursor=abc"},
		"limit 0":               {mine, "?limit=0"},
		"limit 101":             {mine, "?limit=101"},
	} {
		if status, _, raw := b.list(c.key, c.query); status != 400 {
			t.Errorf("%s: %d %s", name, status, raw)
		}
	}
	reader := b.key(50, "usr_a", func(k *account.Key) { k.Scopes = []string{account.CallsRead} })
	if status, _, raw := b.list(reader, ""); status != 403 {
		t.Errorf("without the scope: %d %s", status, raw)
	}
}

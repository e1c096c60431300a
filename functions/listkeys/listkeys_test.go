package listkeys_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/krosai/telephony/functions/listkeys"
	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/api/apitest"
)

var morning = time.Date(2026, 11, 22, 9, 30, 0, 123e6, time.UTC)

type bench struct{ *apitest.Bench }

func setup(t *testing.T) bench {
	t.Helper()
	b := bench{apitest.Open(t, func() time.Time { return morning })}
	b.Serve(&listkeys.Endpoint{Keys: b.DB})
	return b
}

// key creates a key of user whose id ends in n, changed by change unless that is nil,
// and returns its text.
func (b bench) key(n int, user string, change func(*account.Key)) string {
	b.Helper()
	k := account.Key{ID: fmt.Sprintf("key_01JD8Z7N5R4T3V2W1X0YABCD%02d", n), UserID: user, Name: "CI",
		Scopes: []string{account.KeysWrite, account.CallsRead}, CreatedAt: morning}
	if change != nil {
		change(&k)
	}
	k, text, err := account.Issue(k, strings.NewReader(strings.Repeat(fmt.Sprint(k.ID, "xyzw"), 5)))
	b.Must(err)
	b.Must(b.PutKey(b.Context(), k))
	return text
}

func (b bench) list(key, query string) apitest.Answer {
	b.Helper()
	return b.Ask(key, "GET", "/api-keys"+query, "")
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
	a := b.list(text, "")
	want := map[string]any{
		"data": []any{map[string]any{
			"key_id":       "key_01JD8Z7N5R4T3V2W1X0YABCD01",
			"name":         "CI",
			"last_four":    text[len(text)-4:],
			"scopes":       []any{"calls:read", "keys:write"},
			"created_at":   "2026-11-22T09:30:00.123Z",
			"expires_at":   nil,
			"last_used_at": "2026-11-22T09:00:00.000Z",
			"revoked_at":   nil,
		}, map[string]any{
			"key_id":       "key_01JD8Z7N5R4T3V2W1X0YABCD00",
			"name":         "old",
			"last_four":    old[len(old)-4:],
			"scopes":       []any{"calls:read", "keys:write"},
			"created_at":   "2026-11-22T09:30:00.123Z",
			"expires_at":   "2026-11-22T10:30:00.123Z",
			"last_used_at": nil,
			"revoked_at":   "2026-11-22T08:30:00.123Z",
		}},
		"next_cursor": nil,
	}
	if diff := cmp.Diff(want, a.Body); a.Status != 200 || diff != "" {
		t.Errorf("%d %s", a.Status, diff)
	}
	if trips := b.Trips(); trips != 2 {
		t.Errorf("%d DynamoDB round trips", trips)
	}
	if a := b.list(old, ""); a.Status != 401 {
		t.Errorf("a revoked key: %d %s", a.Status, a.Text)
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
	ids, cursor := b.Page(b.list(mine, ""), "key_id")
	if len(ids) != 25 || cursor == "" || ids[0] != "key_01JD8Z7N5R4T3V2W1X0YABCD29" {
		t.Fatalf("%d keys, cursor %q", len(ids), cursor)
	}
	seen := map[string]bool{}
	pages := 0
	for query := "?limit=7"; query != ""; pages++ {
		ids, next := b.Page(b.list(mine, query), "key_id")
		for _, id := range ids {
			seen[id] = true
		}
		if query = ""; next != "" {
			query = "?limit=7&cursor=" + next
		}
	}
	if len(seen) != 30 || pages != 5 {
		t.Errorf("%d keys on %d pages", len(seen), pages)
	}
	for name, c := range map[string]struct{ key, query string }{
		"another user's cursor": {other, "?cursor=" + cursor},
		"no cursor at all":      {mine, "?cursor=abc"},
		"limit 0":               {mine, "?limit=0"},
		"limit 101":             {mine, "?limit=101"},
	} {
		if a := b.list(c.key, c.query); a.Status != 400 {
			t.Errorf("%s: %d %s", name, a.Status, a.Text)
		}
	}
	reader := b.key(50, "usr_a", func(k *account.Key) { k.Scopes = []string{account.CallsRead} })
	if a := b.list(reader, ""); a.Status != 403 {
		t.Errorf("without the scope: %d %s", a.Status, a.Text)
	}
}

package createkey_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"io"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/krosai/telephony/functions/createkey"
	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/api/apitest"
)

var morning = time.Date(2026, 11, 22, 9, 30, 0, 123e6, time.UTC)

const (
	path = "/api-keys"
	good = `{"name":"x","scopes":["calls:read"]}`
)

func open(t *testing.T, random io.Reader) *apitest.Bench {
	t.Helper()
	b := apitest.Open(t, func() time.Time { return morning })
	b.Serve(&createkey.Endpoint{Keys: b.DB, Now: b.Now, Random: random})
	return b
}

func TestCreate(t *testing.T) {
	t.Parallel()
	b := open(t, rand.Reader)
	maker := b.SampleKey("ada", account.KeysWrite, account.CallsRead, account.CallsWrite)
	a := b.Replay("createkey", "")
	text, _ := a.Body["api_key"].(string)
	id, sum, ok := account.ParseKey(text)
	if !ok || a.Status != 201 {
		t.Fatalf("%d %s", a.Status, a.Text)
	}
	want := map[string]any{
		"api_key":      text,
		"key_id":       id,
		"name":         "CI",
		"last_four":    text[len(text)-4:],
		"scopes":       []any{"calls:read", "calls:write"},
		"created_at":   "2026-11-22T09:30:00.123Z",
		"expires_at":   "2027-11-22T00:00:00.000Z",
		"last_used_at": nil,
		"revoked_at":   nil,
	}
	if diff := cmp.Diff(want, a.Body); diff != "" {
		t.Error(diff)
	}
	k, err := b.UseKey(t.Context(), id, sum)
	if err != nil || k.UserID != "ada" || !k.ExpiresAt.Equal(time.Date(2027, 11, 22, 0, 0, 0, 0, time.UTC)) || k.HourLimit != 1000 {
		t.Errorf("%+v %v", k, err)
	}
	b.Trips()
	if a := b.Ask(maker, "POST", path, good); a.Status != 201 {
		t.Errorf("%d %s", a.Status, a.Text)
	}
	if trips := b.Trips(); trips != 2 {
		t.Errorf("%d DynamoDB round trips", trips)
	}
}

func TestWhoMayGrant(t *testing.T) {
	t.Parallel()
	everything := `{"name":"all","scopes":["` + strings.Join(account.Scopes(), `","`) + `"]}`
	key := func(scopes ...string) func(*apitest.Bench) string {
		return func(b *apitest.Bench) string {
			_, text := b.Key("ada", scopes...)
			return text
		}
	}
	for name, tt := range map[string]struct {
		credential func(*apitest.Bench) string
		body       string
		want       int
	}{
		"a user":                      {func(b *apitest.Bench) string { return b.User("ada") }, everything, 201},
		"a key that holds everything": {key(account.Scopes()...), everything, 201},
		"a key that holds less":       {key(account.KeysWrite, account.CallsRead), everything, 403},
		"what it holds":               {key(account.KeysWrite, account.CallsRead), good, 201},
		"itself":                      {key(account.KeysWrite), `{"name":"x","scopes":["keys:write"]}`, 201},
		"write is not read":           {key(account.KeysWrite, account.CallsWrite), good, 403},
		"a key without keys:write":    {key(account.CallsRead), good, 403},
		"nobody":                      {func(*apitest.Bench) string { return "kros_live_" }, everything, 401},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := open(t, rand.Reader)
			credential := tt.credential(b)
			before, _, err := b.KeysOf(t.Context(), "ada", 10, "")
			b.Must(err)
			if a := b.Ask(credential, "POST", path, tt.body); a.Status != tt.want {
				t.Errorf("%d %s, want %d", a.Status, a.Text, tt.want)
			}
			after, _, err := b.KeysOf(t.Context(), "ada", 10, "")
			if made := len(after) > len(before); err != nil || made != (tt.want == 201) {
				t.Errorf("%d keys, then %d, %v", len(before), len(after), err)
			}
		})
	}
}

func TestBadRequests(t *testing.T) {
	t.Parallel()
	b := open(t, rand.Reader)
	_, key := b.Key("ada", account.Scopes()...)
	for name, tt := range map[string]struct{ body, want string }{
		"no name":           {`{"scopes":["calls:read"]}`, "name:required"},
		"empty name":        {`{"name":"","scopes":["calls:read"]}`, "name:too_short"},
		"name of spaces":    {`{"name":"  ","scopes":["calls:read"]}`, "name:malformed"},
		"long name":         {`{"name":"` + strings.Repeat("x", 65) + `","scopes":["calls:read"]}`, "name:malformed"},
		"no scopes":         {`{"name":"x"}`, "scopes:required"},
		"empty scopes":      {`{"name":"x","scopes":[]}`, "scopes:too_few"},
		"unknown scope":     {`{"name":"x","scopes":["calls:delete"]}`, "scopes[0]:enum"},
		"admin":             {`{"name":"x","scopes":["admin"]}`, "scopes[0]:enum"},
		"a scope twice":     {`{"name":"x","scopes":["calls:read","calls:read"]}`, "scopes:duplicate"},
		"expires now":       {`{"name":"x","scopes":["calls:read"],"expires_at":"2026-11-22T09:30:00.123Z"}`, "expires_at:range"},
		"expired":           {`{"name":"x","scopes":["calls:read"],"expires_at":"2020-01-01T00:00:00Z"}`, "expires_at:range"},
		"more than 5 years": {`{"name":"x","scopes":["calls:read"],"expires_at":"2031-11-22T09:30:00.124Z"}`, "expires_at:range"},
		"no time":           {`{"name":"x","scopes":["calls:read"],"expires_at":"soon"}`, "expires_at:format"},
		"another's":         {`{"name":"x","scopes":["calls:read"],"user_id":"bob"}`, "user_id:unknown"},
		"its own limit":     {`{"name":"x","scopes":["calls:read"],"hour_limit":5000}`, "hour_limit:unknown"},
	} {
		if a := b.Ask(key, "POST", path, tt.body); a.Outcome() != "400 INVALID_REQUEST "+tt.want {
			t.Errorf("%s: %s, want %s", name, a.Text, tt.want)
		}
	}
	if a := b.Ask(key, "POST", path, `{"name":"x","scopes":["calls:read"],"expires_at":"2031-11-22T09:30:00.123Z"}`); a.Status != 201 {
		t.Errorf("5 years: %d %s", a.Status, a.Text)
	}
}

// fill creates n keys of ada's, and returns the answer to one request more.
func fill(b *apitest.Bench, n int) apitest.Answer {
	b.Helper()
	for i := range n {
		if a := b.Ask(b.User("ada"), "POST", path, good); a.Status != 201 {
			b.Fatalf("key %d: %d %s", i, a.Status, a.Text)
		}
	}
	return b.Ask(b.User("ada"), "POST", path, good)
}

func TestFiftyKeys(t *testing.T) {
	t.Parallel()
	b := open(t, rand.Reader)
	b.Must(b.PutKeyQuotas(t.Context(), "ada", account.RequestsPerHour, account.MaxKeys+1))
	if a := fill(b, account.MaxKeys); a.Outcome() != "409 CONFLICT" {
		t.Errorf("%d %s", a.Status, a.Text)
	}
}

func TestTwentyKeysAnHour(t *testing.T) {
	t.Parallel()
	a := fill(open(t, rand.Reader), account.KeysPerHour)
	if a.Outcome() != "429 RATE_LIMIT_EXCEEDED" || a.Header.Get("Retry-After") != "1800" ||
		!strings.Contains(a.Header.Get("RateLimit"), `"api_keys";r=0;t=1800`) {
		t.Errorf("%s %v", a.Text, a.Header)
	}
}

// TestNoRandomness checks that no key is created when the source of randomness runs out.
func TestNoRandomness(t *testing.T) {
	t.Parallel()
	b := open(t, bytes.NewReader(make([]byte, 3)))
	if a := b.Ask(b.User("ada"), "POST", path, good); a.Status != 500 {
		t.Errorf("%d %s", a.Status, a.Text)
	}
	if keys, _, err := b.KeysOf(t.Context(), "ada", 10, ""); err != nil || len(keys) != 0 {
		t.Errorf("%d keys, %v", len(keys), err)
	}
}

// TestScopesAreAllOfThem checks that the API document names exactly the scopes that exist.
func TestScopesAreAllOfThem(t *testing.T) {
	t.Parallel()
	field, _ := reflect.TypeFor[createkey.Body]().FieldByName("Scopes")
	if diff := cmp.Diff(account.Scopes(), strings.Split(field.Tag.Get("enum"), ",")); diff != "" {
		t.Error(diff)
	}
}

// TestNothingOutlivesItsMaker checks that a key made by another key expires no later than its
// maker, and that a key in its grace period makes no keys.
func TestNothingOutlivesItsMaker(t *testing.T) {
	t.Parallel()
	month, end := morning.AddDate(0, 1, 0), "2026-12-22T09:30:00.123Z"
	for name, tt := range map[string]struct {
		maker  account.Key
		asked  string
		status int
		want   any
	}{
		"a maker without an end":         {account.Key{}, "", 201, nil},
		"an end of its own":              {account.Key{}, end, 201, end},
		"the maker's end":                {account.Key{ExpiresAt: month}, "", 201, end},
		"an earlier one":                 {account.Key{ExpiresAt: morning.AddDate(0, 2, 0)}, end, 201, end},
		"the same":                       {account.Key{ExpiresAt: month}, end, 201, end},
		"a later one":                    {account.Key{ExpiresAt: month.Add(-time.Millisecond)}, end, 400, nil},
		"a maker in its time of grace":   {account.Key{RevokedAt: morning.Add(time.Hour)}, "", 403, nil},
		"one in grace, with an end":      {account.Key{RevokedAt: morning.Add(time.Hour)}, end, 403, nil},
		"a maker whose grace has passed": {account.Key{RevokedAt: morning}, "", 401, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := open(t, rand.Reader)
			id, text := b.Key("ada")
			_, sum, _ := account.ParseKey(text)
			tt.maker.ID, tt.maker.UserID, tt.maker.Hash, tt.maker.Scopes = id, "ada", sum[:], account.Scopes()
			b.Must(b.PutKey(t.Context(), tt.maker))
			body := good
			if tt.asked != "" {
				body = `{"name":"x","scopes":["calls:read"],"expires_at":"` + tt.asked + `"}`
			}
			if a := b.Ask(text, "POST", path, body); a.Status != tt.status || a.Body["expires_at"] != tt.want {
				t.Errorf("%d %s, want %d %v", a.Status, a.Text, tt.status, tt.want)
			}
		})
	}
}

// TestTheSameRequestMakesOneKey checks that a second attempt, after the first died before its
// answer, finds the stored key and gives it the text that is shown.
func TestTheSameRequestMakesOneKey(t *testing.T) {
	t.Parallel()
	at := morning
	b := apitest.Open(t, func() time.Time { return at })
	dying := &dies{b.DB, true}
	b.Serve(&createkey.Endpoint{Keys: dying, Now: b.Now, Random: rand.Reader})
	token := b.User("ada")
	post := func() apitest.Answer {
		return b.Ask(token, "POST", path, good, "Idempotency-Key", "k")
	}
	if a := post(); a.Status != 500 {
		t.Fatalf("%d %s", a.Status, a.Text)
	}
	dying.now, at = false, morning.Add(2*time.Minute)
	a := post()
	keys, _, err := b.KeysOf(t.Context(), "ada", 10, "")
	b.Must(err)
	if a.Status != 201 || len(keys) != 1 || a.Body["key_id"] != keys[0].ID || a.Body["created_at"] != "2026-11-22T09:30:00.123Z" {
		t.Fatalf("%d %s, %d keys", a.Status, a.Text, len(keys))
	}
	id, sum, _ := account.ParseKey(a.Body["api_key"].(string))
	if _, err := b.UseKey(t.Context(), id, sum); err != nil {
		t.Error(err)
	}
	if replayed := post(); replayed.Text != a.Text || replayed.Header.Get("Idempotency-Replayed") != "true" {
		t.Errorf("%d %s", replayed.Status, replayed.Text)
	}
}

// dies panics once the key is stored, as if the function was killed.
type dies struct {
	createkey.Keys
	now bool
}

func (d *dies) AddKey(ctx context.Context, k account.Key) (account.Key, error) {
	made, err := d.Keys.AddKey(ctx, k)
	if d.now {
		panic("killed")
	}
	return made, err
}

package createkey_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"log/slog"
	"net/http"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/krosai/telephony/functions/createkey"
	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/api"
	"github.com/krosai/telephony/shared/api/apitest"
	"github.com/krosai/telephony/shared/lambdahttp"
	"github.com/krosai/telephony/shared/secret"
	"github.com/krosai/telephony/shared/store/storetest"
	"github.com/krosai/telephony/shared/view"
)

const (
	sampleKey = "kros_live_01KAMPJ5V0SAMPMEKEY0000000_ThisIsTheSampleKeyOfEventsOnly1iVkyP"
	jwt       = "ada.has.signed"
)

var morning = time.Date(2026, 11, 22, 9, 30, 0, 123e6, time.UTC)

// users is the issuer of tokens. It takes every token for ada's.
type users struct{}

func (users) Verify(context.Context, string) (account.Caller, error) {
	return account.Caller{UserID: "ada"}, nil
}

type bench struct {
	*testing.T
	db     *storetest.Database
	lambda interface {
		Invoke(context.Context, []byte) ([]byte, error)
	}
}

// newBench is the function with a database in which ada owns the sample key.
func newBench(t *testing.T, scopes ...string) *bench {
	t.Helper()
	now := func() time.Time { return morning }
	b := &bench{T: t, db: storetest.Open(t, now)}
	id, sum, _ := account.ParseKey(sampleKey)
	if err := b.db.PutKey(t.Context(), account.Key{ID: id, UserID: "ada", Hash: sum[:], Scopes: scopes}); err != nil {
		t.Fatal(err)
	}
	edge := &api.Edge{Keys: b.db, Tokens: users{}, Now: now, Log: slog.New(slog.DiscardHandler), CursorKey: secret.New("a cursor key for the tests of keys")}
	b.lambda = lambdahttp.Handler(edge.Handler(&createkey.Endpoint{Keys: b.db, Now: now, Random: rand.Reader}))
	return b
}

type reply struct {
	StatusCode int
	Headers    map[string]string
	Body       string
}

// create sends the sample event without its Idempotency-Key and with another body. An empty body
// leaves the sample's own.
func (b *bench) create(credential, body string) reply {
	b.Helper()
	text, err := os.ReadFile("../../events/createkey.json")
	if err != nil {
		b.Fatal(err)
	}
	var event map[string]any
	if err := json.Unmarshal(text, &event); err != nil {
		b.Fatal(err)
	}
	headers := event["headers"].(map[string]any)
	delete(headers, "idempotency-key")
	headers["authorization"] = "Bearer " + credential
	if body != "" {
		event["body"] = body
	}
	if text, err = json.Marshal(event); err != nil {
		b.Fatal(err)
	}
	out, err := b.lambda.Invoke(b.Context(), text)
	if err != nil {
		b.Fatal(err)
	}
	var r reply
	if err := json.Unmarshal(out, &r); err != nil {
		b.Fatal(err)
	}
	return r
}

func TestCreate(t *testing.T) {
	t.Parallel()
	b := newBench(t, account.KeysWrite, account.CallsRead, account.CallsWrite)
	b.db.Trips()
	r := b.create(sampleKey, "")
	if trips := b.db.Trips(); trips != 2 {
		t.Errorf("%d DynamoDB round trips", trips)
	}
	var made view.NewKey
	if err := json.Unmarshal([]byte(r.Body), &made); err != nil || r.StatusCode != http.StatusCreated {
		t.Fatalf("%+v %v", r, err)
	}
	want := `{"api_key":"` + made.APIKey + `","key_id":"` + made.KeyID + `","name":"CI","last_four":"` + made.APIKey[len(made.APIKey)-4:] + `",` +
		`"scopes":["calls:read","calls:write"],"created_at":"2026-11-22T09:30:00.123Z","expires_at":"2027-11-22T00:00:00.000Z",` +
		`"last_used_at":null,"revoked_at":null}` + "\n"
	if diff := cmp.Diff(want, r.Body); diff != "" {
		t.Error(diff)
	}
	id, sum, ok := account.ParseKey(made.APIKey)
	if !ok || id != made.KeyID {
		t.Fatalf("%q is not the text of %q", made.APIKey, made.KeyID)
	}
	k, err := b.db.UseKey(t.Context(), id, sum)
	if err != nil || k.UserID != "ada" || !k.ExpiresAt.Equal(time.Date(2027, 11, 22, 0, 0, 0, 0, time.UTC)) || k.HourLimit != 1000 {
		t.Errorf("%+v %v", k, err)
	}
}

func TestWhoMayGrant(t *testing.T) {
	t.Parallel()
	everything := `{"name":"all","scopes":["` + strings.Join(account.Scopes(), `","`) + `"]}`
	for name, tt := range map[string]struct {
		scopes     []string
		credential string
		body       string
		want       int
	}{
		"a user":                      {nil, jwt, everything, 201},
		"a key that holds everything": {account.Scopes(), sampleKey, everything, 201},
		"a key that holds less":       {[]string{account.KeysWrite, account.CallsRead}, sampleKey, everything, 403},
		"what it holds":               {[]string{account.KeysWrite, account.CallsRead}, sampleKey, `{"name":"x","scopes":["calls:read"]}`, 201},
		"itself":                      {[]string{account.KeysWrite}, sampleKey, `{"name":"x","scopes":["keys:write"]}`, 201},
		"write is not read":           {[]string{account.KeysWrite, account.CallsWrite}, sampleKey, `{"name":"x","scopes":["calls:read"]}`, 403},
		"a key without keys:write":    {[]string{account.CallsRead}, sampleKey, `{"name":"x","scopes":["calls:read"]}`, 403},
		"nobody":                      {nil, "kros_live_", everything, 401},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, tt.scopes...)
			if r := b.create(tt.credential, tt.body); r.StatusCode != tt.want {
				t.Errorf("%+v, want %d", r, tt.want)
			}
			keys, _, err := b.db.KeysOf(t.Context(), "ada", 10, "")
			if made := len(keys) == 2; err != nil || made != (tt.want == 201) {
				t.Errorf("%d keys, %v", len(keys), err)
			}
		})
	}
}

func TestBadRequests(t *testing.T) {
	t.Parallel()
	b := newBench(t, account.Scopes()...)
	for name, tt := range map[string]struct{ body, field string }{
		"no name":           {`{"scopes":["calls:read"]}`, "name"},
		"empty name":        {`{"name":"","scopes":["calls:read"]}`, "name"},
		"name of spaces":    {`{"name":"  ","scopes":["calls:read"]}`, "name"},
		"long name":         {`{"name":"` + strings.Repeat("x", 65) + `","scopes":["calls:read"]}`, "name"},
		"no scopes":         {`{"name":"x"}`, "scopes"},
		"empty scopes":      {`{"name":"x","scopes":[]}`, "scopes"},
		"unknown scope":     {`{"name":"x","scopes":["calls:delete"]}`, "scopes[0]"},
		"admin":             {`{"name":"x","scopes":["admin"]}`, "scopes[0]"},
		"a scope twice":     {`{"name":"x","scopes":["calls:read","calls:read"]}`, "scopes"},
		"expires now":       {`{"name":"x","scopes":["calls:read"],"expires_at":"2026-11-22T09:30:00.123Z"}`, "expires_at"},
		"expired":           {`{"name":"x","scopes":["calls:read"],"expires_at":"2020-01-01T00:00:00Z"}`, "expires_at"},
		"more than 5 years": {`{"name":"x","scopes":["calls:read"],"expires_at":"2031-11-22T09:30:00.124Z"}`, "expires_at"},
		"no time":           {`{"name":"x","scopes":["calls:read"],"expires_at":"soon"}`, "expires_at"},
		"another's":         {`{"name":"x","scopes":["calls:read"],"user_id":"bob"}`, "user_id"},
		"its own limit":     {`{"name":"x","scopes":["calls:read"],"hour_limit":5000}`, "hour_limit"},
	} {
		r := b.create(sampleKey, tt.body)
		if r.StatusCode != http.StatusBadRequest || !strings.Contains(r.Body, `"field":"`+tt.field+`"`) {
			t.Errorf("%s: %+v, want a 400 about %s", name, r, tt.field)
		}
	}
	if r := b.create(sampleKey, `{"name":"x","scopes":["calls:read"],"expires_at":"2031-11-22T09:30:00.123Z"}`); r.StatusCode != http.StatusCreated {
		t.Errorf("5 years: %+v", r)
	}
}

func TestFiftyKeys(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	if err := b.db.PutKeyQuotas(t.Context(), "ada", account.RequestsPerHour, account.MaxKeys+1); err != nil {
		t.Fatal(err)
	}
	for i := range account.MaxKeys {
		if r := b.create(jwt, ""); r.StatusCode != http.StatusCreated {
			t.Fatalf("key %d: %+v", i, r)
		}
	}
	if r := b.create(jwt, ""); r.StatusCode != http.StatusConflict || !strings.Contains(r.Body, `"code":"CONFLICT"`) {
		t.Errorf("%+v", r)
	}
}

// TestNoRandomness checks that no key is created when the source of randomness runs out.
func TestNoRandomness(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	edge := &api.Edge{Keys: b.db, Tokens: users{}, Now: time.Now, Log: slog.New(slog.DiscardHandler), CursorKey: secret.New("a cursor key for the tests of keys")}
	b.lambda = lambdahttp.Handler(edge.Handler(&createkey.Endpoint{Keys: b.db, Now: time.Now, Random: bytes.NewReader(make([]byte, 3))}))
	if r := b.create(jwt, ""); r.StatusCode != http.StatusInternalServerError {
		t.Errorf("%+v", r)
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

func TestTwentyKeysAnHour(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for i := range account.KeysPerHour {
		if r := b.create(jwt, ""); r.StatusCode != http.StatusCreated {
			t.Fatalf("key %d: %+v", i, r)
		}
	}
	r := b.create(jwt, "")
	if r.StatusCode != http.StatusTooManyRequests || r.Headers["Retry-After"] != "1800" ||
		!strings.Contains(r.Headers["Ratelimit"], `"api_keys";r=0;t=1800`) {
		t.Errorf("%+v", r)
	}
}

// TestNothingOutlivesItsMaker checks that a key made by another key expires no later than its
// maker, and that a key in its grace period makes no keys.
func TestNothingOutlivesItsMaker(t *testing.T) {
	t.Parallel()
	const end = "2026-12-22T09:30:00.123Z"
	for name, tt := range map[string]struct {
		change func(*account.Key)
		asked  string
		status int
		want   string
	}{
		"a maker without an end":         {nil, "", 201, "null"},
		"an end of its own":              {nil, end, 201, `"` + end + `"`},
		"the maker's end":                {func(k *account.Key) { k.ExpiresAt = morning.AddDate(0, 1, 0) }, "", 201, `"2026-12-22T09:30:00.123Z"`},
		"an earlier one":                 {func(k *account.Key) { k.ExpiresAt = morning.AddDate(0, 2, 0) }, end, 201, `"` + end + `"`},
		"the same":                       {func(k *account.Key) { k.ExpiresAt = morning.AddDate(0, 1, 0) }, end, 201, `"` + end + `"`},
		"a later one":                    {func(k *account.Key) { k.ExpiresAt = morning.AddDate(0, 1, 0).Add(-time.Millisecond) }, end, 400, ""},
		"a maker in its time of grace":   {func(k *account.Key) { k.RevokedAt = morning.Add(time.Hour) }, "", 403, ""},
		"one in grace, with an end":      {func(k *account.Key) { k.RevokedAt = morning.Add(time.Hour) }, end, 403, ""},
		"a maker whose grace has passed": {func(k *account.Key) { k.RevokedAt = morning }, "", 401, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			id, sum, _ := account.ParseKey(sampleKey)
			k := account.Key{ID: id, UserID: "ada", Hash: sum[:], Scopes: account.Scopes()}
			if tt.change != nil {
				tt.change(&k)
			}
			if err := b.db.PutKey(t.Context(), k); err != nil {
				t.Fatal(err)
			}
			body := `{"name":"x","scopes":["calls:read"]}`
			if tt.asked != "" {
				body = `{"name":"x","scopes":["calls:read"],"expires_at":"` + tt.asked + `"}`
			}
			r := b.create(sampleKey, body)
			if r.StatusCode != tt.status || tt.want != "" && !strings.Contains(r.Body, `"expires_at":`+tt.want) {
				t.Errorf("%+v, want %d %s", r, tt.status, tt.want)
			}
		})
	}
}

// TestTheSameRequestMakesOneKey checks that a second attempt, after the first died before its
// answer, finds the stored key and gives it the text that is shown.
func TestTheSameRequestMakesOneKey(t *testing.T) {
	t.Parallel()
	at := morning
	now := func() time.Time { return at }
	bench := apitest.Open(t, now)
	dying := &dies{bench.DB, true}
	bench.Serve(&createkey.Endpoint{Keys: dying, Now: now, Random: rand.Reader})
	token := bench.User("ada")
	post := func() apitest.Answer {
		return bench.Ask(token, "POST", "/api-keys", `{"name":"x","scopes":["calls:read"]}`, "Idempotency-Key", "k")
	}
	if a := post(); a.Status != 500 {
		t.Fatalf("%d %s", a.Status, a.Text)
	}
	dying.now, at = false, morning.Add(2*time.Minute)
	a := post()
	keys, _, err := bench.KeysOf(t.Context(), "ada", 10, "")
	bench.Must(err)
	if a.Status != 201 || len(keys) != 1 || a.Body["key_id"] != keys[0].ID || a.Body["created_at"] != "2026-11-22T09:30:00.123Z" {
		t.Fatalf("%d %s, %d keys", a.Status, a.Text, len(keys))
	}
	id, sum, _ := account.ParseKey(a.Body["api_key"].(string))
	if _, err := bench.UseKey(t.Context(), id, sum); err != nil {
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

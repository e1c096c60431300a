package rotatekey_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/krosai/telephony/functions/revokekey"
	"github.com/krosai/telephony/functions/rotatekey"
	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/api"
	"github.com/krosai/telephony/shared/api/apitest"
	"github.com/krosai/telephony/shared/fault"
	"github.com/krosai/telephony/shared/secret"
	"github.com/krosai/telephony/shared/store/storetest"
)

const (
	callerID = "key_01JD8Z7N5R4T3V2W1X0YABCDEF"
	keyID    = "key_01JD8Z7N5R4T3V2W1X0YABCDEG"
	othersID = "key_01JD8Z7N5R4T3V2W1X0YABCDEH"
	absentID = "key_01JD8Z7N5R4T3V2W1X0YABCDEJ"
)

var morning = time.Date(2026, 11, 22, 9, 30, 0, 123e6, time.UTC)

type bench struct {
	*testing.T
	*storetest.Database
	at      time.Time
	handler http.Handler
}

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{T: t, at: morning}
	now := func() time.Time { return b.at }
	b.Database = storetest.Open(t, now)
	edge := &api.Edge{Keys: b.DB, Now: now, Log: slog.New(slog.DiscardHandler), CursorKey: secret.New("a cursor key for the tests of keys")}
	b.handler = edge.Handler(&rotatekey.Endpoint{Keys: b.DB, Now: now, Random: rand.Reader})
	return b
}

func (b *bench) key(id, user string, scopes ...string) (text string) {
	b.Helper()
	return b.put(account.Key{ID: id, UserID: user, Name: "CI", Scopes: scopes, CreatedAt: morning, ExpiresAt: morning.AddDate(1, 0, 0)})
}

func (b *bench) put(k account.Key) (text string) {
	b.Helper()
	k, text, err := account.Issue(k, rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	if err := b.PutKey(b.Context(), k); err != nil {
		b.Fatal(err)
	}
	return text
}

func (b *bench) rotate(key, id, body string) (int, rotatekey.RotatedKey, string) {
	b.Helper()
	r := httptest.NewRequestWithContext(b.Context(), http.MethodPost, "/api-keys/"+id+"/rotate", strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer "+key)
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	b.handler.ServeHTTP(w, r)
	var v rotatekey.RotatedKey
	if w.Code == http.StatusCreated {
		if err := json.Unmarshal(w.Body.Bytes(), &v); err != nil {
			b.Fatal(err)
		}
	}
	return w.Code, v, w.Body.String()
}

// lives reports whether the API accepts a key.
func (b *bench) lives(key string) bool {
	b.Helper()
	id, sum, _ := account.ParseKey(key)
	_, err := b.UseKey(b.Context(), id, sum)
	if err != nil && !fault.Is(err, fault.Unauthenticated) {
		b.Fatal(err)
	}
	return err == nil
}

func TestRotate(t *testing.T) {
	t.Parallel()
	for body, grace := range map[string]time.Duration{"": 0, "{}": 0, `{"grace_seconds":0}`: 0, `{"grace_seconds":90}`: 90 * time.Second, `{"grace_seconds":86400}`: 24 * time.Hour} {
		t.Run(body, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			caller, old := b.key(callerID, "ada", account.Scopes()...), b.key(keyID, "ada", account.CallsWrite, account.CallsRead)
			b.Trips()
			status, v, raw := b.rotate(caller, keyID, body)
			if trips := b.Trips(); status != http.StatusCreated || trips != 3 {
				t.Fatalf("%d %s, %d DynamoDB round trips", status, raw, trips)
			}
			end := morning.Add(grace).Format("2006-01-02T15:04:05.000Z")
			same := `"scopes":["calls:read","calls:write"],"created_at":"2026-11-22T09:30:00.123Z","expires_at":"2027-11-22T09:30:00.123Z","last_used_at":null,`
			want := `{"api_key":"` + v.APIKey + `","key_id":"` + v.KeyID + `","name":"CI","last_four":"` + v.APIKey[len(v.APIKey)-4:] + `",` + same + `"revoked_at":null,` +
				`"replaces":{"key_id":"` + keyID + `","name":"CI","last_four":"` + old[len(old)-4:] + `",` + same + `"revoked_at":"` + end + `"}}` + "\n"
			if diff := cmp.Diff(want, raw); diff != "" || v.KeyID == keyID {
				t.Error(diff)
			}
			if !b.lives(v.APIKey) || b.lives(old) != (grace > 0) {
				t.Error("want the new key at once, and the old one only in its time of grace")
			}
			if b.at = morning.Add(grace - time.Millisecond); grace > 0 && !b.lives(old) {
				t.Error("the old key died before its time")
			}
			if b.at = morning.Add(grace); b.lives(old) || !b.lives(v.APIKey) {
				t.Error("after the time of grace: want the new key only")
			}
			if status, _, raw := b.rotate(caller, keyID, body); status != http.StatusConflict {
				t.Errorf("again: %d %s", status, raw)
			}
		})
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	caller := b.key(callerID, "ada", account.KeysWrite, account.CallsRead)
	others := b.key(othersID, "bob", account.CallsRead)
	old := b.key(keyID, "ada", account.CallsRead, account.CallsWrite)
	for name, tt := range map[string]struct {
		key, id, body string
		want          int
	}{
		"a key that can do more":    {caller, keyID, "", 403},
		"without keys:write":        {old, keyID, "", 403},
		"grace below 0":             {caller, callerID, `{"grace_seconds":-1}`, 400},
		"grace of more than a day":  {caller, callerID, `{"grace_seconds":86401}`, 400},
		"grace in words":            {caller, callerID, `{"grace_seconds":"1"}`, 400},
		"other scopes":              {caller, callerID, `{"scopes":["calls:write"]}`, 400},
		"nobody":                    {"", callerID, "", 401},
		"a key that does not exist": {caller, absentID, "", 404},
		"a bad id":                  {caller, "key_1", "", 404},
		"the list of live keys":     {caller, "user#ada", "", 404},
	} {
		if status, _, raw := b.rotate(tt.key, strings.ReplaceAll(tt.id, "#", "%23"), tt.body); status != tt.want {
			t.Errorf("%s: %d %s, want %d", name, status, raw, tt.want)
		}
	}
	id := regexp.MustCompile(`"request_id":"[^"]*"`)
	_, _, anothers := b.rotate(caller, othersID, "")
	_, _, absent := b.rotate(caller, absentID, "")
	if diff := cmp.Diff(id.ReplaceAllString(absent, ""), id.ReplaceAllString(anothers, "")); diff != "" {
		t.Errorf("another user's key and none differ: %s", diff)
	}
	if !b.lives(caller) || !b.lives(others) || !b.lives(old) {
		t.Error("a refused rotation killed a key")
	}
}

// A key can rotate itself. The new key continues the hour of the old one.
func TestItself(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	old := b.key(callerID, "ada", account.KeysWrite)
	b.lives(old)
	status, v, raw := b.rotate(old, callerID, "")
	if status != http.StatusCreated || b.lives(old) {
		t.Fatalf("%d %s", status, raw)
	}
	id, sum, _ := account.ParseKey(v.APIKey)
	if k, err := b.UseKey(t.Context(), id, sum); err != nil || k.HourUsed != 3 {
		t.Errorf("%d used in this hour, %v", k.HourUsed, err)
	}
}

// TestNothingOutlivesItsMaker checks that a new key expires no later than the old key, and no later
// than the key that rotates it.
func TestNothingOutlivesItsMaker(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ old, maker, want time.Time }{
		"neither ends":      {},
		"the old one ends":  {old: morning.AddDate(1, 0, 0), want: morning.AddDate(1, 0, 0)},
		"its maker ends":    {maker: morning.AddDate(0, 1, 0), want: morning.AddDate(0, 1, 0)},
		"the maker first":   {morning.AddDate(1, 0, 0), morning.AddDate(0, 1, 0), morning.AddDate(0, 1, 0)},
		"the old one first": {morning.AddDate(0, 1, 0), morning.AddDate(1, 0, 0), morning.AddDate(0, 1, 0)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			maker := b.put(account.Key{ID: callerID, UserID: "ada", Scopes: account.Scopes(), ExpiresAt: tt.maker})
			b.put(account.Key{ID: keyID, UserID: "ada", Scopes: account.Scopes(), ExpiresAt: tt.old})
			status, v, raw := b.rotate(maker, keyID, "")
			fresh, err := b.Key(t.Context(), "ada", v.KeyID)
			if status != http.StatusCreated || err != nil || !fresh.ExpiresAt.Equal(tt.want) {
				t.Errorf("%d %s: %v, want %v", status, raw, fresh.ExpiresAt, tt.want)
			}
		})
	}
}

// TestGrace checks that a key in its grace period neither rotates nor revokes keys, but still gets
// the stored answer of its own rotation.
func TestGrace(t *testing.T) {
	t.Parallel()
	b := apitest.Open(t, func() time.Time { return morning })
	b.Serve(&rotatekey.Endpoint{Keys: b.DB, Now: b.Now, Random: rand.Reader}, &revokekey.Endpoint{Keys: b.DB})
	id, key := b.Key("ada", account.KeysWrite)
	rotate := func(key string, header ...string) apitest.Answer {
		return b.Ask(key, "POST", "/api-keys/"+id+"/rotate", `{"grace_seconds":60}`, header...)
	}
	first := rotate(key, "Idempotency-Key", "k")
	if first.Status != http.StatusCreated {
		t.Fatalf("%d %s", first.Status, first.Text)
	}
	if again := rotate(key, "Idempotency-Key", "k"); again.Text != first.Text {
		t.Errorf("the kept answer: %d %s", again.Status, again.Text)
	}
	fresh, _ := first.Body["key_id"].(string)
	for name, a := range map[string]apitest.Answer{
		"rotates itself":        rotate(key),
		"rotates with a key":    rotate(key, "Idempotency-Key", "K"),
		"rotates its successor": b.Ask(key, "POST", "/api-keys/"+fresh+"/rotate", ""),
		"revokes its successor": b.Ask(key, "DELETE", "/api-keys/"+fresh, ""),
		"revokes itself":        b.Ask(key, "DELETE", "/api-keys/"+id, ""),
	} {
		if a.Status != http.StatusForbidden || a.Code() != "FORBIDDEN" {
			t.Errorf("a key in grace %s: %d %s", name, a.Status, a.Text)
		}
	}
	if a := b.Ask(first.Body["api_key"].(string), "DELETE", "/api-keys/"+id, ""); a.Status != http.StatusNoContent {
		t.Errorf("the successor revokes the old key: %d %s", a.Status, a.Text)
	}
}

// TestTheSameRequestRotatesOnce checks a second attempt after the first one died before its answer.
// The second answer shows a key that works, and the true end of the old key.
func TestTheSameRequestRotatesOnce(t *testing.T) {
	t.Parallel()
	at := morning
	b := apitest.Open(t, func() time.Time { return at })
	dying := &dies{b.DB, true}
	b.Serve(&rotatekey.Endpoint{Keys: dying, Now: b.Now, Random: rand.Reader})
	id, _ := b.Key("ada", account.CallsRead)
	token := b.User("ada")
	rotate := func() apitest.Answer {
		return b.Ask(token, "POST", "/api-keys/"+id+"/rotate", `{"grace_seconds":600}`, "Idempotency-Key", "k")
	}
	if a := rotate(); a.Status != 500 {
		t.Fatalf("%d %s", a.Status, a.Text)
	}
	dying.now, at = false, morning.Add(2*time.Minute)
	a := rotate()
	keys, _, err := b.KeysOf(t.Context(), "ada", 10, "")
	b.Must(err)
	replaces, _ := a.Body["replaces"].(map[string]any)
	if a.Status != http.StatusCreated || len(keys) != 2 || replaces["revoked_at"] != "2026-11-22T09:40:00.123Z" {
		t.Fatalf("%d %s, %d keys", a.Status, a.Text, len(keys))
	}
	fresh, sum, _ := account.ParseKey(a.Body["api_key"].(string))
	if _, err := b.UseKey(t.Context(), fresh, sum); err != nil {
		t.Error(err)
	}
}

// dies panics right after the key is rotated.
type dies struct {
	rotatekey.Keys
	now bool
}

func (d *dies) RotateKey(ctx context.Context, old, fresh account.Key) (account.Key, error) {
	made, err := d.Keys.RotateKey(ctx, old, fresh)
	if d.now {
		panic("killed")
	}
	return made, err
}

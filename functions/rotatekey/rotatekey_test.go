package rotatekey_test

import (
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

	"github.com/krosai/telephony/functions/rotatekey"
	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/api"
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
	k, text, err := account.Issue(account.Key{ID: id, UserID: user, Name: "CI", Scopes: scopes, CreatedAt: morning,
		ExpiresAt: morning.AddDate(1, 0, 0)}, rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	if err := b.PutKey(b.Context(), k); err != nil {
		b.Fatal(err)
	}
	return text
}

func (b *bench) rotate(key, id, body string) (int, rotatekey.View, string) {
	b.Helper()
	r := httptest.NewRequestWithContext(b.Context(), http.MethodPost, "/api-keys/"+id+"/rotate", strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer "+key)
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	b.handler.ServeHTTP(w, r)
	var v rotatekey.View
	if w.Code == http.StatusCreated {
		if err := json.Unmarshal(w.Body.Bytes(), &v); err != nil {
			b.Fatal(err)
		}
	}
	return w.Code, v, w.Body.String()
}

// lives reports whether a key's text is let in.
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

// A key can rotate itself, and its hour goes on with the new one.
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

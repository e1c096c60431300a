package all_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/krosai/telephony/emulator/template"
	"github.com/krosai/telephony/functions/all"
	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/api"
	"github.com/krosai/telephony/shared/secret"
	"github.com/krosai/telephony/shared/store/storetest"
	"github.com/krosai/telephony/shared/view"
)

// keyBench serves the functions for API keys, and keeps their log and their requests to
// the database.
type keyBench struct {
	*testing.T
	db        *storetest.Database
	at        time.Time
	handler   http.Handler
	log, sent bytes.Buffer
}

// anyJWT accepts every token as one of ada's.
type anyJWT struct{}

func (anyJWT) Verify(context.Context, string) (account.Caller, error) {
	return account.Caller{UserID: "ada"}, nil
}

const adasJWT = "ada.has.signed"

func newKeyBench(t *testing.T) *keyBench {
	t.Helper()
	b := &keyBench{T: t, at: time.Date(2026, 11, 22, 9, 30, 0, 123e6, time.UTC)}
	now := func() time.Time { return b.at }
	b.db = storetest.Open(t, now)
	b.db.Obey(roles(t, b.db.Template.Functions()))
	b.db.Watch(func(body []byte) { b.sent.Write(body) })
	table := all.HTTP(all.Deps{DB: b.db.DB, Now: now})
	edge := &api.Edge{Keys: b.db, Tokens: anyJWT{}, Now: now, CursorKey: secret.New("a cursor key for the tests of keys"),
		Log: slog.New(slog.NewJSONHandler(&b.log, &slog.HandlerOptions{Level: slog.LevelDebug}))}
	b.handler = apart(b.db.Template.Routes(), func(function string) http.Handler { return edge.Handler(table[function]) },
		"createkey", "listkeys", "rotatekey", "revokekey", "listnumbers")
	return b
}

// apart serves functions at their routes, each with its own rights.
func apart(routes []template.Route, serve func(function string) http.Handler, functions ...string) http.Handler {
	mux := http.NewServeMux()
	for _, r := range routes {
		if !slices.Contains(functions, r.Function) {
			continue
		}
		handler := serve(r.Function)
		mux.HandleFunc(r.Key(), func(w http.ResponseWriter, req *http.Request) {
			handler.ServeHTTP(w, req.WithContext(as(req.Context(), r.Function)))
		})
	}
	return mux
}

// ask sends a request and returns the answer's body. The answer must have the given status.
func (b *keyBench) ask(credential, method, path, body string, status int) string {
	b.Helper()
	r := httptest.NewRequestWithContext(b.Context(), method, path, strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer "+credential)
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Idempotency-Key", fmt.Sprintf("%x", sha256.Sum256([]byte(path+body))))
	}
	w := httptest.NewRecorder()
	b.handler.ServeHTTP(w, r)
	if w.Code != status {
		b.Fatalf("%s %s: %d %s, want %d", method, path, w.Code, w.Body, status)
	}
	return w.Body.String()
}

func (b *keyBench) issued(answer string) (k view.NewKey) {
	b.Helper()
	if err := json.Unmarshal([]byte(answer), &k); err != nil {
		b.Fatal(err)
	}
	return k
}

// TestKeyIsShownOnce follows the life of a key, from the request of a user to its end. The key's
// text is in the one answer that shows it and nowhere else: in no row, no log line, no list.
func TestKeyIsShownOnce(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("takes 5 s: not with -short")
	}
	b := newKeyBench(t)
	numbers := "/outbound-calls/phone-numbers"
	first := b.issued(b.ask(adasJWT, "POST", "/api-keys", `{"name":"CI","scopes":["numbers:read","keys:write"]}`, 201))
	b.ask(first.APIKey, "GET", numbers, "", 200)

	second := b.issued(b.ask(first.APIKey, "POST", "/api-keys/"+first.KeyID+"/rotate", `{"grace_seconds":60}`, 201))
	b.ask(first.APIKey, "GET", numbers, "", 200)
	b.ask(second.APIKey, "GET", numbers, "", 200)
	b.ask(second.APIKey, "POST", "/api-keys", `{"name":"more","scopes":["calls:write"]}`, 403)
	third := b.issued(b.ask(second.APIKey, "POST", "/api-keys", `{"name":"more","scopes":["numbers:read"]}`, 201))
	b.at = b.at.Add(time.Minute)
	b.ask(first.APIKey, "GET", numbers, "", 401)

	b.ask(third.APIKey, "GET", "/api-keys", "", 403)
	b.ask(second.APIKey, "DELETE", "/api-keys/"+third.KeyID, "", 204)
	b.ask(third.APIKey, "GET", numbers, "", 401)
	b.ask(third.APIKey[:40]+"x"+third.APIKey[41:], "GET", numbers, "", 401)
	list := b.ask(second.APIKey, "GET", "/api-keys", "", 200)
	if strings.Count(list, `"key_id"`) != 3 {
		t.Errorf("three keys were made: %s", list)
	}
	b.db.LoseReplies(20) // the database is out of reach, and the reason is logged
	b.ask(second.APIKey, "GET", "/api-keys", "", 503)

	logged, sent := b.log.String(), b.sent.String()
	if !strings.Contains(logged, second.KeyID) || !strings.Contains(logged, "use key") {
		t.Errorf("the log does not tell which key was used and why a request failed: %s", logged)
	}
	for i, k := range []view.NewKey{first, second, third} {
		hash := sha256.Sum256([]byte(k.APIKey))
		if !strings.Contains(sent, base64.StdEncoding.EncodeToString(hash[:])) {
			t.Errorf("key %d: this test does not see what is stored", i)
		}
		random := k.APIKey[len("kros_live_")+27:]
		for form, text := range map[string]string{"the key": k.APIKey, "its random part": random, "it in base64": base64.StdEncoding.EncodeToString([]byte(k.APIKey))[:64]} {
			for where, what := range map[string]string{"database": sent, "log": logged, "list": list} {
				if strings.Contains(what, text) {
					t.Errorf("key %d: %s is in the %s", i, form, where)
				}
			}
		}
		for form, text := range map[string]string{"base64": base64.StdEncoding.EncodeToString(hash[:]), "hex": hex.EncodeToString(hash[:])} {
			for where, what := range map[string]string{"log": logged, "list": list} {
				if strings.Contains(what, text) {
					t.Errorf("key %d: its hash in %s is in the %s", i, form, where)
				}
			}
		}
	}
}

// Typing errors and guesses cost the database nothing.
func TestWrongChecksumReadsNothing(t *testing.T) {
	t.Parallel()
	b := newKeyBench(t)
	key := b.issued(b.ask(adasJWT, "POST", "/api-keys", `{"name":"CI","scopes":["keys:write"]}`, 201)).APIKey
	b.db.Trips()
	for i := range 10_000 {
		at := len("kros_live_") + 27 + i%36
		wrong := key[:at] + string("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"[i%62]) + key[at+1:]
		if wrong == key {
			continue
		}
		b.ask(wrong, "GET", "/api-keys", "", 401)
	}
	if trips := b.db.Trips(); trips != 0 {
		t.Errorf("%d DynamoDB round trips", trips)
	}
	b.ask(key, "GET", "/api-keys", "", 200)
}

// A key is not shown if the database fails while the key is made, because it may not be stored.
func TestKeyThatIsNotKept(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("takes 5 s: not with -short")
	}
	b := newKeyBench(t)
	b.db.LoseReplies(20)
	if answer := b.ask(adasJWT, "POST", "/api-keys", `{"name":"CI","scopes":["keys:write"]}`, 503); strings.Contains(answer, "kros_live_") {
		t.Error(answer)
	}
}

package account_test

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/krosai/telephony/shared/account"
)

const keyID = "key_01JD8Z7N5R4T3V2W1X0YABCDEF"

func mustKey(tb testing.TB) string {
	tb.Helper()
	text, err := account.NewKey(keyID, rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	return text
}

func TestNewKey(t *testing.T) {
	t.Parallel()
	text := mustKey(t)
	if form := `^kros_live_01JD8Z7N5R4T3V2W1X0YABCDEF_[0-9A-Za-z]{36}$`; !regexp.MustCompile(form).MatchString(text) {
		t.Fatalf("key %q is not of the form %s", text, form)
	}
	if text == mustKey(t) {
		t.Fatal("two keys are the same")
	}
	id, sum, ok := account.ParseKey(text)
	if !ok || id != keyID || sum != sha256.Sum256([]byte(text)) {
		t.Fatalf("ParseKey = %q, %x, %v", id, sum, ok)
	}
}

func TestIssue(t *testing.T) {
	t.Parallel()
	k, text, err := account.Issue(account.Key{ID: keyID, UserID: "u1", Name: "CI"}, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	id, sum, ok := account.ParseKey(text)
	want := account.Key{ID: keyID, UserID: "u1", Name: "CI", Hash: sum[:], LastFour: text[len(text)-4:]}
	if diff := cmp.Diff(want, k); !ok || id != keyID || diff != "" {
		t.Errorf("%v %q %s", ok, id, diff)
	}
	if k, text, err := account.Issue(account.Key{ID: "1"}, rand.Reader); err == nil {
		t.Errorf("Issue without an id = %+v, %q, want an error", k, text)
	}
}

func TestNewKeyRefuses(t *testing.T) {
	t.Parallel()
	for _, id := range []string{"", "01JD8Z7N5R4T3V2W1X0YABCDEF", "key_", "key_01JD", "key_01jd8z7n5r4t3v2w1x0yabcdef", "pn_01JD8Z7N5R4T3V2W1X0YABCDEF"} {
		if text, err := account.NewKey(id, rand.Reader); err == nil {
			t.Errorf("NewKey(%q) = %q, want an error", id, text)
		}
	}
	if text, err := account.NewKey(keyID, bytes.NewReader(make([]byte, 29))); err == nil {
		t.Errorf("NewKey with 29 random bytes = %q, want an error", text)
	}
}

// TestNewKeyIsUnbiased checks that bytes from 248 up are discarded. Otherwise the first characters
// of the alphabet would be likelier than the rest.
func TestNewKeyIsUnbiased(t *testing.T) {
	t.Parallel()
	random := append(bytes.Repeat([]byte{248, 255}, 20), bytes.Repeat([]byte{61}, 30)...)
	text, err := account.NewKey(keyID, bytes.NewReader(random))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := text[37:67], strings.Repeat("z", 30); got != want {
		t.Errorf("random part = %q, want %q", got, want)
	}
}

// TestParseKeyFindsTypingErrors checks that the checksum finds every single wrong character and
// every swap of neighbors.
func TestParseKeyFindsTypingErrors(t *testing.T) {
	t.Parallel()
	text := mustKey(t)
	for i := range len(text) {
		for _, c := range []byte("0aZ_9-") {
			if wrong := text[:i] + string(c) + text[i+1:]; wrong != text {
				if _, _, ok := account.ParseKey(wrong); ok {
					t.Errorf("ParseKey took %q for %q", wrong, text)
				}
			}
		}
		if i > 0 && text[i-1] != text[i] {
			wrong := text[:i-1] + text[i:i+1] + text[i-1:i] + text[i+1:]
			if _, _, ok := account.ParseKey(wrong); ok {
				t.Errorf("ParseKey took %q for %q", wrong, text)
			}
		}
	}
	for _, wrong := range []string{"", " " + text, text + " ", text + "\n", strings.ToUpper(text), strings.ToLower(text), text[:72], text + "0", "Bearer " + text} {
		if _, _, ok := account.ParseKey(wrong); ok {
			t.Errorf("ParseKey took %q", wrong)
		}
	}
}

func FuzzParseKey(f *testing.F) {
	f.Add(mustKey(f))
	f.Add("kros_live_01JD8Z7N5R4T3V2W1X0YABCDEF_000000000000000000000000000000000000")
	f.Add("")
	f.Fuzz(func(t *testing.T, text string) {
		id, sum, ok := account.ParseKey(text)
		if !ok {
			if id != "" || sum != [32]byte{} {
				t.Fatal("a refused key has an id or a hash")
			}
			return
		}
		if !regexp.MustCompile(`^kros_live_[0-9A-HJKMNP-TV-Z]{26}_[0-9A-Za-z]{36}$`).MatchString(text) {
			t.Fatalf("took %q", text)
		}
		if id != "key_"+text[10:36] || sum != sha256.Sum256([]byte(text)) {
			t.Fatalf("ParseKey(%q) = %q, %x", text, id, sum)
		}
	})
}

func TestCan(t *testing.T) {
	t.Parallel()
	user := account.Caller{UserID: "u1"}
	admin := account.Caller{UserID: "u2", Admin: true}
	key := account.Caller{UserID: "u1", KeyID: keyID, Scopes: []string{account.CallsRead}}
	adminsKey := account.Caller{UserID: "u2", KeyID: keyID, Scopes: []string{account.Admin}, Admin: true}
	for _, c := range []struct {
		who    string
		caller account.Caller
		scope  string
		want   bool
	}{
		{"nobody", account.Caller{}, "", false},
		{"nobody", account.Caller{}, account.CallsRead, false},
		{"nobody", account.Caller{Admin: true}, account.Admin, false},
		{"user", user, "", true},
		{"user", user, account.CallsWrite, true},
		{"user", user, account.Admin, false},
		{"admin", admin, account.Admin, true},
		{"admin", admin, account.CallsRead, true},
		{"key", key, "", true},
		{"key", key, account.CallsRead, true},
		{"key", key, account.CallsWrite, false},
		{"key", key, "calls", false},
		{"key", key, account.Admin, false},
		{"an administrator's key", adminsKey, account.Admin, false},
	} {
		if got := c.caller.Can(c.scope); got != c.want {
			t.Errorf("%s can %q = %v, want %v", c.who, c.scope, got, c.want)
		}
	}
}

func TestScopes(t *testing.T) {
	t.Parallel()
	want := []string{"numbers:read", "numbers:write", "calls:read", "calls:write", "webhooks:read", "webhooks:write", "keys:write"}
	if diff := cmp.Diff(want, account.Scopes()); diff != "" {
		t.Error(diff)
	}
}

func TestLive(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 22, 9, 30, 0, 0, time.UTC)
	for _, c := range []struct {
		name string
		key  account.Key
		want bool
	}{
		{"for ever", account.Key{}, true},
		{"expires later", account.Key{ExpiresAt: now.Add(1)}, true},
		{"expires now", account.Key{ExpiresAt: now}, false},
		{"has expired", account.Key{ExpiresAt: now.Add(-1)}, false},
		{"revoked", account.Key{RevokedAt: now}, false},
		{"revoked with grace", account.Key{RevokedAt: now.Add(time.Hour)}, true},
		{"revoked, not expired", account.Key{RevokedAt: now.Add(-1), ExpiresAt: now.Add(time.Hour)}, false},
	} {
		if got := c.key.Live(now); got != c.want {
			t.Errorf("%s: Live = %v, want %v", c.name, got, c.want)
		}
	}
}

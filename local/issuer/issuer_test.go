package issuer_test

import (
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/krosai/telephony/local/issuer"
	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/oidc"
)

// serve opens an issuer with the key in the file, and a verifier that uses it.
func serve(t *testing.T, file string) (i *issuer.Issuer, v *oidc.Verifier, url string) {
	t.Helper()
	server := httptest.NewUnstartedServer(nil)
	url = "http://" + server.Listener.Addr().String()
	var err error
	if i, err = issuer.Open(file, issuer.Config{URL: url}); err != nil {
		t.Fatal(err)
	}
	server.Config.Handler = i
	server.Start()
	t.Cleanup(server.Close)
	if v, err = oidc.Open(oidc.Config{Issuer: url, Audience: []string{issuer.Audience}}, time.Now); err != nil {
		t.Fatal(err)
	}
	return i, v, url
}

func TestTokensAreTaken(t *testing.T) {
	t.Parallel()
	i, v, _ := serve(t, filepath.Join(t.TempDir(), "issuer.pem"))
	for _, c := range []struct {
		sub   string
		roles []string
		want  account.Caller
	}{
		{"demo", nil, account.Caller{UserID: "demo"}},
		{"ada.admin", []string{"admin"}, account.Caller{UserID: "ada.admin", Admin: true}},
		{"bob", []string{"billing"}, account.Caller{UserID: "bob"}},
	} {
		token, err := i.Token(c.sub, c.roles, 24*time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		got, err := v.Verify(t.Context(), token)
		if err != nil {
			t.Errorf("%s: %v", c.sub, err)
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Error(diff)
		}
	}
	for name, ttl := range map[string]time.Duration{"expired": -time.Minute, "too long": 25 * time.Hour} {
		token, err := i.Token("demo", nil, ttl)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := v.Verify(t.Context(), token); err == nil {
			t.Errorf("%s: taken for %+v", name, got)
		}
	}
}

// TestKeyIsKept checks that a token stays valid after its issuer's process ends, and that only the
// owner can read the key.
func TestKeyIsKept(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "issuer.pem")
	first, v, url := serve(t, file)
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("mode %o, want 600", info.Mode().Perm())
	}
	stranger, err := issuer.Open(filepath.Join(t.TempDir(), "issuer.pem"), issuer.Config{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	again, err := issuer.Open(file, issuer.Config{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		issuer *issuer.Issuer
		taken  bool
	}{"the first": {first, true}, "after a restart": {again, true}, "a stranger": {stranger, false}} {
		token, err := c.issuer.Token("demo", nil, time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := v.Verify(t.Context(), token); (err == nil) != c.taken {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestBadKeys(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"empty":     "",
		"not PEM":   "secret",
		"not PKCS8": "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
		"not P-256": "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n-----END PRIVATE KEY-----\n",
	} {
		file := filepath.Join(t.TempDir(), "issuer.pem")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := issuer.Open(file, issuer.Config{URL: "http://127.0.0.1:1"}); err == nil {
			t.Errorf("%s: taken as a key", name)
		}
		if kept, err := os.ReadFile(file); err != nil || string(kept) != text {
			t.Errorf("%s: the file was changed", name)
		}
	}
}

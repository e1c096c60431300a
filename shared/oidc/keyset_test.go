package oidc_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/krosai/telephony/shared/fault"
	"github.com/krosai/telephony/shared/oidc"
)

// verify reports the result for a token: accepted, refused or 503.
func (i *issuer) verify(t *testing.T, token string) string {
	t.Helper()
	_, err := i.verifier.Verify(t.Context(), token)
	switch {
	case err == nil:
		return "accepted"
	case fault.Is(err, fault.Unauthenticated):
		return "refused"
	case fault.Is(err, fault.Upstream):
		return "503"
	}
	t.Errorf("unexpected: %v", err)
	return ""
}

func TestRotation(t *testing.T) {
	t.Parallel()
	k := keyring()
	i := newIssuer(t)
	step := func(what, kid string, want string, readings int64) {
		t.Helper()
		private := k.rsa
		if kid == "next" {
			private = k.otherRSA
		}
		if got := i.verify(t, i.token("ada", kid, private)); got != want || i.readings.Load() != readings {
			t.Errorf("%s: %s after %d readings, want %s after %d", what, got, i.readings.Load(), want, readings)
		}
	}
	step("at first", "rsa", "accepted", 1)
	i.serve(&i.jwks, keySet(jwk("next", &k.otherRSA.PublicKey)))
	step("a new key, at once", "next", "refused", 1)
	i.wait(time.Minute)
	step("a new key, after a minute", "next", "accepted", 2)
	step("the old key", "rsa", "accepted", 2)
	i.serve(&i.jwks, `{"keys":[`+jwk("next", &k.otherRSA.PublicKey)+`]}`)
	i.wait(59 * time.Minute)
	step("a key withdrawn, within the hour", "rsa", "accepted", 2)
	i.wait(time.Minute)
	step("a key withdrawn, after an hour", "rsa", "refused", 3)
	step("the key that is left", "next", "accepted", 3)
}

func TestFloodOfUnknownKeys(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	k := keyring()
	good := i.token("ada", "rsa", k.rsa)
	if got := i.verify(t, good); got != "accepted" {
		t.Fatal(got)
	}
	for minute := range 10 {
		i.wait(time.Minute)
		var wg sync.WaitGroup
		for n := range 50 {
			wg.Go(func() {
				if got := i.verify(t, i.token("eve", fmt.Sprintf("unknown-%d-%d", minute, n), k.otherRSA)); got != "refused" {
					t.Error(got)
				}
			})
		}
		wg.Wait()
		if got := i.verify(t, good); got != "accepted" {
			t.Error(got)
		}
		if n := i.readings.Load(); n != int64(minute)+2 {
			t.Fatalf("%d readings in %d minutes", n, minute+1)
		}
	}
}

// A token that is not meant for this platform causes no request to the issuer.
func TestForeignTokensAskNothing(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	rs := rs256(keyring().rsa)
	for _, claims := range []string{i.claims("iss", `"https://other.example"`), i.claims("aud", `"other"`), i.claims("exp", unix(-time.Hour)), i.claims("sub", `"#"`)} {
		if got := i.verify(t, seal(header("kid", `"unknown"`), claims, rs)); got != "refused" {
			t.Errorf("%s: %s", claims, got)
		}
	}
	if n := i.readings.Load(); n != 0 {
		t.Errorf("%d readings", n)
	}
}

// Fifty tokens that arrive while the first reading is in progress wait for it.
func TestOneReadingAtATime(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	release := make(chan struct{})
	asked := make(chan struct{}, 100)
	slow := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked <- struct{}{}
		<-release
		w.Write([]byte(keySet()))
	})
	i.jwks.Store(&slow)
	token := i.token("ada", "rsa", keyring().rsa)
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			if got := i.verify(t, token); got != "accepted" {
				t.Error(got)
			}
		})
	}
	<-asked

	// A caller that gives up does not affect the others.
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := i.verifier.Verify(ctx, token); !fault.Is(err, fault.Upstream) || !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
	close(release)
	wg.Wait()
	if n := i.readings.Load(); n != 1 {
		t.Errorf("%d readings, want 1", n)
	}
}

// While the keys are read again, tokens with a known key do not wait.
func TestKnownKeysDoNotWait(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	k := keyring()
	if got := i.verify(t, i.token("ada", "rsa", k.rsa)); got != "accepted" {
		t.Fatal(got)
	}
	release, asked := make(chan struct{}), make(chan struct{}, 1)
	slow := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked <- struct{}{}
		<-release
		w.Write([]byte(keySet()))
	})
	i.jwks.Store(&slow)
	i.wait(time.Hour)
	token := i.token("ada", "rsa", k.rsa)
	var wg sync.WaitGroup
	wg.Go(func() { i.verify(t, token) })
	<-asked
	for range 10 {
		if got := i.verify(t, token); got != "accepted" {
			t.Error(got)
		}
	}
	close(release)
	wg.Wait()
	if n := i.readings.Load(); n != 2 {
		t.Errorf("%d readings, want 2", n)
	}
}

func TestOutage(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	k := keyring()
	step := func(what, want string, readings int64) {
		t.Helper()
		if got := i.verify(t, i.token("ada", "rsa", k.rsa)); got != want || i.readings.Load() != readings {
			t.Errorf("%s: %s after %d readings, want %s after %d", what, got, i.readings.Load(), want, readings)
		}
	}
	step("at first", "accepted", 1)
	i.fail(&i.jwks, 500)
	i.wait(time.Hour)
	step("down when the keys are old", "accepted", 2)
	step("down, again at once", "accepted", 2)
	if got := i.verify(t, i.token("eve", "unknown", k.rsa)); got != "refused" {
		t.Errorf("an unknown key while it is down: %s", got)
	}
	i.wait(time.Minute)
	step("down, a minute later", "accepted", 3)
	i.wait(24*time.Hour - time.Hour - time.Minute - time.Second)
	step("down, a second before the day is over", "accepted", 4)
	i.wait(time.Second)
	step("down for a day", "503", 4)
	i.wait(5 * time.Second)
	step("still down", "503", 5)
	i.serve(&i.jwks, keySet())
	i.wait(5 * time.Second)
	step("up again", "accepted", 6)
}

func TestNothingToVerifyWith(t *testing.T) {
	t.Parallel()
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte(keySet())) }))
	t.Cleanup(elsewhere.Close)
	redirect := func(at *atomic.Pointer[http.HandlerFunc], to string) {
		h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, to, http.StatusFound) })
		at.Store(&h)
	}
	for _, c := range []struct {
		name  string
		spoil func(*issuer)
		want  string // part of the cause
	}{
		{"discovery is down", func(i *issuer) { i.fail(&i.discovery, 503) }, "discovery: 503"},
		{"discovery is not found", func(i *issuer) { i.fail(&i.discovery, 404) }, "discovery: 404"},
		{"discovery is a page", func(i *issuer) { i.serve(&i.discovery, "<html>") }, "discovery: is not a JSON object"},
		{"discovery of another issuer", func(i *issuer) {
			i.serve(&i.discovery, `{"issuer":"https://evil.example","jwks_uri":"`+i.server.URL+`/keys"}`)
		}, "another issuer"},
		{"discovery without keys", func(i *issuer) { i.serve(&i.discovery, `{"issuer":"`+i.server.URL+`"}`) }, "jwks_uri: is not an address"},
		{"keys without TLS", func(i *issuer) {
			i.serve(&i.discovery, `{"issuer":"`+i.server.URL+`","jwks_uri":"http://keys.example/"}`)
		}, "jwks_uri: is not https"},
		{"discovery is redirected", func(i *issuer) { redirect(&i.discovery, elsewhere.URL) }, "redirected elsewhere"},
		{"keys are redirected", func(i *issuer) { redirect(&i.jwks, elsewhere.URL) }, "redirected elsewhere"},
		{"keys are redirected for ever", func(i *issuer) { redirect(&i.jwks, "/keys") }, "redirected elsewhere"},
		{"keys are too large", func(i *issuer) { i.serve(&i.jwks, keySet()+strings.Repeat(" ", 256<<10)) }, "too large"},
		{"keys are a page", func(i *issuer) { i.serve(&i.jwks, "<html>") }, "key set: is not a JSON object"},
		{"keys are no list", func(i *issuer) { i.serve(&i.jwks, `{"keys":{}}`) }, "no list of keys"},
		{"keys twice", func(i *issuer) { i.serve(&i.jwks, `{"keys":[],"keys":[]}`) }, "strict JSON"},
		{"a key's name twice", func(i *issuer) { i.serve(&i.jwks, `{"keys":[{"kid":"a","kid":"rsa"}]}`) }, "strict JSON"},
		{"no keys", func(i *issuer) { i.serve(&i.jwks, `{"keys":[]}`) }, "no key that can verify"},
		{"no good keys", func(i *issuer) {
			i.serve(&i.jwks, `{"keys":[`+jwk("rsa", &keyring().rsa.PublicKey, "use", `"enc"`)+`]}`)
		}, "no key that can verify"},
		{"nobody is there", func(i *issuer) { i.server.Close() }, "connection refused"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			i := newIssuer(t)
			token := i.token("ada", "rsa", keyring().rsa)
			c.spoil(i)
			_, err := i.verifier.Verify(t.Context(), token)
			if f, ok := errors.AsType[*fault.Error](err); !ok || f.Kind != fault.Upstream || f.Err == nil || !strings.Contains(f.Err.Error(), c.want) {
				t.Errorf("%v, want 503 because of %q", err, c.want)
			}
		})
	}
}

func TestKeysFoundElsewhere(t *testing.T) {
	t.Parallel()
	keys := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/moved" {
			http.Redirect(w, r, "/moved", http.StatusFound)
			return
		}
		w.Write([]byte(keySet()))
	}))
	t.Cleanup(keys.Close)
	configured := newIssuer(t, func(c *oidc.Config) { c.JWKSURL = keys.URL + "/keys" })
	configured.fail(&configured.discovery, 500) // it is never asked
	discovered := newIssuer(t)
	discovered.serve(&discovered.discovery, `{"issuer":"`+discovered.server.URL+`","jwks_uri":"`+keys.URL+`"}`)
	for name, i := range map[string]*issuer{"configured": configured, "discovered": discovered} {
		if got := i.verify(t, i.token("ada", "rsa", keyring().rsa)); got != "accepted" {
			t.Errorf("%s: %s", name, got)
		}
	}
}

// The verifier gives up on an issuer that never answers, long before API Gateway gives up.
func TestSilentIssuer(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("waits 3 seconds: not with -short")
	}
	i := newIssuer(t)
	silent := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	i.discovery.Store(&silent)
	if got := i.verify(t, i.token("ada", "rsa", keyring().rsa)); got != "503" {
		t.Error(got)
	}
}

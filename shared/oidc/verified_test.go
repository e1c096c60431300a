package oidc_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/krosai/telephony/shared/account"
)

// A token that was verified before is accepted for no longer than a new token: until it expires,
// and until its key is withdrawn.
func TestVerifiedBefore(t *testing.T) {
	t.Parallel()
	k := keyring()
	i := newIssuer(t)
	old := i.token("ada", "rsa", k.rsa)
	step := func(what, token, want string) {
		t.Helper()
		if got := i.verify(t, token); got != want {
			t.Errorf("%s: %s, want %s", what, got, want)
		}
	}
	step("at first", old, "accepted")
	step("again", old, "accepted")
	step("with another signature", old[:len(old)-8]+"AAAAAAAA", "refused")
	i.wait(-2 * time.Minute)
	step("on a clock before it was issued", old, "refused")
	i.wait(2*time.Minute + time.Hour + 29*time.Second)
	step("expired within the leeway", old, "accepted")
	i.wait(time.Second)
	step("expired", old, "refused")

	last := i.token("ada", "rsa", k.rsa)
	step("another", last, "accepted")
	i.serve(&i.jwks, `{"keys":[`+jwk("rsa", &k.otherRSA.PublicKey)+`]}`)
	i.wait(59 * time.Minute)
	i.serve(&i.jwks, `{"keys":[`+jwk("rsa", &k.otherRSA.PublicKey)+`]}`)
	i.verify(t, i.token("ada", "next", k.otherRSA)) // makes the verifier read the keys
	step("its kid now names another key", last, "refused")
}

// Each of many tokens speaks for its own user.
func TestManyTokens(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	users := map[string]string{}
	for n := range 1200 {
		user := "user-" + string(rune('a'+n%26)) + string(rune('a'+n/26%26)) + string(rune('a'+n/676))
		users[user] = seal(header("alg", `"EdDSA"`, "kid", `"ed"`), i.claims("sub", `"`+user+`"`), eddsa(keyring().ed))
	}
	for range 2 {
		for user, token := range users {
			got, err := i.verifier.Verify(t.Context(), token)
			if diff := cmp.Diff(account.Caller{UserID: user}, got); err != nil || diff != "" {
				t.Fatalf("%s: %v %s", user, err, diff)
			}
		}
	}
}

// BenchmarkVerify compares a token that was verified before with one that was not.
func BenchmarkVerify(b *testing.B) {
	i := newIssuer(b)
	tokens := make([]string, 4000) // more than are remembered
	for n := range tokens {
		tokens[n] = seal(header("kid", `"rsa"`), i.claims("n", unix(time.Duration(n)*time.Second)), rs256(keyring().rsa))
	}
	for name, some := range map[string][]string{"again": tokens[:1], "anew": tokens} {
		b.Run(name, func(b *testing.B) {
			for n := 0; b.Loop(); n++ {
				if _, err := i.verifier.Verify(b.Context(), some[n%len(some)]); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

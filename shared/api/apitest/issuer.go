package apitest

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/krosai/telephony/shared/oidc"
)

// Issuer issues users' tokens with an Ed25519 key, and serves that key.
type Issuer struct {
	URL     string
	private ed25519.PrivateKey
}

const audience = "kros"

// NewIssuer starts an issuer that stops with the test.
func NewIssuer(t testing.TB) *Issuer {
	t.Helper()
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"keys":[{"kty":"OKP","crv":"Ed25519","use":"sig","kid":"one","x":%q}]}`, base64.RawURLEncoding.EncodeToString(public))
	}))
	t.Cleanup(server.Close)
	return &Issuer{URL: server.URL, private: private}
}

// Config is the platform's configuration for this issuer.
func (i *Issuer) Config() oidc.Config {
	return oidc.Config{Issuer: i.URL, Audience: []string{audience}, JWKSURL: i.URL + "/jwks.json"}
}

// Token is a token of a user with roles, issued at a moment and valid for an hour.
func (i *Issuer) Token(user string, at time.Time, roles ...string) string {
	claims, err := json.Marshal(map[string]any{"iss": i.URL, "aud": audience, "sub": user, "roles": roles,
		"iat": at.Unix(), "exp": at.Add(time.Hour).Unix()})
	if err != nil {
		panic(err) // strings and numbers can always be encoded
	}
	encode := base64.RawURLEncoding.EncodeToString
	signed := encode([]byte(`{"alg":"EdDSA","kid":"one","typ":"JWT"}`)) + "." + encode(claims)
	return signed + "." + encode(ed25519.Sign(i.private, []byte(signed)))
}

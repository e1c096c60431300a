// Package issuer is a small OpenID Connect issuer for the laptop. It has a discovery document, one
// key, and tokens for anyone who can read the key's file. The console's users sign in with the
// authorization code flow and PKCE (RFC 6749, RFC 7636), on a page without passwords.
package issuer

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// Audience is the audience of the tokens.
const Audience = "kros"

// Client is the id of the console, the only client. It is a public one, without a secret.
const Client = "console"

// The paths of the endpoints below Config.URL.
const (
	AuthorizationPath = "/authorize"
	TokenPath         = "/token"
	EndSessionPath    = "/sign-out"
)

// Config configures an issuer. One that only issues tokens with Token needs nothing but URL.
type Config struct {
	URL      string           // where the issuer is served
	Consoles []string         // origins of the console; the only ones that users are sent back to
	Users    []User           // of the sign-in page
	Now      func() time.Time // nil is time.Now
}

// User is a user of the sign-in page.
type User struct {
	ID     string
	Roles  []string
	Rights string // in words, for the page
}

// Issuer issues tokens under its address. It serves the documents that a verifier needs.
type Issuer struct {
	Config
	key  *ecdsa.PrivateKey
	kid  string
	mux  http.ServeMux
	page *template.Template

	mu    sync.Mutex
	codes map[string]grant // by the code
}

// Open makes an issuer that signs with the key in the file (PKCS #8, PEM). It creates a missing
// file, readable and writable by its owner only.
func Open(file string, c Config) (*Issuer, error) {
	key, err := readKey(file)
	if errors.Is(err, os.ErrNotExist) {
		key, err = makeKey(file)
	}
	if err != nil {
		return nil, fmt.Errorf("signing key %s: %w", file, err)
	}
	point, err := key.PublicKey.Bytes()
	if err != nil {
		return nil, fmt.Errorf("signing key %s: %w", file, err)
	}
	sum := sha256.Sum256(point)
	i := &Issuer{Config: c, key: key, kid: base64.RawURLEncoding.EncodeToString(sum[:12]), codes: map[string]grant{}}
	if i.Now == nil {
		i.Now = time.Now
	}
	i.answer("/.well-known/openid-configuration", i.discovery())
	i.answer("/keys", map[string]any{"keys": []any{map[string]string{
		"kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": i.kid,
		"x": base64.RawURLEncoding.EncodeToString(point[1:33]), "y": base64.RawURLEncoding.EncodeToString(point[33:]),
	}}})
	return i, i.serveSignIn()
}

// discovery is the document of OpenID Connect Discovery 1.0.
func (i *Issuer) discovery() map[string]any {
	return map[string]any{
		"issuer": i.URL, "jwks_uri": i.URL + "/keys", "authorization_endpoint": i.URL + AuthorizationPath,
		"token_endpoint": i.URL + TokenPath, "end_session_endpoint": i.URL + EndSessionPath,
		"response_types_supported": []string{"code"}, "response_modes_supported": []string{"query"},
		"grant_types_supported": []string{"authorization_code"}, "code_challenge_methods_supported": []string{"S256"},
		"token_endpoint_auth_methods_supported": []string{"none"}, "scopes_supported": []string{"openid", "profile"},
		"prompt_values_supported": []string{"none", "login"}, "subject_types_supported": []string{"public"},
		"id_token_signing_alg_values_supported": []string{"ES256"},
	}
}

// answer serves a constant JSON document. The console may read it.
func (i *Issuer) answer(path string, document any) {
	i.mux.HandleFunc("GET "+path, func(w http.ResponseWriter, r *http.Request) {
		i.allowConsole(w, r)
		writeJSON(w, http.StatusOK, document)
	})
}

func writeJSON(w http.ResponseWriter, status int, document any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(document) // the client is gone if this fails
}

// ServeHTTP serves the documents and the endpoints.
func (i *Issuer) ServeHTTP(w http.ResponseWriter, r *http.Request) { i.mux.ServeHTTP(w, r) }

// Token issues a token for the user sub with these roles. It is valid from now on for ttl.
func (i *Issuer) Token(sub string, roles []string, ttl time.Duration) (string, error) {
	return i.sign(Audience, sub, ttl, jwt.MapClaims{"roles": append([]string{}, roles...)})
}

// sign makes a JWT with these claims besides those that every token has.
func (i *Issuer) sign(audience, sub string, ttl time.Duration, claims jwt.MapClaims) (string, error) {
	now := i.Now().Unix()
	claims["iss"], claims["aud"], claims["sub"] = i.URL, audience, sub
	claims["iat"], claims["exp"] = now, now+int64(ttl/time.Second)
	token := jwt.NewWithClaims(jwt.SigningMethodES256, claims)
	token.Header["kid"] = i.kid
	return token.SignedString(i.key)
}

func readKey(file string) (*ecdsa.PrivateKey, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, errors.New("is not PEM")
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	key, ok := parsed.(*ecdsa.PrivateKey)
	if !ok || key.Curve != elliptic.P256() {
		return nil, errors.New("is not a P-256 key")
	}
	return key, nil
}

func makeKey(file string) (*ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	next := file + ".next" // a crash leaves no partial key file
	if err := os.WriteFile(next, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600); err != nil {
		return nil, err
	}
	return key, os.Rename(next, file)
}

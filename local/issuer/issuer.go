// Package issuer is a small OpenID Connect issuer for the laptop. It has a discovery document, one
// key, and tokens for anyone who can read the key's file. It has no login.
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
	"net/http"
	"os"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// Audience is the audience of the tokens.
const Audience = "kros"

// Issuer issues tokens under its address. It serves the documents that a verifier needs.
type Issuer struct {
	url string
	key *ecdsa.PrivateKey
	kid string
	mux http.ServeMux
}

// Open makes an issuer that is served at url and signs with the key in the file (PKCS #8, PEM). It
// creates a missing file, readable and writable by its owner only.
func Open(file, url string) (*Issuer, error) {
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
	i := &Issuer{url: url, key: key, kid: base64.RawURLEncoding.EncodeToString(sum[:12])}
	i.answer("/.well-known/openid-configuration", map[string]any{
		"issuer": url, "jwks_uri": url + "/keys", "id_token_signing_alg_values_supported": []string{"ES256"},
		"response_types_supported": []string{"none"}, "subject_types_supported": []string{"public"},
	})
	i.answer("/keys", map[string]any{"keys": []any{map[string]string{
		"kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": i.kid,
		"x": base64.RawURLEncoding.EncodeToString(point[1:33]), "y": base64.RawURLEncoding.EncodeToString(point[33:]),
	}}})
	return i, nil
}

// answer serves a constant JSON document.
func (i *Issuer) answer(path string, document any) {
	i.mux.HandleFunc("GET "+path, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(document) // the client is gone if this fails
	})
}

// ServeHTTP serves the discovery document and the key.
func (i *Issuer) ServeHTTP(w http.ResponseWriter, r *http.Request) { i.mux.ServeHTTP(w, r) }

// Token issues a token for the user sub with these roles. It is valid from now on for ttl.
func (i *Issuer) Token(sub string, roles []string, ttl time.Duration) (string, error) {
	now := time.Now()
	token := jwt.NewWithClaims(jwt.SigningMethodES256, jwt.MapClaims{
		"iss": i.url, "aud": Audience, "sub": sub, "roles": append([]string{}, roles...),
		"iat": now.Unix(), "exp": now.Unix() + int64(ttl/time.Second),
	})
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

package oidc_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"math/big"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/krosai/telephony/shared/oidc"
)

// signers are the private keys of the issuer, and some keys of others.
type signers struct {
	rsa, otherRSA, smallRSA *rsa.PrivateKey
	ec, otherEC             *ecdsa.PrivateKey
	ed, otherEd             ed25519.PrivateKey
}

// keyring makes the keys once, because RSA keys take time.
var keyring = sync.OnceValue(func() signers {
	must := func(err error) {
		if err != nil {
			panic(err)
		}
	}
	var s signers
	var err error
	s.rsa, err = rsa.GenerateKey(rand.Reader, 2048)
	must(err)
	s.otherRSA, err = rsa.GenerateKey(rand.Reader, 2048)
	must(err)
	s.smallRSA, err = rsa.GenerateKey(rand.Reader, 1024)
	must(err)
	s.ec, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(err)
	s.otherEC, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(err)
	_, s.ed, err = ed25519.GenerateKey(rand.Reader)
	must(err)
	_, s.otherEd, err = ed25519.GenerateKey(rand.Reader)
	must(err)
	return s
})

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// signer makes the signature of a text.
type signer func(signed []byte) []byte

func rs256(k *rsa.PrivateKey) signer { return rsaWith(k, crypto.SHA256) }

func rsaWith(k *rsa.PrivateKey, hash crypto.Hash) signer {
	return func(signed []byte) []byte {
		h := hash.New()
		h.Write(signed)
		sig, err := rsa.SignPKCS1v15(nil, k, hash, h.Sum(nil))
		if err != nil {
			panic(err)
		}
		return sig
	}
}

func es256(k *ecdsa.PrivateKey) signer {
	return func(signed []byte) []byte {
		sum := sha256.Sum256(signed)
		r, s, err := ecdsa.Sign(rand.Reader, k, sum[:])
		if err != nil {
			panic(err)
		}
		return append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
	}
}

func eddsa(k ed25519.PrivateKey) signer {
	return func(signed []byte) []byte { return ed25519.Sign(k, signed) }
}

// seal makes a token of any header and claims, however malformed.
func seal(header, claims string, sign signer) string {
	signed := b64([]byte(header)) + "." + b64([]byte(claims))
	return signed + "." + b64(sign([]byte(signed)))
}

// edit is a JSON object with some members changed. changes are name, JSON value, name, value …. An
// empty value removes the member. A name given twice appears twice.
func edit(object map[string]string, changes ...string) string {
	object = maps.Clone(object)
	var added []string
	for i := 0; i < len(changes); i += 2 {
		delete(object, changes[i])
		if changes[i+1] != "" {
			added = append(added, fmt.Sprintf("%q:%s", changes[i], changes[i+1]))
		}
	}
	var members []string
	for _, name := range slices.Sorted(maps.Keys(object)) {
		members = append(members, fmt.Sprintf("%q:%s", name, object[name]))
	}
	return "{" + strings.Join(append(members, added...), ",") + "}"
}

var (
	begin       = time.Date(2026, 11, 22, 9, 30, 0, 0, time.UTC)
	plainHeader = map[string]string{"alg": `"RS256"`, "typ": `"JWT"`, "kid": `"rsa"`}
)

func unix(after time.Duration) string { return fmt.Sprint(begin.Add(after).Unix()) }

func header(changes ...string) string { return edit(plainHeader, changes...) }

// jwk writes a key of a JWK set.
func jwk(kid string, public any, more ...string) string {
	m := map[string]string{"kid": fmt.Sprintf("%q", kid), "use": `"sig"`}
	quote := func(b []byte) string { return `"` + b64(b) + `"` }
	switch k := public.(type) {
	case *rsa.PublicKey:
		m["kty"], m["n"], m["e"] = `"RSA"`, quote(k.N.Bytes()), quote(big.NewInt(int64(k.E)).Bytes())
	case *ecdsa.PublicKey:
		point, err := k.Bytes()
		if err != nil {
			panic(err)
		}
		m["kty"], m["crv"], m["x"], m["y"] = `"EC"`, `"P-256"`, quote(point[1:33]), quote(point[33:])
	case ed25519.PublicKey:
		m["kty"], m["crv"], m["x"] = `"OKP"`, `"Ed25519"`, quote(k)
	}
	return edit(m, more...)
}

// keySet is the issuer's published keys: one good key of each type, and many keys that must not
// verify a token.
func keySet(extra ...string) string {
	s := keyring()
	small := make([]byte, 32)
	keys := append([]string{
		jwk("rsa", &s.rsa.PublicKey), jwk("ec", &s.ec.PublicKey, "alg", `"ES256"`), jwk("ed", s.ed.Public(), "use", "", "key_ops", `["verify"]`),
		jwk("enc", &s.rsa.PublicKey, "use", `"enc"`),
		jwk("rs512", &s.rsa.PublicKey, "alg", `"RS512"`),
		jwk("signs", &s.rsa.PublicKey, "key_ops", `["sign"]`),
		jwk("leaked", &s.rsa.PublicKey, "d", `"`+b64(s.rsa.D.Bytes())+`"`),
		jwk("small", &s.smallRSA.PublicKey),
		jwk("even", &s.rsa.PublicKey, "e", `"Ag"`),
		jwk("one", &s.rsa.PublicKey, "e", `"AQ"`),
		jwk("padded", &s.rsa.PublicKey, "e", `"AQAB="`),
		jwk("p384", &s.ec.PublicKey, "crv", `"P-384"`),
		jwk("off-curve", &s.ec.PublicKey, "y", `"`+b64(small)+`"`),
		jwk("short", s.ed.Public(), "x", `"`+b64(small[:31])+`"`),
		jwk("x25519", s.ed.Public(), "crv", `"X25519"`),
		jwk("rsa", &s.otherRSA.PublicKey), // the first key of a name counts
		jwk("", &s.otherRSA.PublicKey),
		`{"kty":"oct","kid":"oct","k":"c2VjcmV0"}`, `"no key"`, `null`,
	}, extra...)
	return `{"keys":[` + strings.Join(keys, ",") + `]}`
}

// issuer is an OpenID provider whose answers a test can change.
type issuer struct {
	server    *httptest.Server
	clock     atomic.Int64 // nanoseconds after begin
	discovery atomic.Pointer[http.HandlerFunc]
	jwks      atomic.Pointer[http.HandlerFunc]
	readings  atomic.Int64 // of the key set
	verifier  *oidc.Verifier
}

func newIssuer(tb testing.TB, change ...func(*oidc.Config)) *issuer {
	tb.Helper()
	i := &issuer{}
	i.serve(&i.jwks, keySet())
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", func(w http.ResponseWriter, r *http.Request) { (*i.discovery.Load())(w, r) })
	mux.HandleFunc("GET /keys", func(w http.ResponseWriter, r *http.Request) {
		i.readings.Add(1)
		(*i.jwks.Load())(w, r)
	})
	i.server = httptest.NewServer(mux)
	tb.Cleanup(i.server.Close)
	document, err := json.Marshal(map[string]string{"issuer": i.server.URL, "jwks_uri": i.server.URL + "/keys"})
	if err != nil {
		tb.Fatal(err)
	}
	i.serve(&i.discovery, string(document))
	config := oidc.Config{Issuer: i.server.URL, Audience: []string{"kros"}}
	for _, f := range change {
		f(&config)
	}
	i.verifier, err = oidc.Open(config, i.now)
	if err != nil {
		tb.Fatal(err)
	}
	return i
}

func (i *issuer) now() time.Time { return begin.Add(time.Duration(i.clock.Load())) }

func (i *issuer) wait(d time.Duration) { i.clock.Add(int64(d)) }

// serve sets the answer of one of the issuer's two addresses.
func (i *issuer) serve(at *atomic.Pointer[http.HandlerFunc], body string) {
	h := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte(body)) })
	at.Store(&h)
}

func (i *issuer) fail(at *atomic.Pointer[http.HandlerFunc], status int) {
	h := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) })
	at.Store(&h)
}

// claims are valid claims for the moment the test began, with changes.
func (i *issuer) claims(changes ...string) string {
	return edit(map[string]string{"iss": `"` + i.server.URL + `"`, "aud": `"kros"`, "sub": `"ada"`,
		"iat": unix(-time.Minute), "exp": unix(time.Hour)}, changes...)
}

// token is a valid token for the present moment, signed with RS256.
func (i *issuer) token(sub, kid string, k *rsa.PrivateKey) string {
	at := time.Duration(i.clock.Load())
	return seal(header("kid", fmt.Sprintf("%q", kid)),
		i.claims("sub", fmt.Sprintf("%q", sub), "iat", unix(at), "exp", unix(at+time.Hour)), rs256(k))
}

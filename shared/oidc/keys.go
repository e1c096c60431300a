package oidc

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"errors"
	"fmt"
	"math/big"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/golang-jwt/jwt/v5"
)

// The accepted sizes of RSA keys, in bits. Larger keys would make each token expensive to verify.
const minRSA, maxRSA = 2048, 8192

// key is a public key with the one algorithm it is used with.
type key struct {
	method  jwt.SigningMethod
	public  any
	reading int // the reading of the key set that found it
}

func (k key) verify(t token) error {
	if t.alg != k.method.Alg() {
		return errors.New("alg does not fit the key")
	}
	return k.method.Verify(t.signed, t.signature, k.public)
}

// parseKeys reads a JWK set (RFC 7517) and returns the keys that can verify a token, by kid.
// Other keys are left out, because a set may hold keys of any kind. A set without a usable key is
// an error.
func parseKeys(text []byte) (map[string]key, error) {
	set, err := members(text)
	if err != nil {
		return nil, fmt.Errorf("key set: %w", err)
	}
	items, ok := list(set["keys"])
	if !ok {
		return nil, errors.New("key set: has no list of keys")
	}
	keys := map[string]key{}
	for _, item := range items {
		jwk, err := members(item)
		if err != nil {
			continue
		}
		kid, _ := unquote(jwk["kid"])
		if _, taken := keys[kid]; taken || kid == "" {
			continue
		}
		if k, ok := parseKey(jwk); ok {
			keys[kid] = k
		}
	}
	if len(keys) == 0 {
		return nil, errors.New("key set: has no key that can verify a token")
	}
	return keys, nil
}

// parseKey reads one JWK. It reports false unless that is a public key for RS256, ES256 or
// EdDSA signatures.
func parseKey(jwk map[string]jsontext.Value) (key, bool) {
	if !forSignatures(jwk) || jwk["d"] != nil { // d: the set reveals the private key
		return key{}, false
	}
	var k key
	kty, _ := unquote(jwk["kty"])
	crv, _ := unquote(jwk["crv"])
	switch {
	case kty == "RSA":
		k = key{method: jwt.SigningMethodRS256, public: rsaKey(number(jwk["n"]), number(jwk["e"]))}
	case kty == "EC" && crv == "P-256":
		k = key{method: jwt.SigningMethodES256, public: ecKey(number(jwk["x"]), number(jwk["y"]))}
	case kty == "OKP" && crv == "Ed25519":
		k = key{method: jwt.SigningMethodEdDSA, public: edKey(number(jwk["x"]))}
	}
	if k.public == nil {
		return key{}, false
	}
	if v := jwk["alg"]; v != nil {
		if alg, _ := unquote(v); alg != k.method.Alg() {
			return key{}, false
		}
	}
	return k, true
}

// forSignatures reports whether use and key_ops, if present, say that the key verifies signatures
// (RFC 7517, sections 4.2 and 4.3).
func forSignatures(jwk map[string]jsontext.Value) bool {
	if v := jwk["use"]; v != nil {
		if use, _ := unquote(v); use != "sig" {
			return false
		}
	}
	if v := jwk["key_ops"]; v != nil {
		items, _ := list(v)
		for _, item := range items {
			if op, _ := unquote(item); op == "verify" {
				return true
			}
		}
		return false
	}
	return true
}

// number is the bytes of a base64url member, or nil if the member is not base64url.
func number(v jsontext.Value) []byte {
	text, _ := unquote(v)
	b, err := decode(text)
	if err != nil {
		return nil
	}
	return b
}

func rsaKey(n, e []byte) any {
	modulus, exponent := new(big.Int).SetBytes(n), new(big.Int).SetBytes(e)
	if bits := modulus.BitLen(); bits < minRSA || bits > maxRSA {
		return nil
	}
	if exponent.BitLen() > 31 || exponent.Int64() < 3 || exponent.Bit(0) == 0 {
		return nil
	}
	return &rsa.PublicKey{N: modulus, E: int(exponent.Int64())}
}

func ecKey(x, y []byte) any {
	if len(x) != 32 || len(y) != 32 {
		return nil
	}
	point := append(append([]byte{4}, x...), y...)
	public, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point)
	if err != nil {
		return nil
	}
	return public
}

func edKey(x []byte) any {
	if len(x) != ed25519.PublicKeySize {
		return nil
	}
	return ed25519.PublicKey(x)
}

package oidc_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	_ "crypto/sha512"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"
)

func hs256(secret []byte) signer {
	return func(signed []byte) []byte {
		m := hmac.New(sha256.New, secret)
		m.Write(signed)
		return m.Sum(nil)
	}
}

func pss(k *rsa.PrivateKey) signer {
	return func(signed []byte) []byte {
		sum := sha256.Sum256(signed)
		sig, err := rsa.SignPSS(rand.Reader, k, crypto.SHA256, sum[:], nil)
		if err != nil {
			panic(err)
		}
		return sig
	}
}

func asn1(k *ecdsa.PrivateKey) signer {
	return func(signed []byte) []byte {
		sum := sha256.Sum256(signed)
		sig, err := ecdsa.SignASN1(rand.Reader, k, sum[:])
		if err != nil {
			panic(err)
		}
		return sig
	}
}

func fixed(sig []byte) signer { return func([]byte) []byte { return sig } }

// cut changes the signature that a signer makes.
func cut(sign signer, change func([]byte) []byte) signer {
	return func(signed []byte) []byte { return change(sign(signed)) }
}

type forgery struct{ name, token, why string }

// Nearly all of these tokens carry a signature of the issuer's own key, so that each is refused for
// its one defect.
func forgeries(i *issuer) []forgery {
	k := keyring()
	rs, es, ed := rs256(k.rsa), es256(k.ec), eddsa(k.ed)
	der, err := x509.MarshalPKIXPublicKey(&k.rsa.PublicKey)
	if err != nil {
		panic(err)
	}
	publicPEM := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	h, c := header(), i.claims()
	good := seal(h, c, rs)
	part := strings.Split(good, ".")
	admin := strings.Split(seal(h, i.claims("roles", `["admin"]`), rs), ".")
	ecHeader, edHeader := header("alg", `"ES256"`, "kid", `"ec"`), header("alg", `"EdDSA"`, "kid", `"ed"`)
	order, _ := new(big.Int).SetString("7237005577332262213973186563042994240857116359379907606001950938285454250989", 10)

	list := []forgery{
		// The form of the token.
		{"nothing", "", "three segments"},
		{"two dots", "..", "is empty"},
		{"two segments", part[0] + "." + part[1], "three segments"},
		{"four segments", good + ".", "three segments"},
		{"five segments, as an encrypted one", good + ".x.y", "three segments"},
		{"no header", "." + part[1] + "." + part[2], "segment 1"},
		{"no claims", part[0] + ".." + part[2], "segment 2"},
		{"no signature", part[0] + "." + part[1] + ".", "segment 3"},
		{"a space before", " " + good, "segment 1"},
		{"a space behind", good + " ", "segment 3"},
		{"a line end behind", good + "\n", "line ends"},
		{"a line end inside", part[0][:4] + "\r\n" + part[0][4:] + "." + part[1] + "." + part[2], "line ends"},
		{"a line end in the signature", part[0] + "." + part[1] + "." + part[2][:9] + "\n" + part[2][9:], "line ends"},
		{"padding", part[0] + "==." + part[1] + "." + part[2], "segment 1"},
		{"the other base64", part[0] + "." + part[1] + "." + base64.RawStdEncoding.EncodeToString([]byte("\xff\xff\xff\xfb\xef")), "segment 3"},
		{"bits that say nothing", part[0] + "." + part[1] + "." + part[2][:len(part[2])-1] + "B", "segment 3"},
		{"a NUL", good[:9] + "\x00" + good[9:], "segment 1"},
		{"too long", seal(h, i.claims("pad", `"`+strings.Repeat("x", 6<<10)+`"`), rs), "too long"},
		{"JSON serialization", `{"protected":"` + part[0] + `","payload":"` + part[1] + `","signature":"` + part[2] + `"}`, "three segments"},
		{"the first of two tokens", good + "," + good, "three segments"},

		// The signature.
		{"cut off", seal(h, c, cut(rs, func(b []byte) []byte { return b[:len(b)-1] })), "verification error"},
		{"a byte more", seal(h, c, cut(rs, func(b []byte) []byte { return append(b, 0) })), "verification error"},
		{"a zero before", seal(h, c, cut(rs, func(b []byte) []byte { return append([]byte{0}, b...) })), "verification error"},
		{"zeros", seal(h, c, fixed(make([]byte, 256))), "verification error"},
		{"one", seal(h, c, fixed(append(make([]byte, 255), 1))), "verification error"},
		{"another token's", part[0] + "." + admin[1] + "." + part[2], "verification error"},
		{"another key's", seal(h, c, rs256(k.otherRSA)), "verification error"},
		{"another hash", seal(h, c, rsaWith(k.rsa, crypto.SHA512)), "verification error"},
		{"another padding", seal(h, c, pss(k.rsa)), "verification error"},
		{"ES256, another key's", seal(ecHeader, c, es256(k.otherEC)), "verification error"},
		{"ES256, zeros", seal(ecHeader, c, fixed(make([]byte, 64))), "verification error"},
		{"ES256, ASN.1", seal(ecHeader, c, asn1(k.ec)), "verification error"},
		{"ES256, a byte short", seal(ecHeader, c, cut(es, func(b []byte) []byte { return b[:63] })), "verification error"},
		{"ES256, halves swapped", seal(ecHeader, c, cut(es, func(b []byte) []byte { return append(b[32:], b[:32]...) })), "verification error"},
		{"EdDSA, another key's", seal(edHeader, c, eddsa(k.otherEd)), "verification error"},
		{"EdDSA, zeros", seal(edHeader, c, fixed(make([]byte, 64))), "verification error"},
		{"EdDSA, S + L", seal(edHeader, c, cut(ed, func(b []byte) []byte { return addOrder(b, order) })), "verification error"},

		// The algorithm and the key.
		{"none", seal(header("alg", `"none"`), c, rs), "alg is not"},
		{"none, unsigned", b64([]byte(header("alg", `"none"`))) + "." + part[1] + ".", "segment 3"},
		{"None", seal(header("alg", `"None"`), c, rs), "alg is not"},
		{"nOnE", seal(header("alg", `"nOnE"`), c, rs), "alg is not"},
		{"HS256 with the public key", seal(header("alg", `"HS256"`), c, hs256(publicPEM)), "alg is not"},
		{"HS256 with the modulus", seal(header("alg", `"HS256"`), c, hs256(k.rsa.N.Bytes())), "alg is not"},
		{"HS256 with no secret", seal(header("alg", `"HS256"`), c, hs256(nil)), "alg is not"},
		{"HS256 with the published secret", seal(header("alg", `"HS256"`, "kid", `"oct"`), c, hs256([]byte("secret"))), "alg is not"},
		{"RS384", seal(header("alg", `"RS384"`), c, rsaWith(k.rsa, crypto.SHA384)), "alg is not"},
		{"RS512", seal(header("alg", `"RS512"`), c, rsaWith(k.rsa, crypto.SHA512)), "alg is not"},
		{"PS256", seal(header("alg", `"PS256"`), c, pss(k.rsa)), "alg is not"},
		{"ES384", seal(header("alg", `"ES384"`, "kid", `"ec"`), c, es), "alg is not"},
		{"ES256K", seal(header("alg", `"ES256K"`, "kid", `"ec"`), c, es), "alg is not"},
		{"Ed25519", seal(header("alg", `"Ed25519"`, "kid", `"ed"`), c, ed), "alg is not"},
		{"rs256", seal(header("alg", `"rs256"`), c, rs), "alg is not"},
		{"RS256 and a space", seal(header("alg", `"RS256 "`), c, rs), "alg is not"},
		{"no alg", seal(header("alg", ""), c, rs), "alg is not"},
		{"alg null", seal(header("alg", "null"), c, rs), "alg is not"},
		{"alg a number", seal(header("alg", "256"), c, rs), "alg is not"},
		{"alg a list", seal(header("alg", `["RS256"]`), c, rs), "alg is not"},
		{"alg twice", seal(header("alg", `"none"`, "alg", `"RS256"`), c, rs), "strict JSON"},
		{"alg twice, once escaped", seal(strings.Replace(h, "{", `{"\u0061lg":"none",`, 1), c, rs), "strict JSON"},
		{"ALG beside alg", seal(header("ALG", `"none"`), c, rs), "other letters"},
		{"Alg alone", seal(header("alg", "", "Alg", `"RS256"`), c, rs), "other letters"},
		{"ES256 for the RSA key", seal(header("alg", `"ES256"`), c, es), "does not fit"},
		{"EdDSA for the RSA key", seal(header("alg", `"EdDSA"`), c, ed), "does not fit"},
		{"RS256 for the EC key", seal(header("kid", `"ec"`), c, rs), "does not fit"},
		{"RS256 for the Ed25519 key", seal(header("kid", `"ed"`), c, rs), "does not fit"},
		{"no kid", seal(header("kid", ""), c, rs), "kid does not"},
		{"kid empty", seal(header("kid", `""`), c, rs256(k.otherRSA)), "kid does not"},
		{"kid null", seal(header("kid", "null"), c, rs), "kid does not"},
		{"kid a number", seal(header("kid", "1"), c, rs), "kid does not"},
		{"kid a list", seal(header("kid", `["rsa"]`), c, rs), "kid does not"},
		{"kid too long", seal(header("kid", `"`+strings.Repeat("k", 257)+`"`), c, rs), "kid does not"},
		{"kid twice", seal(header("kid", `"ec"`, "kid", `"rsa"`), c, rs), "strict JSON"},
		{"KID beside kid", seal(header("KID", `"ec"`), c, rs), "other letters"},
		{"kid with the Kelvin sign", seal(header("\u212aid", `"ec"`), c, rs), "other letters"},
		{"the second key of a name", seal(h, c, rs256(k.otherRSA)), "verification error"},
		{"an embedded key", seal(header("jwk", jwk("rsa", &k.otherRSA.PublicKey)), c, rs256(k.otherRSA)), "jwk is not taken"},
		{"jku", seal(header("jku", `"https://evil.example/keys"`), c, rs), "jku is not taken"},
		{"JKU", seal(header("JKU", `"https://evil.example/keys"`), c, rs), "other letters"},
		{"x5u", seal(header("x5u", `"http://169.254.169.254/"`), c, rs), "x5u is not taken"},
		{"x5c", seal(header("x5c", `["MIIB"]`), c, rs), "x5c is not taken"},
		{"x5c null", seal(header("x5c", `null`), c, rs), "x5c is not taken"},
		{"crit", seal(header("crit", `["exp"]`), c, rs), "crit is not taken"},
		{"crit empty", seal(header("crit", `[]`), c, rs), "crit is not taken"},
		{"b64 false", seal(header("b64", `false`, "crit", `["b64"]`), c, rs), "is not taken"},
		{"b64 true", seal(header("b64", `true`), c, rs), "b64 is not taken"},
		{"zip", seal(header("zip", `"DEF"`), c, rs), "zip is not taken"},
		{"cty", seal(header("cty", `"JWT"`), c, rs), "cty is not taken"},
		{"typ of another kind", seal(header("typ", `"logout+jwt"`), c, rs), "typ is neither"},
		{"typ in small letters", seal(header("typ", `"jwt"`), c, rs), "typ is neither"},
		{"typ null", seal(header("typ", `null`), c, rs), "typ is neither"},
		{"typ a list", seal(header("typ", `["JWT"]`), c, rs), "typ is neither"},
		{"header a list", seal("["+h+"]", c, rs), "not a JSON object"},
		{"header empty", seal("{}", c, rs), "alg is not"},
		{"header twice", seal(h+h, c, rs), "after its end"},
		{"header with a NUL behind", seal(h+"\x00", c, rs), "after its end"},
		{"header cut off", seal(h[:len(h)-1], c, rs), "strict JSON"},
		{"header with a comma too many", seal(h[:len(h)-1]+",}", c, rs), "strict JSON"},
		{"header with a comment", seal("/**/"+h, c, rs), "not a JSON object"},
		{"header with a byte order mark", seal("\ufeff"+h, c, rs), "not a JSON object"},
		{"header not in UTF-8", seal(header("x", "\"\xff\""), c, rs), "strict JSON"},
		{"header with half a surrogate pair", seal(header("x", `"\ud800"`), c, rs), "strict JSON"},
		{"header with a name twice, deep down", seal(header("x", `{"y":[{"z":1,"z":2}]}`), c, rs), "strict JSON"},
	}
	for _, kid := range []string{"unknown", "RSA", "rsa ", "rsa\\n", "rsa\\u0000", "../../../../dev/null", "rsa' OR '1'='1", "file:///dev/null", "https://evil.example/key",
		"enc", "rs512", "signs", "leaked", "even", "one", "padded", "p384", "off-curve", "short", "x25519", "oct"} {
		list = append(list, forgery{"kid " + kid, seal(header("kid", `"`+kid+`"`), c, rs), "none of the issuer's"})
	}
	list = append(list, forgery{"kid small", seal(header("kid", `"small"`), c, rs256(k.smallRSA)), "none of the issuer's"})
	for _, wrong := range wrongClaims(i) {
		list = append(list, forgery{wrong[0], seal(h, wrong[1], rs), wrong[2]})
	}
	return list
}

// addOrder adds the group's order to the S of an Ed25519 signature. A verifier that does not check
// the range of S accepts it like the original (RFC 8032, section 5.1.7).
func addOrder(sig []byte, order *big.Int) []byte {
	s := make([]byte, 32)
	for j := range s {
		s[j] = sig[63-j]
	}
	sum := new(big.Int).Add(new(big.Int).SetBytes(s), order).FillBytes(make([]byte, 32))
	for j := range sum {
		sig[63-j] = sum[j]
	}
	return sig
}

// wrongClaims are triples of a name, claims and the reason of the refusal.
func wrongClaims(i *issuer) [][3]string {
	c := i.claims()
	list := [][3]string{
		{"claims empty", "{}", "iss is"},
		{"claims null", "null", "not a JSON object"},
		{"claims a list", "[" + c + "]", "not a JSON object"},
		{"claims a string", `"claims"`, "not a JSON object"},
		{"claims cut off", c[:len(c)-1], "strict JSON"},
		{"claims twice", c + c, "after its end"},
		{"claims and a bracket", c + "}", "after its end"},
		{"claims not in UTF-8", i.claims("x", "\"\xc3\x28\""), "strict JSON"},
		{"claims with half a surrogate pair", i.claims("sub", `"\udc00"`), "strict JSON"},
		{"claims with a name twice, deep down", i.claims("x", `[[{"a":1,"a":1}]]`), "strict JSON"},
		{"claims with single quotes", "{'iss':1}", "strict JSON"},
		{"claims too deep", i.claims("x", strings.Repeat("[", 2900)), "strict JSON"},

		{"aud and no token_use", i.claims("aud", "", "client_id", `"kros"`), "aud does not"},
		{"an ID token without aud", i.claims("aud", "", "client_id", `"kros"`, "token_use", `"id"`), "aud does not"},
		{"an access token of another client", i.claims("aud", "", "client_id", `"other"`, "token_use", `"access"`), "aud does not"},
		{"an access token without a client", i.claims("aud", "", "token_use", `"access"`), "aud does not"},
		{"an access token of our client for others", i.claims("aud", `"other"`, "client_id", `"kros"`, "token_use", `"access"`), "aud does not"},
		{"an access token with aud null", i.claims("aud", `null`, "client_id", `"kros"`, "token_use", `"access"`), "aud does not"},

		{"lives 24 h and 1 s", i.claims("iat", unix(0), "exp", unix(24*time.Hour+time.Second)), "too long"},
		{"lives for ever", i.claims("exp", "99999999999"), "too long"},
		{"ends when it begins", i.claims("iat", unix(10*time.Second), "exp", unix(10*time.Second)), "too long"},
		{"ends before it begins", i.claims("iat", unix(20*time.Second), "exp", unix(10*time.Second)), "too long"},
		{"exp over for 30 s", i.claims("exp", unix(-30*time.Second), "iat", unix(-time.Hour)), "exp is over"},
		{"exp over for a year", i.claims("exp", unix(-365*24*time.Hour), "iat", unix(-366*24*time.Hour)), "exp is over"},
		{"iat in 31 s", i.claims("iat", unix(31*time.Second)), "yet to come"},
		{"nbf in 31 s", i.claims("nbf", unix(31*time.Second)), "yet to come"},
		{"exp in milliseconds", i.claims("exp", unix(time.Hour)+"000"), "too long"},
		{"a date", i.claims("exp", `"2026-11-22T10:30:00Z"`), "exp is not"},

		{"sub of 129 characters", i.claims("sub", `"`+strings.Repeat("x", 129)+`"`), "sub is not"},
		{"roles a number", i.claims("roles", `1`), "roles is not"},
		{"roles true", i.claims("roles", `true`), "roles is not"},
		{"roles an object", i.claims("roles", `{"admin":true}`), "roles is not"},
		{"roles with a number", i.claims("roles", `["admin",1]`), "roles is not"},
		{"roles with null", i.claims("roles", `["admin",null]`), "roles is not"},
		{"roles in lists", i.claims("roles", `[["admin"]]`), "roles is not"},
		{"groups an object", i.claims("cognito:groups", `{"0":"admin"}`), "cognito:groups is not"},
		{"roles twice", i.claims("roles", `[]`, "roles", `["admin"]`), "strict JSON"},
		{"Roles", i.claims("Roles", `["admin"]`), "other letters"},
		{"role\u017f with a long s", i.claims("role\u017f", `["admin"]`), "other letters"},
	}
	for claim, why := range map[string]string{"iss": "iss is", "aud": "aud does not", "sub": "sub is not", "exp": "exp is not", "iat": "iat is not"} {
		list = append(list, [3]string{"no " + claim, i.claims(claim, ""), why})
	}
	for claim, values := range map[string][]string{
		"iss": {"null", "1", `""`, `"https://evil.example"`, `"` + i.server.URL + `/"`, `"` + i.server.URL + `#"`, `" ` + i.server.URL + `"`,
			`"` + strings.ToUpper(i.server.URL) + `"`, `["` + i.server.URL + `"]`},
		"aud": {"null", "1", `""`, `"other"`, `"kro"`, `"kross"`, `"KROS"`, `"kros "`, `[]`, `["other"]`, `["kros",1]`, `[["kros"]]`, `{"kros":true}`, `"other kros"`},
		"sub": {"null", "1", `""`, `"#"`, `"ada#x"`, `"ada "`, `"a da"`, `"ada\n"`, `"ada\u0000"`, `"ад"`, `"ａda"`, `"ada/x"`, `"ada%23"`, `["ada"]`, `{}`, `true`},
		"exp": {"null", "true", `"` + unix(time.Hour) + `"`, "0", "-1", "1e400", "[" + unix(time.Hour) + "]", "{}", `""`},
		"iat": {"null", "true", `"` + unix(0) + `"`, "0", "-1", "1e400", "{}"},
		"nbf": {"null", "true", `"` + unix(0) + `"`, "0", "-1", "1e400", "{}"},
	} {
		why := map[string]string{"iss": "iss is", "aud": "aud does not", "sub": "sub is not", "exp": "exp is not", "iat": "iat is not", "nbf": "nbf is not"}[claim]
		for _, v := range values {
			list = append(list, [3]string{claim + " " + v, i.claims(claim, v), why})
		}
		list = append(list,
			[3]string{claim + " twice", strings.Replace(i.claims(claim, unix(0)), "{", fmt.Sprintf(`{%q:%s,`, claim, unix(0)), 1), "strict JSON"},
			[3]string{claim + " in capitals as well", i.claims(strings.ToUpper(claim), `"ada"`), "other letters"})
	}
	for _, v := range []string{"NaN", "Infinity", "0x10", "01", "+1", "1_000"} {
		list = append(list, [3]string{"exp " + v, i.claims("exp", v), "strict JSON"})
	}
	return append(list, [3]string{"\u017fub with a long s", i.claims("\u017fub", `"eve"`), "other letters"})
}

func TestForged(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	if _, err := i.verifier.Verify(t.Context(), seal(header(), i.claims(), rs256(keyring().rsa))); err != nil {
		t.Fatalf("the token that the others are made of: %v", err)
	}
	list := forgeries(i)
	for _, f := range list {
		got, err := i.verifier.Verify(t.Context(), f.token)
		if why := refusal(t, f.name, got, err); !strings.Contains(why, f.why) {
			t.Errorf("%s: refused because %q, want %q", f.name, why, f.why)
		}
	}
	t.Logf("%d forged or malformed tokens", len(list))
	if len(list) < 71 {
		t.Errorf("%d tokens, want 71 at least", len(list))
	}
	if n := i.readings.Load(); n != 1 {
		t.Errorf("the keys were read %d times, want once", n)
	}
}

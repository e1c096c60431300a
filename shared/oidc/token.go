package oidc

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

const (
	maxToken = 8 << 10 // bytes
	maxKeyID = 256     // bytes
)

// token is a decoded JWT. Its content must not be trusted before its claims and its signature
// are checked.
type token struct {
	alg, kid  string
	claims    map[string]jsontext.Value
	signed    string // header and claims as they were sent
	signature []byte
}

// parse decodes a JWT in compact form (RFC 7515, section 7.1).
func parse(text string) (token, error) {
	if len(text) > maxToken {
		return token{}, errors.New("the token is too long")
	}
	segments := strings.Split(text, ".")
	if len(segments) != 3 {
		return token{}, errors.New("the token is not three segments")
	}
	decoded := make([][]byte, len(segments))
	for i, s := range segments {
		var err error
		if decoded[i], err = decode(s); err != nil {
			return token{}, fmt.Errorf("segment %d: %w", i+1, err)
		}
	}
	t := token{signed: segments[0] + "." + segments[1], signature: decoded[2]}
	header, err := members(decoded[0])
	if err != nil {
		return token{}, fmt.Errorf("header: %w", err)
	}
	if t.alg, t.kid, err = checkHeader(header); err != nil {
		return token{}, fmt.Errorf("header: %w", err)
	}
	if t.claims, err = members(decoded[1]); err != nil {
		return token{}, fmt.Errorf("claims: %w", err)
	}
	return t, nil
}

// decode reads base64url without padding, in which each value has one spelling. It refuses line
// ends, which the standard decoder skips.
func decode(segment string) ([]byte, error) {
	if segment == "" || strings.ContainsAny(segment, "\r\n") {
		return nil, errors.New("is empty or has line ends")
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(segment)
	if err != nil {
		return nil, errors.New("is not base64url")
	}
	return b, nil
}

// checkHeader returns the algorithm and the key's id. It refuses every member that makes a
// verifier fetch a key, unpack the token or read it in another way, even if this verifier would
// ignore the member.
func checkHeader(header map[string]jsontext.Value) (alg, kid string, err error) {
	dangerous := []string{"crit", "b64", "jku", "jwk", "x5u", "x5c", "zip", "cty"}
	for _, name := range dangerous {
		if header[name] != nil {
			return "", "", errors.New(name + " is not taken")
		}
	}
	if err := exact(header, append(dangerous, "alg", "typ", "kid")...); err != nil {
		return "", "", err
	}
	if v := header["typ"]; v != nil {
		if typ, ok := unquote(v); !ok || typ != "JWT" && typ != "at+jwt" {
			return "", "", errors.New("typ is neither JWT nor at+jwt")
		}
	}
	alg, ok := unquote(header["alg"])
	if !ok || alg != "RS256" && alg != "ES256" && alg != "EdDSA" {
		return "", "", errors.New("alg is not RS256, ES256 or EdDSA")
	}
	kid, ok = unquote(header["kid"])
	if !ok || kid == "" || len(kid) > maxKeyID {
		return "", "", errors.New("kid does not name a key")
	}
	return alg, kid, nil
}

// members reads the text of one JSON object with nothing after it. Duplicate names at any depth,
// text that is not UTF-8 and halves of surrogate pairs are errors.
func members(text []byte) (map[string]jsontext.Value, error) {
	d := jsontext.NewDecoder(bytes.NewReader(text))
	if d.PeekKind() != '{' {
		return nil, errors.New("is not a JSON object")
	}
	_, err := d.ReadToken()
	found := map[string]jsontext.Value{}
	for err == nil && d.PeekKind() != '}' {
		var name jsontext.Token
		if name, err = d.ReadToken(); err != nil {
			break
		}
		member := name.String() // before the decoder reads on
		var value jsontext.Value
		value, err = d.ReadValue()
		found[member] = value.Clone()
	}
	if err == nil {
		_, err = d.ReadToken() // the closing brace
	}
	if err != nil {
		return nil, errors.New("is not strict JSON")
	}
	if _, err := d.ReadToken(); !errors.Is(err, io.EOF) {
		return nil, errors.New("has something after its end")
	}
	return found, nil
}

// exact refuses members whose names differ from known names only in letter case. A parser that
// ignores case would take them for the known members.
func exact(object map[string]jsontext.Value, known ...string) error {
	for name := range object {
		for _, k := range known {
			if name != k && strings.EqualFold(name, k) {
				return errors.New(k + " is written in other letters")
			}
		}
	}
	return nil
}

// unquote is the value of a JSON string. It reports false for anything else.
func unquote(v jsontext.Value) (string, bool) {
	if v.Kind() != '"' {
		return "", false
	}
	text, err := jsontext.AppendUnquote(nil, v)
	return string(text), err == nil
}

// list is the values of a JSON array. It reports false for anything else.
func list(v jsontext.Value) ([]jsontext.Value, bool) {
	if v.Kind() != '[' {
		return nil, false
	}
	d := jsontext.NewDecoder(bytes.NewReader(v))
	_, err := d.ReadToken()
	var items []jsontext.Value
	for err == nil && d.PeekKind() != ']' {
		var item jsontext.Value
		item, err = d.ReadValue()
		items = append(items, item.Clone())
	}
	return items, err == nil
}

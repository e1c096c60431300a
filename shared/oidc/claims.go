package oidc

import (
	"errors"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/krosai/telephony/shared/account"
)

const (
	leeway      = 30 * time.Second // between the issuer's clock and ours
	maxLifetime = 24 * time.Hour   // from iat to exp
	maxSubject  = 128              // characters
)

// caller checks a token's claims and returns the caller that they name.
func (c Config) caller(claims map[string]jsontext.Value, now time.Time) (account.Caller, error) {
	roles := []string{"roles", "cognito:groups"}
	if c.RolesClaim != "" {
		roles = []string{c.RolesClaim}
	}
	err := exact(claims, append(roles, "iss", "aud", "sub", "exp", "nbf", "iat", "client_id", "token_use")...)
	if err != nil {
		return account.Caller{}, err
	}
	if iss, ok := unquote(claims["iss"]); !ok || iss != c.Issuer {
		return account.Caller{}, errors.New("iss is another issuer")
	}
	if !c.addressed(claims) {
		return account.Caller{}, errors.New("aud does not hold our audience")
	}
	if err := checkTimes(claims, now); err != nil {
		return account.Caller{}, err
	}
	sub, ok := unquote(claims["sub"])
	if !ok || !subject(sub) {
		return account.Caller{}, errors.New("sub is not a user's id as we take them")
	}
	caller := account.Caller{UserID: sub}
	for _, name := range roles {
		held, ok := texts(claims[name])
		if !ok {
			return account.Caller{}, errors.New(name + " is not a list of roles")
		}
		caller.Admin = caller.Admin || slices.Contains(held, account.Admin)
	}
	return caller, nil
}

// addressed reports whether the token is meant for this platform. Cognito's access tokens have no
// aud. For them client_id, the client that the token was given to, takes its place.
func (c Config) addressed(claims map[string]jsontext.Value) bool {
	aud := claims["aud"]
	if aud == nil {
		use, _ := unquote(claims["token_use"])
		client, _ := unquote(claims["client_id"])
		return use == "access" && slices.Contains(c.Audience, client)
	}
	if one, ok := unquote(aud); ok {
		return slices.Contains(c.Audience, one)
	}
	items, _ := list(aud)
	ours := false
	for _, item := range items {
		one, ok := unquote(item)
		if !ok {
			return false
		}
		ours = ours || slices.Contains(c.Audience, one)
	}
	return ours
}

// checkTimes checks exp and iat, which are required, and nbf, which is optional (RFC 7519,
// section 4.1).
func checkTimes(claims map[string]jsontext.Value, now time.Time) error {
	exp, ok := seconds(claims["exp"])
	if !ok {
		return errors.New("exp is not a time")
	}
	iat, ok := seconds(claims["iat"])
	if !ok {
		return errors.New("iat is not a time")
	}
	nbf := iat
	if v := claims["nbf"]; v != nil {
		if nbf, ok = seconds(v); !ok {
			return errors.New("nbf is not a time")
		}
	}
	at := float64(now.UnixMilli()) / 1000
	switch {
	case at >= exp+leeway.Seconds():
		return errors.New("exp is over")
	case at < iat-leeway.Seconds() || at < nbf-leeway.Seconds():
		return errors.New("iat or nbf is yet to come")
	case exp <= iat || exp-iat > maxLifetime.Seconds():
		return errors.New("the token lives too long")
	}
	return nil
}

// expiry is the time at which a token whose times were checked expires.
func expiry(claims map[string]jsontext.Value) time.Time {
	exp, _ := seconds(claims["exp"])
	return time.UnixMilli(int64(exp * 1000))
}

// seconds reads a NumericDate: seconds since 1970, possibly with a fraction.
func seconds(v jsontext.Value) (float64, bool) {
	if v.Kind() != '0' {
		return 0, false
	}
	n, err := strconv.ParseFloat(string(v), 64)
	return n, err == nil && n > 0 && n < math.MaxInt32*1000
}

// subject reports whether a user's id is valid. It becomes part of database keys, where # is
// the separator.
func subject(s string) bool {
	if s == "" || len(s) > maxSubject {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("._|:@-", c) >= 0) {
			return false
		}
	}
	return true
}

// texts reads a list of strings, or a string of words separated by spaces. A missing value and null
// give an empty list. It reports false for anything else.
func texts(v jsontext.Value) ([]string, bool) {
	if v == nil || v.Kind() == 'n' {
		return nil, true
	}
	if words, ok := unquote(v); ok {
		return strings.Split(words, " "), true
	}
	items, ok := list(v)
	found := make([]string, len(items))
	for i := 0; ok && i < len(items); i++ {
		found[i], ok = unquote(items[i])
	}
	return found, ok
}

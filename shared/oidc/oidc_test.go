package oidc_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/fault"
	"github.com/krosai/telephony/shared/oidc"
)

func TestOpen(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		config oidc.Config
		want   string // part of the error; empty for no error
	}{
		{oidc.Config{Issuer: "https://id.example.com", Audience: []string{"kros"}}, ""},
		{oidc.Config{Issuer: "https://id.example.com/", Audience: []string{"kros"}}, ""},
		{oidc.Config{Issuer: "https://cognito-idp.us-east-1.amazonaws.com/us-east-1_AbCd", Audience: []string{"kros"}, JWKSURL: "https://keys.example.com/x?y=1"}, ""},
		{oidc.Config{Issuer: "http://127.0.0.1:8083", Audience: []string{"kros"}}, ""},
		{oidc.Config{Issuer: "http://[::1]:8083", Audience: []string{"kros"}}, ""},
		{oidc.Config{Issuer: "http://localhost:8083", Audience: []string{"kros"}, JWKSURL: "http://localhost/keys"}, ""},
		{oidc.Config{Issuer: "https://id.example.com", Audience: []string{"kros", "console"}}, ""},
		{oidc.Config{Issuer: "https://id.example.com"}, "audience: is missing"},
		{oidc.Config{Issuer: "https://id.example.com", Audience: []string{"kros", ""}}, "audience: is missing"},
		{oidc.Config{Audience: []string{"kros"}}, "issuer: is not an address"},
		{oidc.Config{Issuer: "id.example.com", Audience: []string{"kros"}}, "issuer: is not an address"},
		{oidc.Config{Issuer: "http://id.example.com", Audience: []string{"kros"}}, "issuer: is not https"},
		{oidc.Config{Issuer: "http://127.0.0.1.example.com", Audience: []string{"kros"}}, "issuer: is not https"},
		{oidc.Config{Issuer: "file:///etc/keys", Audience: []string{"kros"}}, "issuer: is not an address"},
		{oidc.Config{Issuer: "ftp://localhost", Audience: []string{"kros"}}, "issuer: is not https"},
		{oidc.Config{Issuer: "https://me:x@id.example.com", Audience: []string{"kros"}}, "issuer: has a user"},
		{oidc.Config{Issuer: "https://id.example.com?x=1", Audience: []string{"kros"}}, "issuer: has a query"},
		{oidc.Config{Issuer: "https://id.example.com#x", Audience: []string{"kros"}}, "issuer: has a user or a fragment"},
		{oidc.Config{Issuer: "https://id.example.com", Audience: []string{"kros"}, JWKSURL: "http://10.0.0.1/keys"}, "keys: is not https"},
	} {
		_, err := oidc.Open(c.config, time.Now)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v, want %q", c.config, err, c.want)
		}
	}
}

func TestAccepted(t *testing.T) {
	t.Parallel()
	k := keyring()
	i := newIssuer(t)
	rs, es, ed := rs256(k.rsa), es256(k.ec), eddsa(k.ed)
	ada, admin := account.Caller{UserID: "ada"}, account.Caller{UserID: "ada", Admin: true}
	longest := strings.Repeat("x", 128)
	for _, c := range []struct {
		name  string
		token string
		want  account.Caller
	}{
		{"RS256", seal(header(), i.claims(), rs), ada},
		{"ES256", seal(header("alg", `"ES256"`, "kid", `"ec"`), i.claims(), es), ada},
		{"EdDSA", seal(header("alg", `"EdDSA"`, "kid", `"ed"`), i.claims(), ed), ada},
		{"no typ", seal(header("typ", ""), i.claims(), rs), ada},
		{"an access token by RFC 9068", seal(header("typ", `"at+jwt"`), i.claims(), rs), ada},
		{"members nobody knows", seal(header("x5t", `"YQ"`, "cat", `"cl_B7d4"`), i.claims("azp", `"web"`, "scope", `"openid"`, "deep", `{"a":[{"b":null}]}`), rs), ada},
		{"white space", seal(" { \"alg\" : \"RS256\",\n\"kid\":\"rsa\" } ", i.claims(), rs), ada},
		{"escaped letters", seal(`{"\u0061lg":"RS\u003256","kid":"rsa"}`, i.claims("sub", `"\u0061da"`), rs), ada},
		{"several audiences", seal(header(), i.claims("aud", `["other","kros"]`), rs), ada},
		{"an access token of Cognito", seal(header("typ", ""), i.claims("aud", "", "client_id", `"kros"`, "token_use", `"access"`), rs), ada},
		{"an ID token of Cognito", seal(header("typ", ""), i.claims("token_use", `"id"`, "cognito:groups", `["admin"]`), rs), admin},
		{"times with fractions", seal(header(), i.claims("iat", unix(0)+".25", "exp", unix(time.Hour)+".75", "nbf", unix(0)+"e0"), rs), ada},
		{"over for 29 s", seal(header(), i.claims("exp", unix(-29*time.Second)), rs), ada},
		{"29 s before its time", seal(header(), i.claims("nbf", unix(29*time.Second), "iat", unix(29*time.Second)), rs), ada},
		{"24 hours", seal(header(), i.claims("iat", unix(0), "exp", unix(24*time.Hour)), rs), ada},
		{"every character of an id", seal(header(), i.claims("sub", `"auth0|a.B_9:c@d-e"`), rs), account.Caller{UserID: "auth0|a.B_9:c@d-e"}},
		{"the longest id", seal(header(), i.claims("sub", `"`+longest+`"`), rs), account.Caller{UserID: longest}},
		{"admin in a list", seal(header(), i.claims("roles", `["billing","admin"]`), rs), admin},
		{"admin in a string", seal(header(), i.claims("roles", `"billing admin"`), rs), admin},
		{"admin by group", seal(header(), i.claims("roles", `[]`, "cognito:groups", `["admin"]`), rs), admin},
		{"no roles", seal(header(), i.claims("roles", `null`), rs), ada},
		{"an empty role", seal(header(), i.claims("roles", `""`), rs), ada},
		{"roles that are not admin", seal(header(), i.claims("roles", `["Admin","administrator","admin ","not-admin"]`), rs), ada},
		{"admin in other claims", seal(header(), i.claims("role", `"admin"`, "groups", `["admin"]`, "scope", `"admin"`, "admin", `true`), rs), ada},
	} {
		got, err := i.verifier.Verify(t.Context(), c.token)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s: %s", c.name, diff)
		}
	}
	if n := i.readings.Load(); n != 1 {
		t.Errorf("the keys were read %d times, want once", n)
	}
}

// TestAudiences checks that a token may be meant for any of the audiences, and that an audience of
// one request is not one of the next.
func TestAudiences(t *testing.T) {
	t.Parallel()
	i := newIssuer(t, func(c *oidc.Config) { c.Audience = []string{"kros", "phone"} })
	cognito := func(client string) string {
		return seal(header("typ", ""), i.claims("aud", "", "client_id", `"`+client+`"`, "token_use", `"access"`), rs256(keyring().rsa))
	}
	of := func(audience string) string {
		return seal(header(), i.claims("aud", audience), rs256(keyring().rsa))
	}
	console, nobody := cognito("console"), seal(header("typ", ""), i.claims("aud", "", "token_use", `"access"`), rs256(keyring().rsa))
	for _, c := range []struct {
		name, token, more string
		accepted          bool
	}{
		{"the first", of(`"kros"`), "", true},
		{"the second", of(`"phone"`), "", true},
		{"one of several", of(`["web","phone"]`), "", true},
		{"another", of(`"web"`), "", false},
		{"both in one text", of(`"kros,phone"`), "", false},
		{"the second client", cognito("phone"), "", true},
		{"the request's client, before", console, "", false},
		{"the request's client", console, "console", true},
		{"the request's client, again", console, "console", true},
		{"the request's client, after", console, "", false},
		{"another request's client", console, "web", false},
		{"a first one beside the request's", of(`"kros"`), "console", true},
		{"no client", nobody, "", false},
		{"an empty client", cognito(""), "", false},
	} {
		got, err := i.verifier.Verify(oidc.WithAudience(t.Context(), c.more), c.token)
		if (err == nil) != c.accepted || (got.UserID == "ada") != c.accepted {
			t.Errorf("%s: %+v, %v", c.name, got, err)
		}
	}
}

// Auth0 does not allow the claim roles to be set.
func TestRolesClaim(t *testing.T) {
	t.Parallel()
	const claim = "https://kros.example/roles"
	i := newIssuer(t, func(c *oidc.Config) { c.RolesClaim = claim })
	for name, c := range map[string]struct {
		claims string
		admin  bool
	}{
		"the claim named": {i.claims(claim, `["admin"]`), true},
		"the usual claim": {i.claims("roles", `["admin"]`, "cognito:groups", `["admin"]`), false},
	} {
		got, err := i.verifier.Verify(t.Context(), seal(header(), c.claims, rs256(keyring().rsa)))
		if err != nil || got.Admin != c.admin {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

// refusal checks that a token was refused like every other, and returns the reason.
func refusal(t *testing.T, name string, got account.Caller, err error) string {
	t.Helper()
	f, ok := errors.AsType[*fault.Error](err)
	if !ok || f.Kind != fault.Unauthenticated || f.Code != "UNAUTHENTICATED" || f.Detail != "the token is not valid" {
		t.Errorf("%s: %+v, %v: not refused as others are", name, got, err)
		return ""
	}
	if diff := cmp.Diff(account.Caller{}, got); diff != "" {
		t.Errorf("%s: refused, and yet a caller: %s", name, diff)
	}
	if f.Err == nil {
		t.Errorf("%s: refused without a reason", name)
		return ""
	}
	return f.Err.Error()
}

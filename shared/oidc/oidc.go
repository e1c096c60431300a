// Package oidc verifies the JWTs of users against the keys of an OpenID Connect issuer. It accepts
// far less than the standards allow (RFC 7515, 7519, 9068): only the tokens that ordinary issuers
// send, in the one form in which they write them.
package oidc

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/fault"
)

// Config names the issuer. docs/auth.md lists the values for Cognito, Auth0 and Clerk.
type Config struct {
	Issuer string `env:"OIDC_ISSUER"` // exactly as in the claim iss
	// Audience lists the values of which the claim aud must hold one, with commas between them in
	// the variable. Cognito's access tokens have no aud. For them it is the client_id.
	Audience []string `env:"OIDC_AUDIENCE"`

	// JWKSURL is the address of the issuer's keys. If it is empty, the issuer's discovery document
	// names the address, which costs another request.
	JWKSURL string `env:"OIDC_JWKS_URL"`

	// RolesClaim is the claim that lists the user's roles. If it is empty, the claims are roles
	// and cognito:groups.
	RolesClaim string `env:"OIDC_ROLES_CLAIM"`
}

// Verifier verifies tokens of one issuer. It is safe for concurrent use.
type Verifier struct {
	config Config
	keys   *keySet
	now    func() time.Time
	known  verifiedSet
}

// Open makes a verifier. It sends no request to the issuer before the first token. It fails if the
// configuration is not safe: no audience, or an address that is not https (http is accepted for
// this machine only).
func Open(c Config, now func() time.Time) (*Verifier, error) {
	if err := checkURL(c.Issuer); err != nil {
		return nil, fmt.Errorf("issuer: %w", err)
	}
	if u, _ := url.Parse(c.Issuer); u.RawQuery != "" || u.ForceQuery {
		return nil, errors.New("issuer: has a query")
	}
	if len(c.Audience) == 0 || slices.Contains(c.Audience, "") {
		return nil, errors.New("audience: is missing, and tokens made for others would be taken")
	}
	if c.JWKSURL != "" {
		if err := checkURL(c.JWKSURL); err != nil {
			return nil, fmt.Errorf("address of the issuer's keys: %w", err)
		}
	}
	keys := &keySet{issuer: c.Issuer, url: c.JWKSURL, now: now, client: &http.Client{CheckRedirect: sameHost}}
	return &Verifier{config: c, keys: keys, now: now}, nil
}

type audienceKey struct{}

// WithAudience makes Verify accept one more audience under ctx: the id of a client that is not in
// the function's environment, because it is created after the function. An empty one adds nothing.
func WithAudience(ctx context.Context, audience string) context.Context {
	if audience == "" {
		return ctx
	}
	return context.WithValue(ctx, audienceKey{}, audience)
}

// Verify returns the user that the token speaks for. It fails with fault.Unauthenticated if the
// token is not valid; the reason is for logs. It fails with fault.Upstream if there are no keys to
// verify the token with. A token that was verified before is not verified again until it expires or
// the issuer's keys have been read again.
func (v *Verifier) Verify(ctx context.Context, text string) (account.Caller, error) {
	if len(text) > maxToken {
		return account.Caller{}, refused(errors.New("the token is too long"))
	}
	more, _ := ctx.Value(audienceKey{}).(string)
	now, sum := v.now(), sha256.Sum256([]byte(text+" "+more)) // a token has no space
	if known, ok := v.known.find(sum, now); ok {
		if key, err := v.keys.find(ctx, known.kid); err == nil && key.reading == known.reading {
			return known.caller, nil
		}
	}
	t, err := parse(text)
	if err != nil {
		return account.Caller{}, refused(err)
	}
	// Claims are checked before the signature, so that tokens that are old or meant for others
	// never cause a request to the issuer for its keys.
	config := v.config
	if more != "" {
		config.Audience = append(slices.Clone(config.Audience), more)
	}
	caller, err := config.caller(t.claims, now)
	if err != nil {
		return account.Caller{}, refused(err)
	}
	key, err := v.keys.find(ctx, t.kid)
	if fault.Is(err, fault.Upstream) {
		return account.Caller{}, err
	}
	if err != nil {
		return account.Caller{}, refused(err)
	}
	if err := key.verify(t); err != nil {
		return account.Caller{}, refused(err)
	}
	v.known.add(sum, verified{caller: caller, from: now, till: expiry(t.claims), kid: t.kid, reading: key.reading})
	return caller, nil
}

func refused(why error) error {
	return &fault.Error{Kind: fault.Unauthenticated, Code: "UNAUTHENTICATED", Detail: "the token is not valid", Err: why}
}

// checkURL accepts https addresses, and http addresses of this machine.
func checkURL(text string) error {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "" || u.Opaque != "":
		return errors.New("is not an address")
	case u.User != nil || u.Fragment != "":
		return errors.New("has a user or a fragment")
	case u.Scheme == "https" || u.Scheme == "http" && loopback(u.Hostname()):
		return nil
	}
	return errors.New("is not https")
}

func loopback(host string) bool {
	return host == "localhost" || net.ParseIP(host).IsLoopback()
}

// sameHost allows a redirect only to another path of the same host.
func sameHost(r *http.Request, via []*http.Request) error {
	first := via[0].URL
	if r.URL.Host != first.Host || r.URL.Scheme != first.Scheme || len(via) > 3 {
		return errors.New("is redirected elsewhere")
	}
	return nil
}

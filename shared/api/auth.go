package api

import (
	"context"
	"crypto/subtle"
	"net/http"
	"strings"

	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/fault"
)

// authenticate determines the caller of r and checks its scope. Every invalid credential gets the
// same answer, whatever the reason.
func (rq *request) authenticate(r *http.Request, scope string) error {
	caller, err := rq.edge.caller(r)
	if err != nil {
		return err
	}
	rq.caller = caller
	if caller.Can(scope) {
		return nil
	}
	if scope == account.Admin {
		return fault.New(fault.Forbidden, "FORBIDDEN", "this is for administrators")
	}
	return fault.New(fault.Forbidden, "FORBIDDEN", "this API key does not have the scope %s", scope)
}

// caller reads the bearer token: an API key, or a user's JWT, which has two dots where a key has
// none. Any other token, and a key with a wrong checksum, is refused without a lookup.
func (e *Edge) caller(r *http.Request) (account.Caller, error) {
	token := BearerToken(r.Header)
	var caller account.Caller
	var err error
	if id, sum, ok := account.ParseKey(token); ok {
		caller, err = e.callerByKey(r.Context(), id, sum)
	} else if e.Tokens != nil && strings.Count(token, ".") == 2 {
		caller, err = e.callerByToken(r.Context(), token)
	}
	if fault.Is(err, fault.Unauthenticated) || err == nil && caller.UserID == "" {
		e.Log.Debug("credential refused", "error", err)
		return account.Caller{}, unauthenticated()
	}
	return caller, err
}

// BearerToken is the token of the only Authorization header, after the scheme Bearer in any letter
// case and at least one space (RFC 9110, section 11.4). Without such a token it is empty.
func BearerToken(h http.Header) string {
	headers := h.Values("Authorization")
	if len(headers) != 1 {
		return ""
	}
	scheme, token, _ := strings.Cut(headers[0], " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimLeft(token, " ")
}

// callerByKey looks up an API key. It returns the zero Caller for an invalid key.
func (e *Edge) callerByKey(ctx context.Context, id string, sum [32]byte) (account.Caller, error) {
	key, err := e.Keys.UseKey(ctx, id, sum)
	if key.HourLimit > 0 {
		SetLimit(ctx, account.Limit{Name: "requests", Quota: key.HourLimit, Used: key.HourUsed, Resets: key.HourResets})
		SetLimit(ctx, key.Together)
	}
	if err != nil {
		return account.Caller{}, err
	}
	if subtle.ConstantTimeCompare(key.Hash, sum[:]) != 1 || !key.Live(e.Now()) {
		return account.Caller{}, nil
	}
	return account.Caller{UserID: key.UserID, KeyID: key.ID, Scopes: key.Scopes, KeyExpires: key.ExpiresAt,
		Retiring: !key.RevokedAt.IsZero()}, nil
}

// callerByToken verifies a JWT and counts its use. An invalid token is not counted.
func (e *Edge) callerByToken(ctx context.Context, token string) (account.Caller, error) {
	caller, err := e.Tokens.Verify(ctx, token)
	if err != nil || caller.UserID == "" {
		return caller, err
	}
	hour, err := e.Keys.UseToken(ctx, caller.UserID)
	SetLimit(ctx, hour)
	return caller, err
}

// mayManage refuses key management to an API key in its grace period. Such a key still gets stored
// answers, because the answer to its own rotation may have been lost.
func (rq *request) mayManage(scope string, method string) error {
	if !rq.caller.Retiring || scope != account.KeysWrite || method == http.MethodGet {
		return nil
	}
	return fault.New(fault.Forbidden, "FORBIDDEN", "an API key that has been rotated cannot manage API keys")
}

func unauthenticated() error {
	return fault.New(fault.Unauthenticated, "UNAUTHENTICATED",
		"a valid API key or user token is needed: Authorization: Bearer <api-key or JWT>")
}

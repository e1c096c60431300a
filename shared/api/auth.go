package api

import (
	"crypto/subtle"
	"net/http"
	"strings"

	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/fault"
)

// authenticate finds the caller of r and checks that it has the scope. Every
// credential that is not valid gets the same answer, whatever is wrong with it.
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

// caller reads the bearer token. What is not an API key with a right checksum
// is refused without a lookup.
func (e *Edge) caller(r *http.Request) (account.Caller, error) {
	headers := r.Header.Values("Authorization")
	if len(headers) != 1 {
		return account.Caller{}, unauthenticated()
	}
	scheme, token, _ := strings.Cut(headers[0], " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return account.Caller{}, unauthenticated()
	}
	id, sum, ok := account.ParseKey(token)
	if !ok {
		return account.Caller{}, unauthenticated()
	}
	key, err := e.Keys.UseKey(r.Context(), id, sum)
	if fault.Is(err, fault.Unauthenticated) {
		return account.Caller{}, unauthenticated()
	}
	if err != nil {
		return account.Caller{}, err
	}
	if subtle.ConstantTimeCompare(key.Hash, sum[:]) != 1 || !key.Live(e.Now()) {
		return account.Caller{}, unauthenticated()
	}
	return account.Caller{UserID: key.UserID, KeyID: key.ID, Scopes: key.Scopes}, nil
}

func unauthenticated() error {
	return fault.New(fault.Unauthenticated, "UNAUTHENTICATED", "a valid API key is needed: Authorization: Bearer <api-key>")
}

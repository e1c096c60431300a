package issuer

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"net/http"
	"regexp"
	"slices"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

const (
	codeLife  = time.Minute
	tokenLife = time.Hour // as with the template's user pool
	maxForm   = 16 << 10  // bytes
)

// grant is what a code stands for.
type grant struct {
	authorization
	user  User
	since time.Time // of signing in
	until time.Time
}

// issueCode makes a code, and forgets those that have expired.
func (i *Issuer) issueCode(a authorization, user User, since time.Time) string {
	now, code := i.Now(), rand.Text()
	i.mu.Lock()
	defer i.mu.Unlock()
	for old, g := range i.codes {
		if now.After(g.until) {
			delete(i.codes, old)
		}
	}
	i.codes[code] = grant{a, user, since, now.Add(codeLife)}
	return code
}

// redeem returns what a code stands for, once. A request with a code that is then refused has used
// the code up.
func (i *Issuer) redeem(code string) (grant, bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	g, ok := i.codes[code]
	delete(i.codes, code)
	return g, ok && !i.Now().After(g.until)
}

// token exchanges a code for tokens (RFC 6749, section 4.1.3).
func (i *Issuer) token(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	if !i.allowConsole(w, r) {
		refuseToken(w, http.StatusForbidden, refusal{"invalid_request", "the origin is not the console's"})
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		refuseToken(w, http.StatusBadRequest, refusal{"invalid_request", "the body is not a form"})
		return
	}
	g, why := i.exchange(r)
	switch {
	case why.code == "invalid_client":
		refuseToken(w, http.StatusUnauthorized, why)
		return
	case why.code != "":
		refuseToken(w, http.StatusBadRequest, why)
		return
	}
	access, err := i.Token(g.user.ID, g.user.Roles, tokenLife)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	id := jwt.MapClaims{"auth_time": g.since.Unix(), "preferred_username": g.user.ID, "roles": append([]string{}, g.user.Roles...)}
	if g.nonce != "" {
		id["nonce"] = g.nonce
	}
	identity, err := i.sign(Client, g.user.ID, tokenLife, id)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	writeJSON(w, http.StatusOK, map[string]any{"access_token": access, "id_token": identity, "token_type": "Bearer",
		"expires_in": int(tokenLife / time.Second), "scope": g.scope})
}

// exchange checks a token request, and returns what its code stands for or why it is refused.
func (i *Issuer) exchange(r *http.Request) (grant, refusal) {
	form := r.PostForm
	for name, list := range form {
		if len(list) > 1 {
			return grant{}, refusal{"invalid_request", name + " is given more than once"}
		}
	}
	switch {
	case form.Get("client_id") != Client || r.Header.Get("Authorization") != "" || form.Has("client_secret"):
		return grant{}, refusal{"invalid_client", "the client is console, which has no secret"}
	case form.Get("grant_type") != "authorization_code":
		return grant{}, refusal{"unsupported_grant_type", "grant_type is authorization_code"}
	case form.Get("code") == "" || form.Get("redirect_uri") == "" || form.Get("code_verifier") == "":
		return grant{}, refusal{"invalid_request", "code, redirect_uri and code_verifier are required"}
	}
	g, ok := i.redeem(form.Get("code"))
	switch {
	case !ok:
		return grant{}, refusal{"invalid_grant", "the code is unknown, used or older than a minute"}
	case form.Get("redirect_uri") != g.redirectURI:
		return grant{}, refusal{"invalid_grant", "the code was sent to another redirect_uri"}
	case !verifies(form.Get("code_verifier"), g.challenge):
		return grant{}, refusal{"invalid_grant", "code_verifier does not fit code_challenge"}
	}
	return g, refusal{}
}

// verifies compares a code verifier with the challenge of its method S256 (RFC 7636, section 4.6).
func verifies(verifier, challenge string) bool {
	if !regexp.MustCompile(`^[A-Za-z0-9._~-]{43,128}$`).MatchString(verifier) {
		return false
	}
	sum := sha256.Sum256([]byte(verifier))
	return subtle.ConstantTimeCompare([]byte(base64.RawURLEncoding.EncodeToString(sum[:])), []byte(challenge)) == 1
}

func refuseToken(w http.ResponseWriter, status int, why refusal) {
	writeJSON(w, status, map[string]string{"error": why.code, "error_description": why.detail})
}

// preflight answers a browser that asks whether the page of another origin may request a token.
func (i *Issuer) preflight(w http.ResponseWriter, r *http.Request) {
	if i.allowConsole(w, r) {
		w.Header().Set("Access-Control-Allow-Methods", "POST")
		w.Header().Set("Access-Control-Allow-Headers", "Content-Type")
	}
	w.WriteHeader(http.StatusNoContent)
}

// allowConsole lets the console's pages, and no other origin's, read the answer. It reports false
// for another origin. A request without Origin is no page's.
func (i *Issuer) allowConsole(w http.ResponseWriter, r *http.Request) bool {
	w.Header().Add("Vary", "Origin")
	origin := r.Header.Get("Origin")
	if slices.Contains(i.Consoles, origin) {
		w.Header().Set("Access-Control-Allow-Origin", origin)
		return true
	}
	return origin == ""
}

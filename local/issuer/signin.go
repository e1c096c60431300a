package issuer

import (
	"embed"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

const (
	sessionLife     = 12 * time.Hour // of the cookie, with which a reload signs in silently
	sessionAudience = "session"      // the API does not take the cookie for a token
)

//go:embed page.html page.css
var pages embed.FS

// refusal is an error of OAuth 2.0 (RFC 6749, sections 4.1.2.1 and 5.2) or of OpenID Connect.
type refusal struct{ code, detail string }

// Error is the text for people.
func (r refusal) Error() string { return r.code + ": " + r.detail }

// errNotOurs is why a request is not answered by a redirect: the browser must not be sent to an
// address that is not the console's.
var errNotOurs = errors.New("this request does not come from the console of this platform")

// authorization is an authorization request of the console.
type authorization struct {
	values                                      url.Values // as they were sent
	redirectURI, state, nonce, challenge, scope string
	silent, again                               bool // prompt: none, login
}

// serveSignIn adds the endpoints of the sign-in flow.
func (i *Issuer) serveSignIn() error {
	var err error
	if i.page, err = template.ParseFS(pages, "page.html"); err != nil {
		return err
	}
	style, err := pages.ReadFile("page.css")
	if err != nil {
		return err
	}
	i.mux.HandleFunc("GET /page.css", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/css; charset=utf-8")
		_, _ = w.Write(style) // the client is gone if this fails
	})
	i.mux.HandleFunc("GET "+AuthorizationPath, i.authorize)
	i.mux.HandleFunc("POST "+AuthorizationPath, i.signIn)
	i.mux.HandleFunc("GET "+EndSessionPath, i.signOut)
	i.mux.HandleFunc("POST "+TokenPath, i.token)
	i.mux.HandleFunc("OPTIONS "+TokenPath, i.preflight)
	return nil
}

// authorize answers an authorization request: with a code if the browser is signed in, or else with
// the sign-in page.
func (i *Issuer) authorize(w http.ResponseWriter, r *http.Request) {
	a, err := i.read(r.URL.Query())
	if err != nil {
		i.refuse(w, r, a, err)
		return
	}
	user, since, signedIn := i.session(r)
	switch {
	case signedIn && !a.again:
		i.sendBack(w, r, a, user, since)
	case a.silent:
		i.refuse(w, r, a, refusal{"login_required", "nobody is signed in"})
	default:
		i.show(w, http.StatusOK, view{Title: "Sign in", Text: "This platform runs on this machine only, and has no passwords. Who do you want to be?",
			Users: i.Users, Action: AuthorizationPath, Fields: fields(a.values)})
	}
}

// signIn answers the form of the sign-in page, which repeats the authorization request.
func (i *Issuer) signIn(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := errors.Join(r.ParseForm(), http.NewCrossOriginProtection().Check(r)); err != nil {
		i.show(w, http.StatusForbidden, view{Title: "Not signed in", Text: "The form was not sent by the sign-in page."})
		return
	}
	a, err := i.read(r.PostForm)
	if err != nil {
		i.refuse(w, r, a, err)
		return
	}
	user, known := i.user(r.PostForm.Get("user"))
	if !known {
		i.show(w, http.StatusBadRequest, view{Title: "Not signed in", Text: "This platform has no such user."})
		return
	}
	now := i.Now()
	session, err := i.sign(sessionAudience, user.ID, sessionLife, jwt.MapClaims{})
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	http.SetCookie(w, i.cookie(session, int(sessionLife/time.Second)))
	i.sendBack(w, r, a, user, now)
}

// signOut ends the session (OpenID Connect RP-Initiated Logout 1.0).
func (i *Issuer) signOut(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	back := q.Get("post_logout_redirect_uri")
	if back != "" && !slices.Contains(i.homes(), back) || q.Has("client_id") && q.Get("client_id") != Client {
		i.refuse(w, r, authorization{}, errNotOurs)
		return
	}
	http.SetCookie(w, i.cookie("", -1))
	if back == "" {
		i.show(w, http.StatusOK, view{Title: "Signed out", Text: "This browser is signed out.", Link: i.home()})
		return
	}
	if state := q.Get("state"); state != "" {
		back += "?" + url.Values{"state": {state}}.Encode()
	}
	http.Redirect(w, r, back, http.StatusSeeOther)
}

// challengeForm is that of a SHA-256 in base64url (RFC 7636, section 4.2).
const challengeForm = `^[A-Za-z0-9_-]{43}$`

// read checks an authorization request. With errNotOurs the browser must not be sent back. With a
// refusal it is sent back with it.
func (i *Issuer) read(values url.Values) (authorization, error) {
	a := authorization{values: values, redirectURI: values.Get("redirect_uri"), state: values.Get("state"), nonce: values.Get("nonce"),
		challenge: values.Get("code_challenge"), scope: values.Get("scope")}
	if values.Get("client_id") != Client || !slices.Contains(i.callbacks(), a.redirectURI) ||
		len(values["client_id"]) > 1 || len(values["redirect_uri"]) > 1 {
		return authorization{}, errNotOurs
	}
	for name, list := range values {
		if len(list) > 1 {
			return a, refusal{"invalid_request", name + " is given more than once"}
		}
	}
	prompts := strings.Fields(values.Get("prompt"))
	a.silent, a.again = slices.Contains(prompts, "none"), slices.Contains(prompts, "login")
	switch mode := values.Get("response_mode"); {
	case values.Get("response_type") != "code":
		return a, refusal{"unsupported_response_type", "response_type is code"}
	case mode != "" && mode != "query":
		return a, refusal{"invalid_request", "response_mode is query"}
	case !slices.Contains(strings.Fields(a.scope), "openid"):
		return a, refusal{"invalid_scope", "scope has openid"}
	case values.Get("code_challenge_method") != "S256":
		return a, refusal{"invalid_request", "code_challenge_method is S256"}
	case !regexp.MustCompile(challengeForm).MatchString(a.challenge):
		return a, refusal{"invalid_request", "code_challenge is a SHA-256 in base64url"}
	case a.silent && len(prompts) > 1:
		return a, refusal{"invalid_request", "prompt is none or something else"}
	case values.Has("request") || values.Has("request_uri"):
		return a, refusal{"request_not_supported", "parameters are in the query"}
	}
	return a, nil
}

// refuse sends the browser back with a refusal, or shows a page if it must not be sent back.
func (i *Issuer) refuse(w http.ResponseWriter, r *http.Request, a authorization, why error) {
	reason, ok := errors.AsType[refusal](why)
	if !ok {
		i.show(w, http.StatusBadRequest, view{Title: "Not signed in", Text: "Refused: " + why.Error() + ".", Link: i.home()})
		return
	}
	i.redirect(w, r, a, url.Values{"error": {reason.code}, "error_description": {reason.detail}})
}

// sendBack sends the browser back to the console with a code.
func (i *Issuer) sendBack(w http.ResponseWriter, r *http.Request, a authorization, user User, since time.Time) {
	i.redirect(w, r, a, url.Values{"code": {i.issueCode(a, user, since)}})
}

func (i *Issuer) redirect(w http.ResponseWriter, r *http.Request, a authorization, answer url.Values) {
	if a.state != "" {
		answer.Set("state", a.state)
	}
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Referrer-Policy", "no-referrer")
	http.Redirect(w, r, a.redirectURI+"?"+answer.Encode(), http.StatusSeeOther)
}

// session returns the user of the browser's cookie, and when they signed in.
func (i *Issuer) session(r *http.Request) (user User, since time.Time, ok bool) {
	cookie, err := r.Cookie(i.cookie("", 0).Name)
	if err != nil {
		return User{}, time.Time{}, false
	}
	var claims jwt.RegisteredClaims
	_, err = jwt.ParseWithClaims(cookie.Value, &claims, func(*jwt.Token) (any, error) { return &i.key.PublicKey, nil },
		jwt.WithValidMethods([]string{"ES256"}), jwt.WithIssuer(i.URL), jwt.WithAudience(sessionAudience),
		jwt.WithExpirationRequired(), jwt.WithIssuedAt(), jwt.WithTimeFunc(i.Now))
	if err != nil || claims.IssuedAt == nil {
		return User{}, time.Time{}, false
	}
	user, ok = i.user(claims.Subject)
	return user, claims.IssuedAt.Time, ok
}

// cookie holds the session. Browsers do not keep the cookies of two ports apart, so its name has
// the port.
func (i *Issuer) cookie(value string, maxAge int) *http.Cookie {
	name := "kros_session"
	if u, err := url.Parse(i.URL); err == nil {
		name += "_" + u.Port()
	}
	return &http.Cookie{Name: name, Value: value, Path: "/", MaxAge: maxAge, HttpOnly: true, SameSite: http.SameSiteLaxMode}
}

func (i *Issuer) user(id string) (User, bool) {
	n := slices.IndexFunc(i.Users, func(u User) bool { return u.ID == id })
	if n < 0 {
		return User{}, false
	}
	return i.Users[n], true
}

// callbacks are the addresses to which the console may have users sent after they signed in.
func (i *Issuer) callbacks() []string { return i.below("/console/callback") }

// homes are those to which users are sent after they signed out.
func (i *Issuer) homes() []string { return i.below("/console/") }

func (i *Issuer) below(path string) (list []string) {
	for _, origin := range i.Consoles {
		list = append(list, origin+path)
	}
	return list
}

func (i *Issuer) home() string { return strings.Join(i.homes()[:min(1, len(i.Consoles))], "") }

// view is a page for people.
type view struct {
	Title, Text  string
	Users        []User
	Action, Link string
	Fields       []field
}

type field struct{ Name, Value string }

// fields are the parameters of a request as the fields of a form.
func fields(values url.Values) (list []field) {
	for name := range values {
		list = append(list, field{name, values.Get(name)})
	}
	slices.SortFunc(list, func(a, b field) int { return strings.Compare(a.Name, b.Name) })
	return list
}

// show writes a page. Browsers apply form-action to the redirect that answers a form, too.
func (i *Issuer) show(w http.ResponseWriter, status int, v view) {
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", fmt.Sprintf("default-src 'none'; style-src 'self'; form-action %s; base-uri 'none'; frame-ancestors 'none'",
		strings.Join(append([]string{"'self'"}, i.Consoles...), " ")))
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = i.page.Execute(w, v) // the client is gone if this fails
}

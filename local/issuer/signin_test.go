package issuer_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"html"
	"io"
	"maps"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/go-cmp/cmp"

	"github.com/krosai/telephony/local/issuer"
	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/oidc"
)

const (
	origin   = "http://127.0.0.1:8080"
	callback = origin + "/console/callback"
	home     = origin + "/console/"
	verifier = "a-verifier-of-at-least-forty-three-characters_~.1"
)

// browser is a browser and the issuer that it signs in at, with a clock of its own.
type browser struct {
	*testing.T
	client  *http.Client
	url     string
	api     *oidc.Verifier
	elapsed atomic.Int64 // on the issuer's clock
}

func (b *browser) now() time.Time { return time.Now().Add(time.Duration(b.elapsed.Load())) }

func (b *browser) must(err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

func newBrowser(t *testing.T) *browser {
	t.Helper()
	server := httptest.NewUnstartedServer(nil)
	b := &browser{T: t, url: "http://" + server.Listener.Addr().String()}
	i, err := issuer.Open(filepath.Join(t.TempDir(), "issuer.pem"), issuer.Config{URL: b.url, Consoles: []string{origin, "http://localhost:8080"}, Now: b.now,
		Users: []issuer.User{{ID: "demo", Rights: "A user."}, {ID: "ada.admin", Roles: []string{"admin"}, Rights: "An <administrator>."}}})
	b.must(err)
	server.Config.Handler = i
	server.Start()
	t.Cleanup(server.Close)
	jar, err := cookiejar.New(nil)
	b.must(err)
	b.client = &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	b.api, err = oidc.Open(oidc.Config{Issuer: b.url, Audience: []string{issuer.Audience}}, b.now)
	b.must(err)
	return b
}

// answer is what the issuer answers.
type answer struct {
	status int
	header http.Header
	body   string
}

// location is where the answer sends the browser, with the query apart.
func (a answer) location() (string, url.Values) {
	to, err := url.Parse(a.header.Get("Location"))
	if err != nil {
		return err.Error(), nil
	}
	query := to.Query()
	to.RawQuery = ""
	return to.String(), query
}

func (b *browser) send(method, path string, form url.Values, headers ...string) answer {
	b.Helper()
	r, err := http.NewRequestWithContext(b.Context(), method, b.url+path, strings.NewReader(form.Encode()))
	b.must(err)
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	res, err := b.client.Do(r)
	b.must(err)
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	b.must(err)
	return answer{res.StatusCode, res.Header, string(body)}
}

// changed is a copy of values with some changed. An empty value removes its name.
func changed(values url.Values, pairs ...string) url.Values {
	more := maps.Clone(values)
	for i := 0; i < len(pairs); i += 2 {
		if more.Set(pairs[i], pairs[i+1]); pairs[i+1] == "" {
			more.Del(pairs[i])
		}
	}
	return more
}

func request() url.Values {
	sum := sha256.Sum256([]byte(verifier))
	return url.Values{"client_id": {"console"}, "redirect_uri": {callback}, "response_type": {"code"}, "scope": {"openid profile"}, "state": {"s&1"},
		"nonce": {"n1"}, "code_challenge": {base64.RawURLEncoding.EncodeToString(sum[:])}, "code_challenge_method": {"S256"}}
}

// authorize asks for a code with the request.
func (b *browser) authorize(values url.Values) answer {
	return b.send("GET", "/authorize?"+values.Encode(), nil)
}

var hidden = regexp.MustCompile(`<input type="hidden" name="([^"]*)" value="([^"]*)">`)

// signIn fills the sign-in page in as the user does, and returns the code.
func (b *browser) signIn(user string) string {
	b.Helper()
	page := b.authorize(request())
	form := url.Values{"user": {user}}
	for _, field := range hidden.FindAllStringSubmatch(page.body, -1) {
		form.Set(html.UnescapeString(field[1]), html.UnescapeString(field[2]))
	}
	a := b.send("POST", "/authorize", form, "Origin", b.url, "Sec-Fetch-Site", "same-origin")
	to, query := a.location()
	if a.status != http.StatusSeeOther || to != callback || query.Get("state") != "s&1" || query.Get("code") == "" || len(query) != 2 {
		b.Fatalf("%d to %s with %v", a.status, to, query)
	}
	return query.Get("code")
}

// exchange is a token request.
func exchange(code string) url.Values {
	return url.Values{"client_id": {"console"}, "grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {callback}, "code_verifier": {verifier}}
}

// tokens is the answer of the token endpoint.
type tokens struct {
	Access  string `json:"access_token"`
	ID      string `json:"id_token"`
	Type    string `json:"token_type"`
	Scope   string
	Expires int `json:"expires_in"`
	Error   string
}

func (b *browser) exchange(form url.Values, headers ...string) (int, tokens) {
	b.Helper()
	a := b.send("POST", "/token", form, headers...)
	var got tokens
	b.must(json.Unmarshal([]byte(a.body), &got))
	if a.header.Get("Cache-Control") != "no-store" {
		b.Errorf("tokens may be stored: %v", a.header)
	}
	return a.status, got
}

// TestSignIn follows a person from the sign-in page to a request that the API accepts, through a
// reload, to signing out.
func TestSignIn(t *testing.T) {
	t.Parallel()
	for user, want := range map[string]account.Caller{"demo": {UserID: "demo"}, "ada.admin": {UserID: "ada.admin", Admin: true}} {
		b := newBrowser(t)
		if _, query := b.authorize(changed(request(), "prompt", "none")).location(); query.Get("error") != "login_required" || query.Get("state") != "s&1" {
			t.Errorf("nobody is signed in, and the answer is %v", query)
		}
		status, got := b.exchange(exchange(b.signIn(user)), "Origin", origin)
		if status != 200 || got.Type != "Bearer" || got.Expires != 3600 || got.Scope != "openid profile" {
			t.Fatalf("%d %+v", status, got)
		}
		caller, err := b.api.Verify(t.Context(), got.Access)
		if diff := cmp.Diff(want, caller); diff != "" || err != nil {
			t.Errorf("%v %s", err, diff)
		}
		if caller, err := b.api.Verify(t.Context(), got.ID); err == nil {
			t.Errorf("the API took the ID token for %v", caller)
		}
		var claims jwt.MapClaims
		_, _, err = jwt.NewParser().ParseUnverified(got.ID, &claims)
		b.must(err)
		if claims["aud"] != "console" || claims["nonce"] != "n1" || claims["sub"] != user || claims["iss"] != b.url || claims["preferred_username"] != user {
			t.Errorf("%v", claims)
		}
		b.reload(user)
		b.elapsed.Add(int64(13 * time.Hour))
		if _, query := b.authorize(changed(request(), "prompt", "none")).location(); query.Get("error") != "login_required" {
			t.Errorf("the session has no end: %v", query)
		}
		if _, err := b.api.Verify(t.Context(), got.Access); err == nil {
			t.Error("the token has no end")
		}
	}
}

// reload signs in again without the page, unless the request asks for it, and signs out.
func (b *browser) reload(user string) {
	b.Helper()
	to, query := b.authorize(changed(request(), "prompt", "none")).location()
	if _, got := b.exchange(exchange(query.Get("code"))); to != callback || got.Access == "" {
		b.Errorf("a reload of %s: %s %v", user, to, query)
	}
	if a := b.authorize(changed(request(), "prompt", "login")); a.status != 200 || !strings.Contains(a.body, "Continue as") {
		b.Errorf("prompt=login: %d %s", a.status, a.body)
	}
	a := b.send("GET", "/sign-out?"+url.Values{"post_logout_redirect_uri": {home}, "state": {"x"}, "client_id": {"console"}}.Encode(), nil)
	if to, query := a.location(); a.status != http.StatusSeeOther || to != home || query.Get("state") != "x" {
		b.Errorf("signing out: %d to %s", a.status, to)
	}
	if _, query := b.authorize(changed(request(), "prompt", "none")).location(); query.Get("error") != "login_required" {
		b.Errorf("signed out, and yet %v", query)
	}
	b.signIn(user)
}

// TestAuthorizationRefused checks that a request is refused, and that the browser is sent only to
// the console.
func TestAuthorizationRefused(t *testing.T) {
	t.Parallel()
	b := newBrowser(t)
	b.signIn("demo") // so that a request that is not refused gets a code
	for name, tc := range map[string]struct {
		change []string
		want   string // the error that the console gets; page if the browser stays
	}{
		"no client":            {[]string{"client_id", ""}, "page"},
		"another client":       {[]string{"client_id", "other"}, "page"},
		"no redirect URI":      {[]string{"redirect_uri", ""}, "page"},
		"another host":         {[]string{"redirect_uri", "https://evil.example/console/callback"}, "page"},
		"another port":         {[]string{"redirect_uri", "http://127.0.0.1:8081/console/callback"}, "page"},
		"a longer name":        {[]string{"redirect_uri", origin + ".evil.example/console/callback"}, "page"},
		"another path":         {[]string{"redirect_uri", origin + "/console/callback/../../x"}, "page"},
		"a query":              {[]string{"redirect_uri", callback + "?x=1"}, "page"},
		"a fragment":           {[]string{"redirect_uri", callback + "#x"}, "page"},
		"a script":             {[]string{"redirect_uri", "javascript:alert(1)"}, "page"},
		"no response type":     {[]string{"response_type", ""}, "unsupported_response_type"},
		"implicit":             {[]string{"response_type", "token"}, "unsupported_response_type"},
		"hybrid":               {[]string{"response_type", "code id_token"}, "unsupported_response_type"},
		"in the fragment":      {[]string{"response_mode", "fragment"}, "invalid_request"},
		"no openid":            {[]string{"scope", "profile"}, "invalid_scope"},
		"no scope":             {[]string{"scope", ""}, "invalid_scope"},
		"no PKCE":              {[]string{"code_challenge", "", "code_challenge_method", ""}, "invalid_request"},
		"no challenge":         {[]string{"code_challenge", ""}, "invalid_request"},
		"no method":            {[]string{"code_challenge_method", ""}, "invalid_request"},
		"method plain":         {[]string{"code_challenge_method", "plain", "code_challenge", verifier}, "invalid_request"},
		"a short challenge":    {[]string{"code_challenge", "abc"}, "invalid_request"},
		"none and login":       {[]string{"prompt", "none login"}, "invalid_request"},
		"a request object":     {[]string{"request", "a.b.c"}, "request_not_supported"},
		"a request elsewhere":  {[]string{"request_uri", "https://evil.example/"}, "request_not_supported"},
		"nothing to refuse":    {nil, ""},
		"by the other name":    {[]string{"redirect_uri", "http://localhost:8080/console/callback"}, ""},
		"response mode query":  {[]string{"response_mode", "query"}, ""},
		"signed in, no prompt": {[]string{"prompt", "none"}, ""},
	} {
		b.refused(name, b.authorize(changed(request(), tc.change...)), tc.want)
	}
	for _, name := range []string{"state", "scope", "code_challenge"} {
		twice := request()
		twice.Add(name, "x")
		b.refused(name+" twice", b.authorize(twice), "invalid_request")
	}
	for _, name := range []string{"client_id", "redirect_uri"} {
		twice := request()
		twice.Add(name, "x")
		b.refused(name+" twice", b.authorize(twice), "page")
	}
}

// refused checks the answer to an authorization request: a page, an error or a code for the
// console.
func (b *browser) refused(name string, a answer, want string) {
	b.Helper()
	to, query := a.location()
	switch {
	case want == "page":
		if a.status != http.StatusBadRequest || to != "" || !strings.Contains(a.body, "Refused") {
			b.Errorf("%s: %d to %q", name, a.status, to)
		}
	case a.status != http.StatusSeeOther || query.Get("error") != want || query.Has("code") != (want == "") || query.Get("state") != "s&1" ||
		want != "" && to != callback:
		b.Errorf("%s: %d to %s with %v, want %q", name, a.status, to, query, want)
	}
}

// TestFormRefused checks the form of the sign-in page.
func TestFormRefused(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		change, headers []string
		status          int
	}{
		"from another site":   {nil, []string{"Origin", "https://evil.example", "Sec-Fetch-Site", "cross-site"}, 403},
		"from another origin": {nil, []string{"Origin", "http://127.0.0.1:9999"}, 403},
		"a stranger":          {[]string{"user", "root"}, nil, 400},
		"no user":             {[]string{"user", ""}, nil, 400},
		"sent elsewhere":      {[]string{"redirect_uri", "https://evil.example/"}, nil, 400},
		"accepted":            {nil, nil, 303},
	} {
		b := newBrowser(t)
		a := b.send("POST", "/authorize", changed(changed(request(), "user", "demo"), tc.change...), tc.headers...)
		if a.status != tc.status || (a.header.Get("Set-Cookie") != "") != (tc.status == 303) {
			t.Errorf("%s: %d %v", name, a.status, a.header)
		}
	}
}

// TestTokenRefused checks that a code is exchanged once, within a minute, by its client and with
// its verifier.
func TestTokenRefused(t *testing.T) {
	t.Parallel()
	type refusal struct {
		change, headers []string
		later           time.Duration
		status          int
		want            string
		used            bool // the code cannot be exchanged any more
	}
	for name, tc := range map[string]refusal{
		"another client":          {[]string{"client_id", "other"}, nil, 0, 401, "invalid_client", false},
		"no client":               {[]string{"client_id", ""}, nil, 0, 401, "invalid_client", false},
		"a secret":                {[]string{"client_secret", "x"}, nil, 0, 401, "invalid_client", false},
		"a secret in the header":  {nil, []string{"Authorization", "Basic Y29uc29sZTp4"}, 0, 401, "invalid_client", false},
		"a password":              {[]string{"grant_type", "password"}, nil, 0, 400, "unsupported_grant_type", false},
		"a refresh":               {[]string{"grant_type", "refresh_token"}, nil, 0, 400, "unsupported_grant_type", false},
		"no code":                 {[]string{"code", ""}, nil, 0, 400, "invalid_request", false},
		"no verifier":             {[]string{"code_verifier", ""}, nil, 0, 400, "invalid_request", false},
		"no redirect URI":         {[]string{"redirect_uri", ""}, nil, 0, 400, "invalid_request", false},
		"another code":            {[]string{"code", "ABC"}, nil, 0, 400, "invalid_grant", false},
		"another verifier":        {[]string{"code_verifier", strings.ToUpper(verifier)}, nil, 0, 400, "invalid_grant", true},
		"a short verifier":        {[]string{"code_verifier", "abc"}, nil, 0, 400, "invalid_grant", true},
		"the challenge":           {[]string{"code_verifier", request().Get("code_challenge")}, nil, 0, 400, "invalid_grant", true},
		"another redirect URI":    {[]string{"redirect_uri", "http://localhost:8080/console/callback"}, nil, 0, 400, "invalid_grant", true},
		"a minute late":           {nil, nil, 61 * time.Second, 400, "invalid_grant", true},
		"a page of another site":  {nil, []string{"Origin", "https://evil.example"}, 0, 403, "invalid_request", false},
		"a page without an own":   {nil, []string{"Origin", "null"}, 0, 403, "invalid_request", false},
		"in time, and then again": {nil, nil, 59 * time.Second, 200, "", true},
	} {
		b := newBrowser(t)
		form := exchange(b.signIn("demo"))
		b.elapsed.Add(int64(tc.later))
		status, got := b.exchange(changed(form, tc.change...), tc.headers...)
		if status != tc.status || got.Error != tc.want || (got.Access != "") != (status == 200) {
			t.Errorf("%s: %d %+v, want %d %s", name, status, got, tc.status, tc.want)
		}
		if status, got := b.exchange(form); (got.Error == "invalid_grant") != tc.used || (status == 200) == tc.used {
			t.Errorf("%s, then the code itself: %d %+v", name, status, got)
		}
	}
	b := newBrowser(t)
	twice := exchange(b.signIn("demo"))
	twice.Add("code", "x")
	if status, got := b.exchange(twice); status != 400 || got.Error != "invalid_request" {
		t.Errorf("two codes: %d %+v", status, got)
	}
}

// TestOrigins checks who may read the issuer's answers in a browser.
func TestOrigins(t *testing.T) {
	t.Parallel()
	b := newBrowser(t)
	for from, allowed := range map[string]bool{origin: true, "http://localhost:8080": true, "http://127.0.0.1:8081": false, "https://evil.example": false, "null": false, "": false} {
		for _, path := range []string{"GET /.well-known/openid-configuration", "GET /keys", "OPTIONS /token", "POST /token"} {
			method, path, _ := strings.Cut(path, " ")
			a := b.send(method, path, nil, "Origin", from)
			want := ""
			if allowed {
				want = from
			}
			if got := a.header.Get("Access-Control-Allow-Origin"); got != want || a.header.Get("Vary") != "Origin" {
				t.Errorf("%s %s from %q: %q, %v", method, path, from, got, a.header)
			}
			if got := a.header.Get("Access-Control-Allow-Methods"); (got == "POST") != ((allowed || from == "") && method == "OPTIONS") {
				t.Errorf("%s %s from %q may %q", method, path, from, got)
			}
		}
		if a := b.send("GET", "/authorize?"+request().Encode(), nil, "Origin", from); a.header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("a script of %q may read the sign-in page", from)
		}
	}
}

// TestSignOutRefused checks that signing out sends the browser only to the console.
func TestSignOutRefused(t *testing.T) {
	t.Parallel()
	b := newBrowser(t)
	b.signIn("demo")
	for query, status := range map[string]int{
		"post_logout_redirect_uri=https://evil.example/":                    400,
		"post_logout_redirect_uri=" + origin + "/":                          400,
		"post_logout_redirect_uri=" + url.QueryEscape(home+"?x=1"):          400,
		"client_id=other&post_logout_redirect_uri=" + url.QueryEscape(home): 400,
		"client_id=console": 200,
		"client_id=console&post_logout_redirect_uri=" + url.QueryEscape(home):   303,
		"id_token_hint=a.b.c&post_logout_redirect_uri=" + url.QueryEscape(home): 303,
	} {
		a := b.send("GET", "/sign-out?"+query, nil)
		if to, _ := a.location(); a.status != status || (a.header.Get("Set-Cookie") != "") != (status < 400) || (to != "") != (status == 303) {
			t.Errorf("%s: %d to %q, %v", query, a.status, to, a.header)
		}
	}
}

// TestPage checks the sign-in page: both users with their rights as text, and headers with which
// nothing else can run in it or frame it.
func TestPage(t *testing.T) {
	t.Parallel()
	b := newBrowser(t)
	a := b.authorize(changed(request(), "state", `"><script>alert(1)</script>`))
	for _, want := range []string{`<html lang="en">`, "<title>Sign in", `name="viewport"`, `<button name="user" value="demo" aria-describedby="rights-0">`,
		`<p id="rights-0">A user.</p>`, `value="ada.admin"`, "An &lt;administrator&gt;."} {
		if !strings.Contains(a.body, want) {
			t.Errorf("%s is not in\n%s", want, a.body)
		}
	}
	for _, refused := range []string{"<script", "<style", " style=", "<administrator"} {
		if strings.Contains(a.body, refused) {
			t.Errorf("%s is in\n%s", refused, a.body)
		}
	}
	for name, want := range map[string]string{"Content-Type": "text/html; charset=utf-8", "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff",
		"Referrer-Policy": "same-origin",
		"Content-Security-Policy": "default-src 'none'; style-src 'self'; form-action 'self' " + origin + " http://localhost:8080" +
			"; base-uri 'none'; frame-ancestors 'none'"} {
		if got := a.header.Get(name); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
	if style := b.send("GET", "/page.css", nil); style.status != 200 || !strings.HasPrefix(style.header.Get("Content-Type"), "text/css") {
		t.Errorf("the style: %d %v", style.status, style.header)
	}
}

// TestCookie checks that scripts cannot read the session, that other sites' requests do not carry
// it, that its name has the port, and that one which is not the issuer's is no session.
func TestCookie(t *testing.T) {
	t.Parallel()
	b := newBrowser(t)
	a := b.send("POST", "/authorize", changed(request(), "user", "demo"))
	cookie := a.header.Get("Set-Cookie")
	name, value, _ := strings.Cut(strings.Split(cookie, ";")[0], "=")
	if port := b.url[strings.LastIndex(b.url, ":")+1:]; name != "kros_session_"+port || !strings.Contains(cookie, "; HttpOnly; SameSite=Lax") {
		t.Error(cookie)
	}
	if caller, err := b.api.Verify(t.Context(), value); err == nil {
		t.Errorf("the API took the cookie for %v", caller)
	}
	_, query := a.location()
	_, got := b.exchange(exchange(query.Get("code")))
	for what, value := range map[string]string{"an access token": got.Access, "an ID token": got.ID, "anything": "x", "nothing": ""} {
		b.client.Jar = nil
		a := b.send("GET", "/authorize?"+changed(request(), "prompt", "none").Encode(), nil, "Cookie", name+"="+value)
		if _, query := a.location(); query.Get("error") != "login_required" {
			t.Errorf("%s was taken for a session: %v", what, query)
		}
	}
}

// TestDiscovery checks that the document says where the endpoints are and what they accept.
func TestDiscovery(t *testing.T) {
	t.Parallel()
	b := newBrowser(t)
	var document map[string]any
	b.must(json.Unmarshal([]byte(b.send("GET", "/.well-known/openid-configuration", nil).body), &document))
	for name, want := range map[string]any{"issuer": b.url, "authorization_endpoint": b.url + "/authorize", "token_endpoint": b.url + "/token",
		"end_session_endpoint": b.url + "/sign-out", "jwks_uri": b.url + "/keys", "response_types_supported": []any{"code"},
		"code_challenge_methods_supported": []any{"S256"}, "token_endpoint_auth_methods_supported": []any{"none"}} {
		if diff := cmp.Diff(want, document[name]); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

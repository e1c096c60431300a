package main

import (
	"compress/gzip"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"testing"

	files "github.com/krosai/telephony/console"
)

// TestConsole opens the console of a platform as a browser does: the page, its settings, the
// sign-in of an administrator, and a request of the API with the token.
func TestConsole(t *testing.T) {
	t.Parallel()
	k := start(t, t.TempDir())
	api := k.vars(t)["KROS_URL"]
	want, err := files.Files.ReadFile("index.html")
	if err != nil {
		t.Fatal(err)
	}
	if got := compressed(t, api+"/console/"); got != string(want) {
		t.Errorf("the page is %s", got)
	}
	if got := compressed(t, api+"/console/calls/call_1"); got != string(want) {
		t.Errorf("the page of a call is %s", got)
	}
	k.answers(t, "GET", "/console/nothing.js", "", 404)
	var c struct {
		Issuer                string
		ClientID              string `json:"client_id"`
		AuthorizationEndpoint string `json:"authorization_endpoint"`
		TokenEndpoint         string `json:"token_endpoint"`
	}
	if err := json.Unmarshal([]byte(k.answers(t, "GET", "/console/config.json", "", 200)), &c); err != nil || c.Issuer != k.vars(t)["KROS_ISSUER"] {
		t.Fatalf("%+v, %v", c, err)
	}
	sum := sha256.Sum256([]byte(strings.Repeat("v", 43)))
	request := url.Values{"client_id": {c.ClientID}, "response_type": {"code"}, "scope": {"openid"}, "redirect_uri": {api + "/console/callback"},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(sum[:])}, "code_challenge_method": {"S256"}, "user": {"ada.admin"}}
	answer := post(t, c.AuthorizationEndpoint, request)
	back, err := url.Parse(answer.Header.Get("Location"))
	if err != nil || answer.StatusCode != http.StatusSeeOther || back.Query().Get("code") == "" {
		t.Fatalf("%s to %s, %v", answer.Status, back, err)
	}
	answer = post(t, c.TokenEndpoint, url.Values{"client_id": {c.ClientID}, "grant_type": {"authorization_code"}, "code": {back.Query().Get("code")},
		"redirect_uri": {api + "/console/callback"}, "code_verifier": {strings.Repeat("v", 43)}})
	var token struct {
		Access string `json:"access_token"`
	}
	if err := json.NewDecoder(answer.Body).Decode(&token); err != nil {
		t.Fatal(err)
	}
	k.answers(t, "GET", "/admin/users", token.Access, 200)
	if said := k.end(syscall.SIGTERM); !strings.HasPrefix(strings.SplitN(said, "\n", 2)[1], "  console                    "+api+"/console/\n") {
		t.Errorf("the first address is not the console's:\n%s", said)
	}
}

// compressed reads a page that the platform has compressed.
func compressed(t *testing.T, address string) string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Accept-Encoding", "gzip")
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.Header.Get("Content-Encoding") != "gzip" {
		t.Fatalf("%s: %v", address, answer.Header)
	}
	z, err := gzip.NewReader(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// post sends a form and follows no redirect.
func post(t *testing.T, address string, form url.Values) *http.Response {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, address, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	answer, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { answer.Body.Close() })
	return answer
}

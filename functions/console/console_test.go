package console_test

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"io"
	"io/fs"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	files "github.com/krosai/telephony/console"
	"github.com/krosai/telephony/functions/console"
)

const index = "<!doctype html><title>KrosAI Telephony</title><p>This page is long enough to be worth compressing, compressing, compressing.</p>"

// task serves a few files as a stack on AWS does.
func task() *console.Task {
	return &console.Task{
		Config: console.Config{Issuer: "https://id.example/pool", TokenURL: "https://login.example/oauth2/token", Scope: "openid", Version: "1.2.3",
			EndSessionURL: "https://login.example/logout", Account: "aws"},
		Files: fstest.MapFS{
			"index.html":         {Data: []byte(index)},
			"app.js":             {Data: []byte("//\n")},
			"core/auth.js":       {Data: []byte(strings.Repeat("export const a = 1;\n", 50))},
			"style.css":          {Data: []byte(":root{}")},
			"vendor/LICENSES.md": {Data: []byte("MIT")},
			"icon.svg":           {Data: []byte("<svg/>")},
		},
	}
}

// ask sends one request. headers are pairs of a name and a value.
func ask(t *testing.T, task *console.Task, method, path string, headers ...string) console.Response {
	t.Helper()
	r := console.Request{RawPath: path, Headers: map[string]string{}}
	for i := 0; i < len(headers); i += 2 {
		r.Headers[headers[i]] = headers[i+1]
	}
	r.RequestContext.HTTP.Method = method
	res, err := task.Run(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	return res
}

// body decodes the body of an answer.
func body(t *testing.T, res console.Response) string {
	t.Helper()
	if !res.IsBase64Encoded {
		return res.Body
	}
	raw, err := base64.StdEncoding.DecodeString(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	z, err := gzip.NewReader(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestPaths(t *testing.T) {
	t.Parallel()
	const html, script, text = "text/html; charset=utf-8", "text/javascript; charset=utf-8", "text/plain; charset=utf-8"
	for _, tc := range []struct {
		method, path string
		status       int
		media, has   string
	}{
		{"GET", "/console", 308, text, ""},
		{"GET", "/console/", 200, html, index},
		{"GET", "/console/index.html", 200, html, index},
		{"GET", "/console/callback", 200, html, index},
		{"GET", "/console/calls/call_01KAMPJ5V0SAMPMECA00000000", 200, html, index},
		{"GET", "/console/calls/", 200, html, index},
		{"GET", "/console/core", 200, html, index},
		{"GET", "/console/app.js", 200, script, "//\n"},
		{"GET", "/console/core/auth.js", 200, script, "export const a"},
		{"GET", "/console/style.css", 200, "text/css; charset=utf-8", ":root{}"},
		{"GET", "/console/icon.svg", 200, "image/svg+xml", "<svg/>"},
		{"GET", "/console/vendor/LICENSES.md", 200, "text/markdown; charset=utf-8", "MIT"},
		{"GET", "/console/config.json", 200, "application/json", `"version":"1.2.3"`},
		{"HEAD", "/console/app.js", 200, script, ""},
		{"HEAD", "/console/nothing.js", 404, text, ""},
		{"GET", "/console/nothing.js", 404, text, "no such file"},
		{"GET", "/console/core/nothing.js", 404, text, "no such file"},
		{"GET", "/console/favicon.ico", 404, text, "no such file"},
		{"GET", "/console/../go.mod", 404, text, "no such file"},
		{"GET", "/console/../../etc/passwd", 404, text, "no such file"},
		{"GET", "/console/core/../app.js", 404, text, "no such file"},
		{"GET", "/console/./app.js", 404, text, "no such file"},
		{"GET", "/console//app.js", 404, text, "no such file"},
		{"GET", "/console/..", 404, text, "no such file"},
		{"GET", "/console/\\..\\app.js", 404, text, "no such file"},
		{"GET", "/console/app.js\x00", 404, text, "no such file"},
		{"GET", "/console/%2e%2e/go.mod", 404, text, "no such file"},
		{"GET", "/consoles/app.js", 404, text, "no such file"},
		{"GET", "", 404, text, "no such file"},
		{"POST", "/console/", 405, text, "GET"},
		{"OPTIONS", "/console/app.js", 405, text, "GET"},
	} {
		res := ask(t, task(), tc.method, tc.path)
		if res.StatusCode != tc.status || res.Headers["Content-Type"] != tc.media || !strings.Contains(body(t, res), tc.has) ||
			tc.has == "" && res.Body != "" {
			t.Errorf("%s %s: %d %s %q, want %d %s %q", tc.method, tc.path, res.StatusCode, res.Headers["Content-Type"], res.Body, tc.status, tc.media, tc.has)
		}
		if want := map[int]string{308: "/console/"}[tc.status]; res.Headers["Location"] != want {
			t.Errorf("%s leads to %q, want %q", tc.path, res.Headers["Location"], want)
		}
		if want := map[int]string{405: "GET, HEAD"}[tc.status]; res.Headers["Allow"] != want {
			t.Errorf("%s %s allows %q, want %q", tc.method, tc.path, res.Headers["Allow"], want)
		}
	}
}

func TestCompression(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		path, accept string
		compressed   bool
	}{
		{"/console/", "", false},
		{"/console/", "gzip", true},
		{"/console/", "gzip, deflate, br, zstd", true},
		{"/console/", "br;q=1.0, GZIP;q=0.8", true},
		{"/console/", "gzip;q=0.001", true},
		{"/console/", "*", true},
		{"/console/", "gzip;q=0", false},
		{"/console/", "gzip; q=0.000", false},
		{"/console/", "gzip;q=0, *", false},
		{"/console/", "*, gzip;q=0", false},
		{"/console/", "*;q=0", false},
		{"/console/", "br", false},
		{"/console/", "x-gzip2", false},
		{"/console/app.js", "gzip", false}, // it would grow
		{"/console/core/auth.js", "gzip", true},
		{"/console/nothing.js", "gzip", false},
	} {
		plain, res := ask(t, task(), "GET", tc.path), ask(t, task(), "GET", tc.path, "accept-encoding", tc.accept)
		if compressed := res.Headers["Content-Encoding"] == "gzip"; compressed != tc.compressed || res.IsBase64Encoded != tc.compressed {
			t.Errorf("%s with %q: %v", tc.path, tc.accept, res.Headers)
		}
		if body(t, res) != plain.Body {
			t.Errorf("%s with %q is another text", tc.path, tc.accept)
		}
		if res.StatusCode == 200 && res.Headers["Vary"] != "Accept-Encoding" {
			t.Errorf("%s varies by %q", tc.path, res.Headers["Vary"])
		}
	}
}

func TestRevalidation(t *testing.T) {
	t.Parallel()
	served := task()
	tag := ask(t, served, "GET", "/console/app.js").Headers["ETag"]
	if !regexp.MustCompile(`^W/"[0-9a-f]{24}"$`).MatchString(tag) {
		t.Fatalf("ETag %q", tag)
	}
	strong := strings.TrimPrefix(tag, "W/")
	for header, status := range map[string]int{tag: 304, strong: 304, `"x", ` + tag: 304, "*": 304, `W/"x"`: 200, "": 200, strings.Trim(strong, `"`): 200} {
		for _, method := range []string{"GET", "HEAD"} {
			res := ask(t, served, method, "/console/app.js", "if-none-match", header)
			if res.StatusCode != status || res.Headers["ETag"] != tag || status == 304 && (res.Body != "" || res.Headers["Content-Type"] != "") {
				t.Errorf("%s with %q: %+v", method, header, res)
			}
		}
	}
	for _, p := range []string{"/console/", "/console/calls/x", "/console/config.json", "/console/app.js"} {
		res := ask(t, served, "GET", p)
		if again := ask(t, served, "GET", p, "if-none-match", res.Headers["ETag"]); again.StatusCode != 304 || res.Headers["Cache-Control"] != "no-cache" {
			t.Errorf("%s: %d, %v", p, again.StatusCode, res.Headers)
		}
	}
	if other := ask(t, served, "GET", "/console/style.css").Headers["ETag"]; other == tag {
		t.Error("two files have the same tag")
	}
}

func TestConfig(t *testing.T) {
	t.Parallel()
	type config map[string]string
	on := func(c console.Config, stage map[string]string) (got config) {
		t.Helper()
		r := console.Request{RawPath: "/console/config.json", StageVariables: stage}
		r.RequestContext.DomainName, r.RequestContext.HTTP.Method = "api.example", "GET"
		res, err := (&console.Task{Config: c, Files: fstest.MapFS{}}).Run(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal([]byte(res.Body), &got); err != nil {
			t.Fatal(err)
		}
		return got
	}
	laptop := console.Config{Issuer: "http://127.0.0.1:8083", ClientID: "console", Scope: "openid profile", AuthorizationURL: "http://127.0.0.1:8083/authorize",
		TokenURL: "http://127.0.0.1:8083/token", EndSessionURL: "http://127.0.0.1:8083/sign-out", Version: "local", Account: "laptop"}
	want := config{"issuer": "http://127.0.0.1:8083", "client_id": "console", "scope": "openid profile", "roles_claim": "roles",
		"authorization_endpoint": "http://127.0.0.1:8083/authorize", "token_endpoint": "http://127.0.0.1:8083/token",
		"end_session_endpoint": "http://127.0.0.1:8083/sign-out", "version": "local", "account": "laptop"}
	if diff := cmp.Diff(want, on(laptop, nil)); diff != "" {
		t.Error(diff)
	}
	pool := console.Config{Issuer: "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_a", Scope: "openid profile", RolesClaim: "cognito:groups",
		AuthorizationURL: "https://kros.auth.eu-west-1.amazoncognito.com/oauth2/authorize", TokenURL: "https://kros.auth.eu-west-1.amazoncognito.com/oauth2/token",
		EndSessionURL: "https://kros.auth.eu-west-1.amazoncognito.com/logout", Version: "2", Account: "aws"}
	got := on(pool, map[string]string{console.ClientVariable: "1h2g3f"})
	end := "https://kros.auth.eu-west-1.amazoncognito.com/logout?client_id=1h2g3f&logout_uri=https%3A%2F%2Fapi.example%2Fconsole%2F"
	if got["client_id"] != "1h2g3f" || got["end_session_endpoint"] != end || got["roles_claim"] != "cognito:groups" {
		t.Errorf("%v", got)
	}
	auth0 := console.Config{Issuer: "https://t.eu.auth0.com/", ClientID: "abc", RolesClaim: "https://kros.example/roles"}
	if got := on(auth0, map[string]string{console.ClientVariable: "off"}); got["client_id"] != "abc" || got["token_endpoint"] != "" || got["end_session_endpoint"] != "" || got["roles_claim"] != auth0.RolesClaim {
		t.Errorf("%v", got)
	}
}

// TestHeaders checks the headers of every kind of answer.
func TestHeaders(t *testing.T) {
	t.Parallel()
	tag := ask(t, task(), "GET", "/console/").Headers["ETag"]
	for name, res := range map[string]console.Response{
		"page":        ask(t, task(), "GET", "/console/"),
		"script":      ask(t, task(), "GET", "/console/app.js", "accept-encoding", "gzip"),
		"config":      ask(t, task(), "GET", "/console/config.json"),
		"head":        ask(t, task(), "HEAD", "/console/"),
		"unchanged":   ask(t, task(), "GET", "/console/", "if-none-match", tag),
		"redirect":    ask(t, task(), "GET", "/console"),
		"not found":   ask(t, task(), "GET", "/console/x.js"),
		"not allowed": ask(t, task(), "POST", "/console/"),
	} {
		for header, want := range map[string]string{
			"X-Content-Type-Options":       "nosniff",
			"Referrer-Policy":              "no-referrer",
			"Cross-Origin-Opener-Policy":   "same-origin",
			"Cross-Origin-Resource-Policy": "same-origin",
			"Strict-Transport-Security":    "max-age=31536000; includeSubDomains",
		} {
			if res.Headers[header] != want {
				t.Errorf("%s: %s is %q, want %q", name, header, res.Headers[header], want)
			}
		}
		for _, power := range []string{"camera", "geolocation", "microphone", "payment", "usb"} {
			if !strings.Contains(res.Headers["Permissions-Policy"], power+"=()") {
				t.Errorf("%s may use the %s", name, power)
			}
		}
		checkPolicy(t, name, res.Headers["Content-Security-Policy"], "https://id.example", "https://login.example")
	}
	laptop := task()
	laptop.Config.Account = "laptop"
	if hsts := ask(t, laptop, "GET", "/console/").Headers["Strict-Transport-Security"]; hsts != "" {
		t.Errorf("the laptop, which has no TLS, says %s", hsts)
	}
}

// checkPolicy checks that a page may run only scripts that the console serves, and may send
// requests only to the console's own origin and to these.
func checkPolicy(t *testing.T, name, policy string, origins ...string) {
	t.Helper()
	directives := map[string][]string{}
	for directive := range strings.SplitSeq(policy, ";") {
		words := strings.Fields(directive)
		if _, twice := directives[words[0]]; twice {
			t.Errorf("%s: %s is there twice", name, words[0])
		}
		directives[words[0]] = words[1:]
	}
	want := map[string][]string{
		"default-src": {"'none'"}, "script-src": {"'self'"}, "style-src": {"'self'"}, "img-src": {"'self'", "data:"}, "font-src": {"'self'"},
		"connect-src": append([]string{"'self'"}, origins...), "base-uri": {"'none'"}, "form-action": {"'none'"}, "frame-ancestors": {"'none'"},
	}
	if diff := cmp.Diff(want, directives); diff != "" {
		t.Errorf("%s: %s", name, diff)
	}
	if strings.Contains(policy, "unsafe") || strings.Contains(policy, "*") {
		t.Errorf("%s: %s", name, policy)
	}
}

func TestOrigins(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		issuer, token string
		want          []string
	}{
		"one host":     {"https://id.example/tenant/", "https://id.example/oauth/token", []string{"https://id.example"}},
		"discovery":    {"https://id.example", "", []string{"https://id.example"}},
		"two hosts":    {"https://cognito-idp.eu-west-1.amazonaws.com/x", "https://a.auth.example/oauth2/token", []string{"https://cognito-idp.eu-west-1.amazonaws.com", "https://a.auth.example"}},
		"a port":       {"http://127.0.0.1:8083", "http://127.0.0.1:8083/token", []string{"http://127.0.0.1:8083"}},
		"nobody":       {"", "", nil},
		"no addresses": {"id.example", "https://a b/", nil},
	} {
		served := task()
		served.Config.Issuer, served.Config.TokenURL = tc.issuer, tc.token
		checkPolicy(t, name, ask(t, served, "GET", "/console/").Headers["Content-Security-Policy"], tc.want...)
	}
}

// mostBytes is the most that a browser may have to load, compressed.
const mostBytes = 200_000

// TestFiles checks the embedded files: each has a type, and together they are small. The page has
// no script and no style of its own, which its policy would refuse.
func TestFiles(t *testing.T) {
	t.Parallel()
	served := &console.Task{Files: files.Files}
	total := 0
	err := fs.WalkDir(files.Files, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		res := ask(t, served, "GET", "/console/"+name, "accept-encoding", "gzip")
		want, err := fs.ReadFile(files.Files, name)
		if err != nil || res.StatusCode != 200 || body(t, res) != string(want) {
			t.Errorf("%s: %d, %v", name, res.StatusCode, err)
		}
		if media := res.Headers["Content-Type"]; strings.HasPrefix(media, "text/plain") {
			t.Errorf("%s has no type: add %s to media", name, path.Ext(name))
		}
		size := len(res.Body)
		if res.IsBase64Encoded {
			size = base64.StdEncoding.DecodedLen(size)
		}
		total += size
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d bytes, compressed", total)
	if total > mostBytes {
		t.Errorf("the console has %d bytes, more than %d", total, mostBytes)
	}
	page, err := fs.ReadFile(files.Files, "index.html")
	if err != nil {
		t.Fatal(err)
	}
	for _, refused := range []string{`<script(?:\s+(?:type|async|defer)(?:="[^"]*")?)*\s*>`, `<style`, `\sstyle=`, `\son[a-z]+=`, `<base`, `<form`} {
		if found := regexp.MustCompile(refused).Find(page); found != nil {
			t.Errorf("index.html has %s, which its policy refuses", found)
		}
	}
	for _, address := range regexp.MustCompile(`(?:src|href)="([^"]*)"`).FindAllStringSubmatch(string(page), -1) {
		checkAddress(t, address[1])
	}
}

// checkAddress checks that the page refers to a file of the console by its full path: the page has
// many addresses, so a relative one would lead elsewhere.
func checkAddress(t *testing.T, address string) {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil || u.Scheme == "data" {
		return
	}
	name, below := strings.CutPrefix(address, "/console/")
	if _, err := fs.Stat(files.Files, name); !below || err != nil && !slices.Contains([]string{"", "config.json"}, name) {
		t.Errorf("index.html refers to %s, which is no file of the console", address)
	}
}

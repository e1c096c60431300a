// Package console serves the files of the web console, and the settings with which the page in the
// browser signs in. It uses no table, and nothing that it answers depends on who asks.
package console

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"io/fs"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"
	"sync"
)

// Config is the function's environment. The console reads it as /console/config.json. Endpoints
// that are empty are read from the issuer's discovery document, by the browser.
type Config struct {
	Issuer           string `env:"OIDC_ISSUER" json:"issuer"`
	ClientID         string `env:"CONSOLE_CLIENT_ID" json:"client_id"`
	Scope            string `env:"CONSOLE_SCOPE" envDefault:"openid profile" json:"scope"`
	RolesClaim       string `env:"OIDC_ROLES_CLAIM" json:"roles_claim"`
	AuthorizationURL string `env:"CONSOLE_AUTHORIZATION_URL" json:"authorization_endpoint"`
	TokenURL         string `env:"CONSOLE_TOKEN_URL" json:"token_endpoint"`
	EndSessionURL    string `env:"CONSOLE_END_SESSION_URL" json:"end_session_endpoint"`
	Version          string `env:"VERSION" envDefault:"dev" json:"version"`
	Account          string `env:"CONSOLE_ACCOUNT" envDefault:"aws" json:"account"` // aws or laptop
}

// Request is the part of API Gateway's event (payload format 2.0) that decides the answer. Names of
// headers are in lower case.
type Request struct {
	RawPath        string            `json:"rawPath"`
	Headers        map[string]string `json:"headers"`
	StageVariables map[string]string `json:"stageVariables"`
	RequestContext struct {
		DomainName string `json:"domainName"`
		HTTP       struct {
			Method string `json:"method"`
		} `json:"http"`
	} `json:"requestContext"`
}

// Response is the answer in payload format 2.0. Body is base64 if it is compressed.
type Response struct {
	StatusCode      int               `json:"statusCode"`
	Headers         map[string]string `json:"headers"`
	Body            string            `json:"body"`
	IsBase64Encoded bool              `json:"isBase64Encoded"`
}

// ClientVariable is the stage variable with the id of the console's client in the stack's own user
// pool, or "off". It cannot be an environment variable: the client is created after the API, whose
// address it needs, and the API after its functions.
const ClientVariable = "ConsoleClientId"

const root = "/console/"

// Task serves the files. It is safe for concurrent use.
type Task struct {
	Config Config
	Files  fs.FS

	mu    sync.Mutex
	known map[string]*content // by name; compressed once
}

// content is a body with what its headers say about it.
type content struct {
	media, etag string
	plain, zip  []byte // zip is nil if compression saves nothing
}

// Run answers one request. The answer to HEAD is that to GET without the body.
func (t *Task) Run(_ context.Context, r Request) (Response, error) {
	switch r.RequestContext.HTTP.Method {
	case http.MethodGet:
		return t.get(r)
	case http.MethodHead:
		res, err := t.get(r)
		res.Body, res.IsBase64Encoded = "", false
		return res, err
	}
	res := t.text(http.StatusMethodNotAllowed, "The console is read with GET.\n")
	res.Headers["Allow"] = "GET, HEAD"
	return res, nil
}

func (t *Task) get(r Request) (Response, error) {
	if r.RawPath+"/" == root {
		res := t.text(http.StatusPermanentRedirect, "")
		res.Headers["Location"] = root
		return res, nil
	}
	c, err := t.find(r)
	if err != nil || c == nil {
		return t.text(http.StatusNotFound, "The console has no such file.\n"), err
	}
	return t.serve(r, c), nil
}

// find returns the content at the request's path, or nil. A path without an extension is a page of
// the console, and each page is index.html.
func (t *Task) find(r Request) (*content, error) {
	name, below := strings.CutPrefix(r.RawPath, root)
	name = cmp.Or(strings.TrimSuffix(name, "/"), "index.html")
	switch {
	case !below || !fs.ValidPath(name):
		return nil, nil
	case name == "config.json":
		body, err := json.Marshal(t.settings(r))
		if err != nil {
			return nil, err
		}
		return newContent(name, append(body, '\n'))
	case path.Ext(name) == "":
		name = "index.html"
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if c := t.known[name]; c != nil {
		return c, nil
	}
	body, err := fs.ReadFile(t.Files, name)
	if err != nil {
		return nil, nil // there is no such file
	}
	c, err := newContent(name, body)
	if err != nil {
		return nil, err
	}
	if t.known == nil {
		t.known = map[string]*content{}
	}
	t.known[name] = c
	return c, nil
}

// settings is the configuration for the API at the address of the request. Cognito's page for
// signing out takes parameters of its own in place of those of OpenID Connect.
func (t *Task) settings(r Request) Config {
	c := t.Config
	c.RolesClaim = cmp.Or(c.RolesClaim, "roles")
	if id := r.StageVariables[ClientVariable]; id != "" && id != "off" {
		c.ClientID = id
		home := "https://" + r.RequestContext.DomainName + root
		c.EndSessionURL += "?" + url.Values{"client_id": {id}, "logout_uri": {home}}.Encode()
	}
	return c
}

func (t *Task) serve(r Request, c *content) Response {
	res := Response{StatusCode: http.StatusOK, Headers: t.headers()}
	res.Headers["Cache-Control"], res.Headers["ETag"], res.Headers["Vary"] = "no-cache", c.etag, "Accept-Encoding"
	if matches(r.Headers["if-none-match"], c.etag) {
		res.StatusCode = http.StatusNotModified
		return res
	}
	res.Headers["Content-Type"] = c.media
	if c.zip != nil && acceptsGzip(r.Headers["accept-encoding"]) {
		res.Headers["Content-Encoding"] = "gzip"
		res.Body, res.IsBase64Encoded = base64.StdEncoding.EncodeToString(c.zip), true
		return res
	}
	res.Body = string(c.plain)
	return res
}

// text is an answer that is not a file.
func (t *Task) text(status int, body string) Response {
	res := Response{StatusCode: status, Headers: t.headers(), Body: body}
	res.Headers["Content-Type"], res.Headers["Cache-Control"] = "text/plain; charset=utf-8", "no-store"
	return res
}

// headers are those of every answer. The page may load only what this function serves, and may send
// requests only to the API and to the issuer.
func (t *Task) headers() map[string]string {
	headers := map[string]string{
		"Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; " +
			"connect-src " + strings.Join(append([]string{"'self'"}, t.Config.origins()...), " ") +
			"; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
		"X-Content-Type-Options":       "nosniff",
		"Referrer-Policy":              "no-referrer",
		"Permissions-Policy":           "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
		"Cross-Origin-Opener-Policy":   "same-origin",
		"Cross-Origin-Resource-Policy": "same-origin",
	}
	if t.Config.Account == "aws" {
		headers["Strict-Transport-Security"] = "max-age=31536000; includeSubDomains"
	}
	return headers
}

// origins are those that a browser asks for the issuer's documents and tokens.
func (c Config) origins() (list []string) {
	for _, address := range []string{c.Issuer, c.TokenURL} {
		u, err := url.Parse(address)
		if err != nil || u.Host == "" {
			continue
		}
		if origin := u.Scheme + "://" + u.Host; !slices.Contains(list, origin) {
			list = append(list, origin)
		}
	}
	return list
}

// media are the types of the console's files by their extension. All of them are text, so a body
// that is not compressed is a string of JSON.
var media = map[string]string{
	".css":  "text/css; charset=utf-8",
	".html": "text/html; charset=utf-8",
	".js":   "text/javascript; charset=utf-8",
	".json": "application/json",
	".md":   "text/markdown; charset=utf-8",
	".mjs":  "text/javascript; charset=utf-8",
	".svg":  "image/svg+xml",
}

func newContent(name string, body []byte) (*content, error) {
	sum := sha256.Sum256(body)
	c := &content{media: cmp.Or(media[path.Ext(name)], "text/plain; charset=utf-8"), plain: body,
		etag: `W/"` + hex.EncodeToString(sum[:12]) + `"`}
	var zip bytes.Buffer
	w, err := gzip.NewWriterLevel(&zip, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(body); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	if zip.Len() < len(body) {
		c.zip = zip.Bytes()
	}
	return c, nil
}

// matches reports whether If-None-Match names the tag (RFC 9110, section 13.1.2: weakly).
func matches(header, etag string) bool {
	for tag := range strings.SplitSeq(header, ",") {
		tag = strings.TrimSpace(tag)
		if tag == "*" || strings.TrimPrefix(tag, "W/") == strings.TrimPrefix(etag, "W/") {
			return true
		}
	}
	return false
}

// acceptsGzip reads Accept-Encoding (RFC 9110, section 12.5.3). A coding with the weight 0 is
// refused, and * means each coding that is not named.
func acceptsGzip(header string) bool {
	accepted := false
	for item := range strings.SplitSeq(strings.ToLower(header), ",") {
		coding, weight, _ := strings.Cut(item, ";")
		weight = strings.ReplaceAll(weight, " ", "")
		wanted := !strings.HasPrefix(weight, "q=0") || strings.Trim(weight, "q=0.") != ""
		switch strings.TrimSpace(coding) {
		case "gzip":
			return wanted
		case "*":
			accepted = wanted
		}
	}
	return accepted
}

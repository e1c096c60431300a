package api_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/go-cmp/cmp"

	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/api"
	"github.com/krosai/telephony/shared/fault"
)

func TestStatusAndCode(t *testing.T) {
	t.Parallel()
	good := `{"phone_number":"+14155550100"}`
	make_ := "/things/" + thingID + "/make"
	for _, c := range []struct {
		name   string
		ask    func(*bench) ask
		status int
		code   string
	}{
		{"public", func(*bench) ask { return ask{method: "GET", target: "/public"} }, 200, ""},
		{"public ignores a wrong credential", func(*bench) ask { return ask{method: "GET", target: "/public", key: "nonsense"} }, 200, ""},
		{"right key and scope", func(b *bench) ask { return ask{method: "POST", target: make_, key: b.writer, body: good} }, 200, ""},
		{"no scope named, any key", func(b *bench) ask {
			return ask{method: "POST", target: "/things/" + thingID + "/hangup", key: b.reader}
		}, 200, ""},

		{"no credential", func(*bench) ask { return ask{method: "GET", target: "/things"} }, 401, "UNAUTHENTICATED"},
		{"no credential, no scope named", func(*bench) ask { return ask{method: "POST", target: "/things/" + thingID + "/hangup"} }, 401, "UNAUTHENTICATED"},
		{"no credential comes before a wrong body", func(*bench) ask { return ask{method: "POST", target: make_, body: "{"} }, 401, "UNAUTHENTICATED"},
		{"no credential comes before a wrong type", func(*bench) ask {
			return ask{method: "POST", target: make_, body: good, header: http.Header{"Content-Type": {"text/plain"}}}
		}, 401, "UNAUTHENTICATED"},
		{"no credential comes before a wrong query", func(*bench) ask { return ask{method: "GET", target: "/things?nope=1"} }, 401, "UNAUTHENTICATED"},
		{"no credential comes before a wrong id", func(*bench) ask { return ask{method: "POST", target: "/things/x/make", body: good} }, 401, "UNAUTHENTICATED"},

		{"wrong scope", func(b *bench) ask { return ask{method: "POST", target: make_, key: b.reader, body: good} }, 403, "FORBIDDEN"},
		{"wrong scope comes before a wrong body", func(b *bench) ask { return ask{method: "POST", target: make_, key: b.reader, body: "{"} }, 403, "FORBIDDEN"},
		{"a key is no administrator", func(b *bench) ask { return ask{method: "GET", target: "/admin/things", key: b.writer} }, 403, "FORBIDDEN"},

		{"no such path", func(*bench) ask { return ask{method: "GET", target: "/nothing"} }, 404, "NOT_FOUND"},
		{"no such method", func(*bench) ask { return ask{method: "DELETE", target: "/public"} }, 405, "METHOD_NOT_ALLOWED"},
		{"a method of an extension", func(*bench) ask { return ask{method: "PROPFIND", target: "/public"} }, 405, "METHOD_NOT_ALLOWED"},
		{"no such method, with parameter", func(*bench) ask { return ask{method: "PUT", target: make_} }, 405, "METHOD_NOT_ALLOWED"},
		{"an id that is none", func(b *bench) ask { return ask{method: "POST", target: "/things/x/make", key: b.writer, body: good} }, 404, "NOT_FOUND"},
		{"an id in small letters", func(b *bench) ask {
			return ask{method: "POST", target: strings.ToLower(make_), key: b.writer, body: good}
		}, 404, "NOT_FOUND"},
		{"an id of another kind", func(b *bench) ask {
			return ask{method: "POST", target: strings.Replace(make_, "thing_", "call_", 1), key: b.writer, body: good}
		}, 404, "NOT_FOUND"},

		{"a body where none belongs", func(b *bench) ask {
			return ask{method: "POST", target: "/things/" + thingID + "/hangup", key: b.reader, body: `{"force":true}`}
		}, 400, "INVALID_REQUEST"},
		{"an empty object where no body belongs", func(b *bench) ask {
			return ask{method: "POST", target: "/things/" + thingID + "/hangup", key: b.reader, body: " {} "}
		}, 200, ""},
		{"no body", func(b *bench) ask { return ask{method: "POST", target: make_, key: b.writer} }, 400, "INVALID_REQUEST"},
	} {
		for way, send := range ways {
			t.Run(c.name+"/"+way, func(t *testing.T) {
				t.Parallel()
				b := newBench(t)
				got := send(t, b.handler, c.ask(b))
				if got.status != c.status {
					t.Fatalf("status = %d, want %d: %s", got.status, c.status, got.body)
				}
				checkCommonHeaders(t, got)
				if c.code == "" {
					return
				}
				if p := got.problem(t); p.Code != c.code {
					t.Errorf("code = %s, want %s", p.Code, c.code)
				}
				if challenge := got.header.Get("WWW-Authenticate"); (challenge == "Bearer") != (c.status == 401) {
					t.Errorf("status %d with WWW-Authenticate %q", c.status, challenge)
				}
			})
		}
	}
}

func checkCommonHeaders(t *testing.T, r reply) {
	t.Helper()
	want := map[string]string{"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff",
		"Strict-Transport-Security": "max-age=31536000; includeSubDomains"}
	for name, value := range want {
		if got := r.header.Get(name); got != value {
			t.Errorf("%s = %q, want %q", name, got, value)
		}
	}
	if id := r.header.Get("X-Request-Id"); !regexp.MustCompile(`^[0-9A-Z]{26}$`).MatchString(id) {
		t.Errorf("X-Request-Id = %q, want 26 letters and digits", id)
	}
	for _, name := range []string{"Link", "Content-Encoding", "Server", "X-Powered-By"} {
		if got := r.header.Get(name); got != "" {
			t.Errorf("%s = %q, want none", name, got)
		}
	}
}

func TestCredentials(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	expired := b.keys.add(t, "key_01JD8Z7N5R4T3V2W1X0YEXP1RE", "ada", account.CallsRead)
	key := b.keys.byID["key_01JD8Z7N5R4T3V2W1X0YEXP1RE"]
	key.ExpiresAt = now
	b.keys.byID[key.ID] = key
	deleted := b.keys.add(t, "key_01JD8Z7N5R4T3V2W1X0YDE1ETE", "ada", account.CallsRead)
	delete(b.keys.byID, "key_01JD8Z7N5R4T3V2W1X0YDE1ETE")
	rotated := b.keys.add(t, "key_01JD8Z7N5R4T3V2W1X0YR0TATE", "ada", account.CallsRead)
	b.keys.add(t, "key_01JD8Z7N5R4T3V2W1X0YR0TATE", "ada", account.CallsRead)
	jwt := "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZGEifQ."

	var first reply
	for _, c := range []struct {
		name    string
		headers []string
		lookups int
		status  int
	}{
		{"right", []string{"Bearer " + b.reader}, 1, 200},
		{"scheme in small letters", []string{"bearer " + b.reader}, 1, 200},
		{"none", nil, 0, 401},
		{"empty", []string{""}, 0, 401},
		{"key alone", []string{b.reader}, 0, 401},
		{"other scheme", []string{"Basic " + b.reader}, 0, 401},
		{"two spaces", []string{"Bearer  " + b.reader}, 1, 200},
		{"many spaces", []string{"BEARER     " + b.reader + " "}, 1, 200},
		{"a tab", []string{"Bearer\t" + b.reader}, 0, 401},
		{"a space and a tab", []string{"Bearer \t" + b.reader}, 0, 401},
		{"no space", []string{"Bearer" + b.reader}, 0, 401},
		{"spaces alone", []string{"Bearer   "}, 0, 401},
		{"two keys", []string{"Bearer " + b.reader + " " + b.reader}, 0, 401},
		{"two headers", []string{"Bearer " + b.reader, "Bearer " + b.reader}, 0, 401},
		{"wrong checksum", []string{"Bearer " + b.reader[:72] + "-"}, 0, 401},
		{"a JWT", []string{"Bearer " + jwt}, 0, 401},
		{"expired", []string{"Bearer " + expired}, 1, 401},
		{"deleted", []string{"Bearer " + deleted}, 1, 401},
		{"the text before rotation", []string{"Bearer " + rotated}, 1, 401},
	} {
		b.keys.asked = 0
		got := overHTTP(t, b.handler, ask{method: "GET", target: "/things", header: http.Header{"Authorization": c.headers}})
		if got.status != c.status || b.keys.asked != c.lookups {
			t.Errorf("%s: status %d after %d lookups, want %d after %d", c.name, got.status, b.keys.asked, c.status, c.lookups)
		}
		if c.status != 401 {
			continue
		}
		if first.body == nil {
			first = got
		}
		if diff := cmp.Diff(withoutRequestID(first), withoutRequestID(got)); diff != "" {
			t.Errorf("%s: not the same 401 as the others: %s", c.name, diff)
		}
	}
}

func withoutRequestID(r reply) string {
	return strings.ReplaceAll(string(r.body), r.header.Get("X-Request-Id"), "…")
}

func TestKeyLookupFails(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		err    error
		status int
		retry  string
	}{
		{&fault.Error{Kind: fault.Limited, Code: "RATE_LIMIT_EXCEEDED", Detail: "1000 an hour", RetryAfter: time.Minute}, 429, "60"},
		{fault.Unavailable("the database", errors.New(causeIs)), 503, "5"},
		{errors.New(causeIs), 500, ""},
	} {
		b := newBench(t)
		b.keys.err = c.err
		got := overLambda(t, b.handler, ask{method: "GET", target: "/things", key: b.reader})
		got.problem(t)
		if got.status != c.status || got.header.Get("Retry-After") != c.retry {
			t.Errorf("%v: status %d, Retry-After %q", c.err, got.status, got.header.Get("Retry-After"))
		}
	}
}

// TestKeyOfAnotherHashIsRefused checks that a store that returns the wrong key admits no caller.
func TestKeyOfAnotherHashIsRefused(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.edge.Keys = confused{b.keys}
	got := overLambda(t, b.edge.Handler(things{}), ask{method: "GET", target: "/things", key: b.reader})
	if got.status != 401 {
		t.Errorf("status = %d, want 401", got.status)
	}
}

type confused struct{ *keys }

func (c confused) UseKey(_ context.Context, _ string, _ [32]byte) (account.Key, error) {
	return c.byID[writerKeyID], nil
}

func TestFaults(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		kind   string
		status int
		code   string
		retry  string
		logged bool
		fields []fault.Field
	}{
		{"invalid", 400, "INVALID_REQUEST", "", false, []fault.Field{{Field: "sip_trunk.address", Code: "pattern", Detail: "is not a host"}}},
		{"unauthenticated", 401, "UNAUTHENTICATED", "", false, nil},
		{"forbidden", 403, "DESTINATION_NOT_ALLOWED", "", false, nil},
		{"missing", 404, "NOT_FOUND", "", false, nil},
		{"wrapped", 404, "NOT_FOUND", "", false, nil},
		{"conflict", 409, "CALL_NOT_ACTIVE", "", false, nil},
		{"huma", 409, "CONFLICT", "", false, nil},
		{"unprocessable", 422, "IDEMPOTENCY_KEY_REUSED", "", false, nil},
		{"limited", 429, "RATE_LIMIT_EXCEEDED", "2", false, nil},
		{"upstream", 503, "TELEPHONY_UNAVAILABLE", "5", true, nil},
		{"late", 503, "TELEPHONY_UNAVAILABLE", "2", true, nil},
		{"internal", 500, "INTERNAL", "", true, nil},
		{"unknown", 500, "INTERNAL", "", true, nil},
		{"panic", 500, "INTERNAL", "", true, nil},
	} {
		for way, send := range ways {
			t.Run(c.kind+"/"+way, func(t *testing.T) {
				t.Parallel()
				b := newBench(t)
				got := send(t, b.handler, ask{method: "GET", target: "/fail/" + c.kind})
				p := got.problem(t)
				checkCommonHeaders(t, got)
				if got.status != c.status || p.Code != c.code || got.header.Get("Retry-After") != c.retry {
					t.Errorf("%d %s Retry-After %q, want %d %s %q", got.status, p.Code, got.header.Get("Retry-After"), c.status, c.code, c.retry)
				}
				if diff := cmp.Diff(c.fields, p.Errors); diff != "" {
					t.Error(diff)
				}
				if strings.Contains(string(got.body), causeIs) {
					t.Error("the cause is in the answer")
				}
				if strings.Contains(b.log.String(), causeIs) != c.logged {
					t.Errorf("cause logged: want %v\n%s", c.logged, b.log)
				}
				if limit := got.header.Get("X-RateLimit-Limit"); limit != "5" && c.kind != "panic" {
					t.Errorf("a header set before the failure is %q", limit)
				}
				if got := (got.header.Get("WWW-Authenticate") == "Bearer"); got != (c.status == 401) {
					t.Errorf("WWW-Authenticate: %v", got)
				}
			})
		}
	}
}

func TestPaths(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for _, path := range []string{
		"/", "//", "/public/", "//public", "/public//", "/./public", "/public/.", "/x/../public", "/Public", "/PUBLIC",
		"/%70ublic", "/public%2f", "/public%00", "/public%20", "/%2fpublic", "/public;v=1", "/public%3Fa=b", "/public%23",
		"/things/" + thingID + "%2fmake", "/things//make", "/things/" + thingID + "/make/", "/openapi.json", "/openapi.yaml",
		"/docs", "/schemas/Problem.json", "/.well-known/x",
	} {
		for way, send := range ways {
			for _, method := range []string{"GET", "POST"} {
				got := send(t, b.handler, ask{method: method, target: path, key: b.writer})
				if got.status != 404 {
					t.Errorf("%s %s %s = %d, want 404", way, method, path, got.status)
					continue
				}
				if p := got.problem(t); p.Code != "NOT_FOUND" {
					t.Errorf("%s %s: code %s", way, path, p.Code)
				}
			}
		}
	}
}

// TestUnknownIDsLookAlike checks that all ids that do not exist, well-formed or not, get the
// same answer.
func TestUnknownIDsLookAlike(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	want := overLambda(t, b.handler, ask{method: "GET", target: "/fail/missing"})
	for _, id := range []string{"x", "call_", thingID[:20], thingID + "0", "thing_01JD8Z7N5R4T3V2W1X0YABCDEU",
		thingID + "%00", thingID + "%20", "%20" + thingID, thingID + "%25", thingID + "%2e", thingID + "%3Fa=b", thingID + "%23x", thingID + ";v=1", "%F0%9F%93%9E", "%ff", "~"} {
		for way, send := range ways {
			got := send(t, b.handler, ask{method: "POST", target: "/things/" + id + "/hangup", key: b.reader})
			if g, w := withoutRequestID(got), strings.ReplaceAll(withoutRequestID(want), "no such call", "no such thing"); g != w {
				t.Errorf("%s %s: %s, want %s", way, id, g, w)
			}
		}
	}
}

func TestMethodNotAllowedNamesMethods(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for target, want := range map[string]string{"/public": "GET, HEAD", "/raw": "POST"} {
		for _, method := range []string{"DELETE", "PUT", "PATCH", "OPTIONS", "TRACE"} {
			got := overHTTP(t, b.handler, ask{method: method, target: target})
			if got.status != 405 || got.header.Get("Allow") != want {
				t.Errorf("%s %s = %d, Allow %q; want 405, %q", method, target, got.status, got.header.Get("Allow"), want)
			}
		}
	}
}

func TestHead(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for way, send := range ways {
		if got := send(t, b.handler, ask{method: "HEAD", target: "/public"}); got.status != 200 || len(got.body) != 0 {
			t.Errorf("%s: HEAD = %d with %d bytes", way, got.status, len(got.body))
		}
	}
}

func TestQuery(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for query, want := range map[string]fault.Field{
		"":                           {},
		"limit=1":                    {},
		"limit=100&open=true":        {},
		"limit=0":                    {Field: "limit", Code: "minimum", Detail: "must be 1 or more"},
		"limit=101":                  {Field: "limit", Code: "maximum", Detail: "must be 100 or less"},
		"cursor=":                    {},
		"limit=2&cursor=":            {},
		"cursor=&cursor=":            {Field: "cursor", Code: "duplicate", Detail: "is given more than once"},
		"kind=":                      {Field: "kind", Code: "malformed", Detail: "must not be empty"},
		"limit=":                     {Field: "limit", Code: "malformed", Detail: "must not be empty"},
		"limit=x":                    {Field: "limit", Code: "type", Detail: "must be a whole number"},
		"limit=1.0":                  {Field: "limit", Code: "type", Detail: "must be a whole number"},
		"limit=1e1":                  {Field: "limit", Code: "type", Detail: "must be a whole number"},
		"limit=%2B5":                 {Field: "limit", Code: "type", Detail: "must be a whole number"},
		"limit=05":                   {Field: "limit", Code: "type", Detail: "must be a whole number"},
		"limit=99999999999999999999": {Field: "limit", Code: "type", Detail: "must be a whole number"},
		"limit=5&limit=5":            {Field: "limit", Code: "duplicate", Detail: "is given more than once"},
		"Limit=5":                    {Field: "Limit", Code: "unknown", Detail: "there is no such parameter"},
		"page=2":                     {Field: "page", Code: "unknown", Detail: "there is no such parameter"},
		"user_id=bob":                {Field: "user_id", Code: "unknown", Detail: "there is no such parameter"},
		"open=1":                     {Field: "open", Code: "type", Detail: "must be true or false"},
		"open=TRUE":                  {Field: "open", Code: "type", Detail: "must be true or false"},
		"kind=landline":              {Field: "kind", Code: "enum", Detail: "must be one of local, mobile"},
		"kind=local%00":              {Field: "kind", Code: "malformed", Detail: "must not hold control characters other than newline and tab, nor characters that direct the order of text"},
		"kind=%ff":                   {Field: "kind", Code: "malformed", Detail: "is not valid UTF-8 text"},
		"limit=%zz":                  {Field: "query", Code: "malformed", Detail: "is not a valid query string"},
		"limit=1;open=true":          {Field: "query", Code: "malformed", Detail: "is not a valid query string"},
		"cursor=abc":                 {Field: "cursor", Code: "malformed", Detail: "is not a next_cursor of this list"},
	} {
		for way, send := range ways {
			got := send(t, b.handler, ask{method: "GET", target: "/things?" + query, key: b.reader})
			if want == (fault.Field{}) {
				if got.status != 200 {
					t.Errorf("%s ?%s = %d: %s", way, query, got.status, got.body)
				}
				continue
			}
			if got.status != 400 {
				t.Errorf("%s ?%s = %d, want 400", way, query, got.status)
				continue
			}
			if diff := cmp.Diff([]fault.Field{want}, got.problem(t).Errors); diff != "" {
				t.Errorf("%s ?%s: %s", way, query, diff)
			}
		}
	}
}

func TestCursor(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	list := func(path, key, cursor string) (reply, string, string) {
		got := overLambda(t, b.handler, ask{method: "GET", target: path + "?cursor=" + cursor, key: key})
		var out struct {
			After string `json:"after"`
			Next  string `json:"next_cursor"`
		}
		json.Unmarshal(got.body, &out)
		return got, out.After, out.Next
	}
	first := overLambda(t, b.handler, ask{method: "GET", target: "/things", key: b.reader})
	var out struct {
		Next string `json:"next_cursor"`
	}
	if err := json.Unmarshal(first.body, &out); err != nil {
		t.Fatal(err)
	}
	cursor := out.Next
	if _, after, next := list("/things", b.reader, cursor); after != "x" || next == cursor {
		t.Errorf("after the cursor comes %q, then %q", after, next)
	}
	if _, after, _ := list("/things", b.writer, cursor); after != "x" {
		t.Error("the same user's other key cannot use the cursor")
	}
	if got, _, _ := list("/things", b.other, cursor); got.status != 400 {
		t.Errorf("another user's cursor: %d, want 400", got.status)
	}
	if got, _, _ := list("/others", b.reader, cursor); got.status != 400 {
		t.Errorf("another operation's cursor: %d, want 400", got.status)
	}
	if got, _, _ := list("/things", b.reader, cursor+"&kind=local"); got.status != 400 || !strings.Contains(string(got.body), `"code":"mismatch"`) {
		t.Errorf("another filter's cursor: %d %s, want 400", got.status, got.body)
	}
	for i := range len(cursor) {
		c := byte('A')
		if cursor[i] == c {
			c = 'B'
		}
		if got, _, _ := list("/things", b.reader, cursor[:i]+string(c)+cursor[i+1:]); got.status != 400 {
			t.Errorf("cursor with character %d changed: %d, want 400", i, got.status)
		}
	}
	for _, wrong := range []string{cursor[:10], cursor + "A", "%3D" + cursor, strings.Repeat("A", 5000)} {
		if got, _, _ := list("/things", b.reader, wrong); got.status != 400 {
			t.Errorf("cursor %.20q: %d, want 400", wrong, got.status)
		}
	}
}

func TestCursorNeedsAKey(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	edge := *b.edge
	edge.CursorKey = api.Edge{}.CursorKey
	if got := overLambda(t, edge.Handler(things{}), ask{method: "GET", target: "/things", key: b.reader}); got.status != 500 {
		t.Errorf("status = %d, want 500", got.status)
	}
	one := func(string, int) ([]string, string, error) { return []string{"x"}, "x", nil }
	if _, err := api.List(t.Context(), "", "", 1, strings.ToUpper, one); err == nil {
		t.Error("a cursor was sealed outside a request")
	}
}

// TestRequestLog checks that each request logs one line, with its outcome and none of its content.
func TestRequestLog(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	body := `{"phone_number":"+14155550199","metadata":{"a":"line\n{\"level\":\"forged\"}"}}`
	overHTTP(t, b.handler, ask{method: "POST", target: "/things/" + thingID + "/make", key: b.writer, body: body})
	overHTTP(t, b.handler, ask{method: "GET", target: "/things?kind=landline&secret=s3cr3t", key: b.reader})
	overHTTP(t, b.handler, ask{method: "GET", target: "/nothing/+14155550199"})
	var lines []map[string]any
	for scan := bufio.NewScanner(b.log); scan.Scan(); {
		var line map[string]any
		if err := json.Unmarshal(scan.Bytes(), &line); err != nil {
			t.Fatalf("%v in %q", err, scan.Text())
		}
		if strings.Contains(scan.Text(), "4155550199") || strings.Contains(scan.Text(), "s3cr3t") || strings.Contains(scan.Text(), "kros_live") {
			t.Errorf("content is logged: %s", scan.Text())
		}
		delete(line, "time")
		delete(line, "http_request_id")
		lines = append(lines, line)
	}
	want := []map[string]any{
		{"level": "INFO", "msg": "request", "method": "POST", "route": "POST /things/{thing_id}/make", "status": 200.0, "ms": 0.0, "user_id": "ada", "key_id": writerKeyID},
		{"level": "INFO", "msg": "request", "method": "GET", "route": "GET /things", "status": 400.0, "ms": 0.0, "user_id": "ada", "key_id": readerKeyID},
		{"level": "INFO", "msg": "request", "method": "GET", "route": "", "status": 404.0, "ms": 0.0, "user_id": "", "key_id": ""},
	}
	if diff := cmp.Diff(want, lines); diff != "" {
		t.Error(diff)
	}
}

// calls is an endpoint whose requests are about calls.
type calls struct{}

const callID = "call_01JD8Z7N5R4T3V2W1X0YABCDEF"

func (calls) Register(a huma.API) {
	huma.Register(a, huma.Operation{OperationID: "show", Method: "GET", Path: "/calls/{call_id}", Security: api.Public()},
		func(context.Context, *struct {
			CallID string `path:"call_id"`
		}) (*textOutput, error) {
			return text("a call"), nil
		})
	huma.Register(a, huma.Operation{OperationID: "place", Method: "POST", Path: "/calls", Security: api.Public()},
		func(ctx context.Context, _ *struct{}) (*textOutput, error) {
			api.LogCall(ctx, callID)
			return text("a call"), nil
		})
}

// TestLogNamesTheCall checks that the log line names the call, also for successful requests.
func TestLogNamesTheCall(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	h := b.edge.Handler(calls{}, things{})
	for _, c := range []struct{ method, target, want string }{
		{"GET", "/calls/" + callID, callID},
		{"GET", "/calls/" + callID + "?page=2", callID},
		{"POST", "/calls", callID},
		{"GET", "/calls/+14155550199", ""},
		{"GET", "/public", ""},
	} {
		b.log.Reset()
		overHTTP(t, h, ask{method: c.method, target: c.target})
		var line map[string]any
		if err := json.Unmarshal(b.log.Bytes(), &line); err != nil {
			t.Fatal(err)
		}
		got, named := line["call_id"].(string)
		if got != c.want || named != (c.want != "") {
			t.Errorf("%s %s logs %v", c.method, c.target, line)
		}
	}
}

func TestHandlerNeedsKeys(t *testing.T) {
	t.Parallel()
	defer func() {
		if p := fmt.Sprint(recover()); !strings.Contains(p, "no keys") {
			t.Errorf("recovered %q", p)
		}
	}()
	(&api.Edge{}).Handler(things{})
}

func TestBodyIsReadOnlyAfterAuthentication(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	server := httptest.NewServer(b.handler)
	defer server.Close()
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "POST /things/%s/make HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\nExpect: 100-continue\r\n\r\n", thingID)
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil || !strings.HasPrefix(line, "HTTP/1.1 401") {
		t.Errorf("answer before the body was sent: %q, %v", line, err)
	}
}

func TestOpenAPI(t *testing.T) {
	t.Parallel()
	doc, err := api.Document{}.JSON(things{})
	if err != nil {
		t.Fatal(err)
	}
	again, err := api.Document{}.JSON(things{})
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(doc, again) {
		t.Error("the document differs from one time to the next")
	}
	var d struct {
		Paths map[string]map[string]struct {
			Security  []map[string][]string
			Responses map[string]any
		}
		Components struct{ Schemas map[string]json.RawMessage }
	}
	if err := json.Unmarshal(doc, &d); err != nil {
		t.Fatal(err)
	}
	statuses := func(path, method string) string {
		var s []string
		for _, status := range []string{"200", "400", "401", "403", "404", "409", "413", "415", "422", "429", "500", "503", "default"} {
			if _, ok := d.Paths[path][method].Responses[status]; ok {
				s = append(s, status)
			}
		}
		return strings.Join(s, " ")
	}
	for _, c := range []struct{ path, method, want string }{
		{"/things/{thing_id}/make", "post", "200 400 401 403 404 409 413 415 422 429 500 503 default"},
		{"/things", "get", "200 400 401 403 429 500 503 default"},
		{"/public", "get", "200 400 500 default"},
		{"/raw", "post", "200 400 413 500 default"},
	} {
		if got := statuses(c.path, c.method); got != c.want {
			t.Errorf("%s %s documents %s, want %s", c.method, c.path, got, c.want)
		}
	}
	if got := d.Paths["/public"]["get"].Security; got == nil || len(got) != 0 {
		t.Errorf("security of a public operation = %v, want []", got)
	}
	if s := string(d.Components.Schemas["MakeView"]); !strings.Contains(s, `"null"`) || strings.Contains(s, "$schema") {
		t.Errorf("schema of makeView: %s", s)
	}
}

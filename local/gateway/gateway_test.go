package gateway

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/krosai/telephony/emulator/template"
)

var update = flag.Bool("update", false, "rewrite the golden events")

var api = []template.Route{
	{Method: "GET", Path: "/health", Function: "health", Public: true},
	{Method: "POST", Path: "/outbound-calls/create", Function: "createcall"},
	{Method: "GET", Path: "/outbound-calls/{call_id}/details", Function: "getcall"},
	{Method: "GET", Path: "/outbound-calls/phone-numbers", Function: "listnumbers"},
	{Method: "GET", Path: "/outbound-calls/{call_id}", Function: "onecall"},
	{Method: "POST", Path: "/webhooks/livekit", Function: "livekitwebhook", Public: true},
}

func fixed() Options {
	return Options{
		Now:       func() time.Time { return time.Date(2026, 11, 22, 9, 30, 0, 123e6, time.UTC) },
		RequestID: func() string { return "JKJaXmPLvHcESHA=" },
		Log:       slog.New(slog.DiscardHandler),
	}
}

func TestRequestBecomesEvent(t *testing.T) {
	t.Parallel()
	for name, raw := range map[string]string{
		"get": "GET /health HTTP/1.1\r\nHost: localhost:8080\r\nUser-Agent: curl/8.5.0\r\nAccept: */*\r\n\r\n",
		"post-json": "POST /outbound-calls/create HTTP/1.1\r\nHost: abc.execute-api.eu-west-1.amazonaws.com\r\n" +
			"Authorization: Bearer kros_live_x\r\nContent-Type: application/json; charset=utf-8\r\nIdempotency-Key: 1\r\n" +
			"Content-Length: 33\r\n\r\n{\"phone_number\":\"+14155550101\"}\r\n",
		"path-and-query": "GET /outbound-calls/call_%30%31%20x/details?include_transcript=true&a=1&a=2&b=%C3%A9+%26&empty HTTP/1.1\r\n" +
			"Host: localhost\r\n\r\n",
		"repeated-headers-and-cookies": "GET /outbound-calls/phone-numbers HTTP/1.1\r\nHost: localhost:8080\r\nX-Many: one\r\n" +
			"x-many: two, three\r\nCookie: a=1; b=2\r\nCookie: c=3\r\nX-Forwarded-For: 203.0.113.9\r\n\r\n",
		"base64": "POST /webhooks/livekit HTTP/1.1\r\nHost: localhost:8080\r\nContent-Type: application/webhook+json\r\n" +
			"Content-Length: 24\r\n\r\n{\"event\":\"room_started\"}",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var sent []byte
			h := New(api, func(_ context.Context, _ string, payload []byte) ([]byte, error) {
				sent = payload
				return []byte(`{"statusCode":204}`), nil
			}, fixed())
			r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(raw)))
			if err != nil {
				t.Fatal(err)
			}
			r.RemoteAddr = "198.51.100.7:54321"
			h.ServeHTTP(httptest.NewRecorder(), r)
			golden(t, filepath.Join("testdata", name+".json"), sent)
		})
	}
}

// golden compares JSON, and rewrites the file if -update is given.
func golden(t *testing.T, path string, got []byte) {
	t.Helper()
	if *update {
		var pretty bytes.Buffer
		if err := json.Indent(&pretty, got, "", "  "); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, append(pretty.Bytes(), '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(tree(t, want), tree(t, got)); d != "" {
		t.Errorf("%s (-want +got):\n%s", path, d)
	}
}

func tree(t *testing.T, data []byte) (v any) {
	t.Helper()
	if err := json.Unmarshal(data, &v); err != nil {
		t.Fatalf("%v in %q", err, data)
	}
	return v
}

func TestBodyArrivesAsText(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		contentType, body string
		encoded           bool
	}{
		"json":              {"application/json", `{"é":1}`, false},
		"json in capitals":  {"Application/JSON;charset=utf-8", `{}`, false},
		"text":              {"text/csv", "a,b", false},
		"xml":               {"application/xml", "<a/>", false},
		"form":              {"application/x-www-form-urlencoded", "a=b", true},
		"no type":           {"", "a", true},
		"suffix":            {"application/problem+json", "{}", true},
		"not UTF-8":         {"application/json", "\xff\xfe", true},
		"nothing":           {"application/octet-stream", "", false},
		"type out of shape": {"text/plain;;=", "a", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var e event
			h := New(api, func(_ context.Context, _ string, payload []byte) ([]byte, error) {
				return nil, json.Unmarshal(payload, &e)
			}, fixed())
			r := httptest.NewRequest(http.MethodPost, "/outbound-calls/create", strings.NewReader(tc.body))
			r.Header.Set("Content-Type", tc.contentType)
			h.ServeHTTP(httptest.NewRecorder(), r)

			want := tc.body
			if tc.encoded {
				want = base64.StdEncoding.EncodeToString([]byte(tc.body))
			}
			if e.Body != want || e.IsBase64Encoded != tc.encoded {
				t.Errorf("body %q, base64 %v; want %q, %v", e.Body, e.IsBase64Encoded, want, tc.encoded)
			}
		})
	}
}

type response struct {
	Status int
	Type   string
	Body   string
}

func TestAnswerBecomesResponse(t *testing.T) {
	t.Parallel()
	internal := response{500, "application/json", `{"message":"Internal Server Error"}`}
	for name, tc := range map[string]struct {
		payload string
		err     error
		want    response
	}{
		"full":             {`{"statusCode":201,"headers":{"content-type":"application/problem+json"},"body":"{}"}`, nil, response{201, "application/problem+json", "{}"}},
		"base64":           {`{"statusCode":200,"headers":{"Content-Type":"image/png"},"body":"AAH/","isBase64Encoded":true}`, nil, response{200, "image/png", "\x00\x01\xff"}},
		"no type":          {`{"statusCode":200,"body":"hi"}`, nil, response{200, "text/plain; charset=utf-8", "hi"}},
		"number as header": {`{"statusCode":429,"headers":{"retry-after":5,"content-type":"a/b"}}`, nil, response{429, "a/b", ""}},
		"inferred object":  {`{"ok":true}`, nil, response{200, "application/json", `{"ok":true}`}},
		"inferred string":  {`"hello"`, nil, response{200, "application/json", "hello"}},
		"inferred null":    {`null`, nil, response{200, "application/json", "null"}},
		"error":            {``, errors.New("boom"), internal},
		"no JSON":          {`<html>`, nil, internal},
		"wrong base64":     {`{"statusCode":200,"body":"%","isBase64Encoded":true}`, nil, internal},
		"body no string":   {`{"statusCode":200,"body":{}}`, nil, internal},
		"header no scalar": {`{"statusCode":200,"headers":{"a":["b"]}}`, nil, internal},
		"status no status": {`{"statusCode":99}`, nil, internal},
		"too large":        {`"` + strings.Repeat("a", maxResponse) + `"`, nil, internal},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := New(api, func(context.Context, string, []byte) ([]byte, error) { return []byte(tc.payload), tc.err }, fixed())
			if d := cmp.Diff(tc.want, ask(h, httptest.NewRequest(http.MethodGet, "/health", nil))); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

func ask(h http.Handler, r *http.Request) response {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return response{w.Code, w.Header().Get("Content-Type"), w.Body.String()}
}

func TestWhatTheGatewayAnswersItself(t *testing.T) {
	t.Parallel()
	h := New(api, func(context.Context, string, []byte) ([]byte, error) { return []byte(`{"statusCode":200}`), nil }, fixed())
	missing := response{404, "application/json", `{"message":"Not Found"}`}
	for name, tc := range map[string]struct {
		method, path string
		body         io.Reader
		want         response
	}{
		"unknown path":     {"GET", "/nothing", nil, missing},
		"unknown method":   {"DELETE", "/health", nil, missing},
		"slash at the end": {"GET", "/health/", nil, missing},
		"empty parameter":  {"GET", "/outbound-calls//details", nil, missing},
		"preflight":        {"OPTIONS", "/outbound-calls/create", nil, missing}, // no CORS is configured
		"body too large":   {"POST", "/outbound-calls/create", bytes.NewReader(make([]byte, maxBody+1)), response{413, "application/json", `{"message":"Request Entity Too Large"}`}},
		"largest body":     {"POST", "/outbound-calls/create", bytes.NewReader(make([]byte, maxBody)), response{200, "text/plain; charset=utf-8", ""}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if d := cmp.Diff(tc.want, ask(h, httptest.NewRequest(tc.method, tc.path, tc.body))); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

// TestFallback checks that requests without a route go unchanged to the function of $default.
func TestFallback(t *testing.T) {
	t.Parallel()
	type seen struct {
		Function, RouteKey, Method, Path string
		Parameters                       map[string]string
	}
	var got seen
	o := fixed()
	o.Fallback = "rest"
	h := New(api, func(_ context.Context, function string, payload []byte) ([]byte, error) {
		var e event
		if err := json.Unmarshal(payload, &e); err != nil {
			return nil, err
		}
		got = seen{function, e.RouteKey, e.RequestContext.HTTP.Method, e.RawPath, e.PathParameters}
		return []byte(`{"statusCode":405}`), nil
	}, o)
	for _, want := range []seen{
		{"rest", "$default", "GET", "/nothing", nil},
		{"rest", "$default", "HEAD", "/health", nil},
		{"rest", "$default", "OPTIONS", "/outbound-calls/create", nil},
		{"health", "GET /health", "GET", "/health", map[string]string{}},
	} {
		answer := ask(h, httptest.NewRequest(want.Method, want.Path, nil))
		if d := cmp.Diff(want, got, cmpopts.EquateEmpty()); d != "" || answer.Status != 405 {
			t.Errorf("%d (-want +got):\n%s", answer.Status, d)
		}
	}
}

func TestMostSpecificRouteWins(t *testing.T) {
	t.Parallel()
	routes := compile([]template.Route{
		{Method: "ANY", Path: "/{proxy+}", Function: "rest"},
		{Method: "ANY", Path: "/a/{id}", Function: "any"},
		{Method: "GET", Path: "/a/{id}", Function: "parameter"},
		{Method: "GET", Path: "/a/b", Function: "literal"},
		{Method: "GET", Path: "/{x}/b/c", Function: "late literals"},
		{Method: "GET", Path: "/a/{y}/{z}", Function: "early literal"},
		{Method: "GET", Path: "/a/{rest+}", Function: "greedy"},
	})
	for _, tc := range []struct {
		method, path, want string
		parameters         map[string]string
	}{
		{"GET", "/a/b", "literal", map[string]string{}},
		{"GET", "/a/c", "parameter", map[string]string{"id": "c"}},
		{"POST", "/a/c", "any", map[string]string{"id": "c"}},
		{"GET", "/a/b/c", "early literal", map[string]string{"y": "b", "z": "c"}},
		{"GET", "/a/b/c/d", "greedy", map[string]string{"rest": "b/c/d"}},
		{"GET", "/a/", "greedy", map[string]string{"rest": ""}},
		{"POST", "/a/b/c/d", "rest", map[string]string{"proxy": "a/b/c/d"}},
		{"GET", "/z/b/c", "late literals", map[string]string{"x": "z"}},
	} {
		got, parameters := match(routes, tc.method, tc.path)
		if got == nil || got.Function != tc.want {
			t.Errorf("%s %s: got %+v, want %s", tc.method, tc.path, got, tc.want)
			continue
		}
		if d := cmp.Diff(tc.parameters, parameters); d != "" {
			t.Errorf("%s %s parameters (-want +got):\n%s", tc.method, tc.path, d)
		}
	}
	if got, _ := match(routes, "GET", "/"); got != nil {
		t.Errorf("GET /: {proxy+} takes at least one segment, got %s", got.Function)
	}
}

// TestRoundTrip sends a request over a socket to a function that echoes it.
func TestRoundTrip(t *testing.T) {
	t.Parallel()
	h := New(api, func(_ context.Context, function string, payload []byte) ([]byte, error) {
		var e event
		if err := json.Unmarshal(payload, &e); err != nil {
			return nil, err
		}
		return json.Marshal(map[string]any{
			"statusCode": http.StatusAccepted, "cookies": []string{"a=1", "b=2"},
			"headers": map[string]string{"x-function": function, "content-length": "9999"},
			"body":    e.Body, "isBase64Encoded": e.IsBase64Encoded,
		})
	}, Options{})
	server := httptest.NewServer(h)
	defer server.Close()

	resp, err := server.Client().Post(server.URL+"/webhooks/livekit", "application/webhook+json", strings.NewReader("raw \x00 bytes"))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || string(body) != "raw \x00 bytes" || resp.StatusCode != http.StatusAccepted {
		t.Errorf("got %d %q, %v", resp.StatusCode, body, err)
	}
	if d := cmp.Diff([]string{"a=1", "b=2"}, resp.Header.Values("Set-Cookie")); d != "" {
		t.Errorf("cookies (-want +got):\n%s", d)
	}
	if got := resp.Header.Get("X-Function"); got != "livekitwebhook" {
		t.Errorf("function %q", got)
	}
	if got := resp.Header.Get("Apigw-Requestid"); len(got) != 16 {
		t.Errorf("request id %q", got)
	}
}

// TestFunctionOutlivesItsCaller checks that the gateway answers 503 after 30 s, and that a client
// that disconnects does not cancel the function.
func TestFunctionOutlivesItsCaller(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		begin, finished := time.Now(), false
		h := New(api, func(ctx context.Context, _ string, _ []byte) ([]byte, error) {
			select {
			case <-ctx.Done():
			case <-time.After(40 * time.Second):
				finished = true
			}
			return nil, ctx.Err()
		}, fixed())
		ctx, leave := context.WithCancel(t.Context())
		leave()
		got := ask(h, httptest.NewRequest(http.MethodGet, "/health", nil).WithContext(ctx))
		if d := cmp.Diff(response{503, "application/json", `{"message":"Service Unavailable"}`}, got); d != "" {
			t.Errorf("(-want +got):\n%s", d)
		}
		if waited := time.Since(begin); waited != 30*time.Second {
			t.Errorf("waited %s", waited)
		}
		time.Sleep(15 * time.Second)
		synctest.Wait()
		if !finished {
			t.Error("the function was canceled")
		}
	})
}

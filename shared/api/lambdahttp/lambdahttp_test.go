package lambdahttp_test

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambdacontext"
	"github.com/google/go-cmp/cmp"

	"github.com/krosai/telephony/functions/health"
	"github.com/krosai/telephony/shared/api"
	"github.com/krosai/telephony/shared/api/lambdahttp"
)

func edge() *api.Edge {
	return &api.Edge{Now: time.Now, Log: slog.New(slog.DiscardHandler)}
}

func invoke(t *testing.T, ctx context.Context, h http.Handler, payload []byte) events.APIGatewayV2HTTPResponse {
	t.Helper()
	out, err := lambdahttp.Handler(h).Invoke(ctx, payload)
	if err != nil {
		t.Fatal(err)
	}
	var res events.APIGatewayV2HTTPResponse
	if err := json.Unmarshal(out, &res); err != nil {
		t.Fatal(err)
	}
	return res
}

// The event is one that API Gateway sent, as AWS documents payload format 2.0.
func TestEvent(t *testing.T) {
	t.Parallel()
	event, err := os.ReadFile("testdata/get.json")
	if err != nil {
		t.Fatal(err)
	}
	res := invoke(t, t.Context(), edge().Handler(&health.Endpoint{Version: "1.2.3"}), event)
	want := events.APIGatewayV2HTTPResponse{StatusCode: 200, Body: `{"status":"ok","version":"1.2.3"}` + "\n", Headers: map[string]string{
		"Content-Type": "application/json", "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff",
		"Strict-Transport-Security": "max-age=31536000; includeSubDomains", "X-Request-Id": "JKJaXmPLvHcESHA="}, Cookies: []string{}}
	if diff := cmp.Diff(want, res); diff != "" {
		t.Error(diff)
	}
}

func TestRequestID(t *testing.T) {
	t.Parallel()
	lambda := lambdacontext.NewContext(t.Context(), &lambdacontext.LambdaContext{AwsRequestID: "from-lambda"})
	for _, c := range []struct {
		name  string
		ctx   context.Context
		event string
		want  string
	}{
		{"API Gateway's", lambda, `"requestId":"from-gateway",`, "from-gateway"},
		{"Lambda's", lambda, ``, "from-lambda"},
	} {
		res := invoke(t, c.ctx, edge().Handler(&health.Endpoint{}), []byte(`{"rawPath":"/health","requestContext":{`+c.event+`"http":{"method":"GET"}}}`))
		if got := res.Headers["X-Request-Id"]; got != c.want {
			t.Errorf("%s: X-Request-Id = %q, want %q", c.name, got, c.want)
		}
	}
}

// API Gateway decodes the path before it puts it in the event.
func TestDecodedPaths(t *testing.T) {
	t.Parallel()
	h := edge().Handler(&health.Endpoint{})
	for _, path := range []string{"/health#x", "/health?x", "/health\x00", "/health%zz", "/health ", "/hea lth", "/health\r\nX: y",
		"http://x/health", "//health", "/x/../health", "/health/", "/healt\u0068\u200b", "@evil/health", ".evil/health", ""} {
		event := events.APIGatewayV2HTTPRequest{RawPath: path}
		event.RequestContext.HTTP.Method, event.RequestContext.DomainName = "GET", "api.example.com"
		payload, err := json.Marshal(event)
		if err != nil {
			t.Fatal(err)
		}
		if res := invoke(t, t.Context(), h, payload); res.StatusCode != 404 {
			t.Errorf("GET %q = %d, want 404", path, res.StatusCode)
		}
	}
}

// A client must not be able to make an invocation fail, because then anyone could set off an alarm.
func TestBrokenRequests(t *testing.T) {
	t.Parallel()
	h := edge().Handler(&health.Endpoint{})
	for name, c := range map[string]struct {
		event  string
		status int
	}{
		"empty":             {`{}`, 404},
		"unknown method":    {`{"rawPath":"/health","requestContext":{"http":{"method":"PROPFIND"}}}`, 405},
		"hash in the query": {`{"rawPath":"/health","rawQueryString":"a=1#b","requestContext":{"http":{"method":"GET"}}}`, 400},
		"bad query":         {`{"rawPath":"/health","rawQueryString":"%zz","requestContext":{"http":{"method":"GET"}}}`, 400},
	} {
		res := invoke(t, t.Context(), h, []byte(c.event))
		if res.StatusCode != c.status {
			t.Errorf("%s: status = %d, want %d", name, res.StatusCode, c.status)
		}
		if res.Headers["Content-Type"] != "application/problem+json" || !strings.Contains(res.Body, `"request_id"`) {
			t.Errorf("%s: not a problem: %v %s", name, res.Headers, res.Body)
		}
	}
}

func TestNotAnEvent(t *testing.T) {
	t.Parallel()
	for name, event := range map[string]string{
		"bad base64": `{"rawPath":"/health","body":"%%%","isBase64Encoded":true,"requestContext":{"http":{"method":"GET"}}}`,
		"bad method": `{"rawPath":"/health","requestContext":{"http":{"method":"G T"}}}`,
		"no object":  `[]`,
	} {
		if out, err := lambdahttp.Handler(edge().Handler(&health.Endpoint{})).Invoke(t.Context(), []byte(event)); err == nil {
			t.Errorf("%s: answered %s", name, out)
		}
	}
}

// TestRequest checks what the handler receives from an event: whole header values, cookies, the
// body and the caller's address.
func TestRequest(t *testing.T) {
	t.Parallel()
	type request struct {
		Method, Path, Query, Key, Cookie, Body, From string
		Accept                                       []string
	}
	var got request
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		got = request{Method: r.Method, Path: r.URL.Path, Query: r.URL.RawQuery, Body: string(body), From: r.RemoteAddr,
			Key: r.Header.Get("Idempotency-Key"), Cookie: r.Header.Get("Cookie"), Accept: r.Header.Values("Accept")}
		w.WriteHeader(http.StatusNoContent)
	})
	event := `{"rawPath":"/a/b","rawQueryString":"x=1&x=2&y=%2F","headers":{"idempotency-key":"a,b, c","accept":"text/html, */*"},
		"cookies":["a=1","b=2"],"body":"e30=","isBase64Encoded":true,"requestContext":{"http":{"method":"POST","sourceIp":"192.0.2.7"}}}`
	if res := invoke(t, t.Context(), h, []byte(event)); res.StatusCode != http.StatusNoContent {
		t.Fatalf("status = %d", res.StatusCode)
	}
	want := request{Method: "POST", Path: "/a/b", Query: "x=1&x=2&y=%2F", Key: "a,b, c", Cookie: "a=1", Body: "{}", From: "192.0.2.7",
		Accept: []string{"text/html, */*"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

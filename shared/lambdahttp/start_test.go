package lambdahttp_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/golang-jwt/jwt/v5"

	"github.com/krosai/telephony/emulator/lambda"
	"github.com/krosai/telephony/functions/health"
	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/api"
	"github.com/krosai/telephony/shared/env"
	"github.com/krosai/telephony/shared/fault"
	"github.com/krosai/telephony/shared/lambdahttp"
	"github.com/krosai/telephony/shared/store"
)

// TestMain runs as the Lambda function if a test starts this binary as one.
func TestMain(m *testing.M) {
	switch os.Getenv("START") {
	case "public":
		lambdahttp.Start(nil, &health.Endpoint{Version: "1.2.3"})
	case "private":
		lambdahttp.Start(noKeys{}, whoami{})
	case "database":
		lambdahttp.Start(store.Open(env.AWS(), store.Config{Keys: "keys"}, time.Now), whoami{})
	default:
		os.Exit(m.Run())
	}
}

// whoami answers with the caller's id.
type whoami struct{}

func (whoami) Register(a huma.API) {
	type output struct{ Body struct{ User string } }
	huma.Register(a, huma.Operation{OperationID: "whoami", Method: http.MethodGet, Path: "/whoami"},
		func(ctx context.Context, _ *struct{}) (*output, error) {
			out := &output{}
			out.Body.User = api.CallerOf(ctx).UserID
			return out, nil
		})
}

type noKeys struct{ api.Answers }

func (noKeys) UseToken(context.Context, string) (account.Limit, error) { return account.Limit{}, nil }

func (noKeys) UseKey(context.Context, string, [32]byte) (account.Key, error) {
	return account.Key{}, fault.New(fault.Unauthenticated, "UNAUTHENTICATED", "there are no keys")
}

// start runs this test's binary as a function with that environment and gives it one event. It
// returns the answer, or the error with which the function did not start.
func start(t *testing.T, event string, environment map[string]string) string {
	t.Helper()
	f, err := lambda.Start(t.Context(), lambda.Config{Binary: os.Args[0], ARN: "arn:aws:lambda:eu-west-1:123456789012:function:start",
		Timeout: time.Minute, MemoryMB: 256, Environment: environment})
	if err != nil {
		return err.Error()
	}
	defer f.Stop()
	out, err := f.Invoke(t.Context(), []byte(event))
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// TestDatabaseHangs: if its database accepts requests and never answers, a function answers 503
// before Lambda ends it. A busy machine may need longer than the second that is left, so the test
// makes up to ten attempts.
func TestDatabaseHangs(t *testing.T) {
	t.Parallel()
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { silent.Close() })
	text, err := account.NewKey("key_01JD8Z7N5R4T3V2W1X0YABCDEF", rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for attempt := 1; ; attempt++ {
		f, err := lambda.Start(t.Context(), lambda.Config{Binary: os.Args[0], ARN: "arn:aws:lambda:eu-west-1:123456789012:function:start",
			Timeout: 4 * time.Second, MemoryMB: 256, Environment: map[string]string{"START": "database", "CURSOR_KEY": "any",
				"AWS_ENDPOINT_URL_DYNAMODB": "http://" + silent.Addr().String()}})
		if err != nil {
			t.Fatal(err)
		}
		out, err := f.Invoke(t.Context(), []byte(get("/whoami", text)))
		f.Stop()
		if err == nil {
			for _, want := range []string{`{"statusCode":503`, `"Retry-After":"2"`, `"Content-Type":"application/problem+json"`} {
				if !strings.Contains(string(out), want) {
					t.Errorf("got %s, which does not hold %s", out, want)
				}
			}
			return
		}
		if attempt == 10 {
			t.Fatal(err)
		}
	}
}

// get is the event of a GET request with a credential.
func get(path, credential string) string {
	return fmt.Sprintf(`{"version":"2.0","rawPath":%q,"headers":{"authorization":"Bearer %s"},"requestContext":{"requestId":"r1","http":{"method":"GET"}}}`, path, credential)
}

func TestStart(t *testing.T) {
	t.Parallel()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	keys := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"1","x":%q}]}`, base64.RawURLEncoding.EncodeToString(public))
	}))
	t.Cleanup(keys.Close)
	token := jwt.NewWithClaims(jwt.SigningMethodEdDSA, jwt.MapClaims{"iss": "https://id.example", "aud": "kros", "sub": "ada",
		"iat": time.Now().Unix(), "exp": time.Now().Add(time.Minute).Unix()})
	token.Header["kid"] = "1"
	ada, err := token.SignedString(private)
	if err != nil {
		t.Fatal(err)
	}
	from := func(client, stage string) string {
		token.Claims.(jwt.MapClaims)["aud"] = client
		text, err := token.SignedString(private)
		if err != nil {
			t.Fatal(err)
		}
		return strings.Replace(get("/whoami", text), `"rawPath"`, `"stageVariables":{"ConsoleClientId":"`+stage+`"},"rawPath"`, 1)
	}
	users := func(issuer, audience string) map[string]string {
		return map[string]string{"START": "private", "CURSOR_KEY": "any", "OIDC_ISSUER": issuer, "OIDC_AUDIENCE": audience, "OIDC_JWKS_URL": keys.URL}
	}
	ours := users("https://id.example", "kros")
	for _, c := range []struct {
		name, event string
		environment map[string]string
		want        string
	}{
		{"public", get("/health", "anything"), map[string]string{"START": "public"}, `{"statusCode":200`},
		{"a user", get("/whoami", ada), ours, `{"statusCode":200`},
		{"a user of another audience", get("/whoami", ada), users("https://id.example", "phone"), `{"statusCode":401`},
		{"a user of one of several audiences", get("/whoami", ada), users("https://id.example", "phone,kros"), `{"statusCode":200`},
		{"a user of the console", from("console", "console"), ours, `{"statusCode":200`},
		{"a user beside the console", from("kros", "console"), ours, `{"statusCode":200`},
		{"a user of another client", from("web", "console"), ours, `{"statusCode":401`},
		{"a user of a console that is off", from("console", "off"), ours, `{"statusCode":401`},
		{"a user of a client called off", from("off", "off"), ours, `{"statusCode":401`},
		{"no user", get("/whoami", "a.b.c"), ours, `{"statusCode":401`},
		{"no users", get("/whoami", ada), users("", ""), `{"statusCode":401`},
		{"no cursor key", "", map[string]string{"START": "private"}, "exit status 1\nconfiguration: CURSOR_KEY is not set\n"},
		{"no audience", "", users("https://id.example", ""), "exit status 1\nconfiguration: audience: is missing"},
		{"an empty audience", "", users("https://id.example", "kros,"), "exit status 1\nconfiguration: audience: is missing"},
		{"no TLS", "", users("http://id.example", "kros"), "exit status 1\nconfiguration: issuer: is not https"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if got := start(t, c.event, c.environment); !strings.Contains(got, c.want) {
				t.Errorf("got %q, which does not hold %q", got, c.want)
			}
		})
	}
}

package lambdahttp_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/golang-jwt/jwt/v5"

	"github.com/krosai/telephony/functions/health"
	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/api"
	"github.com/krosai/telephony/shared/fault"
	"github.com/krosai/telephony/shared/lambdahttp"
)

// TestMain is the Lambda function itself when a test starts it as one.
func TestMain(m *testing.M) {
	switch os.Getenv("START") {
	case "public":
		lambdahttp.Start(nil, &health.Endpoint{Version: "1.2.3"})
	case "private":
		lambdahttp.Start(noKeys{}, whoami{})
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

func (noKeys) UseKey(context.Context, string, [32]byte) (account.Key, error) {
	return account.Key{}, fault.New(fault.Unauthenticated, "UNAUTHENTICATED", "there are no keys")
}

// runtimeAPI is Lambda's side: it hands out one event and takes its answer.
// https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
type runtimeAPI struct {
	event  []byte
	given  bool
	answer chan string
	done   context.Context
}

func (a *runtimeAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case strings.HasSuffix(r.URL.Path, "/invocation/next") && !a.given:
		a.given = true
		w.Header().Set("Lambda-Runtime-Aws-Request-Id", "8476a536-e9f4-11e8-9739-2dfe598c3fcd")
		w.Header().Set("Lambda-Runtime-Deadline-Ms", "99999999999999")
		w.Write(a.event)
	case strings.HasSuffix(r.URL.Path, "/invocation/next"):
		<-a.done.Done() // Lambda freezes a function that has nothing to do
	default:
		body, _ := io.ReadAll(r.Body)
		w.WriteHeader(http.StatusAccepted)
		a.answer <- r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:] + " " + string(body)
	}
}

// start runs this test's binary as a function with that environment, gives it
// one event and returns what it answers, or what it says when it ends.
func start(t *testing.T, event string, environment ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	lambda := &runtimeAPI{event: []byte(event), answer: make(chan string, 1), done: ctx}
	server := httptest.NewServer(lambda)
	t.Cleanup(server.Close)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, os.Args[0])
	cmd.Env = append([]string{"AWS_LAMBDA_RUNTIME_API=" + strings.TrimPrefix(server.URL, "http://")}, environment...)
	var said bytes.Buffer
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan string, 1)
	go func() {
		err := cmd.Wait()
		ended <- err.Error() + ": " + said.String()
	}()
	select {
	case answer := <-lambda.answer:
		return answer
	case why := <-ended:
		return why
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
	users := []string{"START=private", "CURSOR_KEY=any", "OIDC_ISSUER=https://id.example", "OIDC_AUDIENCE=kros", "OIDC_JWKS_URL=" + keys.URL}
	for _, c := range []struct {
		name, event string
		environment []string
		want        string
	}{
		{"public", get("/health", "anything"), []string{"START=public"}, `response {"statusCode":200`},
		{"a user", get("/whoami", ada), users, `response {"statusCode":200`},
		{"no user", get("/whoami", "a.b.c"), users, `response {"statusCode":401`},
		{"no users", get("/whoami", ada), []string{"START=private", "CURSOR_KEY=any", "OIDC_ISSUER=", "OIDC_AUDIENCE="}, `response {"statusCode":401`},
		{"no cursor key", "", []string{"START=private"}, "exit status 1: configuration: CURSOR_KEY is not set\n"},
		{"no audience", "", append(users, "OIDC_AUDIENCE="), "exit status 1: configuration: audience: is missing"},
		{"no TLS", "", append(users, "OIDC_ISSUER=http://id.example"), "exit status 1: configuration: issuer: is not https"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if got := start(t, c.event, c.environment...); !strings.HasPrefix(got, c.want) {
				t.Errorf("got %q, want it to begin with %q", got, c.want)
			}
		})
	}
}

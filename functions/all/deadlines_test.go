package all_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/krosai/telephony/emulator/template"
	"github.com/krosai/telephony/functions/all"
	"github.com/krosai/telephony/functions/createcall"
	"github.com/krosai/telephony/functions/setconfiguration"
	"github.com/krosai/telephony/functions/transfercall"
	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/api"
	"github.com/krosai/telephony/shared/api/apitest"
	"github.com/krosai/telephony/shared/call"
	"github.com/krosai/telephony/shared/call/summary"
	"github.com/krosai/telephony/shared/env"
	"github.com/krosai/telephony/shared/invocation"
	"github.com/krosai/telephony/shared/lambdahttp"
	"github.com/krosai/telephony/shared/livekit"
	"github.com/krosai/telephony/shared/livekit/livekittest"
	"github.com/krosai/telephony/shared/numberconfig"
	"github.com/krosai/telephony/shared/secret"
	"github.com/krosai/telephony/shared/store/storetest"
	"github.com/krosai/telephony/shared/validate/carrier/carriertest"
	"github.com/krosai/telephony/shared/webhook/queue"
	"github.com/krosai/telephony/shared/workflow"
)

// needs is the time that a function must have besides invocation.Margin. Every function that is not
// listed must have the time of two attempts at a service that hangs.
var needs = map[string]time.Duration{
	"setconfiguration":    setconfiguration.Longest,
	"createcall":          createcall.Kept + env.Attempt,
	"deliverwebhook":      10*time.Second + 2*env.Attempt,                                            // for the user's server
	"dialcall":            90*time.Second + call.KeyingTime(strings.Repeat("w", 64)) + 2*env.Attempt, // rings for 80 s, LiveKit's 10 s
	"health":              0,                                                                         // it asks no service
	"console":             0,                                                                         // it asks no service
	"releasenumber":       numberconfig.Longest,
	"deleteconfiguration": numberconfig.Longest,
	"summarizecall":       25*time.Second + 2*env.Attempt, // for the model
	"transfercall":        transfercall.Longest,
}

// TestTimeouts checks that the template gives each function the time that it may need, and each
// function behind the API less than the 30 s after which API Gateway gives up.
func TestTimeouts(t *testing.T) {
	t.Parallel()
	tpl, err := template.Open("../../template.yaml", template.Values{"LiveKitUrl": "ws://127.0.0.1", "LiveKitApiKey": "k", "LiveKitApiSecret": "s"})
	if err != nil {
		t.Fatal(err)
	}
	routed := map[string]bool{}
	for _, r := range tpl.Routes() {
		routed[r.Function] = true
	}
	for _, f := range tpl.Functions() {
		need, named := needs[f.Folder]
		if !named {
			need = 2*env.Attempt + time.Second // the wait between them
		}
		if f.Timeout < need+invocation.Margin {
			t.Errorf("%s has %s and may need %s", f.Folder, f.Timeout, need+invocation.Margin)
		}
		if routed[f.Folder] && f.Timeout > 29*time.Second {
			t.Errorf("%s has %s, API Gateway only 30 s", f.Folder, f.Timeout)
		}
	}
}

// TestHangs lets DynamoDB, Step Functions and SQS hang from each request on. The answer of each
// function must leave before Lambda ends the function, and over HTTP it must be a 503 that says
// when to try again. LiveKit refuses connections, so functions that need it also fail while
// DynamoDB answers. Functions whose world uses sockets are left out, because sockets do not follow
// the clock of a synctest bubble.
func TestHangs(t *testing.T) {
	if testing.Short() {
		t.Skip("it runs every function with every one of its requests hanging")
	}
	// The functions run one by one: a test server that closes in another test closes the
	// connections that LiveKit's client is opening in a bubble.
	sockets := map[string]bool{"createwebhook": true, "deliverwebhook": true}
	for _, f := range newStage(t, "health").Template.Functions() {
		if sockets[f.Folder] {
			continue
		}
		t.Run(f.Folder, func(t *testing.T) {
			issuer, rooms := apitest.NewIssuer(t), livekittest.New(t)
			for answered := 0; ; answered++ {
				hung := false
				synctest.Test(t, func(t *testing.T) { hung = hangs(t, f, issuer, rooms, answered) })
				if !hung || t.Failed() {
					return
				}
			}
		})
	}
}

// hangs gives a function its sample event. The first answered requests are answered and all later
// ones hang. It reports whether a request hung.
func hangs(t *testing.T, f template.Function, issuer *apitest.Issuer, rooms *livekittest.Server, answered int) bool {
	now := func() time.Time { return sampleTime }
	s := &stage{Bench: &apitest.Bench{TB: t, Database: storetest.Open(t, now), Issuer: issuer, Workflows: &apitest.Workflows{}, Messages: &apitest.Messages{}, Now: now},
		function: f.Folder, livekit: rooms}
	s.SampleKey(sampleUser, account.Scopes()...)
	s.Must(s.AllowCountries(t.Context(), sampleUser, "US"))
	if make := prepare[f.Folder]; make != nil {
		make(s)
	}
	var asked atomic.Int64
	hang := func(next http.RoundTripper) http.RoundTripper {
		return storetest.RoundTrip(func(r *http.Request) (*http.Response, error) {
			if asked.Add(1) <= int64(answered) {
				return next.RoundTrip(r)
			}
			<-r.Context().Done()
			return nil, r.Context().Err()
		})
	}
	s.Between(hang)
	handler := s.lambda(&http.Client{Transport: hang(s.Workflows)}, &http.Client{Transport: hang(s.Messages)})
	ctx, cancel := context.WithTimeout(t.Context(), f.Timeout)
	defer cancel()
	event := s.event()
	answer, err := handler.Invoke(ctx, event)
	if ctx.Err() != nil {
		t.Errorf("after %d requests Lambda ended it, it said %s, %v", answered, answer, err)
	}
	if s.route && err == nil {
		err = said(t, answer)
	}
	hung := asked.Load() > int64(answered)
	if !hung && err != nil && f.Environment["LIVEKIT_URL"] == "" {
		t.Errorf("after %d requests: %s, %v", answered, answer, err)
	}
	return hung
}

// said returns the problem in an answer, or nil if the request was carried out.
func said(t *testing.T, answer []byte) error {
	t.Helper()
	var a events.APIGatewayV2HTTPResponse
	if err := json.Unmarshal(answer, &a); err != nil {
		t.Fatal(err)
	}
	switch {
	case a.StatusCode/100 == 2:
		return nil
	case a.StatusCode != http.StatusServiceUnavailable, a.Headers["Retry-After"] == "", a.Headers["Content-Type"] != "application/problem+json":
		t.Errorf("it answered %s", answer)
	}
	return errors.New(a.Body)
}

// lambda returns the function as Lambda runs it, with clients for Step Functions and for SQS.
func (s *stage) lambda(workflows, messages *http.Client) lambda.Handler {
	cfg := aws.Config{Region: "us-east-1", HTTPClient: workflows, RetryMaxAttempts: 3,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "test", SecretAccessKey: "test"}, nil
		})}
	flows := workflow.Open(cfg, workflow.Config{CallMachine: "c", ApprovalMachine: "a"})
	cfg.HTTPClient = messages
	deliveries := queue.Open(cfg, queue.Config{Deliveries: "https://sqs.us-east-1.amazonaws.com/000000000000/kros-deliveries"})
	d := all.Deps{Resolver: carriertest.Zone{}, DB: s.DB, Flow: flows, Queue: deliveries, Now: s.Now, Log: slog.New(slog.DiscardHandler), Version: "1.0.0",
		Summary: summary.Open(aws.Config{}, summary.Config{}),
		LiveKit: livekit.Open(livekit.Config{URL: "http://127.0.0.1:1", APIKey: livekittest.APIKey, APISecret: secret.New(livekittest.APISecret)})}
	d.Agents.TokenKey = secret.New("a call token key for the sample events")
	ep, route := all.HTTP(d)[s.function]
	if s.route = route; !route {
		return invocation.Handler(all.Tasks(d)[s.function])
	}
	edge := &api.Edge{Keys: s.DB, Answers: s.DB, Tokens: everyone{}, Now: s.Now, Log: d.Log, CursorKey: secret.New("the cursor key of tests")}
	return lambdahttp.Handler(edge.Handler(ep))
}

// everyone accepts every token, and takes its user for an administrator.
type everyone struct{}

func (everyone) Verify(_ context.Context, token string) (account.Caller, error) {
	var claims struct{ Sub string }
	payload, err := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[1])
	if err = errors.Join(err, json.Unmarshal(payload, &claims)); err != nil {
		return account.Caller{}, err
	}
	return account.Caller{UserID: claims.Sub, Admin: true}, nil
}

package all_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/golang-jwt/jwt/v5"
	"github.com/google/go-cmp/cmp"

	"github.com/krosai/telephony/emulator/template"
	"github.com/krosai/telephony/functions/all"
	"github.com/krosai/telephony/shared/api/apitest"
	"github.com/krosai/telephony/shared/livekit/livekittest"
)

// This file checks that the sample events are what AWS would send.

// gatewayEvent is an event of an HTTP API, in payload format 2.0:
// https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html
type gatewayEvent struct {
	events.APIGatewayV2HTTPRequest
}

func readEvent(t testing.TB, text []byte) (e gatewayEvent) {
	t.Helper()
	strictly(t, text, &e.APIGatewayV2HTTPRequest)
	return e
}

// strictly decodes JSON and refuses unknown members.
func strictly(t testing.TB, text []byte, into any) {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		t.Fatal(err)
	}
}

func (e gatewayEvent) body(t testing.TB) []byte {
	t.Helper()
	if !e.IsBase64Encoded {
		return []byte(e.Body)
	}
	body, err := base64.StdEncoding.DecodeString(e.Body)
	if err != nil {
		t.Fatal(err)
	}
	return body
}

// expected returns the event with the members that follow from its other members.
func (e gatewayEvent) expected(t testing.TB, route template.Route) gatewayEvent {
	t.Helper()
	want := e
	want.Version, want.RouteKey = "2.0", route.Key()
	want.RawPath = placeholder.ReplaceAllStringFunc(route.Path, func(name string) string { return e.PathParameters[strings.Trim(name, "{+}")] })
	query, err := url.ParseQuery(e.RawQueryString)
	if err != nil {
		t.Fatal(err)
	}
	if want.QueryStringParameters = nil; len(query) > 0 {
		want.QueryStringParameters = map[string]string{}
		for name, values := range query {
			want.QueryStringParameters[name] = strings.Join(values, ",")
		}
	}
	c, at := &want.RequestContext, time.UnixMilli(e.RequestContext.TimeEpoch).UTC()
	c.RouteKey, c.Stage, c.DomainPrefix, c.DomainName = route.Key(), "$default", e.RequestContext.APIID, e.RequestContext.APIID+".execute-api.eu-west-1.amazonaws.com"
	c.Time = at.Format("02/Jan/2006:15:04:05 -0700")
	c.HTTP = events.APIGatewayV2HTTPRequestContextHTTPDescription{Method: strings.Replace(route.Method, "ANY", e.RequestContext.HTTP.Method, 1), Path: want.RawPath, Protocol: "HTTP/1.1",
		SourceIP: e.Headers["x-forwarded-for"], UserAgent: e.Headers["user-agent"]}
	want.Headers = map[string]string{}
	for name, value := range e.Headers {
		want.Headers[strings.ToLower(name)] = value
	}
	want.Headers["host"], want.Headers["content-length"] = c.DomainName, strconv.Itoa(len(e.body(t)))
	want.Headers["x-forwarded-port"], want.Headers["x-forwarded-proto"] = "443", "https"
	_, random, _ := strings.Cut(e.Headers["x-amzn-trace-id"], fmt.Sprintf("-%x-", at.Unix()))
	want.Headers["x-amzn-trace-id"] = fmt.Sprintf("Root=1-%x-%s", at.Unix(), random)
	// API Gateway takes application/json for text, but not a type that ends in +json.
	want.IsBase64Encoded = e.Body != "" && e.Headers["content-type"] != "application/json"
	return want
}

// TestGatewayEventsAreWhole checks that all parts of a sample agree, and that no two samples have
// the same ids.
func TestGatewayEventsAreWhole(t *testing.T) {
	t.Parallel()
	tpl, err := template.Open("../../template.yaml", template.Values{"LiveKitUrl": "ws://127.0.0.1", "LiveKitApiKey": "k", "LiveKitApiSecret": "s"})
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]string{}
	for _, route := range tpl.Routes() {
		if route.Key() == "GET /outbound-calls/{call_id}" || route.Key() == "ANY /console" {
			continue // the samples of getcall and console are for their other routes
		}
		e := readEvent(t, apitest.Event(t, route.Function, map[string]string{"KROS_USER_JWT": "a.b.c", "KROS_ADMIN_JWT": "a.b.c"}))
		if diff := cmp.Diff(e.expected(t, route), e); diff != "" {
			t.Errorf("%s (-as AWS sends it +event):\n%s", route.Function, diff)
		}
		for name, shape := range map[string]string{e.RequestContext.RequestID: `^[A-Za-z0-9+/]{15}=$`,
			e.Headers["x-amzn-trace-id"]: `^Root=1-[0-9a-f]{8}-[0-9a-f]{24}$`} {
			if other := seen[name]; other != "" || !regexp.MustCompile(shape).MatchString(name) {
				t.Errorf("%s: %q is no id of AWS's, or %s has it as well", route.Function, name, other)
			}
			seen[name] = route.Function
		}
		if body := e.body(t); len(body) > 0 && !json.Valid(body) {
			t.Errorf("%s: the body is no JSON", route.Function)
		}
		_, bearer := strings.CutPrefix(e.Headers["authorization"], "Bearer ")
		if bearer == route.Public && route.Function != "addtranscript" {
			t.Errorf("%s: authorization %q", route.Function, e.Headers["authorization"])
		}
	}
}

// TestLiveKitSigned checks that the sample of LiveKit's webhook is signed over its body and at its
// time, as LiveKit does.
func TestLiveKitSigned(t *testing.T) {
	t.Parallel()
	e := readEvent(t, apitest.Event(t, "livekitwebhook", nil))
	var claims jwt.MapClaims
	at := time.UnixMilli(e.RequestContext.TimeEpoch)
	_, err := jwt.ParseWithClaims(e.Headers["authorization"], &claims, func(*jwt.Token) (any, error) { return []byte(livekittest.APISecret), nil },
		jwt.WithValidMethods([]string{"HS256"}), jwt.WithTimeFunc(func() time.Time { return at }), jwt.WithExpirationRequired())
	if err != nil {
		t.Fatal(err)
	}
	now := float64(at.Unix())
	want := jwt.MapClaims{"iss": livekittest.APIKey, "iat": now, "nbf": now, "exp": now + 300, "sha256": digest(t, e)}
	if diff := cmp.Diff(want, claims); diff != "" {
		t.Error(diff)
	}
}

// TestTaskEventsAreOfAWorkflow checks that a sample is the input that one of the states gives the
// function that it invokes.
func TestTaskEventsAreOfAWorkflow(t *testing.T) {
	t.Parallel()
	inputs := taskInputs(t)
	fed := []string{"deliverwebhook", "resumecall", "sendevents"} // by queues and streams
	for function := range all.Tasks(all.Deps{}) {
		if strings.HasPrefix(function, "sweep") || slices.Contains(fed, function) {
			continue
		}
		var event map[string]any
		if err := json.Unmarshal(apitest.Event(t, function, nil), &event); err != nil {
			t.Fatal(err)
		}
		fits := false
		for _, payload := range inputs[function] {
			given := map[string]any{}
			for name, value := range payload {
				if plain, from := strings.CutSuffix(name, ".$"); from {
					name, value = plain, event[plain]
				}
				given[name] = value
			}
			fits = fits || cmp.Equal(given, event)
		}
		if !fits {
			t.Errorf("no state gives %s %v, but %v", function, event, inputs[function])
		}
	}
}

// taskInputs returns the payloads of the states that invoke a function, by function.
func taskInputs(t *testing.T) map[string][]map[string]any {
	t.Helper()
	files, err := filepath.Glob("../../statemachines/*.json")
	if err != nil || len(files) == 0 {
		t.Fatal("no state machines", err)
	}
	inputs := map[string][]map[string]any{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var machine struct {
			States map[string]struct {
				Parameters struct {
					FunctionName string
					Payload      map[string]any
				}
			}
		}
		if err := json.Unmarshal(text, &machine); err != nil {
			t.Fatal(err)
		}
		for _, state := range machine.States {
			function := strings.ToLower(strings.TrimSuffix(strings.TrimPrefix(state.Parameters.FunctionName, "${"), "Function}"))
			inputs[function] = append(inputs[function], state.Parameters.Payload)
		}
	}
	return inputs
}

// TestScheduledEvents compares the samples with what EventBridge sends for a rule:
// https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-run-lambda-schedule.html
func TestScheduledEvents(t *testing.T) {
	t.Parallel()
	tpl, err := template.Open("../../template.yaml", template.Values{"LiveKitUrl": "ws://127.0.0.1", "LiveKitApiKey": "k", "LiveKitApiSecret": "s"})
	if err != nil {
		t.Fatal(err)
	}
	schedules := tpl.Schedules()
	names := map[string]bool{}
	for _, s := range schedules {
		names[s.Function] = true
		var e struct {
			Version, ID, Source, Account, Region string
			DetailType                           string `json:"detail-type"`
			Time                                 time.Time
			Resources                            []string
			Detail                               map[string]any
		}
		strictly(t, apitest.Event(t, s.Function, nil), &e)
		if e.Version != "0" || e.Source != "aws.events" || e.DetailType != "Scheduled Event" || len(e.Detail) > 0 || e.Time.Truncate(time.Minute) != e.Time {
			t.Errorf("%s: %+v", s.Function, e)
		}
		rule := regexp.MustCompile(`(?i)^arn:aws:events:` + e.Region + `:` + e.Account + `:rule/kros-` + s.Function + `FunctionEvery\w+-[0-9A-Z]{12,13}$`)
		if len(e.Resources) != 1 || !rule.MatchString(e.Resources[0]) || !regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`).MatchString(e.ID) {
			t.Errorf("%s: %s of %v", s.Function, e.ID, e.Resources)
		}
	}
	if diff := cmp.Diff(map[string]bool{"sweepcalls": true, "sweepnumbers": true}, maps.Clone(names)); diff != "" {
		t.Error(diff)
	}
}

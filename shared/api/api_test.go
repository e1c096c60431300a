package api_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/danielgtaylor/huma/v2"

	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/api"
	"github.com/krosai/telephony/shared/api/lambdahttp"
	"github.com/krosai/telephony/shared/fault"
	"github.com/krosai/telephony/shared/id"
	"github.com/krosai/telephony/shared/secret"
)

const (
	thingID = "thing_01JD8Z7N5R4T3V2W1X0YABCDEF"
	causeIs = "the cause that only the log may know"
)

// things is an endpoint with one operation for each feature of the edge.
type things struct{}

type part struct {
	Name string `json:"name" minLength:"1" maxLength:"8"`
	Note string `json:"note,omitempty"`
}

type makeInput struct {
	ThingID string `path:"thing_id"`
	Key     string `header:"X-Key" maxLength:"255"`
	Body    makeBody
}

type makeBody struct {
	PhoneNumber string            `json:"phone_number" pattern:"^\\+[1-9][0-9]{7,14}$" patternDescription:"E.164, such as +14155550100"`
	Count       int               `json:"count,omitempty" minimum:"1" maximum:"10"`
	Small       int32             `json:"small,omitempty"`
	Speed       float64           `json:"speed,omitempty"`
	Loud        bool              `json:"loud,omitempty"`
	Kind        string            `json:"kind,omitempty" enum:"local,mobile"`
	Numbers     []string          `json:"numbers,omitempty" minItems:"1" maxItems:"3" uniqueItems:"true"`
	Part        *part             `json:"part,omitempty"`
	Parts       []part            `json:"parts,omitempty"`
	Metadata    map[string]string `json:"metadata,omitempty" maxProperties:"2"`
	Any         any               `json:"any,omitempty"`
	Reason      *string           `json:"reason,omitempty" nullable:"true"`
	Expires     *api.Time         `json:"expires_at,omitempty"`
	Site        string            `json:"site,omitempty" format:"ipv4"`
}

type makeOutput struct{ Body makeView }

type makeView struct {
	ThingID string    `json:"thing_id"`
	Key     string    `json:"key"`
	UserID  string    `json:"user_id"`
	Made    makeBody  `json:"made"`
	At      api.Time  `json:"at"`
	EndedAt *api.Time `json:"ended_at"`
}

type listInput struct {
	Limit  int    `query:"limit" minimum:"1" maximum:"100" default:"25"`
	Cursor string `query:"cursor"`
	Open   bool   `query:"open"`
	Kind   string `query:"kind" enum:"local,mobile"`
}

type listOutput struct {
	Body struct {
		Limit      int      `json:"limit"`
		Open       bool     `json:"open"`
		After      string   `json:"after"`
		Data       []string `json:"data"`
		NextCursor string   `json:"next_cursor"`
	}
}

type textOutput struct {
	Body struct {
		Text string `json:"text"`
	}
}

type rawInput struct {
	RawBody []byte `contentType:"application/webhook+json"`
}

type failInput struct {
	Kind string `path:"kind"`
}

func text(s string) *textOutput {
	out := &textOutput{}
	out.Body.Text = s
	return out
}

func (things) Register(a huma.API) {
	op := func(id, method, path string, security []map[string][]string) huma.Operation {
		return huma.Operation{OperationID: id, Method: method, Path: path, Security: security, Summary: id, Tags: []string{"Things"}}
	}
	huma.Register(a, op("make", "POST", "/things/{thing_id}/make", api.Needs(account.CallsWrite)), makeThing)
	huma.Register(a, op("list", "GET", "/things", api.Needs(account.CallsRead)), listThings)
	huma.Register(a, op("list-others", "GET", "/others", api.Needs(account.CallsRead)), listThings)
	huma.Register(a, op("hangup", "POST", "/things/{thing_id}/hangup", nil), func(ctx context.Context, in *struct {
		ThingID string `path:"thing_id"`
	}) (*textOutput, error) {
		return text(api.CallerOf(ctx).UserID), id.Kind("thing_").Check(in.ThingID)
	})
	huma.Register(a, op("admin", "GET", "/admin/things", api.Needs(account.Admin)), func(context.Context, *struct{}) (*textOutput, error) {
		return text("secret of the administrators"), nil
	})
	huma.Register(a, op("public", "GET", "/public", api.Public()), func(ctx context.Context, _ *struct{}) (*textOutput, error) {
		api.ResponseHeader(ctx).Set("X-RateLimit-Limit", "100")
		return text(api.RequestID(ctx)), nil
	})
	raw := op("raw", "POST", "/raw", api.Public())
	raw.MaxBodyBytes = 100
	huma.Register(a, raw, func(_ context.Context, in *rawInput) (*textOutput, error) {
		return text(base64.StdEncoding.EncodeToString(in.RawBody)), nil
	})
	huma.Register(a, op("fail", "GET", "/fail/{kind}", api.Public()), failAs)
}

func makeThing(ctx context.Context, in *makeInput) (*makeOutput, error) {
	if err := id.Kind("thing_").Check(in.ThingID); err != nil {
		return nil, err
	}
	return &makeOutput{makeView{ThingID: in.ThingID, Key: in.Key, UserID: api.CallerOf(ctx).UserID, Made: in.Body,
		At: api.Time(now.In(time.FixedZone("Lagos", 3600))), EndedAt: api.OrNull(time.Time{})}}, nil
}

func listThings(ctx context.Context, in *listInput) (*listOutput, error) {
	out := &listOutput{}
	out.Body.Limit, out.Body.Open = in.Limit, in.Open
	page, err := api.List(ctx, in.Cursor, in.Kind, in.Limit, strings.ToUpper, func(after string, _ int) ([]string, string, error) {
		out.Body.After = after
		return []string{after + "x"}, after + "x", nil
	})
	if err != nil {
		return nil, err
	}
	out.Body.Data, out.Body.NextCursor = page.Data, *page.NextCursor
	return out, nil
}

func failAs(ctx context.Context, in *failInput) (*textOutput, error) {
	api.ResponseHeader(ctx).Set("X-RateLimit-Limit", "5")
	cause := errors.New(causeIs)
	switch in.Kind {
	case "invalid":
		return nil, fault.InvalidField("sip_trunk.address", "pattern", "is not a host")
	case "unauthenticated":
		return nil, fault.New(fault.Unauthenticated, "UNAUTHENTICATED", "the call token is not valid")
	case "forbidden":
		return nil, fault.New(fault.Forbidden, "DESTINATION_NOT_ALLOWED", "calls to %s are not allowed", "XX")
	case "missing":
		return nil, fault.Missing("call")
	case "conflict":
		return nil, &fault.Error{Kind: fault.Conflict, Code: "CALL_NOT_ACTIVE", Detail: "the call is over", Err: cause}
	case "unprocessable":
		return nil, fault.New(fault.Unprocessable, "IDEMPOTENCY_KEY_REUSED", "another body")
	case "limited":
		return nil, &fault.Error{Kind: fault.Limited, Code: "RATE_LIMIT_EXCEEDED", Detail: "slow down", RetryAfter: 1500 * time.Millisecond}
	case "upstream":
		return nil, fault.Unavailable("LiveKit", cause)
	case "internal":
		return nil, &fault.Error{Kind: fault.Internal, Code: "TABLE_GONE", Detail: causeIs, Err: cause}
	case "late":
		return nil, errors.Join(cause, context.DeadlineExceeded)
	case "unknown":
		return nil, cause
	case "wrapped":
		return nil, errors.Join(errors.New("settle"), fault.Missing("call"))
	case "huma":
		return nil, huma.Error409Conflict("from huma")
	case "panic":
		panic(causeIs)
	}
	return nil, nil
}

var now = time.Date(2026, 11, 22, 9, 30, 0, 123456789, time.UTC)

// keys holds API keys in memory, by id.
type keys struct {
	mu    sync.Mutex
	byID  map[string]account.Key
	err   error // the error of UseKey
	asked int
}

func (k *keys) UseKey(_ context.Context, id string, sum [32]byte) (account.Key, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.asked++
	if k.err != nil {
		return account.Key{}, k.err
	}
	key, ok := k.byID[id]
	if !ok || !bytes.Equal(key.Hash, sum[:]) {
		return account.Key{}, fault.New(fault.Unauthenticated, "UNAUTHENTICATED", "no live key")
	}
	return key, nil
}

// UseToken counts nothing.
func (k *keys) UseToken(context.Context, string) (account.Limit, error) { return account.Limit{}, nil }

// add creates a key of user with these scopes and returns its text.
func (k *keys) add(tb testing.TB, id, user string, scopes ...string) string {
	tb.Helper()
	text, err := account.NewKey(id, rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	_, sum, _ := account.ParseKey(text)
	k.byID[id] = account.Key{ID: id, UserID: user, Hash: sum[:], Scopes: scopes, CreatedAt: now}
	return text
}

const (
	readerKeyID = "key_01JD8Z7N5R4T3V2W1X0YREADER"
	writerKeyID = "key_01JD8Z7N5R4T3V2W1X0YWR0TER"
	otherKeyID  = "key_01JD8Z7N5R4T3V2W1X0Y0THERX"
)

// bench is an edge with the test endpoint, and the keys and the log to use it with.
type bench struct {
	edge    *api.Edge
	keys    *keys
	log     *bytes.Buffer
	handler http.Handler
	reader  string // an API key of user "ada" with calls:read
	writer  string // an API key of user "ada" with calls:read and calls:write
	other   string // an API key of user "bob" with calls:read
}

func newBench(tb testing.TB) *bench {
	tb.Helper()
	b := &bench{keys: &keys{byID: map[string]account.Key{}}, log: &bytes.Buffer{}}
	b.reader = b.keys.add(tb, readerKeyID, "ada", account.CallsRead)
	b.writer = b.keys.add(tb, writerKeyID, "ada", account.CallsRead, account.CallsWrite)
	b.other = b.keys.add(tb, otherKeyID, "bob", account.CallsRead)
	b.edge = &api.Edge{Keys: b.keys, Now: func() time.Time { return now }, Log: slog.New(slog.NewJSONHandler(b.log, nil)),
		CursorKey: secret.New("a key for the cursors of this test")}
	b.handler = b.edge.Handler(things{})
	return b
}

// ask is a request. target is the path with its query as sent over the wire.
type ask struct {
	method, target string
	key            string // for Authorization: Bearer
	header         http.Header
	body           string
}

func (a ask) headers() http.Header {
	h := a.header.Clone()
	if h == nil {
		h = http.Header{}
	}
	if a.key != "" {
		h.Set("Authorization", "Bearer "+a.key)
	}
	if a.body != "" && h["Content-Type"] == nil {
		h.Set("Content-Type", "application/json")
	}
	return h
}

type reply struct {
	status int
	header http.Header
	body   []byte
}

// ways are the two ways that a request reaches an edge: over HTTP, and as an event of API Gateway.
var ways = map[string]func(testing.TB, http.Handler, ask) reply{"http": overHTTP, "lambda": overLambda}

func overHTTP(tb testing.TB, h http.Handler, a ask) reply {
	tb.Helper()
	server := httptest.NewServer(h)
	defer server.Close()
	r, err := http.NewRequest(a.method, server.URL+a.target, strings.NewReader(a.body))
	if err != nil {
		tb.Fatal(err)
	}
	r.Header = a.headers()
	res, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		tb.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		tb.Fatal(err)
	}
	return reply{res.StatusCode, res.Header, body}
}

func overLambda(tb testing.TB, h http.Handler, a ask) reply {
	tb.Helper()
	path, query, _ := strings.Cut(a.target, "?")
	event := events.APIGatewayV2HTTPRequest{Version: "2.0", RouteKey: "$default", RawPath: path, RawQueryString: query,
		Headers: map[string]string{}, Body: base64.StdEncoding.EncodeToString([]byte(a.body)), IsBase64Encoded: true}
	for name, values := range a.headers() {
		event.Headers[strings.ToLower(name)] = strings.Join(values, ",") // as API Gateway does
	}
	event.RequestContext.HTTP.Method, event.RequestContext.HTTP.Path = a.method, path
	event.RequestContext.DomainName = "api.example.com"
	payload, err := json.Marshal(event)
	if err != nil {
		tb.Fatal(err)
	}
	out, err := lambdahttp.Handler(h).Invoke(tb.Context(), payload)
	if err != nil {
		tb.Fatal(err)
	}
	var res events.APIGatewayV2HTTPResponse
	if err := json.Unmarshal(out, &res); err != nil {
		tb.Fatal(err)
	}
	header := http.Header{}
	for name, value := range res.Headers {
		header.Set(name, value)
	}
	if res.IsBase64Encoded {
		tb.Fatal("the body came as base64")
	}
	return reply{res.StatusCode, header, []byte(res.Body)}
}

// problem decodes the reply as a problem document and checks the properties common to all problems.
func (r reply) problem(tb testing.TB) api.Problem {
	tb.Helper()
	var p api.Problem
	d := json.NewDecoder(bytes.NewReader(r.body))
	d.DisallowUnknownFields()
	if err := d.Decode(&p); err != nil {
		tb.Fatalf("%v in %q", err, r.body)
	}
	if got := r.header.Get("Content-Type"); got != "application/problem+json" {
		tb.Errorf("Content-Type = %q", got)
	}
	if p.Type != "about:blank" || p.Title != http.StatusText(r.status) || p.Status != r.status || p.Detail == "" || p.Code == "" {
		tb.Errorf("incomplete problem with status %d: %+v", r.status, p)
	}
	if p.RequestID == "" || p.RequestID != r.header.Get("X-Request-Id") {
		tb.Errorf("request_id %q, X-Request-Id %q", p.RequestID, r.header.Get("X-Request-Id"))
	}
	return p
}

package api

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/fault"
	"github.com/krosai/telephony/shared/id"
	"github.com/krosai/telephony/shared/invocation"
)

// server is the router. It is also huma's adapter, so that the edge's checks run between routing
// and huma's own validation.
type server struct {
	edge    *Edge
	mux     *http.ServeMux
	schemas huma.Registry
	others  []string // routes of the whole API, for the Allow header of a fallback
}

// request is the edge's state of the request being served.
type request struct {
	edge   *Edge
	id     string
	route  string // method and path pattern; empty while unknown
	callID string // the call that the request is about, for the log
	caller account.Caller
	answer *answer
	limits []account.Limit // for the headers
	asked  account.Once    // set if there is an Idempotency-Key
	seed   account.Seed    // set if the edge stores the answer
}

type requestKey struct{}
type requestIDKey struct{}

// WithRequestID sets the id of the request served under ctx to the id that the gateway in
// front uses.
func WithRequestID(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, requestIDKey{}, id)
}

// CallerOf is the authenticated caller of the request, or the zero Caller in a public operation.
func CallerOf(ctx context.Context) account.Caller {
	if rq := requestOf(ctx); rq != nil {
		return rq.caller
	}
	return account.Caller{}
}

// RequestID is the id in the answer's X-Request-Id. It is empty outside a request.
func RequestID(ctx context.Context) string {
	if rq := requestOf(ctx); rq != nil {
		return rq.id
	}
	return ""
}

// ResponseHeader is the header of the answer, whether it becomes a success or a problem. It is for
// headers of both, such as rate limits. It is nil outside a request.
func ResponseHeader(ctx context.Context) http.Header {
	if rq := requestOf(ctx); rq != nil {
		return rq.answer.header
	}
	return nil
}

func requestOf(ctx context.Context) *request {
	rq, _ := ctx.Value(requestKey{}).(*request)
	return rq
}

// ServeHTTP serves one request. It holds the answer back until it is complete, so that a failure
// half way through becomes a clean 500.
func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	start := s.edge.Now()
	rq := &request{edge: s.edge, id: requestID(r.Context()), answer: &answer{header: http.Header{}}}
	r = r.WithContext(context.WithValue(r.Context(), requestKey{}, rq))
	s.route(rq, r)
	writeLimits(rq.answer.header, rq.limits, start)
	rq.answer.send(w, r.Method, rq.id)
	line := []slog.Attr{
		slog.String("method", r.Method),
		slog.String("route", rq.route),
		slog.Int("status", rq.answer.status),
		slog.Int64("ms", s.edge.Now().Sub(start).Milliseconds()),
		slog.String("http_request_id", rq.id),
		slog.String("user_id", rq.caller.UserID),
		slog.String("key_id", rq.caller.KeyID)}
	if rq.callID != "" {
		line = append(line, slog.String("call_id", rq.callID))
	}
	s.edge.Log.LogAttrs(r.Context(), slog.LevelInfo, "request", line...)
}

// LogCall adds a call's id to the request's log line. An empty id adds nothing. The edge does this
// itself if the path names the call.
func LogCall(ctx context.Context, id string) {
	if rq := requestOf(ctx); rq != nil {
		rq.callID = id
	}
}

func requestID(ctx context.Context) string {
	if id, _ := ctx.Value(requestIDKey{}).(string); id != "" {
		return id
	}
	return rand.Text()
}

func (s *server) route(rq *request, r *http.Request) {
	defer func() {
		if p := recover(); p != nil {
			rq.answer.reset()
			s.edge.Log.LogAttrs(r.Context(), slog.LevelError, "panic", slog.String("http_request_id", rq.id),
				slog.String("error", fmt.Sprint(p)), slog.String("stack", string(debug.Stack())))
			rq.fail(internal())
		}
	}()
	target := *r.URL
	target.Path, target.RawPath = PlainPath(r.URL.EscapedPath()), ""
	r.URL = &target
	if h, pattern := s.mux.Handler(r); pattern == "" {
		refusal := &answer{header: http.Header{}}
		h.ServeHTTP(refusal, r)
		allow := refusal.header.Get("Allow")
		if allow == "" {
			allow = allowed(s.others, r.URL.Path)
		}
		if allow == "" {
			rq.fail(fault.Missing("path"))
			return
		}
		rq.answer.header.Set("Allow", allow)
		rq.send(problem(http.StatusMethodNotAllowed, "METHOD_NOT_ALLOWED", "this path takes "+allow+" only"))
		return
	}
	s.mux.ServeHTTP(rq.answer, r)
}

// allowed is the header Allow of a path: the methods of the matching routes, in alphabetical order.
// It is empty if no route matches.
func allowed(routes []string, path string) string {
	var methods []string
	segments := strings.Split(path, "/")
	for _, route := range routes {
		method, pattern, _ := strings.Cut(route, " ")
		names := strings.Split(pattern, "/")
		fits := len(names) == len(segments)
		for i := 0; fits && i < len(names); i++ {
			fits = names[i] == segments[i] || strings.HasPrefix(names[i], "{")
		}
		if fits && !slices.Contains(methods, method) {
			methods = append(methods, method)
		}
	}
	slices.Sort(methods)
	return strings.Join(methods, ", ")
}

// PlainPath is an escaped or decoded path in the API's canonical spelling. A segment with escapes,
// or with characters that ids do not have, becomes "~". No thing has that name, so the answer is
// that of an unknown id. A path with empty, "." or ".." segments, or with a trailing slash, becomes
// "/", which does not exist.
func PlainPath(path string) string {
	path, rooted := strings.CutPrefix(path, "/")
	segments := strings.Split(path, "/")
	for i, segment := range segments {
		if !rooted || segment == "" || segment == "." || segment == ".." {
			return "/"
		}
		if !plain(segment) {
			segments[i] = "~"
		}
	}
	return "/" + strings.Join(segments, "/")
}

func plain(segment string) bool {
	for i := range len(segment) {
		c := segment[i]
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("-_.~", c) >= 0) {
			return false
		}
	}
	return true
}

// Handle adds an operation. Huma calls it.
func (s *server) Handle(op *huma.Operation, next func(huma.Context)) {
	credential, scope := required(op)
	if credential && s.edge.Keys == nil {
		panic("api: " + op.OperationID + " needs a credential and the edge has no keys")
	}
	admit, _ := op.Metadata[OwnCredential].(func(*http.Request) error)
	remembers, own := takesKey(op), op.Metadata[OwnIdempotency] != nil
	in := newInput(op, s.schemas)
	pattern := op.Method + " " + op.Path
	s.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		rq := requestOf(r.Context())
		rq.route = pattern
		if callID := r.PathValue("call_id"); id.Call.Valid(callID) {
			rq.callID = callID
		}
		if credential {
			if err := rq.authenticate(r, scope); err != nil {
				rq.fail(err)
				return
			}
		}
		if admit != nil {
			if err := admit(r); err != nil {
				rq.fail(err)
				return
			}
		}
		if err := in.check(r); err != nil {
			rq.fail(err)
			return
		}
		r.Header.Del("Accept") // there is only one representation, so nothing is negotiated
		serve := func(r *http.Request) {
			if err := rq.mayManage(scope, op.Method); err != nil {
				rq.fail(err)
				return
			}
			next(humago.NewContext(op, r, w))
		}
		if !remembers {
			serve(r)
			return
		}
		rq.once(r, in, own, func() {
			if own {
				serve(r)
				return
			}
			ctx, cancel := invocation.Leave(r.Context(), keepTime)
			defer cancel()
			serve(r.WithContext(ctx))
		})
	})
}

// answer is a response held in memory.
type answer struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (a *answer) Header() http.Header { return a.header }

func (a *answer) WriteHeader(status int) { a.status = status }

func (a *answer) Write(b []byte) (int, error) {
	if a.status == 0 {
		a.status = http.StatusOK
	}
	return a.body.Write(b)
}

func (a *answer) reset() { a.header, a.status = http.Header{}, 0; a.body.Reset() }

func (a *answer) send(w http.ResponseWriter, method, requestID string) {
	if a.status == 0 {
		a.status = http.StatusOK
	}
	h := w.Header()
	maps.Copy(h, a.header)
	h.Set("X-Request-Id", requestID)
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Strict-Transport-Security", "max-age=31536000; includeSubDomains")
	w.WriteHeader(a.status)
	if method != http.MethodHead && a.body.Len() > 0 {
		w.Write(a.body.Bytes()) // the client is gone if this fails
	}
}

// Package gateway is the laptop's API Gateway: an HTTP API with payload format 2.0 in front of
// Lambda functions. It sends a function the event that AWS would send, and turns the function's
// answer into the response that AWS would make.
//
// These parts of AWS are missing: throttling, CORS (the template configures none), authorizers and
// the limit on the size of headers.
package gateway

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"runtime"
	"strconv"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/krosai/telephony/emulator/template"
)

// The quotas of an HTTP API and of a synchronous Lambda invocation.
const (
	maxBody     = 10 << 20         // bytes of a request
	maxResponse = 6 << 20          // bytes returned by a function
	timeout     = 30 * time.Second // for a function's answer
)

// Lambda gives each function a processor. Here all functions share a few. If 64 connections ask at
// once and all their requests begin at once, Go's scheduler serves them unevenly: some connections
// get a third of the answers that others get, and the slowest hundredth waits ten times as long as
// the median (BenchmarkConnections). Therefore requests begin in the order in which they arrive.
// Each takes a turn, and releases it when it is answered or after turnTime, because a function that
// only waits needs no processor.
const (
	turnsPerProcessor = 4
	turnTime          = 50 * time.Millisecond
)

// Invoke calls the function in this folder with an event and returns its result. An error means
// that the function returned an error, panicked or timed out. Invoke must end at the function's own
// timeout, as in Lambda. A client that disconnects does not stop it.
type Invoke func(ctx context.Context, function string, event []byte) ([]byte, error)

// Options are the settings that AWS does not fix. Every zero value is usable.
type Options struct {
	Now       func() time.Time // nil = time.Now
	RequestID func() string    // nil = random, in API Gateway's form
	Fallback  string           // the function of the route $default; empty: 404 for unknown routes
	Log       *slog.Logger     // nil = slog.Default()
	Turns     int              // requests that begin at once; 0 = 4 per processor
	AccountID string           // empty = 000000000000
	APIID     string           // empty = local
}

type handler struct {
	routes   []route
	fallback *route
	invoke   Invoke
	turns    chan struct{} // one entry for each turn taken
	Options
}

// New serves the routes by invoking their functions.
func New(routes []template.Route, invoke Invoke, o Options) http.Handler {
	h := &handler{routes: compile(routes), invoke: invoke, Options: o,
		turns: make(chan struct{}, cmp.Or(o.Turns, turnsPerProcessor*runtime.GOMAXPROCS(0)))}
	if o.Fallback != "" {
		h.fallback = &route{Route: template.Route{Method: "ANY", Function: o.Fallback}}
	}
	if h.Now == nil {
		h.Now = time.Now
	}
	if h.RequestID == nil {
		h.RequestID = randomID
	}
	if h.Log == nil {
		h.Log = slog.Default()
	}
	if h.AccountID == "" {
		h.AccountID = "000000000000"
	}
	if h.APIID == "" {
		h.APIID = "local"
	}
	return h
}

// randomID has the form of API Gateway's ids: 15 characters of base64 and "=".
func randomID() string {
	var b [11]byte
	rand.Read(b[:])
	return base64.URLEncoding.EncodeToString(b[:])
}

// ServeHTTP invokes the function of the request's route and writes its answer.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	id := h.RequestID()
	w.Header().Set("Apigw-Requestid", id)

	found, parameters := match(h.routes, r.Method, pathOf(r.URL.Path))
	if found == nil {
		found = h.fallback
	}
	if found == nil {
		refuse(w, http.StatusNotFound, "Not Found")
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
		refuse(w, http.StatusRequestEntityTooLarge, "Request Entity Too Large")
		return
	}
	if err != nil {
		refuse(w, http.StatusBadRequest, "Bad Request")
		return
	}
	event, err := json.Marshal(h.eventOf(r, found.key(), parameters, body, id))
	if err != nil {
		h.fail(w, id, found.Function, err)
		return
	}
	answer, err := h.call(r.Context(), found.Function, event)
	switch {
	case errors.Is(err, errSlow):
		h.Log.Error("function did not answer in time", "function", found.Function, "http_request_id", id)
		refuse(w, http.StatusServiceUnavailable, "Service Unavailable")
	case err != nil:
		h.fail(w, id, found.Function, err)
	default:
		if err := respond(w, answer); err != nil {
			h.fail(w, id, found.Function, err)
		}
	}
}

func (h *handler) fail(w http.ResponseWriter, id, function string, err error) {
	h.Log.Error("function failed", "function", function, "http_request_id", id, "error", err)
	refuse(w, http.StatusInternalServerError, "Internal Server Error")
}

// refuse writes the gateway's own answer.
func refuse(w http.ResponseWriter, status int, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, `{"message":`+strconv.Quote(message)+`}`)
}

var errSlow = errors.New("integration timed out")

// call invokes the function and waits at most for an integration's timeout. As in Lambda, the
// function continues if the wait ends or the client disconnects.
func (h *handler) call(ctx context.Context, function string, event []byte) ([]byte, error) {
	type result struct {
		payload []byte
		err     error
	}
	h.turns <- struct{}{} // requests get turns first come, first served
	release := sync.OnceFunc(func() { <-h.turns })
	defer release()
	turn := time.AfterFunc(turnTime, release)
	defer turn.Stop()
	done := make(chan result, 1)
	go func() {
		payload, err := h.invoke(context.WithoutCancel(ctx), function, event)
		done <- result{payload, err}
	}()
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	select {
	case r := <-done:
		return r.payload, r.err
	case <-timer.C:
		return nil, errSlow
	}
}

// answer is a function's result. Without a status code it is not in the gateway's format, and the
// whole result is the body.
type answer struct {
	StatusCode      int               `json:"statusCode"`
	Headers         map[string]header `json:"headers"`
	Cookies         []string          `json:"cookies"`
	Body            string            `json:"body"`
	IsBase64Encoded bool              `json:"isBase64Encoded"`
}

// header is a header's value. Functions may write it as a string, a number or a boolean.
type header string

// UnmarshalJSON accepts any scalar.
func (h *header) UnmarshalJSON(b []byte) error {
	var s string
	if json.Unmarshal(b, &s) == nil {
		*h = header(s)
		return nil
	}
	if bytes.ContainsAny(b, "{[") {
		return errors.New("header is not a scalar")
	}
	*h = header(b)
	return nil
}

// respond turns a function's result into the response. It writes nothing if it returns an error.
func respond(w http.ResponseWriter, payload []byte) error {
	if len(payload) > maxResponse {
		return errors.New("the response is larger than 6 MB")
	}
	a, err := read(payload)
	if err != nil {
		return err
	}
	body := []byte(a.Body)
	if a.IsBase64Encoded {
		if body, err = base64.StdEncoding.DecodeString(a.Body); err != nil {
			return err
		}
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	for name, value := range a.Headers {
		switch http.CanonicalHeaderKey(name) {
		case "Content-Length", "Transfer-Encoding", "Connection":
		default:
			w.Header().Set(name, string(value))
		}
	}
	for _, c := range a.Cookies {
		w.Header().Add("Set-Cookie", c)
	}
	w.WriteHeader(a.StatusCode)
	_, _ = w.Write(body)
	return nil
}

// read applies the rule of payload format 2.0: JSON without a statusCode is the body of a 200.
func read(payload []byte) (answer, error) {
	if !json.Valid(payload) || !utf8.Valid(payload) {
		return answer{}, errors.New("the function returned no JSON")
	}
	inferred := answer{StatusCode: http.StatusOK, Body: string(payload), Headers: map[string]header{"Content-Type": "application/json"}}
	var members map[string]json.RawMessage
	if json.Unmarshal(payload, &members) != nil || members["statusCode"] == nil {
		var text *string
		if json.Unmarshal(payload, &text) == nil && text != nil {
			inferred.Body = *text
		}
		return inferred, nil
	}
	var a answer
	if err := json.Unmarshal(payload, &a); err != nil {
		return answer{}, err
	}
	if a.StatusCode < 200 || a.StatusCode > 599 {
		return answer{}, errors.New("statusCode is not one of HTTP's: " + strconv.Itoa(a.StatusCode))
	}
	return a, nil
}

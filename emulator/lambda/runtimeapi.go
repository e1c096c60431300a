package lambda

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"
)

// runtimeAPI serves the Lambda Runtime API, version 2018-06-01.
func (f *Function) runtimeAPI() http.Handler {
	m := http.NewServeMux()
	m.HandleFunc("GET /2018-06-01/runtime/invocation/next", f.next)
	m.HandleFunc("POST /2018-06-01/runtime/invocation/{id}/response", f.response)
	m.HandleFunc("POST /2018-06-01/runtime/invocation/{id}/error", f.invocationError)
	m.HandleFunc("POST /2018-06-01/runtime/init/error", f.initError)
	m.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { f.refuse(w, r.Method+" "+r.URL.Path) })
	return m
}

// next hands out an event, as soon as there is one.
func (f *Function) next(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	if f.readyAt.IsZero() {
		f.readyAt = time.Now()
		close(f.ready)
	}
	busy := f.current != nil
	f.mu.Unlock()
	if busy {
		f.refuse(w, "to ask for an event before the last one is answered")
		return
	}
	select {
	case <-r.Context().Done():
	case i := <-f.work:
		f.mu.Lock()
		f.current = i
		f.mu.Unlock()
		h := w.Header()
		h.Set("Content-Type", "application/json")
		h.Set("Lambda-Runtime-Aws-Request-Id", i.id)
		h.Set("Lambda-Runtime-Deadline-Ms", strconv.FormatInt(i.deadline.UnixMilli(), 10))
		h.Set("Lambda-Runtime-Invoked-Function-Arn", f.config.ARN)
		h.Set("Lambda-Runtime-Trace-Id", traceID(time.Now()))
		_, _ = w.Write(i.payload) // a process that is gone does not read it
	}
}

// traceID is X-Ray's, of a trace that is not sampled.
func traceID(now time.Time) string {
	var random [20]byte
	rand.Read(random[:])
	return fmt.Sprintf("Root=1-%08x-%x;Parent=%x;Sampled=0", now.Unix(), random[:12], random[12:])
}

func (f *Function) response(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Lambda-Runtime-Function-Response-Mode") == "streaming" ||
		r.Header.Get("Content-Type") == "application/vnd.awslambda.http-integration-response" {
		f.refuse(w, "a streamed response")
		return
	}
	i := f.answered(w, r)
	if i == nil {
		return
	}
	payload, err := io.ReadAll(http.MaxBytesReader(w, r.Body, responseLimit))
	switch _, tooLarge := errors.AsType[*http.MaxBytesError](err); {
	case tooLarge:
		i.answer <- answer{err: &Error{"Function.ResponseSizeTooLarge",
			fmt.Sprintf("Response payload size exceeded maximum allowed payload size (%d bytes).", responseLimit)}}
		tell(w, http.StatusRequestEntityTooLarge, "RequestEntityTooLarge", "the response is too large")
	case err != nil: // the process ended while it answered
	case r.Trailer.Get("Lambda-Runtime-Function-Error-Type") != "":
		f.refuse(w, "a response that breaks off, as only streamed ones can")
	default:
		i.answer <- answer{payload: payload}
		accept(w)
	}
}

func (f *Function) invocationError(w http.ResponseWriter, r *http.Request) {
	if i := f.answered(w, r); i != nil {
		i.answer <- answer{err: told(r)}
		accept(w)
	}
}

func (f *Function) initError(w http.ResponseWriter, r *http.Request) {
	failure := told(r)
	f.fail(failure) // before the process knows, which then ends by itself
	accept(w)
	_ = http.NewResponseController(w).Flush()
	f.end(failure)
}

// answered is the event that a request answers, or nil when it is not the one
// the process works on, which the process is told.
func (f *Function) answered(w http.ResponseWriter, r *http.Request) *invocation {
	f.mu.Lock()
	defer f.mu.Unlock()
	i := f.current
	if i == nil || i.id != r.PathValue("id") {
		tell(w, http.StatusBadRequest, "InvalidRequestID", "Invalid request ID")
		return nil
	}
	f.current = nil
	return i
}

// told reads an error as runtimes report it: in the body, the type perhaps only
// in a header.
func told(r *http.Request) error {
	var said struct{ ErrorType, ErrorMessage string }
	if err := json.NewDecoder(io.LimitReader(r.Body, responseLimit)).Decode(&said); err != nil || said.ErrorType == "" {
		said.ErrorType = r.Header.Get("Lambda-Runtime-Function-Error-Type")
	}
	return &Error{said.ErrorType, said.ErrorMessage}
}

func accept(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusAccepted)
	_, _ = io.WriteString(w, `{"status":"OK"}`)
}

func tell(w http.ResponseWriter, status int, kind, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"errorType": kind, "errorMessage": message})
}

// refuse ends a function that wants what this emulator does not have: what it
// would do next can only be guessed.
func (f *Function) refuse(w http.ResponseWriter, what string) {
	why := fmt.Errorf("not supported: %s", what)
	f.fail(why)
	tell(w, http.StatusNotImplemented, "NotSupported", what)
	_ = http.NewResponseController(w).Flush()
	f.end(why)
}

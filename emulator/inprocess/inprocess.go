// Package inprocess lets an HTTP client reach a handler of the same process without a
// socket, so that an SDK's client can be pointed at an emulator.
package inprocess

import (
	"bytes"
	"io"
	"net/http"
)

// Client returns an HTTP client whose requests, whatever their address, are answered by
// handler. A request whose context ends is given up at once; as over a network, what it
// asked for may still be carried out.
func Client(handler http.Handler) *http.Client {
	return &http.Client{Transport: transport{handler}}
}

type transport struct{ handler http.Handler }

func (t transport) RoundTrip(r *http.Request) (*http.Response, error) {
	ctx := r.Context()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	served := r.Clone(ctx)
	if served.Host == "" {
		served.Host = r.URL.Host
	}
	if served.Body == nil {
		served.Body = http.NoBody
	}
	answer := make(chan *http.Response, 1)
	go func() {
		w := &recorder{header: http.Header{}, status: http.StatusOK}
		t.handler.ServeHTTP(w, served)
		_ = served.Body.Close() // the RoundTripper contract; nothing is lost if it fails
		answer <- w.response(r)
	}()
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case response := <-answer:
		return response, nil
	}
}

// recorder is the http.ResponseWriter that keeps what ServeHTTP writes.
type recorder struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (w *recorder) Header() http.Header         { return w.header }
func (w *recorder) WriteHeader(status int)      { w.status = status }
func (w *recorder) Write(p []byte) (int, error) { return w.body.Write(p) }

func (w *recorder) response(r *http.Request) *http.Response {
	return &http.Response{
		Status:        http.StatusText(w.status),
		StatusCode:    w.status,
		Proto:         "HTTP/1.1",
		ProtoMajor:    1,
		ProtoMinor:    1,
		Header:        w.header,
		Body:          io.NopCloser(&w.body),
		ContentLength: int64(w.body.Len()),
		Request:       r,
	}
}

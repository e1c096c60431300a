package dynamodb

import (
	"bytes"
	"io"
	"net/http"
)

// Client returns an HTTP client whose requests, whatever their address, are answered by
// db without a socket. A request whose context ends is given up at once; as over a
// network, its operation may still be carried out.
func (db *DB) Client() *http.Client {
	return &http.Client{Transport: inProcess{db}}
}

type inProcess struct{ db *DB }

func (p inProcess) RoundTrip(r *http.Request) (*http.Response, error) {
	ctx := r.Context()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	served := r.Clone(ctx)
	if served.Body == nil {
		served.Body = http.NoBody
	}
	answer := make(chan *http.Response, 1)
	go func() {
		w := &recorder{header: http.Header{}, status: http.StatusOK}
		p.db.ServeHTTP(w, served)
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

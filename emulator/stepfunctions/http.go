package stepfunctions

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/google/uuid"
)

// An apiError is an error of the API: its code is the name of the exception.
type apiError struct {
	Code    string `json:"__type"`
	Message string `json:"message"`
}

func (e *apiError) Error() string { return e.Code + ": " + e.Message }

func apiErrorf(code, format string, args ...any) error {
	return &apiError{code, fmt.Sprintf(format, args...)}
}

// epoch is a time as the protocol writes it: seconds, with milliseconds.
type epoch time.Time

func (e epoch) MarshalJSON() ([]byte, error) {
	ms := time.Time(e).UnixMilli()
	return fmt.Appendf(nil, "%d.%03d", ms/1000, ms%1000), nil
}

// maxBody is more than any valid request needs: an input or output, escaped.
const maxBody = 4 << 20

// ServeHTTP speaks the AWS JSON 1.0 protocol. Signatures are not checked.
func (s *Service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/x-amz-json-1.0")
	w.Header().Set("X-Amzn-Requestid", uuid.NewString())
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody))
	if err != nil {
		s.refuse(w, "", apiErrorf("SerializationException", "unreadable body"))
		return
	}
	operation := strings.TrimPrefix(r.Header.Get("X-Amz-Target"), "AWSStepFunctions.")
	answer, err := s.do(operation, body)
	if err != nil {
		s.refuse(w, operation, err)
		return
	}
	_, _ = w.Write(encode(answer))
}

func (s *Service) refuse(w http.ResponseWriter, operation string, err error) {
	var known *apiError
	status := http.StatusBadRequest
	if !errors.As(err, &known) {
		s.opt.Log.Error("request", slog.String("operation", operation), slog.Any("error", err))
		known = &apiError{"InternalFailure", "internal failure"}
		status = http.StatusInternalServerError
	}
	w.Header().Set("X-Amzn-Errortype", known.Code)
	w.WriteHeader(status)
	_, _ = w.Write(encode(known))
}

// do runs one operation.
func (s *Service) do(operation string, body []byte) (any, error) {
	switch operation {
	case "StartExecution":
		return with(body, s.startExecution)
	case "DescribeExecution":
		return with(body, s.describeExecution)
	case "StopExecution":
		return with(body, s.stopExecution)
	case "ListExecutions":
		return with(body, s.listExecutions)
	case "GetExecutionHistory":
		return with(body, s.getExecutionHistory)
	case "SendTaskSuccess":
		return with(body, s.sendTaskSuccess)
	case "SendTaskFailure":
		return with(body, s.sendTaskFailure)
	case "SendTaskHeartbeat":
		return with(body, s.sendTaskHeartbeat)
	case "ListStateMachines":
		return with(body, s.listStateMachines)
	case "DescribeStateMachine":
		return with(body, s.describeStateMachine)
	}
	return nil, apiErrorf("UnknownOperationException", "unsupported operation %q", operation)
}

// with decodes a request strictly and runs the operation.
func with[In any](body []byte, run func(In) (any, error)) (any, error) {
	var in In
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(&in); err != nil {
		return nil, apiErrorf("ValidationException", "unsupported request: %v", err)
	}
	return run(in)
}

// Client returns an HTTP client that reaches this service without a network,
// whatever the host of the request. It is for sfn.Options.HTTPClient.
func (s *Service) Client() *http.Client { return &http.Client{Transport: inProcess{s}} }

type inProcess struct{ handler http.Handler }

func (p inProcess) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	request := r.Clone(r.Context())
	if request.Body == nil {
		request.Body = http.NoBody
	}
	defer request.Body.Close()
	rec := &recorder{header: http.Header{}, status: http.StatusOK}
	p.handler.ServeHTTP(rec, request)
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	return &http.Response{
		Status: http.StatusText(rec.status), StatusCode: rec.status,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: rec.header, Body: io.NopCloser(&rec.body), ContentLength: int64(rec.body.Len()), Request: r,
	}, nil
}

// A recorder keeps a response in memory.
type recorder struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (r *recorder) Header() http.Header         { return r.header }
func (r *recorder) WriteHeader(status int)      { r.status = status }
func (r *recorder) Write(b []byte) (int, error) { return r.body.Write(b) }

package api

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/krosai/telephony/shared/fault"
)

// Problem is the body of every error answer (RFC 9457).
type Problem struct {
	Type      string        `json:"type" example:"about:blank" doc:"Always about:blank. The code tells problems apart"`
	Title     string        `json:"title" example:"Bad Request" doc:"The name of the status"`
	Status    int           `json:"status" example:"400" doc:"The HTTP status"`
	Detail    string        `json:"detail" doc:"The error for people"`
	Code      string        `json:"code" enum:"AGENT_NOT_ALLOWED,AT_CAPACITY,BODY_TOO_LARGE,CALLS_DISABLED,CALL_NOT_ACTIVE,CONCURRENT_LIMIT_EXCEEDED,CONFLICT,DESTINATION_NOT_ALLOWED,FORBIDDEN,IDEMPOTENCY_IN_PROGRESS,IDEMPOTENCY_KEY_REUSED,INTERNAL,INVALID_REQUEST,METHOD_NOT_ALLOWED,NOT_FOUND,NUMBER_NOT_CONFIGURED,NUMBER_RETIRED,PHONE_NUMBER_ALREADY_REQUESTED,RATE_LIMIT_EXCEEDED,TELEPHONY_UNAVAILABLE,TOO_MANY_WAITERS,TRANSCRIPT_FULL,TRANSFER_IN_PROGRESS,TRANSFER_LIMIT_REACHED,UNAUTHENTICATED,UNSUPPORTED_MEDIA_TYPE" example:"INVALID_REQUEST" doc:"The error for programs. It is stable"`
	RequestID string        `json:"request_id" doc:"The same as X-Request-Id. Name it when you ask for help"`
	Errors    []fault.Field `json:"errors,omitempty" doc:"With INVALID_REQUEST: each invalid field"`

	retryAfter     time.Duration
	acceptEncoding string // the header of a 415 about the body's coding
	cause          error  // for the log
}

// Error, GetStatus and ContentType make a Problem usable as huma's error type.
func (p *Problem) Error() string { return p.Code + ": " + p.Detail }

// GetStatus is the HTTP status.
func (p *Problem) GetStatus() int { return p.Status }

// ContentType is application/problem+json.
func (p *Problem) ContentType(string) string { return "application/problem+json" }

func problem(status int, code, detail string) *Problem {
	return &Problem{Type: "about:blank", Title: http.StatusText(status), Status: status, Code: code, Detail: detail}
}

func internal() error { return &fault.Error{Kind: fault.Internal} }

// statusOf is the HTTP status of each kind of fault.
func statusOf(kind fault.Kind) int {
	switch kind {
	case fault.Invalid:
		return http.StatusBadRequest
	case fault.Unauthenticated:
		return http.StatusUnauthorized
	case fault.Forbidden:
		return http.StatusForbidden
	case fault.NotFound:
		return http.StatusNotFound
	case fault.Conflict:
		return http.StatusConflict
	case fault.Unprocessable:
		return http.StatusUnprocessableEntity
	case fault.Limited:
		return http.StatusTooManyRequests
	case fault.Upstream:
		return http.StatusServiceUnavailable
	}
	return http.StatusInternalServerError
}

// problemOf converts an error into the problem that the caller may see.
func problemOf(err error) *Problem {
	if p, ok := errors.AsType[*Problem](err); ok {
		return p
	}
	f, ok := errors.AsType[*fault.Error](err)
	if !ok && errors.Is(err, context.DeadlineExceeded) {
		f, ok = outOfTime(err), true
	}
	if !ok || statusOf(f.Kind) == http.StatusInternalServerError {
		p := problem(http.StatusInternalServerError, "INTERNAL", "something went wrong on our side; name the request_id when you ask for help")
		p.cause = err
		return p
	}
	p := problem(statusOf(f.Kind), f.Code, f.Detail)
	p.Errors, p.retryAfter = f.Fields, f.RetryAfter
	if f.Kind == fault.Upstream {
		p.cause = err
	}
	return p
}

// outOfTime is the fault of a request whose time was over before it was carried out.
func outOfTime(err error) *fault.Error {
	return &fault.Error{Kind: fault.Upstream, Code: "TELEPHONY_UNAVAILABLE", RetryAfter: 2 * time.Second,
		Detail: "the platform took too long, try again shortly", Err: err}
}

// fail answers the request with err.
func (rq *request) fail(err error) { rq.send(problemOf(err)) }

// send answers the request with p.
func (rq *request) send(p *Problem) {
	rq.stamp(p)
	rq.answer.header.Set("Content-Type", p.ContentType(""))
	rq.answer.WriteHeader(p.Status)
	if err := huma.DefaultJSONFormat.Marshal(rq.answer, p); err != nil {
		panic(err) // a Problem can always be encoded
	}
}

// stamp completes a problem before it is sent: the request id, the headers and the log line with
// the cause.
func (rq *request) stamp(p *Problem) {
	if p.RequestID != "" {
		return
	}
	p.RequestID = rq.id
	h := rq.answer.header
	switch {
	case p.Status == http.StatusUnauthorized:
		h.Set("WWW-Authenticate", "Bearer")
	case p.acceptEncoding != "":
		h.Set("Accept-Encoding", p.acceptEncoding)
	case p.Status == http.StatusTooManyRequests, p.Status == http.StatusServiceUnavailable, p.retryAfter > 0:
		wait := max(1, int64((p.retryAfter+time.Second-1)/time.Second))
		h.Set("Retry-After", strconv.FormatInt(wait, 10))
	}
	if p.cause != nil {
		rq.edge.Log.Error("request failed", "http_request_id", rq.id, "route", rq.route, "code", p.Code, "error", p.cause.Error())
	}
}

// stampProblem is the huma transformer that completes problems of huma and of handlers.
func stampProblem(ctx huma.Context, _ string, body any) (any, error) {
	if p, ok := body.(*Problem); ok {
		if rq := requestOf(ctx.Context()); rq != nil {
			rq.stamp(p)
		}
	}
	return body, nil
}

// newProblem is huma.NewError. It is used for errors that handlers create with huma's own
// constructors, and for the type that huma documents.
func newProblem(status int, msg string, _ ...error) huma.StatusError {
	code := strings.ToUpper(strings.ReplaceAll(http.StatusText(status), " ", "_"))
	return problem(status, code, msg)
}

// newProblemFor is huma.NewErrorWithContext. Huma's own errors are about the input. An error of a
// handler comes as status 500 with the error itself in errs.
func newProblemFor(_ huma.Context, status int, msg string, errs ...error) huma.StatusError {
	for _, err := range errs {
		if _, ok := errors.AsType[*fault.Error](err); ok {
			return problemOf(err)
		}
	}
	switch {
	case status >= http.StatusInternalServerError:
		return problemOf(errors.Join(errs...))
	case status == http.StatusRequestEntityTooLarge:
		return tooLarge()
	}
	var fields []fault.Field
	for _, err := range errs {
		if d, ok := errors.AsType[*huma.ErrorDetail](err); ok {
			fields = append(fields, fieldOf(d))
		}
	}
	if len(fields) == 0 {
		fields = []fault.Field{{Field: "body", Code: "invalid", Detail: msg}}
	}
	return problemOf(invalid(fields))
}

// maxFields is how many wrong fields one answer names at most.
const maxFields = 20

func invalid(fields []fault.Field) error {
	return &fault.Error{Kind: fault.Invalid, Code: "INVALID_REQUEST",
		Detail: "the request is not valid; errors says where", Fields: fields[:min(len(fields), maxFields)]}
}

// fieldOf converts one of huma's validation errors into a fault.Field. It omits the value, which
// may be a secret.
func fieldOf(d *huma.ErrorDetail) fault.Field {
	path := d.Location
	if where, rest, ok := strings.Cut(path, "."); ok && (where == "body" || where == "query" || where == "path" || where == "header") {
		path = rest
	}
	msg := inWords(d.Message)
	if name, ok := strings.CutPrefix(d.Message, "expected required property "); ok {
		name = strings.TrimSuffix(name, " to be present")
		if path == "body" {
			path = name
		} else {
			path += "." + name
		}
		msg = "is required"
	}
	return fault.Field{Field: path, Code: codeOf(d.Message), Detail: msg}
}

// inWords rewords one of huma's messages in this package's style. It drops the text after a colon,
// which comes from the parser and may contain the value.
func inWords(msg string) string {
	msg, _, _ = strings.Cut(msg, ": ")
	for _, w := range []struct{ start, words, end string }{
		{"expected string to match pattern", "does not have the form that the documentation gives", ""},
		{"expected string to be RFC ", "must be an RFC ", ""},
		{"expected string to be ", "must be ", ""},
		{"expected value to be one of ", "must be one of ", ""},
		{"expected value to be ", "must be ", ""},
		{"expected number >= ", "must be ", " or more"},
		{"expected number > ", "must be more than ", ""},
		{"expected number <= ", "must be ", " or less"},
		{"expected number < ", "must be less than ", ""},
		{"expected number to be ", "must be ", ""},
		{"expected length >= ", "must have at least ", " characters"},
		{"expected length <= ", "must have at most ", " characters"},
		{"expected array length >= ", "must have at least ", " items"},
		{"expected array length <= ", "must have at most ", " items"},
		{"expected array items to be unique", "must not hold the same item twice", ""},
		{"expected object with ", "must have ", ""},
	} {
		rest, ok := strings.CutPrefix(msg, w.start)
		switch {
		case ok && strings.HasSuffix(w.words, " "):
			return w.words + strings.ReplaceAll(rest, `"`, "") + w.end
		case ok:
			return w.words
		}
	}
	if kind, ok := strings.CutPrefix(msg, "expected "); ok && !strings.Contains(kind, " ") {
		return "must be " + article(kind)
	}
	return msg
}

// article is a JSON type with its article.
func article(kind string) string {
	if strings.ContainsAny(kind[:1], "aeio") {
		return "an " + kind
	}
	return "a " + kind
}

// codeOf is the stable code for one of huma's messages (package huma/v2/validation and the
// parameter parser).
func codeOf(msg string) string {
	for _, c := range []struct{ start, code string }{
		{"expected required property", "required"},
		{"expected property", "required"},
		{"required ", "required"},
		{"unexpected property", "unknown"},
		{"unknown query parameter", "unknown"},
		{"expected length >=", "too_short"},
		{"expected length <=", "too_long"},
		{"expected array length >=", "too_few"},
		{"expected array length <=", "too_many"},
		{"expected object with at least", "too_few"},
		{"expected object with at most", "too_many"},
		{"expected number >", "minimum"},
		{"expected number <", "maximum"},
		{"expected number to be a multiple", "multiple"},
		{"expected value to be one of", "enum"},
		{"expected value to be", "enum"},
		{"expected array items to be unique", "duplicate"},
		{"expected string to match pattern", "pattern"},
		{"expected string to be RFC", "format"},
		{"expected string to be either RFC", "format"},
		{"expected string to be base64", "format"},
		{"expected duration", "format"},
		{"expected string to be", "pattern"},
		{"invalid date/time", "format"},
		{"invalid value", "format"},
		{"invalid ", "type"},
		{"expected ", "type"},
	} {
		if strings.HasPrefix(msg, c.start) {
			return c.code
		}
	}
	return "invalid"
}

func tooLarge() *Problem {
	return problem(http.StatusRequestEntityTooLarge, "BODY_TOO_LARGE", "the body is larger than this endpoint takes")
}

func wrongType(detail string) *Problem {
	return problem(http.StatusUnsupportedMediaType, "UNSUPPORTED_MEDIA_TYPE", detail)
}

// Package fault defines the one error type of the platform. It describes a failure in a form that
// the HTTP edge can answer with and a workflow can decide on. An error that is not a *fault.Error
// is an internal error, and its text reaches logs only.
package fault

import (
	"errors"
	"fmt"
	"time"
)

// Kind determines the party at fault and the HTTP status.
type Kind int

// The kinds and the HTTP status each one becomes.
const (
	Internal        Kind = iota // 500: ours, nothing the caller can do
	Invalid                     // 400: the request is wrong; Fields says where
	Unauthenticated             // 401: no credential, or an invalid one
	Forbidden                   // 403: a valid caller without permission for this
	NotFound                    // 404: it does not exist for this caller
	Conflict                    // 409: the current state does not allow it
	Unprocessable               // 422: an Idempotency-Key used with another body
	Limited                     // 429: a limit is spent; RetryAfter says until when
	Upstream                    // 503: a dependency is down or slow; trying again may help
)

// Error is a failure with a stable code (SNAKE_UPPER, part of the API) and a sentence for the
// caller. Err is the cause, for logs only.
type Error struct {
	Kind       Kind
	Code       string
	Detail     string
	Fields     []Field
	RetryAfter time.Duration
	Err        error
}

// Field names one wrong member of a request: its path (sip_trunk.address), a
// stable code (required, unknown, pattern …) and a sentence.
type Field struct {
	Field  string `json:"field"`
	Code   string `json:"code"`
	Detail string `json:"detail"`
}

// Error joins code, detail and cause. It is for logs, not for callers.
func (e *Error) Error() string {
	s := e.Code
	if e.Detail != "" {
		s += ": " + e.Detail
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// InvalidField is a 400 about one field.
func InvalidField(field, code, detail string) *Error {
	return &Error{Kind: Invalid, Code: "INVALID_REQUEST", Detail: detail, Fields: []Field{{field, code, detail}}}
}

// Missing is the 404 for a thing ("call", "phone number") that does not exist for this caller. It
// never reveals whether it exists for another caller.
func Missing(thing string) *Error {
	return &Error{Kind: NotFound, Code: "NOT_FOUND", Detail: "no such " + thing}
}

// New is an error of the given kind with a code and a sentence.
func New(kind Kind, code, format string, args ...any) *Error {
	return &Error{Kind: kind, Code: code, Detail: fmt.Sprintf(format, args...)}
}

// Unavailable is the 503 for a dependency that is down. The cause is for the log.
func Unavailable(what string, cause error) *Error {
	return &Error{Kind: Upstream, Code: "TELEPHONY_UNAVAILABLE", Detail: what + " is unavailable, try again shortly",
		RetryAfter: 5 * time.Second, Err: cause}
}

// KindOf returns the kind of the first *Error in err's chain, or Internal without one.
func KindOf(err error) Kind {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Kind
	}
	return Internal
}

// Is reports whether err is a *Error of this kind.
func Is(err error, kind Kind) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && e.Kind == kind
}

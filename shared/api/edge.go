// Package api is the HTTP edge in front of every endpoint. It finds the operation, authenticates
// the caller, checks scope and input, answers errors as problem documents (RFC 9457) and writes
// one log line per request. The checks come in this order: path and method, credential, scope,
// query, body.
package api

import (
	"context"
	"log/slog"
	"net/http"
	"reflect"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/secret"
)

// Endpoint is one HTTP function. It declares its operations to huma.
type Endpoint interface{ Register(huma.API) }

// Fallback is an Endpoint whose function also gets the requests that match no route. Routes are
// those of the whole API, as "GET /health". A path of one of them is answered with 405 and its
// methods, any other path with 404.
type Fallback interface {
	Endpoint
	Routes() []string
}

// Keys looks up an API key and counts its use, in one round trip. UseKey returns the key with its
// hash. It fails with fault.Unauthenticated if no live key has this id and hash, and with
// fault.Limited if the hour of the key, or of all its user's keys, is used up. UseToken counts a
// request with a user's JWT. It fails with fault.Limited if the user's hour is used up. With
// fault.Limited, both return the limits that they know.
type Keys interface {
	UseKey(ctx context.Context, id string, sum [32]byte) (account.Key, error)
	UseToken(ctx context.Context, userID string) (account.Limit, error)
}

// Tokens verifies a user's JWT and returns its user: UserID and Admin, never a KeyID. It fails with
// fault.Unauthenticated for every invalid token, and with fault.Upstream if the token cannot be
// checked at the moment.
type Tokens interface {
	Verify(ctx context.Context, token string) (account.Caller, error)
}

// Edge serves endpoints over HTTP. Keys may be nil if every operation is public, Tokens if no
// user has JWTs, and Answers if no answer is stored. CursorKey seals list cursors and stored
// answers. It is any long random text, the same in every function, and may be empty without
// cursors and Answers.
type Edge struct {
	Keys      Keys
	Tokens    Tokens
	Answers   Answers
	Now       func() time.Time
	Log       *slog.Logger
	CursorKey secret.Secret
}

const schemaPrefix = "#/components/schemas/"

// Handler serves the endpoints. It panics if an operation needs a credential and the edge has no
// Keys. That is a wiring error, and a function must not start with it.
func (e *Edge) Handler(endpoints ...Endpoint) http.Handler {
	s := &server{edge: e, mux: http.NewServeMux()}
	api := newAPI(s, inputSchemas{huma.NewMapRegistry(schemaPrefix, qualifiedName)})
	for _, ep := range endpoints {
		ep.Register(api)
		if f, ok := ep.(Fallback); ok {
			s.others = f.Routes()
		}
	}
	return s
}

// newAPI is huma on top of the server s. onAdd sees each operation that is added.
func newAPI(s *server, schemas huma.Registry, onAdd ...huma.AddOpFunc) huma.API {
	configureHuma()
	s.schemas = schemas
	return huma.NewAPI(huma.Config{
		OpenAPI: &huma.OpenAPI{
			Info:           &huma.Info{},
			Components:     &huma.Components{Schemas: schemas},
			OnAddOperation: onAdd,
		},
		Formats:       map[string]huma.Format{"application/json": huma.DefaultJSONFormat, "json": huma.DefaultJSONFormat},
		DefaultFormat: "application/json",
		Transformers:  []huma.Transformer{stampProblem},
	}, s)
}

// qualifiedName names a schema that requests are checked against. No caller sees the name.
func qualifiedName(t reflect.Type, hint string) string {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Name() == "" {
		return hint
	}
	return t.PkgPath() + "." + t.Name()
}

// configureHuma sets the options that huma keeps in package variables: errors are this package's
// problems, member names are case-sensitive, and a list is never null.
var configureHuma = sync.OnceFunc(func() {
	huma.NewError = newProblem
	huma.NewErrorWithContext = newProblemFor
	huma.ValidateStrictCasing = true
	huma.DefaultArrayNullable = false
})

const bearer = "bearer"

// Needs is the security of an operation that requires a caller with this scope.
func Needs(scope string) []map[string][]string {
	return []map[string][]string{{bearer: {scope}}}
}

// Public is the security of an operation that any client may call. An operation without Security
// needs a credential of any scope.
func Public() []map[string][]string { return []map[string][]string{} }

// OwnCredential in the Metadata of a public operation is a func(*http.Request) error that checks a
// credential of another kind. Like the edge's own check, it runs before the query and the body are
// read. It can read path parameters with PathValue.
const OwnCredential = "own credential"

// required reads an operation's security: whether it needs a credential, and with which scope.
func required(op *huma.Operation) (credential bool, scope string) {
	if op.Security == nil {
		return true, ""
	}
	for _, alternative := range op.Security {
		for _, scopes := range alternative {
			if len(scopes) > 0 {
				return true, scopes[0]
			}
		}
	}
	return len(op.Security) > 0, ""
}

// inputSchemas are the schemas that requests are checked against. Schemas of answers appear only in
// the document, and generating them takes a large part of a function's start. Huma asks for the
// body of an Output and for the problem of each operation.
type inputSchemas struct{ huma.Registry }

func (s inputSchemas) Schema(t reflect.Type, allowRef bool, hint string) *huma.Schema {
	if hint == "OutputBody" || t == reflect.TypeFor[Problem]() {
		return &huma.Schema{}
	}
	return s.Registry.Schema(t, allowRef, hint)
}

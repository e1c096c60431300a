package api

import (
	"bytes"
	"io"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"

	"github.com/krosai/telephony/shared/fault"
)

// maxBody is the size limit of a JSON body in bytes.
const maxBody = 64 << 10

// RawBody in an operation's Metadata says that the operation reads its body itself, up to
// MaxBodyBytes, although the document describes it as JSON. The operation answers unsupported types
// with WrongType.
const RawBody = "raw body"

// WrongType is the 415 for a body of a type that the operation does not accept.
func WrongType(want string) error { return wrongType("the body must be sent as Content-Type: " + want) }

// input is the query and body that an operation accepts, checked before huma parses them. Types,
// lengths, patterns and required members are left to huma.
type input struct {
	query    map[string]*huma.Schema
	body     *huma.Schema // of a JSON body; nil if it takes none
	media    string       // of a raw body; empty for JSON or no body
	required bool         // the body
	limit    int64        // of the body, bytes
	schemas  huma.Registry
}

func newInput(op *huma.Operation, schemas huma.Registry) *input {
	in := &input{query: map[string]*huma.Schema{}, limit: maxBody, schemas: schemas}
	for _, p := range op.Parameters {
		if p.In == "query" {
			in.query[p.Name] = p.Schema
		}
	}
	if op.RequestBody == nil {
		return in
	}
	in.required = op.RequestBody.Required
	if op.Metadata[RawBody] != nil {
		in.media, in.limit = "*/*", op.MaxBodyBytes
		op.MaxBodyBytes++ // huma refuses a body of exactly its limit
		return in
	}
	if mt := op.RequestBody.Content["application/json"]; mt != nil && mt.Schema != nil && mt.Schema.Format != "binary" {
		in.body = mt.Schema
		in.limit = min(maxBody, op.MaxBodyBytes)
	} else {
		for media := range op.RequestBody.Content {
			in.media = media
		}
		if op.MaxBodyBytes > 0 {
			in.limit = op.MaxBodyBytes
		}
	}
	op.MaxBodyBytes = in.limit + 1 // huma refuses a body of exactly its limit
	return in
}

// check reads the query and the body of r and leaves the body to be read again.
func (in *input) check(r *http.Request) error {
	if fields := in.checkQuery(r.URL.RawQuery); fields != nil {
		return invalid(fields)
	}
	if r.Body == nil {
		r.Body = http.NoBody // the request does not come from a server
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, in.limit+1))
	if err != nil {
		return fault.InvalidField("body", "malformed", "the body ended early")
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	if in.body == nil && in.media == "" {
		if text := bytes.TrimSpace(body); len(text) > 0 && string(text) != "{}" {
			return fault.InvalidField("body", "unknown", "this operation takes no body")
		}
		r.Body = http.NoBody
		return nil
	}
	switch {
	case int64(len(body)) > in.limit:
		return tooLarge()
	case in.media != "":
		return nil // raw: the operation checks it
	case len(body) == 0 && in.required:
		return fault.InvalidField("body", "required", "a JSON body is needed")
	case len(body) == 0:
		return nil
	}
	if p := notJSON(r.Header); p != nil {
		return p
	}
	body, fields := checkJSON(body, in.body, in.schemas)
	if fields != nil {
		return invalid(fields)
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	return nil
}

// notJSON is the 415 for a body that has a content coding or is not JSON in UTF-8, and nil for
// any other.
func notJSON(h http.Header) *Problem {
	if coding := strings.Join(h.Values("Content-Encoding"), ", "); coding != "" && !strings.EqualFold(coding, "identity") {
		p := wrongType("the body must be sent as it is, without Content-Encoding: " + shown(coding))
		p.acceptEncoding = "identity"
		return p
	}
	sent := h.Get("Content-Type")
	media, params, err := mime.ParseMediaType(sent)
	if err == nil && media == "application/json" {
		if charset, named := params["charset"]; named && !strings.EqualFold(charset, "utf-8") {
			return wrongType("the body must be in UTF-8: its Content-Type says charset=" + shown(charset))
		}
		return nil
	}
	if err == nil {
		sent = media
	}
	detail := "the body must be sent as Content-Type: application/json"
	if sent != "" {
		detail += ", not " + shown(sent)
	}
	return wrongType(detail)
}

// checkQuery finds parameters that are unknown, repeated, empty, or not in the canonical
// spelling of their type. An empty cursor counts as absent, so that a client may always send
// its next_cursor.
func (in *input) checkQuery(raw string) (fields []fault.Field) {
	values, err := url.ParseQuery(raw)
	if err != nil {
		return []fault.Field{{Field: "query", Code: "malformed", Detail: "is not a valid query string"}}
	}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		schema, known := in.parameter(name)
		vs := values[name]
		var code, detail string
		switch {
		case known && schema.Type == huma.TypeObject:
			code, detail = "malformed", "is given as "+name+"[name]=value"
		case !known:
			code, detail = "unknown", "there is no such parameter"
		case len(vs) > 1:
			code, detail = "duplicate", "is given more than once"
		case vs[0] == "" && (name == "cursor" || name == "after"):
			continue
		case vs[0] == "":
			code, detail = "malformed", "must not be empty"
		case !utf8.ValidString(vs[0]):
			code, detail = "malformed", "is not valid UTF-8 text"
		case !legible(vs[0]):
			code, detail = "malformed", illegible
		case schema.Type == huma.TypeInteger && !wholeNumber(vs[0]):
			code, detail = "type", "must be a whole number"
		case schema.Type == huma.TypeBoolean && vs[0] != "true" && vs[0] != "false":
			code, detail = "type", "must be true or false"
		default:
			continue
		}
		fields = append(fields, fault.Field{Field: shown(name), Code: code, Detail: detail})
	}
	return fields
}

// parameter is the schema of a query parameter. An object has a parameter for each of its members,
// name[member] (OpenAPI's style deepObject).
func (in *input) parameter(name string) (*huma.Schema, bool) {
	if schema, ok := in.query[name]; ok {
		return schema, true
	}
	base, rest, _ := strings.Cut(name, "[")
	member, closed := strings.CutSuffix(rest, "]")
	object := in.query[base]
	if object == nil || object.Type != huma.TypeObject || !closed || member == "" || strings.ContainsAny(member, "[]") {
		return nil, false
	}
	return memberSchema(object, member)
}

// wholeNumber reports whether s is a 64-bit integer in canonical spelling: no plus sign, no
// leading zeros.
func wholeNumber(s string) bool {
	n, err := strconv.ParseInt(s, 10, 64)
	return err == nil && strconv.FormatInt(n, 10) == s
}

// shown is a text from the request that is safe to repeat in an answer: legible and short.
func shown(name string) string {
	name = visibly(strings.ToValidUTF8(name, "\uFFFD"))
	if len(name) <= 64 {
		return name
	}
	return strings.ToValidUTF8(name[:64], "") + "…"
}

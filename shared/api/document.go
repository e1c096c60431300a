package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

// Document is the OpenAPI document of the API. Examples are by the name of a function's folder.
type Document struct {
	Version  string
	Examples map[string]Example
	Webhooks []Webhook
}

// Example is a request and its answer, both as decoded JSON and nil without a body.
type Example struct{ Request, Answer any }

// Webhook is an event that users' servers get. Data is the type of the body's member data.
type Webhook struct {
	Event, Summary string
	Data           reflect.Type
}

// ownCredential is the security scheme of operations with the metadata OwnCredential.
const ownCredential = "ownCredential"

// undialed is the Keys of an Edge that never serves a request.
type undialed struct{ Keys }

// JSON returns the document of the endpoints, indented. The same declarations give the same text.
func (d Document) JSON(endpoints ...Endpoint) ([]byte, error) {
	var names schemaNames
	var example Example
	server := &server{edge: &Edge{Keys: undialed{}}, mux: http.NewServeMux()}
	api := newAPI(server, huma.NewMapRegistry(schemaPrefix, names.of), documentErrors, documentParameters, documentSecurity,
		func(_ *huma.OpenAPI, op *huma.Operation) { documentExample(op, example) })
	doc := api.OpenAPI()
	d.describe(doc)
	for _, ep := range endpoints {
		names.operation = operationOf(ep)
		example = d.Examples[packageOf(reflect.TypeOf(ep))]
		ep.Register(api)
	}
	for _, w := range d.Webhooks {
		documentWebhook(doc, w)
	}
	documentSchemas(doc)
	text, err := json.MarshalIndent(doc, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode openapi document: %w", err)
	}
	return append(text, '\n'), nil
}

// describe adds what the document says about the whole API.
func (d Document) describe(doc *huma.OpenAPI) {
	doc.OpenAPI = "3.1.0"
	doc.Info = &huma.Info{Title: "KrosAI Telephony", Version: d.Version,
		Description: "Phone calls by AI agents: outbound and inbound calls, phone numbers, transcripts and webhooks.",
		Contact:     &huma.Contact{Name: "KrosAI", URL: "https://github.com/krosai/telephony"},
		License:     &huma.License{Name: "Apache License 2.0", Identifier: "Apache-2.0"}}
	doc.Servers = []*huma.Server{
		{URL: "https://{host}", Description: "A deployment on AWS", Variables: map[string]*huma.ServerVariable{"host": {
			Default: "a1b2c3d4e5.execute-api.eu-west-1.amazonaws.com", Description: "The host name of the deployment's API"}}},
		{URL: "http://127.0.0.1:8080", Description: "The platform on your own machine (make run)"},
	}
	doc.Tags = documentTags()
	doc.Components.Headers = documentHeaders()
	doc.Components.Responses = map[string]*huma.Response{}
	doc.Components.SecuritySchemes = map[string]*huma.SecurityScheme{bearer: {
		Type: "http", Scheme: "bearer", Description: "An API key (kros_live_…) or a user's JWT."}, ownCredential: {
		Type: "apiKey", In: "header", Name: "Authorization", Description: "The credential that the operation describes."}}
	doc.Security = []map[string][]string{{bearer: {}}}
}

func documentTags() []*huma.Tag {
	return []*huma.Tag{
		{Name: "Calls", Description: "Calls, their details and their statistics"},
		{Name: "Phone numbers", Description: "Your phone numbers, their carriers and their agents"},
		{Name: "Phone number requests", Description: "Requests for phone numbers"},
		{Name: "Events", Description: "The log of everything that happens"},
		{Name: "Webhooks", Description: "Events that are sent to servers of yours"},
		{Name: "API keys", Description: "The credentials of programs"},
		{Name: "Agents", Description: "Requests that the agents of calls send"},
		{Name: "Review", Description: "The inventory of phone numbers and the requests for them, for administrators"},
		{Name: "Administration", Description: "Users, their policies and their calls, for administrators"},
		{Name: "LiveKit", Description: "Requests that LiveKit sends"},
		{Name: "Health", Description: "Whether the API answers"},
	}
}

// operationOf is the id of an endpoint's first operation, as a part of a schema's name:
// CreateCall for create-call.
func operationOf(ep Endpoint) string {
	id := ""
	server := &server{edge: &Edge{Keys: undialed{}}, mux: http.NewServeMux()}
	ep.Register(newAPI(server, huma.NewMapRegistry(schemaPrefix, qualifiedName), func(_ *huma.OpenAPI, op *huma.Operation) {
		if id == "" {
			id = op.OperationID
		}
	}))
	return camel(id)
}

// camel is a name of words with hyphens, dots or underscores between them, in camel case.
func camel(name string) string {
	words := strings.FieldsFunc(name, func(r rune) bool { return strings.ContainsRune("-._", r) })
	for i, word := range words {
		words[i] = strings.ToUpper(word[:1]) + word[1:]
	}
	return strings.Join(words, "")
}

func packageOf(t reflect.Type) string {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return t.PkgPath()[strings.LastIndexByte(t.PkgPath(), '/')+1:]
}

// documentParameters leaves out the headers that OpenAPI describes elsewhere.
func documentParameters(_ *huma.OpenAPI, op *huma.Operation) {
	op.Parameters = slices.DeleteFunc(op.Parameters, func(p *huma.Param) bool {
		return p.In == "header" && (p.Name == "Authorization" || p.Name == "Content-Type")
	})
	for _, p := range op.Parameters {
		if exploded := true; p.Style == "deepObject" {
			p.Explode = &exploded // OpenAPI has no other form of deepObject
		}
		documentPatterns(p.Schema)
	}
}

// documentSecurity tells the scope of an operation in its description and in x-required-scope,
// because the scheme http bearer has no scopes.
func documentSecurity(_ *huma.OpenAPI, op *huma.Operation) {
	credential, scope := required(op)
	words := "Needs no credential."
	switch {
	case op.Metadata[OwnCredential] != nil:
		words = "Needs a credential of its own kind."
		op.Security = []map[string][]string{{ownCredential: {}}}
	case scope != "":
		words = "Needs the scope `" + scope + "`."
		op.Extensions = map[string]any{"x-required-scope": scope}
		op.Security = []map[string][]string{{bearer: {}}}
	case credential:
		words = "Needs a credential of any scope."
	}
	op.Description = strings.TrimSpace(op.Description + "\n\n" + words)
}

// documentExample adds an example to the operation's JSON body and to its success.
func documentExample(op *huma.Operation, e Example) {
	set := func(content map[string]*huma.MediaType, value any) {
		if media := content["application/json"]; media != nil && value != nil {
			media.Example = value
		}
	}
	if op.RequestBody != nil {
		set(op.RequestBody.Content, e.Request)
	}
	for status, response := range op.Responses {
		if status[0] == '2' {
			set(response.Content, e.Answer)
		}
	}
}

// documentErrors adds the edge's headers and error answers to an operation's documentation. The
// operation's Errors list its other errors.
func documentErrors(doc *huma.OpenAPI, op *huma.Operation) {
	documentOnce(op)
	if !takes(op, "header", idempotencyKey) {
		delete(op.Responses, "422") // huma documents it, the edge answers 400 instead
	}
	credential, _ := required(op)
	for status, response := range op.Responses {
		n, err := strconv.Atoi(status)
		switch {
		case err == nil && n >= http.StatusBadRequest:
			op.Responses[status] = sharedResponse(doc, n)
		case err == nil:
			addHeaders(response, requestIDHeader)
			if credential {
				addHeaders(response, limitHeaders...)
			}
		}
	}
	for _, status := range edgeStatuses(op) {
		op.Responses[strconv.Itoa(status)] = sharedResponse(doc, status)
	}
	op.Responses["default"] = sharedResponse(doc, 0)
}

// edgeStatuses lists the error statuses that the edge itself may answer for an operation.
func edgeStatuses(op *huma.Operation) []int {
	statuses := []int{http.StatusBadRequest, http.StatusInternalServerError}
	credential, scope := required(op)
	if credential {
		statuses = append(statuses, http.StatusUnauthorized, http.StatusTooManyRequests, http.StatusServiceUnavailable)
	}
	if scope != "" {
		statuses = append(statuses, http.StatusForbidden)
	}
	if takes(op, "path", "") {
		statuses = append(statuses, http.StatusNotFound)
	}
	if op.RequestBody != nil {
		statuses = append(statuses, http.StatusRequestEntityTooLarge)
		if op.RequestBody.Content["application/json"] != nil {
			statuses = append(statuses, http.StatusUnsupportedMediaType)
		}
	}
	if takes(op, "header", idempotencyKey) {
		statuses = append(statuses, http.StatusConflict, http.StatusUnprocessableEntity)
	}
	return statuses
}

// takes reports whether an operation has a parameter of that kind and name. An empty name
// matches any.
func takes(op *huma.Operation, in, name string) bool {
	return slices.ContainsFunc(op.Parameters, func(p *huma.Param) bool {
		return p.In == in && (name == "" || p.Name == name)
	})
}

// documentOnce adds the Idempotency-Key and the header of replayed answers to the
// operation's documentation.
func documentOnce(op *huma.Operation) {
	if !takesKey(op) {
		return
	}
	least, most := 1, 255
	op.Parameters = append(op.Parameters, &huma.Param{Name: idempotencyKey, In: "header",
		Description: "Makes the request safe to repeat for 24 hours: the same key and body give the first answer again",
		Schema:      &huma.Schema{Type: huma.TypeString, MinLength: &least, MaxLength: &most, Pattern: `^[\x21-\x2b\x2d-\x7e]+$`}})
	for status, response := range op.Responses {
		if status[0] == '2' {
			addHeaders(response, "Idempotency-Replayed")
		}
	}
}

const requestIDHeader = "X-Request-Id"

var limitHeaders = []string{"RateLimit", "RateLimit-Policy", "X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset"}

// documentHeaders describes every header that answers have in common.
func documentHeaders() map[string]*huma.Header {
	text := func(doc string) *huma.Header {
		return &huma.Header{Description: doc, Schema: &huma.Schema{Type: huma.TypeString}}
	}
	number := func(doc string) *huma.Header {
		return &huma.Header{Description: doc, Schema: &huma.Schema{Type: huma.TypeInteger, Format: "int64"}}
	}
	return map[string]*huma.Header{
		requestIDHeader:         text("The id of the request. Name it when you ask for help"),
		"RateLimit":             text("What is left of each limit that the request counts against, with the seconds until it resets"),
		"RateLimit-Policy":      text("Each limit that the request counts against, with the seconds of its window"),
		"X-RateLimit-Limit":     number("The limit with the least left"),
		"X-RateLimit-Remaining": number("How much is left of the limit with the least left"),
		"X-RateLimit-Reset":     number("When the limit with the least left resets, in Unix time"),
		"Retry-After":           number("How long to wait before trying again, in seconds"),
		"Idempotency-Replayed":  text("true if this is the answer to an earlier request with the same Idempotency-Key"),
		"WWW-Authenticate":      text("Bearer"),
		"Accept-Encoding":       text("identity, if the body had a content coding"),
		"Allow":                 text("With 405: the methods that the path takes"),
	}
}

// addHeaders adds headers that documentHeaders describes to a response.
func addHeaders(r *huma.Response, names ...string) {
	if r.Headers == nil {
		r.Headers = map[string]*huma.Param{}
	}
	for _, name := range names {
		r.Headers[name] = &huma.Param{Ref: "#/components/headers/" + name}
	}
}

// sharedResponse is a reference to the component that documents an error status. Status 0 is
// any other.
func sharedResponse(doc *huma.OpenAPI, status int) *huma.Response {
	title := http.StatusText(status)
	if status == 0 {
		title = "Any Other Error"
	}
	name := strings.ReplaceAll(title, " ", "")
	if doc.Components.Responses[name] == nil {
		response := &huma.Response{Description: title, Content: map[string]*huma.MediaType{
			"application/problem+json": {Schema: &huma.Schema{Ref: schemaPrefix + "Problem"}}}}
		addHeaders(response, requestIDHeader)
		addHeaders(response, errorHeaders(status)...)
		doc.Components.Responses[name] = response
	}
	return &huma.Response{Ref: "#/components/responses/" + name}
}

// errorHeaders lists the further headers of an error status.
func errorHeaders(status int) []string {
	switch status {
	case 0:
		return []string{"Allow"}
	case http.StatusUnauthorized:
		return []string{"WWW-Authenticate"}
	case http.StatusUnsupportedMediaType:
		return []string{"Accept-Encoding"}
	case http.StatusBadRequest, http.StatusInternalServerError, http.StatusRequestEntityTooLarge:
		return nil
	case http.StatusConflict, http.StatusTooManyRequests, http.StatusServiceUnavailable:
		return append([]string{"Retry-After"}, limitHeaders...)
	}
	return limitHeaders
}

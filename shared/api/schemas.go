package api

import (
	"fmt"
	"reflect"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/krosai/telephony/shared/fault"
)

// schemaNames names the schemas of the document after their Go types, without the package. The
// body of an endpoint's requests, a type Body, is <Operation>Request. An unnamed body of answers is
// <Operation>. A page of a list is <Thing>Page. Two types of one name make huma panic.
type schemaNames struct{ operation string }

func (n *schemaNames) of(t reflect.Type, hint string) string {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	name := huma.DefaultSchemaNamer(t, hint)
	switch {
	case t == reflect.TypeFor[fault.Field]():
		return "FieldError"
	case name == "Body", name == "InputBody":
		return n.operation + "Request"
	case name == "OutputBody":
		return n.operation
	}
	if thing, ok := strings.CutPrefix(name, "Page"); ok && thing != "" {
		return thing + "Page"
	}
	return name
}

// documentSchemas completes the schemas of the document.
func documentSchemas(doc *huma.OpenAPI) {
	registry := doc.Components.Schemas
	requests := map[string]bool{}
	for _, item := range doc.Paths {
		for _, op := range []*huma.Operation{item.Post, item.Put, item.Patch} {
			if op == nil || op.RequestBody == nil {
				continue
			}
			for _, media := range op.RequestBody.Content {
				collect(registry, media.Schema, requests)
			}
		}
	}
	for name, schema := range registry.Map() {
		documentPatterns(schema)
		if t := registry.TypeFromRef(schemaPrefix + name); t != nil {
			documentNull(schema, t)
		}
		if requests[name] {
			documentDefaults(schema)
		} else {
			schema.AdditionalProperties = open(schema.AdditionalProperties)
		}
	}
}

// open is the additionalProperties of an answer. An answer may get further members, so false is
// left out.
func open(additional any) any {
	if additional == false {
		return nil
	}
	return additional
}

// collect adds the names of the schemas that a schema refers to.
func collect(registry huma.Registry, s *huma.Schema, names map[string]bool) {
	if s == nil {
		return
	}
	if name, ok := strings.CutPrefix(s.Ref, schemaPrefix); ok && !names[name] {
		names[name] = true
		collect(registry, registry.Map()[name], names)
	}
	collect(registry, s.Items, names)
	for _, member := range s.Properties {
		collect(registry, member, names)
	}
}

// documentNull allows null where an answer has it: in members that are pointers to objects, and in
// the enums of members that may be null.
func documentNull(schema *huma.Schema, t reflect.Type) {
	if t.Kind() != reflect.Struct {
		return
	}
	for _, field := range reflect.VisibleFields(t) {
		name, options, _ := strings.Cut(field.Tag.Get("json"), ",")
		member := schema.Properties[name]
		if member == nil {
			continue
		}
		if member.Nullable && len(member.Enum) > 0 {
			member.Enum = append(member.Enum, nil)
		}
		if field.Type.Kind() == reflect.Pointer && member.Ref != "" && !strings.HasPrefix(options, "omit") {
			member.AnyOf = []*huma.Schema{{Ref: member.Ref}, {Type: "null"}}
			member.Ref = ""
		}
	}
}

// documentDefaults tells the defaults of a request's members in words. With the keyword default,
// generated TypeScript demands the members.
func documentDefaults(schema *huma.Schema) {
	for _, member := range schema.Properties {
		if member.Default != nil {
			member.Description = strings.TrimSpace(fmt.Sprintf("%s. If left out, %v", member.Description, member.Default))
			member.Description = strings.TrimPrefix(member.Description, ". ")
			member.Default = nil
		}
	}
}

// documentPatterns moves pattern descriptions to a member that OpenAPI allows.
func documentPatterns(s *huma.Schema) {
	if s == nil {
		return
	}
	if s.PatternDescription != "" {
		s.Extensions = map[string]any{"x-pattern-description": s.PatternDescription}
		s.PatternDescription = ""
	}
	documentPatterns(s.Items)
	for _, member := range s.Properties {
		documentPatterns(member)
	}
}

// inlined is the schema of a type without references. oapi-codegen drops components that only
// webhooks refer to.
func inlined(registry huma.Registry, t reflect.Type) *huma.Schema {
	schema := *registry.Schema(t, false, "")
	schema.AdditionalProperties = open(schema.AdditionalProperties)
	documentNull(&schema, t)
	for _, member := range schema.Properties {
		ref := member.Ref
		if len(member.AnyOf) > 0 {
			ref = member.AnyOf[0].Ref
		}
		if ref != "" {
			description, nullable := member.Description, member.AnyOf != nil
			*member = *inlined(registry, registry.TypeFromRef(ref))
			member.Description, member.Nullable = description, nullable
		}
	}
	return &schema
}

// documentWebhook adds an event and the schema of its body.
func documentWebhook(doc *huma.OpenAPI, w Webhook) {
	var names schemaNames
	body := &huma.Schema{Type: huma.TypeObject, Required: []string{"type", "timestamp", "data"},
		Properties: map[string]*huma.Schema{
			"type":      {Type: huma.TypeString, Enum: []any{w.Event}},
			"timestamp": {Type: huma.TypeString, Format: "date-time", Description: "When it happened"},
			"data":      inlined(huma.NewMapRegistry(schemaPrefix, names.of), w.Data)}}
	if doc.Webhooks == nil {
		doc.Webhooks = map[string]*huma.PathItem{}
	}
	text := func(name, doc string) *huma.Param {
		return &huma.Param{Name: name, In: "header", Required: true, Description: doc, Schema: &huma.Schema{Type: huma.TypeString}}
	}
	doc.Webhooks[w.Event] = &huma.PathItem{Post: &huma.Operation{
		OperationID: "receive-" + strings.NewReplacer(".", "-", "_", "-").Replace(w.Event), Summary: w.Summary, Tags: []string{"Webhooks"},
		Description: "Signed as Standard Webhooks specifies. Sent again until an answer has a status of 2xx.",
		Security:    Public(),
		Parameters: []*huma.Param{
			text("Webhook-Id", "The id of the event, the same at every attempt"),
			text("Webhook-Timestamp", "When this attempt was made, in Unix time"),
			text("Webhook-Signature", "v1 and the signature, one for each valid secret")},
		RequestBody: &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{
			"application/json": {Schema: body}}},
		Responses: map[string]*huma.Response{
			"200": {Description: "The event was received. Any other status of 2xx says the same"},
			"410": {Description: "The event is not wanted. No further attempt is made"}}}}
}

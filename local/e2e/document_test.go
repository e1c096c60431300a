package e2e

import (
	"bytes"
	"fmt"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// document is openapi.json. Every answer that a test gets is checked against it.
var document = sync.OnceValue(func() *described {
	text, err := os.ReadFile("../../openapi.json")
	if err != nil {
		panic(err)
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		panic(err)
	}
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	if err := compiler.AddResource("openapi.json", value); err != nil {
		panic(err)
	}
	return &described{all: value.(map[string]any), compiler: compiler}
})

type described struct {
	all      map[string]any
	mu       sync.Mutex // guards the compiler
	compiler *jsonschema.Compiler
}

// check returns an error if the document does not describe an answer: its content type or its body.
// A path that is no operation has nothing to check.
func (d *described) check(method, path string, a answer) error {
	template, found := d.operation(method, path)
	if !found {
		return nil
	}
	responses := []string{"paths", template, strings.ToLower(method), "responses"}
	pointer := append(responses, fmt.Sprint(a.Status))
	if _, listed := within(d.all, pointer...); !listed {
		pointer = append(responses, "default")
	}
	response, _ := within(d.all, pointer...)
	if ref, ok := response["$ref"].(string); ok {
		pointer = strings.Split(strings.TrimPrefix(ref, "#/"), "/")
		response, _ = within(d.all, pointer...)
	}
	content, _ := response["content"].(map[string]any)
	if len(content) == 0 {
		if len(a.Body) > 0 {
			return fmt.Errorf("%s %s: %d has no body in the document", method, template, a.Status)
		}
		return nil
	}
	kind, _, _ := strings.Cut(a.Header.Get("Content-Type"), ";")
	if _, known := content[kind]; !known {
		return fmt.Errorf("%s %s: %d has no %q, only %v", method, template, a.Status, kind, slices.Collect(maps.Keys(content)))
	}
	schema, err := d.schema(append(pointer, "content", kind, "schema")...)
	if err != nil {
		return err
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(a.Body))
	if err != nil {
		return err
	}
	if err := schema.Validate(value); err != nil {
		return fmt.Errorf("%s %s: %d: %w", method, template, a.Status, err)
	}
	return nil
}

// operation finds the path template of an operation. A template that equals the path wins.
func (d *described) operation(method, path string) (template string, found bool) {
	path, _, _ = strings.Cut(path, "?")
	segments := strings.Split(path, "/")
	fits := func(of, in string) bool { return of == in || strings.HasPrefix(of, "{") && in != "" }
	for candidate := range d.all["paths"].(map[string]any) {
		_, has := within(d.all, "paths", candidate, strings.ToLower(method))
		if has && (candidate == path || !found && slices.EqualFunc(strings.Split(candidate, "/"), segments, fits)) {
			template, found = candidate, true
		}
	}
	return template, found
}

// within follows names through objects.
func within(object map[string]any, names ...string) (map[string]any, bool) {
	for _, name := range names {
		next, ok := object[name].(map[string]any)
		if !ok {
			return nil, false
		}
		object = next
	}
	return object, true
}

func (d *described) schema(path ...string) (*jsonschema.Schema, error) {
	for i, name := range path {
		path[i] = strings.NewReplacer("~", "~0", "/", "~1", "{", "%7B", "}", "%7D").Replace(name)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.compiler.Compile("openapi.json#/" + strings.Join(path, "/"))
}

// TestDocumentFindsErrors checks that answers which the document does not describe are found.
func TestDocumentFindsErrors(t *testing.T) {
	t.Parallel()
	json := http.Header{"Content-Type": {"application/json"}}
	ok := answer{http.StatusOK, json, []byte(`{"status":"ok","version":"dev"}`)}
	if err := document().check("GET", "/health", ok); err != nil {
		t.Error(err)
	}
	for name, a := range map[string]answer{
		"status":       {http.StatusTeapot, json, ok.Body},
		"content type": {http.StatusOK, http.Header{"Content-Type": {"text/plain"}}, ok.Body},
		"body":         {http.StatusOK, json, []byte(`{"status":"bad","version":"dev"}`)},
		"no body":      {http.StatusOK, json, nil},
	} {
		if err := document().check("GET", "/health", a); err == nil {
			t.Errorf("%s: nothing found", name)
		}
	}
	for path, want := range map[string]string{
		"/outbound-calls?limit=1":  "/outbound-calls",
		"/outbound-calls/stats":    "/outbound-calls/stats",
		"/outbound-calls/call_1":   "/outbound-calls/{call_id}",
		"/outbound-calls/a/b/c":    "",
		"/outbound-calls/call_1//": "",
	} {
		if got, _ := document().operation("GET", path); got != want {
			t.Errorf("%s is %q, want %q", path, got, want)
		}
	}
}

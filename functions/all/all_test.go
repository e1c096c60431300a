package all_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/google/go-cmp/cmp"

	"github.com/krosai/telephony/functions/all"
	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/api"
)

const (
	openapiJSON = "../../openapi.json"
	routeTxt    = "../health/routes.txt"
)

var update = flag.Bool("update", false, "write openapi.json instead of comparing it")

func openAPI(t *testing.T) []byte {
	t.Helper()
	doc, err := document(t).JSON(endpoints()...)
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

// endpoints returns the endpoints of the table in the order of their names.
func endpoints() []api.Endpoint {
	table := all.HTTP(all.Deps{})
	var eps []api.Endpoint
	for _, name := range sortedKeys(table) {
		eps = append(eps, table[name])
	}
	return eps
}

func sortedKeys[V any](m map[string]V) []string {
	var names []string
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// TestOpenAPI compares openapi.json and routes.txt with what the endpoints declare. After a change
// to an endpoint:
//
//	go test ./functions/all -run TestOpenAPI -update
func TestOpenAPI(t *testing.T) {
	routes := strings.Join(sortedKeys(operations(t)), "\n") + "\n"
	for file, got := range map[string]string{openapiJSON: string(openAPI(t)), routeTxt: routes} {
		if *update {
			if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(got, "\n")); diff != "" {
			t.Errorf("%s differs from the endpoints; go test ./functions/all -run TestOpenAPI -update\n%s", file, diff)
		}
	}
}

func TestOpenAPIIsValid(t *testing.T) {
	t.Parallel()
	doc, err := openapi3.NewLoader().LoadFromData(openAPI(t))
	if err != nil {
		t.Fatal(err)
	}
	// TestOpenAPIFitsAnswers checks the examples: kin-openapi allows null in no {}.
	if err := doc.Validate(t.Context(), openapi3.DisableExamplesValidation()); err != nil {
		t.Fatal(err)
	}
}

// operation is the part of an operation in the document that the tests read.
type operation struct {
	OperationID string                `json:"operationId"`
	Summary     string                `json:"summary"`
	Tags        []string              `json:"tags"`
	Security    []map[string][]string `json:"security"`
	Scope       string                `json:"x-required-scope"`
	RequestBody *json.RawMessage      `json:"requestBody"`
	Parameters  []struct {
		Name        string
		In          string
		Description string
	} `json:"parameters"`
	Responses map[string]struct {
		Ref string `json:"$ref"`
	} `json:"responses"`
}

func operations(t *testing.T) map[string]operation {
	t.Helper()
	var doc struct {
		Paths map[string]map[string]operation `json:"paths"`
	}
	if err := json.Unmarshal(openAPI(t), &doc); err != nil {
		t.Fatal(err)
	}
	ops := map[string]operation{}
	for path, methods := range doc.Paths {
		for method, op := range methods {
			ops[strings.ToUpper(method)+" "+path] = op
		}
	}
	return ops
}

// TestPatternsHaveWords checks that each pattern is also described in words, with which the edge
// answers a request that does not fit. Patterns of answers need no words, and the edge has its own
// for the Idempotency-Key.
func TestPatternsHaveWords(t *testing.T) {
	t.Parallel()
	var doc map[string]any
	if err := json.Unmarshal(openAPI(t), &doc); err != nil {
		t.Fatal(err)
	}
	var look func(at string, value any)
	look = func(at string, value any) {
		members, _ := value.(map[string]any)
		words, _ := members["x-pattern-description"].(string)
		if _, has := members["pattern"]; has && (words == "" || strings.Contains(words, ": ")) &&
			members["maxLength"] != 255.0 {
			t.Errorf("%s: %v has the words %q", at, members["pattern"], words)
		}
		for name, member := range members {
			look(at+"/"+name, member)
		}
		items, _ := value.([]any)
		for i, item := range items {
			look(fmt.Sprintf("%s/%d", at, i), item)
		}
	}
	look("", doc)
}

func TestEveryOperationIsDocumented(t *testing.T) {
	t.Parallel()
	ids := map[string]string{}
	for route, op := range operations(t) {
		if op.Summary == "" || len(op.Tags) == 0 || op.OperationID == "" {
			t.Errorf("%s: summary %q, tags %q, id %q: none may be empty", route, op.Summary, op.Tags, op.OperationID)
		}
		if other, ok := ids[op.OperationID]; ok {
			t.Errorf("%s and %s are both %s", route, other, op.OperationID)
		}
		ids[op.OperationID] = route
		for _, p := range op.Parameters {
			if p.Description == "" {
				t.Errorf("%s: parameter %s has no description", route, p.Name)
			}
		}
		want := []string{"400", "500"}
		if op.Scope != "" {
			want = append(want, "401", "429")
		}
		if strings.Contains(route, "{") {
			want = append(want, "404")
		}
		if op.RequestBody != nil {
			want = append(want, "413")
		}
		for _, status := range want {
			if _, ok := op.Responses[status]; !ok {
				t.Errorf("%s does not document status %s", route, status)
			}
		}
		for status, response := range op.Responses {
			if status[0] != '2' && !strings.HasPrefix(response.Ref, "#/components/responses/") {
				t.Errorf("%s: status %s is not a shared problem response", route, status)
			}
		}
	}
}

// An operation says which scope it needs, or that it is public.
func TestEveryOperationHasSecurity(t *testing.T) {
	t.Parallel()
	for route, op := range operations(t) {
		if op.Security == nil {
			t.Errorf("%s has no Security: use api.Needs or api.Public", route)
		}
		if op.Scope != "" && op.Scope != account.Admin && !slices.Contains(account.Scopes(), op.Scope) {
			t.Errorf("%s needs scope %q, which nobody can have", route, op.Scope)
		}
		if op.Scope != "" && len(op.Security) == 0 {
			t.Errorf("%s has the scope %q and no security", route, op.Scope)
		}
	}
}

// Every answer of the edge itself is a Problem.
func TestProblemsAreDocumented(t *testing.T) {
	t.Parallel()
	var doc struct {
		Components struct {
			Responses map[string]struct {
				Content map[string]struct {
					Schema struct {
						Ref string `json:"$ref"`
					} `json:"schema"`
				} `json:"content"`
			} `json:"responses"`
			Schemas map[string]json.RawMessage `json:"schemas"`
		} `json:"components"`
	}
	if err := json.Unmarshal(openAPI(t), &doc); err != nil {
		t.Fatal(err)
	}
	for name, response := range doc.Components.Responses {
		if got := response.Content["application/problem+json"].Schema.Ref; got != "#/components/schemas/Problem" {
			t.Errorf("response %s has schema %q", name, got)
		}
	}
	if !bytes.Contains(doc.Components.Schemas["Problem"], []byte(`"request_id"`)) {
		t.Errorf("schema Problem = %s", doc.Components.Schemas["Problem"])
	}
}

// TestTableMatchesFolders checks that the table names each function like its folder, and contains
// every function that declares an operation.
func TestTableMatchesFolders(t *testing.T) {
	t.Parallel()
	table := all.HTTP(all.Deps{})
	for name, ep := range table {
		pkg := reflect.TypeOf(ep).Elem().PkgPath()
		if !strings.HasSuffix(pkg, "/functions/"+name) {
			t.Errorf("%s is an endpoint of package %s", name, pkg)
		}
	}
	files, err := filepath.Glob("../*/*.go")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		name := filepath.Base(filepath.Dir(file))
		if bytes.Contains(text, []byte("Register(a huma.API)")) && table[name] == nil && !strings.HasSuffix(file, "_test.go") {
			t.Errorf("%s declares operations and %s is not in the table", file, name)
		}
	}
}

package all_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/krosai/telephony/functions/all"
	"github.com/krosai/telephony/functions/getcall"
	"github.com/krosai/telephony/functions/hangupanycall"
	"github.com/krosai/telephony/functions/hangupcall"
	"github.com/krosai/telephony/functions/listallcalls"
	"github.com/krosai/telephony/functions/listcalls"
	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/api"
	"github.com/krosai/telephony/shared/event"
	"github.com/krosai/telephony/shared/number"
	"github.com/krosai/telephony/shared/view"
)

// document is the OpenAPI document of the API. Its examples are the sample events and their golden
// answers.
func document(t testing.TB) api.Document {
	t.Helper()
	d := api.Document{Version: "1.0.0", Examples: map[string]api.Example{}, Webhooks: webhooks()}
	for _, name := range sortedKeys(all.HTTP(all.Deps{})) {
		text, err := os.ReadFile("../../events/" + name + ".json")
		if err != nil {
			t.Fatal(err)
		}
		d.Examples[name] = api.Example{Request: decoded(readEvent(t, text).body(t)), Answer: decoded([]byte(answer(t, name).Body))}
	}
	return d
}

// answer is the golden answer of a function.
func answer(t testing.TB, name string) (a struct {
	StatusCode int
	Body       string
}) {
	t.Helper()
	text, err := os.ReadFile(golden(name))
	if err == nil {
		err = json.Unmarshal(text, &a)
	}
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// decoded is a JSON body with the ids of the samples, or nil for any other body.
func decoded(body []byte) (value any) {
	text := strings.NewReplacer("$KROS_NUMBER_ID", number.ID(sampleE164), "_MADE", "_01KAMPJ5V0SAMPMADE00000000").Replace(string(body))
	if json.Unmarshal([]byte(text), &value) != nil {
		return nil
	}
	return value
}

// webhooks lists the events that endpoints get, as docs/webhooks.md does.
func webhooks() []api.Webhook {
	call, request, given, key := reflect.TypeFor[event.CallData](), reflect.TypeFor[event.RequestData](), reflect.TypeFor[event.NumberData](), reflect.TypeFor[event.KeyData]()
	return []api.Webhook{
		{Event: event.CallAnswered, Summary: "A phone was picked up", Data: call},
		{Event: event.CallEnded, Summary: "A call has ended, whether or not it was answered", Data: call},
		{Event: event.CallSummaryReady, Summary: "A call's summary is written", Data: reflect.TypeFor[event.SummaryData]()},
		{Event: event.CallTransferFinished, Summary: "The outcome of a transfer is recorded", Data: call},
		{Event: event.RequestDecided, Summary: "A number request was approved, rejected or has expired", Data: request},
		{Event: event.RequestAssigned, Summary: "A request has got its number", Data: request},
		{Event: event.NumberAssigned, Summary: "An administrator gave you a number without a request", Data: given},
		{Event: event.NumberConfigured, Summary: "The configuration of a number has changed", Data: given},
		{Event: event.NumberReleased, Summary: "A number is no longer yours", Data: given},
		{Event: event.KeyCreated, Summary: "A key was made", Data: key},
		{Event: event.KeyRevoked, Summary: "A key was revoked", Data: key},
		{Event: event.EndpointDisabled, Summary: "Another endpoint of yours failed and gets no more events", Data: reflect.TypeFor[event.EndpointData]()},
		{Event: event.WebhookTest, Summary: "A test that you asked for", Data: reflect.TypeFor[event.TestData]()},
	}
}

// TestOpenAPIHasEveryWebhook checks that each type of event is a webhook of the document.
func TestOpenAPIHasEveryWebhook(t *testing.T) {
	t.Parallel()
	var got []string
	for _, w := range webhooks() {
		got = append(got, w.Event)
	}
	if diff := cmp.Diff(append(event.Types(), event.WebhookTest), got); diff != "" {
		t.Errorf("-event.Types +webhooks:\n%s", diff)
	}
}

// schemas compiles schemas of the document. Schemas of answers allow further members in the
// document, but not here, so that no member is undocumented.
func schemas(t *testing.T) (schema func(path ...string) *jsonschema.Schema) {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(openAPI(t)))
	if err != nil {
		t.Fatal(err)
	}
	members := doc.(map[string]any)
	for _, schema := range members["components"].(map[string]any)["schemas"].(map[string]any) {
		schema := schema.(map[string]any)
		if _, has := schema["additionalProperties"]; !has && schema["type"] == "object" {
			schema["additionalProperties"] = false
		}
	}
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	if err := compiler.AddResource("openapi.json", doc); err != nil {
		t.Fatal(err)
	}
	return func(path ...string) *jsonschema.Schema {
		t.Helper()
		for i, name := range path {
			path[i] = strings.NewReplacer("~", "~0", "/", "~1", "{", "%7B", "}", "%7D").Replace(name)
		}
		compiled, err := compiler.Compile("openapi.json#/" + strings.Join(path, "/"))
		if err != nil {
			t.Fatal(err)
		}
		return compiled
	}
}

// TestOpenAPIFitsAnswers checks each golden answer against the schema of its operation.
func TestOpenAPIFitsAnswers(t *testing.T) {
	t.Parallel()
	schema := schemas(t)
	checked := 0
	for _, name := range sortedKeys(all.HTTP(all.Deps{})) {
		text, err := os.ReadFile("../../events/" + name + ".json")
		if err != nil {
			t.Fatal(err)
		}
		a := answer(t, name)
		if name == "health" || a.Body == "" || a.StatusCode == http.StatusNoContent {
			continue
		}
		method, path, _ := strings.Cut(readEvent(t, text).RouteKey, " ")
		value, err := jsonschema.UnmarshalJSON(strings.NewReader(a.Body))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		s := schema("paths", path, strings.ToLower(method), "responses", fmt.Sprint(a.StatusCode), "content", "application/json", "schema")
		if err := s.Validate(value); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		checked++
	}
	if checked < 30 {
		t.Errorf("%d answers checked", checked)
	}
}

// codes finds the code of an error where the error is made.
var codes = regexp.MustCompile(`(?:Code:|fault\.New\(fault\.\w+,|problem\(http\.\w+,)\s*"([A-Z][A-Z_]+)"`)

// TestProblemNamesEveryCode compares the codes in the document with those that the code makes.
func TestProblemNamesEveryCode(t *testing.T) {
	t.Parallel()
	var made []string
	for _, pattern := range []string{"../*/*.go", "../../shared/*.go", "../../shared/*/*.go", "../../shared/*/*/*.go"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, match := range codes.FindAllStringSubmatch(string(text), -1) {
				if !strings.HasSuffix(file, "_test.go") {
					made = append(made, match[1])
				}
			}
		}
	}
	slices.Sort(made)
	field, _ := reflect.TypeFor[api.Problem]().FieldByName("Code")
	if diff := cmp.Diff(slices.Compact(made), strings.Split(field.Tag.Get("enum"), ",")); diff != "" {
		t.Errorf("-code +enum of Problem.code:\n%s", diff)
	}
}

// causes finds the hangup causes where they are declared.
var causes = regexp.MustCompile(`\bCause = "([a-z_]+)"`)

// TestEnumsNameEverything compares enums of answers with the lists that they repeat.
func TestEnumsNameEverything(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../shared/call/call.go")
	if err != nil {
		t.Fatal(err)
	}
	var hangups []string
	for _, match := range causes.FindAllStringSubmatch(string(text), -1) {
		hangups = append(hangups, match[1])
	}
	for _, c := range []struct {
		view  any
		field string
		want  []string
	}{
		{event.CallData{}, "HangupCause", hangups},
		{getcall.CallDetails{}, "HangupCause", hangups},
		{listcalls.Call{}, "HangupCause", hangups},
		{listallcalls.UserCall{}, "HangupCause", hangups},
		{hangupcall.EndedCall{}, "HangupCause", hangups},
		{hangupanycall.EndedUserCall{}, "HangupCause", hangups},
		{view.Key{}, "Scopes", account.Scopes()},
		{event.KeyData{}, "Scopes", account.Scopes()},
		{view.WebhookEndpoint{}, "Events", event.Types()},
		{view.Event{}, "Type", append(event.Types(), event.CallTurn)},
		{view.Delivery{}, "EventType", append(event.Types(), event.WebhookTest)},
	} {
		field, _ := reflect.TypeOf(c.view).FieldByName(c.field)
		if diff := cmp.Diff(c.want, strings.Split(field.Tag.Get("enum"), ",")); diff != "" {
			t.Errorf("-code +enum of %T.%s:\n%s", c.view, c.field, diff)
		}
	}
}

package platform

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/google/go-cmp/cmp"

	"github.com/krosai/telephony/emulator/stepfunctions"
	"github.com/krosai/telephony/emulator/template"
	"github.com/krosai/telephony/shared/store"
)

// TestFunctionsHaveTheirRights checks that the same code has different rights as
// different functions.
func TestFunctionsHaveTheirRights(t *testing.T) {
	t.Parallel()
	tmpl, err := template.Open("../../template.yaml", template.Values{"LiveKitUrl": "ws://127.0.0.1", "LiveKitApiKey": "k", "LiveKitApiSecret": "s"})
	if err != nil {
		t.Fatal(err)
	}
	p := &Platform{Config: Config{Dir: t.TempDir()}, log: slog.New(slog.DiscardHandler)}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	c, err := p.startAWS(t.Context(), tmpl)
	if err != nil {
		t.Fatal(err)
	}
	db := store.Open(config(c.dynamodb, ""), tables, time.Now)
	list := func(ctx context.Context) error {
		_, _, err := db.NumbersOf(ctx, "ada", 1, "")
		return err
	}
	p.functions = map[string]function{}
	for _, name := range []string{"listnumbers", "health"} {
		p.functions[name] = function{folder: name, timeout: time.Minute, handler: func() lambda.Handler { return lambda.NewHandler(list) }}
	}
	if _, err := p.invoke(t.Context(), "listnumbers", []byte("{}")); err != nil {
		t.Errorf("listnumbers: %v", err)
	}
	const want = "not authorized to perform: dynamodb:Query on resource: arn:aws:dynamodb:us-east-1:000000000000:table/kros-numbers/index/by_user"
	if _, err := p.invoke(t.Context(), "health", []byte("{}")); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("health: %v", err)
	}
}

// TestTasksElsewhere checks that a workflow's task runs at Config.Lambda, and that its error has
// the same name as in this process.
func TestTasksElsewhere(t *testing.T) {
	t.Parallel()
	service := http.NewServeMux()
	service.HandleFunc("POST /2015-03-31/functions/{name}/invocations", func(w http.ResponseWriter, r *http.Request) {
		payload, _ := io.ReadAll(r.Body)
		switch string(payload) {
		case `"fails"`:
			w.Header().Set("X-Amz-Function-Error", "Unhandled")
			io.WriteString(w, `{"errorMessage":"the line is dead","errorType":"fault.Error"}`)
		case `"dies"`:
			w.Header().Set("X-Amz-Function-Error", "Unhandled")
			io.WriteString(w, `no JSON`)
		case `"gone"`:
			http.Error(w, "ResourceNotFound", http.StatusNotFound)
		default:
			io.WriteString(w, `"`+r.PathValue("name")+` ran"`)
		}
	})
	server := httptest.NewServer(service)
	t.Cleanup(server.Close)
	p := &Platform{Config: Config{Lambda: server.URL}, log: slog.New(slog.DiscardHandler),
		functions: map[string]function{"dialcall": {logicalID: "DialCallFunction"}}}

	for _, c := range []struct{ name, function, payload, want, errorType, message string }{
		{"an answer", "dialcall", `{}`, `"DialCallFunction ran"`, "", ""},
		{"an error of the function", "dialcall", `"fails"`, "", "fault.Error", "the line is dead"},
		{"a function that died", "dialcall", `"dies"`, "", "*errors.errorString", "invoke DialCallFunction: no JSON"},
		{"a function that is not there", "dialcall", `"gone"`, "", "*errors.errorString", "invoke DialCallFunction: 404 Not Found: ResourceNotFound\n"},
		{"a function that is nowhere", "nothing", `{}`, "", "*errors.errorString", "no function nothing"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			out, err := p.invokeTask(t.Context(), c.function, []byte(c.payload))
			if diff := cmp.Diff(c.want, string(out)); diff != "" {
				t.Error(diff)
			}
			if c.errorType == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if diff := cmp.Diff(error(&stepfunctions.FunctionError{Type: c.errorType, Message: c.message}), err); diff != "" {
				t.Error(diff)
			}
		})
	}
}

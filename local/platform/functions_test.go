package platform

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/krosai/telephony/emulator/stepfunctions"
)

// TestTasksElsewhere: a workflow's task runs where Config.Lambda says, and its
// error has the same name as if it had run here.
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

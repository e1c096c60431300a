package layout

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/krosai/telephony/emulator/template"
)

func readTemplate(t *testing.T) *template.Template {
	t.Helper()
	tpl, err := template.Open("../template.yaml", template.Values{
		"LiveKitUrl": "wss://livekit.example", "LiveKitApiKey": "key", "LiveKitApiSecret": "secret",
		"OidcIssuer": "https://issuer.example", "OidcAudience": "kros", "OidcJwksUrl": "https://issuer.example/keys", "OidcRolesClaim": "roles",
		"ConsoleClientId": "console",
	})
	if err != nil {
		t.Fatal(err)
	}
	return tpl
}

// folders are the names of the functions' folders.
func folders(t *testing.T) []string {
	t.Helper()
	entries, err := os.ReadDir("../functions")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		if e.IsDir() && e.Name() != "all" {
			names = append(names, e.Name())
		}
	}
	return names
}

// same compares two sets of names.
func same(t *testing.T, wantName string, want []string, gotName string, got []string) {
	t.Helper()
	for _, name := range want {
		if !slices.Contains(got, name) {
			t.Errorf("%s: %s has it, %s lacks it", name, wantName, gotName)
		}
	}
	for _, name := range got {
		if !slices.Contains(want, name) {
			t.Errorf("%s: %s has it, %s lacks it", name, gotName, wantName)
		}
	}
	if !t.Failed() && len(want) != len(got) {
		t.Errorf("a name is twice in %s or in %s: %v, %v", wantName, gotName, want, got)
	}
}

// TestMemoryLimits: Lambda ends a process that exceeds its memory. GOGC makes Go's collector run
// less often than by default. GOMEMLIMIT makes it run more often when a function's memory is
// nearly full.
func TestMemoryLimits(t *testing.T) {
	t.Parallel()
	for _, f := range readTemplate(t).Functions() {
		var limit int
		if _, err := fmt.Sscanf(f.Environment["GOMEMLIMIT"], "%dMiB", &limit); err != nil {
			t.Errorf("%s: GOMEMLIMIT is %q: %v", f.LogicalID, f.Environment["GOMEMLIMIT"], err)
		}
		if want := f.MemoryMB * 4 / 5; limit < want || limit > want+1 || f.Environment["GOGC"] != "400" {
			t.Errorf("%s: GOMEMLIMIT %d MiB, GOGC %s with %d MB, want %d and 400", f.LogicalID, limit, f.Environment["GOGC"], f.MemoryMB, want)
		}
	}
}

// TestSAMVariables: scripts/test-sam.sh gives functions every variable that names a resource of the
// template. Without such a variable a function asks for a table that does not exist.
func TestSAMVariables(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../scripts/test-sam.sh")
	if err != nil {
		t.Fatal(err)
	}
	var given, wanted []string
	for _, name := range regexp.MustCompile(`"([A-Z_]+_(?:ARN|URL))": "(?:\$machine|https://sqs)`).FindAllStringSubmatch(string(text), -1) {
		given = append(given, name[1])
	}
	for _, table := range strings.Fields(regexp.MustCompile(`for table in ([a-z ]+)`).FindStringSubmatch(string(text))[1]) {
		given = append(given, strings.ToUpper(table)+"_TABLE")
	}
	for _, f := range readTemplate(t).Functions() {
		for name, value := range f.Environment {
			if name == "AWS_SAM_LOCAL" {
				t.Errorf("%s would let trunks lead to the machine that it runs on", f.LogicalID)
			}
			if strings.Contains(value, "kros-") && !slices.Contains(wanted, name) {
				wanted = append(wanted, name)
			}
		}
	}
	same(t, "template.yaml", wanted, "scripts/test-sam.sh", given)
}

func TestEveryFunctionIsComplete(t *testing.T) {
	t.Parallel()
	names := folders(t)
	if len(names) == 0 {
		t.Fatal("there are no functions")
	}
	for _, name := range names {
		for _, file := range []string{name + ".go", name + "_test.go", "lambda/main.go"} {
			if _, err := os.Stat(filepath.Join("../functions", name, file)); err != nil {
				t.Error(err)
			}
		}
	}
}

func TestTemplateNamesEveryFunction(t *testing.T) {
	t.Parallel()
	tpl := readTemplate(t)
	var names []string
	for _, fn := range tpl.Functions() {
		names = append(names, fn.Folder)
		if want := "kros-" + fn.Folder; fn.Name != want {
			t.Errorf("%s is deployed as %s, want %s", fn.LogicalID, fn.Name, want)
		}
		if fn.Timeout <= 0 || fn.MemoryMB <= 0 {
			t.Errorf("%s has no time-out or no memory: %s, %d MB", fn.LogicalID, fn.Timeout, fn.MemoryMB)
		}
	}
	same(t, "functions/", folders(t), "template.yaml", names)
}

// TestEveryFunctionIsCalled: every function is called by a route, a schedule, an event source or
// a workflow.
func TestEveryFunctionIsCalled(t *testing.T) {
	t.Parallel()
	tpl := readTemplate(t)
	called := map[string]bool{}
	for _, r := range tpl.Routes() {
		called[r.Function] = true
	}
	for _, s := range tpl.Schedules() {
		called[s.Function] = true
	}
	for _, s := range tpl.Sources() {
		called[s.Function] = true
	}
	for _, fn := range tpl.Functions() {
		for _, m := range tpl.StateMachines() {
			called[fn.Folder] = called[fn.Folder] || strings.Contains(string(m.Definition), `"`+fn.ARN+`"`)
		}
		if !called[fn.Folder] {
			t.Errorf("nothing calls %s", fn.Folder)
		}
	}
}

// TestAuthenticationIsConfigured: a function that checks credentials gets the variables that
// lambdahttp.Start needs for it. No other function gets the table of keys.
func TestAuthenticationIsConfigured(t *testing.T) {
	t.Parallel()
	tpl := readTemplate(t)
	routed, posts := map[string]bool{}, map[string]bool{}
	for _, r := range tpl.Routes() {
		routed[r.Function] = true
		posts[r.Function] = strings.HasPrefix(r.Key(), "POST ")
	}
	for _, fn := range tpl.Functions() {
		checks := routed[fn.Folder] && fn.Public == ""
		if _, has := fn.Environment["KEYS_TABLE"]; has && !checks {
			t.Errorf("%s has KEYS_TABLE and checks no credential", fn.Folder)
		}
		for _, name := range []string{"KEYS_TABLE", "CURSOR_KEY", "OIDC_ISSUER", "OIDC_AUDIENCE", "OIDC_JWKS_URL", "OIDC_ROLES_CLAIM"} {
			if checks && fn.Environment[name] == "" {
				t.Errorf("%s does not get %s", fn.Folder, name)
			}
		}
		if posts[fn.Folder] && checks && fn.Environment["LIMITS_TABLE"] == "" {
			t.Errorf("%s does not get LIMITS_TABLE, where its Idempotency-Keys are remembered", fn.Folder)
		}
	}
}

// pages is the function whose routes are pages for people. Every other route is an operation of the
// API, and openapi.json has all of those and nothing else.
const pages = "console"

// TestOpenAPINamesEveryRoute compares routes and their public marks.
func TestOpenAPINamesEveryRoute(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("../openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Paths map[string]map[string]struct {
			OperationID string `json:"operationId"`
			Security    []struct{ Bearer *[]string }
		}
	}
	if err := json.Unmarshal(data, &doc); err != nil {
		t.Fatal(err)
	}
	var documented, deployed []string
	for path, operations := range doc.Paths {
		for method, op := range operations {
			public := len(op.Security) == 0 || op.Security[0].Bearer == nil
			documented = append(documented, fmt.Sprintf("%s %s public=%v", strings.ToUpper(method), path, public))
		}
	}
	for _, r := range readTemplate(t).Routes() {
		if r.Function == pages {
			continue
		}
		deployed = append(deployed, fmt.Sprintf("%s public=%v", r.Key(), r.Public))
	}
	same(t, "openapi.json", documented, "template.yaml", deployed)
}

// TestConsoleIsOptional: the console is a function with routes if it is on and has a client to sign
// in with. The stack's own user pool has one.
func TestConsoleIsOptional(t *testing.T) {
	t.Parallel()
	other := template.Values{"OidcIssuer": "https://issuer.example", "OidcAudience": "kros"}
	for name, tc := range map[string]struct {
		values template.Values
		want   bool
	}{
		"own users":                   {template.Values{}, true},
		"own users, off":              {template.Values{"Console": "off"}, false},
		"another issuer":              {other, false},
		"another issuer, with client": {with(other, "ConsoleClientId", "abc"), true},
		"with client, off":            {with(with(other, "ConsoleClientId", "abc"), "Console", "off"), false},
	} {
		values := with(with(with(tc.values, "LiveKitUrl", "wss://x"), "LiveKitApiKey", "k"), "LiveKitApiSecret", "s")
		tpl, err := template.Open("../template.yaml", values)
		if err != nil {
			t.Fatal(err)
		}
		function := slices.ContainsFunc(tpl.Functions(), func(f template.Function) bool { return f.Folder == pages })
		routes := slices.ContainsFunc(tpl.Routes(), func(r template.Route) bool { return r.Function == pages || strings.HasPrefix(r.Path, "/console") })
		if function != tc.want || routes != tc.want {
			t.Errorf("%s: function %v, routes %v, want %v", name, function, routes, tc.want)
		}
	}
}

// with is a copy of values with one more.
func with(values template.Values, name, value string) template.Values {
	more := maps.Clone(values)
	more[name] = value
	return more
}

// TestFallback: the function of the route $default answers every caller, so it is public and has
// no rights.
func TestFallback(t *testing.T) {
	t.Parallel()
	tpl := readTemplate(t)
	for _, fn := range tpl.Functions() {
		if fn.Folder == tpl.Fallback() && (fn.Public == "" || len(fn.Rights) > 0) {
			t.Errorf("%s gets everybody's requests, and is not public or has the rights %v", fn.Folder, fn.Rights)
		}
	}
	if tpl.Fallback() == "" {
		t.Error("nothing answers the requests that no route takes")
	}
}

// TestEveryFunctionHasAnEvent: every function has a sample event of the kind that its source sends.
func TestEveryFunctionHasAnEvent(t *testing.T) {
	t.Parallel()
	tpl := readTemplate(t)
	routes, schedules, sources := map[string][]string{}, map[string]bool{}, map[string]string{}
	for _, s := range tpl.Sources() {
		sources[s.Function] = "aws:dynamodb"
		if s.Queue != "" {
			sources[s.Function] = "aws:sqs"
		}
	}
	for _, r := range tpl.Routes() {
		routes[r.Function] = append(routes[r.Function], r.Key())
	}
	for _, s := range tpl.Schedules() {
		schedules[s.Function] = true
	}
	paths, err := filepath.Glob("../events/*.json")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, path := range paths {
		name := strings.TrimSuffix(filepath.Base(path), ".json")
		names = append(names, name)
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var e struct {
			Version        string
			RouteKey       string
			RequestContext struct{ RouteKey string }
			DetailType     string `json:"detail-type"`
			CallID         string `json:"call_id"`
			RequestID      string `json:"request_id"`
			Records        []struct{ EventSource string }
		}
		if err := json.Unmarshal(data, &e); err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		switch keys := routes[name]; {
		case keys != nil:
			if e.Version != "2.0" || !slices.Contains(keys, e.RouteKey) || e.RequestContext.RouteKey != e.RouteKey {
				t.Errorf("%s is not an API Gateway v2 event of %q", path, keys)
			}
		case schedules[name]:
			if e.DetailType != "Scheduled Event" {
				t.Errorf("%s is not a scheduled event", path)
			}
		case sources[name] != "":
			if len(e.Records) == 0 || e.Records[0].EventSource != sources[name] {
				t.Errorf("%s is not a batch of %s", path, sources[name])
			}
		case !slices.ContainsFunc(tpl.Functions(), func(f template.Function) bool { return f.Folder == name }):
			// TestTemplateNamesEveryFunction names it.
		case !strings.HasPrefix(e.CallID, "call_") && !strings.HasPrefix(e.RequestID, "req_"):
			t.Errorf("%s is not a workflow task's input: it names neither a call nor a request", path)
		}
	}
	same(t, "functions/", folders(t), "events/", names)
}

// TestMakeBuildsEveryFunction asks make for its commands, without running them.
func TestMakeBuildsEveryFunction(t *testing.T) {
	t.Parallel()
	all := dryRun(t, "build")
	for _, fn := range readTemplate(t).Functions() {
		source := "./functions/" + fn.Folder + "/lambda"
		if !strings.Contains(all, source) {
			t.Errorf("make build does not build %s", source)
		}
		one := dryRun(t, "build-"+fn.LogicalID, "ARTIFACTS_DIR=/artifacts")
		if !strings.Contains(one, `-o "/artifacts/bootstrap" `+source) {
			t.Errorf("make build-%s does not build %s:\n%s", fn.LogicalID, source, one)
		}
	}
}

func dryRun(t *testing.T, args ...string) string {
	t.Helper()
	return runMake(t, append([]string{"-n"}, args...)...)
}

// runMake runs make in this repository and returns its output.
func runMake(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.Command("make", append([]string{"--no-print-directory"}, args...)...)
	cmd.Dir = ".."
	// The variables of the make that runs this test are left out.
	cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool {
		return strings.HasPrefix(v, "MAKEFLAGS=") || strings.HasPrefix(v, "MFLAGS=") || strings.HasPrefix(v, "MAKELEVEL=")
	})
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("make %v: %v\n%s", args, err, out)
	}
	return string(out)
}

// TestDocumentedCommandsExist: every `make target` in README and docs exists in the Makefile.
func TestDocumentedCommandsExist(t *testing.T) {
	t.Parallel()
	makefile, err := os.ReadFile("../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	targets := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^([a-z][a-z-]*):`).FindAllStringSubmatch(string(makefile), -1) {
		targets[m[1]] = true
	}
	documents, err := filepath.Glob("../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	commands := map[string]string{}
	command := regexp.MustCompile("(?m)(?:^|`)(?:\\$ )?make ([a-z][a-z-]*)")
	for _, path := range append(documents, "../README.md") {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Error(err)
			continue
		}
		for _, m := range command.FindAllStringSubmatch(string(text), -1) {
			commands[m[1]] = filepath.Base(path)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(commands)) {
		if !targets[name] {
			t.Errorf("%s names `make %s`, which the Makefile does not have", commands[name], name)
		}
	}
	for _, name := range []string{"run", "test"} {
		if commands[name] == "" {
			t.Errorf("no document names `make %s`", name)
		}
	}
}

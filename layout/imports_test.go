// Package layout checks the layout of the repository: which package may import which, what a
// package may do before main, what a binary links, and that functions, template, events, documents
// and Makefile name the same things. It has tests only.
package layout

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/krosai/telephony"

// pkg is the output of `go list -json` for a package.
type pkg struct {
	ImportPath string
	Dir        string
	Name       string
	Standard   bool
	GoFiles    []string
	Imports    []string
	Deps       []string
	Error      *struct{ Err string }
}

// ours is the path inside the repository, such as shared/call or local/gateway. It reports whether
// the package is in the repository.
func ours(importPath string) (string, bool) {
	return strings.CutPrefix(importPath, module+"/")
}

// list runs `go list -deps` in a folder of the repository.
func list(t *testing.T, dir string, patterns ...string) []pkg {
	t.Helper()
	fields := "-json=ImportPath,Dir,Name,Standard,GoFiles,Imports,Deps,Error"
	cmd := exec.Command("go", append([]string{"list", "-deps", fields}, patterns...)...)
	cmd.Dir = dir
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list in %s: %v\n%s", dir, err, &stderr)
	}
	var packages []pkg
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return packages
		} else if err != nil {
			t.Fatal(err)
		}
		if p.Error != nil {
			t.Errorf("%s: %s", p.ImportPath, p.Error.Err)
		}
		packages = append(packages, p)
	}
}

// domain packages are types and rules that a reader understands without knowing other packages.
var domain = []string{"shared/account", "shared/call", "shared/fault", "shared/id", "shared/number", "shared/phonenumber", "shared/numberrequest", "shared/secret", "shared/webhook"}

// sole names the modules that only a few packages may import, so that the rest of the code does not
// know them and most binaries do not contain them.
var sole = []struct {
	prefix string
	by     []string
}{
	// emulator/template has the template's tables, which the laptop creates. emulator/eventsource
	// reads their streams.
	{"github.com/aws/aws-sdk-go-v2/service/dynamodb", []string{"shared/store", "emulator/template", "emulator/eventsource", "local/platform"}},
	{"github.com/aws/aws-sdk-go-v2/feature/dynamodb", []string{"shared/store"}},
	{"github.com/aws/aws-sdk-go-v2/service/sfn", []string{"shared/workflow"}},
	// Lambda, and so the emulator, receives from the queue. The laptop creates it.
	{"github.com/aws/aws-sdk-go-v2/service/sqs", []string{"shared/webhook/queue", "emulator/eventsource", "local/platform"}},
	{"github.com/aws/aws-sdk-go-v2/service/bedrockruntime", []string{"shared/call/summary"}},
	{"github.com/DavidBelicza/TextRank", []string{"shared/call/summary"}},
	{"github.com/aws/aws-sdk-go-v2/config", nil}, // 2 MB and 5 ms of start
	{"github.com/livekit/", []string{"shared/livekit", "local"}},
	// The shared packages keep deadlines. The emulator and the laptop are the Lambda service.
	{"github.com/aws/aws-lambda-go", []string{"shared/api/lambdahttp", "shared/invocation", "emulator/eventsource", "local/platform"}},
	{"github.com/awslabs/aws-lambda-go-api-proxy", []string{"shared/api/lambdahttp"}},
}

// within reports whether a package is under a folder. * stands for one segment.
func within(path, folder string) bool {
	p, f := strings.Split(path, "/"), strings.Split(folder, "/")
	if len(p) < len(f) {
		return false
	}
	for i := range f {
		if f[i] != "*" && f[i] != p[i] {
			return false
		}
	}
	return true
}

// forTests reports whether a package is only for tests, as its name says: storetest opens the
// emulator, livekittest is a LiveKit for tests.
func forTests(path string) bool { return strings.HasSuffix(path, "test") }

// forbidden says why a package of ours may not import another package, or returns "".
func forbidden(from, imported string, standard bool) string {
	to, mine := ours(imported)
	ulid := from == "shared/id" && to == "github.com/oklog/ulid/v2"
	if slices.Contains(domain, from) && !standard && !ulid && (!mine || !slices.Contains(domain, to)) {
		return "a domain package imports the standard library and domain packages"
	}
	for _, s := range sole {
		if strings.HasPrefix(imported, s.prefix) && !forTests(from) && !slices.ContainsFunc(s.by, func(by string) bool { return within(from, by) }) {
			return "only " + strings.Join(s.by, ", ") + " may"
		}
	}
	switch {
	case !mine:
		return ""
	case forTests(to) && !forTests(from):
		return "it is for tests"
	case within(to, "functions/all") && !within(from, "local"):
		return "the table of all functions links everything: it is for local and tests"
	case from == "functions/all" || within(from, "local"):
		return ""
	case within(to, "local"):
		return "the product does not know the laptop"
	case within(to, "functions") && within(from, "functions"):
		if from == to+"/lambda" {
			return ""
		}
		return "functions share through shared/, they do not import each other"
	case within(to, "functions"):
		return "only local, functions/all and a function's own main import a function"
	case within(from, "emulator") && !within(to, "emulator"):
		return "an emulator knows AWS, not the product"
	case within(to, "emulator") && !within(from, "emulator") && !forTests(from):
		return "the product does not know its emulators"
	}
	return ""
}

func TestImports(t *testing.T) {
	t.Parallel()
	for _, dir := range []string{"..", "../local"} {
		t.Run(dir, func(t *testing.T) {
			t.Parallel()
			packages := list(t, dir, "./...")
			standard := map[string]bool{"C": true, "unsafe": true}
			for _, p := range packages {
				standard[p.ImportPath] = p.Standard
			}
			seen := 0
			for _, p := range packages {
				from, mine := ours(p.ImportPath)
				if !mine {
					continue
				}
				seen++
				for _, imported := range p.Imports {
					if why := forbidden(from, imported, standard[imported]); why != "" {
						t.Errorf("%s imports %s: %s", from, imported, why)
					}
				}
			}
			if seen == 0 {
				t.Error("no package of ours was listed")
			}
		})
	}
}

// TestImportRules proves that the rules refuse the imports that they are for.
func TestImportRules(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		from, to string
		standard bool
		refused  bool
	}{
		{"functions/createcall", module + "/shared/call", false, false},
		{"functions/createcall", module + "/functions/hangupcall", false, true},
		{"functions/createcall/lambda", module + "/functions/createcall", false, false},
		{"functions/createcall/lambda", module + "/functions/hangupcall", false, true},
		{"functions/createcall/lambda", "github.com/aws/aws-lambda-go/lambda", false, true},
		{"shared/invocation", "github.com/aws/aws-lambda-go/lambda", false, false},
		{"functions/createcall/lambda", module + "/functions/all", false, true},
		{"functions/createcall", "github.com/aws/aws-lambda-go/events", false, true},
		{"functions/createcall", "github.com/livekit/protocol/livekit", false, true},
		{"functions/createcall", module + "/emulator/dynamodb", false, true},
		{"functions/all", module + "/functions/createcall", false, false},
		{"shared/store", "github.com/aws/aws-sdk-go-v2/service/dynamodb/types", false, false},
		{"shared/teardown", "github.com/aws/aws-sdk-go-v2/service/dynamodb/types", false, true},
		{"shared/webhook/queue", "github.com/aws/aws-sdk-go-v2/service/sqs", false, false},
		{"functions/createcall", "github.com/aws/aws-sdk-go-v2/service/sqs/types", false, true},
		{"emulator/eventsource", "github.com/aws/aws-sdk-go-v2/service/dynamodbstreams", false, false},
		{"shared/teardown", module + "/functions/createcall", false, true},
		{"shared/teardown", module + "/local/rtp", false, true},
		{"shared/call", "time", true, false},
		{"shared/call", module + "/shared/fault", false, false},
		{"shared/call", module + "/shared/store", false, true},
		{"shared/number", "github.com/oklog/ulid/v2", false, true},
		{"shared/id", "github.com/oklog/ulid/v2", false, false},
		{"emulator/stepfunctions", module + "/shared/call", false, true},
		{"emulator/stepfunctions", module + "/emulator/template", false, false},
		{"shared/store/storetest", module + "/emulator/dynamodb", false, false},
		{"shared/store/storetest", "github.com/aws/aws-sdk-go-v2/service/dynamodb", false, false},
		{"shared/store", module + "/shared/store/storetest", false, true},
		{"local/platform", module + "/shared/store/storetest", false, true},
		{"local/platform", module + "/functions/all", false, false},
		{"local/platform", "github.com/livekit/livekit-server/pkg/service", false, false},
		{"local/platform", "github.com/aws/aws-lambda-go/lambda", false, false},
		{"local/gateway", "github.com/aws/aws-lambda-go/events", false, true},
	} {
		if why := forbidden(tc.from, tc.to, tc.standard); (why != "") != tc.refused {
			t.Errorf("%s imports %s: got %q, want refused %v", tc.from, tc.to, why, tc.refused)
		}
	}
}

// TestRootModule: modules that only the laptop needs are in local/go.mod only.
func TestRootModule(t *testing.T) {
	t.Parallel()
	mod, err := os.ReadFile("../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	for _, heavy := range []string{"livekit/livekit-server", "alicebob/miniredis", "emiago/"} {
		if bytes.Contains(mod, []byte(heavy)) {
			t.Errorf("go.mod names %s: it belongs in local/go.mod", heavy)
		}
	}
}

package layout

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// links reports whether a package's binary contains a module.
func links(p pkg, prefix string) bool {
	for _, d := range p.Deps {
		if strings.HasPrefix(d, prefix) {
			return true
		}
	}
	return false
}

// TestBinariesLinkWhatTheyNeed: LiveKit's client costs a function 12 MB and 7–9 ms of start. So a
// function links it only if the template gives it LiveKit's address. No Lambda links packages that
// only tests and the laptop use.
func TestBinariesLinkWhatTheyNeed(t *testing.T) {
	t.Parallel()
	wanted := map[string]bool{}
	for _, fn := range readTemplate(t).Functions() {
		_, wanted[fn.Folder] = fn.Environment["LIVEKIT_URL"]
	}
	if wanted["createcall"] || wanted["getcall"] {
		t.Error("createcall and getcall do not speak to LiveKit")
	}
	seen := 0
	for _, p := range list(t, "..", "./functions/...") {
		path, _ := ours(p.ImportPath)
		name, isMain := strings.CutSuffix(strings.TrimPrefix(path, "functions/"), "/lambda")
		if !isMain || p.Name != "main" {
			continue
		}
		seen++
		if got := links(p, "github.com/livekit/"); got != wanted[name] {
			t.Errorf("%s: links LiveKit: %v, the template gives it LIVEKIT_URL: %v", name, got, wanted[name])
		}
		if got := links(p, "github.com/aws/aws-sdk-go-v2/service/bedrockruntime"); got != (name == "summarizecall") {
			t.Errorf("%s: links Bedrock: %v", name, got)
		}
		if sdk := links(p, "github.com/aws/aws-sdk-go-v2") || links(p, "github.com/danielgtaylor/huma"); sdk && name == pages {
			t.Errorf("%s links the AWS SDK or huma: it serves files", name)
		}
		for _, dead := range []string{
			module + "/emulator", module + "/functions/all", module + "/shared/store/storetest", "github.com/getkin/kin-openapi", "go.etcd.io/bbolt",
			"github.com/aws/aws-sdk-go-v2/config", "github.com/nyaruka/phonenumbers", "github.com/google/cel-go", "testing",
		} {
			if links(p, dead) {
				t.Errorf("%s links %s", name, dead)
			}
		}
	}
	if seen == 0 {
		t.Error("no function's main was listed")
	}
}

// TestSizeOfARead: a read that does not speak to LiveKit stays small.
func TestSizeOfARead(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("builds a Lambda: not with -short")
	}
	dir := t.TempDir()
	runMake(t, "build-GetCallFunction", "ARTIFACTS_DIR="+dir)
	info, err := os.Stat(filepath.Join(dir, "bootstrap"))
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("getcall: %d bytes", info.Size())
	if info.Size() > sizeOfARead {
		t.Errorf("getcall has %d bytes, more than %d", info.Size(), sizeOfARead)
	}
}

package layout

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestArchitecture checks that docs/architecture.md names every package of shared/, and only files
// and folders that exist.
func TestArchitecture(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile("../docs/architecture.md")
	if err != nil {
		t.Fatal(err)
	}
	text := string(raw)
	packages, err := filepath.Glob("../shared/*")
	if err != nil || len(packages) == 0 {
		t.Fatalf("%d packages: %v", len(packages), err)
	}
	for _, path := range packages {
		if name := strings.TrimPrefix(path, "../"); !strings.Contains(text, "`"+name+"`") {
			t.Errorf("docs/architecture.md does not name %s", name)
		}
	}
	named := regexp.MustCompile(`\b(?:functions|shared|local|emulator|statemachines|layout|examples|docs)/[a-zA-Z_./-]*[a-zA-Z_]`).FindAllString(text, -1)
	for _, path := range named {
		if _, err := os.Stat(filepath.Join("..", path)); err != nil {
			t.Errorf("docs/architecture.md names %s, which is not there", path)
		}
	}
	if len(named) < 50 {
		t.Errorf("only %d paths were found in docs/architecture.md", len(named))
	}
}

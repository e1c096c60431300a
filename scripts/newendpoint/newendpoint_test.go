package main

import (
	"encoding/json"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// newRepository copies the files that create changes into a new folder.
func newRepository(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	for _, path := range []string{"template.yaml", "functions/all/all.go", "functions/all/events_test.go", "functions/all/matrix_test.go", "events/getcall.json"} {
		text, err := os.ReadFile(filepath.Join("../..", path))
		if err != nil {
			t.Fatal(err)
		}
		path = filepath.Join(root, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// contents returns the files and folders of a repository. A folder has no text.
func contents(t *testing.T, root string) map[string]string {
	t.Helper()
	found := map[string]string{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		name, _ := filepath.Rel(root, path)
		if err != nil || d.IsDir() {
			found[name] = ""
			return err
		}
		text, err := os.ReadFile(path)
		found[name] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// TestCreated checks that endpoints of each kind compile, with their tests and their rows.
func TestCreated(t *testing.T) {
	t.Parallel()
	root := newRepository(t)
	packages := []string{"list", "-export", "-test", "-overlay", filepath.Join(root, "overlay.json"), "./functions/all"}
	replace := map[string]string{}
	for name, route := range map[string]string{
		"listnotes":    "GET /outbound-calls/{call_id}/notes",
		"addnote":      "POST /outbound-calls/{call_id}/notes",
		"setlabel":     "PUT /outbound-calls/phone-numbers/{phone_number_id}/label",
		"cancelwish":   "DELETE /telephony/phone-number-requests/{request_id}",
		"pauseall":     "PATCH /webhook-endpoints/{endpoint_id}/all",
		"listcarriers": "GET /telephony/carriers",
		"whoami":       "GET /outbound-calls/me",
		"getanynumber": "GET /admin/phone-numbers/{phone_number_id}",
		"listtrunks":   "GET /admin/trunks",
	} {
		files, err := create(root, name, route)
		if err != nil {
			t.Fatal(err)
		}
		if len(files) != 8 {
			t.Errorf("%s: %v", name, files)
		}
		for _, file := range files {
			repo, err := filepath.Abs(filepath.Join("../..", file))
			if err != nil {
				t.Fatal(err)
			}
			replace[repo] = filepath.Join(root, file)
		}
		packages = append(packages, "./functions/"+name+"/...")
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "overlay.json"), overlay, 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("go", packages...)
	cmd.Dir = "../.."
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestPlaces checks where the rows and the resource go.
func TestPlaces(t *testing.T) {
	t.Parallel()
	root := newRepository(t)
	if _, err := create(root, "listnotes", "GET /outbound-calls/{call_id}/notes"); err != nil {
		t.Fatal(err)
	}
	now := contents(t, root)
	for path, want := range map[string]string{
		"functions/all/all.go":         "\t\t\"listnotes\": &listnotes.Endpoint{Calls: d.DB},\n\t\t\"listnumbers\"",
		"functions/all/events_test.go": "\t\"listnotes\": (*stage).talk,\n\t\"listnumbers\"",
		"functions/all/matrix_test.go": "\t\"GET /outbound-calls/{call_id}/notes\": ",
		"template.yaml":                "Path: \"/outbound-calls/{call_id}/notes\"}\n  ListNotesLogGroup:\n",
		"events/listnotes.json":        "\"rawPath\": \"/outbound-calls/call_01KAMPJ5V0SAMPMECA00000000/notes\"",
	} {
		// gofmt aligns the rows of a table with its longest name, whatever that is.
		if aligned := regexp.MustCompile(`: +`); !strings.Contains(aligned.ReplaceAllString(now[path], ": "), want) {
			t.Errorf("%s does not have %q", path, want)
		}
	}
	before := now["template.yaml"][:strings.Index(now["template.yaml"], "\n\n  ListNotesFunction:")]
	if last := before[strings.LastIndex(before, "Path: "):]; !strings.HasPrefix(last, "Path: \"/outbound-calls/{call_id}") {
		t.Errorf("the resource is behind %.60s", last)
	}
}

// TestRefused checks that a refusal says what is wrong, and changes nothing.
func TestRefused(t *testing.T) {
	t.Parallel()
	const notes = "GET /outbound-calls/{call_id}/notes"
	for name, tc := range map[string]struct{ fn, route, want string }{
		"no name":                    {"", notes, `FN="" is no name`},
		"a name with a hyphen":       {"list-notes", notes, `FN="list-notes" is no name`},
		"a word of Go":               {"import", notes, `FN="import" is no name`},
		"the table's name":           {"all", notes, `FN="all" is no name`},
		"a function's name":          {"getcall", notes, "FN=getcall is taken"},
		"a name in the template":     {"listnumbers", notes, "FN=listnumbers is taken: template.yaml"},
		"no route":                   {"listnotes", "", `ROUTE="" is no route`},
		"no method":                  {"listnotes", "/notes", "is no route"},
		"another method":             {"listnotes", "HEAD /outbound-calls/notes", "is no route"},
		"a slash at the end":         {"listnotes", "GET /outbound-calls/", "is no route"},
		"a route's name":             {"listnotes", "GET /outbound-calls", "ROUTE='GET /outbound-calls' is taken"},
		"a route with another id":    {"listnotes", "GET /outbound-calls/{request_id}", "is taken: template.yaml has GET /outbound-calls/{call_id}"},
		"two ids":                    {"listnotes", "GET /outbound-calls/{call_id}/notes/{call_id}", "has 2 ids"},
		"an unknown id":              {"listnotes", "GET /outbound-calls/{note_id}/notes", "has the id {note_id}"},
		"an unknown segment":         {"listnotes", "GET /notes", "begins with no segment"},
		"another's webhook endpoint": {"listnotes", "GET /admin/webhook-endpoints/{endpoint_id}/notes", "only its owner"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			root := newRepository(t)
			before := contents(t, root)
			if _, err := create(root, tc.fn, tc.route); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %s", err, tc.want)
			}
			if diff := cmp.Diff(before, contents(t, root)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestNothingHalfDone checks that create leaves the repository as it was if a file cannot be
// written or changed.
func TestNothingHalfDone(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(root string) error{
		"an event that cannot be written": func(root string) error {
			if err := os.RemoveAll(filepath.Join(root, "events")); err != nil {
				return err
			}
			return os.WriteFile(filepath.Join(root, "events"), nil, 0o644)
		},
		"a table without rows": func(root string) error {
			return os.WriteFile(filepath.Join(root, "functions/all/matrix_test.go"), []byte("package all_test\n"), 0o644)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for range 20 { // the files are written in a random order
				root := newRepository(t)
				if err := spoil(root); err != nil {
					t.Fatal(err)
				}
				before := contents(t, root)
				if _, err := create(root, "listnotes", "GET /outbound-calls/{call_id}/notes"); err == nil {
					t.Fatal("no error")
				}
				if diff := cmp.Diff(before, contents(t, root)); diff != "" {
					t.Fatal(diff)
				}
			}
		})
	}
}

// TestNames checks the names that follow from a function's name.
func TestNames(t *testing.T) {
	t.Parallel()
	for fn, want := range map[string]string{"listnotes": "ListNotes list-notes Lists", "settings": "SetTings set-tings Sets", "notes": "Notes notes Serves"} {
		e, err := parse(fn, "GET /outbound-calls/x")
		if got := strings.Join([]string{e.LogicalID(), e.OperationID(), title(strings.Fields(e.Does())[0])}, " "); err != nil || got != want {
			t.Errorf("%s: %s, %v", fn, got, err)
		}
	}
}

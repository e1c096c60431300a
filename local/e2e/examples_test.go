package e2e

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestNumbersExample runs the example against the platform, twice, with only the programs that the
// example says it needs. Then it checks what the example left at the carrier and in LiveKit.
func TestNumbersExample(t *testing.T) {
	t.Parallel()
	tools := exampleTools(t)
	for range 2 {
		out := runExample(t, tools, "numbers.sh")
		steps := regexp.MustCompile(`(?m)^== .+$`).FindAllString(out, -1)
		if len(steps) != 14 || !strings.HasSuffix(out, "Done.\n") {
			t.Errorf("%d steps: %s", len(steps), out)
		}
		number := regexp.MustCompile(`\+234803[0-9]{7}`).FindString(out)
		calls := 0
		for _, c := range shared.Carrier.Calls() {
			if c.Caller == number {
				calls++
			}
		}
		if calls != 1 {
			t.Errorf("the carrier had %d calls from %s", calls, number)
		}
		if outbound, inbound, rules := objects(t, shared, number); outbound+inbound+rules != 0 {
			t.Errorf("left in LiveKit: %d %d %d", outbound, inbound, rules)
		}
		for _, secret := range []string{"let-me-call", shared.Access.APIKey} {
			if strings.Contains(out, secret) {
				t.Errorf("it prints %s", secret)
			}
		}
	}
}

// TestFirstCallExample runs the shortest example and checks its steps and its end.
func TestFirstCallExample(t *testing.T) {
	t.Parallel()
	out := runExample(t, exampleTools(t), "first-call.sh")
	steps := regexp.MustCompile(`(?m)^== .+$`).FindAllString(out, -1)
	if len(steps) != 7 || !strings.HasSuffix(out, "Done.\n") || strings.Contains(out, shared.Access.APIKey) {
		t.Errorf("%d steps: %s", len(steps), out)
	}
}

// TestNumbersExampleFails checks that an unexpected answer stops the example.
func TestNumbersExampleFails(t *testing.T) {
	t.Parallel()
	env := filepath.Join(t.TempDir(), "env")
	text := "KROS_URL=" + shared.Access.URL + "\nKROS_API_KEY=nothing\nKROS_ADMIN_JWT=nothing\nKROS_NUMBER_ID=nothing\n"
	if err := os.WriteFile(env, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	cmd := exec.Command("bash", "../../examples/curl/numbers.sh", env)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	exit, failed := errors.AsType[*exec.ExitError](err)
	if !failed || exit.ExitCode() != 1 || !strings.Contains(stderr.String(), "FAILED: POST /telephony/phone-number-requests answered 401 instead of 201") {
		t.Errorf("%v: %s%s", err, out, &stderr)
	}
}

// exampleTools is a folder with only the programs that the examples say they need.
func exampleTools(t *testing.T) string {
	t.Helper()
	tools := t.TempDir()
	for _, name := range []string{"bash", "curl", "sed", "sleep"} {
		path, err := exec.LookPath(name)
		if err != nil {
			t.Skipf("the example needs %s, which is not here", name)
		}
		if err := os.Symlink(path, filepath.Join(tools, name)); err != nil {
			t.Fatal(err)
		}
	}
	return tools
}

// runExample runs the example with its own PATH.
func runExample(t *testing.T, path, name string) string {
	t.Helper()
	cmd := exec.Command(filepath.Join(path, "bash"), "../../examples/curl/"+name, filepath.Join(shared.Config.Dir, "env"))
	cmd.Env = []string{"PATH=" + path}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return string(out)
}

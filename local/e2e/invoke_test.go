package e2e

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/krosai/telephony/local/platform"
)

// TestInvoke checks that functions run as binaries beside the platform, as `make invoke` runs them,
// and work on the platform's tables.
//
//nolint:paralleltest // it builds binaries, on which no call that is timed should wait
func TestInvoke(t *testing.T) {
	u := demo(t, shared)
	id := u.place(fresh(), nil).CallID
	u.hangUp(id)
	u.until(id, details.over)
	ended := filepath.Join(t.TempDir(), "event.json")
	if err := os.WriteFile(ended, fmt.Appendf(nil, `{"call_id":%q,"reason":"expired"}`, id), 0o600); err != nil {
		t.Fatal(err)
	}

	for _, c := range []struct {
		name, function, event string
		fails                 string
		prints                []string
	}{
		{"a public route", "health", "", "", []string{"health with ../../events/health.json\nstarted in ", " ms, ran ", "\n\n200 OK\n",
			"\nContent-Type: application/json\n", "\n{\n  \"status\": \"ok\",\n  \"version\": \"local\"\n}\n\nIts log:\n", `"route":"GET /health"`}},
		{"an administrator's route", "listaudit", "", "", []string{"\n200 OK\n", `"data": [`, `"user_id":"ada.admin"`}},
		{"a task", "finishcall", ended, "", []string{"ms\n\n{\n  \"outcome\": \"ended\"\n}\n"}},
		{"a task that fails", "finishcall", "", "the function failed", []string{"ms\n\nError: NOT_FOUND: no such call\n\nIts log:\n"}},
		{"no such function", "makecoffee", "", `there is no function "makecoffee"`, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			printed := invoke(t, c.function, c.event, c.fails)
			for _, want := range c.prints {
				if !strings.Contains(printed, want) {
					t.Errorf("%q is not in\n%s", want, printed)
				}
			}
		})
	}
	t.Run("a call is placed", func(t *testing.T) {
		printed := invoke(t, "createcall", "", "")
		found := regexp.MustCompile(`\n201 Created\n[^{]*\{\n  "call_id": "(call_\w+)"`).FindStringSubmatch(printed)
		if found == nil {
			t.Fatal(printed)
		}
		if d := u.until(found[1], is("in_progress")); d.PhoneNumber != "+14155550100" {
			t.Errorf("it is %+v", d)
		}
		u.hangUp(found[1])
	})
}

// invoke returns the output of platform.Invoke. It checks that Invoke fails as given in fails, or
// succeeds if fails is empty.
func invoke(t *testing.T, function, event, fails string) string {
	t.Helper()
	var out bytes.Buffer
	err := platform.Invoke(t.Context(), shared.Config, function, event, &out)
	if fails == "" && err != nil || fails != "" && (err == nil || !strings.Contains(err.Error(), fails)) {
		t.Errorf("it ended with %v, want %q; it printed\n%s", err, fails, &out)
	}
	return out.String()
}

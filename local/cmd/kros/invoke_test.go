package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/krosai/telephony/local/platform"
)

func TestInvokeLists(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	if err := invoke(t.Context(), platform.Config{Root: "../../..", Dir: t.TempDir()}, nil, &out); err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{
		"createcall           POST /outbound-calls/create\n",
		"console              ANY /console, ANY /console/{path+}\n",
		"finishcall           the workflow kros-call\n",
		"sweepcalls           every 1m0s\n",
	} {
		if !strings.Contains(out.String(), line) {
			t.Errorf("%q is not in\n%s", line, &out)
		}
	}
}

func TestInvokeRefuses(t *testing.T) {
	t.Parallel()
	stopped := platform.Config{Root: "../../..", Dir: t.TempDir()}
	env := "KROS_URL=http://127.0.0.1:1\nKROS_API_KEY=kros_live_1\nKROS_NUMBER_ID=pn_1\n"
	if err := os.WriteFile(filepath.Join(stopped.Dir, "env"), []byte(env), 0o600); err != nil {
		t.Fatal(err)
	}
	never := platform.Config{Root: "../../..", Dir: t.TempDir()}
	for _, c := range []struct {
		config     platform.Config
		args, want string
	}{
		{stopped, "nothing", `there is no function "nothing"`},
		{stopped, "createcall", "make run"},
		{stopped, "health", "make run"},
		{never, "createcall", "make run"},
		{never, "health", "make run"},
		{stopped, "-event none.json createcall", "none.json"},
		{stopped, "createcall health", "one function"},
		{stopped, "-nope", "not defined"},
	} {
		var out bytes.Buffer
		err := invoke(t.Context(), c.config, strings.Fields(c.args), &out)
		if err == nil || !strings.Contains(err.Error(), c.want) || out.Len() > 0 {
			t.Errorf("kros invoke %s: %v, printed %q", c.args, err, &out)
		}
	}
}

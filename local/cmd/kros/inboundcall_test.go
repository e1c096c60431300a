package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/krosai/telephony/local/platform"
)

func TestInboundCallRefuses(t *testing.T) {
	t.Parallel()
	c := platform.Config{Dir: t.TempDir()}
	for args, want := range map[string]string{"": "make run", "-from anonymous": "make run", "+14155550100": "no argument", "-nope": "not defined"} {
		var out bytes.Buffer
		err := inboundCall(t.Context(), c, strings.Fields(args), &out)
		if err == nil || !strings.Contains(err.Error(), want) || out.Len() > 0 {
			t.Errorf("kros inbound-call %s: %v, printed %q", args, err, &out)
		}
	}
}

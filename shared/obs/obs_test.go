package obs

import (
	"bytes"
	"context"
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestLogger(t *testing.T) {
	t.Parallel()
	for level, want := range map[string]string{"debug": "diwe", "": "iwe", "nonsense": "iwe", "INFO": "iwe", "Warn": "we", "error": "e"} {
		var out bytes.Buffer
		log := Logger(&out, level)
		log.Debug("d")
		log.Info("i")
		log.Warn("w", "text", "line\n{\"msg\":\"forged\"}")
		log.Error("e")
		var got string
		for line := range strings.Lines(out.String()) {
			var entry struct{ Msg string }
			if err := json.Unmarshal([]byte(line), &entry); err != nil {
				t.Fatalf("%v in %q", err, line)
			}
			got += entry.Msg
		}
		if got != want {
			t.Errorf("level %q logs %q, want %q", level, got, want)
		}
	}
}

// The line follows the specification of the embedded metric format.
func TestCountLine(t *testing.T) {
	t.Parallel()
	got := string(countLine(time.UnixMilli(1795339800123), "CallsEnded", 2, []string{"status", "busy", "direction", "outbound"}))
	want := `{"CallsEnded":2,"_aws":{"CloudWatchMetrics":[{"Namespace":"KrosTelephony","Dimensions":[["status","direction"]],` +
		`"Metrics":[{"Name":"CallsEnded","Unit":"Count"}]}],"Timestamp":1795339800123},"direction":"outbound","status":"busy"}` + "\n"
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if bare := string(countLine(time.UnixMilli(0), "Sweeps", 1, nil)); !strings.Contains(bare, `"Dimensions":[[]]`) {
		t.Errorf("without dimensions: %s", bare)
	}
	if line := countLine(time.UnixMilli(0), "x", math.NaN(), nil); line != nil {
		t.Errorf("NaN made %s", line)
	}
}

func TestCount(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	ctx := WithOutput(context.Background(), &out)
	Count(ctx, "CallsEnded", 1, "status", "busy")
	Count(ctx, "CallsEnded", 1, "status", "completed")
	if got := strings.Count(out.String(), "\n"); got != 2 || !json.Valid([]byte(strings.Split(out.String(), "\n")[0])) {
		t.Errorf("%d lines: %s", got, out.String())
	}
}

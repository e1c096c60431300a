package e2e

import (
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/krosai/telephony/shared/webhook/webhooktest"
)

// TestCallsExample runs the example against the platform, with only the programs that the example
// says it needs.
func TestCallsExample(t *testing.T) {
	t.Parallel()
	tools := t.TempDir()
	for _, name := range []string{"bash", "curl", "sed", "sleep", "mktemp", "rm"} {
		path, err := exec.LookPath(name)
		if err != nil {
			t.Skipf("the example needs %s, which is not here", name)
		}
		if err := os.Symlink(path, filepath.Join(tools, name)); err != nil {
			t.Fatal(err)
		}
	}
	kros := filepath.Join(tools, "kros")
	build := exec.Command("go", "build", "-o", kros, "../cmd/kros")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	cmd := exec.Command(filepath.Join(tools, "bash"), "../../examples/curl/calls.sh", filepath.Join(shared.Config.Dir, "env"))
	cmd.Env = []string{"PATH=" + tools, "KROS=" + kros}
	text, err := cmd.CombinedOutput()
	out := string(text)
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, line := range []string{`verified call\.answered evt_[0-9A-Z]{26} {"call_id":"call_[0-9A-Z]{26}","status":"in_progress",`,
		`verified call\.ended evt_[0-9A-Z]{26} {.*"hangup_cause":"api_hangup",.*"metadata":{"order":"A-1001"},`,
		`verified call\.summary_ready evt_[0-9A-Z]{26} {.*"summary":{"text":"[^"]+","model":"[^"]+"`, `again call\.[a-z_]+ evt_[0-9A-Z]{26} `} {
		if !regexp.MustCompile(`(?m)^` + line).MatchString(out) {
			t.Errorf("%s is not in %s", line, out)
		}
	}
	if steps := regexp.MustCompile(`(?m)^== .+$`).FindAllString(out, -1); len(steps) != 10 || !strings.HasSuffix(out, "Done.\n") {
		t.Errorf("%d steps: %s", len(steps), out)
	}
	if strings.Contains(out, shared.Access.APIKey) || regexp.MustCompile(`whsec_[A-Za-z0-9+/]`).MatchString(out) {
		t.Errorf("it prints a secret: %s", out)
	}
}

// TestDeliveries checks that the events of an answered, a busy and an unanswered call are true,
// signed and delivered once each.
func TestDeliveries(t *testing.T) {
	t.Parallel()
	u, r := demo(t, shared), webhooktest.NewReceiver(t)
	made := must[struct {
		EndpointID    string `json:"endpoint_id"`
		SigningSecret string `json:"signing_secret"`
	}](u, "POST", "/webhook-endpoints", map[string]any{"url": r.URL, "events": []string{"call.answered", "call.ended"}})
	r.Trust(t, made.SigningSecret)
	t.Cleanup(func() { u.do("DELETE", "/webhook-endpoints/"+made.EndpointID, nil) })

	want := map[string]string{
		u.place(fresh(), request{"metadata": request{"n": "1"}}).CallID:                                      "answered in_progress, ended completed callee_hangup",
		u.place("+14155550102", request{"metadata": request{"n": "2"}}).CallID:                               "ended busy busy",
		u.place("+14155550104", request{"metadata": request{"n": "3"}, "ringing_timeout_seconds": 5}).CallID: "ended no_answer no_answer",
	}
	late := map[string]time.Duration{} // by call: delay of its event after the end
	got := func() map[string]string {
		told := map[string]string{}
		for _, m := range r.Messages() {
			var e struct {
				Type string
				Data struct {
					CallID      string `json:"call_id"`
					Status      string
					HangupCause string    `json:"hangup_cause"`
					EndedAt     time.Time `json:"ended_at"`
				}
			}
			if err := json.Unmarshal([]byte(m.Body), &e); err != nil || m.Err != nil {
				t.Errorf("%v %v: %s", err, m.Err, m.Body)
			}
			if want[e.Data.CallID] == "" {
				continue // an event of another test
			}
			if e.Type == "call.ended" {
				late[e.Data.CallID] = m.At.Sub(e.Data.EndedAt).Round(time.Millisecond)
			}
			line := strings.TrimSpace(strings.TrimPrefix(e.Type, "call.") + " " + e.Data.Status + " " + e.Data.HangupCause)
			told[e.Data.CallID] = strings.TrimPrefix(told[e.Data.CallID]+", "+line, ", ")
		}
		return told
	}
	var told map[string]string
	for range looks() {
		if told = got(); cmp.Equal(want, told) {
			break
		}
	}
	t.Logf("call.ended came so long after the end: %v", late)
	if diff := cmp.Diff(want, told); diff != "" {
		t.Fatalf("told (-want +got):\n%s", diff)
	}
	if m := r.Messages()[0]; strings.Contains(m.Body, "system_prompt") || m.Header.Get("User-Agent") != "KrosAI-Telephony" {
		t.Errorf("%+v", m)
	}
	if a := u.do(http.MethodGet, "/webhook-endpoints/"+made.EndpointID+"/deliveries?status=delivered", nil); a.Status != 200 || strings.Contains(string(a.Body), made.SigningSecret) {
		t.Errorf("%d %s", a.Status, a.Body)
	}
}

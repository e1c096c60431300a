package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/krosai/telephony/local/platform"
)

// TestLiveKitGoesDown: what needs LiveKit says 503 or fails with a cause, the
// rest goes on.
func TestLiveKitGoesDown(t *testing.T) {
	t.Parallel()
	p := start(t, settings(t.TempDir()))
	u := demo(t, p)
	talking := u.place("+14155550100", nil).CallID
	u.until(talking, 20*time.Second, is("in_progress"))
	if err := p.Server.Close(); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, method, path string
		body               any
		status             int
	}{
		{"hang up", "POST", "/outbound-calls/" + talking + "/hangup", nil, 503},
		{"configure", "POST", "/outbound-calls/phone-numbers/" + p.Access.NumberID + "/configure",
			request{"sip_trunk": trunk(p.Access.Carrier, "let-me-call")}, 503},
		{"details", "GET", "/outbound-calls/" + talking + "/details", nil, 200},
		{"numbers", "GET", "/outbound-calls/phone-numbers", nil, 200},
		{"health", "GET", "/health", nil, 200},
	} {
		a := u.do(tt.method, tt.path, tt.body)
		if a.Status != tt.status {
			t.Errorf("%s: %d %s", tt.name, a.Status, a.Body)
		}
		if tt.status == 503 && (a.problem(t).Code != "TELEPHONY_UNAVAILABLE" || a.Header.Get("Retry-After") == "") {
			t.Errorf("%s: %s, Retry-After %q", tt.name, a.Body, a.Header.Get("Retry-After"))
		}
	}
	callee := fresh()
	d := u.until(u.place(callee, nil).CallID, 30*time.Second, details.over)
	if d.Status != "failed" || d.Cause != "network_error" {
		t.Errorf("a call without LiveKit: %s %s", d.Status, d.Cause)
	}
	if _, rang := phone(t, p, callee); rang {
		t.Error("the phone rang")
	}
}

func TestCarrierGoesDown(t *testing.T) {
	t.Parallel()
	p := start(t, settings(t.TempDir()))
	u := demo(t, p)
	if err := p.Carrier.Close(); err != nil {
		t.Fatal(err)
	}
	d := u.until(u.place("+14155550100", request{"ringing_timeout_seconds": 5}).CallID, 15*time.Second, details.over)
	if d.Status != "failed" || d.Cause != "trunk_unreachable" {
		t.Errorf("%s %s", d.Status, d.Cause)
	}
	if h := u.do("GET", "/health", nil); h.Status != 200 {
		t.Errorf("health: %d", h.Status)
	}
}

// childDir makes the test binary a platform to be killed: see child.
const childDir = "E2E_CHILD_DIR"

// child runs a platform in dir until it is killed, and says so when it is up.
func child(dir string) {
	p, err := platform.Start(context.Background(), settings(dir))
	if err != nil {
		fmt.Println("error:", err)
		os.Exit(1)
	}
	fmt.Println("up", p.Access.URL, p.Access.APIKey)
	select {}
}

// TestKilledMidCall kills the process at several moments of a call and starts
// it again on what is left.
func TestKilledMidCall(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, number string
		at           func(details) bool
		cause        map[string]bool
	}{
		{"before it dials", "+14155550100", func(details) bool { return true }, map[string]bool{"failed unknown": true, "failed network_error": true, "completed unknown": true}},
		{"ringing", "+14155550104", is("ringing"), map[string]bool{"failed unknown": true}},
		{"talking", "+14155550100", is("in_progress"), map[string]bool{"completed unknown": true}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			u, kill := spawn(t, dir)
			done := u.place("+14155550101", nil).CallID
			if tt.name != "before it dials" { // something that must not be lost
				u.until(done, 20*time.Second, details.over)
			}
			id := u.place(tt.number, nil).CallID
			u.until(id, 20*time.Second, tt.at)
			kill()
			p := start(t, settings(dir))
			if p.Access.APIKey != u.key {
				t.Error("the key changed")
			}
			u = demo(t, p)
			d := u.until(id, 40*time.Second, details.over)
			if !tt.cause[d.Status+" "+d.Cause] {
				t.Errorf("ended %s %s", d.Status, d.Cause)
			}
			u.until(done, 40*time.Second, details.over)
			for _, e := range []string{"answered", "ended"} {
				if strings.Count(d.events(), e) > 1 {
					t.Errorf("timeline %s", d.events())
				}
			}
			again := u.place("+14155550102", nil)
			if d := u.until(again.CallID, 20*time.Second, details.over); d.Status != "busy" {
				t.Errorf("a call after the restart: %s %s", d.Status, d.Cause)
			}
			noRooms(t, p)
		})
	}
}

// spawn runs the platform as a process of its own.
func spawn(t *testing.T, dir string) (u user, kill func()) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childDir+"="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	kill = func() {
		cmd.Process.Kill()
		cmd.Wait()
	}
	t.Cleanup(kill)
	u.t = t
	if _, err := fmt.Fscanf(out, "up %s %s\n", &u.url, &u.key); err != nil {
		t.Fatalf("the platform did not come up: %v", err)
	}
	return u, kill
}

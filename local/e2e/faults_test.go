package e2e

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/krosai/telephony/local/platform"
	"github.com/krosai/telephony/shared/livekit"
	"github.com/krosai/telephony/shared/secret"
)

// TestLiveKitGoesDown checks that requests that need LiveKit answer 503, that a new call fails with
// a cause, and that everything else still works.
func TestLiveKitGoesDown(t *testing.T) {
	t.Parallel()
	p := spawn(t, t.TempDir())
	u := p.user
	talking := u.place("+14155550100", nil).CallID
	u.until(talking, is("in_progress"))
	p.tell("stop livekit")
	for _, tt := range []struct {
		name, method, path string
		body               any
		status             int
	}{
		{"hang up", "POST", "/outbound-calls/" + talking + "/hangup", nil, 503},
		{"configure", "POST", "/outbound-calls/phone-numbers/" + demoNumber + "/configure",
			request{"sip_trunk": trunk("127.0.0.1:5060", "let-me-call")}, 503},
		{"details", "GET", "/outbound-calls/" + talking + "/details", nil, 200},
		{"numbers", "GET", "/outbound-calls/phone-numbers", nil, 200},
		{"health", "GET", "/health", nil, 200},
	} {
		a := u.do(tt.method, tt.path, tt.body)
		if a.Status != tt.status {
			t.Errorf("%s: %d %s", tt.name, a.Status, a.Body)
			continue
		}
		if tt.status == 503 && (a.problem(t).Code != "TELEPHONY_UNAVAILABLE" || a.Header.Get("Retry-After") == "") {
			t.Errorf("%s: %s, Retry-After %q", tt.name, a.Body, a.Header.Get("Retry-After"))
		}
	}
	d := u.until(u.place("+14155550101", nil).CallID, details.over)
	if d.Status != "failed" || d.Cause != "network_error" || d.events() != "ended" {
		t.Errorf("a call without LiveKit: %s %s, %s", d.Status, d.Cause, d.events())
	}
}

func TestCarrierGoesDown(t *testing.T) {
	t.Parallel()
	p := spawn(t, t.TempDir())
	p.tell("stop carrier")
	d := p.until(p.place("+14155550100", request{"ringing_timeout_seconds": 5}).CallID, details.over)
	if d.Status != "failed" || d.Cause != "trunk_unreachable" {
		t.Errorf("%s %s", d.Status, d.Cause)
	}
	if h := p.do("GET", "/health", nil); h.Status != 200 {
		t.Errorf("health: %d", h.Status)
	}
}

// TestKilledMidCall kills the process at several moments of a call and starts it again on the data
// that is left.
func TestKilledMidCall(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, number string
		at           func(details) bool
		ends         string // possible ends of such a call
	}{
		// A dial that had not started before the kill starts after the restart.
		{"at once", "+14155550101", func(details) bool { return true }, "failed unknown, completed unknown, completed callee_hangup"},
		{"ringing", "+14155550104", is("ringing"), "failed unknown"},
		{"talking", "+14155550100", is("in_progress"), "completed unknown"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			before := spawn(t, dir)
			done := before.place("+14155550102", nil).CallID
			before.until(done, details.over)
			id := before.place(tt.number, nil).CallID
			before.until(id, tt.at)
			before.kill()
			p := spawn(t, dir)
			if p.key != before.key {
				t.Error("the key changed")
			}
			d := p.until(id, details.over)
			if !strings.Contains(tt.ends, d.Status+" "+d.Cause) {
				t.Errorf("ended %s %s, want one of %s", d.Status, d.Cause, tt.ends)
			}
			for _, e := range []string{"answered", "ended"} {
				if strings.Count(d.events(), e) > 1 {
					t.Errorf("timeline %s", d.events())
				}
			}
			if d := p.details(done); d.Status != "busy" {
				t.Errorf("the call before is now %s", d.Status)
			}
			if d := p.until(p.place("+14155550102", nil).CallID, details.over); d.Status != "busy" {
				t.Errorf("a call after the restart: %s %s", d.Status, d.Cause)
			}
			noRooms(t, p.livekit)
		})
	}
}

// process is a platform in its own process. Tests can kill it and stop parts of it. LiveKit has
// globals, and two servers in one process would race for them.
type process struct {
	user
	livekit *livekit.Client
	access  livekit.Config
	in      io.Writer
	out     *bufio.Reader
	kill    func()
}

// childDir is the variable that makes the test binary run such a process, with its data in
// that folder.
const childDir = "E2E_CHILD_DIR"

// child runs a platform until its standard input ends, and carries out the orders that it reads.
func child(dir string) int {
	p, err := platform.Start(context.Background(), settings(dir))
	if err != nil {
		fmt.Println("error:", err)
		return 1
	}
	a := p.Access
	fmt.Println("up", a.URL, a.APIKey, a.LiveKitURL, a.LiveKitKey, a.LiveKitSecret)
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		switch lines.Text() {
		case "stop livekit":
			err = p.Server.Close()
		case "stop carrier":
			err = p.Carrier.Close()
		case "write dials":
			err = writeDials(p, filepath.Join(dir, dialsFile))
		}
		fmt.Println("done", err)
	}
	return 0
}

// spawn starts such a process, with these variables in addition to this process's own.
func spawn(t *testing.T, dir string, variables ...string) process {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(append(os.Environ(), childDir+"="+dir), variables...)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	kill := func() {
		_ = cmd.Process.Kill() // it may have ended
		_ = cmd.Wait()         // "killed" is expected
	}
	t.Cleanup(kill)
	p := process{user: user{t: t}, in: in, out: bufio.NewReader(out), kill: kill}
	var c livekit.Config
	var apiSecret string
	if _, err := fmt.Fscanf(p.out, "up %s %s %s %s %s\n", &p.url, &p.key, &c.URL, &c.APIKey, &apiSecret); err != nil {
		t.Fatalf("the platform did not come up: %v", err)
	}
	c.APISecret = secret.New(apiSecret)
	p.livekit, p.access = livekit.Open(c), c
	return p
}

// tell sends the process an order and waits until it is carried out.
func (p process) tell(order string) {
	p.t.Helper()
	fmt.Fprintln(p.in, order)
	if answer, err := p.out.ReadString('\n'); err != nil || strings.TrimSpace(answer) != "done <nil>" {
		p.t.Fatalf("%s: %s %v", order, answer, err)
	}
}

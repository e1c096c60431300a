package e2e

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/krosai/telephony/local/carrier"
	"github.com/krosai/telephony/local/platform"
	"github.com/krosai/telephony/shared/number"
)

const (
	agentPython  = "../../examples/agent-python"
	clientPython = "../../examples/python"
)

// TestPythonAgent runs the example's own tests, and then the example as a worker of the platform.
// Its models follow a script without a network. Everything else is as in any call.
func TestPythonAgent(t *testing.T) {
	t.Parallel()
	interpreter := python(t, agentPython)
	if out, err := pythonCommand(t, interpreter, agentPython, "-m", "unittest").CombinedOutput(); err != nil {
		t.Errorf("the example's tests: %v: %s", err, out)
	}
	const name = "python-agent"
	startWorker(t, interpreter, name)
	extra := request{"agent_name": name, "welcome_message": "Hello, this is Ada.", "system_prompt": "Be kind.",
		"voice": request{"language": "en-NG", "voice_id": "ada", "speed": 1.5}, "metadata": request{"order": "A-1001"}}
	play := []string{"callee: Hello, who is it?", "agent: This is the scripted agent. I hum, and all I say is in the transcript.",
		"callee: Thank you, goodbye.", "agent: Goodbye!"}

	t.Run("the agent ends the call", func(t *testing.T) {
		t.Parallel()
		u, callee := demo(t, shared), "+14155550140"
		d := u.until(u.place(callee, extra).CallID, details.over)
		if got := d.Status + " " + d.Cause; got != "completed agent_hangup" {
			t.Errorf("%s, timeline %s", got, d.events())
		}
		if c, ok := phone(t, shared, callee); !ok || c.VoiceReceived < 100 || c.EndedBy != "bye-in" {
			t.Errorf("the phone: %+v", c)
		}
		if diff := cmp.Diff(append([]string{"agent: Hello, this is Ada."}, play...), u.transcript(d, 1+len(play))); diff != "" {
			t.Error(diff)
		}
	})
	t.Run("a call that comes in", func(t *testing.T) {
		t.Parallel()
		u, d, caller := inboundTo(t, name)
		if got := d.Status + " " + d.Cause; got != "completed agent_hangup" {
			t.Errorf("%s, timeline %s", got, d.events())
		}
		if caller.VoiceReceived < 10 || caller.EndedBy != "bye-in" {
			t.Errorf("the caller: %+v", caller)
		}
		if diff := cmp.Diff(append([]string{"agent: Hello."}, play...), u.transcript(d, 1+len(play))); diff != "" {
			t.Error(diff)
		}
	})
	t.Run("the callee hangs up", func(t *testing.T) {
		t.Parallel()
		u := demo(t, shared)
		d := u.until(u.place(fresh(), extra).CallID, details.over)
		if got := d.Status + " " + d.Cause; got != "completed callee_hangup" {
			t.Errorf("%s, timeline %s", got, d.events())
		}
		if got := u.transcript(d, 1); got[0] != "agent: Hello, this is Ada." {
			t.Errorf("transcript %q", got)
		}
	})
}

// inboundTo calls a new number whose calls go to an agent. The number belongs to its own user,
// because the demo agent answers for the demo user's numbers. inboundTo returns when the call
// is over.
func inboundTo(t *testing.T, agent string) (user, details, carrier.CallInfo) {
	t.Helper()
	token, err := platform.Token(shared.Config, agent+"-owner", nil, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	u := user{t, shared.Access.URL, token}
	n := number.Number{E164: fmt.Sprintf("+23481%08d", 10000000+last.Add(1)), Country: "NG", Type: "mobile", UserID: agent + "-owner",
		Capabilities: []string{"inbound", "outbound"}, AssignedAt: time.Now(), UpdatedAt: time.Now()}
	n.ID = number.ID(n.E164)
	if err := shared.DB.PutNumber(t.Context(), n); err != nil {
		t.Fatal(err)
	}
	must[configuration](u, "POST", "/outbound-calls/phone-numbers/"+n.ID+"/configure",
		request{"sip_trunk": trunk(shared.Access.Carrier, "let-me-call"), "dispatch_rule": rule(agent)})
	from := fresh()
	rings, err := shared.Carrier.Call(t.Context(), shared.Access.SIP, carrier.CallOptions{From: from, To: n.E164, RingTimeout: 30 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	if err := rings.Answered(t.Context()); err != nil {
		t.Fatal(err)
	}
	d := u.until(u.inboundFrom(from).CallID, details.over)
	return u, d, rings.Info()
}

// transcript returns the lines of an ended call when there are at least so many. It checks that
// each line was said between the create and the end. The answer is no lower bound, because the
// agent learns of it a moment before the platform does.
func (u user) transcript(d details, least int) []string {
	u.t.Helper()
	type details struct {
		Transcript []struct {
			Role, Content string
			At            time.Time
		}
	}
	var s details
	for range looks() {
		if s = must[details](u, "GET", "/outbound-calls/"+d.CallID+"/details?include_transcript=true", nil); len(s.Transcript) >= least {
			break
		}
	}
	if len(s.Transcript) < least {
		u.t.Fatalf("the transcript has %d turns", len(s.Transcript))
	}
	var lines []string
	for _, turn := range s.Transcript {
		lines = append(lines, turn.Role+": "+turn.Content)
		if turn.At.Before(d.CreatedAt) || turn.At.After(d.EndedAt) {
			u.t.Errorf("%q was said at %s, the call was made at %s and ended at %s", turn.Content, turn.At, d.CreatedAt, d.EndedAt)
		}
	}
	return lines
}

// startWorker runs the example agent until the test is over. It returns when LiveKit has registered
// the agent.
func startWorker(t *testing.T, interpreter, name string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "log")
	log, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	said := func() string {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Error(err)
		}
		return string(text)
	}
	a := shared.Access
	cmd := pythonCommand(t, interpreter, agentPython, "-m", "livekit.agents", "start", "agent.py")
	cmd.Env = append(cmd.Env, "LIVEKIT_AGENT_NAME="+name, "AGENT_MODELS=scripted", "LIVEKIT_AGENTS_PRELOAD_LOCAL_INFERENCE=0",
		"LIVEKIT_URL="+a.LiveKitURL, "LIVEKIT_API_KEY="+a.LiveKitKey, "LIVEKIT_API_SECRET="+a.LiveKitSecret)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Cancel, cmd.WaitDelay = func() error { return cmd.Process.Signal(syscall.SIGTERM) }, 20*time.Second
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		err := cmd.Wait()
		if !cmd.ProcessState.Success() || t.Failed() {
			t.Errorf("worker: %v: %s", err, said())
		}
	})
	for range looks() {
		if strings.Contains(said(), "registered worker") {
			return
		}
	}
	t.Fatal("LiveKit does not know the worker")
}

// TestPythonClient runs the example as its reader does, and checks its output and its exit
// status. The test names the number to call from, because other tests give the demo user another
// one meanwhile.
func TestPythonClient(t *testing.T) {
	t.Parallel()
	interpreter := python(t, clientPython)
	for _, tt := range []struct {
		name      string
		args      []string
		key       string
		interrupt string // press Ctrl-C after this output
		exit      int
		want      []string // in this order
	}{
		{"answered", []string{"+14155550101", "--welcome", "Hello, this is Ada.", "--max-seconds", "60"}, shared.Access.APIKey, "", 0,
			[]string{"call_", "initiated|dialing", "in_progress", "completed, callee_hangup, [23] s", "ringing", "answered", "ended *callee_hangup",
				"agent   Hello, this is Ada.", `Summary \(ready, .+\)`}},
		{"hung up with Ctrl-C", []string{"+14155550100"}, shared.Access.APIKey, "in_progress", 0,
			[]string{"in_progress", "hanging up", "completed, api_hangup"}},
		{"busy", []string{"+14155550102"}, shared.Access.APIKey, "", 3, []string{"busy, busy, 0 s", "none", `Summary \(none\)`}},
		{"does not exist", []string{"+14155550105"}, shared.Access.APIKey, "", 4, []string{"failed, invalid_number"}},
		{"not a number", []string{"0044"}, shared.Access.APIKey, "", 1, []string{"call.py: POST /outbound-calls/create answered 400 INVALID_REQUEST: phone_number"}},
		{"wrong key", []string{"+14155550100"}, "nothing", "", 1, []string{"answered 401 UNAUTHENTICATED"}},
		{"no key", []string{"+14155550100"}, "", "", 2, []string{"KROS_API_KEY is not set"}},
		{"help", []string{"--help"}, "", "", 0, []string{"usage", "exit status"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var out interruptible
			cmd := pythonCommand(t, interpreter, clientPython, append([]string{"call.py", "--from-id", shared.Access.NumberID}, tt.args...)...)
			cmd.Env = append(cmd.Env, "KROS_URL="+shared.Access.URL, "KROS_API_KEY="+tt.key)
			cmd.Stdout, cmd.Stderr = &out, &out
			if tt.interrupt != "" {
				out.at, out.interrupt = tt.interrupt, func() error { return cmd.Process.Signal(os.Interrupt) }
			}
			exit := 0
			if err := cmd.Run(); err != nil {
				failed, ok := errors.AsType[*exec.ExitError](err)
				if !ok {
					t.Fatal(err)
				}
				exit = failed.ExitCode()
			}
			if exit != tt.exit || !regexp.MustCompile("(?s)"+strings.Join(tt.want, ".*")).MatchString(out.printed.String()) {
				t.Errorf("exit status %d, printed:\n%s", exit, &out.printed)
			}
		})
	}
}

// interruptible collects a program's output, and interrupts the program once.
type interruptible struct {
	printed   bytes.Buffer
	at        string // after this output
	interrupt func() error
}

func (i *interruptible) Write(p []byte) (int, error) {
	n, err := i.printed.Write(p)
	if i.interrupt != nil && strings.Contains(i.printed.String(), i.at) {
		err = errors.Join(err, i.interrupt())
		i.interrupt = nil
	}
	return n, err
}

// pythonCommand is a Python program of an example. It ends with the test.
func pythonCommand(t *testing.T, interpreter, example string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), interpreter, args...)
	cmd.Dir = example
	// The platform is on this machine.
	cmd.Env = append(os.Environ(), "PYTHONDONTWRITEBYTECODE=1", "HTTP_PROXY=", "HTTPS_PROXY=", "NO_PROXY=*")
	return cmd
}

// python is an interpreter with an example's requirements. It is made once and kept in the user's
// cache, under a name that changes with the requirements. Without Python or a package index the
// test is skipped.
func python(t *testing.T, example string) string {
	t.Helper()
	system, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("skipped: there is no python3 here")
	}
	version, err := exec.Command(system, "-c", "import sys, venv, ensurepip; assert sys.version_info >= (3, 11); print(sys.version)").CombinedOutput()
	if err != nil {
		t.Skipf("skipped: python3 is older than 3.11 or has no venv: %s", version)
	}
	requirements, err := os.ReadFile(filepath.Join(example, "requirements.txt"))
	if err != nil {
		t.Fatal(err)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Skipf("skipped: %v", err)
	}
	cache = filepath.Join(cache, "krosai-telephony")
	sum := sha256.Sum256(append(version, requirements...))
	made := filepath.Join(cache, fmt.Sprintf("%s-%x", filepath.Base(example), sum[:6]))
	interpreter := filepath.Join(made, "bin", "python")
	if _, err := os.Stat(interpreter); err == nil {
		return interpreter
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		t.Fatal(err)
	}
	making, err := os.MkdirTemp(cache, "making-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(making)
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Minute)
	defer cancel()
	for _, command := range [][]string{
		{system, "-m", "venv", making},
		{filepath.Join(making, "bin", "python"), "-m", "pip", "install", "--quiet", "--retries", "1", "-r", filepath.Join(example, "requirements.txt")},
	} {
		if out, err := exec.CommandContext(ctx, command[0], command[1:]...).CombinedOutput(); err != nil {
			t.Skipf("skipped: what %s requires cannot be installed: %v: %s", example, err, out)
		}
	}
	if err := os.Rename(making, made); err != nil {
		if _, gone := os.Stat(interpreter); gone != nil { // else another run was first
			t.Fatal(err)
		}
	}
	return interpreter
}

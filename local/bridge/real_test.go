package bridge

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"gopkg.in/yaml.v3"

	"github.com/krosai/telephony/local/carrier"
	"github.com/krosai/telephony/local/livekitd"
)

// standIn is the variable that makes this test binary behave like livekit-sip, as far as StartReal
// can tell. The binary reads its configuration and serves LiveKit until SIGINT.
const standIn = "BRIDGE_STANDS_IN_FOR_LIVEKIT_SIP"

func runStandIn() error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	raw, err := os.ReadFile(os.Args[len(os.Args)-1])
	if err != nil {
		return err
	}
	var c struct {
		APIKey    string                   `yaml:"api_key"`
		APISecret string                   `yaml:"api_secret"`
		URL       string                   `yaml:"ws_url"`
		Redis     struct{ Address string } `yaml:"redis"`
		Port      int                      `yaml:"sip_port"`
		IP        string                   `yaml:"listen_ip"`
	}
	if err := yaml.Unmarshal(raw, &c); err != nil {
		return err
	}
	b, err := Start(ctx, Options{RedisAddr: c.Redis.Address, LiveKitURL: c.URL, APIKey: c.APIKey, APISecret: c.APISecret,
		SIPAddr: fmt.Sprintf("%s:%d", c.IP, c.Port)})
	if err != nil {
		return err
	}
	<-ctx.Done()
	return b.Close()
}

func TestStartRealRunsTheProcess(t *testing.T) {
	t.Parallel()
	lk, err := livekitd.Start(t.Context(), livekitd.Options{APIKey: testKey, APISecret: testSecret})
	if err != nil {
		t.Fatal(err)
	}
	closeAtEnd(t, lk)
	// The script runs this test binary as the stand-in.
	script := filepath.Join(t.TempDir(), "livekit-sip")
	text := fmt.Sprintf("#!/bin/sh\n%s=1 exec %q \"$@\"\n", standIn, os.Args[0])
	if err := os.WriteFile(script, []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
	child, err := StartReal(t.Context(), script, Options{RedisAddr: lk.RedisAddr(), LiveKitURL: lk.URL(), APIKey: testKey, APISecret: testSecret})
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(filepath.Join(child.dir, "config.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("the configuration, with the secret, has mode %v", info.Mode())
	}

	st := &stage{livekit: lk, sip: child, api: client{url: lk.HTTPURL()}}
	ca, trunk := st.carrier(t, carrier.Options{Script: callee}, nil)
	if err := st.dial(t, trunk, "+15551000001", "real", nil); err != nil {
		t.Fatal(err)
	}
	if err := child.Close(); err != nil {
		t.Error(err)
	}
	lastCall(t, ca, ended("bye-in"))
	if _, err := os.Stat(child.dir); !os.IsNotExist(err) {
		t.Errorf("the configuration is left behind: %v", err)
	}
}

func TestStartRealReportsFailure(t *testing.T) {
	t.Parallel()
	lk, err := livekitd.Start(t.Context(), livekitd.Options{APIKey: testKey, APISecret: testSecret})
	if err != nil {
		t.Fatal(err)
	}
	closeAtEnd(t, lk)
	o := Options{RedisAddr: lk.RedisAddr(), LiveKitURL: lk.URL(), APIKey: testKey, APISecret: testSecret}
	for binary, want := range map[string]string{
		"/does/not/exist": "no such file",
		"false":           "exited: exit status 1",
	} {
		r, err := StartReal(t.Context(), binary, o)
		if err == nil {
			r.Close()
			t.Fatalf("%s started", binary)
		}
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", binary, err)
		}
	}
}

// killed is the variable that makes this test binary a parent process. The parent starts the
// program that the variable names, as StartReal does. It prints the child's process id and waits to
// be killed.
const killed = "BRIDGE_IS_A_PARENT_OF"

func runKilled() error {
	r := &Real{addr: "127.0.0.1:5060", dir: os.Getenv("TMPDIR"), exited: make(chan struct{})}
	if err := r.run(os.Getenv(killed), Options{Log: slog.New(slog.DiscardHandler)}); err != nil {
		return err
	}
	fmt.Println(r.cmd.Process.Pid)
	<-r.exited
	return nil
}

func TestRealDiesWithItsParent(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("only Linux tells a child that its parent was killed")
	}
	dir := t.TempDir()
	script := filepath.Join(dir, "livekit-sip")
	if err := os.WriteFile(script, []byte("#!/bin/sh\nexec sleep 60\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	parent := exec.Command(os.Args[0])
	parent.Env = append(os.Environ(), killed+"="+script, "TMPDIR="+dir)
	out, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	var pid int
	if _, err := fmt.Fscan(out, &pid); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, 0); err != nil {
		t.Errorf("the child does not run: %v", err)
	}
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = parent.Wait() // "killed"
	for end := time.Now().Add(time.Minute); running(pid); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("process %d outlives its parent", pid)
		}
	}
}

// running reports whether a process exists and is not a zombie.
func running(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && !strings.Contains(string(stat), ") Z ")
}

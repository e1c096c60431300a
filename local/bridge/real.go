package bridge

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"
)

// Real is LiveKit's own SIP service as a child process. On Linux the kernel kills it when its
// parent dies.
type Real struct {
	addr   string
	dir    string // of its configuration
	cmd    *exec.Cmd
	exited chan struct{}
	err    error // result of Wait; set when exited is closed

	closeOnce sync.Once
	closeErr  error
}

// Time limits for the child to serve requests after its start, and to end its calls.
const (
	realStart = 15 * time.Second
	realStop  = 10 * time.Second
)

// StartReal runs the livekit-sip binary instead of a Bridge, with the same Options. It returns when
// the process serves LiveKit's requests. Close ends its calls and the process.
func StartReal(ctx context.Context, binary string, o Options) (*Real, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	addr, err := freeAddr(o.SIPAddr)
	if err != nil {
		return nil, fmt.Errorf("livekit-sip: %w", err)
	}
	dir, err := os.MkdirTemp("", "livekit-sip-")
	if err != nil {
		return nil, err
	}
	r := &Real{addr: addr, dir: dir, exited: make(chan struct{})}
	if err := r.run(binary, o); err != nil {
		return nil, errors.Join(fmt.Errorf("livekit-sip: %w", err), os.RemoveAll(dir))
	}
	if err := r.untilServing(ctx, o.RedisAddr); err != nil {
		return nil, errors.Join(fmt.Errorf("livekit-sip: %w", err), r.Close())
	}
	return r, nil
}

// freeAddr chooses a port if addr has none, because livekit-sip needs a fixed port number.
func freeAddr(addr string) (string, error) {
	if addr == "" {
		addr = "127.0.0.1:0"
	}
	udp, tcp, err := listenBoth(addr)
	if err != nil {
		return "", err
	}
	return tcp.Addr().String(), errors.Join(udp.Close(), tcp.Close())
}

func (r *Real) run(binary string, o Options) error {
	host, portText, err := net.SplitHostPort(r.addr)
	if err != nil {
		return err
	}
	port, err := strconv.Atoi(portText)
	if err != nil {
		return err
	}
	config := filepath.Join(r.dir, "config.yaml")
	// The file contains the API secret. Only this user can read its folder (MkdirTemp makes
	// it 0700).
	if err := os.WriteFile(config, realConfig(host, port, o), 0o600); err != nil {
		return err
	}
	r.cmd = exec.Command(binary, "--config", config)
	out := &lines{log: o.Log}
	r.cmd.Stdout, r.cmd.Stderr = out, out
	r.cmd.SysProcAttr = diesWithParent()
	started := make(chan error, 1)
	go func() {
		// Linux sends the parent death signal when the thread that started the child ends.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := r.cmd.Start()
		started <- err
		if err == nil {
			r.err = r.cmd.Wait()
			close(r.exited)
		}
	}()
	return <-started
}

func realConfig(host string, port int, o Options) []byte {
	return fmt.Appendf(nil, `api_key: %q
api_secret: %q
ws_url: %q
redis: {address: %q}
sip_port: %d
sip_port_listen: %d
listen_ip: %q
local_net: 127.0.0.0/8
media_use_external_ip: false
use_external_ip: false
nat_1_to_1_ip: %q
media_nat_1_to_1_ip: %q
rtp_port: 31000-32000
hide_inbound_port: false
max_cpu_utilization: 1.0 # there is no other instance that could take a call
logging: {level: error}
`, o.APIKey, o.APISecret, o.LiveKitURL, o.RedisAddr, port, port, host, host, host)
}

func (r *Real) untilServing(ctx context.Context, redisAddr string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, realStart, errors.New("it does not serve LiveKit"))
	defer cancel()
	bus := redis.NewClient(&redis.Options{Addr: redisAddr})
	defer bus.Close()
	ctx, exited := context.WithCancelCause(ctx)
	defer exited(nil)
	go func() {
		select {
		case <-r.exited:
			exited(fmt.Errorf("exited: %w", r.err))
		case <-ctx.Done():
		}
	}()
	return untilServing(ctx, bus)
}

// SIPAddr is the IP address and port to which the carrier sends calls, over UDP or TCP.
func (r *Real) SIPAddr() string { return r.addr }

// Close asks the process to stop. The process then ends its calls. If that takes too long, Close
// kills it.
func (r *Real) Close() error {
	r.closeOnce.Do(func() {
		_ = r.cmd.Process.Signal(syscall.SIGINT) // an error means that the process has ended
		select {
		case <-r.exited:
		case <-time.After(realStop):
			_ = r.cmd.Process.Kill()
			<-r.exited
			r.closeErr = errors.New("livekit-sip had to be killed")
		}
		r.closeErr = errors.Join(r.closeErr, os.RemoveAll(r.dir))
	})
	return r.closeErr
}

// lines logs each line that the process prints.
type lines struct {
	log  *slog.Logger
	rest []byte
}

func (l *lines) Write(p []byte) (int, error) {
	l.rest = append(l.rest, p...)
	for {
		line, rest, whole := bytes.Cut(l.rest, []byte("\n"))
		if !whole {
			return len(p), nil
		}
		l.rest = rest
		l.log.Error("livekit-sip", "line", string(line))
	}
}

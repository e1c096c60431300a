// Package lambda runs a function's binary as AWS Lambda runs one on
// provided.al2023: as a process of its own that asks the Lambda Runtime API for
// its events, with the variables of Lambda and of the function and no others.
// It is for tests and the laptop, and measures how long a function takes to start.
//
// # What it keeps to
//
// The Runtime API, its headers and answers; the reserved variables, which a
// function's configuration may not set; the limits of 10 seconds for the start,
// of the time-out for an invocation, and of 6 MB for an event and an answer; and
// the types and texts of the errors with which Lambda tells of a function that
// ran out of time, ended or answered too much.
//
// # Where it differs from the service
//
// A function that ended or ran out of time stays ended: Lambda would start it
// anew. It is not frozen between invocations, it sees the machine's files and
// network, it runs as the user who started it, and neither memory nor CPU is
// limited. Its credentials mean nothing and there is no X-Ray daemon. Streamed
// responses and extensions are refused.
//
// Source: the AWS Lambda Developer Guide, "Using the Lambda runtime API for
// custom runtimes" and "Using Lambda environment variables".
package lambda

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"sync"
	"time"

	"github.com/google/uuid"
)

// Lambda's limits.
const (
	initLimit     = 10 * time.Second
	eventLimit    = 6 << 20 // bytes
	responseLimit = 6<<20 + 100
)

// Config is a function as it is deployed.
type Config struct {
	Binary      string            // its bootstrap
	ARN         string            // arn:aws:lambda:REGION:ACCOUNT:function:NAME
	Timeout     time.Duration     // after which an invocation is ended
	MemoryMB    int               // which the function is told
	Environment map[string]string // without the variables that Lambda sets itself
}

// Function is a function that has started. It is safe for concurrent use.
type Function struct {
	Init time.Duration // from the start of the process to its first request for an event

	config Config
	cmd    *exec.Cmd
	api    *http.Server
	output output

	turn  sync.Mutex       // of invocations: a process has one at a time
	work  chan *invocation // what the process is to get next
	ready chan struct{}    // closed with its first request
	ended chan struct{}    // closed when the process is gone

	mu      sync.Mutex
	readyAt time.Time
	current *invocation // that the process has got and not answered
	failure error       // why the process was ended, if it did not end by itself
	exit    error       // of the process; set when ended is closed
}

// Error is how a function, or Lambda on its behalf, says that it failed.
type Error struct {
	Type    string // the Go type of the function's error, or Runtime.ExitError, Sandbox.Timedout …
	Message string
}

func (e *Error) Error() string { return e.Type + ": " + e.Message }

type invocation struct {
	id       string
	payload  []byte
	deadline time.Time
	answer   chan answer // has room for one
}

type answer struct {
	payload []byte
	err     error
}

// Start starts the process and returns when it has asked for its first event; ctx
// bounds that time, not the function's life. When the process ends before, its
// output is part of the error, which then is an *Error.
func Start(ctx context.Context, c Config) (*Function, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	variables, err := c.variables(listener.Addr().String())
	if err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	path, err := filepath.Abs(c.Binary)
	if err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	f := &Function{config: c, work: make(chan *invocation, 1), ready: make(chan struct{}), ended: make(chan struct{})}
	f.api = &http.Server{Handler: f.runtimeAPI(), ReadHeaderTimeout: initLimit}
	f.cmd = &exec.Cmd{Path: path, Args: []string{path}, Dir: filepath.Dir(path), Env: variables,
		Stdout: &f.output, Stderr: &f.output, WaitDelay: time.Second}

	began := time.Now()
	if err := f.cmd.Start(); err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	go func() { _ = f.api.Serve(listener) }() // ends with ErrServerClosed
	go func() {
		f.exit = f.cmd.Wait()
		close(f.ended)
	}()
	if err := f.untilReady(ctx); err != nil {
		f.Stop()
		return nil, fmt.Errorf("%w\n%s", err, f.Output())
	}
	f.Init = f.readyAt.Sub(began)
	return f, nil
}

func (f *Function) untilReady(ctx context.Context) error {
	limit := time.NewTimer(initLimit)
	defer limit.Stop()
	select {
	case <-f.ready:
		return nil
	case <-f.ended:
		return f.why("init")
	case <-limit.C:
		return &Error{"Sandbox.Timedout", fmt.Sprintf("the function has not asked for an event after %s", initLimit)}
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Invoke gives the function an event and returns its answer. A failure of the
// function is an *Error. After one with type Sandbox.Timedout or
// Runtime.ExitError, after a panic, and when ctx ends, so has the process.
func (f *Function) Invoke(ctx context.Context, event []byte) ([]byte, error) {
	switch {
	case len(event) > eventLimit:
		return nil, fmt.Errorf("an event of %d bytes: Lambda takes %d", len(event), eventLimit)
	case !json.Valid(event):
		return nil, errors.New("the event is not JSON")
	}
	f.turn.Lock()
	defer f.turn.Unlock()
	i := &invocation{id: uuid.NewString(), payload: event, deadline: time.Now().Add(f.config.Timeout), answer: make(chan answer, 1)}
	timeout := time.NewTimer(f.config.Timeout)
	defer timeout.Stop()
	select {
	case f.work <- i:
	case <-f.ended:
		return nil, f.why(i.id)
	}
	select {
	case a := <-i.answer:
		return a.payload, a.err
	case <-f.ended:
	case <-timeout.C:
		f.end(&Error{"Sandbox.Timedout", fmt.Sprintf("RequestId: %s Error: Task timed out after %.2f seconds", i.id, f.config.Timeout.Seconds())})
	case <-ctx.Done():
		f.end(ctx.Err())
	}
	<-f.ended
	select {
	case a := <-i.answer: // the last thing it did
		return a.payload, a.err
	default:
		return nil, f.why(i.id)
	}
}

// Stop ends the process at once, as Lambda ends one without extensions.
func (f *Function) Stop() {
	f.end(errors.New("the function was stopped"))
	<-f.ended
	_ = f.api.Close() // of a listener on this machine
}

// Output is what the process has written to standard output and standard error.
// It is complete after Stop.
func (f *Function) Output() []byte { return f.output.bytes() }

// CPU is the processor time that the process took, user and system. It is known
// after Stop.
func (f *Function) CPU() time.Duration {
	if f.cmd.ProcessState == nil {
		return 0
	}
	return f.cmd.ProcessState.UserTime() + f.cmd.ProcessState.SystemTime()
}

// end ends the process for a reason.
func (f *Function) end(why error) {
	f.fail(why)
	_ = f.cmd.Process.Kill() // fails only when it has ended
}

// fail remembers why the process ends, unless it has a reason already.
func (f *Function) fail(why error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.failure == nil {
		f.failure = why
	}
}

// why says why the process has ended, as Lambda would tell the caller.
func (f *Function) why(requestID string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.failure != nil:
		return f.failure
	case f.exit != nil:
		return &Error{"Runtime.ExitError", fmt.Sprintf("RequestId: %s Error: Runtime exited with error: %v", requestID, f.exit)}
	}
	return &Error{"Runtime.ExitError", fmt.Sprintf("RequestId: %s Error: Runtime exited without providing a reason", requestID)}
}

// output collects what a process writes.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) bytes() []byte {
	o.mu.Lock()
	defer o.mu.Unlock()
	return bytes.Clone(o.text.Bytes())
}

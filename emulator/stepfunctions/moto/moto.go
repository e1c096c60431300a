// Package moto has state machines run by the interpreter of moto (Apache-2.0), for tests that
// compare it with the emulator. Its program is Python: interpret.py says what it does.
package moto

import (
	"bufio"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"
)

// Python is the environment variable that names the Python with moto. make test-aws sets it.
const Python = "MOTO_PYTHON"

// Interpreter is a running interpreter. Its methods may be called from many goroutines.
type Interpreter struct {
	mu      sync.Mutex
	ask     *json.Encoder
	answers *json.Decoder
}

// Execution is what is to be run.
type Execution struct {
	Definition string              `json:"definition"`
	Input      string              `json:"input"`
	Usual      map[string]Answer   `json:"usual,omitempty"`  // by state, when its script is over
	Script     map[string][]Answer `json:"script,omitempty"` // by state: the answers to its first attempts
}

// Answer is what becomes of one attempt of a task. The zero value answers null.
type Answer struct {
	Says   json.RawMessage `json:"says,omitempty"`   // the function answers so, or a minute later its token is
	Echo   bool            `json:"echo,omitempty"`   // the function answers what it was asked
	Fails  string          `json:"fails,omitempty"`  // the invocation fails with this error
	Denies string          `json:"denies,omitempty"` // a minute later the token is answered with this error
	Hangs  bool            `json:"hangs,omitempty"`  // the function never returns
	Silent bool            `json:"silent,omitempty"` // nobody answers the token
}

// Result is how an execution has ended.
type Result struct {
	Refused string // why the definition was refused; the rest is empty then
	Status  string
	Output  string // JSON
	Error   string
	Cause   string
	Events  []Event
}

// Event is an event of the history.
type Event struct {
	Type  string
	At    time.Time
	Name  string // of the state that was entered or left
	Error string
}

// Start starts the interpreter for the length of a test, which is skipped where Python is not set.
func Start(t testing.TB) *Interpreter {
	t.Helper()
	python := os.Getenv(Python)
	if python == "" {
		t.Skip("compares with moto's interpreter: make test-aws runs it")
	}
	_, file, _, _ := runtime.Caller(0)
	process := exec.CommandContext(t.Context(), python, filepath.Join(filepath.Dir(file), "interpret.py"))
	process.Stderr = os.Stderr
	in, err := process.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := process.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close()
		var ended *exec.ExitError
		if err := process.Wait(); err != nil && !errors.As(err, &ended) { // the test's end kills it
			t.Error(err)
		}
	})
	return &Interpreter{ask: json.NewEncoder(in), answers: json.NewDecoder(bufio.NewReader(out))}
}

// Run runs an execution to its end.
func (i *Interpreter) Run(t testing.TB, e Execution) Result {
	t.Helper()
	i.mu.Lock()
	defer i.mu.Unlock()
	var r Result
	if err := errors.Join(i.ask.Encode(e), i.answers.Decode(&r)); err != nil {
		t.Fatalf("moto's interpreter: %v", err)
	}
	return r
}

// Package agent is the demo agent: a LiveKit agent worker that answers the telephone, speaks a
// short scripted conversation and posts its transcript. Like any agent, it takes jobs over
// LiveKit's worker protocol (livekit_agent.proto, websocket /agent).
package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/krosai/telephony/local/rtp"
)

// Options configure the agent. URL, APIKey and APISecret are required.
type Options struct {
	URL               string // of LiveKit, ws:// or wss://
	APIKey, APISecret string
	Names             []string          // agent names to take jobs for; each has its own worker
	Script            []Line            // the lines after the welcome message; nil = DefaultScript
	HTTP              *http.Client      // posts transcripts; nil = a client with a timeout of 5 s
	Log               *slog.Logger      // nil = silent
	OnJob             func(room string) // called when a job begins
}

// Line is one turn of the conversation. The agent speaks its own lines. The callee's lines stand
// for the text that a speech recognizer would hear in the same time.
type Line struct {
	Role string // "agent" or "callee"
	Text string
}

// DefaultScript is a conversation of about ten seconds.
func DefaultScript() []Line {
	return []Line{
		{"callee", "Hello, who is calling?"},
		{"agent", "I am the demo agent. I speak in hums, and everything I say is in the transcript."},
		{"callee", "I see. And how is the line?"},
		{"agent", "Clear as a bell. Stay as long as you like, or hang up whenever you are done."},
	}
}

// registerTimeout limits Register's wait for LiveKit.
const registerTimeout = 10 * time.Second

// Agent is a set of running workers and their jobs. Any goroutine may call its methods.
type Agent struct {
	opts    Options
	log     *slog.Logger
	http    *http.Client
	voice   []byte // PCMU of the agent's voice
	ctx     context.Context
	close   context.CancelFunc
	running sync.WaitGroup
	jobs    atomic.Int64

	mu      sync.Mutex
	closed  bool
	workers map[string]*worker
}

// Start returns when a worker for each name is registered. ctx bounds only the start. Start fails
// if ctx ends first or LiveKit refuses the key. After the start the workers reconnect by themselves
// until Close.
func Start(ctx context.Context, o Options) (*Agent, error) {
	a := &Agent{
		opts: o, log: o.Log, http: o.HTTP, voice: rtp.Voice(210, 6*time.Second), workers: map[string]*worker{},
	}
	if a.log == nil {
		a.log = slog.New(slog.DiscardHandler)
	}
	if a.http == nil {
		a.http = &http.Client{Timeout: 5 * time.Second}
	}
	if a.opts.Script == nil {
		a.opts.Script = DefaultScript()
	}
	a.ctx, a.close = context.WithCancel(context.Background())
	for _, name := range o.Names {
		if err := a.register(ctx, name); err != nil {
			return nil, errors.Join(err, a.Close())
		}
	}
	return a, nil
}

// Register takes jobs for one more name. It returns when LiveKit has registered the name, or with
// an error after ten seconds. A name may be registered more than once.
func (a *Agent) Register(name string) error {
	ctx, cancel := context.WithTimeout(a.ctx, registerTimeout)
	defer cancel()
	return a.register(ctx, name)
}

func (a *Agent) register(ctx context.Context, name string) error {
	w, err := a.worker(name)
	if err != nil {
		return err
	}
	select {
	case <-w.registered:
		return nil
	case <-w.refused:
	case <-ctx.Done():
	}
	a.mu.Lock()
	delete(a.workers, name)
	a.mu.Unlock()
	w.stop()
	return fmt.Errorf("agent %q is not registered: %w", name, errors.Join(ctx.Err(), w.lastError()))
}

// worker returns the worker for a name and starts it if necessary.
func (a *Agent) worker(name string) (*worker, error) {
	if name == "" {
		return nil, errors.New("agent: a worker needs a name: without, LiveKit gives it every room")
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed {
		return nil, errors.New("agent: closed")
	}
	if w := a.workers[name]; w != nil {
		return w, nil
	}
	ctx, stop := context.WithCancel(a.ctx)
	w := &worker{
		agent: a, name: name, stop: stop, registered: make(chan struct{}), refused: make(chan struct{}),
		jobs: map[string]context.CancelFunc{},
	}
	a.workers[name] = w
	a.running.Go(func() { w.run(ctx) })
	return w, nil
}

// Names are the sorted names for which the agent takes jobs.
func (a *Agent) Names() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	names := make([]string, 0, len(a.workers))
	for name := range a.workers {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Jobs is the number of running jobs.
func (a *Agent) Jobs() int { return int(a.jobs.Load()) }

// Close leaves every room and ends the workers. Unposted transcript turns get one more attempt.
func (a *Agent) Close() error {
	a.mu.Lock()
	a.closed = true
	a.mu.Unlock()
	a.close()
	a.running.Wait()
	return nil
}

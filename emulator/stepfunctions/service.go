package stepfunctions

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	mathrand "math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"
)

// Options say where a Service keeps its data and how it calls functions.
type Options struct {
	Path      string // bbolt file; "" keeps everything in memory
	Region    string // default us-east-1
	AccountID string // default 000000000000

	// Invoke runs a Lambda function by name with a JSON payload, as the Lambda
	// service would. An error that the function returned is a *FunctionError;
	// any other error counts as Lambda.Unknown. The context ends when the task
	// times out, when its execution is stopped, and when the service closes.
	// Invoke must return soon after that: Close waits for it.
	Invoke func(ctx context.Context, function string, payload []byte) ([]byte, error)

	Now  func() time.Time // default time.Now; waiting uses time.Timer
	Rand func() float64   // in [0,1), for JitterStrategy FULL; default math/rand/v2
	Log  *slog.Logger     // default slog.Default()
}

// A Service is an emulated Step Functions account in one region. Its methods
// may be called from many goroutines.
type Service struct {
	opt   Options
	store *store
	ctx   context.Context // ends with Close
	stop  context.CancelFunc
	wg    sync.WaitGroup

	mu          sync.Mutex // guards what follows
	started     bool
	machines    map[string]*registration // by name
	definitions map[string]*machine      // by the hash of the definition
	runs        map[string]*run          // by execution ARN
	sequence    int64
}

// A registration is the current definition of a state machine.
type registration struct {
	Name, Definition string
	Created          time.Time
	hash             string
}

// Open reads the stored machines and executions. Nothing runs until Start. It
// fails when another process has the file open.
func Open(o Options) (*Service, error) {
	if o.Invoke == nil {
		return nil, errors.New("stepfunctions: Options.Invoke is missing")
	}
	if o.Region == "" {
		o.Region = "us-east-1"
	}
	if o.AccountID == "" {
		o.AccountID = "000000000000"
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Rand == nil {
		o.Rand = mathrand.Float64
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	st, err := openStore(o.Path)
	if err != nil {
		return nil, fmt.Errorf("stepfunctions: %w", err)
	}
	s := &Service{
		opt: o, store: st,
		machines: map[string]*registration{}, definitions: map[string]*machine{}, runs: map[string]*run{},
	}
	s.ctx, s.stop = context.WithCancel(context.Background())
	if err := s.restore(); err != nil {
		s.stop()
		return nil, errors.Join(fmt.Errorf("stepfunctions: %s: %w", o.Path, err), st.close())
	}
	return s, nil
}

// restore reads what a Service with the same file has stored before.
func (s *Service) restore() error {
	err := s.store.all(machinesBucket, func(name string, value []byte) error {
		reg := &registration{}
		if err := json.Unmarshal(value, reg); err != nil {
			return err
		}
		reg.hash = hashOf(reg.Definition)
		s.machines[name] = reg
		return nil
	})
	if err != nil {
		return err
	}
	sources := map[string]string{}
	err = s.store.all(definitionsBucket, func(hash string, value []byte) error {
		sources[hash] = string(value)
		return nil
	})
	if err != nil {
		return err
	}
	return s.store.all(executionsBucket, func(arn string, value []byte) error {
		rec := &execution{}
		if err := json.Unmarshal(value, rec); err != nil {
			return fmt.Errorf("%s: %w", arn, err)
		}
		s.sequence = max(s.sequence, rec.Sequence)
		r := s.newRun(rec)
		if rec.Status != running {
			r.cancel()
		} else {
			rec.Root.listen()
			if r.machine, err = s.compiled(rec.Definition, sources[rec.Definition]); err != nil {
				return fmt.Errorf("the definition of %s: %w", arn, err)
			}
		}
		s.runs[arn] = r
		return nil
	})
}

// listen makes the channels of the tasks of a branch that was just read.
func (b *branch) listen() {
	if b.Task != nil {
		b.Task.changed = make(chan struct{}, 1)
	}
	if b.Map == nil {
		return
	}
	for _, child := range b.Map.Branches {
		if child != nil {
			child.listen()
		}
	}
}

func (s *Service) newRun(rec *execution) *run {
	r := &run{s: s, rec: rec}
	r.ctx, r.cancel = context.WithCancel(s.ctx)
	return r
}

func (s *Service) compiled(hash, source string) (*machine, error) {
	if m := s.definitions[hash]; m != nil {
		return m, nil
	}
	m, err := compile([]byte(source))
	if err == nil {
		s.definitions[hash] = m
	}
	return m, err
}

func hashOf(definition string) string {
	sum := sha256.Sum256([]byte(definition))
	return hex.EncodeToString(sum[:])
}

// Load registers a state machine, or gives the one of that name a new
// definition; running executions keep the definition they started with. It
// refuses what the emulator does not support, naming every such field.
func (s *Service) Load(name string, asl []byte) (arn string, err error) {
	if !validName(name) {
		return "", fmt.Errorf("stepfunctions: invalid state machine name %q", name)
	}
	hash := hashOf(string(asl))
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := s.compiled(hash, string(asl)); err != nil {
		return "", fmt.Errorf("state machine %s: %w", name, err)
	}
	reg := &registration{Name: name, Definition: string(asl), Created: s.opt.Now(), hash: hash}
	if old := s.machines[name]; old != nil {
		reg.Created = old.Created
	}
	if err := s.store.save(&write{machine: &entry{name, encode(reg)}, definition: &entry{hash, asl}}); err != nil {
		return "", fmt.Errorf("stepfunctions: store %s: %w", name, err)
	}
	s.machines[name] = reg
	return s.machineARN(name), nil
}

// Start resumes the executions that were running and lets new ones run.
func (s *Service) Start() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.started {
		return
	}
	s.started = true
	for _, r := range s.runs {
		if r.ongoing() {
			s.launch(r)
		}
	}
}

func (r *run) ongoing() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.rec.Status == running
}

// launch starts the goroutines of a run, once; s.mu is held.
func (s *Service) launch(r *run) {
	if s.ctx.Err() != nil || r.launched {
		return
	}
	r.launched = true
	s.wg.Go(r.drive)
	if !r.rec.Deadline.IsZero() {
		s.wg.Go(func() { r.expire(r.rec.Deadline) })
	}
}

// Close stops all goroutines and waits for them. Executions stay as they are,
// for the next Open.
func (s *Service) Close() error {
	s.mu.Lock()
	s.stop()
	runs := slices.Collect(maps.Values(s.runs))
	s.mu.Unlock()
	s.wg.Wait()
	for _, r := range runs {
		func() { // a request that is writing a transition ends first
			r.mu.Lock()
			defer r.mu.Unlock()
		}()
	}
	return s.store.close()
}

// start begins an execution, or returns the one that began with the same name
// and input and still runs.
func (s *Service) start(machineName, name, input string) (*run, error) {
	s.mu.Lock()
	reg := s.machines[machineName]
	if reg == nil {
		s.mu.Unlock()
		return nil, apiErrorf("StateMachineDoesNotExist", "State Machine Does Not Exist: '%s'", s.machineARN(machineName))
	}
	if s.ctx.Err() != nil {
		s.mu.Unlock()
		return nil, errStopped
	}
	arn := s.executionARN(machineName, name)
	if old := s.runs[arn]; old != nil {
		s.mu.Unlock()
		return old, old.sameAs(input)
	}
	s.sequence++
	r := s.newRun(&execution{
		ARN: arn, Name: name, Machine: machineName, Definition: reg.hash, Sequence: s.sequence,
		Input: input, Status: running, Root: &branch{},
	})
	r.machine = s.definitions[reg.hash]
	r.mu.Lock() // others who find the run wait until it is stored
	s.runs[arn] = r
	started := s.started
	s.mu.Unlock()
	err := r.begin(started)
	r.mu.Unlock()

	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		delete(s.runs, arn)
		return nil, err
	}
	if s.started {
		s.launch(r)
	}
	return r, nil
}

// begin stores the first transition of an execution, and what follows from it if the
// execution is about to run; r.mu is held.
func (r *run) begin(runs bool) error {
	c := &change{run: r, now: r.s.opt.Now(), onward: runs}
	r.rec.Start = c.now
	if r.machine.timeout > 0 {
		r.rec.Deadline = c.now.Add(time.Duration(r.machine.timeout) * time.Second)
	}
	d := inputDetails("", []byte(r.rec.Input))
	d.RoleARN = r.s.roleARN()
	c.append(0, "ExecutionStarted", d)
	c.enter(r.rec.Root, r.machine.find(r.machine.startAt), json.RawMessage(r.rec.Input))
	r.broken = r.s.store.save(&write{arn: r.rec.ARN, record: encode(r.rec), first: 1, events: c.events, tokens: c.tokens})
	return r.broken
}

// sameAs says whether a second start with this input is the same request.
func (r *run) sameAs(input string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.broken != nil {
		return r.broken
	}
	if r.rec.Status != running || r.rec.Input != input {
		return apiErrorf("ExecutionAlreadyExists", "Execution Already Exists: '%s'", r.rec.ARN)
	}
	return nil
}

func (s *Service) arn(parts ...string) string {
	return "arn:aws:states:" + s.opt.Region + ":" + s.opt.AccountID + ":" + strings.Join(parts, ":")
}

func (s *Service) machineARN(name string) string { return s.arn("stateMachine", name) }

func (s *Service) executionARN(machine, name string) string {
	return s.arn("execution", machine, name)
}

func (s *Service) roleARN() string {
	return "arn:aws:iam::" + s.opt.AccountID + ":role/StepFunctions"
}

// validName applies the rule for names of executions and state machines (API
// reference, StartExecution).
func validName(name string) bool {
	if n := len([]rune(name)); n == 0 || n > 80 {
		return false
	}
	return !strings.ContainsFunc(name, func(c rune) bool {
		return c <= ' ' || c >= 0x7f && c <= 0x9f || strings.ContainsRune("<>{}[]?*\"#%\\^|~`$&,;:/", c)
	})
}

package stepfunctions

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// maxData is how many bytes an input, output or result may have (AWS Step
// Functions quotas).
const maxData = 256 << 10

const (
	running   = "RUNNING"
	succeeded = "SUCCEEDED"
	failed    = "FAILED"
	timedOut  = "TIMED_OUT"
	aborted   = "ABORTED"
)

// An execution is what is stored of one execution, besides its history.
type execution struct {
	ARN, Name, Machine string
	Definition         string // key of the definition it started with
	Sequence           int64  // counts executions in the order they were started
	Input              string
	Status             string
	Start              time.Time
	Stop               time.Time
	Deadline           time.Time // zero: none
	Output             *string
	Failure            *failure
	Events             int64   // how many events its history has
	Root               *branch // nil once it has ended
}

// A branch is one thread of control: the execution itself or one iteration of a
// Map state.
type branch struct {
	State        string
	Input        json.RawMessage
	Entered      time.Time
	EnteredEvent int64
	Previous     int64 // id of its last event

	Retries    []int     // retries made, for each retrier of the state
	RetryCount int       // and in all
	Until      time.Time // end of the pause before the next try
	Task       *task
	Map        *mapRun
	Item       *item // of an iteration

	Done    bool
	Output  json.RawMessage
	Failure *failure
}

// A run is an execution and the goroutines that drive it.
type run struct {
	s       *Service
	machine *machine
	ctx     context.Context // ends with the execution and with the service
	cancel  context.CancelFunc

	launched bool // guarded by Service.mu

	mu     sync.Mutex // guards rec and its branches; held while a transition is written
	rec    *execution
	broken error // set when a transition could not be written
}

// errStopped ends the goroutines of a run that has ended, or of a service that
// is closing.
var errStopped = errors.New("stepfunctions: stopped")

// A change is one transition in the making: the record of the run is altered in
// place, the events are collected, and commit writes both.
type change struct {
	*run
	now    time.Time
	onward bool // what follows without waiting is part of this change
	events []json.RawMessage
	tokens []string
}

// together is how many events may follow each other in one change. An endless loop of
// states that do not wait is stored, and can be stopped, that often.
const together = 100

// commit makes one transition and writes it. It returns errStopped when the
// execution has ended or the service is closing; then alter is not called.
func (r *run) commit(alter func(c *change)) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.rec.Status != running || r.ctx.Err() != nil || r.broken != nil {
		return errStopped
	}
	c := &change{run: r, now: r.s.opt.Now(), onward: true}
	first := r.rec.Events + 1
	alter(c)
	if r.rec.Events > maxEvents || r.rec.Events == maxEvents && r.rec.Status == running {
		c.events = c.events[:maxEvents-first]
		r.rec.Events = maxEvents - 1
		c.stop(failed, 0, nil, &failure{errRuntime, fmt.Sprintf("The execution reached the maximum number of history events (%d).", maxEvents)})
	}
	if err := r.s.store.save(&write{arn: r.rec.ARN, record: encode(r.rec), first: first, events: c.events, tokens: c.tokens}); err != nil {
		r.broken = err
		r.cancel()
		r.s.opt.Log.Error("a transition could not be stored; the execution stands still", slog.String("execution", r.rec.ARN), slog.Any("error", err))
		return errStopped
	}
	if r.rec.Status != running {
		r.cancel()
	}
	return nil
}

// event appends an event to the history; b is the branch it happened on.
func (c *change) event(b *branch, kind string, d *details) {
	b.Previous = c.append(b.Previous, kind, d)
}

func (c *change) append(previous int64, kind string, d *details) int64 {
	c.rec.Events++
	c.events = append(c.events, encodeEvent(c.rec.Events, previous, c.now, kind, d))
	return c.rec.Events
}

// stop ends the execution.
func (c *change) stop(status string, previous int64, output []byte, f *failure) {
	d := &details{}
	kind := "ExecutionSucceeded"
	switch status {
	case succeeded:
		d = outputDetails("", output)
		text := string(output)
		c.rec.Output = &text
	case failed:
		kind = "ExecutionFailed"
	case timedOut:
		kind = "ExecutionTimedOut"
	case aborted:
		kind = "ExecutionAborted"
	}
	if f != nil {
		d.Error, d.Cause = f.Error, f.Cause
		c.rec.Failure = f
	}
	c.append(previous, kind, d)
	if status != succeeded {
		c.rec.Output = nil
	}
	c.rec.Status, c.rec.Stop, c.rec.Root = status, c.now, nil
}

// enter moves b to a state. A state that does not wait is run, and the call of a task's
// function scheduled, in the same change: the disk is waited for once.
func (c *change) enter(b *branch, s *state, input json.RawMessage) {
	*b = branch{State: s.name, Input: input, Entered: c.now, Previous: b.Previous, Item: b.Item, Retries: make([]int, len(s.retry))}
	c.event(b, s.kind+"StateEntered", inputDetails(s.name, input))
	b.EnteredEvent = b.Previous
	if !c.onward || len(c.events) >= together {
		return
	}
	switch s.kind {
	case "Task":
		c.schedule(b, s)
	case "Map", "Wait":
	default:
		c.immediate(b, s)
	}
}

// leave ends the state b is in, with the output, and goes where next says.
func (c *change) leave(b *branch, s *state, output json.RawMessage, next string) {
	c.event(b, s.kind+"StateExited", outputDetails(s.name, output))
	if next != "" {
		c.enter(b, c.machine.find(next), output)
		return
	}
	b.Done, b.Output, b.Task, b.Map = true, output, nil, nil
	if b.Item == nil {
		c.stop(succeeded, b.Previous, output, nil)
		return
	}
	c.event(b, "MapIterationSucceeded", &details{Name: b.Item.Map, Index: &b.Item.Index})
}

// fail ends b with a failure that nothing has caught.
func (c *change) fail(b *branch, f *failure) {
	b.Failure, b.Task, b.Map = f, nil, nil
	if b.Item == nil {
		c.stop(failed, b.Previous, nil, f)
		return
	}
	c.event(b, "MapIterationFailed", &details{Name: b.Item.Map, Index: &b.Item.Index})
}

// complete ends a state with its result: ResultSelector, ResultPath, OutputPath.
func (c *change) complete(b *branch, s *state, result any) {
	output, err := c.output(b, s, result)
	switch {
	case err != nil:
		c.recover(b, s, failureOf(b, err))
	case len(output) > maxData:
		c.recover(b, s, tooLarge(b, "output"))
	default:
		c.leave(b, s, output, s.next)
	}
}

func (c *change) output(b *branch, s *state, result any) (json.RawMessage, error) {
	sc, err := c.scope(b)
	if err != nil {
		return nil, err
	}
	input := sc.input
	if s.resultSelector != nil {
		sc.input = result
		if result, err = s.resultSelector.eval(sc); err != nil {
			return nil, err
		}
	}
	output := input
	if s.resultPath != nil {
		if output, err = s.resultPath.put(input, result); err != nil {
			return nil, &resultPathError{err}
		}
	}
	if output, err = selected(s.outputPath, scope{output, sc.context}); err != nil {
		return nil, err
	}
	return encode(output), nil
}

// selected applies an InputPath or OutputPath; null selects the empty object.
func selected(p *path, sc scope) (any, error) {
	if p == nil {
		return map[string]any{}, nil
	}
	return p.eval(sc)
}

// recover lets Retry and then Catch decide about a failure of the state b is in.
func (c *change) recover(b *branch, s *state, f *failure) {
	b.Task, b.Map = nil, nil
	for i, r := range s.retry {
		if !f.matches(r.errors) {
			continue
		}
		if b.Retries[i] < r.maxAttempts {
			b.Until = c.now.Add(r.pause(b.Retries[i], c.s.opt.Rand))
			b.Retries[i]++
			b.RetryCount++
			return
		}
		break
	}
	for _, k := range s.catch {
		if f.matches(k.errors) {
			c.caught(b, s, k, f)
			return
		}
	}
	c.fail(b, f)
}

func (c *change) caught(b *branch, s *state, k catcher, f *failure) {
	input, err := decode(b.Input)
	if err == nil && k.resultPath != nil {
		input, err = k.resultPath.put(input, map[string]any{"Error": f.Error, "Cause": f.Cause})
	}
	if err != nil {
		c.fail(b, failureOf(b, &resultPathError{err}))
		return
	}
	output := encode(input)
	if len(output) > maxData {
		c.fail(b, tooLarge(b, "output"))
		return
	}
	c.leave(b, s, output, k.next)
}

// pause returns how long to wait before the next try, when made of the
// retrier's retries were made before.
func (r retrier) pause(made int, random func() float64) time.Duration {
	seconds := r.interval
	for range made {
		seconds *= r.backoff
		if seconds > maxSeconds {
			seconds = maxSeconds
			break
		}
	}
	if r.maxDelay > 0 {
		seconds = min(seconds, r.maxDelay)
	}
	if r.jitter {
		seconds *= random()
	}
	return time.Duration(seconds * float64(time.Second))
}

func tooLarge(b *branch, what string) *failure {
	return &failure{errDataLimit, fmt.Sprintf("The state/task '%s' returned a result or has an %s with a size exceeding the maximum number of bytes service limit.", b.State, what)}
}

// scope returns what the expressions of b's state read.
func (c *change) scope(b *branch) (scope, error) {
	input, err := decode(b.Input)
	if err != nil {
		return scope{}, err
	}
	executionInput, err := decode([]byte(c.rec.Input))
	if err != nil {
		return scope{}, err
	}
	data := map[string]any{
		"Execution": map[string]any{
			"Id": c.rec.ARN, "Name": c.rec.Name, "Input": executionInput,
			"RoleArn": c.s.roleARN(), "StartTime": stamp(c.rec.Start), "RedriveCount": json.Number("0"),
		},
		"State":        map[string]any{"Name": b.State, "EnteredTime": stamp(b.Entered), "RetryCount": json.Number(fmt.Sprint(b.RetryCount))},
		"StateMachine": map[string]any{"Id": c.s.machineARN(c.rec.Machine), "Name": c.rec.Machine},
	}
	if b.Task != nil && b.Task.Token != "" {
		data["Task"] = map[string]any{"Token": b.Task.Token}
	}
	if b.Item != nil {
		if data["Map"], err = b.Item.context(); err != nil {
			return scope{}, err
		}
	}
	return scope{input, data}, nil
}

// stamp writes a time as the context object does.
func stamp(at time.Time) string { return at.UTC().Format("2006-01-02T15:04:05.000Z") }

// drive runs the execution to its end, or until the service closes.
func (r *run) drive() {
	defer r.cancel()
	r.mu.Lock()
	root := r.rec.Root
	r.mu.Unlock()
	if root == nil {
		return
	}
	if err := r.walk(r.ctx, root); err != nil && !errors.Is(err, errStopped) {
		r.s.opt.Log.Error("an execution stands still", slog.String("execution", r.rec.ARN), slog.Any("error", err))
	}
}

// expire ends the execution at its deadline.
func (r *run) expire(deadline time.Time) {
	if r.sleep(r.ctx, deadline) != nil {
		return
	}
	_ = r.commit(func(c *change) {
		c.stop(timedOut, c.rec.Root.Previous, nil, &failure{Error: errTimeout})
	})
}

// walk runs one branch to its end.
func (r *run) walk(ctx context.Context, b *branch) error {
	for !r.ended(b) {
		if err := r.sleep(ctx, b.Until); err != nil {
			return err
		}
		s := r.machine.find(b.State)
		var err error
		switch s.kind {
		case "Task":
			err = r.task(ctx, s, b)
		case "Map":
			err = r.mapState(ctx, s, b)
		case "Wait":
			err = r.wait(ctx, s, b)
		default:
			err = r.commit(func(c *change) { c.immediate(b, s) })
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// ended says whether a branch has come to its end, good or bad.
func (r *run) ended(b *branch) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return b.Done || b.Failure != nil
}

// sleep waits until a moment, which may be past.
func (r *run) sleep(ctx context.Context, until time.Time) error {
	if ctx.Err() != nil {
		return errStopped
	}
	pause := until.Sub(r.s.opt.Now())
	if until.IsZero() || pause <= 0 {
		return nil
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return errStopped
	}
}

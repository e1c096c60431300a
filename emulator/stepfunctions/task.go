package stepfunctions

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"time"
)

// A task is one attempt of a Task state.
type task struct {
	Token     string    `json:",omitempty"` // of a task that waits for its token
	Deadline  time.Time // zero: none
	Heartbeat int64     `json:",omitempty"` // seconds allowed between heartbeats
	Due       time.Time // when the next heartbeat must have come
	Submitted bool      // the function has returned; only the token is missing

	changed chan struct{} // has an element when another goroutine altered the task
	call    *request      // the call that is scheduled and not yet made; never stored
}

// A request is what a task asks of its function.
type request struct {
	function string
	payload  []byte
}

// A reply is what Invoke returned.
type reply struct {
	payload []byte
	err     error
}

// task schedules one attempt of a Task state, or makes the one that is scheduled. It
// returns when what follows from it is stored.
func (r *run) task(ctx context.Context, s *state, b *branch) error {
	if b.Task == nil {
		return r.commit(func(c *change) { c.schedule(b, s) })
	}
	t := b.Task
	call := t.call
	t.call = nil
	if call == nil && !t.Submitted {
		return r.commit(func(c *change) {
			c.taskFailed(b, s, "TaskFailed", &failure{errLambdaUnknown, "the function was running when the service stopped, and its outcome is unknown"})
		})
	}
	var replies chan reply
	cancel := func() {}
	if call != nil {
		var invoking context.Context
		invoking, cancel = context.WithCancel(r.s.ctx)
		replies = make(chan reply, 1)
		r.s.wg.Go(func() {
			payload, err := r.s.opt.Invoke(invoking, call.function, call.payload)
			replies <- reply{payload, err}
			cancel()
		})
	}
	return r.await(ctx, s, b, t, replies, cancel)
}

// schedule stores that the function is about to be called, with the task's token and
// deadlines. If the parameters fail, Retry and Catch decide.
func (c *change) schedule(b *branch, s *state) {
	b.Until = time.Time{}
	b.Task = &task{changed: make(chan struct{}, 1)}
	if s.token {
		b.Task.Token = newToken()
		c.tokens = append(c.tokens, b.Task.Token)
	}
	req, d, err := c.request(b, s)
	if err != nil {
		c.recover(b, s, failureOf(b, err))
		return
	}
	if len(d.Parameters) > maxData {
		c.recover(b, s, tooLarge(b, "input"))
		return
	}
	b.Task.call = req
	if d.Timeout > 0 {
		b.Task.Deadline = c.now.Add(time.Duration(d.Timeout) * time.Second)
	}
	if d.Heartbeat > 0 {
		b.Task.Heartbeat = d.Heartbeat
		b.Task.Due = c.now.Add(time.Duration(d.Heartbeat) * time.Second)
	}
	c.event(b, "TaskScheduled", d)
	c.event(b, "TaskStarted", s.resource())
}

// resource names the integration in events.
func (s *state) resource() *details {
	d := &details{ResourceType: "lambda", Resource: "invoke"}
	if s.token {
		d.Resource = "invoke.waitForTaskToken"
	}
	return d
}

func (c *change) request(b *branch, s *state) (*request, *details, error) {
	sc, err := c.scope(b)
	if err != nil {
		return nil, nil, err
	}
	if sc.input, err = selected(s.inputPath, sc); err != nil {
		return nil, nil, err
	}
	value, err := s.parameters.eval(sc)
	if err != nil {
		return nil, nil, err
	}
	parameters := value.(map[string]any)
	name, ok := parameters["FunctionName"].(string)
	if !ok || name == "" {
		return nil, nil, errors.New("the value of FunctionName must be a string that is not empty")
	}
	payload, ok := parameters["Payload"]
	if !ok {
		payload = map[string]any{}
	}
	d := s.resource()
	d.Parameters, d.Region = string(encode(value)), c.s.opt.Region
	d.Timeout, d.Heartbeat = s.timeout, s.heartbeat
	if s.timeoutPath != nil {
		if d.Timeout, err = secondsAt(s.timeoutPath, sc, 1); err != nil {
			return nil, nil, err
		}
	}
	if s.heartbeatPath != nil {
		if d.Heartbeat, err = secondsAt(s.heartbeatPath, sc, 1); err != nil {
			return nil, nil, err
		}
	}
	return &request{functionName(name), encode(payload)}, d, nil
}

// functionName takes the name out of a function's ARN.
func functionName(name string) string {
	if _, rest, ok := strings.Cut(name, ":function:"); ok {
		name, _, _ = strings.Cut(rest, ":")
	}
	return name
}

// await waits for the end of an attempt: the reply of its function, its token,
// or one of its deadlines. The first to be stored counts. The function is
// canceled, unless its token was answered while it ran.
func (r *run) await(ctx context.Context, s *state, b *branch, t *task, replies <-chan reply, cancel func()) error {
	for {
		over, next := r.look(b, t)
		if over {
			return nil
		}
		var clock <-chan time.Time
		var timer *time.Timer
		if !next.IsZero() {
			timer = time.NewTimer(next.Sub(r.s.opt.Now()))
			clock = timer.C
		}
		var err error
		select {
		case <-ctx.Done():
			err = errStopped
		case got := <-replies:
			replies = nil
			err = r.onlyNow(b, t, func(c *change) { c.replied(b, s, got) })
		case <-t.changed:
		case <-clock:
			err = r.onlyNow(b, t, func(c *change) {
				if c.late(b, s, t) {
					cancel()
				}
			})
		}
		if timer != nil {
			timer.Stop()
		}
		if err != nil {
			if over, _ := r.look(b, t); !over {
				cancel()
			}
			return err
		}
	}
}

// look says whether the attempt t is over and, if not, when its next deadline is.
func (r *run) look(b *branch, t *task) (over bool, next time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	next = t.Deadline
	if next.IsZero() || !t.Due.IsZero() && t.Due.Before(next) {
		next = t.Due
	}
	return b.Task != t, next
}

// onlyNow makes a transition unless the attempt t is over.
func (r *run) onlyNow(b *branch, t *task, alter func(c *change)) error {
	return r.commit(func(c *change) {
		if b.Task == t {
			alter(c)
		}
	})
}

// replied deals with the reply of the function.
func (c *change) replied(b *branch, s *state, got reply) {
	if got.err != nil {
		c.taskFailed(b, s, "TaskFailed", invokeFailure(got.err))
		return
	}
	result := invocation(got.payload)
	output := encode(result)
	switch {
	case len(output) > maxData:
		c.taskFailed(b, s, "TaskFailed", tooLarge(b, "output"))
	case s.token:
		d := outputDetails("", output)
		d.Resource, d.ResourceType = s.resource().Resource, "lambda"
		c.event(b, "TaskSubmitted", d)
		b.Task.Submitted = true
	default:
		c.taskSucceeded(b, s, result)
	}
}

// invocation is the result of lambda:invoke.
func invocation(payload []byte) any {
	value, err := decode(payload)
	if err != nil && len(payload) > 0 {
		value = string(payload)
	}
	ok := json.Number("200")
	return map[string]any{
		"ExecutedVersion": "$LATEST", "Payload": value, "StatusCode": ok,
		"SdkHttpMetadata": map[string]any{"HttpStatusCode": ok},
	}
}

func (c *change) taskSucceeded(b *branch, s *state, result any) {
	d := outputDetails("", encode(result))
	d.Resource, d.ResourceType = s.resource().Resource, "lambda"
	c.event(b, "TaskSucceeded", d)
	c.complete(b, s, result)
}

func (c *change) taskFailed(b *branch, s *state, kind string, f *failure) {
	d := s.resource()
	d.Error, d.Cause = f.Error, f.Cause
	c.event(b, kind, d)
	c.recover(b, s, f)
}

// late ends the attempt if one of its deadlines has passed.
func (c *change) late(b *branch, s *state, t *task) bool {
	f := t.passed(c.now)
	if f != nil {
		c.taskFailed(b, s, "TaskTimedOut", f)
	}
	return f != nil
}

// passed returns the failure of an attempt that has missed a deadline.
func (t *task) passed(now time.Time) *failure {
	switch {
	case !t.Deadline.IsZero() && !now.Before(t.Deadline):
		return &failure{Error: errTimeout}
	case !t.Due.IsZero() && !now.Before(t.Due):
		return &failure{Error: errHeartbeat}
	}
	return nil
}

// tokenBytes is the length of the random part of a task token.
const tokenBytes = 48

func newToken() string {
	random := make([]byte, tokenBytes)
	_, _ = rand.Read(random) // never fails (crypto/rand)
	return base64.StdEncoding.EncodeToString(random)
}

// validToken says whether a token has the form of one that newToken makes.
func validToken(token string) bool {
	data, err := base64.StdEncoding.DecodeString(token)
	return err == nil && len(data) == tokenBytes
}

// holder returns the branch that waits for a token, nil if none does any more.
func (b *branch) holder(token string) *branch {
	if b == nil || b.Done || b.Failure != nil {
		return nil
	}
	if b.Task != nil && b.Task.Token == token {
		return b
	}
	if b.Map == nil {
		return nil
	}
	for _, child := range b.Map.Branches {
		if found := child.holder(token); found != nil {
			return found
		}
	}
	return nil
}

// answer applies the answer to a task token in one transition. It says whether
// a task was still waiting for it.
func (r *run) answer(token string, apply func(c *change, b *branch, s *state)) (bool, error) {
	var wake chan struct{}
	err := r.commit(func(c *change) {
		b := c.rec.Root.holder(token)
		if b == nil {
			return
		}
		t := b.Task
		if t.passed(c.now) != nil {
			return
		}
		wake = t.changed
		apply(c, b, c.machine.find(b.State))
	})
	if wake == nil {
		return false, err
	}
	select {
	case wake <- struct{}{}:
	default:
	}
	return true, err
}

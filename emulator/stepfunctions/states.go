package stepfunctions

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"
)

// inlineConcurrency is how many iterations of an inline Map state run at once
// (Developer Guide, "Inline mode").
const inlineConcurrency = 40

// immediate runs a Pass, Choice, Succeed or Fail state.
func (c *change) immediate(b *branch, s *state) {
	sc, err := c.scope(b)
	if err == nil && s.kind != "Fail" {
		sc.input, err = selected(s.inputPath, sc)
	}
	if err != nil {
		c.recover(b, s, failureOf(b, err))
		return
	}
	switch s.kind {
	case "Pass":
		c.pass(b, s, sc)
	case "Choice":
		c.choose(b, s, sc)
	case "Succeed":
		c.leaveWith(b, s, sc, "")
	case "Fail":
		c.failState(b, s, sc)
	}
}

// leaveWith ends a state that only filters its input.
func (c *change) leaveWith(b *branch, s *state, sc scope, next string) {
	output, err := selected(s.outputPath, sc)
	if err != nil {
		c.recover(b, s, failureOf(b, err))
		return
	}
	c.leave(b, s, encode(output), next)
}

func (c *change) pass(b *branch, s *state, sc scope) {
	result := sc.input
	var err error
	if s.parameters != nil {
		result, err = s.parameters.eval(sc)
	}
	if s.result != nil && err == nil {
		result, err = s.result.eval(sc)
	}
	if err != nil {
		c.recover(b, s, failureOf(b, err))
		return
	}
	c.complete(b, s, result)
}

func (c *change) choose(b *branch, s *state, sc scope) {
	next := s.defaultTo
	for _, r := range s.choices {
		ok, err := r.matches(sc)
		if err != nil {
			c.recover(b, s, failureOf(b, err))
			return
		}
		if ok {
			next = r.next
			break
		}
	}
	if next == "" {
		c.recover(b, s, &failure{errNoChoiceMatched, fmt.Sprintf("An error occurred while executing the state '%s' (entered at the event id #%d). Failed to transition out of the state. The state's output did not match any rule.", b.State, b.EnteredEvent)})
		return
	}
	c.leaveWith(b, s, sc, next)
}

func (c *change) failState(b *branch, s *state, sc scope) {
	f := &failure{s.error, s.cause}
	for _, dynamic := range []struct {
		from expr
		to   *string
	}{{s.errorPath, &f.Error}, {s.causePath, &f.Cause}} {
		if dynamic.from == nil {
			continue
		}
		value, err := dynamic.from.eval(sc)
		text, ok := value.(string)
		if err == nil && !ok {
			err = errors.New("ErrorPath and CausePath must give a string")
		}
		if err != nil {
			f = failureOf(b, err)
			break
		}
		*dynamic.to = text
	}
	c.fail(b, f)
}

// wait runs a Wait state. Its end follows from what is stored when the state is
// entered, so that a restart does not move it.
func (r *run) wait(ctx context.Context, s *state, b *branch) error {
	var until time.Time
	var fault error
	r.mu.Lock()
	sc, err := (&change{run: r}).scope(b)
	r.mu.Unlock()
	if err == nil {
		sc.input, err = selected(s.inputPath, sc)
	}
	if err == nil {
		until, err = s.waitEnd(b.Entered, sc)
	}
	if fault = err; fault == nil {
		if err := r.sleep(ctx, until); err != nil {
			return err
		}
	}
	return r.commit(func(c *change) {
		if fault != nil {
			c.recover(b, s, failureOf(b, fault))
			return
		}
		c.leaveWith(b, s, sc, s.next)
	})
}

func (s *state) waitEnd(entered time.Time, sc scope) (time.Time, error) {
	switch {
	case s.secondsPath != nil:
		seconds, err := secondsAt(s.secondsPath, sc, 0)
		return entered.Add(time.Duration(seconds) * time.Second), err
	case s.timestampPath != nil:
		value, err := s.timestampPath.eval(sc)
		if err != nil {
			return time.Time{}, err
		}
		at, ok := timestamp(value)
		if !ok {
			return time.Time{}, fmt.Errorf("The TimestampPath parameter does not reference a valid ISO-8601 extended offset date-time format string: %s == %s", s.timestampPath.text, encode(value))
		}
		return at, nil
	case s.timestamp != "":
		at, _ := timestamp(s.timestamp)
		return at, nil
	}
	return entered.Add(time.Duration(s.seconds) * time.Second), nil
}

// secondsAt reads a whole number of seconds, least or more.
func secondsAt(p *path, sc scope, least float64) (int64, error) {
	value, err := p.eval(sc)
	if err != nil {
		return 0, err
	}
	x, ok := number(value)
	if !ok || x != float64(int64(x)) || x < least || x > maxSeconds {
		return 0, fmt.Errorf("%s must be a whole number from %v to %d, and is %s", p.text, least, maxSeconds, encode(value))
	}
	return int64(x), nil
}

// A mapRun is the work of a Map state: its items, and a branch for each one
// that was started.
type mapRun struct {
	Items    []*item
	Branches []*branch
}

// An item is one element a Map state works on.
type item struct {
	Map   string // the name of the state
	Index int
	Value json.RawMessage // the element
	Input json.RawMessage // what ItemSelector made of it
}

// context is the Map part of the context object.
func (i *item) context() (map[string]any, error) {
	value, err := decode(i.Value)
	return map[string]any{"Item": map[string]any{"Index": json.Number(fmt.Sprint(i.Index)), "Value": value}}, err
}

func (r *run) mapState(ctx context.Context, s *state, b *branch) error {
	if b.Map == nil {
		if err := r.commit(func(c *change) { c.startMap(b, s) }); err != nil || b.Map == nil {
			return err
		}
	}
	if err := r.iterate(ctx, s, b); err != nil {
		return err
	}
	return r.commit(func(c *change) { c.endMap(b, s) })
}

func (c *change) startMap(b *branch, s *state) {
	b.Until = time.Time{}
	items, err := c.items(b, s)
	if err != nil {
		c.recover(b, s, failureOf(b, err))
		return
	}
	for _, i := range items {
		if len(i.Input) > maxData {
			c.recover(b, s, tooLarge(b, "input"))
			return
		}
	}
	n := len(items)
	b.Map = &mapRun{Items: items, Branches: make([]*branch, n)}
	c.event(b, "MapStateStarted", &details{Length: &n})
}

func (c *change) items(b *branch, s *state) ([]*item, error) {
	sc, err := c.scope(b)
	if err != nil {
		return nil, err
	}
	if sc.input, err = selected(s.inputPath, sc); err != nil {
		return nil, err
	}
	value, err := selected(s.items, sc)
	if err != nil {
		return nil, err
	}
	list, ok := value.([]any)
	if !ok {
		return nil, fmt.Errorf("Reference path \"%s\" must point to array.", s.items.text)
	}
	items := make([]*item, len(list))
	for i, element := range list {
		items[i] = &item{Map: s.name, Index: i, Value: encode(element)}
		items[i].Input = items[i].Value
		if s.selector == nil {
			continue
		}
		if sc.context["Map"], err = items[i].context(); err != nil {
			return nil, err
		}
		input, err := s.selector.eval(sc)
		if err != nil {
			return nil, err
		}
		items[i].Input = encode(input)
	}
	return items, nil
}

// iterate runs the iterations that have not ended, until all have or one fails.
func (r *run) iterate(ctx context.Context, s *state, b *branch) error {
	inner, cancel := context.WithCancel(ctx)
	defer cancel()
	limit := inlineConcurrency
	if s.concurrent > 0 {
		limit = min(limit, s.concurrent)
	}
	places := make(chan struct{}, limit)
	var wg sync.WaitGroup
	defer wg.Wait()
	for i, child := range b.Map.Branches {
		if child != nil && child.Failure != nil {
			cancel()
		}
		select {
		case places <- struct{}{}:
		case <-inner.Done():
		}
		if inner.Err() != nil {
			break
		}
		if child == nil {
			if err := r.commit(func(c *change) { child = c.startIteration(b, s, i) }); err != nil {
				cancel()
				return err
			}
		}
		wg.Go(func() {
			_ = r.walk(inner, child)
			if r.failed(child) {
				cancel()
			}
			<-places
		})
	}
	wg.Wait()
	if ctx.Err() != nil {
		return errStopped
	}
	return nil
}

// failed says whether a branch has ended badly.
func (r *run) failed(b *branch) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return b.Failure != nil
}

func (c *change) startIteration(b *branch, s *state, i int) *branch {
	it := b.Map.Items[i]
	child := &branch{Item: it, Previous: b.Previous}
	b.Map.Branches[i] = child
	c.event(child, "MapIterationStarted", &details{Name: s.name, Index: &it.Index})
	c.enter(child, c.machine.find(s.processor.startAt), it.Input)
	return child
}

// endMap concludes a Map state when its iterations have ended.
func (c *change) endMap(b *branch, s *state) {
	var first *failure
	results := make([]any, len(b.Map.Branches))
	for i, child := range b.Map.Branches {
		switch {
		case child == nil:
		case child.Failure != nil:
			first = child.Failure
		case child.Done:
			results[i], _ = decode(child.Output)
		}
	}
	for i, child := range b.Map.Branches {
		if child != nil && first != nil && !child.Done && child.Failure == nil {
			c.event(child, "MapIterationAborted", &details{Name: s.name, Index: &b.Map.Items[i].Index})
		}
		if child != nil {
			b.Previous = max(b.Previous, child.Previous)
		}
	}
	if first != nil {
		c.event(b, "MapStateFailed", nil)
		c.recover(b, s, first)
		return
	}
	c.event(b, "MapStateSucceeded", nil)
	if len(encode(results)) > maxData {
		c.recover(b, s, tooLarge(b, "output"))
		return
	}
	b.Map = nil
	c.complete(b, s, results)
}

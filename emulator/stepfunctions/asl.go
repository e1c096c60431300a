package stepfunctions

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
)

const (
	invokeResource = "arn:aws:states:::lambda:invoke"
	tokenResource  = "arn:aws:states:::lambda:invoke.waitForTaskToken"
	// A year and a bit: the longest wait and time-out the service takes.
	maxSeconds = 99_999_999
)

// A machine is a compiled definition.
type machine struct {
	startAt string
	states  map[string]*state
	all     map[string]*state // of the top machine: also those of its Map states
	timeout int64             // seconds; 0 means none
}

// find returns the state called name, wherever in the definition it is.
func (m *machine) find(name string) *state { return m.all[name] }

// A state is one compiled state. Which fields are set depends on the type.
type state struct {
	name, kind, next string
	end              bool

	inputPath, outputPath      *path // nil: the empty object
	resultPath                 *path // nil: the result is dropped
	parameters, resultSelector template

	retry []retrier
	catch []catcher

	// Task
	token                      bool // waits for its task token
	timeout, heartbeat         int64
	timeoutPath, heartbeatPath *path

	// Wait
	seconds                    int64
	timestamp                  string
	secondsPath, timestampPath *path

	choices    []*rule // Choice
	defaultTo  string
	result     template // Pass
	error      string   // Fail
	cause      string
	errorPath  expr
	causePath  expr
	items      *path // Map
	selector   template
	concurrent int
	processor  *machine
}

type retrier struct {
	errors      []string
	interval    float64 // seconds
	backoff     float64
	maxAttempts int
	maxDelay    float64 // seconds; 0 means none
	jitter      bool
}

type catcher struct {
	errors     []string
	next       string
	resultPath *path
}

// compile reads a definition and refuses what the emulator does not support.
// The error names every field that is wrong, one a line.
func compile(asl []byte) (*machine, error) {
	tree, err := decode(asl)
	if err != nil {
		return nil, fmt.Errorf("not JSON: %w", err)
	}
	if err := checkDuplicates(asl); err != nil {
		return nil, err
	}
	c := &compiler{states: map[string]*state{}}
	top := c.object("", tree)
	if len(c.faults) > 0 {
		return nil, c.faults[0]
	}
	top.text("Comment")
	if version, ok := top.text("Version"); ok && version != "1.0" {
		top.fault("Version", `only "1.0" exists`)
	}
	if language, ok := top.text("QueryLanguage"); ok && language != "JSONPath" {
		top.fault("QueryLanguage", "unsupported query language "+language)
	}
	m := c.machine(top)
	m.all = c.states
	m.timeout = top.seconds("TimeoutSeconds", 1)
	top.end()
	return m, errors.Join(c.faults...)
}

type compiler struct {
	faults []error
	states map[string]*state // all of the definition: their names are unique
}

func (c *compiler) machine(o *object) *machine {
	m := &machine{states: map[string]*state{}}
	m.startAt, _ = o.required("StartAt")
	states := c.object(o.at("States"), o.take("States"))
	for _, name := range slices.Sorted(maps.Keys(states.fields)) {
		s := c.object(states.at(name), states.take(name))
		if c.states[name] != nil {
			s.fault("", "another state has this name")
		}
		if n := len([]rune(name)); n == 0 || n > 80 {
			s.fault("", "a state's name has 1 to 80 characters")
		}
		m.states[name] = &state{name: name}
		c.states[name] = m.states[name]
		c.state(m.states[name], s)
		s.end()
	}
	if len(c.faults) == 0 {
		c.checkTransitions(m, o)
	}
	return m
}

// checkTransitions wants every target to exist, every state to be reachable and
// an end to be among them.
func (c *compiler) checkTransitions(m *machine, o *object) {
	seen := map[string]bool{}
	ends := false
	var visit func(from, name string)
	visit = func(from, name string) {
		s, ok := m.states[name]
		if !ok {
			o.fault(from, fmt.Sprintf("no state is called %q", name))
			return
		}
		if seen[name] {
			return
		}
		seen[name] = true
		ends = ends || s.end || s.kind == "Succeed" || s.kind == "Fail"
		for field, target := range s.targets() {
			visit("States."+name+"."+field, target)
		}
	}
	visit("StartAt", m.startAt)
	for _, name := range slices.Sorted(maps.Keys(m.states)) {
		if !seen[name] {
			o.fault("States."+name, "no transition leads to this state")
		}
	}
	if len(seen) > 0 && !ends {
		o.fault("States", "no state ends the machine")
	}
}

// targets yields the states that s can go to, with the field that says so.
func (s *state) targets() func(func(string, string) bool) {
	return func(yield func(string, string) bool) {
		if s.next != "" && !yield("Next", s.next) {
			return
		}
		if s.defaultTo != "" && !yield("Default", s.defaultTo) {
			return
		}
		for i, r := range s.choices {
			if !yield(fmt.Sprintf("Choices[%d].Next", i), r.next) {
				return
			}
		}
		for i, k := range s.catch {
			if !yield(fmt.Sprintf("Catch[%d].Next", i), k.next) {
				return
			}
		}
	}
}

func (c *compiler) state(s *state, o *object) {
	s.kind, _ = o.required("Type")
	o.text("Comment")
	if language, ok := o.text("QueryLanguage"); ok && language != "JSONPath" {
		o.fault("QueryLanguage", "unsupported query language "+language)
	}
	switch s.kind {
	case "Task":
		c.task(s, o)
	case "Choice":
		c.choice(s, o)
	case "Wait":
		c.wait(s, o)
	case "Pass":
		s.result = o.constant("Result")
		s.parameters = o.template("Parameters")
		s.resultPath = o.path("ResultPath", "$", true)
	case "Map":
		c.mapState(s, o)
	case "Succeed":
	case "Fail":
		c.fail(s, o)
		return
	default:
		if s.kind != "" {
			o.fault("Type", fmt.Sprintf("unsupported state type %q", s.kind))
		}
		o.ignoreRest()
		return
	}
	s.inputPath = o.path("InputPath", "$", false)
	s.outputPath = o.path("OutputPath", "$", false)
	if s.kind != "Choice" && s.kind != "Succeed" {
		s.next, _ = o.text("Next")
		s.end = o.boolean("End")
		if s.end == (s.next != "") {
			o.fault("", "needs either Next or End")
		}
	}
}

func (c *compiler) task(s *state, o *object) {
	switch resource, _ := o.required("Resource"); resource {
	case invokeResource:
	case tokenResource:
		s.token = true
	case "":
	default:
		o.fault("Resource", "unsupported resource "+resource)
	}
	c.parameters(s, o)
	s.resultSelector = o.template("ResultSelector")
	s.resultPath = o.path("ResultPath", "$", true)
	s.timeout = o.seconds("TimeoutSeconds", 1)
	s.timeoutPath = o.optionalPath("TimeoutSecondsPath")
	s.heartbeat = o.seconds("HeartbeatSeconds", 1)
	s.heartbeatPath = o.optionalPath("HeartbeatSecondsPath")
	o.atMostOne("TimeoutSeconds", "TimeoutSecondsPath")
	o.atMostOne("HeartbeatSeconds", "HeartbeatSecondsPath")
	if !s.token && (o.had["HeartbeatSeconds"] || o.had["HeartbeatSecondsPath"]) {
		o.fault("HeartbeatSeconds", "only a task that waits for its token can send heartbeats")
	}
	if s.heartbeat > 0 && s.timeout > 0 && s.heartbeat >= s.timeout {
		o.fault("HeartbeatSeconds", "must be smaller than TimeoutSeconds")
	}
	s.retry = c.retries(o)
	s.catch = c.catches(o)
}

// parameters takes the arguments of lambda:invoke: FunctionName and Payload.
func (c *compiler) parameters(s *state, o *object) {
	raw, ok := o.fields["Parameters"]
	if !ok {
		o.fault("Parameters", "missing: FunctionName is required")
		return
	}
	p := c.object(o.at("Parameters"), raw)
	for _, name := range []string{"FunctionName", "Payload"} {
		p.take(name)
		p.take(name + ".$")
		p.atMostOne(name, name+".$")
	}
	p.end()
	if !p.had["FunctionName"] && !p.had["FunctionName.$"] {
		o.fault("Parameters.FunctionName", "missing")
	}
	if name, ok := p.fields["FunctionName"]; ok {
		if text, ok := name.(string); !ok || text == "" {
			o.fault("Parameters.FunctionName", "must be a string that is not empty")
		}
	}
	if text := string(encode(raw)); s.token && !strings.Contains(text, "$$.Task") && !strings.Contains(text, `"$$"`) {
		o.fault("Parameters", "does not pass $$.Task.Token, so nothing could ever complete the task")
	}
	s.parameters = o.template("Parameters")
}

func (c *compiler) wait(s *state, o *object) {
	s.seconds = o.seconds("Seconds", 0)
	s.secondsPath = o.optionalPath("SecondsPath")
	s.timestamp, _ = o.text("Timestamp")
	s.timestampPath = o.optionalPath("TimestampPath")
	if _, ok := timestamp(s.timestamp); o.had["Timestamp"] && !ok {
		o.fault("Timestamp", "is not an RFC 3339 timestamp")
	}
	if o.atMostOne("Seconds", "SecondsPath", "Timestamp", "TimestampPath") == 0 {
		o.fault("", "needs one of Seconds, SecondsPath, Timestamp and TimestampPath")
	}
}

func (c *compiler) fail(s *state, o *object) {
	s.error, _ = o.text("Error")
	s.cause, _ = o.text("Cause")
	s.errorPath = o.expr("ErrorPath")
	s.causePath = o.expr("CausePath")
	o.atMostOne("Error", "ErrorPath")
	o.atMostOne("Cause", "CausePath")
}

func (c *compiler) mapState(s *state, o *object) {
	s.items = o.path("ItemsPath", "$", true)
	s.selector = o.template("ItemSelector")
	s.resultSelector = o.template("ResultSelector")
	s.resultPath = o.path("ResultPath", "$", true)
	s.concurrent = int(o.seconds("MaxConcurrency", 0))
	s.retry = c.retries(o)
	s.catch = c.catches(o)
	if o.take("Iterator") != nil {
		o.fault("Iterator", "unsupported field: use ItemProcessor")
	}
	p := c.object(o.at("ItemProcessor"), o.take("ItemProcessor"))
	p.text("Comment")
	if raw := p.take("ProcessorConfig"); raw != nil {
		config := c.object(p.at("ProcessorConfig"), raw)
		if mode, ok := config.text("Mode"); ok && mode != "INLINE" {
			config.fault("Mode", "unsupported mode "+mode)
		}
		config.end()
	}
	s.processor = c.machine(p)
	p.end()
}

func (c *compiler) retries(o *object) []retrier {
	var list []retrier
	items := o.list("Retry")
	for i, item := range items {
		r := c.object(fmt.Sprintf("%s[%d]", o.at("Retry"), i), item)
		r.text("Comment")
		jitter, _ := r.text("JitterStrategy")
		if jitter != "" && jitter != "FULL" && jitter != "NONE" {
			r.fault("JitterStrategy", "is FULL or NONE")
		}
		entry := retrier{
			errors:      c.errorEquals(r, i == len(items)-1),
			interval:    r.float("IntervalSeconds", 1, 1, maxSeconds, true),
			backoff:     r.float("BackoffRate", 2, 1, math.MaxFloat64, false),
			maxAttempts: int(r.float("MaxAttempts", 3, 0, maxSeconds, true)),
			maxDelay:    r.float("MaxDelaySeconds", 0, 1, 31_622_399, true),
			jitter:      jitter == "FULL",
		}
		if entry.maxDelay > 0 && entry.maxDelay <= entry.interval {
			r.fault("MaxDelaySeconds", "must be greater than IntervalSeconds")
		}
		list = append(list, entry)
		r.end()
	}
	return list
}

func (c *compiler) catches(o *object) []catcher {
	var list []catcher
	items := o.list("Catch")
	for i, item := range items {
		k := c.object(fmt.Sprintf("%s[%d]", o.at("Catch"), i), item)
		k.text("Comment")
		entry := catcher{errors: c.errorEquals(k, i == len(items)-1), resultPath: k.path("ResultPath", "$", true)}
		entry.next, _ = k.required("Next")
		list = append(list, entry)
		k.end()
	}
	return list
}

// errorEquals reads the names of errors. States.ALL stands alone, in the last
// entry; other names that begin with States. must be the language's own.
func (c *compiler) errorEquals(o *object, last bool) []string {
	var names []string
	for _, item := range o.list("ErrorEquals") {
		name, _ := item.(string)
		if name == "" || strings.HasPrefix(name, "States.") && !knownError(name) {
			o.fault("ErrorEquals", fmt.Sprintf("%s is not the name of an error", encode(item)))
		}
		names = append(names, name)
	}
	if len(names) == 0 {
		o.fault("ErrorEquals", "needs at least one error name")
	}
	if slices.Contains(names, errAll) && (!last || len(names) > 1) {
		o.fault("ErrorEquals", "States.ALL must stand alone and in the last entry")
	}
	return names
}

func (c *compiler) choice(s *state, o *object) {
	s.defaultTo, _ = o.text("Default")
	items := o.list("Choices")
	for i, item := range items {
		r := c.object(fmt.Sprintf("%s[%d]", o.at("Choices"), i), item)
		compiled := c.rule(r)
		compiled.next, _ = r.required("Next")
		s.choices = append(s.choices, compiled)
		r.end()
	}
	if len(items) == 0 {
		o.fault("Choices", "needs at least one rule")
	}
}

// rule compiles the part of a rule that is not Next.
func (c *compiler) rule(o *object) *rule {
	r := &rule{}
	o.text("Comment")
	found := 0
	for _, name := range []string{"And", "Or"} {
		if _, ok := o.fields[name]; !ok {
			continue
		}
		found++
		var parts []*rule
		for i, item := range o.list(name) {
			part := c.object(fmt.Sprintf("%s[%d]", o.at(name), i), item)
			parts = append(parts, c.rule(part))
			part.end()
		}
		if len(parts) == 0 {
			o.fault(name, "needs at least one rule")
		}
		if name == "And" {
			r.and = parts
		} else {
			r.or = parts
		}
	}
	if raw, ok := o.fields["Not"]; ok {
		found++
		o.take("Not")
		part := c.object(o.at("Not"), raw)
		r.not = c.rule(part)
		part.end()
	}
	found += c.comparison(r, o)
	if found != 1 {
		o.fault("", "needs exactly one comparison, And, Or or Not")
	}
	return r
}

func (c *compiler) comparison(r *rule, o *object) (found int) {
	kinds := operators()
	for _, name := range slices.Sorted(maps.Keys(o.fields)) {
		base, isPath := strings.CutSuffix(name, "Path")
		kind, ok := kinds[base]
		if !ok || isPath && (kind == "test" || base == "StringMatches") {
			continue
		}
		found++
		r.operator = base
		if isPath {
			r.path = o.optionalPath(name)
			continue
		}
		r.value = o.take(name)
		if !kindMatches(kind, r.value) {
			o.fault(name, "needs a "+strings.Replace(kind, "test", "boolean", 1))
		}
	}
	if found > 0 {
		r.variable = o.path("Variable", "", false)
	}
	return found
}

func kindMatches(kind string, value any) bool {
	var ok bool
	switch kind {
	case "string":
		_, ok = value.(string)
	case "numeric":
		_, ok = value.(json.Number)
	case "timestamp":
		_, ok = timestamp(value)
	default:
		_, ok = value.(bool)
	}
	return ok
}

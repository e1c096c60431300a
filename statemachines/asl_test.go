// Package statemachines tests the workflows of the files beside it, unchanged, in the Step
// Functions emulator and in fake time: every state, choice, retry, catch, timeout and wait. Here
// stand-ins replace the functions that the workflows call. functions/all tests the workflows
// together with the real functions. This package also draws the workflows for docs/workflows.md.
package statemachines

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
)

// A definition is the part of a state machine in the Amazon States Language that the tests read.
type definition struct {
	StartAt string
	States  map[string]state
}

type state struct {
	Comment            string
	Type               string
	Resource           string
	Parameters         struct{ FunctionName string }
	Next               string
	Default            string
	Choices            []rule
	Retry              []retrier
	Catch              []catcher
	Seconds            int
	TimeoutSeconds     int
	TimeoutSecondsPath string
}

// A rule is a Choice rule of one comparison, the only kind that is used here.
type rule struct {
	Variable      string
	StringEquals  *string
	BooleanEquals *bool
	Next          string
}

type retrier struct {
	ErrorEquals     []string
	IntervalSeconds int
	BackoffRate     int
	MaxAttempts     int
	MaxDelaySeconds int
	JitterStrategy  string
}

type catcher struct {
	ErrorEquals []string
	ResultPath  string
	Next        string
}

// read reads a state machine of this folder.
func read(t testing.TB, file string) (definition, []byte) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var d definition
	if err := json.NewDecoder(bytes.NewReader(text)).Decode(&d); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return d, text
}

// waitsForToken reports whether a task ends only when its token is answered.
func (s state) waitsForToken() bool { return strings.HasSuffix(s.Resource, ".waitForTaskToken") }

// targets are the states that can follow.
func (s state) targets() []string {
	var list []string
	for _, r := range s.Choices {
		list = append(list, r.Next)
	}
	list = append(list, s.Default, s.Next)
	for _, c := range s.Catch {
		list = append(list, c.Next)
	}
	return slices.DeleteFunc(list, func(name string) bool { return name == "" })
}

// inOrder lists the states in their order from the start, each once.
func (d definition) inOrder() []string {
	list := []string{d.StartAt}
	for i := 0; i < len(list); i++ {
		for _, next := range d.States[list[i]].targets() {
			if !slices.Contains(list, next) {
				list = append(list, next)
			}
		}
	}
	return list
}

// covers reports whether an ErrorEquals covers an error.
func covers(names []string, err string) bool {
	return slices.ContainsFunc(names, func(name string) bool {
		return name == err || name == "States.ALL" || name == "States.TaskFailed" && err != "States.Timeout"
	})
}

// pause is the longest pause before the n-th retry, n from 1, in seconds.
func (r retrier) pause(n int) int {
	seconds := r.IntervalSeconds
	for range n - 1 {
		seconds *= r.BackoffRate
		if r.MaxDelaySeconds > 0 && seconds > r.MaxDelaySeconds {
			return r.MaxDelaySeconds
		}
	}
	return seconds
}

// parts lists the parts of a state machine that must be tested: each state, and each way out of it.
func (d definition) parts(t testing.TB) []string {
	t.Helper()
	var list []string
	for _, name := range slices.Sorted(maps.Keys(d.States)) {
		s := d.States[name]
		list = append(list, name)
		targets := map[string]bool{}
		for _, r := range s.Choices {
			list = append(list, choice(name, r.Next))
			targets[r.Next] = true
		}
		if s.Default != "" {
			list = append(list, choice(name, s.Default))
			targets[s.Default] = true
		}
		if len(s.Choices) > 0 && len(targets) != len(s.Choices)+1 {
			t.Errorf("%s: where it goes does not tell which rule chose it, or it has no default", name)
		}
		for i := range s.Retry {
			list = append(list, retried(name, i), exhausted(name, i))
		}
		for i := range s.Catch {
			list = append(list, caught(name, i))
		}
		if s.TimeoutSeconds > 0 || s.TimeoutSecondsPath != "" {
			list = append(list, timeout(name))
		}
		if s.Type == "Task" && !slices.ContainsFunc(s.Catch, func(c catcher) bool { return slices.Contains(c.ErrorEquals, "States.ALL") }) {
			list = append(list, uncaught(name))
		}
	}
	return list
}

func choice(state, next string) string     { return state + " chooses " + next }
func retried(state string, i int) string   { return fmt.Sprintf("%s.Retry[%d] succeeds", state, i) }
func exhausted(state string, i int) string { return fmt.Sprintf("%s.Retry[%d] is exhausted", state, i) }
func caught(state string, i int) string    { return fmt.Sprintf("%s.Catch[%d]", state, i) }
func timeout(state string) string          { return state + " times out" }
func uncaught(state string) string         { return state + " fails the execution" }

package statemachines

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "draw the workflows in docs/workflows.md anew instead of comparing")

// TestDrawings compares the drawings in docs/workflows.md with the state machines,
// or draws them anew:
//
//	go test ./statemachines -run TestDrawings -update
func TestDrawings(t *testing.T) {
	const doc = "../docs/workflows.md"
	before, err := os.ReadFile(doc)
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("*.asl.json")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	after := string(before)
	for _, file := range files {
		begin := "<!-- drawn from statemachines/" + file + " by make generate -->\n"
		head, rest, ok := strings.Cut(after, begin)
		_, tail, closed := strings.Cut(rest, "<!-- end of drawing -->\n")
		if !ok || !closed {
			t.Fatalf("docs/workflows.md has no place for the drawing of %s", file)
		}
		d, _ := read(t, file)
		after = head + begin + "```mermaid\n" + d.draw() + "```\n<!-- end of drawing -->\n" + tail
	}
	if *update {
		if err := os.WriteFile(doc, []byte(after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(string(before), after); diff != "" {
		t.Errorf("docs/workflows.md differs from the state machines; make generate\n%s", diff)
	}
}

// draw is the state machine as a Mermaid flowchart: boxes are tasks, boxes with double sides wait
// for their token, and dashed lines are catches.
func (d definition) draw() string {
	var b strings.Builder
	fmt.Fprintf(&b, "flowchart TD\n  start(( )) --> %s\n", d.StartAt)
	for _, name := range d.inOrder() {
		s := d.States[name]
		open, closing := s.shape()
		fmt.Fprintf(&b, "  %s%s\"%s\"%s\n", name, open, strings.Join(append([]string{name}, s.details()...), "<br/>"), closing)
	}
	for _, name := range d.inOrder() {
		s := d.States[name]
		for _, r := range s.Choices {
			fmt.Fprintf(&b, "  %s -->|%s| %s\n", name, r.words(), r.Next)
		}
		if s.Default != "" {
			fmt.Fprintf(&b, "  %s -->|otherwise| %s\n", name, s.Default)
		}
		if s.Next != "" {
			fmt.Fprintf(&b, "  %s --> %s\n", name, s.Next)
		}
		for _, c := range s.Catch {
			fmt.Fprintf(&b, "  %s -.->|%s| %s\n", name, strings.Join(c.ErrorEquals, ", "), c.Next)
		}
	}
	return b.String()
}

func (s state) shape() (open, closing string) {
	switch {
	case s.waitsForToken():
		return "[[", "]]"
	case s.Type == "Choice":
		return "{", "}"
	case s.Type == "Wait":
		return "(", ")"
	case s.Type == "Succeed":
		return "((", "))"
	}
	return "[", "]"
}

// details are the lines below the name of a state.
func (s state) details() []string {
	var lines []string
	if s.Type == "Wait" {
		lines = append(lines, span(s.Seconds))
	}
	if s.Type == "Task" {
		folder := strings.ToLower(strings.TrimSuffix(strings.TrimPrefix(s.Parameters.FunctionName, "${"), "Function}"))
		limit := strings.TrimPrefix(s.TimeoutSecondsPath, "$.")
		if s.TimeoutSeconds > 0 {
			limit = span(s.TimeoutSeconds)
		}
		lines = append(lines, folder+", "+limit)
	}
	for _, r := range s.Retry {
		lines = append(lines, fmt.Sprintf("%s: %d retries after %s–%s", strings.Join(r.ErrorEquals, ", "), r.MaxAttempts, span(r.pause(1)), span(r.pause(r.MaxAttempts))))
	}
	return lines
}

// words is a condition, such as "outcome is ready".
func (r rule) words() string {
	variable := r.Variable[strings.LastIndexByte(r.Variable, '.')+1:]
	if r.StringEquals != nil {
		return variable + " is " + *r.StringEquals
	}
	return fmt.Sprintf("%s is %t", variable, *r.BooleanEquals)
}

// span is a time in the unit that reads best.
func span(seconds int) string {
	switch {
	case seconds >= 2*3600:
		return fmt.Sprintf("%g h", float64(seconds)/3600)
	case seconds >= 120:
		return fmt.Sprintf("%g min", float64(seconds)/60)
	}
	return fmt.Sprintf("%d s", seconds)
}

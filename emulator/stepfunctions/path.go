package stepfunctions

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"strings"
)

// A step is one field name or one array index of a path.
type step struct {
	field string
	index int // -1 for a field
}

// A path is a compiled reference path: $.a.b[0] or, into the context object,
// $$.Execution.Name.
type path struct {
	text    string
	context bool
	steps   []step
}

// parsePath compiles a reference path. Filters, wildcards, slices, unions,
// recursive descent and negative indexes are errors.
func parsePath(text string) (*path, error) {
	p := &path{text: text}
	rest, ok := strings.CutPrefix(text, "$")
	if !ok {
		return nil, fmt.Errorf("%q is not a path: it must begin with $", text)
	}
	if after, ok := strings.CutPrefix(rest, "$"); ok {
		p.context, rest = true, after
	}
	for rest != "" {
		s, after, err := parseStep(rest)
		if err != nil {
			return nil, fmt.Errorf("%q is not a supported path: %w", text, err)
		}
		p.steps = append(p.steps, s)
		rest = after
	}
	return p, nil
}

func parseStep(text string) (step, string, error) {
	switch {
	case strings.HasPrefix(text, ".."):
		return step{}, "", errors.New("recursive descent is unsupported")
	case strings.HasPrefix(text, "['"), strings.HasPrefix(text, `["`):
		return parseQuoted(text)
	case text[0] == '[':
		return parseIndex(text)
	case text[0] == '.':
		return parseField(text[1:])
	}
	return step{}, "", fmt.Errorf("unexpected %q", text)
}

func parseField(text string) (step, string, error) {
	end := strings.IndexAny(text, ".[")
	if end < 0 {
		end = len(text)
	}
	name := text[:end]
	if name == "" {
		return step{}, "", errors.New("empty field name")
	}
	if i := strings.IndexAny(name, "*?@()]'\"$, :\\"); i >= 0 {
		return step{}, "", fmt.Errorf("%q in a field name is unsupported", name[i:i+1])
	}
	return step{field: name, index: -1}, text[end:], nil
}

func parseQuoted(text string) (step, string, error) {
	quote := text[1]
	var name strings.Builder
	for i := 2; i < len(text); i++ {
		switch c := text[i]; {
		case c == '\\' && i+1 < len(text):
			i++
			name.WriteByte(text[i])
		case c == quote:
			after, ok := strings.CutPrefix(text[i+1:], "]")
			if !ok {
				return step{}, "", errors.New("a quoted field name must end with a bracket")
			}
			return step{field: name.String(), index: -1}, after, nil
		default:
			name.WriteByte(c)
		}
	}
	return step{}, "", errors.New("quoted field name without an end")
}

func parseIndex(text string) (step, string, error) {
	inside, after, ok := strings.Cut(text[1:], "]")
	if !ok {
		return step{}, "", errors.New("bracket without an end")
	}
	if inside == "" || strings.Trim(inside, "0123456789") != "" {
		return step{}, "", fmt.Errorf("[%s] is unsupported: only a plain index or a quoted name", inside)
	}
	index, err := strconv.Atoi(inside)
	if err != nil {
		return step{}, "", fmt.Errorf("[%s]: index out of range", inside)
	}
	return step{index: index}, after, nil
}

// A scope is what expressions read: the state's input (or result) as $, and the
// context object as $$.
type scope struct {
	input   any
	context map[string]any
}

// lookup returns the value at p and whether there is one.
func (p *path) lookup(sc scope) (any, bool) {
	value := sc.input
	if p.context {
		value = sc.context
	}
	for _, s := range p.steps {
		if s.index >= 0 {
			list, ok := value.([]any)
			if !ok || s.index >= len(list) {
				return nil, false
			}
			value = list[s.index]
			continue
		}
		object, ok := value.(map[string]any)
		if !ok {
			return nil, false
		}
		if value, ok = object[s.field]; !ok {
			return nil, false
		}
	}
	return value, true
}

// put returns a copy of root in which the value at p is value. Missing objects
// on the way are created; anything else that is in the way is an error, as is
// an index outside its array.
func (p *path) put(root, value any) (any, error) {
	return putSteps(root, p.steps, value)
}

func putSteps(root any, steps []step, value any) (any, error) {
	if len(steps) == 0 {
		return value, nil
	}
	s := steps[0]
	if s.index >= 0 {
		return putIndex(root, s.index, steps[1:], value)
	}
	object, ok := root.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("%q cannot be set in a value that is not an object", s.field)
	}
	child, ok := object[s.field]
	if !ok {
		child = map[string]any{}
	}
	changed, err := putSteps(child, steps[1:], value)
	if err != nil {
		return nil, err
	}
	result := make(map[string]any, len(object)+1)
	maps.Copy(result, object)
	result[s.field] = changed
	return result, nil
}

func putIndex(root any, index int, steps []step, value any) (any, error) {
	list, ok := root.([]any)
	if !ok || index >= len(list) {
		return nil, fmt.Errorf("[%d] is not an element of an array", index)
	}
	changed, err := putSteps(list[index], steps, value)
	if err != nil {
		return nil, err
	}
	result := append([]any(nil), list...)
	result[index] = changed
	return result, nil
}

// An expr is what a field whose name ends in ".$" holds: a path, an intrinsic
// function or, as an argument of one, a literal.
type expr interface {
	eval(sc scope) (any, error)
}

type literal struct{ value any }

func (l literal) eval(scope) (any, error) { return l.value, nil }

// A pathError says that a path found nothing.
type pathError struct{ path, field, input string }

func (e *pathError) Error() string {
	if e.field != "" {
		return fmt.Sprintf("The JSONPath '%s' specified for the field '%s' could not be found in the input '%s'", e.path, e.field, e.input)
	}
	return fmt.Sprintf("The JSONPath '%s' could not be found in the input '%s'", e.path, e.input)
}

func (p *path) eval(sc scope) (any, error) {
	value, ok := p.lookup(sc)
	if ok {
		return value, nil
	}
	input := sc.input
	if p.context {
		input = sc.context
	}
	return nil, &pathError{path: p.text, input: string(encode(input))}
}

// parseExpr compiles a path or an intrinsic function.
func parseExpr(text string) (expr, error) {
	if strings.HasPrefix(text, "$") {
		return parsePath(text)
	}
	return parseIntrinsic(text)
}

// A template is a compiled Parameters, ResultSelector, ItemSelector or Result:
// JSON in which the value of a field named "x.$" is an expression.
type template interface {
	eval(sc scope) (any, error)
}

type objectTemplate []struct {
	name  string
	value template
}

func (t objectTemplate) eval(sc scope) (any, error) {
	object := make(map[string]any, len(t))
	for _, field := range t {
		value, err := field.value.eval(sc)
		if missing, ok := errors.AsType[*pathError](err); ok && missing.field == "" {
			missing.field = field.name + ".$"
		}
		if err != nil {
			return nil, err
		}
		object[field.name] = value
	}
	return object, nil
}

type arrayTemplate []template

func (t arrayTemplate) eval(sc scope) (any, error) {
	list := make([]any, len(t))
	for i, item := range t {
		value, err := item.eval(sc)
		if err != nil {
			return nil, err
		}
		list[i] = value
	}
	return list, nil
}

// encode renders a JSON value without HTML escapes.
func encode(value any) []byte {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(value); err != nil {
		panic(fmt.Sprintf("stepfunctions: a JSON value that cannot be encoded: %v", err))
	}
	return []byte(strings.TrimSuffix(b.String(), "\n"))
}

// decode reads one JSON value, keeping numbers as they are written.
func decode(data []byte) (any, error) {
	d := json.NewDecoder(strings.NewReader(string(data)))
	d.UseNumber()
	var value any
	if err := d.Decode(&value); err != nil {
		return nil, err
	}
	if d.More() {
		return nil, errors.New("more than one JSON value")
	}
	return value, nil
}

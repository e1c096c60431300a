package stepfunctions

import (
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"
)

// An intrinsicError is a failed intrinsic function: States.IntrinsicFailure.
type intrinsicError struct {
	function string
	err      error
}

func (e *intrinsicError) Error() string { return e.function + ": " + e.err.Error() }

// A call is an intrinsic function and its arguments.
type call struct {
	name string
	args []expr
	run  func(args []any) (any, error)
}

func (c *call) eval(sc scope) (any, error) {
	args := make([]any, len(c.args))
	for i, arg := range c.args {
		value, err := arg.eval(sc)
		if err != nil {
			return nil, err
		}
		args[i] = value
	}
	value, err := c.run(args)
	if err != nil {
		return nil, &intrinsicError{c.name, err}
	}
	return value, nil
}

// intrinsic returns the function called name and the number of arguments it
// takes (most -1 means any number).
func intrinsic(name string) (run func([]any) (any, error), least, most int) {
	switch name {
	case "States.Format":
		return format, 1, -1
	case "States.StringToJson":
		return stringToJSON, 1, 1
	case "States.JsonToString":
		return func(a []any) (any, error) { return string(encode(a[0])), nil }, 1, 1
	case "States.Array":
		return func(a []any) (any, error) { return a, nil }, 0, -1
	case "States.ArrayLength":
		return arrayLength, 1, 1
	case "States.ArrayContains":
		return arrayContains, 2, 2
	case "States.ArrayGetItem":
		return arrayGetItem, 2, 2
	case "States.MathAdd":
		return mathAdd, 2, 2
	case "States.UUID":
		return func([]any) (any, error) { return uuid.NewString(), nil }, 0, 0
	case "States.JsonMerge":
		return jsonMerge, 3, 3
	case "States.Hash":
		return hash, 2, 2
	}
	return nil, 0, 0
}

// parseIntrinsic compiles an intrinsic function; unknown ones are errors.
func parseIntrinsic(text string) (expr, error) {
	p := &intrinsicParser{rest: text}
	e, err := p.call()
	if err == nil && strings.TrimSpace(p.rest) != "" {
		err = fmt.Errorf("unexpected %q", p.rest)
	}
	if err != nil {
		return nil, fmt.Errorf("%q is neither a path nor a supported intrinsic function: %w", text, err)
	}
	return e, nil
}

type intrinsicParser struct{ rest string }

func (p *intrinsicParser) space() { p.rest = strings.TrimLeft(p.rest, " \t\n") }

func (p *intrinsicParser) take(prefix string) bool {
	p.space()
	after, ok := strings.CutPrefix(p.rest, prefix)
	if ok {
		p.rest = after
	}
	return ok
}

func (p *intrinsicParser) call() (expr, error) {
	p.space()
	open := strings.IndexByte(p.rest, '(')
	if open < 0 {
		return nil, errors.New("no opening parenthesis")
	}
	c := &call{name: strings.TrimSpace(p.rest[:open])}
	var least, most int
	if c.run, least, most = intrinsic(c.name); c.run == nil {
		return nil, fmt.Errorf("unsupported function %q", c.name)
	}
	p.rest = p.rest[open+1:]
	if !p.take(")") {
		if err := p.args(c); err != nil {
			return nil, err
		}
	}
	if len(c.args) < least || most >= 0 && len(c.args) > most {
		return nil, fmt.Errorf("%s does not take %d arguments", c.name, len(c.args))
	}
	return c, nil
}

func (p *intrinsicParser) args(c *call) error {
	for {
		arg, err := p.arg()
		if err != nil {
			return err
		}
		c.args = append(c.args, arg)
		if p.take(")") {
			return nil
		}
		if !p.take(",") {
			return fmt.Errorf("expected a comma or a parenthesis before %q", p.rest)
		}
	}
}

func (p *intrinsicParser) arg() (expr, error) {
	p.space()
	if strings.HasPrefix(p.rest, "States.") {
		return p.call()
	}
	if strings.HasPrefix(p.rest, "'") {
		return p.quoted()
	}
	word := p.word()
	switch {
	case strings.HasPrefix(word, "$"):
		return parsePath(word)
	case word == "true" || word == "false":
		return literal{word == "true"}, nil
	case word == "null":
		return literal{nil}, nil
	}
	if value, err := decode([]byte(word)); err == nil {
		if number, ok := value.(json.Number); ok {
			return literal{number}, nil
		}
	}
	return nil, fmt.Errorf("argument %q", word)
}

// word takes a path or a plain literal: up to a comma or parenthesis that is
// not inside brackets.
func (p *intrinsicParser) word() string {
	var quote byte
	end := len(p.rest)
scan:
	for i := range len(p.rest) {
		switch c := p.rest[i]; {
		case quote != 0:
			if c == quote && p.rest[i-1] != '\\' {
				quote = 0
			}
		case c == '\'' || c == '"':
			quote = c
		case c == ',' || c == ')':
			end = i
			break scan
		}
	}
	word := strings.TrimSpace(p.rest[:end])
	p.rest = p.rest[end:]
	return word
}

// quoted takes a string in single quotes, in which a backslash escapes ', {, }
// and itself. The escapes of braces are kept for States.Format.
func (p *intrinsicParser) quoted() (expr, error) {
	var b strings.Builder
	for i := 1; i < len(p.rest); i++ {
		switch c := p.rest[i]; c {
		case '\\':
			i++
			if i == len(p.rest) {
				return nil, errors.New("string without an end")
			}
			if next := p.rest[i]; next != '\'' {
				b.WriteByte('\\')
			}
			b.WriteByte(p.rest[i])
		case '\'':
			p.rest = p.rest[i+1:]
			return literal{b.String()}, nil
		default:
			b.WriteByte(c)
		}
	}
	return nil, errors.New("string without an end")
}

func format(args []any) (any, error) {
	text, ok := args[0].(string)
	if !ok {
		return nil, errors.New("the template must be a string")
	}
	var b strings.Builder
	next := 1
	for i := 0; i < len(text); i++ {
		switch {
		case text[i] == '\\' && i+1 < len(text):
			i++
			b.WriteByte(text[i])
		case strings.HasPrefix(text[i:], "{}"):
			if next == len(args) {
				return nil, errors.New("fewer arguments than places in the template")
			}
			b.WriteString(plain(args[next]))
			next++
			i++
		default:
			b.WriteByte(text[i])
		}
	}
	if next != len(args) {
		return nil, errors.New("more arguments than places in the template")
	}
	return b.String(), nil
}

func plain(value any) string {
	if s, ok := value.(string); ok {
		return s
	}
	return string(encode(value))
}

func stringToJSON(args []any) (any, error) {
	text, ok := args[0].(string)
	if !ok {
		return nil, errors.New("the argument must be a string")
	}
	return decode([]byte(text))
}

func arrayLength(args []any) (any, error) {
	list, ok := args[0].([]any)
	if !ok {
		return nil, errors.New("the argument must be an array")
	}
	return json.Number(strconv.Itoa(len(list))), nil
}

func arrayContains(args []any) (any, error) {
	list, ok := args[0].([]any)
	if !ok {
		return nil, errors.New("the first argument must be an array")
	}
	return slices.ContainsFunc(list, func(item any) bool { return equal(item, args[1]) }), nil
}

// equal compares JSON values; numbers by value, not by spelling.
func equal(a, b any) bool {
	x, okX := number(a)
	y, okY := number(b)
	if okX && okY {
		return x == y
	}
	return reflect.DeepEqual(a, b)
}

func arrayGetItem(args []any) (any, error) {
	list, ok := args[0].([]any)
	index, err := integer(args[1])
	if !ok || err != nil {
		return nil, errors.New("the arguments must be an array and an integer")
	}
	if index < 0 || index >= int64(len(list)) {
		return nil, fmt.Errorf("index %d is outside the array", index)
	}
	return list[index], nil
}

func mathAdd(args []any) (any, error) {
	a, errA := integer(args[0])
	b, errB := integer(args[1])
	if err := errors.Join(errA, errB); err != nil {
		return nil, err
	}
	sum := a + b
	if sum > math.MaxInt32 || sum < math.MinInt32 {
		return nil, errors.New("the sum is outside 32 bits")
	}
	return json.Number(strconv.FormatInt(sum, 10)), nil
}

func integer(value any) (int64, error) {
	x, ok := number(value)
	if !ok || math.Abs(x) > math.MaxInt32 {
		return 0, fmt.Errorf("%s is not a 32-bit number", encode(value))
	}
	return int64(math.Round(x)), nil
}

func number(value any) (float64, bool) {
	n, ok := value.(json.Number)
	if !ok {
		return 0, false
	}
	x, err := n.Float64()
	return x, err == nil
}

func jsonMerge(args []any) (any, error) {
	a, okA := args[0].(map[string]any)
	b, okB := args[1].(map[string]any)
	if !okA || !okB {
		return nil, errors.New("the first two arguments must be objects")
	}
	if args[2] != false {
		return nil, errors.New("only shallow merging (false) is supported")
	}
	merged := make(map[string]any, len(a)+len(b))
	for _, object := range []map[string]any{a, b} {
		maps.Copy(merged, object)
	}
	return merged, nil
}

func hash(args []any) (any, error) {
	data := []byte(plain(args[0]))
	if len(data) > 10_000 {
		return nil, errors.New("more than 10,000 characters")
	}
	switch args[1] {
	case "MD5":
		return fmt.Sprintf("%x", md5.Sum(data)), nil
	case "SHA-1":
		return fmt.Sprintf("%x", sha1.Sum(data)), nil
	case "SHA-256":
		return fmt.Sprintf("%x", sha256.Sum256(data)), nil
	case "SHA-384":
		return fmt.Sprintf("%x", sha512.Sum384(data)), nil
	case "SHA-512":
		return fmt.Sprintf("%x", sha512.Sum512(data)), nil
	}
	return nil, fmt.Errorf("unknown algorithm %s", encode(args[1]))
}

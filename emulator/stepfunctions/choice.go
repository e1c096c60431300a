package stepfunctions

import (
	"cmp"
	"fmt"
	"strings"
	"time"
)

// A rule is one Choice rule: And, Or and Not over rules, or one comparison.
type rule struct {
	and, or  []*rule
	not      *rule
	variable *path
	operator string
	value    any   // what the variable is compared with,
	path     *path // or where to find it, for the …Path operators
	next     string
}

// operators lists the comparisons without their …Path variants, each with the
// kind of value it takes.
func operators() map[string]string {
	kinds := map[string]string{
		"StringMatches": "string", "BooleanEquals": "boolean",
		"IsPresent": "test", "IsNull": "test", "IsString": "test",
		"IsNumeric": "test", "IsBoolean": "test", "IsTimestamp": "test",
	}
	for _, order := range []string{"Equals", "LessThan", "GreaterThan", "LessThanEquals", "GreaterThanEquals"} {
		kinds["String"+order] = "string"
		kinds["Numeric"+order] = "numeric"
		kinds["Timestamp"+order] = "timestamp"
	}
	return kinds
}

// matches says whether the rule holds. A path that finds nothing is an error,
// except for IsPresent; a value of another type than the operator's makes the
// comparison false.
func (r *rule) matches(sc scope) (bool, error) {
	switch {
	case r.not != nil:
		ok, err := r.not.matches(sc)
		return !ok, err
	case r.and != nil:
		for _, part := range r.and {
			if ok, err := part.matches(sc); !ok || err != nil {
				return false, err
			}
		}
		return true, nil
	case r.or != nil:
		for _, part := range r.or {
			if ok, err := part.matches(sc); ok || err != nil {
				return ok, err
			}
		}
		return false, nil
	}
	return r.compare(sc)
}

func (r *rule) compare(sc scope) (bool, error) {
	value, present := r.variable.lookup(sc)
	if r.operator == "IsPresent" {
		return present == r.value.(bool), nil
	}
	if !present {
		return false, fmt.Errorf("Invalid path '%s': The choice state's condition path references an invalid value.", r.variable.text)
	}
	if strings.HasPrefix(r.operator, "Is") {
		return hasType(value, r.operator) == r.value.(bool), nil
	}
	operand := r.value
	if r.path != nil {
		if operand, present = r.path.lookup(sc); !present {
			return false, fmt.Errorf("Invalid path '%s': The choice state's condition path references an invalid value.", r.path.text)
		}
	}
	return holds(r.operator, value, operand), nil
}

func hasType(value any, operator string) bool {
	ok := false
	switch operator {
	case "IsNull":
		ok = value == nil
	case "IsString":
		_, ok = value.(string)
	case "IsNumeric":
		_, ok = number(value)
	case "IsBoolean":
		_, ok = value.(bool)
	case "IsTimestamp":
		_, ok = timestamp(value)
	}
	return ok
}

func holds(operator string, value, operand any) bool {
	switch operator {
	case "BooleanEquals":
		a, okA := value.(bool)
		b, okB := operand.(bool)
		return okA && okB && a == b
	case "StringMatches":
		text, okText := value.(string)
		pattern, okPattern := operand.(string)
		return okText && okPattern && glob(pattern, text)
	}
	if order, ok := strings.CutPrefix(operator, "String"); ok {
		a, okA := value.(string)
		b, okB := operand.(string)
		return okA && okB && ordered(order, strings.Compare(a, b))
	}
	if order, ok := strings.CutPrefix(operator, "Numeric"); ok {
		a, okA := number(value)
		b, okB := number(operand)
		return okA && okB && ordered(order, cmp.Compare(a, b))
	}
	order := strings.TrimPrefix(operator, "Timestamp")
	a, okA := timestamp(value)
	b, okB := timestamp(operand)
	return okA && okB && ordered(order, a.Compare(b))
}

func ordered(order string, sign int) bool {
	switch order {
	case "Equals":
		return sign == 0
	case "LessThan":
		return sign < 0
	case "GreaterThan":
		return sign > 0
	case "LessThanEquals":
		return sign <= 0
	default:
		return sign >= 0
	}
}

// timestamp reads the ISO 8601 profile of the language: RFC 3339 with a capital
// T, and a capital Z unless there is an offset.
func timestamp(value any) (time.Time, bool) {
	text, ok := value.(string)
	if !ok {
		return time.Time{}, false
	}
	at, err := time.Parse(time.RFC3339Nano, text)
	return at, err == nil
}

// glob matches text with a pattern in which * stands for any characters and \*
// for an asterisk.
func glob(pattern, text string) bool {
	if pattern == "" {
		return text == ""
	}
	switch {
	case pattern[0] == '*':
		for i := 0; i <= len(text); i++ {
			if glob(pattern[1:], text[i:]) {
				return true
			}
		}
		return false
	case pattern[0] == '\\' && len(pattern) > 1:
		pattern = pattern[1:]
	}
	return text != "" && pattern[0] == text[0] && glob(pattern[1:], text[1:])
}

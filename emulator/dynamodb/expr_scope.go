package dynamodb

import (
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
)

// expressionInput are the members that requests with expressions share.
type expressionInput struct {
	ExpressionAttributeNames  map[string]string
	ExpressionAttributeValues expressionValues
}

// expressionValues are attribute values by placeholder.
type expressionValues map[string]value

// UnmarshalJSON says in its errors which placeholder's value is refused.
func (e *expressionValues) UnmarshalJSON(data []byte) error {
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(data, &raw); err != nil {
		return decodeError(err)
	}
	if raw == nil {
		return nil
	}
	*e = expressionValues{}
	for _, name := range slices.Sorted(maps.Keys(raw)) {
		var v value
		if err := v.UnmarshalJSON(raw[name]); err != nil {
			refused, ok := errors.AsType[*Error](err)
			if ok && refused.Type == "ValidationException" {
				return invalid("ExpressionAttributeValues contains invalid value: %s for key %s", refused.Message, name)
			}
			return err
		}
		(*e)[name] = v
	}
	return nil
}

// scope resolves the placeholders of a request's expressions and keeps account of those
// that are used.
type scope struct {
	names      map[string]string
	values     map[string]value
	usedNames  map[string]bool
	usedValues map[string]bool
}

const (
	maxPlaceholder   = 255        // bytes
	maxAttributeName = 64<<10 - 1 // bytes
)

// newScope checks the placeholders' own form. expressions are those of the request that
// may use values, nil where it has not; absent says so if it has none.
func newScope(in expressionInput, projection *string, absent string, expressions ...*string) (*scope, error) {
	used := slices.ContainsFunc(expressions, func(e *string) bool { return e != nil })
	switch {
	case in.ExpressionAttributeNames != nil && !used && projection == nil:
		return nil, invalid("ExpressionAttributeNames can only be specified when using expressions")
	case in.ExpressionAttributeValues != nil && !used:
		return nil, invalid("ExpressionAttributeValues can only be specified when using expressions: %s", absent)
	case in.ExpressionAttributeNames != nil && len(in.ExpressionAttributeNames) == 0:
		return nil, invalid("ExpressionAttributeNames must not be empty")
	case in.ExpressionAttributeValues != nil && len(in.ExpressionAttributeValues) == 0:
		return nil, invalid("ExpressionAttributeValues must not be empty")
	}
	for name, attribute := range in.ExpressionAttributeNames {
		if !isPlaceholder(name, tokenName) {
			return nil, invalid(`ExpressionAttributeNames contains invalid key: Syntax error; key: "%s"`, name)
		}
		if attribute == "" {
			return nil, invalid("ExpressionAttributeNames contains invalid value: Empty attribute name for key %s", name)
		}
		if len(attribute) > maxAttributeName {
			return nil, invalid("ExpressionAttributeNames contains invalid value: Attribute name is too large, must be less than 65536 bytes for key %s", name)
		}
		if len(name) > maxPlaceholder {
			return nil, invalid("ExpressionAttributeNames contains invalid key: The expression attribute map contains a key that is too long; size of key: %d", len(name))
		}
	}
	for name := range in.ExpressionAttributeValues {
		if !isPlaceholder(name, tokenValue) {
			return nil, invalid(`ExpressionAttributeValues contains invalid key: Syntax error; key: "%s"`, name)
		}
		if len(name) > maxPlaceholder {
			return nil, invalid("ExpressionAttributeValues contains invalid key: The expression attribute map contains a key that is too long; size of key: %d", len(name))
		}
	}
	return &scope{
		names: in.ExpressionAttributeNames, values: in.ExpressionAttributeValues,
		usedNames: map[string]bool{}, usedValues: map[string]bool{},
	}, nil
}

func isPlaceholder(text string, k tokenKind) bool {
	tokens := lex(text)
	return len(tokens) == 2 && tokens[0].kind == k && tokens[0].end == len(text)
}

// checkUsed refuses placeholders that no expression used.
func (s *scope) checkUsed() error {
	if unused := missing(s.names, s.usedNames); unused != "" {
		return invalid("Value provided in ExpressionAttributeNames unused in expressions: keys: {%s}", unused)
	}
	if unused := missing(s.values, s.usedValues); unused != "" {
		return invalid("Value provided in ExpressionAttributeValues unused in expressions: keys: {%s}", unused)
	}
	return nil
}

func missing[V any](given map[string]V, used map[string]bool) string {
	var unused []string
	for _, name := range slices.Sorted(maps.Keys(given)) {
		if !used[name] {
			unused = append(unused, name)
		}
	}
	return strings.Join(unused, ", ")
}

// resolve replaces the placeholders in n and below by what they stand for.
func (s *scope) resolve(parameter string, n *node) error {
	var failed error
	n.walk(func(n *node) {
		if failed != nil {
			return
		}
		switch n.op {
		case "path":
			failed = s.resolvePath(parameter, n.path)
		case "value":
			v, found := s.values[n.name]
			if !found {
				failed = refuse(parameter, "An expression attribute value used in expression is not defined; attribute value: %s", n.name)
			}
			n.value = v
			s.usedValues[n.name] = true
		}
	})
	return failed
}

func (s *scope) resolvePath(parameter string, p path) error {
	for i, part := range p {
		switch {
		case part.name == "":
		case part.name[0] == '#':
			attribute, found := s.names[part.name]
			if !found {
				return refuse(parameter, "An expression attribute name used in the document path is not defined; attribute name: %s", part.name)
			}
			s.usedNames[part.name] = true
			p[i].name = attribute
		case reserved(part.name):
			return refuse(parameter, "Attribute name is a reserved keyword; reserved keyword: %s", part.name)
		}
	}
	return nil
}

// condition parses and checks a condition; nil text is no condition.
func (s *scope) condition(parameter string, text *string) (*node, error) {
	if text == nil {
		return nil, nil
	}
	n, err := parse(parameter, *text, (*parser).condition)
	if err != nil {
		return nil, err
	}
	if err := s.resolve(parameter, n); err != nil {
		return nil, err
	}
	return n, checkCondition(parameter, n)
}

// projection parses and checks a ProjectionExpression; nil text is no projection.
func (s *scope) projection(text *string) ([]path, error) {
	const parameter = "ProjectionExpression"
	if text == nil {
		return nil, nil
	}
	nodes, err := parse(parameter, *text, (*parser).projection)
	if err != nil {
		return nil, err
	}
	var paths []path
	for _, n := range nodes {
		if err := s.resolve(parameter, n); err != nil {
			return nil, err
		}
		paths = append(paths, n.path)
	}
	return paths, checkOverlap(parameter, paths)
}

// checkOverlap refuses paths of which one contains another, or that need one value to be
// both a list and a map.
func checkOverlap(parameter string, paths []path) error {
	for i, b := range paths {
		for _, a := range paths[:i] {
			if err := overlap(parameter, a, b); err != nil {
				return err
			}
		}
	}
	return nil
}

func overlap(parameter string, a, b path) error {
	for i := range min(len(a), len(b)) {
		if a[i] == b[i] {
			continue
		}
		if (a[i].name == "") != (b[i].name == "") {
			return refuse(parameter, "Two document paths conflict with each other; must remove or rewrite one of these paths; path one: %s, path two: %s", a, b)
		}
		return nil
	}
	return refuse(parameter, "Two document paths overlap with each other; must remove or rewrite one of these paths; path one: %s, path two: %s", a, b)
}

package dynamodb

import (
	"maps"
	"slices"
	"strings"
)

// expressionInput are the members that requests with expressions share.
type expressionInput struct {
	ExpressionAttributeNames  map[string]string
	ExpressionAttributeValues map[string]value
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

// needExpressions refuses placeholders in a request without the expressions, of those
// given, that could use them; nil are those it has not. absent says that of the values.
func (in expressionInput) needExpressions(projection *string, absent string, expressions ...*string) error {
	used := slices.ContainsFunc(expressions, func(e *string) bool { return e != nil })
	switch {
	case in.ExpressionAttributeNames != nil && !used && projection == nil:
		return invalid("ExpressionAttributeNames can only be specified when using expressions")
	case in.ExpressionAttributeValues != nil && !used:
		return invalid("ExpressionAttributeValues can only be specified when using expressions: %s", absent)
	}
	return nil
}

// newScope checks the placeholders' own form.
func newScope(in expressionInput) (*scope, error) {
	if err := checkPlaceholders("ExpressionAttributeNames", in.ExpressionAttributeNames, tokenName); err != nil {
		return nil, err
	}
	if err := checkPlaceholders("ExpressionAttributeValues", in.ExpressionAttributeValues, tokenValue); err != nil {
		return nil, err
	}
	for _, name := range slices.Sorted(maps.Keys(in.ExpressionAttributeValues)) {
		if problem := in.ExpressionAttributeValues[name].problem; problem != nil {
			return nil, invalid("ExpressionAttributeValues contains invalid value: %s for key %s", problem.Message, name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(in.ExpressionAttributeNames)) {
		switch attribute := in.ExpressionAttributeNames[name]; {
		case attribute == "":
			return nil, invalid("ExpressionAttributeNames contains invalid value: Empty attribute name for key %s", name)
		case len(attribute) > maxAttributeName:
			return nil, invalid("ExpressionAttributeNames contains invalid value: Attribute name is too large, must be less than 65536 bytes for key %s", name)
		}
	}
	return &scope{
		names: in.ExpressionAttributeNames, values: in.ExpressionAttributeValues,
		usedNames: map[string]bool{}, usedValues: map[string]bool{},
	}, nil
}

// checkPlaceholders checks the placeholders that member defines, which are of kind k.
func checkPlaceholders[V any](member string, defined map[string]V, k tokenKind) error {
	if defined != nil && len(defined) == 0 {
		return invalid("%s must not be empty", member)
	}
	for _, name := range slices.Sorted(maps.Keys(defined)) {
		if !isPlaceholder(name, k) {
			return invalid(`%s contains invalid key: Syntax error; key: "%s"`, member, name)
		}
		if len(name) > maxPlaceholder {
			return invalid("%s contains invalid key: The expression attribute map contains a key that is too long; size of key: %d", member, len(name))
		}
	}
	return nil
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
		if part.name == "" || part.name[0] != '#' {
			continue
		}
		attribute, found := s.names[part.name]
		if !found {
			return refuse(parameter, "An expression attribute name used in the document path is not defined; attribute name: %s", part.name)
		}
		s.usedNames[part.name] = true
		p[i].name = attribute
	}
	return nil
}

// resolvePaths resolves paths, the last first, and refuses those of which one contains
// another, or that need one value to be both a list and a map.
func (s *scope) resolvePaths(parameter string, paths []path) error {
	for i, a := range slices.Backward(paths) {
		if err := s.resolvePath(parameter, a); err != nil {
			return err
		}
		for _, b := range slices.Backward(paths[i+1:]) {
			if err := overlap(parameter, a, b); err != nil {
				return err
			}
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
	if err := checkWords(parameter, n, asCondition); err != nil {
		return nil, err
	}
	if operators(n) > maxOperators {
		return nil, refuse(parameter, "The expression contains too many operators; operator count: %d", maxOperators+1)
	}
	return n, s.checkTruth(parameter, n)
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
		if err := checkWords(parameter, n, asOperand); err != nil {
			return nil, err
		}
		paths = append(paths, n.path)
	}
	return paths, s.resolvePaths(parameter, paths)
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

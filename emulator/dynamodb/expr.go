package dynamodb

import (
	"fmt"
	"strings"
)

// path is a document path: an attribute and the way into it.
type path []step

// step is one part of a path: a name, or an index when name is "".
type step struct {
	name  string
	index int
}

// String is the form in which DynamoDB's messages show a path.
func (p path) String() string {
	parts := make([]string, len(p))
	for i, s := range p {
		parts[i] = s.name
		if s.name == "" {
			parts[i] = fmt.Sprintf("[%d]", s.index)
		}
	}
	return "[" + strings.Join(parts, ", ") + "]"
}

// find returns the value at p in it, or a value without a kind.
func (p path) find(it item) value {
	v := it[p[0].name]
	for _, s := range p[1:] {
		switch {
		case s.name != "":
			v = v.m[s.name] // nil unless v is a map
		case s.index < len(v.l):
			v = v.l[s.index]
		default:
			return value{}
		}
	}
	return v
}

// node is a part of a parsed expression.
type node struct {
	op    string // operator or function as written, "path" or "value"
	args  []*node
	path  path   // of a "path"
	value value  // of a "value"
	name  string // of a "value": its placeholder
	call  bool   // op is a function
	group bool   // written in parentheses
}

func (n *node) isPath() bool  { return n.op == "path" }
func (n *node) isValue() bool { return n.op == "value" }

// equalPaths reports whether both are the same path.
func equalPaths(a, b path) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

// walk calls visit for n and everything below it.
func (n *node) walk(visit func(*node)) {
	visit(n)
	for _, arg := range n.args {
		arg.walk(visit)
	}
}

// refuse is an error about one expression of the request.
func refuse(parameter, format string, args ...any) *Error {
	return invalid("Invalid %s: %s", parameter, fmt.Sprintf(format, args...))
}

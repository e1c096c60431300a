package dynamodb

import (
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// holds reports whether condition n is true of it; it is nil when there is no item.
// A nil n is always true.
func (n *node) holds(it item) bool {
	if n == nil {
		return true
	}
	switch n.op {
	case "AND":
		return n.args[0].holds(it) && n.args[1].holds(it)
	case "OR":
		return n.args[0].holds(it) || n.args[1].holds(it)
	case "NOT":
		return !n.args[0].holds(it)
	}
	args := make([]value, len(n.args))
	for i, arg := range n.args {
		args[i] = arg.eval(it)
	}
	switch n.op {
	case "attribute_exists":
		return args[0].exists()
	case "attribute_not_exists":
		return !args[0].exists()
	case "<>":
		return !args[0].exists() || !args[1].exists() || !args[0].equal(args[1])
	case "IN":
		return args[0].exists() && slices.ContainsFunc(args[1:], args[0].equal)
	}
	if slices.ContainsFunc(args, func(v value) bool { return !v.exists() }) {
		return false
	}
	switch n.op {
	case "=":
		return args[0].equal(args[1])
	case "BETWEEN":
		return ordered(args[1], "<=", args[0]) && ordered(args[0], "<=", args[2])
	case "attribute_type":
		return string(args[0].kind) == args[1].text
	case "begins_with":
		return args[0].beginsWith(args[1])
	case "contains":
		return args[0].contains(args[1])
	}
	return ordered(args[0], n.op, args[1])
}

// eval returns the value of an operand; no kind when the item has none.
func (n *node) eval(it item) value {
	switch n.op {
	case "path":
		return n.path.find(it)
	case "value":
		return n.value
	}
	size, ok := n.args[0].eval(it).length()
	if !ok {
		return value{}
	}
	return value{kind: kindN, text: strconv.Itoa(size)}
}

// length is the function size: characters, bytes or elements; ok is false for others.
func (v value) length() (n int, ok bool) {
	switch v.kind {
	case kindS:
		return utf8.RuneCountInString(v.text), true
	case kindB:
		return len(v.text), true
	case kindM:
		return len(v.m), true
	case kindL:
		return len(v.l), true
	}
	return len(v.set), v.isSet()
}

func ordered(a value, op string, b value) bool {
	order, ok := a.compare(b)
	if !ok {
		return false
	}
	switch op {
	case "<":
		return order < 0
	case "<=":
		return order <= 0
	case ">":
		return order > 0
	}
	return order >= 0
}

func (v value) beginsWith(start value) bool {
	return v.kind == start.kind && (v.kind == kindS || v.kind == kindB) && strings.HasPrefix(v.text, start.text)
}

// contains: part of a text, element of a list, member of a set.
func (v value) contains(part value) bool {
	switch v.kind {
	case kindS, kindB:
		return v.kind == part.kind && strings.Contains(v.text, part.text)
	case kindL:
		return slices.ContainsFunc(v.l, part.equal)
	}
	return v.isSet() && v.kind == part.kind+"S" && slices.Contains(v.set, part.text)
}

// keep returns the parts of it at the given paths, in the shape they have there; list
// elements move together. No paths keep everything.
func keep(it item, paths []path) item {
	if paths == nil || it == nil {
		return it
	}
	kept := item{}
	for name, v := range it {
		if v, some := v.keep(below(paths, step{name: name})); some {
			kept[name] = v
		}
	}
	return kept
}

// below returns the rests of those paths that begin with first.
func below(paths []path, first step) []path {
	var rests []path
	for _, p := range paths {
		if p[0] == first {
			rests = append(rests, p[1:])
		}
	}
	return rests
}

// keep returns what the paths into v select; some is false when that is nothing.
func (v value) keep(paths []path) (kept value, some bool) {
	for _, p := range paths {
		if len(p) == 0 {
			return v, true
		}
	}
	switch v.kind {
	case kindM:
		kept = value{kind: kindM, m: item{}}
		for name, element := range v.m {
			if element, some := element.keep(below(paths, step{name: name})); some {
				kept.m[name] = element
			}
		}
		return kept, len(kept.m) > 0
	case kindL:
		kept = value{kind: kindL}
		for i, element := range v.l {
			if element, some := element.keep(below(paths, step{index: i})); some {
				kept.l = append(kept.l, element)
			}
		}
		return kept, len(kept.l) > 0
	}
	return value{}, false
}

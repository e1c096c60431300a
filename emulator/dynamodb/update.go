package dynamodb

import (
	"maps"
	"slices"
	"strings"
)

// update is a parsed UpdateExpression.
type update struct{ actions []action }

// action changes the value at one path. args hold what SET assigns or what ADD and
// DELETE take.
type action struct {
	section string // SET, REMOVE, ADD or DELETE
	path    path
	arg     *node
}

const updateParameter = "UpdateExpression"

// update reads the sections of an update expression, in any order, each at most once.
func (p *parser) update() *update {
	u := &update{}
	seen := map[string]bool{}
	for p.peek().kind != tokenEnd {
		section := strings.ToUpper(p.peek().text)
		one := map[string]func() action{"SET": p.set, "REMOVE": p.remove, "ADD": p.add, "DELETE": p.add}[section]
		if p.peek().kind != tokenWord || one == nil {
			p.unexpected()
		}
		if seen[section] && p.late == nil {
			p.late = refuse(p.parameter, "The %q section can only be used once in an update expression;", section)
		}
		seen[section] = true
		p.next()
		for more := true; more; more = p.accept(",") {
			a := one()
			a.section = section
			u.actions = append(u.actions, a)
		}
	}
	return u
}

func (p *parser) set() action {
	target := p.path()
	p.expect("=")
	return action{path: target, arg: p.sum()}
}

func (p *parser) remove() action { return action{path: p.path()} }

func (p *parser) add() action {
	target := p.path()
	if p.peek().kind != tokenValue {
		p.unexpected()
	}
	return action{path: target, arg: p.operand()}
}

// sum reads an operand, or two with + or - between, or either in parentheses.
func (p *parser) sum() *node {
	left := p.term(p.sum)
	if left.op == "+" || left.op == "-" {
		return left
	}
	for _, op := range []string{"+", "-"} {
		if p.accept(op) {
			return &node{op: op, args: []*node{left, p.term(p.operand)}}
		}
	}
	return left
}

// term reads an operand, or what inner reads in parentheses.
func (p *parser) term(inner func() *node) *node {
	if !p.accept("(") {
		return p.operand()
	}
	return p.close(inner())
}

// update parses and checks an UpdateExpression; nil text changes nothing.
func (s *scope) update(text *string) (*update, error) {
	if text == nil {
		return &update{}, nil
	}
	u, err := parse(updateParameter, *text, (*parser).update)
	if err != nil {
		return nil, err
	}
	var paths []path
	for _, a := range u.actions {
		if err := checkWords(updateParameter, &node{op: "path", path: a.path}, asOperand); err != nil {
			return nil, err
		}
		if a.arg != nil {
			if err := checkWords(updateParameter, a.arg, assigned); err != nil {
				return nil, err
			}
		}
		paths = append(paths, a.path)
	}
	if err := s.resolvePaths(updateParameter, paths); err != nil {
		return nil, err
	}
	for _, a := range slices.Backward(u.actions) {
		if a.arg == nil {
			continue
		}
		if err := s.resolve(updateParameter, a.arg); err != nil {
			return nil, err
		}
		if err := checkAction(a); err != nil {
			return nil, err
		}
	}
	return u, nil
}

// onlyTakes reports whether all that u does is to remove attributes and elements of sets.
// DynamoDB makes no item for that; an update without any action does make one.
func (u *update) onlyTakes() bool {
	return len(u.actions) > 0 && !slices.ContainsFunc(u.actions, func(a action) bool { return a.section == "SET" || a.section == "ADD" })
}

// keyChange refuses to change the primary key.
func (u *update) keyChange(t *table) error {
	for _, key := range t.Keys.attributes() {
		if slices.ContainsFunc(u.actions, func(a action) bool { return a.path[0].name == key.Name }) {
			return invalid("One or more parameter values were invalid: Cannot update attribute %s. This attribute is part of the key", key.Name)
		}
	}
	return nil
}

// checkAction checks what an action takes, as far as it does not depend on the item.
func checkAction(a action) error {
	switch a.section {
	case "SET":
		return checkAssigned(a.arg)
	case "ADD":
		if v := a.arg.value; v.kind != kindN && !v.isSet() {
			return refuse(updateParameter, "Incorrect operand type for operator or function; operator: ADD, operand type: %s, typeSet: ALLOWED_FOR_ADD_OPERAND", longName(v.kind))
		}
	case "DELETE":
		if v := a.arg.value; !v.isSet() {
			return refuse(updateParameter, "Incorrect operand type for operator or function; operator: DELETE, operand type: %s, typeSet: ALLOWED_FOR_DELETE_OPERAND", longName(v.kind))
		}
	}
	return nil
}

// longName is the name that messages about ADD and DELETE give a type.
func longName(k kind) string {
	return map[kind]string{kindS: "STRING", kindN: "NUMBER", kindB: "BINARY", kindBOOL: "BOOLEAN", kindNULL: "NULL", kindM: "MAP", kindL: "LIST"}[k]
}

// checkAssigned checks what SET assigns.
func checkAssigned(n *node) error {
	for _, arg := range n.args {
		if err := checkAssigned(arg); err != nil {
			return err
		}
	}
	if n.call {
		if err := checkCount(updateParameter, n, 2); err != nil {
			return err
		}
	}
	switch n.op {
	case "+", "-":
		return checkKinds(updateParameter, n, kindN)
	case "if_not_exists":
		if err := checkPath(updateParameter, n); err != nil {
			return err
		}
		return checkDistinct(updateParameter, n)
	case "list_append":
		return checkKinds(updateParameter, n, kindL)
	}
	return nil
}

func badPath() error {
	return invalid("The document path provided in the update expression is invalid for update")
}

func badOperand() error {
	return invalid("An operand in the update expression has an incorrect data type")
}

// apply returns old as the update leaves it; old itself stays. All operands are read
// from old. Elements are removed by their place in old, and those that SET puts behind
// the end of a list are then appended in the order of their indexes.
func (u *update) apply(old item) (item, error) {
	type assignment struct {
		action
		value value
	}
	for _, a := range u.actions { // every path must lead somewhere before any operand is read
		if _, err := a.path[1:].put(old[a.path[0].name], value{kind: kindNULL}); err != nil {
			return nil, err
		}
	}
	var todo []assignment
	for _, a := range u.actions {
		v, err := a.result(old)
		if err != nil {
			return nil, err
		}
		todo = append(todo, assignment{a, v})
	}
	slices.SortStableFunc(todo, func(a, b assignment) int {
		return cmpInt(a.rank(old), b.rank(old))
	})
	updated := maps.Clone(old)
	for _, a := range todo {
		root, err := a.path[1:].put(updated[a.path[0].name], a.value)
		if err != nil {
			return nil, err
		}
		if root.exists() {
			updated[a.path[0].name] = root
		} else {
			delete(updated, a.path[0].name)
		}
	}
	return updated, nil
}

// rank orders actions: what sets first, what removes then, from the back, and last what
// appends to a list.
func (a action) rank(old item) int {
	last := a.path[len(a.path)-1]
	switch {
	case a.section == "REMOVE":
		return 1<<32 - last.index
	case last.name == "" && last.index >= len(a.path[:len(a.path)-1].find(old).l):
		return 1<<33 + last.index
	}
	return 0
}

// result computes the new value for the action's path; no kind removes what is there.
func (a action) result(old item) (value, error) {
	switch a.section {
	case "REMOVE":
		return value{}, nil
	case "SET":
		return a.arg.assigned(old)
	}
	current, operand := a.path.find(old), a.arg.value
	switch {
	case a.section == "ADD" && !current.exists():
		return operand, nil
	case a.section == "ADD" && current.kind == kindN && operand.kind == kindN:
		sum, err := current.number().add(operand.number())
		return numberValue(sum), err
	case a.section == "DELETE" && !current.exists():
		return value{}, nil
	case current.kind != operand.kind || !operand.isSet():
		return value{}, badOperand()
	case a.section == "ADD":
		return current.union(operand), nil
	}
	return current.minus(operand), nil
}

func (v value) union(o value) value {
	set := slices.Concat(v.set, o.set)
	sortSet(v.kind, set)
	return value{kind: v.kind, set: slices.Compact(set)}
}

// minus returns v without the members of o; no kind if none is left, for no set is empty.
func (v value) minus(o value) value {
	set := slices.DeleteFunc(slices.Clone(v.set), func(member string) bool { return slices.Contains(o.set, member) })
	if len(set) == 0 {
		return value{}
	}
	return value{kind: v.kind, set: set}
}

// assigned computes the right side of a SET.
func (n *node) assigned(old item) (value, error) {
	switch n.op {
	case "value":
		return n.value, nil
	case "path":
		v := n.path.find(old)
		if !v.exists() {
			return v, invalid("The provided expression refers to an attribute that does not exist in the item")
		}
		return v, nil
	case "if_not_exists":
		fallback, err := n.args[1].assigned(old)
		if v := n.args[0].path.find(old); v.exists() && err == nil {
			return v, nil
		}
		return fallback, err
	}
	for _, arg := range n.args { // what functions miss is found before the operands are looked at
		if _, err := arg.assigned(old); err != nil && arg.op == "if_not_exists" {
			return value{}, err
		}
	}
	kind := kindN
	if n.op == "list_append" {
		kind = kindL
	}
	var operands []value
	for _, arg := range n.args {
		v, err := arg.assigned(old)
		if err == nil && v.kind != kind {
			err = badOperand()
		}
		if err != nil {
			return value{}, err
		}
		operands = append(operands, v)
	}
	left, right := operands[0], operands[1]
	if kind == kindL {
		return value{kind: kindL, l: slices.Concat(left.l, right.l)}, nil
	}
	addend := right.number()
	if n.op == "-" {
		addend = addend.negated()
	}
	sum, err := left.number().add(addend)
	return numberValue(sum), err
}

// put returns v with the value at p inside it replaced by content, or removed when
// content has no kind. Every step but the last must be there.
func (p path) put(v, content value) (value, error) {
	if len(p) == 0 {
		return content, nil
	}
	first := p[0]
	if first.name != "" {
		if v.kind != kindM {
			return v, badPath()
		}
		inner, err := p[1:].put(v.m[first.name], content)
		if err != nil {
			return v, err
		}
		m := maps.Clone(v.m)
		if m == nil {
			m = item{}
		}
		if inner.exists() {
			m[first.name] = inner
		} else {
			delete(m, first.name)
		}
		return value{kind: kindM, m: m}, nil
	}
	if v.kind != kindL {
		return v, badPath()
	}
	if first.index >= len(v.l) {
		switch {
		case len(p) > 1:
			return v, badPath()
		case !content.exists():
			return v, nil
		}
		return value{kind: kindL, l: append(slices.Clone(v.l), content)}, nil
	}
	inner, err := p[1:].put(v.l[first.index], content)
	if err != nil {
		return v, err
	}
	l := slices.Clone(v.l)
	if inner.exists() {
		l[first.index] = inner
	} else {
		l = slices.Delete(l, first.index, first.index+1)
	}
	return value{kind: kindL, l: l}, nil
}

// paths lists the document paths that the update sets or reads.
func (u *update) paths() []path {
	var all []path
	for _, a := range u.actions {
		all = append(append(all, a.path), a.arg.paths()...)
	}
	return all
}

// touched keeps those parts of it that the update names.
func (u *update) touched(it item) item {
	paths := []path{}
	for _, a := range u.actions {
		paths = append(paths, a.path)
	}
	return keep(it, paths)
}

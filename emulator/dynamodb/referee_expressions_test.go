package dynamodb_test

import (
	"fmt"
	"slices"
	"strings"
)

// expressions builds the expressions of one request and gathers their placeholders.
type expressions struct {
	dice
	attributes []attribute // that paths may name
	keys       []attribute // that they may name too
	names      object
	values     object
	changed    map[string]bool // by an update's actions
}

func (d dice) expressions(s shape) *expressions {
	return &expressions{d, s.attributes(), s.keys, object{}, object{}, map[string]bool{}}
}

// filter writes a condition for a Query or Scan with these keys, which mostly names only
// what the table or index holds.
func (e *expressions) filter(held []string, keys []attribute) string {
	restricted := *e
	if e.chance(95) {
		restricted.keys = nil
		restricted.attributes = slices.DeleteFunc(slices.Clone(e.attributes), func(a attribute) bool {
			return held != nil && !slices.Contains(held, a.name) || slices.Contains(keys, a)
		})
	}
	return restricted.condition(0)
}

// addTo puts the placeholders into the request.
func (e *expressions) addTo(request object) object {
	if len(e.names) > 0 {
		request["ExpressionAttributeNames"] = e.names
	}
	if len(e.values) > 0 {
		request["ExpressionAttributeValues"] = e.values
	}
	return request
}

// mustPlace are the generated names that an expression cannot spell out.
const mustPlace = " hash range date count name x-y ü.v x.y "

// name writes an attribute's name, as it is or by a placeholder.
func (e *expressions) name(attribute string) string {
	if !strings.Contains(mustPlace, " "+attribute+" ") && e.chance(70) || e.chance(1) {
		return attribute
	}
	for i := range len(e.names) {
		if known := fmt.Sprintf("#n%d", i); e.names[known] == attribute && e.chance(80) {
			return known
		}
	}
	placeholder := fmt.Sprintf("#n%d", len(e.names))
	e.names[placeholder] = attribute
	return placeholder
}

// given writes a value by a placeholder.
func (e *expressions) given(v object) string {
	placeholder := fmt.Sprintf(":v%d", len(e.values))
	e.values[placeholder] = v
	return placeholder
}

// path writes the path of an attribute that usually has the kind, or of a part of one.
func (e *expressions) path(kind string) string {
	var fit []string
	for _, a := range e.attributes {
		if a.kind == kind {
			fit = append(fit, a.name)
		}
	}
	switch {
	case e.keys != nil && kind == "N" && e.chance(25):
		return e.name("m") + "." + e.name("a")
	case e.keys != nil && e.chance(15), len(fit) == 0:
		return e.anyPath()
	}
	return e.name(pick(e.dice, fit...))
}

// anyPath writes any path, of what is there or is not.
func (e *expressions) anyPath() string {
	n := e.IntN(10)
	if e.keys == nil {
		n = 9
	}
	switch n {
	case 0, 1:
		return fmt.Sprintf("%s[%d]", e.name("l"), e.IntN(4))
	case 2, 3:
		return e.name("m") + "." + e.name(pick(e.dice, "a", "k", "name", "x.y", "new"))
	case 4:
		return fmt.Sprintf("%s.%s[%d]", e.name("m"), e.name("k"), e.IntN(2))
	case 5:
		return fmt.Sprintf("%s[%d].%s", e.name("l"), e.IntN(2), e.name("a"))
	case 6:
		return e.name(pick(e.dice, e.keys...).name)
	case 7:
		return e.name("nowhere")
	}
	if len(e.attributes) == 0 {
		return e.name("nowhere")
	}
	return e.name(pick(e.dice, e.attributes...).name)
}

// operand writes a value of the kind: a given one, one of the item, or a size.
func (e *expressions) operand(kind string) string {
	switch {
	case kind == "N" && e.chance(15):
		return "size(" + e.path(pick(e.dice, "S", "B", "M", "L", "SS", "NS", "BS")) + ")"
	case e.chance(60):
		return e.given(e.value(kind, 1))
	}
	return e.path(kind)
}

// condition writes a condition; depth is how far inside others it stands.
func (e *expressions) condition(depth int) string {
	if depth < 3 && e.chance(40) {
		left, right := e.condition(depth+1), e.condition(depth+1)
		switch e.IntN(5) {
		case 0:
			return left + pick(e.dice, " AND ", " and ") + right
		case 1:
			return left + " OR " + right
		case 2:
			return "(" + left + " OR " + right + ") AND " + e.condition(depth+1)
		case 3:
			return "NOT " + e.condition(depth+1) + " OR " + left + " AND " + right
		}
		return "NOT (" + left + pick(e.dice, " AND ", " OR ") + right + ")"
	}
	return e.predicate()
}

func (e *expressions) predicate() string {
	kind := pick(e.dice, "S", "N", "B")
	switch e.IntN(13) {
	case 0, 1:
		return pick(e.dice, "attribute_exists(", "attribute_not_exists(") + e.anyPath() + ")"
	case 2:
		if e.keys != nil {
			return pick(e.dice, "attribute_exists(", "attribute_not_exists(") + e.name(e.keys[0].name) + ")"
		}
		return "attribute_exists(" + e.anyPath() + ")"
	case 3:
		return "attribute_type(" + e.anyPath() + ", " + e.given(object{"S": pick(e.dice, kinds...)}) + ")"
	case 4:
		kind = pick(e.dice, "S", "B")
		return "begins_with(" + e.path(kind) + ", " + e.operand(kind) + ")"
	case 5:
		kind = pick(e.dice, "S", "B", "L", "SS", "NS", "BS")
		return "contains(" + e.path(kind) + ", " + e.operand(pick(e.dice, strings.TrimSuffix(kind, "S")+map[bool]string{true: "S"}[kind == "S"], "S", "N")) + ")"
	case 6:
		return e.operand(kind) + " BETWEEN " + e.operand(kind) + " AND " + e.operand(kind)
	case 7:
		in := []string{e.operand(kind)}
		for e.chance(60) {
			in = append(in, e.operand(kind))
		}
		return e.path(kind) + " IN (" + strings.Join(in, ", ") + ")"
	case 8:
		return e.operand(pick(e.dice, kinds...)) + pick(e.dice, " = ", "<>", " < ") + e.operand(pick(e.dice, kinds...))
	case 9:
		kind = pick(e.dice, kinds...)
		return e.path(kind) + pick(e.dice, " = ", " <> ") + e.given(e.value(kind, 1))
	}
	return e.operand(kind) + pick(e.dice, " = ", " <> ", " < ", " <= ", " > ", " >= ", "<", "=") + e.operand(kind)
}

// projection writes a list of paths.
func (e *expressions) projection(attributes []string) string {
	var paths []string
	seen := map[string]bool{}
	for range 1 + e.IntN(4) {
		path := e.anyPath()
		if attributes != nil {
			path = e.name(pick(e.dice, attributes...))
		}
		if !seen[path] || e.chance(5) {
			paths = append(paths, path)
		}
		seen[path] = true
	}
	return strings.Join(paths, ", ")
}

// update writes an update expression of one to three sections.
func (e *expressions) update() string {
	var sections []string
	for _, section := range []string{"SET", "REMOVE", "ADD", "DELETE"} {
		chosen := map[string]int{"SET": 70, "REMOVE": 30, "ADD": 30, "DELETE": 15}[section]
		if !e.chance(chosen) {
			continue
		}
		actions := []string{e.action(section)}
		for e.chance(35) {
			actions = append(actions, e.action(section))
		}
		if e.chance(20) {
			section = strings.ToLower(section)
		}
		sections = append(sections, section+" "+strings.Join(actions, ", "))
	}
	if sections == nil {
		sections = []string{"SET " + e.action("SET")}
	}
	e.Shuffle(len(sections), func(i, j int) { sections[i], sections[j] = sections[j], sections[i] })
	return strings.Join(sections, " ")
}

func (e *expressions) action(section string) string {
	switch section {
	case "REMOVE":
		return e.target(pick(e.dice, kinds...))
	case "ADD":
		kind := pick(e.dice, "N", "N", "SS", "NS", "BS")
		return e.target(kind) + " " + e.given(e.value(kind, 1))
	case "DELETE":
		kind := pick(e.dice, "SS", "NS", "BS")
		return e.target(kind) + " " + e.given(e.value(kind, 1))
	}
	switch e.IntN(8) {
	case 0, 1:
		sum := e.numeric() + pick(e.dice, " + ", " - ", "+", "-") + e.numeric()
		if e.chance(15) {
			sum = "(" + sum + ")"
		}
		return e.target("N") + " = " + sum
	case 2:
		kind := pick(e.dice, kinds...)
		return e.target(kind) + " = if_not_exists(" + e.anyPath() + ", " + e.operand(kind) + ")"
	case 3:
		list := []string{e.given(e.value("L", 1)), "if_not_exists(" + e.name("l") + ", " + e.given(object{"L": []any{}}) + ")"}
		if e.chance(50) {
			list[1] = e.path("L")
		}
		e.Shuffle(2, func(i, j int) { list[i], list[j] = list[j], list[i] })
		return e.target("L") + " = list_append(" + strings.Join(list, ", ") + ")"
	case 4:
		return e.target(pick(e.dice, kinds...)) + " = " + e.anyPath()
	case 5:
		a := pick(e.dice, indexKeys...)
		return e.name(a.name) + " = " + e.given(e.keyValue(a.kind, 3))
	}
	kind := pick(e.dice, kinds...)
	return e.target(kind) + "=" + e.given(e.value(kind, 1))
}

// target writes the path of what an action changes, mostly of nothing that another of the
// same expression changes.
func (e *expressions) target(kind string) string {
	if e.chance(10) {
		return e.anyPath()
	}
	path := e.path(kind)
	for range 5 {
		root, _, _ := strings.Cut(path, ".")
		if at := e.names[root]; at != nil {
			root = at.(string)
		}
		if !e.changed[root] {
			e.changed[root] = true
			return path
		}
		path = e.name(pick(e.dice, e.attributes...).name)
	}
	return path
}

func (e *expressions) numeric() string {
	switch e.IntN(6) {
	case 0, 1:
		return "if_not_exists(" + e.path("N") + ", " + e.given(e.value("N", 1)) + ")"
	case 2:
		return e.path("N")
	}
	return e.given(e.value("N", 1))
}

// keyCondition writes a condition on the keys of a table or index.
func (e *expressions) keyCondition(keys []attribute) string {
	terms := []string{e.name(keys[0].name) + " = " + e.given(e.keyValue(keys[0].kind, 2))}
	if len(keys) > 1 && e.chance(70) {
		name, kind := e.name(keys[1].name), keys[1].kind
		value := func() string { return e.given(e.keyValue(kind, 6)) }
		switch e.IntN(8) {
		case 0:
			terms = append(terms, name+" BETWEEN "+value()+" AND "+value())
		case 1:
			if kind == "N" {
				kind = "S"
			}
			terms = append(terms, "begins_with("+name+", "+value()+")")
		case 2:
			terms = append(terms, value()+pick(e.dice, " = ", " < ", " <= ", " > ", " >= ")+name)
		default:
			terms = append(terms, name+pick(e.dice, " = ", " < ", " <= ", " > ", " >= ")+value())
		}
		if e.chance(20) {
			terms[0], terms[1] = terms[1], terms[0]
		}
	}
	if e.chance(10) {
		terms[0] = "(" + terms[0] + ")"
	}
	return strings.Join(terms, " AND ")
}

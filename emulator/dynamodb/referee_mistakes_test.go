package dynamodb_test

import (
	"maps"
	"math"
	"regexp"
	"slices"
	"strings"
)

// spoil makes one mistake somewhere in a request.
func (s *session) spoil(request object) {
	part := pick(s.dice, parts(request)...)
	var can []func()
	for _, member := range slices.Sorted(maps.Keys(part)) {
		switch v := part[member].(type) {
		case string:
			if strings.HasSuffix(member, "Expression") {
				can = append(can, func() { part[member] = s.misspell(v) }, func() { part[member] = s.misspell(v) })
			}
			if wrong := wrongTexts[member]; wrong != nil {
				can = append(can, func() { part[member] = pick(s.dice, wrong...) })
			}
		case object:
			switch member {
			case "ExpressionAttributeValues":
				can = append(can, func() { s.spoilValues(v) }, func() { s.spoilValues(v) })
			case "ExpressionAttributeNames":
				can = append(can, func() { s.spoilNames(v) })
			case "Key", "Item":
				can = append(can, func() { s.spoilItem(v) }, func() { s.spoilItem(v) })
			}
		case int:
			can = append(can, func() { part[member] = pick(s.dice, 0, -1, math.MaxInt32) })
		case []any:
			can = append(can, func() { s.spoilList(part, member, v) })
		}
		if s.chance(15) {
			can = append(can, func() { delete(part, member) })
		}
	}
	can = append(can, func() { s.spoilMembers(part) })
	pick(s.dice, can...)()
}

// wrongTexts are texts that do not fit into a member, or not into every request's.
var wrongTexts = map[string][]string{
	"TableName":              {"no-such-table", "x", "", "bad name"},
	"IndexName":              {"no-such-index", "x", ""},
	"ReturnValues":           {"FOO", "", "ALL_NEW", "UPDATED_OLD", "all_old"},
	"ReturnConsumedCapacity": {"FOO", ""},
	"Select":                 {"FOO", ""},
}

// parts lists the objects of a request that have expressions, keys or lists.
func parts(v any) []object {
	var all []object
	switch v := v.(type) {
	case object:
		for _, member := range slices.Sorted(maps.Keys(v)) {
			if strings.HasSuffix(member, "Expression") || slices.Contains([]string{"Key", "Item", "Keys", "TableName"}, member) {
				all = append(all, v)
				break
			}
		}
		for _, member := range slices.Sorted(maps.Keys(v)) {
			if !slices.Contains([]string{"Key", "Keys", "Item", "ExpressionAttributeValues", "ExpressionAttributeNames"}, member) {
				all = append(all, parts(v[member])...)
			}
		}
		if len(all) == 0 {
			all = []object{v}
		}
	case []any:
		for _, element := range v {
			all = append(all, parts(element)...)
		}
	}
	return all
}

// wrongValue draws what is no attribute value, or none that fits.
func (s *session) wrongValue() any {
	return pick[any](s.dice,
		object{}, object{"S": "a", "N": "1"}, object{"X": "a"}, object{"NULL": false}, object{"SS": []any{}}, object{"NS": []any{}}, object{"BS": []any{}},
		object{"SS": []any{"a", "b", "a"}}, object{"NS": []any{"1", "1.0"}}, object{"BS": []any{"YQ==", "YQ=="}}, object{"N": "abc"}, object{"N": ""},
		object{"N": "1E126"}, object{"N": "1E-131"}, object{"N": "123456789012345678901234567890123456789"}, object{"N": " 1"}, object{"NS": []any{"1", "x"}},
		object{"M": object{"": object{"S": "a"}}}, object{"L": []any{object{}}}, object{"M": object{"a": object{"N": "--1"}}}, s.any(0), s.any(0), s.any(0), s.any(0),
		object{"S": ""}, object{"B": ""}, object{"S": strings.Repeat("k", 2049)})
}

func (s *session) spoilValues(values object) {
	names := slices.Sorted(maps.Keys(values))
	if len(names) == 0 {
		return
	}
	name := pick(s.dice, names...)
	switch s.IntN(6) {
	case 0:
		delete(values, name)
	case 1:
		values[pick(s.dice, ":unused", ":v00", "v0", ":", ":a b", "#v0", ":1")] = s.any(1)
	case 2:
		values[name] = s.wrongValue()
	case 3, 4:
		values[name] = s.any(1)
	case 5:
		clear(values)
	}
}

func (s *session) spoilNames(names object) {
	all := slices.Sorted(maps.Keys(names))
	if len(all) == 0 {
		return
	}
	switch s.IntN(5) {
	case 0:
		delete(names, pick(s.dice, all...))
	case 1:
		names[pick(s.dice, "#unused", "#n00", "n0", "#", "#a-b", ":n")] = "s"
	case 2:
		names[pick(s.dice, all...)] = pick(s.dice, "", "s", "a.b", "pk")
	case 3:
		names[pick(s.dice, all...)] = pick(s.dice, usual...).name
	case 4:
		clear(names)
	}
}

// spoilItem spoils a key or an item, mostly where it is a key.
func (s *session) spoilItem(it object) {
	names := slices.Sorted(maps.Keys(it))
	if len(names) == 0 {
		return
	}
	name := pick(s.dice, names...)
	if key := pick(s.dice, slices.Concat(hashNames, rangeNames, []string{"g", "h", "i"})...); it[key] != nil {
		name = key
	}
	switch s.IntN(6) {
	case 0:
		delete(it, name)
	case 1:
		it[pick(s.dice, "extra", "", "s", "g")] = s.any(0)
	case 2:
		it[name] = pick(s.dice, object{"S": ""}, object{"B": ""}, object{"S": "x"}, object{"N": "1"}, object{"B": "YQ=="})
	case 3, 4:
		it[name] = s.any(0)
	case 5:
		it[name] = s.wrongValue()
	}
}

func (s *session) spoilList(part object, member string, list []any) {
	if len(list) == 0 {
		return
	}
	switch s.IntN(4) {
	case 0:
		part[member] = []any{}
	case 1:
		part[member] = append(slices.Clone(list), list[0])
	case 2:
		part[member] = append(slices.Clone(list), object{})
	case 3:
		if first, ok := list[0].(object); ok {
			merged := maps.Clone(first)
			if last, ok := list[len(list)-1].(object); ok {
				maps.Copy(merged, last)
			}
			part[member] = []any{merged}
		}
	}
}

// spoilMembers adds what is not needed, or should not be there.
func (s *session) spoilMembers(part object) {
	switch s.IntN(5) {
	case 0:
		part["ExpressionAttributeValues"] = object{":unused": s.any(1)}
	case 1:
		part["ExpressionAttributeNames"] = object{"#unused": "s"}
	case 2:
		delete(part, "Key")
	case 3:
		if _, has := part["ConditionExpression"]; has {
			part["ConditionExpression"] = pick(s.dice, "", " ", "pk", "s", ":v0", "attribute_exists(pk", "size(s)", "((s = s))", "s = s", "not", "s IN ()", "s = :v0 :v1")
		}
	case 4:
		if _, has := part["KeyConditionExpression"]; has {
			part["ExclusiveStartKey"] = pick(s.dice, object{}, s.key(s.table()), s.item(s.table()))
		}
	}
}

// valueAsName is what dynalite takes for a name, which it then does not find.
var valueAsName = regexp.MustCompile(`\.\s*:\w*`)

var tokens = regexp.MustCompile(`[#:]?[\p{L}\p{N}_-]+|<>|<=|>=|\s+|.`)

// misspell changes the text of an expression: drops, doubles, swaps, adds or replaces a
// token, or cuts it off.
func (s *session) misspell(text string) string {
	parts := tokens.FindAllString(text, -1)
	if len(parts) == 0 {
		return "s"
	}
	at := s.IntN(len(parts))
	other := pick(s.dice, "(", ")", " AND ", " OR ", " NOT ", "=", "<>", ",", "size", "begins_with", "contains(", "list_append", "if_not_exists", "attribute_type",
		":nope", ":v0", ":v1", "#nope", "#n0", "name", "Status", "s", "pk", ".", ".a", "[0]", "[", "]", "[1", "[99999999999]", "+", "-", " BETWEEN ", " IN ", "1", "007", "$", "é", "\"", " SET ", " REMOVE ", " ADD s :v0", "_a")
	switch s.IntN(6) {
	case 0:
		parts[at] = ""
	case 1:
		parts[at] += parts[at]
	case 2:
		parts[at] = other
	case 3:
		parts[at] += other
	case 4:
		next := s.IntN(len(parts))
		parts[at], parts[next] = parts[next], parts[at]
	case 5:
		return strings.Join(parts[:at], "")
	}
	return valueAsName.ReplaceAllString(strings.Join(parts, ""), ".x")
}

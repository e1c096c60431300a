package dynamodb_test

import (
	"encoding/base64"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
)

// object is a JSON object of a request or an answer.
type object = map[string]any

// dice draws what a generated request is made of.
type dice struct{ *rand.Rand }

func (d dice) chance(percent int) bool { return d.IntN(100) < percent }

func pick[T any](d dice, from ...T) T { return from[d.IntN(len(from))] }

// attribute is a name with the kind of value it has in most items.
type attribute struct{ name, kind string }

// shape is a generated table.
type shape struct {
	name    string
	keys    []attribute // hash and, perhaps, range
	indexes []indexShape
}

type indexShape struct {
	name       string
	keys       []attribute
	projection object
}

var (
	hashNames  = []string{"pk", "id", "hash"} // hash and range are reserved words
	rangeNames = []string{"sk", "range", "r_1"}
	indexKeys  = []attribute{{"g", "S"}, {"h", "N"}, {"i", "B"}, {"date", "S"}}
	usual      = []attribute{
		{"n", "N"}, {"count", "N"}, {"s", "S"}, {"name", "S"}, {"b", "B"}, {"f", "BOOL"}, {"z", "NULL"},
		{"m", "M"}, {"l", "L"}, {"ss", "SS"}, {"ns", "NS"}, {"bs", "BS"}, {"x-y", "N"}, {"ü.v", "S"},
	}
	kinds = []string{"S", "N", "B", "BOOL", "NULL", "M", "L", "SS", "NS", "BS"}
)

// shape draws a table with or without range key, with up to three indexes.
func (d dice) shape(name string) shape {
	s := shape{name: name, keys: []attribute{{pick(d, hashNames...), pick(d, "S", "S", "N", "B")}}}
	if d.chance(70) {
		s.keys = append(s.keys, attribute{pick(d, rangeNames...), pick(d, "S", "S", "N", "B")})
	}
	for i := range d.IntN(4) {
		from := slices.Concat(indexKeys, indexKeys, s.keys)
		ix := indexShape{name: "by-" + strconv.Itoa(i), keys: []attribute{pick(d, from...)}}
		if second := pick(d, from...); second != ix.keys[0] && d.chance(70) {
			ix.keys = append(ix.keys, second)
		}
		switch d.IntN(3) {
		case 0:
			ix.projection = object{"ProjectionType": "ALL"}
		case 1:
			ix.projection = object{"ProjectionType": "KEYS_ONLY"}
		default:
			ix.projection = object{"ProjectionType": "INCLUDE", "NonKeyAttributes": []any{pick(d, usual[:7]...).name, pick(d, usual[7:]...).name}}
		}
		s.indexes = append(s.indexes, ix)
	}
	return s
}

// create is the request that makes the table.
func (s shape) create() object {
	var definitions []any
	defined := map[string]bool{}
	schema := func(keys []attribute) []any {
		var elements []any
		for i, k := range keys {
			elements = append(elements, object{"AttributeName": k.name, "KeyType": []string{"HASH", "RANGE"}[i]})
			if !defined[k.name] {
				definitions = append(definitions, object{"AttributeName": k.name, "AttributeType": k.kind})
			}
			defined[k.name] = true
		}
		return elements
	}
	request := object{"TableName": s.name, "BillingMode": "PAY_PER_REQUEST", "KeySchema": schema(s.keys)}
	var indexes []any
	for _, ix := range s.indexes {
		indexes = append(indexes, object{"IndexName": ix.name, "KeySchema": schema(ix.keys), "Projection": ix.projection})
	}
	if indexes != nil {
		request["GlobalSecondaryIndexes"] = indexes
	}
	request["AttributeDefinitions"] = definitions
	return request
}

// attributes lists all that items of the table may have beside its keys.
func (s shape) attributes() []attribute {
	all := slices.Clone(usual)
	for _, k := range indexKeys {
		if !s.isKey(k.name) {
			all = append(all, k)
		}
	}
	return all
}

func (s shape) isKey(name string) bool {
	return slices.ContainsFunc(s.keys, func(k attribute) bool { return k.name == name })
}

// key draws the primary key of an item, of few, so that most requests meet an item.
func (d dice) key(s shape) object {
	key := object{}
	for i, k := range s.keys {
		key[k.name] = d.keyValue(k.kind, []int{2, 6}[i])
	}
	return key
}

// keyValue draws one of n values; some are the same number written otherwise.
func (d dice) keyValue(kind string, n int) object {
	i := d.IntN(n)
	switch kind {
	case "S":
		return object{kind: []string{"a", "é", "ab", "a b", "😀", "B"}[i]}
	case "N":
		return object{kind: pick(d, [][]string{{"1", "1.0", "+1"}, {"-2"}, {"10", "1e1"}, {"0", "-0"}, {"0.5", ".5", "5E-1"}, {"-1234567890123456789.5"}}[i]...)}
	}
	return object{kind: binary([]string{"a", "\x00", "\xff", "a\x00", "ab", "\x80b"}[i])}
}

// item draws an item with some of the table's attributes.
func (d dice) item(s shape) object {
	it := d.key(s)
	for _, a := range s.attributes() {
		if d.chance(35) || slices.Contains([]string{"n", "m", "l"}, a.name) && d.chance(60) {
			it[a.name] = d.value(a.kind, 0)
		}
	}
	for _, a := range indexKeys {
		if !s.isKey(a.name) && d.chance(65) {
			it[a.name] = d.keyValue(a.kind, 3)
		}
	}
	if d.chance(10) {
		it[pick(d, usual...).name] = d.any(0)
	}
	return it
}

func (d dice) any(depth int) object { return d.value(pick(d, kinds...), depth) }

// value draws a value of a kind; depth is how far inside others it lies.
func (d dice) value(kind string, depth int) object {
	switch kind {
	case "S":
		return object{kind: d.text()}
	case "N":
		return object{kind: d.number()}
	case "B":
		return object{kind: binary(d.text())}
	case "BOOL":
		return object{kind: d.chance(50)}
	case "NULL":
		return object{kind: true}
	case "M":
		m := object{}
		for _, name := range []string{"a", "k", "name", "x.y"} {
			if depth < 3 && d.chance(50) {
				m[name] = d.any(depth + 1)
			}
		}
		if d.chance(70) {
			m["a"] = object{"N": d.number()}
		}
		return object{kind: m}
	case "L":
		l := []any{}
		for range d.IntN(4) {
			if depth < 3 {
				l = append(l, d.any(depth+1))
			}
		}
		return object{kind: l}
	}
	var members []any
	for _, m := range d.members(kind) {
		members = append(members, m)
	}
	return object{kind: members}
}

// members draws the members of a set.
func (d dice) members(kind string) []string {
	from := map[string][]string{
		"SS": {"a", "b", "ab", "é", "Z", "10", "9"},
		"NS": {"1", "2", "10", "-3", "0.5", "1e3", "0"},
		"BS": {binary("a"), binary("b"), binary("\xff"), binary("\x00"), binary("ab")},
	}[kind]
	from = slices.Clone(from)
	d.Shuffle(len(from), func(i, j int) { from[i], from[j] = from[j], from[i] })
	return from[:1+d.IntN(4)]
}

func (d dice) text() string {
	return pick(d, "", "a", "ab", "abc", "b", "é", "Z", "10", "9", "a\"b\\", "a\nb", "<&>", "\x00", "😀", strings.Repeat("x", 1+d.IntN(40)))
}

func (d dice) number() string {
	if d.chance(60) {
		return strconv.Itoa(d.IntN(25) - 12)
	}
	return pick(d, "0.5", "-1.25", "1e3", "1E-5", "100", "-0", "0.10", "1.0", "+7", "00012", "99999999999999999999999999999999999999",
		"12345678901234567890.12345678901234567", "1E-130", "9.9999999999999999999999999999999999999E+125", "-9.9999999999999999999999999999999999999E+125",
		"1E+125", "0.1", "0.2", "1e20", "-1e20", "0.000001", "123456789.987654321")
}

func binary(raw string) string { return base64.StdEncoding.EncodeToString([]byte(raw)) }

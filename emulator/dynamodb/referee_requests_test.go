package dynamodb_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
)

// operation is one generated request. The pages of a Query or Scan belong to it.
type operation struct {
	Op      string
	Request object
}

// session draws the operations on a set of tables of its own.
type session struct {
	dice
	tables []shape
}

func newSession(seed, number uint64) *session {
	s := &session{dice: dice{rand.New(rand.NewPCG(seed, number))}}
	for i := range 1 + s.IntN(2) {
		s.tables = append(s.tables, s.shape(fmt.Sprintf("table-%d-%d", number, i)))
	}
	return s
}

// draw draws a whole session, which ends with a look at all that is stored.
func (s *session) draw() []operation {
	var all []operation
	for _, t := range s.tables {
		all = append(all, operation{"CreateTable", t.create()})
	}
	for range sessionLength {
		all = append(all, s.next())
	}
	for _, t := range s.tables {
		all = append(all, operation{"Scan", object{"TableName": t.name}})
		for _, ix := range t.indexes {
			all = append(all, operation{"Scan", object{"TableName": t.name, "IndexName": ix.name}})
		}
	}
	return all
}

// next draws an operation; about one in four has something wrong.
func (s *session) next() operation {
	draw := map[string]func() object{
		"PutItem": s.put, "UpdateItem": s.update, "DeleteItem": s.delete, "GetItem": s.get,
		"Query": s.query, "Scan": s.scan, "BatchGetItem": s.batchGet, "BatchWriteItem": s.batchWrite,
		"DescribeTable": s.describe,
	}
	op := pick(s.dice, "PutItem", "PutItem", "PutItem", "PutItem", "UpdateItem", "UpdateItem", "UpdateItem", "UpdateItem", "UpdateItem", "DeleteItem",
		"GetItem", "GetItem", "Query", "Query", "Query", "Query", "Scan", "Scan", "BatchGetItem", "BatchWriteItem")
	if s.chance(1) {
		op = "DescribeTable"
	}
	request := draw[op]()
	if s.chance(25) {
		s.spoil(request)
	}
	return operation{op, request}
}

func (s *session) table() shape { return pick(s.dice, s.tables...) }

func (s *session) capacity(request object) object {
	if s.chance(15) {
		request["ReturnConsumedCapacity"] = pick(s.dice, "TOTAL", "INDEXES", "NONE")
	}
	return request
}

// guarded adds a condition to a write, mostly.
func (s *session) guarded(e *expressions, request object, always bool) object {
	if always || s.chance(35) {
		request["ConditionExpression"] = e.condition(0)
		if s.chance(60) {
			request["ConditionExpression"] = request["ConditionExpression"].(string) + " OR attribute_not_exists(nowhere)"
		}
	}
	return e.addTo(request)
}

func (s *session) putOf(t shape) object {
	return s.guarded(s.expressions(t), object{"TableName": t.name, "Item": s.item(t)}, false)
}

func (s *session) deleteOf(t shape) object {
	return s.guarded(s.expressions(t), object{"TableName": t.name, "Key": s.key(t)}, false)
}

func (s *session) updateOf(t shape, always bool) object {
	request, e := object{"TableName": t.name, "Key": s.key(t)}, s.expressions(t)
	if always || s.chance(97) {
		request["UpdateExpression"] = e.update()
	}
	return s.guarded(e, request, false)
}

func (s *session) put() object {
	request := s.putOf(s.table())
	if s.chance(50) {
		request["ReturnValues"] = pick(s.dice, "ALL_OLD", "ALL_OLD", "NONE")
	}
	return s.capacity(request)
}

func (s *session) delete() object {
	request := s.deleteOf(s.table())
	if s.chance(50) {
		request["ReturnValues"] = pick(s.dice, "ALL_OLD", "ALL_OLD", "NONE")
	}
	return s.capacity(request)
}

func (s *session) update() object {
	request := s.updateOf(s.table(), false)
	if s.chance(80) {
		request["ReturnValues"] = pick(s.dice, "ALL_OLD", "ALL_NEW", "ALL_NEW", "UPDATED_OLD", "UPDATED_NEW", "NONE")
	}
	return s.capacity(request)
}

func (s *session) getOf(t shape) object {
	request, e := object{"TableName": t.name, "Key": s.key(t)}, s.expressions(t)
	if s.chance(40) {
		request["ProjectionExpression"] = e.projection(nil)
	}
	return e.addTo(request)
}

func (s *session) get() object {
	request := s.getOf(s.table())
	if s.chance(30) {
		request["ConsistentRead"] = s.chance(50)
	}
	return s.capacity(request)
}

func (s *session) query() object {
	t := s.table()
	e, keys := s.expressions(t), t.keys
	request := object{"TableName": t.name}
	if t.indexes != nil && s.chance(60) {
		ix := pick(s.dice, t.indexes...)
		request["IndexName"], keys = ix.name, ix.keys
	}
	request["KeyConditionExpression"] = e.keyCondition(keys)
	if s.chance(40) {
		request["ScanIndexForward"] = s.chance(30)
	}
	return s.read(t, e, request)
}

func (s *session) scan() object {
	t := s.table()
	request := object{"TableName": t.name}
	if t.indexes != nil && s.chance(30) {
		request["IndexName"] = pick(s.dice, t.indexes...).name
	}
	return s.read(t, s.expressions(t), request)
}

// read adds what Query and Scan have in common.
func (s *session) read(t shape, e *expressions, request object) object {
	held, forbidden := t.held(request["IndexName"])
	if s.chance(35) {
		request["FilterExpression"] = e.filter(held, forbidden)
	}
	if s.chance(30) {
		request["ProjectionExpression"] = e.projection(held)
	} else if s.chance(20) {
		request["Select"] = pick(s.dice, "COUNT", "ALL_ATTRIBUTES", "ALL_PROJECTED_ATTRIBUTES", "SPECIFIC_ATTRIBUTES")
	}
	if s.chance(50) {
		request["Limit"] = 1 + s.IntN(4)
	}
	if request["IndexName"] == nil && s.chance(10) {
		request["ConsistentRead"] = true
	}
	return s.capacity(e.addTo(request))
}

// held lists the attributes that an index holds, nil for all, and the keys.
func (t shape) held(index any) (held []string, keys []attribute) {
	if index == nil {
		return nil, t.keys
	}
	ix := t.indexes[slices.IndexFunc(t.indexes, func(ix indexShape) bool { return ix.name == index })]
	if ix.projection["ProjectionType"] == "ALL" {
		return nil, ix.keys
	}
	for _, k := range slices.Concat(t.keys, ix.keys) {
		held = append(held, k.name)
	}
	more, _ := ix.projection["NonKeyAttributes"].([]any)
	for _, name := range more {
		held = append(held, name.(string))
	}
	return held, ix.keys
}

func (s *session) batchGet() object {
	perTable := object{}
	for _, t := range s.some() {
		e := s.expressions(t)
		one := object{}
		if s.chance(30) {
			one["ProjectionExpression"] = e.projection(nil)
		}
		if s.chance(20) {
			one["ConsistentRead"] = true
		}
		var keys []any
		for _, key := range s.distinctKeys(t) {
			keys = append(keys, key)
		}
		one["Keys"] = keys
		perTable[t.name] = e.addTo(one)
	}
	return s.capacity(object{"RequestItems": perTable})
}

func (s *session) batchWrite() object {
	perTable := object{}
	for _, t := range s.some() {
		var requests []any
		for _, key := range s.distinctKeys(t) {
			if s.chance(30) {
				requests = append(requests, object{"DeleteRequest": object{"Key": key}})
				continue
			}
			it := s.item(t)
			maps.Copy(it, key)
			requests = append(requests, object{"PutRequest": object{"Item": it}})
		}
		perTable[t.name] = requests
	}
	return s.capacity(object{"RequestItems": perTable})
}

// some draws one or all of the tables.
func (s *session) some() []shape {
	if s.chance(60) {
		return []shape{s.table()}
	}
	return s.tables
}

// distinctKeys draws some keys, rarely one twice.
func (s *session) distinctKeys(t shape) []object {
	var keys []object
	seen := map[string]bool{}
	for range 1 + s.IntN(5) {
		key := s.key(t)
		if id := identity(t, key); !seen[id] || s.chance(3) {
			seen[id] = true
			keys = append(keys, key)
		}
	}
	return keys
}

// identity is the same for keys that are equal but for the writing of their numbers.
func identity(t shape, key object) string {
	id := ""
	for _, k := range t.keys {
		id += fmt.Sprint(comparableForm(key[k.name]))
	}
	return id
}

func (s *session) describe() object { return object{"TableName": s.table().name} }

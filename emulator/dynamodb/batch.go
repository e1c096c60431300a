package dynamodb

import (
	"encoding/json"
	"maps"
	"slices"

	"go.etcd.io/bbolt"
)

const (
	maxBatchGet   = 100      // keys
	maxBatchWrite = 25       // requests
	maxBatchBytes = 16 << 20 // of items, read or written
)

type (
	batchGetInput struct {
		RequestItems           map[string]*keysAndAttributes
		ReturnConsumedCapacity *string
	}
	keysAndAttributes struct {
		Keys                     []item
		ConsistentRead           bool              `json:",omitempty"`
		ProjectionExpression     *string           `json:",omitempty"`
		ExpressionAttributeNames map[string]string `json:",omitempty"`
	}
	batchGetOutput struct {
		Responses        map[string][]item
		UnprocessedKeys  map[string]*keysAndAttributes
		ConsumedCapacity []*consumedCapacity `json:",omitempty"`
	}
)

// batchGet reads up to 16 MB; keys beyond are returned as unprocessed.
func (db *DB) batchGet(in *batchGetInput) (*batchGetOutput, error) {
	lookups, err := db.batchLookups(in)
	if err != nil {
		return nil, err
	}
	out := &batchGetOutput{Responses: map[string][]item{}, UnprocessedKeys: map[string]*keysAndAttributes{}}
	spent := map[string]usage{}
	err = db.view(func(tx *bbolt.Tx) error {
		size := 0
		for _, name := range slices.Sorted(maps.Keys(in.RequestItems)) {
			request := in.RequestItems[name]
			out.Responses[name] = []item{}
			spent[name] = usage{}
			for i, l := range lookups[name] {
				found, err := l.t.open(tx).get(l.key)
				if err != nil {
					return err
				}
				if size += found.size(); size > maxBatchBytes {
					rest := *request
					rest.Keys = request.Keys[i:]
					out.UnprocessedKeys[name] = &rest
					break
				}
				spent[name].add(usage{"": readUnits(found.size(), request.ConsistentRead)})
				if found != nil {
					out.Responses[name] = append(out.Responses[name], keep(found, l.paths))
				}
			}
		}
		return nil
	})
	out.ConsumedCapacity = reports(spent, in.ReturnConsumedCapacity)
	return out, err
}

// batchLookups checks a BatchGetItem: what can be said without the tables, then tables
// and keys, then projections.
func (db *DB) batchLookups(in *batchGetInput) (map[string][]*lookup, error) {
	if err := checkCapacityDetail(in.ReturnConsumedCapacity); err != nil {
		return nil, err
	}
	if len(in.RequestItems) == 0 {
		return nil, invalid("BatchGetItem must have some requests set")
	}
	names := slices.Sorted(maps.Keys(in.RequestItems))
	count := 0
	for _, name := range names {
		if err := in.RequestItems[name].check(name, maxBatchGet-count); err != nil {
			return nil, err
		}
		count += len(in.RequestItems[name].Keys)
	}
	lookups := map[string][]*lookup{}
	for _, name := range names {
		t, err := db.table(&name)
		if err != nil {
			return nil, err
		}
		for _, given := range in.RequestItems[name].Keys {
			key, err := t.key(given)
			if err != nil {
				return nil, err
			}
			lookups[name] = append(lookups[name], &lookup{t: t, key: key})
		}
	}
	for _, name := range names {
		if err := in.RequestItems[name].project(db.tables[name], lookups[name]); err != nil {
			return nil, err
		}
	}
	return lookups, nil
}

// check checks the part of the request that is about the table of this name, with at most
// so many keys.
func (k *keysAndAttributes) check(name string, most int) error {
	if k != nil {
		if err := k.names().needExpressions(k.ProjectionExpression, ""); err != nil {
			return err
		}
	}
	if k == nil || len(k.Keys) == 0 {
		return invalid("The list of keys in RequestItems for BatchGetItem is required: %s has empty list", name)
	}
	for i, key := range k.Keys {
		if i == most {
			return invalid("Too many items requested for the BatchGetItem call")
		}
		if key == nil {
			return invalid("The list of keys in RequestItems for BatchGetItem may not contain null or empty values: %s has one or more empty keys", name)
		}
		if err := key.check(); err != nil {
			return err
		}
		if slices.ContainsFunc(k.Keys[:i], func(other item) bool { return maps.EqualFunc(key, other, value.equal) }) {
			return invalid("Provided list of item keys contains duplicates")
		}
	}
	return nil
}

func (k *keysAndAttributes) names() expressionInput {
	return expressionInput{ExpressionAttributeNames: k.ExpressionAttributeNames}
}

// project sets what lookups keep of their items.
func (k *keysAndAttributes) project(t *table, lookups []*lookup) error {
	s, err := newScope(k.names())
	if err != nil {
		return err
	}
	paths, err := s.projection(k.ProjectionExpression)
	for _, l := range lookups {
		l.paths = paths
	}
	if err != nil {
		return err
	}
	if err := s.checkUsed(); err != nil {
		return err
	}
	return t.checkScalars(paths)
}

type (
	batchWriteInput struct {
		RequestItems                map[string][]writeRequest
		ReturnConsumedCapacity      *string
		ReturnItemCollectionMetrics *string
	}
	writeRequest struct {
		PutRequest    *putRequest
		DeleteRequest *deleteRequest
	}
	putRequest       struct{ Item item }
	deleteRequest    struct{ Key item }
	batchWriteOutput struct {
		UnprocessedItems map[string]json.RawMessage // always empty: a request of 16 MB is taken whole
		ConsumedCapacity []*consumedCapacity        `json:",omitempty"`
	}
)

func (db *DB) batchWrite(in *batchWriteInput) (*batchWriteOutput, error) {
	mutations, err := db.batchMutations(in)
	if err != nil {
		return nil, err
	}
	var spent map[string]usage
	err = db.update(func(tx *bbolt.Tx) error {
		var err error
		spent, err = apply(tx, mutations)
		return err
	})
	return &batchWriteOutput{map[string]json.RawMessage{}, reports(spent, in.ReturnConsumedCapacity)}, err
}

// apply checks all mutations and then carries them out. It writes nothing when one of
// them is refused, and then returns the refusal.
func apply(tx *bbolt.Tx, mutations []*mutation) (map[string]usage, error) {
	spent := map[string]usage{}
	before, behind := make([]item, len(mutations)), make([]item, len(mutations))
	for i, m := range mutations {
		var err error
		if before[i], behind[i], err = m.check(m.t.open(tx)); err != nil {
			return nil, err
		}
	}
	for i, m := range mutations {
		if err := m.t.open(tx).replace(m.key, before[i], behind[i]); err != nil {
			return nil, err
		}
		if spent[m.t.Name] == nil {
			spent[m.t.Name] = usage{}
		}
		spent[m.t.Name].add(m.t.written(before[i], behind[i]))
	}
	return spent, nil
}

// batchMutations checks a BatchWriteItem.
func (db *DB) batchMutations(in *batchWriteInput) ([]*mutation, error) {
	common := writeInput{ReturnConsumedCapacity: in.ReturnConsumedCapacity, ReturnItemCollectionMetrics: in.ReturnItemCollectionMetrics}
	if err := common.checkEnums(); err != nil {
		return nil, err
	}
	if len(in.RequestItems) == 0 {
		return nil, invalid("BatchWriteItem cannot have a null or no requests set")
	}
	names := slices.Sorted(maps.Keys(in.RequestItems))
	count := 0
	for _, name := range names {
		requests := in.RequestItems[name]
		if len(requests) == 0 {
			return nil, invalid("The batch write request list for a table cannot be null or empty: %s", name)
		}
		for _, request := range requests {
			if count++; count > maxBatchWrite {
				return nil, invalid("Too many items requested for the BatchWriteItem call")
			}
			if err := request.check(); err != nil {
				return nil, err
			}
		}
	}
	var mutations []*mutation
	for _, name := range names {
		t, err := db.table(&name)
		if err != nil {
			return nil, err
		}
		seen := map[string]bool{}
		for _, request := range in.RequestItems[name] {
			m, err := request.mutation(t)
			if err != nil {
				return nil, err
			}
			if seen[string(m.key)] {
				return nil, invalid("Provided list of item keys contains duplicates")
			}
			seen[string(m.key)] = true
			mutations = append(mutations, m)
		}
	}
	return mutations, nil
}

// check checks what can be said without the table.
func (r writeRequest) check() error {
	switch {
	case (r.PutRequest == nil) == (r.DeleteRequest == nil):
		return invalid("Supplied AttributeValue has more than one datatypes set, must contain exactly one of the supported datatypes")
	case r.PutRequest != nil && r.PutRequest.Item == nil, r.DeleteRequest != nil && r.DeleteRequest.Key == nil:
		return invalid("The supplied Item contains a null AttributeValue")
	case r.DeleteRequest != nil:
		return r.DeleteRequest.Key.check()
	}
	if err := r.PutRequest.Item.check(); err != nil {
		return err
	}
	return checkSize(r.PutRequest.Item)
}

func (r writeRequest) mutation(t *table) (*mutation, error) {
	m := &mutation{t: t}
	if r.PutRequest != nil {
		return m, m.put(&writeInput{Item: r.PutRequest.Item})
	}
	return m, m.delete(&writeInput{Key: r.DeleteRequest.Key})
}

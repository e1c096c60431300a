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
		ReturnConsumedCapacity string
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

// batchLookups checks a BatchGetItem.
func (db *DB) batchLookups(in *batchGetInput) (map[string][]*lookup, error) {
	if err := checkCapacityDetail(in.ReturnConsumedCapacity); err != nil {
		return nil, err
	}
	if len(in.RequestItems) == 0 {
		return nil, invalid("BatchGetItem must have some requests set")
	}
	lookups := map[string][]*lookup{}
	count := 0
	for _, name := range slices.Sorted(maps.Keys(in.RequestItems)) {
		request := in.RequestItems[name]
		if request == nil || len(request.Keys) == 0 {
			return nil, invalid("The list of keys in RequestItems for BatchGetItem is required: %s has empty list", name)
		}
		if count += len(request.Keys); count > maxBatchGet {
			return nil, invalid("Too many items requested for the BatchGetItem call")
		}
		get := getItemInput{TableName: name, ProjectionExpression: request.ProjectionExpression, ExpressionAttributeNames: request.ExpressionAttributeNames}
		seen := map[string]bool{}
		for _, given := range request.Keys {
			l, err := get.lookup(db)
			if err != nil {
				return nil, err
			}
			if l.key, err = l.t.key(given); err != nil {
				return nil, err
			}
			if seen[string(l.key)] {
				return nil, invalid("Provided list of item keys contains duplicates")
			}
			seen[string(l.key)] = true
			lookups[name] = append(lookups[name], l)
		}
	}
	return lookups, nil
}

type (
	batchWriteInput struct {
		RequestItems                map[string][]writeRequest
		ReturnConsumedCapacity      string
		ReturnItemCollectionMetrics string
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
	var mutations []*mutation
	for _, name := range slices.Sorted(maps.Keys(in.RequestItems)) {
		requests := in.RequestItems[name]
		if len(requests) == 0 {
			return nil, invalid("The batch write request list for a table cannot be null or empty: %s", name)
		}
		if len(mutations)+len(requests) > maxBatchWrite {
			return nil, invalid("Too many items requested for the BatchWriteItem call")
		}
		t, err := db.table(name)
		if err != nil {
			return nil, err
		}
		seen := map[string]bool{}
		for _, request := range requests {
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

func (r writeRequest) mutation(t *table) (*mutation, error) {
	switch {
	case (r.PutRequest == nil) == (r.DeleteRequest == nil):
		return nil, invalid("Supplied AttributeValue has more than one datatypes set, must contain exactly one of the supported datatypes")
	case r.PutRequest != nil && r.PutRequest.Item == nil, r.DeleteRequest != nil && r.DeleteRequest.Key == nil:
		return nil, invalid("The supplied Item contains a null AttributeValue")
	case r.PutRequest != nil:
		return (&writeInput{Item: r.PutRequest.Item}).put(t)
	}
	return (&writeInput{Key: r.DeleteRequest.Key}).delete(t)
}

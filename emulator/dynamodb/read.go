package dynamodb

import "go.etcd.io/bbolt"

type getItemInput struct {
	ExpressionAttributeNames map[string]string
	TableName                *string
	Key                      item
	ConsistentRead           bool
	ProjectionExpression     *string
	ReturnConsumedCapacity   *string
}

type getItemOutput struct {
	Item             item              `json:",omitzero"`
	ConsumedCapacity *consumedCapacity `json:",omitempty"`
}

// lookup is one checked read of an item.
type lookup struct {
	t     *table
	key   []byte
	paths []path
}

// lookup checks the request, all but its key.
func (in *getItemInput) lookup(db *DB) (*lookup, error) {
	if err := checkTableName(in.TableName); err != nil {
		return nil, err
	}
	names := expressionInput{ExpressionAttributeNames: in.ExpressionAttributeNames}
	if err := names.needExpressions(in.ProjectionExpression, ""); err != nil {
		return nil, err
	}
	t, err := db.table(in.TableName)
	if err != nil {
		return nil, err
	}
	s, err := newScope(names)
	if err != nil {
		return nil, err
	}
	paths, err := s.projection(in.ProjectionExpression)
	if err != nil {
		return nil, err
	}
	if err := s.checkUsed(); err != nil {
		return nil, err
	}
	return &lookup{t: t, paths: paths}, t.checkScalars(paths)
}

func (db *DB) getItem(in *getItemInput) (*getItemOutput, error) {
	if err := checkCapacityDetail(in.ReturnConsumedCapacity); err != nil {
		return nil, err
	}
	l, err := in.lookup(db)
	if err != nil {
		return nil, err
	}
	if l.key, err = l.t.key(in.Key); err != nil {
		return nil, err
	}
	var found item
	err = db.view(func(tx *bbolt.Tx) error {
		found, err = l.t.open(tx).get(l.key)
		return err
	})
	if err != nil {
		return nil, err
	}
	spent := usage{"": readUnits(found.size(), in.ConsistentRead)}
	return &getItemOutput{keep(found, l.paths), spent.report(l.t.Name, in.ReturnConsumedCapacity)}, nil
}

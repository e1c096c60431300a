package dynamodb

import (
	"slices"

	"go.etcd.io/bbolt"
)

// writeInput is the request of PutItem, UpdateItem and DeleteItem, and of their
// counterparts within a transaction.
type writeInput struct {
	expressionInput
	TableName                           string
	Item                                item
	Key                                 item
	ConditionExpression                 *string
	UpdateExpression                    *string
	ReturnValues                        string
	ReturnValuesOnConditionCheckFailure string
	ReturnConsumedCapacity              string
	ReturnItemCollectionMetrics         string
}

type writeOutput struct {
	Attributes       item              `json:",omitempty"`
	ConsumedCapacity *consumedCapacity `json:",omitempty"`
}

// mutation is one checked write: what it does to the item under key.
type mutation struct {
	t         *table
	key       []byte
	condition *node
	showItem  bool // a failed condition shows the item
	change    func(old item) (item, error)
	update    *update // of an UpdateItem
}

func (db *DB) putItem(in *writeInput) (*writeOutput, error) {
	return db.writeOne(in, (*writeInput).put, "NONE", "ALL_OLD")
}

func (db *DB) deleteItem(in *writeInput) (*writeOutput, error) {
	return db.writeOne(in, (*writeInput).delete, "NONE", "ALL_OLD")
}

func (db *DB) updateItem(in *writeInput) (*writeOutput, error) {
	return db.writeOne(in, (*writeInput).updated, "NONE", "ALL_OLD", "ALL_NEW", "UPDATED_OLD", "UPDATED_NEW")
}

func (db *DB) writeOne(in *writeInput, prepare func(*writeInput, *table) (*mutation, error), returns ...string) (*writeOutput, error) {
	if err := in.checkEnums(); err != nil {
		return nil, err
	}
	t, err := db.table(in.TableName)
	if err != nil {
		return nil, err
	}
	if in.ReturnValues != "" && !slices.Contains(returns, in.ReturnValues) {
		return nil, invalid("Return values set to invalid value")
	}
	m, err := prepare(in, t)
	if err != nil {
		return nil, err
	}
	var old, updated item
	err = db.update(func(tx *bbolt.Tx) error {
		s := t.open(tx)
		var err error
		if old, updated, err = m.check(s); err != nil {
			return err
		}
		return s.replace(m.key, old, updated)
	})
	if err != nil {
		return nil, err
	}
	return &writeOutput{
		Attributes:       m.returned(in.ReturnValues, old, updated),
		ConsumedCapacity: t.written(old, updated).report(t.Name, in.ReturnConsumedCapacity),
	}, nil
}

func (in *writeInput) checkEnums() error {
	if err := checkEnum("returnValuesOnConditionCheckFailure", in.ReturnValuesOnConditionCheckFailure, "ALL_OLD", "NONE"); err != nil {
		return err
	}
	// Metrics exist only for local secondary indexes, so that SIZE too returns none.
	if err := checkEnum("returnItemCollectionMetrics", in.ReturnItemCollectionMetrics, "SIZE", "NONE"); err != nil {
		return err
	}
	return checkCapacityDetail(in.ReturnConsumedCapacity)
}

// put checks a PutItem, all but its condition.
func (in *writeInput) put(t *table) (*mutation, error) {
	if err := t.checkItem(in.Item); err != nil {
		return nil, err
	}
	m, err := in.mutation(t, "ConditionExpression is null")
	if err != nil {
		return nil, err
	}
	m.key = t.Keys.encode(in.Item)
	m.change = func(item) (item, error) { return in.Item, t.checkIndexKeys(in.Item, false) }
	return m, nil
}

func (in *writeInput) delete(t *table) (*mutation, error) {
	at, err := t.key(in.Key)
	if err != nil {
		return nil, err
	}
	m, err := in.mutation(t, "ConditionExpression is null")
	if err != nil {
		return nil, err
	}
	m.key = at
	m.change = func(item) (item, error) { return nil, nil }
	return m, nil
}

// checked is a ConditionCheck: a write that changes nothing.
func (in *writeInput) checked(t *table) (*mutation, error) {
	m, err := in.delete(t)
	if err != nil {
		return nil, err
	}
	m.change = func(old item) (item, error) { return old, nil }
	return m, nil
}

func (in *writeInput) updated(t *table) (*mutation, error) {
	at, err := t.key(in.Key)
	if err != nil {
		return nil, err
	}
	m, err := in.mutation(t, "UpdateExpression and ConditionExpression are null")
	if err != nil {
		return nil, err
	}
	m.key = at
	m.change = func(old item) (item, error) {
		if old == nil {
			old = in.Key
		}
		if err := m.update.keyChange(t); err != nil {
			return nil, err
		}
		updated, err := m.update.apply(old)
		if err != nil {
			return nil, err
		}
		return updated, t.checkUpdated(updated)
	}
	return m, nil
}

// mutation checks the expressions of a write. absent says which are missing if none is
// there.
func (in *writeInput) mutation(t *table, absent string) (*mutation, error) {
	s, err := newScope(in.expressionInput, nil, absent, in.ConditionExpression, in.UpdateExpression)
	if err != nil {
		return nil, err
	}
	m := &mutation{t: t, showItem: in.ReturnValuesOnConditionCheckFailure == "ALL_OLD"}
	if m.update, err = s.update(in.UpdateExpression); err != nil {
		return nil, err
	}
	if m.condition, err = s.condition("ConditionExpression", in.ConditionExpression); err != nil {
		return nil, err
	}
	return m, s.checkUsed()
}

// checkUpdated checks an item that an update expression made.
func (t *table) checkUpdated(it item) error {
	for _, v := range it {
		if v.depth() >= maxDepth {
			return invalid("Nesting Levels have exceeded supported limits: Attributes in the item have nested levels beyond supported limit")
		}
	}
	if it.size() > maxItemSize {
		return invalid("Item size to update has exceeded the maximum allowed size")
	}
	return t.checkIndexKeys(it, true)
}

// check reads the item, tests the condition and returns the item before and after. It
// writes nothing.
func (m *mutation) check(s store) (old, updated item, err error) {
	if old, err = s.get(m.key); err != nil {
		return nil, nil, err
	}
	if !m.condition.holds(old) {
		failed := &Error{Type: "ConditionalCheckFailedException", Message: "The conditional request failed"}
		if m.showItem {
			failed.item = old
		}
		return nil, nil, failed
	}
	updated, err = m.change(old)
	return old, updated, err
}

// returned selects what ReturnValues asks for.
func (m *mutation) returned(asked string, old, updated item) item {
	switch asked {
	case "ALL_OLD":
		return old
	case "ALL_NEW":
		return updated
	case "UPDATED_OLD":
		return m.update.touched(old)
	case "UPDATED_NEW":
		return m.update.touched(updated)
	}
	return nil
}

package dynamodb

import (
	"slices"

	"go.etcd.io/bbolt"
)

// writeInput is the request of PutItem, UpdateItem and DeleteItem, and of their
// counterparts within a transaction.
type writeInput struct {
	expressionInput
	TableName                           *string
	Item                                item
	Key                                 item
	ConditionExpression                 *string
	UpdateExpression                    *string
	ReturnValues                        *string // "" is not the same as none
	ReturnValuesOnConditionCheckFailure *string
	ReturnConsumedCapacity              *string
	ReturnItemCollectionMetrics         *string
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
	refused   error   // of a transaction: why the item cannot be written at all
}

// writeKind is PutItem, UpdateItem, DeleteItem or ConditionCheck.
type writeKind struct {
	name    string                                  // as a member of a transaction
	absent  string                                  // says which expressions are missing if none is there
	place   func(m *mutation, in *writeInput) error // checks key or item and sets what the write does
	returns []string                                // ReturnValues that are allowed
}

func putKind() writeKind {
	return writeKind{"put", "ConditionExpression is null", (*mutation).put, []string{"NONE", "ALL_OLD"}}
}

func deleteKind() writeKind {
	return writeKind{"delete", "ConditionExpression is null", (*mutation).delete, []string{"NONE", "ALL_OLD"}}
}

func updateKind() writeKind {
	return writeKind{"update", "UpdateExpression and ConditionExpression are null", (*mutation).modify, []string{"NONE", "ALL_OLD", "ALL_NEW", "UPDATED_OLD", "UPDATED_NEW"}}
}

func checkKind() writeKind {
	return writeKind{"conditionCheck", "ConditionExpression is null", (*mutation).look, nil}
}

func (db *DB) putItem(in *writeInput) (*writeOutput, error)    { return db.writeOne(in, putKind()) }
func (db *DB) deleteItem(in *writeInput) (*writeOutput, error) { return db.writeOne(in, deleteKind()) }
func (db *DB) updateItem(in *writeInput) (*writeOutput, error) { return db.writeOne(in, updateKind()) }

func (db *DB) writeOne(in *writeInput, kind writeKind) (*writeOutput, error) {
	if err := in.checkEnums(); err != nil {
		return nil, err
	}
	t, err := db.table(in.TableName)
	if err != nil {
		return nil, err
	}
	asked := "NONE"
	if in.ReturnValues != nil {
		asked = *in.ReturnValues
	}
	if !slices.Contains(kind.returns, asked) {
		return nil, invalid("ReturnValues can only be ALL_OLD or NONE")
	}
	m, err := in.mutation(t, kind)
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
		Attributes:       m.returned(asked, old, updated),
		ConsumedCapacity: t.written(old, updated).report(t.Name, in.ReturnConsumedCapacity),
	}, nil
}

func (in *writeInput) checkEnums() error {
	if err := checkEnum("returnValues", in.ReturnValues, "ALL_NEW", "UPDATED_OLD", "ALL_OLD", "NONE", "UPDATED_NEW"); err != nil {
		return err
	}
	if err := checkEnum("returnValuesOnConditionCheckFailure", in.ReturnValuesOnConditionCheckFailure, "ALL_OLD", "NONE"); err != nil {
		return err
	}
	// Metrics exist only for local secondary indexes, so that SIZE too returns none.
	if err := checkEnum("returnItemCollectionMetrics", in.ReturnItemCollectionMetrics, "SIZE", "NONE"); err != nil {
		return err
	}
	return checkCapacityDetail(in.ReturnConsumedCapacity)
}

// mutation checks a write to t, its expressions last.
func (in *writeInput) mutation(t *table, kind writeKind) (*mutation, error) {
	if err := in.needExpressions(nil, kind.absent, in.ConditionExpression, in.UpdateExpression); err != nil {
		return nil, err
	}
	m := &mutation{t: t}
	if err := kind.place(m, in); err != nil {
		return nil, err
	}
	if err := m.parse(in); err != nil {
		return nil, err
	}
	return m, t.checkScalars(m.condition.paths())
}

// parse checks the expressions of a write.
func (m *mutation) parse(in *writeInput) error {
	m.showItem = in.ReturnValuesOnConditionCheckFailure != nil && *in.ReturnValuesOnConditionCheckFailure == "ALL_OLD"
	s, err := newScope(in.expressionInput)
	if err != nil {
		return err
	}
	if m.update, err = s.update(in.UpdateExpression); err != nil {
		return err
	}
	if m.condition, err = s.condition("ConditionExpression", in.ConditionExpression); err != nil {
		return err
	}
	return s.checkUsed()
}

func (m *mutation) put(in *writeInput) error {
	if err := m.t.checkItem(in.Item); err != nil {
		return err
	}
	m.key = m.t.Keys.encode(in.Item)
	m.change = func(item) (item, error) { return in.Item, nil }
	return m.t.checkIndexKeys(in.Item, false)
}

func (m *mutation) delete(in *writeInput) error {
	m.change = func(item) (item, error) { return nil, nil }
	var err error
	m.key, err = m.t.key(in.Key)
	return err
}

// look is a ConditionCheck: a write that changes nothing.
func (m *mutation) look(in *writeInput) error {
	err := m.delete(in)
	m.change = func(old item) (item, error) { return old, nil }
	return err
}

func (m *mutation) modify(in *writeInput) error {
	err := m.delete(in)
	m.change = func(old item) (item, error) {
		from := old
		if old == nil {
			from = in.Key
		}
		if err := m.update.keyChange(m.t); err != nil {
			return nil, err
		}
		if err := m.t.checkScalars(m.update.paths()); err != nil {
			return nil, err
		}
		updated, err := m.update.apply(from)
		if err != nil {
			return nil, err
		}
		if old == nil && m.update.onlyTakes() {
			return nil, nil // there is nothing to take from
		}
		return updated, m.t.checkUpdated(updated)
	}
	return err
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
	if m.refused != nil {
		return nil, nil, m.refused
	}
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

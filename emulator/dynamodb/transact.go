package dynamodb

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"go.etcd.io/bbolt"
)

const (
	maxTransaction = 100
	maxToken       = 36
	maxTransacted  = 4 << 20 // bytes of items, read or written
	tokenLife      = 10 * time.Minute
)

type (
	transactWriteInput struct {
		TransactItems               []json.RawMessage
		ClientRequestToken          *string
		ReturnConsumedCapacity      *string
		ReturnItemCollectionMetrics *string
	}
	transactWriteItem struct {
		ConditionCheck, Put, Update, Delete *writeInput
	}
	transactWrite struct {
		kind writeKind
		in   *writeInput
	}
	transactWriteOutput struct {
		ConsumedCapacity []*consumedCapacity `json:",omitempty"`
	}
)

func (db *DB) transactWrite(in *transactWriteInput) (*transactWriteOutput, error) {
	writes, mutations, err := in.parse()
	if err != nil {
		return nil, err
	}
	asked, err := fingerprint(in.TransactItems)
	if err != nil {
		return nil, err
	}
	var spent map[string]usage
	var repeated bool
	err = db.update(func(tx *bbolt.Tx) error {
		var err error
		if repeated, err = db.alreadyDone(tx, in.ClientRequestToken, asked); err != nil {
			return err
		}
		if err := db.placeAll(writes, mutations); err != nil {
			return err
		}
		if repeated {
			spent, err = readAll(tx, mutations)
			return err
		}
		if err := checkAll(tx, mutations); err != nil {
			return err
		}
		if spent, err = apply(tx, mutations); err != nil {
			return err
		}
		return db.remember(tx, in.ClientRequestToken, asked)
	})
	if err != nil {
		return nil, err
	}
	if repeated {
		return &transactWriteOutput{transactionReads(spent, in.ReturnConsumedCapacity)}, nil
	}
	out := &transactWriteOutput{ConsumedCapacity: reports(spent, in.ReturnConsumedCapacity)}
	for _, c := range out.ConsumedCapacity {
		c.double(func(u *capacityUnits) *float64 { return &u.WriteCapacityUnits })
		c.WriteCapacityUnits = c.CapacityUnits
	}
	return out, nil
}

// readAll counts what a repeated transaction consumes: it only reads its items.
func readAll(tx *bbolt.Tx, mutations []*mutation) (map[string]usage, error) {
	spent := map[string]usage{}
	for _, m := range mutations {
		found, err := m.t.open(tx).get(m.key)
		if err != nil {
			return nil, err
		}
		addRead(spent, m.t, found)
	}
	return spent, nil
}

func addRead(spent map[string]usage, t *table, found item) {
	if spent[t.Name] == nil {
		spent[t.Name] = usage{}
	}
	spent[t.Name].add(usage{"": readUnits(found.size(), true)})
}

// transactionReads reports what the reads of a transaction consumed.
func transactionReads(spent map[string]usage, detail *string) []*consumedCapacity {
	all := reports(spent, detail)
	for _, c := range all {
		c.double(func(u *capacityUnits) *float64 { return &u.ReadCapacityUnits })
		c.ReadCapacityUnits = c.CapacityUnits
	}
	return all
}

// double turns capacity into that of a transaction, which works in two phases; kind
// picks the field that repeats the units by their kind.
func (c *consumedCapacity) double(kind func(*capacityUnits) *float64) {
	c.CapacityUnits *= 2
	twice := func(u capacityUnits) capacityUnits {
		u.CapacityUnits *= 2
		*kind(&u) = u.CapacityUnits
		return u
	}
	if c.Table != nil {
		*c.Table = twice(*c.Table)
	}
	for name, u := range c.GlobalSecondaryIndexes {
		c.GlobalSecondaryIndexes[name] = twice(u)
	}
}

// parse checks a TransactWriteItems as far as it depends on nothing that is stored.
func (in *transactWriteInput) parse() ([]transactWrite, []*mutation, error) {
	common := writeInput{ReturnConsumedCapacity: in.ReturnConsumedCapacity, ReturnItemCollectionMetrics: in.ReturnItemCollectionMetrics}
	if err := common.checkEnums(); err != nil {
		return nil, nil, err
	}
	switch {
	case in.TransactItems == nil:
		return nil, nil, invalid("Value null at 'transactItems' failed to satisfy constraint: Member must not be null")
	case len(in.TransactItems) == 0:
		return nil, nil, invalid("Value [] at 'transactItems' failed to satisfy constraint: Member must have length greater than or equal to 1")
	case len(in.TransactItems) > maxTransaction:
		return nil, nil, invalid("Member must have length less than or equal to 100")
	case in.ClientRequestToken != nil && *in.ClientRequestToken == "":
		return nil, nil, invalid("Value  at 'clientRequestToken' failed to satisfy constraint: Member must have length greater than or equal to 1")
	case in.ClientRequestToken != nil && len(*in.ClientRequestToken) > maxToken:
		return nil, nil, invalid("Value %s at 'clientRequestToken' failed to satisfy constraint: Member must have length less than or equal to 36", *in.ClientRequestToken)
	}
	writes, mutations := make([]transactWrite, len(in.TransactItems)), make([]*mutation, len(in.TransactItems))
	for i, raw := range in.TransactItems {
		var err error
		if writes[i], err = decodeWrite(raw); err != nil {
			return nil, nil, err
		}
		if mutations[i], err = writes[i].parse(); err != nil {
			return nil, nil, err
		}
	}
	return writes, mutations, nil
}

// parse checks the expressions of a write and the values of its item or key.
func (w transactWrite) parse() (*mutation, error) {
	if err := w.in.checkEnums(); err != nil {
		return nil, err
	}
	m := &mutation{}
	if w.in.ConditionExpression != nil || w.in.UpdateExpression != nil {
		if err := m.parse(w.in); err != nil {
			return nil, err
		}
	}
	if err := w.in.Item.check(); err != nil {
		return nil, err
	}
	return m, w.in.Key.check()
}

// placeAll finds the tables and keys of a transaction's writes.
func (db *DB) placeAll(writes []transactWrite, mutations []*mutation) error {
	seen := map[string]bool{}
	for i, w := range writes {
		m := mutations[i]
		m.refused = nil
		if w.in.TableName == nil {
			return absentMember(i, w.kind.name+".tableName")
		}
		var err error
		if m.t, err = db.table(w.in.TableName); err != nil {
			return err
		}
		if err := w.checkMembers(i); err != nil {
			return err
		}
		err = w.kind.place(m, w.in)
		if unfit, ok := errors.AsType[*Error](err); ok && unfit.late {
			m.refused = err
			continue
		}
		if err != nil {
			return err
		}
		if err := m.t.checkScalars(m.condition.paths()); err != nil {
			return err
		}
		if w.kind.name == "conditionCheck" && w.in.ConditionExpression == nil {
			return absentMember(i, "conditionCheck.conditionExpression")
		}
		at := m.t.Name + "/" + string(m.key)
		if seen[at] {
			return invalid("Transaction request cannot include multiple operations on one item")
		}
		seen[at] = true
	}
	return nil
}

const transactMembers = " TableName ConditionExpression ExpressionAttributeNames ExpressionAttributeValues ReturnValuesOnConditionCheckFailure"

// strict decodes one entry of a transaction into entry. supported lists the members of
// each action.
func strict(raw []byte, entry any, supported map[string]string) error {
	var actions map[string]map[string]json.RawMessage
	if err := json.Unmarshal(raw, &actions); err != nil {
		return decodeError(err)
	}
	for action, members := range actions {
		known, found := supported[action]
		if !found {
			return unsupported("member %s of TransactItems", action)
		}
		if err := checkMembers(members, action, known); err != nil {
			return err
		}
	}
	if err := json.Unmarshal(raw, entry); err != nil {
		return decodeError(err)
	}
	return nil
}

// decodeWrite reads one entry of a transaction, which has exactly one action.
func decodeWrite(raw []byte) (transactWrite, error) {
	var entry transactWriteItem
	if err := strict(raw, &entry, map[string]string{
		"ConditionCheck": "Key" + transactMembers, "Put": "Item" + transactMembers,
		"Update": "Key UpdateExpression" + transactMembers, "Delete": "Key" + transactMembers,
	}); err != nil {
		return transactWrite{}, err
	}
	var actions []transactWrite
	for _, action := range []transactWrite{{checkKind(), entry.ConditionCheck}, {putKind(), entry.Put}, {updateKind(), entry.Update}, {deleteKind(), entry.Delete}} {
		if action.in != nil {
			actions = append(actions, action)
		}
	}
	switch len(actions) {
	case 0:
		return transactWrite{}, invalid("Invalid Request: TransactWriteRequest should contain Delete or Put or Update request")
	case 1:
		return actions[0], nil
	}
	return transactWrite{}, invalid("TransactItems can only contain one of Check, Put, Update or Delete")
}

// checkMembers checks that the write at position i has the members it needs, and none
// that only expressions need.
func (w transactWrite) checkMembers(i int) error {
	switch {
	case w.kind.name == "update" && w.in.UpdateExpression == nil:
		return absentMember(i, "update.updateExpression")
	case w.kind.name != "conditionCheck":
		if err := w.in.needExpressions(nil, w.kind.absent, w.in.ConditionExpression, w.in.UpdateExpression); err != nil {
			return err
		}
	}
	switch {
	case w.kind.name == "put" && w.in.Item == nil:
		return absentMember(i, "put.item")
	case w.kind.name != "put" && w.in.Key == nil:
		return absentMember(i, w.kind.name+".key")
	}
	return nil
}

func absentMember(i int, member string) error {
	return invalid("Value null at 'transactItems.%d.member.%s' failed to satisfy constraint: Member must not be null", i+1, member)
}

// checkAll checks every mutation and cancels the transaction if any is refused, with a
// reason for each.
func checkAll(tx *bbolt.Tx, mutations []*mutation) error {
	reasons := make([]reason, len(mutations))
	codes := make([]string, len(mutations))
	canceled, size := false, 0
	for i, m := range mutations {
		reasons[i].Code = "None"
		_, updated, err := m.check(m.t.open(tx))
		size += updated.size()
		var refused *Error
		switch {
		case err == nil:
		case !errors.As(err, &refused):
			return err
		case refused.Type == "ConditionalCheckFailedException":
			reasons[i], canceled = reason{"ConditionalCheckFailed", refused.Message, refused.item}, true
		default:
			reasons[i], canceled = reason{"ValidationError", refused.Message, nil}, true
		}
		codes[i] = reasons[i].Code
	}
	switch {
	case size > maxTransacted:
		return tooLarge()
	case !canceled:
		return nil
	}
	return &Error{
		Type:    "TransactionCanceledException",
		Message: "Transaction cancelled, please refer cancellation reasons for specific reasons [" + strings.Join(codes, ", ") + "]",
		reasons: reasons,
	}
}

func tooLarge() error {
	return invalid("The aggregate size of the items in the transaction exceeds 4 MB")
}

// doneTransaction is what is remembered under a ClientRequestToken.
type doneTransaction struct {
	Asked [sha256.Size]byte
	At    time.Time
}

// fingerprint is the same for equal requests, in whatever order their members are.
func fingerprint(entries []json.RawMessage) ([sha256.Size]byte, error) {
	var all []any
	for _, raw := range entries {
		var entry any
		if err := json.Unmarshal(raw, &entry); err != nil {
			return [sha256.Size]byte{}, err
		}
		all = append(all, entry)
	}
	canonical, err := json.Marshal(all)
	return sha256.Sum256(canonical), err
}

// alreadyDone reports whether the same request succeeded under this token within the last
// ten minutes, and refuses another request under it.
func (db *DB) alreadyDone(tx *bbolt.Tx, token *string, asked [sha256.Size]byte) (bool, error) {
	if token == nil {
		return false, nil
	}
	raw := tx.Bucket(tokensBucket).Get([]byte(*token))
	if raw == nil {
		return false, nil
	}
	var past doneTransaction
	if err := json.Unmarshal(raw, &past); err != nil {
		return false, err
	}
	switch {
	case db.opts.Now().Sub(past.At) >= tokenLife:
		return false, nil
	case past.Asked != asked:
		return false, &Error{Type: "IdempotentParameterMismatchException"}
	}
	return true, nil
}

// forget deletes the tokens that are no longer valid.
func (db *DB) forget(tx *bbolt.Tx) error {
	var old [][]byte
	tokens := tx.Bucket(tokensBucket)
	err := tokens.ForEach(func(token, raw []byte) error {
		var past doneTransaction
		err := json.Unmarshal(raw, &past)
		if db.opts.Now().Sub(past.At) >= tokenLife {
			old = append(old, token)
		}
		return err
	})
	for _, token := range old {
		err = errors.Join(err, tokens.Delete(token))
	}
	return err
}

func (db *DB) remember(tx *bbolt.Tx, token *string, asked [sha256.Size]byte) error {
	if token == nil {
		return nil
	}
	raw, err := json.Marshal(doneTransaction{asked, db.opts.Now()})
	if err != nil {
		return err
	}
	return tx.Bucket(tokensBucket).Put([]byte(*token), raw)
}

type (
	transactGetInput struct {
		TransactItems          []json.RawMessage
		ReturnConsumedCapacity *string
	}
	transactGetItem   struct{ Get *getItemInput }
	transactGetOutput struct {
		Responses        []getItemOutput
		ConsumedCapacity []*consumedCapacity `json:",omitempty"`
	}
)

func (db *DB) transactGet(in *transactGetInput) (*transactGetOutput, error) {
	lookups, err := db.transactLookups(in)
	if err != nil {
		return nil, err
	}
	out := &transactGetOutput{}
	spent := map[string]usage{}
	err = db.view(func(tx *bbolt.Tx) error {
		size := 0
		for _, l := range lookups {
			found, err := l.t.open(tx).get(l.key)
			if err != nil {
				return err
			}
			if size += found.size(); size > maxTransacted {
				return tooLarge()
			}
			addRead(spent, l.t, found)
			out.Responses = append(out.Responses, getItemOutput{Item: keep(found, l.paths)})
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	out.ConsumedCapacity = transactionReads(spent, in.ReturnConsumedCapacity)
	return out, nil
}

func (db *DB) transactLookups(in *transactGetInput) ([]*lookup, error) {
	if err := checkCapacityDetail(in.ReturnConsumedCapacity); err != nil {
		return nil, err
	}
	switch {
	case len(in.TransactItems) == 0:
		return nil, invalid("Value null at 'transactItems' failed to satisfy constraint: Member must not be null")
	case len(in.TransactItems) > maxTransaction:
		return nil, invalid("Member must have length less than or equal to 100")
	}
	var lookups []*lookup
	seen := map[string]bool{}
	for i, raw := range in.TransactItems {
		var entry transactGetItem
		if err := strict(raw, &entry, map[string]string{"Get": "TableName Key ProjectionExpression ExpressionAttributeNames"}); err != nil {
			return nil, err
		}
		if entry.Get == nil {
			return nil, absentMember(i, "get")
		}
		l, err := entry.Get.lookup(db)
		if err != nil {
			return nil, err
		}
		if l.key, err = l.t.key(entry.Get.Key); err != nil {
			return nil, err
		}
		at := l.t.Name + "/" + string(l.key)
		if seen[at] {
			return nil, invalid("Transaction request cannot include multiple operations on one item")
		}
		seen[at] = true
		lookups = append(lookups, l)
	}
	return lookups, nil
}

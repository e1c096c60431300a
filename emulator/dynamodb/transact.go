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
		ClientRequestToken          string
		ReturnConsumedCapacity      string
		ReturnItemCollectionMetrics string
	}
	transactWriteItem struct {
		ConditionCheck, Put, Update, Delete *writeInput
	}
	transactWriteOutput struct {
		ConsumedCapacity []*consumedCapacity `json:",omitempty"`
	}
)

func (db *DB) transactWrite(in *transactWriteInput) (*transactWriteOutput, error) {
	mutations, err := db.transaction(in)
	if err != nil {
		return nil, err
	}
	asked, err := fingerprint(in.TransactItems)
	if err != nil {
		return nil, err
	}
	var spent map[string]usage
	err = db.update(func(tx *bbolt.Tx) error {
		spent = nil
		done, err := db.alreadyDone(tx, in.ClientRequestToken, asked)
		if done || err != nil {
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
	out := &transactWriteOutput{ConsumedCapacity: reports(spent, in.ReturnConsumedCapacity)}
	for _, c := range out.ConsumedCapacity {
		c.double(func(u *capacityUnits) *float64 { return &u.WriteCapacityUnits })
		c.WriteCapacityUnits = c.CapacityUnits
	}
	return out, nil
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

// transaction checks a TransactWriteItems as far as it does not depend on items.
func (db *DB) transaction(in *transactWriteInput) ([]*mutation, error) {
	common := writeInput{ReturnConsumedCapacity: in.ReturnConsumedCapacity, ReturnItemCollectionMetrics: in.ReturnItemCollectionMetrics}
	if err := common.checkEnums(); err != nil {
		return nil, err
	}
	switch {
	case len(in.TransactItems) == 0:
		return nil, invalid("Value [] at 'transactItems' failed to satisfy constraint: Member must have length greater than or equal to 1")
	case len(in.TransactItems) > maxTransaction:
		return nil, invalid("Member must have length less than or equal to 100")
	case len(in.ClientRequestToken) > maxToken:
		return nil, invalid("Value %s at 'clientRequestToken' failed to satisfy constraint: Member must have length less than or equal to 36", in.ClientRequestToken)
	}
	var mutations []*mutation
	seen := map[string]bool{}
	for i, raw := range in.TransactItems {
		var entry transactWriteItem
		if err := strict(raw, &entry, map[string]string{
			"ConditionCheck": "Key" + transactMembers, "Put": "Item" + transactMembers,
			"Update": "Key UpdateExpression" + transactMembers, "Delete": "Key" + transactMembers,
		}); err != nil {
			return nil, err
		}
		m, err := entry.mutation(db, i)
		if err != nil {
			return nil, err
		}
		at := m.t.Name + "/" + string(m.key)
		if seen[at] {
			return nil, invalid("Transaction request cannot include multiple operations on one item")
		}
		seen[at] = true
		mutations = append(mutations, m)
	}
	return mutations, nil
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

// mutation checks the entry at position i of a transaction.
func (e transactWriteItem) mutation(db *DB, i int) (*mutation, error) {
	var in *writeInput
	var prepare func(*writeInput, *table) (*mutation, error)
	name, count := "", 0
	for _, action := range []struct {
		name    string
		in      *writeInput
		prepare func(*writeInput, *table) (*mutation, error)
	}{
		{"conditionCheck", e.ConditionCheck, (*writeInput).checked},
		{"put", e.Put, (*writeInput).put},
		{"update", e.Update, (*writeInput).updated},
		{"delete", e.Delete, (*writeInput).delete},
	} {
		if action.in != nil {
			name, in, prepare = action.name, action.in, action.prepare
			count++
		}
	}
	switch {
	case count == 0:
		return nil, invalid("Invalid Request: TransactWriteRequest should contain Delete or Put or Update request")
	case count > 1:
		return nil, invalid("TransactItems can only contain one of Check, Put, Update or Delete")
	case in.TableName == "":
		return nil, absentMember(i, name+".tableName")
	case e.Put != nil && in.Item == nil:
		return nil, absentMember(i, "put.item")
	case e.ConditionCheck != nil && in.ConditionExpression == nil:
		return nil, absentMember(i, "conditionCheck.conditionExpression")
	}
	if err := in.checkEnums(); err != nil {
		return nil, err
	}
	t, err := db.table(in.TableName)
	if err != nil {
		return nil, err
	}
	return prepare(in, t)
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
func (db *DB) alreadyDone(tx *bbolt.Tx, token string, asked [sha256.Size]byte) (bool, error) {
	raw := tx.Bucket(tokensBucket).Get([]byte(token))
	if token == "" || raw == nil {
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

func (db *DB) remember(tx *bbolt.Tx, token string, asked [sha256.Size]byte) error {
	if token == "" {
		return nil
	}
	raw, err := json.Marshal(doneTransaction{asked, db.opts.Now()})
	if err != nil {
		return err
	}
	return tx.Bucket(tokensBucket).Put([]byte(token), raw)
}

type (
	transactGetInput struct {
		TransactItems          []json.RawMessage
		ReturnConsumedCapacity string
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
			if spent[l.t.Name] == nil {
				spent[l.t.Name] = usage{}
			}
			spent[l.t.Name].add(usage{"": readUnits(found.size(), true)})
			out.Responses = append(out.Responses, getItemOutput{Item: keep(found, l.paths)})
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	out.ConsumedCapacity = reports(spent, in.ReturnConsumedCapacity)
	for _, c := range out.ConsumedCapacity {
		c.double(func(u *capacityUnits) *float64 { return &u.ReadCapacityUnits })
		c.ReadCapacityUnits = c.CapacityUnits
	}
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

package store

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/krosai/telephony/shared/event"
	"github.com/krosai/telephony/shared/fault"
	"github.com/krosai/telephony/shared/number"
	"github.com/krosai/telephony/shared/request"
)

// The states of a number in the inventory.
const (
	Available = "available"
	Owned     = "assigned"
	Retired   = "retired" // as long as no administrator restores it
)

// stockOf and kindOf are a number's keys in the index inventory: its state and
// shard, then what it is.
func stockOf(n number.Number) string {
	switch {
	case n.UserID != "":
		return Owned + "#" + shard(n.ID)
	case n.Retired:
		return Retired + "#" + shard(n.ID)
	}
	return Available + "#" + shard(n.ID)
}

func kindOf(n number.Number) string { return n.Country + "#" + n.Type + "#" + n.E164 }

func numberKey(id string) item { return item{"number_id": text(id)} }

// AddNumber adds a number to the inventory, by an administrator. A number that
// is there already is fault.Conflict, and one that is retired fault.Conflict with
// the code NUMBER_RETIRED.
func (db *DB) AddNumber(ctx context.Context, n number.Number, by string) error {
	there, err := db.addNumber(ctx, n, by)
	switch {
	case err != nil || there == nil:
		return err
	case there.Retired:
		return fault.New(fault.Conflict, "NUMBER_RETIRED", "the phone number is retired: add it with restore to have it back")
	}
	return inInventory()
}

func inInventory() error {
	return fault.New(fault.Conflict, "CONFLICT", "the phone number is in the inventory already")
}

// addNumber is AddNumber that returns the number that is there already, nil if
// there was none.
func (db *DB) addNumber(ctx context.Context, n number.Number, by string) (there *number.Number, err error) {
	row, err := encode(numberRowOf(n))
	if err != nil {
		return nil, err
	}
	entry, err := db.note(n.ID, request.Entry{At: n.UpdatedAt, Actor: by, Action: "added", To: Available})
	if err != nil {
		return nil, err
	}
	err = db.transact(ctx, types.TransactWriteItem{Put: &types.Put{TableName: &db.table.Numbers, Item: row,
		ConditionExpression:                 aws.String("attribute_not_exists(number_id)"),
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld}}, entry)
	rows, no := refusedIn(err)
	if !no {
		return nil, broken("add number", err)
	}
	found, err := db.numberFrom(rows[0])
	return &found, err
}

// RestoreNumber is AddNumber for a number that may be retired: it becomes
// available again, as n says.
func (db *DB) RestoreNumber(ctx context.Context, n number.Number, by string) error {
	there, err := db.addNumber(ctx, n, by)
	switch {
	case err != nil || there == nil:
		return err
	case !there.Retired:
		return inInventory()
	}
	row, err := encode(numberRowOf(n))
	if err != nil {
		return err
	}
	entry, err := db.note(n.ID, request.Entry{At: n.UpdatedAt, Actor: by, Action: "restored", From: Retired, To: Available})
	if err != nil {
		return err
	}
	err = db.transact(ctx, types.TransactWriteItem{Put: &types.Put{TableName: &db.table.Numbers, Item: row,
		ConditionExpression: aws.String("attribute_exists(retired)")}}, entry)
	if _, no := refusedIn(err); no {
		return inInventory()
	}
	return broken("restore number", err)
}

// RetireNumber takes an available number out of the inventory for good, by an
// administrator. While somebody has it or a request is for it, it is
// fault.Conflict. Retiring a retired number changes nothing; an unknown one is
// fault.NotFound.
func (db *DB) RetireNumber(ctx context.Context, id, by string) error {
	now := db.now()
	entry, err := db.note(id, request.Entry{At: now, Actor: by, Action: "retired", From: Available, To: Retired})
	if err != nil {
		return err
	}
	err = db.transact(ctx, types.TransactWriteItem{Update: &types.Update{TableName: &db.table.Numbers, Key: numberKey(id),
		UpdateExpression:    aws.String("SET retired = :yes, stock = :stock, updated_at = :at"),
		ConditionExpression: aws.String(free),
		ExpressionAttributeValues: item{":yes": &types.AttributeValueMemberBOOL{Value: true}, ":at": stamp(now),
			":stock": text(stockOf(number.Number{ID: id, Retired: true}))},
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld}}, db.unclaimed(id), entry)
	rows, no := refusedIn(err)
	if !no {
		return broken("retire number", err)
	}
	if there, err := db.numberFrom(rows[0]); err != nil || there.Retired {
		return err
	}
	return notFree(rows)
}

// GiveNumber gives an available number to a user without a request, by an
// administrator. While somebody has it, or a request is for it, or when it is
// retired, it is fault.Conflict; an unknown one is fault.NotFound.
func (db *DB) GiveNumber(ctx context.Context, id, userID, by string) (number.Number, error) {
	n, err := db.NumberByID(ctx, id)
	if err != nil {
		return n, err
	}
	now := db.now()
	n.UserID, n.AssignedAt, n.UpdatedAt = userID, now, now
	entry, err := db.note(id, request.Entry{At: now, Actor: by, Action: "assigned", From: Available, To: Owned, Note: "to " + userID})
	if err != nil {
		return n, err
	}
	told, err := db.event(event.Given(n))
	if err != nil {
		return n, err
	}
	err = db.transact(ctx, types.TransactWriteItem{Update: &types.Update{TableName: &db.table.Numbers, Key: numberKey(id),
		UpdateExpression:                    aws.String("SET user_id = :user, assigned_at = :at, updated_at = :at, stock = :stock"),
		ConditionExpression:                 aws.String(free),
		ExpressionAttributeValues:           item{":user": text(userID), ":at": stamp(now), ":stock": text(stockOf(n))},
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld}}, db.unclaimed(id), entry, told, db.known(userID))
	if rows, no := refusedIn(err); no {
		return n, notFree(rows)
	}
	return n, broken("give number", err)
}

// free is the condition that a number is there and available.
const free = "attribute_exists(number_id) AND attribute_not_exists(user_id) AND attribute_not_exists(retired) AND attribute_not_exists(lease_until)"

// unclaimed is the condition that no request is for a number.
func (db *DB) unclaimed(id string) types.TransactWriteItem {
	return types.TransactWriteItem{ConditionCheck: &types.ConditionCheck{TableName: &db.table.Requests, Key: numberClaim(id),
		ConditionExpression: aws.String("attribute_not_exists(request_id)")}}
}

// notFree says which of free and unclaimed was not met. rows are the number, as far
// as it did not meet free, and whether a request is for it.
func notFree(rows []item) error {
	there := rows[0]
	switch {
	case there != nil && len(there) == 0:
		return fault.Missing("phone number")
	case there["user_id"] != nil:
		return fault.New(fault.Conflict, "CONFLICT", "the phone number is assigned: take it back first")
	case there["retired"] != nil:
		return fault.New(fault.Conflict, "NUMBER_RETIRED", "the phone number is retired")
	case there != nil:
		return fault.New(fault.Conflict, "CONFLICT", "the phone number is being configured")
	}
	return fault.New(fault.Conflict, "CONFLICT", "a request is for this phone number: decide on it first")
}

// NumberByID reads a number, whoever owns it. An unknown id is fault.NotFound.
func (db *DB) NumberByID(ctx context.Context, id string) (number.Number, error) {
	out, err := db.client.GetItem(ctx, &dynamodb.GetItemInput{TableName: &db.table.Numbers, Key: numberKey(id), ConsistentRead: aws.Bool(true)})
	switch {
	case err != nil:
		return number.Number{}, broken("read number", err)
	case out.Item == nil:
		return number.Number{}, fault.Missing("phone number")
	}
	return db.numberFrom(out.Item)
}

// Inventory lists the numbers that are Available, Owned or Retired, and with an
// empty status all of them one state after the other: shard by shard, by country,
// type and number in each, at most limit of them (1 or more), those after the
// position after. next is the after of the rest, empty at the end. A number that
// has just changed hands may be missing.
func (db *DB) Inventory(ctx context.Context, status string, limit int, after string) (numbers []number.Number, next string, err error) {
	partitions := partitionsOf(status)
	state, rest, _ := strings.Cut(after, "#")
	s, seen, _ := strings.Cut(rest, "#")
	from := slices.Index(partitions, state+"#"+s)
	for i, partition := range partitions {
		if i < from {
			continue
		}
		if i > from {
			seen = ""
		}
		found, err := db.stock(ctx, partition, "", seen, limit+1-len(numbers))
		if err != nil {
			return nil, "", err
		}
		if numbers = append(numbers, found...); len(numbers) > limit {
			last := numbers[limit-1]
			return numbers[:limit], stockOf(last) + "#" + kindOf(last), nil
		}
	}
	return numbers, "", nil
}

// partitionsOf are the partitions of the index inventory that hold the numbers of
// a state, of all states if it is empty.
func partitionsOf(status string) (partitions []string) {
	for _, state := range []string{Available, Owned, Retired} {
		for s := range shards {
			if status == "" || status == state {
				partitions = append(partitions, fmt.Sprint(state, "#", s))
			}
		}
	}
	return partitions
}

// stock reads a shard of the inventory: at most limit numbers whose kind begins
// with prefix, those after the kind after.
func (db *DB) stock(ctx context.Context, shard, prefix, after string, limit int) ([]number.Number, error) {
	in := &dynamodb.QueryInput{TableName: &db.table.Numbers, IndexName: aws.String("inventory"), Limit: aws.Int32(int32(limit)),
		KeyConditionExpression: aws.String("stock = :shard"), ExpressionAttributeValues: item{":shard": text(shard)}}
	if prefix != "" {
		in.KeyConditionExpression = aws.String("stock = :shard AND begins_with(kind, :kind)")
		in.ExpressionAttributeValues[":kind"] = text(prefix)
	}
	if after != "" {
		e164 := after[strings.LastIndexByte(after, '#')+1:]
		in.ExclusiveStartKey = item{"stock": text(shard), "kind": text(after), "number_id": text(number.ID(e164))}
	}
	out, err := db.client.Query(ctx, in)
	if err != nil {
		return nil, broken("read inventory", err)
	}
	var numbers []number.Number
	for _, row := range out.Items {
		n, err := db.numberFrom(row)
		if err != nil {
			return nil, err
		}
		numbers = append(numbers, n)
	}
	return numbers, nil
}

// free yields the available numbers that would do for a request. It begins at
// another shard for each request, so that requests do not all reach for the
// same number. The index trails the table by a moment.
func (db *DB) free(ctx context.Context, r request.Request) iter.Seq2[number.Number, error] {
	return func(yield func(number.Number, error) bool) {
		if only := r.Only(); only != "" {
			if n, err := db.NumberByID(ctx, only); err != nil && !fault.Is(err, fault.NotFound) || err == nil && n.UserID == "" && !n.Retired {
				yield(n, err)
			}
			return
		}
		prefix := r.Country + "#"
		if r.Type != "" {
			prefix += r.Type + "#"
		}
		first, _ := strconv.Atoi(shard(r.ID))
		for s := range shards {
			if !db.freeIn(ctx, Available+"#"+fmt.Sprint((first+s)%shards), prefix, r, yield) {
				return
			}
		}
	}
}

// freeIn yields those of one shard, and reports whether to go on.
func (db *DB) freeIn(ctx context.Context, partition, prefix string, r request.Request, yield func(number.Number, error) bool) bool {
	const batch = 25
	for after, more := "", true; more; {
		numbers, err := db.stock(ctx, partition, prefix, after, batch)
		if err != nil {
			yield(number.Number{}, err)
			return false
		}
		for _, n := range numbers {
			if after = kindOf(n); r.Fits(n) && !yield(n, nil) {
				return false
			}
		}
		more = len(numbers) == batch
	}
	return true
}

// HasStock reports whether a number is there that AssignNumber would assign.
func (db *DB) HasStock(ctx context.Context, r request.Request) (bool, error) {
	for n, err := range db.free(ctx, r) {
		if err != nil {
			return false, err
		}
		out, err := db.client.TransactGetItems(ctx, &dynamodb.TransactGetItemsInput{TransactItems: []types.TransactGetItem{
			{Get: &types.Get{TableName: &db.table.Numbers, Key: numberKey(n.ID)}},
			{Get: &types.Get{TableName: &db.table.Requests, Key: numberClaim(n.ID)}}}})
		if err != nil {
			return false, broken("read stock", err)
		}
		there, claimed := out.Responses[0].Item, out.Responses[1].Item
		gone := there["user_id"] != nil || there["retired"] != nil
		if holder, _ := claimed["held_by"].(*types.AttributeValueMemberS); !gone && (holder == nil || holder.Value == r.ID) {
			return true, nil
		}
	}
	return false, nil
}

// AssignNumber gives an approved request a number: the one chosen or asked for,
// or any that is available, fits, and is not asked for by another request. It
// returns the request as it then stands; assigned is false when there is no such
// number. Repeating it is harmless: a request gets one number. A request that is
// pending or rejected is fault.Conflict.
func (db *DB) AssignNumber(ctx context.Context, id string) (r request.Request, assigned bool, err error) {
	r, err = db.RequestByID(ctx, id)
	switch {
	case err != nil || r.Status == request.Assigned:
		return r, err == nil, err
	case r.Status != request.Approved:
		return r, false, fault.New(fault.Conflict, "CONFLICT", "the request is %s", r.Status)
	}
	for n, err := range db.free(ctx, r) {
		if err != nil {
			return r, false, err
		}
		now, lost, err := db.take(ctx, r, n)
		if err != nil || !lost {
			return now, now.Status == request.Assigned, err
		}
	}
	r, err = db.RequestByID(ctx, id) // a repetition of this may have had the last one
	return r, r.Status == request.Assigned, err
}

// take assigns n to the owner of r, in one transaction. lost is true when the
// number went elsewhere.
func (db *DB) take(ctx context.Context, r request.Request, n number.Number) (_ request.Request, lost bool, err error) {
	now := db.now()
	got, owned := r, n
	got.Status, got.NumberID, got.UpdatedAt = request.Assigned, n.ID, now
	owned.UserID = r.UserID
	forRequest, err := db.note(r.ID, request.Entry{At: now, Actor: request.Platform, Action: "assigned",
		From: string(request.Approved), To: string(request.Assigned), Note: n.ID})
	if err != nil {
		return r, false, err
	}
	forNumber, err := db.note(n.ID, request.Entry{At: now, Actor: request.Platform, Action: "assigned", From: Available, To: Owned, Note: r.ID})
	if err != nil {
		return r, false, err
	}
	told, err := db.event(event.Assigned(got))
	if err != nil {
		return r, false, err
	}
	err = db.transact(ctx,
		types.TransactWriteItem{Update: &types.Update{TableName: &db.table.Numbers, Key: numberKey(n.ID),
			UpdateExpression:          aws.String("SET user_id = :user, assigned_at = :at, updated_at = :at, stock = :stock"),
			ConditionExpression:       aws.String("attribute_exists(number_id) AND attribute_not_exists(user_id) AND attribute_not_exists(retired)"),
			ExpressionAttributeValues: item{":user": text(r.UserID), ":at": stamp(now), ":stock": text(stockOf(owned))}}},
		types.TransactWriteItem{Update: &types.Update{TableName: &db.table.Requests, Key: requestKey(r.ID),
			UpdateExpression:         aws.String("SET #status = :assigned, status_shard = :shard, number_id = :number, updated_at = :at"),
			ConditionExpression:      aws.String("#status = :approved"),
			ExpressionAttributeNames: map[string]string{"#status": "status"},
			ExpressionAttributeValues: item{":approved": text(string(request.Approved)), ":assigned": text(string(request.Assigned)),
				":shard": text(statusShard(request.Assigned, shard(r.ID))), ":number": text(n.ID), ":at": stamp(now)},
			ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld}},
		db.unclaim(numberClaim(n.ID), r.ID), db.unclaim(kindClaim(r), r.ID), forRequest, forNumber, told)
	rows, no := refusedIn(err)
	switch {
	case err == nil:
		return got, false, nil
	case no && rows[1] != nil:
		r, err = requestFrom(rows[1])
		return r, false, err
	case no:
		return r, true, nil
	}
	return r, false, broken("assign number", err)
}

// Unassign takes a number from owner and makes it available, by an
// administrator. While it is leased or configured in LiveKit, or when its owner is
// nobody or somebody else, it is fault.Conflict.
func (db *DB) Unassign(ctx context.Context, id, owner, by string) (number.Number, error) {
	n, err := db.NumberByID(ctx, id)
	if err != nil {
		return n, err
	}
	if owner == "" || n.UserID != owner {
		return n, notOwned(n.UserID != "")
	}
	now := db.now()
	n.UserID, n.AssignedAt, n.UpdatedAt = "", time.Time{}, now
	entry, err := db.note(id, request.Entry{At: now, Actor: by, Action: "released", From: Owned, To: Available, Note: "from " + owner})
	if err != nil {
		return n, err
	}
	told, err := db.event(event.Released(n, owner))
	if err != nil {
		return n, err
	}
	err = db.transact(ctx,
		types.TransactWriteItem{Update: &types.Update{TableName: &db.table.Numbers, Key: numberKey(id),
			UpdateExpression: aws.String("SET stock = :stock, updated_at = :at REMOVE user_id, assigned_at, saved_by"),
			ConditionExpression: aws.String("user_id = :owner AND attribute_not_exists(lease_until) AND fault = :no AND " +
				"(attribute_not_exists(trunk) OR attribute_type(trunk, :null)) AND (attribute_not_exists(#rule) OR attribute_type(#rule, :null))"),
			ExpressionAttributeNames: map[string]string{"#rule": "rule"},
			ExpressionAttributeValues: item{":owner": text(owner), ":stock": text(stockOf(n)), ":at": stamp(now), ":null": text("NULL"),
				":no": &types.AttributeValueMemberBOOL{Value: false}},
			ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld}}, entry, told)
	if rows, no := refusedIn(err); no {
		if holder, _ := rows[0]["user_id"].(*types.AttributeValueMemberS); holder == nil || holder.Value != owner {
			return n, notOwned(rows[0]["user_id"] != nil)
		}
		return n, fault.New(fault.Conflict, "CONFLICT", "the phone number is configured, or being configured: remove its configuration first")
	}
	return n, broken("release number", err)
}

func notOwned(assigned bool) error {
	if assigned {
		return fault.New(fault.Conflict, "CONFLICT", "the phone number has changed hands")
	}
	return fault.New(fault.Conflict, "CONFLICT", "the phone number is not assigned")
}

// Lease is a number's lease that ran out without being given back.
type Lease struct {
	NumberID string
	Until    time.Time
}

// AbandonedLeases lists the leases that had run out before a moment: each is a
// configuration that stopped half way.
func (db *DB) AbandonedLeases(ctx context.Context, before time.Time) ([]Lease, error) {
	var leases []Lease
	for s := range shards {
		pages := dynamodb.NewQueryPaginator(db.client, &dynamodb.QueryInput{TableName: &db.table.Numbers, IndexName: aws.String("leased"),
			KeyConditionExpression:    aws.String("lease_shard = :shard AND lease_until < :before"),
			ExpressionAttributeValues: item{":shard": text(fmt.Sprint(s)), ":before": stamp(before)}})
		for pages.HasMorePages() {
			page, err := pages.NextPage(ctx)
			if err != nil {
				return nil, broken("list leases", err)
			}
			for _, row := range page.Items {
				r, err := decode[numberRow](row)
				if err != nil {
					return nil, err
				}
				leases = append(leases, Lease{r.ID, r.LeaseUntil.Time})
			}
		}
	}
	return leases, nil
}

// EndLease writes down what an abandoned lease means, a fault of the number's
// configuration, and ends the lease. A lease that somebody has taken since is
// left alone: ended is false.
func (db *DB) EndLease(ctx context.Context, l Lease) (ended bool, err error) {
	_, err = db.client.UpdateItem(ctx, &dynamodb.UpdateItemInput{TableName: &db.table.Numbers, Key: numberKey(l.NumberID),
		UpdateExpression:          aws.String("SET fault = :yes REMOVE lease_owner, lease_until, lease_shard"),
		ConditionExpression:       aws.String("lease_until = :until"),
		ExpressionAttributeValues: item{":yes": &types.AttributeValueMemberBOOL{Value: true}, ":until": stamp(l.Until)}})
	if _, no := refused(err); no {
		return false, nil
	}
	return err == nil, broken("end lease", err)
}

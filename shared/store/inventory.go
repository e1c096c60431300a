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
	"github.com/krosai/telephony/shared/numberrequest"
)

// The states of a number in the inventory.
const (
	Available = "available"
	Assigned  = "assigned"
	Retired   = "retired" // until an administrator restores it
)

// available and kindOf are the keys of a number in the index inventory: its state with its shard,
// and its country, type and number.
func available(n number.Number) string {
	switch {
	case n.UserID != "":
		return Assigned + "#" + shard(n.ID)
	case n.Retired:
		return Retired + "#" + shard(n.ID)
	}
	return Available + "#" + shard(n.ID)
}

func kindOf(n number.Number) string { return n.Country + "#" + n.Type + "#" + n.E164 }

func numberKey(id string) row { return row{"number_id": str(id)} }

// AddNumber adds a number to the inventory. by is the administrator. A number that is already there
// is fault.Conflict. If that number is retired, the code is NUMBER_RETIRED.
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

// addNumber is AddNumber without the errors for a number that is already there. It returns that
// number instead, or nil if there was none.
func (db *DB) addNumber(ctx context.Context, n number.Number, by string) (there *number.Number, err error) {
	raw, err := encode(numberRowOf(n))
	if err != nil {
		return nil, err
	}
	entry, err := db.note(n.ID, numberrequest.Entry{At: n.UpdatedAt, Actor: by, Action: "added", To: Available})
	if err != nil {
		return nil, err
	}
	put := types.TransactWriteItem{Put: &types.Put{TableName: &db.table.Numbers, Item: raw,
		ConditionExpression:                 aws.String("attribute_not_exists(number_id)"),
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld}}
	err = db.transact(ctx, put, entry)
	rows, failed := conditionsFailed(err)
	if !failed {
		return nil, unavailable("add number", err)
	}
	found, err := db.numberFrom(rows.of(put))
	return &found, err
}

// RestoreNumber is AddNumber for a number that may be retired. A retired number becomes available
// again, with the data of n.
func (db *DB) RestoreNumber(ctx context.Context, n number.Number, by string) error {
	there, err := db.addNumber(ctx, n, by)
	switch {
	case err != nil || there == nil:
		return err
	case !there.Retired:
		return inInventory()
	}
	raw, err := encode(numberRowOf(n))
	if err != nil {
		return err
	}
	entry, err := db.note(n.ID, numberrequest.Entry{At: n.UpdatedAt, Actor: by, Action: "restored", From: Retired, To: Available})
	if err != nil {
		return err
	}
	err = db.transact(ctx, types.TransactWriteItem{Put: &types.Put{TableName: &db.table.Numbers, Item: raw,
		ConditionExpression: aws.String("attribute_exists(retired)")}}, entry)
	if _, failed := conditionsFailed(err); failed {
		return inInventory()
	}
	return unavailable("restore number", err)
}

// RetireNumber takes an available number out of the inventory until RestoreNumber brings it back.
// by is the administrator. A number that is assigned, requested or being configured is
// fault.Conflict. Retiring a retired number changes nothing. An unknown number is fault.NotFound.
func (db *DB) RetireNumber(ctx context.Context, id, by string) error {
	now := db.now()
	entry, err := db.note(id, numberrequest.Entry{At: now, Actor: by, Action: "retired", From: Available, To: Retired})
	if err != nil {
		return err
	}
	retire := types.TransactWriteItem{Update: &types.Update{TableName: &db.table.Numbers, Key: numberKey(id),
		UpdateExpression:    aws.String("SET retired = :yes, inventory = :inventory, updated_at = :at"),
		ConditionExpression: aws.String(isAvailable),
		ExpressionAttributeValues: row{":yes": &types.AttributeValueMemberBOOL{Value: true}, ":at": timestamp(now),
			":inventory": str(available(number.Number{ID: id, Retired: true}))},
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld}}
	err = db.transact(ctx, retire, db.unclaimed(id), entry)
	rows, failed := conditionsFailed(err)
	if !failed {
		return unavailable("retire number", err)
	}
	if there, err := db.numberFrom(rows.of(retire)); err != nil || there.Retired {
		return err
	}
	return notAvailable(rows.of(retire))
}

// AssignNumber assigns an available number to a user without a request. by is the administrator. A
// number that is assigned, requested, retired or being configured is fault.Conflict. An unknown
// number is fault.NotFound.
func (db *DB) AssignNumber(ctx context.Context, id, userID, by string) (number.Number, error) {
	n, err := db.NumberByID(ctx, id)
	if err != nil {
		return n, err
	}
	now := db.now()
	n.UserID, n.AssignedAt, n.UpdatedAt = userID, now, now
	entry, err := db.note(id, numberrequest.Entry{At: now, Actor: by, Action: "assigned", From: Available, To: Assigned, Note: "to " + userID})
	if err != nil {
		return n, err
	}
	told, err := db.event(event.Given(n))
	if err != nil {
		return n, err
	}
	assign := types.TransactWriteItem{Update: &types.Update{TableName: &db.table.Numbers, Key: numberKey(id),
		UpdateExpression:                    aws.String("SET user_id = :user, assigned_at = :at, updated_at = :at, inventory = :inventory"),
		ConditionExpression:                 aws.String(isAvailable),
		ExpressionAttributeValues:           row{":user": str(userID), ":at": timestamp(now), ":inventory": str(available(n))},
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld}}
	err = db.transact(ctx, assign, db.unclaimed(id), entry, told, db.known(userID))
	if rows, failed := conditionsFailed(err); failed {
		return n, notAvailable(rows.of(assign))
	}
	return n, unavailable("give number", err)
}

// isAvailable is the condition that a number exists and is available.
const isAvailable = "attribute_exists(number_id) AND attribute_not_exists(user_id) AND attribute_not_exists(retired) AND attribute_not_exists(lease_until)"

// unclaimed is the check that no request holds the claim on a number.
func (db *DB) unclaimed(id string) types.TransactWriteItem {
	return types.TransactWriteItem{ConditionCheck: &types.ConditionCheck{TableName: &db.table.Requests, Key: numberClaim(id),
		ConditionExpression: aws.String("attribute_not_exists(request_id)")}}
}

// notAvailable explains why isAvailable or unclaimed failed. there is the row of the number if
// isAvailable failed, and nil if unclaimed failed.
func notAvailable(there row) error {
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

// NumberByID reads a number. It does not check the number's owner. An unknown id is fault.NotFound.
func (db *DB) NumberByID(ctx context.Context, id string) (number.Number, error) {
	out, err := db.client.GetItem(ctx, &dynamodb.GetItemInput{TableName: &db.table.Numbers, Key: numberKey(id), ConsistentRead: aws.Bool(true)})
	switch {
	case err != nil:
		return number.Number{}, unavailable("read number", err)
	case out.Item == nil:
		return number.Number{}, fault.Missing("phone number")
	}
	return db.numberFrom(out.Item)
}

// Inventory lists the numbers in a state (Available, Owned or Retired), or in one state after the
// other if status is empty. Within a state they are ordered by shard, then by country, type and
// number. It returns at most limit numbers (1 or more) after the position after. next is the after
// of the next page, empty at the end. A number that has just changed hands may be missing.
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
		found, err := db.inventory(ctx, partition, "", seen, limit+1-len(numbers))
		if err != nil {
			return nil, "", err
		}
		if numbers = append(numbers, found...); len(numbers) > limit {
			last := numbers[limit-1]
			return numbers[:limit], available(last) + "#" + kindOf(last), nil
		}
	}
	return numbers, "", nil
}

// partitionsOf lists the partitions of the index inventory for a state, or for all states if it
// is empty.
func partitionsOf(status string) (partitions []string) {
	for _, state := range []string{Available, Assigned, Retired} {
		for s := range shards {
			if status == "" || status == state {
				partitions = append(partitions, fmt.Sprint(state, "#", s))
			}
		}
	}
	return partitions
}

// inventory reads one shard of the inventory: at most limit numbers whose kind begins with prefix
// and sorts after the kind after.
func (db *DB) inventory(ctx context.Context, shard, prefix, after string, limit int) ([]number.Number, error) {
	in := &dynamodb.QueryInput{TableName: &db.table.Numbers, IndexName: aws.String("inventory"), Limit: aws.Int32(int32(limit)),
		KeyConditionExpression: aws.String("inventory = :shard"), ExpressionAttributeValues: row{":shard": str(shard)}}
	if prefix != "" {
		in.KeyConditionExpression = aws.String("inventory = :shard AND begins_with(kind, :kind)")
		in.ExpressionAttributeValues[":kind"] = str(prefix)
	}
	if after != "" {
		e164 := after[strings.LastIndexByte(after, '#')+1:]
		in.ExclusiveStartKey = row{"inventory": str(shard), "kind": str(after), "number_id": str(number.ID(e164))}
	}
	out, err := db.client.Query(ctx, in)
	if err != nil {
		return nil, unavailable("read inventory", err)
	}
	var numbers []number.Number
	for _, raw := range out.Items {
		n, err := db.numberFrom(raw)
		if err != nil {
			return nil, err
		}
		numbers = append(numbers, n)
	}
	return numbers, nil
}

// availableFor yields the available numbers that may suit a request. Each request begins at another
// shard, so that requests do not all compete for the same number. The index is eventually
// consistent.
func (db *DB) availableFor(ctx context.Context, r numberrequest.Request) iter.Seq2[number.Number, error] {
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
			if !db.availableIn(ctx, Available+"#"+fmt.Sprint((first+s)%shards), prefix, r, yield) {
				return
			}
		}
	}
}

// availableIn is availableFor for one shard. It reports whether to go on with the next.
func (db *DB) availableIn(ctx context.Context, partition, prefix string, r numberrequest.Request, yield func(number.Number, error) bool) bool {
	const batch = 25
	for after, more := "", true; more; {
		numbers, err := db.inventory(ctx, partition, prefix, after, batch)
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

// HasAvailable reports whether there is a number that FulfillRequest would assign.
func (db *DB) HasAvailable(ctx context.Context, r numberrequest.Request) (bool, error) {
	for n, err := range db.availableFor(ctx, r) {
		if err != nil {
			return false, err
		}
		out, err := db.client.TransactGetItems(ctx, &dynamodb.TransactGetItemsInput{TransactItems: []types.TransactGetItem{
			{Get: &types.Get{TableName: &db.table.Numbers, Key: numberKey(n.ID)}},
			{Get: &types.Get{TableName: &db.table.Requests, Key: numberClaim(n.ID)}}}})
		if err != nil {
			return false, unavailable("read inventory", err)
		}
		there, claimed := out.Responses[0].Item, out.Responses[1].Item
		gone := there["user_id"] != nil || there["retired"] != nil
		if holder, _ := claimed["held_by"].(*types.AttributeValueMemberS); !gone && (holder == nil || holder.Value == r.ID) {
			return true, nil
		}
	}
	return false, nil
}

// FulfillRequest assigns a number to an approved request: the number that was chosen or asked
// for, or else any available number that fits and that no other request has claimed. It returns
// the request in its current state. assigned is false if there is no such number. Repeating the
// call is harmless, because a request gets only one number. A request that is pending or
// rejected is fault.Conflict.
func (db *DB) FulfillRequest(ctx context.Context, id string) (r numberrequest.Request, assigned bool, err error) {
	r, err = db.RequestByID(ctx, id)
	switch {
	case err != nil || r.Status == numberrequest.Assigned:
		return r, err == nil, err
	case r.Status != numberrequest.Approved:
		return r, false, fault.New(fault.Conflict, "CONFLICT", "the request is %s", r.Status)
	}
	for n, err := range db.availableFor(ctx, r) {
		if err != nil {
			return r, false, err
		}
		now, lost, err := db.take(ctx, r, n)
		if err != nil || !lost {
			return now, now.Status == numberrequest.Assigned, err
		}
	}
	r, err = db.RequestByID(ctx, id) // a repetition of this call may have taken the last number
	return r, r.Status == numberrequest.Assigned, err
}

// take assigns n to the owner of r in one transaction. lost is true if n was assigned, claimed or
// retired in the meantime.
func (db *DB) take(ctx context.Context, r numberrequest.Request, n number.Number) (_ numberrequest.Request, lost bool, err error) {
	now := db.now()
	got, assigned := r, n
	got.Status, got.NumberID, got.UpdatedAt = numberrequest.Assigned, n.ID, now
	assigned.UserID = r.UserID
	forRequest, err := db.note(r.ID, numberrequest.Entry{At: now, Actor: numberrequest.Platform, Action: "assigned",
		From: string(numberrequest.Approved), To: string(numberrequest.Assigned), Note: n.ID})
	if err != nil {
		return r, false, err
	}
	forNumber, err := db.note(n.ID, numberrequest.Entry{At: now, Actor: numberrequest.Platform, Action: "assigned", From: Available, To: Assigned, Note: r.ID})
	if err != nil {
		return r, false, err
	}
	told, err := db.event(event.Assigned(got))
	if err != nil {
		return r, false, err
	}
	assign := types.TransactWriteItem{Update: &types.Update{TableName: &db.table.Numbers, Key: numberKey(n.ID),
		UpdateExpression:          aws.String("SET user_id = :user, assigned_at = :at, updated_at = :at, inventory = :inventory"),
		ConditionExpression:       aws.String("attribute_exists(number_id) AND attribute_not_exists(user_id) AND attribute_not_exists(retired)"),
		ExpressionAttributeValues: row{":user": str(r.UserID), ":at": timestamp(now), ":inventory": str(available(assigned))}}}
	record := types.TransactWriteItem{Update: &types.Update{TableName: &db.table.Requests, Key: requestKey(r.ID),
		UpdateExpression:         aws.String("SET #status = :assigned, status_shard = :shard, number_id = :number, updated_at = :at"),
		ConditionExpression:      aws.String("#status = :approved"),
		ExpressionAttributeNames: map[string]string{"#status": "status"},
		ExpressionAttributeValues: row{":approved": str(string(numberrequest.Approved)), ":assigned": str(string(numberrequest.Assigned)),
			":shard": str(statusShard(numberrequest.Assigned, shard(r.ID))), ":number": str(n.ID), ":at": timestamp(now)},
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld}}
	err = db.transact(ctx, assign, record, db.unclaim(numberClaim(n.ID), r.ID), db.unclaim(kindClaim(r), r.ID), forRequest, forNumber, told)
	rows, failed := conditionsFailed(err)
	switch {
	case err == nil:
		return got, false, nil
	case rows.of(record) != nil:
		r, err = requestFrom(rows.of(record))
		return r, false, err
	case failed:
		return r, true, nil
	}
	return r, false, unavailable("assign number", err)
}

// Unassign takes a number from owner and makes it available again. by is the administrator. A
// number that is leased, configured in LiveKit, left broken by a configuration, or not assigned to
// owner is fault.Conflict.
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
	entry, err := db.note(id, numberrequest.Entry{At: now, Actor: by, Action: "released", From: Assigned, To: Available, Note: "from " + owner})
	if err != nil {
		return n, err
	}
	told, err := db.event(event.Released(n, owner))
	if err != nil {
		return n, err
	}
	release := types.TransactWriteItem{
		Update: &types.Update{TableName: &db.table.Numbers, Key: numberKey(id),
			UpdateExpression: aws.String("SET inventory = :inventory, updated_at = :at REMOVE user_id, assigned_at, saved_by"),
			ConditionExpression: aws.String("user_id = :owner AND attribute_not_exists(lease_until) AND fault = :no AND " +
				"(attribute_not_exists(trunk) OR attribute_type(trunk, :null)) AND (attribute_not_exists(#rule) OR attribute_type(#rule, :null))"),
			ExpressionAttributeNames: map[string]string{"#rule": "rule"},
			ExpressionAttributeValues: row{":owner": str(owner), ":inventory": str(available(n)), ":at": timestamp(now), ":null": str("NULL"),
				":no": &types.AttributeValueMemberBOOL{Value: false}},
			ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld}}
	err = db.transact(ctx, release, entry, told)
	if rows, failed := conditionsFailed(err); failed {
		there := rows.of(release)
		if holder, _ := there["user_id"].(*types.AttributeValueMemberS); holder == nil || holder.Value != owner {
			return n, notOwned(there["user_id"] != nil)
		}
		return n, fault.New(fault.Conflict, "CONFLICT", "the phone number is configured, or being configured: remove its configuration first")
	}
	return n, unavailable("release number", err)
}

func notOwned(assigned bool) error {
	if assigned {
		return fault.New(fault.Conflict, "CONFLICT", "the phone number has changed hands")
	}
	return fault.New(fault.Conflict, "CONFLICT", "the phone number is not assigned")
}

// Lease is a number's lease that expired without being given back.
type Lease struct {
	NumberID string
	Until    time.Time
}

// AbandonedLeases lists the leases that expired before a moment. Each of them belongs to a
// configuration that stopped halfway.
func (db *DB) AbandonedLeases(ctx context.Context, before time.Time) ([]Lease, error) {
	var leases []Lease
	for s := range shards {
		pages := dynamodb.NewQueryPaginator(db.client, &dynamodb.QueryInput{TableName: &db.table.Numbers, IndexName: aws.String("leased"),
			KeyConditionExpression:    aws.String("lease_shard = :shard AND lease_until < :before"),
			ExpressionAttributeValues: row{":shard": str(fmt.Sprint(s)), ":before": timestamp(before)}})
		for pages.HasMorePages() {
			page, err := pages.NextPage(ctx)
			if err != nil {
				return nil, unavailable("list leases", err)
			}
			for _, raw := range page.Items {
				r, err := decode[numberRow](raw)
				if err != nil {
					return nil, err
				}
				leases = append(leases, Lease{r.ID, r.LeaseUntil.Time})
			}
		}
	}
	return leases, nil
}

// EndLease ends an abandoned lease and records that the configuration of the number is broken. If
// the lease has changed since it was listed, EndLease leaves the number alone and ended is false.
func (db *DB) EndLease(ctx context.Context, l Lease) (ended bool, err error) {
	_, err = db.client.UpdateItem(ctx, &dynamodb.UpdateItemInput{TableName: &db.table.Numbers, Key: numberKey(l.NumberID),
		UpdateExpression:          aws.String("SET fault = :yes REMOVE lease_owner, lease_until, lease_shard"),
		ConditionExpression:       aws.String("lease_until = :until"),
		ExpressionAttributeValues: row{":yes": &types.AttributeValueMemberBOOL{Value: true}, ":until": timestamp(l.Until)}})
	if _, failed := conditionFailed(err); failed {
		return false, nil
	}
	return err == nil, unavailable("end lease", err)
}

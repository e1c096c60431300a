package store

import (
	"context"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/krosai/telephony/shared/event"
	"github.com/krosai/telephony/shared/fault"
	"github.com/krosai/telephony/shared/numberrequest"
)

// Decide writes the one decision on a pending request and returns the request in its new state,
// with the task token of the workflow that waits for it. A request that is already decided is
// fault.Conflict, and is returned with the error. An approval with a number that is not available
// is fault.Conflict too. A number that is chosen is kept for the request. A decision on one's own
// request is fault.Forbidden.
func (db *DB) Decide(ctx context.Context, id string, d numberrequest.Decision, now time.Time) (numberrequest.Request, error) {
	r, err := db.RequestByID(ctx, id)
	switch {
	case err != nil:
		return r, err
	case r.UserID == d.By:
		return r, fault.New(fault.Forbidden, "FORBIDDEN", "an administrator cannot decide on their own request")
	case r.Status.Decided():
		return r, decided(r)
	}
	r, done, err := db.decide(ctx, r, d, now)
	if err == nil && !done {
		err = decided(r)
	}
	return r, err
}

// ExpireRequest rejects a request that is still pending, because no administrator decided in time.
// It returns the request in its new state.
func (db *DB) ExpireRequest(ctx context.Context, id string, now time.Time) (numberrequest.Request, error) {
	r, err := db.RequestByID(ctx, id)
	if err != nil || r.Status.Decided() {
		return r, err
	}
	r, _, err = db.decide(ctx, r, numberrequest.Decision{By: numberrequest.Platform, Reason: numberrequest.Expired}, now)
	return r, err
}

func decided(r numberrequest.Request) error {
	return fault.New(fault.Conflict, "CONFLICT", "the request is decided already: it is %s", r.Status)
}

// decide writes a decision on r, which was pending when it was read. done is false if another
// decision was first.
func (db *DB) decide(ctx context.Context, r numberrequest.Request, d numberrequest.Decision, now time.Time) (_ numberrequest.Request, done bool, err error) {
	to := d.Status()
	note := d.Note
	if !d.Approve {
		note = d.Reason
	}
	entry, err := db.note(r.ID, numberrequest.Entry{At: now, Actor: d.By, Action: string(to), From: string(r.Status), To: string(to), Note: note})
	if err != nil {
		return r, false, err
	}
	set := "SET #status = :to, status_shard = :shard, decided_by = :by, decided_at = :at, updated_at = :at"
	values := row{":pending": str(string(numberrequest.Pending)), ":to": str(string(to)), ":shard": str(statusShard(to, shard(r.ID))),
		":by": str(d.By), ":at": timestamp(now)}
	after := r
	after.Status, after.DecidedAt, after.UpdatedAt, after.Reason = to, now, now, d.Reason
	told, err := db.event(event.Decided(after))
	if err != nil {
		return r, false, err
	}
	writes := []types.TransactWriteItem{entry, told}
	switch {
	case !d.Approve:
		set, values[":reason"] = set+", reason = :reason", str(d.Reason)
		writes = append(writes, db.unclaimAll(r)...)
	case d.NumberID != "":
		set, values[":number"] = set+", wanted_number_id = :number", str(d.NumberID)
		writes = append(writes, db.reserve(r, d.NumberID)...)
	}
	record := types.TransactWriteItem{Update: &types.Update{TableName: &db.table.Requests, Key: requestKey(r.ID), UpdateExpression: &set,
		ConditionExpression: aws.String("#status = :pending"), ExpressionAttributeNames: map[string]string{"#status": "status"},
		ExpressionAttributeValues: values, ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld}}
	err = db.transact(ctx, append(writes, record)...)
	rows, failed := conditionsFailed(err)
	switch {
	case err == nil: // read again: the workflow may have stored its token meanwhile
		r, err = db.RequestByID(ctx, r.ID)
		return r, true, err
	case !failed:
		return r, false, unavailable("decide on request", err)
	case rows.of(record) != nil:
		r, err = requestFrom(rows.of(record))
		return r, false, err
	}
	return r, false, fault.New(fault.Conflict, "CONFLICT", "the phone number chosen is not available")
}

// reserve returns the writes that keep the number an administrator chose for a request, in place of
// the number that it asked for.
func (db *DB) reserve(r numberrequest.Request, numberID string) []types.TransactWriteItem {
	kept := []types.TransactWriteItem{db.claim(numberClaim(numberID), r.ID), {ConditionCheck: &types.ConditionCheck{
		TableName: &db.table.Numbers, Key: row{"number_id": str(numberID)},
		ConditionExpression: aws.String("attribute_exists(number_id) AND attribute_not_exists(user_id) AND attribute_not_exists(retired)")}}}
	if asked := r.Only(); asked != "" && asked != numberID {
		kept = append(kept, db.unclaim(numberClaim(asked), r.ID))
	}
	return kept
}

// AwaitRequest stores the task token of the workflow that waits for the request's decision or
// for stock, as what says. If there is nothing to wait for, waiting is false and the token is
// not stored.
func (db *DB) AwaitRequest(ctx context.Context, id, token, what string) (r numberrequest.Request, waiting bool, err error) {
	status := numberrequest.Pending
	if what == numberrequest.AwaitsNumber {
		status = numberrequest.Approved
	}
	out, err := db.client.UpdateItem(ctx, &dynamodb.UpdateItemInput{TableName: &db.table.Requests, Key: requestKey(id),
		UpdateExpression:                    aws.String("SET task_token = :token, awaits = :what"),
		ConditionExpression:                 aws.String("#status = :status"),
		ExpressionAttributeNames:            map[string]string{"#status": "status"},
		ExpressionAttributeValues:           row{":token": str(token), ":what": str(what), ":status": str(string(status))},
		ReturnValues:                        types.ReturnValueAllNew,
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld})
	raw, failed := conditionFailed(err)
	switch {
	case failed && raw == nil:
		return r, false, fault.Missing("phone number request")
	case failed:
		r, err = requestFrom(raw)
		return r, false, err
	case err != nil:
		return r, false, unavailable("await request", err)
	}
	r, err = requestFrom(out.Attributes)
	return r, err == nil, err
}

// RemindRequest records that the n-th reminder of a pending request was sent. first is false if
// this reminder or a later one was recorded before, or if the request is decided.
func (db *DB) RemindRequest(ctx context.Context, id string, n int, now time.Time) (first bool, err error) {
	return db.record(ctx, id, numberrequest.Entry{At: now, Actor: numberrequest.Platform, Action: "reminded"}, types.Update{
		UpdateExpression:          aws.String("SET reminders = :n"),
		ConditionExpression:       aws.String("#status = :pending AND (attribute_not_exists(reminders) OR reminders < :n)"),
		ExpressionAttributeNames:  map[string]string{"#status": "status"},
		ExpressionAttributeValues: row{":n": integer(int64(n)), ":pending": str(string(numberrequest.Pending))}})
}

// NotifyRequest records that the owner was notified of the end of a request, and closes the
// request. first is false if the notification was recorded before, or if the request has not ended.
func (db *DB) NotifyRequest(ctx context.Context, id string, now time.Time) (first bool, err error) {
	return db.record(ctx, id, numberrequest.Entry{At: now, Actor: numberrequest.Platform, Action: "notified"}, types.Update{
		UpdateExpression:         aws.String("SET notified_at = :at REMOVE open_shard, task_token, awaits"),
		ConditionExpression:      aws.String("attribute_exists(open_shard) AND #status IN (:assigned, :rejected)"),
		ExpressionAttributeNames: map[string]string{"#status": "status"},
		ExpressionAttributeValues: row{":at": timestamp(now), ":assigned": str(string(numberrequest.Assigned)),
			":rejected": str(string(numberrequest.Rejected))}})
}

// record updates a request and writes its audit line. It does neither and returns false if the
// update's condition fails.
func (db *DB) record(ctx context.Context, id string, e numberrequest.Entry, update types.Update) (bool, error) {
	entry, err := db.note(id, e)
	if err != nil {
		return false, err
	}
	update.TableName, update.Key = &db.table.Requests, requestKey(id)
	err = db.transact(ctx, types.TransactWriteItem{Update: &update}, entry)
	if _, failed := conditionsFailed(err); failed {
		return false, nil
	}
	return err == nil, unavailable("record "+e.Action, err)
}

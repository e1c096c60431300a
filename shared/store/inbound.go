package store

import (
	"context"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/call"
	"github.com/krosai/telephony/shared/event"
)

// A user's row counts the inbound calls that have not ended, in total and for each number. Outbound
// calls have a set of ids. Inbound calls have only counts, because there may be a thousand of them
// and each write of the row would pay for their ids. The transaction that records a call counts it,
// and the transaction that ends it takes it out of the count. Each of them happens once.
const inboundAttribute = "inbound"

func inboundTo(numberID string) string { return inboundAttribute + "_" + numberID }

// CreateInbound records an inbound call and counts it, once. If the call is already recorded, the
// record stands and is returned. most is the limit of concurrent inbound calls of its number. 0
// means that only the owner's policy limits them. A call that is over a limit, or whose agent its
// owner may not use, is recorded as ended: failed with the cause capacity or not_allowed.
func (db *DB) CreateInbound(ctx context.Context, c call.Call, most int) (call.Call, error) {
	r, err := db.policyRow(ctx, policyKey(c.UserID))
	if err != nil {
		return c, err
	}
	own := r.policy()
	if own.AllowAgent(c.AgentName) != nil {
		return db.refuseInbound(ctx, c, call.NotAllowed)
	}
	raw, err := encode(rowOf(c))
	if err != nil {
		return c, err
	}
	record := db.newRecord(raw)
	err = db.transact(ctx, record, db.started(c), db.join(c, own, most))
	rows, failed := conditionsFailed(err)
	switch {
	case !failed:
		return c, unavailable("create inbound call", err)
	case rows.of(record) != nil:
		return callFrom(rows.of(record))
	}
	return db.refuseInbound(ctx, c, call.Capacity)
}

// refuseInbound records an inbound call as ended on arrival.
func (db *DB) refuseInbound(ctx context.Context, c call.Call, cause call.Cause) (call.Call, error) {
	end := c.NotAdmitted(cause, db.now().UTC().Truncate(time.Millisecond))
	c.Status, c.Cause, c.EndedAt = end.Status, end.Cause, end.At
	c.Timeline = append(c.Timeline, call.Event{At: c.EndedAt, Name: "ended", Detail: string(cause)})
	raw, err := encode(rowOf(c))
	if err != nil {
		return c, err
	}
	told, err := db.event(event.Ended(c))
	if err != nil {
		return c, err
	}
	both := db.count(c)
	both.UpdateExpression = aws.String(*both.UpdateExpression + ", started :one")
	record := db.newRecord(raw)
	err = db.transact(ctx, record, types.TransactWriteItem{Update: both}, told)
	if rows, failed := conditionsFailed(err); failed {
		return callFrom(rows.of(record))
	}
	return c, unavailable("create inbound call", err)
}

// newRecord is the write of a call's record, if the call is not recorded yet.
func (db *DB) newRecord(raw row) types.TransactWriteItem {
	return types.TransactWriteItem{Put: &types.Put{TableName: &db.table.Calls, Item: raw,
		ConditionExpression:                 aws.String("attribute_not_exists(call_id)"),
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld}}
}

// join is the write that counts an inbound call, if neither its owner nor its number has reached
// the limit.
func (db *DB) join(c call.Call, own account.Policy, most int) types.TransactWriteItem {
	if most == 0 {
		most = own.MaxConcurrentInbound
	}
	return types.TransactWriteItem{Update: &types.Update{TableName: &db.table.Limits, Key: policyKey(c.UserID),
		UpdateExpression: aws.String("ADD #in :one, #here :one"),
		ConditionExpression: aws.String("(attribute_not_exists(#in) OR #in < :all)" +
			" AND (attribute_not_exists(#here) OR #here < :most)"),
		ExpressionAttributeNames:  map[string]string{"#in": inboundAttribute, "#here": inboundTo(c.NumberID)},
		ExpressionAttributeValues: row{":one": integer(1), ":all": integer(int64(own.MaxConcurrentInbound)), ":most": integer(int64(most))}}}
}

// leave is the write that takes back what join counted.
func (db *DB) leave(c call.Call) types.TransactWriteItem {
	return types.TransactWriteItem{Update: &types.Update{TableName: &db.table.Limits, Key: policyKey(c.UserID),
		UpdateExpression:          aws.String("ADD #in :less, #here :less"),
		ExpressionAttributeNames:  map[string]string{"#in": inboundAttribute, "#here": inboundTo(c.NumberID)},
		ExpressionAttributeValues: row{":less": integer(-1)}}}
}

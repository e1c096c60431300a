package store

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/krosai/telephony/shared/call"
	"github.com/krosai/telephony/shared/fault"
)

// BeginTransfer records that a user's call is being transferred, and returns the
// call. A call that nobody talks on, or whose end somebody has asked for, is
// fault.Conflict CALL_NOT_ACTIVE; one with another transfer under way is
// fault.Conflict TRANSFER_IN_PROGRESS; another user's is fault.NotFound.
func (db *DB) BeginTransfer(ctx context.Context, userID, callID string, t call.Transfer) (call.Call, error) {
	out, err := db.client.UpdateItem(ctx, &dynamodb.UpdateItemInput{TableName: &db.table.Calls, Key: recordOf(callID),
		UpdateExpression: aws.String("SET transfer_id = :id, transfer_to = :to, transfer_status = :pending, transfer_at = :at REMOVE transfer_sip"),
		ConditionExpression: aws.String("user_id = :user AND #status = :talking AND attribute_not_exists(hangup_at) AND (attribute_not_exists(transfer_status)" +
			" OR transfer_status IN (:failed, :unknown) OR (transfer_status = :pending AND transfer_at <= :expired))"),
		ExpressionAttributeNames: map[string]string{"#status": "status"},
		ExpressionAttributeValues: item{":id": text(t.ID), ":to": text(t.To), ":at": stamp(t.At), ":user": text(userID),
			":pending": text(string(call.TransferPending)), ":failed": text(string(call.TransferFailed)), ":unknown": text(string(call.TransferUnknown)),
			":expired": stamp(t.At.Add(-call.TransferLimit)), ":talking": text(string(call.InProgress))},
		ReturnValues:                        types.ReturnValueAllNew,
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld})
	c, begun, err := db.updated(out, err, "begin transfer")
	switch {
	case err != nil || begun:
		return c, err
	case c.UserID != userID:
		return call.Call{}, fault.Missing("call")
	case c.Transfer.ID == t.ID: // the answer to the first attempt was lost
		return c, nil
	case c.Status == call.InProgress && c.HangupRequested.IsZero() && c.Transferring(t.At):
		return c, TransferInProgress()
	}
	return c, CallNotActive()
}

// CallNotActive is the error for what can be done only while people talk.
func CallNotActive() error {
	return fault.New(fault.Conflict, "CALL_NOT_ACTIVE", "the call is not in progress")
}

// TransferInProgress is the error for a second transfer at a time.
func TransferInProgress() error {
	return fault.New(fault.Conflict, "TRANSFER_IN_PROGRESS", "the call is being transferred already: wait for the outcome")
}

// FinishTransfer records what became of a pending transfer, with a line of the
// timeline, and returns the call as it then stands. A transfer that is not
// pending any more stays as it is. One cannot be completed when the call has
// ended or somebody has asked for its end, because LiveKit reports a call that
// was hung up meanwhile as transferred: it becomes unknown.
func (db *DB) FinishTransfer(ctx context.Context, callID string, t call.Transfer) (call.Call, error) {
	event, err := encode(eventRow{ID: callID, SK: eventKey + "transfer#" + t.ID, At: Time{t.At}, Name: "transfer", Detail: string(t.Status)})
	if err != nil {
		return call.Call{}, err
	}
	condition := "transfer_id = :id AND transfer_status = :pending"
	if t.Status == call.TransferCompleted {
		condition += " AND " + alive + " AND attribute_not_exists(hangup_at)"
	}
	err = db.transact(ctx,
		types.TransactWriteItem{Update: &types.Update{TableName: &db.table.Calls, Key: recordOf(callID),
			UpdateExpression:    aws.String("SET transfer_status = :to, transfer_sip = :sip, transfer_at = :at"),
			ConditionExpression: &condition,
			ExpressionAttributeValues: item{":id": text(t.ID), ":pending": text(string(call.TransferPending)), ":to": text(string(t.Status)),
				":sip": integer(int64(t.SIPStatus)), ":at": stamp(t.At)},
			ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld}},
		types.TransactWriteItem{Put: &types.Put{TableName: &db.table.Calls, Item: event}})
	if rows, no := refusedIn(err); no {
		if len(rows[0]) == 0 {
			return call.Call{}, fault.Missing("call")
		}
		c, err := callFrom(rows[0])
		if err == nil && c.Transfer.ID == t.ID && c.Transfer.Status == call.TransferPending {
			t.Status, t.SIPStatus = call.TransferUnknown, 0
			return db.FinishTransfer(ctx, callID, t)
		}
		return c, err
	}
	if err != nil {
		return call.Call{}, broken("finish transfer", err)
	}
	return db.Call(ctx, callID)
}

// seenTransfer is the condition that no transfer has begun or come to an outcome
// since c was read: either may change the cause of its end.
func seenTransfer(c call.Call, values item) string {
	if c.Transfer.ID == "" {
		return "attribute_not_exists(transfer_id)"
	}
	values[":transfer"], values[":outcome"] = text(c.Transfer.ID), text(string(c.Transfer.Status))
	return "transfer_id = :transfer AND transfer_status = :outcome"
}

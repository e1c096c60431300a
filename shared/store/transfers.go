package store

import (
	"context"
	"errors"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/call"
	"github.com/krosai/telephony/shared/event"
	"github.com/krosai/telephony/shared/fault"
)

// BeginTransfer records that a user's call is being transferred, and counts the transfer in the
// user's hour of calls. It returns the call and the hour in their new state, or the limit that is
// reached. c is the call as the caller of BeginTransfer read it, and may is the user's permit. The
// errors are:
//
//	fault.NotFound                          the call does not exist
//	fault.Conflict CALL_NOT_ACTIVE          the call is not in progress, or is being hung up
//	fault.Conflict TRANSFER_IN_PROGRESS     another transfer of the call is pending
//	fault.Conflict TRANSFER_LIMIT_REACHED   the call has had call.MaxTransfers attempts
//	fault.Limited                           a limit of the user is used up
//	fault.Forbidden                         the user's policy no longer allows the transfer
func (db *DB) BeginTransfer(ctx context.Context, c call.Call, may Permit, t call.Transfer) (call.Call, account.Limit, error) {
	s := spending{userID: c.UserID, to: t.To, at: t.At}
	for range permitReads {
		record, usage := db.transferring(c.ID, t), db.accept(may.usage, s)
		err := db.transact(ctx, record, usage)
		rows, failed := conditionsFailed(err)
		hour := may.Hour()
		switch {
		case err == nil:
			hour.Used++
			c, err = db.Call(ctx, c.ID)
			return c, hour, err
		case !failed:
			return c, hour, unavailable("begin transfer", err)
		case rows.of(record) != nil:
			c, err = db.refuseTransfer(rows.of(record), t)
			return c, hour, err
		}
		if may.usage, err = usageOf(rows.of(usage), may.at); err != nil {
			return c, hour, err
		}
		if err := may.Allow(t.To, t.Country, ""); err != nil {
			return c, may.Hour(), err
		}
		if limit, err := may.refusal(s); err != nil {
			return c, limit, err
		}
	}
	return c, may.Hour(), unavailable("begin transfer", errors.New("the user's policy keeps changing"))
}

// transferring is the write that records a transfer of a call, if the call can be transferred now.
func (db *DB) transferring(callID string, t call.Transfer) types.TransactWriteItem {
	return types.TransactWriteItem{Update: &types.Update{TableName: &db.table.Calls, Key: recordOf(callID),
		UpdateExpression: aws.String("SET transfer_id = :id, transfer_to = :to, transfer_status = :pending, transfer_at = :at REMOVE transfer_sip ADD transfers :one"),
		ConditionExpression: aws.String("#status = :talking AND attribute_not_exists(hangup_at) AND (attribute_not_exists(transfer_status)" +
			" OR transfer_status IN (:failed, :unknown) OR (transfer_status = :pending AND transfer_at <= :expired))" +
			" AND (attribute_not_exists(transfers) OR transfers < :most)"),
		ExpressionAttributeNames: map[string]string{"#status": "status"},
		ExpressionAttributeValues: row{":id": str(t.ID), ":to": str(t.To), ":at": timestamp(t.At), ":one": integer(1), ":most": integer(call.MaxTransfers),
			":pending": str(string(call.TransferPending)), ":failed": str(string(call.TransferFailed)), ":unknown": str(string(call.TransferUnknown)),
			":expired": timestamp(t.At.Add(-call.TransferLimit)), ":talking": str(string(call.InProgress))},
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld}}
}

// refuseTransfer explains why the call in row could not be transferred. An empty row means that the
// call does not exist. If the call already has the transfer t, there is no error.
func (db *DB) refuseTransfer(raw row, t call.Transfer) (call.Call, error) {
	if len(raw) == 0 {
		return call.Call{}, fault.Missing("call")
	}
	c, err := callFrom(raw)
	talking := c.Status == call.InProgress && c.HangupRequested.IsZero()
	switch {
	case err != nil:
		return c, err
	case c.Transfer.ID == t.ID: // the answer to the first attempt was lost
		return c, nil
	case talking && c.Transferring(t.At):
		return c, TransferInProgress()
	case talking && c.Transfers >= call.MaxTransfers:
		return c, fault.New(fault.Conflict, "TRANSFER_LIMIT_REACHED", "a call can be transferred %d times", call.MaxTransfers)
	}
	return c, CallNotActive()
}

// CallNotActive is the error for an operation that needs a call in progress.
func CallNotActive() error {
	return fault.New(fault.Conflict, "CALL_NOT_ACTIVE", "the call is not in progress")
}

// TransferInProgress is the error for a transfer while another one is pending.
func TransferInProgress() error {
	return fault.New(fault.Conflict, "TRANSFER_IN_PROGRESS", "the call is being transferred already: wait for the outcome")
}

// FinishTransfer records the outcome of a pending transfer, with a line of the timeline, and
// returns the call in its new state. A transfer that is no longer pending stays as it is. If the
// call has ended or its hangup was requested, a completed transfer is recorded as unknown, because
// LiveKit reports a call that was hung up in the meantime as transferred.
func (db *DB) FinishTransfer(ctx context.Context, callID string, t call.Transfer) (call.Call, error) {
	c, err := db.Call(ctx, callID)
	if err != nil || c.Transfer.ID != t.ID || c.Transfer.Status != call.TransferPending {
		return c, err
	}
	if t.Status == call.TransferCompleted && (c.Status.Ended() || !c.HangupRequested.IsZero()) {
		t.Status, t.SIPStatus = call.TransferUnknown, 0
	}
	line := call.Event{At: t.At, Name: "transfer", Detail: string(t.Status)}
	t.To, t.At = c.Transfer.To, t.At.UTC().Truncate(time.Millisecond)
	c.Transfer, c.Timeline = t, append(c.Timeline, line)
	told, err := db.event(event.Transferred(c))
	if err != nil {
		return c, err
	}
	condition := "transfer_id = :id AND transfer_status = :pending"
	if t.Status == call.TransferCompleted {
		condition += " AND " + notEnded + " AND attribute_not_exists(hangup_at)"
	}
	record := types.TransactWriteItem{
		Update: &types.Update{TableName: &db.table.Calls, Key: recordOf(callID),
			UpdateExpression:    aws.String("SET transfer_status = :to, transfer_sip = :sip, transfer_at = :at, " + addLine),
			ConditionExpression: &condition,
			ExpressionAttributeValues: withLine(row{":id": str(t.ID), ":pending": str(string(call.TransferPending)),
				":to": str(string(t.Status)), ":sip": integer(int64(t.SIPStatus)), ":at": timestamp(t.At)}, line),
			ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld}}
	err = db.transact(ctx, record, told)
	if rows, _ := conditionsFailed(err); rows.of(record) != nil { // the call has changed since it was read
		return db.FinishTransfer(ctx, callID, t)
	}
	return c, unavailable("finish transfer", err)
}

// seenTransfer is the condition that no transfer has begun or finished since c was read. Either of
// them may change the cause of the call's end.
func seenTransfer(c call.Call, values row) string {
	if c.Transfer.ID == "" {
		return "attribute_not_exists(transfer_id)"
	}
	values[":transfer"], values[":outcome"] = str(c.Transfer.ID), str(string(c.Transfer.Status))
	return "transfer_id = :transfer AND transfer_status = :outcome"
}

package store

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/krosai/telephony/shared/call"
)

// CreateInbound records a call that has come in and counts it, once: if it is
// recorded already, the record stands and is returned. Nothing limits inbound
// calls: a caller is answered whatever the owner of the number may do.
func (db *DB) CreateInbound(ctx context.Context, c call.Call) (call.Call, error) {
	row, err := encode(rowOf(c))
	if err != nil {
		return c, err
	}
	err = db.transact(ctx,
		types.TransactWriteItem{Put: &types.Put{TableName: &db.table.Calls, Item: row,
			ConditionExpression:                 aws.String("attribute_not_exists(call_id)"),
			ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld}},
		db.started(c))
	if rows, no := refusedIn(err); no {
		return callFrom(rows[0])
	}
	return c, broken("create inbound call", err)
}

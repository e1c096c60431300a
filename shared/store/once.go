package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/call"
	"github.com/krosai/telephony/shared/fault"
)

// Once is the caller's Idempotency-Key for one route, with the hash of the
// body it came with. The zero value means none was given.
type Once struct {
	Route, Key, BodyHash string
}

// keep is how long an idempotency key is remembered, and runs is how long the
// first request with it may take before another may take its place.
const (
	keep = 24 * time.Hour
	runs = time.Minute
)

// onceRow is an idempotency key in the Limits table. A call's key names the call;
// any other holds the sealed answer, or until there is one, the owner who works
// at it and runs_till, until when that is believed. The edge writes with nothing
// but UpdateItem, which every function links for its keys.
type onceRow struct {
	BodyHash string `dynamodbav:"body_hash"`
	CallID   string `dynamodbav:"call_id"`
	Answer   []byte `dynamodbav:"answer"`
	Expires  int64  `dynamodbav:"expires_at"`
}

// oncePK is a hash, because a user id may hold any text.
func oncePK(userID, route, key string) string {
	sum := sha256.Sum256([]byte(userID + "\x00" + route + "\x00" + key))
	return "once#" + hex.EncodeToString(sum[:])
}

func onceKey(userID string, o Once) item { return item{"pk": text(oncePK(userID, o.Route, o.Key))} }

func (db *DB) rememberOnce(c call.Call, once Once) types.TransactWriteItem {
	row := onceKey(c.UserID, once)
	row["body_hash"], row["call_id"] = text(once.BodyHash), text(c.ID)
	row["expires_at"] = integer(c.CreatedAt.Add(keep).Unix())
	return types.TransactWriteItem{Put: &types.Put{TableName: &db.table.Limits, Item: row,
		ConditionExpression:                 aws.String("attribute_not_exists(pk) OR expires_at <= :now"),
		ExpressionAttributeValues:           item{":now": integer(c.CreatedAt.Unix())},
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld}}
}

func (db *DB) replay(ctx context.Context, row item, once Once) (call.Call, bool, error) {
	r, err := decode[onceRow](row)
	if err != nil {
		return call.Call{}, false, err
	}
	if r.BodyHash != once.BodyHash {
		return call.Call{}, false, reused()
	}
	c, err := db.Call(ctx, r.CallID)
	return c, err == nil, err
}

// Replay returns the call that was made with this idempotency key, if any: for
// requests that would be refused today but were accepted when first sent.
func (db *DB) Replay(ctx context.Context, userID string, once Once) (call.Call, bool, error) {
	if once.Key == "" {
		return call.Call{}, false, nil
	}
	out, err := db.client.GetItem(ctx, &dynamodb.GetItemInput{TableName: &db.table.Limits, Key: onceKey(userID, once),
		ConsistentRead: aws.Bool(true)})
	if err != nil {
		return call.Call{}, false, broken("read idempotency key", err)
	}
	r, err := decode[onceRow](out.Item)
	if err != nil || out.Item == nil || r.Expires <= db.now().Unix() {
		return call.Call{}, false, err
	}
	return db.replay(ctx, out.Item, once)
}

// BeginOnce takes the right to carry out a request. When it was answered before,
// it returns the answer instead. It is fault.Unprocessable when the key was used
// with another hash, and fault.Conflict IDEMPOTENCY_IN_PROGRESS while another
// attempt is at it, for a minute at most.
func (db *DB) BeginOnce(ctx context.Context, o account.Once) (answer []byte, err error) {
	now := db.now()
	_, err = db.client.UpdateItem(ctx, &dynamodb.UpdateItemInput{TableName: &db.table.Limits, Key: onceKey(o.UserID, Once{Route: o.Route, Key: o.Key}),
		UpdateExpression: aws.String("SET body_hash = :hash, #owner = :owner, runs_till = :till, expires_at = :end REMOVE answer"),
		ConditionExpression: aws.String("attribute_not_exists(pk) OR expires_at <= :now OR (attribute_not_exists(answer)" +
			" AND body_hash = :hash AND (runs_till <= :stamp OR #owner = :owner))"),
		ExpressionAttributeNames: map[string]string{"#owner": "owner"},
		ExpressionAttributeValues: item{":now": integer(now.Unix()), ":stamp": stamp(now), ":hash": text(o.Hash), ":owner": text(o.Owner),
			":till": stamp(now.Add(runs)), ":end": integer(now.Add(keep).Unix())},
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld})
	there, no := refused(err)
	if !no {
		return nil, broken("begin once", err)
	}
	r, err := decode[onceRow](there)
	switch {
	case err != nil:
		return nil, err
	case r.BodyHash != o.Hash:
		return nil, reused()
	case r.Answer == nil:
		return nil, &fault.Error{Kind: fault.Conflict, Code: "IDEMPOTENCY_IN_PROGRESS", RetryAfter: 2 * time.Second,
			Detail: "the first request with this Idempotency-Key is still running"}
	}
	return r.Answer, nil
}

// FinishOnce keeps the answer to a request that BeginOnce let through, for 24
// hours from its beginning. It does nothing if another attempt has taken over.
func (db *DB) FinishOnce(ctx context.Context, o account.Once, answer []byte) error {
	_, err := db.client.UpdateItem(ctx, &dynamodb.UpdateItemInput{TableName: &db.table.Limits,
		Key:                       onceKey(o.UserID, Once{Route: o.Route, Key: o.Key}),
		UpdateExpression:          aws.String("SET answer = :answer REMOVE runs_till"),
		ConditionExpression:       aws.String("#owner = :owner"),
		ExpressionAttributeNames:  map[string]string{"#owner": "owner"},
		ExpressionAttributeValues: item{":answer": &types.AttributeValueMemberB{Value: answer}, ":owner": text(o.Owner)}})
	if _, no := refused(err); no {
		return nil
	}
	return broken("finish once", err)
}

// ForgetOnce makes room for another attempt at a request that BeginOnce let
// through. It does nothing if another attempt has taken over.
func (db *DB) ForgetOnce(ctx context.Context, o account.Once) error {
	_, err := db.client.UpdateItem(ctx, &dynamodb.UpdateItemInput{TableName: &db.table.Limits,
		Key:                       onceKey(o.UserID, Once{Route: o.Route, Key: o.Key}),
		UpdateExpression:          aws.String("SET expires_at = :now"),
		ConditionExpression:       aws.String("#owner = :owner"),
		ExpressionAttributeNames:  map[string]string{"#owner": "owner"},
		ExpressionAttributeValues: item{":now": integer(db.now().Unix()), ":owner": text(o.Owner)}})
	if _, no := refused(err); no {
		return nil
	}
	return broken("forget once", err)
}

func reused() error {
	return fault.New(fault.Unprocessable, "IDEMPOTENCY_KEY_REUSED", "this Idempotency-Key was used with another body")
}

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

// Once is the client's Idempotency-Key for one operation. The zero value means that there is
// no key.
type Once = account.Once

// keep is how long an idempotency key is remembered. runs is how long the first request with a key
// may take before another may take its place.
const (
	keep = 24 * time.Hour
	runs = time.Minute
)

// onceRow is an idempotency key in the Limits table. The key of a call names the call. Any other
// key holds the sealed answer. Until there is an answer, the row holds the owner, which is the
// attempt that carries out the request, and runs_till, until which the owner is assumed to be
// alive. A request that was refused has no body_hash until it is sent again. The seed stays as long
// as the row. The edge writes these rows only with UpdateItem, which every function links for its
// keys anyway.
type onceRow struct {
	BodyHash string `dynamodbav:"body_hash"`
	CallID   string `dynamodbav:"call_id"`
	Answer   []byte `dynamodbav:"answer"`
	Owner    string `dynamodbav:"owner"`
	RunsTill Time   `dynamodbav:"runs_till"`
	Seed     string `dynamodbav:"seed"`
	SeededAt Time   `dynamodbav:"seeded_at"`
	Expires  int64  `dynamodbav:"expires_at"`
}

// onceKey is a hash, because a user id may hold any text.
func onceKey(o Once) row {
	sum := sha256.Sum256([]byte(o.UserID + "\x00" + o.Credential + "\x00" + o.Route + "\x00" + o.Key))
	return row{"pk": str("once#" + hex.EncodeToString(sum[:]))}
}

func (db *DB) rememberOnce(c call.Call, once Once) types.TransactWriteItem {
	raw := onceKey(once)
	raw["body_hash"], raw["call_id"] = str(once.Hash), str(c.ID)
	raw["expires_at"] = integer(c.CreatedAt.Add(keep).Unix())
	return types.TransactWriteItem{Put: &types.Put{TableName: &db.table.Limits, Item: raw,
		ConditionExpression:                 aws.String("attribute_not_exists(pk) OR expires_at <= :now"),
		ExpressionAttributeValues:           row{":now": integer(c.CreatedAt.Unix())},
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld}}
}

func (db *DB) replay(ctx context.Context, raw row, once Once) (call.Call, bool, error) {
	r, err := decode[onceRow](raw)
	if err != nil {
		return call.Call{}, false, err
	}
	if r.BodyHash != once.Hash {
		return call.Call{}, false, reused()
	}
	c, err := db.Call(ctx, r.CallID)
	return c, err == nil, err
}

// Replay returns the call that was created with this idempotency key, if any. It serves requests
// that would be refused now but were accepted when they were first sent.
func (db *DB) Replay(ctx context.Context, once Once) (call.Call, bool, error) {
	if once.Key == "" {
		return call.Call{}, false, nil
	}
	out, err := db.client.GetItem(ctx, &dynamodb.GetItemInput{TableName: &db.table.Limits, Key: onceKey(once),
		ConsistentRead: aws.Bool(true)})
	if err != nil {
		return call.Call{}, false, unavailable("read idempotency key", err)
	}
	r, err := decode[onceRow](out.Item)
	if err != nil || out.Item == nil || r.Expires <= db.now().Unix() {
		return call.Call{}, false, err
	}
	return db.replay(ctx, out.Item, once)
}

// BeginOnce takes the right to carry out a request, and returns the seed of the ids that the
// request creates. If the request was answered before, BeginOnce returns the answer instead. The
// error is fault.Unprocessable if the key was used with another hash. It is fault.Conflict
// IDEMPOTENCY_IN_PROGRESS while another attempt carries out the request, for a minute at most. A
// request that was refused may come again with another hash.
func (db *DB) BeginOnce(ctx context.Context, o Once) (answer []byte, seed account.Seed, err error) {
	now := db.now()
	seed = account.Seed{At: now.Truncate(time.Millisecond), Text: o.Owner}
	_, err = db.client.UpdateItem(ctx, &dynamodb.UpdateItemInput{TableName: &db.table.Limits, Key: onceKey(o),
		UpdateExpression: aws.String("SET body_hash = :hash, #owner = :owner, runs_till = :till," +
			" seed = :owner, seeded_at = :at, expires_at = :end REMOVE answer"),
		ConditionExpression:      aws.String("attribute_not_exists(pk) OR expires_at <= :now"),
		ExpressionAttributeNames: map[string]string{"#owner": "owner"},
		ExpressionAttributeValues: row{":now": integer(now.Unix()), ":at": timestamp(seed.At), ":hash": str(o.Hash),
			":owner": str(o.Owner), ":till": timestamp(now.Add(runs)), ":end": integer(now.Add(keep).Unix())},
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld})
	there, failed := conditionFailed(err)
	if !failed {
		return nil, seed, unavailable("begin once", err)
	}
	r, err := decode[onceRow](there)
	if err != nil {
		return nil, seed, err
	}
	if answer, err = r.standing(o, now); answer != nil || err != nil {
		return answer, seed, err
	}
	return nil, account.Seed{At: r.SeededAt.Time, Text: r.Seed}, db.takeOver(ctx, o, r.Owner, now)
}

// standing returns the answer that is kept, or the error if o may not be carried out. Both are nil
// if it may.
func (r onceRow) standing(o Once, now time.Time) (answer []byte, err error) {
	switch {
	case r.BodyHash != "" && r.BodyHash != o.Hash:
		return nil, reused()
	case r.Answer != nil:
		return r.Answer, nil
	case r.BodyHash != "" && r.Owner != o.Owner && now.Before(r.RunsTill.Time):
		return nil, inProgress()
	}
	return nil, nil
}

// takeOver makes o the attempt that carries out a request. o replaces the owner before, which has
// ended or is assumed to have ended. If another attempt was faster, the error is fault.Conflict.
func (db *DB) takeOver(ctx context.Context, o Once, before string, now time.Time) error {
	_, err := db.client.UpdateItem(ctx, &dynamodb.UpdateItemInput{TableName: &db.table.Limits, Key: onceKey(o),
		UpdateExpression: aws.String("SET body_hash = :hash, #owner = :owner, runs_till = :till, expires_at = :end"),
		ConditionExpression: aws.String("attribute_not_exists(answer) AND (#owner = :owner OR #owner = :before AND" +
			" (attribute_not_exists(body_hash) OR runs_till <= :stamp))"),
		ExpressionAttributeNames: map[string]string{"#owner": "owner"},
		ExpressionAttributeValues: row{":stamp": timestamp(now), ":before": str(before), ":hash": str(o.Hash),
			":owner": str(o.Owner), ":till": timestamp(now.Add(runs)), ":end": integer(now.Add(keep).Unix())}})
	if _, failed := conditionFailed(err); failed {
		return inProgress()
	}
	return unavailable("begin once", err)
}

// FinishOnce keeps the answer to a request that BeginOnce admitted, for 24 hours from the request's
// beginning. It does nothing if another attempt has taken over.
func (db *DB) FinishOnce(ctx context.Context, o account.Once, answer []byte) error {
	_, err := db.client.UpdateItem(ctx, &dynamodb.UpdateItemInput{TableName: &db.table.Limits,
		Key:                       onceKey(o),
		UpdateExpression:          aws.String("SET answer = :answer REMOVE runs_till"),
		ConditionExpression:       aws.String("#owner = :owner"),
		ExpressionAttributeNames:  map[string]string{"#owner": "owner"},
		ExpressionAttributeValues: row{":answer": &types.AttributeValueMemberB{Value: answer}, ":owner": str(o.Owner)}})
	if _, failed := conditionFailed(err); failed {
		return nil
	}
	return unavailable("finish once", err)
}

// ForgetOnce allows another attempt at a request that BeginOnce admitted, with the same or another
// body. The seed stays, so a repetition finds anything that was created nevertheless. It does
// nothing if another attempt has taken over.
func (db *DB) ForgetOnce(ctx context.Context, o account.Once) error {
	_, err := db.client.UpdateItem(ctx, &dynamodb.UpdateItemInput{TableName: &db.table.Limits,
		Key:                       onceKey(o),
		UpdateExpression:          aws.String("REMOVE body_hash, runs_till"),
		ConditionExpression:       aws.String("#owner = :owner AND attribute_not_exists(answer)"),
		ExpressionAttributeNames:  map[string]string{"#owner": "owner"},
		ExpressionAttributeValues: row{":owner": str(o.Owner)}})
	if _, failed := conditionFailed(err); failed {
		return nil
	}
	return unavailable("forget once", err)
}

func inProgress() error {
	return &fault.Error{Kind: fault.Conflict, Code: "IDEMPOTENCY_IN_PROGRESS", RetryAfter: 2 * time.Second,
		Detail: "the first request with this Idempotency-Key is still running"}
}

func reused() error {
	return fault.New(fault.Unprocessable, "IDEMPOTENCY_KEY_REUSED", "this Idempotency-Key was used with another body")
}

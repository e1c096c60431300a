package store

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/fault"
)

type keyRow struct {
	ID         string   `dynamodbav:"key_id"`
	UserID     string   `dynamodbav:"user_id"`
	Name       string   `dynamodbav:"name"`
	Hash       []byte   `dynamodbav:"hash"`
	Scopes     []string `dynamodbav:"scopes,stringset"`
	CreatedAt  Time     `dynamodbav:"created_at"`
	ExpiresAt  Time     `dynamodbav:"expires_at,omitempty"`
	RevokedAt  Time     `dynamodbav:"revoked_at,omitempty"`
	LastUsedAt Time     `dynamodbav:"last_used_at,omitempty"`
}

// PutKey stores an API key: its hash, never its text.
func (db *DB) PutKey(ctx context.Context, k account.Key) error {
	row, err := encode(keyRow{ID: k.ID, UserID: k.UserID, Name: k.Name, Hash: k.Hash, Scopes: k.Scopes,
		CreatedAt: Time{k.CreatedAt}, ExpiresAt: Time{k.ExpiresAt}, RevokedAt: Time{k.RevokedAt}})
	if err != nil {
		return err
	}
	_, err = db.client.PutItem(ctx, &dynamodb.PutItemInput{TableName: &db.table.Keys, Item: row})
	return broken("put key", err)
}

// UseKey finds an API key by id, checks that its hash is sum and that it is
// neither revoked nor expired, and marks it used, in one round trip. Any
// other key is fault.Unauthenticated.
func (db *DB) UseKey(ctx context.Context, id string, sum [32]byte) (account.Key, error) {
	out, err := db.client.UpdateItem(ctx, &dynamodb.UpdateItemInput{TableName: &db.table.Keys, Key: item{"key_id": text(id)},
		UpdateExpression:          aws.String("SET last_used_at = :now"),
		ConditionExpression:       aws.String("#hash = :sum AND attribute_not_exists(revoked_at) AND (attribute_not_exists(expires_at) OR expires_at > :now)"),
		ExpressionAttributeNames:  map[string]string{"#hash": "hash"},
		ExpressionAttributeValues: item{":now": stamp(db.now()), ":sum": &types.AttributeValueMemberB{Value: sum[:]}},
		ReturnValues:              types.ReturnValueAllNew})
	if _, no := refused(err); no {
		return account.Key{}, fault.New(fault.Unauthenticated, "UNAUTHENTICATED", "the API key is not valid")
	}
	if err != nil {
		return account.Key{}, broken("use key", err)
	}
	r, err := decode[keyRow](out.Attributes)
	return account.Key{ID: r.ID, UserID: r.UserID, Name: r.Name, Hash: r.Hash, Scopes: r.Scopes, CreatedAt: r.CreatedAt.Time,
		ExpiresAt: r.ExpiresAt.Time, RevokedAt: r.RevokedAt.Time, LastUsedAt: r.LastUsedAt.Time}, err
}

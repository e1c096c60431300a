package store

import (
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/fault"
)

// limitKind is an action that a user may perform a limited number of times in a clock hour (UTC).
// The Limits table counts it in one row per user, kind and hour, which expires. A number request is
// counted in the transaction that records it, so a request that is refused for another reason uses
// up nothing. Configurations, replays and tests are counted in a transaction of their own. In both
// cases an action whose answer was lost counts once.
type limitKind struct {
	name  string // in keys and headers
	what  string // in the text of the error
	quota int
}

var (
	numberRequests = limitKind{"number_requests", "number requests", account.NumberRequestsPerHour}
	configurations = limitKind{"configurations", "configurations", account.ConfigurationsPerHour}
)

func (k limitKind) key(userID string, now time.Time) row {
	return row{"pk": str("hour#" + k.name + "#" + hourOf(now) + "#" + userID)}
}

// ends is the end of the clock hour that contains now.
func ends(now time.Time) time.Time { return now.UTC().Truncate(time.Hour).Add(time.Hour) }

// spend is the write that counts one action of kind, if the user's hour is not used up. If its
// condition fails, the error is kind.spent.
func (db *DB) spend(userID string, kind limitKind, now time.Time) types.TransactWriteItem {
	return types.TransactWriteItem{Update: &types.Update{TableName: &db.table.Limits, Key: kind.key(userID, now),
		UpdateExpression:    aws.String("SET expires_at = :end ADD used :one"),
		ConditionExpression: aws.String("attribute_not_exists(used) OR used < :quota"),
		ExpressionAttributeValues: row{":one": integer(1), ":quota": integer(int64(kind.quota)),
			":end": integer(ends(now).Add(time.Hour).Unix())},
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld}}
}

// giveBack is the write that takes back what spend counted at the same now. It
// must be part of a transaction that is applied at most once.
func (db *DB) giveBack(userID string, kind limitKind, now time.Time) types.TransactWriteItem {
	return types.TransactWriteItem{Update: &types.Update{TableName: &db.table.Limits, Key: kind.key(userID, now),
		UpdateExpression:          aws.String("SET expires_at = :end ADD used :back"),
		ExpressionAttributeValues: row{":back": integer(-1), ":end": integer(ends(now).Add(time.Hour).Unix())}}}
}

// limitOf reads a row that spend wrote. A nil row means that nothing was counted.
func (db *DB) limitOf(raw row, kind limitKind, now time.Time) (account.Limit, error) {
	r, err := decode[struct {
		Used int `dynamodbav:"used"`
	}](raw)
	return account.Limit{Name: kind.name, Quota: kind.quota, Used: r.Used, Resets: ends(now)}, err
}

// limit reads how much of kind a user has used.
func (db *DB) limit(ctx context.Context, userID string, kind limitKind, now time.Time) (account.Limit, error) {
	out, err := db.client.GetItem(ctx, &dynamodb.GetItemInput{TableName: &db.table.Limits, Key: kind.key(userID, now), ConsistentRead: aws.Bool(true)})
	if err != nil {
		return account.Limit{}, unavailable("read limit", err)
	}
	return db.limitOf(out.Item, kind, now)
}

// upTo returns k with the quota of a user's policy. A quota of 0 leaves k as it is.
func (k limitKind) upTo(quota int) limitKind {
	if quota > 0 {
		k.quota = quota
	}
	return k
}

// SpendConfiguration counts a configuration against its user's hour and returns the hour after
// that. If the hour is used up, the error is fault.Limited, and the hour is returned with it. If
// the user may not use the agent, the error is fault.Forbidden AGENT_NOT_ALLOWED. An empty agent is
// not checked. If the configuration then fails, call GiveBackConfiguration.
func (db *DB) SpendConfiguration(ctx context.Context, userID, agent string, at time.Time) (account.Limit, error) {
	keys := []row{policyKey(userID), configurations.key(userID, at)}
	found, err := db.readTogether(ctx, keys, "")
	if err != nil {
		return account.Limit{}, err
	}
	own, err := decode[policyRow](found[keyOf(keys[0])])
	if err != nil {
		return account.Limit{}, err
	}
	kind := configurations.upTo(own.policy().ConfigurationsPerHour)
	hour, err := db.limitOf(found[keyOf(keys[1])], kind, at)
	if err != nil {
		return account.Limit{}, err
	}
	if agent != "" {
		if err := own.policy().AllowAgent(agent); err != nil {
			return hour, err
		}
	}
	err = db.transact(ctx, db.spend(userID, kind, at))
	if _, failed := conditionsFailed(err); failed {
		hour.Used = hour.Quota
		return hour, kind.spent(at)
	}
	hour.Used++
	return hour, unavailable("spend configuration", err)
}

// GiveBackConfiguration takes back what SpendConfiguration counted with the same at. It uses a
// transaction, which is applied only once even if its answer is lost.
func (db *DB) GiveBackConfiguration(ctx context.Context, userID string, at time.Time) error {
	return unavailable("give configuration back", db.transact(ctx, db.giveBack(userID, configurations, at)))
}

// spent is the error for a request after the hour is used up.
func (k limitKind) spent(now time.Time) error {
	return &fault.Error{Kind: fault.Limited, Code: "RATE_LIMIT_EXCEEDED", RetryAfter: ends(now).Sub(now),
		Detail: fmt.Sprintf("a user can make %d %s an hour", k.quota, k.what)}
}

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

// limitKind is something a user may do so many times in a clock hour (UTC). The
// Limits table counts it in one row per user, kind and hour, which expires. It
// is counted in the transaction of what it limits: a request that is refused for
// another reason uses up nothing, and one whose answer was lost counts once.
type limitKind struct {
	name  string // in keys and headers
	what  string // in the sentence for the caller
	quota int
}

var (
	numberRequests = limitKind{"number_requests", "number requests", account.NumberRequestsPerHour}
	configurations = limitKind{"configurations", "configurations", account.ConfigurationsPerHour}
)

func (k limitKind) key(userID string, now time.Time) item {
	return item{"pk": text("hour#" + k.name + "#" + hourOf(now) + "#" + userID)}
}

// ends is the end of the window that now lies in.
func ends(now time.Time) time.Time { return now.UTC().Truncate(time.Hour).Add(time.Hour) }

// spend is the write that counts one of kind, if the user's hour is not spent.
// When it is, the row that refusedIn gives for it makes the error with kind.spent.
func (db *DB) spend(userID string, kind limitKind, now time.Time) types.TransactWriteItem {
	return types.TransactWriteItem{Update: &types.Update{TableName: &db.table.Limits, Key: kind.key(userID, now),
		UpdateExpression:    aws.String("SET expires_at = :end ADD used :one"),
		ConditionExpression: aws.String("attribute_not_exists(used) OR used < :quota"),
		ExpressionAttributeValues: item{":one": integer(1), ":quota": integer(int64(kind.quota)),
			":end": integer(ends(now).Add(time.Hour).Unix())},
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld}}
}

// giveBack is the write that takes back what spend counted at the same now. It
// must be part of a transaction that is applied at most once.
func (db *DB) giveBack(userID string, kind limitKind, now time.Time) types.TransactWriteItem {
	return types.TransactWriteItem{Update: &types.Update{TableName: &db.table.Limits, Key: kind.key(userID, now),
		UpdateExpression:          aws.String("SET expires_at = :end ADD used :back"),
		ExpressionAttributeValues: item{":back": integer(-1), ":end": integer(ends(now).Add(time.Hour).Unix())}}}
}

// limitOf reads a row that spend writes; nil is a row that is not there.
func (db *DB) limitOf(row item, kind limitKind, now time.Time) (account.Limit, error) {
	r, err := decode[struct {
		Used int `dynamodbav:"used"`
	}](row)
	return account.Limit{Name: kind.name, Quota: kind.quota, Used: r.Used, Resets: ends(now)}, err
}

// limit reads how much of kind a user has used.
func (db *DB) limit(ctx context.Context, userID string, kind limitKind, now time.Time) (account.Limit, error) {
	out, err := db.client.GetItem(ctx, &dynamodb.GetItemInput{TableName: &db.table.Limits, Key: kind.key(userID, now), ConsistentRead: aws.Bool(true)})
	if err != nil {
		return account.Limit{}, broken("read limit", err)
	}
	return db.limitOf(out.Item, kind, now)
}

// upTo is the limit for a user whose policy has a quota of its own; 0 is none.
func (k limitKind) upTo(quota int) limitKind {
	if quota > 0 {
		k.quota = quota
	}
	return k
}

// SpendConfiguration counts a configuration against its user's hour and returns
// the hour as it then stands. When it is spent it is fault.Limited, and the hour
// is returned with it. If the user may not use the agent, which "" does not name, it
// is fault.Forbidden AGENT_NOT_ALLOWED. If the configuration then fails, call
// GiveBackConfiguration.
func (db *DB) SpendConfiguration(ctx context.Context, userID, agent string, at time.Time) (account.Limit, error) {
	keys := []item{policyKey(userID), configurations.key(userID, at)}
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
	if agent != "" && !own.policy().AllowsAgent(agent) {
		return hour, agentNotAllowed(agent)
	}
	err = db.transact(ctx, db.spend(userID, kind, at))
	if _, no := refusedIn(err); no {
		hour.Used = hour.Quota
		return hour, kind.spent(at)
	}
	hour.Used++
	return hour, broken("spend configuration", err)
}

// GiveBackConfiguration takes back what SpendConfiguration counted at the same
// time. It is a transaction, so that it happens once although its answer is lost.
func (db *DB) GiveBackConfiguration(ctx context.Context, userID string, at time.Time) error {
	return broken("give configuration back", db.transact(ctx, db.giveBack(userID, configurations, at)))
}

// spent is the error of a request that comes when the hour is used up.
func (k limitKind) spent(now time.Time) error {
	return &fault.Error{Kind: fault.Limited, Code: "RATE_LIMIT_EXCEEDED", RetryAfter: ends(now).Sub(now),
		Detail: fmt.Sprintf("a user can make %d %s an hour", k.quota, k.what)}
}

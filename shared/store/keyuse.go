package store

import (
	"cmp"
	"context"
	"crypto/subtle"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/fault"
)

// blockOf is how many requests a key draws from its user's hour at a time, given the user's quota:
// 25 of 2000. Small blocks waste little of the hour on keys that fall silent. Large blocks cost
// few writes.
func blockOf(quota int) int { return max(25, quota/80) }

// lastUsed is the precision of last_used_at. The index by_user holds that attribute, so each change
// of it also writes the index.
const lastUsed = time.Hour

// keyGood is the condition that a key exists, has the hash :sum and can be used.
const keyGood = "#hash = :sum AND (attribute_not_exists(revoked_at) OR revoked_at > :now)" +
	" AND (attribute_not_exists(expires_at) OR expires_at > :now)"

// keysAnHour limits how many keys a user makes. Unlike the other kinds, it is counted in the
// Keys table.
var keysAnHour = limitKind{"api_keys", "API keys", account.KeysPerHour}

// UseKey finds an API key by id, checks that its hash is sum and that it is neither revoked nor
// expired, counts the request against the key's hour and marks the key as used, all in one write.
// One request in 25 sends a second write, which draws the next 25 from the hour that all keys of
// the user share.
//
// A key that is not valid is fault.Unauthenticated. If the key's hour or its user's hour is used
// up, the error is fault.Limited, and the key is returned with it. If a reply is lost, the
// repetition may count the request twice, but never too little.
func (db *DB) UseKey(ctx context.Context, id string, sum [32]byte) (account.Key, error) {
	for { // each further round means that another request has drawn
		now := db.now()
		raw, err := db.countUse(ctx, id, sum, now)
		if err == nil {
			r, err := decode[keyRow](raw)
			return r.key(now), err
		}
		raw, failed := conditionFailed(err)
		if !failed {
			return account.Key{}, unavailable("use key", err)
		}
		r, err := decode[keyRow](raw)
		if err != nil {
			return account.Key{}, err
		}
		if k, err := r.refusal(sum, now); err != nil {
			return k, err
		}
		if k, drawn, err := db.draw(ctx, r, 1, now); drawn || err != nil {
			return k, err
		}
	}
}

// countUse counts a request for which the key has already drawn.
func (db *DB) countUse(ctx context.Context, id string, sum [32]byte, now time.Time) (row, error) {
	out, err := db.client.UpdateItem(ctx, &dynamodb.UpdateItemInput{TableName: &db.table.Keys, Key: row{"key_id": str(id)},
		UpdateExpression: aws.String("SET last_used_at = :used_at, hours.#hour = hours.#hour + :one"),
		ConditionExpression: aws.String(keyGood + " AND hours.#hour < paid.#hour" +
			" AND (hours.#hour < hour_limit OR (attribute_not_exists(hour_limit) AND hours.#hour < :limit))"),
		ExpressionAttributeNames: map[string]string{"#hash": "hash", "#hour": hourOf(now)},
		ExpressionAttributeValues: row{":now": timestamp(now), ":sum": &types.AttributeValueMemberB{Value: sum[:]},
			":used_at": timestamp(now.Truncate(lastUsed)), ":one": integer(1), ":limit": integer(account.KeyHourLimit)},
		ReturnValues:                        types.ReturnValueAllNew,
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld})
	if err != nil {
		return nil, err
	}
	return out.Attributes, nil
}

// refusal explains why a key cannot be used. The error is nil if the key only has to draw. To a
// client without the key's text it reveals nothing about the key.
func (r keyRow) refusal(sum [32]byte, now time.Time) (account.Key, error) {
	k := r.key(now)
	if subtle.ConstantTimeCompare(k.Hash, sum[:]) != 1 || !k.Live(now) {
		return account.Key{}, fault.New(fault.Unauthenticated, "UNAUTHENTICATED", "the API key is not valid")
	}
	if k.HourUsed < k.HourLimit {
		return k, nil
	}
	return k, &fault.Error{Kind: fault.Limited, Code: "RATE_LIMIT_EXCEEDED", RetryAfter: k.HourResets.Sub(now),
		Detail: fmt.Sprintf("an API key can make %d requests an hour", k.HourLimit)}
}

// userHour is the part of a row "user#…" that counts the requests of all the user's keys.
type userHour struct {
	Hour  string `dynamodbav:"drawn_hour"`
	Drawn int    `dynamodbav:"drawn"`
	Quota int    `dynamodbav:"requests_per_hour"`
}

// draw moves a block of requests from the user's hour to the key in r and counts n of them as used.
// drawn is false if another request has drawn for the key in the meantime. If the user's hour is
// used up, the error is fault.Limited.
func (db *DB) draw(ctx context.Context, r keyRow, n int, now time.Time) (k account.Key, drawn bool, err error) {
	k = r.key(now)
	var seen *userHour
	for range 8 { // requests of other keys may change the user's row
		block := min(blockOf(account.RequestsPerHour), k.HourLimit-k.HourUsed)
		if seen != nil {
			quota := cmp.Or(seen.Quota, account.RequestsPerHour)
			left := quota
			if seen.Hour == hourOf(now) {
				left -= seen.Drawn
			}
			block = min(blockOf(quota), k.HourLimit-k.HourUsed, left)
			if left <= 0 {
				k.Together = account.Limit{Name: "user_requests", Quota: quota, Used: seen.Drawn, Resets: ends(now)}
				return k, false, &fault.Error{Kind: fault.Limited, Code: "RATE_LIMIT_EXCEEDED", RetryAfter: ends(now).Sub(now),
					Detail: fmt.Sprintf("the API keys of a user can make %d requests an hour together", quota)}
			}
		}
		forKey, fromUser := db.drawForKey(r, n, block, now), db.drawFromUser(r.UserID, seen, block, now)
		err := db.transact(ctx, forKey, fromUser)
		rows, failed := conditionsFailed(err)
		switch {
		case err == nil:
			k.HourUsed, k.LastUsedAt = k.HourUsed+n, now.UTC().Truncate(lastUsed)
			return k, true, nil
		case !failed:
			return account.Key{}, false, unavailable("draw requests", err)
		case rows.of(forKey) != nil:
			return k, false, nil
		}
		found, err := decode[userHour](rows.of(fromUser))
		if err != nil {
			return k, false, err
		}
		seen = &found
	}
	return k, false, nil
}

// drawForKey is the write that gives the key in r a block of requests and counts n of them as used.
// It also removes the hours before the previous one. It keeps the previous hour, because a function
// whose clock is behind may still count in it.
func (db *DB) drawForKey(r keyRow, n, block int, now time.Time) types.TransactWriteItem {
	hour := hourOf(now)
	used, there := r.Hours[hour]
	u := &types.Update{TableName: &db.table.Keys, Key: row{"key_id": str(r.ID)},
		ConditionExpression:      aws.String(keyGood + " AND attribute_not_exists(hours.#hour)"),
		ExpressionAttributeNames: map[string]string{"#hash": "hash", "#hour": hour},
		ExpressionAttributeValues: row{":now": timestamp(now), ":sum": &types.AttributeValueMemberB{Value: r.Hash},
			":next": integer(int64(used + n)), ":paid": integer(int64(used + block))},
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld}
	if there {
		u.ConditionExpression = aws.String(keyGood + " AND hours.#hour = :used")
		u.ExpressionAttributeValues[":used"] = integer(int64(used))
	}
	update := "SET hours.#hour = :next, paid.#hour = :paid"
	if n > 0 {
		update += ", last_used_at = :used_at"
		u.ExpressionAttributeValues[":used_at"] = timestamp(now.Truncate(lastUsed))
	}
	var gone []string
	for i, old := range slices.Sorted(maps.Keys(r.Hours)) {
		if old < hourOf(now.Add(-time.Hour)) {
			name := fmt.Sprintf("#h%d", i)
			u.ExpressionAttributeNames[name] = old
			gone = append(gone, "hours."+name, "paid."+name)
		}
	}
	if gone != nil {
		update += " REMOVE " + strings.Join(gone, ", ")
	}
	u.UpdateExpression = &update
	return types.TransactWriteItem{Update: u}
}

// drawFromUser is the write that takes a block of requests from a user's hour. seen is the row that
// was found when the condition of the last attempt failed. It is nil on the first attempt, which
// assumes that the user has drawn in this hour before and has the default quota.
func (db *DB) drawFromUser(userID string, seen *userHour, block int, now time.Time) types.TransactWriteItem {
	u := &types.Update{TableName: &db.table.Keys, Key: liveKeys(userID),
		UpdateExpression:          aws.String("SET drawn = drawn + :block"),
		ConditionExpression:       aws.String("attribute_not_exists(requests_per_hour) AND drawn_hour = :hour AND drawn <= :room"),
		ExpressionAttributeValues: row{":hour": str(hourOf(now)), ":block": integer(int64(block))},

		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld}
	values := u.ExpressionAttributeValues
	switch {
	case seen == nil:
		values[":room"] = integer(int64(account.RequestsPerHour - block))
	case seen.Hour == hourOf(now):
		u.ConditionExpression = aws.String("drawn_hour = :hour AND drawn = :seen")
		values[":seen"] = integer(int64(seen.Drawn))
	case seen.Hour == "":
		u.UpdateExpression = aws.String("SET drawn_hour = :hour, drawn = :block")
		u.ConditionExpression = aws.String("attribute_not_exists(drawn_hour)")
	default:
		u.UpdateExpression = aws.String("SET drawn_hour = :hour, drawn = :block")
		u.ConditionExpression = aws.String("drawn_hour = :before")
		values[":before"] = str(seen.Hour)
	}
	return types.TransactWriteItem{Update: u}
}

func tokenUse(userID string) row { return row{"key_id": str("jwt#" + userID)} }

// tokenRow counts the requests with a user's JWTs in one hour.
type tokenRow struct {
	Hour  string `dynamodbav:"used_hour"`
	Used  int    `dynamodbav:"used"`
	Quota int    `dynamodbav:"requests_per_hour"`
}

// UseToken counts a request with a JWT against its user's hour and returns the hour after that, in
// one write. The first request of an hour takes two. If the hour is used up, the error is
// fault.Limited, and the hour is returned with it. If a reply is lost, the repetition counts the
// request twice, but never too little.
func (db *DB) UseToken(ctx context.Context, userID string) (account.Limit, error) {
	for {
		now := db.now()
		limit := account.Limit{Name: "requests", Quota: account.TokenHourLimit, Resets: ends(now)}
		raw, err := db.countToken(ctx, userID, "SET used = used + :one",
			"used_hour = :hour AND (used < requests_per_hour OR (attribute_not_exists(requests_per_hour) AND used < :limit))",
			row{":hour": str(hourOf(now)), ":one": integer(1), ":limit": integer(account.TokenHourLimit)})
		there, failed := conditionFailed(err)
		if failed {
			raw = there
		} else if err != nil {
			return account.Limit{}, unavailable("use token", err)
		}
		r, err := decode[tokenRow](raw)
		limit.Used, limit.Quota = r.Used, cmp.Or(r.Quota, limit.Quota)
		switch {
		case err != nil:
			return account.Limit{}, err
		case !failed:
			return limit, nil
		case r.Hour == hourOf(now):
			return limit, &fault.Error{Kind: fault.Limited, Code: "RATE_LIMIT_EXCEEDED", RetryAfter: ends(now).Sub(now),
				Detail: fmt.Sprintf("a user can make %d requests an hour with a token", limit.Quota)}
		}
		_, err = db.countToken(ctx, userID, "SET used_hour = :hour, used = :one", "attribute_not_exists(used_hour) OR used_hour = :before",
			row{":hour": str(hourOf(now)), ":one": integer(1), ":before": str(r.Hour)})
		if _, failed := conditionFailed(err); failed {
			continue // another request has begun the hour
		}
		limit.Used = 1
		return limit, unavailable("use token", err)
	}
}

func (db *DB) countToken(ctx context.Context, userID, update, condition string, values row) (row, error) {
	out, err := db.client.UpdateItem(ctx, &dynamodb.UpdateItemInput{TableName: &db.table.Keys, Key: tokenUse(userID),
		UpdateExpression: &update, ConditionExpression: &condition, ExpressionAttributeValues: values,
		ReturnValues:                        types.ReturnValueAllNew,
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld})
	if err != nil {
		return nil, err
	}
	return out.Attributes, nil
}

// PutKeyQuotas sets, for the platform's own use, a user's quotas for an hour: the requests with
// all API keys together, the same number of requests with JWTs, and the API keys that the user
// can make.
func (db *DB) PutKeyQuotas(ctx context.Context, userID string, requests, keys int) error {
	for _, key := range []row{liveKeys(userID), tokenUse(userID)} {
		_, err := db.client.UpdateItem(ctx, &dynamodb.UpdateItemInput{TableName: &db.table.Keys, Key: key,
			UpdateExpression:          aws.String("SET requests_per_hour = :requests, keys_per_hour = :keys"),
			ExpressionAttributeValues: row{":requests": integer(int64(requests)), ":keys": integer(int64(keys))}})
		if err != nil {
			return unavailable("put key quotas", err)
		}
	}
	return nil
}

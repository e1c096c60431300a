package store

import (
	"context"
	"crypto/subtle"
	"fmt"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/fault"
)

// The Keys table: one row per API key, its hash and never its text. The row
// counts the key's requests in the map hours, one entry per clock hour (UTC):
// a new hour is a new entry, so that no request has to see the old one end.
//
// A row "user#…" per user holds the ids of the live keys in the set live. Keys
// that died stay in it until it is full and is looked through.
type keyRow struct {
	ID         string         `dynamodbav:"key_id"`
	UserID     string         `dynamodbav:"user_id"`
	Name       string         `dynamodbav:"name"`
	Hash       []byte         `dynamodbav:"hash,omitempty"` // a revoked key has none
	LastFour   string         `dynamodbav:"last_four,omitempty"`
	Scopes     []string       `dynamodbav:"scopes,stringset"`
	CreatedAt  Time           `dynamodbav:"created_at"`
	ExpiresAt  Time           `dynamodbav:"expires_at"`
	RevokedAt  Time           `dynamodbav:"revoked_at"`
	LastUsedAt Time           `dynamodbav:"last_used_at"`
	HourLimit  int            `dynamodbav:"hour_limit,omitempty"`
	Hours      map[string]int `dynamodbav:"hours"`
}

// hourForm names a clock hour.
const hourForm = "2006-01-02T15"

func hourOf(t time.Time) string { return t.UTC().Format(hourForm) }

func encodeKey(k account.Key) (item, error) {
	hours := map[string]int{}
	if k.HourUsed > 0 {
		hours[hourOf(k.HourResets.Add(-time.Hour))] = k.HourUsed
	}
	return encode(keyRow{ID: k.ID, UserID: k.UserID, Name: k.Name, Hash: k.Hash, LastFour: k.LastFour, Scopes: k.Scopes,
		CreatedAt: Time{k.CreatedAt}, ExpiresAt: Time{k.ExpiresAt}, RevokedAt: Time{k.RevokedAt}, HourLimit: k.HourLimit,
		Hours: hours})
}

func (r keyRow) key(now time.Time) account.Key {
	k := account.Key{ID: r.ID, UserID: r.UserID, Name: r.Name, Hash: r.Hash, LastFour: r.LastFour, Scopes: r.Scopes,
		CreatedAt: r.CreatedAt.Time, ExpiresAt: r.ExpiresAt.Time, RevokedAt: r.RevokedAt.Time, LastUsedAt: r.LastUsedAt.Time,
		HourLimit: r.HourLimit, HourUsed: r.Hours[hourOf(now)], HourResets: now.UTC().Truncate(time.Hour).Add(time.Hour)}
	if k.HourLimit == 0 {
		k.HourLimit = account.KeyHourLimit
	}
	return k
}

// UseKey finds an API key by id, checks that its hash is sum and that it is
// neither revoked nor expired, counts the request against the key's hour and
// marks the key used, all in one write; the first request of an hour sends a
// second one that forgets old hours. A key that is not valid is
// fault.Unauthenticated. When the hour is spent it is fault.Limited, and the
// key is returned with it. A repetition after a lost reply counts twice, never
// too little.
func (db *DB) UseKey(ctx context.Context, id string, sum [32]byte) (account.Key, error) {
	now := db.now()
	out, err := db.client.UpdateItem(ctx, &dynamodb.UpdateItemInput{TableName: &db.table.Keys, Key: item{"key_id": text(id)},
		UpdateExpression: aws.String("SET last_used_at = :minute, hours.#hour = if_not_exists(hours.#hour, :none) + :one"),
		ConditionExpression: aws.String("#hash = :sum AND (attribute_not_exists(revoked_at) OR revoked_at > :now)" +
			" AND (attribute_not_exists(expires_at) OR expires_at > :now)" +
			" AND (attribute_not_exists(hours.#hour) OR hours.#hour < hour_limit OR (attribute_not_exists(hour_limit) AND hours.#hour < :limit))"),
		ExpressionAttributeNames: map[string]string{"#hash": "hash", "#hour": hourOf(now)},
		ExpressionAttributeValues: item{":now": stamp(now), ":sum": &types.AttributeValueMemberB{Value: sum[:]},
			// the index by_user holds last_used_at, and is written when it changes
			":minute": stamp(now.Truncate(time.Minute)),
			":none":   integer(0), ":one": integer(1), ":limit": integer(account.KeyHourLimit)},
		ReturnValues:                        types.ReturnValueAllNew,
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld})
	if row, no := refused(err); no {
		return refuseKey(row, sum, now)
	}
	if err != nil {
		return account.Key{}, broken("use key", err)
	}
	r, err := decode[keyRow](out.Attributes)
	if err == nil && r.Hours[hourOf(now)] == 1 {
		db.forgetHours(ctx, r, now)
	}
	return r.key(now), err
}

// refuseKey says why a key could not be used. It tells nothing about a key to
// those who do not have its text.
func refuseKey(row item, sum [32]byte, now time.Time) (account.Key, error) {
	r, err := decode[keyRow](row)
	if err != nil {
		return account.Key{}, err
	}
	k := r.key(now)
	if subtle.ConstantTimeCompare(k.Hash, sum[:]) != 1 || !k.Live(now) {
		return account.Key{}, fault.New(fault.Unauthenticated, "UNAUTHENTICATED", "the API key is not valid")
	}
	return k, &fault.Error{Kind: fault.Limited, Code: "RATE_LIMIT_EXCEEDED", RetryAfter: k.HourResets.Sub(now),
		Detail: fmt.Sprintf("an API key can make %d requests an hour", k.HourLimit)}
}

// forgetHours removes the counts of hours before the last one, which a function
// whose clock is behind may still be counting. A failure is no matter: the next
// hour makes up for it.
func (db *DB) forgetHours(ctx context.Context, r keyRow, now time.Time) {
	remove, names := "", map[string]string{}
	for hour := range r.Hours {
		if hour >= hourOf(now.Add(-time.Hour)) {
			continue
		}
		name := fmt.Sprintf("#h%d", len(names))
		if names[name] = hour; remove != "" {
			remove += ", "
		}
		remove += "hours." + name
	}
	if remove == "" {
		return
	}
	_, _ = db.client.UpdateItem(ctx, &dynamodb.UpdateItemInput{TableName: &db.table.Keys, Key: item{"key_id": text(r.ID)},
		UpdateExpression: aws.String("REMOVE " + remove), ExpressionAttributeNames: names,
		ConditionExpression: aws.String("attribute_exists(key_id)")})
}

// PutKey stores an API key that the platform itself needs; it is not one of the
// user's MaxKeys.
func (db *DB) PutKey(ctx context.Context, k account.Key) error {
	row, err := encodeKey(k)
	if err != nil {
		return err
	}
	_, err = db.client.PutItem(ctx, &dynamodb.PutItemInput{TableName: &db.table.Keys, Item: row})
	return broken("put key", err)
}

// AddKey stores a user's new API key. A user who has MaxKeys live ones is
// fault.Conflict.
func (db *DB) AddKey(ctx context.Context, k account.Key) error {
	return db.writeKey(ctx, k, account.MaxKeys)
}

// RotateKey stores fresh in the place of old, which works until old.RevokedAt.
// It is fault.Conflict when old has been revoked, rotated or has expired, and
// when the user would have more than MaxKeys live keys, old among them if it is
// to live on.
func (db *DB) RotateKey(ctx context.Context, old, fresh account.Key) error {
	room, end := account.MaxKeys, "SET revoked_at = :end"
	if !old.Live(db.now()) {
		room, end = room+1, end+" REMOVE #hash"
	}
	retire := &types.Update{TableName: &db.table.Keys, Key: item{"key_id": text(old.ID)}, UpdateExpression: &end,
		ConditionExpression: aws.String("user_id = :user AND attribute_exists(#hash) AND attribute_not_exists(revoked_at)" +
			" AND (attribute_not_exists(expires_at) OR expires_at > :now)"),
		ExpressionAttributeNames:  map[string]string{"#hash": "hash"},
		ExpressionAttributeValues: item{":user": text(old.UserID), ":end": stamp(old.RevokedAt), ":now": stamp(db.now())}}
	return db.writeKey(ctx, fresh, room, types.TransactWriteItem{Update: retire})
}

// writeKey stores a new key if its user has fewer than room, in one transaction
// with first, which if it is refused makes the whole a fault.Conflict.
func (db *DB) writeKey(ctx context.Context, k account.Key, room int, first ...types.TransactWriteItem) error {
	row, err := encodeKey(k)
	if err != nil {
		return err
	}
	put := types.TransactWriteItem{Put: &types.Put{TableName: &db.table.Keys, Item: row,
		ConditionExpression: aws.String("attribute_not_exists(key_id)")}}
	enrol := types.TransactWriteItem{Update: &types.Update{TableName: &db.table.Keys, Key: liveKeys(k.UserID),
		UpdateExpression:                    aws.String("ADD live :id"),
		ConditionExpression:                 aws.String("attribute_not_exists(live) OR size(live) < :room"),
		ExpressionAttributeValues:           item{":id": &types.AttributeValueMemberSS{Value: []string{k.ID}}, ":room": integer(int64(room))},
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld}}
	writes := slices.Concat(first, []types.TransactWriteItem{put, enrol})
	for range 2 {
		err := db.transact(ctx, writes...)
		rows, no := refusedIn(err)
		switch {
		case !no:
			return broken("write key", err)
		case len(first) > 0 && rows[0] != nil:
			return fault.New(fault.Conflict, "CONFLICT", "the API key has been revoked or rotated, or has expired")
		case rows[len(rows)-1] == nil:
			return broken("write key", err) // the id is taken, which chance forbids
		}
		freed, err := db.forgetDead(ctx, k.UserID, rows[len(rows)-1])
		if err != nil {
			return err
		}
		if !freed {
			break
		}
	}
	return fault.New(fault.Conflict, "CONFLICT", "an account can have %d live API keys: revoke one first", account.MaxKeys)
}

func liveKeys(userID string) item { return item{"key_id": text("user#" + userID)} }

// forgetDead takes the keys that have died out of a user's set of live ones,
// and reports whether there were any. A dead key never comes back to life, so
// that taking it out twice or late does no harm.
func (db *DB) forgetDead(ctx context.Context, userID string, row item) (freed bool, err error) {
	set, _ := row["live"].(*types.AttributeValueMemberSS)
	if set == nil {
		return false, nil
	}
	var wanted []item
	for _, id := range set.Value {
		wanted = append(wanted, item{"key_id": text(id)})
	}
	out, err := db.client.BatchGetItem(ctx, &dynamodb.BatchGetItemInput{RequestItems: map[string]types.KeysAndAttributes{
		db.table.Keys: {Keys: wanted, ConsistentRead: aws.Bool(true)}}})
	if err != nil {
		return false, broken("read live keys", err)
	}
	var dead []string
	for _, row := range out.Responses[db.table.Keys] {
		r, err := decode[keyRow](row)
		if err != nil {
			return false, err
		}
		if now := db.now(); !r.key(now).Live(now) {
			dead = append(dead, r.ID)
		}
	}
	if dead == nil {
		return false, nil
	}
	_, err = db.client.UpdateItem(ctx, &dynamodb.UpdateItemInput{TableName: &db.table.Keys, Key: liveKeys(userID),
		UpdateExpression:          aws.String("DELETE live :dead"),
		ExpressionAttributeValues: item{":dead": &types.AttributeValueMemberSS{Value: dead}}})
	return true, broken("forget dead keys", err)
}

// Key reads an API key of a user. One that does not exist or is somebody else's
// is fault.NotFound.
func (db *DB) Key(ctx context.Context, userID, id string) (account.Key, error) {
	out, err := db.client.GetItem(ctx, &dynamodb.GetItemInput{TableName: &db.table.Keys, Key: item{"key_id": text(id)},
		ConsistentRead: aws.Bool(true)})
	if err != nil {
		return account.Key{}, broken("read key", err)
	}
	r, err := decode[keyRow](out.Item)
	if err == nil && (r.UserID == "" || r.UserID != userID) {
		return account.Key{}, fault.Missing("API key")
	}
	return r.key(db.now()), err
}

// KeysOf lists a user's API keys, dead ones too, newest first and without their
// hashes: at most limit of them (1 or more), those before the id after. next is
// the after of the rest, empty at the end. A key made a moment ago may not be
// in it yet.
func (db *DB) KeysOf(ctx context.Context, userID string, limit int, after string) (keys []account.Key, next string, err error) {
	in := &dynamodb.QueryInput{TableName: &db.table.Keys, IndexName: aws.String("by_user"), Limit: aws.Int32(int32(limit) + 1),
		ScanIndexForward: aws.Bool(false), KeyConditionExpression: aws.String("user_id = :user"),
		ExpressionAttributeValues: item{":user": text(userID)}}
	if after != "" {
		in.KeyConditionExpression = aws.String("user_id = :user AND key_id < :after")
		in.ExpressionAttributeValues[":after"] = text(after)
	}
	out, err := db.client.Query(ctx, in)
	if err != nil {
		return nil, "", broken("list keys", err)
	}
	more := len(out.Items) > limit || out.LastEvaluatedKey != nil
	for _, row := range out.Items[:min(limit, len(out.Items))] {
		r, err := decode[keyRow](row)
		if err != nil {
			return nil, "", err
		}
		keys = append(keys, r.key(db.now()))
	}
	if more && len(keys) > 0 {
		next = keys[len(keys)-1].ID
	}
	return keys, next, nil
}

// RevokeKey makes a user's API key useless at once, whatever any clock says:
// its hash goes. Revoking a revoked key changes nothing. A key that does not
// exist or is somebody else's is fault.NotFound.
func (db *DB) RevokeKey(ctx context.Context, userID, id string) error {
	_, err := db.client.UpdateItem(ctx, &dynamodb.UpdateItemInput{TableName: &db.table.Keys, Key: item{"key_id": text(id)},
		UpdateExpression:                    aws.String("SET revoked_at = :now REMOVE #hash"),
		ConditionExpression:                 aws.String("user_id = :user AND (attribute_not_exists(revoked_at) OR revoked_at > :now)"),
		ExpressionAttributeNames:            map[string]string{"#hash": "hash"},
		ExpressionAttributeValues:           item{":user": text(userID), ":now": stamp(db.now())},
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld})
	row, no := refused(err)
	if !no {
		return broken("revoke key", err)
	}
	r, err := decode[keyRow](row)
	if err == nil && (r.UserID == "" || r.UserID != userID) {
		err = fault.Missing("API key")
	}
	return err
}

package store

import (
	"context"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/event"
	"github.com/krosai/telephony/shared/fault"
	"github.com/krosai/telephony/shared/numberrequest"
)

// The Keys table: one row per API key, with its hash and never its text. The map hours counts the
// key's requests, one entry per clock hour (UTC). The map paid holds how many requests of the hour
// the key has drawn from its user's hour.
//
// A row "user#…" per user holds the ids of the user's live keys in the set live, and the keys made
// in the last hours in the set made. Both sets keep old entries until they are full. The row also
// counts the requests that all keys of the user have drawn in the hour drawn_hour.
//
// A row "jwt#…" per user counts the requests with the user's JWTs.
type keyRow struct {
	ID         string         `dynamodbav:"key_id"`
	UserID     string         `dynamodbav:"user_id"`
	Name       string         `dynamodbav:"name"`
	Hash       []byte         `dynamodbav:"hash,omitempty"` // a revoked key has none
	LastFour   string         `dynamodbav:"last_four,omitempty"`
	Scopes     []string       `dynamodbav:"scopes,stringset"`
	CreatedAt  Time           `dynamodbav:"created_at"`
	IssuedAt   Time           `dynamodbav:"issued_at"`
	ExpiresAt  Time           `dynamodbav:"expires_at"`
	RevokedAt  Time           `dynamodbav:"revoked_at"`
	LastUsedAt Time           `dynamodbav:"last_used_at"`
	HourLimit  int            `dynamodbav:"hour_limit,omitempty"`
	Hours      map[string]int `dynamodbav:"hours"`
	Paid       map[string]int `dynamodbav:"paid"`
}

// hourForm names a clock hour.
const hourForm = "2006-01-02T15"

func hourOf(t time.Time) string { return t.UTC().Format(hourForm) }

func encodeKey(k account.Key) (row, error) {
	hours := map[string]int{}
	if k.HourUsed > 0 {
		hours[hourOf(k.HourResets.Add(-time.Hour))] = k.HourUsed
	}
	return encode(keyRow{ID: k.ID, UserID: k.UserID, Name: k.Name, Hash: k.Hash, LastFour: k.LastFour, Scopes: k.Scopes,
		CreatedAt: Time{k.CreatedAt}, IssuedAt: Time{k.IssuedAt}, ExpiresAt: Time{k.ExpiresAt}, RevokedAt: Time{k.RevokedAt},
		HourLimit: k.HourLimit, Hours: hours, Paid: map[string]int{}})
}

func (r keyRow) key(now time.Time) account.Key {
	k := account.Key{ID: r.ID, UserID: r.UserID, Name: r.Name, Hash: r.Hash, LastFour: r.LastFour, Scopes: r.Scopes,
		CreatedAt: r.CreatedAt.Time, IssuedAt: r.IssuedAt.Time, ExpiresAt: r.ExpiresAt.Time, RevokedAt: r.RevokedAt.Time, LastUsedAt: r.LastUsedAt.Time,
		HourLimit: r.HourLimit, HourUsed: r.Hours[hourOf(now)], HourResets: now.UTC().Truncate(time.Hour).Add(time.Hour)}
	if k.HourLimit == 0 {
		k.HourLimit = account.KeyHourLimit
	}
	return k
}

// PutKey stores an API key for the platform's own use. It does not count toward the user's
// MaxKeys. The key draws its first requests at once, so that its first request is answered as fast
// as the next.
func (db *DB) PutKey(ctx context.Context, k account.Key) error {
	raw, err := encodeKey(k)
	if err != nil {
		return err
	}
	_, err = db.client.PutItem(ctx, &dynamodb.PutItemInput{TableName: &db.table.Keys, Item: raw})
	if err != nil {
		return unavailable("put key", err)
	}
	r, err := decode[keyRow](raw)
	if err == nil {
		_, _, err = db.draw(ctx, r, 0, db.now())
	}
	if fault.Is(err, fault.Limited) {
		return nil
	}
	return err
}

// AddKey stores a user's new API key. The error is fault.Conflict if the user has MaxKeys live
// keys, and fault.Limited if the user has made KeysPerHour keys in this hour.
//
// If a key with this id exists, an earlier attempt at the same request made it and its answer was
// lost. That key then gets the hash of k, because the client never got its text, and is returned.
func (db *DB) AddKey(ctx context.Context, k account.Key) (account.Key, error) {
	return db.writeKey(ctx, k, account.MaxKeys, nil)
}

// RotateKey stores fresh to replace old, which works until old.RevokedAt. The error is
// fault.Conflict if old has been revoked, rotated or has expired, or if the user would have more
// than MaxKeys live keys. old counts among them if it stays live. In all other respects RotateKey
// is AddKey.
func (db *DB) RotateKey(ctx context.Context, old, fresh account.Key) (account.Key, error) {
	room, end := account.MaxKeys, "SET revoked_at = :end"
	if !old.Live(db.now()) {
		room, end = room+1, end+" REMOVE #hash"
	}
	retire := &types.Update{TableName: &db.table.Keys, Key: row{"key_id": str(old.ID)}, UpdateExpression: &end,
		ConditionExpression: aws.String("user_id = :user AND attribute_exists(#hash) AND attribute_not_exists(revoked_at)" +
			" AND (attribute_not_exists(expires_at) OR expires_at > :now)"),
		ExpressionAttributeNames:  map[string]string{"#hash": "hash"},
		ExpressionAttributeValues: row{":user": str(old.UserID), ":end": timestamp(old.RevokedAt), ":now": timestamp(db.now())}}
	return db.writeKey(ctx, fresh, room, retire)
}

// writeKey stores a new key, if its user has fewer than room keys, and its event. retire, if not
// nil, is part of the same transaction. If its condition fails, the error is fault.Conflict.
func (db *DB) writeKey(ctx context.Context, k account.Key, room int, retire *types.Update) (account.Key, error) {
	raw, err := encodeKey(k)
	if err != nil {
		return k, err
	}
	now := db.now()
	told, err := db.event(event.KeyMade(k))
	if err != nil {
		return k, err
	}
	put := types.TransactWriteItem{Put: &types.Put{TableName: &db.table.Keys, Item: raw,
		ConditionExpression:                 aws.String("attribute_not_exists(key_id)"),
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld}}
	enroll, end := db.enroll(k, room, now), types.TransactWriteItem{Update: retire}
	writes := []types.TransactWriteItem{put, enroll, told, db.known(k.UserID)}
	if retire != nil {
		writes = append(writes, end)
	}
	for {
		err := db.transact(ctx, writes...)
		rows, failed := conditionsFailed(err)
		switch {
		case !failed:
			return k, unavailable("write key", err)
		case rows.of(put) != nil:
			return db.reissue(ctx, k, rows.of(put))
		case rows.of(end) != nil:
			return k, fault.New(fault.Conflict, "CONFLICT", "the API key has been revoked or rotated, or has expired")
		}
		if err := db.makeRoom(ctx, k.UserID, room, rows.of(enroll), now); err != nil {
			return k, err
		}
	}
}

func tooManyKeys() error {
	return fault.New(fault.Conflict, "CONFLICT", "an account can have %d live API keys: revoke one first", account.MaxKeys)
}

// enroll is the write that adds a new key to its user's live keys and to the keys made in this
// hour. If its condition fails, makeRoom finds out why.
func (db *DB) enroll(k account.Key, room int, now time.Time) types.TransactWriteItem {
	return types.TransactWriteItem{Update: &types.Update{TableName: &db.table.Keys, Key: liveKeys(k.UserID),
		UpdateExpression: aws.String("ADD live :id, made :made"),
		ConditionExpression: aws.String("(attribute_not_exists(live) OR size(live) < :room)" +
			" AND (attribute_not_exists(made) OR size(made) < keys_per_hour" +
			" OR (attribute_not_exists(keys_per_hour) AND size(made) < :most))"),
		ExpressionAttributeValues: row{":id": &types.AttributeValueMemberSS{Value: []string{k.ID}}, ":room": integer(int64(room)),
			":made": &types.AttributeValueMemberSS{Value: []string{hourOf(now) + " " + k.ID}}, ":most": integer(account.KeysPerHour)},
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld}}
}

// makeRoom removes the dead keys and the past hours from a user's row that is full. It fails if
// that makes no room.
func (db *DB) makeRoom(ctx context.Context, userID string, room int, raw row, now time.Time) error {
	r, err := decode[struct {
		Live  []string `dynamodbav:"live"`
		Made  []string `dynamodbav:"made"`
		Quota int      `dynamodbav:"keys_per_hour"`
	}](raw)
	if err != nil {
		return err
	}
	if kind := keysAnHour.upTo(r.Quota); len(r.Made) >= kind.quota {
		past := slices.DeleteFunc(slices.Clone(r.Made), func(entry string) bool { return entry >= hourOf(now) })
		if len(past) == 0 {
			return kind.spent(now)
		}
		if err := db.forget(ctx, userID, "DELETE made :gone", past); err != nil {
			return err
		}
	}
	if len(r.Live) < room {
		return nil
	}
	dead, err := db.notLive(ctx, r.Live)
	switch {
	case err != nil:
		return err
	case dead == nil:
		return tooManyKeys()
	}
	return db.forget(ctx, userID, "DELETE live :gone", dead)
}

func (db *DB) forget(ctx context.Context, userID, update string, gone []string) error {
	_, err := db.client.UpdateItem(ctx, &dynamodb.UpdateItemInput{TableName: &db.table.Keys, Key: liveKeys(userID),
		UpdateExpression:          &update,
		ExpressionAttributeValues: row{":gone": &types.AttributeValueMemberSS{Value: gone}}})
	return unavailable("forget keys", err)
}

// reissue gives the text of k to the key in row, which an earlier attempt at the same request made.
// If a later attempt has already done so, the error is fault.Conflict IDEMPOTENCY_IN_PROGRESS. If
// the key has been revoked or rotated since, it is fault.Conflict.
func (db *DB) reissue(ctx context.Context, k account.Key, raw row) (account.Key, error) {
	r, err := decode[keyRow](raw)
	if err != nil {
		return k, err
	}
	there := r.key(db.now())
	if !there.RevokedAt.IsZero() {
		return k, fault.New(fault.Conflict, "CONFLICT", "the API key that this request made has been revoked or rotated")
	}
	_, err = db.client.UpdateItem(ctx, &dynamodb.UpdateItemInput{TableName: &db.table.Keys, Key: row{"key_id": str(k.ID)},
		UpdateExpression: aws.String("SET #hash = :sum, last_four = :four, issued_at = :issued"),
		ConditionExpression: aws.String("user_id = :user AND attribute_exists(#hash) AND attribute_not_exists(revoked_at)" +
			" AND (attribute_not_exists(issued_at) OR issued_at < :issued OR #hash = :sum)"),
		ExpressionAttributeNames: map[string]string{"#hash": "hash"},
		ExpressionAttributeValues: row{":user": str(k.UserID), ":sum": &types.AttributeValueMemberB{Value: k.Hash},
			":four": str(k.LastFour), ":issued": timestamp(k.IssuedAt)}})
	if _, failed := conditionFailed(err); failed {
		return k, inProgress()
	}
	there.Hash, there.LastFour, there.IssuedAt = k.Hash, k.LastFour, k.IssuedAt
	return there, unavailable("issue key again", err)
}

func liveKeys(userID string) row { return row{"key_id": str("user#" + userID)} }

// notLive returns the ids of the keys that are revoked or expired. Such a key never becomes live
// again, so removing it from a set twice or late does no harm.
func (db *DB) notLive(ctx context.Context, ids []string) (dead []string, err error) {
	var wanted []row
	for _, id := range ids {
		wanted = append(wanted, row{"key_id": str(id)})
	}
	out, err := db.client.BatchGetItem(ctx, &dynamodb.BatchGetItemInput{RequestItems: map[string]types.KeysAndAttributes{
		db.table.Keys: {Keys: wanted, ConsistentRead: aws.Bool(true)}}})
	if err != nil {
		return nil, unavailable("read live keys", err)
	}
	for _, raw := range out.Responses[db.table.Keys] {
		r, err := decode[keyRow](raw)
		if err != nil {
			return nil, err
		}
		if now := db.now(); !r.key(now).Live(now) {
			dead = append(dead, r.ID)
		}
	}
	return dead, nil
}

// Key reads an API key of a user. A key that does not exist or belongs to another user
// is fault.NotFound.
func (db *DB) Key(ctx context.Context, userID, id string) (account.Key, error) {
	k, err := db.keyByID(ctx, id)
	if err == nil && k.UserID != userID {
		return account.Key{}, fault.Missing("API key")
	}
	return k, err
}

// keyByID reads an API key. It does not check the key's owner. An unknown id is fault.NotFound.
func (db *DB) keyByID(ctx context.Context, id string) (account.Key, error) {
	out, err := db.client.GetItem(ctx, &dynamodb.GetItemInput{TableName: &db.table.Keys, Key: row{"key_id": str(id)},
		ConsistentRead: aws.Bool(true)})
	if err != nil {
		return account.Key{}, unavailable("read key", err)
	}
	r, err := decode[keyRow](out.Item)
	if err == nil && r.UserID == "" {
		return account.Key{}, fault.Missing("API key")
	}
	return r.key(db.now()), err
}

// KeysOf lists a user's API keys, including dead ones, newest first and without their hashes. It
// returns at most limit keys (1 or more) older than the id after. next is the after of the next
// page, empty at the end. A key made a moment ago may be missing.
func (db *DB) KeysOf(ctx context.Context, userID string, limit int, after string) (keys []account.Key, next string, err error) {
	in := &dynamodb.QueryInput{TableName: &db.table.Keys, IndexName: aws.String("by_user"), Limit: aws.Int32(int32(limit) + 1),
		ScanIndexForward: aws.Bool(false), KeyConditionExpression: aws.String("user_id = :user"),
		ExpressionAttributeValues: row{":user": str(userID)}}
	if after != "" {
		in.KeyConditionExpression = aws.String("user_id = :user AND key_id < :after")
		in.ExpressionAttributeValues[":after"] = str(after)
	}
	out, err := db.client.Query(ctx, in)
	if err != nil {
		return nil, "", unavailable("list keys", err)
	}
	more := len(out.Items) > limit || out.LastEvaluatedKey != nil
	for _, raw := range out.Items[:min(limit, len(out.Items))] {
		r, err := decode[keyRow](raw)
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

// RevokeKey makes a user's API key unusable at once. It deletes the hash, so the clocks of the
// functions do not matter. Revoking a revoked key changes nothing. A key that does not exist or
// belongs to another user is fault.NotFound.
func (db *DB) RevokeKey(ctx context.Context, userID, id string) error {
	k, err := db.Key(ctx, userID, id)
	if err != nil {
		return err
	}
	return db.revoke(ctx, k, db.now())
}

// RevokeAnyKey is RevokeKey for an administrator. It revokes the key of any user, or only of userID
// if that is not empty. It writes a line to the audit of the key.
func (db *DB) RevokeAnyKey(ctx context.Context, userID, id, by string) error {
	k, err := db.keyByID(ctx, id)
	switch {
	case err != nil:
		return err
	case userID != "" && k.UserID != userID:
		return fault.Missing("API key")
	}
	now := db.now()
	entry, err := db.note(id, numberrequest.Entry{At: now, Actor: by, Action: "revoked", Note: "of " + k.UserID})
	if err != nil {
		return err
	}
	return db.revoke(ctx, k, now, entry)
}

// revoke revokes a key, if it is not revoked yet, and writes its event, in one transaction
// with more.
func (db *DB) revoke(ctx context.Context, k account.Key, now time.Time, more ...types.TransactWriteItem) error {
	if !k.RevokedAt.IsZero() && !k.RevokedAt.After(now) {
		return nil
	}
	told, err := db.event(event.KeyEnded(k, now))
	if err != nil {
		return err
	}
	end := types.TransactWriteItem{Update: &types.Update{TableName: &db.table.Keys, Key: row{"key_id": str(k.ID)},
		UpdateExpression:          aws.String("SET revoked_at = :now REMOVE #hash"),
		ConditionExpression:       aws.String("user_id = :user AND (attribute_not_exists(revoked_at) OR revoked_at > :now)"),
		ExpressionAttributeNames:  map[string]string{"#hash": "hash"},
		ExpressionAttributeValues: row{":user": str(k.UserID), ":now": timestamp(now)}}}
	err = db.transact(ctx, append(more, end, told)...)
	if _, failed := conditionsFailed(err); failed {
		return nil
	}
	return unavailable("revoke key", err)
}

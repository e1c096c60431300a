package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/numberrequest"
)

// The index users of the Limits table lists the users by their rows "user#…", over shards. It holds
// only keys, so counting in a row costs no write to the index. The writes that may create the row
// add it to the index: the acceptance of a call, a policy, a number request, a new API key and an
// assignment without a request.

// enlist is the part of an update expression that puts a user's row into the index.
// :user_shard is the shard of the user's id.
const enlist = "user_shard = :user_shard"

const userPrefix = "user#"

// known is the write that adds a user to the list of Users and changes nothing else.
func (db *DB) known(userID string) types.TransactWriteItem {
	return types.TransactWriteItem{Update: &types.Update{TableName: &db.table.Limits, Key: policyKey(userID),
		UpdateExpression: aws.String("SET " + enlist), ExpressionAttributeValues: row{":user_shard": str(shard(userID))}}}
}

// Users lists the users who have done something or have a policy, shard by shard and sorted by id
// in each shard. It returns at most limit users (1 to 100) behind the position after. next is the
// after of the next page, empty at the end. A new user may be missing, and a new number, request or
// key may not be counted yet.
func (db *DB) Users(ctx context.Context, limit int, after string) (users []account.User, next string, err error) {
	ids, next, err := db.userIDs(ctx, limit, after)
	if err != nil || len(ids) == 0 {
		return nil, next, err
	}
	rows := make([]row, len(ids))
	for i, id := range ids {
		rows[i] = policyKey(id)
	}
	found, err := db.readTogether(ctx, rows, "")
	if err != nil {
		return nil, "", err
	}
	now := db.now()
	for _, id := range ids {
		u, err := usageOf(found[userPrefix+id], now)
		if err != nil {
			return nil, "", err
		}
		users = append(users, account.User{ID: id, CallsEnabled: u.policy.CallsEnabled, ActiveCalls: len(u.active),
			ActiveInbound: max(0, u.counts[inboundAttribute]), CallsThisHour: u.counts[hourAttribute(now)]})
	}
	return users, next, db.countOwned(ctx, users, now)
}

// userIDs reads a page of the index.
func (db *DB) userIDs(ctx context.Context, limit int, after string) (ids []string, next string, err error) {
	from, seen, _ := strings.Cut(after, "#")
	for s := range shards {
		if after != "" && fmt.Sprint(s) < from {
			continue
		}
		in := &dynamodb.QueryInput{TableName: &db.table.Limits, IndexName: aws.String("users"), Limit: aws.Int32(int32(limit + 1 - len(ids))),
			KeyConditionExpression: aws.String("user_shard = :shard"), ExpressionAttributeValues: row{":shard": str(fmt.Sprint(s))}}
		if seen != "" && fmt.Sprint(s) == from {
			in.ExclusiveStartKey = policyKey(seen)
			in.ExclusiveStartKey["user_shard"] = str(from)
		}
		out, err := db.client.Query(ctx, in)
		if err != nil {
			return nil, "", unavailable("list users", err)
		}
		for _, raw := range out.Items {
			ids = append(ids, strings.TrimPrefix(keyOf(raw), userPrefix))
		}
		if len(ids) > limit {
			last := ids[limit-1]
			return ids[:limit], shard(last) + "#" + last, nil
		}
	}
	return ids, "", nil
}

// countsAtOnce is how many counts run at the same time.
const countsAtOnce = 32

// countOwned fills in the users' numbers, open requests and live keys.
func (db *DB) countOwned(ctx context.Context, users []account.User, now time.Time) error {
	var (
		wg    sync.WaitGroup
		place = make(chan struct{}, countsAtOnce)
		errs  = make([]error, 3*len(users))
	)
	count := func(failed *error, n *int, table *string, userID, filter string, values row) {
		wg.Go(func() {
			place <- struct{}{}
			defer func() { <-place }()
			*n, *failed = db.countOf(ctx, table, userID, filter, values)
		})
	}
	for i := range users {
		u := &users[i]
		count(&errs[3*i], &u.Numbers, &db.table.Numbers, u.ID, "", row{})
		count(&errs[3*i+1], &u.OpenRequests, &db.table.Requests, u.ID, "#status IN (:a, :b)",
			row{":a": str(string(numberrequest.Pending)), ":b": str(string(numberrequest.Approved))})
		count(&errs[3*i+2], &u.LiveKeys, &db.table.Keys, u.ID, "(attribute_not_exists(expires_at) OR expires_at > :now)"+
			" AND (attribute_not_exists(revoked_at) OR revoked_at > :now)", row{":now": timestamp(now)})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// countOf counts a user's rows in the index by_user of a table. With a filter it counts only the
// rows that match it.
func (db *DB) countOf(ctx context.Context, table *string, userID, filter string, values row) (n int, err error) {
	values[":user"] = str(userID)
	in := &dynamodb.QueryInput{TableName: table, IndexName: aws.String("by_user"), Select: types.SelectCount,
		KeyConditionExpression: aws.String("user_id = :user"), ExpressionAttributeValues: values}
	if filter != "" {
		in.FilterExpression = &filter
	}
	if strings.Contains(filter, "#status") {
		in.ExpressionAttributeNames = map[string]string{"#status": "status"}
	}
	for pages := dynamodb.NewQueryPaginator(db.client, in); pages.HasMorePages(); {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return 0, unavailable("count what a user has", err)
		}
		n += int(page.Count)
	}
	return n, nil
}

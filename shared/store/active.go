package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/krosai/telephony/shared/call"
)

// ActiveCalls lists the ids of the calls that have not ended and were created before a moment,
// oldest first in each shard of the index. The index is eventually consistent: read a call before
// you act on it.
func (db *DB) ActiveCalls(ctx context.Context, before time.Time) ([]string, error) {
	var ids []string
	for s := range shards {
		pages := dynamodb.NewQueryPaginator(db.client, &dynamodb.QueryInput{TableName: &db.table.Calls,
			IndexName:                 aws.String("active"),
			KeyConditionExpression:    aws.String("active_shard = :shard AND created_at < :before"),
			ExpressionAttributeValues: row{":shard": str(fmt.Sprint(s)), ":before": timestamp(before)}})
		for pages.HasMorePages() {
			page, err := pages.NextPage(ctx)
			if err != nil {
				return nil, unavailable("list active calls", err)
			}
			for _, raw := range page.Items {
				if id, ok := raw["call_id"].(*types.AttributeValueMemberS); ok {
					ids = append(ids, id.Value)
				}
			}
		}
	}
	return ids, nil
}

// Going lists the calls of all users that have not ended, newest first. It returns at most limit
// calls (1 to 100) behind the position after. next is the after of the next page, empty at the end.
// A call that ends during the listing is left out, so a page may be short or even empty although
// next is set. A call that has just begun may be missing.
func (db *DB) Going(ctx context.Context, limit int, after string) (calls []call.Call, next string, err error) {
	var (
		wg    sync.WaitGroup
		found [shards][]string
		errs  [shards]error
	)
	for s := range shards {
		wg.Go(func() { found[s], errs[s] = db.going(ctx, fmt.Sprint(s), limit, after) })
	}
	wg.Wait()
	if err := errors.Join(errs[:]...); err != nil {
		return nil, "", err
	}
	positions := slices.Concat(found[:]...)
	slices.SortFunc(positions, func(a, b string) int { return strings.Compare(b, a) })
	if len(positions) > limit {
		positions, next = positions[:limit], positions[limit-1]
	}
	ids := make([]string, len(positions))
	for i, position := range positions {
		_, ids[i], _ = strings.Cut(position, " ")
	}
	calls, err = db.ReadCalls(ctx, ids)
	return slices.DeleteFunc(calls, func(c call.Call) bool { return c.Status.Ended() }), next, err
}

// going lists the positions of calls in one shard of the index, newest first, behind the position
// after. It returns more than limit positions if there are that many. The index does not order
// calls of the same millisecond, so going returns all of them or none.
func (db *DB) going(ctx context.Context, shard string, limit int, after string) (positions []string, err error) {
	in := &dynamodb.QueryInput{TableName: &db.table.Calls, IndexName: aws.String("active"), ScanIndexForward: aws.Bool(false),
		Limit: aws.Int32(int32(limit) + 2), KeyConditionExpression: aws.String("active_shard = :shard"), ExpressionAttributeValues: row{":shard": str(shard)}}
	if at, _, ok := strings.Cut(after, " "); ok {
		in.KeyConditionExpression = aws.String("active_shard = :shard AND created_at <= :at")
		in.ExpressionAttributeValues[":at"] = str(at)
	}
	for pages := dynamodb.NewQueryPaginator(db.client, in); pages.HasMorePages(); {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, unavailable("list active calls", err)
		}
		for _, raw := range page.Items {
			position := positionOf(raw)
			if len(positions) > limit && position[:len(clock)] != positions[len(positions)-1][:len(clock)] {
				return positions, nil
			}
			if after == "" || position < after {
				positions = append(positions, position)
			}
		}
	}
	return positions, nil
}

// ReadCalls reads many calls for the platform's own use, 100 per request, in the order of ids.
// Unknown ids are left out.
func (db *DB) ReadCalls(ctx context.Context, ids []string) ([]call.Call, error) {
	found := make(map[string]call.Call, len(ids))
	for batch := range slices.Chunk(ids, batchSize) {
		if err := db.readBatch(ctx, batch, found); err != nil {
			return nil, unavailable("read calls", err)
		}
	}
	calls := make([]call.Call, 0, len(found))
	for _, id := range ids {
		if c, ok := found[id]; ok {
			calls = append(calls, c)
		}
	}
	return calls, nil
}

// One BatchGetItem reads at most 100 rows and 16 MB, and DynamoDB leaves keys unprocessed when it
// has no capacity (API Reference, BatchGetItem). readBatch requests them again after a pause that
// doubles, for about six seconds in total.
const (
	batchSize  = 100
	batchTries = 8
	batchPause = 50 * time.Millisecond
)

func (db *DB) readBatch(ctx context.Context, ids []string, found map[string]call.Call) error {
	keys := make([]row, len(ids))
	for i, id := range ids {
		keys[i] = recordOf(id)
	}
	asked := map[string]types.KeysAndAttributes{db.table.Calls: {Keys: keys, ConsistentRead: aws.Bool(true)}}
	for try := range batchTries {
		if try > 0 {
			select {
			case <-time.After(batchPause << (try - 1)):
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		out, err := db.client.BatchGetItem(ctx, &dynamodb.BatchGetItemInput{RequestItems: asked})
		if err != nil {
			return err
		}
		for _, raw := range out.Responses[db.table.Calls] {
			c, err := callFrom(raw)
			if err != nil {
				return err
			}
			found[c.ID] = c
		}
		if asked = out.UnprocessedKeys; len(asked) == 0 {
			return nil
		}
	}
	return fmt.Errorf("%d keys left unprocessed", len(asked[db.table.Calls].Keys))
}

// MissCall records when the room of a call was first found missing. The zero time removes the
// record, because the room has been seen since. A call that has ended does not change.
func (db *DB) MissCall(ctx context.Context, id string, at time.Time) error {
	in := &dynamodb.UpdateItemInput{TableName: &db.table.Calls, Key: recordOf(id),
		UpdateExpression: aws.String("REMOVE doubted_at"), ConditionExpression: aws.String(notEnded)}
	if !at.IsZero() {
		in.UpdateExpression, in.ExpressionAttributeValues = aws.String("SET doubted_at = :at"), row{":at": timestamp(at)}
	}
	_, err := db.client.UpdateItem(ctx, in)
	if _, ended := conditionFailed(err); ended {
		return nil
	}
	return unavailable("doubt call", err)
}

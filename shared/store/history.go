package store

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/krosai/telephony/shared/call"
)

// History says which of a user's calls to list: those created from From on and
// before To, where the zero time is no bound, and of these only those of a
// status, a direction or a number where one is given. A call's time has whole
// milliseconds, and so do From and To.
type History struct {
	From, To  time.Time
	Status    call.Status
	Direction call.Direction
	NumberID  string
}

// CallsOf lists a user's calls, newest first and without what only their details
// show (prompts, voice, the timeline): at most limit of them (1 to 100), those
// behind the position after. next is the after of the rest, empty at the end. It
// is one query whatever is asked for, and one read more if calls have metadata,
// so with a status, a direction or a number the list
// may be shorter than limit, even empty, and have a rest. A call that has just
// changed may be shown as it was.
func (db *DB) CallsOf(ctx context.Context, userID string, h History, limit int, after string) (calls []call.Call, next string, err error) {
	from, to := h.bounds()
	in := &dynamodb.QueryInput{TableName: &db.table.Calls, IndexName: aws.String("by_user"), ScanIndexForward: aws.Bool(false),
		KeyConditionExpression:    aws.String("user_id = :user AND created_at BETWEEN :from AND :to"),
		ExpressionAttributeValues: item{":user": text(userID), ":from": from, ":to": to}}
	if in.FilterExpression = h.filter(in); in.FilterExpression == nil {
		in.Limit = aws.Int32(int32(limit) + 1)
	}
	if at, id, ok := strings.Cut(after, " "); ok {
		in.ExclusiveStartKey = recordOf(id)
		in.ExclusiveStartKey["user_id"], in.ExclusiveStartKey["created_at"] = text(userID), text(at)
	}
	out, err := db.client.Query(ctx, in)
	if err != nil {
		return nil, "", broken("list calls", err)
	}
	for _, row := range out.Items[:min(limit, len(out.Items))] {
		c, err := callFrom(row)
		if err != nil {
			return nil, "", err
		}
		calls = append(calls, c)
	}
	if err := db.addMetadata(ctx, calls); err != nil {
		return nil, "", err
	}
	switch {
	case len(out.Items) > limit:
		next = positionOf(out.Items[limit-1])
	case out.LastEvaluatedKey != nil:
		next = positionOf(out.LastEvaluatedKey)
	}
	return calls, next, nil
}

// addMetadata reads the metadata of those of at most 100 calls that have some.
func (db *DB) addMetadata(ctx context.Context, calls []call.Call) error {
	var keys []item
	for _, c := range calls {
		if c.HasMetadata {
			keys = append(keys, rowKey(c.ID, detailsKey))
		}
	}
	if keys == nil {
		return nil
	}
	metadata := map[string]map[string]string{}
	err := db.batchGet(ctx, map[string]types.KeysAndAttributes{db.table.Calls: {Keys: keys, ProjectionExpression: aws.String("call_id, metadata")}},
		func(row item) error {
			d, err := decode[detailsRow](row)
			metadata[d.ID] = d.Metadata
			return err
		})
	for i := range calls {
		calls[i].Metadata = metadata[calls[i].ID]
	}
	return err
}

// batchGet reads rows and asks again for those that DynamoDB had no capacity for.
func (db *DB) batchGet(ctx context.Context, ask map[string]types.KeysAndAttributes, read func(item) error) error {
	for range 8 {
		out, err := db.client.BatchGetItem(ctx, &dynamodb.BatchGetItemInput{RequestItems: ask})
		if err != nil {
			return broken("read rows", err)
		}
		for _, rows := range out.Responses {
			for _, row := range rows {
				if err := read(row); err != nil {
					return err
				}
			}
		}
		if ask = out.UnprocessedKeys; len(ask) == 0 {
			return nil
		}
	}
	return broken("read rows", errors.New("dynamodb left keys unprocessed"))
}

// bounds are the first and the last time of creation that belong to h.
func (h History) bounds() (from, to types.AttributeValue) {
	to = text("9999")
	if !h.To.IsZero() {
		to = stamp(h.To.Add(-time.Millisecond))
	}
	return stamp(h.From), to
}

// filter adds to a query what h asks for besides the time; nil when it is nothing.
func (h History) filter(in *dynamodb.QueryInput) *string {
	var terms []string
	for _, wanted := range [][2]string{{"status", string(h.Status)}, {"direction", string(h.Direction)}, {"number_id", h.NumberID}} {
		name, value := wanted[0], wanted[1]
		if value == "" {
			continue
		}
		if in.ExpressionAttributeNames == nil {
			in.ExpressionAttributeNames = map[string]string{}
		}
		in.ExpressionAttributeNames["#"+name] = name
		in.ExpressionAttributeValues[":"+name] = text(value)
		terms = append(terms, "#"+name+" = :"+name)
	}
	if terms == nil {
		return nil
	}
	return aws.String(strings.Join(terms, " AND "))
}

// positionOf is where a row stands in a user's history.
func positionOf(row item) string {
	at, _ := row["created_at"].(*types.AttributeValueMemberS)
	id, _ := row["call_id"].(*types.AttributeValueMemberS)
	if at == nil || id == nil {
		return ""
	}
	return at.Value + " " + id.Value
}

package store

import (
	"context"
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
// show (prompts, voice): at most limit of them (1 or more), those behind the
// position after. next is the after of the rest, empty at the end. It is one
// query whatever is asked for, so with a status, a direction or a number the list
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
	switch {
	case len(out.Items) > limit:
		next = positionOf(out.Items[limit-1])
	case out.LastEvaluatedKey != nil:
		next = positionOf(out.LastEvaluatedKey)
	}
	return calls, next, nil
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

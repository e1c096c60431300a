package store

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/krosai/telephony/shared/call"
)

// The index by_user copies a record when it is made and when it ends, and not with
// each state in between, which would cost as much as the state itself. What it
// shows of the status is final_status: calls that have none are read from the
// table.

// History says which of a user's calls to list: those created from From on and
// before To, where the zero time is no bound, and of these only those of a
// status, a direction or a number where one is given, whose metadata has the entries of
// Metadata, and that have not ended if they are to be Active. A call's time has whole
// milliseconds, and so do From and To.
type History struct {
	From, To  time.Time
	Status    call.Status
	Active    bool // without From: of the last day only
	Direction call.Direction
	NumberID  string
	Metadata  map[string]string

	Bare bool // without the metadata
}

// CallsOf lists a user's calls, newest first and without what only their details
// show (prompts, voice, the timeline): at most limit of them (1 to 100), those
// behind the position after. next is the after of the rest, empty at the end. It
// is one query whatever is asked for, and one read more if calls have metadata or are
// going on, so with anything but times to choose by the list
// may be shorter than limit, even empty, and have a rest. A call that has just
// changed may be shown as it was.
func (db *DB) CallsOf(ctx context.Context, userID string, h History, limit int, after string) (calls []call.Call, next string, err error) {
	if h.Active && h.From.IsZero() {
		h.From = db.now().Add(-longestCall).Truncate(time.Millisecond)
	}
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
		r, err := decode[callRow](row)
		if err != nil {
			return nil, "", err
		}
		r.Status, r.AnsweredAt = r.FinalStatus, r.FinalAnswer
		calls = append(calls, r.call())
		calls[len(calls)-1].HasMetadata = r.HasMetadata && !h.Bare
	}
	if err := db.complete(ctx, calls); err != nil {
		return nil, "", err
	}
	calls = slices.DeleteFunc(calls, func(c call.Call) bool { return !h.has(c) })
	switch {
	case len(out.Items) > limit:
		next = positionOf(out.Items[limit-1])
	case out.LastEvaluatedKey != nil:
		next = positionOf(out.LastEvaluatedKey)
	}
	return calls, next, nil
}

// longestCall is longer than any call takes from its creation to its end: 4 hours of talk
// after ringing and a wait for the dial.
const longestCall = 24 * time.Hour

// has reports whether a call that is complete is one of h. One that was going on when it
// was listed may have another status, and the index does not hold metadata.
func (h History) has(c call.Call) bool {
	for name, value := range h.Metadata {
		if got, there := c.Metadata[name]; !there || got != value {
			return false
		}
	}
	return (h.Status == "" || c.Status == h.Status) && !(h.Active && c.Status.Ended())
}

// complete reads the metadata of those of at most 100 calls that have some, and
// the records of those that have not ended.
func (db *DB) complete(ctx context.Context, calls []call.Call) error {
	var keys []item
	for _, c := range calls {
		if c.HasMetadata {
			keys = append(keys, rowKey(c.ID, detailsKey))
		}
		if c.Status == "" {
			keys = append(keys, recordOf(c.ID))
		}
	}
	details, records := map[string]detailsRow{}, map[string]call.Call{}
	for some := range slices.Chunk(keys, mostKeys) {
		err := db.batchGet(ctx, map[string]types.KeysAndAttributes{db.table.Calls: {Keys: some}}, func(row item) error {
			if sk, _ := row["sk"].(*types.AttributeValueMemberS); sk.Value == detailsKey {
				d, err := decode[detailsRow](row)
				details[d.ID] = d
				return err
			}
			c, err := callFrom(row)
			records[c.ID] = c
			return err
		})
		if err != nil {
			return err
		}
	}
	for i, c := range calls {
		if now, read := records[c.ID]; read {
			calls[i] = now
		}
		calls[i].Metadata = details[c.ID].Metadata
	}
	return nil
}

// mostKeys is how many rows DynamoDB reads in one batch.
const mostKeys = 100

// batchGet reads rows, at most mostKeys.
func (db *DB) batchGet(ctx context.Context, ask map[string]types.KeysAndAttributes, read func(item) error) error {
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
	return nil
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
	for _, wanted := range [][2]string{{"direction", string(h.Direction)}, {"number_id", h.NumberID}} {
		if name, value := wanted[0], wanted[1]; value != "" {
			in.ExpressionAttributeValues[":"+name] = text(value)
			terms = append(terms, name+" = :"+name)
		}
	}
	if len(h.Metadata) > 0 {
		in.ExpressionAttributeValues[":some"] = &types.AttributeValueMemberBOOL{Value: true}
		terms = append(terms, "has_metadata = :some")
	}
	switch {
	case h.Status.Ended():
		in.ExpressionAttributeValues[":status"] = text(string(h.Status))
		terms = append(terms, "final_status = :status")
	case h.Status != "", h.Active:
		terms = append(terms, "attribute_not_exists(final_status)")
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

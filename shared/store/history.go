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

// The index by_user changes when a record is created and when its call ends. It does not follow the
// states in between, because that would cost as much as the states themselves. So the index holds
// final_status instead of the status. CallsOf reads calls without a final_status from the table.

// History selects which of a user's calls to list: those created from From on and before To, where
// the zero time is no bound. Status, Direction and NumberID select only calls with that value, if
// set. Metadata selects calls whose metadata has all its entries. Active selects calls that have
// not ended. A call's time has whole milliseconds, and so do From and To.
type History struct {
	From, To  time.Time
	Status    call.Status
	Active    bool // without From, of the last day only
	Direction call.Direction
	NumberID  string
	Metadata  map[string]string

	Bare bool // without the metadata
}

// CallsOf lists a user's calls, newest first. It leaves out the prompts and the voice, and the
// timeline of calls that have ended. It returns at most limit calls (1 to 100) behind the position
// after. next is the after of the next page, empty at the end. A page costs one query, and batch
// reads if calls have metadata or have not ended. With filters other than times a page may be short
// or even empty although next is set. A call that has just changed may appear in its earlier state.
func (db *DB) CallsOf(ctx context.Context, userID string, h History, limit int, after string) (calls []call.Call, next string, err error) {
	if h.Active && h.From.IsZero() {
		h.From = db.now().Add(-longestCall).Truncate(time.Millisecond)
	}
	from, to := h.bounds()
	in := &dynamodb.QueryInput{TableName: &db.table.Calls, IndexName: aws.String("by_user"), ScanIndexForward: aws.Bool(false),
		KeyConditionExpression:    aws.String("user_id = :user AND created_at BETWEEN :from AND :to"),
		ExpressionAttributeValues: row{":user": str(userID), ":from": from, ":to": to}}
	if in.FilterExpression = h.filter(in); in.FilterExpression == nil {
		in.Limit = aws.Int32(int32(limit) + 1)
	}
	if at, id, ok := strings.Cut(after, " "); ok {
		in.ExclusiveStartKey = recordOf(id)
		in.ExclusiveStartKey["user_id"], in.ExclusiveStartKey["created_at"] = str(userID), str(at)
	}
	out, err := db.client.Query(ctx, in)
	if err != nil {
		return nil, "", unavailable("list calls", err)
	}
	for _, raw := range out.Items[:min(limit, len(out.Items))] {
		r, err := decode[callRow](raw)
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

// longestCall is longer than any call takes from its creation to its end: a wait for the dial,
// ringing and 4 hours of talk.
const longestCall = 24 * time.Hour

// has reports whether h selects a call that complete has filled in. It checks what the query could
// not: a call that was active when it was listed may have another status now, and the index does
// not hold metadata.
func (h History) has(c call.Call) bool {
	for name, value := range h.Metadata {
		if got, there := c.Metadata[name]; !there || got != value {
			return false
		}
	}
	return (h.Status == "" || c.Status == h.Status) && !(h.Active && c.Status.Ended())
}

// complete fills in at most 100 calls: the metadata of the calls that have some, and the records of
// the calls that have no final status.
func (db *DB) complete(ctx context.Context, calls []call.Call) error {
	var keys []row
	for _, c := range calls {
		if c.HasMetadata {
			keys = append(keys, rowKey(c.ID, promptKey))
		}
		if c.Status == "" {
			keys = append(keys, recordOf(c.ID))
		}
	}
	details, records := map[string]promptRow{}, map[string]call.Call{}
	for some := range slices.Chunk(keys, mostKeys) {
		err := db.batchGet(ctx, map[string]types.KeysAndAttributes{db.table.Calls: {Keys: some}}, func(raw row) error {
			if sk, _ := raw["sk"].(*types.AttributeValueMemberS); sk.Value == promptKey {
				d, err := decode[promptRow](raw)
				details[d.ID] = d
				return err
			}
			c, err := callFrom(raw)
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

// mostKeys is the maximum number of rows that DynamoDB reads in one batch.
const mostKeys = 100

// batchGet reads at most mostKeys rows and calls read for each of them.
func (db *DB) batchGet(ctx context.Context, ask map[string]types.KeysAndAttributes, read func(row) error) error {
	out, err := db.client.BatchGetItem(ctx, &dynamodb.BatchGetItemInput{RequestItems: ask})
	if err != nil {
		return unavailable("read rows", err)
	}
	for _, rows := range out.Responses {
		for _, raw := range rows {
			if err := read(raw); err != nil {
				return err
			}
		}
	}
	return nil
}

// bounds are the first and the last time of creation that belong to h.
func (h History) bounds() (from, to types.AttributeValue) {
	to = str("9999")
	if !h.To.IsZero() {
		to = timestamp(h.To.Add(-time.Millisecond))
	}
	return timestamp(h.From), to
}

// filter is the filter expression of everything that h selects besides the time. It adds the values
// of the expression to in, and is nil if there is nothing to filter.
func (h History) filter(in *dynamodb.QueryInput) *string {
	var terms []string
	for _, wanted := range [][2]string{{"direction", string(h.Direction)}, {"number_id", h.NumberID}} {
		if name, value := wanted[0], wanted[1]; value != "" {
			in.ExpressionAttributeValues[":"+name] = str(value)
			terms = append(terms, name+" = :"+name)
		}
	}
	if len(h.Metadata) > 0 {
		in.ExpressionAttributeValues[":some"] = &types.AttributeValueMemberBOOL{Value: true}
		terms = append(terms, "has_metadata = :some")
	}
	switch {
	case h.Status.Ended():
		in.ExpressionAttributeValues[":status"] = str(string(h.Status))
		terms = append(terms, "final_status = :status")
	case h.Status != "", h.Active:
		terms = append(terms, "attribute_not_exists(final_status)")
	}
	if terms == nil {
		return nil
	}
	return aws.String(strings.Join(terms, " AND "))
}

// positionOf is the position of a call's row in a list: its time of creation and its id.
func positionOf(raw row) string {
	at, _ := raw["created_at"].(*types.AttributeValueMemberS)
	id, _ := raw["call_id"].(*types.AttributeValueMemberS)
	if at == nil || id == nil {
		return ""
	}
	return at.Value + " " + id.Value
}

package store

import (
	"cmp"
	"context"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/krosai/telephony/shared/event"
	"github.com/krosai/telephony/shared/fault"
)

// The Events table: what has happened to each user, one partition per user, in
// the order in which it was written down. The sort key is the time of the writing
// and the event's id. Rows expire after event.Kept. A row is written in the
// transaction that makes it true and never changed, and the table's stream hands
// it to those who act on it (functions/sendevents, functions/resumecall).
type eventRow struct {
	UserID      string `dynamodbav:"user_id"`
	SK          string `dynamodbav:"sk"`
	ID          string `dynamodbav:"event_id"`
	Type        string `dynamodbav:"event_type"`
	At          Time   `dynamodbav:"at"`
	CallID      string `dynamodbav:"call_id,omitempty"`
	Data        string `dynamodbav:"data"`
	HasMetadata bool   `dynamodbav:"has_metadata,omitempty"`
	ExpiresAt   int64  `dynamodbav:"expires_at"` // the attribute that DynamoDB expires rows by, Unix seconds
}

func (r eventRow) event() event.Event {
	recorded, _ := time.Parse(clock, r.SK[:min(len(clock), len(r.SK))])
	return event.Event{ID: r.ID, UserID: r.UserID, Type: r.Type, At: r.At.Time, Recorded: recorded, CallID: r.CallID,
		Data: []byte(r.Data), HasMetadata: r.HasMetadata}
}

// EventKey is the position of an event in its user's log. Positions are in the
// order of the times of writing.
func EventKey(e event.Event) string { return e.Recorded.UTC().Format(clock) + "#" + e.ID }

// event is the write of an event. It must be part of a transaction that is
// applied at most once.
func (db *DB) event(e event.Event) (types.TransactWriteItem, error) {
	e.Recorded = db.now()
	row, err := encode(eventRow{UserID: e.UserID, SK: EventKey(e), ID: e.ID, Type: e.Type, At: Time{e.At}, CallID: e.CallID,
		Data: string(e.Data), HasMetadata: e.HasMetadata, ExpiresAt: e.Recorded.Add(event.Kept).Unix()})
	return types.TransactWriteItem{Put: &types.Put{TableName: &db.table.Events, Item: row}}, err
}

// EventsOf lists a user's events in the order in which they were written down: at
// most limit of them (1 or more), those at the position from and behind it. The
// empty position is before all events.
func (db *DB) EventsOf(ctx context.Context, userID, from string, limit int) ([]event.Event, error) {
	out, err := db.client.Query(ctx, &dynamodb.QueryInput{TableName: &db.table.Events, Limit: aws.Int32(int32(limit)),
		ConsistentRead: aws.Bool(true), KeyConditionExpression: aws.String("user_id = :user AND sk >= :from"),
		ExpressionAttributeValues: item{":user": text(userID), ":from": text(cmp.Or(from, "0"))}}) // a key is never empty
	if err != nil {
		return nil, broken("list events", err)
	}
	var events []event.Event
	for _, row := range out.Items {
		r, err := decode[eventRow](row)
		if err != nil {
			return nil, err
		}
		events = append(events, r.event())
	}
	return events, nil
}

// Event reads an event of a user by its position. One that is not there is
// fault.NotFound.
func (db *DB) Event(ctx context.Context, userID, key string) (event.Event, error) {
	out, err := db.client.GetItem(ctx, &dynamodb.GetItemInput{TableName: &db.table.Events, ConsistentRead: aws.Bool(true),
		Key: item{"user_id": text(userID), "sk": text(key)}})
	switch {
	case err != nil:
		return event.Event{}, broken("read event", err)
	case out.Item == nil:
		return event.Event{}, fault.Missing("event")
	}
	r, err := decode[eventRow](out.Item)
	return r.event(), err
}

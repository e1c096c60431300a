package store

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/krosai/telephony/shared/call"
	"github.com/krosai/telephony/shared/event"
	"github.com/krosai/telephony/shared/fault"
)

// The Events table: the events of each user, one partition per user, in the order in which
// they were written. The sort key is the time of the writing and the event's id. Rows expire
// after event.Kept. A row is written in the transaction that makes its event true, and never
// changes. The table's stream passes it to the functions that act on it
// (functions/queuedeliveries, functions/resumecall).
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

// EventKey is the position of an event in its user's log. Positions sort by the time of writing.
func EventKey(e event.Event) string { return e.Recorded.UTC().Format(clock) + "#" + e.ID }

// event is the write of an event. It must be part of a transaction that is
// applied at most once.
func (db *DB) event(e event.Event) (types.TransactWriteItem, error) {
	e.Recorded = db.now()
	raw, err := encode(eventRow{UserID: e.UserID, SK: EventKey(e), ID: e.ID, Type: e.Type, At: Time{e.At}, CallID: e.CallID,
		Data: string(e.Data), HasMetadata: e.HasMetadata, ExpiresAt: e.Recorded.Add(event.Kept).Unix()})
	return types.TransactWriteItem{Put: &types.Put{TableName: &db.table.Events, Item: raw}}, err
}

// Log selects which of a user's events to list: those recorded from From on and before To, where
// the zero To is no bound. With a CallID it selects only the events of that call.
type Log struct {
	From, To time.Time
	CallID   string
}

// EventsOf lists a user's events in the order in which they were recorded. It returns at most limit
// events (1 or more) behind the position after. next is the after of the next page, empty at the
// end. With a call a page may be short or even empty although next is set. MetadataOf reads the
// metadata of the events' calls.
func (db *DB) EventsOf(ctx context.Context, userID string, l Log, limit int, after string) (events []event.Event, next string, err error) {
	to := str("~") // sorts after every time
	if !l.To.IsZero() {
		to = timestamp(l.To)
	}
	in := &dynamodb.QueryInput{TableName: &db.table.Events, Limit: aws.Int32(int32(limit)), ConsistentRead: aws.Bool(true),
		KeyConditionExpression:    aws.String("user_id = :user AND sk BETWEEN :from AND :to"),
		ExpressionAttributeValues: row{":user": str(userID), ":from": timestamp(l.From), ":to": to}}
	if l.CallID != "" { // a limit would also count the rows that the filter drops
		in.Limit, in.FilterExpression = nil, aws.String("call_id = :call")
		in.ExpressionAttributeValues[":call"] = str(l.CallID)
	}
	if after != "" {
		in.ExclusiveStartKey = row{"user_id": str(userID), "sk": str(after)}
	}
	out, err := db.client.Query(ctx, in)
	if err != nil {
		return nil, "", unavailable("list events", err)
	}
	for _, raw := range out.Items {
		r, err := decode[eventRow](raw)
		if err != nil {
			return nil, "", err
		}
		if len(events) == limit {
			return events, EventKey(events[limit-1]), nil
		}
		events = append(events, r.event())
	}
	if last, more := out.LastEvaluatedKey["sk"].(*types.AttributeValueMemberS); more {
		next = last.Value
	}
	return events, next, nil
}

// MetadataOf reads the metadata of the calls of at most 100 events, by call id.
func (db *DB) MetadataOf(ctx context.Context, events []event.Event) (map[string]map[string]string, error) {
	var calls []call.Call
	for _, e := range events {
		if e.HasMetadata && !slices.ContainsFunc(calls, func(c call.Call) bool { return c.ID == e.CallID }) {
			calls = append(calls, call.Call{ID: e.CallID, HasMetadata: true, Status: call.Completed})
		}
	}
	err := db.complete(ctx, calls)
	metadata := map[string]map[string]string{}
	for _, c := range calls {
		metadata[c.ID] = c.Metadata
	}
	return metadata, err
}

// TurnsSince reads the turns of a call that were received at from or later, in the order of
// their receipt.
func (db *DB) TurnsSince(ctx context.Context, callID string, from time.Time) ([]call.Turn, error) {
	turns, err := db.turns(ctx, callID)
	turns = slices.DeleteFunc(turns, func(t call.Turn) bool { return t.Received.Before(from) })
	slices.SortStableFunc(turns, func(a, b call.Turn) int { return a.Received.Compare(b.Received) })
	return turns, err
}

// MaxWaiters is how many requests of a user may wait for events at the same time.
const MaxWaiters = 5

// Wait takes one of a user's MaxWaiters places until the time until, at which the wait must be
// over, and returns the number of the place. If all places are taken, the error is
// fault.Limited TOO_MANY_WAITERS.
func (db *DB) Wait(ctx context.Context, userID string, until time.Time) (place int, err error) {
	for place = range MaxWaiters {
		_, err := db.client.UpdateItem(ctx, &dynamodb.UpdateItemInput{TableName: &db.table.Limits, Key: waitersKey(userID),
			UpdateExpression:         aws.String("SET #place = :until, expires_at = :end"),
			ConditionExpression:      aws.String("attribute_not_exists(#place) OR #place <= :now"),
			ExpressionAttributeNames: map[string]string{"#place": placeName(place)},
			ExpressionAttributeValues: row{":until": timestamp(until), ":now": timestamp(db.now()),
				":end": integer(until.Add(time.Hour).Unix())}})
		if _, taken := conditionFailed(err); !taken {
			return place, unavailable("wait for events", err)
		}
	}
	return 0, &fault.Error{Kind: fault.Limited, Code: "TOO_MANY_WAITERS", RetryAfter: 5 * time.Second,
		Detail: fmt.Sprintf("%d requests of yours wait for events already", MaxWaiters)}
}

// StopWaiting gives back the place that Wait took with the same until. A place that is not given
// back becomes free at that time.
func (db *DB) StopWaiting(ctx context.Context, userID string, place int, until time.Time) error {
	_, err := db.client.UpdateItem(ctx, &dynamodb.UpdateItemInput{TableName: &db.table.Limits, Key: waitersKey(userID),
		UpdateExpression: aws.String("REMOVE #place"), ConditionExpression: aws.String("#place = :until"),
		ExpressionAttributeNames:  map[string]string{"#place": placeName(place)},
		ExpressionAttributeValues: row{":until": timestamp(until)}})
	if _, other := conditionFailed(err); other {
		return nil
	}
	return unavailable("stop waiting", err)
}

func waitersKey(userID string) row { return row{"pk": str("waiters#" + userID)} }

func placeName(place int) string { return fmt.Sprintf("place_%d", place) }

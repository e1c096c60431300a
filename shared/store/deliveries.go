package store

import (
	"bytes"
	"cmp"
	"compress/flate"
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/event"
	"github.com/krosai/telephony/shared/fault"
	"github.com/krosai/telephony/shared/webhook"
)

// deliveryRow is a delivery. Its row is written with the outcome of the first attempt. The row of a
// replay or a test is also written when the user asks for it. The body is compressed, so that the
// row of an ordinary delivery is one write unit.
type deliveryRow struct {
	UserID     string `dynamodbav:"user_id"`
	SK         string `dynamodbav:"sk"`
	EventID    string `dynamodbav:"event_id"`
	Type       string `dynamodbav:"event_type"`
	HappenedAt Time   `dynamodbav:"happened_at"`
	Body       []byte `dynamodbav:"body,omitempty"`
	Status     string `dynamodbav:"status"`
	Attempts   int    `dynamodbav:"attempts"`
	LastStatus int    `dynamodbav:"last_status,omitempty"`
	LastError  string `dynamodbav:"last_error,omitempty"`
	Answer     string `dynamodbav:"answer,omitempty"`
	ReplayOf   string `dynamodbav:"replay_of,omitempty"`
	CreatedAt  Time   `dynamodbav:"created_at"`
	LastAt     Time   `dynamodbav:"last_at"`
	NextAt     Time   `dynamodbav:"next_at"`
	ExpiresAt  int64  `dynamodbav:"expires_at"` // the attribute that DynamoDB expires rows by, Unix seconds
}

func deliveryOf(userID, endpointID, id string) row {
	return webhookKey(userID, deliveryKey+endpointID+"#"+id)
}

func (r deliveryRow) delivery() (webhook.Delivery, error) {
	body, err := expand(r.Body)
	endpoint, id, _ := strings.Cut(strings.TrimPrefix(r.SK, deliveryKey), "#")
	return webhook.Delivery{ID: id, EndpointID: endpoint, Status: webhook.Status(r.Status), Attempts: r.Attempts, LastStatus: r.LastStatus,
		LastError: r.LastError, Answer: r.Answer, ReplayOf: r.ReplayOf, CreatedAt: r.CreatedAt.Time, LastAt: r.LastAt.Time, NextAt: r.NextAt.Time,
		Event: webhook.Event{ID: r.EventID, UserID: r.UserID, Type: r.Type, At: r.HappenedAt.Time, Body: body}}, err
}

func deliveryFrom(raw row) (webhook.Delivery, error) {
	r, err := decode[deliveryRow](raw)
	if err != nil {
		return webhook.Delivery{}, err
	}
	return r.delivery()
}

func (r deliveryRow) expired(now time.Time) bool { return r.ExpiresAt <= now.Unix() }

func rowOfDelivery(d webhook.Delivery) (row, error) {
	body, err := squeeze(d.Event.Body)
	if err != nil {
		return nil, err
	}
	return encode(deliveryRow{UserID: d.Event.UserID, SK: deliveryKey + d.EndpointID + "#" + d.ID, EventID: d.Event.ID, Type: d.Event.Type,
		HappenedAt: Time{d.Event.At}, Body: body, Status: string(d.Status), Attempts: d.Attempts, LastStatus: d.LastStatus,
		LastError: d.LastError, Answer: d.Answer, ReplayOf: d.ReplayOf, CreatedAt: Time{d.CreatedAt}, LastAt: Time{d.LastAt},
		NextAt: Time{d.NextAt}, ExpiresAt: d.CreatedAt.Add(webhook.Kept).Unix()})
}

// squeeze and expand compress and decompress a body.
func squeeze(body []byte) ([]byte, error) {
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, flate.BestCompression)
	if err == nil {
		_, err = w.Write(body)
	}
	if err == nil {
		err = w.Close()
	}
	return b.Bytes(), err
}

func expand(squeezed []byte) ([]byte, error) {
	if squeezed == nil {
		return nil, nil
	}
	body, err := io.ReadAll(flate.NewReader(bytes.NewReader(squeezed)))
	if err != nil {
		return nil, fmt.Errorf("body of a delivery: %w", err)
	}
	return body, nil
}

// DeliveryFor reads the delivery that a message asks for, and its endpoint, in one consistent
// request. The endpoint has no id if it was deleted. A delivery that is not stored yet is made from
// its event and its call's metadata, from the delivery that it repeats, or from the message of a
// test. If the event or the repeated delivery has expired, the error is fault.NotFound.
func (db *DB) DeliveryFor(ctx context.Context, m webhook.Message) (webhook.Delivery, webhook.Endpoint, error) {
	rows, err := db.rowsFor(ctx, m)
	if err != nil {
		return webhook.Delivery{}, webhook.Endpoint{}, err
	}
	e, err := endpointFrom(rows[endpointKey+m.EndpointID])
	if err != nil {
		return webhook.Delivery{}, e, err
	}
	if there := rows[deliveryKey+m.EndpointID+"#"+m.DeliveryID]; there != nil {
		d, err := deliveryFrom(there)
		return d, e, err
	}
	d := webhook.Delivery{ID: m.DeliveryID, EndpointID: m.EndpointID, Status: webhook.Pending, ReplayOf: m.ReplayOf, CreatedAt: db.now()}
	switch {
	case m.ReplayOf != "":
		old, err := deliveryFrom(rows[deliveryKey+m.EndpointID+"#"+m.ReplayOf])
		d.Event = old.Event
		if err == nil && old.ID == "" {
			err = fault.Missing("webhook delivery")
		}
		return d, e, err
	case !m.TestAt.IsZero():
		d.Event = sent(event.Test(m.UserID, m.EndpointID, m.DeliveryID, m.TestAt), nil)
		return d, e, nil
	case rows[m.Event] == nil:
		return d, e, fault.Missing("event")
	}
	happened, err := decode[eventRow](rows[m.Event])
	if err != nil {
		return d, e, err
	}
	details, err := decode[promptRow](rows[promptKey])
	d.Event = sent(happened.event(), details.Metadata)
	return d, e, err
}

// sent turns an event into its form for webhook endpoints.
func sent(e event.Event, metadata map[string]string) webhook.Event {
	return webhook.Event{ID: e.ID, UserID: e.UserID, Type: e.Type, At: e.At, Body: e.Body(metadata)}
}

// rowsFor reads the rows that DeliveryFor needs, by sort key.
func (db *DB) rowsFor(ctx context.Context, m webhook.Message) (map[string]row, error) {
	webhooks := []row{endpointOf(m.UserID, m.EndpointID), deliveryOf(m.UserID, m.EndpointID, m.DeliveryID)}
	if m.ReplayOf != "" {
		webhooks = append(webhooks, deliveryOf(m.UserID, m.EndpointID, m.ReplayOf))
	}
	ask := map[string]types.KeysAndAttributes{db.table.Webhooks: {Keys: webhooks, ConsistentRead: aws.Bool(true)}}
	if m.Event != "" {
		ask[db.table.Events] = types.KeysAndAttributes{Keys: []row{{"user_id": str(m.UserID), "sk": str(m.Event)}}, ConsistentRead: aws.Bool(true)}
	}
	if m.CallID != "" {
		ask[db.table.Calls] = types.KeysAndAttributes{Keys: []row{rowKey(m.CallID, promptKey)}, ConsistentRead: aws.Bool(true)}
	}
	rows := map[string]row{}
	return rows, db.batchGet(ctx, ask, func(raw row) error {
		if sk, ok := raw["sk"].(*types.AttributeValueMemberS); ok {
			rows[sk.Value] = raw
		}
		return nil
	})
}

// AddDelivery stores a new delivery and returns it. If a delivery with this id is already stored,
// it is returned and nothing changes.
func (db *DB) AddDelivery(ctx context.Context, d webhook.Delivery) (webhook.Delivery, error) {
	raw, err := rowOfDelivery(d)
	if err != nil {
		return d, err
	}
	_, err = db.client.PutItem(ctx, &dynamodb.PutItemInput{TableName: &db.table.Webhooks, Item: raw,
		ConditionExpression:                 aws.String("attribute_not_exists(sk)"),
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld})
	if there, failed := conditionFailed(err); failed {
		return deliveryFrom(there)
	}
	return d, unavailable("add delivery", err)
}

// ClaimAttempt gives the caller the exclusive right to make the next attempt at a stored delivery,
// as it was read, and counts the attempt. If its outcome is not saved by until, the delivery
// continues then. mine is false if another attempt has the right, or if the delivery is finished.
func (db *DB) ClaimAttempt(ctx context.Context, d webhook.Delivery, until time.Time) (mine bool, err error) {
	_, err = db.client.UpdateItem(ctx, &dynamodb.UpdateItemInput{TableName: &db.table.Webhooks, Key: deliveryOf(d.Event.UserID, d.EndpointID, d.ID),
		UpdateExpression:         aws.String("SET attempts = :next, next_at = :until"),
		ConditionExpression:      aws.String("#status = :pending AND attempts = :was"),
		ExpressionAttributeNames: map[string]string{"#status": "status"},
		ExpressionAttributeValues: row{":pending": str(string(webhook.Pending)), ":was": integer(int64(d.Attempts)),
			":next": integer(int64(d.Attempts) + 1), ":until": timestamp(until)}})
	if _, failed := conditionFailed(err); failed {
		return false, nil
	}
	return err == nil, unavailable("claim attempt", err)
}

// SaveDelivery writes a delivery after an attempt, or as given up. was is the number of attempts in
// its row, and 0 if there is no row. If the row has changed in the meantime, the error is
// fault.Conflict and nothing changes.
func (db *DB) SaveDelivery(ctx context.Context, d webhook.Delivery, was int) error {
	raw, err := rowOfDelivery(d)
	if err != nil {
		return err
	}
	condition := "#status = :pending AND attempts = :was"
	if was == 0 {
		condition = "attribute_not_exists(sk) OR " + condition
	}
	_, err = db.client.PutItem(ctx, &dynamodb.PutItemInput{TableName: &db.table.Webhooks, Item: raw, ConditionExpression: &condition,
		ExpressionAttributeNames:            map[string]string{"#status": "status"},
		ExpressionAttributeValues:           row{":pending": str(string(webhook.Pending)), ":was": integer(int64(was))},
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld})
	if there, failed := conditionFailed(err); failed {
		stored, err := deliveryFrom(there)
		if err == nil && (stored.Status != d.Status || stored.Attempts != d.Attempts || stored.LastAt.UnixMilli() != d.LastAt.UnixMilli()) {
			err = fault.New(fault.Conflict, "CONFLICT", "the delivery was attempted by another instance at the same time")
		}
		return err // nil if the row is from this write, whose answer was lost
	}
	return unavailable("save delivery", err)
}

// Delivery reads a delivery and its endpoint, with its secret, in one consistent read. A delivery
// that does not exist, belongs to another user or has expired is fault.NotFound. The endpoint has
// no id if it was deleted.
func (db *DB) Delivery(ctx context.Context, userID, endpointID, id string) (webhook.Delivery, webhook.Endpoint, error) {
	out, err := db.client.TransactGetItems(ctx, &dynamodb.TransactGetItemsInput{TransactItems: []types.TransactGetItem{
		{Get: &types.Get{TableName: &db.table.Webhooks, Key: deliveryOf(userID, endpointID, id)}},
		{Get: &types.Get{TableName: &db.table.Webhooks, Key: endpointOf(userID, endpointID)}}}})
	if err != nil {
		return webhook.Delivery{}, webhook.Endpoint{}, unavailable("read delivery", err)
	}
	r, err := decode[deliveryRow](out.Responses[0].Item)
	if err != nil || r.expired(db.now()) { // a missing row decodes as expired
		return webhook.Delivery{}, webhook.Endpoint{}, cmp.Or(err, error(fault.Missing("webhook delivery")))
	}
	d, err := r.delivery()
	if err != nil {
		return d, webhook.Endpoint{}, err
	}
	e, err := endpointFrom(out.Responses[1].Item)
	return d, e, err
}

// DeliveriesOf lists the deliveries to a user's endpoint, newest first, or only those with a
// status. It returns at most limit deliveries (1 or more) older than the id after. next is
// the after of the next page, empty at the end. A page may be short although next is set. If
// there are no deliveries and the endpoint does not exist or belongs to another user, the
// error is fault.NotFound.
func (db *DB) DeliveriesOf(ctx context.Context, userID, endpointID string, status webhook.Status, limit int, after string) (deliveries []webhook.Delivery, next string, err error) {
	in := &dynamodb.QueryInput{TableName: &db.table.Webhooks, ScanIndexForward: aws.Bool(false), ConsistentRead: aws.Bool(true),
		KeyConditionExpression:    aws.String("user_id = :user AND begins_with(sk, :kind)"),
		ExpressionAttributeValues: row{":user": str(userID), ":kind": str(deliveryKey + endpointID + "#")}}
	if status == "" {
		in.Limit = aws.Int32(int32(limit) + 1)
	} else { // a limit would also count the rows that the filter drops
		in.FilterExpression = aws.String("#status = :status")
		in.ExpressionAttributeNames = map[string]string{"#status": "status"}
		in.ExpressionAttributeValues[":status"] = str(string(status))
	}
	if after != "" {
		in.ExclusiveStartKey = deliveryOf(userID, endpointID, after)
	}
	out, err := db.client.Query(ctx, in)
	if err != nil {
		return nil, "", unavailable("list deliveries", err)
	}
	deliveries, next, err = db.pageOf(out, limit)
	if err == nil && next == "" && len(deliveries) == 0 && after == "" {
		_, err = db.Endpoint(ctx, userID, endpointID)
	}
	return deliveries, next, err
}

// mostBodies is the maximum size in bytes of the bodies on a page. In the API's answer a body is a
// JSON string, which may take twice as much space, and Lambda limits answers to 6 MB.
const mostBodies = 2 << 20

// pageOf decodes at most limit deliveries of a query's answer, and returns the id after which the
// next page begins.
func (db *DB) pageOf(out *dynamodb.QueryOutput, limit int) (deliveries []webhook.Delivery, next string, err error) {
	bodies := 0
	for _, raw := range out.Items {
		r, err := decode[deliveryRow](raw)
		if err != nil {
			return nil, "", err
		}
		if r.expired(db.now()) {
			continue
		}
		if len(deliveries) == limit {
			return deliveries, deliveries[limit-1].ID, nil
		}
		d, err := r.delivery()
		if err != nil {
			return nil, "", err
		}
		if bodies += len(d.Event.Body); bodies > mostBodies && len(deliveries) > 0 {
			return deliveries, deliveries[len(deliveries)-1].ID, nil
		}
		deliveries = append(deliveries, d)
	}
	if out.LastEvaluatedKey != nil {
		last, err := deliveryFrom(out.LastEvaluatedKey)
		return deliveries, last.ID, err
	}
	return deliveries, "", nil
}

// deliveryRequests and repetitions limit the replays and tests that users ask for.
var (
	deliveryRequests = limitKind{"deliveries", "deliveries by replays and tests", webhook.RequestsPerHour}
	repetitions      = limitKind{"repetitions", "replays of one delivery, or tests of one endpoint,", webhook.RepetitionPerHour}
)

// SpendDelivery counts a replay of a delivery or a test of an endpoint. It counts against the
// user's hour and against the hour of id, which names the delivery or the endpoint. It returns
// both limits in their new state. If one of them is reached, the error is fault.Limited and
// nothing is counted.
func (db *DB) SpendDelivery(ctx context.Context, userID, id string, at time.Time) ([]account.Limit, error) {
	keys := []row{deliveryRequests.key(userID, at), repetitions.key(id, at)}
	found, err := db.readTogether(ctx, keys, "")
	if err != nil {
		return nil, err
	}
	limits := make([]account.Limit, len(keys))
	kinds := []limitKind{deliveryRequests, repetitions}
	for i, key := range keys {
		if limits[i], err = db.limitOf(found[keyOf(key)], kinds[i], at); err != nil {
			return nil, err
		}
	}
	spends := []types.TransactWriteItem{db.spend(userID, deliveryRequests, at), db.spend(id, repetitions, at)}
	err = db.transact(ctx, spends...)
	if rows, failed := conditionsFailed(err); failed {
		for i, spend := range spends {
			if rows.of(spend) != nil {
				limits[i].Used = limits[i].Quota
				return limits, kinds[i].spent(at)
			}
		}
	}
	for i := range limits {
		limits[i].Used++
	}
	return limits, unavailable("spend delivery", err)
}

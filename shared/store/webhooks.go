package store

import (
	"cmp"
	"context"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/krosai/telephony/shared/fault"
	"github.com/krosai/telephony/shared/secret"
	"github.com/krosai/telephony/shared/webhook"
)

// The Webhooks table: one partition per user. Rows "e#<endpoint>" are their
// endpoints, rows "d#<endpoint>#<delivery>" what was sent there and is to be;
// ids are in the order of their times. The row "endpoints" holds the ids of the
// endpoints in the set ids, which is what limits their number.
type endpointRow struct {
	UserID    string   `dynamodbav:"user_id"`
	SK        string   `dynamodbav:"sk"`
	URL       string   `dynamodbav:"url"`
	Events    []string `dynamodbav:"events,stringset"`
	Secret    string   `dynamodbav:"secret,omitempty"`
	CreatedAt Time     `dynamodbav:"created_at"`
}

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
	ReplayOf   string `dynamodbav:"replay_of,omitempty"`
	CreatedAt  Time   `dynamodbav:"created_at"`
	LastAt     Time   `dynamodbav:"last_at"`
	NextAt     Time   `dynamodbav:"next_at"`
	ExpiresAt  int64  `dynamodbav:"expires_at"` // the attribute that DynamoDB expires rows by, Unix seconds
}

const (
	endpointKey = "e#"
	deliveryKey = "d#"
)

func webhookKey(userID, sk string) item { return item{"user_id": text(userID), "sk": text(sk)} }

func endpointOf(userID, id string) item { return webhookKey(userID, endpointKey+id) }

func deliveryOf(userID, endpointID, id string) item {
	return webhookKey(userID, deliveryKey+endpointID+"#"+id)
}

func (r endpointRow) endpoint() webhook.Endpoint {
	return webhook.Endpoint{ID: strings.TrimPrefix(r.SK, endpointKey), UserID: r.UserID, URL: r.URL, Events: r.Events,
		Secret: secret.New(r.Secret), CreatedAt: r.CreatedAt.Time}
}

func (r deliveryRow) delivery() webhook.Delivery {
	endpoint, id, _ := strings.Cut(strings.TrimPrefix(r.SK, deliveryKey), "#")
	return webhook.Delivery{ID: id, EndpointID: endpoint, Status: webhook.Status(r.Status), Attempts: r.Attempts, LastStatus: r.LastStatus,
		LastError: r.LastError, ReplayOf: r.ReplayOf, CreatedAt: r.CreatedAt.Time, LastAt: r.LastAt.Time, NextAt: r.NextAt.Time,
		Event: webhook.Event{ID: r.EventID, UserID: r.UserID, Type: r.Type, At: r.HappenedAt.Time, Body: r.Body}}
}

func deliveryFrom(row item) (webhook.Delivery, error) {
	r, err := decode[deliveryRow](row)
	return r.delivery(), err
}

// AddEndpoint stores a new endpoint. It is fault.Conflict when its user has
// webhook.MaxEndpoints already. If an endpoint with this id is there, an earlier
// attempt at the same request has stored it and could not say so: it gets the
// secret of e, since nobody knows the one that it had.
func (db *DB) AddEndpoint(ctx context.Context, e webhook.Endpoint) error {
	row, err := encode(endpointRow{UserID: e.UserID, SK: endpointKey + e.ID, URL: e.URL, Events: e.Events, Secret: e.Secret.Reveal(),
		CreatedAt: Time{e.CreatedAt}})
	if err != nil {
		return err
	}
	err = db.transact(ctx,
		types.TransactWriteItem{Update: &types.Update{TableName: &db.table.Webhooks, Key: webhookKey(e.UserID, "endpoints"),
			UpdateExpression:          aws.String("ADD ids :id"),
			ConditionExpression:       aws.String("attribute_not_exists(ids) OR size(ids) < :most OR contains(ids, :one)"),
			ExpressionAttributeValues: item{":id": &types.AttributeValueMemberSS{Value: []string{e.ID}}, ":one": text(e.ID), ":most": integer(webhook.MaxEndpoints)}}},
		types.TransactWriteItem{Put: &types.Put{TableName: &db.table.Webhooks, Item: row,
			ConditionExpression: aws.String("attribute_not_exists(sk) OR created_at < :created"), ExpressionAttributeValues: item{":created": stamp(e.CreatedAt)}}})
	rows, no := refusedIn(err)
	switch {
	case no && rows[1] != nil: // a later attempt was faster
		return inProgress()
	case no:
		return fault.New(fault.Conflict, "CONFLICT", "an account can have %d webhook endpoints: delete one first", webhook.MaxEndpoints)
	}
	return broken("add webhook endpoint", err)
}

// DeleteEndpoint deletes a user's endpoint. What was delivered there stays on
// record. An endpoint that does not exist or is somebody else's is
// fault.NotFound.
func (db *DB) DeleteEndpoint(ctx context.Context, userID, id string) error {
	err := db.transact(ctx,
		types.TransactWriteItem{Delete: &types.Delete{TableName: &db.table.Webhooks, Key: endpointOf(userID, id),
			ConditionExpression: aws.String("attribute_exists(sk)")}},
		types.TransactWriteItem{Update: &types.Update{TableName: &db.table.Webhooks, Key: webhookKey(userID, "endpoints"),
			UpdateExpression:          aws.String("DELETE ids :id"),
			ExpressionAttributeValues: item{":id": &types.AttributeValueMemberSS{Value: []string{id}}}}})
	if _, no := refusedIn(err); no {
		return fault.Missing("webhook endpoint")
	}
	return broken("delete webhook endpoint", err)
}

// EndpointsOf lists a user's endpoints without their secrets, newest first: at
// most limit of them (1 or more), those before the id after. next is the after
// of the rest, empty at the end.
func (db *DB) EndpointsOf(ctx context.Context, userID string, limit int, after string) (endpoints []webhook.Endpoint, next string, err error) {
	in := &dynamodb.QueryInput{TableName: &db.table.Webhooks, Limit: aws.Int32(int32(limit) + 1), ScanIndexForward: aws.Bool(false),
		ConsistentRead:            aws.Bool(true),
		KeyConditionExpression:    aws.String("user_id = :user AND begins_with(sk, :kind)"),
		ProjectionExpression:      aws.String("user_id, sk, #url, events, created_at"),
		ExpressionAttributeNames:  map[string]string{"#url": "url"},
		ExpressionAttributeValues: item{":user": text(userID), ":kind": text(endpointKey)}}
	if after != "" {
		in.ExclusiveStartKey = endpointOf(userID, after)
	}
	out, err := db.client.Query(ctx, in)
	if err != nil {
		return nil, "", broken("list webhook endpoints", err)
	}
	for _, row := range out.Items[:min(limit, len(out.Items))] {
		r, err := decode[endpointRow](row)
		if err != nil {
			return nil, "", err
		}
		endpoints = append(endpoints, r.endpoint())
	}
	if len(out.Items) > limit {
		next = endpoints[limit-1].ID
	}
	return endpoints, next, nil
}

// AddDelivery stores a new delivery and returns it. One that is stored already,
// under its id, is success and changes nothing; it is returned as it stands.
func (db *DB) AddDelivery(ctx context.Context, d webhook.Delivery) (webhook.Delivery, error) {
	row, err := encode(deliveryRow{UserID: d.Event.UserID, SK: deliveryKey + d.EndpointID + "#" + d.ID, EventID: d.Event.ID, Type: d.Event.Type,
		HappenedAt: Time{d.Event.At}, Body: d.Event.Body, Status: string(d.Status), ReplayOf: d.ReplayOf, CreatedAt: Time{d.CreatedAt},
		NextAt: Time{d.NextAt}, ExpiresAt: d.CreatedAt.Add(webhook.Kept).Unix()})
	if err != nil {
		return d, err
	}
	_, err = db.client.PutItem(ctx, &dynamodb.PutItemInput{TableName: &db.table.Webhooks, Item: row,
		ConditionExpression:                 aws.String("attribute_not_exists(sk)"),
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld})
	if there, no := refused(err); no {
		return deliveryFrom(there)
	}
	return d, broken("add delivery", err)
}

// Delivery reads a delivery and its endpoint, with its secret, in one consistent
// read. A delivery that does not exist, is somebody else's or has expired is
// fault.NotFound. The endpoint has no id when it was deleted.
func (db *DB) Delivery(ctx context.Context, userID, endpointID, id string) (webhook.Delivery, webhook.Endpoint, error) {
	out, err := db.client.TransactGetItems(ctx, &dynamodb.TransactGetItemsInput{TransactItems: []types.TransactGetItem{
		{Get: &types.Get{TableName: &db.table.Webhooks, Key: deliveryOf(userID, endpointID, id)}},
		{Get: &types.Get{TableName: &db.table.Webhooks, Key: endpointOf(userID, endpointID)}}}})
	if err != nil {
		return webhook.Delivery{}, webhook.Endpoint{}, broken("read delivery", err)
	}
	d, err := decode[deliveryRow](out.Responses[0].Item)
	if err != nil || d.expired(db.now()) { // one that is not there has expired at the beginning of time
		return webhook.Delivery{}, webhook.Endpoint{}, cmp.Or(err, error(fault.Missing("webhook delivery")))
	}
	e, err := decode[endpointRow](out.Responses[1].Item)
	return d.delivery(), e.endpoint(), err
}

func (r deliveryRow) expired(now time.Time) bool { return r.ExpiresAt <= now.Unix() }

// DeliveriesOf lists the deliveries to a user's endpoint, newest first and
// without bodies: at most limit of them (1 or more), those before the id after,
// and with a status only those that have it. next is the after of the rest,
// empty at the end; a page may be short and have one all the same. An endpoint
// that nothing was ever delivered to and that does not exist, or is somebody
// else's, is fault.NotFound.
func (db *DB) DeliveriesOf(ctx context.Context, userID, endpointID string, status webhook.Status, limit int, after string) (deliveries []webhook.Delivery, next string, err error) {
	in := &dynamodb.QueryInput{TableName: &db.table.Webhooks, ScanIndexForward: aws.Bool(false), ConsistentRead: aws.Bool(true),
		KeyConditionExpression:    aws.String("user_id = :user AND begins_with(sk, :kind)"),
		ProjectionExpression:      aws.String("user_id, sk, event_id, event_type, happened_at, #status, attempts, last_status, last_error, replay_of, created_at, last_at, next_at, expires_at"),
		ExpressionAttributeNames:  map[string]string{"#status": "status"},
		ExpressionAttributeValues: item{":user": text(userID), ":kind": text(deliveryKey + endpointID + "#")}}
	if status == "" {
		in.Limit = aws.Int32(int32(limit) + 1)
	} else { // a limit would count those that the filter drops
		in.FilterExpression = aws.String("#status = :status")
		in.ExpressionAttributeValues[":status"] = text(string(status))
	}
	if after != "" {
		in.ExclusiveStartKey = deliveryOf(userID, endpointID, after)
	}
	out, err := db.client.Query(ctx, in)
	if err != nil {
		return nil, "", broken("list deliveries", err)
	}
	for _, row := range out.Items {
		r, err := decode[deliveryRow](row)
		switch {
		case err != nil:
			return nil, "", err
		case r.expired(db.now()):
		case len(deliveries) == limit:
			return deliveries, deliveries[limit-1].ID, nil
		default:
			deliveries = append(deliveries, r.delivery())
		}
	}
	if out.LastEvaluatedKey != nil {
		last, err := deliveryFrom(out.LastEvaluatedKey)
		return deliveries, last.ID, err
	}
	if len(deliveries) == 0 && after == "" {
		err = db.mustHaveEndpoint(ctx, userID, endpointID)
	}
	return deliveries, "", err
}

func (db *DB) mustHaveEndpoint(ctx context.Context, userID, id string) error {
	out, err := db.client.GetItem(ctx, &dynamodb.GetItemInput{TableName: &db.table.Webhooks, Key: endpointOf(userID, id),
		ProjectionExpression: aws.String("sk"), ConsistentRead: aws.Bool(true)})
	if err == nil && out.Item == nil {
		return fault.Missing("webhook endpoint")
	}
	return broken("read webhook endpoint", err)
}

// RecordAttempt writes down what an attempt at a delivery, as it was read before
// it, came to. A delivery that has come to its end meanwhile, or has expired,
// keeps what it has.
func (db *DB) RecordAttempt(ctx context.Context, d webhook.Delivery, a webhook.Attempt) error {
	set, remove := "SET #status = :to, attempts = :n, last_at = :at, last_status = :code, last_error = :error", " REMOVE next_at"
	values := item{":pending": text(string(webhook.Pending)), ":to": text(string(a.Status)), ":n": integer(int64(d.Attempts) + 1),
		":at": stamp(a.At), ":code": integer(int64(a.Code)), ":error": text(a.Error)}
	if !a.NextAt.IsZero() {
		set, remove = set+", next_at = :next", ""
		values[":next"] = stamp(a.NextAt)
	}
	return db.updateDelivery(ctx, "record attempt", deliveryOf(d.Event.UserID, d.EndpointID, d.ID), set+remove, values)
}

// BuryDelivery gives a delivery up, unless it has come to its end or has
// expired.
func (db *DB) BuryDelivery(ctx context.Context, userID, endpointID, id string) error {
	return db.updateDelivery(ctx, "bury delivery", deliveryOf(userID, endpointID, id), "SET #status = :to REMOVE next_at",
		item{":pending": text(string(webhook.Pending)), ":to": text(string(webhook.Dead))})
}

// updateDelivery updates a delivery if it is pending, which one that does not
// exist is not.
func (db *DB) updateDelivery(ctx context.Context, op string, key item, update string, values item) error {
	_, err := db.client.UpdateItem(ctx, &dynamodb.UpdateItemInput{TableName: &db.table.Webhooks, Key: key, UpdateExpression: &update,
		ConditionExpression: aws.String("#status = :pending"), ExpressionAttributeNames: map[string]string{"#status": "status"},
		ExpressionAttributeValues: values})
	if _, no := refused(err); no {
		return nil
	}
	return broken(op, err)
}

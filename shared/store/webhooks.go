package store

import (
	"context"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/krosai/telephony/shared/event"
	"github.com/krosai/telephony/shared/fault"
	"github.com/krosai/telephony/shared/secret"
	"github.com/krosai/telephony/shared/webhook"
)

// The Webhooks table: one partition per user. Rows "e#<endpoint>" are the user's endpoints. Rows
// "d#<endpoint>#<delivery>" are the deliveries to them, finished or pending (deliveries.go). Ids
// sort by their time. The row "endpoints" holds the ids of the endpoints in the set ids, which
// limits their number.
type endpointRow struct {
	UserID         string   `dynamodbav:"user_id"`
	SK             string   `dynamodbav:"sk"`
	URL            string   `dynamodbav:"url"`
	Events         []string `dynamodbav:"events,stringset"`
	Secret         string   `dynamodbav:"secret,omitempty"`
	OldSecret      string   `dynamodbav:"old_secret,omitempty"`
	OldUntil       Time     `dynamodbav:"old_until"`
	CreatedAt      Time     `dynamodbav:"created_at"`
	Paused         bool     `dynamodbav:"paused,omitempty"`
	DisabledAt     Time     `dynamodbav:"disabled_at"`
	DisabledReason string   `dynamodbav:"disabled_reason,omitempty"`
	Failures       int      `dynamodbav:"failures,omitempty"`
	FailingSince   Time     `dynamodbav:"failing_since"`
	HeldUntil      Time     `dynamodbav:"held_until"`
}

const (
	endpointKey = "e#"
	deliveryKey = "d#"
)

func webhookKey(userID, sk string) row { return row{"user_id": str(userID), "sk": str(sk)} }

func endpointOf(userID, id string) row { return webhookKey(userID, endpointKey+id) }

func (r endpointRow) endpoint() webhook.Endpoint {
	return webhook.Endpoint{ID: strings.TrimPrefix(r.SK, endpointKey), UserID: r.UserID, URL: r.URL, Events: r.Events,
		Secret: secret.New(r.Secret), OldSecret: secret.New(r.OldSecret), OldUntil: r.OldUntil.Time, CreatedAt: r.CreatedAt.Time,
		Paused: r.Paused, DisabledAt: r.DisabledAt.Time, DisabledReason: r.DisabledReason, Failures: r.Failures,
		FailingSince: r.FailingSince.Time, HeldUntil: r.HeldUntil.Time}
}

func endpointFrom(raw row) (webhook.Endpoint, error) {
	r, err := decode[endpointRow](raw)
	return r.endpoint(), err
}

// AddEndpoint stores a new endpoint. The error is fault.Conflict if its user already has
// webhook.MaxEndpoints. If an endpoint with this id exists, an earlier attempt at the same request
// stored it and its answer was lost. That endpoint then gets the secret of e, because the client
// never got the other one.
func (db *DB) AddEndpoint(ctx context.Context, e webhook.Endpoint) error {
	raw, err := encode(endpointRow{UserID: e.UserID, SK: endpointKey + e.ID, URL: e.URL, Events: e.Events, Secret: e.Secret.Reveal(),
		CreatedAt: Time{e.CreatedAt}})
	if err != nil {
		return err
	}
	count := types.TransactWriteItem{Update: &types.Update{TableName: &db.table.Webhooks, Key: webhookKey(e.UserID, "endpoints"),
		UpdateExpression:          aws.String("ADD ids :id"),
		ConditionExpression:       aws.String("attribute_not_exists(ids) OR size(ids) < :most OR contains(ids, :one)"),
		ExpressionAttributeValues: row{":id": &types.AttributeValueMemberSS{Value: []string{e.ID}}, ":one": str(e.ID), ":most": integer(webhook.MaxEndpoints)}}}
	put := types.TransactWriteItem{Put: &types.Put{TableName: &db.table.Webhooks, Item: raw,
		ConditionExpression: aws.String("attribute_not_exists(sk) OR created_at < :created"), ExpressionAttributeValues: row{":created": timestamp(e.CreatedAt)}}}
	err = db.transact(ctx, count, put)
	rows, failed := conditionsFailed(err)
	switch {
	case rows.of(put) != nil: // a later attempt at the same request has stored the endpoint
		return inProgress()
	case failed:
		return fault.New(fault.Conflict, "CONFLICT", "an account can have %d webhook endpoints: delete one first", webhook.MaxEndpoints)
	}
	return unavailable("add webhook endpoint", err)
}

// DeleteEndpoint deletes a user's endpoint. The deliveries to it are kept. An endpoint that does
// not exist or belongs to another user is fault.NotFound.
func (db *DB) DeleteEndpoint(ctx context.Context, userID, id string) error {
	err := db.transact(ctx,
		types.TransactWriteItem{Delete: &types.Delete{TableName: &db.table.Webhooks, Key: endpointOf(userID, id),
			ConditionExpression: aws.String("attribute_exists(sk)")}},
		types.TransactWriteItem{Update: &types.Update{TableName: &db.table.Webhooks, Key: webhookKey(userID, "endpoints"),
			UpdateExpression:          aws.String("DELETE ids :id"),
			ExpressionAttributeValues: row{":id": &types.AttributeValueMemberSS{Value: []string{id}}}}})
	if _, failed := conditionsFailed(err); failed {
		return fault.Missing("webhook endpoint")
	}
	return unavailable("delete webhook endpoint", err)
}

// EndpointsOf lists a user's endpoints without their secrets, newest first. It returns at most
// limit endpoints (1 or more) older than the id after. next is the after of the next page, empty at
// the end.
func (db *DB) EndpointsOf(ctx context.Context, userID string, limit int, after string) (endpoints []webhook.Endpoint, next string, err error) {
	in := &dynamodb.QueryInput{TableName: &db.table.Webhooks, Limit: aws.Int32(int32(limit) + 1), ScanIndexForward: aws.Bool(false),
		ConsistentRead:            aws.Bool(true),
		KeyConditionExpression:    aws.String("user_id = :user AND begins_with(sk, :kind)"),
		ProjectionExpression:      aws.String("user_id, sk, #url, events, created_at, paused, disabled_at, disabled_reason, failures, failing_since, held_until"),
		ExpressionAttributeNames:  map[string]string{"#url": "url"},
		ExpressionAttributeValues: row{":user": str(userID), ":kind": str(endpointKey)}}
	if after != "" {
		in.ExclusiveStartKey = endpointOf(userID, after)
	}
	out, err := db.client.Query(ctx, in)
	if err != nil {
		return nil, "", unavailable("list webhook endpoints", err)
	}
	for _, raw := range out.Items[:min(limit, len(out.Items))] {
		e, err := endpointFrom(raw)
		if err != nil {
			return nil, "", err
		}
		endpoints = append(endpoints, e)
	}
	if len(out.Items) > limit {
		next = endpoints[limit-1].ID
	}
	return endpoints, next, nil
}

// Endpoint reads a user's endpoint with its secrets. An endpoint that does not exist or belongs to
// another user is fault.NotFound.
func (db *DB) Endpoint(ctx context.Context, userID, id string) (webhook.Endpoint, error) {
	out, err := db.client.GetItem(ctx, &dynamodb.GetItemInput{TableName: &db.table.Webhooks, Key: endpointOf(userID, id), ConsistentRead: aws.Bool(true)})
	switch {
	case err != nil:
		return webhook.Endpoint{}, unavailable("read webhook endpoint", err)
	case out.Item == nil:
		return webhook.Endpoint{}, fault.Missing("webhook endpoint")
	}
	return endpointFrom(out.Item)
}

// EndpointChange is a change of an endpoint by its owner. A nil field stays as it is.
type EndpointChange struct {
	URL    *string
	Events []string
	Paused *bool
}

// UpdateEndpoint changes a user's endpoint and returns it. A new URL or the end of a pause
// enables an endpoint that was disabled. An endpoint that does not exist or belongs to another
// user is fault.NotFound.
func (db *DB) UpdateEndpoint(ctx context.Context, userID, id string, change EndpointChange) (webhook.Endpoint, error) {
	var sets, removes []string
	names, values := map[string]string{}, row{}
	if change.URL != nil {
		sets, names["#url"], values[":url"] = append(sets, "#url = :url"), "url", str(*change.URL)
	}
	if change.Events != nil {
		sets, values[":events"] = append(sets, "events = :events"), &types.AttributeValueMemberSS{Value: change.Events}
	}
	if change.Paused != nil && *change.Paused {
		sets, values[":paused"] = append(sets, "paused = :paused"), &types.AttributeValueMemberBOOL{Value: true}
	}
	if change.Paused != nil && !*change.Paused {
		removes = append(removes, "paused")
	}
	if change.URL != nil || change.Paused != nil && !*change.Paused {
		removes = append(removes, "disabled_at", "disabled_reason", "failures", "failing_since", "held_until")
	}
	update := ""
	if len(sets) > 0 {
		update = "SET " + strings.Join(sets, ", ")
	}
	if len(removes) > 0 {
		update += " REMOVE " + strings.Join(removes, ", ")
	}
	in := &dynamodb.UpdateItemInput{TableName: &db.table.Webhooks, Key: endpointOf(userID, id), UpdateExpression: &update,
		ConditionExpression: aws.String("attribute_exists(sk)"), ReturnValues: types.ReturnValueAllNew}
	if len(names) > 0 {
		in.ExpressionAttributeNames = names
	}
	if len(values) > 0 {
		in.ExpressionAttributeValues = values
	}
	return db.updatedEndpoint(ctx, "update webhook endpoint", in)
}

// updatedEndpoint sends an update whose only condition is that the endpoint exists. If it does not,
// the error is fault.NotFound.
func (db *DB) updatedEndpoint(ctx context.Context, op string, in *dynamodb.UpdateItemInput) (webhook.Endpoint, error) {
	out, err := db.client.UpdateItem(ctx, in)
	if _, failed := conditionFailed(err); failed {
		return webhook.Endpoint{}, fault.Missing("webhook endpoint")
	}
	if err != nil {
		return webhook.Endpoint{}, unavailable(op, err)
	}
	return endpointFrom(out.Attributes)
}

// RotateSecret gives a user's endpoint a new secret and returns the endpoint. The old secret also
// signs until the time until, which may be in the past. An endpoint that does not exist or belongs
// to another user is fault.NotFound.
func (db *DB) RotateSecret(ctx context.Context, userID, id string, next secret.Secret, until time.Time) (webhook.Endpoint, error) {
	out, err := db.client.UpdateItem(ctx, &dynamodb.UpdateItemInput{TableName: &db.table.Webhooks, Key: endpointOf(userID, id),
		UpdateExpression:                    aws.String("SET old_secret = secret, old_until = :until, secret = :next"),
		ConditionExpression:                 aws.String("attribute_exists(sk) AND secret <> :next"),
		ExpressionAttributeValues:           row{":next": str(next.Reveal()), ":until": timestamp(until)},
		ReturnValues:                        types.ReturnValueAllNew,
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld})
	if there, failed := conditionFailed(err); failed {
		if there == nil {
			return webhook.Endpoint{}, fault.Missing("webhook endpoint")
		}
		return endpointFrom(there) // the secret is from this rotation, whose answer was lost
	}
	if err != nil {
		return webhook.Endpoint{}, unavailable("rotate webhook secret", err)
	}
	return endpointFrom(out.Attributes)
}

// RecordFailure counts a failed attempt at an endpoint, and holds the endpoint after many failures
// in a row. It returns the endpoint in its new state, without an id if it was deleted. A failure
// whose answer is lost may count twice.
func (db *DB) RecordFailure(ctx context.Context, e webhook.Endpoint, at time.Time) (webhook.Endpoint, error) {
	update, values := "SET failing_since = if_not_exists(failing_since, :at)", row{":at": timestamp(at), ":one": integer(1)}
	if hold := webhook.Hold(e.Failures + 1); hold > 0 {
		update += ", held_until = :until"
		values[":until"] = timestamp(at.Add(hold))
	}
	update += " ADD failures :one"
	e, err := db.updatedEndpoint(ctx, "record failure", &dynamodb.UpdateItemInput{TableName: &db.table.Webhooks, Key: endpointOf(e.UserID, e.ID),
		UpdateExpression: &update, ConditionExpression: aws.String("attribute_exists(sk)"), ExpressionAttributeValues: values,
		ReturnValues: types.ReturnValueAllNew})
	if fault.Is(err, fault.NotFound) {
		return webhook.Endpoint{}, nil
	}
	return e, err
}

// ClaimProbe gives the caller the exclusive right to try a held endpoint until a moment. mine is
// false if another delivery has the right, or if the endpoint was deleted.
func (db *DB) ClaimProbe(ctx context.Context, e webhook.Endpoint, until time.Time) (mine bool, err error) {
	condition, values := "attribute_exists(sk) AND attribute_not_exists(held_until)", row{":until": timestamp(until)}
	if !e.HeldUntil.IsZero() {
		condition = "held_until = :was"
		values[":was"] = timestamp(e.HeldUntil)
	}
	_, err = db.client.UpdateItem(ctx, &dynamodb.UpdateItemInput{TableName: &db.table.Webhooks, Key: endpointOf(e.UserID, e.ID),
		UpdateExpression: aws.String("SET held_until = :until"), ConditionExpression: &condition, ExpressionAttributeValues: values})
	if _, failed := conditionFailed(err); failed {
		return false, nil
	}
	return err == nil, unavailable("claim probe", err)
}

// ClearFailures records that an attempt at an endpoint has succeeded.
func (db *DB) ClearFailures(ctx context.Context, e webhook.Endpoint) error {
	_, err := db.client.UpdateItem(ctx, &dynamodb.UpdateItemInput{TableName: &db.table.Webhooks, Key: endpointOf(e.UserID, e.ID),
		UpdateExpression: aws.String("REMOVE failures, failing_since, held_until"), ConditionExpression: aws.String("attribute_exists(sk)")})
	if _, failed := conditionFailed(err); failed {
		return nil
	}
	return unavailable("clear failures", err)
}

// DisableEndpoint disables a failing endpoint and writes the event for its owner. An endpoint that
// is already disabled, or that works again, stays as it is.
func (db *DB) DisableEndpoint(ctx context.Context, e webhook.Endpoint, at time.Time) error {
	told, err := db.event(event.Disabled(e.UserID, e.ID, e.URL, at))
	if err != nil {
		return err
	}
	err = db.transact(ctx,
		types.TransactWriteItem{Update: &types.Update{TableName: &db.table.Webhooks, Key: endpointOf(e.UserID, e.ID),
			UpdateExpression:          aws.String("SET disabled_at = :at, disabled_reason = :why"),
			ConditionExpression:       aws.String("attribute_exists(failures) AND attribute_not_exists(disabled_at)"),
			ExpressionAttributeValues: row{":at": timestamp(at), ":why": str(webhook.Failures)}}}, told)
	if _, failed := conditionsFailed(err); failed {
		return nil
	}
	return unavailable("disable webhook endpoint", err)
}

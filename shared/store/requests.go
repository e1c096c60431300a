package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/fault"
	"github.com/krosai/telephony/shared/number"
	"github.com/krosai/telephony/shared/numberrequest"
)

// The Requests table: one row per request, and one row per claim. A claim makes "already
// requested" a conditional write. It is on the number that is asked for or chosen, or on a kind of
// number by a user. A request holds its claims until it is assigned or rejected. Request ids sort
// by their time, so they order the indexes: by_user; by_status, over shards; and open, over
// shards, with the requests whose workflow has work left. A request leaves the index open when
// open_shard is removed.
type requestRow struct {
	ID             string   `dynamodbav:"request_id"`
	UserID         string   `dynamodbav:"user_id"`
	Country        string   `dynamodbav:"country,omitempty"`
	Type           string   `dynamodbav:"number_type,omitempty"`
	AreaCode       string   `dynamodbav:"area_code,omitempty"`
	PhoneNumber    string   `dynamodbav:"phone_number,omitempty"`
	Capabilities   []string `dynamodbav:"capabilities"`
	Purpose        string   `dynamodbav:"purpose"`
	Status         string   `dynamodbav:"status"`
	StatusShard    string   `dynamodbav:"status_shard"`
	OpenShard      string   `dynamodbav:"open_shard,omitempty"`
	Reason         string   `dynamodbav:"reason,omitempty"`
	NumberID       string   `dynamodbav:"number_id,omitempty"`
	WantedNumberID string   `dynamodbav:"wanted_number_id,omitempty"`
	DecidedBy      string   `dynamodbav:"decided_by,omitempty"`
	DecidedAt      Time     `dynamodbav:"decided_at"`
	CreatedAt      Time     `dynamodbav:"created_at"`
	UpdatedAt      Time     `dynamodbav:"updated_at"`
	NotifiedAt     Time     `dynamodbav:"notified_at"`
	Reminders      int      `dynamodbav:"reminders,omitempty"`
	TaskToken      string   `dynamodbav:"task_token,omitempty"`
	Awaits         string   `dynamodbav:"awaits,omitempty"`
}

func requestRowOf(r numberrequest.Request) requestRow {
	return requestRow{ID: r.ID, UserID: r.UserID, Country: r.Country, Type: r.Type, AreaCode: r.AreaCode, PhoneNumber: r.PhoneNumber,
		Capabilities: r.Capabilities, Purpose: r.Purpose, Status: string(r.Status), StatusShard: statusShard(r.Status, shard(r.ID)),
		OpenShard: shard(r.ID), Reason: r.Reason, NumberID: r.NumberID, WantedNumberID: r.WantedNumberID, DecidedBy: r.DecidedBy,
		DecidedAt: Time{r.DecidedAt}, CreatedAt: Time{r.CreatedAt}, UpdatedAt: Time{r.UpdatedAt}, NotifiedAt: Time{r.NotifiedAt},
		Reminders: r.Reminders, TaskToken: r.TaskToken, Awaits: r.Awaits}
}

func requestFrom(raw row) (numberrequest.Request, error) {
	r, err := decode[requestRow](raw)
	return numberrequest.Request{ID: r.ID, UserID: r.UserID, Country: r.Country, Type: r.Type, AreaCode: r.AreaCode, PhoneNumber: r.PhoneNumber,
		Capabilities: r.Capabilities, Purpose: r.Purpose, Status: numberrequest.Status(r.Status), Reason: r.Reason, NumberID: r.NumberID,
		WantedNumberID: r.WantedNumberID, DecidedBy: r.DecidedBy, DecidedAt: r.DecidedAt.Time, CreatedAt: r.CreatedAt.Time,
		UpdatedAt: r.UpdatedAt.Time, NotifiedAt: r.NotifiedAt.Time, Reminders: r.Reminders, TaskToken: r.TaskToken, Awaits: r.Awaits}, err
}

func statusShard(s numberrequest.Status, shard string) string { return string(s) + "#" + shard }

func requestKey(id string) row { return row{"request_id": str(id)} }

// numberClaim and kindClaim are the keys of claims. A user id may hold any text, so it comes last.
func numberClaim(numberID string) row { return requestKey("claim#number#" + numberID) }

func kindClaim(r numberrequest.Request) row {
	return requestKey("claim#kind#" + r.Country + "#" + r.Type + "#" + r.UserID)
}

// claim is the write that takes a claim for a request, which may already hold it.
func (db *DB) claim(key row, requestID string) types.TransactWriteItem {
	raw := row{"request_id": key["request_id"], "held_by": str(requestID)}
	return types.TransactWriteItem{Put: &types.Put{TableName: &db.table.Requests, Item: raw,
		ConditionExpression:       aws.String("attribute_not_exists(request_id) OR held_by = :id"),
		ExpressionAttributeValues: row{":id": str(requestID)}}}
}

// unclaim is the write that gives back a claim. Its condition fails if another request holds
// the claim.
func (db *DB) unclaim(key row, requestID string) types.TransactWriteItem {
	return types.TransactWriteItem{Delete: &types.Delete{TableName: &db.table.Requests, Key: key,
		ConditionExpression:       aws.String("attribute_not_exists(request_id) OR held_by = :id"),
		ExpressionAttributeValues: row{":id": str(requestID)}}}
}

// unclaimAll returns the writes that give back all claims of a request.
func (db *DB) unclaimAll(r numberrequest.Request) []types.TransactWriteItem {
	given := []types.TransactWriteItem{db.unclaim(kindClaim(r), r.ID)}
	if only := r.Only(); only != "" {
		given = append(given, db.unclaim(numberClaim(only), r.ID))
	}
	return given
}

// CreateRequest records a pending request. The error is fault.Conflict
// PHONE_NUMBER_ALREADY_REQUESTED if any user has requested or owns the number that it names, or if
// the user has an open request for the same country and type. It is fault.Limited if the user's
// hour is used up. If a request with this id is already recorded, it is returned and nothing
// changes. The limit is the hour after this request. It has no name if it could not be read.
func (db *DB) CreateRequest(ctx context.Context, r numberrequest.Request) (numberrequest.Request, account.Limit, error) {
	own, err := db.policyRow(ctx, policyKey(r.UserID))
	if err != nil {
		return r, account.Limit{}, err
	}
	kind := numberRequests.upTo(own.policy().NumberRequestsPerHour)
	r, err = db.createRequest(ctx, r, kind)
	hour, _ := db.limit(ctx, r.UserID, kind, r.CreatedAt)
	return r, hour, err
}

func (db *DB) createRequest(ctx context.Context, r numberrequest.Request, kind limitKind) (numberrequest.Request, error) {
	r.Status, r.UpdatedAt = numberrequest.Pending, r.CreatedAt
	raw, err := encode(requestRowOf(r))
	if err != nil {
		return r, err
	}
	entry, err := db.note(r.ID, numberrequest.Entry{At: r.CreatedAt, Actor: r.UserID, Action: "submitted", To: string(r.Status)})
	if err != nil {
		return r, err
	}
	record := types.TransactWriteItem{Put: &types.Put{TableName: &db.table.Requests, Item: raw,
		ConditionExpression:                 aws.String("attribute_not_exists(request_id)"),
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld}}
	claim, spend := db.claim(kindClaim(r), r.ID), db.spend(r.UserID, kind, r.CreatedAt)
	writes := []types.TransactWriteItem{record, entry, claim, spend}
	if r.PhoneNumber != "" {
		id := number.ID(r.PhoneNumber)
		writes = append(writes, db.claim(numberClaim(id), r.ID), types.TransactWriteItem{ConditionCheck: &types.ConditionCheck{
			TableName: &db.table.Numbers, Key: row{"number_id": str(id)}, ConditionExpression: aws.String("attribute_not_exists(user_id)")}})
	}
	err = db.transact(ctx, append(writes, db.known(r.UserID))...)
	rows, failed := conditionsFailed(err)
	switch {
	case err == nil:
		return r, nil
	case !failed:
		return r, unavailable("create request", err)
	case rows.of(record) != nil:
		return requestFrom(rows.of(record))
	case rows.of(claim) != nil:
		return r, fault.New(fault.Conflict, "PHONE_NUMBER_ALREADY_REQUESTED",
			"you have an open request for a number of this country and type already")
	case rows.of(spend) != nil && len(rows) == 1:
		return r, kind.spent(r.CreatedAt)
	}
	return r, fault.New(fault.Conflict, "PHONE_NUMBER_ALREADY_REQUESTED",
		"the phone number is requested or assigned already")
}

// RequestByID reads a request. It does not check the request's owner. An unknown id is
// fault.NotFound.
func (db *DB) RequestByID(ctx context.Context, id string) (numberrequest.Request, error) {
	out, err := db.client.GetItem(ctx, &dynamodb.GetItemInput{TableName: &db.table.Requests, Key: requestKey(id), ConsistentRead: aws.Bool(true)})
	if err != nil {
		return numberrequest.Request{}, unavailable("read request", err)
	}
	r, err := requestFrom(out.Item)
	if err == nil && r.Status == "" { // missing, or a claim
		return numberrequest.Request{}, fault.Missing("phone number request")
	}
	return r, err
}

// Request reads a request of a user. A request that does not exist or belongs to another user
// is fault.NotFound.
func (db *DB) Request(ctx context.Context, userID, id string) (numberrequest.Request, error) {
	r, err := db.RequestByID(ctx, id)
	if err == nil && r.UserID != userID {
		return numberrequest.Request{}, fault.Missing("phone number request")
	}
	return r, err
}

// RequestsOf lists a user's requests, newest first. It returns at most limit requests (1 or more)
// older than the id after. next is the after of the next page, empty at the end. A request made a
// moment ago may be missing.
func (db *DB) RequestsOf(ctx context.Context, userID string, limit int, after string) ([]numberrequest.Request, string, error) {
	in := &dynamodb.QueryInput{IndexName: aws.String("by_user"), ScanIndexForward: aws.Bool(false), Limit: aws.Int32(int32(limit) + 1),
		KeyConditionExpression: aws.String("user_id = :user"), ExpressionAttributeValues: row{":user": str(userID)}}
	if after != "" {
		in.ExclusiveStartKey = row{"user_id": str(userID), "request_id": str(after)}
	}
	found, err := db.queryRequests(ctx, in)
	return page(found, limit, err)
}

// RequestsWith lists all users' requests in a state, oldest first, in pages like RequestsOf. It
// queries all shards of the index at once.
func (db *DB) RequestsWith(ctx context.Context, status numberrequest.Status, limit int, after string) ([]numberrequest.Request, string, error) {
	found, err := db.eachShard(func(s string) ([]numberrequest.Request, error) {
		key := row{"status_shard": str(statusShard(status, s))}
		in := &dynamodb.QueryInput{IndexName: aws.String("by_status"), Limit: aws.Int32(int32(limit) + 1),
			KeyConditionExpression: aws.String("status_shard = :shard"), ExpressionAttributeValues: row{":shard": key["status_shard"]}}
		if after != "" {
			key["request_id"] = str(after)
			in.ExclusiveStartKey = key
		}
		return db.queryRequests(ctx, in)
	})
	return page(found, limit, err)
}

// OpenRequests lists the requests whose workflow has work left, oldest first. The index is
// eventually consistent.
func (db *DB) OpenRequests(ctx context.Context) ([]numberrequest.Request, error) {
	return db.eachShard(func(s string) ([]numberrequest.Request, error) {
		return db.queryRequests(ctx, &dynamodb.QueryInput{IndexName: aws.String("open"),
			KeyConditionExpression: aws.String("open_shard = :shard"), ExpressionAttributeValues: row{":shard": str(s)}})
	})
}

// WaitingFor lists the oldest approved requests that wait for a number like one of these: at most
// ten, or as many as there are numbers if that is more. The index is eventually consistent.
func (db *DB) WaitingFor(ctx context.Context, numbers ...number.Number) ([]numberrequest.Request, error) {
	found, err := db.eachShard(func(s string) ([]numberrequest.Request, error) {
		return db.queryRequests(ctx, &dynamodb.QueryInput{IndexName: aws.String("by_status"), KeyConditionExpression: aws.String("status_shard = :shard"),
			ExpressionAttributeValues: row{":shard": str(statusShard(numberrequest.Approved, s))}})
	})
	found = slices.DeleteFunc(found, func(r numberrequest.Request) bool {
		return r.Awaits != numberrequest.AwaitsNumber || !slices.ContainsFunc(numbers, r.Fits)
	})
	return found[:min(max(10, len(numbers)), len(found))], err
}

// queryRequests reads an index. If in has a limit, it stops as soon as it has that many requests.
func (db *DB) queryRequests(ctx context.Context, in *dynamodb.QueryInput) ([]numberrequest.Request, error) {
	in.TableName = &db.table.Requests
	var found []numberrequest.Request
	for {
		out, err := db.client.Query(ctx, in)
		if err != nil {
			return nil, unavailable("list requests", err)
		}
		for _, raw := range out.Items {
			r, err := requestFrom(raw)
			if err != nil {
				return nil, err
			}
			found = append(found, r)
		}
		in.ExclusiveStartKey = out.LastEvaluatedKey
		if in.ExclusiveStartKey == nil || in.Limit != nil && len(found) >= int(*in.Limit) {
			return found, nil
		}
	}
}

// eachShard queries all shards at once and sorts the requests by their ids.
func (db *DB) eachShard(ask func(shard string) ([]numberrequest.Request, error)) ([]numberrequest.Request, error) {
	var (
		wg    sync.WaitGroup
		found [shards][]numberrequest.Request
		errs  [shards]error
	)
	for s := range shards {
		wg.Go(func() { found[s], errs[s] = ask(fmt.Sprint(s)) })
	}
	wg.Wait()
	all := slices.Concat(found[:]...)
	slices.SortFunc(all, func(a, b numberrequest.Request) int { return cmp.Compare(a.ID, b.ID) })
	return all, errors.Join(errs[:]...)
}

// page cuts found to limit and returns the id after which the next page begins.
func page(found []numberrequest.Request, limit int, err error) ([]numberrequest.Request, string, error) {
	if err != nil || len(found) <= limit {
		return found, "", err
	}
	return found[:limit], found[limit-1].ID, nil
}

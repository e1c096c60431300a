package store

import (
	"context"
	"fmt"
	"hash/fnv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/call"
	"github.com/krosai/telephony/shared/fault"
)

// The Calls table: one partition per call, so that its details are one query.
// The row "call" is the record; rows "e#…" are the timeline, one per state
// and one per transfer, so that writing a state twice writes one line.
const (
	recordKey = "call"
	eventKey  = "e#"
	shards    = 8 // of the index of calls that have not ended
)

type callRow struct {
	ID             string            `dynamodbav:"call_id"`
	SK             string            `dynamodbav:"sk"`
	UserID         string            `dynamodbav:"user_id"`
	Active         string            `dynamodbav:"active_shard,omitempty"`
	Direction      string            `dynamodbav:"direction"`
	PhoneNumber    string            `dynamodbav:"phone_number"`
	FromNumber     string            `dynamodbav:"from_number"`
	NumberID       string            `dynamodbav:"number_id"`
	RoomName       string            `dynamodbav:"room_name"`
	TrunkID        string            `dynamodbav:"trunk_id,omitempty"`
	AgentName      string            `dynamodbav:"agent_name,omitempty"`
	Country        string            `dynamodbav:"country,omitempty"`
	SystemPrompt   string            `dynamodbav:"system_prompt,omitempty"`
	WelcomeMessage string            `dynamodbav:"welcome_message,omitempty"`
	Voice          *call.Voice       `dynamodbav:"voice,omitempty"`
	Metadata       map[string]string `dynamodbav:"metadata,omitempty"`
	DTMF           string            `dynamodbav:"dtmf,omitempty"`
	RingingTimeout int               `dynamodbav:"ringing_timeout"`
	MaxDuration    int               `dynamodbav:"max_duration"`
	Status         string            `dynamodbav:"status"`
	Cause          string            `dynamodbav:"cause,omitempty"`
	SIPStatus      int               `dynamodbav:"sip_status,omitempty"`
	CreatedAt      Time              `dynamodbav:"created_at"`
	DialedAt       Time              `dynamodbav:"dialed_at"`
	DialedBy       string            `dynamodbav:"dialed_by,omitempty"`
	AnsweredAt     Time              `dynamodbav:"answered_at"`
	EndedAt        Time              `dynamodbav:"ended_at"`
	HangupAt       Time              `dynamodbav:"hangup_at"`
	TaskToken      string            `dynamodbav:"task_token,omitempty"`

	TransferID     string `dynamodbav:"transfer_id,omitempty"`
	TransferTo     string `dynamodbav:"transfer_to,omitempty"`
	TransferStatus string `dynamodbav:"transfer_status,omitempty"`
	TransferSIP    int    `dynamodbav:"transfer_sip,omitempty"`
	TransferAt     Time   `dynamodbav:"transfer_at"`
}

type eventRow struct {
	ID     string `dynamodbav:"call_id"`
	SK     string `dynamodbav:"sk"`
	At     Time   `dynamodbav:"at"`
	Name   string `dynamodbav:"event"`
	Detail string `dynamodbav:"detail,omitempty"`
}

// shard spreads the calls that have not ended over a few partitions.
func shard(id string) string {
	h := fnv.New32a()
	h.Write([]byte(id))
	return fmt.Sprint(h.Sum32() % shards)
}

func rowOf(c call.Call) callRow {
	r := callRow{ID: c.ID, SK: recordKey, UserID: c.UserID, Direction: string(c.Direction),
		PhoneNumber: c.PhoneNumber, FromNumber: c.FromNumber, NumberID: c.NumberID, RoomName: c.RoomName,
		TrunkID: c.TrunkID, AgentName: c.AgentName, Country: c.Country, SystemPrompt: c.SystemPrompt,
		WelcomeMessage: c.WelcomeMessage, Voice: c.Voice, Metadata: c.Metadata, DTMF: c.DTMF,
		RingingTimeout: c.RingingTimeout, MaxDuration: c.MaxDuration, Status: string(c.Status), Cause: string(c.Cause),
		SIPStatus: c.SIPStatus, CreatedAt: Time{c.CreatedAt}, DialedAt: Time{c.DialedAt}, AnsweredAt: Time{c.AnsweredAt},
		EndedAt: Time{c.EndedAt}, HangupAt: Time{c.HangupRequested}, TaskToken: c.TaskToken,
		TransferID: c.Transfer.ID, TransferTo: c.Transfer.To, TransferStatus: string(c.Transfer.Status),
		TransferSIP: c.Transfer.SIPStatus, TransferAt: Time{c.Transfer.At}}
	if !c.Status.Ended() {
		r.Active = shard(c.ID)
	}
	return r
}

func (r callRow) call() call.Call {
	return call.Call{ID: r.ID, UserID: r.UserID, Direction: call.Direction(r.Direction), PhoneNumber: r.PhoneNumber,
		FromNumber: r.FromNumber, NumberID: r.NumberID, RoomName: r.RoomName, TrunkID: r.TrunkID, AgentName: r.AgentName,
		Country: r.Country, SystemPrompt: r.SystemPrompt, WelcomeMessage: r.WelcomeMessage, Voice: r.Voice,
		Metadata: r.Metadata, DTMF: r.DTMF, RingingTimeout: r.RingingTimeout, MaxDuration: r.MaxDuration,
		Status: call.Status(r.Status), Cause: call.Cause(r.Cause), SIPStatus: r.SIPStatus, CreatedAt: r.CreatedAt.Time,
		DialedAt: r.DialedAt.Time, AnsweredAt: r.AnsweredAt.Time, EndedAt: r.EndedAt.Time,
		HangupRequested: r.HangupAt.Time, TaskToken: r.TaskToken,
		Transfer: call.Transfer{ID: r.TransferID, To: r.TransferTo, Status: call.TransferStatus(r.TransferStatus),
			SIPStatus: r.TransferSIP, At: r.TransferAt.Time}}
}

func callFrom(row item) (call.Call, error) {
	r, err := decode[callRow](row)
	return r.call(), err
}

func recordOf(id string) item { return item{"call_id": text(id), "sk": text(recordKey)} }

// Call reads a call for the platform's own work, whoever owns it. An unknown
// id is fault.NotFound.
func (db *DB) Call(ctx context.Context, id string) (call.Call, error) {
	out, err := db.client.GetItem(ctx, &dynamodb.GetItemInput{TableName: &db.table.Calls, Key: recordOf(id),
		ConsistentRead: aws.Bool(true)})
	switch {
	case err != nil:
		return call.Call{}, broken("read call", err)
	case out.Item == nil:
		return call.Call{}, fault.Missing("call")
	}
	return callFrom(out.Item)
}

// CreateCall records a new call, its idempotency key, the lease on its user's
// concurrent calls and its count in the user's hour and statistics in one
// transaction, and returns the hour as it then stands. When the key was used
// before it returns the call made then and replayed true; with another body,
// fault.Unprocessable.
// What the user's policy does not allow is fault.Forbidden (CALLS_DISABLED,
// DESTINATION_NOT_ALLOWED) or, when they have too many calls going or the hour is
// spent, fault.Limited. A call that is refused uses up nothing.
func (db *DB) CreateCall(ctx context.Context, c call.Call, may Permit, once Once) (made call.Call, replayed bool, hour account.Limit, err error) {
	kind := callsAnHour.upTo(may.Calls.Quota)
	hour = account.Limit{Name: kind.name, Quota: kind.quota, Used: may.Calls.Used, Resets: ends(c.CreatedAt)}
	row, err := encode(rowOf(c))
	if err != nil {
		return c, false, hour, err
	}
	writes := []types.TransactWriteItem{{Put: &types.Put{TableName: &db.table.Calls, Item: row,
		ConditionExpression: aws.String("attribute_not_exists(call_id)")}},
		db.leaseCall(c.UserID, c.ID, c.Country, may.Home), db.spend(c.UserID, kind, c.CreatedAt)}
	if once.Key != "" {
		writes = append(writes, db.rememberOnce(c, once))
	}
	err = db.transact(ctx, append(writes, db.started(c))...)
	rows, no := refusedIn(err)
	switch {
	case err == nil:
		hour.Used++
		return c, false, hour, nil
	case !no:
		return c, false, hour, broken("create call", err)
	case once.Key != "" && rows[3] != nil:
		c, replayed, err = db.replay(ctx, rows[3], once)
		return c, replayed, hour, err
	case rows[2] != nil:
		hour.Used = hour.Quota
	}
	switch {
	case rows[1] != nil:
		return c, false, hour, refuseCall(rows[1], c.Country, may.Home)
	case rows[2] != nil:
		return c, false, hour, kind.spent(c.CreatedAt)
	}
	return c, false, hour, broken("create call", err)
}

// Advance moves a call forward to dialing, ringing or in_progress and writes
// the line of its timeline. If the call is already there or further, it
// changes nothing; either way it returns the call as it now stands.
func (db *DB) Advance(ctx context.Context, id string, to call.Status, at time.Time) (call.Call, error) {
	name, set := string(to), "SET #status = :to"
	if to == call.InProgress {
		name, set = "answered", "SET #status = :to, answered_at = :at"
	}
	event, err := encode(eventRow{ID: id, SK: eventKey + name, At: Time{at}, Name: name})
	if err != nil {
		return call.Call{}, err
	}
	values := item{":to": text(string(to))}
	if to == call.InProgress {
		values[":at"] = stamp(at)
	}
	err = db.transact(ctx,
		types.TransactWriteItem{Update: &types.Update{TableName: &db.table.Calls, Key: recordOf(id), UpdateExpression: &set,
			ConditionExpression:                 aws.String(earlier(to, values)),
			ExpressionAttributeNames:            map[string]string{"#status": "status"},
			ExpressionAttributeValues:           values,
			ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld}},
		types.TransactWriteItem{Put: &types.Put{TableName: &db.table.Calls, Item: event}})
	if rows, ok := refusedIn(err); ok {
		if len(rows[0]) == 0 {
			return call.Call{}, fault.Missing("call")
		}
		return callFrom(rows[0])
	}
	if err != nil {
		return call.Call{}, broken("advance call", err)
	}
	return db.Call(ctx, id)
}

// earlier is the condition that a call has not reached a state yet.
func earlier(to call.Status, values item) string {
	switch to {
	case call.Dialing:
		values[":a"] = text(string(call.Initiated))
		return "#status = :a"
	case call.Ringing:
		values[":a"], values[":b"] = text(string(call.Initiated)), text(string(call.Dialing))
		return "#status IN (:a, :b)"
	default:
		values[":a"], values[":b"], values[":c"] = text(string(call.Initiated)), text(string(call.Dialing)), text(string(call.Ringing))
		return "#status IN (:a, :b, :c)"
	}
}

// alive is the condition that a call exists and has not ended.
const alive = "attribute_exists(active_shard)"

// ClaimDial gives the one right to dial a call to owner. mine is false when
// the call has ended, or when another owner has claimed it before: then the
// call may have been dialled and must not be again.
func (db *DB) ClaimDial(ctx context.Context, id, owner string, at time.Time) (c call.Call, mine bool, err error) {
	out, err := db.client.UpdateItem(ctx, &dynamodb.UpdateItemInput{TableName: &db.table.Calls, Key: recordOf(id),
		UpdateExpression:                    aws.String("SET dialed_at = :at, dialed_by = :owner"),
		ConditionExpression:                 aws.String(alive + " AND attribute_not_exists(hangup_at) AND (attribute_not_exists(dialed_by) OR dialed_by = :owner)"),
		ExpressionAttributeValues:           item{":at": stamp(at), ":owner": text(owner)},
		ReturnValues:                        types.ReturnValueAllNew,
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld})
	return db.updated(out, err, "claim dial")
}

// AwaitEnd keeps the token of the workflow that waits for the call's end. open
// is false when the call has ended already: then nobody will send the token.
func (db *DB) AwaitEnd(ctx context.Context, id, token string) (c call.Call, open bool, err error) {
	out, err := db.client.UpdateItem(ctx, &dynamodb.UpdateItemInput{TableName: &db.table.Calls, Key: recordOf(id),
		UpdateExpression:                    aws.String("SET task_token = :token"),
		ConditionExpression:                 aws.String(alive),
		ExpressionAttributeValues:           item{":token": text(token)},
		ReturnValues:                        types.ReturnValueAllNew,
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld})
	return db.updated(out, err, "await end")
}

// RequestHangup records that a user wants a call to end. open is false when it
// has ended already. Another user's call is fault.NotFound.
func (db *DB) RequestHangup(ctx context.Context, userID, id string, at time.Time) (c call.Call, open bool, err error) {
	out, err := db.client.UpdateItem(ctx, &dynamodb.UpdateItemInput{TableName: &db.table.Calls, Key: recordOf(id),
		UpdateExpression:                    aws.String("SET hangup_at = if_not_exists(hangup_at, :at)"),
		ConditionExpression:                 aws.String(alive + " AND user_id = :user"),
		ExpressionAttributeValues:           item{":at": stamp(at), ":user": text(userID)},
		ReturnValues:                        types.ReturnValueAllNew,
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld})
	c, open, err = db.updated(out, err, "request hangup")
	if err == nil && c.UserID != userID {
		return call.Call{}, false, fault.Missing("call")
	}
	return c, open, err
}

// updated reads the answer to a conditional update of a call: the new row, or
// the old one that did not meet the condition.
func (db *DB) updated(out *dynamodb.UpdateItemOutput, err error, op string) (call.Call, bool, error) {
	if row, no := refused(err); no {
		if row == nil {
			return call.Call{}, false, fault.Missing("call")
		}
		c, err := callFrom(row)
		return c, false, err
	}
	if err != nil {
		return call.Call{}, false, broken(op, err)
	}
	c, err := callFrom(out.Attributes)
	return c, err == nil, err
}

// EndCall writes the end of a call, its timeline and its statistics in one
// transaction, once. c is the call as the decision saw it: if it has moved on
// since, but not ended, the error is fault.Conflict and the decision is to be
// taken again. If it has ended, the end that was first stands and is returned.
func (db *DB) EndCall(ctx context.Context, c call.Call, end call.End) (call.Call, error) {
	return db.endCall(ctx, c, end)
}

// RefuseCall ends a call whose workflow could not be started. In the same
// transaction it gives back what the call used up of its user's hour and forgets
// its idempotency key, so that the same request may be sent again. Otherwise it
// is EndCall.
func (db *DB) RefuseCall(ctx context.Context, c call.Call, end call.End, once Once) (call.Call, error) {
	undo := []types.TransactWriteItem{db.giveBack(c.UserID, callsAnHour, c.CreatedAt)}
	if once.Key != "" {
		undo = append(undo, types.TransactWriteItem{Delete: &types.Delete{TableName: &db.table.Limits,
			Key: onceKey(once), ConditionExpression: aws.String("attribute_not_exists(pk) OR call_id = :call"),
			ExpressionAttributeValues: item{":call": text(c.ID)}}})
	}
	return db.endCall(ctx, c, end, undo...)
}

func (db *DB) endCall(ctx context.Context, c call.Call, end call.End, more ...types.TransactWriteItem) (call.Call, error) {
	ended := c
	ended.Status, ended.Cause, ended.SIPStatus, ended.EndedAt = end.Status, end.Cause, end.SIPStatus, end.At
	event, err := encode(eventRow{ID: c.ID, SK: eventKey + "ended", At: Time{end.At}, Name: "ended", Detail: string(end.Cause)})
	if err != nil {
		return c, err
	}
	values := item{":to": text(string(end.Status)), ":cause": text(string(end.Cause)),
		":sip": integer(int64(end.SIPStatus)), ":at": stamp(end.At), ":seen": text(string(c.Status))}
	writes := append([]types.TransactWriteItem{
		{Update: &types.Update{TableName: &db.table.Calls, Key: recordOf(c.ID),
			UpdateExpression:                    aws.String("SET #status = :to, cause = :cause, sip_status = :sip, ended_at = :at REMOVE active_shard"),
			ConditionExpression:                 aws.String(alive + " AND #status = :seen AND " + seenHangup(c) + " AND " + seenTransfer(c, values)),
			ExpressionAttributeNames:            map[string]string{"#status": "status"},
			ExpressionAttributeValues:           values,
			ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld}},
		{Put: &types.Put{TableName: &db.table.Calls, Item: event}},
		{Update: db.count(ended)},
	}, more...)
	if c.Direction == call.Outbound {
		writes = append(writes, db.endLease(c.UserID, c.ID))
	}
	err = db.transact(ctx, writes...)
	if rows, ok := refusedIn(err); ok && rows[0] != nil {
		if len(rows[0]) == 0 {
			return c, fault.Missing("call")
		}
		now, err := callFrom(rows[0])
		if err == nil && !now.Status.Ended() {
			return now, fault.New(fault.Conflict, "CONFLICT", "the call moved on to %s", now.Status)
		}
		return now, err
	}
	if err != nil {
		return c, broken("end call", err)
	}
	return ended, nil
}

// seenHangup is the condition that nobody has asked for the end of a call since
// c was read: a hang-up changes the cause and not the status.
func seenHangup(c call.Call) string {
	if c.HangupRequested.IsZero() {
		return "attribute_not_exists(hangup_at)"
	}
	return "attribute_exists(hangup_at)"
}

// ActiveCalls lists the ids of calls that have not ended and were created
// before a moment, oldest first in each shard. The index trails the table by a
// moment: read a call before acting on it.
func (db *DB) ActiveCalls(ctx context.Context, before time.Time) ([]string, error) {
	var ids []string
	for s := range shards {
		pages := dynamodb.NewQueryPaginator(db.client, &dynamodb.QueryInput{TableName: &db.table.Calls,
			IndexName:                 aws.String("active"),
			KeyConditionExpression:    aws.String("active_shard = :shard AND created_at < :before"),
			ExpressionAttributeValues: item{":shard": text(fmt.Sprint(s)), ":before": stamp(before)}})
		for pages.HasMorePages() {
			page, err := pages.NextPage(ctx)
			if err != nil {
				return nil, broken("list active calls", err)
			}
			for _, row := range page.Items {
				if id, ok := row["call_id"].(*types.AttributeValueMemberS); ok {
					ids = append(ids, id.Value)
				}
			}
		}
	}
	return ids, nil
}

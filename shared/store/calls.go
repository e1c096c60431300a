package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/call"
	"github.com/krosai/telephony/shared/event"
	"github.com/krosai/telephony/shared/fault"
	"github.com/krosai/telephony/shared/numberrequest"
)

// The Calls table: one partition per call, so that one query reads everything about a call.
//
//	call      the record. Each state of the call rewrites it, and the indexes copy it. It stays
//	          below 1 KB, which is one write unit.
//	prompt    the parameters of the call that nothing changes: the prompt, the welcome message,
//	          the voice and the metadata
//	token     the task token of the workflow that waits for the end
//	summary, t#…, turns: see details.go
const (
	recordKey = "call"
	promptKey = "prompt"
	tokenKey  = "token"
	shards    = 8 // partitions of each sharded index
)

type callRow struct {
	ID             string   `dynamodbav:"call_id"`
	SK             string   `dynamodbav:"sk"`
	UserID         string   `dynamodbav:"user_id"`
	Active         string   `dynamodbav:"active_shard,omitempty"`
	Direction      string   `dynamodbav:"direction"`
	PhoneNumber    string   `dynamodbav:"phone_number"`
	FromNumber     string   `dynamodbav:"from_number"`
	NumberID       string   `dynamodbav:"number_id"`
	RoomName       string   `dynamodbav:"room_name"`
	TrunkID        string   `dynamodbav:"trunk_id,omitempty"`
	AgentName      string   `dynamodbav:"agent_name,omitempty"`
	Country        string   `dynamodbav:"country,omitempty"`
	HasMetadata    bool     `dynamodbav:"has_metadata,omitempty"`
	DTMF           string   `dynamodbav:"dtmf,omitempty"`
	RingingTimeout int      `dynamodbav:"ringing_timeout"`
	MaxDuration    int      `dynamodbav:"max_duration"`
	Status         string   `dynamodbav:"status"`
	Cause          string   `dynamodbav:"cause,omitempty"`
	SIPStatus      int      `dynamodbav:"sip_status,omitempty"`
	CreatedAt      Time     `dynamodbav:"created_at"`
	DialedAt       Time     `dynamodbav:"dialed_at"`
	DialedBy       string   `dynamodbav:"dialed_by,omitempty"`
	AnsweredAt     Time     `dynamodbav:"answered_at"`
	EndedAt        Time     `dynamodbav:"ended_at"`
	FinalStatus    string   `dynamodbav:"final_status,omitempty"` // see history.go
	FinalAnswer    Time     `dynamodbav:"final_answered_at"`
	HangupAt       Time     `dynamodbav:"hangup_at"`
	MissedAt       Time     `dynamodbav:"doubted_at"`
	Timeline       []string `dynamodbav:"timeline,omitempty"` // time, event and detail, separated by spaces

	Transfers      int    `dynamodbav:"transfers,omitempty"` // attempts so far
	TransferID     string `dynamodbav:"transfer_id,omitempty"`
	TransferTo     string `dynamodbav:"transfer_to,omitempty"`
	TransferStatus string `dynamodbav:"transfer_status,omitempty"`
	TransferSIP    int    `dynamodbav:"transfer_sip,omitempty"`
	TransferAt     Time   `dynamodbav:"transfer_at"`
}

type promptRow struct {
	ID             string            `dynamodbav:"call_id"`
	SK             string            `dynamodbav:"sk"`
	SystemPrompt   string            `dynamodbav:"system_prompt,omitempty"`
	WelcomeMessage string            `dynamodbav:"welcome_message,omitempty"`
	Voice          *call.Voice       `dynamodbav:"voice,omitempty"`
	Metadata       map[string]string `dynamodbav:"metadata,omitempty"`
}

// shard spreads the rows of an index over a few partitions, by id.
func shard(id string) string {
	h := fnv.New32a()
	h.Write([]byte(id))
	return fmt.Sprint(h.Sum32() % shards)
}

func rowOf(c call.Call) callRow {
	r := callRow{ID: c.ID, SK: recordKey, UserID: c.UserID, Direction: string(c.Direction),
		PhoneNumber: c.Remote, FromNumber: c.Own, NumberID: c.NumberID, RoomName: c.RoomName,
		TrunkID: c.TrunkID, AgentName: c.AgentName, Country: c.Country, HasMetadata: c.HasMetadata, DTMF: c.DTMF,
		RingingTimeout: c.RingingTimeout, MaxDuration: c.MaxDuration, Status: string(c.Status), Cause: string(c.Cause),
		SIPStatus: c.SIPStatus, CreatedAt: Time{c.CreatedAt}, DialedAt: Time{c.DialedAt}, AnsweredAt: Time{c.AnsweredAt},
		EndedAt: Time{c.EndedAt}, HangupAt: Time{c.HangupRequested}, MissedAt: Time{c.MissedAt}, Transfers: c.Transfers,
		TransferID: c.Transfer.ID, TransferTo: c.Transfer.To, TransferStatus: string(c.Transfer.Status),
		TransferSIP: c.Transfer.SIPStatus, TransferAt: Time{c.Transfer.At}}
	for _, e := range c.Timeline {
		r.Timeline = append(r.Timeline, lineOf(e))
	}
	if c.Status.Ended() {
		r.FinalStatus, r.FinalAnswer = r.Status, r.AnsweredAt
	} else {
		r.Active = shard(c.ID)
	}
	return r
}

func (r callRow) call() call.Call {
	c := call.Call{ID: r.ID, UserID: r.UserID, Direction: call.Direction(r.Direction), Remote: r.PhoneNumber,
		Own: r.FromNumber, NumberID: r.NumberID, RoomName: r.RoomName, TrunkID: r.TrunkID, AgentName: r.AgentName,
		Country: r.Country, HasMetadata: r.HasMetadata, DTMF: r.DTMF, RingingTimeout: r.RingingTimeout, MaxDuration: r.MaxDuration,
		Status: call.Status(r.Status), Cause: call.Cause(r.Cause), SIPStatus: r.SIPStatus, CreatedAt: r.CreatedAt.Time,
		DialedAt: r.DialedAt.Time, AnsweredAt: r.AnsweredAt.Time, EndedAt: r.EndedAt.Time, HangupRequested: r.HangupAt.Time, MissedAt: r.MissedAt.Time,
		Transfers: r.Transfers, Transfer: call.Transfer{ID: r.TransferID, To: r.TransferTo,
			Status: call.TransferStatus(r.TransferStatus), SIPStatus: r.TransferSIP, At: r.TransferAt.Time}}
	for _, line := range r.Timeline {
		c.Timeline = append(c.Timeline, eventOf(line))
	}
	return c
}

func callFrom(raw row) (call.Call, error) {
	r, err := decode[callRow](raw)
	return r.call(), err
}

// lineOf and eventOf convert between an event of the timeline and its line in the record.
func lineOf(e call.Event) string {
	return strings.TrimSpace(e.At.UTC().Format(clock) + " " + e.Name + " " + e.Detail)
}

func eventOf(line string) call.Event {
	at, rest, _ := strings.Cut(line, " ")
	name, detail, _ := strings.Cut(rest, " ")
	when, _ := time.Parse(clock, at) // written by lineOf
	return call.Event{At: when, Name: name, Detail: detail}
}

// addLine is the part of an update expression that adds an event to the timeline.
const addLine = "timeline = list_append(if_not_exists(timeline, :empty), :line)"

// withLine adds to values the values that addLine needs.
func withLine(values row, e call.Event) row {
	values[":empty"] = &types.AttributeValueMemberL{}
	values[":line"] = &types.AttributeValueMemberL{Value: []types.AttributeValue{str(lineOf(e))}}
	return values
}

// addPrompt fills in the fields that the row "prompt" holds. A nil row means a call
// without details.
func addPrompt(c *call.Call, raw row) error {
	d, err := decode[promptRow](raw)
	c.SystemPrompt, c.WelcomeMessage, c.Voice, c.Metadata = d.SystemPrompt, d.WelcomeMessage, d.Voice, d.Metadata
	return err
}

func rowKey(callID, sk string) row { return row{"call_id": str(callID), "sk": str(sk)} }

func recordOf(id string) row { return rowKey(id, recordKey) }

// Call reads a call's record for the platform's own use. It does not check the call's owner. An
// unknown id is fault.NotFound.
func (db *DB) Call(ctx context.Context, id string) (call.Call, error) {
	out, err := db.client.GetItem(ctx, &dynamodb.GetItemInput{TableName: &db.table.Calls, Key: recordOf(id),
		ConsistentRead: aws.Bool(true)})
	switch {
	case err != nil:
		return call.Call{}, unavailable("read call", err)
	case out.Item == nil:
		return call.Call{}, fault.Missing("call")
	}
	return callFrom(out.Item)
}

// CallWithDetails is Call with the prompt, the welcome message, the voice and the
// metadata.
func (db *DB) CallWithDetails(ctx context.Context, id string) (call.Call, error) {
	out, err := db.client.Query(ctx, &dynamodb.QueryInput{TableName: &db.table.Calls, ConsistentRead: aws.Bool(true),
		KeyConditionExpression:    aws.String("call_id = :id AND sk <= :prompt"),
		ExpressionAttributeValues: row{":id": str(id), ":prompt": str(promptKey)}})
	switch {
	case err != nil:
		return call.Call{}, unavailable("read call", err)
	case len(out.Items) == 0:
		return call.Call{}, fault.Missing("call")
	}
	c, err := callFrom(out.Items[0])
	if err == nil && len(out.Items) > 1 {
		err = addPrompt(&c, out.Items[1])
	}
	return c, err
}

// putDetails is the write of the row "prompt". ok is false if the call has no details to write.
func (db *DB) putDetails(c call.Call) (w types.TransactWriteItem, ok bool, err error) {
	d := promptRow{c.ID, promptKey, c.SystemPrompt, c.WelcomeMessage, c.Voice, c.Metadata}
	if d.SystemPrompt == "" && d.WelcomeMessage == "" && d.Voice == nil && len(d.Metadata) == 0 {
		return w, false, nil
	}
	raw, err := encode(d)
	return types.TransactWriteItem{Put: &types.Put{TableName: &db.table.Calls, Item: raw}}, true, err
}

// CreateCall records a new call, its idempotency key and its share of the user's limits in one
// transaction. It returns the hour of calls after this call, or the limit that is reached. If the
// key was used before, CreateCall returns the call created then, with replayed true. If the key was
// used with another body, the error is fault.Unprocessable.
//
// If the user's policy does not allow the call, the error is fault.Forbidden (CALLS_DISABLED,
// DESTINATION_NOT_ALLOWED, AGENT_NOT_ALLOWED). If a limit is reached, it is fault.Limited. A call
// that is refused uses up nothing.
func (db *DB) CreateCall(ctx context.Context, c call.Call, may Permit, once Once) (made call.Call, replayed bool, hour account.Limit, err error) {
	c.HasMetadata = len(c.Metadata) > 0 // the event of a call that ends at once is made from c
	for range permitReads {
		if err := may.Allow(c.Remote, c.Country, c.AgentName); err != nil {
			return c, false, may.Hour(), err
		}
		usage, remember := db.accept(may.usage, spendingOf(c)), db.rememberOnce(c, once)
		rows, err := db.createCall(ctx, c, once, usage, remember)
		hour = may.Hour()
		switch {
		case err == nil:
			hour.Used++
			return c, false, hour, nil
		case rows == nil:
			return c, false, hour, unavailable("create call", err)
		case rows.of(remember) != nil:
			c, replayed, err = db.replay(ctx, rows.of(remember), once)
			return c, replayed, hour, err
		case rows.of(usage) == nil:
			return c, false, hour, unavailable("create call", err)
		}
		if may.usage, err = usageOf(rows.of(usage), may.at); err != nil {
			return c, false, hour, err
		}
		if limit, err := may.refusal(spendingOf(c)); err != nil {
			return c, false, limit, err
		}
	}
	return c, false, hour, unavailable("create call", errors.New("the user's policy keeps changing"))
}

// permitReads is how many times CreateCall and BeginTransfer try while the user's row
// keeps changing.
const permitReads = 4

// createCall sends CreateCall's transaction. remember is part of it if the request has a key. rows
// is nil if no condition failed.
func (db *DB) createCall(ctx context.Context, c call.Call, once Once, usage, remember types.TransactWriteItem) (rows failures, err error) {
	raw, err := encode(rowOf(c))
	if err != nil {
		return nil, err
	}
	details, some, err := db.putDetails(c)
	if err != nil {
		return nil, err
	}
	writes := []types.TransactWriteItem{usage}
	if once.Key != "" {
		writes = append(writes, remember)
	}
	writes = append(writes, db.started(c), types.TransactWriteItem{Put: &types.Put{TableName: &db.table.Calls, Item: raw,
		ConditionExpression: aws.String("attribute_not_exists(call_id)")}})
	if some {
		writes = append(writes, details)
	}
	err = db.transact(ctx, writes...)
	rows, failed := conditionsFailed(err)
	if !failed {
		return nil, err
	}
	return rows, err
}

// Advance moves a call forward to ringing or in_progress and adds a line to its timeline. A move to
// in_progress also writes the event of the answer. If the call has already reached that state or a
// later one, Advance changes nothing. In either case it returns the call in its current state.
// ClaimDial moves a call to dialing.
func (db *DB) Advance(ctx context.Context, id string, to call.Status, at time.Time) (call.Call, error) {
	if to == call.InProgress {
		return db.answer(ctx, id, at)
	}
	values := withLine(row{":to": str(string(to))}, call.Event{At: at, Name: string(to)})
	out, err := db.client.UpdateItem(ctx, &dynamodb.UpdateItemInput{TableName: &db.table.Calls, Key: recordOf(id),
		UpdateExpression:                    aws.String("SET #status = :to, " + addLine),
		ConditionExpression:                 aws.String(earlier(to, values)),
		ExpressionAttributeNames:            map[string]string{"#status": "status"},
		ExpressionAttributeValues:           values,
		ReturnValues:                        types.ReturnValueAllNew,
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld})
	c, _, err := db.updated(out, err, "advance call")
	return c, err
}

// answer moves a call to in_progress and writes the event of the answer.
func (db *DB) answer(ctx context.Context, id string, at time.Time) (call.Call, error) {
	c, err := db.Call(ctx, id)
	if err != nil || !c.Status.Before(call.InProgress) {
		return c, err
	}
	line := call.Event{At: at, Name: "answered"}
	c.Status, c.AnsweredAt, c.Timeline = call.InProgress, at.UTC().Truncate(time.Millisecond), append(c.Timeline, line)
	told, err := db.event(event.Answered(c))
	if err != nil {
		return c, err
	}
	values := withLine(row{":to": str(string(call.InProgress)), ":at": timestamp(at)}, line)
	record := types.TransactWriteItem{Update: &types.Update{TableName: &db.table.Calls, Key: recordOf(id),
		UpdateExpression:                    aws.String("SET #status = :to, answered_at = :at, " + addLine),
		ConditionExpression:                 aws.String(earlier(call.InProgress, values)),
		ExpressionAttributeNames:            map[string]string{"#status": "status"},
		ExpressionAttributeValues:           values,
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld}}
	err = db.transact(ctx, record, told)
	if rows, _ := conditionsFailed(err); rows.of(record) != nil {
		return callFrom(rows.of(record))
	}
	return c, unavailable("advance call", err)
}

// earlier is the condition that a call has not reached a state yet.
func earlier(to call.Status, values row) string {
	values[":a"], values[":b"] = str(string(call.Initiated)), str(string(call.Dialing))
	if to == call.Ringing {
		return "#status IN (:a, :b)"
	}
	values[":c"] = str(string(call.Ringing))
	return "#status IN (:a, :b, :c)"
}

// notEnded is the condition that a call exists and has not ended.
const notEnded = "attribute_exists(active_shard)"

// ClaimDial gives owner the exclusive right to dial a call and moves the call to dialing. mine is
// false if the call has ended, if its hangup was requested, or if another owner has claimed the
// dial. In the last case the call may have been dialed already and must not be dialed again.
func (db *DB) ClaimDial(ctx context.Context, id, owner string, at time.Time) (c call.Call, mine bool, err error) {
	values := withLine(row{":at": timestamp(at), ":owner": str(owner), ":dialing": str(string(call.Dialing)), ":initiated": str(string(call.Initiated))},
		call.Event{At: at, Name: string(call.Dialing)})
	out, err := db.client.UpdateItem(ctx, &dynamodb.UpdateItemInput{TableName: &db.table.Calls, Key: recordOf(id),
		UpdateExpression:                    aws.String("SET #status = :dialing, dialed_at = :at, dialed_by = :owner, " + addLine),
		ConditionExpression:                 aws.String("#status = :initiated AND attribute_not_exists(hangup_at) AND attribute_not_exists(dialed_by)"),
		ExpressionAttributeNames:            map[string]string{"#status": "status"},
		ExpressionAttributeValues:           values,
		ReturnValues:                        types.ReturnValueAllNew,
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld})
	if raw, failed := conditionFailed(err); failed && raw != nil {
		there, err := decode[callRow](raw)
		c = there.call() // a claim by the same owner is this one, and its answer was lost
		return c, there.DialedBy == owner && !c.Status.Ended() && c.HangupRequested.IsZero(), err
	}
	return db.updated(out, err, "claim dial")
}

type endTokenRow struct {
	ID    string `dynamodbav:"call_id"`
	SK    string `dynamodbav:"sk"`
	Token string `dynamodbav:"task_token"`
}

// AwaitEnd stores the task token of the workflow that waits for the call's end. open is false if
// the call has already ended. The caller must then resume the workflow itself. AwaitEnd writes the
// token before it reads the record, so that an end that this read misses finds the token
// (EndToken). The token has a row of its own because AWS's task tokens are long and the record is
// rewritten often.
func (db *DB) AwaitEnd(ctx context.Context, id, token string) (c call.Call, open bool, err error) {
	raw, err := encode(endTokenRow{id, tokenKey, token})
	if err != nil {
		return c, false, err
	}
	if _, err = db.client.PutItem(ctx, &dynamodb.PutItemInput{TableName: &db.table.Calls, Item: raw}); err != nil {
		return c, false, unavailable("await end", err)
	}
	c, err = db.Call(ctx, id)
	return c, err == nil && !c.Status.Ended(), err
}

// EndToken reads the task token that AwaitEnd stored for a call. It is empty if none was stored.
func (db *DB) EndToken(ctx context.Context, id string) (string, error) {
	out, err := db.client.GetItem(ctx, &dynamodb.GetItemInput{TableName: &db.table.Calls, Key: rowKey(id, tokenKey), ConsistentRead: aws.Bool(true)})
	if err != nil {
		return "", unavailable("read task token", err)
	}
	r, err := decode[endTokenRow](out.Item)
	return r.Token, err
}

// RequestHangup records that a user wants a call to end. open is false if the call has already
// ended. Another user's call is fault.NotFound.
func (db *DB) RequestHangup(ctx context.Context, userID, id string, at time.Time) (c call.Call, open bool, err error) {
	out, err := db.client.UpdateItem(ctx, &dynamodb.UpdateItemInput{TableName: &db.table.Calls, Key: recordOf(id),
		UpdateExpression:                    aws.String("SET hangup_at = if_not_exists(hangup_at, :at)"),
		ConditionExpression:                 aws.String(notEnded + " AND user_id = :user"),
		ExpressionAttributeValues:           row{":at": timestamp(at), ":user": str(userID)},
		ReturnValues:                        types.ReturnValueAllNew,
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld})
	c, open, err = db.updated(out, err, "request hangup")
	if err == nil && c.UserID != userID {
		return call.Call{}, false, fault.Missing("call")
	}
	return c, open, err
}

// RequestAnyHangup is RequestHangup for an administrator and for the call of any user. It writes a
// line to the call's audit unless the call has already ended.
func (db *DB) RequestAnyHangup(ctx context.Context, id, by string, at time.Time) (c call.Call, open bool, err error) {
	c, err = db.Call(ctx, id)
	if err != nil || c.Status.Ended() {
		return c, false, err
	}
	entry, err := db.note(id, numberrequest.Entry{At: at, Actor: by, Action: "hung_up", From: string(c.Status), Note: "of " + c.UserID})
	if err != nil {
		return c, false, err
	}
	record := types.TransactWriteItem{Update: &types.Update{TableName: &db.table.Calls, Key: recordOf(id),
		UpdateExpression:                    aws.String("SET hangup_at = if_not_exists(hangup_at, :at)"),
		ConditionExpression:                 aws.String(notEnded),
		ExpressionAttributeValues:           row{":at": timestamp(at)},
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld}}
	err = db.transact(ctx, record, entry)
	if rows, ended := conditionsFailed(err); ended {
		c, err = callFrom(rows.of(record))
		return c, false, err
	}
	if c.HangupRequested.IsZero() {
		c.HangupRequested = at.UTC().Truncate(time.Millisecond)
	}
	return c, err == nil, unavailable("request hangup", err)
}

// updated reads the result of a conditional update of a call. It returns the new row and true, or
// the existing row and false if the condition failed.
func (db *DB) updated(out *dynamodb.UpdateItemOutput, err error, op string) (call.Call, bool, error) {
	if raw, failed := conditionFailed(err); failed {
		if raw == nil {
			return call.Call{}, false, fault.Missing("call")
		}
		c, err := callFrom(raw)
		return c, false, err
	}
	if err != nil {
		return call.Call{}, false, unavailable(op, err)
	}
	c, err := callFrom(out.Attributes)
	return c, err == nil, err
}

// EndCall writes the end of a call, its event and its statistics in one transaction, once. c is the
// call on which the decision to end it was based. If the call has changed since but has not ended,
// the error is fault.Conflict and the caller must decide again. If the call has already ended, the
// first end stands and is returned.
func (db *DB) EndCall(ctx context.Context, c call.Call, end call.End) (call.Call, error) {
	return db.endCall(ctx, c, end, false)
}

// RefuseCall ends a call whose workflow could not be started. In the same transaction it gives back
// the call's share of its user's limits and deletes its idempotency key, so that the client can
// send the same request again. In all other respects it is EndCall.
func (db *DB) RefuseCall(ctx context.Context, c call.Call, end call.End, once Once) (call.Call, error) {
	var undo []types.TransactWriteItem
	if once.Key != "" {
		undo = append(undo, types.TransactWriteItem{Delete: &types.Delete{TableName: &db.table.Limits,
			Key: onceKey(once), ConditionExpression: aws.String("attribute_not_exists(pk) OR call_id = :call"),
			ExpressionAttributeValues: row{":call": str(c.ID)}}})
	}
	return db.endCall(ctx, c, end, true, undo...)
}

// endCall ends a call. With refund, it also takes an outbound call back from the limits of its
// hour, as if the call had never been accepted.
func (db *DB) endCall(ctx context.Context, c call.Call, end call.End, refund bool, more ...types.TransactWriteItem) (call.Call, error) {
	ended := c
	ended.Status, ended.Cause, ended.SIPStatus, ended.EndedAt = end.Status, end.Cause, end.SIPStatus, end.At.UTC().Truncate(time.Millisecond)
	line := call.Event{At: ended.EndedAt, Name: "ended", Detail: cmp.Or(end.Detail, string(end.Cause))}
	ended.Timeline = append(slices.Clone(c.Timeline), line)
	told, err := db.event(event.Ended(ended))
	if err != nil {
		return c, err
	}
	values := withLine(row{":to": str(string(end.Status)), ":cause": str(string(end.Cause)),
		":sip": integer(int64(end.SIPStatus)), ":at": timestamp(end.At), ":seen": str(string(c.Status))}, line)
	record := types.TransactWriteItem{Update: &types.Update{TableName: &db.table.Calls, Key: recordOf(c.ID),
		UpdateExpression:                    aws.String("SET #status = :to, cause = :cause, sip_status = :sip, ended_at = :at, final_status = :to" + finalAnswer(c, values) + ", " + addLine + " REMOVE active_shard"),
		ConditionExpression:                 aws.String(notEnded + " AND #status = :seen AND " + seenHangup(c) + " AND " + seenTransfer(c, values)),
		ExpressionAttributeNames:            map[string]string{"#status": "status"},
		ExpressionAttributeValues:           values,
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld}}
	writes := append([]types.TransactWriteItem{record, told, {Update: db.count(ended)}}, more...)
	if c.Direction == call.Outbound {
		writes = append(writes, db.release(ended, refund))
	} else {
		writes = append(writes, db.leave(ended))
	}
	err = db.transact(ctx, writes...)
	rows, _ := conditionsFailed(err)
	if found := rows.of(record); found != nil {
		if len(found) == 0 {
			return c, fault.Missing("call")
		}
		now, err := callFrom(found)
		if err == nil && !now.Status.Ended() {
			return now, fault.New(fault.Conflict, "CONFLICT", "the call moved on to %s", now.Status)
		}
		return now, err
	}
	if err != nil {
		return c, unavailable("end call", err)
	}
	return ended, nil
}

// finalAnswer is the part of an update expression that copies the time of the answer, if any, to
// final_answered_at, which the index by_user shows.
func finalAnswer(c call.Call, values row) string {
	if c.AnsweredAt.IsZero() {
		return ""
	}
	values[":answer"] = timestamp(c.AnsweredAt)
	return ", final_answered_at = :answer"
}

// seenHangup is the condition that no hangup has been requested since c was read. A hangup request
// changes the cause of the end but not the status.
func seenHangup(c call.Call) string {
	if c.HangupRequested.IsZero() {
		return "attribute_not_exists(hangup_at)"
	}
	return "attribute_exists(hangup_at)"
}

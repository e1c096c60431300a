package store

import (
	"cmp"
	"context"
	"fmt"
	"hash/fnv"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/feature/dynamodb/attributevalue"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/krosai/telephony/shared/call"
	"github.com/krosai/telephony/shared/event"
	"github.com/krosai/telephony/shared/fault"
)

// A call's partition of the Calls table also holds, besides its record, its details and its token,
// the row "summary", the rows "t#…" of the transcript, and the row "turns", which counts the
// transcript. The record, the details and the summary sort before "t#".
const (
	summaryKey = "summary"
	turnKey    = "t#"
	turnsKey   = "turns"
)

// turnRow is a turn or a summary. Each uses only the fields that it needs.
type turnRow struct {
	ID       string `dynamodbav:"call_id"`
	SK       string `dynamodbav:"sk"`
	At       Time   `dynamodbav:"at"`
	Role     string `dynamodbav:"role,omitempty"`
	Content  string `dynamodbav:"content,omitempty"`
	Received Time   `dynamodbav:"received_at"`
	Place    int    `dynamodbav:"place,omitempty"` // position among the turns received together
	Status   string `dynamodbav:"status,omitempty"`
	Text     string `dynamodbav:"text,omitempty"`
	Model    string `dynamodbav:"model,omitempty"`
	Reason   string `dynamodbav:"reason,omitempty"`
}

func (r *turnRow) summary() call.Summary {
	return call.Summary{Status: call.SummaryStatus(r.Status), Text: r.Text, Model: r.Model, Reason: r.Reason, CreatedAt: r.At.Time}
}

// CallDetails reads a user's call with its timeline and summary, and with its turns if withTurns is
// set. A call that does not exist or belongs to another user is fault.NotFound. Its turns, which
// may be many, are not read then.
func (db *DB) CallDetails(ctx context.Context, userID, id string, withTurns bool) (call.Details, error) {
	s, err := db.DetailsWithoutTurns(ctx, id)
	switch {
	case err != nil:
		return s, err
	case s.Call.UserID != userID:
		return call.Details{}, fault.Missing("call")
	case withTurns:
		s.Turns, err = db.turns(ctx, id)
	}
	return s, err
}

// FullDetails reads a call with its timeline, summary and turns for the platform's own use. It does
// not check the call's owner.
func (db *DB) FullDetails(ctx context.Context, id string) (call.Details, error) {
	s, err := db.DetailsWithoutTurns(ctx, id)
	if err == nil {
		s.Turns, err = db.turns(ctx, id)
	}
	return s, err
}

// DetailsWithoutTurns is FullDetails without the transcript.
func (db *DB) DetailsWithoutTurns(ctx context.Context, id string) (call.Details, error) {
	var s call.Details
	err := db.eachRow(ctx, id, "sk < :turns", func(raw row) error { return addRow(&s, raw) })
	if err == nil && s.Call.ID == "" {
		err = fault.Missing("call")
	}
	return s, err
}

// turns reads a call's transcript in the order in which it was spoken.
func (db *DB) turns(ctx context.Context, id string) ([]call.Turn, error) {
	var rows []turnRow
	err := db.eachRow(ctx, id, "begins_with(sk, :turns)", func(raw row) error {
		r, err := decode[turnRow](raw)
		rows = append(rows, r)
		return err
	})
	slices.SortFunc(rows, func(a, b turnRow) int {
		return cmp.Or(a.At.Compare(b.At.Time), a.Received.Compare(b.Received.Time), cmp.Compare(a.Place, b.Place), cmp.Compare(a.SK, b.SK))
	})
	var turns []call.Turn
	for _, r := range rows {
		turns = append(turns, call.Turn{ID: strings.TrimPrefix(r.SK, turnKey), Role: call.Role(r.Role), Content: r.Content,
			At: r.At.Time, Received: r.Received.Time})
	}
	return turns, err
}

// eachRow calls read for each row of a call's partition whose sort key meets the condition which.
// The condition can use :turns, the prefix of the transcript's sort keys.
func (db *DB) eachRow(ctx context.Context, id, which string, read func(row) error) error {
	query := &dynamodb.QueryInput{TableName: &db.table.Calls, KeyConditionExpression: aws.String("call_id = :id AND " + which),
		ExpressionAttributeValues: row{":id": str(id), ":turns": str(turnKey)}, ConsistentRead: aws.Bool(true)}
	for {
		page, err := db.client.Query(ctx, query)
		if err != nil {
			return unavailable("read call story", err)
		}
		for _, raw := range page.Items {
			if err := read(raw); err != nil {
				return err
			}
		}
		if query.ExclusiveStartKey = page.LastEvaluatedKey; len(page.LastEvaluatedKey) == 0 {
			return nil
		}
	}
}

// addRow adds a row of a call's partition to s. The record must come before the details,
// because it replaces s.Call.
func addRow(s *call.Details, raw row) (err error) {
	sk, _ := raw["sk"].(*types.AttributeValueMemberS)
	switch sk.Value {
	case recordKey:
		s.Call, err = callFrom(raw)
		s.Events = call.InOrder(s.Call.Timeline, s.Call.AnsweredAt)
	case promptKey:
		err = addPrompt(&s.Call, raw)
	case summaryKey:
		var r turnRow
		r, err = decode[turnRow](raw)
		s.Summary = r.summary()
	}
	return err
}

// AddTurns adds at most 99 turns to a call's transcript, all or none. The first turn with an id
// stands, and later turns with that id are ignored. If the call ended more than
// call.TranscriptGrace ago, the error is fault.Conflict (CALL_NOT_ACTIVE). If the transcript
// would become too long, it is fault.Conflict (TRANSCRIPT_FULL). An unknown call is fault.NotFound.
//
// The turns are counted in a row of their own. Most agents send one turn at a time, and counting
// each turn would double its cost. So only one in eight of the turns that arrive alone is
// counted, and it counts as eight. A transcript may therefore hold slightly more or fewer turns
// than call.MaxTurns.
func (db *DB) AddTurns(ctx context.Context, callID string, turns []call.Turn, now time.Time) error {
	c, full, err := db.readForTurns(ctx, callID)
	if err != nil {
		return err
	}
	if !c.TakesTurns(now) {
		return fault.New(fault.Conflict, "CALL_NOT_ACTIVE", "the call has ended, and its transcript is closed")
	}
	var rows []turnRow
	for i, t := range turns {
		sk := turnKey + t.ID
		if !slices.ContainsFunc(rows, func(r turnRow) bool { return r.SK == sk }) {
			rows = append(rows, turnRow{ID: callID, SK: sk, Role: string(t.Role), Content: t.Content, At: Time{t.At}, Received: Time{now}, Place: i})
		}
	}
	if len(rows) == 1 && !full {
		return unavailable("add a turn", db.putTurn(ctx, rows[0]))
	}
	for len(rows) > 0 {
		known, err := db.putTurns(ctx, callID, rows)
		switch {
		case err != nil:
			return unavailable("add turns", err)
		case known == nil:
			return nil
		case len(known) == 0:
			return fault.New(fault.Conflict, "TRANSCRIPT_FULL", "a transcript holds at most %d turns and %d bytes", call.MaxTurns, call.MaxTurnBytes)
		}
		rows = slices.DeleteFunc(rows, func(r turnRow) bool { return known[r.SK] })
	}
	return nil
}

// readForTurns reads a call's record, and whether its transcript is full.
func (db *DB) readForTurns(ctx context.Context, callID string) (c call.Call, full bool, err error) {
	var count struct {
		Turns int `dynamodbav:"turns"`
		Bytes int `dynamodbav:"size_bytes"`
	}
	ask := types.KeysAndAttributes{ConsistentRead: aws.Bool(true), Keys: []row{recordOf(callID), rowKey(callID, turnsKey)}}
	err = db.batchGet(ctx, map[string]types.KeysAndAttributes{db.table.Calls: ask}, func(raw row) (err error) {
		if sk, _ := raw["sk"].(*types.AttributeValueMemberS); sk.Value == turnsKey {
			return attributevalue.UnmarshalMap(raw, &count)
		}
		c, err = callFrom(raw)
		return err
	})
	if err == nil && c.ID == "" {
		err = fault.Missing("call")
	}
	return c, count.Turns >= call.MaxTurns || count.Bytes >= call.MaxTurnBytes, err
}

// countedFor is how many of the turns that arrive alone one counted turn stands for.
const countedFor = 8

// putTurn writes a turn that arrives alone, if its id is not known. A hash of the id and of the
// time of receipt decides whether the turn is counted. With the id alone the agent, which chooses
// it, could decide.
func (db *DB) putTurn(ctx context.Context, r turnRow) error {
	raw, err := encode(r)
	if err != nil {
		return err
	}
	_, err = db.client.PutItem(ctx, &dynamodb.PutItemInput{TableName: &db.table.Calls, Item: raw,
		ConditionExpression: aws.String("attribute_not_exists(sk)")})
	if _, known := conditionFailed(err); known {
		return nil
	}
	h := fnv.New32a()
	fmt.Fprint(h, r.SK, r.Received.UnixNano())
	if err != nil || h.Sum32()%countedFor != 0 {
		return err
	}
	_, err = db.client.UpdateItem(ctx, &dynamodb.UpdateItemInput{TableName: &db.table.Calls, Key: rowKey(r.ID, turnsKey),
		UpdateExpression: aws.String("ADD turns :turns, size_bytes :bytes"),
		ExpressionAttributeValues: row{":turns": integer(countedFor),
			":bytes": integer(int64(countedFor * (len(r.Content) + len(r.SK) + call.TurnOverhead)))}})
	return err
}

// putTurns writes turns, if none of their ids is known and there is room for all of them. Otherwise
// it writes nothing and returns the sort keys that are known. An empty map that is not nil means
// that there is no room.
func (db *DB) putTurns(ctx context.Context, callID string, rows []turnRow) (known map[string]bool, err error) {
	writes, size := make([]types.TransactWriteItem, 0, len(rows)+1), 0
	for _, r := range rows {
		raw, err := encode(r)
		if err != nil {
			return nil, err
		}
		size += len(r.Content) + len(r.SK) + call.TurnOverhead
		writes = append(writes, types.TransactWriteItem{Put: &types.Put{TableName: &db.table.Calls, Item: raw,
			ConditionExpression: aws.String("attribute_not_exists(sk)")}})
	}
	count := types.TransactWriteItem{Update: &types.Update{TableName: &db.table.Calls, Key: row{"call_id": str(callID), "sk": str(turnsKey)},
		UpdateExpression:    aws.String("ADD turns :turns, size_bytes :bytes"),
		ConditionExpression: aws.String("attribute_not_exists(turns) OR (turns <= :others AND size_bytes <= :rest)"),
		ExpressionAttributeValues: row{":turns": integer(int64(len(rows))), ":bytes": integer(int64(size)),
			":others": integer(int64(call.MaxTurns - len(rows))), ":rest": integer(int64(call.MaxTurnBytes - size))}}}
	err = db.transact(ctx, append(writes, count)...)
	found, failed := conditionsFailed(err)
	if !failed {
		return nil, err
	}
	known = map[string]bool{}
	for i, r := range rows {
		if found.of(writes[i]) != nil {
			known[r.SK] = true
		}
	}
	return known, nil
}

// SaveSummary writes the summary of a call, with its event if the summary is ready. The first
// summary stands and is returned.
func (db *DB) SaveSummary(ctx context.Context, c call.Call, s call.Summary) (call.Summary, error) {
	raw, err := encode(turnRow{ID: c.ID, SK: summaryKey, Status: string(s.Status), Text: s.Text, Model: s.Model, Reason: s.Reason,
		At: Time{s.CreatedAt}})
	if err != nil {
		return s, err
	}
	put := types.TransactWriteItem{Put: &types.Put{TableName: &db.table.Calls, Item: raw, ConditionExpression: aws.String("attribute_not_exists(sk)"),
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld}}
	writes := []types.TransactWriteItem{put}
	if s.Status == call.SummaryReady {
		told, err := db.event(event.Summarized(c, s))
		if err != nil {
			return s, err
		}
		writes = append(writes, told)
	}
	err = db.transact(ctx, writes...)
	if rows, failed := conditionsFailed(err); failed {
		r, err := decode[turnRow](rows.of(put))
		return r.summary(), err
	}
	return s, unavailable("save summary", err)
}

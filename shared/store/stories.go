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

// A call's partition of the Calls table besides its record, its details and its
// token: the row "summary", the rows "t#…" of the transcript, and "turns", which
// counts them. All of it but the transcript stands before "t#".
const (
	summaryKey = "summary"
	turnKey    = "t#"
	turnsKey   = "turns"
)

// storyRow is a turn or a summary. Each has the members it needs.
type storyRow struct {
	ID       string `dynamodbav:"call_id"`
	SK       string `dynamodbav:"sk"`
	At       Time   `dynamodbav:"at"`
	Role     string `dynamodbav:"role,omitempty"`
	Content  string `dynamodbav:"content,omitempty"`
	Received Time   `dynamodbav:"received_at"`
	Place    int    `dynamodbav:"place,omitempty"` // among those received together
	Status   string `dynamodbav:"status,omitempty"`
	Text     string `dynamodbav:"text,omitempty"`
	Model    string `dynamodbav:"model,omitempty"`
	Reason   string `dynamodbav:"reason,omitempty"`
}

func (r *storyRow) summary() call.Summary {
	return call.Summary{Status: call.SummaryStatus(r.Status), Text: r.Text, Model: r.Model, Reason: r.Reason, CreatedAt: r.At.Time}
}

// CallStory reads a user's call with its timeline and its summary, and its turns
// if they are wanted. Another user's call is fault.NotFound, as one that never
// was, and its turns, which may be many, are not read.
func (db *DB) CallStory(ctx context.Context, userID, id string, withTurns bool) (call.Story, error) {
	s, err := db.ShortStory(ctx, id)
	switch {
	case err != nil:
		return s, err
	case s.Call.UserID != userID:
		return call.Story{}, fault.Missing("call")
	case withTurns:
		s.Turns, err = db.turns(ctx, id)
	}
	return s, err
}

// WholeStory reads a call with all that is told of it for the platform's own
// work, whoever owns it.
func (db *DB) WholeStory(ctx context.Context, id string) (call.Story, error) {
	s, err := db.ShortStory(ctx, id)
	if err == nil {
		s.Turns, err = db.turns(ctx, id)
	}
	return s, err
}

// ShortStory is WholeStory without the transcript.
func (db *DB) ShortStory(ctx context.Context, id string) (call.Story, error) {
	var s call.Story
	err := db.eachRow(ctx, id, "sk < :turns", func(row item) error { return addToStory(&s, row) })
	if err == nil && s.Call.ID == "" {
		err = fault.Missing("call")
	}
	return s, err
}

// turns reads a call's transcript in the order in which it was spoken.
func (db *DB) turns(ctx context.Context, id string) ([]call.Turn, error) {
	var rows []storyRow
	err := db.eachRow(ctx, id, "begins_with(sk, :turns)", func(row item) error {
		r, err := decode[storyRow](row)
		rows = append(rows, r)
		return err
	})
	slices.SortFunc(rows, func(a, b storyRow) int {
		return cmp.Or(a.At.Compare(b.At.Time), a.Received.Compare(b.Received.Time), cmp.Compare(a.Place, b.Place), cmp.Compare(a.SK, b.SK))
	})
	var turns []call.Turn
	for _, r := range rows {
		turns = append(turns, call.Turn{ID: strings.TrimPrefix(r.SK, turnKey), Role: call.Role(r.Role), Content: r.Content,
			At: r.At.Time, Received: r.Received.Time})
	}
	return turns, err
}

// eachRow reads the rows of a call's partition whose sort key meets a condition
// on :turns.
func (db *DB) eachRow(ctx context.Context, id, which string, read func(item) error) error {
	query := &dynamodb.QueryInput{TableName: &db.table.Calls, KeyConditionExpression: aws.String("call_id = :id AND " + which),
		ExpressionAttributeValues: item{":id": text(id), ":turns": text(turnKey)}, ConsistentRead: aws.Bool(true)}
	for {
		page, err := db.client.Query(ctx, query)
		if err != nil {
			return broken("read call story", err)
		}
		for _, row := range page.Items {
			if err := read(row); err != nil {
				return err
			}
		}
		if query.ExclusiveStartKey = page.LastEvaluatedKey; len(page.LastEvaluatedKey) == 0 {
			return nil
		}
	}
}

// addToStory reads a row of a call's partition into s. The record comes before
// the details.
func addToStory(s *call.Story, row item) (err error) {
	sk, _ := row["sk"].(*types.AttributeValueMemberS)
	switch sk.Value {
	case recordKey:
		s.Call, err = callFrom(row)
		s.Events = call.InOrder(s.Call.Timeline, s.Call.AnsweredAt)
	case detailsKey:
		err = addDetails(&s.Call, row)
	case summaryKey:
		var r storyRow
		r, err = decode[storyRow](row)
		s.Summary = r.summary()
	}
	return err
}

// AddTurns adds at most 99 turns to a call's transcript: all of them, or none.
// The first turn of an id stands, and what comes with an id that is known is
// ignored. A call that ended more than call.TranscriptPatience ago is
// fault.Conflict (CALL_NOT_ACTIVE), and so is a transcript that would become too
// long (TRANSCRIPT_FULL). An unknown call is fault.NotFound.
//
// The turns are counted in a row of their own. Most agents send one turn at a time,
// and counting each would double what it costs: so of turns that come alone, one in
// eight is counted, for eight. A transcript may then hold some more turns than
// call.MaxTurns, or some fewer.
func (db *DB) AddTurns(ctx context.Context, callID string, turns []call.Turn, now time.Time) error {
	c, full, err := db.readForTurns(ctx, callID)
	if err != nil {
		return err
	}
	if !c.TakesTurns(now) {
		return fault.New(fault.Conflict, "CALL_NOT_ACTIVE", "the call has ended, and its transcript is closed")
	}
	var rows []storyRow
	for i, t := range turns {
		sk := turnKey + t.ID
		if !slices.ContainsFunc(rows, func(r storyRow) bool { return r.SK == sk }) {
			rows = append(rows, storyRow{ID: callID, SK: sk, Role: string(t.Role), Content: t.Content, At: Time{t.At}, Received: Time{now}, Place: i})
		}
	}
	if len(rows) == 1 && !full {
		return broken("add a turn", db.putTurn(ctx, rows[0]))
	}
	for len(rows) > 0 {
		known, err := db.putTurns(ctx, callID, rows)
		switch {
		case err != nil:
			return broken("add turns", err)
		case known == nil:
			return nil
		case len(known) == 0:
			return fault.New(fault.Conflict, "TRANSCRIPT_FULL", "a transcript holds at most %d turns and %d bytes", call.MaxTurns, call.MaxTurnBytes)
		}
		rows = slices.DeleteFunc(rows, func(r storyRow) bool { return known[r.SK] })
	}
	return nil
}

// readForTurns reads a call's record, and whether its transcript is full.
func (db *DB) readForTurns(ctx context.Context, callID string) (c call.Call, full bool, err error) {
	var count struct {
		Turns int `dynamodbav:"turns"`
		Bytes int `dynamodbav:"size_bytes"`
	}
	ask := types.KeysAndAttributes{ConsistentRead: aws.Bool(true), Keys: []item{recordOf(callID), rowKey(callID, turnsKey)}}
	err = db.batchGet(ctx, map[string]types.KeysAndAttributes{db.table.Calls: ask}, func(row item) (err error) {
		if sk, _ := row["sk"].(*types.AttributeValueMemberS); sk.Value == turnsKey {
			return attributevalue.UnmarshalMap(row, &count)
		}
		c, err = callFrom(row)
		return err
	})
	if err == nil && c.ID == "" {
		err = fault.Missing("call")
	}
	return c, count.Turns >= call.MaxTurns || count.Bytes >= call.MaxTurnBytes, err
}

// countedFor is how many turns that come alone one that is counted stands for.
const countedFor = 8

// putTurn writes a turn that has come alone, if it is not known. Its id and the
// moment decide whether it is counted, so that the agent, who chooses the id, does
// not.
func (db *DB) putTurn(ctx context.Context, r storyRow) error {
	row, err := encode(r)
	if err != nil {
		return err
	}
	_, err = db.client.PutItem(ctx, &dynamodb.PutItemInput{TableName: &db.table.Calls, Item: row,
		ConditionExpression: aws.String("attribute_not_exists(sk)")})
	if _, known := refused(err); known {
		return nil
	}
	h := fnv.New32a()
	fmt.Fprint(h, r.SK, r.Received.UnixNano())
	if err != nil || h.Sum32()%countedFor != 0 {
		return err
	}
	_, err = db.client.UpdateItem(ctx, &dynamodb.UpdateItemInput{TableName: &db.table.Calls, Key: rowKey(r.ID, turnsKey),
		UpdateExpression: aws.String("ADD turns :turns, size_bytes :bytes"),
		ExpressionAttributeValues: item{":turns": integer(countedFor),
			":bytes": integer(int64(countedFor * (len(r.Content) + len(r.SK) + call.TurnOverhead)))}})
	return err
}

// putTurns writes turns if none of them is known and there is room for all. If
// not, it writes nothing and returns those that are known: none means that there
// is no room.
func (db *DB) putTurns(ctx context.Context, callID string, rows []storyRow) (known map[string]bool, err error) {
	writes, size := make([]types.TransactWriteItem, 1, len(rows)+1), 0
	for _, r := range rows {
		row, err := encode(r)
		if err != nil {
			return nil, err
		}
		size += len(r.Content) + len(r.SK) + call.TurnOverhead
		writes = append(writes, types.TransactWriteItem{Put: &types.Put{TableName: &db.table.Calls, Item: row,
			ConditionExpression: aws.String("attribute_not_exists(sk)")}})
	}
	writes[0].Update = &types.Update{TableName: &db.table.Calls, Key: item{"call_id": text(callID), "sk": text(turnsKey)},
		UpdateExpression:    aws.String("ADD turns :turns, size_bytes :bytes"),
		ConditionExpression: aws.String("attribute_not_exists(turns) OR (turns <= :others AND size_bytes <= :rest)"),
		ExpressionAttributeValues: item{":turns": integer(int64(len(rows))), ":bytes": integer(int64(size)),
			":others": integer(int64(call.MaxTurns - len(rows))), ":rest": integer(int64(call.MaxTurnBytes - size))}}
	err = db.transact(ctx, writes...)
	refused, no := refusedIn(err)
	if !no {
		return nil, err
	}
	known = map[string]bool{}
	for i, r := range rows {
		if refused[i+1] != nil {
			known[r.SK] = true
		}
	}
	return known, nil
}

// SaveSummary writes the summary of a call, once, with the event of one that is
// ready: the first one stands, and is returned.
func (db *DB) SaveSummary(ctx context.Context, c call.Call, s call.Summary) (call.Summary, error) {
	row, err := encode(storyRow{ID: c.ID, SK: summaryKey, Status: string(s.Status), Text: s.Text, Model: s.Model, Reason: s.Reason,
		At: Time{s.CreatedAt}})
	if err != nil {
		return s, err
	}
	put := &types.Put{TableName: &db.table.Calls, Item: row, ConditionExpression: aws.String("attribute_not_exists(sk)"),
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld}
	writes := []types.TransactWriteItem{{Put: put}}
	if s.Status == call.SummaryReady {
		told, err := db.event(event.Summarized(c, s))
		if err != nil {
			return s, err
		}
		writes = append(writes, told)
	}
	err = db.transact(ctx, writes...)
	if rows, no := refusedIn(err); no {
		r, err := decode[storyRow](rows[0])
		return r.summary(), err
	}
	return s, broken("save summary", err)
}

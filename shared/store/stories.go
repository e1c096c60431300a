package store

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/krosai/telephony/shared/call"
	"github.com/krosai/telephony/shared/fault"
)

// A call's partition of the Calls table besides its record and its timeline: the
// row "summary", the rows "t#…" of the transcript, and "turns", which counts
// them. What stands before "t#" is a story without its transcript.
const (
	summaryKey = "summary"
	turnKey    = "t#"
	turnsKey   = "turns"
)

type turnRow struct {
	ID       string `dynamodbav:"call_id"`
	SK       string `dynamodbav:"sk"`
	Role     string `dynamodbav:"role"`
	Content  string `dynamodbav:"content"`
	At       Time   `dynamodbav:"at"`
	Received Time   `dynamodbav:"received_at"`
	Place    int    `dynamodbav:"place"` // among those received together
}

type summaryRow struct {
	ID        string `dynamodbav:"call_id"`
	SK        string `dynamodbav:"sk"`
	Status    string `dynamodbav:"status"`
	Text      string `dynamodbav:"text,omitempty"`
	Model     string `dynamodbav:"model,omitempty"`
	Reason    string `dynamodbav:"reason,omitempty"`
	CreatedAt Time   `dynamodbav:"created_at"`
}

func (r summaryRow) summary() call.Summary {
	return call.Summary{Status: call.SummaryStatus(r.Status), Text: r.Text, Model: r.Model, Reason: r.Reason, CreatedAt: r.CreatedAt.Time}
}

// CallStory reads a user's call with its timeline and its summary, and its turns
// if they are wanted, in one query. Another user's call is fault.NotFound, as one
// that never was.
func (db *DB) CallStory(ctx context.Context, userID, id string, withTurns bool) (call.Story, error) {
	s, err := db.story(ctx, id, withTurns)
	if err == nil && s.Call.UserID != userID {
		return call.Story{}, fault.Missing("call")
	}
	return s, err
}

// WholeStory reads a call with all that is told of it for the platform's own
// work, whoever owns it.
func (db *DB) WholeStory(ctx context.Context, id string) (call.Story, error) {
	return db.story(ctx, id, true)
}

func (db *DB) story(ctx context.Context, id string, withTurns bool) (call.Story, error) {
	query := &dynamodb.QueryInput{TableName: &db.table.Calls, KeyConditionExpression: aws.String("call_id = :id"),
		ExpressionAttributeValues: item{":id": text(id)}, ConsistentRead: aws.Bool(true)}
	if !withTurns {
		query.KeyConditionExpression = aws.String("call_id = :id AND sk < :turns")
		query.ExpressionAttributeValues[":turns"] = text(turnKey)
	}
	var s call.Story
	var events []*eventRow
	var turns []*turnRow
	for pages := dynamodb.NewQueryPaginator(db.client, query); pages.HasMorePages(); {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return s, broken("read call story", err)
		}
		for _, row := range page.Items {
			if err := sortRow(row, &s, &events, &turns); err != nil {
				return s, err
			}
		}
	}
	if s.Call.ID == "" {
		return call.Story{}, fault.Missing("call")
	}
	slices.SortFunc(events, func(a, b *eventRow) int {
		return cmp.Or(a.At.Compare(b.At.Time), cmp.Compare(order[a.Name], order[b.Name]), cmp.Compare(a.SK, b.SK))
	})
	for _, r := range events {
		s.Events = append(s.Events, call.Event{At: r.At.Time, Name: r.Name, Detail: r.Detail})
	}
	slices.SortFunc(turns, func(a, b *turnRow) int {
		return cmp.Or(a.At.Compare(b.At.Time), a.Received.Compare(b.Received.Time), cmp.Compare(a.Place, b.Place), cmp.Compare(a.SK, b.SK))
	})
	for _, r := range turns {
		s.Turns = append(s.Turns, call.Turn{ID: strings.TrimPrefix(r.SK, turnKey), Role: call.Role(r.Role), Content: r.Content,
			At: r.At.Time, Received: r.Received.Time})
	}
	return s, nil
}

// sortRow puts a row of a call's partition where it belongs.
func sortRow(row item, s *call.Story, events *[]*eventRow, turns *[]*turnRow) (err error) {
	sk, ok := row["sk"].(*types.AttributeValueMemberS)
	switch {
	case !ok || sk.Value == turnsKey:
	case sk.Value == recordKey:
		s.Call, err = callFrom(row)
	case sk.Value == summaryKey:
		var r summaryRow
		r, err = decode[summaryRow](row)
		s.Summary = r.summary()
	case strings.HasPrefix(sk.Value, eventKey):
		var r eventRow
		r, err = decode[eventRow](row)
		*events = append(*events, &r)
	case strings.HasPrefix(sk.Value, turnKey):
		var r turnRow
		r, err = decode[turnRow](row)
		*turns = append(*turns, &r)
	}
	return err
}

// order breaks ties between events of one millisecond.
var order = map[string]int{"dialing": 1, "ringing": 2, "answered": 3, "transfer": 4, "ended": 5}

// AddTurns adds at most 99 turns to a call's transcript: all of them, or none.
// The first turn of an id stands, and what comes with an id that is known is
// ignored. A call that ended more than call.TranscriptPatience ago is
// fault.Conflict (CALL_NOT_ACTIVE), and so is a transcript that would become too
// long (TRANSCRIPT_FULL). An unknown call is fault.NotFound.
//
// The turns are counted in a row of their own. The record may hold a long prompt,
// which each write of it is paid for, and others write it while people talk.
func (db *DB) AddTurns(ctx context.Context, callID string, turns []call.Turn, now time.Time) error {
	c, err := db.Call(ctx, callID)
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
		rows = slices.DeleteFunc(rows, func(r turnRow) bool { return known[r.SK] })
	}
	return nil
}

// putTurns writes turns if none of them is known and there is room for all. If
// not, it writes nothing and returns those that are known: none means that there
// is no room.
func (db *DB) putTurns(ctx context.Context, callID string, rows []turnRow) (known map[string]bool, err error) {
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

// SaveSummary writes the summary of a call, once: the first one stands, and is
// returned.
func (db *DB) SaveSummary(ctx context.Context, callID string, s call.Summary) (call.Summary, error) {
	row, err := encode(summaryRow{ID: callID, SK: summaryKey, Status: string(s.Status), Text: s.Text, Model: s.Model, Reason: s.Reason,
		CreatedAt: Time{s.CreatedAt}})
	if err != nil {
		return s, err
	}
	_, err = db.client.PutItem(ctx, &dynamodb.PutItemInput{TableName: &db.table.Calls, Item: row,
		ConditionExpression:                 aws.String("attribute_not_exists(sk)"),
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld})
	if first, no := refused(err); no {
		r, err := decode[summaryRow](first)
		return r.summary(), err
	}
	return s, broken("save summary", err)
}

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

// storyRow is any row of a story but the record. Each kind has the members it
// needs: those of the timeline are written as eventRow.
type storyRow struct {
	ID       string `dynamodbav:"call_id"`
	SK       string `dynamodbav:"sk"`
	At       Time   `dynamodbav:"at"`
	Event    string `dynamodbav:"event,omitempty"`
	Detail   string `dynamodbav:"detail,omitempty"`
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

// ShortStory is WholeStory without the transcript.
func (db *DB) ShortStory(ctx context.Context, id string) (call.Story, error) {
	return db.story(ctx, id, false)
}

func (db *DB) story(ctx context.Context, id string, withTurns bool) (call.Story, error) {
	query := &dynamodb.QueryInput{TableName: &db.table.Calls, KeyConditionExpression: aws.String("call_id = :id"),
		ExpressionAttributeValues: item{":id": text(id)}, ConsistentRead: aws.Bool(true)}
	if !withTurns {
		query.KeyConditionExpression = aws.String("call_id = :id AND sk < :turns")
		query.ExpressionAttributeValues[":turns"] = text(turnKey)
	}
	var s call.Story
	var rows []*storyRow
	for more := true; more; {
		page, err := db.client.Query(ctx, query)
		if err != nil {
			return s, broken("read call story", err)
		}
		for _, row := range page.Items {
			r, err := decode[storyRow](row)
			if err == nil && r.SK == recordKey {
				s.Call, err = callFrom(row)
			}
			if err != nil {
				return s, err
			}
			rows = append(rows, &r)
		}
		query.ExclusiveStartKey, more = page.LastEvaluatedKey, len(page.LastEvaluatedKey) > 0
	}
	if s.Call.ID == "" {
		return call.Story{}, fault.Missing("call")
	}
	slices.SortFunc(rows, func(a, b *storyRow) int {
		return cmp.Or(a.At.Compare(b.At.Time), cmp.Compare(order[a.Event], order[b.Event]), a.Received.Compare(b.Received.Time),
			cmp.Compare(a.Place, b.Place), cmp.Compare(a.SK, b.SK))
	})
	for _, r := range rows {
		switch {
		case r.SK == summaryKey:
			s.Summary = r.summary()
		case strings.HasPrefix(r.SK, eventKey):
			s.Events = append(s.Events, call.Event{At: r.At.Time, Name: r.Event, Detail: r.Detail})
		case strings.HasPrefix(r.SK, turnKey):
			s.Turns = append(s.Turns, call.Turn{ID: strings.TrimPrefix(r.SK, turnKey), Role: call.Role(r.Role), Content: r.Content,
				At: r.At.Time, Received: r.Received.Time})
		}
	}
	return s, nil
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
	var rows []storyRow
	for i, t := range turns {
		sk := turnKey + t.ID
		if !slices.ContainsFunc(rows, func(r storyRow) bool { return r.SK == sk }) {
			rows = append(rows, storyRow{ID: callID, SK: sk, Role: string(t.Role), Content: t.Content, At: Time{t.At}, Received: Time{now}, Place: i})
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
		rows = slices.DeleteFunc(rows, func(r storyRow) bool { return known[r.SK] })
	}
	return nil
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

// SaveSummary writes the summary of a call, once: the first one stands, and is
// returned.
func (db *DB) SaveSummary(ctx context.Context, callID string, s call.Summary) (call.Summary, error) {
	row, err := encode(storyRow{ID: callID, SK: summaryKey, Status: string(s.Status), Text: s.Text, Model: s.Model, Reason: s.Reason,
		At: Time{s.CreatedAt}})
	if err != nil {
		return s, err
	}
	_, err = db.client.PutItem(ctx, &dynamodb.PutItemInput{TableName: &db.table.Calls, Item: row,
		ConditionExpression:                 aws.String("attribute_not_exists(sk)"),
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld})
	if first, no := refused(err); no {
		r, err := decode[storyRow](first)
		return r.summary(), err
	}
	return s, broken("save summary", err)
}

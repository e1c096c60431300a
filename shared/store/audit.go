package store

import (
	"context"
	"crypto/rand"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/krosai/telephony/shared/request"
)

// The Audit table: what was decided about a subject (a request, a number), line
// by line. A line is written in the transaction of what it tells of, and never
// again: its key is the time, how many lines this process has written, which
// orders those of one millisecond, and chance, so that no two are the same.
type auditRow struct {
	Subject string `dynamodbav:"subject"`
	At      string `dynamodbav:"at"`
	Actor   string `dynamodbav:"actor"`
	Action  string `dynamodbav:"action"`
	From    string `dynamodbav:"from_state,omitempty"`
	To      string `dynamodbav:"to_state,omitempty"`
	Note    string `dynamodbav:"note,omitempty"`
}

// note is the write of a line about subject.
func (db *DB) note(subject string, e request.Entry) (types.TransactWriteItem, error) {
	at := fmt.Sprintf("%s#%010d#%s", e.At.UTC().Format(clock), db.notes.Add(1), rand.Text()[:10])
	row, err := encode(auditRow{Subject: subject, At: at, Actor: e.Actor, Action: e.Action, From: e.From, To: e.To, Note: e.Note})
	return types.TransactWriteItem{Put: &types.Put{TableName: &db.table.Audit, Item: row}}, err
}

// Audit lists what happened to a subject, oldest first: at most limit entries
// (1 or more), those after the position after. next is the after of the rest,
// empty at the end. A subject that nothing happened to has no entries.
func (db *DB) Audit(ctx context.Context, subject string, limit int, after string) (entries []request.Entry, next string, err error) {
	in := &dynamodb.QueryInput{TableName: &db.table.Audit, Limit: aws.Int32(int32(limit) + 1), ConsistentRead: aws.Bool(true),
		KeyConditionExpression: aws.String("subject = :subject"), ExpressionAttributeValues: item{":subject": text(subject)}}
	if after != "" {
		in.ExclusiveStartKey = item{"subject": text(subject), "at": text(after)}
	}
	out, err := db.client.Query(ctx, in)
	if err != nil {
		return nil, "", broken("read audit", err)
	}
	more := len(out.Items) > limit || out.LastEvaluatedKey != nil
	for _, row := range out.Items[:min(limit, len(out.Items))] {
		r, err := decode[auditRow](row)
		if err != nil {
			return nil, "", err
		}
		at, err := time.Parse(clock, r.At[:min(len(clock), len(r.At))])
		if err != nil {
			return nil, "", err
		}
		entries, next = append(entries, request.Entry{At: at, Actor: r.Actor, Action: r.Action, From: r.From, To: r.To, Note: r.Note}), r.At
	}
	if !more {
		next = ""
	}
	return entries, next, nil
}

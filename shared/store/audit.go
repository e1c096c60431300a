package store

import (
	"context"
	"crypto/rand"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/krosai/telephony/shared/numberrequest"
)

// The Audit table: the decisions about a subject (a request, a number), line by line. A line is
// written once, in the transaction that it describes. Its key is the time, the count of lines that
// this process has written, and random text. The count orders the lines of one millisecond, and
// the random text makes each key unique. The index by_day holds all lines by the date (UTC) and
// the time.
type auditRow struct {
	Subject string `dynamodbav:"subject"`
	Day     string `dynamodbav:"day"`
	At      string `dynamodbav:"at"`
	Actor   string `dynamodbav:"actor"`
	Action  string `dynamodbav:"action"`
	From    string `dynamodbav:"from_state,omitempty"`
	To      string `dynamodbav:"to_state,omitempty"`
	Note    string `dynamodbav:"note,omitempty"`
}

// note is the write of an audit line about subject.
func (db *DB) note(subject string, e numberrequest.Entry) (types.TransactWriteItem, error) {
	at := fmt.Sprintf("%s#%010d#%s", e.At.UTC().Format(clock), db.notes.Add(1), rand.Text()[:10])
	raw, err := encode(auditRow{Subject: subject, Day: at[:len(dayForm)], At: at, Actor: e.Actor, Action: e.Action, From: e.From, To: e.To, Note: e.Note})
	return types.TransactWriteItem{Put: &types.Put{TableName: &db.table.Audit, Item: raw}}, err
}

// Audit lists the audit lines of a subject, oldest first. It returns at most limit entries (1 or
// more) behind the position after. next is the after of the next page, empty at the end. An unknown
// subject has no entries.
func (db *DB) Audit(ctx context.Context, subject string, limit int, after string) (entries []numberrequest.Entry, next string, err error) {
	in := &dynamodb.QueryInput{TableName: &db.table.Audit, Limit: aws.Int32(int32(limit) + 1), ConsistentRead: aws.Bool(true),
		KeyConditionExpression: aws.String("subject = :subject"), ExpressionAttributeValues: row{":subject": str(subject)}}
	if after != "" {
		in.ExclusiveStartKey = row{"subject": str(subject), "at": str(after)}
	}
	out, err := db.client.Query(ctx, in)
	if err != nil {
		return nil, "", unavailable("read audit", err)
	}
	more := len(out.Items) > limit || out.LastEvaluatedKey != nil
	for _, raw := range out.Items[:min(limit, len(out.Items))] {
		line, at, err := lineFrom(raw)
		if err != nil {
			return nil, "", err
		}
		entries, next = append(entries, line.Entry), at
	}
	if !more {
		next = ""
	}
	return entries, next, nil
}

// lineFrom decodes a row. at is its key.
func lineFrom(raw row) (line numberrequest.Line, at string, err error) {
	r, err := decode[auditRow](raw)
	if err != nil {
		return line, "", err
	}
	when, err := time.Parse(clock, r.At[:min(len(clock), len(r.At))])
	return numberrequest.Line{Subject: r.Subject, Entry: numberrequest.Entry{At: when, Actor: r.Actor, Action: r.Action, From: r.From, To: r.To, Note: r.Note}}, r.At, err
}

const (
	auditBegins = "2026-11-01" // no line is older
	mostDays    = 31           // maximum number of days that one WholeAudit reads
)

// WholeAudit lists the audit lines of all subjects, newest first. It returns at most limit lines (1
// or more) behind the position after. next is the after of the next page, empty at the end. One
// call reads at most mostDays days, so a page may be short or even empty although next is set. A
// line written a moment ago may be missing.
func (db *DB) WholeAudit(ctx context.Context, limit int, after string) (lines []numberrequest.Line, next string, err error) {
	day, rest, _ := strings.Cut(after, " ")
	if day == "" {
		day = db.now().UTC().Add(time.Minute).Format(dayForm) // the clock of another function may be ahead
	}
	for range mostDays {
		found, last, err := db.auditDay(ctx, day, rest, limit-len(lines))
		if err != nil {
			return nil, "", err
		}
		if lines = append(lines, found...); last != "" {
			return lines, day + " " + last, nil
		}
		date, err := time.Parse(dayForm, day)
		if err != nil {
			return nil, "", fmt.Errorf("position in the audit: %w", err)
		}
		day, rest = date.AddDate(0, 0, -1).Format(dayForm), ""
		if day < auditBegins {
			return lines, "", nil
		}
		if len(lines) == limit {
			break
		}
	}
	return lines, day, nil
}

// auditDay reads the lines of a day, newest first. It returns at most limit lines behind the
// position after. next is the after of the rest of the day, empty at its end.
func (db *DB) auditDay(ctx context.Context, day, after string, limit int) (lines []numberrequest.Line, next string, err error) {
	in := &dynamodb.QueryInput{TableName: &db.table.Audit, IndexName: aws.String("by_day"), Limit: aws.Int32(int32(limit) + 1),
		ScanIndexForward: aws.Bool(false), KeyConditionExpression: aws.String("#day = :day"),
		ExpressionAttributeNames: map[string]string{"#day": "day"}, ExpressionAttributeValues: row{":day": str(day)}}
	if at, subject, ok := strings.Cut(after, " "); ok {
		in.ExclusiveStartKey = row{"day": str(day), "at": str(at), "subject": str(subject)}
	}
	out, err := db.client.Query(ctx, in)
	if err != nil {
		return nil, "", unavailable("read audit", err)
	}
	for _, raw := range out.Items[:min(limit, len(out.Items))] {
		line, at, err := lineFrom(raw)
		if err != nil {
			return nil, "", err
		}
		lines, next = append(lines, line), at+" "+line.Subject
	}
	if len(out.Items) <= limit && out.LastEvaluatedKey == nil {
		next = ""
	}
	return lines, next, nil
}

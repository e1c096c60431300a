package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/krosai/telephony/shared/call"
)

// The Stats table: one row of flat counters per user and day. A call's counters are written in the
// transaction that creates or ends the call, so statistics cost the same for any number of calls.
// started counts the calls that were created. total and status_<status> count the calls that have
// ended. talk_seconds and the duration histogram cover the calls that were completed. country_<cc>
// and country_<cc>_completed count the ended and the completed calls by country. A day is the UTC
// date on which a call was created.
//
// The histogram would fill most of a row and take most of the time to read it. So its 114 buckets
// are packed into 19 numbers, hist_0 to hist_18, six in each. Bucket b is six decimal digits of
// hist_<b mod 19>, the lowest digits for the lowest b. DynamoDB's numbers have 38 digits of
// precision. A bucket overflows at a million calls of one user and day, or twelve each second.
const (
	dayForm     = "2006-01-02"
	histNumbers = 19
	histDigits  = 6
)

// noCountry counts the calls whose country is unknown, for example because the caller hides their
// number. In ISO 3166 the code ZZ is user-assigned.
const noCountry = "ZZ"

func dayOf(c call.Call) row {
	return row{"user_id": str(c.UserID), "day": str(c.CreatedAt.UTC().Format(dayForm))}
}

// started is the write that counts a new call.
func (db *DB) started(c call.Call) types.TransactWriteItem {
	return types.TransactWriteItem{Update: &types.Update{TableName: &db.table.Stats, Key: dayOf(c),
		UpdateExpression: aws.String("ADD started :one"), ExpressionAttributeValues: row{":one": integer(1)}}}
}

// count is the write that adds one ended call to its owner's day.
func (db *DB) count(c call.Call) *types.Update {
	country := "country_" + cmp.Or(c.Country, noCountry)
	u := &types.Update{TableName: &db.table.Stats, Key: dayOf(c),
		UpdateExpression:          aws.String("ADD #total :one, #status :one, #country :one"),
		ExpressionAttributeNames:  map[string]string{"#total": "total", "#status": "status_" + string(c.Status), "#country": country},
		ExpressionAttributeValues: row{":one": integer(1)}}
	if c.Status == call.Completed {
		u.UpdateExpression = aws.String("ADD #total :one, #status :one, #country :one, #completed :one, #bucket :unit, #talk :talk")
		u.ExpressionAttributeNames["#completed"] = country + "_completed"
		bucket := call.DurationBucket(c.Duration())
		u.ExpressionAttributeNames["#bucket"] = fmt.Sprintf("hist_%d", bucket%histNumbers)
		u.ExpressionAttributeValues[":unit"] = &types.AttributeValueMemberN{Value: "1" + strings.Repeat("0", histDigits*(bucket/histNumbers))}
		u.ExpressionAttributeNames["#talk"] = "talk_seconds"
		u.ExpressionAttributeValues[":talk"] = integer(int64(c.Duration()))
	}
	return u
}

// StatsOf reads a user's days from the date of from to the date of to, both included, in order. It
// omits days without calls. One query is enough, because a year of busy days stays below the 1 MB
// that a query reads.
func (db *DB) StatsOf(ctx context.Context, userID string, from, to time.Time) ([]call.Day, error) {
	var days []call.Day
	pages := dynamodb.NewQueryPaginator(db.client, &dynamodb.QueryInput{TableName: &db.table.Stats,
		KeyConditionExpression:   aws.String("user_id = :user AND #day BETWEEN :from AND :to"),
		ExpressionAttributeNames: map[string]string{"#day": "day"},
		ExpressionAttributeValues: row{":user": str(userID), ":from": str(from.UTC().Format(dayForm)),
			":to": str(to.UTC().Format(dayForm))}, ConsistentRead: aws.Bool(true)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, unavailable("read statistics", err)
		}
		for _, raw := range page.Items {
			day, err := dayFrom(raw)
			if err != nil {
				return nil, err
			}
			days = append(days, day)
		}
	}
	return days, nil
}

func dayFrom(raw row) (call.Day, error) {
	d := call.Day{Ended: map[call.Status]int{}, Countries: map[string]call.Country{}}
	for name, value := range raw {
		number, ok := value.(*types.AttributeValueMemberN)
		if date, isText := value.(*types.AttributeValueMemberS); isText && name == "day" {
			d.Date = date.Value
		}
		if !ok {
			continue
		}
		if err := add(&d, name, number.Value); err != nil {
			return d, fmt.Errorf("decode statistics: %s: %w", name, err)
		}
	}
	return d, nil
}

// add stores one number of a row in d.
func add(d *call.Day, name, number string) error {
	kind, of, _ := strings.Cut(name, "_")
	if kind == "hist" {
		return unpack(&d.Durations, of, number)
	}
	n, err := strconv.Atoi(number)
	switch kind {
	case "started":
		d.Started = n
	case "talk":
		d.TalkSeconds = n
	case "status":
		d.Ended[call.Status(of)] = n
	case "country":
		country, completed := strings.CutSuffix(of, "_completed")
		tally := d.Countries[country]
		if completed {
			tally.Completed = n
		} else {
			tally.Total = n
		}
		d.Countries[country] = tally
	}
	return err
}

// unpack splits the number hist_<of> into its buckets.
func unpack(h *call.Histogram, of, number string) error {
	bucket, err := strconv.Atoi(of)
	for ; number != "" && err == nil; bucket += histNumbers {
		if bucket < 0 || bucket >= len(h) {
			return errors.New("there is no such bucket")
		}
		cut := max(0, len(number)-histDigits)
		h[bucket], err = strconv.Atoi(number[cut:])
		number = number[:cut]
	}
	return err
}

// Package store keeps the platform's records in DynamoDB. It is the only deployed package that
// speaks to DynamoDB. It returns types of the domain and errors of package fault.
//
// Every write is conditional or idempotent, because the SDK repeats a request whose answer was
// lost. A write that finds its own trace has succeeded.
package store

import (
	"fmt"
	"maps"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/feature/dynamodb/attributevalue"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// Config names the tables. Each function gets the names of the tables that it uses.
type Config struct {
	Numbers  string `env:"NUMBERS_TABLE"`
	Requests string `env:"REQUESTS_TABLE"`
	Calls    string `env:"CALLS_TABLE"`
	Stats    string `env:"STATS_TABLE"`
	Keys     string `env:"KEYS_TABLE"`
	Limits   string `env:"LIMITS_TABLE"`
	Audit    string `env:"AUDIT_TABLE"`
	Webhooks string `env:"WEBHOOKS_TABLE"`
	Events   string `env:"EVENTS_TABLE"`
}

// DB is the database. It is safe for concurrent use.
type DB struct {
	client *dynamodb.Client
	table  Config
	now    func() time.Time
	notes  atomic.Int64 // audit lines written so far
}

// Open makes a DB. It does not touch the network.
func Open(cfg aws.Config, tables Config, now func() time.Time) *DB {
	return &DB{table: tables, now: now, client: dynamodb.NewFromConfig(cfg, retried)}
}

// row is a row of a table as DynamoDB has it, an item. It also holds a request's values.
type row = map[string]types.AttributeValue

func str(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }

func integer(n int64) types.AttributeValue {
	return &types.AttributeValueMemberN{Value: fmt.Sprint(n)}
}

// clock is the form of every stored time: RFC 3339, UTC, milliseconds, so that
// text order is time order.
const clock = "2006-01-02T15:04:05.000Z"

func timestamp(t time.Time) types.AttributeValue { return str(t.UTC().Format(clock)) }

// Time is a time in its stored form. The zero time is not stored.
type Time struct{ time.Time }

// MarshalDynamoDBAttributeValue writes the time as text, or NULL when zero.
func (t Time) MarshalDynamoDBAttributeValue() (types.AttributeValue, error) {
	if t.IsZero() {
		return &types.AttributeValueMemberNULL{Value: true}, nil
	}
	return timestamp(t.Time), nil
}

// UnmarshalDynamoDBAttributeValue reads what MarshalDynamoDBAttributeValue wrote.
func (t *Time) UnmarshalDynamoDBAttributeValue(v types.AttributeValue) error {
	s, ok := v.(*types.AttributeValueMemberS)
	if !ok {
		return nil
	}
	var err error
	t.Time, err = time.Parse(clock, s.Value)
	return err
}

// encode turns a record into a row. It omits attributes that are NULL, so that attribute_exists
// tells whether something has happened.
func encode(record any) (row, error) {
	raw, err := attributevalue.MarshalMap(record)
	if err != nil {
		return nil, fmt.Errorf("encode %T: %w", record, err)
	}
	maps.DeleteFunc(raw, func(_ string, v types.AttributeValue) bool {
		_, null := v.(*types.AttributeValueMemberNULL)
		return null
	})
	return raw, nil
}

// decode turns a row into a record.
func decode[T any](raw row) (T, error) {
	var record T
	if err := attributevalue.UnmarshalMap(raw, &record); err != nil {
		return record, fmt.Errorf("decode %T: %w", record, err)
	}
	return record, nil
}

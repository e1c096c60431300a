package eventsource

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/google/uuid"
)

const (
	pollInterval = 250 * time.Millisecond // Lambda polls each shard four times a second
	idleInterval = 5 * time.Minute        // where Written tells of records: iterators live for 15 minutes
	readAtOnce   = 1000                   // records
)

// stream runs one StreamMapping.
type stream struct {
	StreamMapping

	s        *Service
	filters  []filter
	shard    string
	iterator *string // nil until the first read, and after an error
	done     string  // the last sequence number that needs no invocation any more; "" at first
}

// record is one that the filters let through.
type record struct {
	sequence string
	at       time.Time
	event    events.DynamoDBEventRecord
}

func (m *stream) run() {
	failures := 0
	attempt := func(what string, err error) bool {
		if err == nil || m.s.ctx.Err() != nil {
			failures = 0
			return err == nil
		}
		failures++
		m.s.opts.Log.Warn(what, slog.String("function", m.Function), slog.String("stream", m.Stream), slog.Any("error", err))
		m.s.sleep(pause(failures), nil)
		return false
	}
	var err error
	for m.s.ctx.Err() == nil {
		if m.done, err = m.stored(); attempt("read a checkpoint", err) {
			break
		}
	}
	for m.s.ctx.Err() == nil {
		woken, interval := m.written()
		read, err := m.read()
		if !attempt("read a stream", err) {
			continue
		}
		if len(read) == 0 {
			m.s.sleep(interval, woken)
			continue
		}
		m.work(read)
	}
}

// written is the channel that tells of new records, and how long to wait for it.
func (m *stream) written() (<-chan struct{}, time.Duration) {
	if m.s.opts.Written != nil {
		table := strings.Split(m.Stream, "/")[1]
		if woken := m.s.opts.Written(table); woken != nil {
			return woken, idleInterval
		}
	}
	return nil, pollInterval
}

// read returns the records behind those that were read before.
func (m *stream) read() ([]types.Record, error) {
	if m.iterator == nil {
		if err := m.seek(); err != nil {
			return nil, err
		}
	}
	out, err := m.s.opts.Streams.GetRecords(m.s.ctx, &dynamodbstreams.GetRecordsInput{ShardIterator: m.iterator, Limit: aws.Int32(readAtOnce)})
	if err != nil {
		m.iterator = nil
		if _, expired := errors.AsType[*types.ExpiredIteratorException](err); expired {
			return nil, nil
		}
		return nil, err
	}
	m.iterator = out.NextShardIterator
	return out.Records, nil
}

// seek gets an iterator behind what is done, or at the oldest record where that is behind.
func (m *stream) seek() error {
	d, err := m.s.opts.Streams.DescribeStream(m.s.ctx, &dynamodbstreams.DescribeStreamInput{StreamArn: &m.Stream})
	if err != nil {
		return err
	}
	if len(d.StreamDescription.Shards) != 1 {
		return fmt.Errorf("the stream has %d shards: only one is supported", len(d.StreamDescription.Shards))
	}
	m.shard = *d.StreamDescription.Shards[0].ShardId
	in := &dynamodbstreams.GetShardIteratorInput{StreamArn: &m.Stream, ShardId: &m.shard, ShardIteratorType: types.ShardIteratorTypeTrimHorizon}
	if m.done != "" {
		in.ShardIteratorType, in.SequenceNumber = types.ShardIteratorTypeAfterSequenceNumber, &m.done
	}
	out, err := m.s.opts.Streams.GetShardIterator(m.s.ctx, in)
	if _, trimmed := errors.AsType[*types.TrimmedDataAccessException](err); trimmed {
		in.ShardIteratorType, in.SequenceNumber = types.ShardIteratorTypeTrimHorizon, nil
		out, err = m.s.opts.Streams.GetShardIterator(m.s.ctx, in)
	}
	if err != nil {
		return err
	}
	m.iterator = out.ShardIterator
	return nil
}

// work invokes with what was read, batch by batch, until all is done or the service closed.
func (m *stream) work(read []types.Record) {
	var passed []record
	for _, r := range read {
		one, err := m.pass(r)
		if err != nil { // a record that nobody could read: not of DynamoDB
			m.s.opts.Log.Error("read a record", slog.String("stream", m.Stream), slog.Any("error", err))
		}
		if one != nil {
			passed = append(passed, *one)
		}
	}
	failures := 0
	for len(passed) > 0 && m.s.ctx.Err() == nil {
		batch, payload := m.batch(passed)
		finished, err := m.invoke(batch, payload)
		if finished > 0 {
			failures = 0
		}
		if err != nil && m.s.ctx.Err() == nil {
			failures++
			m.s.opts.Log.Warn("invoke with records", slog.String("function", m.Function), slog.Int("failures", failures), slog.Any("error", err))
			if m.exhausted(failures) && m.giveUp(batch[finished:], failures) {
				finished, failures = len(batch), 0
			}
		}
		if finished > 0 && !m.finish(batch[finished-1].sequence) {
			return
		}
		passed = passed[finished:]
		if failures > 0 {
			m.s.sleep(pause(failures), nil)
		}
	}
	if len(passed) == 0 {
		m.done = *read[len(read)-1].Dynamodb.SequenceNumber // not stored: those behind passed no filter
	}
}

// exhausted says whether a batch that failed so often is given up.
func (m *stream) exhausted(failures int) bool {
	return m.MaximumRetryAttempts != nil && *m.MaximumRetryAttempts >= 0 && failures > *m.MaximumRetryAttempts
}

// finish stores a checkpoint. Where that is not possible the records are read again.
func (m *stream) finish(sequence string) bool {
	err := m.checkpoint(sequence)
	if err != nil {
		m.iterator = nil
		m.s.opts.Log.Error("store a checkpoint", slog.String("function", m.Function), slog.Any("error", err))
		m.s.sleep(time.Second, nil)
	}
	return err == nil
}

// pass returns a record as functions get it, nil if no filter lets it through.
func (m *stream) pass(r types.Record) (*record, error) {
	event, err := eventOf(r, m.Stream)
	if err != nil {
		return nil, err
	}
	one := &record{*r.Dynamodb.SequenceNumber, aws.ToTime(r.Dynamodb.ApproximateCreationDateTime), event}
	if len(m.filters) == 0 {
		return one, nil
	}
	encoded, err := json.Marshal(event)
	if err != nil {
		return nil, err
	}
	var v any
	if err := json.Unmarshal(encoded, &v); err != nil {
		return nil, err
	}
	if !slices.ContainsFunc(m.filters, func(f filter) bool { return f.matches(v) }) {
		return nil, nil
	}
	return one, nil
}

// batch is the first of the records that fit into one invocation, and its payload.
func (m *stream) batch(records []record) ([]record, []byte) {
	for n := min(len(records), m.BatchSize); ; n /= 2 {
		event := events.DynamoDBEvent{}
		for _, r := range records[:n] {
			event.Records = append(event.Records, r.event)
		}
		payload, _ := json.Marshal(event) // each record was made of what JSON has
		if len(payload) <= maxPayload || n == 1 {
			return records[:n], payload
		}
	}
}

// invoke runs the function and returns how many of the batch are finished.
func (m *stream) invoke(batch []record, payload []byte) (finished int, err error) {
	body, err := m.s.opts.Invoke(m.s.ctx, m.Function, payload)
	if err != nil || !m.ReportBatchItemFailures {
		return lengthIf(err == nil, batch), err
	}
	sequences := make([]string, len(batch))
	for i, r := range batch {
		sequences[i] = r.sequence
	}
	failed, err := failedItems(body, sequences)
	if err != nil || len(failed) == 0 {
		return lengthIf(err == nil, batch), err
	}
	first := slices.IndexFunc(sequences, func(s string) bool { return slices.Contains(failed, s) })
	return first, fmt.Errorf("the function reports %d of %d records as failed", len(failed), len(batch))
}

func lengthIf(succeeded bool, batch []record) int {
	if succeeded {
		return len(batch)
	}
	return 0
}

// giveUp describes a batch to the queue of OnFailure, and reports whether it could.
func (m *stream) giveUp(batch []record, attempts int) bool {
	if m.OnFailure == "" {
		return true
	}
	first, last := batch[0], batch[len(batch)-1]
	body, _ := json.Marshal(map[string]any{
		"version": "1.0", "timestamp": time.Now().UTC().Format("2006-01-02T15:04:05.000Z"),
		"requestContext":  map[string]any{"requestId": uuid.NewString(), "functionArn": m.Function, "condition": "RetryAttemptsExhausted", "approximateInvokeCount": attempts},
		"responseContext": map[string]any{"statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled"},
		"DDBStreamBatchInfo": map[string]any{
			"shardId": m.shard, "streamArn": m.Stream, "batchSize": len(batch),
			"startSequenceNumber": first.sequence, "endSequenceNumber": last.sequence,
			"approximateArrivalOfFirstRecord": first.at.UTC().Format(time.RFC3339), "approximateArrivalOfLastRecord": last.at.UTC().Format(time.RFC3339),
		},
	})
	url, err := m.s.queueURL(m.OnFailure)
	if err == nil {
		_, err = m.s.opts.SQS.SendMessage(m.s.ctx, &sqs.SendMessageInput{QueueUrl: url, MessageBody: aws.String(string(body))})
	}
	if err != nil {
		m.s.opts.Log.Error("tell of a batch that was given up", slog.String("function", m.Function), slog.Any("error", err))
	}
	return err == nil
}

package eventsource_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	dynamodbsdk "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams"
	sqssdk "github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/google/go-cmp/cmp"

	"github.com/krosai/telephony/emulator/dynamodb"
	"github.com/krosai/telephony/emulator/eventsource"
	"github.com/krosai/telephony/emulator/sqs"
)

// bench is a table with a stream, queues, and a function that writes down what it gets.
type bench struct {
	t      *testing.T
	table  *dynamodbsdk.Client
	stream string
	close  func() // closes the database
	sqs    *sqssdk.Client
	queues *sqs.Service
	opts   eventsource.Options

	mu      sync.Mutex
	begun   time.Time
	invoked []string // "3s: a b c", the bodies of each batch
	answer  func(bodies []string) (string, error)
}

func config(client *http.Client) aws.Config {
	return aws.Config{Region: "us-east-1", RetryMaxAttempts: 1, HTTPClient: client, BaseEndpoint: aws.String("http://aws"),
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "test", SecretAccessKey: "test"}, nil
		})}
}

func newBench(t *testing.T, path string) *bench {
	t.Helper()
	db, err := dynamodb.Open(path, dynamodb.Options{})
	if err != nil {
		t.Fatal(err)
	}
	queues, err := sqs.Open("", sqs.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = db.Close(), queues.Close() })
	b := &bench{t: t, close: func() { _ = db.Close() }, table: dynamodbsdk.NewFromConfig(config(db.Client())), sqs: sqssdk.NewFromConfig(config(queues.Client())), queues: queues, begun: time.Now(),
		answer: func([]string) (string, error) { return "", nil }}
	b.opts = eventsource.Options{Streams: dynamodbstreams.NewFromConfig(config(db.Client())), SQS: b.sqs, Written: db.Written, Invoke: b.invoke, Log: slog.New(slog.DiscardHandler)}
	b.stream = createEvents(t, b.table)
	return b
}

// createEvents makes the table of events and returns the ARN of its stream.
func createEvents(t *testing.T, c *dynamodbsdk.Client) string {
	t.Helper()
	out, err := c.CreateTable(t.Context(), &dynamodbsdk.CreateTableInput{
		TableName: aws.String("events"), BillingMode: types.BillingModePayPerRequest,
		KeySchema:            []types.KeySchemaElement{{AttributeName: aws.String("id"), KeyType: types.KeyTypeHash}},
		AttributeDefinitions: []types.AttributeDefinition{{AttributeName: aws.String("id"), AttributeType: types.ScalarAttributeTypeS}},
		StreamSpecification:  &types.StreamSpecification{StreamEnabled: aws.Bool(true), StreamViewType: types.StreamViewTypeNewImage},
	})
	if err != nil {
		t.Fatal(err)
	}
	return *out.TableDescription.LatestStreamArn
}

// invoke is the function: it writes down the texts of its batch, which are the ids of
// items or the bodies of messages.
func (b *bench) invoke(_ context.Context, _ string, payload []byte) ([]byte, error) {
	texts, err := textsOf(payload)
	if err != nil {
		return nil, err
	}
	b.mu.Lock()
	b.invoked = append(b.invoked, fmt.Sprint(time.Since(b.begun).Round(time.Second), ": ", strings.Join(texts, " ")))
	b.mu.Unlock()
	answer, err := b.answer(texts)
	return []byte(answer), err
}

func textsOf(payload []byte) ([]string, error) {
	var source struct {
		Records []struct{ EventSource string }
	}
	if err := json.Unmarshal(payload, &source); err != nil {
		return nil, err
	}
	var texts []string
	if source.Records[0].EventSource == "aws:sqs" {
		var event events.SQSEvent
		if err := json.Unmarshal(payload, &event); err != nil {
			return nil, err
		}
		for _, r := range event.Records {
			texts = append(texts, r.Body)
		}
		return texts, nil
	}
	var event events.DynamoDBEvent
	if err := json.Unmarshal(payload, &event); err != nil {
		return nil, err
	}
	for _, r := range event.Records {
		texts = append(texts, r.Change.Keys["id"].String())
	}
	return texts, nil
}

func (b *bench) put(id, kind string) {
	b.t.Helper()
	_, err := b.table.PutItem(b.t.Context(), &dynamodbsdk.PutItemInput{TableName: aws.String("events"),
		Item: map[string]types.AttributeValue{"id": &types.AttributeValueMemberS{Value: id}, "event_type": &types.AttributeValueMemberS{Value: kind}}})
	if err != nil {
		b.t.Fatal(err)
	}
}

// start opens a service with mappings and runs it.
func (b *bench) start(mappings ...any) *eventsource.Service {
	b.t.Helper()
	s, err := eventsource.Open(b.opts)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { _ = s.Close() })
	for _, m := range mappings {
		switch m := m.(type) {
		case eventsource.StreamMapping:
			m.Function, m.Stream, m.StartingPosition = "work", b.stream, "TRIM_HORIZON"
			err = errors.Join(err, s.AddStream(m))
		case eventsource.QueueMapping:
			m.Function = "work"
			err = errors.Join(err, s.AddQueue(m))
		}
	}
	if err != nil {
		b.t.Fatal(err)
	}
	s.Start()
	return s
}

func (b *bench) want(want ...string) {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	if d := cmp.Diff(want, b.invoked); d != "" {
		b.t.Errorf("invocations (-want +got)\n%s", d)
	}
}

// sequenceOf reads the sequence number of a record by the id of its item.
func (b *bench) sequenceOf(id string) string {
	b.t.Helper()
	ctx := b.t.Context()
	d, err := b.opts.Streams.DescribeStream(ctx, &dynamodbstreams.DescribeStreamInput{StreamArn: &b.stream})
	if err != nil {
		b.t.Fatal(err)
	}
	it, err := b.opts.Streams.GetShardIterator(ctx, &dynamodbstreams.GetShardIteratorInput{StreamArn: &b.stream, ShardId: d.StreamDescription.Shards[0].ShardId, ShardIteratorType: "TRIM_HORIZON"})
	if err != nil {
		b.t.Fatal(err)
	}
	out, err := b.opts.Streams.GetRecords(ctx, &dynamodbstreams.GetRecordsInput{ShardIterator: it.ShardIterator})
	if err != nil {
		b.t.Fatal(err)
	}
	for _, r := range out.Records {
		if strings.Contains(fmt.Sprint(r.Dynamodb.Keys["id"]), "{"+id+" ") {
			return *r.Dynamodb.SequenceNumber
		}
	}
	b.t.Fatalf("no record of %s", id)
	return ""
}

func failures(ids ...string) string {
	type item struct {
		ItemIdentifier string `json:"itemIdentifier"`
	}
	var all []item
	for _, id := range ids {
		all = append(all, item{id})
	}
	body, _ := json.Marshal(map[string]any{"batchItemFailures": all})
	return string(body)
}

// TestStreamInOrder: what was there before and what comes later is invoked with, at once,
// in order, in batches, and only what the filters let through.
func TestStreamInOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "")
		for i := range 5 {
			b.put(fmt.Sprint("old-", i), "call.ended")
		}
		b.start(eventsource.StreamMapping{BatchSize: 2, Filters: []string{`{"eventName":["INSERT"],"dynamodb":{"NewImage":{"event_type":{"S":["call.ended","call.answered"]}}}}`}})
		synctest.Wait()
		b.want("0s: old-0 old-1", "0s: old-2 old-3", "0s: old-4")
		time.Sleep(time.Hour)
		b.put("other", "number.released")
		b.put("new", "call.answered")
		b.put("old-1", "call.answered") // a MODIFY
		synctest.Wait()
		b.want("0s: old-0 old-1", "0s: old-2 old-3", "0s: old-4", "1h0m0s: new")
	})
}

// TestStreamPolls: without Written the stream is polled.
func TestStreamPolls(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "")
		b.opts.Written = nil
		b.start(eventsource.StreamMapping{})
		time.Sleep(30 * time.Second)
		b.put("a", "x")
		time.Sleep(300 * time.Millisecond)
		b.want("30s: a")
	})
}

// TestStreamFailures: a batch that fails is invoked again, later and later, and holds up
// what is behind it.
func TestStreamFailures(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		mapping eventsource.StreamMapping
		answer  func(b *bench, attempt int) (string, error)
		want    []string
		told    bool
	}{
		"an error": {eventsource.StreamMapping{BatchSize: 3}, func(_ *bench, attempt int) (string, error) {
			if attempt <= 3 {
				return "", errors.New("failed")
			}
			return "", nil
		}, []string{"0s: a b c", "1s: a b c", "3s: a b c", "7s: a b c", "7s: d"}, false},
		"some records": {eventsource.StreamMapping{BatchSize: 3, ReportBatchItemFailures: true}, func(b *bench, attempt int) (string, error) {
			switch attempt {
			case 1:
				return failures(b.sequenceOf("c"), b.sequenceOf("b")), nil
			case 2:
				return failures(b.sequenceOf("c")), nil
			}
			return `{"batchItemFailures":[]}`, nil
		}, []string{"0s: a b c", "1s: b c d", "2s: c d"}, false},
		"records that are not its own": {eventsource.StreamMapping{BatchSize: 3, ReportBatchItemFailures: true}, func(_ *bench, attempt int) (string, error) {
			if attempt == 1 {
				return failures("none"), nil
			}
			return "", nil
		}, []string{"0s: a b c", "1s: a b c", "1s: d"}, false},
		"an answer that is not read": {eventsource.StreamMapping{BatchSize: 4}, func(*bench, int) (string, error) { return "nonsense", nil }, []string{"0s: a b c d"}, false},
		"given up": {eventsource.StreamMapping{BatchSize: 2, MaximumRetryAttempts: aws.Int(1), OnFailure: "arn:aws:sqs:us-east-1:000000000000:dead"}, func(_ *bench, attempt int) (string, error) {
			if attempt <= 2 {
				return "", errors.New("failed")
			}
			return "", nil
		}, []string{"0s: a b", "1s: a b", "1s: c d"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, "")
				dead, err := b.sqs.CreateQueue(t.Context(), &sqssdk.CreateQueueInput{QueueName: aws.String("dead")})
				if err != nil {
					t.Fatal(err)
				}
				for _, id := range []string{"a", "b", "c", "d"} {
					b.put(id, "x")
				}
				attempt := 0
				b.answer = func([]string) (string, error) {
					attempt++
					return c.answer(b, attempt)
				}
				b.start(c.mapping)
				time.Sleep(time.Minute)
				b.want(c.want...)
				out, err := b.sqs.ReceiveMessage(t.Context(), &sqssdk.ReceiveMessageInput{QueueUrl: dead.QueueUrl})
				if err != nil || (len(out.Messages) == 1) != c.told {
					t.Fatalf("told: %v, %v", out, err)
				}
				if c.told {
					var told struct {
						DDBStreamBatchInfo struct {
							StartSequenceNumber, EndSequenceNumber string
							BatchSize                              int
						}
					}
					if err := json.Unmarshal([]byte(*out.Messages[0].Body), &told); err != nil {
						t.Fatal(err)
					}
					if info := told.DDBStreamBatchInfo; info.StartSequenceNumber != b.sequenceOf("a") || info.EndSequenceNumber != b.sequenceOf("b") || info.BatchSize != 2 {
						t.Errorf("told %s", *out.Messages[0].Body)
					}
				}
			})
		})
	}
}

// TestStreamRestart: a service that is opened again goes on where it was, also where it
// was closed in the middle of an invocation.
func TestStreamRestart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "")
		b.opts.Path = t.TempDir() + "/checkpoints"
		b.put("a", "x")
		s := b.start(eventsource.StreamMapping{})
		synctest.Wait()
		b.opts.Invoke = func(ctx context.Context, function string, payload []byte) ([]byte, error) {
			if _, err := b.invoke(ctx, function, payload); err != nil {
				return nil, err
			}
			<-ctx.Done()
			return nil, ctx.Err()
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		b.put("b", "x")
		hanging := b.start(eventsource.StreamMapping{})
		synctest.Wait()
		if err := hanging.Close(); err != nil {
			t.Fatal(err)
		}
		b.opts.Invoke = b.invoke
		b.put("c", "x")
		b.start(eventsource.StreamMapping{})
		synctest.Wait()
		b.want("0s: a", "0s: b", "0s: b c")
	})
}

// TestStreamBehind: a service that was away for days begins with what is left.
func TestStreamBehind(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "")
		b.opts.Path = t.TempDir() + "/checkpoints"
		b.put("a", "x")
		s := b.start(eventsource.StreamMapping{})
		synctest.Wait()
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		b.put("lost", "x")
		time.Sleep(25 * time.Hour)
		for i := range 3 {
			b.put(fmt.Sprint(i), "x")
		}
		b.start(eventsource.StreamMapping{})
		synctest.Wait()
		b.want("0s: a", "25h0m0s: 0 1 2")
	})
}

// queue makes a queue with a visibility timeout of 30 s and, behind it, dead letters after
// two receives. It returns its URL and its mapping.
func (b *bench) queue() (*string, eventsource.QueueMapping) {
	b.t.Helper()
	if _, err := b.sqs.CreateQueue(b.t.Context(), &sqssdk.CreateQueueInput{QueueName: aws.String("dead")}); err != nil {
		b.t.Fatal(err)
	}
	out, err := b.sqs.CreateQueue(b.t.Context(), &sqssdk.CreateQueueInput{QueueName: aws.String("work"), Attributes: map[string]string{
		"VisibilityTimeout": "30", "RedrivePolicy": `{"deadLetterTargetArn":"` + b.queues.ARN("dead") + `","maxReceiveCount":2}`}})
	if err != nil {
		b.t.Fatal(err)
	}
	return out.QueueUrl, eventsource.QueueMapping{Queue: b.queues.ARN("work")}
}

func (b *bench) send(url *string, body string) {
	b.t.Helper()
	if _, err := b.sqs.SendMessage(b.t.Context(), &sqssdk.SendMessageInput{QueueUrl: url, MessageBody: &body}); err != nil {
		b.t.Fatal(err)
	}
}

// left is how many messages a queue holds, whether they can be received or not.
func (b *bench) left(url *string) string {
	b.t.Helper()
	out, err := b.sqs.GetQueueAttributes(b.t.Context(), &sqssdk.GetQueueAttributesInput{QueueUrl: url, AttributeNames: []sqstypes.QueueAttributeName{"All"}})
	if err != nil {
		b.t.Fatal(err)
	}
	return out.Attributes["ApproximateNumberOfMessages"] + " " + out.Attributes["ApproximateNumberOfMessagesNotVisible"]
}

// TestQueue: messages are invoked with and deleted; a poisonous one comes back after the
// visibility timeout, holds nothing up, and ends among the dead letters.
func TestQueue(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "")
		url, m := b.queue()
		m.BatchSize, m.ReportBatchItemFailures = 10, true
		poison := ""
		b.opts.Invoke = func(ctx context.Context, function string, payload []byte) ([]byte, error) {
			if _, err := b.invoke(ctx, function, payload); err != nil {
				return nil, err
			}
			var event events.SQSEvent
			if err := json.Unmarshal(payload, &event); err != nil {
				return nil, err
			}
			for _, r := range event.Records {
				if r.Body == "poison" {
					poison = r.Attributes["ApproximateReceiveCount"]
					return []byte(failures(r.MessageId)), nil
				}
			}
			return nil, nil
		}
		for _, body := range []string{"a", "poison", "b"} {
			b.send(url, body)
		}
		b.start(m)
		time.Sleep(10 * time.Second)
		b.want("0s: a poison b")
		if got := b.left(url); got != "0 1" {
			t.Errorf("left: %s", got)
		}
		b.send(url, "c")
		time.Sleep(time.Minute)
		b.want("0s: a poison b", "10s: c", "30s: poison")
		dead := strings.Replace(*url, "/work", "/dead", 1)
		if got := b.left(url) + ", " + b.left(&dead); got != "0 0, 1 0" || poison != "2" {
			t.Errorf("left and dead: %s after %s receives", got, poison)
		}
	})
}

// TestQueueConcurrency: no more batches are in work at once than the mapping allows, and
// a batch that fails stays.
func TestQueueConcurrency(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "")
		url, m := b.queue()
		m.BatchSize, m.MaximumConcurrency = 2, 3
		var mu sync.Mutex
		now, most := 0, 0
		b.answer = func(texts []string) (string, error) {
			mu.Lock()
			now++
			most = max(most, now)
			mu.Unlock()
			time.Sleep(time.Second)
			mu.Lock()
			now--
			mu.Unlock()
			if slices.Contains(texts, "19") {
				return "", errors.New("failed")
			}
			return "nonsense", nil // not asked for
		}
		for i := range 20 {
			b.send(url, fmt.Sprint(i))
		}
		b.start(m)
		time.Sleep(10 * time.Second)
		mu.Lock()
		defer mu.Unlock()
		if most != 3 || len(b.invoked) != 10 || b.left(url) != "0 2" {
			t.Errorf("at most %d at once, %d batches, left %s", most, len(b.invoked), b.left(url))
		}
	})
}

// TestQueueThatFails: a queue that cannot be read is tried again, and one that is closed
// in the middle of an invocation keeps its messages.
func TestQueueThatFails(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "")
		release := make(chan struct{})
		b.answer = func([]string) (string, error) { <-release; return "", errors.New("closed") }
		s := b.start(eventsource.QueueMapping{Queue: b.queues.ARN("work")})
		time.Sleep(2 * time.Second) // fails at 0 and 1 s, is tried again at 3 s
		url, _ := b.queue()
		b.send(url, "a")
		time.Sleep(2 * time.Second)
		b.want("3s: a")
		close(release)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if got := b.left(url); got != "0 1" {
			t.Errorf("left: %s", got)
		}
	})
}

// TestRefused: mappings that Lambda has and the emulator has not, or that nobody has.
func TestRefused(t *testing.T) {
	t.Parallel()
	const stream, queue = "arn:aws:dynamodb:us-east-1:000000000000:table/t/stream/x", "arn:aws:sqs:us-east-1:000000000000:q"
	for name, m := range map[string]any{
		"fine":         eventsource.StreamMapping{Stream: stream, StartingPosition: "TRIM_HORIZON", Filters: []string{`{"a":["b"]}`}},
		"a fine queue": eventsource.QueueMapping{Queue: queue, MaximumConcurrency: 2},
		"LATEST":       eventsource.StreamMapping{Stream: stream, StartingPosition: "LATEST"},
		"batch":        eventsource.StreamMapping{Stream: stream, StartingPosition: "TRIM_HORIZON", BatchSize: 10001},
		"retries":      eventsource.StreamMapping{Stream: stream, StartingPosition: "TRIM_HORIZON", MaximumRetryAttempts: aws.Int(-2)},
		"a table":      eventsource.StreamMapping{Stream: "arn:aws:dynamodb:us-east-1:000000000000:table/t", StartingPosition: "TRIM_HORIZON"},
		"six filters":  eventsource.StreamMapping{Stream: stream, StartingPosition: "TRIM_HORIZON", Filters: slices.Repeat([]string{`{"a":["b"]}`}, 6)},
		"a number":     eventsource.StreamMapping{Stream: stream, StartingPosition: "TRIM_HORIZON", Filters: []string{`{"a":[1]}`}},
		"a prefix":     eventsource.StreamMapping{Stream: stream, StartingPosition: "TRIM_HORIZON", Filters: []string{`{"a":[{"prefix":"b"}]}`}},
		"no rule":      eventsource.StreamMapping{Stream: stream, StartingPosition: "TRIM_HORIZON", Filters: []string{`{"a":[]}`}},
		"no key":       eventsource.StreamMapping{Stream: stream, StartingPosition: "TRIM_HORIZON", Filters: []string{`{}`}},
		"a list":       eventsource.StreamMapping{Stream: stream, StartingPosition: "TRIM_HORIZON", Filters: []string{`["a"]`}},
		"a text":       eventsource.StreamMapping{Stream: stream, StartingPosition: "TRIM_HORIZON", Filters: []string{`{"a":"b"}`}},
		"null":         eventsource.StreamMapping{Stream: stream, StartingPosition: "TRIM_HORIZON", Filters: []string{`null`}},
		"a name":       eventsource.QueueMapping{Queue: "q"},
		"eleven":       eventsource.QueueMapping{Queue: queue, BatchSize: 11},
		"one at once":  eventsource.QueueMapping{Queue: queue, MaximumConcurrency: 1},
		"many at once": eventsource.QueueMapping{Queue: queue, MaximumConcurrency: 1001},
	} {
		s, err := eventsource.Open(eventsource.Options{Invoke: func(context.Context, string, []byte) ([]byte, error) { return nil, nil }})
		if err != nil {
			t.Fatal(err)
		}
		switch m := m.(type) {
		case eventsource.StreamMapping:
			err = s.AddStream(m)
		case eventsource.QueueMapping:
			err = s.AddQueue(m)
		}
		if fine := strings.Contains(name, "fine"); (err == nil) != fine {
			t.Errorf("%s: %v", name, err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

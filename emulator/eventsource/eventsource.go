// Package eventsource is what AWS Lambda does with event source mappings: it reads the
// stream of a DynamoDB table, or an SQS queue, and invokes a function with batches.
//
// # Streams
//
// Each mapping reads the stream's one shard in order. It invokes with the records that its
// filters let through, one batch at a time. A batch that fails is invoked again, with waits
// that grow from one second to one minute, and nothing behind it is read meanwhile; with
// ReportBatchItemFailures the next attempt begins at the first record that failed. A batch
// that has failed once more than MaximumRetryAttempts is given up and described to the
// queue of OnFailure. The checkpoint is on disk before the next batch begins: a process that
// is killed invokes with its last batch again, and skips none.
//
// # Queues
//
// Up to MaximumConcurrency batches are in work at once. Messages whose invocation succeeded
// are deleted; the others come back when the queue's visibility timeout is over, and the
// queue's redrive policy ends that.
//
// # Not here
//
// Batching windows, bisecting, parallelization, tumbling windows, starting positions other
// than TRIM_HORIZON, filters of queues, and filter rules other than equality with one of
// some texts. A mapping with any of them is refused.
//
// Source: AWS Lambda Developer Guide, "Invoking Lambda with events from other AWS services".
package eventsource

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"go.etcd.io/bbolt"

	"github.com/krosai/telephony/emulator/file"
)

// Options say what mappings read and how they invoke.
type Options struct {
	Path    string // bbolt file of the checkpoints; "" keeps them in memory
	Streams *dynamodbstreams.Client
	SQS     *sqs.Client

	// Invoke runs a function as Lambda does and returns its answer. It must return soon
	// after its context ends: Close waits for it.
	Invoke func(ctx context.Context, function string, payload []byte) ([]byte, error)

	// Written returns a channel that is closed once something is written to a table's
	// stream after the call, or nil. Without it streams are polled every 250 ms.
	Written func(table string) <-chan struct{}

	// Due returns once a queue, by its name, has something to receive, or an error. Without it
	// queues are read by long polls, one after the other.
	Due func(ctx context.Context, queue string) error

	Log *slog.Logger // default slog.Default()
}

// Service runs mappings.
type Service struct {
	opts Options
	file *file.File // nil without one
	ctx  context.Context
	stop context.CancelFunc
	all  sync.WaitGroup
	runs []func()
}

// StreamMapping invokes a function with the records of a stream.
type StreamMapping struct {
	Function string
	Stream   string // its ARN

	BatchSize               int // 1 to 10,000; 0 is 100
	StartingPosition        string
	Filters                 []string // patterns, of which one must match; none lets everything through
	ReportBatchItemFailures bool
	MaximumRetryAttempts    *int   // nil and -1 retry for ever
	OnFailure               string // ARN of the queue that gets a notice of each batch given up; "" is no queue
}

// QueueMapping invokes a function with the messages of a queue.
type QueueMapping struct {
	Function string
	Queue    string // its ARN

	BatchSize               int // 1 to 10; 0 is 10
	MaximumConcurrency      int // 2 to 1000; 0 is 1000
	ReportBatchItemFailures bool
}

// Limits of event source mappings (API Reference, CreateEventSourceMapping).
const (
	defaultStreamBatch, maxStreamBatch = 100, 10000
	defaultQueueBatch, maxQueueBatch   = 10, 10
	leastConcurrency, mostConcurrency  = 2, 1000
	maxRetries                         = 10000

	maxPayload = 6 << 20 // bytes, of an invocation
)

// Open makes a service without mappings.
func Open(o Options) (*Service, error) {
	if o.Invoke == nil {
		return nil, errors.New("eventsource: Options.Invoke is missing")
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	s := &Service{opts: o}
	s.ctx, s.stop = context.WithCancel(context.Background())
	if o.Path == "" {
		return s, nil
	}
	var err error
	if s.file, err = file.Open(o.Path); err != nil {
		return nil, err
	}
	return s, nil
}

// AddStream adds a mapping, to be run by Start.
func (s *Service) AddStream(m StreamMapping) error {
	m.BatchSize = cmp.Or(m.BatchSize, defaultStreamBatch)
	switch {
	case m.BatchSize < 1 || m.BatchSize > maxStreamBatch:
		return fmt.Errorf("eventsource: %s: BatchSize %d is not between 1 and %d", m.Function, m.BatchSize, maxStreamBatch)
	case m.MaximumRetryAttempts != nil && (*m.MaximumRetryAttempts < -1 || *m.MaximumRetryAttempts > maxRetries):
		return fmt.Errorf("eventsource: %s: MaximumRetryAttempts %d is not between -1 and %d", m.Function, *m.MaximumRetryAttempts, maxRetries)
	case m.StartingPosition != "TRIM_HORIZON":
		return fmt.Errorf("eventsource: %s: StartingPosition %q is not supported", m.Function, m.StartingPosition)
	case !strings.HasPrefix(m.Stream, "arn:") || !strings.Contains(m.Stream, "/stream/"):
		return fmt.Errorf("eventsource: %s: %q is not the ARN of a stream", m.Function, m.Stream)
	}
	filters, err := parseFilters(m.Filters)
	if err != nil {
		return fmt.Errorf("eventsource: %s: %w", m.Function, err)
	}
	s.runs = append(s.runs, (&stream{s: s, StreamMapping: m, filters: filters}).run)
	return nil
}

// AddQueue adds a mapping, to be run by Start.
func (s *Service) AddQueue(m QueueMapping) error {
	m.BatchSize = cmp.Or(m.BatchSize, defaultQueueBatch)
	m.MaximumConcurrency = cmp.Or(m.MaximumConcurrency, mostConcurrency)
	switch {
	case m.BatchSize < 1 || m.BatchSize > maxQueueBatch:
		return fmt.Errorf("eventsource: %s: BatchSize %d is not between 1 and %d", m.Function, m.BatchSize, maxQueueBatch)
	case m.MaximumConcurrency < leastConcurrency || m.MaximumConcurrency > mostConcurrency:
		return fmt.Errorf("eventsource: %s: MaximumConcurrency %d is not between %d and %d", m.Function, m.MaximumConcurrency, leastConcurrency, mostConcurrency)
	case strings.Count(m.Queue, ":") != 5:
		return fmt.Errorf("eventsource: %s: %q is not the ARN of a queue", m.Function, m.Queue)
	}
	s.runs = append(s.runs, (&queue{s: s, QueueMapping: m}).run)
	return nil
}

// Start runs the mappings that were added, until Close.
func (s *Service) Start() {
	for _, run := range s.runs {
		s.all.Go(run)
	}
	s.runs = nil
}

// Close ends all invocations and waits for them.
func (s *Service) Close() error {
	s.stop()
	s.all.Wait()
	if s.file == nil {
		return nil
	}
	return s.file.Close()
}

// sleep waits for d, or until one of the channels is closed or the service is.
func (s *Service) sleep(d time.Duration, woken <-chan struct{}) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-woken:
	case <-s.ctx.Done():
	}
}

// pause is the wait after so many failures in a row.
func pause(failures int) time.Duration {
	return min(time.Second<<min(failures-1, 6), time.Minute)
}

// answer is what a function says of the items of its batch.
type answer struct {
	BatchItemFailures []struct {
		ItemIdentifier string `json:"itemIdentifier"`
	} `json:"batchItemFailures"`
}

// failedItems reads which of the items, in order, a function reports as failed. An answer
// that names an unknown item, or cannot be read, fails the whole batch.
func failedItems(body []byte, items []string) ([]string, error) {
	var a answer
	if len(body) == 0 {
		return nil, nil
	}
	if err := json.Unmarshal(body, &a); err != nil {
		return nil, fmt.Errorf("answer: %w", err)
	}
	var failed []string
	for _, f := range a.BatchItemFailures {
		if !slices.Contains(items, f.ItemIdentifier) {
			return nil, fmt.Errorf("answer: batchItemFailures names %q, which is not in the batch", f.ItemIdentifier)
		}
		failed = append(failed, f.ItemIdentifier)
	}
	return failed, nil
}

// checkpointsBucket holds, by function and stream, the last sequence number that is done.
var checkpointsBucket = []byte("checkpoints")

func (m *stream) checkpointKey() []byte { return []byte(m.Function + " " + m.Stream) }

// stored is the checkpoint of an earlier run, or "".
func (m *stream) stored() (sequence string, err error) {
	if m.s.file == nil {
		return "", nil
	}
	err = m.s.file.View(func(tx *bbolt.Tx) error {
		if b := tx.Bucket(checkpointsBucket); b != nil {
			sequence = string(b.Get(m.checkpointKey()))
		}
		return nil
	})
	return sequence, err
}

// checkpoint stores that everything up to a sequence number is done.
func (m *stream) checkpoint(sequence string) error {
	m.done = sequence
	if m.s.file == nil {
		return nil
	}
	return m.s.file.Update(func(tx *bbolt.Tx) error {
		b, err := tx.CreateBucketIfNotExists(checkpointsBucket)
		if err != nil {
			return err
		}
		return b.Put(m.checkpointKey(), []byte(sequence))
	})
}

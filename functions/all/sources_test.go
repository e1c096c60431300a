package all_test

import (
	"context"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams"
	sqssdk "github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/krosai/telephony/emulator/eventsource"
	"github.com/krosai/telephony/emulator/iam"
	"github.com/krosai/telephony/emulator/sqs"
	"github.com/krosai/telephony/emulator/template"
	"github.com/krosai/telephony/shared/store/storetest"
	"github.com/krosai/telephony/shared/webhook/queue"
)

// invoker runs a function, by its folder, as Lambda does.
type invoker func(ctx context.Context, folder string, payload []byte) ([]byte, error)

// sources are the queues of template.yaml, and the mappings that feed functions from the stream of
// the table Events and from the queue of deliveries.
type sources struct {
	Queue *queue.Client // that functions send to, with their rights

	t    *testing.T
	sqs  *sqssdk.Client
	wire http.RoundTripper // of Queue
	url  string
}

// feed holds where the streams are, and how SQS is reached.
type feed struct {
	template *template.Template
	streams  *dynamodbstreams.Client
	streamOf func(ctx context.Context, table string) (string, error)
	written  func(table string) <-chan struct{}
	lambda   func(http.RoundTripper) http.RoundTripper // the wire of Lambda's pollers
	own      func(http.RoundTripper) http.RoundTripper // the wire of functions
}

func same(wire http.RoundTripper) http.RoundTripper { return wire }

// openSources runs the event source mappings of the named functions.
func openSources(t *testing.T, db *storetest.Database, roles *iam.Roles, invoke invoker, functions ...string) *sources {
	t.Helper()
	own := func(wire http.RoundTripper) http.RoundTripper { return roles.Guard(wire, nil) }
	return feed{db.Template, db.Streams(), db.StreamOf, db.Written, same, own}.open(t, invoke, functions)
}

func (f feed) open(t *testing.T, invoke invoker, functions []string) *sources {
	t.Helper()
	service, err := sqs.Open("", sqs.Options{})
	s := &sources{t: t}
	s.must(err)
	t.Cleanup(func() { s.must(service.Close()) })
	s.sqs = sqssdk.NewFromConfig(awsConfig(f.lambda(service.Client().Transport)))
	for _, q := range f.template.Queues() {
		_, err := s.sqs.CreateQueue(t.Context(), &sqssdk.CreateQueueInput{QueueName: &q.Name, Attributes: q.Attributes})
		s.must(err)
		if q.LogicalID == "DeliveriesQueue" {
			s.wire, s.url = f.own(service.Client().Transport), "https://sqs.us-east-1.amazonaws.com/000000000000/"+q.Name
			s.Queue = s.through(same)
		}
	}
	mappings, err := eventsource.Open(eventsource.Options{Streams: f.streams, SQS: s.sqs, Invoke: invoke, Written: f.written, Due: service.Due, Log: slog.New(slog.DiscardHandler)})
	s.must(err)
	for _, m := range f.template.Sources() {
		if slices.Contains(functions, m.Function) {
			s.must(f.add(t.Context(), mappings, m))
		}
	}
	mappings.Start()
	t.Cleanup(func() { s.must(mappings.Close()) })
	return s
}

func (f feed) add(ctx context.Context, mappings *eventsource.Service, m template.Source) error {
	if m.Queue != "" {
		return mappings.AddQueue(eventsource.QueueMapping{Function: m.Function, Queue: m.Queue, BatchSize: m.BatchSize,
			MaximumConcurrency: m.MaximumConcurrency, ReportBatchItemFailures: m.ReportBatchItemFailures})
	}
	stream, err := f.streamOf(ctx, m.Table)
	if err != nil {
		return err
	}
	return mappings.AddStream(eventsource.StreamMapping{Function: m.Function, Stream: stream, BatchSize: m.BatchSize, StartingPosition: m.StartingPosition,
		Filters: m.Filters, ReportBatchItemFailures: m.ReportBatchItemFailures, MaximumRetryAttempts: m.MaximumRetryAttempts, OnFailure: m.OnFailure})
}

func (s *sources) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// through returns Queue with another wire.
func (s *sources) through(wrap func(next http.RoundTripper) http.RoundTripper) *queue.Client {
	return queue.Open(awsConfig(wrap(s.wire)), queue.Config{Deliveries: s.url})
}

// left returns how many messages are in the queue of deliveries, in work or waiting.
func (s *sources) left() (n int) {
	s.t.Helper()
	out, err := s.sqs.GetQueueAttributes(s.t.Context(), &sqssdk.GetQueueAttributesInput{QueueUrl: &s.url, AttributeNames: []sqstypes.QueueAttributeName{sqstypes.QueueAttributeNameAll}})
	s.must(err)
	for _, name := range []string{"ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible", "ApproximateNumberOfMessagesDelayed"} {
		count, err := strconv.Atoi(out.Attributes[name])
		s.must(err)
		n += count
	}
	return n
}

// awsConfig returns the configuration of a client that sends its requests through a wire.
func awsConfig(wire http.RoundTripper) aws.Config {
	return aws.Config{Region: "us-east-1", HTTPClient: &http.Client{Transport: wire}, Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{AccessKeyID: "test", SecretAccessKey: "test"}, nil
	})}
}

package platform

import (
	"context"
	"fmt"
	"net/http"
	"path/filepath"

	"github.com/aws/aws-sdk-go-v2/aws"
	dynamodbsdk "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams"
	sqssdk "github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/krosai/telephony/emulator/eventsource"
	"github.com/krosai/telephony/emulator/iam"
	"github.com/krosai/telephony/emulator/sqs"
	"github.com/krosai/telephony/emulator/template"
)

// startQueues opens the SQS emulator and creates the template's queues.
func (p *Platform) startQueues(ctx context.Context, tmpl *template.Template, roles *iam.Roles) (*http.Client, error) {
	queues, err := sqs.Open(filepath.Join(p.Config.Dir, "sqs.bolt"), sqs.Options{})
	if err != nil {
		return nil, p.inUse(err)
	}
	p.onClose(queues.Close)
	if p.Access.SQS, err = p.serveOn(p.port(4), queues); err != nil {
		return nil, err
	}
	client := &http.Client{Transport: roles.Guard(queues.Client().Transport, nil)}
	return client, createQueues(ctx, sqssdk.NewFromConfig(config(client, "")), tmpl.Queues())
}

// createQueues creates the missing queues and sets the attributes of all queues to the template's.
// An attribute that is no longer in the template keeps its value.
func createQueues(ctx context.Context, client *sqssdk.Client, queues []template.Queue) error {
	for _, q := range queues {
		made, err := client.CreateQueue(ctx, &sqssdk.CreateQueueInput{QueueName: &q.Name})
		if err != nil {
			return fmt.Errorf("create queue %s: %w", q.Name, err)
		}
		if _, err := client.SetQueueAttributes(ctx, &sqssdk.SetQueueAttributesInput{QueueUrl: made.QueueUrl, Attributes: q.Attributes}); err != nil {
			return fmt.Errorf("attributes of queue %s: %w", q.Name, err)
		}
	}
	return nil
}

// openSources creates the template's event source mappings. They run after Start.
func (p *Platform) openSources(ctx context.Context, tmpl *template.Template, c clients) (*eventsource.Service, error) {
	tables := config(c.dynamodb, p.Config.DynamoDB)
	s, err := eventsource.Open(eventsource.Options{Path: filepath.Join(p.Config.Dir, "sources.bolt"), Invoke: p.invokeBatch, Written: c.written, Log: p.log,
		Streams: dynamodbstreams.NewFromConfig(tables), SQS: sqssdk.NewFromConfig(config(c.sqs, ""))})
	if err != nil {
		return nil, fmt.Errorf("open the event sources in %s: %w", p.Config.Dir, err)
	}
	p.onClose(s.Close)
	for _, source := range tmpl.Sources() {
		if source.Queue != "" {
			err = s.AddQueue(eventsource.QueueMapping{Function: source.Function, Queue: source.Queue, BatchSize: source.BatchSize,
				MaximumConcurrency: source.MaximumConcurrency, ReportBatchItemFailures: source.ReportBatchItemFailures})
		} else {
			err = addStream(ctx, s, dynamodbsdk.NewFromConfig(tables), source)
		}
		if err != nil {
			return nil, fmt.Errorf("event source %s of %s: %w", source.Name, source.Function, err)
		}
	}
	return s, nil
}

func addStream(ctx context.Context, s *eventsource.Service, db *dynamodbsdk.Client, source template.Source) error {
	out, err := db.DescribeTable(ctx, &dynamodbsdk.DescribeTableInput{TableName: &source.Table})
	if err != nil {
		return err
	}
	return s.AddStream(eventsource.StreamMapping{Function: source.Function, Stream: aws.ToString(out.Table.LatestStreamArn), BatchSize: source.BatchSize,
		StartingPosition: source.StartingPosition, Filters: source.Filters, ReportBatchItemFailures: source.ReportBatchItemFailures,
		MaximumRetryAttempts: source.MaximumRetryAttempts, OnFailure: source.OnFailure})
}

// invokeBatch runs a function for an event source mapping.
func (p *Platform) invokeBatch(ctx context.Context, name string, payload []byte) ([]byte, error) {
	if p.Config.Lambda != "" {
		return p.invokeElsewhere(ctx, name, payload)
	}
	return p.invoke(ctx, name, payload)
}

// deliveriesQueue is the URL of the queue to which functions send deliveries. It is "" if the
// template has no such queue.
func deliveriesQueue(tmpl *template.Template) string {
	for _, f := range tmpl.Functions() {
		if url := f.Environment["DELIVERIES_QUEUE_URL"]; url != "" {
			return url
		}
	}
	return ""
}

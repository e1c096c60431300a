package eventsource

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

// pollSeconds is how long one receive waits for messages.
const pollSeconds = 20

// queue runs one QueueMapping.
type queue struct {
	QueueMapping

	s   *Service
	url *string
}

// queueURL finds the URL of a queue by its ARN.
func (s *Service) queueURL(arn string) (*string, error) {
	name := queueName(arn)
	out, err := s.opts.SQS.GetQueueUrl(s.ctx, &sqs.GetQueueUrlInput{QueueName: &name})
	if err != nil {
		return nil, err
	}
	return out.QueueUrl, nil
}

func queueName(arn string) string { return arn[strings.LastIndex(arn, ":")+1:] }

func (m *queue) run() {
	free := make(chan struct{}, m.MaximumConcurrency) // holds one for each batch in work
	failures := 0
	for {
		select {
		case free <- struct{}{}:
		case <-m.s.ctx.Done():
		}
		if m.s.ctx.Err() != nil {
			return
		}
		messages, err := m.receive()
		if err != nil && m.s.ctx.Err() == nil {
			failures++
			m.s.opts.Log.Warn("receive messages", slog.String("function", m.Function), slog.String("queue", m.Queue), slog.Any("error", err))
			m.s.sleep(pause(failures), nil)
		}
		if len(messages) == 0 {
			<-free
			continue
		}
		failures = 0
		m.s.all.Go(func() {
			defer func() { <-free }()
			m.work(messages)
		})
	}
}

func (m *queue) receive() ([]types.Message, error) {
	if m.url == nil {
		var err error
		if m.url, err = m.s.queueURL(m.Queue); err != nil {
			return nil, err
		}
	}
	if m.s.opts.Due != nil {
		if err := m.s.opts.Due(m.s.ctx, queueName(m.Queue)); err != nil {
			return nil, err
		}
	}
	out, err := m.s.opts.SQS.ReceiveMessage(m.s.ctx, &sqs.ReceiveMessageInput{QueueUrl: m.url, WaitTimeSeconds: pollSeconds,
		MaxNumberOfMessages: int32(m.BatchSize), MessageSystemAttributeNames: []types.MessageSystemAttributeName{types.MessageSystemAttributeNameAll}})
	if err != nil {
		return nil, err
	}
	return out.Messages, nil
}

// work invokes with a batch and deletes what succeeded.
func (m *queue) work(messages []types.Message) {
	failed, err := m.invoke(messages)
	if err != nil {
		m.s.opts.Log.Warn("invoke with messages", slog.String("function", m.Function), slog.Int("messages", len(messages)), slog.Any("error", err))
		return
	}
	var entries []types.DeleteMessageBatchRequestEntry
	for i, message := range messages {
		if !slices.Contains(failed, *message.MessageId) {
			entries = append(entries, types.DeleteMessageBatchRequestEntry{Id: aws.String(strconv.Itoa(i)), ReceiptHandle: message.ReceiptHandle})
		}
	}
	if len(entries) == 0 {
		return
	}
	// Messages that succeeded are deleted even while the service closes.
	out, err := m.s.opts.SQS.DeleteMessageBatch(context.WithoutCancel(m.s.ctx), &sqs.DeleteMessageBatchInput{QueueUrl: m.url, Entries: entries})
	if err == nil && len(out.Failed) > 0 {
		err = fmt.Errorf("%d of %d were not deleted", len(out.Failed), len(entries))
	}
	if err != nil {
		m.s.opts.Log.Warn("delete messages", slog.String("function", m.Function), slog.Any("error", err))
	}
}

// invoke runs the function and returns the ids of the messages that failed.
func (m *queue) invoke(messages []types.Message) ([]string, error) {
	var event events.SQSEvent
	var ids []string
	region := strings.Split(m.Queue, ":")[3]
	for _, message := range messages {
		ids = append(ids, *message.MessageId)
		event.Records = append(event.Records, events.SQSMessage{
			MessageId: *message.MessageId, ReceiptHandle: *message.ReceiptHandle, Body: *message.Body, Md5OfBody: *message.MD5OfBody,
			Attributes: message.Attributes, MessageAttributes: map[string]events.SQSMessageAttribute{},
			EventSourceARN: m.Queue, EventSource: "aws:sqs", AWSRegion: region,
		})
	}
	payload, err := json.Marshal(event)
	if err != nil {
		return nil, err
	}
	body, err := m.s.opts.Invoke(m.s.ctx, m.Function, payload)
	if err != nil || !m.ReportBatchItemFailures {
		return nil, err
	}
	return failedItems(body, ids)
}

// Package queue puts work into the platform's queue. It is the only package of the product
// that speaks to SQS. Lambda itself receives the messages, and deletes those that a function
// has processed.
package queue

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/krosai/telephony/shared/fault"
)

// Limits of SQS (Developer Guide, "Amazon SQS message quotas").
const (
	MaxDelay  = 15 * time.Minute
	batchSize = 10
	batchSum  = 256 << 10 // bytes of the bodies of one batch
)

// Config names the queue.
type Config struct {
	Deliveries string `env:"DELIVERIES_QUEUE_URL,required,notEmpty"`
}

// Message is one piece of work.
type Message struct {
	Body  []byte        // text without control characters, such as JSON; at most 256 KiB
	Delay time.Duration // until it is processed; longer delays are cut to MaxDelay
}

// Client sends to one queue.
type Client struct {
	sqs *sqs.Client
	url string
}

// Open makes a client. It does not touch the network.
func Open(cfg aws.Config, c Config) *Client {
	return &Client{sqs.NewFromConfig(cfg), c.Deliveries}
}

// Send puts messages into the queue, in batches. If SQS accepts a part of a batch, Send sends the
// rest a second time. After an error some of the messages may be in the queue. fault.Upstream means
// that the queue is unavailable: the caller should send all messages again, because SQS may deliver
// a message twice in any case. Any other error means that at least one message is invalid and will
// never be accepted.
func (c *Client) Send(ctx context.Context, messages []Message) error {
	entries := make([]types.SendMessageBatchRequestEntry, len(messages))
	for i, m := range messages {
		entries[i] = types.SendMessageBatchRequestEntry{Id: aws.String(strconv.Itoa(i)), MessageBody: aws.String(string(m.Body)), DelaySeconds: seconds(m.Delay)}
	}
	for len(entries) > 0 {
		n := fitting(entries)
		left, err := c.sendBatch(ctx, entries[:n])
		if err == nil && len(left) > 0 {
			if left, err = c.sendBatch(ctx, left); err == nil && len(left) > 0 {
				err = fault.Unavailable("the queue", fmt.Errorf("%d of %d messages were refused twice", len(left), n))
			}
		}
		if err != nil {
			return err
		}
		entries = entries[n:]
	}
	return nil
}

// seconds is a delay in whole seconds, as SQS takes it. It is rounded up, so that no message
// arrives early.
func seconds(delay time.Duration) int32 {
	delay = max(0, min(delay, MaxDelay))
	return int32((delay + time.Second - 1) / time.Second)
}

// fitting is how many of the first entries fit into one batch: at least one.
func fitting(entries []types.SendMessageBatchRequestEntry) int {
	sum := 0
	for i, e := range entries {
		if sum += len(*e.MessageBody); i > 0 && sum > batchSum || i == batchSize {
			return i
		}
	}
	return len(entries)
}

// sendBatch returns the entries that SQS could not take. If SQS blames the sender for an entry,
// that is an error.
func (c *Client) sendBatch(ctx context.Context, entries []types.SendMessageBatchRequestEntry) ([]types.SendMessageBatchRequestEntry, error) {
	out, err := c.sqs.SendMessageBatch(ctx, &sqs.SendMessageBatchInput{QueueUrl: &c.url, Entries: entries})
	if err != nil {
		return nil, fault.Unavailable("the queue", err)
	}
	byID := make(map[string]types.SendMessageBatchRequestEntry, len(entries))
	for _, e := range entries {
		byID[*e.Id] = e
	}
	var left []types.SendMessageBatchRequestEntry
	var wrong []error
	for _, f := range out.Failed {
		if f.SenderFault {
			wrong = append(wrong, fmt.Errorf("queue message %s: %s: %s", aws.ToString(f.Id), aws.ToString(f.Code), aws.ToString(f.Message)))
			continue
		}
		left = append(left, byID[aws.ToString(f.Id)])
	}
	return left, errors.Join(wrong...)
}

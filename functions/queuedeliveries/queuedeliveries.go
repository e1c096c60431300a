// Package queuedeliveries is the function that Lambda calls with batches of the stream of the table
// Events. It queues the delivery of each event to each webhook endpoint that wants the event.
package queuedeliveries

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"

	"github.com/krosai/telephony/shared/event"
	"github.com/krosai/telephony/shared/invocation"
	"github.com/krosai/telephony/shared/store"
	"github.com/krosai/telephony/shared/webhook"
	"github.com/krosai/telephony/shared/webhook/queue"
)

// Endpoints lists a user's endpoints.
type Endpoints interface {
	EndpointsOf(ctx context.Context, userID string, limit int, after string) (endpoints []webhook.Endpoint, next string, err error)
}

// Queue takes messages for deliverwebhook. If Send fails, the queue may have taken some of them.
type Queue interface {
	Send(ctx context.Context, messages []queue.Message) error
}

// Task sends events.
type Task struct {
	Endpoints Endpoints
	Queue     Queue
	Log       *slog.Logger
}

// Run sends the messages of a batch. It answers with the first record that fails: Lambda then
// delivers that record and all that follow again. A message that is sent twice is delivered once.
// Run skips a record that is not an event, because it would hold up all events behind it.
func (t *Task) Run(ctx context.Context, in store.Stream) (invocation.BatchAnswer, error) {
	endpoints := map[string][]webhook.Endpoint{} // by user
	var messages []queue.Message
	failed := invocation.Failed()
	for _, r := range in.Records {
		e, err := r.Event()
		if err != nil {
			t.Log.ErrorContext(ctx, "not an event", "sequence_number", r.Change.SequenceNumber, "error", err)
			continue
		}
		found, known := endpoints[e.UserID]
		if !known {
			found, _, err = t.Endpoints.EndpointsOf(ctx, e.UserID, webhook.MaxEndpoints, "")
		}
		if err != nil {
			t.Log.WarnContext(ctx, "read webhook endpoints", "user_id", e.UserID, "error", err)
			failed = invocation.Failed(r.Change.SequenceNumber)
			break
		}
		endpoints[e.UserID] = found
		more, err := messagesFor(e, found)
		if err != nil {
			return invocation.BatchAnswer{}, err
		}
		messages = append(messages, more...)
	}
	return failed, t.send(ctx, messages)
}

// send sends the messages. If it fails, Lambda delivers the whole batch again.
func (t *Task) send(ctx context.Context, messages []queue.Message) error {
	if err := t.Queue.Send(ctx, messages); err != nil {
		return fmt.Errorf("send events: %w", err)
	}
	return nil
}

// messagesFor returns the messages of an event, one for each endpoint that wants it.
func messagesFor(e event.Event, endpoints []webhook.Endpoint) ([]queue.Message, error) {
	var messages []queue.Message
	for _, endpoint := range endpoints {
		if !endpoint.Wants(e.Type, e.At) {
			continue
		}
		m := webhook.Message{UserID: e.UserID, EndpointID: endpoint.ID, DeliveryID: event.DeliveryID(e, endpoint.ID), Event: store.EventKey(e)}
		if e.HasMetadata {
			m.CallID = e.CallID
		}
		body, err := json.Marshal(m)
		if err != nil {
			return nil, err
		}
		messages = append(messages, queue.Message{Body: body})
	}
	return messages, nil
}

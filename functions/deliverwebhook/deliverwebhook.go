// Package deliverwebhook is the function that Lambda feeds from the queue of deliveries. Each
// message is one delivery of an event to an endpoint, and the function attempts it once. While
// attempts fail, a delayed message asks for the next one.
package deliverwebhook

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/krosai/telephony/shared/fault"
	"github.com/krosai/telephony/shared/invocation"
	"github.com/krosai/telephony/shared/webhook"
	"github.com/krosai/telephony/shared/webhook/queue"
)

// Webhooks keeps deliveries and the state of endpoints. DeliveryFor fails with fault.NotFound for a
// delivery or event that has expired. It returns an endpoint without an id when the endpoint was
// deleted. SaveDelivery fails with fault.Conflict when another invocation has changed the delivery.
type Webhooks interface {
	DeliveryFor(ctx context.Context, m webhook.Message) (webhook.Delivery, webhook.Endpoint, error)
	ClaimAttempt(ctx context.Context, d webhook.Delivery, until time.Time) (mine bool, err error)
	SaveDelivery(ctx context.Context, d webhook.Delivery, was int) error
	ClaimProbe(ctx context.Context, e webhook.Endpoint, until time.Time) (mine bool, err error)
	RecordFailure(ctx context.Context, e webhook.Endpoint, at time.Time) (webhook.Endpoint, error)
	ClearFailures(ctx context.Context, e webhook.Endpoint) error
	DisableEndpoint(ctx context.Context, e webhook.Endpoint, at time.Time) error
}

// Queue sends messages. After an error some of them may have been sent.
type Queue interface {
	Send(ctx context.Context, messages []queue.Message) error
}

// Task delivers events. Client must come from NewClient.
type Task struct {
	Webhooks Webhooks
	Queue    Queue
	Client   *http.Client
	Now      func() time.Time
	Log      *slog.Logger
}

// Input is a batch of the queue.
type Input struct {
	Records []Record
}

// Record is a message. Body is a webhook.Message.
type Record struct {
	ID   string `json:"messageId"`
	Body string `json:"body"`
}

// Run attempts the deliveries of a batch concurrently. The messages that it reports as failed come
// again when the queue's visibility timeout is over. Neither the log nor the errors contain the
// endpoint's answer or its address, because an address may contain a credential.
func (t *Task) Run(ctx context.Context, in Input) (invocation.BatchAnswer, error) {
	next := make([]*queue.Message, len(in.Records))
	errs := make([]error, len(in.Records))
	var all sync.WaitGroup
	for i, r := range in.Records {
		all.Go(func() { next[i], errs[i] = t.deliver(ctx, r) })
	}
	all.Wait()

	var later []queue.Message
	for _, m := range next {
		if m != nil {
			later = append(later, *m)
		}
	}
	sendErr := t.Queue.Send(ctx, later)

	failed := invocation.Failed()
	for i, r := range in.Records {
		if errs[i] == nil && next[i] != nil {
			errs[i] = sendErr
		}
		if errs[i] != nil {
			t.Log.WarnContext(ctx, "deliver a webhook", "message", r.Body, "error", errs[i])
			failed.Failures = append(failed.Failures, invocation.Item{ID: r.ID})
		}
	}
	return failed, nil
}

// The time for which an attempt claims a delivery, and for which a probe claims an endpoint. Both
// are longer than an attempt can take.
const (
	claimed = time.Minute
	probing = 30 * time.Second
)

// deliver processes one message. It returns the message that continues the delivery later, or nil
// when the delivery is over. It logs and drops a message that it cannot read.
func (t *Task) deliver(ctx context.Context, r Record) (*queue.Message, error) {
	var m webhook.Message
	if err := json.Unmarshal([]byte(r.Body), &m); err != nil {
		t.Log.ErrorContext(ctx, "not a delivery", "error", err)
		return nil, nil
	}
	later := func(d time.Duration) *queue.Message { return &queue.Message{Body: []byte(r.Body), Delay: d} }
	d, e, err := t.Webhooks.DeliveryFor(ctx, m)
	switch {
	case fault.Is(err, fault.NotFound):
		t.Log.WarnContext(ctx, "delivery has expired", "endpoint_id", m.EndpointID, "delivery_id", m.DeliveryID)
		return nil, nil
	case err != nil:
		return nil, err
	case d.Status != webhook.Pending:
		return nil, nil
	case !gets(e):
		return nil, t.giveUp(ctx, d, unwanted(e))
	}
	if _, more := webhook.Pause(d.Attempts); !more { // the last attempt died before its outcome was saved
		return nil, t.giveUp(ctx, d, d.LastError)
	}
	if wait := t.wait(d, e); wait > 0 {
		return later(wait), nil
	}
	mine, err := t.claim(ctx, d, e)
	switch {
	case err != nil:
		return nil, err
	case !mine:
		return later(probing), nil
	}
	a, err := t.attempt(ctx, d, e)
	if err != nil {
		return nil, err
	}
	if err := t.record(ctx, d, e, a); err != nil || a.Status != webhook.Pending {
		return nil, err
	}
	return later(a.NextAt.Sub(t.Now())), nil
}

// gets reports whether anything may be sent to an endpoint.
func gets(e webhook.Endpoint) bool { return e.ID != "" && e.Status() == webhook.Active }

// unwanted returns the reason why nothing may be sent to an endpoint.
func unwanted(e webhook.Endpoint) string {
	switch {
	case e.ID == "":
		return webhook.EndpointDeleted
	case e.Status() == webhook.Disabled:
		return webhook.EndpointDisabled
	}
	return webhook.EndpointPaused
}

// wait returns how long it takes until the delivery is due and its endpoint is no longer held.
// During that time the message is sent again with a delay, without an attempt. SQS delays a message
// by at most 15 minutes, so a long wait takes several messages.
func (t *Task) wait(d webhook.Delivery, e webhook.Endpoint) time.Duration {
	now := t.Now()
	wait := e.HeldUntil.Sub(now)
	if d.Attempts > 0 {
		wait = max(wait, d.NextAt.Sub(now))
	}
	return wait
}

// claim gets the right to make an attempt. The first attempt at a delivery needs no claim, because
// SaveDelivery fails for the second of two first attempts. Only one attempt at a time may try an
// endpoint that has failed webhook.HoldAfter times in a row.
func (t *Task) claim(ctx context.Context, d webhook.Delivery, e webhook.Endpoint) (mine bool, err error) {
	if e.Failures >= webhook.HoldAfter {
		if mine, err := t.Webhooks.ClaimProbe(ctx, e, t.Now().Add(probing)); err != nil || !mine {
			return false, err
		}
	}
	if d.Attempts == 0 {
		return true, nil
	}
	return t.Webhooks.ClaimAttempt(ctx, d, t.Now().Add(claimed))
}

// record saves the outcome of an attempt, first for the delivery and then for the endpoint. A 410
// does not count as a failure of the endpoint.
func (t *Task) record(ctx context.Context, d webhook.Delivery, e webhook.Endpoint, a webhook.Attempt) error {
	was := d.Attempts
	if was > 0 {
		was++ // ClaimAttempt has counted this attempt
	}
	if err := t.Webhooks.SaveDelivery(ctx, d.With(a), was); err != nil {
		return err
	}
	t.Log.InfoContext(ctx, "webhook attempted", "endpoint_id", e.ID, "delivery_id", d.ID, "event_id", d.Event.ID,
		"attempt", d.Attempts+1, "status", string(a.Status), "code", a.Code, "reason", a.Error)
	switch {
	case a.Error == "" && e.Failures > 0:
		return t.Webhooks.ClearFailures(ctx, e)
	case a.Error == "" || a.Code == http.StatusGone:
		return nil
	}
	e, err := t.Webhooks.RecordFailure(ctx, e, a.At)
	if err != nil || !e.FailsTooOften(a.At) {
		return err
	}
	t.Log.WarnContext(ctx, "webhook endpoint disabled", "user_id", e.UserID, "endpoint_id", e.ID, "failures", e.Failures)
	return t.Webhooks.DisableEndpoint(ctx, e, t.Now())
}

// giveUp ends a delivery without an attempt.
func (t *Task) giveUp(ctx context.Context, d webhook.Delivery, why string) error {
	t.Log.WarnContext(ctx, "webhook delivery given up", "endpoint_id", d.EndpointID, "delivery_id", d.ID, "reason", why)
	was := d.Attempts
	d.Status, d.LastError, d.NextAt = webhook.Dead, why, time.Time{}
	return t.Webhooks.SaveDelivery(ctx, d, was)
}

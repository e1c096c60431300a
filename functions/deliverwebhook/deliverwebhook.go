// Package deliverwebhook is the task of the webhook workflow that makes one
// attempt to bring an event to an endpoint. The workflow repeats it, further and
// further apart, as long as it fails.
package deliverwebhook

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/krosai/telephony/shared/fault"
	"github.com/krosai/telephony/shared/webhook"
)

// Webhooks keeps deliveries. Delivery fails with fault.NotFound for one that has
// expired; its endpoint has no id when it was deleted. The others change nothing
// of a delivery that has come to its end.
type Webhooks interface {
	Delivery(ctx context.Context, userID, endpointID, id string) (webhook.Delivery, webhook.Endpoint, error)
	RecordAttempt(ctx context.Context, d webhook.Delivery, a webhook.Attempt) error
	BuryDelivery(ctx context.Context, userID, endpointID, id string) error
}

// Task delivers events. Client is one that NewClient made.
type Task struct {
	Webhooks Webhooks
	Client   *http.Client
	Now      func() time.Time
	Log      *slog.Logger
}

// Input names the delivery. Bury gives it up instead of trying.
type Input struct {
	UserID     string `json:"user_id"`
	EndpointID string `json:"endpoint_id"`
	DeliveryID string `json:"delivery_id"`
	Bury       bool   `json:"bury,omitempty"`
}

// Output is where the delivery stands: delivered or dead.
type Output struct {
	Status webhook.Status `json:"status"`
}

// Run fails when the attempt did. A delivery that has come to its end is not
// attempted again. Neither errors nor the log hold the endpoint's address, which
// may hold a credential, nor what it answered.
func (t *Task) Run(ctx context.Context, in Input) (Output, error) {
	if in.Bury {
		t.Log.WarnContext(ctx, "webhook delivery given up", "endpoint_id", in.EndpointID, "delivery_id", in.DeliveryID)
		return Output{webhook.Dead}, t.Webhooks.BuryDelivery(ctx, in.UserID, in.EndpointID, in.DeliveryID)
	}
	d, e, err := t.Webhooks.Delivery(ctx, in.UserID, in.EndpointID, in.DeliveryID)
	switch {
	case fault.Is(err, fault.NotFound):
		return Output{webhook.Dead}, nil
	case err != nil:
		return Output{}, err
	case d.Status != webhook.Pending:
		return Output{d.Status}, nil
	case e.ID == "":
		return Output{webhook.Dead}, t.Webhooks.BuryDelivery(ctx, in.UserID, in.EndpointID, in.DeliveryID)
	}

	a, err := t.attempt(ctx, d, e)
	if err != nil {
		return Output{}, err
	}
	if err := t.Webhooks.RecordAttempt(ctx, d, a); err != nil {
		return Output{}, err
	}

	if a.Status == webhook.Pending {
		return Output{}, fmt.Errorf("attempt %d of %s at %s: %s %d", d.Attempts+1, d.ID, e.ID, a.Error, a.Code)
	}
	return Output{a.Status}, nil
}

// attempt sends the event and judges the answer. An error is none of the
// endpoint's.
func (t *Task) attempt(ctx context.Context, d webhook.Delivery, e webhook.Endpoint) (webhook.Attempt, error) {
	a := webhook.Attempt{At: t.Now(), Status: webhook.Pending}
	q, err := signed(ctx, d.Event, e, a.At)
	if err != nil {
		return a, err
	}
	a.Code, err = t.send(q)
	switch {
	case err != nil:
		a.Error = classOf(err)
	case a.Code/100 == 2:
		a.Status = webhook.Delivered
	case a.Code == http.StatusGone:
		a.Status, a.Error = webhook.Dead, "status"
	default:
		a.Error = "status"
	}
	if pause, more := webhook.Pause(d.Attempts + 1); more && a.Status == webhook.Pending {
		a.NextAt = t.Now().Add(pause)
	}
	return a, nil
}

// signed is the request that brings an event to an endpoint, signed as Standard
// Webhooks says: https://www.standardwebhooks.com
func signed(ctx context.Context, v webhook.Event, e webhook.Endpoint, at time.Time) (*http.Request, error) {
	signer, err := standardwebhooks.NewWebhook(e.Secret.Reveal())
	if err != nil {
		return nil, fmt.Errorf("the signing secret of %s is not one", e.ID)
	}
	signature, err := signer.Sign(v.ID, at, v.Body)
	if err != nil {
		return nil, fmt.Errorf("sign %s: %w", v.ID, err)
	}
	q, err := http.NewRequestWithContext(ctx, http.MethodPost, e.URL, bytes.NewReader(v.Body))
	if err != nil {
		return nil, fmt.Errorf("the address of %s is not one", e.ID)
	}
	q.Header.Set("Content-Type", "application/json")
	q.Header.Set("User-Agent", "KrosAI-Telephony")
	q.Header.Set(standardwebhooks.HeaderWebhookID, v.ID)
	q.Header.Set(standardwebhooks.HeaderWebhookTimestamp, strconv.FormatInt(at.Unix(), 10))
	q.Header.Set(standardwebhooks.HeaderWebhookSignature, signature)
	return q, nil
}

// maxAnswer is how much of an answer is read, for the sake of servers that want
// to be read: nothing in it counts but its status.
const maxAnswer = 4 << 10

// send returns the status of the answer.
func (t *Task) send(q *http.Request) (status int, err error) {
	resp, err := t.Client.Do(q)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	_, _ = io.CopyN(io.Discard, resp.Body, maxAnswer) // the status has come; the rest may fail
	return resp.StatusCode, nil
}

// Package announce tells users' webhook endpoints what happened to their calls
// and requests. What is announced again is told once.
package announce

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/krosai/telephony/shared/api"
	"github.com/krosai/telephony/shared/call"
	"github.com/krosai/telephony/shared/numberrequest"
	"github.com/krosai/telephony/shared/request"
	"github.com/krosai/telephony/shared/webhook"
)

// Webhooks knows a user's endpoints and keeps what is to be delivered there. A
// delivery that is kept already is returned as it stands.
type Webhooks interface {
	EndpointsOf(ctx context.Context, userID string, limit int, after string) (endpoints []webhook.Endpoint, next string, err error)
	AddDelivery(ctx context.Context, d webhook.Delivery) (webhook.Delivery, error)
}

// Flow carries out deliveries. Starting one again changes nothing.
type Flow interface {
	StartDelivery(ctx context.Context, d webhook.Delivery) error
}

// Announcer announces. It may be used by many at once.
type Announcer struct {
	Webhooks Webhooks
	Flow     Flow
	Now      func() time.Time
}

// Call announces what is due of a call as it stands: that it was answered, that
// it has ended, and that its summary is there. The zero Summary is none.
func (a *Announcer) Call(ctx context.Context, c call.Call, s call.Summary) error {
	var events []webhook.Event
	if !c.AnsweredAt.IsZero() {
		events = append(events, event(c.UserID, webhook.CallAnswered, c.ID, c.AnsweredAt, callOf(asAnswered(c))))
	}
	if c.Status.Ended() {
		events = append(events, event(c.UserID, webhook.CallEnded, c.ID, c.EndedAt, callOf(c)))
	}
	if s.Status == call.SummaryReady {
		events = append(events, event(c.UserID, webhook.CallSummaryReady, c.ID, s.CreatedAt, summaryOf(c, s)))
	}
	return a.tell(ctx, c.UserID, events)
}

// Request announces what is due of a request for a number as its record stands:
// that it was decided on, and that it has its number.
func (a *Announcer) Request(ctx context.Context, r request.Request) error {
	var events []webhook.Event
	if r.Status.Decided() {
		events = append(events, event(r.UserID, webhook.RequestDecided, r.ID, r.DecidedAt, numberrequest.Of(asDecided(r))))
	}
	if r.Status == request.Assigned {
		events = append(events, event(r.UserID, webhook.RequestAssigned, r.ID, r.UpdatedAt, numberrequest.Of(r)))
	}
	return a.tell(ctx, r.UserID, events)
}

// tell makes a delivery of each event for each endpoint that wants it, and has
// them carried out. One that fails keeps no other from it.
func (a *Announcer) tell(ctx context.Context, userID string, events []webhook.Event) error {
	if len(events) == 0 {
		return nil
	}
	endpoints, _, err := a.Webhooks.EndpointsOf(ctx, userID, webhook.MaxEndpoints, "")
	if err != nil {
		return err
	}
	var failed []error
	for _, v := range events {
		for _, e := range endpoints {
			if e.Wants(v) {
				failed = append(failed, a.Deliver(ctx, Delivery(e.ID, v, a.Now())))
			}
		}
	}
	return errors.Join(failed...)
}

// Deliver keeps a delivery and has it carried out. Whoever died in between is
// made up for by the next: only the workflow itself makes attempts.
func (a *Announcer) Deliver(ctx context.Context, d webhook.Delivery) error {
	d, err := a.Webhooks.AddDelivery(ctx, d)
	if err != nil || d.Status != webhook.Pending || d.Attempts > 0 {
		return err
	}
	return a.Flow.StartDelivery(ctx, d)
}

// Delivery is the one delivery of an event to an endpoint. Its id is in the
// order of the events' times.
func Delivery(endpointID string, v webhook.Event, now time.Time) webhook.Delivery {
	return webhook.Delivery{ID: derived("dlv_", v.At, v.ID, endpointID), EndpointID: endpointID, Event: v, Status: webhook.Pending,
		CreatedAt: now, NextAt: now}
}

// event is what happened to a thing at a moment. A thing has one event of a type.
func event(userID, kind, thing string, at time.Time, data any) webhook.Event {
	body, err := json.Marshal(struct {
		Type      string   `json:"type"`
		Timestamp api.Time `json:"timestamp"`
		Data      any      `json:"data"`
	}{kind, api.Time(at), data})
	if err != nil {
		panic(fmt.Sprintf("data of %s: %v", kind, err)) // text, numbers and times can always be encoded
	}
	return webhook.Event{ID: derived("evt_", at, kind, thing), UserID: userID, Type: kind, At: at, Body: body}
}

// derived is an id that is a ULID of a moment and of what names the thing.
func derived(prefix string, at time.Time, names ...string) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%q", names))
	id := ulid.ULID(append(make([]byte, 6, 16), sum[:10]...))
	_ = id.SetTime(ulid.Timestamp(at)) // fails beyond the year 10889
	return prefix + id.String()
}

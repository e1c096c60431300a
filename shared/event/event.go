// Package event defines the events of a user's calls, number requests, numbers, API keys and
// webhook endpoints. The store writes an event in the same transaction as the change it reports, so
// that no event is missing or premature. Webhook deliveries and GET /events read it.
package event

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/krosai/telephony/shared/id"
)

// The types of events.
const (
	CallAnswered         = "call.answered"
	CallEnded            = "call.ended" // including calls that were never answered
	CallSummaryReady     = "call.summary_ready"
	CallTransferFinished = "call.transfer_finished"
	RequestDecided       = "number_request.decided"
	RequestAssigned      = "number_request.assigned"
	NumberAssigned       = "number.assigned" // by an administrator, without a request
	NumberConfigured     = "number.configured"
	NumberReleased       = "number.released"
	KeyCreated           = "api_key.created"
	KeyRevoked           = "api_key.revoked"
	EndpointDisabled     = "webhook_endpoint.disabled"
)

// WebhookTest is the type of the event that a webhook endpoint gets when its owner tests it. It is
// not in the log, and neither readers nor endpoints can select it.
const WebhookTest = "webhook.test"

// Types lists every type of event.
func Types() []string {
	return []string{CallAnswered, CallEnded, CallSummaryReady, CallTransferFinished, RequestDecided, RequestAssigned,
		NumberAssigned, NumberConfigured, NumberReleased, KeyCreated, KeyRevoked, EndpointDisabled}
}

// Kept is how long events are kept.
const Kept = 30 * 24 * time.Hour

// Event is something that happened once. Its id is derived from its type, its subject and its time.
type Event struct {
	ID     string // evt_ and a ULID
	UserID string
	Type   string
	At     time.Time // when it happened
	// Recorded is when the event was written, by the clock of the writing function. Readers follow
	// Recorded, because At may be minutes earlier.
	Recorded time.Time
	CallID   string // for an event of a call
	// Data is the member data of the body, a JSON object. An event of a call with metadata is
	// stored without the metadata (HasMetadata), and Body adds it.
	Data        []byte
	HasMetadata bool
}

// of creates the event of a type for a thing at a moment. A thing has one event of a type at
// a moment.
func of(userID, kind, thing string, at time.Time, data any) Event {
	return Event{ID: ID(at, kind, thing), UserID: userID, Type: kind, At: at.UTC().Truncate(time.Millisecond), Data: encode(data)}
}

// encode is the JSON of strings, numbers and times, which can always be encoded.
func encode(data any) []byte {
	text, err := json.Marshal(data)
	if err != nil {
		panic(fmt.Sprintf("encode %T: %v", data, err))
	}
	return text
}

// ID derives the id of an event: a ULID of its moment and its names.
func ID(at time.Time, names ...string) string { return id.Event.Derived(at, names...) }

// DeliveryID derives the id of the delivery of an event to an endpoint. The ids of deliveries are
// in the order of their events' times.
func DeliveryID(e Event, endpointID string) string {
	return id.Delivery.Derived(e.At, e.ID, endpointID)
}

// Body is the body that webhook endpoints receive: JSON with type, timestamp and data. metadata is
// that of the call, nil if it has none.
func (e Event) Body(metadata map[string]string) []byte {
	return encode(struct {
		Type      string          `json:"type"`
		Timestamp Time            `json:"timestamp"`
		Data      json.RawMessage `json:"data"`
	}{e.Type, Time(e.At), e.DataWith(metadata)})
}

// DataWith is the member data of the body with the call's metadata.
func (e Event) DataWith(metadata map[string]string) json.RawMessage {
	switch {
	case e.Type == CallTurn || len(metadata) == 0:
		return e.Data
	case e.Type == CallSummaryReady:
		return with[SummaryData](e.Data, func(d *SummaryData) { d.Metadata = metadata })
	case e.CallID != "":
		return with[CallData](e.Data, func(d *CallData) { d.Metadata = metadata })
	}
	return e.Data
}

// Object is DataWith as a JSON object.
func (e Event) Object(metadata map[string]string) map[string]any {
	object := map[string]any{}
	_ = json.Unmarshal(e.DataWith(metadata), &object) // encode wrote it
	return object
}

// with applies a change to data. Data that is not a T, as an older version may have written it, is
// returned unchanged.
func with[T any](data []byte, change func(*T)) []byte {
	var decoded T
	if json.Unmarshal(data, &decoded) != nil {
		return data
	}
	change(&decoded)
	return encode(decoded)
}

// Time is an instant as the API writes it: RFC 3339, UTC, milliseconds.
type Time time.Time

// MarshalText writes the instant.
func (t Time) MarshalText() ([]byte, error) {
	return time.Time(t).UTC().AppendFormat(nil, "2006-01-02T15:04:05.000Z"), nil
}

// UnmarshalText reads the form that MarshalText writes.
func (t *Time) UnmarshalText(text []byte) error { return (*time.Time)(t).UnmarshalText(text) }

func timeOrNull(t time.Time) *Time {
	if t.IsZero() {
		return nil
	}
	return (*Time)(&t)
}

// orNull is v, or nil when v is the zero value.
func orNull[T comparable](v T) *T {
	var zero T
	if v == zero {
		return nil
	}
	return &v
}

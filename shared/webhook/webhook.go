// Package webhook describes how the platform notifies a user's own servers: the endpoints that
// subscribe to events, and the deliveries. A delivery is one event on its way to one endpoint. The
// package knows neither HTTP nor the database.
package webhook

import (
	"encoding/base64"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/krosai/telephony/shared/secret"
)

// MaxEndpoints is how many endpoints a user may have.
const MaxEndpoints = 10

// Endpoint is an address of a user that subscribes to events. A zero time means "has not happened".
type Endpoint struct {
	ID        string // whe_ and a ULID
	UserID    string
	URL       string
	Events    []string      // the types that it subscribes to
	Secret    secret.Secret // signs the deliveries: whsec_ and base64
	OldSecret secret.Secret // signs as well until OldUntil
	OldUntil  time.Time
	CreatedAt time.Time

	Paused         bool
	DisabledAt     time.Time
	DisabledReason string
	Failures       int       // attempts that failed since the last successful one
	FailingSince   time.Time // when the first of them failed
	HeldUntil      time.Time // no attempt begins before; see HoldAfter
}

// EndpointStatus says whether an endpoint gets events.
type EndpointStatus string

// The states of an endpoint.
const (
	Active   EndpointStatus = "active"
	Paused   EndpointStatus = "paused"   // by its owner
	Disabled EndpointStatus = "disabled" // because it failed too often
)

// Status is the state of the endpoint.
func (e Endpoint) Status() EndpointStatus {
	switch {
	case !e.DisabledAt.IsZero():
		return Disabled
	case e.Paused:
		return Paused
	}
	return Active
}

// Wants reports whether an event goes to the endpoint: the endpoint is active and subscribes to the
// type, and the event happened when the endpoint was registered or later.
func (e Endpoint) Wants(kind string, at time.Time) bool {
	return e.Status() == Active && slices.Contains(e.Events, kind) && !at.Before(e.CreatedAt.Truncate(time.Millisecond))
}

// NewSecret makes a signing secret from random, which must be of cryptographic quality.
func NewSecret(random io.Reader) (secret.Secret, error) {
	key := make([]byte, 32)
	if _, err := io.ReadFull(random, key); err != nil {
		return secret.Secret{}, fmt.Errorf("random bytes of a signing secret: %w", err)
	}
	return secret.New("whsec_" + base64.StdEncoding.EncodeToString(key)), nil
}

// Secrets are the secrets that sign at a moment, the newest first.
func (e Endpoint) Secrets(now time.Time) []secret.Secret {
	if now.Before(e.OldUntil) {
		return []secret.Secret{e.Secret, e.OldSecret}
	}
	return []secret.Secret{e.Secret}
}

// An endpoint that fails HoldAfter times in a row is held: attempts wait, and one attempt at a time
// checks whether the endpoint works again. So a failing endpoint takes few of the places that all
// users share.
const (
	HoldAfter   = 5
	firstHold   = 30 * time.Second
	longestHold = 5 * time.Minute
)

// Hold is how long attempts wait after the n-th failure in a row; 0 means that they do not wait.
func Hold(n int) time.Duration {
	if n < HoldAfter {
		return 0
	}
	hold := firstHold
	for range n - HoldAfter {
		hold = min(2*hold, longestHold)
	}
	return hold
}

// An endpoint is disabled after disableAfter failures in a row over disableSpan or longer, or after
// disableAtOnce failures in any time.
const (
	disableAfter  = 20
	disableSpan   = time.Hour
	disableAtOnce = 100
)

// Failures is the DisabledReason of an endpoint that failed too often.
const Failures = "failures"

// FailsTooOften reports whether the endpoint must be disabled.
func (e Endpoint) FailsTooOften(now time.Time) bool {
	return e.Failures >= disableAtOnce || e.Failures >= disableAfter && now.Sub(e.FailingSince) >= disableSpan
}

// Message asks for a delivery. It is in the queue until the delivery has ended. Event names an
// event of the log, ReplayOf a replay, TestAt a test. A message holds ids only, because a queue
// keeps its messages for days.
type Message struct {
	UserID     string    `json:"user_id"`
	EndpointID string    `json:"endpoint_id"`
	DeliveryID string    `json:"delivery_id"`
	Event      string    `json:"event,omitempty"`     // its position in the user's log
	CallID     string    `json:"call_id,omitempty"`   // the call with the event's metadata
	ReplayOf   string    `json:"replay_of,omitempty"` // the delivery that is repeated
	TestAt     time.Time `json:"test_at,omitzero"`
}

// Event is something that happened once and is delivered.
type Event struct {
	ID     string // evt_ and a ULID
	UserID string
	Type   string
	At     time.Time
	Body   []byte // the body that is sent: JSON with type, timestamp and data
}

// Status is the state of a delivery. The two final states never change.
type Status string

// The states of a delivery.
const (
	Pending   Status = "pending"   // on its way, or waiting for the next attempt
	Delivered Status = "delivered" // the endpoint answered 2xx
	Dead      Status = "dead"      // given up
)

// The values of LastError for a delivery that was given up without a last attempt.
const (
	EndpointPaused   = "paused"
	EndpointDisabled = "disabled"
	EndpointDeleted  = "deleted"
)

// Delivery is an event on its way to an endpoint. A zero time means "has not
// happened".
type Delivery struct {
	ID         string // dlv_ and a ULID
	EndpointID string
	Event      Event
	Status     Status
	Attempts   int
	LastStatus int    // status of the endpoint's last answer, 0 without one
	LastError  string // why the last attempt failed, empty after a 2xx answer
	Answer     string // the beginning of the endpoint's last answer, at most MaxAnswer bytes
	ReplayOf   string // the delivery that this one repeats
	CreatedAt  time.Time
	LastAt     time.Time // of the last attempt
	NextAt     time.Time // of the next attempt, while it is pending
}

// MaxAnswer is how much of an endpoint's answer is kept, in bytes.
const MaxAnswer = 256

// Attempt is the result of one attempt.
type Attempt struct {
	At     time.Time
	Status Status // of the delivery from then on
	Code   int    // the endpoint's HTTP status, 0 without an answer
	Error  string
	Answer string
	NextAt time.Time // zero after the last attempt
}

// With is the delivery after its next attempt.
func (d Delivery) With(a Attempt) Delivery {
	d.Attempts++
	d.Status, d.LastStatus, d.LastError, d.Answer, d.LastAt, d.NextAt = a.Status, a.Code, a.Error, a.Answer, a.At, a.NextAt
	return d
}

// Kept is how long deliveries are kept.
const Kept = 30 * 24 * time.Hour

// Pause is the wait after the n-th attempt (from 1) before the next attempt. ok is false after the
// last attempt. The twelve attempts take 24 hours and two minutes.
func Pause(n int) (pause time.Duration, ok bool) {
	const first, longest, attempts = 10 * time.Second, 18900 * time.Second, 12
	pause = first
	for range n - 1 {
		pause = min(3*pause, longest)
	}
	return pause, n < attempts
}

// The hourly limits of requested deliveries: RequestsPerHour for all replays and tests of one user,
// RepetitionPerHour for replays of one delivery and for tests of one endpoint.
const (
	RequestsPerHour   = 100
	RepetitionPerHour = 10
)

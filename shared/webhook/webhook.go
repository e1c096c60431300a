// Package webhook is how a user's own servers are told what happened: the
// events, the endpoints that want them, and the deliveries, each of which is one
// event on its way to one endpoint. It knows neither HTTP nor the database.
package webhook

import (
	"slices"
	"time"

	"github.com/krosai/telephony/shared/secret"
)

// The types of events.
const (
	CallAnswered     = "call.answered"
	CallEnded        = "call.ended" // calls that were never answered, too
	CallSummaryReady = "call.summary_ready"
	RequestDecided   = "number_request.decided"
	RequestAssigned  = "number_request.assigned"
)

// MaxEndpoints is how many endpoints a user may have.
const MaxEndpoints = 10

// Endpoint is an address of a user's that wants events.
type Endpoint struct {
	ID        string // whe_ and a ULID
	UserID    string
	URL       string
	Events    []string      // the types it wants
	Secret    secret.Secret // signs what is sent there: whsec_ and base64
	CreatedAt time.Time
}

// Wants reports whether an event goes to the endpoint: it is of a type it asked
// for, and happened when it was registered or later.
func (e Endpoint) Wants(v Event) bool {
	return slices.Contains(e.Events, v.Type) && !v.At.Before(e.CreatedAt.Truncate(time.Millisecond))
}

// Event is something that happened once. What happened decides its id, so that
// it is the same event however often it is announced.
type Event struct {
	ID     string // evt_ and a ULID
	UserID string
	Type   string
	At     time.Time
	Body   []byte // what is sent: JSON with type, timestamp and data
}

// Status is where a delivery stands. The two ends never change.
type Status string

// The states of a delivery.
const (
	Pending   Status = "pending"   // on its way, or waiting for the next attempt
	Delivered Status = "delivered" // the endpoint answered 2xx
	Dead      Status = "dead"      // given up
)

// Delivery is an event on its way to an endpoint. A zero time means "has not
// happened".
type Delivery struct {
	ID         string // dlv_ and a ULID
	EndpointID string
	Event      Event
	Status     Status
	Attempts   int
	LastStatus int    // the endpoint's last answer, 0 when it gave none
	LastError  string // why the last attempt was none, empty when it was answered 2xx
	ReplayOf   string // the delivery that this one repeats
	CreatedAt  time.Time
	LastAt     time.Time // of the last attempt
	NextAt     time.Time // of the next attempt, while it is pending
}

// Attempt is what one attempt came to.
type Attempt struct {
	At     time.Time
	Status Status // of the delivery from then on
	Code   int    // the endpoint's HTTP status, 0 when it gave none
	Error  string
	NextAt time.Time // zero when it is the last
}

// Kept is how long deliveries are kept.
const Kept = 30 * 24 * time.Hour

// Pause is how long the workflow waits after the n-th attempt (from 1) before
// the next one; ok is false after the last. It is the Retry of
// statemachines/webhook.asl.json: twelve attempts in 24 hours and two minutes.
func Pause(n int) (pause time.Duration, ok bool) {
	const first, longest, attempts = 10 * time.Second, 18900 * time.Second, 12
	pause = first
	for range n - 1 {
		pause = min(3*pause, longest)
	}
	return pause, n < attempts
}

// Package hook defines how the API shows webhook endpoints and deliveries.
package hook

import (
	"slices"

	"github.com/krosai/telephony/shared/api"
	"github.com/krosai/telephony/shared/webhook"
)

// Endpoint is a webhook endpoint, without its signing secret.
type Endpoint struct {
	EndpointID     string                 `json:"endpoint_id"`
	URL            string                 `json:"url"`
	Events         []string               `json:"events"`
	Status         webhook.EndpointStatus `json:"status" enum:"active,paused,disabled" doc:"paused by you, or disabled because it failed too often; it gets nothing then"`
	DisabledAt     *api.Time              `json:"disabled_at" doc:"null unless it is disabled"`
	DisabledReason *string                `json:"disabled_reason" doc:"failures: too many attempts failed in a row. null unless it is disabled"`
	Failures       int                    `json:"failures_in_a_row" doc:"Attempts that failed since the last one that succeeded"`
	CreatedAt      api.Time               `json:"created_at"`
}

// Issued is a webhook endpoint with its new signing secret. The secret is shown only this once.
type Issued struct {
	SigningSecret string `json:"signing_secret" doc:"Verifies what is sent to the endpoint, as Standard Webhooks says. It is shown this once"`
	Endpoint
}

// EndpointOf shows an endpoint.
func EndpointOf(e webhook.Endpoint) Endpoint {
	return Endpoint{EndpointID: e.ID, URL: e.URL, Events: slices.Sorted(slices.Values(e.Events)), Status: e.Status(),
		DisabledAt: api.OrNull(e.DisabledAt), DisabledReason: api.TextOrNull(e.DisabledReason), Failures: e.Failures,
		CreatedAt: api.Time(e.CreatedAt)}
}

// Delivery is an event on its way to an endpoint.
type Delivery struct {
	DeliveryID     string         `json:"delivery_id"`
	EndpointID     string         `json:"endpoint_id"`
	EventID        string         `json:"event_id" doc:"The webhook-id of every attempt and of every replay"`
	EventType      string         `json:"event_type"`
	HappenedAt     api.Time       `json:"happened_at"`
	Status         webhook.Status `json:"status" enum:"pending,delivered,dead" doc:"pending while attempts are made, then delivered or dead"`
	Attempts       int            `json:"attempts"`
	LastStatus     *int           `json:"last_status_code" doc:"What the endpoint answered last; null when it did not"`
	LastError      *string        `json:"last_error" doc:"Why the last attempt failed: dns, address (not of the public Internet), tls, timeout, connection, status (other than 2xx); or why it was given up without one: paused, disabled, deleted (the endpoint). null when there was none or it succeeded"`
	LastAttemptAt  *api.Time      `json:"last_attempt_at"`
	NextAttemptAt  *api.Time      `json:"next_attempt_at" doc:"null when there will be none"`
	ReplayOf       *string        `json:"replay_of" doc:"The delivery that this one repeats; null when it is the first"`
	RequestBody    string         `json:"request_body" doc:"The body that is sent, exactly"`
	ResponseStatus *int           `json:"response_status" doc:"The same as last_status_code"`
	ResponseBody   *string        `json:"response_body" doc:"The first 256 bytes of the last answer, with U+FFFD for what is not text; null when it was empty or there was none"`
	CreatedAt      api.Time       `json:"created_at"`
}

// DeliveryOf shows a delivery.
func DeliveryOf(d webhook.Delivery) Delivery {
	v := Delivery{DeliveryID: d.ID, EndpointID: d.EndpointID, EventID: d.Event.ID, EventType: d.Event.Type, HappenedAt: api.Time(d.Event.At),
		Status: d.Status, Attempts: d.Attempts, LastError: api.TextOrNull(d.LastError), LastAttemptAt: api.OrNull(d.LastAt),
		NextAttemptAt: api.OrNull(d.NextAt), ReplayOf: api.TextOrNull(d.ReplayOf), RequestBody: string(d.Event.Body),
		ResponseBody: api.TextOrNull(d.Answer), CreatedAt: api.Time(d.CreatedAt)}
	if d.LastStatus != 0 {
		v.LastStatus, v.ResponseStatus = &d.LastStatus, &d.LastStatus
	}
	return v
}

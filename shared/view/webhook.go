package view

import (
	"slices"

	"github.com/krosai/telephony/shared/api"
	"github.com/krosai/telephony/shared/webhook"
)

// WebhookEndpoint is a webhook endpoint, without its signing secret.
type WebhookEndpoint struct {
	EndpointID     string                 `json:"endpoint_id"`
	URL            string                 `json:"url"`
	Events         []string               `json:"events" enum:"call.answered,call.ended,call.summary_ready,call.transfer_finished,number_request.decided,number_request.assigned,number.assigned,number.configured,number.released,api_key.created,api_key.revoked,webhook_endpoint.disabled"`
	Status         webhook.EndpointStatus `json:"status" enum:"active,paused,disabled" doc:"paused by you, or disabled after too many failures. Neither gets events"`
	DisabledAt     *api.Time              `json:"disabled_at" doc:"null unless the endpoint is disabled"`
	DisabledReason *string                `json:"disabled_reason" enum:"failures" doc:"failures: too many attempts failed in a row. null unless the endpoint is disabled"`
	Failures       int                    `json:"failures_in_a_row" doc:"The attempts that failed since the last success"`
	CreatedAt      api.Time               `json:"created_at"`
}

// NewWebhookEndpoint is a webhook endpoint with its new signing secret. The secret is shown only
// this once.
type NewWebhookEndpoint struct {
	SigningSecret string `json:"signing_secret" doc:"The secret that verifies what is sent to the endpoint (Standard Webhooks). Only this answer shows it"`
	WebhookEndpoint
}

// WebhookEndpointOf shows an endpoint.
func WebhookEndpointOf(e webhook.Endpoint) WebhookEndpoint {
	return WebhookEndpoint{EndpointID: e.ID, URL: e.URL, Events: slices.Sorted(slices.Values(e.Events)), Status: e.Status(),
		DisabledAt: api.OrNull(e.DisabledAt), DisabledReason: api.TextOrNull(e.DisabledReason), Failures: e.Failures,
		CreatedAt: api.Time(e.CreatedAt)}
}

// Delivery is an event on its way to an endpoint.
type Delivery struct {
	DeliveryID     string         `json:"delivery_id"`
	EndpointID     string         `json:"endpoint_id"`
	EventID        string         `json:"event_id" doc:"The webhook-id of every attempt and of every replay"`
	EventType      string         `json:"event_type" enum:"call.answered,call.ended,call.summary_ready,call.transfer_finished,number_request.decided,number_request.assigned,number.assigned,number.configured,number.released,api_key.created,api_key.revoked,webhook_endpoint.disabled,webhook.test"`
	HappenedAt     api.Time       `json:"happened_at"`
	Status         webhook.Status `json:"status" enum:"pending,delivered,dead" doc:"pending while attempts are made, then delivered, or dead after the last failed"`
	Attempts       int            `json:"attempts"`
	LastStatus     *int           `json:"last_status_code" doc:"The status of the endpoint's last answer; null without one"`
	LastError      *string        `json:"last_error" enum:"dns,address,connection,tls,timeout,status,paused,disabled,deleted" doc:"Why the last attempt failed: dns, address (not on the public Internet), tls, timeout, connection, status (not 2xx). Or why the delivery was given up without an attempt: the endpoint was paused, disabled or deleted. null without an attempt, or if it succeeded"`
	LastAttemptAt  *api.Time      `json:"last_attempt_at"`
	NextAttemptAt  *api.Time      `json:"next_attempt_at" doc:"null if no attempt follows"`
	ReplayOf       *string        `json:"replay_of" doc:"The delivery that this one repeats; null if it repeats none"`
	RequestBody    string         `json:"request_body" doc:"The exact body that is sent"`
	ResponseStatus *int           `json:"response_status" doc:"The same as last_status_code"`
	ResponseBody   *string        `json:"response_body" doc:"The first 256 bytes of the last answer, with U+FFFD in place of bytes that are not text; null if it was empty or missing"`
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

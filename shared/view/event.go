package view

import (
	"github.com/krosai/telephony/shared/api"
	"github.com/krosai/telephony/shared/event"
)

// Event is an event as webhook endpoints receive it.
type Event struct {
	EventID string         `json:"event_id" doc:"Also the webhook-id of its deliveries"`
	Type    string         `json:"type" enum:"call.answered,call.ended,call.summary_ready,call.transfer_finished,number_request.decided,number_request.assigned,number.assigned,number.configured,number.released,api_key.created,api_key.revoked,webhook_endpoint.disabled,call.turn"`
	At      api.Time       `json:"at" doc:"When it happened"`
	CallID  string         `json:"call_id,omitempty" doc:"The call that the event is about"`
	Data    map[string]any `json:"data" doc:"The member data of the webhook's body"`
}

// EventsOf shows events. metadata holds the metadata of their calls, by call id.
func EventsOf(events []event.Event, metadata map[string]map[string]string) []Event {
	views := make([]Event, 0, len(events))
	for _, e := range events {
		views = append(views, Event{EventID: e.ID, Type: e.Type, At: api.Time(e.At), CallID: e.CallID, Data: e.Object(metadata[e.CallID])})
	}
	return views
}

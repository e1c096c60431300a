// Package listevents serves GET /events.
package listevents

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/api"
	"github.com/krosai/telephony/shared/event"
	"github.com/krosai/telephony/shared/store"
	"github.com/krosai/telephony/shared/view"
)

// Events reads a user's log in the order in which it was written, and the metadata of the calls in
// it. Wait fails with fault.Limited while too many of the user's requests wait.
type Events interface {
	event.Places
	EventsOf(ctx context.Context, userID string, l store.Log, limit int, after string) (events []event.Event, next string, err error)
	MetadataOf(ctx context.Context, events []event.Event) (map[string]map[string]string, error)
}

// Endpoint lists events.
type Endpoint struct {
	Events Events
	Now    func() time.Time
}

// Input is the position in the log, a filter, and how long to wait.
type Input struct {
	After string   `query:"after" doc:"next_after of the previous answer. latest begins with the events from now on. If left out, the log begins 30 days ago"`
	Types []string `query:"types" enum:"call.answered,call.ended,call.summary_ready,call.transfer_finished,number_request.decided,number_request.assigned,number.assigned,number.configured,number.released,api_key.created,api_key.revoked,webhook_endpoint.disabled" doc:"Only events of these types, separated by commas"`
	Wait  int      `query:"wait_seconds" minimum:"0" maximum:"20" default:"0" doc:"How long to wait if there is no event, in seconds"`
	Limit int      `query:"limit" minimum:"1" maximum:"100" default:"100" doc:"The most events in the answer"`
}

// Output is a part of the log.
type Output struct{ Body EventPage }

// EventPage is a part of the log.
type EventPage struct {
	Data      []view.Event `json:"data"`
	NextAfter string       `json:"next_after" doc:"The after of the next request, also if there were no events"`
}

// Register adds the operation to the API.
func (e *Endpoint) Register(a huma.API) {
	huma.Register(a, huma.Operation{OperationID: "list-events", Method: http.MethodGet, Path: "/events",
		Summary: "Follow your events", Tags: []string{"Events"}, Errors: []int{http.StatusTooManyRequests},
		Description: "The events of your calls, requests, numbers, keys and webhook endpoints of the last 30 days, in the order in which they " +
			"were recorded, with the types and bodies of webhooks. Pass next_after as after in the next request: no event is missed and none " +
			"comes twice. With wait_seconds the answer waits for the next event. At most 5 requests of a user wait at a time.",
		Security: api.Needs(account.WebhooksRead)}, e.list)
}

// latest asks for a log that begins now.
const latest = "latest"

func (e *Endpoint) list(ctx context.Context, in *Input) (*Output, error) {
	filter, wanted := strings.Join(in.Types, " "), in.Types
	if wanted == nil {
		wanted = event.Types()
	}
	cursor, err := e.cursor(ctx, in.After, filter)
	if err != nil {
		return nil, err
	}

	user, found := api.CallerOf(ctx).UserID, []event.Event(nil)
	err = event.Await(ctx, e.Events, user, e.Now, time.Duration(in.Wait)*time.Second, func() (bool, error) {
		found, cursor, err = e.read(ctx, user, cursor, wanted, in.Limit)
		return len(found) > 0, err
	})
	if err != nil {
		return nil, err
	}

	metadata, err := e.Events.MetadataOf(ctx, found)
	if err != nil {
		return nil, err
	}
	next, err := api.SealAfter(ctx, cursor.String(), filter)
	return &Output{EventPage{Data: view.EventsOf(found, metadata), NextAfter: next}}, err
}

func (e *Endpoint) cursor(ctx context.Context, after, filter string) (event.Cursor, error) {
	if after == latest {
		return event.Latest(e.Now()), nil
	}
	at, err := api.OpenAfter(ctx, after, filter)
	if err != nil {
		return event.Cursor{}, err
	}
	return event.ParseCursor(at)
}

// mostPages is how many pages of the log one request reads at most.
const mostPages = 10

// read finds up to limit wanted events that the cursor has not met. It returns them and the cursor
// behind them and behind the unwanted events.
func (e *Endpoint) read(ctx context.Context, user string, at event.Cursor, types []string, limit int) (found []event.Event, _ event.Cursor, err error) {
	log, after := store.Log{From: at.From}, ""
	for range mostPages {
		now := e.Now()
		page, next, err := e.Events.EventsOf(ctx, user, log, 100, after)
		if err != nil {
			return nil, at, err
		}
		var met []event.Event
		for _, one := range page {
			if at.Met(one) {
				continue
			}
			if len(found) == limit {
				return found, at.Past(met), nil
			}
			met = append(met, one)
			if slices.Contains(types, one.Type) {
				found = append(found, one)
			}
		}
		at = at.Past(met)
		if next == "" {
			return found, at.End(now), nil
		}
		after = next
	}
	return found, at, nil
}

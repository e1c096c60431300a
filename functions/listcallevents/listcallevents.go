// Package listcallevents serves GET /outbound-calls/{call_id}/events.
package listcallevents

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/api"
	"github.com/krosai/telephony/shared/call"
	"github.com/krosai/telephony/shared/event"
	"github.com/krosai/telephony/shared/fault"
	"github.com/krosai/telephony/shared/id"
	"github.com/krosai/telephony/shared/store"
	"github.com/krosai/telephony/shared/view"
)

// Calls reads calls and their events. An unknown call is fault.NotFound. Wait fails with
// fault.Limited while too many of the user's requests wait.
type Calls interface {
	event.Places
	Call(ctx context.Context, id string) (call.Call, error)
	EventsOf(ctx context.Context, userID string, l store.Log, limit int, after string) (events []event.Event, next string, err error)
	MetadataOf(ctx context.Context, events []event.Event) (map[string]map[string]string, error)
	TurnsSince(ctx context.Context, callID string, from time.Time) ([]call.Turn, error)
}

// Endpoint lists the events of a call.
type Endpoint struct {
	Calls Calls
	Now   func() time.Time
}

// Input names the call, the position in its log, and how long to wait.
type Input struct {
	CallID  string   `path:"call_id" doc:"The call to follow"`
	After   string   `query:"after" doc:"next_after of the previous answer. If left out, the answer begins with the first event of the call"`
	Include []string `query:"include" enum:"transcript" doc:"transcript: the turns too, as events of type call.turn"`
	Wait    int      `query:"wait_seconds" minimum:"0" maximum:"20" default:"0" doc:"How long to wait if there is no event, in seconds"`
	Limit   int      `query:"limit" minimum:"1" maximum:"100" default:"100" doc:"The most events in the answer"`
}

// Output is a part of the call's log.
type Output struct{ Body CallEventPage }

// CallEventPage is a part of the call's log.
type CallEventPage struct {
	Data      []view.Event `json:"data"`
	NextAfter string       `json:"next_after" doc:"The after of the next request, also if there were no events"`
}

// Register adds the operation to the API.
func (e *Endpoint) Register(a huma.API) {
	huma.Register(a, huma.Operation{OperationID: "list-call-events", Method: http.MethodGet, Path: "/outbound-calls/{call_id}/events",
		Summary: "Follow a call", Tags: []string{"Events"}, Errors: []int{http.StatusTooManyRequests},
		Description: "The events of a call of the last 30 days, in the order in which they were recorded, with the turns of its transcript if " +
			"they are included. Pass next_after as after in the next request. With wait_seconds the answer waits for the next event.",
		Security: api.Needs(account.CallsRead)}, e.list)
}

func (e *Endpoint) list(ctx context.Context, in *Input) (*Output, error) {
	c, at, err := e.open(ctx, in)
	if err != nil {
		return nil, err
	}

	var found []event.Event
	err = event.Await(ctx, e.Calls, c.UserID, e.Now, time.Duration(in.Wait)*time.Second, func() (bool, error) {
		found, at, err = e.read(ctx, c, at, len(in.Include) > 0, in.Limit)
		return len(found) > 0, err
	})
	if err != nil {
		return nil, err
	}

	metadata, err := e.Calls.MetadataOf(ctx, found)
	if err != nil {
		return nil, err
	}
	next, err := api.SealAfter(ctx, at.String(), filterOf(in))
	return &Output{CallEventPage{Data: view.EventsOf(found, metadata), NextAfter: next}}, err
}

func filterOf(in *Input) string {
	if len(in.Include) > 0 {
		return in.CallID + " transcript"
	}
	return in.CallID
}

// open reads the caller's call and the position to continue from. Without a position, it starts
// event.Overlap before the call's creation.
func (e *Endpoint) open(ctx context.Context, in *Input) (c call.Call, at event.Cursor, err error) {
	if err := id.Call.Check(in.CallID); err != nil {
		return c, at, err
	}
	position, err := api.OpenAfter(ctx, in.After, filterOf(in))
	if err != nil {
		return c, at, err
	}
	if c, err = e.Calls.Call(ctx, in.CallID); err == nil && c.UserID != api.CallerOf(ctx).UserID {
		err = fault.Missing("call")
	}
	if err != nil {
		return c, at, err
	}
	if position == "" {
		return c, event.Latest(c.CreatedAt.Add(-event.Overlap)), nil
	}
	at, err = event.ParseCursor(position)
	return c, at, err
}

// lasting is how long after its end a call may have events. Its summary is attempted for a quarter
// of an hour at most.
const lasting = time.Hour

// read finds up to limit events of a call that the cursor has not met. It returns them and the
// cursor behind them.
func (e *Endpoint) read(ctx context.Context, c call.Call, at event.Cursor, turns bool, limit int) ([]event.Event, event.Cursor, error) {
	now, log := e.Now(), store.Log{From: at.From, CallID: c.ID}
	if c.Status.Ended() {
		log.To = c.EndedAt.Add(lasting)
	}
	var all []event.Event
	for after, more := "", log.To.IsZero() || log.From.Before(log.To); more; more = after != "" {
		page, next, err := e.Calls.EventsOf(ctx, c.UserID, log, 100, after)
		if err != nil {
			return nil, at, err
		}
		all, after = append(all, page...), next
	}
	if turns {
		said, err := e.Calls.TurnsSince(ctx, c.ID, at.From)
		if err != nil {
			return nil, at, err
		}
		for _, t := range said {
			all = append(all, event.Said(c.UserID, c.ID, t))
		}
	}
	all = slices.DeleteFunc(all, at.Met)
	slices.SortStableFunc(all, func(a, b event.Event) int { return cmp.Or(a.Recorded.Compare(b.Recorded), cmp.Compare(a.ID, b.ID)) })
	if len(all) > limit {
		return all[:limit], at.Past(all[:limit]), nil
	}
	return all, at.Past(all).End(now), nil
}

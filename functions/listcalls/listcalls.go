// Package listcalls serves GET /outbound-calls.
package listcalls

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/api"
	"github.com/krosai/telephony/shared/call"
	"github.com/krosai/telephony/shared/fault"
	"github.com/krosai/telephony/shared/store"
)

// Calls lists a user's calls newest first, at most limit of them, starting after the position
// after. h filters them.
type Calls interface {
	CallsOf(ctx context.Context, userID string, h store.History, limit int, after string) (calls []call.Call, next string, err error)
}

// Endpoint lists the caller's calls, outbound and inbound.
type Endpoint struct{ Calls Calls }

// Input selects a page of the list.
type Input struct {
	Status        call.Status    `query:"status" enum:"initiated,dialing,ringing,in_progress,completed,busy,no_answer,failed,canceled" doc:"Only calls of this status"`
	Direction     call.Direction `query:"direction" enum:"outbound,inbound" doc:"Only calls of this direction"`
	Active        bool           `query:"active" doc:"true: only calls that have not ended, of the last 24 hours where from is left out, for none lasts longer; false: all calls"`
	Metadata      Metadata       `query:"metadata,deepObject" doc:"Only calls whose metadata has these entries: metadata[order]=A-1001"`
	PhoneNumberID string         `query:"phone_number_id" pattern:"^pn_[0-9A-HJKMNP-TV-Z]{26}$" patternDescription:"a phone_number_id, pn_ and 26 letters and digits" doc:"Only calls from or to this number of yours"`
	From          string         `query:"from" maxLength:"40" doc:"Only calls created then or later: an RFC 3339 time, or a date (UTC)" example:"2026-11-01"`
	To            string         `query:"to" maxLength:"40" doc:"Only calls created before this RFC 3339 time, or up to the end of this date (UTC)" example:"2026-11-22"`
	Limit         int            `query:"limit" minimum:"1" maximum:"100" default:"25" doc:"The most calls in the answer"`
	Cursor        string         `query:"cursor" doc:"next_cursor of the page before, with the same filters"`
}

// Metadata holds the entries that a call's metadata must have.
type Metadata map[string]string

// Output is the page.
type Output struct{ Body api.Page[Call] }

// Call shows a call in the list. A time that is null has not happened.
type Call struct {
	CallID        string            `json:"call_id"`
	Status        call.Status       `json:"status" enum:"initiated,dialing,ringing,in_progress,completed,busy,no_answer,failed,canceled"`
	Direction     call.Direction    `json:"direction" enum:"outbound,inbound"`
	PhoneNumber   string            `json:"phone_number" doc:"The other party"`
	FromNumber    string            `json:"from_number"`
	PhoneNumberID string            `json:"phone_number_id"`
	RoomName      string            `json:"room_name"`
	AgentName     string            `json:"agent_name"`
	HangupCause   *call.Cause       `json:"hangup_cause" enum:"callee_hangup,agent_hangup,api_hangup,max_duration,transferred,busy,declined,no_answer,invalid_number,trunk_auth,trunk_unreachable,agent_unavailable,network_error,capacity,calls_disabled,not_allowed,unknown" doc:"Why the call ended; null until it has ended"`
	SIPStatusCode *int              `json:"sip_status_code" doc:"The carrier's last SIP status for the dial; null if it gave none"`
	Metadata      map[string]string `json:"metadata"`
	CreatedAt     api.Time          `json:"created_at"`
	AnsweredAt    *api.Time         `json:"answered_at"`
	EndedAt       *api.Time         `json:"ended_at"`
	Duration      int               `json:"duration_seconds" doc:"The talk time, in seconds"`
}

// Register adds the operation to the API.
func (e *Endpoint) Register(a huma.API) {
	huma.Register(a, huma.Operation{OperationID: "list-calls", Method: http.MethodGet, Path: "/outbound-calls",
		Summary: "List your calls", Tags: []string{"Calls"}, Security: api.Needs(account.CallsRead),
		Description: "Newest first, without prompt, transcript and summary: read a call's details for these. " +
			"With status, active, direction, metadata or phone_number_id a page may hold fewer calls than the limit, even none, and still have a next_cursor: follow it.",
	}, e.list)
}

func (e *Endpoint) list(ctx context.Context, in *Input) (*Output, error) {
	h, err := history(in)
	if err != nil {
		return nil, err
	}

	filter := fmt.Sprintf("%s %s %s %s %s %t %q", in.Status, in.Direction, in.PhoneNumberID, in.From, in.To, in.Active, in.Metadata)
	page, err := api.List(ctx, in.Cursor, filter, in.Limit, view, func(after string, limit int) ([]call.Call, string, error) {
		return e.Calls.CallsOf(ctx, api.CallerOf(ctx).UserID, h, limit, after)
	})
	return &Output{page}, err
}

func history(in *Input) (h store.History, err error) {
	h = store.History{Status: in.Status, Active: in.Active, Direction: in.Direction, NumberID: in.PhoneNumberID, Metadata: in.Metadata}
	if h.From, err = moment("from", in.From, 0); err != nil {
		return h, err
	}
	if h.To, err = moment("to", in.To, 1); err != nil {
		return h, err
	}
	if !h.To.IsZero() && !h.From.Before(h.To) {
		return h, fault.InvalidField("to", "range", "must be later than from")
	}
	return h, nil
}

// moment parses a time in whole milliseconds, the precision of calls, or a date. A date is its
// first moment plus the given days. Empty text is the zero time.
func moment(field, text string, days int) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	var at api.Time
	date, err := time.Parse(time.DateOnly, text)
	if err == nil {
		at = api.Time(date.AddDate(0, 0, days))
	} else {
		err = at.UnmarshalText([]byte(text))
	}
	t := time.Time(at).Truncate(time.Millisecond)
	if err != nil || t.Year() < 1900 || t.Year() > 9000 {
		return t, fault.InvalidField(field, "format", "must be an RFC 3339 time or a date, like 2026-11-22T09:30:00Z or 2026-11-22")
	}
	return t, nil
}

func view(c call.Call) Call {
	v := Call{CallID: c.ID, Status: c.Status, Direction: c.Direction, PhoneNumber: c.Remote, FromNumber: c.Own,
		PhoneNumberID: c.NumberID, RoomName: c.ShownRoom(), AgentName: c.AgentName, Metadata: c.Metadata, CreatedAt: api.Time(c.CreatedAt),
		AnsweredAt: api.OrNull(c.AnsweredAt), EndedAt: api.OrNull(c.EndedAt), Duration: c.Duration()}
	if v.Metadata == nil {
		v.Metadata = map[string]string{}
	}
	if c.Cause != "" {
		v.HangupCause = &c.Cause
	}
	if c.SIPStatus != 0 {
		v.SIPStatusCode = &c.SIPStatus
	}
	return v
}

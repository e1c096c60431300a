// Package listallcalls serves GET /admin/calls.
package listallcalls

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/api"
	"github.com/krosai/telephony/shared/call"
	"github.com/krosai/telephony/shared/fault"
	"github.com/krosai/telephony/shared/store"
)

// Calls lists calls newest first, at most limit of them, starting after the position after. Going
// lists the active calls of all users, and CallsOf lists the calls of one user. CallsSwitch reads
// the switch of all users' outbound calls.
type Calls interface {
	Going(ctx context.Context, limit int, after string) (calls []call.Call, next string, err error)
	CallsOf(ctx context.Context, userID string, h store.History, limit int, after string) (calls []call.Call, next string, err error)
	CallsSwitch(ctx context.Context) (account.CallsSwitch, error)
}

// Endpoint lists calls for administrators, outbound and inbound.
type Endpoint struct{ Calls Calls }

// Input selects a page of the list.
type Input struct {
	Active bool   `query:"active" default:"true" doc:"true: only calls that have not ended. false needs user_id"`
	UserID string `query:"user_id" pattern:"^[A-Za-z0-9._|:@-]{1,128}$" patternDescription:"a user's id, 1 to 128 letters, digits and any of ._|:@-" doc:"All calls of this user, also those that have ended"`
	Limit  int    `query:"limit" minimum:"1" maximum:"100" default:"25" doc:"The most calls in the answer"`
	Cursor string `query:"cursor" doc:"next_cursor of the page before, with the same user_id"`
}

// Output is the page.
type Output struct{ Body UserCallPage }

// UserCallPage is a page of calls and the switch of all users' outbound calls.
type UserCallPage struct {
	CallsEnabled bool       `json:"calls_enabled" doc:"The switch of everybody's outbound calls"`
	Data         []UserCall `json:"data"`
	NextCursor   *string    `json:"next_cursor"`
}

// UserCall shows a call to administrators. A time that is null has not happened.
type UserCall struct {
	CallID        string         `json:"call_id"`
	UserID        string         `json:"user_id"`
	Status        call.Status    `json:"status" enum:"initiated,dialing,ringing,in_progress,completed,busy,no_answer,failed,canceled"`
	Direction     call.Direction `json:"direction" enum:"outbound,inbound"`
	PhoneNumber   string         `json:"phone_number" doc:"The other party"`
	FromNumber    string         `json:"from_number"`
	PhoneNumberID string         `json:"phone_number_id"`
	RoomName      string         `json:"room_name"`
	AgentName     string         `json:"agent_name"`
	HangupCause   *call.Cause    `json:"hangup_cause" enum:"callee_hangup,agent_hangup,api_hangup,max_duration,transferred,busy,declined,no_answer,invalid_number,trunk_auth,trunk_unreachable,agent_unavailable,network_error,capacity,calls_disabled,not_allowed,unknown" doc:"Why the call ended; null until it has ended"`
	SIPStatusCode *int           `json:"sip_status_code" doc:"The carrier's last SIP status for the dial; null if it gave none"`
	CreatedAt     api.Time       `json:"created_at"`
	AnsweredAt    *api.Time      `json:"answered_at"`
	EndedAt       *api.Time      `json:"ended_at"`
	Duration      int            `json:"duration_seconds" doc:"The talk time, in seconds"`
}

// Register adds the operation to the API.
func (e *Endpoint) Register(a huma.API) {
	huma.Register(a, huma.Operation{OperationID: "list-all-calls", Method: http.MethodGet, Path: "/admin/calls",
		Summary: "List all users' calls", Tags: []string{"Administration"}, Security: api.Needs(account.Admin),
		Description: "Newest first. Without user_id, the calls of all users that have not ended. With user_id, every call of that user. " +
			"A page may hold fewer calls than the limit, even none, and still have a next_cursor: follow it.",
	}, e.list)
}

func (e *Endpoint) list(ctx context.Context, in *Input) (*Output, error) {
	if !in.Active && in.UserID == "" {
		return nil, fault.InvalidField("user_id", "required", "calls that have ended are listed user by user")
	}

	page, err := api.List(ctx, in.Cursor, in.UserID, in.Limit, view, func(after string, limit int) ([]call.Call, string, error) {
		if in.UserID != "" {
			return e.Calls.CallsOf(ctx, in.UserID, store.History{Bare: true}, limit, after)
		}
		return e.Calls.Going(ctx, limit, after)
	})
	if err != nil {
		return nil, err
	}
	position, err := e.Calls.CallsSwitch(ctx)
	if err != nil {
		return nil, err
	}

	return &Output{UserCallPage{CallsEnabled: position.Enabled, Data: page.Data, NextCursor: page.NextCursor}}, nil
}

func view(c call.Call) UserCall {
	v := UserCall{CallID: c.ID, UserID: c.UserID, Status: c.Status, Direction: c.Direction, PhoneNumber: c.Remote, FromNumber: c.Own,
		PhoneNumberID: c.NumberID, RoomName: c.ShownRoom(), AgentName: c.AgentName, CreatedAt: api.Time(c.CreatedAt),
		AnsweredAt: api.OrNull(c.AnsweredAt), EndedAt: api.OrNull(c.EndedAt), Duration: c.Duration()}
	if c.Cause != "" {
		v.HangupCause = &c.Cause
	}
	if c.SIPStatus != 0 {
		v.SIPStatusCode = &c.SIPStatus
	}
	return v
}

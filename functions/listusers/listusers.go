// Package listusers serves GET /admin/users.
package listusers

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/api"
)

// Users lists users with their numbers of phone numbers, requests and calls: at most limit users,
// after the position after. It knows a user who has done something or has a policy. A new
// user may be missing.
type Users interface {
	Users(ctx context.Context, limit int, after string) (users []account.User, next string, err error)
}

// Endpoint lists the platform's users for administrators.
type Endpoint struct{ Users Users }

// Input selects a page of the list.
type Input struct {
	Limit  int    `query:"limit" minimum:"1" maximum:"100" default:"25" doc:"The most users in the answer"`
	Cursor string `query:"cursor" doc:"next_cursor of the page before"`
}

// Output is the page.
type Output struct{ Body api.Page[User] }

// User is a user with their counts at this moment.
type User struct {
	UserID        string `json:"user_id" doc:"As in the sub claim of their JWTs"`
	CallsEnabled  bool   `json:"calls_enabled" doc:"Whether their policy allows calls. GET /admin/calls/switch is the switch of everybody's calls"`
	Numbers       int    `json:"phone_numbers" doc:"The numbers that they have"`
	OpenRequests  int    `json:"open_number_requests" doc:"Number requests that are pending or approved"`
	ActiveCalls   int    `json:"active_calls" doc:"Outbound calls that have not ended"`
	ActiveInbound int    `json:"active_inbound_calls" doc:"Inbound calls that have not ended"`
	CallsThisHour int    `json:"calls_this_hour" doc:"Outbound calls and transfers that began in this clock hour (UTC)"`
	LiveKeys      int    `json:"live_api_keys" doc:"API keys that are neither revoked nor expired"`
}

// Register adds the operation to the API.
func (e *Endpoint) Register(a huma.API) {
	huma.Register(a, huma.Operation{OperationID: "list-users", Method: http.MethodGet, Path: "/admin/users",
		Summary: "List the users", Tags: []string{"Administration"}, Security: api.Needs(account.Admin),
		Description: "The order means nothing. A user who has a token and has never used it is not listed.",
	}, e.list)
}

func (e *Endpoint) list(ctx context.Context, in *Input) (*Output, error) {
	view := func(u account.User) User {
		return User{UserID: u.ID, CallsEnabled: u.CallsEnabled, Numbers: u.Numbers, OpenRequests: u.OpenRequests,
			ActiveCalls: u.ActiveCalls, ActiveInbound: u.ActiveInbound, CallsThisHour: u.CallsThisHour, LiveKeys: u.LiveKeys}
	}
	page, err := api.List(ctx, in.Cursor, "", in.Limit, view, func(after string, limit int) ([]account.User, string, error) {
		return e.Users.Users(ctx, limit, after)
	})
	return &Output{page}, err
}

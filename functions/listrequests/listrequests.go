// Package listrequests serves GET /telephony/phone-number-requests.
package listrequests

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/api"
	"github.com/krosai/telephony/shared/numberrequest"
	"github.com/krosai/telephony/shared/view"
)

// Requests lists a user's requests newest first, at most limit of them, starting after
// the position after.
type Requests interface {
	RequestsOf(ctx context.Context, userID string, limit int, after string) (requests []numberrequest.Request, next string, err error)
}

// Endpoint lists the caller's requests for phone numbers.
type Endpoint struct{ Requests Requests }

// Input selects a page of the list.
type Input struct {
	Limit  int    `query:"limit" minimum:"1" maximum:"100" default:"25" doc:"The most requests in the answer"`
	Cursor string `query:"cursor" doc:"next_cursor of the page before"`
}

// Output is the page.
type Output struct{ Body api.Page[view.NumberRequest] }

// Register adds the operation to the API.
func (e *Endpoint) Register(a huma.API) {
	huma.Register(a, huma.Operation{OperationID: "list-phone-number-requests", Method: http.MethodGet,
		Path: "/telephony/phone-number-requests", Summary: "List your phone number requests", Description: "Newest first.",
		Tags: []string{"Phone number requests"}, Security: api.Needs(account.NumbersRead)}, e.list)
}

func (e *Endpoint) list(ctx context.Context, in *Input) (*Output, error) {
	page, err := api.List(ctx, in.Cursor, "", in.Limit, view.NumberRequestOf, func(after string, limit int) ([]numberrequest.Request, string, error) {
		return e.Requests.RequestsOf(ctx, api.CallerOf(ctx).UserID, limit, after)
	})
	return &Output{page}, err
}

// Package listallrequests serves GET /admin/phone-number-requests.
package listallrequests

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/api"
	"github.com/krosai/telephony/shared/numberrequest"
	"github.com/krosai/telephony/shared/view"
)

// Requests lists the requests of all users that have the given status, oldest first. It returns at
// most limit requests, from the position after on.
type Requests interface {
	RequestsWith(ctx context.Context, status numberrequest.Status, limit int, after string) (requests []numberrequest.Request, next string, err error)
}

// Endpoint lists requests for administrators.
type Endpoint struct{ Requests Requests }

// Input is a page of the list.
type Input struct {
	Status numberrequest.Status `query:"status" enum:"pending,approved,assigned,rejected" default:"pending" doc:"The status of the requests"`
	Limit  int                  `query:"limit" minimum:"1" maximum:"100" default:"25" doc:"The most requests in the answer"`
	Cursor string               `query:"cursor" doc:"next_cursor of the page before, with the same status"`
}

// Output is the page.
type Output struct{ Body api.Page[NumberRequestReview] }

// NumberRequestReview is a request with two facts that its owner does not see: the requester and
// the decider.
type NumberRequestReview struct {
	view.NumberRequest
	UserID    string    `json:"user_id" doc:"The user who asks"`
	DecidedBy *string   `json:"decided_by" doc:"The administrator who decided; null until then"`
	DecidedAt *api.Time `json:"decided_at"`
}

// Register adds the operation to the API.
func (e *Endpoint) Register(a huma.API) {
	huma.Register(a, huma.Operation{OperationID: "review-phone-number-requests", Method: http.MethodGet,
		Path: "/admin/phone-number-requests", Summary: "List phone number requests to decide on",
		Tags: []string{"Review"}, Security: api.Needs(account.Admin)}, e.list)
}

func (e *Endpoint) list(ctx context.Context, in *Input) (*Output, error) {
	page, err := api.List(ctx, in.Cursor, string(in.Status), in.Limit, show, func(after string, limit int) ([]numberrequest.Request, string, error) {
		return e.Requests.RequestsWith(ctx, in.Status, limit, after)
	})
	return &Output{page}, err
}

func show(r numberrequest.Request) NumberRequestReview {
	return NumberRequestReview{NumberRequest: view.NumberRequestOf(r), UserID: r.UserID, DecidedBy: api.TextOrNull(r.DecidedBy), DecidedAt: api.OrNull(r.DecidedAt)}
}

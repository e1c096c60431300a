// Package listinventory serves GET /admin/phone-numbers.
package listinventory

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/api"
	"github.com/krosai/telephony/shared/number"
	"github.com/krosai/telephony/shared/view"
)

// Numbers lists the numbers that are available, assigned or retired, at most limit of them,
// starting after the position after. An empty status means all. A number that has just
// changed may be missing.
type Numbers interface {
	Inventory(ctx context.Context, status string, limit int, after string) (numbers []number.Number, next string, err error)
}

// Endpoint lists the platform's phone numbers for administrators.
type Endpoint struct{ Numbers Numbers }

// Input selects a page of the list.
type Input struct {
	Status string `query:"status" enum:"available,assigned,retired" doc:"The status of the numbers. If left out, all numbers"`
	Limit  int    `query:"limit" minimum:"1" maximum:"100" default:"25" doc:"The most numbers in the answer"`
	Cursor string `query:"cursor" doc:"next_cursor of the page before, with the same status"`
}

// Output is the page.
type Output struct {
	Body api.Page[view.InventoryNumber]
}

// Register adds the operation to the API.
func (e *Endpoint) Register(a huma.API) {
	huma.Register(a, huma.Operation{OperationID: "list-inventory", Method: http.MethodGet, Path: "/admin/phone-numbers",
		Summary: "List the inventory of phone numbers", Tags: []string{"Review"}, Security: api.Needs(account.Admin)}, e.list)
}

func (e *Endpoint) list(ctx context.Context, in *Input) (*Output, error) {
	page, err := api.List(ctx, in.Cursor, in.Status, in.Limit, view.InventoryNumberOf, func(after string, limit int) ([]number.Number, string, error) {
		return e.Numbers.Inventory(ctx, in.Status, limit, after)
	})
	return &Output{page}, err
}

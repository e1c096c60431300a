// Package listnumbers serves GET /outbound-calls/phone-numbers.
package listnumbers

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/api"
	"github.com/krosai/telephony/shared/number"
)

// Numbers lists a user's numbers, at most limit of them, starting after the position after.
type Numbers interface {
	NumbersOf(ctx context.Context, userID string, limit int, after string) (numbers []number.Number, next string, err error)
}

// Endpoint lists the caller's phone numbers.
type Endpoint struct{ Numbers Numbers }

// Input selects a page of the list.
type Input struct {
	Limit  int    `query:"limit" minimum:"1" maximum:"100" default:"25" doc:"The most numbers in the answer"`
	Cursor string `query:"cursor" doc:"next_cursor of the page before"`
}

// Output is the page.
type Output struct{ Body api.Page[PhoneNumber] }

// PhoneNumber is a phone number.
type PhoneNumber struct {
	PhoneNumberID    string        `json:"phone_number_id"`
	PhoneNumber      string        `json:"phone_number" doc:"E.164"`
	Country          string        `json:"country" doc:"ISO 3166-1 alpha-2"`
	NumberType       string        `json:"number_type" enum:"local,mobile,toll_free"`
	Capabilities     []string      `json:"capabilities" enum:"inbound,outbound"`
	Status           number.Status `json:"configuration_status" enum:"unconfigured,partial,configured,error"`
	HasOutboundTrunk bool          `json:"has_outbound_trunk" doc:"Whether calls can be placed from the number"`
	HasInboundTrunk  bool          `json:"has_inbound_trunk" doc:"Whether the number accepts calls"`
	HasDispatchRule  bool          `json:"has_dispatch_rule" doc:"Whether a dispatch rule is set"`
	AssignedAt       *api.Time     `json:"assigned_at"`
}

// Register adds the operation to the API.
func (e *Endpoint) Register(a huma.API) {
	huma.Register(a, huma.Operation{OperationID: "list-phone-numbers", Method: http.MethodGet, Path: "/outbound-calls/phone-numbers",
		Summary: "List your phone numbers", Tags: []string{"Phone numbers"}, Security: api.Needs(account.NumbersRead)}, e.list)
}

func (e *Endpoint) list(ctx context.Context, in *Input) (*Output, error) {
	page, err := api.List(ctx, in.Cursor, "", in.Limit, view, func(after string, limit int) ([]number.Number, string, error) {
		return e.Numbers.NumbersOf(ctx, api.CallerOf(ctx).UserID, limit, after)
	})
	return &Output{page}, err
}

func view(n number.Number) PhoneNumber {
	return PhoneNumber{PhoneNumberID: n.ID, PhoneNumber: n.E164, Country: n.Country, NumberType: n.Type, Capabilities: n.Capabilities,
		Status: n.Configuration(), HasOutboundTrunk: n.CanCall(), HasInboundTrunk: n.Trunk != nil && n.Trunk.InboundID != "",
		HasDispatchRule: n.Rule != nil, AssignedAt: api.OrNull(n.AssignedAt)}
}

// Package addnumber serves POST /admin/phone-numbers.
package addnumber

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/api"
	"github.com/krosai/telephony/shared/number"
	"github.com/krosai/telephony/shared/numberrequest"
	"github.com/krosai/telephony/shared/validate/destination"
	"github.com/krosai/telephony/shared/view"
)

// Numbers keeps the inventory. AddNumber fails with fault.Conflict when the number is in it
// already. For a retired number the code is NUMBER_RETIRED, and RestoreNumber makes the
// number available again.
type Numbers interface {
	AddNumber(ctx context.Context, n number.Number, by string) error
	RestoreNumber(ctx context.Context, n number.Number, by string) error
}

// Endpoint adds numbers to the inventory and offers them to the requests that wait for one.
type Endpoint struct {
	Numbers  Numbers
	Requests numberrequest.Requests
	Workflow numberrequest.Workflow
	Now      func() time.Time
	Log      *slog.Logger
}

// Input is the request.
type Input struct{ Body Body }

// Body describes the number.
type Body struct {
	PhoneNumber  string   `json:"phone_number" pattern:"^\\+[1-9][0-9]{7,14}$" patternDescription:"E.164, such as +14155550100" doc:"E.164" example:"+2348012345678"`
	Country      string   `json:"country" pattern:"^[A-Z]{2}$" patternDescription:"a country as ISO 3166-1 alpha-2, such as NG" doc:"ISO 3166-1 alpha-2, the number's own" example:"NG"`
	NumberType   string   `json:"number_type" enum:"local,mobile,toll_free"`
	Capabilities []string `json:"capabilities" enum:"inbound,outbound" minItems:"1" maxItems:"2" uniqueItems:"true" doc:"The number's capabilities"`
	Provider     string   `json:"provider" doc:"The provider of the number" example:"Twilio"`
	Restore      bool     `json:"restore,omitempty" doc:"true: a retired number becomes available again, as described here"`
}

// Output is the number.
type Output struct{ Body view.InventoryNumber }

// Register adds the operation to the API.
func (e *Endpoint) Register(a huma.API) {
	huma.Register(a, huma.Operation{OperationID: "add-phone-number", Method: http.MethodPost, Path: "/admin/phone-numbers",
		DefaultStatus: http.StatusCreated, Summary: "Add a number to the inventory", Tags: []string{"Review"},
		Description: "Approved requests that wait for such a number get it at once. A retired number is a 409 NUMBER_RETIRED unless restore is true.",
		Errors:      []int{http.StatusConflict}, Security: api.Needs(account.Admin)}, e.add)
}

func (e *Endpoint) add(ctx context.Context, in *Input) (*Output, error) {
	b := in.Body
	n := number.Number{ID: number.ID(b.PhoneNumber), E164: b.PhoneNumber, Country: b.Country, Type: b.NumberType,
		Capabilities: b.Capabilities, Provider: b.Provider, UpdatedAt: e.Now()}
	if err := destination.Assignable(n); err != nil {
		return nil, err
	}

	add := e.Numbers.AddNumber
	if b.Restore {
		add = e.Numbers.RestoreNumber
	}
	if err := add(ctx, n, api.CallerOf(ctx).UserID); err != nil {
		return nil, err
	}
	if err := numberrequest.Offer(ctx, e.Requests, e.Workflow, n); err != nil {
		e.Log.Warn("number not offered, the sweep will", "http_request_id", api.RequestID(ctx), "phone_number_id", n.ID, "error", err.Error())
	}

	return &Output{view.InventoryNumberOf(n)}, nil
}

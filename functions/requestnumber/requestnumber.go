// Package requestnumber serves POST /telephony/phone-number-requests.
package requestnumber

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/api"
	"github.com/krosai/telephony/shared/fault"
	"github.com/krosai/telephony/shared/id"
	"github.com/krosai/telephony/shared/numberrequest"
	"github.com/krosai/telephony/shared/phonenumber"
	"github.com/krosai/telephony/shared/validate/destination"
	"github.com/krosai/telephony/shared/view"
)

// Requests records requests. CreateRequest fails with fault.Conflict if the number is already
// requested or owned, or if the user has an open request for the same country and type. It fails
// with fault.Limited if the user's hour is used up. The limit says how much of the hour is left,
// also beside an error that used up none.
type Requests interface {
	CreateRequest(ctx context.Context, r numberrequest.Request) (numberrequest.Request, account.Limit, error)
}

// Workflow starts the workflow that waits for the decision.
type Workflow interface {
	StartApproval(ctx context.Context, requestID string) error
}

// Endpoint takes requests for phone numbers.
type Endpoint struct {
	Requests Requests
	Workflow Workflow
	Now      func() time.Time
	Log      *slog.Logger
}

// Input is the request.
type Input struct{ Body Body }

// Body says which number is wanted.
type Body struct {
	Country      string   `json:"country,omitempty" pattern:"^[A-Z]{2}$" patternDescription:"a country as ISO 3166-1 alpha-2, such as NG" doc:"ISO 3166-1 alpha-2. Required unless a number is named" example:"NG"`
	NumberType   string   `json:"number_type,omitempty" enum:"local,mobile,toll_free" default:"local"`
	AreaCode     string   `json:"area_code,omitempty" pattern:"^[0-9]{1,6}$" patternDescription:"1 to 6 digits" doc:"The digits that the number must begin with, after the country code"`
	PhoneNumber  string   `json:"phone_number,omitempty" pattern:"^\\+[1-9][0-9]{7,14}$" patternDescription:"E.164, such as +14155550100" doc:"A certain number, E.164. If left out, any that fits" example:"+2348012345678"`
	Capabilities []string `json:"capabilities,omitempty" enum:"inbound,outbound" minItems:"1" maxItems:"2" uniqueItems:"true" doc:"The calls that the number is for. If left out, both directions"`
	Purpose      string   `json:"purpose" minLength:"1" maxLength:"500" doc:"The purpose, for the administrator who decides" example:"Order follow-up calls"`
}

// Output is the request as it was recorded.
type Output struct{ Body view.NumberRequest }

// Register adds the operation to the API.
func (e *Endpoint) Register(a huma.API) {
	huma.Register(a, huma.Operation{OperationID: "request-phone-number", Method: http.MethodPost, Path: "/telephony/phone-number-requests",
		DefaultStatus: http.StatusCreated, Summary: "Ask for a phone number", Tags: []string{"Phone number requests"},
		Description: "An administrator decides. A number is then assigned from the inventory, at once or when one is added. Read the request to see its outcome.",
		Errors:      []int{http.StatusConflict}, Security: api.Needs(account.NumbersWrite)}, e.request)
}

// request answers 201 once the request is recorded. It then starts the workflow. If that fails, the
// sweep starts the workflow.
func (e *Endpoint) request(ctx context.Context, in *Input) (*Output, error) {
	wanted, err := e.plan(ctx, in.Body)
	if err != nil {
		return nil, err
	}

	r, limit, err := e.Requests.CreateRequest(ctx, wanted)
	if limit.Name != "" {
		api.SetLimit(ctx, limit)
	}
	if err != nil {
		return nil, err
	}
	if err := e.Workflow.StartApproval(ctx, r.ID); err != nil {
		e.Log.Warn("approval not started, the sweep will", "http_request_id", api.RequestID(ctx), "number_request_id", r.ID, "error", err.Error())
	}

	return &Output{view.NumberRequestOf(r)}, nil
}

// plan turns the body into a request that may be recorded.
func (e *Endpoint) plan(ctx context.Context, b Body) (r numberrequest.Request, err error) {
	country, err := countryOf(b)
	if err != nil {
		return r, err
	}
	if strings.TrimSpace(b.Purpose) == "" {
		return r, fault.InvalidField("purpose", "too_short", "say what the number is for")
	}
	capabilities := []string{"inbound", "outbound"}
	if b.Capabilities != nil {
		capabilities = b.Capabilities
	}
	now := e.Now()
	return numberrequest.Request{ID: api.NewID(ctx, id.Request, now), UserID: api.CallerOf(ctx).UserID, Country: country, Type: b.NumberType,
		AreaCode: b.AreaCode, PhoneNumber: b.PhoneNumber, Capabilities: capabilities, Purpose: b.Purpose,
		Status: numberrequest.Pending, CreatedAt: now, UpdatedAt: now}, nil
}

// countryOf returns the country of the request. A phone number determines its own country, and the
// country in the body must agree with it.
func countryOf(b Body) (string, error) {
	if b.PhoneNumber == "" && b.Country == "" {
		return "", fault.InvalidField("country", "required", "a country or a phone number is needed")
	}
	if b.PhoneNumber == "" {
		if phonenumber.CallingCode(b.Country) == 0 {
			return "", fault.InvalidField("country", "enum", "is not the code of a country with telephone numbers")
		}
		return b.Country, nil
	}
	country, err := destination.Country("phone_number", b.PhoneNumber)
	switch {
	case fault.Is(err, fault.Forbidden):
		return "", fault.InvalidField("phone_number", "not_assignable", "numbers of this kind are not given out")
	case err != nil:
		return "", err
	case b.Country == "":
		return country, nil
	case !phonenumber.In(b.PhoneNumber, b.Country):
		return "", fault.InvalidField("country", "mismatch", "the phone number belongs to another country")
	}
	return b.Country, nil
}

package view

import (
	"github.com/krosai/telephony/shared/api"
	"github.com/krosai/telephony/shared/numberrequest"
)

// NumberRequest is a request as its owner and the administrators see it.
type NumberRequest struct {
	RequestID     string               `json:"request_id"`
	Status        numberrequest.Status `json:"status" enum:"pending,approved,assigned,rejected" doc:"pending, then approved and assigned, or rejected"`
	Country       string               `json:"country" doc:"ISO 3166-1 alpha-2"`
	NumberType    string               `json:"number_type" enum:"local,mobile,toll_free"`
	AreaCode      *string              `json:"area_code" doc:"null if any will do"`
	PhoneNumber   *string              `json:"phone_number" doc:"The requested number, E.164; null if any will do"`
	Capabilities  []string             `json:"capabilities" enum:"inbound,outbound"`
	Purpose       string               `json:"purpose"`
	Reason        *string              `json:"reason" doc:"Why the request was rejected; null unless it was"`
	PhoneNumberID *string              `json:"phone_number_id" doc:"The assigned number; null until then"`
	CreatedAt     api.Time             `json:"created_at"`
	UpdatedAt     api.Time             `json:"updated_at"`
}

// NumberRequestOf shows a request.
func NumberRequestOf(r numberrequest.Request) NumberRequest {
	return NumberRequest{RequestID: r.ID, Status: r.Status, Country: r.Country, NumberType: r.Type, AreaCode: api.TextOrNull(r.AreaCode),
		PhoneNumber: api.TextOrNull(r.PhoneNumber), Capabilities: r.Capabilities, Purpose: r.Purpose, Reason: api.TextOrNull(r.Reason),
		PhoneNumberID: api.TextOrNull(r.NumberID), CreatedAt: api.Time(r.CreatedAt), UpdatedAt: api.Time(r.UpdatedAt)}
}

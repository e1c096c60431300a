package view

import (
	"github.com/krosai/telephony/shared/api"
	"github.com/krosai/telephony/shared/number"
)

// The states of an inventory number.
const (
	Available = "available"
	Assigned  = "assigned"
	Retired   = "retired"
)

// InventoryNumber is a number as administrators see it.
type InventoryNumber struct {
	PhoneNumberID string        `json:"phone_number_id"`
	PhoneNumber   string        `json:"phone_number" doc:"E.164"`
	Country       string        `json:"country" doc:"ISO 3166-1 alpha-2"`
	NumberType    string        `json:"number_type" enum:"local,mobile,toll_free"`
	Capabilities  []string      `json:"capabilities" enum:"inbound,outbound"`
	Provider      string        `json:"provider" doc:"The provider of the number"`
	Status        string        `json:"status" enum:"available,assigned,retired"`
	UserID        *string       `json:"user_id" doc:"The owner; null without one"`
	Configuration number.Status `json:"configuration_status" enum:"unconfigured,partial,configured,error"`
	AssignedAt    *api.Time     `json:"assigned_at"`
}

// InventoryNumberOf shows a number.
func InventoryNumberOf(n number.Number) InventoryNumber {
	v := InventoryNumber{PhoneNumberID: n.ID, PhoneNumber: n.E164, Country: n.Country, NumberType: n.Type, Capabilities: n.Capabilities,
		Provider: n.Provider, Status: Available, UserID: api.TextOrNull(n.UserID), Configuration: n.Configuration(),
		AssignedAt: api.OrNull(n.AssignedAt)}
	switch {
	case n.UserID != "":
		v.Status = Assigned
	case n.Retired:
		v.Status = Retired
	}
	return v
}

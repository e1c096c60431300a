package view

import (
	"time"

	"github.com/krosai/telephony/shared/api"
	"github.com/krosai/telephony/shared/number"
)

// Configuration is a number's configuration. It never holds a password.
type Configuration struct {
	PhoneNumberID string        `json:"phone_number_id"`
	PhoneNumber   string        `json:"phone_number" doc:"E.164"`
	Status        number.Status `json:"configuration_status" enum:"unconfigured,partial,configured,error" doc:"error: the last change stopped half way. Configuring the number again repairs it"`
	Trunk         *Trunk        `json:"sip_trunk" doc:"null without one"`
	DispatchRule  *DispatchRule `json:"dispatch_rule" doc:"null without one"`
	UpdatedAt     *api.Time     `json:"updated_at"`
}

// Trunk is the SIP trunk of a number.
type Trunk struct {
	Name               string   `json:"name"`
	Address            string   `json:"address"`
	Numbers            []string `json:"numbers"`
	AuthUsername       string   `json:"auth_username"`
	HasAuthPassword    bool     `json:"has_auth_password" doc:"Whether a password is set. It is never shown"`
	DestinationCountry string   `json:"destination_country"`
	Transport          string   `json:"transport" enum:"auto,udp,tcp,tls"`
	Directions         []string `json:"directions" enum:"outbound,inbound"`
	AllowedAddresses   []string `json:"allowed_addresses"`
	OutboundTrunkID    *string  `json:"outbound_trunk_id" doc:"LiveKit's id; null without outbound calls"`
	InboundTrunkID     *string  `json:"inbound_trunk_id" doc:"LiveKit's id; null without inbound calls"`
}

// DispatchRule is the dispatch rule for inbound calls.
type DispatchRule struct {
	RuleName       string  `json:"rule_name"`
	RoomPrefix     string  `json:"room_prefix"`
	AgentName      string  `json:"agent_name"`
	DispatchRuleID *string `json:"dispatch_rule_id" doc:"LiveKit's id; null until the trunk takes inbound calls"`
	MaxConcurrent  *int    `json:"max_concurrent_inbound" doc:"How many inbound calls the number accepts at a time; null: as many as the account may have"`
	MaxDuration    int     `json:"max_duration_seconds" doc:"The longest talk time of an inbound call, in seconds"`
}

// ConfigurationOf returns the view of a number's configuration.
func ConfigurationOf(n number.Number) Configuration {
	v := Configuration{PhoneNumberID: n.ID, PhoneNumber: n.E164, Status: n.Configuration()}
	if t := n.Trunk; t != nil {
		v.Trunk = &Trunk{Name: t.Name, Address: t.Address, Numbers: list(t.Numbers), AuthUsername: t.AuthUsername,
			HasAuthPassword: t.HasAuthPassword, DestinationCountry: t.DestinationCountry, Transport: t.Transport,
			Directions: list(t.Directions), AllowedAddresses: list(t.AllowedAddresses),
			OutboundTrunkID: api.TextOrNull(t.OutboundID), InboundTrunkID: api.TextOrNull(t.InboundID)}
	}
	if r := n.Rule; r != nil {
		v.DispatchRule = &DispatchRule{RuleName: r.Name, RoomPrefix: r.RoomPrefix, AgentName: r.AgentName, DispatchRuleID: api.TextOrNull(r.ID),
			MaxConcurrent: countOrNull(r.MaxConcurrent), MaxDuration: r.InboundSeconds()}
	}
	v.UpdatedAt = api.OrNull(n.UpdatedAt.Truncate(time.Millisecond))
	return v
}

func list(s []string) []string {
	if s == nil {
		return []string{}
	}
	return s
}

func countOrNull(n int) *int {
	if n == 0 {
		return nil
	}
	return &n
}

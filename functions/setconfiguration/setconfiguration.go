// Package setconfiguration serves POST /outbound-calls/phone-numbers/{phone_number_id}/configure.
package setconfiguration

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/api"
	"github.com/krosai/telephony/shared/id"
	"github.com/krosai/telephony/shared/invocation"
	"github.com/krosai/telephony/shared/livekit"
	"github.com/krosai/telephony/shared/number"
	"github.com/krosai/telephony/shared/numberconfig"
	"github.com/krosai/telephony/shared/secret"
	"github.com/krosai/telephony/shared/view"
)

// Numbers reads a user's numbers. Another user's number is fault.NotFound.
type Numbers interface {
	Number(ctx context.Context, userID, id string) (number.Number, error)
}

// Limits counts configurations against a user's hour. SpendConfiguration fails with fault.Limited
// when the hour is used up, and returns the hour with that error. It fails with fault.Forbidden for
// an agent that the user may not use. An empty agent is not checked.
type Limits interface {
	SpendConfiguration(ctx context.Context, userID, agent string, at time.Time) (account.Limit, error)
	GiveBackConfiguration(ctx context.Context, userID string, at time.Time) error
}

// Carriers checks a trunk's address and the IP addresses that it resolves to. It refuses
// with fault.Invalid.
type Carriers interface {
	Check(ctx context.Context, field, address string) error
}

// Endpoint connects a number to a SIP carrier and an agent. It applies all of a request or nothing,
// handles one request at a time per number, and may be repeated after any failure.
type Endpoint struct {
	Numbers       Numbers
	Limits        Limits
	Configurer    *numberconfig.Configurer
	Carriers      Carriers
	Now           func() time.Time
	AllowLoopback bool // accept calls from this machine, for the laptop's carrier
}

// Input is the request.
type Input struct {
	PhoneNumberID string `path:"phone_number_id" doc:"The phone number"`
	Body          Body
}

// Body is the configuration. A part that is left out stays unchanged.
type Body struct {
	Trunk *TrunkSettings        `json:"sip_trunk,omitempty" doc:"The carrier. It replaces the previous trunk, except a password that is left out"`
	Rule  *DispatchRuleSettings `json:"dispatch_rule,omitempty" doc:"How inbound calls are handled. Without a trunk for inbound calls the rule waits for one"`
}

// TrunkSettings is the SIP carrier side of the number.
type TrunkSettings struct {
	Name               string        `json:"name" minLength:"1" maxLength:"64" doc:"A name for people to read"`
	Address            string        `json:"address,omitempty" maxLength:"260" doc:"The carrier's public host name, with a port unless it is the usual one. Required for outbound calls" example:"krosai.pstn.twilio.com"`
	Numbers            []string      `json:"numbers,omitempty" maxItems:"50" doc:"The caller ids that the trunk may show: your own numbers, this one among them. If left out, only this one"`
	AuthUsername       string        `json:"auth_username,omitempty" doc:"The user name for digest authentication"`
	AuthPassword       secret.Secret `json:"auth_password,omitempty" writeOnly:"true" doc:"The password. It is never shown. If left out, the present password stays as long as the address stays the same"`
	DestinationCountry string        `json:"destination_country,omitempty" pattern:"^[A-Z]{2}$" patternDescription:"a country as ISO 3166-1 alpha-2, such as NG" doc:"The country that most calls go to, ISO 3166-1 alpha-2. LiveKit then calls from nearby. It permits nothing"`
	Transport          string        `json:"transport,omitempty" enum:"auto,udp,tcp,tls" default:"auto" doc:"The transport of SIP"`
	Directions         []string      `json:"directions,omitempty" enum:"outbound,inbound" minItems:"1" maxItems:"2" uniqueItems:"true" doc:"The calls that the trunk carries. If left out, all that the number is capable of"`
	AllowedAddresses   []string      `json:"allowed_addresses,omitempty" maxItems:"50" doc:"The public addresses or networks that inbound calls may come from. If left out, inbound calls authenticate with the user name and password"`
}

// DispatchRuleSettings decides what happens to inbound calls: each gets a room and an agent.
type DispatchRuleSettings struct {
	RuleName   string `json:"rule_name" minLength:"1" maxLength:"64" doc:"A name for people to read"`
	RoomPrefix string `json:"room_prefix,omitempty" default:"inbound-" doc:"The prefix of the rooms' names, after your own namespace"`
	AgentName  string `json:"agent_name" doc:"The LiveKit agent that takes the calls. The account must be allowed to use it"`

	MaxConcurrent int `json:"max_concurrent_inbound,omitempty" minimum:"1" maximum:"1000" doc:"How many inbound calls the number accepts at a time. If left out, as many as the account may have. One more ends at once as failed, with the cause capacity"`
	MaxDuration   int `json:"max_duration_seconds,omitempty" minimum:"10" maximum:"14400" default:"14400" doc:"The longest talk time of an inbound call, in seconds"`
}

// Output is the resulting configuration.
type Output struct{ Body view.Configuration }

// spareTime is kept for giving the lease back if the hour is used up, and giveTime for giving the
// hour's count back after a failure.
const (
	spareTime = 3 * time.Second
	giveTime  = 2 * time.Second
)

// Longest is how long a configuration that fails late takes at most, from the start of the work to
// the last record.
const Longest = numberconfig.Longest + giveTime

// Register adds the operation to the API.
func (e *Endpoint) Register(a huma.API) {
	huma.Register(a, huma.Operation{OperationID: "configure-phone-number", Method: http.MethodPost, DefaultStatus: http.StatusOK,
		Path: "/outbound-calls/phone-numbers/{phone_number_id}/configure", Summary: "Connect a number to a carrier and an agent",
		Description: "The configuration is applied as a whole or not at all. Calls in progress go on. A dispatch rule may be set before the trunk.",
		Tags:        []string{"Phone numbers"}, Security: api.Needs(account.NumbersWrite)}, e.configure)
}

func (e *Endpoint) configure(ctx context.Context, in *Input) (*Output, error) {
	if err := id.Number.Check(in.PhoneNumberID); err != nil {
		return nil, err
	}
	if err := e.check(ctx, in.Body); err != nil {
		return nil, err
	}
	lease, err := e.Configurer.Lease(ctx, api.CallerOf(ctx).UserID, in.PhoneNumberID)
	if err != nil {
		return nil, err
	}

	at := e.Now()
	hour, err := e.spend(ctx, lease, in.Body, at)
	if err != nil {
		return nil, err
	}
	working, cancel := invocation.Leave(ctx, giveTime)
	defer cancel()
	after, err := e.Configurer.Configure(working, lease, e.change(in.Body))
	if err != nil {
		return nil, e.giveBack(ctx, lease.Number, hour, at, err)
	}

	return &Output{view.ConfigurationOf(after)}, nil
}

// spend counts the configuration before the first request to LiveKit, and checks that the user
// may use the agent.
func (e *Endpoint) spend(ctx context.Context, l numberconfig.Lease, b Body, at time.Time) (account.Limit, error) {
	agent := ""
	if b.Rule != nil {
		agent = b.Rule.AgentName
	}
	spending, cancel := invocation.Leave(ctx, spareTime)
	defer cancel()
	hour, err := e.Limits.SpendConfiguration(spending, l.Number.UserID, agent, at)
	api.SetLimit(ctx, hour)
	if err != nil {
		return hour, e.Configurer.Release(ctx, l, err)
	}
	return hour, nil
}

// giveBack removes the failed configuration from the hour's count and returns cause.
func (e *Endpoint) giveBack(ctx context.Context, n number.Number, hour account.Limit, at time.Time, cause error) error {
	hour.Used--
	api.SetLimit(ctx, hour)
	ctx, cancel := invocation.Finish(ctx, giveTime)
	defer cancel()
	return errors.Join(cause, e.Limits.GiveBackConfiguration(ctx, n.UserID, at))
}

// change is the change that a request asks for.
func (e *Endpoint) change(b Body) numberconfig.Change {
	return numberconfig.Change{
		Merge: func(ctx context.Context, before number.Number) (number.Number, error) { return e.merge(ctx, before, b) },
		Desired: func(before number.Number, after *number.Number, have livekit.SIPConfiguration) (livekit.Desired, error) {
			if err := keepPassword(before, after, b, have); err != nil {
				return livekit.Desired{}, err
			}
			return desired(*after, b), nil
		},
	}
}

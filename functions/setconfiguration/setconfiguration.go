// Package setconfiguration serves POST /outbound-calls/phone-numbers/{phone_number_id}/configure.
package setconfiguration

import (
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/api"
	"github.com/krosai/telephony/shared/invocation"
	"github.com/krosai/telephony/shared/livekit"
	"github.com/krosai/telephony/shared/number"
	"github.com/krosai/telephony/shared/secret"
	"github.com/krosai/telephony/shared/view"
)

// Numbers reads, leases, saves and releases a user's numbers. Another user's number is
// fault.NotFound. LeaseNumber fails with fault.Conflict while another request has the lease.
// SaveConfiguration gives the lease back, and fails with fault.Conflict when the lease was lost.
type Numbers interface {
	Number(ctx context.Context, userID, id string) (number.Number, error)
	LeaseNumber(ctx context.Context, userID, id, owner string, ttl time.Duration) (number.Number, error)
	SaveConfiguration(ctx context.Context, n number.Number, owner string) error
	ReleaseNumber(ctx context.Context, n number.Number, owner string) error
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

// LiveKit reads and changes what LiveKit holds for a number.
type LiveKit interface {
	SIPConfiguration(ctx context.Context, n number.Number) (livekit.SIPConfiguration, error)
	Apply(ctx context.Context, have livekit.SIPConfiguration, want livekit.Desired) (livekit.SIPConfiguration, error)
	Restore(ctx context.Context, before livekit.SIPConfiguration) (livekit.SIPConfiguration, error)
}

// Endpoint connects a number to a SIP carrier and an agent. It applies all of a request or nothing,
// handles one request at a time per number, and may be repeated after any failure.
type Endpoint struct {
	Numbers       Numbers
	Limits        Limits
	LiveKit       LiveKit
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

// The lease outlives the longest request. The work leaves time before the deadline for the steps
// after it: undoing the changes, recording the result, and giving the hour's count back.
const (
	leaseTime = time.Minute
	workTime  = 12 * time.Second
	undoTime  = 6 * time.Second
	saveTime  = 3 * time.Second
	giveTime  = 2 * time.Second
)

// Longest is how long a configuration that fails late takes at most, from the start of the work
// to the last record.
const Longest = workTime + undoTime + saveTime + giveTime

// Register adds the operation to the API.
func (e *Endpoint) Register(a huma.API) {
	huma.Register(a, huma.Operation{OperationID: "configure-phone-number", Method: http.MethodPost, DefaultStatus: http.StatusOK,
		Path: "/outbound-calls/phone-numbers/{phone_number_id}/configure", Summary: "Connect a number to a carrier and an agent",
		Description: "The configuration is applied as a whole or not at all. Calls in progress go on. A dispatch rule may be set before the trunk.",
		Tags:        []string{"Phone numbers"}, Security: api.Needs(account.NumbersWrite)}, e.configure)
}

func (e *Endpoint) configure(ctx context.Context, in *Input) (*Output, error) {
	if err := api.ID("pn_", in.PhoneNumberID, "phone number"); err != nil {
		return nil, err
	}
	if err := e.check(ctx, in.Body); err != nil {
		return nil, err
	}
	owner := rand.Text()
	leasing, cancel := invocation.Leave(ctx, saveTime)
	defer cancel()
	n, err := e.Numbers.LeaseNumber(leasing, api.CallerOf(ctx).UserID, in.PhoneNumberID, owner, leaseTime)
	if err != nil {
		return nil, err
	}

	at := e.Now()
	hour, err := e.spend(ctx, n, in.Body, owner, at)
	if err != nil {
		return nil, err
	}
	after, err := e.wire(ctx, n, in.Body, owner)
	if err != nil {
		return nil, e.giveBack(ctx, n, hour, at, err)
	}

	return &Output{view.ConfigurationOf(after)}, nil
}

// spend counts the configuration before the first request to LiveKit, and checks that the user
// may use the agent.
func (e *Endpoint) spend(ctx context.Context, n number.Number, b Body, owner string, at time.Time) (account.Limit, error) {
	agent := ""
	if b.Rule != nil {
		agent = b.Rule.AgentName
	}
	spending, cancel := invocation.Leave(ctx, saveTime)
	defer cancel()
	hour, err := e.Limits.SpendConfiguration(spending, n.UserID, agent, at)
	api.SetLimit(ctx, hour)
	if err != nil {
		return hour, e.release(ctx, n, owner, err)
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

// wire is the saga. It changes nothing before every check has passed. If a change in LiveKit fails,
// undo restores what LiveKit held. If the function crashes or the record cannot be saved, the lease
// expires and the number shows the status error. The next request finds what was left behind and
// continues from there.
func (e *Endpoint) wire(ctx context.Context, n number.Number, b Body, owner string) (number.Number, error) {
	ctx, cancel := invocation.Leave(ctx, giveTime)
	defer cancel()
	work, cancel := invocation.Leave(ctx, undoTime+saveTime)
	defer cancel()
	work, cancel = context.WithTimeout(work, workTime)
	defer cancel()
	after, err := e.merge(work, n, b)
	if err != nil {
		return n, e.release(ctx, n, owner, err)
	}
	have, err := e.LiveKit.SIPConfiguration(work, n)
	if err == nil {
		err = keepPassword(n, &after, b, have)
	}
	if err != nil {
		return n, e.release(ctx, n, owner, err)
	}
	done, err := e.LiveKit.Apply(work, have, wanted(after, b))
	if err != nil {
		return n, e.undo(ctx, n, have, owner, err)
	}
	setIDs(&after, done)
	after.Fault, after.UpdatedAt = false, e.Now()
	save, cancel := invocation.Finish(ctx, saveTime)
	defer cancel()
	return after, e.Numbers.SaveConfiguration(save, after, owner)
}

// release gives the lease back when nothing was changed, and returns cause.
func (e *Endpoint) release(ctx context.Context, n number.Number, owner string, cause error) error {
	ctx, cancel := invocation.Finish(ctx, saveTime)
	defer cancel()
	return errors.Join(cause, e.Numbers.ReleaseNumber(ctx, n, owner))
}

// undo restores what LiveKit held before and records the restored ids. If LiveKit cannot be
// restored, undo marks the number as faulty, and configuring it again repairs it.
func (e *Endpoint) undo(ctx context.Context, n number.Number, before livekit.SIPConfiguration, owner string, cause error) error {
	undoing, cancel := invocation.Leave(ctx, saveTime)
	defer cancel()
	back, cancel := invocation.Finish(undoing, undoTime)
	defer cancel()
	restored, err := e.LiveKit.Restore(back, before)
	if err != nil {
		n.Fault = true
	} else {
		setIDs(&n, restored)
	}
	save, cancel := invocation.Finish(ctx, saveTime)
	defer cancel()
	return errors.Join(cause, err, e.Numbers.SaveConfiguration(save, n, owner))
}

// setIDs records LiveKit's ids.
func setIDs(n *number.Number, w livekit.SIPConfiguration) {
	if n.Trunk != nil {
		trunk := *n.Trunk
		trunk.OutboundID, trunk.InboundID = w.OutboundID(), w.InboundID()
		n.Trunk = &trunk
	}
	if n.Rule != nil {
		rule := *n.Rule
		rule.ID = w.RuleID()
		n.Rule = &rule
	}
}

// Package removeconfiguration serves
// DELETE /outbound-calls/phone-numbers/{phone_number_id}/configuration.
package removeconfiguration

import (
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/api"
	"github.com/krosai/telephony/shared/livekit"
	"github.com/krosai/telephony/shared/number"
)

// Numbers leases, saves and releases a user's number. LeaseNumber fails with
// fault.NotFound for another's number and with fault.Conflict while another
// request has the lease; SaveConfiguration gives the lease back.
type Numbers interface {
	LeaseNumber(ctx context.Context, userID, id, owner string, ttl time.Duration) (number.Number, error)
	SaveConfiguration(ctx context.Context, n number.Number, owner string) error
	ReleaseNumber(ctx context.Context, n number.Number, owner string) error
}

// LiveKit reads and changes what LiveKit holds for a number.
type LiveKit interface {
	Wiring(ctx context.Context, n number.Number) (livekit.Wiring, error)
	Apply(ctx context.Context, have livekit.Wiring, want livekit.Wanted) (livekit.Wiring, error)
}

// Endpoint takes a number's configuration away, wholly or in part. Calls in
// progress go on. It may be repeated: what is gone is no error, and what an
// interrupted request left behind goes too.
type Endpoint struct {
	Numbers Numbers
	LiveKit LiveKit
	Now     func() time.Time
}

// Input says what to remove.
type Input struct {
	PhoneNumberID string `path:"phone_number_id" doc:"The phone number"`
	ConfigType    string `query:"config_type" required:"true" enum:"sip_trunk,dispatch_rule,all" doc:"What to remove. Without its trunk a dispatch rule waits for the next one"`
}

// Output is what was removed.
type Output struct{ Body View }

// View says what was removed and what is left.
type View struct {
	PhoneNumberID string        `json:"phone_number_id"`
	Removed       []string      `json:"removed" doc:"Of dispatch_rule, inbound_trunk and outbound_trunk those that were there"`
	Status        number.Status `json:"configuration_status" enum:"unconfigured,partial,configured,error"`
}

// The lease outlives the longest request, and the work stops before the API
// gives up at 30 s.
const (
	leaseTime = time.Minute
	workTime  = 18 * time.Second
	saveTime  = 5 * time.Second
)

// Register adds the operation to the API.
func (e *Endpoint) Register(a huma.API) {
	huma.Register(a, huma.Operation{OperationID: "remove-phone-number-configuration", Method: http.MethodDelete,
		Path: "/outbound-calls/phone-numbers/{phone_number_id}/configuration", Summary: "Remove a number's configuration",
		Description: "Removing what is not there is no error. Calls in progress go on.",
		Tags:        []string{"Phone numbers"}, Security: api.Needs(account.NumbersWrite)}, e.remove)
}

func (e *Endpoint) remove(ctx context.Context, in *Input) (*Output, error) {
	if err := api.ID("pn_", in.PhoneNumberID, "phone number"); err != nil {
		return nil, err
	}
	owner := rand.Text()
	n, err := e.Numbers.LeaseNumber(ctx, api.CallerOf(ctx).UserID, in.PhoneNumberID, owner, leaseTime)
	if err != nil {
		return nil, err
	}

	after, removed, err := e.unwire(ctx, n, in.ConfigType, owner)
	if err != nil {
		return nil, err
	}

	return &Output{View{PhoneNumberID: n.ID, Removed: removed, Status: after.Configuration()}}, nil
}

// unwire removes at LiveKit and then in the record. If LiveKit fails half way
// the number is marked, and removing again goes on from there.
func (e *Endpoint) unwire(ctx context.Context, n number.Number, what, owner string) (number.Number, []string, error) {
	work, cancel := context.WithTimeout(ctx, workTime)
	defer cancel()
	have, err := e.LiveKit.Wiring(work, n)
	if err != nil {
		save, cancel := context.WithTimeout(context.WithoutCancel(ctx), saveTime)
		defer cancel()
		return n, nil, errors.Join(err, e.Numbers.ReleaseNumber(save, n, owner))
	}
	after, want, removed := plan(n, have, what)
	_, err = e.LiveKit.Apply(work, have, want)
	if err != nil {
		after = n
		after.Fault = true
	}
	after.UpdatedAt = e.Now()
	save, cancel := context.WithTimeout(context.WithoutCancel(ctx), saveTime)
	defer cancel()
	return after, removed, errors.Join(err, e.Numbers.SaveConfiguration(save, after, owner))
}

// plan says what the number will be, what LiveKit is to hold for it then, and
// which parts go.
func plan(n number.Number, have livekit.Wiring, what string) (after number.Number, want livekit.Wanted, removed []string) {
	after, removed = n, []string{}
	if what != "sip_trunk" {
		if n.Rule != nil || have.RuleID() != "" {
			removed = append(removed, "dispatch_rule")
		}
		after.Rule = nil
	}
	if what != "dispatch_rule" {
		if have.InboundID() != "" || n.Trunk != nil && n.Trunk.InboundID != "" {
			removed = append(removed, "inbound_trunk")
		}
		if have.OutboundID() != "" || n.CanCall() {
			removed = append(removed, "outbound_trunk")
		}
		after.Trunk, want.Trunks = nil, &livekit.Trunks{}
		if n.Rule != nil && after.Rule != nil { // it waits for the next trunk
			rule := *n.Rule
			rule.ID = ""
			after.Rule = &rule
		}
	}
	after.Fault = n.Fault && what != "all" // nothing is left to be at fault
	return after, want, removed
}

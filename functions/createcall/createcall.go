// Package createcall serves POST /outbound-calls/create.
package createcall

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/api"
	"github.com/krosai/telephony/shared/call"
	"github.com/krosai/telephony/shared/fault"
	"github.com/krosai/telephony/shared/id"
	"github.com/krosai/telephony/shared/invocation"
	"github.com/krosai/telephony/shared/number"
	"github.com/krosai/telephony/shared/store"
	"github.com/krosai/telephony/shared/validate"
	"github.com/krosai/telephony/shared/validate/destination"
)

// Calls records calls. CallPermit reads one of the caller's own numbers and the caller's permit at
// this moment. Another user's number is fault.NotFound. CreateCall writes the call, its idempotency
// key and its share of the caller's limits in one transaction. Replay finds the call that an
// earlier request with the same key created. RefuseCall ends the call, gives back what it used of
// the limits and forgets the key.
type Calls interface {
	CallPermit(ctx context.Context, userID, numberID string) (number.Number, store.Permit, error)
	CreateCall(ctx context.Context, c call.Call, may store.Permit, once store.Once) (made call.Call, replayed bool, hour account.Limit, err error)
	Replay(ctx context.Context, once store.Once) (call.Call, bool, error)
	RefuseCall(ctx context.Context, c call.Call, end call.End, once store.Once) (call.Call, error)
}

// Numbers lists the caller's own numbers.
type Numbers interface {
	NumbersOf(ctx context.Context, userID string, limit int, after string) (numbers []number.Number, next string, err error)
}

// Workflow starts the workflow that places the call.
type Workflow interface {
	StartCall(ctx context.Context, callID string) error
}

// Endpoint accepts outbound calls. It records them and starts their workflow. It makes no
// requests to LiveKit.
type Endpoint struct {
	Calls    Calls
	Numbers  Numbers
	Workflow Workflow
	Now      func() time.Time
	Places   int // how many phones the deployment can call at a time, or 0 if that is unknown
}

// share is how many active calls a user may have before more are refused while dials wait for a
// place: a quarter of the places.
func (e *Endpoint) share() int {
	if e.Places == 0 {
		return 4
	}
	return max(2, e.Places/4)
}

// Input is the request.
type Input struct{ Body Body }

// Body describes the call to place.
type Body struct {
	PhoneNumber    string            `json:"phone_number" pattern:"^\\+[1-9][0-9]{7,14}$" patternDescription:"E.164, such as +14155550100" doc:"The number to call, E.164" example:"+14155550100"`
	PhoneNumberID  string            `json:"phone_number_id,omitempty" doc:"The number to call from. If left out, your only configured one"`
	SystemPrompt   string            `json:"system_prompt,omitempty" doc:"The agent's instructions, at most 16 KiB"`
	WelcomeMessage string            `json:"welcome_message,omitempty" doc:"The agent's first sentence, at most 1 KiB"`
	AgentName      string            `json:"agent_name,omitempty" doc:"The LiveKit agent that talks. If left out, the number's own"`
	Voice          *call.Voice       `json:"voice,omitempty" doc:"How the agent speaks"`
	Metadata       map[string]string `json:"metadata,omitempty" doc:"Up to 50 strings of your own. The agent and the call's details get them"`
	DTMF           string            `json:"dtmf,omitempty" pattern:"^[0-9A-D*#w]{1,64}$" patternDescription:"1 to 64 of 0 to 9, A to D, * and #, and w for a pause" doc:"Digits to send when the phone is answered, at most 64. w waits half a second" example:"ww42#"`
	RingingTimeout int               `json:"ringing_timeout_seconds,omitempty" minimum:"5" maximum:"80" default:"30" doc:"How long the phone may ring, in seconds"`
	MaxDuration    int               `json:"max_duration_seconds,omitempty" minimum:"10" maximum:"14400" default:"1800" doc:"The longest talk time, in seconds"`
}

// Output is the call as it was accepted.
type Output struct {
	Replayed string `header:"Idempotency-Replayed" doc:"true when this is the answer to an earlier request with the same key"`
	Body     AcceptedCall
}

// AcceptedCall is a call as it is accepted.
type AcceptedCall struct {
	CallID        string         `json:"call_id"`
	Status        call.Status    `json:"status" enum:"initiated"`
	Direction     call.Direction `json:"direction" enum:"outbound"`
	PhoneNumber   string         `json:"phone_number"`
	FromNumber    string         `json:"from_number"`
	PhoneNumberID string         `json:"phone_number_id"`
	RoomName      string         `json:"room_name"`
	CreatedAt     api.Time       `json:"created_at"`
}

// Register adds the operation to the API.
func (e *Endpoint) Register(a huma.API) {
	huma.Register(a, huma.Operation{OperationID: "create-call", Method: http.MethodPost, Path: "/outbound-calls/create",
		DefaultStatus: http.StatusCreated, Summary: "Place an outbound call", Tags: []string{"Calls"},
		Description: "The call is recorded at once and placed in the background. Read its details to see its outcome.",
		Security:    api.Needs(account.CallsWrite), Metadata: map[string]any{api.OwnIdempotency: true}}, e.create)
}

func (e *Endpoint) create(ctx context.Context, in *Input) (*Output, error) {
	user, once := api.CallerOf(ctx).UserID, api.OnceOf(ctx)

	c, may, err := e.plan(ctx, user, in.Body)
	if err != nil {
		return e.earlier(ctx, once, err)
	}
	made, replayed, hour, err := e.record(ctx, c, may, once)
	api.SetLimit(ctx, hour)
	switch {
	case fault.Is(err, fault.Forbidden):
		return e.earlier(ctx, once, err)
	case err != nil:
		return nil, err
	}
	api.LogCall(ctx, made.ID)
	if made.Status == call.Initiated {
		if err := e.start(ctx, made, once); err != nil {
			api.SetLimit(ctx, may.Hour())
			return nil, err
		}
	}
	return answer(made, replayed), nil
}

// plan turns the request into a call that may be placed from one of the user's numbers, and returns
// the user's permit.
func (e *Endpoint) plan(ctx context.Context, user string, b Body) (c call.Call, may store.Permit, err error) {
	country, err := check(b)
	if err != nil {
		return c, may, err
	}
	n, may, err := e.from(ctx, user, b.PhoneNumberID)
	if err != nil {
		return c, may, err
	}
	agent := b.AgentName
	if agent == "" && n.Rule != nil {
		agent = n.Rule.AgentName
	}
	if agent == "" {
		return c, may, fault.InvalidField("agent_name", "required", "the number has no agent of its own: name one")
	}
	if err := cmp.Or(may.Allow(b.PhoneNumber, country, agent), may.Room(e.share())); err != nil {
		return c, may, err
	}
	callID := id.Call.New(e.Now())
	return call.Call{ID: callID, UserID: user, Direction: call.Outbound, Remote: b.PhoneNumber, Own: n.E164,
		NumberID: n.ID, RoomName: callID, TrunkID: n.Trunk.OutboundID, AgentName: agent, Country: country,
		SystemPrompt: b.SystemPrompt, WelcomeMessage: b.WelcomeMessage, Voice: b.Voice, Metadata: b.Metadata, DTMF: b.DTMF,
		RingingTimeout: b.RingingTimeout, MaxDuration: b.MaxDuration,
		Status: call.Initiated, CreatedAt: e.Now()}, may, nil
}

// check refuses what no account may ask for and returns the country of the number to call.
func check(b Body) (country string, err error) {
	if country, err = destination.Country("phone_number", b.PhoneNumber); err != nil {
		return "", err
	}
	if len(b.SystemPrompt) > 16<<10 {
		return "", fault.InvalidField("system_prompt", "too_long", "at most 16384 bytes")
	}
	if len(b.WelcomeMessage) > 1<<10 {
		return "", fault.InvalidField("welcome_message", "too_long", "at most 1024 bytes")
	}
	if len(b.Metadata) > 50 {
		return "", fault.InvalidField("metadata", "too_long", "at most 50 entries")
	}
	for k, v := range b.Metadata {
		if len(k) == 0 || len(k) > 64 || len(v) > 512 {
			return "", fault.InvalidField("metadata", "too_long", "names have 1 to 64 bytes, values at most 512")
		}
	}
	if b.AgentName != "" {
		err = validate.AgentName("agent_name", b.AgentName)
	}
	return country, err
}

// from finds the number to call from and the user's permit. It sets the rate limit of the answer as
// soon as the hour is known.
func (e *Endpoint) from(ctx context.Context, user, numberID string) (n number.Number, may store.Permit, err error) {
	if numberID != "" {
		if err := id.Number.Check(numberID); err != nil {
			return n, may, err
		}
	} else if n, err = e.only(ctx, user); err != nil {
		return n, may, err
	}
	named, may, err := e.Calls.CallPermit(ctx, user, numberID)
	api.SetLimit(ctx, may.Hour())
	if numberID == "" {
		may.Home = n.Country
		return n, may, err
	}
	if err == nil && !named.CanCall() {
		err = fault.New(fault.Conflict, "NUMBER_NOT_CONFIGURED", "the number has no SIP trunk for outbound calls: configure one first")
	}
	return named, may, err
}

// only returns the user's only number that can call.
func (e *Endpoint) only(ctx context.Context, user string) (number.Number, error) {
	able, err := e.able(ctx, user)
	if err != nil {
		return number.Number{}, err
	}
	switch len(able) {
	case 0:
		return number.Number{}, fault.New(fault.Conflict, "NUMBER_NOT_CONFIGURED", "none of your numbers has a SIP trunk for outbound calls: configure one first")
	case 1:
		return able[0], nil
	}
	return number.Number{}, fault.InvalidField("phone_number_id", "required", "several of your numbers can call: say which")
}

// able lists the user's numbers that can call. If there are several, it may stop after two.
func (e *Endpoint) able(ctx context.Context, user string) (able []number.Number, err error) {
	for after, more := "", true; more && len(able) < 2; more = after != "" {
		var page []number.Number
		if page, after, err = e.Numbers.NumbersOf(ctx, user, 100, after); err != nil {
			return nil, err
		}
		for _, n := range page {
			if n.CanCall() {
				able = append(able, n)
			}
		}
	}
	return able, nil
}

// The time reserved for starting the workflow of a recorded call, and then for ending the call if
// its workflow could not be started.
const (
	startTime  = 3 * time.Second
	refuseTime = 3 * time.Second
)

// Kept is the time that must be left before the deadline when a call has been recorded.
const Kept = startTime + refuseTime

// record creates the call and leaves enough time to start its workflow.
func (e *Endpoint) record(ctx context.Context, c call.Call, may store.Permit, once store.Once) (call.Call, bool, account.Limit, error) {
	ctx, cancel := invocation.Leave(ctx, Kept)
	defer cancel()
	return e.Calls.CreateCall(ctx, c, may, once)
}

// start starts the workflow. If that fails, it ends the call at once. Then no phone rings long
// after the caller was told that the call failed, and the request may be sent again. If the call
// has moved on, only the reply was lost and the workflow is running.
func (e *Endpoint) start(ctx context.Context, c call.Call, once store.Once) error {
	starting, cancel := invocation.Leave(ctx, refuseTime)
	defer cancel()
	err := e.Workflow.StartCall(starting, c.ID)
	if err == nil {
		return nil
	}
	ctx, cancel = invocation.Finish(ctx, refuseTime)
	defer cancel()
	end := c.NeverDialed(call.NetworkError, e.Now())
	switch _, e2 := e.Calls.RefuseCall(ctx, c, end, once); {
	case fault.Is(e2, fault.Conflict):
		return nil
	case e2 != nil:
		return fmt.Errorf("%w (and the call could not be ended: %w)", err, e2)
	}
	return err
}

// earlier handles a request that would be refused now. If a request with the same key was accepted
// before, it repeats that answer.
func (e *Endpoint) earlier(ctx context.Context, once store.Once, refusal error) (*Output, error) {
	c, found, err := e.Calls.Replay(ctx, once)
	if err != nil || !found {
		return nil, cmp.Or(err, refusal)
	}
	return answer(c, true), nil
}

// answer shows the call as it was when it was accepted, so that a repeated request gets the
// first answer again.
func answer(c call.Call, replayed bool) *Output {
	out := &Output{Body: AcceptedCall{CallID: c.ID, Status: call.Initiated, Direction: c.Direction, PhoneNumber: c.Remote,
		FromNumber: c.Own, PhoneNumberID: c.NumberID, RoomName: c.RoomName, CreatedAt: api.Time(c.CreatedAt)}}
	if replayed {
		out.Replayed = "true"
	}
	return out
}

// Package inbound turns arrivals into calls. An arrival is a phone that a number's own dispatch
// rule has put into a room. The handler of LiveKit's webhooks and the sweep both use this package.
// The first of them records the call, and the other finds the record.
package inbound

import (
	"context"
	"strings"

	"github.com/krosai/telephony/shared/call"
	"github.com/krosai/telephony/shared/fault"
	"github.com/krosai/telephony/shared/number"
	"github.com/krosai/telephony/shared/phonenumber"
)

// Numbers finds a number, regardless of its owner. An unknown id is fault.NotFound.
type Numbers interface {
	NumberByID(ctx context.Context, id string) (number.Number, error)
}

// Calls records a call once. A call that is already recorded is returned unchanged. most is how
// many calls the number may have in progress, 0 for the owner's own limit. A call over a limit is
// returned as ended.
type Calls interface {
	CreateInbound(ctx context.Context, c call.Call, most int) (call.Call, error)
}

// Rooms deletes rooms. A missing room is success.
type Rooms interface {
	DeleteRoom(ctx context.Context, name string) error
}

// Workflow starts a call's workflow. Starting it again changes nothing.
type Workflow interface {
	StartCall(ctx context.Context, callID string) error
}

// Adopter turns arrivals into calls.
type Adopter struct {
	Numbers  Numbers
	Calls    Calls
	Rooms    Rooms
	Workflow Workflow
}

// ringing is how long LiveKit lets an inbound call ring, in seconds. shared/livekit sets the same
// limit on every inbound trunk.
const ringing = 30

// anonymous is the other party of a call whose caller withholds their number, or whose carrier
// sends a number that cannot be read. A readable number is only what the carrier claims and
// proves nothing.
const anonymous = "anonymous"

// Adopt records the call of an arrival, starts its workflow and returns the call as recorded. A
// call over a limit of its number or its owner is recorded as ended, and its room is deleted. Adopt
// may be repeated. ours is false, and nothing happens, unless the called number is one of the
// platform's and both the trunk and the rule are that number's own. Other applications may take
// calls in the same LiveKit project and name their rooms as they like.
func (a *Adopter) Adopt(ctx context.Context, in call.Arrival) (c call.Call, ours bool, err error) {
	if in.RoomID == "" || in.CreatedAt.IsZero() || in.Called == "" {
		return c, false, nil
	}
	n, err := a.Numbers.NumberByID(ctx, number.ID(e164(in.Called)))
	if fault.Is(err, fault.NotFound) {
		return c, false, nil
	}
	if err != nil || !takes(n, in) {
		return c, false, err
	}
	c, err = a.Calls.CreateInbound(ctx, record(n, in), n.Rule.MaxConcurrent)
	switch {
	case err != nil:
	case c.Status == call.Initiated:
		err = a.Workflow.StartCall(ctx, c.ID)
	case c.Status.Ended():
		err = a.Rooms.DeleteRoom(ctx, c.RoomName)
	}
	return c, true, err
}

// takes reports whether a number's own trunk and rule took the call in.
func takes(n number.Number, in call.Arrival) bool {
	return n.UserID != "" && n.Trunk != nil && n.Rule != nil && in.TrunkID != "" && in.RuleID != "" &&
		n.Trunk.InboundID == in.TrunkID && n.Rule.ID == in.RuleID &&
		strings.HasPrefix(in.Room, number.RoomPrefix(n.UserID, ""))
}

func record(n number.Number, in call.Arrival) call.Call {
	c := call.Call{ID: call.InboundID(in.RoomID, in.CreatedAt), UserID: n.UserID, Direction: call.Inbound,
		Own: n.E164, NumberID: n.ID, RoomName: in.Room, TrunkID: in.TrunkID, AgentName: n.Rule.AgentName,
		RingingTimeout: ringing, MaxDuration: n.Rule.InboundSeconds(), Status: call.Initiated, CreatedAt: in.CreatedAt, DialedAt: in.CreatedAt}
	c.Remote = anonymous
	if caller, ok := phonenumber.Caller(in.Caller, n.Country); ok {
		c.Remote, c.Country = caller.E164, caller.Country
	}
	return c
}

// e164 adds the plus that some carriers leave out, as LiveKit does when it looks up the trunk.
func e164(s string) string {
	if s != "" && s[0] >= '1' && s[0] <= '9' {
		return "+" + s
	}
	return s
}

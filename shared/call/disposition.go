package call

import (
	"errors"
	"time"

	"github.com/krosai/telephony/shared/fault"
)

// Room is the result of one read of a LiveKit room.
type Room struct {
	Callee *Phone // nil: no phone in the room
	Agent  bool   // an agent is in the room
	Others bool   // another party for the phone is in the room: a person, a second phone
}

// Phone is the SIP participant of a room.
type Phone struct {
	ID       string // LiveKit's participant sid
	Identity string // CalleeIdentity, or for an inbound call LiveKit's choice
	Status   PhoneStatus

	// AnsweredAt is when the phone was answered, by LiveKit's clock, to the millisecond. It is zero
	// if LiveKit does not report it. Call.Answered decides whether it counts.
	AnsweredAt time.Time

	// These are set for an inbound call.
	TrunkID string // the trunk that the call came through, ST_…
	RuleID  string // the dispatch rule that took the call, SDR_…
	Caller  string // empty if the rule hides it
	Called  string
}

// PhoneStatus is LiveKit's sip.callStatus of a phone.
type PhoneStatus string

// The states of a phone. A phone in automation is answered, and LiveKit sends it digits.
const (
	PhoneDialing    PhoneStatus = "dialing"
	PhoneRinging    PhoneStatus = "ringing"
	PhoneAutomation PhoneStatus = "automation"
	PhoneActive     PhoneStatus = "active"
	PhoneHungUp     PhoneStatus = "hangup"
)

// Up reports whether the phone's leg still exists. A participant with the status hangup is gone,
// although LiveKit may list it for another 20 seconds.
func (r Room) Up() bool { return r.Callee != nil && r.Callee.Status != PhoneHungUp }

// Alone reports whether the phone is up and has no other party: neither an agent nor another
// participant is in the room.
func (r Room) Alone() bool { return r.Up() && !r.Agent && !r.Others }

// Answered reports whether the phone has been answered and is not gone.
func (r Room) Answered() bool {
	return r.Callee != nil && (r.Callee.Status == PhoneActive || r.Callee.Status == PhoneAutomation)
}

// Ringing reports whether the phone rings.
func (r Room) Ringing() bool { return r.Callee != nil && r.Callee.Status == PhoneRinging }

// Answered is when the call was answered, for a phone that is seen answered at the moment seen.
// LiveKit's own time counts if it is plausible: not before the call was dialed or came in, and not
// after seen. LiveKit's clock belongs to another machine, so a time outside that range is no better
// than seen.
func (c Call) Answered(p *Phone, seen time.Time) time.Time {
	if p == nil || p.AnsweredAt.Before(c.begun()) || p.AnsweredAt.After(seen) {
		return seen
	}
	return p.AnsweredAt
}

// Leave is what LiveKit reported when the phone left the room: the participant's disconnect reason
// and its last sip.callStatus. The zero value means that LiveKit reported nothing.
type Leave struct {
	Reason LeaveReason
	Status PhoneStatus
}

// LeaveReason is LiveKit's reason why a participant left its room (livekit.DisconnectReason).
type LeaveReason string

// The reasons that decide how a call ended.
const (
	ClientInitiated    LeaveReason = "CLIENT_INITIATED" // the phone's side, or LiveKit SIP for it
	TrunkFailure       LeaveReason = "SIP_TRUNK_FAILURE"
	RoomDeleted        LeaveReason = "ROOM_DELETED"
	RoomClosed         LeaveReason = "ROOM_CLOSED"
	ParticipantRemoved LeaveReason = "PARTICIPANT_REMOVED"
)

// tolerance is the tolerance by which a call may end before the agreed maximum and still count as
// ended by it. LiveKit and this platform measure from different moments.
const tolerance = time.Second

// silence is the least time without sound after which LiveKit hangs up by itself: 15 s, and 30 s
// from the answer on.
const silence = 15 * time.Second

// PhoneLeft decides how a call ended, once its phone is known to be gone.
func (c Call) PhoneLeft(l Leave, now time.Time) End {
	if c.AnsweredAt.IsZero() {
		return c.leftRinging(l, now)
	}
	return c.leftTalking(l, now)
}

// HungUp decides how a call ended that was stopped because a user asked for it, or because it may
// not go on.
func (c Call) HungUp(now time.Time) End {
	if c.AnsweredAt.IsZero() {
		return c.DialRefused(Attempt{}, now)
	}
	return c.leftTalking(Leave{}, now)
}

// NeverDialed decides how a call ended that was not dialed, for a cause.
func (c Call) NeverDialed(cause Cause, now time.Time) End {
	if !c.HangupRequested.IsZero() {
		return End{Status: Canceled, Cause: APIHangup, At: now}
	}
	return End{Status: Failed, Cause: cause, At: now}
}

// DialForbidden decides how a call ended that was accepted, and that may no longer be dialed for
// the reason err. The zero End means that err forbids nothing.
func (c Call) DialForbidden(err error, now time.Time) End {
	e, known := errors.AsType[*fault.Error](err)
	switch {
	case !known:
		return End{}
	case e.Code == "CALLS_DISABLED":
		return End{Status: Canceled, Cause: CallsDisabled, At: now}
	case e.Kind == fault.Forbidden, e.Kind == fault.Conflict:
		return End{Status: Canceled, Cause: NotAllowed, At: now}
	case e.Kind == fault.Invalid:
		return End{Status: Failed, Cause: TrunkUnreachable, At: now}
	}
	return End{}
}

// NotAdmitted decides how an inbound call ended that was refused on arrival, for a cause.
func (c Call) NotAdmitted(cause Cause, now time.Time) End {
	return End{Status: Failed, Cause: cause, At: now}
}

// leftRinging decides how an inbound call that was never answered ended, once its phone is known
// to be gone. LiveKit answers when the agent has published its voice. It gives up after
// RingingTimeout, when the phone's status is still ringing. A caller who hangs up before that
// leaves with the status hangup. A caller who hangs up after talking leaves the same trace, so for
// a call never seen ringing the status proves nothing.
func (c Call) leftRinging(l Leave, now time.Time) End {
	end := End{Status: Failed, Cause: Unknown, At: now}
	switch {
	case !c.HangupRequested.IsZero():
		end.Status, end.Cause = Canceled, APIHangup
	case c.Status == Ringing && l.Status == PhoneHungUp:
		end.Status, end.Cause = NoAnswer, CalleeHangup
	case l.Reason == ClientInitiated && l.Status == PhoneRinging:
		end.Cause = AgentUnavailable
	}
	return end
}

// leftTalking decides how an answered call ended, once its phone is known to be gone. The
// platform's own actions come first. LiveKit reports a callee's hangup, a reached maximum and,
// before LiveKit SIP 1.11, a failing trunk alike.
func (c Call) leftTalking(l Leave, now time.Time) End {
	end := End{Status: Completed, Cause: Unknown, SIPStatus: 200, At: now}
	longest := c.AnsweredAt.Add(time.Duration(c.MaxDuration) * time.Second)
	switch {
	case c.Transfer.Status == TransferCompleted:
		end.Cause = Transferred
	case !c.HangupRequested.IsZero():
		end.Cause = APIHangup
	case !now.Before(longest.Add(-tolerance)):
		end.Cause = MaxDuration
	case c.mayBeTransferred(l, now): // end.Cause stays Unknown
	case l.Reason == TrunkFailure: // since LiveKit SIP 1.11, with any last status
		end.Cause = NetworkError
	case l.Status == PhoneHungUp:
		end.Cause = CalleeHangup
	case l.Reason == RoomDeleted || l.Reason == ParticipantRemoved || l.Reason == RoomClosed:
		end.Cause = AgentHangup
	case l.Reason == ClientInitiated && l.Status == PhoneActive && now.Sub(c.AnsweredAt) >= silence:
		end.Cause = NetworkError // LiveKit hung up itself after 30 s without sound
	case l.Reason == ClientInitiated:
		end.Cause = CalleeHangup
	case l.Reason != "":
		end.Cause = NetworkError
	}
	if end.At.After(longest) {
		end.At = longest
	}
	if end.At.Before(c.AnsweredAt) {
		end.At = c.AnsweredAt // LiveKit's event times are whole seconds
	}
	return end
}

// Attempt is the outcome of one dial: the SIP status that the carrier gave (0 if it gave none),
// whether the phone was seen ringing, whether LiveKit reported for certain that the attempt is
// over, and whether LiveKit failed before it asked a carrier.
type Attempt struct {
	SIPStatus int
	Rang      bool
	Certain   bool
	NotAsked  bool
}

// DialRefused decides how a call that was dialed and never answered ended.
func (c Call) DialRefused(a Attempt, now time.Time) End {
	end := End{Status: Failed, Cause: Unknown, SIPStatus: a.SIPStatus, At: now}
	if !c.HangupRequested.IsZero() {
		end.Status, end.Cause, end.SIPStatus = Canceled, APIHangup, 0
		return end
	}
	switch sip := a.SIPStatus; {
	case sip == 486 || sip == 600:
		end.Status, end.Cause = Busy, CalleeBusy
	case sip == 603 || sip == 607 || sip == 433: // 433: the callee takes no anonymous calls (RFC 5079)
		end.Status, end.Cause = Busy, Declined
	case sip == 608: // RFC 8688: rejected by a call-screening service, not by the callee
		end.Status, end.Cause, end.Detail = Busy, Declined, "rejected_by_screening"
	case sip == 408 || sip == 480 || sip == 487:
		end.Status, end.Cause = NoAnswer, Unanswered
	case sip == 404 || sip == 410 || sip == 484 || sip == 485 || sip == 604:
		end.Cause = InvalidNumber
	case sip == 401 || sip == 402 || sip == 403 || sip == 407: // 402: the account with the carrier is empty
		end.Cause = TrunkAuth
	case sip >= 500 && sip < 600, sip >= 300 && sip < 400: // LiveKit follows no redirection
		end.Cause = TrunkUnreachable
	case sip == 405 || sip == 415 || sip == 488 || sip == 606:
		end.Cause = TrunkUnreachable // the address takes no calls, or none with LiveKit's audio
	case sip == 0 && a.Certain && a.Rang:
		end.Status, end.Cause = NoAnswer, Unanswered
	case sip == 0 && a.Certain:
		end.Cause = TrunkUnreachable // no response, not even ringing
	}
	if a.NotAsked && end.Status == Failed {
		end.Cause = NetworkError
	}
	return end
}

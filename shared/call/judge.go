package call

import "time"

// Room is what one reading of a LiveKit room showed.
type Room struct {
	Callee *Phone // nil: no phone in the room
	Agent  bool   // an agent is in the room
	Others bool   // so is somebody else the phone can talk to: a person, a second phone
}

// Phone is the SIP participant of a room.
type Phone struct {
	ID       string // LiveKit's participant sid
	Identity string // CalleeIdentity, or of an inbound call one that LiveKit chose
	Status   string // LiveKit's sip.callStatus: dialing, ringing, automation, active, hangup

	// AnsweredAt is when LiveKit says that the phone was answered, by its own clock, to the
	// millisecond. It is zero where LiveKit does not say so. Call.Answered judges it.
	AnsweredAt time.Time

	// Of an inbound call.
	TrunkID string // the trunk it came through, ST_…
	RuleID  string // the dispatch rule that took it, SDR_…
	Caller  string // absent when the rule hides it
	Called  string
}

// Up reports whether the phone's leg still exists. A participant whose status
// is hangup is gone, although LiveKit may list it for another 20 seconds.
func (r Room) Up() bool { return r.Callee != nil && r.Callee.Status != "hangup" }

// Alone reports whether the phone is up and has nobody to talk to: its agent has
// left, and neither another agent nor anybody else is there.
func (r Room) Alone() bool { return r.Up() && !r.Agent && !r.Others }

// Answered reports whether the phone has been picked up and is not gone.
func (r Room) Answered() bool {
	return r.Callee != nil && (r.Callee.Status == "active" || r.Callee.Status == "automation")
}

// Ringing reports whether the phone rings.
func (r Room) Ringing() bool { return r.Callee != nil && r.Callee.Status == "ringing" }

// Answered is when the call was answered, for a phone that is seen answered at the moment seen.
// LiveKit's own time counts if it can be: not before the call was dialed or came in, and not after
// it was seen. LiveKit's clock is another machine's, so a time outside is no better than seen.
func (c Call) Answered(p *Phone, seen time.Time) time.Time {
	begun := c.CreatedAt
	if c.DialedAt.After(begun) {
		begun = c.DialedAt
	}
	if p == nil || p.AnsweredAt.Before(begun) || p.AnsweredAt.After(seen) {
		return seen
	}
	return p.AnsweredAt
}

// Leave is what LiveKit said when the phone left the room: the participant's
// disconnect reason and its last sip.callStatus. The zero value is "nothing was
// said".
type Leave struct {
	Reason string
	Status string
}

// slack is how much earlier than the agreed maximum a call may end and still
// count as ended by it: LiveKit and this platform measure from different
// moments.
const slack = time.Second

// silence is the least time without sound after which LiveKit hangs up by itself: 15 s, and 30 s
// from the answer on.
const silence = 15 * time.Second

// EndOfTalk decides how an answered call ended, once its phone is known to be
// gone. What this platform did itself comes first, because LiveKit reports a
// callee who hung up, a spent maximum and a failing trunk alike.
func (c Call) EndOfTalk(l Leave, now time.Time) End {
	end := End{Status: Completed, Cause: Unknown, SIPStatus: 200, At: now}
	longest := c.AnsweredAt.Add(time.Duration(c.MaxDuration) * time.Second)
	switch {
	case c.Transfer.Status == TransferCompleted:
		end.Cause = Transferred
	case !c.HangupRequested.IsZero():
		end.Cause = APIHangup
	case !now.Before(longest.Add(-slack)):
		end.Cause = MaxDuration
	case c.mayBeTransferred(l, now): // end.Cause stays Unknown
	case l.Reason == "SIP_TRUNK_FAILURE": // since LiveKit SIP 1.11, whatever the last status is
		end.Cause = NetworkError
	case l.Status == "hangup":
		end.Cause = CalleeHangup
	case l.Reason == "ROOM_DELETED" || l.Reason == "PARTICIPANT_REMOVED" || l.Reason == "ROOM_CLOSED":
		end.Cause = AgentHangup
	case l.Reason == "CLIENT_INITIATED" && l.Status == "active" && now.Sub(c.AnsweredAt) >= silence:
		end.Cause = NetworkError // LiveKit hung up itself: no sound came for 30 s
	case l.Reason == "CLIENT_INITIATED":
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

// Attempt is what one dial came to: the SIP status the carrier gave (0 when it
// gave none), whether the phone was seen ringing, and whether LiveKit said for
// certain that the attempt is over.
type Attempt struct {
	SIPStatus int
	Rang      bool
	Certain   bool
}

// EndOfDial decides how a call that was never answered ended.
func (c Call) EndOfDial(a Attempt, now time.Time) End {
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
	case sip == 608: // RFC 8688: not the callee, but a service that screens their calls
		end.Status, end.Cause, end.Detail = Busy, Declined, "rejected_by_screening"
	case sip == 408 || sip == 480 || sip == 487:
		end.Status, end.Cause = NoAnswer, Unanswered
	case sip == 404 || sip == 410 || sip == 484 || sip == 485 || sip == 604:
		end.Cause = InvalidNumber
	case sip == 401 || sip == 402 || sip == 403 || sip == 407: // 402: the account with the carrier is empty
		end.Cause = TrunkAuth
	case sip >= 500 && sip < 600, sip >= 300 && sip < 400: // LiveKit follows no redirection
		end.Cause = TrunkUnreachable
	case sip == 405 || sip == 415 || sip == 488 || sip == 606: // no calls at this address, or none with LiveKit's audio
		end.Cause = TrunkUnreachable
	case sip == 0 && a.Certain && a.Rang:
		end.Status, end.Cause = NoAnswer, Unanswered
	case sip == 0 && a.Certain:
		end.Cause = TrunkUnreachable // nothing came back, not even a ringing
	}
	return end
}

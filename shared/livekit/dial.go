package livekit

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/livekit/protocol/livekit"
	lksdk "github.com/livekit/server-sdk-go/v2"
	"github.com/twitchtv/twirp"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/krosai/telephony/shared/call"
)

// Dial is one phone call to place.
type Dial struct {
	Room           string
	TrunkID        string        // the outbound trunk, ST_…
	To             string        // E.164
	From           string        // the caller id, E.164; without it LiveKit picks any trunk number
	RingingTimeout time.Duration // LiveKit cancels a call that is not answered by then
	MaxDuration    time.Duration // from the request on, ringing included; LiveKit hangs up then
	DTMF           string        // digits sent after the answer, may be empty; w waits half a second
}

// dialMargin is how much longer than the ringing timeout the answer to a dial may take. LiveKit
// needs up to 50 ms after the timeout, slow networks need seconds.
const dialMargin = 10 * time.Second

// Dial rings the phone. It returns the phone's participant id after the phone is answered and the
// digits are sent. The request is sent once. It is bound by ctx and by RingingTimeout + 10 s, plus
// the time that sending the digits takes. Every error is a *DialError. If the error is not Certain,
// the phone may be ringing or answered: read the room and never dial again.
func (c *Client) Dial(ctx context.Context, d Dial) (participantID string, err error) {
	if d.From == "" || d.To == "" || d.TrunkID == "" || d.Room == "" || d.RingingTimeout <= 0 || d.MaxDuration <= d.RingingTimeout {
		return "", &DialError{Certain: true, Code: DialRefused, Err: errors.New("incomplete dial")}
	}
	dialing, cancel := once(ctx, d.RingingTimeout+call.KeyingTime(d.DTMF)+dialMargin)
	defer cancel()
	participant, err := c.sip.CreateSIPParticipant(dialing, &livekit.CreateSIPParticipantRequest{
		RoomName:            d.Room,
		SipTrunkId:          d.TrunkID,
		SipCallTo:           d.To,
		SipNumber:           d.From,
		ParticipantIdentity: call.CalleeIdentity,
		RingingTimeout:      durationpb.New(d.RingingTimeout),
		MaxCallDuration:     durationpb.New(d.MaxDuration),
		Dtmf:                d.DTMF,
		WaitUntilAnswered:   true,
	})
	if err != nil {
		return "", dialError(err)
	}
	return participant.ParticipantId, nil
}

// once returns the context of a request that waits for a phone. The request is sent once, and is
// given up after limit or when ctx ends. The SDK extends a deadline that is shorter than the
// ringing timeout, but it honors a cancellation.
func once(ctx context.Context, limit time.Duration) (context.Context, context.CancelFunc) {
	waiting, cancel := context.WithTimeout(lksdk.WithFailover(context.WithoutCancel(ctx), false), limit)
	stop := context.AfterFunc(ctx, cancel)
	return waiting, func() { stop(); cancel() }
}

// The codes of a failed dial.
const (
	DialSIP = "sip" // the carrier answered with SIPStatus
	// DialNoAnswer means that LiveKit gave up at the ringing timeout, or that the room was deleted.
	// An unreachable UDP carrier looks the same but never rang.
	DialNoAnswer    = "no_answer"
	DialUnreachable = "unreachable" // LiveKit reached no carrier at the trunk's address
	DialNoTrunk     = "no_trunk"    // LiveKit does not know the trunk
	DialRefused     = "refused"     // LiveKit did not accept the request, nothing was dialed
	DialNotSent     = "not_sent"    // LiveKit could not be reached, nothing was dialed
	DialUnclear     = "unclear"     // no answer says what happened: the call may be up
)

// DialError says why a dial failed and whether that is certain. Its text is for logs.
type DialError struct {
	Code string // one of the Dial… constants
	// SIPStatus is the carrier's answer, else 0. It is 407 if the carrier refused every attempt to
	// authenticate, or asked for authentication and the trunk has no credentials.
	SIPStatus int
	Certain   bool // no call is up, and none will come up
	Err       error
}

func (e *DialError) Error() string {
	return fmt.Sprintf("dial: %s (sip %d, certain %t): %v", e.Code, e.SIPStatus, e.Certain, e.Err)
}

// Unwrap returns LiveKit's error.
func (e *DialError) Unwrap() error { return e.Err }

// dialError reads LiveKit's answer to CreateSIPParticipant. The message texts are those of
// livekit-sip 1.10.0.
func dialError(err error) *DialError {
	e := &DialError{Code: DialUnclear, Err: err}
	te, ok := errors.AsType[twirp.Error](err)
	if neverSent(err) {
		e.Code, e.Certain = DialNotSent, true
		return e
	}
	if sip := lksdk.SIPStatusFrom(err); sip != nil && sip.Code >= 300 {
		e.Code, e.SIPStatus, e.Certain = DialSIP, int(sip.Code), true
		return e
	}
	if !ok || te.Meta("http_error_from_intermediary") != "" {
		return e
	}
	says := func(text string) bool { return strings.Contains(te.Msg(), text) }
	if says("no username or password was provided") { // 1.10 says unknown, 1.11 failed_precondition
		e.Code, e.SIPStatus, e.Certain = DialSIP, 407, true
		return e
	}
	switch te.Code() {
	case twirp.Canceled:
		switch {
		case says("sip request timed out"):
			e.Code, e.Certain = DialNoAnswer, true
		case says("transaction failed to complete"):
			e.Code, e.Certain = DialUnreachable, true
		}
	case twirp.FailedPrecondition:
		switch {
		case says("max auth retry attempts"):
			e.Code, e.SIPStatus, e.Certain = DialSIP, 407, true
		case says("transport<"), says("dial tcp"), says("dial udp"), says("no such host"):
			e.Code, e.Certain = DialUnreachable, true
		}
	case twirp.Unavailable:
		// The SIP service takes no more calls, or no service offered to take this one. LiveKit
		// hands a dial over only to a service that has offered.
		if says("cpu exhausted") || says("no response from servers") || says("no servers available") {
			e.Code, e.Certain = DialRefused, true
		}
	case twirp.NotFound:
		if says("sip trunk does not exist") {
			e.Code, e.Certain = DialNoTrunk, true
		}
	case twirp.InvalidArgument, twirp.Malformed, twirp.BadRoute, twirp.Unauthenticated, twirp.PermissionDenied, twirp.ResourceExhausted:
		// LiveKit refuses these before it dials: an invalid request, a key that it does not accept,
		// an exhausted quota.
		e.Code, e.Certain = DialRefused, true
	}
	return e
}

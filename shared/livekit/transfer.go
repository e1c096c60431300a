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
)

// transferMargin is how much longer than the ringing the answer to a transfer
// may take. The SDK waits as long.
const transferMargin = 2 * time.Second

// Transfer asks the carrier of a phone that is in a room to connect it to the
// number to, E.164 (SIP REFER, RFC 3515), and returns nil when the carrier says
// that it has done so. LiveKit then ends the call here a second later, unless the
// carrier does before. The request is sent once and bound by ctx and by ringing
// + 2 s. Every error is a *TransferError.
//
// LiveKit says so too when the call ends, whoever ends it, after the carrier took
// the request and before it told the outcome.
func (c *Client) Transfer(ctx context.Context, room, identity, to string, ringing time.Duration) error {
	if room == "" || identity == "" || ringing <= 0 || strings.Trim(to, "+0123456789") != "" || to == "" {
		return &TransferError{Certain: true, Err: errors.New("incomplete transfer")}
	}
	asking, cancel := once(ctx, ringing+transferMargin)
	defer cancel()
	_, err := c.sip.TransferSIPParticipant(asking, &livekit.TransferSIPParticipantRequest{
		RoomName:            room,
		ParticipantIdentity: identity,
		TransferTo:          "tel:" + to,
		RingingTimeout:      durationpb.New(ringing),
	})
	if err != nil {
		return transferError(err)
	}
	return nil
}

// TransferError says why a transfer failed and how sure that is. Its text is for
// logs.
type TransferError struct {
	SIPStatus int  // the carrier's refusal, or the target's; 0 when none came
	Certain   bool // the phone was not transferred and will not be by this request
	Busy      bool // because another transfer of the call is under way
	Err       error
}

func (e *TransferError) Error() string {
	return fmt.Sprintf("transfer (sip %d, certain %t, busy %t): %v", e.SIPStatus, e.Certain, e.Busy, e.Err)
}

// Unwrap returns LiveKit's error.
func (e *TransferError) Unwrap() error { return e.Err }

// transferError reads LiveKit's answer to TransferSIPParticipant. The texts are
// those of livekit-server 1.13.5 and livekit-sip 1.10.0.
func transferError(err error) *TransferError {
	e := &TransferError{Err: err}
	if neverSent(err) {
		e.Certain = true
		return e
	}
	if sip := lksdk.SIPStatusFrom(err); sip != nil && sip.Code >= 300 {
		e.SIPStatus, e.Certain = int(sip.Code), true
		return e
	}
	te, ok := errors.AsType[twirp.Error](err)
	if !ok || te.Meta("http_error_from_intermediary") != "" {
		return e
	}
	says := func(text string) bool { return strings.Contains(te.Msg(), text) }
	switch te.Code() {
	case twirp.InvalidArgument:
		e.Certain, e.Busy = true, says("already being transferred")
	case twirp.NotFound, twirp.Malformed, twirp.BadRoute, twirp.Unauthenticated, twirp.PermissionDenied, twirp.ResourceExhausted:
		// LiveKit refuses these before it asks the carrier: no such phone, a key
		// it does not accept, a quota that is spent.
		e.Certain = true
	case twirp.FailedPrecondition:
		e.Certain = says("non established call") || says("call has ended")
	case twirp.Unavailable: // the SIP service that holds the call did not take the request
		e.Certain = says("no response from servers") || says("no servers available")
	}
	return e
}

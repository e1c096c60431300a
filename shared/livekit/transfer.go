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
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
)

// transferMargin is how much longer than the ringing the answer to a transfer may take. The SDK
// waits equally long.
const transferMargin = 2 * time.Second

// Transferred is a transfer that LiveKit reported as done.
type Transferred struct {
	SIPStatus int // the carrier's last report, 200; 0 when LiveKit did not pass one on
	// Assumed is set for the empty answer of LiveKit SIP before 1.11. LiveKit gives the same answer
	// if either side ends the call after the carrier accepted the request and before it reported
	// the outcome.
	Assumed bool
}

// Transfer asks the carrier of a phone that is in a room to connect it to the number to, E.164 (SIP
// REFER, RFC 3515). It returns when LiveKit reports the transfer as done. LiveKit then ends the
// call on this side a second later, unless the carrier ends it first. The request is sent once and
// bound by ctx and by ringing + 2 s. Every error is a *TransferError.
func (c *Client) Transfer(ctx context.Context, room, identity, to string, ringing time.Duration) (Transferred, error) {
	if room == "" || identity == "" || ringing <= 0 || strings.Trim(to, "+0123456789") != "" || to == "" {
		return Transferred{}, &TransferError{Code: TransferNotAsked, Err: errors.New("incomplete transfer")}
	}
	asking, cancel := once(ctx, ringing+transferMargin)
	defer cancel()
	answer, err := c.sip.TransferSIPParticipant(asking, &livekit.TransferSIPParticipantRequest{
		RoomName:            room,
		ParticipantIdentity: identity,
		TransferTo:          "tel:" + to,
		RingingTimeout:      durationpb.New(ringing),
	})
	if err != nil {
		return Transferred{}, transferError(err)
	}
	return transferOutcome(answer)
}

// transferOutcome reads an answer without an error. Such an answer need not be a success: LiveKit
// SIP 1.11 reports STR_CALL_ENDED this way. An answer that is not empty holds fields that the Empty
// of this module's protocol package does not know.
func transferOutcome(answer proto.Message) (Transferred, error) {
	report, ok := answerReport(answer)
	switch {
	case proto.Size(answer) == 0:
		return Transferred{Assumed: true}, nil
	case !ok:
		return Transferred{}, &TransferError{Code: TransferUnclear, Err: errors.New("the answer cannot be read")}
	case report.status == livekit.SIPTransferStatus_STS_TRANSFER_SUCCESSFUL:
		return Transferred{SIPStatus: report.sip}, nil
	}
	e := &TransferError{Code: TransferUnclear, Err: fmt.Errorf("ended with status %s, reason %s", report.status, report.reason)}
	e.explain(report)
	return Transferred{}, e
}

// The outcomes of a transfer that LiveKit did not report as done.
const (
	// TransferRejected means that the carrier or the target refused, with SIPStatus if it gave one.
	// The call goes on.
	TransferRejected  = "rejected"
	TransferCallEnded = "call_ended" // the call ended before the transfer completed
	TransferNotAsked  = "not_asked"  // LiveKit did not ask the carrier
	TransferBusy      = "busy"       // LiveKit did not ask: an earlier transfer is in progress
	TransferUnclear   = "unclear"    // the phone may have been transferred, or may still be
)

// TransferError says why a transfer failed. Its text is for logs.
type TransferError struct {
	Code      string // one of the Transfer… constants
	SIPStatus int    // the refusal of the carrier or the target; 0 if there was none
	Err       error
}

func (e *TransferError) Error() string {
	return fmt.Sprintf("transfer: %s (sip %d): %v", e.Code, e.SIPStatus, e.Err)
}

// Unwrap returns LiveKit's error.
func (e *TransferError) Unwrap() error { return e.Err }

// explain sets the code that follows from LiveKit's reason. It leaves the code alone if the reason
// proves nothing. A REFER cannot be called back (RFC 3515). So if LiveKit stopped waiting, or the
// carrier stopped reporting, only a refusal in SIP shows that the phone was not transferred.
func (e *TransferError) explain(r transferReport) {
	refused := r.sip >= 300
	switch r.reason {
	case reasonCallEnded:
		e.Code = TransferCallEnded
	case reasonRejected:
		e.Code = TransferRejected
	case reasonCanceled, reasonRingingTimeout, reasonReportsTerminated, reasonNone:
		if refused {
			e.Code = TransferRejected
		}
	}
	if e.Code == TransferRejected && refused {
		e.SIPStatus = r.sip
	}
}

// transferError reads LiveKit's error for TransferSIPParticipant. It uses the reason that LiveKit
// SIP gives since 1.11, else the SIP status, else the message texts of livekit-server 1.13 and
// livekit-sip 1.10.
func transferError(err error) *TransferError {
	e := &TransferError{Code: TransferUnclear, Err: err}
	if neverSent(err) {
		e.Code = TransferNotAsked
		return e
	}
	report, ok := errorReport(err)
	if !ok {
		report = transferReport{sip: int(lksdk.SIPStatusFrom(err).GetCode())}
	}
	if e.explain(report); e.Code != TransferUnclear {
		return e
	}
	te, ok := errors.AsType[twirp.Error](err)
	if !ok || report.reason != reasonNone || te.Meta("http_error_from_intermediary") != "" {
		return e
	}
	says := func(text string) bool { return strings.Contains(te.Msg(), text) }
	switch te.Code() {
	case twirp.InvalidArgument:
		e.Code = TransferNotAsked
		if says("already being transferred") {
			e.Code = TransferBusy
		}
	case twirp.NotFound, twirp.Malformed, twirp.BadRoute, twirp.Unauthenticated, twirp.PermissionDenied, twirp.ResourceExhausted:
		// LiveKit refuses these before it asks the carrier: an unknown phone, a key that it does
		// not accept, an exhausted quota.
		e.Code = TransferNotAsked
	case twirp.FailedPrecondition:
		if says("non established call") || says("call has ended") {
			e.Code = TransferNotAsked
		}
	case twirp.Unavailable: // the SIP service that holds the call did not take the request
		if says("no response from servers") || says("no servers available") {
			e.Code = TransferNotAsked
		}
	}
	return e
}

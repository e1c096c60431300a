package bridge

import (
	"errors"
	"fmt"
	"net"

	"github.com/emiago/sipgo/sip"
	"github.com/livekit/protocol/livekit"
	"github.com/livekit/psrpc"
)

// The texts are LiveKit's, because they reach the caller of its API.
var (
	errTimedOut      = errors.New("sip request timed out")
	errAuthRetries   = errors.New("max auth retry attempts reached for SIP invite")
	errNoCredentials = errors.New("server required auth, but no username or password was provided")
	errNoChallenge   = errors.New("no auth header in response")
	errClosing       = errors.New("service shutting down")
)

// inviteError is the error that CreateSIPParticipant returns for the carrier's refusal. LiveKit's
// server finds the SIP status inside the error and derives the API's code and its meta from it.
func inviteError(res *sip.Response) error {
	status := &livekit.SIPStatus{Code: livekit.SIPStatusCode(res.StatusCode), Status: res.Reason}
	switch res.StatusCode {
	case 400, 404, 480, 486, 488:
		if body := res.Body(); len(body) > 0 {
			status.Status = string(body)
		}
		return fmt.Errorf("INVITE failed: %w", status)
	}
	return fmt.Errorf("unexpected status from INVITE response: %w", status)
}

// transportError is the error for an INVITE that could not be sent, for example because the
// carrier's TCP port is closed.
func transportError(err error) error {
	var dial *net.OpError
	if errors.As(err, &dial) && dial.Op == "dial" {
		err = fmt.Errorf("transport<%s> dial err=dial %s :0->%s: %w", "TCP", dial.Net, dial.Addr, dial.Err)
	}
	return psrpc.NewError(psrpc.FailedPrecondition, trunkError{err})
}

// noFinalAnswer is the error for a transaction that timed out after this number of
// provisional answers.
func noFinalAnswer(provisional int) error {
	return psrpc.NewError(psrpc.Canceled, trunkError{fmt.Errorf("transaction failed to complete (%d intermediate responses)", provisional)})
}

// trunkError is a failure of the trunk, not of the called number.
type trunkError struct{ error }

func (e trunkError) Unwrap() error { return e.error }

// reasonOf is the reason with which the participant of a failed call leaves the room. Recorded:
// 403, 484, 486, 600, 603 and refused credentials; 404, 408, 480 and timeouts. Since LiveKit SIP
// 1.11 a trunk has its own reason if it cannot be reached, never gives a final answer, or fails
// (500, 503).
func reasonOf(err error) livekit.DisconnectReason {
	if _, ok := errors.AsType[trunkError](err); ok {
		return livekit.DisconnectReason_SIP_TRUNK_FAILURE
	}
	if status, ok := errors.AsType[*livekit.SIPStatus](err); ok {
		return reasonOfStatus(int(status.Code))
	}
	if code, _ := psrpc.GetErrorCode(err); code == psrpc.Canceled {
		return livekit.DisconnectReason_USER_UNAVAILABLE
	}
	if errors.Is(err, errAuthRetries) || errors.Is(err, errNoCredentials) || errors.Is(err, errNoChallenge) {
		return livekit.DisconnectReason_USER_REJECTED
	}
	return livekit.DisconnectReason_CLIENT_INITIATED
}

func reasonOfStatus(code int) livekit.DisconnectReason {
	switch {
	case code == 404, code == 408, code == 410, code == 480, code == 487, code == 604:
		return livekit.DisconnectReason_USER_UNAVAILABLE
	case code >= 400 && code < 500, code >= 600:
		return livekit.DisconnectReason_USER_REJECTED
	case code >= 500:
		return livekit.DisconnectReason_SIP_TRUNK_FAILURE
	}
	return livekit.DisconnectReason_CLIENT_INITIATED
}

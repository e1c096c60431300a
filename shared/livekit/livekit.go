// Package livekit sends the platform's requests to LiveKit: rooms, dialing, transfers, trunks
// and dispatch rules. It also verifies LiveKit's webhooks. No other package of the product
// imports github.com/livekit/….
//
// Every request goes through the SDK with its failover switched off. With failover one dial could
// ring a phone three times, and a request could outlive its context (measured with server-sdk-go
// 2.17 and 2.18).
package livekit

import (
	"context"
	"errors"
	"net"
	"strings"
	"time"

	lksdk "github.com/livekit/server-sdk-go/v2"
	"github.com/twitchtv/twirp"

	"github.com/krosai/telephony/shared/fault"
	"github.com/krosai/telephony/shared/secret"
)

// Config is LiveKit's address and the keys that sign requests to it. The old key is accepted on
// webhooks only, while keys are being rotated.
type Config struct {
	URL          string        `env:"LIVEKIT_URL,required"` // http, https, ws or wss
	APIKey       string        `env:"LIVEKIT_API_KEY,required"`
	APISecret    secret.Secret `env:"LIVEKIT_API_SECRET,required"`
	OldAPIKey    string        `env:"LIVEKIT_OLD_API_KEY"`
	OldAPISecret secret.Secret `env:"LIVEKIT_OLD_API_SECRET"`
}

// Client talks to one LiveKit project. It is safe for concurrent use.
type Client struct {
	config Config
	rooms  *lksdk.RoomServiceClient
	sip    *lksdk.SIPClient
	now    func() time.Time
}

// requestTimeout bounds one request. LiveKit answers ordinary requests within milliseconds. A dial
// has its own bound.
const requestTimeout = 5 * time.Second

// Open makes a client. The client connects on its first request and keeps connections for the
// next ones.
func Open(c Config) *Client {
	secret := c.APISecret.Reveal()
	return &Client{config: c, now: time.Now,
		rooms: lksdk.NewRoomServiceClient(c.URL, c.APIKey, secret),
		sip:   lksdk.NewSIPClient(c.URL, c.APIKey, secret)}
}

// send makes one request, once, within requestTimeout. Its error is a fault.
func send[Q, A any](ctx context.Context, method func(context.Context, Q) (A, error), request Q) (A, error) {
	ctx, cancel := context.WithTimeout(lksdk.WithFailover(ctx, false), requestTimeout)
	defer cancel()
	answer, err := method(ctx, request)
	if err != nil {
		var none A
		return none, faultOf(err)
	}
	return answer, nil
}

// faultOf turns the error of a request into a fault: Upstream if LiveKit did not answer, was busy
// or was down; NotFound, Conflict or Invalid if LiveKit said so; Internal for every error that a
// retry would not cure.
func faultOf(err error) error {
	te, ok := errors.AsType[twirp.Error](err)
	if !ok {
		return fault.Unavailable("LiveKit", err)
	}
	switch te.Code() {
	case twirp.NotFound:
		return &fault.Error{Kind: fault.NotFound, Code: "NOT_FOUND", Detail: "LiveKit does not know it", Err: err}
	case twirp.InvalidArgument, twirp.AlreadyExists:
		if strings.Contains(te.Msg(), "Conflicting inbound SIP Trunks") ||
			strings.Contains(te.Msg(), "already exists in dispatch rule") {
			return &fault.Error{Kind: fault.Conflict, Code: "CONFLICT",
				Detail: "another trunk or rule of the LiveKit project takes calls to this number", Err: err}
		}
		return &fault.Error{Kind: fault.Invalid, Code: "INVALID_REQUEST", Detail: "LiveKit does not accept it", Err: err}
	case twirp.Internal:
		// The generated client reports Internal for transport failures and for answers that are not
		// LiveKit's. LiveKit's own 500 names no permanent cause either, so a retry may succeed.
		return fault.Unavailable("LiveKit", err)
	case twirp.Unavailable, twirp.ResourceExhausted, twirp.DeadlineExceeded, twirp.Canceled, twirp.Aborted, twirp.Unknown:
		return fault.Unavailable("LiveKit", err)
	}
	return &fault.Error{Kind: fault.Internal, Code: "INTERNAL", Err: err}
}

// neverSent reports whether no byte of a request can have reached LiveKit.
func neverSent(err error) bool {
	op, ok := errors.AsType[*net.OpError](err)
	return ok && op.Op == "dial"
}

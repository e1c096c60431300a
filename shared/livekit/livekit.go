// Package livekit is what the platform asks of LiveKit: rooms, dialling, trunks
// and dispatch rules, and the check of LiveKit's webhooks. It is the only
// importer of github.com/livekit/….
//
// It speaks LiveKit's HTTP API through the generated clients of
// livekit/protocol and not through server-sdk-go, for three reasons: the SDK
// sends a failed request again to other regions (one dial may ring a phone
// three times), it lets a request outlive its context, and it brings its own
// HTTP client. Here a request is sent once, ends with its context, and answers
// are limited in size.
package livekit

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/livekit/protocol/auth"
	"github.com/livekit/protocol/livekit"
	"github.com/twitchtv/twirp"

	"github.com/krosai/telephony/shared/fault"
	"github.com/krosai/telephony/shared/secret"
)

// Config is where LiveKit is and how to sign requests to it. The old key is
// accepted on webhooks only, while keys are being rotated.
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
	rooms  livekit.RoomService
	sip    livekit.SIP
	now    func() time.Time
}

// The bounds of one request. Ordinary requests take LiveKit milliseconds; a
// dial has its own bound.
const (
	requestTimeout = 5 * time.Second
	maxAnswer      = 32 << 20 // bytes; a list of 10,000 rooms is about 5 MB
)

// Open makes a client; it connects on the first request and keeps connections
// for the next ones.
func Open(c Config) *Client {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = 16
	// Shorter than any load balancer's limit, so that a dial never goes out on
	// a connection that the other side has just closed.
	transport.IdleConnTimeout = 20 * time.Second
	transport.ResponseHeaderTimeout = 0 // a dial answers after minutes: contexts bound requests
	return open(c, transport)
}

func open(c Config, transport http.RoundTripper) *Client {
	url := httpURL(c.URL)
	// The generated clients do not follow redirects.
	client := &http.Client{Transport: limited{transport}}
	return &Client{
		config: c,
		rooms:  livekit.NewRoomServiceProtobufClient(url, client),
		sip:    livekit.NewSIPProtobufClient(url, client),
		now:    time.Now,
	}
}

func httpURL(url string) string {
	if rest, ok := strings.CutPrefix(url, "ws"); ok {
		return "http" + rest
	}
	return url
}

// limited cuts answers off at maxAnswer.
type limited struct{ http.RoundTripper }

func (l limited) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := l.RoundTripper.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	resp.Body = http.MaxBytesReader(nil, resp.Body, maxAnswer)
	return resp, nil
}

// tokenLife is how long a signed request is valid: long enough for clocks that
// differ, short enough to be worthless when found later.
const tokenLife = 2 * time.Minute

// signed returns ctx with a token for exactly these grants.
func (c *Client) signed(ctx context.Context, video *auth.VideoGrant, sip *auth.SIPGrant) (context.Context, error) {
	token, err := auth.NewAccessToken(c.config.APIKey, c.config.APISecret.Reveal()).
		SetVideoGrant(video).SetSIPGrant(sip).SetValidFor(tokenLife).ToJWT()
	if err != nil {
		return nil, fmt.Errorf("sign a LiveKit request: %w", err)
	}
	return twirp.WithHTTPRequestHeaders(ctx, http.Header{"Authorization": {"Bearer " + token}})
}

// send makes one signed request within requestTimeout. The error is a fault.
func send[Q, A any](ctx context.Context, c *Client, video *auth.VideoGrant, sip *auth.SIPGrant,
	method func(context.Context, Q) (A, error), request Q) (A, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	var none A
	ctx, err := c.signed(ctx, video, sip)
	if err != nil {
		return none, err
	}
	answer, err := method(ctx, request)
	if err != nil {
		return none, faultOf(err)
	}
	return answer, nil
}

func admin() *auth.SIPGrant { return &auth.SIPGrant{Admin: true} }

// faultOf turns an error of a request into a fault: Upstream when LiveKit did
// not answer, was busy or down; NotFound, Conflict and Invalid as LiveKit said; Internal
// for everything that calling again would not cure.
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
		// The generated client says Internal for transport failures and for
		// answers that are not LiveKit's; LiveKit's own 500 carries no cause
		// that waiting could not cure either.
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

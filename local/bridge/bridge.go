// Package bridge joins telephone calls and LiveKit rooms. It serves LiveKit's internal SIP
// interface, as LiveKit's own SIP service does, and speaks SIP (RFC 3261) and RTP to the carrier.
//
// Callers see the errors, attributes, disconnect reasons and times of LiveKit SIP v1.10.0, as
// recorded in testdata/recordings, with the additions of v1.11. The replay test compares the two
// and names the differences. Audio is PCMU only and passes through untouched.
//
// Not served: TLS and SRTP, PIN prompts, early media, dial tones, header options other than plain
// headers and headers_to_attributes.
package bridge

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"github.com/livekit/protocol/livekit"
	"github.com/livekit/protocol/rpc"
	"github.com/livekit/psrpc"
	"github.com/redis/go-redis/v9"
	"google.golang.org/protobuf/types/known/emptypb"
)

// Options configure the Bridge and the real SIP service.
type Options struct {
	// RedisAddr is LiveKit's bus.
	RedisAddr string
	// LiveKitURL is the WebSocket address of LiveKit. APIKey and APISecret sign the tokens to
	// join rooms.
	LiveKitURL, APIKey, APISecret string
	// SIPAddr is the IP address and port for SIP over UDP and TCP. Port 0 takes a free one. Empty
	// is 127.0.0.1:0.
	SIPAddr string
	// Log receives errors. Nil discards them.
	Log *slog.Logger
}

// Service is a SIP service of LiveKit: the Bridge, or the real one as a child process.
type Service interface {
	// SIPAddr is the IP address and port to which the carrier sends calls.
	SIPAddr() string
	// Close ends every call and stops the service.
	Close() error
}

// Bridge is a running SIP service.
type Bridge struct {
	o     Options
	log   *slog.Logger
	ua    *userAgent
	redis *redis.Client
	rpc   rpc.SIPInternalServer
	io    rpc.IOInfoClient

	ctx   context.Context // ends with Close
	stop  context.CancelFunc
	calls sync.WaitGroup // one per call, and per transaction that outlives its call

	mu   sync.Mutex
	byID map[string]*call // by LiveKit's call id

	closeOnce sync.Once
	closeErr  error
}

// Start listens for SIP calls and for LiveKit's requests.
func Start(ctx context.Context, o Options) (*Bridge, error) {
	if o.SIPAddr == "" {
		o.SIPAddr = "127.0.0.1:0"
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	b := &Bridge{o: o, log: o.Log, byID: map[string]*call{}, redis: redis.NewClient(&redis.Options{Addr: o.RedisAddr})}
	b.ctx, b.stop = context.WithCancel(context.WithoutCancel(ctx))
	if err := b.start(ctx); err != nil {
		return nil, errors.Join(err, b.Close())
	}
	return b, nil
}

func (b *Bridge) start(ctx context.Context) (err error) {
	if err := b.redis.Ping(ctx).Err(); err != nil {
		return fmt.Errorf("redis: %w", err)
	}
	bus := psrpc.NewRedisMessageBus(b.redis)
	if b.io, err = rpc.NewIOInfoClient(bus); err != nil {
		return fmt.Errorf("livekit's bus: %w", err)
	}
	if b.ua, err = listen(b.o.SIPAddr, b.log, b.onInvite); err != nil {
		return err
	}
	if b.rpc, err = rpc.NewSIPInternalServer(b, bus); err != nil {
		return fmt.Errorf("livekit's bus: %w", err)
	}
	if err := b.rpc.RegisterCreateSIPParticipantTopic(""); err != nil {
		return err
	}
	return untilServing(ctx, b.redis)
}

// untilServing waits until a SIP service listens on LiveKit's bus for requests to dial. psrpc v0.7
// subscribes in the background, to one channel for requests and one for claims.
func untilServing(ctx context.Context, bus *redis.Client) error {
	for {
		channels, err := bus.PubSubChannels(ctx, "SIPInternal|CreateSIPParticipant|*").Result()
		if err == nil && len(channels) >= 2 {
			return nil
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// SIPAddr is the IP address and port to which the carrier sends calls, over UDP or TCP.
func (b *Bridge) SIPAddr() string { return b.ua.addr() }

// Close ends every call with BYE, CANCEL or a final answer.
func (b *Bridge) Close() error {
	b.closeOnce.Do(func() { b.closeErr = b.close() })
	return b.closeErr
}

func (b *Bridge) close() error {
	if b.rpc != nil {
		b.rpc.DeregisterCreateSIPParticipantTopic("")
	}
	b.mu.Lock()
	b.stop()
	b.mu.Unlock()
	b.calls.Wait()
	if b.rpc != nil {
		b.rpc.Kill()
	}
	if b.ua != nil {
		b.ua.close()
	}
	if b.io != nil {
		b.io.Close()
	}
	return b.redis.Close()
}

// CreateSIPParticipant dials. LiveKit's server calls it after it has checked the request. It
// returns when the participant is in the room, or, if the request has WaitUntilAnswered, when the
// call is answered.
func (b *Bridge) CreateSIPParticipant(ctx context.Context, req *rpc.InternalCreateSIPParticipantRequest) (*rpc.InternalCreateSIPParticipantResponse, error) {
	begin := time.Now()
	c, err := b.newOutbound(ctx, req)
	if err != nil {
		return nil, err
	}
	answered := make(chan error, 1)
	running := b.run(func() {
		// If the API's caller stops waiting, the call goes on until the deadline of the request and
		// 20 ms longer. At the deadline the server itself answers that the request timed out.
		dial := b.ctx
		if deadline, ok := ctx.Deadline(); ok && req.WaitUntilAnswered {
			var cancel context.CancelFunc
			dial, cancel = context.WithDeadline(dial, deadline.Add(20*time.Millisecond))
			defer cancel()
		}
		answered <- c.dial(dial, req, begin)
	})
	if !running {
		c.end(end{reason: livekit.DisconnectReason_CLIENT_INITIATED})
		return nil, psrpc.NewError(psrpc.Unavailable, errClosing)
	}
	if req.WaitUntilAnswered {
		if err := <-answered; err != nil {
			return nil, err
		}
	}
	return &rpc.InternalCreateSIPParticipantResponse{
		ParticipantId:       c.room.participantID(),
		ParticipantIdentity: req.ParticipantIdentity,
		SipCallId:           req.SipCallId,
	}, nil
}

// TransferSIPParticipant asks the carrier to transfer the phone (REFER) and returns when that
// is done.
func (b *Bridge) TransferSIPParticipant(ctx context.Context, req *rpc.InternalTransferSIPParticipantRequest) (*emptypb.Empty, error) {
	b.mu.Lock()
	c := b.byID[req.SipCallId]
	b.mu.Unlock()
	if c == nil {
		return nil, psrpc.NewErrorf(psrpc.NotFound, "unknown call")
	}
	if err := c.transferTo(ctx, req); err != nil {
		return nil, err
	}
	return &emptypb.Empty{}, nil
}

// run starts work that Close waits for. It returns false if Close has begun. Running work may start
// more work by itself.
func (b *Bridge) run(f func()) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ctx.Err() != nil {
		return false
	}
	b.calls.Go(f)
	return true
}

// add registers the call, so that it can be transferred.
func (b *Bridge) add(c *call) error {
	b.mu.Lock()
	b.byID[c.id] = c
	b.mu.Unlock()
	return b.rpc.RegisterTransferSIPParticipantTopic(c.id)
}

func (b *Bridge) remove(c *call) {
	b.mu.Lock()
	delete(b.byID, c.id)
	b.mu.Unlock()
	b.rpc.DeregisterTransferSIPParticipantTopic(c.id)
}

// Attributes whose names LiveKit's protocol package does not export.
const (
	attrCallIDFull = "sip.callIDFull"
	attrCallTag    = "sip.callTag"
	attrInviteTime = "lk.sip.inviteTime" // of an inbound call; LiveKit SIP 1.11
	attrAnswerTime = "lk.sip.answerTime" // of an outbound call; LiveKit SIP 1.11
)

// unixMilli formats a time for these attributes.
func unixMilli(t time.Time) string { return strconv.FormatInt(t.UnixMilli(), 10) }

// Values of the attribute sip.callStatus.
const (
	statusDialing    = "dialing"
	statusRinging    = "ringing"
	statusAutomation = "automation"
	statusActive     = "active"
	statusHangup     = "hangup"
)

func callStatus(v string) map[string]string { return map[string]string{livekit.AttrSIPCallStatus: v} }

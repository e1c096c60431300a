package bridge

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/emiago/sipgo/sip"
	"github.com/livekit/protocol/livekit"

	"github.com/krosai/telephony/local/rtp"
)

// Times of LiveKit SIP v1.10.0. The first two are recorded, the others are its defaults.
const (
	firstAudioTimeout = 30 * time.Second // no RTP at all since the answer
	afterTransfer     = time.Second      // for the carrier to hang up a transferred call itself
	audioTimeout      = 15 * time.Second // RTP has stopped
	defaultRinging    = 3 * time.Minute
	maxCall           = 24 * time.Hour
)

// call is one telephone call, outbound or inbound, and its participant in a room.
type call struct {
	b     *Bridge
	id    string // LiveKit's call id (SCL_…), also our tag in the SIP dialog
	log   *slog.Logger
	room  *roomLeg
	media *rtp.Session

	dialog *dialog       // complete when started is closed
	acked  chan struct{} // inbound: the caller has acknowledged our 200
	ackOne sync.Once

	started chan struct{} // closed when the phone is answered
	ended   chan struct{} // closed when the call ends
	ending  sync.Once
	byes    chan struct{} // the phone hung up; one entry is enough
	hangups chan struct{} // a transfer is done; one entry is enough

	transfers transfers
}

func (b *Bridge) newCall(id string) (*call, error) {
	media, err := rtp.Listen(b.ua.host)
	if err != nil {
		return nil, err
	}
	return &call{
		b: b, id: id, log: b.log.With("call", id), media: media,
		acked: make(chan struct{}), started: make(chan struct{}), ended: make(chan struct{}),
		byes: make(chan struct{}, 1), hangups: make(chan struct{}, 1),
		transfers: newTransfers(),
	}, nil
}

// end says how a call ends, for the phone and for the room.
type end struct {
	bye    bool // send BYE
	hangup bool // set the status to hangup
	reason livekit.DisconnectReason
}

func (c *call) end(e end) {
	c.ending.Do(func() {
		close(c.ended)
		if e.hangup {
			c.room.setStatus(statusHangup)
		}
		if e.bye {
			c.send(c.dialog.request(sip.BYE))
		}
		c.room.leave(e.reason)
		c.media.Close()
		c.b.calls.Go(c.room.wait)
		c.b.ua.removeDialog(c.dialog.callID)
		c.b.remove(c)
	})
}

// send sends a request whose answer changes nothing. The transaction repeats it in the background.
func (c *call) send(req *sip.Request) {
	tx, err := c.b.ua.start(context.Background(), req)
	if err != nil {
		c.log.Error("request is not sent", "method", req.Method, "error", err)
		return
	}
	c.b.calls.Go(func() {
		defer tx.Terminate()
		c.b.awaitFinal(tx)
	})
}

// awaitFinal waits for the final answer for answerTimeout, or for a second when the bridge closes.
func (b *Bridge) awaitFinal(tx sip.ClientTransaction) *sip.Response {
	limit := time.NewTimer(answerTimeout)
	defer limit.Stop()
	closing := b.ctx.Done()
	for {
		select {
		case res := <-tx.Responses():
			if !res.IsProvisional() {
				return res
			}
		case <-tx.Done():
			return nil
		case <-limit.C:
			return nil
		case <-closing:
			closing = nil
			limit.Reset(time.Second)
		}
	}
}

// talk watches an answered call until it ends, and ends it for any of the reasons below.
func (c *call) talk(until time.Time) {
	duration := time.NewTimer(time.Until(until))
	defer duration.Stop()
	audio := time.NewTicker(time.Second)
	defer audio.Stop()
	answered := time.Now()
	for {
		select {
		case <-c.byes:
			c.end(end{hangup: true, reason: livekit.DisconnectReason_CLIENT_INITIATED})
		case <-c.hangups:
			c.end(end{hangup: true, bye: true, reason: livekit.DisconnectReason_CLIENT_INITIATED})
		case <-duration.C:
			c.end(end{hangup: true, bye: true, reason: livekit.DisconnectReason_CLIENT_INITIATED})
		case <-c.room.closed:
			c.end(end{bye: true})
		case <-c.b.ctx.Done():
			c.end(end{bye: true, reason: livekit.DisconnectReason_CLIENT_INITIATED})
		case <-audio.C:
			if c.silentSince(answered) {
				c.end(end{bye: true, reason: livekit.DisconnectReason_CLIENT_INITIATED})
			}
		case <-c.ended:
			return
		}
	}
}

// silentSince reports whether the phone has sent no RTP for too long.
func (c *call) silentSince(answered time.Time) bool {
	last := c.media.LastReceived()
	if last.IsZero() {
		return time.Since(answered) >= firstAudioTimeout
	}
	return time.Since(last) >= audioTimeout
}

func (c *call) onBye() {
	select {
	case c.byes <- struct{}{}:
	default:
	}
}

func (c *call) onAck() { c.ackOne.Do(func() { close(c.acked) }) }

// onReinvite answers a session refresh with the session agreed before. The phone may move
// its audio.
func (c *call) onReinvite(req *sip.Request, tx sip.ServerTransaction) {
	if len(req.Body()) > 0 {
		remote, err := rtp.ParseSDP(req.Body())
		if err != nil {
			respond(tx, req, 488, "Not Acceptable Here")
			return
		}
		c.media.SetRemote(remote)
	}
	c.respondSDP(req, tx)
}

func (c *call) respondSDP(req *sip.Request, tx sip.ServerTransaction) {
	res := sip.NewResponseFromRequest(req, 200, "OK", rtp.Offer(c.b.ua.host, c.media.Port()))
	setToTag(res, c.id)
	contact := c.dialog.contact
	res.AppendHeader(&sip.ContactHeader{Address: contact})
	res.AppendHeader(sip.NewHeader("Content-Type", "application/sdp"))
	if err := tx.Respond(res); err != nil {
		c.log.Error("answer is not sent", "error", err)
	}
}

package bridge

import (
	"context"
	"fmt"
	"maps"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/emiago/sipgo/sip"
	"github.com/icholy/digest"
	"github.com/livekit/protocol/livekit"
	"github.com/livekit/protocol/rpc"
	lksip "github.com/livekit/protocol/sip"
	"github.com/livekit/protocol/utils/guid"
	"github.com/livekit/psrpc"

	"github.com/krosai/telephony/local/rtp"
)

// newOutbound puts the callee's participant into the room, with the status dialing, before it sends
// an INVITE.
func (b *Bridge) newOutbound(ctx context.Context, req *rpc.InternalCreateSIPParticipantRequest) (*call, error) {
	req.Upgrade()
	c, err := b.newCall(req.SipCallId)
	if err != nil {
		return nil, psrpc.NewError(psrpc.Internal, err)
	}
	if c.dialog, err = b.outboundDialog(req); err != nil {
		c.media.Close()
		return nil, psrpc.NewError(psrpc.InvalidArgument, err)
	}
	attrs := maps.Clone(req.ParticipantAttributes)
	if attrs == nil {
		attrs = map[string]string{}
	}
	attrs[livekit.AttrSIPCallStatus] = statusDialing
	if err := b.add(c); err != nil {
		c.media.Close()
		return nil, psrpc.NewError(psrpc.Internal, err)
	}
	c.room, err = b.join(ctx, req.WsUrl, req.Token, lksip.SIPTokenParams{
		RoomName: req.RoomName, ParticipantIdentity: req.ParticipantIdentity, ParticipantName: req.ParticipantName,
		ParticipantMetadata: req.ParticipantMetadata, ParticipantAttributes: attrs,
	})
	if err != nil {
		c.media.Close()
		b.remove(c)
		return nil, psrpc.NewError(psrpc.Internal, fmt.Errorf("update room failed: %w", err))
	}
	b.ua.addDialog(c.dialog.callID, c)
	return c, nil
}

// outboundDialog is the dialog before its first INVITE. The request names the caller, the callee
// and the carrier.
func (b *Bridge) outboundDialog(req *rpc.InternalCreateSIPParticipantRequest) (*dialog, error) {
	d := &dialog{callID: guid.New(""), transport: "UDP", agent: "LiveKit"}
	switch req.Transport {
	case livekit.SIPTransport_SIP_TRANSPORT_AUTO, livekit.SIPTransport_SIP_TRANSPORT_UDP:
	case livekit.SIPTransport_SIP_TRANSPORT_TCP:
		d.transport = "TCP"
	default:
		return nil, fmt.Errorf("transport %s is not served here", req.Transport)
	}
	host, port := req.Address, 0
	if h, p, err := net.SplitHostPort(req.Address); err == nil {
		if port, err = strconv.Atoi(p); err != nil {
			return nil, fmt.Errorf("port of address %q: %w", req.Address, err)
		}
		host = h
	}
	d.target = sip.Uri{Scheme: "sip", User: req.CallTo, Host: host, Port: port}
	d.remote.uri = *d.target.Clone()
	if d.transport == "TCP" {
		d.target.UriParams = params("transport", "tcp")
	}
	fromHost := req.Hostname
	if fromHost == "" {
		fromHost = b.ua.host
	}
	d.local = party{name: req.Number, tag: req.SipCallId, uri: sip.Uri{Scheme: "sip", User: req.Number, Host: fromHost}}
	if req.DisplayName != nil {
		d.local.name = *req.DisplayName
	}
	d.contact = b.ua.contact(d.transport)
	return d, nil
}

// dial rings the callee. It returns when the call is answered and its first digits are played, or
// when the call has failed. An answered call then continues in the background. begin is the time of
// the request: max_call_duration counts from there.
func (c *call) dial(ctx context.Context, req *rpc.InternalCreateSIPParticipantRequest, begin time.Time) error {
	until := begin.Add(limit(req.MaxCallDuration.AsDuration(), maxCall))
	ctx, cancel := context.WithDeadline(ctx, until)
	defer cancel()
	ringing, stop := context.WithTimeout(ctx, limit(req.RingingTimeout.AsDuration(), defaultRinging))
	defer stop()
	go func() {
		select {
		case <-c.room.closed:
			stop()
		case <-ringing.Done():
		}
	}()

	answer, err := c.invite(ringing, req)
	if err != nil {
		c.end(end{reason: reasonOf(err)})
		return err
	}
	if err := c.accept(answer, req.HeadersToAttributes); err != nil {
		c.end(end{bye: true, reason: livekit.DisconnectReason_CLIENT_INITIATED})
		return psrpc.NewError(psrpc.FailedPrecondition, err)
	}
	close(c.started)
	c.b.calls.Go(func() { c.talk(until) })
	if req.Dtmf != "" {
		c.room.setStatus(statusAutomation)
		c.play(req.Dtmf)
	}
	c.room.setStatus(statusActive)
	c.room.connect(c.media)
	return nil
}

// limit is d, or most if d is not set or is longer.
func limit(d, most time.Duration) time.Duration {
	if d <= 0 || d > most {
		return most
	}
	return d
}

// invite sends the INVITE, repeats it with credentials after a challenge, and returns the 200.
func (c *call) invite(ctx context.Context, req *rpc.InternalCreateSIPParticipantRequest) (*sip.Response, error) {
	const attempts = 5
	var credentials sip.Header
	for range attempts {
		invite := c.inviteRequest(req.Headers)
		if credentials != nil {
			invite.AppendHeader(credentials)
		}
		res, err := c.attempt(ctx, invite)
		if err != nil {
			return nil, err
		}
		switch res.StatusCode {
		case 200:
			if err := c.dialog.answered(res); err != nil {
				return nil, psrpc.NewError(psrpc.Internal, err)
			}
			return res, nil
		case 401, 407:
			if credentials, err = authorize(invite, res, req.Username, req.Password); err != nil {
				return nil, err
			}
		default:
			return nil, inviteError(res)
		}
	}
	return nil, psrpc.NewError(psrpc.FailedPrecondition, errAuthRetries)
}

func (c *call) inviteRequest(headers map[string]string) *sip.Request {
	invite := c.dialog.request(sip.INVITE)
	for k, v := range headers {
		invite.AppendHeader(sip.NewHeader(k, v))
	}
	invite.AppendHeader(sip.NewHeader("Allow", allowed))
	invite.AppendHeader(sip.NewHeader("Content-Type", "application/sdp"))
	invite.SetBody(rtp.Offer(c.b.ua.host, c.media.Port()))
	return invite
}

// attempt sends one INVITE and returns its final answer. If ctx ends first, attempt cancels
// the call.
func (c *call) attempt(ctx context.Context, invite *sip.Request) (*sip.Response, error) {
	tx, err := c.b.ua.start(ctx, invite)
	if err != nil {
		return nil, transportError(err)
	}
	provisional := 0
	for {
		select {
		case <-ctx.Done():
			c.b.calls.Go(func() { c.abandon(tx, invite, provisional > 0) })
			return nil, psrpc.NewError(psrpc.Canceled, errTimedOut)
		case <-tx.Done():
			return nil, noFinalAnswer(provisional)
		case res := <-tx.Responses():
			if !res.IsProvisional() {
				c.b.calls.Go(func() { c.confirm(tx, invite, res) })
				return res, nil
			}
			provisional++
			if res.StatusCode >= 180 {
				c.room.setStatus(statusRinging)
			}
		}
	}
}

// confirm acknowledges every repeat of a 200 (RFC 3261 section 13.2.2.4). The transaction itself
// acknowledges other answers.
func (c *call) confirm(tx sip.ClientTransaction, invite *sip.Request, res *sip.Response) {
	defer tx.Terminate()
	if !res.IsSuccess() {
		// Keep the transaction for a second to acknowledge a repeated answer.
		select {
		case <-time.After(time.Second):
		case <-c.b.ctx.Done():
		}
		return
	}
	for {
		select {
		case again := <-tx.Responses():
			if again.IsSuccess() {
				c.acknowledge(invite.CSeq().SeqNo)
			}
		case <-tx.Done():
			return
		case <-c.ended:
			return
		}
	}
}

func (c *call) acknowledge(cseq uint32) {
	if err := c.b.ua.write(c.dialog.requestWith(sip.ACK, cseq)); err != nil {
		c.log.Error("ACK is not sent", "error", err)
	}
}

// abandon cancels an INVITE after the carrier has reacted to it (RFC 3261 section 9.1). If the call
// was answered nevertheless, abandon hangs up.
func (c *call) abandon(tx sip.ClientTransaction, invite *sip.Request, reacted bool) {
	defer tx.Terminate()
	for !reacted {
		select {
		case res := <-tx.Responses():
			if !res.IsProvisional() {
				c.hangUpLate(res)
				return
			}
			reacted = true
		case <-tx.Done():
			return
		case <-c.b.ctx.Done():
			return
		}
	}
	c.send(cancelRequest(invite))
	if res := c.b.awaitFinal(tx); res != nil {
		c.hangUpLate(res)
	}
}

// hangUpLate ends a call that was answered while it was being canceled.
func (c *call) hangUpLate(res *sip.Response) {
	if !res.IsSuccess() || c.dialog.answered(res) != nil {
		return
	}
	c.acknowledge(res.CSeq().SeqNo)
	c.send(c.dialog.request(sip.BYE))
}

// accept starts the media of an answered call and sets the dialog's names as attributes of
// the participant.
func (c *call) accept(res *sip.Response, headersToAttributes map[string]string) error {
	c.acknowledge(res.CSeq().SeqNo)
	remote, err := rtp.ParseSDP(res.Body())
	if err != nil {
		return err
	}
	c.media.SetRemote(remote)
	c.room.listen(c.media)
	attrs := headerAttributes(res.GetHeader, headersToAttributes)
	attrs[attrCallIDFull] = c.dialog.callID
	attrs[attrCallTag] = c.dialog.remote.tag
	attrs[attrAnswerTime] = unixMilli(time.Now())
	c.room.setAttributes(attrs)
	return nil
}

// play sends digits to the phone until all are sent or the call ends.
func (c *call) play(digits string) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		select {
		case <-c.ended:
			cancel()
		case <-ctx.Done():
		}
	}()
	if err := c.media.WriteDTMF(ctx, digits); err != nil && ctx.Err() == nil {
		c.log.Error("digits are not sent", "error", err)
	}
}

// authorize answers a digest challenge (RFC 3261 section 22).
func authorize(invite *sip.Request, res *sip.Response, username, password string) (sip.Header, error) {
	ask, answer := "WWW-Authenticate", "Authorization"
	if res.StatusCode == 407 {
		ask, answer = "Proxy-Authenticate", "Proxy-Authorization"
	}
	if username == "" || password == "" {
		return nil, psrpc.NewError(psrpc.FailedPrecondition, errNoCredentials)
	}
	h := res.GetHeader(ask)
	if h == nil {
		return nil, psrpc.NewError(psrpc.FailedPrecondition, errNoChallenge)
	}
	challenge, err := digest.ParseChallenge(h.Value())
	if err != nil {
		return nil, psrpc.NewErrorf(psrpc.Internal, "invalid challenge %q: %v", h.Value(), err)
	}
	credentials, err := digest.Digest(challenge, digest.Options{
		Method: invite.Method.String(), URI: invite.Recipient.String(), Username: username, Password: password, Count: 1,
	})
	if err != nil {
		return nil, psrpc.NewError(psrpc.Internal, err)
	}
	return sip.NewHeader(answer, credentials.String()), nil
}

// headerAttributes maps SIP headers to participant attributes, as configured in the trunk.
func headerAttributes(header func(string) sip.Header, names map[string]string) map[string]string {
	attrs := map[string]string{}
	for name, attr := range names {
		if h := header(name); h != nil {
			attrs[attr] = strings.TrimSpace(h.Value())
		}
	}
	return attrs
}

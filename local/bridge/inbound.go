package bridge

import (
	"context"
	"maps"

	"net"
	"strings"
	"sync"
	"time"

	"github.com/emiago/sipgo/sip"
	"github.com/icholy/digest"
	"github.com/livekit/protocol/livekit"
	"github.com/livekit/protocol/rpc"
	lksip "github.com/livekit/protocol/sip"
	"github.com/livekit/protocol/utils/guid"

	"github.com/krosai/telephony/local/rtp"
)

// inbound is a call from the carrier, until it is answered.
type inbound struct {
	b        *Bridge
	at       time.Time // time of the INVITE
	id       string
	req      *sip.Request
	tx       sip.ServerTransaction
	canceled chan struct{}
}

// onInvite serves an INVITE for a new call. It returns when the INVITE has its final answer,
// because the transaction must live until then.
func (b *Bridge) onInvite(req *sip.Request, tx sip.ServerTransaction) {
	in := &inbound{b: b, at: time.Now(), id: lksip.NewCallID(), req: req, tx: tx, canceled: make(chan struct{})}
	if !tx.OnCancel(func(*sip.Request) { close(in.canceled) }) {
		return
	}
	done := make(chan struct{})
	running := b.run(func() {
		defer close(done)
		in.serve()
	})
	if !running {
		respond(tx, req, 503, "Service Unavailable")
		return
	}
	<-done
}

func (in *inbound) serve() {
	if in.req.From() == nil || in.req.To() == nil || in.req.CallID() == nil || in.req.Contact() == nil {
		in.respond(400, "Bad request")
		return
	}
	in.respond(100, "Processing")
	trunk, ok := in.authenticate()
	if !ok {
		return
	}
	in.respond(180, "Ringing")
	again := time.NewTicker(time.Second)
	defer again.Stop()
	dispatch, ok := in.dispatch(trunk)
	if !ok {
		return
	}
	c, err := in.join(dispatch)
	if err != nil {
		in.b.log.Error("inbound call does not reach its room", "call", in.id, "error", err)
		in.respond(503, "Service Unavailable")
		return
	}
	in.ring(c, dispatch, again.C)
}

func (in *inbound) respond(code int, reason string) {
	res := sip.NewResponseFromRequest(in.req, code, reason, nil)
	setToTag(res, in.id)
	if code < 200 {
		res.AppendHeader(sip.NewHeader("Allow", allowed))
	}
	_ = in.tx.Respond(res)
}

// call describes the INVITE to LiveKit's server, which has the trunks and rules.
func (in *inbound) call() *rpc.SIPCall {
	host, _, _ := net.SplitHostPort(in.req.Source())
	return &rpc.SIPCall{
		LkCallId: in.id, SipCallId: in.req.CallID().Value(), SourceIp: host,
		Address: sipURI(in.req.Recipient), From: sipURI(in.req.From().Address), To: sipURI(in.req.To().Address),
	}
}

func sipURI(u sip.Uri) *livekit.SIPUri {
	return &livekit.SIPUri{User: u.User, Host: u.Host, Port: uint32(u.Port)}
}

// authenticate finds the trunk and, if the trunk has a password, demands it from the caller. It
// returns the trunk's id, which is empty if no trunk matches. ok is false when the call is over.
func (in *inbound) authenticate() (trunk string, ok bool) {
	auth, err := in.b.io.GetSIPTrunkAuthentication(in.b.ctx, &rpc.GetSIPTrunkAuthenticationRequest{Call: in.call()})
	if err != nil {
		in.respond(503, "Try again later")
		return "", false
	}
	if auth.Drop {
		in.stayQuiet()
		return "", false
	}
	if auth.Username == "" || auth.Password == "" {
		return auth.SipTrunkId, true
	}
	h := in.req.GetHeader("Proxy-Authorization")
	if h == nil {
		in.challenge(auth.Realm)
		return "", false
	}
	if !in.b.ua.nonces.valid(h.Value(), in.req.Method.String(), auth.Username, auth.Password) {
		in.respond(401, "Unauthorized")
		return "", false
	}
	return auth.SipTrunkId, true
}

func (in *inbound) challenge(realm string) {
	if realm == "" {
		realm = "LiveKit"
	}
	c := digest.Challenge{Realm: realm, Nonce: in.b.ua.nonces.issue(), Algorithm: "MD5"}
	res := sip.NewResponseFromRequest(in.req, 407, "Unauthorized", nil)
	setToTag(res, in.id)
	res.AppendHeader(sip.NewHeader("Proxy-Authenticate", c.String()))
	_ = in.tx.Respond(res)
}

// dispatch finds the room. Without a rule or a trunk for the call, LiveKit leaves the
// caller ringing.
func (in *inbound) dispatch(trunk string) (*rpc.EvaluateSIPDispatchRulesResponse, bool) {
	c := in.call()
	d, err := in.b.io.EvaluateSIPDispatchRules(in.b.ctx, &rpc.EvaluateSIPDispatchRulesRequest{SipTrunkId: trunk, Call: c,
		// LiveKit compares a rule's numbers with the calling and called fields.
		SipCallId: c.LkCallId, CallingNumber: c.From.User, CallingHost: c.From.Host,
		CalledNumber: c.To.User, CalledHost: c.To.Host, SrcAddress: c.SourceIp})
	if err != nil {
		in.b.log.Error("dispatch rules fail", "call", in.id, "error", err)
		in.stayQuiet()
		return nil, false
	}
	switch d.Result {
	case rpc.SIPDispatchResult_ACCEPT:
		return d, true
	case rpc.SIPDispatchResult_REJECT:
		in.respond(486, "Rejected")
	case rpc.SIPDispatchResult_REQUEST_PIN:
		in.b.log.Error("dispatch rules with a PIN are not served here", "call", in.id, "rule", d.SipDispatchRuleId)
		in.respond(501, "Not Implemented")
	default:
		in.stayQuiet()
	}
	return nil, false
}

// stayQuiet gives no final answer until the caller gives up, or for three minutes at most.
func (in *inbound) stayQuiet() {
	select {
	case <-in.canceled:
	case <-in.tx.Done():
	case <-time.After(defaultRinging):
		in.respond(480, "Temporarily Unavailable")
	case <-in.b.ctx.Done():
		in.respond(503, "Service Unavailable")
	}
}

// join puts the caller into the room, with the status ringing.
func (in *inbound) join(d *rpc.EvaluateSIPDispatchRulesResponse) (*call, error) {
	remote, err := rtp.ParseSDP(in.req.Body())
	if err != nil {
		return nil, err
	}
	c, err := in.b.newCall(in.id)
	if err != nil {
		return nil, err
	}
	c.media.SetRemote(remote)
	c.dialog = in.dialog()
	attrs := headerAttributes(in.req.GetHeader, d.HeadersToAttributes)
	maps.Copy(attrs, d.ParticipantAttributes)
	attrs[attrInviteTime] = unixMilli(in.at)
	attrs[livekit.AttrSIPCallStatus] = statusRinging
	attrs[attrCallIDFull] = c.dialog.callID
	attrs[attrCallTag] = c.dialog.remote.tag
	if err := in.b.add(c); err != nil {
		c.media.Close()
		return nil, err
	}
	ctx, cancel := context.WithTimeout(in.b.ctx, 10*time.Second)
	defer cancel()
	c.room, err = in.b.join(ctx, d.WsUrl, d.Token, lksip.SIPTokenParams{
		RoomName: d.RoomName, ParticipantIdentity: d.ParticipantIdentity, ParticipantName: d.ParticipantName,
		ParticipantMetadata: d.ParticipantMetadata, ParticipantAttributes: attrs,
		RoomPreset: d.RoomPreset, RoomConfig: d.RoomConfig,
	})
	if err != nil {
		c.media.Close()
		in.b.remove(c)
		return nil, err
	}
	in.b.ua.addDialog(c.dialog.callID, c)
	return c, nil
}

// dialog is the bridge's side of the dialog after the answer. The caller is the remote party.
func (in *inbound) dialog() *dialog {
	transport := strings.ToUpper(in.req.Transport())
	fromTag, _ := in.req.From().Params.Get("tag")
	contact := in.b.ua.contact(transport)
	contact.UriParams = params("transport", strings.ToLower(transport))
	d := &dialog{
		callID: in.req.CallID().Value(), transport: transport, contact: contact,
		target: in.req.Contact().Address, cseq: in.req.CSeq().SeqNo,
		local:  party{tag: in.id, uri: in.req.To().Address, name: in.req.To().DisplayName},
		remote: party{tag: fromTag, uri: in.req.From().Address, name: in.req.From().DisplayName},
	}
	for _, h := range in.req.GetHeaders("Record-Route") {
		d.routes = append(d.routes, h.Value())
	}
	return d
}

// ring repeats 180 every second until a participant of the room publishes audio, and then answers.
func (in *inbound) ring(c *call, d *rpc.EvaluateSIPDispatchRulesResponse, again <-chan time.Time) {
	until := time.Now().Add(limit(d.MaxCallDuration.AsDuration(), maxCall))
	timeout := time.NewTimer(limit(d.RingingTimeout.AsDuration(), defaultRinging))
	defer timeout.Stop()
	failed := end{reason: livekit.DisconnectReason_CLIENT_INITIATED}
	for {
		select {
		case <-again:
			in.respond(180, "Ringing")
		case <-c.room.heard:
			in.answer(c, until)
			return
		case <-in.canceled: // the transaction itself answers 487
			failed.hangup = true
			c.end(failed)
			return
		case <-timeout.C:
			in.respond(486, "Rejected")
			c.end(failed)
			return
		case <-c.room.closed:
			in.respond(486, "Rejected")
			c.end(failed)
			return
		case <-in.b.ctx.Done():
			in.respond(503, "Service Unavailable")
			c.end(failed)
			return
		}
	}
}

// answer repeats the 200 until it is acknowledged (RFC 3261 section 13.3.1.4), and then starts
// the conversation.
func (in *inbound) answer(c *call, until time.Time) {
	pause := 500 * time.Millisecond
	deadline := time.NewTimer(answerTimeout)
	defer deadline.Stop()
	for acked := false; !acked; {
		c.respondSDP(in.req, in.tx)
		select {
		case <-c.acked:
			acked = true
		case <-time.After(pause):
			pause = min(2*pause, 4*time.Second)
		case <-c.byes:
			acked = true
			c.onBye()
		case <-deadline.C:
			c.end(end{bye: true, reason: livekit.DisconnectReason_CLIENT_INITIATED})
			return
		case <-in.b.ctx.Done():
			c.end(end{bye: true, reason: livekit.DisconnectReason_CLIENT_INITIATED})
			return
		}
	}
	close(c.started)
	c.room.listen(c.media)
	c.room.connect(c.media)
	c.room.setStatus(statusActive)
	in.b.calls.Go(func() { c.talk(until) })
}

// nonces are the open digest challenges. Each accepts one answer within a minute.
type nonces struct {
	mu   sync.Mutex
	open map[string]time.Time // nonce to its expiry
}

func (n *nonces) issue() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	now := time.Now()
	for nonce, until := range n.open {
		if now.After(until) {
			delete(n.open, nonce)
		}
	}
	nonce := guid.New("")
	n.open[nonce] = now.Add(time.Minute)
	return nonce
}

// use removes a nonce and reports whether it was open and fresh.
func (n *nonces) use(nonce string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	until, ok := n.open[nonce]
	delete(n.open, nonce)
	return ok && time.Now().Before(until)
}

// valid reports whether an Authorization header proves the password for an open nonce.
func (n *nonces) valid(header, method, username, password string) bool {
	got, err := digest.ParseCredentials(header)
	if err != nil || got.Username != username || !n.use(got.Nonce) {
		return false
	}
	challenge := &digest.Challenge{Realm: got.Realm, Nonce: got.Nonce, Opaque: got.Opaque, Algorithm: got.Algorithm}
	if got.QOP != "" {
		challenge.QOP = []string{got.QOP}
	}
	want, err := digest.Digest(challenge, digest.Options{
		Method: method, URI: got.URI, Username: username, Password: password, Cnonce: got.Cnonce, Count: got.Nc,
	})
	return err == nil && want.Response == got.Response
}

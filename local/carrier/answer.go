package carrier

import (
	"context"
	"errors"
	"net/netip"
	"strconv"
	"time"

	"github.com/emiago/sipgo/sip"

	"github.com/krosai/telephony/local/rtp"
)

func statusLine(code int) string { return strconv.Itoa(code) + " " + reason(code) }

// onInvite plays the callee. It returns when the call is over, because the SIP stack then ends
// the transaction.
func (c *Carrier) onInvite(req *sip.Request, tx sip.ServerTransaction) {
	if _, inside := req.To().Params.Get("tag"); inside {
		c.onReinvite(req, tx)
		return
	}
	if !c.begin() {
		c.refuse(tx, c.response(req, 503, ""))
		return
	}
	defer c.work.Done()
	if err := tx.Respond(c.response(req, 100, "")); err != nil {
		return
	}
	// All further answers carry the tag. It goes into a copy, because the stack reads the request
	// when a CANCEL comes.
	tagged := req.Clone()
	tagged.SetBody(req.Body())
	tagged.To().Params.Add("tag", sip.GenerateTagN(16))
	req = tagged
	k := c.incoming(req)
	c.add(k)
	defer c.forget(k)

	if status := c.authorize(req, k.script.Auth); status != 0 {
		k.end("status", status)
		res := c.response(req, status, "")
		if status == 407 {
			res.AppendHeader(sip.NewHeader("Proxy-Authenticate", c.challenge(c.challenges.issue(time.Now())).String()))
		}
		c.refuse(tx, res)
		return
	}
	remote, err := rtp.ParseSDP(req.Body())
	if err != nil {
		k.end("status", 488)
		c.refuse(tx, c.response(req, 488, ""))
		return
	}
	if req.Contact() == nil {
		k.end("status", 400)
		c.refuse(tx, c.response(req, 400, ""))
		return
	}
	k.ring(req, tx, remote)
}

// incoming builds the call for an INVITE.
func (c *Carrier) incoming(req *sip.Request) *call {
	callee, caller := req.Recipient.User, req.From().Address.User
	k := &call{
		carrier: c, script: c.opts.Script(callee),
		acked: make(chan struct{}), over: make(chan struct{}), refreshed: make(chan struct{}),
		info: CallInfo{
			Callee: callee, Caller: caller, SIPCallID: req.CallID().Value(), State: "trying", Started: time.Now(),
		},
	}
	k.dialog.callID = req.CallID().Value()
	k.dialog.local = req.To().AsFrom()
	k.dialog.remote = req.From().AsTo()
	k.dialog.transport, k.dialog.peer = req.Transport(), req.Source()
	k.dialog.setTarget(req.Contact())
	return k
}

// onReinvite leaves the session unchanged (RFC 3261 section 14.2). It refuses the re-INVITE, unless
// the call's session can expire: then the re-INVITE counts as a refresh.
func (c *Carrier) onReinvite(req *sip.Request, tx sip.ServerTransaction) {
	switch k := c.find(req); {
	case k == nil:
		c.refuse(tx, c.response(req, 481, ""))
	case k.script.Expires == 0 || k.port() == 0:
		c.refuse(tx, c.response(req, 488, ""))
	default:
		k.refresh()
		c.refuse(tx, k.withSession(c.response(req, 200, ""))) // waits for the ACK, as after a refusal
	}
}

// onUpdate takes an UPDATE without a session description as a refresh (RFC 3311, RFC 4028
// section 7.4).
func (c *Carrier) onUpdate(req *sip.Request, tx sip.ServerTransaction) {
	k := c.find(req)
	if k == nil || k.script.Expires == 0 {
		c.onOther(req, tx)
		return
	}
	if err := tx.Respond(k.timed(c.response(req, 200, ""))); err != nil {
		c.log.Debug("answer not sent", "status", 200, "error", err)
	}
	k.refresh()
}

// timed adds the request for session refreshes to an answer, if the session can expire.
func (k *call) timed(res *sip.Response) *sip.Response {
	if k.script.Expires > 0 {
		res.AppendHeader(sip.NewHeader("Require", "timer"))
		res.AppendHeader(sip.NewHeader("Session-Expires", strconv.Itoa(int(k.script.Expires.Seconds()))+";refresher=uac"))
	}
	return res
}

// withSession adds the callee's session description to an answer.
func (k *call) withSession(res *sip.Response) *sip.Response {
	res.AppendHeader(sip.NewHeader("Content-Type", "application/sdp"))
	res.SetBody(rtp.Offer(k.carrier.host, k.port()))
	return k.timed(res)
}

// refuse gives an INVITE its final answer and waits for the ACK. The stack repeats the answer
// until then.
func (c *Carrier) refuse(tx sip.ServerTransaction, res *sip.Response) {
	// After a CANCEL the stack has sent its 487 and ignores ours.
	if err := tx.Respond(res); err != nil && !errors.Is(err, sip.ErrTransactionCanceled) {
		c.log.Debug("answer not sent", "status", res.StatusCode, "error", err)
		return
	}
	select {
	case <-tx.Acks():
	case <-tx.Done():
	case <-c.closing:
	}
}

// ring plays the script up to the final answer. A CANCEL may come at any time. The stack answers
// both the CANCEL and the INVITE.
func (k *call) ring(req *sip.Request, tx sip.ServerTransaction, remote netip.AddrPort) {
	if !tx.OnCancel(func(*sip.Request) { k.end("cancel", 487) }) {
		k.end("cancel", 487)
		return
	}
	ringFor := k.script.RingFor
	if k.wait(k.script.Ring, tx.Done()) && !k.script.NoRing && k.advance("ringing") {
		if k.script.RingLate > 0 {
			ringFor -= k.script.RingLate
		}
		if err := k.sayRinging(req, tx, remote); err != nil && !errors.Is(err, sip.ErrTransactionCanceled) {
			k.end("status", 0)
			return
		}
	}
	if k.script.Status == 0 {
		ringFor = -1
	}
	status, phrase := k.script.Status, k.script.Reason
	if !k.wait(ringFor, tx.Done()) {
		status, phrase = 503, "" // the carrier closes, or the transaction is dead
	}
	if status/100 == 2 {
		k.answer(req, tx, remote)
		return
	}
	if !k.end("status", status) {
		status, phrase = 487, "" // by CANCEL, or by BYE before the answer (RFC 3261 section 15.1.2)
	}
	res := k.carrier.response(req, status, phrase)
	if status/100 == 3 { // the same number elsewhere (RFC 3261 section 21.3)
		res.ReplaceHeader(&sip.ContactHeader{Address: uri(k.info.Callee, "moved.invalid", sip.DefaultPort("udp"))})
	}
	k.carrier.refuse(tx, res)
}

// sayRinging tells the caller that the phone rings: with a 180, or with a 183 and the callee's
// audio (RFC 3261 section 13).
func (k *call) sayRinging(req *sip.Request, tx sip.ServerTransaction, remote netip.AddrPort) error {
	if !k.script.EarlyMedia {
		return tx.Respond(k.carrier.response(req, 180, ""))
	}
	if err := k.openMedia(remote); err != nil {
		return err
	}
	if err := tx.Respond(k.withSession(k.carrier.response(req, 183, ""))); err != nil {
		return err
	}
	if k.script.RingLate == 0 || !k.wait(k.script.RingLate, tx.Done()) {
		return nil
	}
	return tx.Respond(k.carrier.response(req, 180, ""))
}

// openMedia starts the callee's audio, unless it has started. The end of the call closes it.
func (k *call) openMedia(remote netip.AddrPort) error {
	if k.port() != 0 {
		return nil
	}
	media, err := rtp.Listen(k.carrier.host)
	if err != nil {
		return err
	}
	k.mu.Lock()
	k.media = media
	k.mu.Unlock()
	k.startMedia(remote)
	return nil
}

// port is the UDP port of the callee's audio, 0 before it starts.
func (k *call) port() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.media == nil {
		return 0
	}
	return k.media.Port()
}

// answer takes the call and plays the rest of the script.
func (k *call) answer(req *sip.Request, tx sip.ServerTransaction, remote netip.AddrPort) {
	if err := k.openMedia(remote); err != nil {
		k.carrier.log.Error("no media port", "error", err)
		k.end("status", 500)
		k.carrier.refuse(tx, k.carrier.response(req, 500, ""))
		return
	}
	ok := k.withSession(k.carrier.response(req, k.script.Status, k.script.Reason))
	if !k.advance("talking") {
		k.carrier.refuse(tx, k.carrier.response(req, 487, ""))
		return
	}
	if k.sendAnswer(tx, ok) {
		k.talk()
	}
}

// overtaken ends a call whose CANCEL came while it was being answered. The stack has sent 487, not
// our answer.
func (k *call) overtaken() {
	k.mu.Lock()
	k.info.Answered, k.info.Status = time.Time{}, 487
	k.mu.Unlock()
	k.end("cancel", 487)
}

// sendAnswer repeats the 2xx until it is acknowledged (RFC 3261 section 13.3.1.4), because the
// stack does not. It reports whether the call is up. A CANCEL that overtook the answer ends
// the call.
func (k *call) sendAnswer(tx sip.ServerTransaction, ok *sip.Response) bool {
	deadline := time.Now().Add(64 * sip.T1)
	for interval := sip.T1; ; interval = min(2*interval, sip.T2) {
		if err := tx.Respond(ok); errors.Is(err, sip.ErrTransactionCanceled) {
			k.overtaken()
			return false
		}
		timer := time.NewTimer(interval)
		select {
		case <-k.acked:
			timer.Stop()
			return true
		case <-tx.Acks(): // sent with the INVITE's branch, against section 13.2.2.4
			timer.Stop()
			return true
		case <-k.over:
			timer.Stop()
			return false
		case <-k.carrier.closing:
			timer.Stop()
			return true // talk hangs up
		case <-timer.C:
		}
		if time.Now().After(deadline) {
			k.carrier.log.Warn("answer not acknowledged", "sip_call_id", k.dialog.callID)
			_ = k.bye(context.Background()) // the call is over either way
			return false
		}
	}
}

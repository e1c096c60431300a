package carrier

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/emiago/sipgo/sip"

	"github.com/krosai/telephony/local/rtp"
)

// CallOptions describe a call placed by the carrier.
type CallOptions struct {
	From, To           string        // numbers
	Username, Password string        // credentials for a 401 or 407, if Username is not empty
	Transport          string        // "udp", the default, or "tcp"
	Script             Script        // only Silent, DTMF, HangUpAfter and Refer apply
	RingTimeout        time.Duration // from the INVITE to the CANCEL; 0 = none
}

// StatusError is the refusal of a call.
type StatusError struct {
	Code   int
	Reason string
}

func (e *StatusError) Error() string { return fmt.Sprintf("call refused: %d %s", e.Code, e.Reason) }

// OutCall is a call placed by the carrier.
type OutCall struct {
	call     *call
	username string
	password string

	decided   chan struct{} // closed at the final answer; err is its result
	err       error
	early     chan struct{} // closed at the first provisional answer
	earlyOnce sync.Once

	mu          sync.Mutex
	invite      *sip.Request // the newest; an INVITE with credentials is the second
	provisional []int
	canceled    bool
}

// Call places a call to a SIP address (host:port) and returns after the INVITE is sent. The call
// continues until one side ends it. ctx bounds only the sending.
func (c *Carrier) Call(ctx context.Context, to string, o CallOptions) (*OutCall, error) {
	host, portText, err := net.SplitHostPort(to)
	if err != nil {
		return nil, fmt.Errorf("carrier: %w", err)
	}
	port, err := strconv.Atoi(portText)
	if err != nil {
		return nil, fmt.Errorf("carrier: port of %q: %w", to, err)
	}
	if !c.begin() {
		return nil, errors.New("carrier: closed")
	}
	media, err := rtp.Listen(c.host)
	if err != nil {
		c.work.Done()
		return nil, err
	}
	out := &OutCall{
		call: c.outgoing(host, port, o, media), username: o.Username, password: o.Password,
		decided: make(chan struct{}), early: make(chan struct{}),
	}
	c.add(out.call)
	tx, err := out.sendInvite(ctx, nil)
	if err != nil {
		out.call.end("status", 0)
		c.forget(out.call)
		c.work.Done()
		return nil, errors.Join(fmt.Errorf("carrier: %w", err), media.Close())
	}
	go out.run(tx, o.RingTimeout)
	return out, nil
}

// outgoing builds a call of the carrier, before its INVITE.
func (c *Carrier) outgoing(host string, port int, o CallOptions, media *rtp.Session) *call {
	k := &call{
		carrier: c, script: o.Script, media: media, acked: make(chan struct{}), over: make(chan struct{}), refreshed: make(chan struct{}),
		info: CallInfo{
			Callee: o.To, Caller: o.From, SIPCallID: sip.GenerateTagN(24), State: "trying", Started: time.Now(),
		},
	}
	k.dialog.callID = k.info.SIPCallID
	k.dialog.transport = "UDP"
	if strings.EqualFold(o.Transport, "tcp") {
		k.dialog.transport = "TCP"
	}
	k.dialog.local = sip.FromHeader{
		Address: uri(o.From, c.host, c.port), Params: sip.HeaderParams{"tag": sip.GenerateTagN(16)},
	}
	k.dialog.target = uri(o.To, host, port)
	k.dialog.remote = sip.ToHeader{Address: k.dialog.target, Params: sip.NewParams()}
	return k
}

// Answered waits for the final answer. It returns nil if the call is answered, and a *StatusError
// if it is refused or canceled.
func (o *OutCall) Answered(ctx context.Context) error {
	select {
	case <-o.decided:
		return o.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Hangup ends the call and waits for the answer. An unanswered call is ended with CANCEL.
func (o *OutCall) Hangup(ctx context.Context) error {
	select {
	case <-o.decided:
		return o.call.bye(ctx)
	default:
		return o.Cancel(ctx)
	}
}

// Cancel cancels an unanswered call. It returns when the other side has confirmed this with the
// INVITE's final answer. If the call is answered meanwhile, Cancel hangs up. The CANCEL waits for
// the first provisional answer (RFC 3261 section 9.1).
func (o *OutCall) Cancel(ctx context.Context) error {
	o.mu.Lock()
	again := o.canceled
	o.canceled = true
	o.mu.Unlock()
	if !again {
		if err := o.sendCancel(ctx); err != nil {
			return err
		}
	}
	select {
	case <-o.decided:
		return o.call.bye(ctx) // the answer may have come just before the CANCEL
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (o *OutCall) sendCancel(ctx context.Context) error {
	select {
	case <-o.early:
	case <-o.decided:
		return o.call.bye(ctx)
	case <-ctx.Done():
		return ctx.Err()
	}
	o.mu.Lock()
	invite := o.invite
	o.mu.Unlock()
	cancel := sip.NewRequest(sip.CANCEL, invite.Recipient)
	cancel.SetTransport(invite.Transport())
	cancel.SetDestination(invite.Destination())
	cancel.AppendHeader(invite.Via().Clone()) // the branch identifies the canceled INVITE
	for _, name := range []string{"Max-Forwards", "From", "To", "Call-ID"} {
		sip.CopyHeaders(name, invite, cancel)
	}
	cancel.AppendHeader(&sip.CSeqHeader{SeqNo: invite.CSeq().SeqNo, MethodName: sip.CANCEL})
	cancel.SetBody(nil)
	_, err := o.call.carrier.do(ctx, cancel)
	return err
}

// Provisional returns the codes below 200 received so far, repeats included.
func (o *OutCall) Provisional() []int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.provisional)
}

// RTPReceived is the number of media packets received.
func (o *OutCall) RTPReceived() int { return o.call.snapshot().RTPReceived }

// Info is the call's entry in Calls.
func (o *OutCall) Info() CallInfo { return o.call.snapshot() }

// Done is closed when the call is over.
func (o *OutCall) Done() <-chan struct{} { return o.call.over }

// sendInvite sends the INVITE. If challenged is not nil, the INVITE carries credentials.
func (o *OutCall) sendInvite(ctx context.Context, challenged *sip.Response) (sip.ClientTransaction, error) {
	k := o.call
	req := k.carrier.request(&k.dialog, sip.INVITE, k.dialog.cseq.Add(1))
	req.AppendHeader(sip.NewHeader("Allow", allow))
	req.AppendHeader(sip.NewHeader("Content-Type", "application/sdp"))
	req.SetBody(rtp.Offer(k.carrier.host, k.media.Port()))
	if challenged != nil && !answerChallenge(req, challenged, o.username, o.password) {
		return nil, errors.New("challenge without digest")
	}
	o.mu.Lock()
	o.invite = req
	o.mu.Unlock()
	return k.carrier.send(ctx, req)
}

// run handles the call from its INVITE to its end.
func (o *OutCall) run(tx sip.ClientTransaction, ringTimeout time.Duration) {
	k := o.call
	defer k.carrier.work.Done()
	defer k.carrier.forget(k)
	stop := o.cancelWhenDue(ringTimeout)
	res, tx, err := o.awaitFinal(tx)
	stop()
	defer tx.Terminate()
	if err != nil || !res.IsSuccess() {
		o.refused(res, err)
		return
	}

	k.dialog.answeredFrom(res)
	ack := o.ack()
	k.carrier.work.Go(func() { o.acknowledge(tx, ack) })
	remote, err := rtp.ParseSDP(res.Body())
	o.mu.Lock()
	canceled := o.canceled
	o.mu.Unlock()
	if err != nil || canceled {
		k.end("cancel", 487)
		_ = k.sendBye(context.Background()) // the call is over either way
		o.refused(nil, err)
		return
	}
	k.startMedia(remote)
	k.advance("talking")
	close(o.decided)
	k.talk()
}

// cancelWhenDue cancels the call at the ringing timeout or when the carrier closes.
func (o *OutCall) cancelWhenDue(ringTimeout time.Duration) (stop func()) {
	if ringTimeout == 0 {
		ringTimeout = -1
	}
	final := make(chan struct{})
	o.call.carrier.work.Go(func() {
		o.call.wait(ringTimeout, final)
		select {
		case <-final:
			return
		default:
		}
		ctx, cancel := context.WithTimeout(context.Background(), byeTimeout)
		defer cancel()
		if err := o.Cancel(ctx); err != nil {
			o.call.carrier.log.Debug("cancel", "error", err)
		}
	})
	return func() { close(final) }
}

// awaitFinal reads answers up to the final one and answers one challenge on the way. It returns the
// final answer with its transaction.
func (o *OutCall) awaitFinal(tx sip.ClientTransaction) (*sip.Response, sip.ClientTransaction, error) {
	challenged := false
	var giveUp <-chan time.Time // after closing, the other side may not answer a CANCEL
	closing := o.call.carrier.closing
	for {
		select {
		case res := <-tx.Responses():
			switch {
			case res.IsProvisional():
				o.progress(res.StatusCode)
			case (res.StatusCode == 401 || res.StatusCode == 407) && o.username != "" && !challenged:
				challenged = true
				next, err := o.sendInvite(context.Background(), res)
				if err != nil {
					return res, tx, nil
				}
				tx = next
			default:
				return res, tx, nil
			}
		case <-tx.Done():
			return nil, tx, errors.Join(errors.New("no answer"), tx.Err())
		case <-closing:
			closing, giveUp = nil, time.After(byeTimeout)
		case <-giveUp:
			return nil, tx, errors.New("carrier closed")
		}
	}
}

func (o *OutCall) progress(code int) {
	o.mu.Lock()
	o.provisional = append(o.provisional, code)
	o.mu.Unlock()
	o.earlyOnce.Do(func() { close(o.early) })
	if code > 100 {
		o.call.advance("ringing")
	}
}

// refused ends a call that was not answered, or whose answer is not usable. 408 stands for a
// missing answer (RFC 3261 section 8.1.3.1).
func (o *OutCall) refused(res *sip.Response, err error) {
	refusal := &StatusError{Code: 408, Reason: reason(408)}
	if res != nil {
		refusal = &StatusError{Code: res.StatusCode, Reason: res.Reason}
	}
	o.mu.Lock()
	by := "status"
	if o.canceled {
		by = "cancel"
	}
	o.mu.Unlock()
	o.call.end(by, refusal.Code)
	o.err = refusal
	if err != nil {
		o.err = fmt.Errorf("%w: %w", refusal, err)
	}
	if err := o.call.media.Close(); err != nil {
		o.call.carrier.log.Warn("media not closed", "error", err)
	}
	close(o.decided)
}

// ack is the ACK of the 2xx to the newest INVITE. It is its own transaction (RFC 3261
// section 13.2.2.4).
func (o *OutCall) ack() *sip.Request {
	o.mu.Lock()
	defer o.mu.Unlock()
	k := o.call
	return k.carrier.request(&k.dialog, sip.ACK, o.invite.CSeq().SeqNo)
}

// acknowledge sends the ACK, and repeats it for each repeated 2xx while the transaction lives.
func (o *OutCall) acknowledge(tx sip.ClientTransaction, ack *sip.Request) {
	c := o.call.carrier
	for {
		if err := c.connect(context.Background(), ack); err != nil {
			c.log.Warn("ack not sent", "error", err)
			return
		}
		if err := c.client.WriteRequest(ack, asIs); err != nil {
			c.log.Warn("ack not sent", "error", err)
		}
		select {
		case <-tx.Responses():
		case <-tx.Done():
			return
		}
	}
}

package carrier

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/emiago/sipgo/sip"

	"github.com/krosai/telephony/local/rtp"
)

// byeTimeout limits the wait for the answer to a BYE or CANCEL.
const byeTimeout = 2 * time.Second

// call is one call, placed by either side.
type call struct {
	carrier *Carrier
	script  Script
	dialog  dialog
	media   *rtp.Session

	acked     chan struct{} // closed when our answer is acknowledged
	ackOnce   sync.Once
	over      chan struct{} // closed by end
	refreshed chan struct{} // gets a value for each refresh of a session that can expire

	mu   sync.Mutex
	info CallInfo
}

// end ends the call, once. It records who ended the call and, for an unanswered call, the final
// status. It returns false if the call had ended before.
func (k *call) end(by string, status int) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.info.State == "ended" {
		return false
	}
	k.info.State, k.info.Ended, k.info.EndedBy = "ended", time.Now(), by
	if k.info.Status == 0 {
		k.info.Status = status
	}
	close(k.over)
	k.carrier.log.Info("call ended", "sip_call_id", k.info.SIPCallID, "by", by, "status", k.info.Status)
	return true
}

// advance moves a live call to "ringing" or "talking". It returns false if the call has ended.
func (k *call) advance(state string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.info.State == "ended" {
		return false
	}
	k.info.State = state
	if state == "talking" {
		k.info.Answered, k.info.Status = time.Now(), 200
	}
	return true
}

func (k *call) snapshot() CallInfo {
	k.mu.Lock()
	defer k.mu.Unlock()
	info := k.info
	info.Refers = append([]string(nil), info.Refers...)
	if k.media != nil {
		info.RTPReceived = k.media.Packets()
	}
	return info
}

// wait returns true after d. It returns false if the call ends, the transaction ends or the carrier
// closes first. A negative d has no end.
func (k *call) wait(d time.Duration, dead <-chan struct{}) bool {
	var passed <-chan time.Time
	if d >= 0 {
		timer := time.NewTimer(d)
		defer timer.Stop()
		passed = timer.C
	}
	select {
	case <-passed:
		return true
	case <-k.over:
	case <-dead:
	case <-k.carrier.closing:
	}
	return false
}

// startMedia sends the callee's voice to remote and counts the received packets until the call
// is over.
func (k *call) startMedia(remote netip.AddrPort) {
	k.media.SetRemote(remote)
	k.carrier.work.Go(func() {
		err := k.media.Read(func(payload []byte) {
			if slices.ContainsFunc(payload, audible) {
				k.mu.Lock()
				k.info.VoiceReceived++
				k.mu.Unlock()
			}
		}, func(digit byte) {
			k.mu.Lock()
			k.info.DTMFReceived += string(digit)
			k.mu.Unlock()
		})
		if err != nil {
			k.carrier.log.Warn("media ended", "error", err)
		}
	})
	k.carrier.work.Go(func() {
		defer k.media.Close()
		if k.script.Silent {
			<-k.over
			return
		}
		k.speak()
	})
}

// audible reports whether a PCMU sample is louder than silence and the faintest hiss. Without the
// sign bit, the inverted bits are the distance from zero (ITU-T G.711).
func audible(sample byte) bool { return ^sample&0x7f >= 0x20 }

// speak repeats the voice, one frame every 20 ms.
func (k *call) speak() {
	const frame = 160
	voice := k.carrier.voice
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for at := 0; ; at = (at + frame) % len(voice) {
		select {
		case <-k.over:
			return
		case <-tick.C:
			if err := k.media.WriteAudio(voice[at : at+frame]); err != nil {
				k.carrier.log.Warn("audio not sent", "error", err)
				return
			}
		}
	}
}

// talk plays the script after the answer and returns when the call is over. Either side may end
// the call.
func (k *call) talk() {
	if k.script.DTMF != "" {
		k.carrier.work.Go(k.dial)
	}
	if k.script.Expires > 0 {
		k.carrier.work.Go(k.expire)
	}
	hangUp := time.Duration(-1)
	if k.script.HangUpAfter > 0 {
		hangUp = time.Until(k.snapshot().Answered.Add(k.script.HangUpAfter))
		hangUp = max(hangUp, 0)
	}
	k.wait(hangUp, nil)
	_ = k.bye(context.Background()) // the call is over either way
}

func (k *call) dial() {
	ctx, cancel := k.context()
	defer cancel()
	if k.script.DTMFInfo {
		k.dialByInfo(ctx)
		return
	}
	if err := k.media.WriteDTMF(ctx, k.script.DTMF); err != nil && ctx.Err() == nil {
		k.carrier.log.Warn("digits not sent", "error", err)
	}
}

// dialByInfo sends each digit in its own INFO. Many carriers' gateways do so if the other side has
// not offered telephone events.
func (k *call) dialByInfo(ctx context.Context) {
	for _, digit := range k.script.DTMF {
		if digit == 'w' {
			if !k.wait(500*time.Millisecond, nil) {
				return
			}
			continue
		}
		req := k.carrier.request(&k.dialog, sip.INFO, k.dialog.cseq.Add(1))
		req.AppendHeader(sip.NewHeader("Content-Type", "application/dtmf-relay"))
		req.SetBody([]byte("Signal=" + string(digit) + "\r\nDuration=250\r\n"))
		if _, err := k.carrier.do(ctx, req); err != nil && ctx.Err() == nil {
			k.carrier.log.Warn("digit not sent", "error", err)
			return
		}
	}
}

// refresh restarts the session's expiry.
func (k *call) refresh() {
	select {
	case k.refreshed <- struct{}{}:
	case <-k.over:
	case <-k.carrier.closing:
	}
}

// expire hangs up if the session is not refreshed in time.
func (k *call) expire() {
	for {
		timer := time.NewTimer(k.script.Expires)
		select {
		case <-k.refreshed:
			timer.Stop()
		case <-timer.C:
			_ = k.bye(context.Background()) // the call is over either way
			return
		case <-k.over:
			timer.Stop()
			return
		case <-k.carrier.closing:
			timer.Stop()
			return
		}
	}
}

// context ends with the call.
func (k *call) context() (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		defer cancel()
		k.wait(-1, ctx.Done())
	}()
	return ctx, cancel
}

// bye hangs up, unless the call has already ended.
func (k *call) bye(ctx context.Context) error {
	if !k.end("bye-out", 0) {
		return nil
	}
	return k.sendBye(ctx)
}

func (k *call) sendBye(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, byeTimeout)
	defer cancel()
	_, err := k.carrier.do(ctx, k.carrier.request(&k.dialog, sip.BYE, k.dialog.cseq.Add(1)))
	if err != nil {
		k.carrier.log.Debug("bye not answered", "error", err)
	}
	return err
}

// onRefer answers a transfer as scripted and reports its outcome in NOTIFYs (RFC 3515).
func (c *Carrier) onRefer(req *sip.Request, tx sip.ServerTransaction) {
	k := c.find(req)
	if k == nil || k.snapshot().State != "talking" {
		c.respond(req, tx, 481)
		return
	}
	target := req.GetHeader("Refer-To")
	if target == nil {
		c.respond(req, tx, 400)
		return
	}
	k.mu.Lock()
	k.info.Refers = append(k.info.Refers, strings.Trim(target.Value(), "<>"))
	k.mu.Unlock()
	refer := k.script.Refer
	if k.script.ReferTo != nil {
		refer = k.script.ReferTo(strings.Trim(target.Value(), "<>"))
	}
	if refer.Mute {
		k.wait(-1, tx.Done()) // a repeated REFER then belongs to this transaction
		return
	}
	status := refer.Status
	if status == 0 {
		status = 202
	}
	if status < 300 && c.begin() {
		go func() {
			defer c.work.Done()
			k.report(refer, time.Now())
		}()
	}
	c.respond(req, tx, status)
}

// report sends the NOTIFYs of a transfer. accepted is the time of its answer.
func (k *call) report(refer Refer, accepted time.Time) {
	codes := refer.Notify
	if codes == nil {
		codes = []int{100, 200}
	}
	last := refer.NotifyAfter
	if last == 0 {
		last = 500 * time.Millisecond
	}
	for i, code := range codes {
		pause := 50 * time.Millisecond
		if i == len(codes)-1 {
			pause = max(0, time.Until(accepted.Add(last)))
		}
		if !k.wait(pause, nil) {
			return
		}
		if err := k.notify(code, i == len(codes)-1); err != nil {
			k.carrier.log.Debug("transfer not reported", "error", err)
			return
		}
	}
	transferred := len(codes) == 0 || codes[len(codes)-1]/100 == 2
	if refer.Bye && transferred && k.wait(200*time.Millisecond, nil) {
		if err := k.bye(context.Background()); err != nil {
			k.carrier.log.Debug("hang-up after transfer", "error", err)
		}
	}
}

// notify reports one status of the transfer as a message/sipfrag body (RFC 3420).
func (k *call) notify(code int, last bool) error {
	req := k.carrier.request(&k.dialog, sip.NOTIFY, k.dialog.cseq.Add(1))
	state := "active;expires=60"
	if last {
		state = "terminated;reason=noresource"
	}
	req.AppendHeader(sip.NewHeader("Event", "refer"))
	req.AppendHeader(sip.NewHeader("Subscription-State", state))
	req.AppendHeader(sip.NewHeader("Content-Type", "message/sipfrag;version=2.0"))
	req.SetBody([]byte("SIP/2.0 " + statusLine(code)))
	ctx, cancel := k.context()
	defer cancel()
	res, err := k.carrier.do(ctx, req)
	if err == nil && !res.IsSuccess() {
		err = errors.New("NOTIFY refused: " + res.StartLine())
	}
	return err
}

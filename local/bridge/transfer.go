package bridge

import (
	"bytes"
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/emiago/sipgo/sip"
	"github.com/livekit/protocol/livekit"
	"github.com/livekit/protocol/rpc"
	"github.com/livekit/psrpc"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/types/known/anypb"
)

// lateNotify is how long a NOTIFY without a waiting transfer stays unanswered, and the next REFER
// unsent. Recorded.
const lateNotify = 5 * time.Second

// lastReport is how long after the end of a call the last report on its transfer may arrive
// (LiveKit SIP 1.11).
const lastReport = time.Second

// transfers are a call's transfers, one at a time.
type transfers struct {
	mu      *sync.Mutex
	pending *transfer

	// refer is held while a REFER is sent and while a NOTIFY waits for its transfer.
	refer   *sync.Mutex
	results chan *livekit.SIPStatus // the carrier's final reports; not buffered
}

func newTransfers() transfers {
	return transfers{mu: &sync.Mutex{}, refer: &sync.Mutex{}, results: make(chan *livekit.SIPStatus)}
}

// transfer is one attempt. err is set before done is closed.
type transfer struct {
	target string
	done   chan struct{}
	err    error
}

// transferTo transfers the call, or waits for a transfer to the same target that is already in
// progress. Meanwhile it refuses a transfer to another target. If the phone still rings, the
// transfer waits for the answer and proceeds even if ctx has ended.
func (c *call) transferTo(ctx context.Context, req *rpc.InternalTransferSIPParticipantRequest) error {
	c.transfers.mu.Lock()
	t := c.transfers.pending
	if t != nil && t.target != req.TransferTo {
		c.transfers.mu.Unlock()
		return psrpc.NewErrorf(psrpc.InvalidArgument, "call already being transferred elsewhere")
	}
	if t == nil {
		t = &transfer{target: req.TransferTo, done: make(chan struct{})}
		if !c.b.run(func() { c.transfer(t, req) }) {
			c.transfers.mu.Unlock()
			return psrpc.NewError(psrpc.Unavailable, errClosing)
		}
		c.transfers.pending = t
	}
	c.transfers.mu.Unlock()
	select {
	case <-t.done:
		return t.err
	case <-ctx.Done():
		return psrpc.ErrRequestTimedOut
	}
}

func (c *call) transfer(t *transfer, req *rpc.InternalTransferSIPParticipantRequest) {
	ctx, cancel := context.WithTimeout(c.b.ctx, limit(req.RingingTimeout.AsDuration(), 30*time.Second))
	defer cancel()
	t.err = c.referAndWait(ctx, req)
	c.transfers.mu.Lock()
	c.transfers.pending = nil
	c.transfers.mu.Unlock()
	close(t.done)
	if t.err != nil {
		return
	}
	select {
	case <-time.After(afterTransfer):
	case <-c.ended:
		return
	}
	select {
	case c.hangups <- struct{}{}:
	default:
	}
}

func (c *call) referAndWait(ctx context.Context, req *rpc.InternalTransferSIPParticipantRequest) error {
	select {
	case <-c.started:
	case <-c.ended:
		return psrpc.NewErrorf(psrpc.FailedPrecondition, "call has ended")
	}
	if err := c.refer(ctx, req); err != nil {
		return err
	}
	var over <-chan time.Time
	for ended := c.ended; ; {
		select {
		case status := <-c.transfers.results:
			if status.Code >= 300 {
				return fmt.Errorf("call transfer failed: %w", status)
			}
			return nil
		case <-ended:
			ended, over = nil, time.After(lastReport)
		case <-over:
			return callEnded()
		case <-ctx.Done():
			return psrpc.NewErrorf(psrpc.Canceled, "request canceled")
		}
	}
}

// callEnded is the outcome of a transfer whose call ended before the carrier's last report. Since
// LiveKit SIP 1.11 such a transfer has failed with the reason STR_CALL_ENDED. For now LiveKit gives
// this answer without an error, but LiveKit's server 1.13.5 drops the answer. Therefore it is an
// error here, as LiveKit intends to make it (livekit_sip.proto of protocol 1.54).
func callEnded() error {
	const reasonField, callEnded = 2, 2 // livekit.SIPTransferError
	details := protowire.AppendVarint(protowire.AppendTag(nil, reasonField, protowire.VarintType), callEnded)
	return psrpc.NewErrorFromResponse(string(psrpc.FailedPrecondition), "call transfer failed: call has ended",
		&anypb.Any{TypeUrl: "type.googleapis.com/livekit.SIPTransferError", Value: details})
}

// refer sends REFER (RFC 3515) and returns nil when the carrier accepts it.
func (c *call) refer(ctx context.Context, req *rpc.InternalTransferSIPParticipantRequest) error {
	c.transfers.refer.Lock()
	defer c.transfers.refer.Unlock()
	r := c.dialog.request(sip.REFER)
	r.AppendHeader(sip.NewHeader("Refer-To", req.TransferTo))
	r.AppendHeader(sip.NewHeader("Allow", allowed))
	for k, v := range req.Headers {
		r.AppendHeader(sip.NewHeader(k, v))
	}
	tx, err := c.b.ua.start(context.WithoutCancel(ctx), r)
	if err != nil {
		return transportError(err)
	}
	defer tx.Terminate()
	for {
		select {
		case res := <-tx.Responses():
			switch {
			case res.IsProvisional():
				continue
			case res.IsSuccess():
				return nil
			}
			// The status is wrapped, because LiveKit's server words a bare status differently.
			return fmt.Errorf("%w", &livekit.SIPStatus{Code: livekit.SIPStatusCode(res.StatusCode), Status: res.Reason})
		case <-tx.Done():
			return psrpc.NewErrorf(psrpc.Canceled, "transaction failed to complete (0 intermediate responses)")
		case <-ctx.Done():
			return psrpc.NewErrorf(psrpc.Canceled, "request canceled")
		}
	}
}

// onNotify handles the carrier's report on a transfer.
func (c *call) onNotify(req *sip.Request, tx sip.ServerTransaction) {
	if h := req.GetHeader("Event"); h == nil || !strings.HasPrefix(strings.ToLower(h.Value()), "refer") {
		respond(tx, req, 489, "Bad Event")
		return
	}
	status, err := parseFragment(req.Body())
	if err != nil {
		respond(tx, req, 400, "Bad Request")
		return
	}
	if status.Code >= 200 {
		// The lock holds the next REFER back until this answer is sent.
		c.transfers.refer.Lock()
		defer c.transfers.refer.Unlock()
		c.report(status)
	}
	respond(tx, req, 200, "success")
}

// report hands the final status to the waiting transfer, or drops it after lateNotify.
func (c *call) report(status *livekit.SIPStatus) {
	late := time.NewTimer(lateNotify)
	defer late.Stop()
	for ended := c.ended; ; {
		select {
		case c.transfers.results <- status:
			return
		case <-late.C:
			return
		case <-ended: // a BYE has overtaken this report
			ended = nil
			late.Reset(lastReport)
		}
	}
}

// parseFragment reads the status line of a message/sipfrag body (RFC 3420).
func parseFragment(body []byte) (*livekit.SIPStatus, error) {
	line, _, _ := bytes.Cut(body, []byte("\r\n"))
	version, rest, _ := strings.Cut(strings.TrimSpace(string(line)), " ")
	code, reason, _ := strings.Cut(rest, " ")
	n, err := strconv.Atoi(code)
	if err != nil || version != "SIP/2.0" || n < 100 || n > 699 {
		return nil, fmt.Errorf("not a SIP status line: %q", line)
	}
	return &livekit.SIPStatus{Code: livekit.SIPStatusCode(n), Status: reason}, nil
}

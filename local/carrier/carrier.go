// Package carrier is a telephone carrier for tests and the laptop. It is a SIP user agent over UDP
// and TCP (RFC 3261). Its callees follow scripts, and it also places calls.
package carrier

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/emiago/sipgo"
	"github.com/emiago/sipgo/sip"

	"github.com/krosai/telephony/local/rtp"
)

// Options configure a carrier. The zero value is a carrier on a free port of 127.0.0.1 that
// requires no credentials and plays the Cast.
type Options struct {
	Addr     string // IP address and port; "127.0.0.1:0", the default, chooses a free port
	Username string // digest user name required of callers unless empty (407, RFC 3261 section 22.3)
	Password string
	Realm    string // "carrier" when empty

	Script func(callee string) Script // script of the callee with this number; nil = Cast
	Trace  func(Message)              // gets every message sent or received, one at a time; must not block
	Log    *slog.Logger               // nil = silent
}

// CallInfo is one call as the carrier sees it.
type CallInfo struct {
	Callee, Caller string
	SIPCallID      string
	State          string // "trying", "ringing", "talking", "ended"
	Started        time.Time
	Answered       time.Time // zero if never answered
	Ended          time.Time
	EndedBy        string // "cancel", "bye-in" (the other side hung up), "bye-out", "status" (refused or failed)
	Status         int    // the final answer to the INVITE; 0 before it
	RTPReceived    int    // packets
	VoiceReceived  int    // received packets that contain audible sound
	DTMFReceived   string
	Refers         []string // Refer-To of each requested transfer
}

// Carrier is a running carrier. Its methods may be called from any goroutine.
type Carrier struct {
	opts   Options
	log    *slog.Logger
	host   string
	port   int
	udp    net.PacketConn
	tcp    net.Listener
	ua     *sipgo.UserAgent
	client *sipgo.Client
	voice  []byte // PCMU that every callee sends

	tracing    sync.Mutex
	challenges challenges
	closing    chan struct{}
	work       sync.WaitGroup // calls and the goroutines they started
	serving    sync.WaitGroup // the two listeners

	mu      sync.Mutex
	closed  bool
	calls   []*call
	dialogs map[string]*call // by Call-ID and our tag
}

// Start listens on UDP and TCP and answers calls until Close.
func Start(opts Options) (*Carrier, error) {
	c := &Carrier{
		opts: opts, log: opts.Log, closing: make(chan struct{}), dialogs: map[string]*call{},
		voice: rtp.Voice(110, 6*time.Second),
	}
	if c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	if c.opts.Realm == "" {
		c.opts.Realm = "carrier"
	}
	if c.opts.Script == nil {
		c.opts.Script = Cast
	}
	if c.opts.Addr == "" {
		c.opts.Addr = "127.0.0.1:0"
	}
	if err := c.listen(); err != nil {
		return nil, fmt.Errorf("carrier: %w", err)
	}
	if err := c.serve(); err != nil {
		return nil, errors.Join(fmt.Errorf("carrier: %w", err), c.udp.Close(), c.tcp.Close())
	}
	return c, nil
}

// listen opens UDP and TCP on one port.
func (c *Carrier) listen() error {
	host, port, err := net.SplitHostPort(c.opts.Addr)
	if err != nil {
		return err
	}
	if net.ParseIP(host) == nil {
		return fmt.Errorf("%q is not an IP address", host)
	}
	for attempt := 1; ; attempt++ {
		udp, err := net.ListenPacket("udp", c.opts.Addr)
		if err != nil {
			return err
		}
		chosen := udp.LocalAddr().(*net.UDPAddr).Port
		tcp, err := net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(chosen)))
		if err == nil {
			c.host, c.port = host, chosen
			c.udp, c.tcp = &udpConn{udp, c.trace}, &tcpListener{tcp, c.trace}
			return nil
		}
		if err := errors.Join(err, udp.Close()); port != "0" || attempt == 20 {
			return err
		}
	}
}

// serve builds the SIP stack on the UDP and TCP sockets.
func (c *Carrier) serve() (err error) {
	c.ua, err = sipgo.NewUA(
		sipgo.WithUserAgentTransportLayerOptions(sip.WithTransportLayerLogger(c.log)),
		sipgo.WithUserAgentTransactionLayerOptions(sip.WithTransactionLayerLogger(c.log)))
	if err != nil {
		return err
	}
	// A repeated answer whose transaction is over needs no reaction.
	c.ua.TransactionLayer().UnhandledResponseHandler(func(*sip.Response) {})
	server, err := sipgo.NewServer(c.ua, sipgo.WithServerLogger(c.log))
	if err != nil {
		return err
	}
	if c.client, err = sipgo.NewClient(c.ua, sipgo.WithClientLogger(c.log)); err != nil {
		return err
	}
	server.OnInvite(complete(c.onInvite))
	server.OnAck(complete(c.onAck))
	server.OnBye(complete(c.onBye))
	server.OnRefer(complete(c.onRefer))
	server.OnUpdate(complete(c.onUpdate))
	server.OnOptions(complete(c.onOptions))
	server.OnCancel(complete(c.onUnmatchedCancel))
	server.OnNoRoute(complete(c.onOther))
	c.serving.Go(func() { c.ended("udp", server.ServeUDP(c.udp)) })
	c.serving.Go(func() { c.ended("tcp", server.ServeTCP(c.tcp)) })
	return c.awaitUDP()
}

// awaitUDP waits until the stack knows its own UDP socket. An earlier request would leave from
// another port.
func (c *Carrier) awaitUDP() error {
	for range 500 {
		if _, err := c.ua.TransportLayer().GetConnection("udp", c.udp.LocalAddr().String()); err == nil {
			return nil
		}
		time.Sleep(time.Millisecond)
	}
	return errors.New("udp is not served")
}

func (c *Carrier) ended(network string, err error) {
	if err != nil && !errors.Is(err, net.ErrClosed) {
		c.log.Error("listener ended", "network", network, "error", err)
	}
}

// complete drops requests that lack a header needed for the answer (RFC 3261 section 8.1.1).
func complete(handle sipgo.RequestHandler) sipgo.RequestHandler {
	return func(req *sip.Request, tx sip.ServerTransaction) {
		if req.From() != nil && req.To() != nil && req.CallID() != nil && req.CSeq() != nil && req.Via() != nil {
			handle(req, tx)
		}
	}
}

// Addr is the carrier's address, host:port, for UDP and TCP.
func (c *Carrier) Addr() string { return net.JoinHostPort(c.host, strconv.Itoa(c.port)) }

// Calls are all calls seen, oldest first. Challenged and repeated INVITEs of one call count once.
func (c *Carrier) Calls() []CallInfo {
	c.mu.Lock()
	calls := slices.Clone(c.calls)
	c.mu.Unlock()
	infos := make([]CallInfo, len(calls))
	for i, k := range calls {
		infos[i] = k.snapshot()
	}
	return infos
}

// Close ends every call with 503, CANCEL or BYE, depending on its state, and stops listening. It
// takes at most about two seconds if the other sides no longer answer.
func (c *Carrier) Close() error {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return nil
	}
	c.closed = true
	c.mu.Unlock()
	close(c.closing)
	c.work.Wait()
	err := errors.Join(c.ua.Close(), c.tcp.Close(), c.udp.Close())
	c.serving.Wait()
	return err
}

// begin registers work that Close waits for. The work ends with c.work.Done. After Close has begun,
// begin returns false and the caller must do nothing.
func (c *Carrier) begin() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return false
	}
	c.work.Add(1)
	return true
}

// add lists a call. After a challenge, the second INVITE replaces the call's first entry.
func (c *Carrier) add(k *call) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dialogs[k.dialog.key()] = k
	for i, old := range c.calls {
		if old.dialog.callID == k.dialog.callID && old.dialog.remoteTag() == k.dialog.remoteTag() {
			k.info.Started = old.snapshot().Started
			c.calls[i] = k
			return
		}
	}
	c.calls = append(c.calls, k)
}

func (c *Carrier) forget(k *call) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.dialogs, k.dialog.key())
}

// find returns the call of an in-dialog request (RFC 3261 section 12.2.2), or nil if it is unknown.
func (c *Carrier) find(req *sip.Request) *call {
	tag, _ := req.To().Params.Get("tag")
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.dialogs[req.CallID().Value()+" "+tag]
}

// allow lists the methods in the Allow header.
const allow = "INVITE, ACK, CANCEL, BYE, REFER, OPTIONS"

// respond sends the only answer to a request of any method except INVITE.
func (c *Carrier) respond(req *sip.Request, tx sip.ServerTransaction, status int, headers ...sip.Header) {
	if err := tx.Respond(c.response(req, status, "", headers...)); err != nil {
		c.log.Debug("answer not sent", "status", status, "error", err)
	}
}

// response builds an answer with the headers that all the carrier's answers have.
func (c *Carrier) response(req *sip.Request, status int, phrase string, headers ...sip.Header) *sip.Response {
	if phrase == "" {
		phrase = reason(status)
	}
	res := sip.NewResponseFromRequest(req, status, phrase, nil)
	res.AppendHeader(c.contact(req.Transport()))
	res.AppendHeader(sip.NewHeader("Server", "carrier"))
	for _, h := range headers {
		res.AppendHeader(h)
	}
	return res
}

func (c *Carrier) contact(transport string) *sip.ContactHeader {
	uri := sip.Uri{Scheme: "sip", User: "carrier", Host: c.host, Port: c.port}
	if sip.IsReliable(transport) {
		uri.UriParams = sip.HeaderParams{"transport": sip.NetworkToLower(transport)}
	}
	return &sip.ContactHeader{Address: uri}
}

func (c *Carrier) onAck(req *sip.Request, _ sip.ServerTransaction) {
	if k := c.find(req); k != nil {
		k.ackOnce.Do(func() { close(k.acked) })
	}
}

func (c *Carrier) onBye(req *sip.Request, tx sip.ServerTransaction) {
	k := c.find(req)
	if k == nil {
		c.respond(req, tx, 481)
		return
	}
	k.end("bye-in", 0)
	c.respond(req, tx, 200)
}

func (c *Carrier) onOptions(req *sip.Request, tx sip.ServerTransaction) {
	c.respond(req, tx, 200, sip.NewHeader("Allow", allow), sip.NewHeader("Accept", "application/sdp"))
}

// onUnmatchedCancel serves a CANCEL without an INVITE in progress. The SIP stack answers all
// other CANCELs.
func (c *Carrier) onUnmatchedCancel(req *sip.Request, tx sip.ServerTransaction) {
	c.respond(req, tx, 481)
}

// onOther answers known methods that the carrier does not serve with 405, and all others with 501
// (RFC 3261 sections 21.4.6 and 21.5.2).
func (c *Carrier) onOther(req *sip.Request, tx sip.ServerTransaction) {
	switch req.Method {
	case sip.REGISTER, sip.SUBSCRIBE, sip.NOTIFY, sip.MESSAGE, sip.INFO, sip.UPDATE, sip.PRACK, sip.PUBLISH:
		c.respond(req, tx, 405, sip.NewHeader("Allow", allow))
	default:
		c.respond(req, tx, 501)
	}
}

// send passes a complete request to the SIP stack as a client transaction.
func (c *Carrier) send(ctx context.Context, req *sip.Request) (sip.ClientTransaction, error) {
	if err := c.connect(ctx, req); err != nil {
		return nil, err
	}
	return c.client.TransactionRequest(ctx, req, asIs)
}

// asIs stops the SIP stack from adding headers.
func asIs(*sipgo.Client, *sip.Request) error { return nil }

// connect opens the TCP connection for a request, if it does not exist yet.
func (c *Carrier) connect(ctx context.Context, req *sip.Request) error {
	if !sip.IsReliable(req.Transport()) {
		return nil
	}
	layer := c.ua.TransportLayer()
	if conn, err := layer.GetConnection("tcp", req.Destination()); err == nil {
		_, err = conn.TryClose() // releases the reference that GetConnection took
		return err
	}
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", req.Destination())
	if err != nil {
		return err
	}
	err = layer.ServeTCP(&oneConn{addr: c.tcp.Addr(), conn: &tcpConn{Conn: conn, trace: c.trace}})
	if !errors.Is(err, errNoMore) {
		return err
	}
	return nil
}

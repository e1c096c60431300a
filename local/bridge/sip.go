package bridge

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/emiago/sipgo"
	"github.com/emiago/sipgo/sip"
)

const allowed = "INVITE, ACK, CANCEL, BYE, NOTIFY, REFER, MESSAGE, OPTIONS, INFO, SUBSCRIBE"

// userAgent sends and receives SIP over UDP and TCP on one port. It passes requests inside a dialog
// to their call.
type userAgent struct {
	log      *slog.Logger
	ua       *sipgo.UserAgent
	host     string
	port     int
	udp, tcp *sipgo.Client
	sockets  []io.Closer
	serving  sync.WaitGroup

	nonces nonces // open challenges to callers

	mu      sync.Mutex
	dialogs map[string]*call // by SIP Call-ID
}

// listen opens the sockets and serves them. onInvite gets each INVITE outside a dialog.
func listen(addr string, log *slog.Logger, onInvite sipgo.RequestHandler) (*userAgent, error) {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, fmt.Errorf("sip: %w", err)
	}
	if ip := net.ParseIP(host); ip == nil || ip.IsUnspecified() {
		return nil, fmt.Errorf("sip: %q is not the IP address of an interface", host)
	}
	udp, tcp, err := listenBoth(addr)
	if err != nil {
		return nil, fmt.Errorf("sip: %w", err)
	}
	u := &userAgent{log: log, host: host, port: tcp.Addr().(*net.TCPAddr).Port, dialogs: map[string]*call{}, nonces: nonces{open: map[string]time.Time{}}}
	u.sockets = append(u.sockets, udp, tcp)
	if err := u.serve(udp, tcp, onInvite); err != nil {
		u.close()
		return nil, fmt.Errorf("sip: %w", err)
	}
	return u, nil
}

// listenBoth opens UDP and TCP on the same port. For port 0 it looks for a port that is free
// for both.
func listenBoth(addr string) (net.PacketConn, net.Listener, error) {
	var err error
	for range 20 {
		var tcp net.Listener
		if tcp, err = net.Listen("tcp", addr); err != nil {
			return nil, nil, err
		}
		var udp net.PacketConn
		if udp, err = net.ListenPacket("udp", tcp.Addr().String()); err == nil {
			return udp, tcp, nil
		}
		tcp.Close()
		if !strings.HasSuffix(addr, ":0") {
			break
		}
	}
	return nil, nil, err
}

func (u *userAgent) serve(udp net.PacketConn, tcp net.Listener, onInvite sipgo.RequestHandler) error {
	// sipgo logs each malformed packet as an error. The carrier is responsible for those.
	quiet := slog.New(slog.DiscardHandler)
	ua, err := sipgo.NewUA(
		sipgo.WithUserAgent("LiveKit"), sipgo.WithUserAgentHostname(u.host),
		sipgo.WithUserAgentTransportLayerOptions(sip.WithTransportLayerLogger(quiet)),
		sipgo.WithUserAgentTransactionLayerOptions(sip.WithTransactionLayerLogger(quiet)))
	if err != nil {
		return err
	}
	u.ua = ua
	ua.TransactionLayer().UnhandledResponseHandler(func(*sip.Response) {})
	srv, err := sipgo.NewServer(ua, sipgo.WithServerLogger(quiet))
	if err != nil {
		return err
	}
	// Over UDP requests leave from our listening port. Over TCP each carrier has its
	// own connection.
	if u.udp, err = sipgo.NewClient(ua, sipgo.WithClientLogger(quiet), sipgo.WithClientHostname(u.host), sipgo.WithClientPort(u.port)); err != nil {
		return err
	}
	if u.tcp, err = sipgo.NewClient(ua, sipgo.WithClientLogger(quiet), sipgo.WithClientHostname(u.host)); err != nil {
		return err
	}
	srv.OnInvite(func(req *sip.Request, tx sip.ServerTransaction) {
		if c := u.find(req); c != nil {
			c.onReinvite(req, tx)
			return
		}
		onInvite(req, tx)
	})
	srv.OnAck(func(req *sip.Request, _ sip.ServerTransaction) {
		if c := u.find(req); c != nil {
			c.onAck()
		}
	})
	srv.OnBye(u.inDialog(func(c *call, req *sip.Request, tx sip.ServerTransaction) {
		respond(tx, req, 200, "OK")
		c.onBye()
	}))
	srv.OnNotify(u.inDialog((*call).onNotify))
	srv.OnOptions(func(req *sip.Request, tx sip.ServerTransaction) { respond(tx, req, 200, "OK") })
	u.serving.Go(func() { u.served(srv.ServeUDP(udp)) })
	u.serving.Go(func() { u.served(srv.ServeTCP(tcp)) })
	return u.awaitUDP(udp.LocalAddr().String())
}

// awaitUDP waits until sipgo knows its own UDP socket. An earlier request would leave from
// another port.
func (u *userAgent) awaitUDP(addr string) error {
	for range 500 {
		if _, err := u.ua.TransportLayer().GetConnection("udp", addr); err == nil {
			return nil
		}
		time.Sleep(time.Millisecond)
	}
	return errors.New("udp is not served")
}

func (u *userAgent) served(err error) {
	if err != nil && !errors.Is(err, net.ErrClosed) {
		u.log.Error("sip stopped", "error", err)
	}
}

func (u *userAgent) inDialog(f func(*call, *sip.Request, sip.ServerTransaction)) sipgo.RequestHandler {
	return func(req *sip.Request, tx sip.ServerTransaction) {
		if c := u.find(req); c != nil {
			f(c, req, tx)
			return
		}
		respond(tx, req, 481, "Call does not exist")
	}
}

// find returns the call of a request inside a dialog. The To tag of such a request is our tag (RFC
// 3261 section 12.2.2).
func (u *userAgent) find(req *sip.Request) *call {
	if req.CallID() == nil || req.To() == nil {
		return nil
	}
	tag, _ := req.To().Params.Get("tag")
	u.mu.Lock()
	c := u.dialogs[req.CallID().Value()]
	u.mu.Unlock()
	if c == nil || c.id != tag {
		return nil
	}
	return c
}

func (u *userAgent) addDialog(callID string, c *call) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.dialogs[callID] = c
}

func (u *userAgent) removeDialog(callID string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	delete(u.dialogs, callID)
}

func (u *userAgent) addr() string { return net.JoinHostPort(u.host, strconv.Itoa(u.port)) }

func (u *userAgent) close() {
	if u.ua != nil {
		u.ua.Close()
	}
	for _, s := range u.sockets {
		s.Close()
	}
	u.serving.Wait()
}

// contact is the address of this end of a dialog.
func (u *userAgent) contact(transport string) sip.Uri {
	uri := sip.Uri{Scheme: "sip", Host: u.host, Port: u.port}
	if transport == "TCP" {
		uri.UriParams = params("transport", "tcp")
	}
	return uri
}

// start sends a request as a new transaction. A CANCEL already has the Via of its INVITE.
func (u *userAgent) start(ctx context.Context, req *sip.Request) (sip.ClientTransaction, error) {
	return u.client(req).TransactionRequest(ctx, req, addVia)
}

// write sends an ACK, which has no transaction.
func (u *userAgent) write(req *sip.Request) error {
	return u.client(req).WriteRequest(req, addVia)
}

func addVia(c *sipgo.Client, req *sip.Request) error {
	if req.Via() != nil {
		return nil
	}
	return sipgo.ClientRequestAddVia(c, req)
}

func (u *userAgent) client(req *sip.Request) *sipgo.Client {
	if req.Transport() == "TCP" {
		return u.tcp
	}
	return u.udp
}

// dialog is one end of a SIP dialog (RFC 3261 section 12).
type dialog struct {
	callID        string
	transport     string // "UDP" or "TCP"
	local, remote party
	contact       sip.Uri // our address for the remote end
	target        sip.Uri // address of the remote end
	routes        []string
	agent         string // User-Agent in BYE; LiveKit names itself in outbound calls

	mu   sync.Mutex
	cseq uint32 // of the last request sent
}

// party is the person in a From or To header.
type party struct {
	name, tag string
	uri       sip.Uri
}

// request builds the next request of the dialog.
func (d *dialog) request(method sip.RequestMethod) *sip.Request {
	d.mu.Lock()
	d.cseq++
	cseq := d.cseq
	d.mu.Unlock()
	return d.requestWith(method, cseq)
}

func (d *dialog) requestWith(method sip.RequestMethod, cseq uint32) *sip.Request {
	req := sip.NewRequest(method, *d.target.Clone())
	for _, r := range d.routes {
		req.AppendHeader(sip.NewHeader("Route", r))
	}
	from := &sip.FromHeader{DisplayName: d.local.name, Address: *d.local.uri.Clone(), Params: params("tag", d.local.tag)}
	to := &sip.ToHeader{Address: *d.remote.uri.Clone(), DisplayName: d.remote.name, Params: sip.NewParams()}
	if d.remote.tag != "" {
		to.Params = params("tag", d.remote.tag)
	}
	callID, maxForwards := sip.CallIDHeader(d.callID), sip.MaxForwardsHeader(70)
	req.AppendHeader(from)
	req.AppendHeader(to)
	req.AppendHeader(&callID)
	req.AppendHeader(&sip.CSeqHeader{SeqNo: cseq, MethodName: method})
	req.AppendHeader(&maxForwards)
	if method != sip.BYE {
		req.AppendHeader(&sip.ContactHeader{Address: d.contact})
	} else if d.agent != "" {
		req.AppendHeader(sip.NewHeader("User-Agent", d.agent))
	}
	req.SetTransport(d.transport)
	req.SetBody(nil)
	return req
}

// answered stores the remote end's tag, target and routes from the answer to our INVITE.
func (d *dialog) answered(res *sip.Response) error {
	tag, ok := res.To().Params.Get("tag")
	if !ok {
		return errors.New("no tag in To header in INVITE response")
	}
	d.remote.tag = tag
	if contact := res.Contact(); contact != nil {
		d.target = contact.Address
	}
	for _, h := range res.GetHeaders("Record-Route") {
		d.routes = append([]string{h.Value()}, d.routes...)
	}
	return nil
}

// cancelRequest builds the CANCEL of an INVITE (RFC 3261 section 9.1). It has the INVITE's Via.
func cancelRequest(invite *sip.Request) *sip.Request {
	req := sip.NewRequest(sip.CANCEL, *invite.Recipient.Clone())
	for _, name := range []string{"Via", "From", "To", "Call-ID", "Route", "Max-Forwards"} {
		sip.CopyHeaders(name, invite, req)
	}
	req.AppendHeader(&sip.CSeqHeader{SeqNo: invite.CSeq().SeqNo, MethodName: sip.CANCEL})
	req.SetTransport(invite.Transport())
	req.SetDestination(invite.Destination())
	req.SetBody(nil)
	return req
}

func respond(tx sip.ServerTransaction, req *sip.Request, code int, reason string) {
	// If an answer cannot be sent, the transaction repeats it or the other side asks again.
	_ = tx.Respond(sip.NewResponseFromRequest(req, code, reason, nil))
}

// setToTag puts our tag into a response.
func setToTag(res *sip.Response, tag string) {
	to := res.To()
	if to.Params == nil {
		to.Params = sip.NewParams()
	}
	to.Params.Remove("tag")
	to.Params.Add("tag", tag)
}

func params(key, value string) sip.HeaderParams {
	p := sip.NewParams()
	p.Add(key, value)
	return p
}

// answerTimeout limits the wait for the answer to a BYE or CANCEL (64*T1, RFC 3261
// section 17.1.2.2).
const answerTimeout = 32 * time.Second

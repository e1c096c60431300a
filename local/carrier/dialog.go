package carrier

import (
	"context"
	"net"
	"strings"
	"sync/atomic"

	"github.com/emiago/sipgo/sip"
)

// dialog is the state that all requests inside a call share (RFC 3261 section 12). It has no route
// set, because there are no proxies between the carrier and its peers.
type dialog struct {
	callID    string
	local     sip.FromHeader // as written in our requests
	remote    sip.ToHeader
	target    sip.Uri // the peer's Contact
	transport string
	peer      string        // source of the peer's messages, host:port
	cseq      atomic.Uint32 // of our last request
}

func (d *dialog) localTag() string {
	tag, _ := d.local.Params.Get("tag")
	return tag
}

func (d *dialog) remoteTag() string {
	tag, _ := d.remote.Params.Get("tag")
	return tag
}

func (d *dialog) key() string { return d.callID + " " + d.localTag() }

// request builds the next request of the dialog. An ACK has the number of its INVITE, given
// by cseq.
func (c *Carrier) request(d *dialog, method sip.RequestMethod, cseq uint32) *sip.Request {
	req := sip.NewRequest(method, d.target)
	req.SetTransport(d.transport)
	req.AppendHeader(c.via(d.transport))
	maxForwards := sip.MaxForwardsHeader(70)
	req.AppendHeader(&maxForwards)
	req.AppendHeader(sip.HeaderClone(&d.local))
	req.AppendHeader(sip.HeaderClone(&d.remote))
	callID := sip.CallIDHeader(d.callID)
	req.AppendHeader(&callID)
	req.AppendHeader(&sip.CSeqHeader{SeqNo: cseq, MethodName: method})
	req.AppendHeader(c.contact(d.transport))
	req.SetBody(nil)
	c.route(d, req)
	return req
}

// route sends a request over the TCP connection that the peer opened, while it is open (RFC 5923).
// Otherwise the request goes to the peer's Contact.
func (c *Carrier) route(d *dialog, req *sip.Request) {
	if !sip.IsReliable(d.transport) || d.peer == "" {
		return
	}
	if conn, err := c.ua.TransportLayer().GetConnection("tcp", d.peer); err == nil {
		if _, err := conn.TryClose(); err == nil {
			req.SetDestination(d.peer)
		}
	}
}

// via names our UDP socket, so that requests leave from it. For TCP the stack fills in the port. If
// via set it, the stack would use any connection accepted on that port.
func (c *Carrier) via(transport string) *sip.ViaHeader {
	via := &sip.ViaHeader{
		ProtocolName: "SIP", ProtocolVersion: "2.0", Transport: transport, Host: c.host,
		Params: sip.HeaderParams{"branch": sip.GenerateBranch(), "rport": ""},
	}
	if !sip.IsReliable(transport) {
		via.Port = c.port
	}
	return via
}

// setTarget takes the peer's Contact. Its transport parameter, if any, replaces the
// current transport.
func (d *dialog) setTarget(contact *sip.ContactHeader) {
	if contact == nil {
		return
	}
	d.target = *contact.Address.Clone()
	if transport, _ := d.target.UriParams.Get("transport"); strings.EqualFold(transport, "tcp") ||
		strings.EqualFold(transport, "udp") {
		d.transport = strings.ToUpper(transport)
	}
}

// do sends a request of the dialog and returns its final answer.
func (c *Carrier) do(ctx context.Context, req *sip.Request) (*sip.Response, error) {
	tx, err := c.send(ctx, req)
	if err != nil {
		return nil, err
	}
	defer tx.Terminate()
	for {
		select {
		case res := <-tx.Responses():
			if !res.IsProvisional() {
				return res, nil
			}
		case <-tx.Done():
			return nil, tx.Err()
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// uri is the SIP address of a telephone number at a host and port.
func uri(number, host string, port int) sip.Uri {
	return sip.Uri{Scheme: "sip", User: number, Host: host, Port: port}
}

// answeredFrom completes the dialog of a placed call from the 2xx.
func (d *dialog) answeredFrom(res *sip.Response) {
	d.remote = *sip.HeaderClone(res.To()).(*sip.ToHeader)
	d.setTarget(res.Contact())
	if host, _, err := net.SplitHostPort(res.Source()); err == nil && host != "" {
		d.peer = res.Source()
	}
}

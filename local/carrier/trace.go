package carrier

import (
	"bytes"
	"errors"
	"net"
	"strconv"
	"strings"
	"time"
)

// Message is one SIP message on the wire, retransmissions included.
type Message struct {
	At        time.Time
	In        bool   // received
	StartLine string // the request or status line
	Text      string // the whole message
}

// trace passes a message to Options.Trace, one at a time.
func (c *Carrier) trace(in bool, message []byte) {
	if c.opts.Trace == nil || len(bytes.TrimSpace(message)) == 0 {
		return
	}
	text := string(message)
	line, _, _ := strings.Cut(text, "\r\n")
	c.tracing.Lock()
	defer c.tracing.Unlock()
	c.opts.Trace(Message{At: time.Now(), In: in, StartLine: line, Text: text})
}

// udpConn traces datagrams. Each datagram is one message.
type udpConn struct {
	net.PacketConn
	trace func(in bool, message []byte)
}

func (u *udpConn) ReadFrom(b []byte) (int, net.Addr, error) {
	n, addr, err := u.PacketConn.ReadFrom(b)
	if err == nil {
		u.trace(true, b[:n])
	}
	return n, addr, err
}

func (u *udpConn) WriteTo(b []byte, addr net.Addr) (int, error) {
	u.trace(false, b)
	return u.PacketConn.WriteTo(b, addr)
}

// tcpListener accepts connections and traces them.
type tcpListener struct {
	net.Listener
	trace func(in bool, message []byte)
}

func (l *tcpListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &tcpConn{Conn: conn, trace: l.trace}, nil
}

// tcpConn traces a stream. The SIP stack writes whole messages. The received bytes are cut into
// messages here.
type tcpConn struct {
	net.Conn
	trace func(in bool, message []byte)
	rest  []byte // received, not yet a whole message
}

func (t *tcpConn) Write(b []byte) (int, error) {
	t.trace(false, b)
	return t.Conn.Write(b)
}

func (t *tcpConn) Read(b []byte) (int, error) {
	n, err := t.Conn.Read(b)
	t.rest = append(t.rest, b[:n]...)
	for {
		size := messageSize(t.rest)
		if size == 0 {
			return n, err
		}
		t.trace(true, t.rest[:size])
		t.rest = t.rest[size:]
	}
}

// messageSize is the length of the first whole message in b, or 0 if it is not complete yet (RFC
// 3261 section 18.3).
func messageSize(b []byte) int {
	head := bytes.Index(b, []byte("\r\n\r\n"))
	if head < 0 {
		return 0
	}
	size := head + 4
	for line := range bytes.Lines(b[:head]) {
		name, value, _ := bytes.Cut(line, []byte(":"))
		name = bytes.TrimSpace(name)
		if bytes.EqualFold(name, []byte("Content-Length")) || bytes.EqualFold(name, []byte("l")) {
			if body, err := strconv.Atoi(string(bytes.TrimSpace(value))); err == nil && body > 0 {
				size += body
			}
		}
	}
	if size > len(b) {
		return 0
	}
	return size
}

// errNoMore ends the serving of a oneConn.
var errNoMore = errors.New("no more connections")

// oneConn is a listener that accepts one existing connection. With it the stack serves, and traces,
// a connection dialed by the carrier like an accepted one.
type oneConn struct {
	addr net.Addr
	conn net.Conn
}

func (o *oneConn) Accept() (net.Conn, error) {
	if o.conn == nil {
		return nil, errNoMore
	}
	conn := o.conn
	o.conn = nil
	return conn, nil
}

func (o *oneConn) Addr() net.Addr { return o.addr }
func (o *oneConn) Close() error   { return nil }

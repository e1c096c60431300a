package carrier

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emiago/sipgo"
	"github.com/emiago/sipgo/sip"

	"github.com/krosai/telephony/local/calltest"
	"github.com/krosai/telephony/local/rtp"
)

func TestMain(m *testing.M) { calltest.Main(m) }

// messages collects the messages that Options.Trace gets.
type messages struct {
	mu  sync.Mutex
	all []Message
}

func (m *messages) add(msg Message) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.all = append(m.all, msg)
}

// lines are the start lines so far: "<" for received, ">" for sent, and requests without their URI.
// Repeated messages are left out, because over UDP either side repeats a message after 500 ms (RFC
// 3261 section 17).
func (m *messages) lines() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []string
	for i, msg := range m.all {
		if slices.ContainsFunc(m.all[:i], func(other Message) bool { return other.In == msg.In && other.Text == msg.Text }) {
			continue
		}
		line, arrow := msg.StartLine, ">"
		if msg.In {
			arrow = "<"
		}
		if !strings.HasPrefix(line, "SIP/2.0 ") {
			line, _, _ = strings.Cut(line, " ")
		}
		out = append(out, arrow+strings.TrimPrefix(line, "SIP/2.0 "))
	}
	return out
}

func start(t *testing.T, o Options) *Carrier {
	t.Helper()
	c, err := Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return c
}

// always plays one script for every number.
func always(s Script) func(string) Script { return func(string) Script { return s } }

// eventually waits until other goroutines have made a condition true.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Errorf("%s: not in a minute", what)
}

// phone is a SIP client built on the plain SIP library, independent of the carrier's own dialogs.
type phone struct {
	ua        *sipgo.UserAgent
	transport string
	dialogs   *sipgo.DialogClientCache
	notify    chan string // bodies of the NOTIFYs received
}

func newPhone(t *testing.T, transport string) *phone {
	t.Helper()
	ua, err := sipgo.NewUA()
	if err != nil {
		t.Fatal(err)
	}
	ua.TransactionLayer().UnhandledResponseHandler(func(*sip.Response) {})
	server, err := sipgo.NewServer(ua)
	if err != nil {
		t.Fatal(err)
	}
	p := &phone{ua: ua, transport: transport, notify: make(chan string, 10)}
	server.OnBye(func(req *sip.Request, tx sip.ServerTransaction) {
		if p.dialogs.ReadBye(req, tx) != nil {
			tx.Respond(sip.NewResponseFromRequest(req, 481, "no such call", nil))
		}
	})
	server.OnNotify(func(req *sip.Request, tx sip.ServerTransaction) {
		p.notify <- string(req.Body())
		tx.Respond(sip.NewResponseFromRequest(req, 200, "OK", nil))
	})
	port := p.listen(t, server, transport)
	client, err := sipgo.NewClient(ua, sipgo.WithClientHostname("127.0.0.1"), sipgo.WithClientPort(port))
	if err != nil {
		t.Fatal(err)
	}
	contact := sip.ContactHeader{Address: sip.Uri{Scheme: "sip", User: "phone", Host: "127.0.0.1", Port: port}}
	if transport == "tcp" {
		client, err = sipgo.NewClient(ua, sipgo.WithClientHostname("127.0.0.1"))
		contact.Address.UriParams = sip.HeaderParams{"transport": "tcp"}
	}
	if err != nil {
		t.Fatal(err)
	}
	p.dialogs = sipgo.NewDialogClientCache(client, contact)
	return p
}

func (p *phone) listen(t *testing.T, server *sipgo.Server, transport string) (port int) {
	t.Helper()
	done := make(chan struct{})
	if transport == "tcp" {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		go func() { defer close(done); server.ServeTCP(l) }()
		t.Cleanup(func() { p.ua.Close(); l.Close(); <-done })
		return l.Addr().(*net.TCPAddr).Port
	}
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { defer close(done); server.ServeUDP(conn) }()
	t.Cleanup(func() { p.ua.Close(); conn.Close(); <-done })
	for {
		if _, err := p.ua.TransportLayer().GetConnection("udp", conn.LocalAddr().String()); err == nil {
			return conn.LocalAddr().(*net.UDPAddr).Port
		}
		time.Sleep(time.Millisecond)
	}
}

// dialed is an attempted call: the dialog, its media and the received answers.
type dialed struct {
	*sipgo.DialogClientSession
	media *rtp.Session
	codes []int
}

// call sends an INVITE and waits for the final answer, acknowledging a 2xx.
func (p *phone) call(ctx context.Context, t *testing.T, c *Carrier, number string, o sipgo.AnswerOptions) (*dialed, error) {
	t.Helper()
	media, err := rtp.Listen("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { media.Close() })
	host, port, _ := net.SplitHostPort(c.Addr())
	to := sip.Uri{Scheme: "sip", User: number, Host: host}
	to.Port, _ = strconv.Atoi(port)
	if p.transport == "tcp" {
		to.UriParams = sip.HeaderParams{"transport": "tcp"}
	}
	d := &dialed{media: media}
	onResponse := o.OnResponse
	o.OnResponse = func(res *sip.Response) error {
		d.codes = append(d.codes, res.StatusCode)
		if onResponse != nil {
			return onResponse(res)
		}
		return nil
	}
	d.DialogClientSession, err = p.dialogs.Invite(ctx, to, rtp.Offer("127.0.0.1", media.Port()),
		sip.NewHeader("Content-Type", "application/sdp"))
	if err != nil {
		return d, err
	}
	if err := d.WaitAnswer(ctx, o); err != nil {
		return d, err
	}
	remote, err := rtp.ParseSDP(d.InviteResponse.Body())
	if err != nil {
		return d, err
	}
	media.SetRemote(remote)
	t.Cleanup(func() { d.Bye(context.Background()) }) // does nothing when the call is over
	return d, d.Ack(ctx)
}

// status is the code that refused a call. It is 0 if err is another error.
func status(err error) int {
	if refused, ok := errors.AsType[*sipgo.ErrDialogResponse](err); ok {
		return refused.Res.StatusCode
	}
	return 0
}

// wire is a bare UDP socket to the carrier. It has no transaction layer, so it sends only what the
// test sends.
type wire struct {
	t       *testing.T
	conn    *net.UDPConn
	carrier netip.AddrPort
	media   *rtp.Session
	callee  string
}

func newWire(t *testing.T, c *Carrier) *wire {
	t.Helper()
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	media, err := rtp.Listen("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(); media.Close() })
	return &wire{t: t, conn: conn, carrier: netip.MustParseAddrPort(c.Addr()), media: media, callee: "+14155550100"}
}

// request writes a request by hand. The branch identifies the transaction. extra are whole
// header lines.
func (w *wire) request(method, branch, toTag string, body []byte, extra ...string) {
	w.t.Helper()
	if toTag != "" {
		toTag = ";tag=" + toTag
	}
	cseq := "2 " + method
	if method == "ACK" || method == "INVITE" || method == "CANCEL" {
		cseq = "1 " + method
	}
	local := w.conn.LocalAddr().String()
	lines := slices.Concat([]string{
		method + " sip:" + w.callee + "@" + w.carrier.String() + " SIP/2.0",
		"Via: SIP/2.0/UDP " + local + ";branch=z9hG4bK" + branch,
		"Max-Forwards: 70",
		"From: <sip:+15550000001@" + local + ">;tag=wire",
		"To: <sip:" + w.callee + "@" + w.carrier.String() + ">" + toTag,
		"Call-ID: call-" + local,
		"CSeq: " + cseq,
		"Contact: <sip:wire@" + local + ">",
	}, extra, []string{"Content-Length: " + strconv.Itoa(len(body)), "", string(body)})
	if _, err := w.conn.WriteToUDPAddrPort([]byte(strings.Join(lines, "\r\n")), w.carrier); err != nil {
		w.t.Fatal(err)
	}
}

// next returns the next message, a *sip.Request or a *sip.Response.
func (w *wire) next() sip.Message {
	w.t.Helper()
	buf := make([]byte, 4096)
	w.conn.SetReadDeadline(time.Now().Add(time.Minute))
	n, err := w.conn.Read(buf)
	if err != nil {
		w.t.Fatal(err)
	}
	msg, err := sip.ParseMessage(buf[:n])
	if err != nil {
		w.t.Fatal(err)
	}
	return msg
}

// response returns the next message, which must be an answer with this code.
func (w *wire) response(code int) *sip.Response {
	w.t.Helper()
	res, ok := w.next().(*sip.Response)
	if !ok || res.StatusCode != code {
		w.t.Fatalf("got %v, want %d", res, code)
	}
	return res
}

// answered places a call by hand and returns the carrier's tag.
func (w *wire) answered(number string) (tag string) {
	w.t.Helper()
	w.callee = number
	w.request("INVITE", "invite", "", rtp.Offer("127.0.0.1", w.media.Port()), "Content-Type: application/sdp")
	for {
		res, ok := w.next().(*sip.Response)
		if !ok || res.StatusCode > 200 {
			w.t.Fatalf("got %v", res)
		}
		if res.StatusCode == 200 {
			tag, _ = res.To().Params.Get("tag")
			w.request("ACK", "ack", tag, nil)
			return tag
		}
	}
}

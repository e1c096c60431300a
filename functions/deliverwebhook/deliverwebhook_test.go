package deliverwebhook_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/krosai/telephony/functions/deliverwebhook"
	"github.com/krosai/telephony/shared/event"
	"github.com/krosai/telephony/shared/secret"
	"github.com/krosai/telephony/shared/store"
	"github.com/krosai/telephony/shared/store/storetest"
	"github.com/krosai/telephony/shared/webhook"
	"github.com/krosai/telephony/shared/webhook/queue"
	"github.com/krosai/telephony/shared/webhook/webhooktest"
)

// The ids of the sample event, a secret that must not appear anywhere, and the body of the event.
const (
	endpointID = "whe_01KAMPJ5V0SAMPMEWHE0000000"
	deliveryID = "dlv_01KAMPJ5V0SAMPMEDEV0000000"
	signing    = "whsec_Y2FuYXJ5Y2FuYXJ5Y2FuYXJ5Y2FuYXJ5"
	body       = `{"type":"call.ended","timestamp":"2026-11-22T09:30:00.000Z","data":{"call_id":"call_1"}}`
)

type bench struct {
	*testing.T
	*storetest.Database
	task  *deliverwebhook.Task
	log   bytes.Buffer
	queue line
	skip  time.Duration // how far the clock is ahead of real time
}

// line is a queue that records what is sent.
type line struct {
	sent []queue.Message
	err  error
}

func (l *line) Send(_ context.Context, messages []queue.Message) error {
	if l.err == nil {
		l.sent = append(l.sent, messages...)
	}
	return l.err
}

// newBench is the task with one pending delivery to url.
func newBench(t *testing.T, url string, client *http.Client) *bench {
	t.Helper()
	b := &bench{T: t, Database: storetest.Open(t, nil)}
	b.task = &deliverwebhook.Task{Webhooks: b.DB, Queue: &b.queue, Client: client, Now: func() time.Time { return time.Now().Add(b.skip) }, Log: slog.New(slog.NewTextHandler(&b.log, nil))}
	b.must(b.AddEndpoint(t.Context(), webhook.Endpoint{ID: endpointID, UserID: "demo", URL: url, Events: []string{event.CallEnded},
		Secret: secret.New(signing), CreatedAt: time.Now()}))
	_, err := b.AddDelivery(t.Context(), webhook.Delivery{ID: deliveryID, EndpointID: endpointID, Status: webhook.Pending, CreatedAt: time.Now(), NextAt: time.Now(),
		Event: webhook.Event{ID: "evt_01KAMPJ5V0SAMPMEEVT0000000", UserID: "demo", Type: event.CallEnded, At: time.Now(), Body: []byte(body)}})
	b.must(err)
	return b
}

func local() *http.Client { return deliverwebhook.NewClient(nil, true) }

func (b *bench) must(err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

func (b *bench) input() (in deliverwebhook.Input) {
	b.Helper()
	event, err := os.ReadFile("../../events/deliverwebhook.json")
	b.must(err)
	b.must(json.Unmarshal(event, &in))
	return in
}

// run makes an attempt and checks that neither the log, the answer nor the queue contains
// a secret. It fails if the message is to come again. A delivery that goes on must have
// sent one more message.
func (b *bench) run(in deliverwebhook.Input) (webhook.Status, error) {
	b.Helper()
	sent := len(b.queue.sent)
	out, err := b.task.Run(b.Context(), in)
	b.must(err)
	for _, seen := range []string{b.log.String(), fmt.Sprintf("%+v %+v", out, b.queue.sent)} {
		seen = strings.ReplaceAll(seen, os.Getenv("KROS_DYNAMODB_ENDPOINT"), "") // the database's address may be in the log
		if strings.Contains(seen, "canary") || strings.Contains(seen, "Y2FuYXJ5") || strings.Contains(seen, "127.0.0.1") {
			b.Errorf("it tells a secret: %s", seen)
		}
	}
	if len(out.Failures) > 0 {
		return "", fmt.Errorf("%v comes again: %s", out.Failures, b.log.String())
	}
	status := b.delivery().Status
	if (status == webhook.Pending) != (len(b.queue.sent) == sent+1) {
		b.Errorf("%s, and %d messages more", status, len(b.queue.sent)-sent)
	}
	return status, nil
}

func (b *bench) delivery() webhook.Delivery {
	b.Helper()
	d, _, err := b.DB.Delivery(b.Context(), "demo", endpointID, deliveryID)
	b.must(err)
	return d
}

// TestMessage checks that the event arrives as it was created, that the library for receivers
// verifies it, and that it is sent once.
func TestMessage(t *testing.T) {
	t.Parallel()
	r := webhooktest.NewReceiver(t)
	b := newBench(t, r.URL, local())
	for range 2 {
		b.Trips()
		if status, err := b.run(b.input()); status != webhook.Delivered || err != nil {
			t.Errorf("%s, %v", status, err)
		}
		if trips := b.Trips(); trips > 3 { // one of them is the test's own
			t.Errorf("%d DynamoDB round trips", trips)
		}
	}
	messages := r.Messages()
	if len(messages) != 1 {
		t.Fatalf("%d messages", len(messages))
	}
	m := messages[0]
	verifier, err := standardwebhooks.NewWebhook(signing)
	b.must(err)
	if err := verifier.Verify([]byte(m.Body), m.Header); err != nil || m.Body != body {
		t.Errorf("%v: %s", err, m.Body)
	}
	if verifier.Verify([]byte(m.Body+" "), m.Header) == nil {
		t.Error("another body verifies")
	}
	for name, want := range map[string]string{"Content-Type": "application/json", "User-Agent": "KrosAI-Telephony", "Webhook-Id": "evt_01KAMPJ5V0SAMPMEEVT0000000"} {
		if got := m.Header.Get(name); got != want {
			t.Errorf("%s: %q", name, got)
		}
	}
	d := b.delivery()
	if d.Attempts != 1 || d.LastStatus != 204 || d.LastError != "" || d.LastAt.IsZero() || !d.NextAt.IsZero() {
		t.Errorf("%+v", d)
	}
}

// TestAnswers checks that only a 2xx counts as delivered, that 410 ends the delivery for good, and
// that redirects are not followed.
func TestAnswers(t *testing.T) {
	t.Parallel()
	var elsewhere atomic.Int64
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { elsewhere.Add(1) }))
	t.Cleanup(other.Close)
	t.Cleanup(func() {
		if n := elsewhere.Load(); n > 0 {
			t.Errorf("%d requests came where redirects led", n)
		}
	})
	for code, want := range map[int]webhook.Status{200: webhook.Delivered, 201: webhook.Delivered, 202: webhook.Delivered, 204: webhook.Delivered, 299: webhook.Delivered,
		300: webhook.Pending, 301: webhook.Pending, 302: webhook.Pending, 303: webhook.Pending, 304: webhook.Pending, 307: webhook.Pending, 308: webhook.Pending,
		400: webhook.Pending, 401: webhook.Pending, 404: webhook.Pending, 408: webhook.Pending, 410: webhook.Dead, 413: webhook.Pending, 429: webhook.Pending,
		500: webhook.Pending, 502: webhook.Pending, 503: webhook.Pending, 599: webhook.Pending} {
		t.Run(fmt.Sprint(code), func(t *testing.T) {
			t.Parallel()
			r := webhooktest.NewReceiver(t)
			r.Answer(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Location", other.URL)
				w.WriteHeader(code)
			})
			b := newBench(t, r.URL, local())
			status, err := b.run(b.input())
			if err != nil || status != want {
				t.Errorf("%s, %v", status, err)
			}
			d := b.delivery()
			failed := ""
			if want != webhook.Delivered {
				failed = "status"
			}
			if d.Status != want || d.LastStatus != code || d.LastError != failed || d.Attempts != 1 {
				t.Errorf("%+v", d)
			}
			if want != webhook.Pending {
				return
			}
			if wait := d.NextAt.Sub(d.LastAt); wait < 10*time.Second || wait > 20*time.Second {
				t.Errorf("the next attempt comes %s after the first", wait)
			}
			if wait := b.queue.sent[0].Delay; wait <= 0 || wait > 10*time.Second {
				t.Errorf("the message waits for %s", wait)
			}
		})
	}
}

// pipes is a listener whose connections exist in memory, so that under synctest only
// waiting takes time.
type pipes struct {
	conns  chan net.Conn
	closed context.Context
	close  context.CancelFunc
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case conn := <-p.conns:
		return conn, nil
	case <-p.closed.Done():
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error { p.close(); return nil }

func (p *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1} }

func (p *pipes) dial(context.Context, string, string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	p.conns <- theirs
	return ours, nil
}

// inMemory returns a client whose connections all lead to h, until the test ends.
func inMemory(t *testing.T, h http.Handler) *http.Client {
	client, p := local(), &pipes{conns: make(chan net.Conn)}
	p.closed, p.close = context.WithCancel(t.Context())
	client.Transport.(*http.Transport).DialContext = p.dial
	server := &http.Server{Handler: h, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, 0)}
	t.Cleanup(func() { _ = server.Close() })
	go func() { _ = server.Serve(p) }()
	return client
}

// TestTrouble checks that, whatever a receiver does, an attempt ends, reads little and reports the
// error in one word.
func TestTrouble(t *testing.T) {
	t.Parallel()
	const most = 10 * time.Second
	for name, tt := range map[string]struct {
		answer http.HandlerFunc
		status webhook.Status
		class  string
		took   time.Duration
	}{
		"never answers": {func(_ http.ResponseWriter, q *http.Request) { <-q.Context().Done() }, webhook.Pending, "timeout", most},
		"answers with a body that never ends": {func(w http.ResponseWriter, q *http.Request) {
			w.WriteHeader(200)
			for q.Context().Err() == nil {
				if _, err := w.Write(bytes.Repeat([]byte("a"), 1<<16)); err != nil {
					return
				}
			}
		}, webhook.Delivered, "", 0},
		"answers with a body that never comes": {func(w http.ResponseWriter, q *http.Request) {
			w.WriteHeader(200)
			_ = http.NewResponseController(w).Flush()
			<-q.Context().Done()
		}, webhook.Delivered, "", most},
		"answers with headers that never end": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Long", strings.Repeat("a", 1<<20))
		}, webhook.Pending, "connection", 0},
		"hangs up":           {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, webhook.Pending, "connection", 0},
		"speaks no HTTP":     {raw("SSH-2.0-OpenSSH_9.2\r\n"), webhook.Pending, "connection", 0},
		"claims two lengths": {raw("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab"), webhook.Pending, "connection", 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := webhooktest.NewReceiver(t)
			r.Answer(tt.answer)
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, r.URL, inMemory(t, r))
				start := time.Now()
				_, err := b.run(b.input())
				if took := time.Since(start); took != tt.took {
					t.Errorf("it took %s, want %s", took, tt.took)
				}
				if d := b.delivery(); err != nil || d.Status != tt.status || d.LastError != tt.class {
					t.Errorf("%+v, %v", d, err)
				}
			})
		})
	}
}

// raw answers with the given bytes.
func raw(answer string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(err)
		}
		defer conn.Close()
		_, _ = conn.Write([]byte(answer))
	}
}

// TestUnreachable checks a closed port, an unknown name, an unknown certificate and a
// server without TLS.
func TestUnreachable(t *testing.T) {
	t.Parallel()
	closed := httptest.NewServer(nil)
	closed.Close()
	strange := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("somebody without a certificate was told") }))
	strange.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	strange.StartTLS()
	t.Cleanup(strange.Close)
	plain := webhooktest.NewReceiver(t)
	nowhere := webhooktest.Resolver(t, func(string) []netip.Addr { return nil })
	for name, tt := range map[string]struct {
		url      string
		resolver *net.Resolver
		class    string
	}{
		"nobody listens":      {closed.URL, nil, "connection"},
		"no such name":        {"https://hooks.acme.co/", nowhere, "dns"},
		"unknown certificate": {strange.URL, nil, "tls"},
		"no TLS":              {strings.Replace(plain.URL, "http:", "https:", 1), nil, "tls"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, tt.url, deliverwebhook.NewClient(tt.resolver, true))
			if _, err := b.run(b.input()); err != nil {
				t.Error(err)
			}
			if d := b.delivery(); d.LastError != tt.class || d.LastStatus != 0 {
				t.Errorf("%+v", d)
			}
		})
	}
}

// specialUse has addresses of each block outside the public Internet.
var specialUse = []string{
	"0.0.0.0", "0.1.2.3", "10.0.0.1", "10.255.255.255", "100.64.0.1", "100.127.255.255", "127.0.0.1", "127.8.8.8", "169.254.0.1", "169.254.169.254", "169.254.170.2", "172.16.0.1", "172.31.255.255",
	"192.0.0.1", "192.0.0.170", "192.0.2.1", "192.31.196.1", "192.52.193.1", "192.88.99.1", "192.168.0.1", "192.168.255.255", "192.175.48.1", "198.18.0.1", "198.19.255.255",
	"198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255",
	"::", "::1", "::ffff:127.0.0.1", "::ffff:169.254.169.254", "::127.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::a00:1", "100::1", "100:0:0:1::1", "2001::1", "2001:0:a00:1::1",
	"2001:2::1", "2001:4:112::1", "2001:10::1", "2001:20::1", "2001:db8::1", "2002:7f00:1::1", "2002:a9fe:a9fe::1", "2620:4f:8000::1", "3fff::1", "5f00::1", "fc00::1", "fd00:ec2::254", "fe80::1",
	"fec0::1", "ff02::1", "ff0e::1",
}

// TestSpecialUse checks that the client does not connect to a special-use address, whether a name
// resolves to it or it is dialed directly.
func TestSpecialUse(t *testing.T) {
	t.Parallel()
	if len(specialUse) < 40 {
		t.Fatalf("%d addresses", len(specialUse))
	}
	for _, s := range specialUse {
		t.Run(s, func(t *testing.T) {
			t.Parallel()
			resolver := webhooktest.Resolver(t, func(string) []netip.Addr { return []netip.Addr{netip.MustParseAddr(s)} })
			b := newBench(t, "https://hooks.acme.co/?canary", deliverwebhook.NewClient(resolver, false))
			_, err := b.run(b.input())
			d := b.delivery()
			if netip.MustParseAddr(s).Is6() && d.LastError == "connection" {
				t.Skip("this machine speaks no IPv6, so the rule was not asked")
			}
			if err != nil || d.LastError != "address" || d.Status != webhook.Pending {
				t.Errorf("%+v, %v", d, err)
			}
			_, err = deliverwebhook.NewClient(nil, false).Transport.(*http.Transport).DialContext(t.Context(), "tcp", net.JoinHostPort(s, "443"))
			if err == nil || !strings.Contains(err.Error(), "special use") {
				t.Errorf("dialed: %v", err)
			}
		})
	}
}

// TestRebinding checks a name that resolved to a public address when it was checked and resolves to
// this machine when the client connects. The server there receives nothing.
func TestRebinding(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	resolver := webhooktest.Resolver(t, func(string) []netip.Addr {
		if asked.Add(1) <= 2 { // A and AAAA
			return []netip.Addr{netip.MustParseAddr("8.8.8.8")}
		}
		return []netip.Addr{netip.MustParseAddr("127.0.0.1")}
	})
	inside := webhooktest.NewReceiver(t)
	_, port, err := net.SplitHostPort(strings.TrimPrefix(strings.Split(inside.URL, "/hook")[0], "http://"))
	if err != nil {
		t.Fatal(err)
	}
	if found, err := resolver.LookupNetIP(context.Background(), "ip", "hooks.acme.co"); err != nil || cmp.Diff("8.8.8.8", found[0].Unmap().String()) != "" {
		t.Fatalf("%v %v", found, err)
	}
	for _, scheme := range []string{"http", "https"} {
		b := newBench(t, scheme+"://hooks.acme.co:"+port+"/", deliverwebhook.NewClient(resolver, false))
		if _, err := b.run(b.input()); err != nil {
			t.Error(err)
		}
		if d := b.delivery(); d.LastError != "address" {
			t.Errorf("%+v", d)
		}
	}
	if n := len(inside.Messages()); n > 0 {
		t.Errorf("%d requests came in", n)
	}
	b := newBench(t, "http://hooks.acme.co:"+port+"/", deliverwebhook.NewClient(resolver, true))
	if status, err := b.run(b.input()); status != webhook.Delivered {
		t.Errorf("the same on a laptop: %s %v", status, err)
	}
}

// TestNoProxy checks that no HTTP proxy is used, because a proxy could connect to any address.
func TestNoProxy(t *testing.T) {
	t.Parallel()
	if tr := deliverwebhook.NewClient(nil, false).Transport.(*http.Transport); tr.Proxy != nil {
		t.Error("a proxy is asked")
	}
}

// TestEnds checks that a delivery that is over, or whose endpoint takes no
// events, is not attempted.
func TestEnds(t *testing.T) {
	t.Parallel()
	r := webhooktest.NewReceiver(t)
	ended := func(s webhook.Status) func(*bench) {
		return func(b *bench) {
			b.must(b.SaveDelivery(b.Context(), b.delivery().With(webhook.Attempt{At: time.Now(), Status: s, Code: 200}), 0))
		}
	}
	paused := true
	for name, tt := range map[string]struct {
		before func(*bench)
		status webhook.Status
		reason string
	}{
		"delivered":        {ended(webhook.Delivered), webhook.Delivered, ""},
		"dead":             {ended(webhook.Dead), webhook.Dead, ""},
		"endpoint deleted": {func(b *bench) { b.must(b.DeleteEndpoint(b.Context(), "demo", endpointID)) }, webhook.Dead, "deleted"},
		"endpoint paused": {func(b *bench) {
			_, err := b.UpdateEndpoint(b.Context(), "demo", endpointID, store.EndpointChange{Paused: &paused})
			b.must(err)
		}, webhook.Dead, "paused"},
		"endpoint disabled": {func(b *bench) {
			e, err := b.RecordFailure(b.Context(), b.endpoint(), time.Now())
			b.must(err)
			b.must(b.DisableEndpoint(b.Context(), e, time.Now()))
		}, webhook.Dead, "disabled"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, r.URL, local())
			tt.before(b)
			for range 2 {
				if status, err := b.run(b.input()); status != tt.status || err != nil {
					t.Errorf("%s, %v", status, err)
				}
			}
			if d := b.delivery(); d.LastError != tt.reason || !d.NextAt.IsZero() {
				t.Errorf("%+v", d)
			}
		})
	}
	t.Cleanup(func() {
		if n := len(r.Messages()); n > 0 {
			t.Errorf("%d messages", n)
		}
	})
}

func (b *bench) endpoint() webhook.Endpoint {
	b.Helper()
	e, err := b.Endpoint(b.Context(), "demo", endpointID)
	b.must(err)
	return e
}

// TestStrangeMessages checks that malformed messages, and messages for what has
// expired, are dropped.
func TestStrangeMessages(t *testing.T) {
	t.Parallel()
	b := newBench(t, "https://hooks.acme.co/", local())
	var in deliverwebhook.Input
	for _, body := range []string{"x", "{}", `{"user_id":"demo","endpoint_id":"` + endpointID + `","delivery_id":"dlv_1","event":"2026-11-22T09:30:00.123Z#evt_1"}`} {
		in.Records = append(in.Records, deliverwebhook.Record{ID: body, Body: body})
	}
	in.Records[1].Body = `{"user_id":"demo","endpoint_id":"x","delivery_id":"dlv_1","replay_of":"dlv_2"}`
	out, err := b.task.Run(t.Context(), in)
	if err != nil || len(out.Failures) > 0 || len(b.queue.sent) > 0 {
		t.Errorf("%+v %v %v", out, err, b.queue.sent)
	}
}

// TestLastAttempt checks that no attempt follows the twelfth.
func TestLastAttempt(t *testing.T) {
	t.Parallel()
	r := webhooktest.NewReceiver(t)
	r.Answer(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(500)
		_, _ = w.Write([]byte("no\x00 way \xff" + strings.Repeat("é", 200)))
	})
	b := newBench(t, r.URL, local())
	for n := 1; n <= 12; n++ {
		if _, err := b.run(b.input()); err != nil { // not due: the message is only sent on
			t.Error(err)
		}
		d := b.delivery()
		if n > 1 && d.Attempts != n-1 {
			t.Errorf("a message that came too early made an attempt: %+v", d)
		}
		if n > 1 {
			b.skip += b.queue.sent[len(b.queue.sent)-1].Delay + time.Second
			if _, err := b.run(b.input()); err != nil {
				t.Error(err)
			}
			d = b.delivery()
		}
		if d.Attempts != n || d.NextAt.IsZero() != (n == 12) || (d.Status == webhook.Dead) != (n == 12) {
			t.Errorf("attempt %d: %+v", n, d)
		}
		if !strings.HasPrefix(d.Answer, "no\uFFFD way \uFFFDéé") || len(d.Answer) > webhook.MaxAnswer {
			t.Errorf("attempt %d: answer %q", n, d.Answer)
		}
	}
	if n := len(r.Messages()); n != 12 {
		t.Errorf("%d messages", n)
	}
}

// TestDied checks that a claimed attempt without an outcome counts as one, and that no attempt
// follows the last one.
func TestDied(t *testing.T) {
	t.Parallel()
	r := webhooktest.NewReceiver(t)
	b := newBench(t, r.URL, local())
	d := b.delivery()
	d.Attempts, d.LastError, d.NextAt = 11, "timeout", time.Now()
	b.must(b.SaveDelivery(t.Context(), d, 0))
	if mine, err := b.ClaimAttempt(t.Context(), d, time.Now()); !mine || err != nil {
		t.Fatal(mine, err)
	}
	if status, err := b.run(b.input()); status != webhook.Dead || err != nil || b.delivery().LastError != "timeout" {
		t.Errorf("%s %v %+v", status, err, b.delivery())
	}
	if n := len(r.Messages()); n > 0 {
		t.Errorf("%d messages", n)
	}
}

// TestTwoSecrets checks that both secrets sign during a rotation, and only the new one afterwards.
func TestTwoSecrets(t *testing.T) {
	t.Parallel()
	r := webhooktest.NewReceiver(t)
	b := newBench(t, r.URL, local())
	const next = "whsec_Y2FuYXJ5bmV4dGNhbmFyeW5leHRjYW5hcnk="
	_, err := b.RotateSecret(t.Context(), "demo", endpointID, secret.New(next), time.Now().Add(time.Hour))
	b.must(err)
	for n, want := range [][2]bool{{true, true}, {false, true}} {
		in := b.input()
		if n == 1 {
			b.skip = 2 * time.Hour
			in.Records[0].Body = strings.Replace(in.Records[0].Body, deliveryID, "dlv_01KAMPJ5V0SAMPMEDEV0000001", 1)
		}
		out, err := b.task.Run(t.Context(), in)
		if err != nil || len(out.Failures) > 0 {
			t.Fatal(out, err)
		}
		m := r.Messages()[len(r.Messages())-1]
		for i, key := range []string{signing, next} {
			verifier, err := standardwebhooks.NewWebhook(key)
			b.must(err)
			if got := verifier.VerifyIgnoringTimestamp([]byte(m.Body), m.Header) == nil; got != want[i] {
				t.Errorf("%d: secret %d verifies %v: %s", n, i, got, m.Header.Get("Webhook-Signature"))
			}
		}
	}
}

// TestDatabaseDown checks that the message comes again after a failure of the platform.
func TestDatabaseDown(t *testing.T) {
	t.Parallel()
	r := webhooktest.NewReceiver(t)
	b := newBench(t, r.URL, local())
	b.LoseReplies(100)
	if out, err := b.task.Run(t.Context(), b.input()); err != nil || len(out.Failures) != 1 {
		t.Errorf("%v %v", out, err)
	}
	b.LoseReplies(0)
	if status, err := b.run(b.input()); status != webhook.Delivered || err != nil {
		t.Errorf("%s, %v", status, err)
	}
}

// TestQueueDown checks that a message comes again when its successor cannot be sent, and that the
// attempt is not repeated at once.
func TestQueueDown(t *testing.T) {
	t.Parallel()
	r := webhooktest.NewReceiver(t)
	r.Answer(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) })
	b := newBench(t, r.URL, local())
	b.queue.err = errors.New("down")
	if out, err := b.task.Run(t.Context(), b.input()); err != nil || len(out.Failures) != 1 || b.delivery().Attempts != 1 {
		t.Errorf("%v %v", out, err)
	}
	b.queue.err = nil
	if status, err := b.run(b.input()); status != webhook.Pending || err != nil || len(r.Messages()) != 1 {
		t.Errorf("%s, %v, %d messages", status, err, len(r.Messages()))
	}
}

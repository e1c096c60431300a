// Package webhooktest gives tests a DNS resolver whose answers they choose, and a server that
// receives webhooks.
package webhooktest

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// Resolver asks a DNS server that calls answer for the addresses of a name ("hooks.acme.co"), again
// at every query. A name without addresses does not exist.
func Resolver(t testing.TB, answer func(name string) []netip.Addr) *net.Resolver {
	t.Helper()
	conn, err := (&net.ListenConfig{}).ListenPacket(t.Context(), "udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	go func() {
		query := make([]byte, 1500)
		for {
			n, from, err := conn.ReadFrom(query)
			if err != nil {
				return
			}
			_, _ = conn.WriteTo(reply(query[:n], answer), from)
		}
	}()
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "udp", conn.LocalAddr().String())
	}}
}

// reply answers a question for A or AAAA: RFC 1035, sections 4.1.1 to 4.1.4.
func reply(query []byte, answer func(name string) []netip.Addr) []byte {
	var labels []string
	at := 12
	for query[at] != 0 {
		labels = append(labels, string(query[at+1:at+1+int(query[at])]))
		at += 1 + int(query[at])
	}
	wanted := binary.BigEndian.Uint16(query[at+1:])
	out := append([]byte{}, query[:at+5]...)
	addresses := answer(strings.ToLower(strings.Join(labels, ".")))
	binary.BigEndian.PutUint16(out[2:], 0x8180)
	if len(addresses) == 0 {
		binary.BigEndian.PutUint16(out[2:], 0x8183)
	}
	count := uint16(0)
	for _, a := range addresses {
		kind := uint16(1)
		if a.Is6() {
			kind = 28
		}
		if kind != wanted {
			continue
		}
		count++
		out = append(out, 0xc0, 12, 0, byte(kind), 0, 1, 0, 0, 0, 0, 0, byte(a.BitLen()/8))
		out = append(out, a.AsSlice()...)
	}
	binary.BigEndian.PutUint16(out[6:], count)
	binary.BigEndian.PutUint32(out[8:], 0)
	return out
}

// Message is a received webhook. Err says what is wrong with its signature.
type Message struct {
	ID     string
	Body   string
	Header http.Header
	At     time.Time // of its arrival
	Err    error
}

// Receiver is a user's server. It verifies webhooks with the library that Standard Webhooks
// provides for receivers.
type Receiver struct {
	URL string

	mu       sync.Mutex
	answer   http.HandlerFunc
	verifier *standardwebhooks.Webhook
	messages []Message
}

// NewReceiver starts a server that answers 204 until Answer says otherwise.
func NewReceiver(t testing.TB) *Receiver {
	t.Helper()
	r := &Receiver{answer: func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }}
	server := httptest.NewServer(r)
	t.Cleanup(server.Close)
	r.URL = server.URL + "/hook?token=canary"
	return r
}

// Trust sets the secret that webhooks must be signed with.
func (r *Receiver) Trust(t testing.TB, secret string) {
	t.Helper()
	verifier, err := standardwebhooks.NewWebhook(secret)
	if err != nil {
		t.Fatal(err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.verifier = verifier
}

// Answer sets the handler that answers from now on.
func (r *Receiver) Answer(h http.HandlerFunc) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answer = h
}

// Messages are the received webhooks in their order.
func (r *Receiver) Messages() []Message {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]Message{}, r.messages...)
}

// ServeHTTP receives a webhook.
func (r *Receiver) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	body, err := io.ReadAll(q.Body)
	if err != nil {
		return
	}
	m := Message{ID: q.Header.Get("webhook-id"), Body: string(body), Header: q.Header, At: time.Now(), Err: errors.New("no secret is trusted")}
	r.mu.Lock()
	if r.verifier != nil {
		// A workflow in a test has its own clock, so signatures of any age are accepted.
		m.Err = r.verifier.VerifyIgnoringTimestamp(body, q.Header)
	}
	r.messages = append(r.messages, m)
	answer := r.answer
	r.mu.Unlock()
	answer(w, q)
}

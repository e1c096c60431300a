// Package rtp carries one telephone call's audio: PCMU and keypad digits over one UDP socket.
package rtp

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/pion/rtp"
)

const (
	payloadPCMU  = 0   // RFC 3551 section 6
	payloadEvent = 101 // dynamic; LiveKit SIP and most carriers offer it for telephone-event

	sampleRate = 8000
	frame      = 20 * time.Millisecond
	frameLen   = 160 // samples in one frame, and bytes: PCMU has one byte per sample

	// After a pause longer than maxLag the timestamp moves on with the clock.
	maxLag = 100 * time.Millisecond
)

// Session is one end of an RTP stream (RFC 3550) and works in both directions. Sending, receiving
// and Close may be called from different goroutines.
type Session struct {
	conn *net.UDPConn

	mu        sync.Mutex // guards everything below
	remote    netip.AddrPort
	ssrc      uint32
	seq       uint16
	nextTS    uint32    // timestamp of the next sample to send
	nextAt    time.Time // when that sample is due
	started   bool
	digitOnly bool // a digit is being sent: audio keeps time but is not sent (RFC 4733 section 2.1)
	packets   int
	last      time.Time

	digits sync.Mutex // one WriteDTMF at a time
}

// Listen opens a session on a free even UDP port of host (RFC 3550 section 11).
func Listen(host string) (*Session, error) {
	ip := net.ParseIP(host)
	if ip == nil {
		return nil, fmt.Errorf("rtp: %q is not an IP address", host)
	}
	for range 100 {
		conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: ip})
		if err != nil {
			return nil, fmt.Errorf("rtp: %w", err)
		}
		if conn.LocalAddr().(*net.UDPAddr).Port%2 == 0 {
			return &Session{conn: conn, ssrc: rand.Uint32(), seq: uint16(rand.Uint32()), nextTS: rand.Uint32()}, nil
		}
		if err := conn.Close(); err != nil {
			return nil, fmt.Errorf("rtp: %w", err)
		}
	}
	return nil, errors.New("rtp: no free even port")
}

// Port is the local UDP port.
func (s *Session) Port() int { return s.conn.LocalAddr().(*net.UDPAddr).Port }

// SetRemote sets the address to send to. Until it is set, packets are discarded, but the stream's
// time advances.
func (s *Session) SetRemote(addr netip.AddrPort) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.remote = addr
}

// Packets is the number of audio and event packets received.
func (s *Session) Packets() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.packets
}

// LastReceived is the time of the last audio or event packet. It is zero before the first one.
func (s *Session) LastReceived() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last
}

// Close ends Read and makes later writes fail.
func (s *Session) Close() error { return s.conn.Close() }

// WriteAudio sends one frame of PCMU, usually 20 ms (160 bytes). The caller sets the pace. After a
// pause of more than 100 ms the timestamp moves on with the clock. While WriteDTMF sends a digit,
// the frame is dropped.
func (s *Session) WriteAudio(payload []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	ts, marker := s.stamp(time.Now())
	s.nextTS += uint32(len(payload))
	s.nextAt = s.nextAt.Add(time.Duration(len(payload)) * time.Second / sampleRate)
	if s.digitOnly {
		return nil
	}
	return s.send(payloadPCMU, ts, marker, payload)
}

// stamp returns the timestamp of the next packet and whether a pause came before it (the marker
// bit, RFC 3551 section 4.1). Callers hold mu.
func (s *Session) stamp(now time.Time) (ts uint32, marker bool) {
	if !s.started {
		s.started, s.nextAt = true, now
		return s.nextTS, true
	}
	if lag := now.Sub(s.nextAt); lag > maxLag {
		s.nextTS += uint32(lag/frame) * frameLen
		s.nextAt = s.nextAt.Add(lag.Truncate(frame))
		marker = true
	}
	return s.nextTS, marker
}

// send writes one packet. Callers hold mu.
func (s *Session) send(payloadType uint8, ts uint32, marker bool, payload []byte) error {
	if !s.remote.IsValid() {
		return nil
	}
	packet := rtp.Packet{
		Header: rtp.Header{
			Version: 2, PayloadType: payloadType, Marker: marker,
			SequenceNumber: s.seq, Timestamp: ts, SSRC: s.ssrc,
		},
		Payload: payload,
	}
	s.seq++
	var buf [1500]byte
	n, err := packet.MarshalTo(buf[:])
	if err != nil {
		return fmt.Errorf("rtp: %w", err)
	}
	if _, err := s.conn.WriteToUDPAddrPort(buf[:n], s.remote); errors.Is(err, net.ErrClosed) {
		return err
	}
	// Any other error of one datagram (for example, no listener yet) counts as a lost packet.
	return nil
}

// Read receives until Close, and then returns nil. onAudio gets each PCMU payload, which is valid
// only during that call. onDTMF gets each digit (0-9 * # A-D) once, when it begins. Either may be
// nil. Read accepts packets from any sender, because a peer does not always send from the address
// it announces.
func (s *Session) Read(onAudio func(payload []byte), onDTMF func(digit byte)) error {
	var (
		buf    [1500]byte
		packet rtp.Packet
		events eventReader
	)
	for {
		n, _, err := s.conn.ReadFromUDPAddrPort(buf[:])
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("rtp: %w", err)
		}
		if packet.Unmarshal(buf[:n]) != nil || packet.Version != 2 {
			continue
		}
		if packet.PayloadType != payloadPCMU && packet.PayloadType != payloadEvent {
			continue
		}
		s.mu.Lock()
		s.packets++
		s.last = time.Now()
		s.mu.Unlock()
		if packet.PayloadType == payloadPCMU {
			if onAudio != nil && len(packet.Payload) > 0 {
				onAudio(packet.Payload)
			}
			continue
		}
		if digit, ok := events.read(&packet); ok && onDTMF != nil {
			onDTMF(digit)
		}
	}
}

// digitCodes are the keypad's events 0 to 15 in order (RFC 4733 section 3.2).
const digitCodes = "0123456789*#ABCD"

// eventReader finds the first packet of each event. An event has many packets.
type eventReader struct {
	seen     bool
	ssrc     uint32
	ts       uint32 // of the newest event
	code     byte
	duration uint16
	ended    bool
}

// read returns the digit that begins with this packet. Updates and repeats of an event share its
// timestamp. An event too long for its 16-bit duration continues under a new timestamp (RFC 4733
// section 2.5.1.3).
func (e *eventReader) read(p *rtp.Packet) (digit byte, begins bool) {
	if len(p.Payload) < 4 {
		return 0, false
	}
	code, ended := p.Payload[0], p.Payload[1]&0x80 != 0
	duration := uint16(p.Payload[2])<<8 | uint16(p.Payload[3])
	same := e.seen && p.SSRC == e.ssrc
	if same && int32(p.Timestamp-e.ts) < 0 {
		return 0, false
	}
	begins = !same || p.Timestamp != e.ts
	if begins && same && code == e.code && !e.ended && !p.Marker && p.Timestamp == e.ts+uint32(e.duration) {
		begins = false
	}
	*e = eventReader{seen: true, ssrc: p.SSRC, ts: p.Timestamp, code: code, duration: duration, ended: ended}
	if !begins || int(code) >= len(digitCodes) {
		return 0, false
	}
	return digitCodes[code], true
}

const (
	// 260 ms of tone and 260 ms of silence, as recorded from LiveKit SIP v1.10.0.
	digitFrames = 13
	digitGap    = 260 * time.Millisecond
	digitPause  = 500 * time.Millisecond // for 'w', as in LiveKit's dtmf parameter
)

// WriteDTMF sends each digit as an RFC 4733 event of 260 ms followed by 260 ms of silence. A 'w' is
// a pause of 500 ms. WriteDTMF returns when the last digit is sent. It rejects any other character
// before it sends anything.
func (s *Session) WriteDTMF(ctx context.Context, digits string) error {
	digits = strings.ToUpper(digits)
	for _, d := range digits {
		if d != 'W' && !strings.ContainsRune(digitCodes, d) {
			return fmt.Errorf("rtp: %q is not a DTMF digit", d)
		}
	}
	s.digits.Lock()
	defer s.digits.Unlock()
	for _, d := range digits {
		wait := digitPause
		if d != 'W' {
			if err := s.writeDigit(ctx, byte(strings.IndexRune(digitCodes, d))); err != nil {
				return err
			}
			wait = digitGap
		}
		if err := sleep(ctx, wait); err != nil {
			return err
		}
	}
	return nil
}

// writeDigit sends one event: its beginning, an update every 20 ms, and the end three times (RFC
// 4733 section 2.5.1.4).
func (s *Session) writeDigit(ctx context.Context, code byte) error {
	s.mu.Lock()
	ts, _ := s.stamp(time.Now())
	s.digitOnly = true
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		s.digitOnly = false
		s.mu.Unlock()
	}()

	const volume = 10 // dBm0 below full scale
	for i := 1; i <= digitFrames; i++ {
		repeats, flags := 1, byte(volume)
		if i == digitFrames {
			repeats, flags = 3, volume|0x80
		}
		duration := uint16(i * frameLen)
		for range repeats {
			s.mu.Lock()
			err := s.send(payloadEvent, ts, i == 1, []byte{code, flags, byte(duration >> 8), byte(duration)})
			s.mu.Unlock()
			if err != nil {
				return err
			}
		}
		if err := sleep(ctx, frame); err != nil {
			return err
		}
	}
	return nil
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

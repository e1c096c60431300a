package rtp

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/pion/rtp"

	"github.com/krosai/telephony/local/calltest"
)

func TestMain(m *testing.M) { calltest.Main(m) }

func open(t *testing.T) *Session {
	t.Helper()
	s, err := Listen("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// peer is a plain UDP socket. It becomes the remote address of s.
func peer(t *testing.T, s *Session) *net.UDPConn {
	t.Helper()
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	s.SetRemote(conn.LocalAddr().(*net.UDPAddr).AddrPort())
	return conn
}

func receive(t *testing.T, conn *net.UDPConn) rtp.Packet {
	t.Helper()
	buf := make([]byte, 1500)
	conn.SetReadDeadline(time.Now().Add(time.Minute))
	n, err := conn.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	var p rtp.Packet
	if err := p.Unmarshal(buf[:n]); err != nil {
		t.Fatal(err)
	}
	return p
}

func TestListenTakesEvenPorts(t *testing.T) {
	t.Parallel()
	for range 50 {
		if s := open(t); s.Port()%2 != 0 {
			t.Fatalf("port %d is odd", s.Port())
		}
	}
	if _, err := Listen("localhost"); err == nil {
		t.Error("a host name was accepted")
	}
}

func TestWriteAudioTimeline(t *testing.T) {
	t.Parallel()
	s := open(t)
	conn := peer(t, s)
	audio := make([]byte, 160)
	synctest.Test(t, func(*testing.T) {
		for range 3 {
			s.WriteAudio(audio)
		}
		time.Sleep(300 * time.Millisecond)
		s.WriteAudio(audio)
	})

	first := receive(t, conn)
	if !first.Marker || first.PayloadType != 0 || len(first.Payload) != 160 {
		t.Errorf("first packet: %v", first.Header)
	}
	for i := 1; i < 3; i++ {
		p := receive(t, conn)
		if p.Marker || p.SSRC != first.SSRC || p.SequenceNumber != first.SequenceNumber+uint16(i) ||
			p.Timestamp != first.Timestamp+uint32(160*i) {
			t.Errorf("packet %d: %v after %v", i, p.Header, first.Header)
		}
	}
	p := receive(t, conn)
	moved := p.Timestamp - first.Timestamp
	if !p.Marker || moved != 300*8 {
		t.Errorf("after a pause of 300 ms: timestamp moved %d samples, marker %v", moved, p.Marker)
	}
}

// TestWriteDTMFPackets checks that the end of each digit is sent three times, and that all packets
// of a digit share one timestamp.
func TestWriteDTMFPackets(t *testing.T) {
	t.Parallel()
	s := open(t)
	conn := peer(t, s)
	go s.WriteDTMF(t.Context(), "5#")
	var got [2][]byte
	var stamps [2]uint32
	for i, code := range []byte{5, 11} {
		for ends := 0; ends < 3; {
			p := receive(t, conn)
			if p.PayloadType != 101 || p.Payload[0] != code {
				t.Fatalf("digit %d: payload type %d, %v", i, p.PayloadType, p.Payload)
			}
			if len(got[i]) == 0 {
				stamps[i] = p.Timestamp
			}
			if p.Marker != (len(got[i]) == 0) || p.Timestamp != stamps[i] {
				t.Errorf("digit %d packet %d: %v", i, len(got[i]), p.Header)
			}
			if p.Payload[1]&0x80 != 0 {
				ends++
			}
			got[i] = append(got[i], p.Payload[2], p.Payload[3])
		}
	}
	if len(got[0]) != 2*(digitFrames+2) || !cmp.Equal(got[0], got[1]) {
		t.Errorf("durations %v, %v", got[0], got[1])
	}
	if stamps[1]-stamps[0] < digitFrames*frameLen {
		t.Errorf("the second digit begins %d samples after the first", stamps[1]-stamps[0])
	}
	if err := s.WriteDTMF(t.Context(), "1x"); err == nil {
		t.Error("x was accepted")
	}
}

func TestDigitsArriveOnceBesideAudio(t *testing.T) {
	t.Parallel()
	began := time.Now()
	a, b := open(t), open(t)
	a.SetRemote(netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), uint16(b.Port())))
	var wg sync.WaitGroup
	var mu sync.Mutex
	var digits []byte
	audio := 0
	locked := func(f func()) { mu.Lock(); defer mu.Unlock(); f() }
	wg.Go(func() {
		if err := b.Read(func(p []byte) { locked(func() { audio += len(p) }) }, func(d byte) { locked(func() { digits = append(digits, d) }) }); err != nil {
			t.Errorf("read: %v", err)
		}
	})
	ctx, stop := context.WithCancel(t.Context())
	wg.Go(func() {
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for ctx.Err() == nil {
			a.WriteAudio(make([]byte, 160))
			<-tick.C
		}
	})
	if err := a.WriteDTMF(ctx, "11w*d"); err != nil {
		t.Error(err)
	}
	for end, arrived := time.Now().Add(time.Minute), false; !arrived && time.Now().Before(end); time.Sleep(time.Millisecond) {
		locked(func() { arrived = len(digits) == 4 && audio > 0 })
	}
	stop()
	if b.Packets() == 0 || b.LastReceived().Before(began) {
		t.Errorf("packets %d, last %v", b.Packets(), b.LastReceived())
	}
	b.Close()
	wg.Wait()
	if string(digits) != "11*D" || audio == 0 {
		t.Errorf("digits %q, %d bytes of audio", digits, audio)
	}
}

func TestEventReader(t *testing.T) {
	t.Parallel()
	packet := func(ssrc, ts uint32, marker bool, payload ...byte) *rtp.Packet {
		return &rtp.Packet{Header: rtp.Header{SSRC: ssrc, Timestamp: ts, Marker: marker}, Payload: payload}
	}
	for name, c := range map[string]struct {
		packets []*rtp.Packet
		want    string
	}{
		"start lost":           {[]*rtp.Packet{packet(1, 10, false, 3, 10, 0, 160), packet(1, 10, false, 3, 138, 1, 0)}, "3"},
		"late repeat":          {[]*rtp.Packet{packet(1, 10, true, 3, 10, 0, 160), packet(1, 900, true, 3, 10, 0, 160), packet(1, 10, false, 3, 138, 1, 0)}, "33"},
		"timestamp wraps":      {[]*rtp.Packet{packet(1, 1<<32-80, true, 3, 138, 0, 160), packet(1, 900, true, 4, 10, 0, 160)}, "34"},
		"longer than 16 bits":  {[]*rtp.Packet{packet(1, 10, true, 3, 10, 255, 255), packet(1, 10+65535, false, 3, 10, 0, 160)}, "3"},
		"new sender":           {[]*rtp.Packet{packet(1, 1000, true, 3, 138, 0, 160), packet(2, 5, true, 4, 10, 0, 160)}, "34"},
		"flash is no digit":    {[]*rtp.Packet{packet(1, 10, true, 16, 10, 0, 160)}, ""},
		"too short":            {[]*rtp.Packet{packet(1, 10, true, 3, 10)}, ""},
		"last letter, reserve": {[]*rtp.Packet{packet(1, 10, true, 15, 10, 0, 160), packet(1, 500, true, 255, 10, 0, 160)}, "D"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var reader eventReader
			var got []byte
			for _, p := range c.packets {
				if d, ok := reader.read(p); ok {
					got = append(got, d)
				}
			}
			if string(got) != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestParseSDP(t *testing.T) {
	t.Parallel()
	const head = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\n"
	for name, c := range map[string]struct{ sdp, want string }{
		"own offer":         {string(Offer("127.0.0.1", 4000)), "127.0.0.1:4000"},
		"own offer, IPv6":   {string(Offer("::1", 4000)), "[::1]:4000"},
		"LiveKit's offer":   {head + "c=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 31818 RTP/AVP 9 0 8 101\r\na=rtpmap:9 G722/8000\r\n", "127.0.0.1:31818"},
		"media c= wins":     {head + "c=IN IP4 10.0.0.1\r\nm=video 9 RTP/AVP 96\r\nc=IN IP4 10.0.0.2\r\nm=audio 5000 RTP/AVP 0\r\nc=IN IP4 10.0.0.3\r\n", "10.0.0.3:5000"},
		"second audio":      {head + "c=IN IP4 10.0.0.1\r\nm=audio 5000 RTP/AVP 0\r\nm=audio 6000 RTP/AVP 0\r\nc=IN IP4 10.0.0.9\r\n", "10.0.0.1:5000"},
		"bare newlines":     {"c=IN IP4 10.0.0.1\nm=audio 5000 RTP/AVP 0\n", "10.0.0.1:5000"},
		"no PCMU":           {head + "c=IN IP4 10.0.0.1\r\nm=audio 5000 RTP/AVP 8\r\n", ""},
		"refused":           {head + "c=IN IP4 10.0.0.1\r\nm=audio 0 RTP/AVP 0\r\n", ""},
		"no audio":          {head, ""},
		"no address":        {head + "m=audio 5000 RTP/AVP 0\r\n", ""},
		"host name":         {head + "c=IN IP4 example.com\r\nm=audio 5000 RTP/AVP 0\r\n", ""},
		"port out of range": {head + "c=IN IP4 10.0.0.1\r\nm=audio 70000 RTP/AVP 0\r\n", ""},
		"empty":             {"", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := ParseSDP([]byte(c.sdp))
			if (err != nil) != (c.want == "") {
				t.Fatalf("error %v", err)
			}
			if err == nil && got.String() != c.want {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

func FuzzParseSDP(f *testing.F) {
	f.Add(Offer("127.0.0.1", 4000))
	f.Add([]byte("m=audio 1 RTP/AVP 0\nc=IN"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if addr, err := ParseSDP(b); err == nil && (!addr.IsValid() || addr.Port() == 0) {
			t.Errorf("%q gives %v", b, addr)
		}
	})
}

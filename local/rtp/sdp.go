package rtp

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// Offer is the SDP of a session on host and port, used as an offer or an answer: PCMU and
// telephone-event, 20 ms (RFC 8866, RFC 3264).
func Offer(host string, port int) []byte {
	family := "IP4"
	if strings.Contains(host, ":") {
		family = "IP6"
	}
	return fmt.Appendf(nil, "v=0\r\no=- %[2]d 1 IN %[3]s %[1]s\r\ns=-\r\nc=IN %[3]s %[1]s\r\nt=0 0\r\n"+
		"m=audio %[2]d RTP/AVP 0 101\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:101 telephone-event/8000\r\n"+
		"a=fmtp:101 0-15\r\na=ptime:20\r\na=sendrecv\r\n", host, port, family)
}

// ParseSDP returns the address to which an SDP offer or answer wants its audio sent. It fails if
// the SDP has no audio stream, or if that stream is refused (port 0) or does not accept PCMU.
func ParseSDP(b []byte) (netip.AddrPort, error) {
	var address, media string
	inAudio := false
	for line := range strings.Lines(string(b)) {
		kind, value, _ := strings.Cut(strings.TrimRight(line, "\r\n"), "=")
		switch {
		case kind == "m" && media != "":
			inAudio = false // only the first audio stream counts
		case kind == "m":
			if inAudio = strings.HasPrefix(value, "audio "); inAudio {
				media = value
			}
		case kind == "c" && (media == "" && address == "" || inAudio):
			address = value
		}
	}
	if media == "" {
		return netip.AddrPort{}, errors.New("rtp: no audio in the SDP")
	}
	return audioAddr(address, media)
}

// audioAddr joins the values of a c= line ("IN IP4 host") and an m= line ("audio port
// RTP/AVP types…").
func audioAddr(connection, media string) (netip.AddrPort, error) {
	m := strings.Fields(media)
	if len(m) < 4 || !slices.Contains(m[3:], strconv.Itoa(payloadPCMU)) {
		return netip.AddrPort{}, errors.New("rtp: no PCMU in the SDP")
	}
	portText, _, _ := strings.Cut(m[1], "/")
	port, err := strconv.ParseUint(portText, 10, 16)
	if err != nil || port == 0 {
		return netip.AddrPort{}, fmt.Errorf("rtp: audio port %q in the SDP", m[1])
	}
	c := strings.Fields(connection)
	if len(c) < 3 {
		return netip.AddrPort{}, errors.New("rtp: no connection address in the SDP")
	}
	host, _, _ := strings.Cut(c[2], "/")
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("rtp: connection address in the SDP: %w", err)
	}
	return netip.AddrPortFrom(ip, uint16(port)), nil
}

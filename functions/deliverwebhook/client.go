package deliverwebhook

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"syscall"
	"time"

	"github.com/krosai/telephony/shared/guard"
)

// NewClient makes the client that speaks to users' servers. An attempt takes 10
// seconds at most; redirects are not followed and no proxy is asked. The address
// that is connected to, whatever the name has led to before, must be one of the
// public Internet. resolver is nil for the system's; allowLoopback is for the
// laptop.
func NewClient(resolver *net.Resolver, allowLoopback bool) *http.Client {
	dialer := &net.Dialer{Resolver: resolver, ControlContext: func(_ context.Context, _, address string, _ syscall.RawConn) error {
		to, err := netip.ParseAddrPort(address)
		if err != nil || !guard.PublicAddress(to.Addr()) && !(allowLoopback && to.Addr().Unmap().IsLoopback()) {
			return errSpecialUse
		}
		return nil
	}}
	return &http.Client{
		Timeout:       10 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{DialContext: dialer.DialContext, DisableKeepAlives: true, DisableCompression: true,
			MaxResponseHeaderBytes: 16 << 10},
	}
}

var errSpecialUse = errors.New("the address is of special use")

// classOf names what went wrong, in words of the API: dns, address, tls, timeout
// or connection. Anything more could tell a user of our network.
func classOf(err error) string {
	if errors.Is(err, errSpecialUse) {
		return "address"
	}
	if _, ok := errors.AsType[*net.DNSError](err); ok {
		return "dns"
	}
	if e, ok := errors.AsType[net.Error](err); ok && e.Timeout() {
		return "timeout"
	}
	_, certificate := errors.AsType[*tls.CertificateVerificationError](err)
	_, record := errors.AsType[tls.RecordHeaderError](err)
	_, alert := errors.AsType[tls.AlertError](err)
	if certificate || record || alert || errors.Is(err, http.ErrSchemeMismatch) {
		return "tls"
	}
	return "connection"
}

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

	"github.com/krosai/telephony/shared/validate"
)

// NewClient returns the client for users' servers. A request takes at most 10 seconds. The
// client follows no redirects and uses no proxy. The IP address that it connects to must be a
// public one, whatever the name resolved to before. A nil resolver is the system's.
// allowLoopback is for the laptop.
func NewClient(resolver *net.Resolver, allowLoopback bool) *http.Client {
	dialer := &net.Dialer{Resolver: resolver, ControlContext: func(_ context.Context, _, address string, _ syscall.RawConn) error {
		to, err := netip.ParseAddrPort(address)
		if err != nil || !validate.PublicAddress(to.Addr()) && !(allowLoopback && to.Addr().Unmap().IsLoopback()) {
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

// classOf returns the API's word for an error: dns, address, tls, timeout or connection. A more
// precise answer could reveal details of our network to a user.
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

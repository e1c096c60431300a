package validate

import (
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/krosai/telephony/shared/fault"
)

// WebhookURL checks the URL of a webhook endpoint and returns its host name. The URL must be https,
// with a public host name, a port of 443 or at least 1024 if it has one, and neither user nor
// fragment. allowLoopback is for local development: it permits 127.0.0.1, ::1 and localhost, also
// over http.
//
// The caller must also check the addresses of the host with PublicAddress, at registration and on
// every connection.
func WebhookURL(field, s string, allowLoopback bool) (host string, err error) {
	refuse := func(why string) (string, error) { return "", fault.InvalidField(field, "malformed", why) }
	u, err := url.Parse(s)
	if err != nil || len(s) > 2048 || !visible(s) || strings.ContainsAny(s, " \\") {
		return refuse("must be a URL of at most 2048 visible ASCII characters")
	}
	host = strings.ToLower(u.Hostname())
	loopback := allowLoopback && LoopbackName(host)
	switch {
	case u.Scheme != "https" && (u.Scheme != "http" || !loopback):
		return refuse("must begin with https://")
	case u.User != nil || u.Opaque != "" || strings.Contains(s, "#"):
		return refuse("must have no user name, password or fragment")
	case u.Host != u.Hostname() && !goodPort(u.Port()) && !loopback:
		return refuse("the port must be 443 or from 1024 to 65535")
	case loopback:
		return host, nil
	case !hostName(host) || specialName(host):
		return refuse("the host must be a name of the public Internet; IP addresses are refused")
	}
	return host, nil
}

// LoopbackName reports whether a URL's host is a loopback name of this machine.
func LoopbackName(host string) bool {
	return host == "127.0.0.1" || host == "::1" || host == "localhost"
}

// schemes are the schemes that users habitually write before an address.
var schemes = []string{"sip", "sips", "tel", "http", "https", "ws", "wss"}

// SIPAddress checks the address of a trunk: a public host name, with a port of 443 or at least 1024
// if it has one. Schemes, parameters, users, IP addresses and names outside the public Internet are
// refused. allowLoopback is for local development: it permits 127.0.0.1, ::1 and localhost.
//
// The addresses of the host must be checked as well. Package carrier does both.
func SIPAddress(field, address string, allowLoopback bool) error {
	refuse := func(why string) error { return fault.InvalidField(field, "malformed", why) }
	if scheme, _, ok := strings.Cut(strings.ToLower(address), ":"); ok && slices.Contains(schemes, scheme) {
		return refuse("must be without the scheme " + scheme + ":, a host name, or a host name and port")
	}
	host := address
	if i := strings.LastIndexByte(address, ':'); i >= 0 && !strings.HasSuffix(address, "]") {
		host = address[:i]
		if !goodPort(address[i+1:]) {
			return refuse("the port must be 443 or from 1024 to 65535")
		}
	}
	host = strings.ToLower(host)
	if allowLoopback && (host == "127.0.0.1" || host == "[::1]" || host == "localhost") {
		return nil
	}
	if !hostName(host) {
		return refuse("must be a host name, or a host name and port, without scheme, user or parameters; IP addresses are refused")
	}
	if specialName(host) {
		return refuse("must be a name of the public Internet")
	}
	return nil
}

func goodPort(s string) bool {
	n, err := strconv.Atoi(s)
	return err == nil && strconv.Itoa(n) == s && SIPPort(n)
}

// SIPPort reports whether a trunk or a webhook may use a port: 443, or 1024 and above, so that no
// other service of a host is reached.
func SIPPort(n int) bool { return n == 443 || n >= 1024 && n <= 65535 }

// hostName reports whether s is a host name as in RFC 1123, in lower case, with at least two
// labels. No IP address parser takes the last label for a number.
func hostName(s string) bool {
	if len(s) > 253 || !strings.Contains(s, ".") {
		return false
	}
	labels := strings.Split(s, ".")
	for _, l := range labels {
		if l == "" || len(l) > 63 || !only(l, letters+digits+"-") || l[0] == '-' || l[len(l)-1] == '-' {
			return false
		}
	}
	last := labels[len(labels)-1]
	return len(last) >= 2 && (only(last, letters) || strings.HasPrefix(last, "xn--"))
}

// specialName reports whether a name is outside the public Internet: one of IANA's special-use
// domain names (RFC 6761 and later), a name used inside networks, or a name of a service that turns
// any IP address into a name.
func specialName(host string) bool {
	for _, suffix := range []string{
		"alt", "arpa", "corp", "example", "home", "internal", "intranet", "invalid", "lan", "local", "localdomain",
		"localhost", "mail", "onion", "private", "test",
		"example.com", "example.net", "example.org",
		"lvh.me", "localtest.me", "nip.io", "sslip.io", "xip.io",
	} {
		if host == suffix || strings.HasSuffix(host, "."+suffix) {
			return true
		}
	}
	return false
}

// AllowedAddress checks one source of inbound calls: a public IP address or a network in CIDR form,
// no larger than /16 (IPv4) or /32 (IPv6), without host bits.
func AllowedAddress(field, s string, allowLoopback bool) error {
	refuse := func(why string) error { return fault.InvalidField(field, "malformed", why) }
	network, err := netip.ParsePrefix(s)
	if err != nil {
		addr, err := netip.ParseAddr(s)
		if err != nil || addr.Zone() != "" {
			return refuse("must be an IP address or a network in CIDR form")
		}
		network = netip.PrefixFrom(addr, addr.BitLen())
	}
	if network.Masked() != network {
		return refuse("the network has host bits set")
	}
	if allowLoopback && network.Addr().IsLoopback() {
		return nil
	}
	if network.Addr().Is4() && network.Bits() < 16 || network.Addr().Is6() && network.Bits() < 32 {
		return refuse("the network is too large: at most /16 for IPv4, /32 for IPv6")
	}
	if !public(network) {
		return refuse("must be an address of the public Internet")
	}
	return nil
}

// PublicAddress reports whether an address to connect to belongs to the public Internet. An IPv4
// address in IPv6 form is treated as IPv4.
func PublicAddress(a netip.Addr) bool {
	a = a.Unmap()
	return a.IsValid() && a.Zone() == "" && public(netip.PrefixFrom(a, a.BitLen()))
}

// specialUse lists IANA's special-purpose address registries and multicast. For IPv6 it lists only
// blocks within 2000::/3, because nothing outside it is public.
// https://www.iana.org/assignments/iana-ipv4-special-registry
// https://www.iana.org/assignments/iana-ipv6-special-registry
var specialUse = []string{
	"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
	"192.0.0.0/24", "192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24", "192.168.0.0/16",
	"192.175.48.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
	"2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20",
}

// public reports whether no part of the network is reserved for special use.
func public(network netip.Prefix) bool {
	if network.Addr().Is6() && !netip.MustParsePrefix("2000::/3").Contains(network.Addr()) {
		return false
	}
	for _, s := range specialUse {
		if netip.MustParsePrefix(s).Overlaps(network) {
			return false
		}
	}
	return true
}

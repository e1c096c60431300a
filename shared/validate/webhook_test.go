package validate_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/krosai/telephony/shared/validate"
)

func webhookURL(loopback bool) rule {
	return func(f, s string) error {
		_, err := validate.WebhookURL(f, s, loopback)
		return err
	}
}

func TestWebhookURL(t *testing.T) {
	t.Parallel()
	good := []string{"https://hooks.acme.co", "https://hooks.acme.co/", "https://hooks.acme.co/krosai?token=a%20b&x=1", "HTTPS://Hooks.Acme.CO/a", "https://hooks.acme.co:443/",
		"https://hooks.acme.co:8443/a", "https://xn--bcher-kva.xn--p1ai/", "https://a.bc/" + strings.Repeat("a", 2035)}
	bad := []string{"", " ", "hooks.acme.co", "//hooks.acme.co", "http://hooks.acme.co/", "ftp://hooks.acme.co/", "file:///etc/passwd", "gopher://hooks.acme.co/", "https:hooks.acme.co",
		"https://", "https:///a", "https://user@hooks.acme.co/", "https://user:secret@hooks.acme.co/", "https://@hooks.acme.co/", "https://hooks.acme.co/#a", "https://hooks.acme.co/#",
		"https://hooks.acme.co:22/", "https://hooks.acme.co:0/", "https://hooks.acme.co:65536/", "https://hooks.acme.co:/", "https://hooks.acme.co:0443/", "https://hooks.acme.co:80/",
		"https://hooks.acme.co\\@evil.co/", "https://hooks.acme.co/a b", "https://hooks.acme.co/\r\nX: y", "https://hooks.acme.co/\x00", "https://hooks.acme.co/é", "https://hооks.acme.co/",
		"https://hooks.acme.co./", "https://com/", "https://localhost/", "https://localhost:8443/", "http://localhost:8099/", "https://127.0.0.1/", "https://127.1/", "https://0x7f000001/", "https://2130706433/",
		"https://[::1]/", "https://[::ffff:127.0.0.1]/", "https://8.8.8.8/", "https://[2606:4700::1111]/", "https://169.254.169.254/latest/meta-data/", "https://metadata.google.internal/",
		"https://db.internal/", "https://printer.local/", "https://hooks.example.com/", "https://127.0.0.1.nip.io/", "https://a.test/", "https://1.0.0.127.in-addr.arpa/", "https://h%6fst.acme.co/",
		"https://a.bc/" + strings.Repeat("a", 2036)}
	check(t, webhookURL(false), good, bad)
	local := []string{"http://127.0.0.1:8099/", "http://localhost:8099/a", "http://[::1]:8099/", "http://127.0.0.1/", "https://127.0.0.1:8443/", "http://127.0.0.1:80/"}
	check(t, webhookURL(true), append(good, local...), []string{"http://hooks.acme.co/", "http://10.0.0.1:8099/", "http://127.0.0.2:8099/", "http://user@127.0.0.1:8099/", "https://127.0.0.1/#a", "http://0.0.0.0:8099/"})
	if host, err := validate.WebhookURL("url", "https://Hooks.Acme.CO:8443/A", false); host != "hooks.acme.co" || err != nil {
		t.Errorf("%q, %v", host, err)
	}
	if _, err := validate.WebhookURL("url", "https://user:canary@hooks.acme.co/", false); err == nil || strings.Contains(err.Error(), "canary") {
		t.Errorf("error %v", err)
	}
}

// TestPublicAddress tries an address at each end of every block of IANA's special-purpose
// registries and of multicast.
func TestPublicAddress(t *testing.T) {
	t.Parallel()
	for _, s := range []string{
		"0.0.0.0", "0.255.255.255", "10.0.0.0", "10.255.255.255", "100.64.0.0", "100.127.255.255", "127.0.0.1", "127.255.255.255", "169.254.0.0", "169.254.169.254", "169.254.255.255",
		"172.16.0.0", "172.31.255.255", "192.0.0.0", "192.0.0.8", "192.0.0.170", "192.0.0.255", "192.0.2.0", "192.0.2.255", "192.31.196.0", "192.31.196.255", "192.52.193.0", "192.52.193.255",
		"192.88.99.0", "192.88.99.255", "192.168.0.0", "192.168.255.255", "192.175.48.0", "192.175.48.255", "198.18.0.0", "198.19.255.255", "198.51.100.0", "198.51.100.255",
		"203.0.113.0", "203.0.113.255", "224.0.0.0", "224.0.0.251", "239.255.255.255", "240.0.0.0", "255.255.255.254", "255.255.255.255",
		"::", "::1", "::ffff:0:0", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::127.0.0.1", "::ffff:0:127.0.0.1", "64:ff9b::", "64:ff9b::169.254.169.254", "64:ff9b::ffff:ffff",
		"64:ff9b:1::", "64:ff9b:1:ffff:ffff:ffff:ffff:ffff", "100::", "100::ffff:ffff:ffff:ffff", "100:0:0:1::1", "2001::", "2001:0:7f00:1::", "2001:1::1", "2001:1::2", "2001:2::1", "2001:3::1", "2001:4:112::1",
		"2001:10::1", "2001:20::1", "2001:30::1", "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff", "2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", "2002::", "2002:7f00:1::1", "2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
		"2620:4f:8000::", "2620:4f:8000:ffff:ffff:ffff:ffff:ffff", "3fff::", "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff", "4000::1", "5f00::", "5f00::1", "fc00::", "fd00:ec2::254", "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
		"fe80::", "fe80::1", "fe80::1%eth0", "febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "fec0::1", "ff00::", "ff02::1", "ff0e::1", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "2600::1%eth0",
	} {
		if validate.PublicAddress(netip.MustParseAddr(s)) {
			t.Errorf("%s is public", s)
		}
	}
	if validate.PublicAddress(netip.Addr{}) {
		t.Error("no address is public")
	}
	for _, s := range []string{"1.0.0.0", "8.8.8.8", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "126.255.255.255", "128.0.0.0", "169.253.255.255", "169.255.0.0", "172.15.255.255", "172.32.0.0",
		"191.255.255.255", "192.0.1.0", "192.0.3.0", "192.167.255.255", "192.169.0.0", "198.17.255.255", "198.20.0.0", "203.0.114.0", "223.255.255.255", "::ffff:8.8.8.8",
		"2001:200::1", "2001:4860:4860::8888", "2001:db7::1", "2001:db9::1", "2003::1", "2606:4700::1111", "2a00::1", "3ffe::1", "3fff:1000::1",
	} {
		if !validate.PublicAddress(netip.MustParseAddr(s)) {
			t.Errorf("%s is not public", s)
		}
	}
}

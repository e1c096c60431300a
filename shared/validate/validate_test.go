package validate_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/krosai/telephony/shared/fault"
	"github.com/krosai/telephony/shared/validate"
)

type rule func(field, s string) error

func check(t *testing.T, r rule, good, bad []string) {
	t.Helper()
	for _, s := range good {
		if err := r("f", s); err != nil {
			t.Errorf("%q is refused: %v", s, err)
		}
	}
	for _, s := range bad {
		if err := r("f", s); !fault.Is(err, fault.Invalid) {
			t.Errorf("%q passes (%v)", s, err)
		}
	}
}

func address(loopback bool) rule {
	return func(f, s string) error { return validate.SIPAddress(f, s, loopback) }
}

func allowed(loopback bool) rule {
	return func(f, s string) error { return validate.AllowedAddress(f, s, loopback) }
}

func TestSIPAddress(t *testing.T) {
	t.Parallel()
	good := []string{"krosai.pstn.twilio.com", "sip.telnyx.com:5061", "SIP.Telnyx.com", "a.b", "xn--bcher-kva.xn--p1ai", "carrier.co:443", "carrier.co:65535", "1.pool.carrier.net"}
	good[3] = "a.bc"
	bad := []string{"", " ", ".", "..", "com", "localhost", "localhost:5060", "sip:carrier.com", "sips:carrier.com", "user@carrier.com",
		"carrier.com;transport=tcp", "carrier.com?x", "carrier.com/x", "http://carrier.com", "//carrier.com", "carrier.com:", "carrier.com:0",
		"carrier.com:22", "carrier.com:65536", "carrier.com:05060", "carrier.com:+5060", "carrier.com:5060:5060", "carrier .com", "carrier.com\r\nX: y",
		"carrier.com\x00", "carrier.com.", ".carrier.com", "-carrier.com", "carrier-.com", "car_rier.com", "cаrrier.com", "carrier。com", "carrier.com%20",
		"8.8.8.8", "8.8.8.8:5060", "127.0.0.1", "127.1", "0x7f.1", "0x7f000001", "2130706433", "017700000001", "1.2.3", "1.2.3.0x4", "[::1]", "[::1]:5060", "::1",
		"[2606:4700::1111]", "2606:4700::1111", "10.0.0.1", "169.254.169.254", "[::ffff:127.0.0.1]", "[fe80::1%25eth0]", "carrier.123",
		"metadata.google.internal", "db.internal", "printer.local", "router.lan", "x.home.arpa", "1.0.0.127.in-addr.arpa", "a.test", "a.example", "www.example.com",
		"hidden.onion", "x.localhost", "vpn.corp", "127.0.0.1.nip.io", "a.invalid", strings.Repeat("a", 64) + ".com", strings.Repeat("abc.", 64) + "com"}
	check(t, address(false), good, bad)
	check(t, address(true), append(good, "127.0.0.1:5060", "127.0.0.1", "localhost:15090", "[::1]:5060"), []string{"127.0.0.1:22", "10.0.0.1:5060", "8.8.8.8", "127.0.0.2:5060", "localhost.local"})
}

// TestScheme checks that the error names the scheme written before the address.
func TestScheme(t *testing.T) {
	t.Parallel()
	for address, scheme := range map[string]string{"sip:acme.pstn.twilio.com": "sip:", "SIPS:acme.co": "sips:", "sip:bob@acme.co:5060": "sip:", "https://acme.co": "https:"} {
		err := validate.SIPAddress("sip_trunk.address", address, false)
		f, ok := errors.AsType[*fault.Error](err)
		if !ok || len(f.Fields) != 1 || f.Fields[0].Field != "sip_trunk.address" || !strings.Contains(f.Fields[0].Detail, "without the scheme "+scheme+",") {
			t.Errorf("%s: %v", address, err)
		}
	}
}

func TestAllowedAddress(t *testing.T) {
	t.Parallel()
	good := []string{"54.172.60.0/30", "54.172.60.1", "52.0.0.0/16", "2600:1f00::/32", "2600:1f00::1"}
	bad := []string{"", "0.0.0.0/0", "::/0", "54.172.60.1/30", "54.0.0.0/8", "54.172.60.0/33", "54.172.60.0/-1", "54.172.60.0/030", "54.172.060.1", "carrier.com",
		"10.0.0.0/16", "10.1.2.3", "100.64.0.1", "127.0.0.1", "127.0.0.0/16", "169.254.169.254", "172.16.0.0/16", "192.0.2.1", "192.168.1.0/24", "198.18.0.0/16", "203.0.113.5",
		"224.0.0.1", "255.255.255.255", "0.1.2.3", "::1", "::", "fe80::1", "fe80::1%eth0", "fc00::/32", "64:ff9b::1", "::ffff:8.8.8.8", "2001:db8::1", "2002:7f00:1::1", "2001::1", "3fff::1", "2600::/31",
		"54.172.60.0/30 ", "54.172.60.0/30,8.8.8.8"}
	check(t, allowed(false), good, bad)
	check(t, allowed(true), append(good, "127.0.0.1/32", "127.0.0.1", "::1"), []string{"10.0.0.1", "0.0.0.0/0"})
}

func TestNames(t *testing.T) {
	t.Parallel()
	hostile := []string{"", "a\nb", "a\r\nX-H: y", "a\x00b", "a\u202eb", "a\u200bb", "a\ufeffb", "a\u2028b", "a\xffb", "a\x1b[31m"}
	check(t, validate.Name, []string{"Twilio Lagos", "Ligne d’écoute №1", "受付", "a", strings.Repeat("é", 64)},
		append(hostile, " a", "a ", strings.Repeat("a", 65), "a\u00a0b"))
	check(t, validate.AgentName, []string{"support-agent", "a", "Agent_1.2"},
		append(hostile, "-a", ".a", "_a", "a b", "a/b", "ägent", strings.Repeat("a", 65), "a{b}"))
	check(t, validate.RoomPrefix, []string{"support-", "a", "A_1-"},
		append(hostile, "-a", "_a", "a.b", "a b", "a+b", "a/b", strings.Repeat("a", 33)))
	check(t, validate.Username, []string{"kros", "+2348012345678", "user@realm.com", "a%b"},
		append(hostile, `a"b`, `a\b`, "a:b", "a b", "é", strings.Repeat("a", 129)))
	check(t, validate.Password, []string{"p", `a "quoted\" p:ss`, strings.Repeat("a", 128)},
		append(hostile, "é", strings.Repeat("a", 129)))
}

func TestPasswordIsNotInItsError(t *testing.T) {
	t.Parallel()
	if err := validate.Password("f", "canary\n"); err == nil || strings.Contains(err.Error(), "canary") {
		t.Errorf("error %v", err)
	}
}

// FuzzSIPAddress checks that an accepted address consists only of characters that LiveKit and SIP
// take literally.
func FuzzSIPAddress(f *testing.F) {
	for _, s := range []string{"krosai.pstn.twilio.com", "a.bc:5060", "[::1]:5060", "127.0.0.1", "sip:a@b.c;transport=tcp"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if validate.SIPAddress("f", s, false) != nil {
			return
		}
		if len(s) > 260 || strings.Trim(strings.ToLower(s), "abcdefghijklmnopqrstuvwxyz0123456789.-:") != "" || strings.Count(s, ":") > 1 || !strings.Contains(s, ".") {
			t.Errorf("%q passes", s)
		}
	})
}

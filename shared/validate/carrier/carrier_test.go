package carrier_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/krosai/telephony/shared/fault"
	"github.com/krosai/telephony/shared/validate/carrier"
)

// zone answers lookups. A name that is not in it does not exist. The name server of a name in
// broken fails.
type zone struct {
	hosts  map[string][]string
	srv    map[string][]*net.SRV // by _service._proto.name
	broken map[string]bool
}

func (z zone) LookupNetIP(_ context.Context, network, host string) ([]netip.Addr, error) {
	if network != "ip" {
		return nil, errors.New("both kinds of addresses must be asked for")
	}
	if z.broken[host] {
		return nil, &net.DNSError{Err: "server misbehaving", Name: host, IsTemporary: true}
	}
	var found []netip.Addr
	for _, a := range z.hosts[host] {
		found = append(found, netip.MustParseAddr(a))
	}
	if found == nil {
		return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
	return found, nil
}

func (z zone) LookupSRV(_ context.Context, service, proto, name string) (string, []*net.SRV, error) {
	full := "_" + service + "._" + proto + "." + name
	if z.broken[full] {
		return "", nil, &net.DNSError{Err: "server misbehaving", Name: full, IsTemporary: true}
	}
	if z.srv[full] == nil {
		return "", nil, &net.DNSError{Err: "no such host", Name: full, IsNotFound: true}
	}
	return full, z.srv[full], nil
}

func TestCheck(t *testing.T) {
	t.Parallel()
	to := func(target string, port uint16) []*net.SRV { return []*net.SRV{{Target: target, Port: port}} }
	many := make([]*net.SRV, 17)
	for i := range many {
		many[i] = &net.SRV{Target: "sbc.acme.net.", Port: 5060}
	}
	z := zone{
		hosts: map[string][]string{
			"sbc.acme.net": {"54.172.60.0"}, "both.acme.net": {"54.172.60.0", "2600:1f18::1"}, "vpc.acme.net": {"10.0.0.7"},
			"one-of-two.acme.net": {"54.172.60.0", "169.254.169.254"}, "six.acme.net": {"54.172.60.0", "fd00::1"},
			"mapped.acme.net": {"::ffff:127.0.0.1"}, "nat64.acme.net": {"64:ff9b::a9fe:a9fe"}, "shared.acme.net": {"100.64.0.1"},
			"localhost.acme.net": {"127.0.0.1"}, "six-to-four.acme.net": {"2002:7f00:1::"}, "srv-and-host.acme.net": {"54.172.60.0"},
			"unclear-srv.acme.net": {"54.172.60.0"}, "empty-srv.acme.net": {"54.172.60.0"}, "fine.other.com": {"54.172.60.0"},
			"xacme.net": {"54.172.60.0"}, "acme.net": {"54.172.60.0"},
		},
		srv: map[string][]*net.SRV{
			"_sip._udp.udp.acme.net": to("sbc.acme.net.", 5060), "_sip._tcp.tcp.acme.net": to("sbc.acme.net.", 5060),
			"_sips._tcp.tls.acme.net": to("sbc.acme.net.", 5061), "_sip._udp.inside.acme.net": to("vpc.acme.net.", 5060),
			"_sips._tcp.srv-and-host.acme.net": to("vpc.acme.net.", 5061), "_sip._tcp.redis.acme.net": to("sbc.acme.net.", 22),
			"_sip._udp.cloud.acme.net": to("metadata.google.internal.", 5060), "_sip._udp.empty-srv.acme.net": to(".", 0),
			"_sip._udp.nowhere.acme.net": to("gone.acme.net.", 5060), "_sip._udp.many.acme.net": many,
		},
		broken: map[string]bool{"broken.acme.net": true, "_sip._tcp.unclear-srv.acme.net": true},
	}
	const good, malformed, unknown, notAllowed = "", "malformed", "unknown_host", "not_allowed"
	for address, tt := range map[string]struct {
		suffixes []string
		loopback bool
		want     string // the error's code, empty if the address passes
	}{
		"sbc.acme.net":              {want: good},
		"SBC.acme.net:5080":         {want: good},
		"both.acme.net":             {want: good},
		"vpc.acme.net":              {want: malformed},
		"vpc.acme.net:5060":         {want: malformed},
		"one-of-two.acme.net":       {want: malformed},
		"six.acme.net":              {want: malformed},
		"mapped.acme.net":           {want: malformed},
		"nat64.acme.net":            {want: malformed},
		"shared.acme.net":           {want: malformed},
		"localhost.acme.net":        {want: malformed},
		"localhost.acme.net:6379":   {want: malformed, loopback: true},
		"six-to-four.acme.net":      {want: malformed},
		"gone.acme.net":             {want: unknown},
		"broken.acme.net:5060":      {want: unknown},
		"udp.acme.net":              {want: good},
		"tcp.acme.net":              {want: good},
		"tls.acme.net":              {want: good},
		"tls.acme.net:5061":         {want: unknown}, // SRV records are not read with a port
		"inside.acme.net":           {want: malformed},
		"srv-and-host.acme.net":     {want: malformed},
		"redis.acme.net":            {want: malformed},
		"cloud.acme.net":            {want: malformed},
		"empty-srv.acme.net":        {want: good},
		"nowhere.acme.net":          {want: unknown},
		"many.acme.net":             {want: unknown},
		"unclear-srv.acme.net":      {want: unknown},
		"unclear-srv.acme.net:5060": {want: good},
		"127.0.0.1:5070":            {want: good, loopback: true},
		"localhost:5070":            {want: good, loopback: true},
		"[::1]:5070":                {want: good, loopback: true},
		"localhost:5071":            {want: malformed},
		"10.0.0.1":                  {want: malformed, loopback: true},
		"acme.net":                  {suffixes: []string{"acme.net"}, want: good},
		"Sbc.Acme.net:5060":         {suffixes: []string{"pstn.twilio.com", " .ACME.net. "}, want: good},
		"xacme.net":                 {suffixes: []string{"acme.net"}, want: notAllowed},
		"fine.other.com":            {suffixes: []string{"acme.net", "twilio.com"}, want: notAllowed},
		"fine.other.com:5060":       {suffixes: []string{"", " "}, want: good},
		"vpc.acme.net:5062":         {suffixes: []string{"acme.net"}, want: malformed},
	} {
		c := &carrier.Checker{Config: carrier.Config{Suffixes: tt.suffixes, AllowLoopback: tt.loopback}, Resolver: z}
		err := c.Check(t.Context(), "sip_trunk.address", address)
		got := ""
		if e, ok := errors.AsType[*fault.Error](err); ok && e.Kind == fault.Invalid && e.Fields[0].Field == "sip_trunk.address" {
			got = e.Fields[0].Code
		} else if err != nil {
			got = err.Error()
		}
		if d := cmp.Diff(tt.want, got); d != "" {
			t.Errorf("%s: %s (%v)", address, d, err)
		}
	}
}

// hanging is a resolver whose name servers never answer.
type hanging struct{}

func (hanging) LookupNetIP(ctx context.Context, _, _ string) ([]netip.Addr, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func (hanging) LookupSRV(ctx context.Context, _, _, _ string) (string, []*net.SRV, error) {
	<-ctx.Done()
	return "", nil, ctx.Err()
}

// TestCheckIsBounded checks that a name server that does not answer delays Check for at most 3 s.
func TestCheckIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		err := (&carrier.Checker{Resolver: hanging{}}).Check(t.Context(), "sip_trunk.address", "sbc.acme.net")
		if took := time.Since(start); !fault.Is(err, fault.Invalid) || took > 3*time.Second {
			t.Errorf("%v after %s", err, took)
		}
	})
}

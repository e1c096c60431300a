// Package carrier checks that a trunk leads to a SIP carrier on the public Internet, by its name
// and by every address that the name currently has.
package carrier

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/krosai/telephony/shared/fault"
	"github.com/krosai/telephony/shared/validate"
)

// Resolver looks names up, as net.Resolver does. The network of LookupNetIP is always "ip", for
// both IPv4 and IPv6.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
	LookupSRV(ctx context.Context, service, proto, name string) (cname string, targets []*net.SRV, err error)
}

// Config is a deployment's configuration for carriers.
type Config struct {
	// Suffixes are the domains that carriers may be in. An empty list allows any domain.
	Suffixes []string `env:"SIP_CARRIER_SUFFIXES"`
	// AllowLoopback permits this machine's own names. It is for local development, where the
	// carrier is simulated. The SAM CLI sets the variable in the containers that it runs functions
	// in, and the template does not set it.
	AllowLoopback bool `env:"AWS_SAM_LOCAL"`
}

// Checker checks the addresses of trunks.
type Checker struct {
	Config
	Resolver Resolver
}

// lookupTime bounds the name lookups of one check.
const lookupTime = 3 * time.Second

// mostTargets is how many SRV targets of one service are looked up. A carrier has only a few.
const mostTargets = 16

// services are the SRV records that a SIP client follows for an address without a port (RFC 3263
// section 4.2).
var services = [][2]string{{"sip", "udp"}, {"sip", "tcp"}, {"sips", "tcp"}}

// Check checks an address, host or host:port. It returns fault.Invalid about field if the address
// is malformed, if the deployment does not allow its domain, if it has no IP address, or if any of
// its addresses, direct or through SRV records, is outside the public Internet. A name that cannot
// be resolved in time counts as a name without an address.
//
// LiveKit resolves the name again when it dials. If the owner of the name changes it in between,
// only the firewall that docs/deploy.md requires stops the call.
func (c *Checker) Check(ctx context.Context, field, address string) error {
	if err := validate.SIPAddress(field, address, c.AllowLoopback); err != nil {
		return err
	}
	host, port, _ := strings.Cut(strings.ToLower(address), ":")
	if c.AllowLoopback && (validate.LoopbackName(host) || strings.HasPrefix(address, "[")) {
		return nil
	}
	if !c.allows(host) {
		return fault.InvalidField(field, "not_allowed", "must be a host of "+strings.Join(c.Suffixes, " or "))
	}
	ctx, cancel := context.WithTimeout(ctx, lookupTime)
	defer cancel()
	return c.lookUp(ctx, host, port == "").refusal(field)
}

// allows reports whether a host is in one of the deployment's domains.
func (c *Checker) allows(host string) bool {
	listed := false
	for _, s := range c.Suffixes {
		s = strings.Trim(strings.ToLower(strings.TrimSpace(s)), ".")
		if s == "" {
			continue
		}
		listed = true
		if host == s || strings.HasSuffix(host, "."+s) {
			return true
		}
	}
	return !listed
}

// found is the result of the lookups of an address.
type found struct {
	mu        sync.Mutex
	addresses int
	special   bool // an address is outside the public Internet
	unclear   bool // a lookup failed in a way that may hide an address
}

// refusal is the error of the address, nil if it is good.
func (f *found) refusal(field string) error {
	switch {
	case f.special:
		return fault.InvalidField(field, "malformed", "the host must lead to addresses of the public Internet")
	case f.unclear || f.addresses == 0:
		return fault.InvalidField(field, "unknown_host", "the name of the host cannot be resolved")
	}
	return nil
}

// lookUp looks up all addresses of a host and, with srv, those of its SIP services.
func (c *Checker) lookUp(ctx context.Context, host string, srv bool) *found {
	var f found
	var lookups sync.WaitGroup
	lookups.Go(func() { c.addresses(ctx, host, &f) })
	if srv {
		for _, s := range services {
			lookups.Go(func() { c.targets(ctx, s, host, &f) })
		}
	}
	lookups.Wait()
	return &f
}

// addresses checks every IPv4 and IPv6 address of a host.
func (c *Checker) addresses(ctx context.Context, host string, f *found) {
	addresses, err := c.Resolver.LookupNetIP(ctx, "ip", host)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.unclear = f.unclear || err != nil && !notFound(err)
	f.addresses += len(addresses)
	for _, a := range addresses {
		f.special = f.special || !validate.PublicAddress(a)
	}
}

// targets checks the hosts in one of a name's SRV records.
func (c *Checker) targets(ctx context.Context, service [2]string, host string, f *found) {
	_, targets, err := c.Resolver.LookupSRV(ctx, service[0], service[1], host)
	f.mu.Lock()
	f.unclear = f.unclear || err != nil && !notFound(err) || len(targets) > mostTargets
	f.mu.Unlock()
	for _, t := range targets[:min(mostTargets, len(targets))] {
		name := strings.TrimSuffix(t.Target, ".")
		if name == "" { // the service is not offered (RFC 2782)
			continue
		}
		if !validate.SIPPort(int(t.Port)) || validate.SIPAddress("", name, false) != nil {
			f.mu.Lock()
			f.special = true
			f.mu.Unlock()
			return
		}
		c.addresses(ctx, name, f)
	}
}

// notFound reports whether err is a name server's answer that the record does not exist.
func notFound(err error) bool {
	e, ok := errors.AsType[*net.DNSError](err)
	return ok && e.IsNotFound
}

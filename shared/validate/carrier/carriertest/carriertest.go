// Package carriertest stands in for the name servers that resolve trunks' addresses.
package carriertest

import (
	"context"
	"net"
	"net/netip"
)

// Zone is a resolver. A listed name leads to its addresses, and any other name to a public address.
// No name has SRV records.
type Zone map[string][]string

// LookupNetIP returns the addresses of a name. A listed name without addresses does not exist.
func (z Zone) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	listed, ok := z[host]
	if !ok {
		return []netip.Addr{netip.MustParseAddr("54.172.60.0")}, nil
	}
	var found []netip.Addr
	for _, a := range listed {
		found = append(found, netip.MustParseAddr(a))
	}
	if found == nil {
		return nil, missing(host)
	}
	return found, nil
}

// LookupSRV finds no records.
func (Zone) LookupSRV(_ context.Context, service, proto, name string) (string, []*net.SRV, error) {
	return "", nil, missing("_" + service + "._" + proto + "." + name)
}

func missing(name string) error {
	return &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
}

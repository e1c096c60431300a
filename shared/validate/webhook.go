package validate

import (
	"context"
	"net/netip"
	"time"

	"github.com/krosai/telephony/shared/fault"
)

// Resolver looks up the addresses of a name. The network is always "ip", for both IPv4 and IPv6.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// ResolveWebhook checks a URL as WebhookURL does, and also the current addresses of its host. Later
// addresses are checked at each delivery.
func ResolveWebhook(ctx context.Context, resolver Resolver, field, url string, allowLoopback bool) error {
	host, err := WebhookURL(field, url, allowLoopback)
	if err != nil {
		return err
	}
	if LoopbackName(host) {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	found, err := resolver.LookupNetIP(ctx, "ip", host)
	if err != nil || len(found) == 0 {
		return fault.InvalidField(field, "unknown_host", "the name of the host cannot be resolved")
	}
	for _, a := range found {
		if !PublicAddress(a) {
			return fault.InvalidField(field, "malformed", "the host must lead to addresses of the public Internet")
		}
	}
	return nil
}

package guard

import (
	"context"
	"net/netip"
	"time"

	"github.com/krosai/telephony/shared/fault"
)

// Resolver finds the addresses of a name. It is asked for both kinds ("ip").
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// ResolveWebhook checks a URL as WebhookURL does, and where its host leads at this
// moment. Where it leads later is looked at when something is delivered there.
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

package api

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/krosai/telephony/shared/account"
)

// window is the default length of a limit's window, in seconds.
const window = 3600

// SetLimit adds a limit of the caller to the answer, whether it becomes a success or a problem. A
// later limit of the same name replaces it. A limit without a name is unknown and changes nothing.
func SetLimit(ctx context.Context, l account.Limit) {
	rq := requestOf(ctx)
	if rq == nil || l.Name == "" {
		return
	}
	rq.limits = slices.DeleteFunc(rq.limits, func(other account.Limit) bool { return other.Name == l.Name })
	rq.limits = append(rq.limits, l)
}

// writeLimits writes every limit into RateLimit-Policy and RateLimit, as in
// draft-ietf-httpapi-ratelimit-headers, and the limit with the least left into X-RateLimit-Limit,
// -Remaining and -Reset (Unix time, seconds).
func writeLimits(h http.Header, limits []account.Limit, now time.Time) {
	if len(limits) == 0 {
		return
	}
	var policies, states []string
	least := limits[0]
	for _, l := range limits {
		policies = append(policies, policyOf(l))
		states = append(states, fmt.Sprintf("%q;r=%d;t=%d", l.Name, l.Left(), l.Seconds(now)))
		if l.Left() < least.Left() {
			least = l
		}
	}
	h.Set("RateLimit-Policy", strings.Join(policies, ", "))
	h.Set("RateLimit", strings.Join(states, ", "))
	h.Set("X-RateLimit-Limit", strconv.Itoa(least.Quota))
	h.Set("X-RateLimit-Remaining", strconv.Itoa(least.Left()))
	h.Set("X-RateLimit-Reset", strconv.FormatInt(least.Resets.Unix(), 10))
}

// policyOf is a limit's item of RateLimit-Policy. A limit on how much may exist at the same time
// has no window.
func policyOf(l account.Limit) string {
	item := fmt.Sprintf("%q;q=%d", l.Name, l.Quota)
	if l.Window == account.NoWindow {
		return item
	}
	return item + fmt.Sprintf(";w=%d", cmp.Or(l.Window, window))
}

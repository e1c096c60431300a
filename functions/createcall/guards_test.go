package createcall_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/number"
)

// TestAgents checks that an agent that the account may not use is refused, whether the request or
// the number names it.
func TestAgents(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.must(b.db.PutPolicy(t.Context(), "ada", account.Policy{AllowedCountries: []string{"US"}, AllowedAgents: []string{"ours", "ours-too"},
		CallsEnabled: true}))
	strangers := b.number("ada", abuja, func(n *number.Number) { n.Rule.AgentName = "ours-too" })
	for body, want := range map[string]int{
		`{"phone_number":"+14155550100","phone_number_id":"` + number.ID(lagos) + `","agent_name":"ours"}`:    http.StatusCreated,
		`{"phone_number":"+14155550100","phone_number_id":"` + number.ID(lagos) + `"}`:                        http.StatusForbidden,
		`{"phone_number":"+14155550100","phone_number_id":"` + number.ID(lagos) + `","agent_name":"theirs"}`:  http.StatusForbidden,
		`{"phone_number":"+14155550100","phone_number_id":"` + strangers + `"}`:                               http.StatusCreated,
		`{"phone_number":"+14155550100","phone_number_id":"` + strangers + `","agent_name":"ours-too-not"}`:   http.StatusForbidden,
		`{"phone_number":"+14155550100","phone_number_id":"` + strangers + `","agent_name":"number-agent"}`:   http.StatusForbidden,
		`{"phone_number":"+14155550100","phone_number_id":"` + number.ID(lagos) + `","agent_name":"OURS"}`:    http.StatusForbidden,
		`{"phone_number":"+14155550100","phone_number_id":"` + number.ID(lagos) + `","agent_name":"ours-to"}`: http.StatusForbidden,
	} {
		r := b.send(body)
		if r.StatusCode != want || want == http.StatusForbidden && !strings.Contains(r.Body, `"AGENT_NOT_ALLOWED"`) {
			t.Errorf("%s: %d %s, want %d", body, r.StatusCode, r.Body, want)
		}
	}
	if n := len(b.active()); n != 2 {
		t.Errorf("%d calls, want 2", n)
	}
}

// TestAtCapacity checks that a user who has used up their share is refused while dials wait for a
// place, and that all users are refused when the wait is long. A request that was accepted before
// still gets its answer.
func TestAtCapacity(t *testing.T) {
	t.Parallel()
	const once = "Idempotency-Key"
	for name, tt := range map[string]struct {
		wait   time.Duration
		active int // ada's active calls
		status int
	}{
		"a moment's wait":                {4 * time.Second, 4, http.StatusCreated},
		"some wait, less than her share": {10 * time.Second, 3, http.StatusCreated},
		"some wait, her share":           {10 * time.Second, 4, http.StatusServiceUnavailable},
		"a long wait":                    {time.Minute, 1, http.StatusServiceUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			for i := range tt.active {
				if r := b.send(fmt.Sprintf(`{"phone_number":"+1415555020%d"}`, i), once, fmt.Sprint("key-", i)); r.StatusCode != http.StatusCreated {
					t.Fatal(r.Body)
				}
			}
			b.must(b.db.RecordWait(t.Context(), tt.wait, now.Add(-10*time.Second)))
			r := b.send(`{"phone_number":"+14155550199"}`, once, "another")
			if r.StatusCode != tt.status {
				t.Errorf("%d %s, want %d", r.StatusCode, r.Body, tt.status)
			}
			if refused := tt.status != http.StatusCreated; refused && (!strings.Contains(r.Body, `"AT_CAPACITY"`) || r.Headers["Retry-After"] != "20") {
				t.Errorf("%v %s", r.Headers, r.Body)
			}
			if r := b.send(`{"phone_number":"+14155550200"}`, once, "key-0"); r.StatusCode != http.StatusCreated || r.Headers["Idempotency-Replayed"] != "true" {
				t.Errorf("an accepted one again: %d %s", r.StatusCode, r.Body)
			}
		})
	}
}

// TestConcurrentLimitIsTold checks that the headers report the limit that was reached.
func TestConcurrentLimitIsTold(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for i := range 5 {
		b.send(fmt.Sprintf(`{"phone_number":"+1415555020%d"}`, i))
	}
	r := b.send(`{"phone_number":"+14155550199"}`)
	for header, want := range map[string]string{"X-Ratelimit-Limit": "5", "X-Ratelimit-Remaining": "0", "Retry-After": "10",
		"X-Ratelimit-Reset": fmt.Sprint(now.Add(10 * time.Second).Unix())} {
		if r.Headers[header] != want {
			t.Errorf("%s: %q, want %q", header, r.Headers[header], want)
		}
	}
	if !strings.Contains(r.Headers["Ratelimit"], `"calls";r=95;t=1800, "concurrent_calls";r=0;t=10`) || !strings.HasSuffix(r.Headers["Ratelimit-Policy"], `"concurrent_calls";q=5`) {
		t.Errorf("%v", r.Headers)
	}
}

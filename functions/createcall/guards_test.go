package createcall_test

import (
	"fmt"
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
	b := open(t)
	b.Must(b.PutPolicy(t.Context(), "ada", account.Policy{AllowedCountries: []string{"US"}, AllowedAgents: []string{"ours", "ours-too"},
		CallsEnabled: true}))
	strangers := b.number("ada", abuja, func(n *number.Number) { n.Rule.AgentName = "ours-too" })
	for body, want := range map[string]string{
		`{"phone_number":"+14155550100","phone_number_id":"` + number.ID(lagos) + `","agent_name":"ours"}`:    "201",
		`{"phone_number":"+14155550100","phone_number_id":"` + number.ID(lagos) + `"}`:                        "403 AGENT_NOT_ALLOWED",
		`{"phone_number":"+14155550100","phone_number_id":"` + number.ID(lagos) + `","agent_name":"theirs"}`:  "403 AGENT_NOT_ALLOWED",
		`{"phone_number":"+14155550100","phone_number_id":"` + strangers + `"}`:                               "201",
		`{"phone_number":"+14155550100","phone_number_id":"` + strangers + `","agent_name":"ours-too-not"}`:   "403 AGENT_NOT_ALLOWED",
		`{"phone_number":"+14155550100","phone_number_id":"` + strangers + `","agent_name":"number-agent"}`:   "403 AGENT_NOT_ALLOWED",
		`{"phone_number":"+14155550100","phone_number_id":"` + number.ID(lagos) + `","agent_name":"OURS"}`:    "403 AGENT_NOT_ALLOWED",
		`{"phone_number":"+14155550100","phone_number_id":"` + number.ID(lagos) + `","agent_name":"ours-to"}`: "403 AGENT_NOT_ALLOWED",
	} {
		if a := b.post(body); a.Outcome() != want {
			t.Errorf("%s: %d %s, want %s", body, a.Status, a.Text, want)
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
		want   string
	}{
		"a moment's wait":                {4 * time.Second, 4, "201"},
		"some wait, less than her share": {10 * time.Second, 3, "201"},
		"some wait, her share":           {10 * time.Second, 4, "503 AT_CAPACITY"},
		"a long wait":                    {time.Minute, 1, "503 AT_CAPACITY"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := open(t)
			for i := range tt.active {
				if a := b.post(fmt.Sprintf(`{"phone_number":"+1415555020%d"}`, i), once, fmt.Sprint("key-", i)); a.Status != 201 {
					t.Fatal(a.Text)
				}
			}
			b.Must(b.RecordWait(t.Context(), tt.wait, now.Add(-10*time.Second)))
			a := b.post(`{"phone_number":"+14155550199"}`, once, "another")
			if a.Outcome() != tt.want || a.Status == 503 && a.Header.Get("Retry-After") != "20" {
				t.Errorf("%d %s %v, want %s", a.Status, a.Text, a.Header, tt.want)
			}
			if a := b.post(`{"phone_number":"+14155550200"}`, once, "key-0"); a.Status != 201 || a.Header.Get("Idempotency-Replayed") != "true" {
				t.Errorf("an accepted one again: %d %s", a.Status, a.Text)
			}
		})
	}
}

// TestConcurrentLimitIsTold checks that the headers report the limit that was reached.
func TestConcurrentLimitIsTold(t *testing.T) {
	t.Parallel()
	b := open(t)
	for i := range 5 {
		b.post(fmt.Sprintf(`{"phone_number":"+1415555020%d"}`, i))
	}
	a := b.post(`{"phone_number":"+14155550199"}`)
	for header, want := range map[string]string{"X-Ratelimit-Limit": "5", "X-Ratelimit-Remaining": "0", "Retry-After": "10",
		"X-Ratelimit-Reset": fmt.Sprint(now.Add(10 * time.Second).Unix())} {
		if got := a.Header.Get(header); got != want {
			t.Errorf("%s: %q, want %q", header, got, want)
		}
	}
	if !strings.Contains(a.Header.Get("Ratelimit"), `"calls";r=95;t=1800, "concurrent_calls";r=0;t=10`) || !strings.HasSuffix(a.Header.Get("Ratelimit-Policy"), `"concurrent_calls";q=5`) {
		t.Errorf("%v", a.Header)
	}
}

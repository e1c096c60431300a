package getcallstats_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/krosai/telephony/functions/getcallstats"
	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/api/apitest"
	"github.com/krosai/telephony/shared/call"
)

var now = time.Date(2026, 11, 22, 9, 30, 0, 123e6, time.UTC)

func setup(t *testing.T) (b *apitest.Bench, key string) {
	t.Helper()
	b = apitest.Open(t, func() time.Time { return now })
	b.Serve(&getcallstats.Endpoint{Stats: b.DB, Now: b.Now})
	b.Must(b.PutPolicy(t.Context(), "ada", account.Policy{CallsEnabled: true, MaxConcurrentCalls: 100}))
	_, key = b.Key("ada", account.CallsRead)
	return b, key
}

// add creates a call of ada's so many days ago. It ended with the given status, or has not ended
// when end is empty.
func add(b *apitest.Bench, days int, country string, end call.Status, talk int) {
	b.Helper()
	at := now.AddDate(0, 0, -days)
	c := call.Call{ID: fmt.Sprintf("call_%d_%s_%s_%d", days, country, end, talk), UserID: "ada", Direction: call.Outbound, Country: country,
		Remote: "+14155550100", Own: "+2348012345678", Status: call.Initiated, CreatedAt: at}
	err := b.Place(b.Context(), c)
	b.Must(err)
	if end == "" {
		return
	}
	if end == call.Completed {
		c, err = b.Advance(b.Context(), c.ID, call.InProgress, at)
		b.Must(err)
	}
	_, err = b.EndCall(b.Context(), c, call.End{Status: end, Cause: call.Unknown, At: at.Add(time.Duration(talk) * time.Second)})
	b.Must(err)
}

func TestSample(t *testing.T) {
	t.Parallel()
	b, _ := setup(t)
	b.SampleKey("ada", account.CallsRead)
	add(b, 30, "US", call.Completed, 1000) // before the first day
	add(b, 21, "US", call.Completed, 20)
	add(b, 21, "NG", call.Completed, 11)
	add(b, 20, "NG", call.Busy, 0)
	add(b, 20, "NG", call.Failed, 0)
	add(b, 19, "NG", "", 0) // a call that has not ended, although the sweep would have ended it by now
	add(b, 1, "US", call.NoAnswer, 0)
	add(b, 0, "US", call.Completed, 120)
	add(b, 0, "US", call.Canceled, 0)
	add(b, 0, "GB", "", 0)
	b.Trips()
	a := b.Replay("getcallstats", "")
	if trips := b.Trips(); a.Status != 200 || trips != 2 {
		t.Fatalf("%d round trips, %d %s", trips, a.Status, a.Text)
	}
	day := func(date string, total, completed, seconds float64) any {
		return map[string]any{"date": date, "total_calls": total, "completed": completed, "duration_seconds": seconds}
	}
	want := map[string]any{"from": "2026-11-01", "to": "2026-11-22", "total_calls": 7.0, "active_calls": 2.0, "success_rate": 0.4286,
		"by_status":              map[string]any{"completed": 3.0, "busy": 1.0, "no_answer": 1.0, "failed": 1.0, "canceled": 1.0},
		"total_duration_seconds": 151.0, "average_duration_seconds": 50.0,
		"duration_percentiles": map[string]any{"p50": 20.0, "p90": 116.0, "p95": 116.0}, // 116 stands for 112 to 120 s
		"by_day":               []any{day("2026-11-01", 2, 2, 31), day("2026-11-02", 2, 0, 0), day("2026-11-21", 1, 0, 0), day("2026-11-22", 2, 1, 120)},
		"by_country": []any{map[string]any{"country": "US", "total_calls": 4.0, "completed": 2.0},
			map[string]any{"country": "NG", "total_calls": 3.0, "completed": 1.0}},
	}
	if d := cmp.Diff(want, a.Body); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

func TestNoCalls(t *testing.T) {
	t.Parallel()
	b, key := setup(t)
	const want = `{"from":"2026-10-24","to":"2026-11-22","total_calls":0,"by_status":{"completed":0,"busy":0,"no_answer":0,"failed":0,"canceled":0},` +
		`"active_calls":0,"success_rate":0,"total_duration_seconds":0,"average_duration_seconds":0,"duration_percentiles":{"p50":0,"p90":0,"p95":0},` +
		`"by_day":[],"by_country":[]}` + "\n"
	if a := b.Ask(key, "GET", "/outbound-calls/stats", ""); a.Status != 200 || a.Text != want {
		t.Errorf("%d %s, want %s", a.Status, a.Text, want)
	}
}

func TestDays(t *testing.T) {
	t.Parallel()
	b, key := setup(t)
	for query, want := range map[string]string{
		"":                               "2026-10-24 2026-11-22",
		"?from=2026-11-22":               "2026-11-22 2026-11-22",
		"?to=2026-03-01":                 "2026-01-31 2026-03-01",
		"?to=2030-01-01":                 "2029-12-03 2030-01-01",
		"?from=2025-11-22":               "2025-11-22 2026-11-22",
		"?from=2024-01-01&to=2024-12-31": "2024-01-01 2024-12-31", // 366 days: a leap year
		"?from=2025-11-21":               "from",
		"?from=2026-11-23":               "2026-11-23 2026-11-23", // today in time zones ahead of UTC
		"?from=2030-01-01":               "2030-01-01 2030-01-01",
		"?from=2026-11-23&to=2026-11-22": "from",
		"?from=2026-11-02&to=2026-11-01": "from",
		"?from=2026-11-31":               "from",
		"?from=2026-11-01T00:00:00Z":     "from",
		"?from=0001-01-01":               "from",
		"?to=today":                      "to",
		"?to=9999-12-31":                 "to",
		"?day=2026-11-01":                "day",
	} {
		a := b.Ask(key, "GET", "/outbound-calls/stats"+query, "")
		if a.Status == 200 && fmt.Sprint(a.Body["from"], " ", a.Body["to"]) == want || a.Status == 400 && a.Fields()[want] != "" {
			continue
		}
		t.Errorf("%s: %d %s, want %s", query, a.Status, a.Text, want)
	}
}

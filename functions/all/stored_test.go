package all_test

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/oklog/ulid/v2"

	"github.com/krosai/telephony/functions/getcallstats"
	"github.com/krosai/telephony/functions/listcalls"
	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/api/apitest"
	"github.com/krosai/telephony/shared/call"
	"github.com/krosai/telephony/shared/store/storetest"
)

// past is a user with many similar calls in the last thirty days.
type past struct {
	*apitest.Bench
	calls     int
	durations []int
	key       string
	asked     int
}

var today = time.Date(2026, 11, 22, 23, 0, 0, 0, time.UTC)

// newPast writes the rows that so many calls leave behind: copies of the rows that the store wrote
// for one call, with ids, times and talk of their own, and the counters of their days. It leaves
// out the lines of their timelines, which are in partitions of their own that no list reads.
func newPast(tb testing.TB, calls int) *past {
	tb.Helper()
	p := &past{Bench: apitest.Open(tb, func() time.Time { return today }), calls: calls}
	p.Serve(&listcalls.Endpoint{Calls: p.DB}, &getcallstats.Endpoint{Stats: p.DB, Now: p.Now})
	record, day := p.one()
	text := func(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }
	stamp := func(t time.Time) types.AttributeValue { return text(t.Format("2006-01-02T15:04:05.000Z")) }
	days, random := map[string]map[string]int{}, rand.New(rand.NewPCG(1, uint64(calls)))
	p.Fill(tb, "calls", calls, record, func(i int, row storetest.Row) {
		created := today.Add(-time.Duration(float64(29*24*time.Hour+22*time.Hour) * float64(i) / float64(calls)))
		talk := min(int(math.Exp(4+random.NormFloat64())), 14400)
		p.durations = append(p.durations, talk)
		id := "call_" + ulid.MustNew(ulid.Timestamp(created), random32{random}).String()
		row["call_id"], row["room_name"] = text(id), text(id)
		row["created_at"], row["answered_at"] = stamp(created), stamp(created.Add(5*time.Second))
		row["ended_at"] = stamp(created.Add(time.Duration(5+talk) * time.Second))
		date := created.Format(time.DateOnly)
		if days[date] == nil {
			days[date] = map[string]int{}
		}
		for _, counter := range []string{"started", "total", "status_completed", "country_US", "country_US_completed", fmt.Sprintf("bucket_%d", call.DurationBucket(talk))} {
			days[date][counter]++
		}
		days[date]["talk_seconds"] += talk
	})
	dates := slices.Sorted(maps.Keys(days))
	p.Fill(tb, "stats", len(dates), day, func(i int, row storetest.Row) {
		maps.DeleteFunc(row, func(name string, _ types.AttributeValue) bool { return strings.HasPrefix(name, "hist_") })
		row["day"] = text(dates[i])
		for counter, n := range days[dates[i]] {
			if !strings.HasPrefix(counter, "bucket_") {
				row[counter] = &types.AttributeValueMemberN{Value: fmt.Sprint(n)}
			}
		}
		for hist := range 19 { // six buckets in each number, see store/stats.go
			packed := ""
			for bucket := hist; bucket < call.DurationBuckets; bucket += 19 {
				packed = fmt.Sprintf("%06d", days[dates[i]][fmt.Sprintf("bucket_%d", bucket)]) + packed
			}
			if packed = strings.TrimLeft(packed, "0"); packed != "" {
				row[fmt.Sprintf("hist_%d", hist)] = &types.AttributeValueMemberN{Value: packed}
			}
		}
	})
	return p
}

// one makes a call as the store does. It returns the call's record and its day in the statistics,
// and deletes both.
func (p *past) one() (record, day storetest.Row) {
	p.Helper()
	c := call.Call{ID: "call_1", UserID: "ada", Direction: call.Outbound, Remote: "+14155550100", Own: "+2348012345678", NumberID: "pn_3K31FNKK5S011QQF6GKTRG4CAC",
		RoomName: "call_1", TrunkID: "ST_1", AgentName: "support-agent", Country: "US", SystemPrompt: strings.Repeat("You confirm deliveries. ", 20),
		WelcomeMessage: "Hello, this is Ada from Acme.", Metadata: map[string]string{"order": "A-1001"}, RingingTimeout: 30, MaxDuration: 600,
		Status: call.Initiated, CreatedAt: today}
	err := p.Place(p.Context(), c)
	p.Must(err)
	c, err = p.Advance(p.Context(), c.ID, call.InProgress, today.Add(5*time.Second))
	p.Must(err)
	_, err = p.EndCall(p.Context(), c, call.End{Status: call.Completed, Cause: call.CalleeHangup, SIPStatus: 200, At: today.Add(65 * time.Second)})
	p.Must(err)
	record = p.Rows(p, "calls", c.ID, "call")[0]
	day = p.Rows(p, "stats", "ada")[0]
	p.Forget(p, "calls", c.ID)
	p.Forget(p, "stats", "ada")
	return record, day
}

// random32 makes the random part of ids.
type random32 struct{ *rand.Rand }

func (r random32) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return len(b), nil
}

// ask sends a request and returns its answer and how long it took.
func (p *past) ask(path string) (apitest.Answer, time.Duration) {
	p.Helper()
	if p.asked++; p.asked%900 == 1 { // a key can make 1000 requests an hour
		_, p.key = p.Key("ada", account.CallsRead)
	}
	start := time.Now()
	a := p.Ask(p.key, "GET", path, "")
	took := time.Since(start)
	if a.Status != 200 {
		p.Fatalf("%s: %d %s", path, a.Status, a.Text)
	}
	return a, took
}

// check checks that what is measured is right.
func (p *past) check() {
	p.Helper()
	a, _ := p.ask("/outbound-calls/stats")
	slices.Sort(p.durations)
	median := float64(p.durations[(p.calls+1)/2-1])
	percentiles, _ := a.Body["duration_percentiles"].(map[string]any)
	p50, _ := percentiles["p50"].(float64)
	if a.Body["total_calls"] != float64(p.calls) || len(a.Body["by_day"].([]any)) != 30 || math.Abs(p50/median-1) > 0.05 {
		p.Errorf("statistics of %d calls, half of them below %v s: %.300s", p.calls, median, a.Text)
	}
	a, _ = p.ask("/outbound-calls")
	data := a.Body["data"].([]any)
	if first, _ := data[0].(map[string]any); len(data) != 25 || first["created_at"] != "2026-11-22T23:00:00.000Z" {
		p.Errorf("first of %d calls is %v", len(data), data[0])
	}
}

// BenchmarkStoredCalls shows that a user's statistics and the first page of their history cost the
// same however many calls are stored. Writing the calls takes some minutes.
func BenchmarkStoredCalls(b *testing.B) {
	var users []*past
	for _, calls := range []int{1e3, 1e5, 1e6} {
		start := time.Now()
		users = append(users, newPast(b, calls))
		b.Logf("%d calls stored in %v", calls, time.Since(start).Round(time.Second))
	}
	for _, p := range users {
		p.check()
	}
	var table strings.Builder
	fmt.Fprintf(&table, "\n%-24s %13s %12s %12s %8s\n", "request", "calls stored", "round trips", "median", "ratio")
	for _, path := range []string{"/outbound-calls", "/outbound-calls/stats"} {
		took := make([][]time.Duration, len(users))
		for range 2000 { // in turns, so that other work of the machine affects all alike
			for i, p := range users {
				_, d := p.ask(path)
				took[i] = append(took[i], d)
			}
		}
		base := median(took[0])
		for i, p := range users {
			p.Trips()
			p.ask(path)
			m := median(took[i])
			ratio := float64(m) / float64(base)
			fmt.Fprintf(&table, "%-24s %13d %12d %12v %8.2f\n", path, p.calls, p.Trips(), m.Round(time.Microsecond), ratio)
			b.ReportMetric(ratio, fmt.Sprintf("ratio-%s-%d", strings.TrimPrefix(path, "/outbound-calls"), p.calls))
		}
	}
	fmt.Print(table.String()) // a benchmark's log is cut short
}

func median[T cmp.Ordered](all []T) T {
	all = slices.Sorted(slices.Values(all))
	return all[len(all)/2]
}

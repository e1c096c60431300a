// Package getcallstats serves GET /outbound-calls/stats.
package getcallstats

import (
	"cmp"
	"context"
	"math"
	"net/http"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/api"
	"github.com/krosai/telephony/shared/call"
	"github.com/krosai/telephony/shared/fault"
)

// Stats reads a user's days between the dates of from and to, both included, in order. It leaves
// out days without calls.
type Stats interface {
	StatsOf(ctx context.Context, userID string, from, to time.Time) ([]call.Day, error)
}

// Endpoint sums up the caller's calls, outbound and inbound.
type Endpoint struct {
	Stats Stats
	Now   func() time.Time
}

// The number of days that are summed up, by default and at most.
const (
	usualDays = 30
	mostDays  = 366
)

// Input is the range of days, both included.
type Input struct {
	From string `query:"from" format:"date" doc:"The first day (UTC). If left out, 29 days before the last one" example:"2026-11-01"`
	To   string `query:"to" format:"date" doc:"The last day (UTC). If left out, today, or from if that is later. At most 366 days in all" example:"2026-11-22"`
}

// Output is the statistics.
type Output struct{ Body CallStats }

// CallStats sums up the calls that were created on these days. All its numbers except active_calls
// count only calls that have ended.
type CallStats struct {
	From            string              `json:"from" format:"date"`
	To              string              `json:"to" format:"date"`
	TotalCalls      int                 `json:"total_calls" doc:"Calls that have ended"`
	ByStatus        CallsByStatus       `json:"by_status"`
	ActiveCalls     int                 `json:"active_calls" doc:"Calls that have not ended"`
	SuccessRate     float64             `json:"success_rate" doc:"The completed calls as a share of the ended calls, 0 to 1; 0 without one"`
	TotalDuration   int                 `json:"total_duration_seconds" doc:"The talk time of the completed calls, in seconds"`
	AverageDuration int                 `json:"average_duration_seconds" doc:"The mean talk time of a completed call, in seconds; 0 without one"`
	Percentiles     DurationPercentiles `json:"duration_percentiles"`
	ByDay           []CallStatsDay      `json:"by_day" doc:"The days in order, without those whose calls have not ended or that have no calls"`
	ByCountry       []CallStatsCountry  `json:"by_country" doc:"The countries of the other parties, the one with the most calls first"`
}

// CallsByStatus counts calls by their final status.
type CallsByStatus struct {
	Completed int `json:"completed"`
	Busy      int `json:"busy"`
	NoAnswer  int `json:"no_answer"`
	Failed    int `json:"failed"`
	Canceled  int `json:"canceled"`
}

// DurationPercentiles are talk times in seconds.
type DurationPercentiles struct {
	P50 int `json:"p50" doc:"The median talk time of the completed calls, in seconds. Exact below 28 s, within 4 % above"`
	P90 int `json:"p90" doc:"The 90th percentile"`
	P95 int `json:"p95" doc:"The 95th percentile"`
}

// CallStatsDay sums up one day.
type CallStatsDay struct {
	Date       string `json:"date" format:"date"`
	TotalCalls int    `json:"total_calls"`
	Completed  int    `json:"completed"`
	Duration   int    `json:"duration_seconds"`
}

// CallStatsCountry sums up one country.
type CallStatsCountry struct {
	Country    string `json:"country" doc:"ISO 3166-1 alpha-2; ZZ if it is not known"`
	TotalCalls int    `json:"total_calls"`
	Completed  int    `json:"completed"`
}

// Register adds the operation to the API.
func (e *Endpoint) Register(a huma.API) {
	huma.Register(a, huma.Operation{OperationID: "call-stats", Method: http.MethodGet, Path: "/outbound-calls/stats",
		Summary: "Read the statistics of your calls", Tags: []string{"Calls"}, Security: api.Needs(account.CallsRead),
		Description: "Calls belong to the UTC day on which they were created."}, e.show)
}

func (e *Endpoint) show(ctx context.Context, in *Input) (*Output, error) {
	from, to, err := e.days(in)
	if err != nil {
		return nil, err
	}

	days, err := e.Stats.StatsOf(ctx, api.CallerOf(ctx).UserID, from, to)
	if err != nil {
		return nil, err
	}

	v := view(days)
	v.From, v.To = from.Format(time.DateOnly), to.Format(time.DateOnly)
	return &Output{v}, nil
}

// days returns the first and the last day. In time zones ahead of UTC the caller's today may be a
// day that UTC has not reached. Without a last day, a first day in the future is therefore also the
// last day, and it has no calls.
func (e *Endpoint) days(in *Input) (from, to time.Time, err error) {
	to = e.Now().UTC().Truncate(24 * time.Hour)
	if in.To != "" {
		if to, err = day("to", in.To); err != nil {
			return from, to, err
		}
	}
	from = to.AddDate(0, 0, 1-usualDays)
	if in.From != "" {
		if from, err = day("from", in.From); err != nil {
			return from, to, err
		}
	}
	if in.To == "" && to.Before(from) {
		to = from
	}
	switch {
	case to.Before(from):
		return from, to, fault.InvalidField("from", "range", "must not be later than to")
	case from.Before(to.AddDate(0, 0, 1-mostDays)):
		return from, to, fault.InvalidField("from", "range", "at most 366 days can be added up")
	}
	return from, to, nil
}

func day(field, text string) (time.Time, error) {
	t, err := time.Parse(time.DateOnly, text)
	if err != nil || t.Year() < 1900 || t.Year() > 9000 {
		return t, fault.InvalidField(field, "format", "must be a date, like 2026-11-22")
	}
	return t, nil
}

func view(days []call.Day) CallStats {
	v := CallStats{ByDay: []CallStatsDay{}}
	countries, durations := map[string]CallStatsCountry{}, call.Histogram{}
	for _, d := range days {
		v.ActiveCalls += d.Active()
		if d.Total() == 0 {
			continue
		}
		v.add(d)
		for name, c := range d.Countries {
			sum := countries[name]
			countries[name] = CallStatsCountry{name, sum.TotalCalls + c.Total, sum.Completed + c.Completed}
		}
		for bucket, n := range d.Durations {
			durations[bucket] += n
		}
	}
	v.SuccessRate = math.Round(1e4*ratio(v.ByStatus.Completed, v.TotalCalls)) / 1e4
	v.AverageDuration = int(math.Round(ratio(v.TotalDuration, v.ByStatus.Completed)))
	v.Percentiles = DurationPercentiles{durations.Percentile(50), durations.Percentile(90), durations.Percentile(95)}
	v.ByCountry = make([]CallStatsCountry, 0, len(countries))
	for _, c := range countries {
		v.ByCountry = append(v.ByCountry, c)
	}
	slices.SortFunc(v.ByCountry, func(a, b CallStatsCountry) int {
		return cmp.Or(b.TotalCalls-a.TotalCalls, cmp.Compare(a.Country, b.Country))
	})
	return v
}

// add adds a day without its countries and durations.
func (v *CallStats) add(d call.Day) {
	v.TotalCalls += d.Total()
	v.TotalDuration += d.TalkSeconds
	v.ByStatus.Completed += d.Ended[call.Completed]
	v.ByStatus.Busy += d.Ended[call.Busy]
	v.ByStatus.NoAnswer += d.Ended[call.NoAnswer]
	v.ByStatus.Failed += d.Ended[call.Failed]
	v.ByStatus.Canceled += d.Ended[call.Canceled]
	v.ByDay = append(v.ByDay, CallStatsDay{Date: d.Date, TotalCalls: d.Total(), Completed: d.Ended[call.Completed], Duration: d.TalkSeconds})
}

// ratio is part divided by whole, or 0 when whole is 0.
func ratio(part, whole int) float64 {
	if whole == 0 {
		return 0
	}
	return float64(part) / float64(whole)
}

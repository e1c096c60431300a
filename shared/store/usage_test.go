package store_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/google/go-cmp/cmp"

	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/call"
	"github.com/krosai/telephony/shared/fault"
	"github.com/krosai/telephony/shared/store"
	"github.com/krosai/telephony/shared/store/storetest"
)

// used is the usage in a user's row, by attribute: the windows that are not 0, and the number of
// active calls.
func used(t *testing.T, db *storetest.Database, user string) map[string]string {
	t.Helper()
	counts := map[string]string{}
	for name, v := range db.Rows(t, "limits", "user#"+user)[0] {
		switch v := v.(type) {
		case *types.AttributeValueMemberN:
			if v.Value != "0" && (strings.HasPrefix(name, "hour_") || strings.HasPrefix(name, "to_") || strings.HasPrefix(name, "day_")) {
				counts[name] = v.Value
			}
		case *types.AttributeValueMemberSS:
			if name == "active_calls" {
				counts[name] = strconv.Itoa(len(v.Value))
			}
		}
	}
	return counts
}

// clocked is a database with a clock that the test moves.
type clocked struct {
	*storetest.Database
	ctx context.Context
	now time.Time
	n   int // number of calls attempted
}

func openClocked(t *testing.T, now time.Time) *clocked {
	t.Helper()
	c := &clocked{ctx: t.Context(), now: now}
	c.Database = storetest.Open(t, func() time.Time { return c.now })
	return c
}

// call creates a call of ada to a number now, with a maximum duration in seconds.
func (d *clocked) call(t *testing.T, to string, seconds int) (call.Call, error) {
	t.Helper()
	d.n++
	c := callOf("ada", d.n, d.now)
	c.Remote, c.MaxDuration = to, seconds
	_, err := tryCall(t, d.Database, c, "US", store.Once{})
	return c, err
}

const here, there = "+14155550100", "+14155550101"

// TestEachLimitAtItsEdge: a user can use a limit up to the last call and the last second, and the
// refusal says when to try again.
func TestEachLimitAtItsEdge(t *testing.T) {
	t.Parallel()
	type try struct {
		at      time.Time
		to      string
		seconds int
		want    string        // code of the error
		again   time.Duration // time until it may succeed
	}
	evening := time.Date(2026, 11, 22, 23, 59, 59, 999e6, time.UTC)
	midnight := evening.Add(time.Millisecond)
	const ok, rate, atOnce = "<nil>", "RATE_LIMIT_EXCEEDED", "CONCURRENT_LIMIT_EXCEEDED"
	for name, tt := range map[string]struct {
		change func(*account.Policy)
		tries  []try
	}{
		"calls an hour": {func(p *account.Policy) { p.CallsPerHour = 2 }, []try{
			{t0, here, 60, ok, 0}, {t0, there, 60, ok, 0}, {t0, here, 60, rate, 30 * time.Minute},
			{t0.Add(30*time.Minute - time.Millisecond), here, 60, rate, time.Millisecond}, {t0.Add(30 * time.Minute), here, 60, ok, 0},
		}},
		"calls to one number": {func(p *account.Policy) { p.CallsPerDestination = 2 }, []try{
			{t0, here, 60, ok, 0}, {t0, here, 60, ok, 0}, {t0, here, 60, rate, 30 * time.Minute}, {t0, there, 60, ok, 0},
			{t0.Add(30*time.Minute - time.Millisecond), here, 60, rate, time.Millisecond}, {t0.Add(30 * time.Minute), here, 60, ok, 0},
		}},
		"calls at a time": {func(p *account.Policy) { p.MaxConcurrentCalls = 2 }, []try{
			{t0, here, 60, ok, 0}, {t0, there, 60, ok, 0}, {t0.Add(2 * time.Hour), here, 60, atOnce, 10 * time.Second},
		}},
		"minutes, in one call": {func(p *account.Policy) { p.MinutesPerDay = 10 }, []try{
			{evening, here, 601, rate, time.Millisecond}, {evening, here, 600, ok, 0}, {evening, here, 1, rate, time.Millisecond},
			{midnight, here, 601, rate, 24 * time.Hour}, {midnight, here, 600, ok, 0}, {midnight, here, 1, rate, 24 * time.Hour},
		}},
		"minutes, in three": {func(p *account.Policy) { p.MinutesPerDay = 10 }, []try{
			{midnight, here, 540, ok, 0}, {midnight, here, 61, rate, 24 * time.Hour}, {midnight, here, 59, ok, 0},
			{midnight, there, 2, rate, 24 * time.Hour}, {midnight, there, 1, ok, 0},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := openClocked(t, t0)
			setPolicy(t, db.Database, "ada", tt.change)
			for i, try := range tt.tries {
				db.now = try.at
				_, err := db.call(t, try.to, try.seconds)
				f, _ := errors.AsType[*fault.Error](err)
				if codeOf(err) != try.want || f != nil && (f.Kind != fault.Limited || f.RetryAfter != try.again) {
					t.Errorf("%d: %v, want %s after %s", i, err, try.want, try.again)
				}
			}
		})
	}
}

// TestMinutesThatAreMissing: if the day is nearly used up, the error says how much shorter the call
// must be.
func TestMinutesThatAreMissing(t *testing.T) {
	t.Parallel()
	db := openClocked(t, t0)
	setPolicy(t, db.Database, "ada", func(p *account.Policy) { p.MinutesPerDay = 10 })
	for _, tt := range []struct {
		seconds int
		more    string
	}{{500, ""}, {101, "1 more"}, {160, "1 more"}, {161, "2 more"}} {
		if _, err := db.call(t, here, tt.seconds); tt.more != "" && (err == nil || !strings.Contains(err.Error(), "may last "+tt.more+" than are left")) {
			t.Errorf("%d seconds: %v, want %s", tt.seconds, err, tt.more)
		}
	}
}

// TestPolicyChangesAfterThePermit: the policy at the time of the write decides, not the policy in
// the permit. One call was made before.
func TestPolicyChangesAfterThePermit(t *testing.T) {
	t.Parallel()
	const ok, rate, atOnce = "<nil>", "RATE_LIMIT_EXCEEDED", "CONCURRENT_LIMIT_EXCEEDED"
	same := func(*account.Policy) {}
	for name, tt := range map[string]struct {
		home           string
		first, then    func(*account.Policy)
		call, transfer string // codes of the errors
	}{
		"by nothing":          {"US", same, same, ok, ok},
		"switched off":        {"US", same, func(p *account.Policy) { p.CallsEnabled = false }, "CALLS_DISABLED", "CALLS_DISABLED"},
		"country gone":        {"NG", func(p *account.Policy) { p.AllowedCountries = []string{"US"} }, same, "DESTINATION_NOT_ALLOWED", "DESTINATION_NOT_ALLOWED"},
		"agent gone":          {"US", same, func(p *account.Policy) { p.AllowedAgents = []string{"b"} }, "AGENT_NOT_ALLOWED", ok},
		"fewer an hour":       {"US", same, func(p *account.Policy) { p.CallsPerHour = 1 }, rate, rate},
		"more an hour":        {"US", func(p *account.Policy) { p.CallsPerHour = 1 }, same, ok, ok},
		"fewer to one number": {"US", same, func(p *account.Policy) { p.CallsPerDestination = 1 }, rate, rate},
		"more to one number":  {"US", func(p *account.Policy) { p.CallsPerDestination = 1 }, same, ok, ok},
		"fewer at a time":     {"US", same, func(p *account.Policy) { p.MaxConcurrentCalls = 1 }, atOnce, ok},
		"more at a time":      {"US", func(p *account.Policy) { p.MaxConcurrentCalls = 1 }, same, ok, ok},
		"fewer minutes":       {"US", same, func(p *account.Policy) { p.MinutesPerDay = 1 }, rate, ok},
		"more minutes":        {"US", func(p *account.Policy) { p.MinutesPerDay = 1 }, same, ok, ok},
	} {
		for _, transfer := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, transfer %t", name, transfer), func(t *testing.T) {
				t.Parallel()
				db, ctx := openClocked(t, t0), t.Context()
				c, err := db.call(t, here, 60)
				if err == nil {
					c, err = db.Advance(ctx, c.ID, call.InProgress, t0)
				}
				if err != nil {
					t.Fatal(err)
				}
				setPolicy(t, db.Database, "ada", tt.first)
				may, before := permit(t, db.Database, "ada", tt.home), used(t, db.Database, "ada")
				setPolicy(t, db.Database, "ada", tt.then)
				var hour account.Limit
				want := tt.call
				if transfer {
					want = tt.transfer
					tr := pending("1", t0)
					tr.To, tr.Country = here, "US"
					_, hour, err = db.BeginTransfer(ctx, c, may, tr)
				} else {
					c = callOf("ada", 9, t0)
					c.Remote = here
					_, _, hour, err = db.CreateCall(ctx, c, may, store.Once{})
				}
				if codeOf(err) != want || err == nil && hour.Used != 2 {
					t.Errorf("%v, want %s; hour %+v", err, want, hour)
				}
				if d := cmp.Diff(before, used(t, db.Database, "ada")); err != nil && d != "" {
					t.Errorf("a refusal uses something up (-before +after):\n%s", d)
				}
			})
		}
	}
}

// TestPolicyKeepsChanging: a call is not refused because the policy changed in the meantime, and
// the store does not try forever.
func TestPolicyKeepsChanging(t *testing.T) {
	t.Parallel()
	for changes, want := range map[int]string{1: "<nil>", 3: "<nil>", 4: "TELEPHONY_UNAVAILABLE"} {
		db, ctx := open(t), t.Context()
		may, left := permit(t, db, "ada", "US"), changes
		db.Watch(func(body []byte) {
			if left > 0 && bytes.Contains(body, []byte(`"TransactItems"`)) {
				left--
				setPolicy(t, db, "ada", func(p *account.Policy) { p.CallsPerHour = 10 + left })
			}
		})
		_, _, hour, err := db.CreateCall(ctx, newCall("1"), may, store.Once{})
		if codeOf(err) != want || err == nil && (hour.Used != 1 || hour.Quota != 10) {
			t.Errorf("%d changes: %v, want %s; hour %+v", changes, err, want, hour)
		}
	}
}

// TestWindowsThatAreOver: the next call removes windows that are over, but not a window to which a
// call may still give something back.
func TestWindowsThatAreOver(t *testing.T) {
	t.Parallel()
	start := time.Date(2026, 11, 22, 22, 30, 0, 0, time.UTC)
	db := openClocked(t, start)
	setPolicy(t, db.Database, "ada", func(p *account.Policy) { p.MaxConcurrentCalls, p.CallsPerHour = plenty, plenty })
	for i, tt := range []struct {
		at   time.Time
		want string
	}{
		{start, "day_2026-11-22 hour_2026-11-22T22 to_2026-11-22T22"},
		{start.Add(time.Hour), "day_2026-11-22 hour_2026-11-22T22 hour_2026-11-22T23 to_2026-11-22T22 to_2026-11-22T23"},
		{start.Add(2 * time.Hour), "day_2026-11-22 day_2026-11-23 hour_2026-11-22T23 hour_2026-11-23T00 to_2026-11-22T23 to_2026-11-23T00"},
		{start.Add(25*time.Hour + 29*time.Minute), "day_2026-11-22 day_2026-11-23 hour_2026-11-23T23 to_2026-11-23T23"},
		{start.Add(25*time.Hour + 30*time.Minute), "day_2026-11-23 day_2026-11-24 hour_2026-11-23T23 hour_2026-11-24T00 to_2026-11-23T23 to_2026-11-24T00"},
		{start.AddDate(1, 0, 0), "day_2027-11-22 hour_2027-11-22T22 to_2027-11-22T22"},
	} {
		db.now = tt.at
		if _, err := db.call(t, here, 60); err != nil {
			t.Fatal(i, err)
		}
		counts := used(t, db.Database, "ada")
		delete(counts, "active_calls")
		var names []string
		for name := range counts {
			names = append(names, strings.TrimSuffix(name, "_"+here))
		}
		slices.Sort(names)
		if got := strings.Join(names, " "); got != tt.want {
			t.Errorf("%d: %s, want %s", i, got, tt.want)
		}
	}
}

// TestManyWindowsThatAreOver: a write removes only some of the windows, so that it stays short, and
// the next writes remove the rest.
func TestManyWindowsThatAreOver(t *testing.T) {
	t.Parallel()
	db := openClocked(t, t0)
	setPolicy(t, db.Database, "ada", func(p *account.Policy) { p.MaxConcurrentCalls, p.CallsPerHour = plenty, plenty })
	for i := range 120 {
		if _, err := db.call(t, fmt.Sprintf("+1415555%04d", i), 60); err != nil {
			t.Fatal(err)
		}
	}
	db.now = t0.AddDate(0, 0, 2)
	for i, want := range []int{122 - 50 + 3, 122 - 100 + 3, 3, 3} {
		if _, err := db.call(t, here, 60); err != nil {
			t.Fatal(err)
		}
		if got := len(used(t, db.Database, "ada")) - 1; got != want {
			t.Errorf("after %d calls %d windows, want %d", i+1, got, want)
		}
	}
}

// TestWhatAnEndGivesBack: an end gives back the seconds that were not talked, to the day on which
// the call was created, once. If the call was never started, its end gives back everything.
func TestWhatAnEndGivesBack(t *testing.T) {
	t.Parallel()
	late := time.Date(2026, 11, 22, 23, 59, 30, 0, time.UTC) // the call may last 600 s
	const hour, to, day, active = "hour_2026-11-22T23", "to_2026-11-22T23_" + here, "day_2026-11-22", "active_calls"
	end := func(after time.Duration) func(db *clocked, c call.Call) error {
		return func(db *clocked, c call.Call) error {
			db.now = late.Add(after)
			_, err := db.EndCall(db.ctx, c, call.End{Status: call.Completed, Cause: call.CalleeHangup, At: db.now})
			return err
		}
	}
	refuse := func(after time.Duration) func(db *clocked, c call.Call) error {
		return func(db *clocked, c call.Call) error {
			db.now = late.Add(after)
			_, err := db.RefuseCall(db.ctx, c, call.End{Status: call.Failed, Cause: call.NetworkError, At: db.now}, store.Once{})
			return err
		}
	}
	for name, tt := range map[string]struct {
		answered time.Duration // time after creation; 0 means never
		end      func(db *clocked, c call.Call) error
		want     map[string]string
	}{
		"going":                  {10 * time.Second, func(*clocked, call.Call) error { return nil }, map[string]string{hour: "1", to: "1", day: "600", active: "1"}},
		"never answered":         {0, end(20 * time.Second), map[string]string{hour: "1", to: "1"}},
		"ended on the next day":  {10 * time.Second, end(210 * time.Second), map[string]string{hour: "1", to: "1", day: "200"}},
		"as long as it may":      {10 * time.Second, end(610 * time.Second), map[string]string{hour: "1", to: "1", day: "600"}},
		"longer than it may":     {10 * time.Second, end(700 * time.Second), map[string]string{hour: "1", to: "1", day: "600"}},
		"not started":            {0, refuse(time.Second), map[string]string{}},
		"not started, next hour": {0, refuse(time.Hour), map[string]string{}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { // the SDK waits before it sends a request again
				db := openClocked(t, late)
				c, err := db.call(t, here, 600)
				if err == nil && tt.answered > 0 {
					c, err = db.Advance(db.ctx, c.ID, call.InProgress, late.Add(tt.answered))
				}
				if err != nil {
					t.Fatal(err)
				}
				db.LoseReplies(1)
				for range 3 {
					if err := tt.end(db, c); err != nil {
						t.Error(err)
					}
				}
				if d := cmp.Diff(tt.want, used(t, db.Database, "ada")); d != "" {
					t.Errorf("used (-want +got):\n%s", d)
				}
			})
		})
	}
}

// TestOnlyOutboundCallsCount: an inbound call does not change the usage of outbound calls.
func TestOnlyOutboundCallsCount(t *testing.T) {
	t.Parallel()
	db := openClocked(t, t0)
	if _, err := db.call(t, here, 60); err != nil {
		t.Fatal(err)
	}
	before := used(t, db.Database, "ada")
	c, err := db.CreateInbound(db.ctx, inboundCall(), 0)
	if err == nil {
		_, err = db.EndCall(db.ctx, c, call.End{Status: call.NoAnswer, Cause: call.CalleeHangup, At: t0})
	}
	if d := cmp.Diff(before, used(t, db.Database, "ada")); d != "" || err != nil {
		t.Errorf("%v (-before +after):\n%s", err, d)
	}
}

// TestATransferSpends: a transfer uses one of the hour's calls and one of the calls to its number,
// but neither seconds nor a place among the active calls. A transfer that is refused uses nothing,
// and a call has its own limit of transfers.
func TestATransferSpends(t *testing.T) {
	t.Parallel()
	db := openClocked(t, t0)
	setPolicy(t, db.Database, "ada", func(p *account.Policy) { p.CallsPerHour, p.CallsPerDestination = 9, 4 })
	c, err := db.call(t, here, 60)
	if err == nil {
		_, err = db.Advance(db.ctx, c.ID, call.InProgress, t0)
	}
	if err != nil {
		t.Fatal(err)
	}
	for i, tt := range []struct{ to, want string }{
		{there, "<nil>"}, {there, "<nil>"}, {there, "<nil>"}, {there, "<nil>"}, {there, "RATE_LIMIT_EXCEEDED"},
		{here, "<nil>"}, {here, "TRANSFER_LIMIT_REACHED"}, {there, "TRANSFER_LIMIT_REACHED"},
	} {
		tr := pending(fmt.Sprint(i), t0)
		tr.To, tr.Country = tt.to, "US"
		_, err := begin(t, db.Database, c.ID, tr)
		if codeOf(err) != tt.want {
			t.Errorf("%d: %v, want %s", i, err, tt.want)
		}
		if err != nil {
			continue
		}
		if _, err := db.FinishTransfer(db.ctx, c.ID, outcome(tr, call.TransferFailed, 486, t0)); err != nil {
			t.Fatal(err)
		}
	}
	want := map[string]string{"hour_2026-11-22T09": "6", "to_2026-11-22T09_" + here: "2", "to_2026-11-22T09_" + there: "4", "day_2026-11-22": "60", "active_calls": "1"}
	if d := cmp.Diff(want, used(t, db.Database, "ada")); d != "" {
		t.Errorf("used (-want +got):\n%s", d)
	}
	if hour := permit(t, db.Database, "ada", "US").Hour(); hour.Used != 6 || hour.Left() != 3 {
		t.Errorf("hour %+v", hour)
	}
}

// TestClockBehind: a call whose clock is behind the permit's counts in a window that looks as if it
// were over. The write of the call must not remove that window.
func TestClockBehind(t *testing.T) {
	t.Parallel()
	db := storetest.Open(t, func() time.Time { return t0.Add(72 * time.Hour) })
	for i, wait := range []time.Duration{0, 0, time.Hour} {
		c := newCall(fmt.Sprint(i))
		c.CreatedAt = t0.Add(wait)
		if err := db.Place(t.Context(), c); err != nil {
			t.Errorf("call %d: %v", i, err)
		}
	}
}

package store_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/call"
	"github.com/krosai/telephony/shared/store"
	"github.com/krosai/telephony/shared/store/storetest"
)

// walk goes through a list page by page and returns the ids in order. It checks that no call is
// newer than the one before.
func walk(t *testing.T, db *storetest.Database, user string, h store.History, limit int) (ids []string) {
	t.Helper()
	var last time.Time
	for after, more := "", true; more; more = after != "" {
		calls, next, err := db.CallsOf(t.Context(), user, h, limit, after)
		if err != nil {
			t.Fatal(err)
		}
		if len(calls) > limit {
			t.Fatalf("%d calls on a page of %d", len(calls), limit)
		}
		for _, c := range calls {
			if !last.IsZero() && c.CreatedAt.After(last) {
				t.Errorf("%s is newer than the one before", c.ID)
			}
			last = c.CreatedAt
			ids = append(ids, c.ID)
		}
		after = next
	}
	return ids
}

// TestHistoryIsComplete: for every selection, the pages show each matching call once, newest first.
// Calls that were created at the same time may come in any order, because DynamoDB orders an index
// by its own keys alone.
func TestHistoryIsComplete(t *testing.T) {
	t.Parallel()
	db, random := open(t), rand.New(rand.NewPCG(1, 2))
	for _, user := range []string{"ada", "bob"} {
		if err := db.PutPolicy(t.Context(), user, account.Policy{CallsEnabled: true, MaxConcurrentCalls: 100, CallsPerDestination: 100, MinutesPerDay: 1000}); err != nil {
			t.Fatal(err)
		}
	}
	statuses := []call.Status{call.Initiated, call.Ringing, call.Completed, call.Busy}
	var all []call.Call
	for i := range 60 {
		c := newCall(fmt.Sprintf("%02d", i))
		c.UserID = []string{"ada", "ada", "bob"}[i%3]
		c.CreatedAt = t0.Add(time.Duration(i/4) * 500 * time.Millisecond)
		c.Direction = []call.Direction{call.Outbound, call.Inbound}[random.IntN(2)]
		c.NumberID = []string{"pn_1", "pn_2"}[random.IntN(2)]
		c.Status = statuses[random.IntN(len(statuses))]
		c.Metadata = []map[string]string{nil, {"order": "A-1"}, {"order": "A-0", "from": ""}}[random.IntN(3)]
		create(t, db, c)
		all = append(all, c)
	}
	for name, h := range map[string]store.History{
		"all":             {},
		"completed":       {Status: call.Completed},
		"inbound":         {Direction: call.Inbound},
		"of a number":     {NumberID: "pn_2"},
		"of no number":    {NumberID: "pn_3"},
		"all of it":       {Status: call.Busy, Direction: call.Outbound, NumberID: "pn_1"},
		"from":            {From: t0.Add(3 * time.Second)},
		"to":              {To: t0.Add(3 * time.Second)},
		"from and to":     {From: t0.Add(time.Second), To: t0.Add(1001 * time.Millisecond)},
		"at no time":      {From: t0.Add(time.Hour), To: t0.Add(2 * time.Hour)},
		"active":          {Active: true, From: t0},
		"active, ringing": {Active: true, From: t0, Status: call.Ringing},
		"active, busy":    {Active: true, From: t0, Status: call.Busy},
		"metadata":        {Metadata: map[string]string{"order": "A-1"}},
		"two entries":     {Metadata: map[string]string{"order": "A-0", "from": ""}},
		"other value":     {Metadata: map[string]string{"order": "A-9"}},
		"other name":      {Metadata: map[string]string{"Order": "A-1"}},
		"active metadata": {Active: true, From: t0, Direction: call.Inbound, Metadata: map[string]string{"order": "A-0"}},
		"busy for a time": {Status: call.Busy, From: t0.Add(time.Second), To: t0.Add(4 * time.Second)},
	} {
		for _, user := range []string{"ada", "bob", "eve"} {
			var want []string
			for _, c := range all {
				if c.UserID == user && !c.CreatedAt.Before(h.From) && (h.To.IsZero() || c.CreatedAt.Before(h.To)) &&
					(h.Status == "" || h.Status == c.Status) && (h.Direction == "" || h.Direction == c.Direction) && (h.NumberID == "" || h.NumberID == c.NumberID) &&
					!(h.Active && c.Status.Ended()) && holds(c.Metadata, h.Metadata) {
					want = append(want, c.ID)
				}
			}
			for _, limit := range []int{1, 3, 100} {
				got := walk(t, db, user, h, limit)
				slices.Sort(got) // ids sort by creation
				if d := cmp.Diff(want, got); d != "" {
					t.Errorf("%s of %s by %d (-want +got):\n%s", name, user, limit, d)
				}
			}
		}
	}
}

// holds reports whether all has each entry of some.
func holds(all, some map[string]string) bool {
	for name, value := range some {
		if got, there := all[name]; !there || got != value {
			return false
		}
	}
	return true
}

// TestActiveIsOfTheLastDay: without a From, the list of active calls covers only the last day,
// because no call lasts longer.
func TestActiveIsOfTheLastDay(t *testing.T) {
	t.Parallel()
	now := t0
	db := storetest.Open(t, func() time.Time { return now })
	c := newCall("1")
	create(t, db, c)
	now = t0.Add(25 * time.Hour)
	for name, h := range map[string]store.History{"": {Active: true}, c.ID: {Active: true, From: t0}} {
		got, _, err := db.CallsOf(t.Context(), "ada", h, 10, "")
		if err != nil || len(got) > 1 || (len(got) == 1) != (name != "") {
			t.Errorf("%q: %v %v", name, got, err)
		}
	}
}

// TestHistoryShowsNoPrompts: a list shows exactly these fields of a call.
func TestHistoryShowsNoPrompts(t *testing.T) {
	t.Parallel()
	db := open(t)
	c := newCall("1")
	create(t, db, c)
	if _, err := db.EndCall(t.Context(), c, call.End{Status: call.Busy, Cause: call.Declined, SIPStatus: 603, At: t0.Add(time.Second)}); err != nil {
		t.Fatal(err)
	}
	got, _, err := db.CallsOf(t.Context(), "ada", store.History{}, 10, "")
	if err != nil {
		t.Fatal(err)
	}
	want := call.Call{ID: c.ID, UserID: c.UserID, Direction: c.Direction, Remote: c.Remote, Own: c.Own,
		NumberID: c.NumberID, RoomName: c.RoomName, AgentName: c.AgentName, Country: c.Country, Metadata: c.Metadata, HasMetadata: true,
		Status: call.Busy, Cause: call.Declined, SIPStatus: 603, CreatedAt: c.CreatedAt, EndedAt: t0.Add(time.Second)}
	if d := cmp.Diff([]call.Call{want}, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

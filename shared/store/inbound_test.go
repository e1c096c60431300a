package store_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/call"
	"github.com/krosai/telephony/shared/store"
	"github.com/krosai/telephony/shared/store/storetest"
)

func inboundCall() call.Call {
	c := newCall("1")
	c.Direction, c.DialedAt, c.RoomName, c.Country = call.Inbound, c.CreatedAt, "h7yq2m0c-demo-_+14155550100_x", ""
	c.SystemPrompt, c.Metadata, c.Voice = "", nil, nil // only outbound calls have them
	return c
}

// TestCreateInboundOnce: an inbound call has one record and is counted once, no matter how often
// and how concurrently it is reported.
func TestCreateInboundOnce(t *testing.T) {
	t.Parallel()
	db, ctx := open(t), t.Context()
	var race sync.WaitGroup
	for range 20 {
		race.Go(func() {
			c, err := db.CreateInbound(ctx, inboundCall(), 0)
			if d := cmp.Diff(inboundCall(), c); err != nil || d != "" {
				t.Errorf("%v (-want +got):\n%s", err, d)
			}
		})
	}
	race.Wait()
	if _, err := db.Advance(ctx, "call_1", call.Ringing, t0); err != nil {
		t.Fatal(err)
	}
	db.LoseReplies(1)
	c, err := db.CreateInbound(ctx, inboundCall(), 0)
	if err != nil || c.Status != call.Ringing {
		t.Errorf("again: %s, %v; the record must stand", c.Status, err)
	}
	db.LoseReplies(1)
	other := inboundCall()
	other.ID = "call_2"
	if c, err := db.CreateInbound(ctx, other, 0); err != nil || c.Status != call.Initiated {
		t.Errorf("with its first reply lost: %s, %v", c.Status, err)
	}
	for _, id := range []string{"call_1", "call_2"} {
		c, err := db.Call(ctx, id)
		if err == nil {
			c, err = db.EndCall(ctx, c, call.End{Status: call.NoAnswer, Cause: call.CalleeHangup, At: t0.Add(time.Second)})
		}
		if err != nil || c.Cause != call.CalleeHangup {
			t.Errorf("end of %s: %s, %v", id, c.Cause, err)
		}
	}
	days, err := db.StatsOf(ctx, "ada", t0, t0)
	if err != nil || len(days) != 1 {
		t.Fatal(days, err)
	}
	if days[0].Started != 2 || days[0].Total() != 2 {
		t.Errorf("%d started, %d ended; want 2 of each", days[0].Started, days[0].Total())
	}
}

// TestInboundLimits: among concurrent inbound calls, a number takes as many as its limit allows,
// and its owner as many as their policy allows. A call over a limit is recorded, counted and
// reported as ended, once, and takes nothing away from later calls.
func TestInboundLimits(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		ofNumber, ofUser int
		taken            int // calls taken, of twelve to one number
		other            call.Status
	}{
		"the owner's":     {0, 3, 3, call.Failed},
		"the number's":    {2, 9, 2, call.Initiated},
		"above the owner": {50, 4, 4, call.Failed},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db, ctx := open(t), t.Context()
			p := account.DefaultPolicy()
			p.MaxConcurrentInbound = tt.ofUser
			if err := db.PutPolicy(ctx, "ada", p); err != nil {
				t.Fatal(err)
			}
			come := func(id, number string) call.Call {
				c := inboundCall()
				c.ID, c.NumberID = "call_"+id, number
				c, err := db.CreateInbound(ctx, c, tt.ofNumber)
				if err != nil {
					t.Error(err)
				}
				return c
			}
			var race sync.WaitGroup
			for i := range 24 { // each call is reported twice
				race.Go(func() { come(fmt.Sprintf("%02d", i/2), "pn_1") })
			}
			race.Wait()
			var taken []call.Call
			for i := range 12 {
				c := come(fmt.Sprintf("%02d", i), "pn_1")
				switch {
				case c.Status == call.Initiated:
					taken = append(taken, c)
				case c.Status != call.Failed || c.Cause != call.Capacity || c.EndedAt.IsZero():
					t.Errorf("%s: %s %s", c.ID, c.Status, c.Cause)
				}
			}
			if len(taken) != tt.taken {
				t.Fatalf("%d calls taken, want %d", len(taken), tt.taken)
			}
			if c := come("of-another", "pn_2"); c.Status != tt.other {
				t.Errorf("a call to another number is %s, want %s", c.Status, tt.other)
			}
			for range 2 { // an end that is written twice reduces the count once
				if _, err := db.EndCall(ctx, taken[0], call.End{Status: call.NoAnswer, Cause: call.CalleeHangup, At: t0}); err != nil {
					t.Fatal(err)
				}
			}
			if a, b := come("next", "pn_1"), come("one-more", "pn_1"); a.Status != call.Initiated || b.Status != call.Failed {
				t.Errorf("after an end %s and %s, want one call taken", a.Status, b.Status)
			}
			checkInboundTold(t, db)
		})
	}
}

// checkInboundTold compares the events and the statistics with the fifteen calls.
func checkInboundTold(t *testing.T, db *storetest.Database) {
	t.Helper()
	events, _, err := db.EventsOf(t.Context(), "ada", store.Log{}, 100, "")
	if err != nil {
		t.Fatal(err)
	}
	told := map[string]int{}
	for _, e := range events {
		told[e.CallID]++
	}
	days, err := db.StatsOf(t.Context(), "ada", t0, t0)
	if err != nil || len(days) != 1 || days[0].Started != 15 || days[0].Total() != len(events) {
		t.Errorf("statistics %+v with %d events, %v", days, len(events), err)
	}
	for id, n := range told {
		c, err := db.Call(t.Context(), id)
		if err != nil || n != 1 || !c.Status.Ended() {
			t.Errorf("%s, which is %s, was told of %d times; %v", id, c.Status, n, err)
		}
	}
}

// TestInboundAgent: an agent that was taken away from an account takes no more of its calls.
func TestInboundAgent(t *testing.T) {
	t.Parallel()
	db, ctx := open(t), t.Context()
	p := account.DefaultPolicy()
	p.AllowedAgents = []string{"another"}
	if err := db.PutPolicy(ctx, "ada", p); err != nil {
		t.Fatal(err)
	}
	c, err := db.CreateInbound(ctx, inboundCall(), 0)
	if err != nil || c.Status != call.Failed || c.Cause != call.NotAllowed {
		t.Errorf("%s %s, %v", c.Status, c.Cause, err)
	}
	kept, err := db.Call(ctx, c.ID)
	if d := cmp.Diff(kept, c); err != nil || d != "" {
		t.Errorf("%v (-kept +returned):\n%s", err, d)
	}
}

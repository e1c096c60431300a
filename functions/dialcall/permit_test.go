package dialcall_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/krosai/telephony/functions/dialcall"
	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/call"
	"github.com/krosai/telephony/shared/fault"
	"github.com/krosai/telephony/shared/number"
	"github.com/krosai/telephony/shared/validate/carrier"
	"github.com/krosai/telephony/shared/validate/carrier/carriertest"
)

// TestNotDialed checks that the dial checks again what was allowed when the call was accepted. A
// call that may no longer be placed ends without an INVITE.
func TestNotDialed(t *testing.T) {
	t.Parallel()
	policy := func(change func(*account.Policy)) func(bench) error {
		return func(b bench) error {
			p := account.DefaultPolicy()
			change(&p)
			return b.db.PutPolicy(b.Context(), "ada", p)
		}
	}
	leadsTo := func(addresses ...string) func(bench) error {
		return func(b bench) error {
			b.task.Carriers = &carrier.Checker{Resolver: carriertest.Zone{"sbc.acme.net": addresses}}
			return nil
		}
	}
	for name, tt := range map[string]struct {
		change func(bench) error
		status call.Status
		cause  call.Cause
	}{
		"calls are switched off": {func(b bench) error { return b.db.SetSwitch(b.Context(), false, "", "root") }, call.Canceled, call.CallsDisabled},
		"the user's calls are switched off": {policy(func(p *account.Policy) { p.CallsEnabled = false }),
			call.Canceled, call.CallsDisabled},
		"another agent is allowed": {policy(func(p *account.Policy) { p.AllowedAgents = []string{"another"} }), call.Canceled, call.NotAllowed},
		"the number has another trunk": {func(b bench) error {
			n, err := b.db.LeaseNumber(b.Context(), "ada", number.ID("+2348012345678"), "me", time.Minute)
			n.Trunk = &number.Trunk{Address: "sbc.acme.net", OutboundID: "ST_2"}
			return errors.Join(err, b.db.SaveConfiguration(b.Context(), n, "me"))
		}, call.Canceled, call.NotAllowed},
		"the carrier's name leads into a network": {leadsTo("10.0.0.1"), call.Failed, call.TrunkUnreachable},
		"one of its addresses is this machine's":  {leadsTo("54.172.60.0", "127.0.0.1"), call.Failed, call.TrunkUnreachable},
		"the carrier's name is gone":              {leadsTo(), call.Failed, call.TrunkUnreachable},
		"the deployment allows other carriers now": {func(b bench) error {
			b.task.Carriers = &carrier.Checker{Resolver: carriertest.Zone{}, Config: carrier.Config{Suffixes: []string{"pstn.twilio.com"}}}
			return nil
		}, call.Failed, call.TrunkUnreachable},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := &phone{joins: never, rings: never, answers: never}
				b := newBench(t, p, 30, func(c *call.Call) { c.AgentName = "ours" })
				b.must(tt.change(b))
				b.dial("ended")
				c, err := b.db.Call(t.Context(), id)
				b.must(err)
				if c.Status != tt.status || c.Cause != tt.cause || len(p.dials) != 0 || len(p.deletes) != 1 || !c.DialedAt.IsZero() {
					t.Errorf("%s %s, %d dials, %d rooms taken down", c.Status, c.Cause, len(p.dials), len(p.deletes))
				}
				if d := cmp.Diff([]call.Event{{At: c.EndedAt, Name: "ended", Detail: string(tt.cause)}}, c.Timeline); d != "" {
					t.Error(d)
				}
				b.dial("ended") // the call stays ended
				if len(p.dials) != 0 {
					t.Error("dialed after its end")
				}
			})
		})
	}
}

// TestDialedBefore checks that a refusal does not end a call that another invocation
// has dialed already.
func TestDialedBefore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &phone{joins: never, rings: never, answers: never}
		b := newBench(t, p, 30)
		_, _, err := b.db.ClaimDial(t.Context(), id, "another", time.Now())
		b.must(err)
		b.must(b.db.SetSwitch(t.Context(), false, "", "root"))
		b.dial("unclear")
		if c, err := b.db.Call(t.Context(), id); err != nil || c.Status != call.Dialing || len(p.deletes) != 0 {
			t.Errorf("%s, %d rooms taken down, %v", c.Status, len(p.deletes), err)
		}
	})
}

// TestWaitIsRecorded checks that a dial records how long it waited for its place, unless the wait
// was short or is not known.
func TestWaitIsRecorded(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		waited time.Duration
		known  bool
		full   bool // no more calls are accepted
	}{
		"not at all":      {0, true, false},
		"less than 5 s":   {4900 * time.Millisecond, true, false},
		"not known":       {time.Hour, false, false},
		"a minute":        {time.Minute, true, true},
		"more than that":  {2 * time.Minute, true, true},
		"some, not a lot": {59 * time.Second, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, &phone{joins: time.Second, rings: 2 * time.Second, answers: 3 * time.Second}, 30)
				var in dialcall.Input
				if in.CallID = id; tt.known {
					in.Since = time.Now().Add(-tt.waited)
				}
				out, err := b.task.Run(t.Context(), in)
				if err != nil || out.Outcome != "answered" {
					t.Fatal(out, err)
				}
				_, may, err := b.db.CallPermit(t.Context(), "bob", "")
				b.must(err)
				if full := fault.Is(may.Room(2), fault.Upstream); full != tt.full {
					t.Errorf("full: %t, want %t", full, tt.full)
				}
			})
		})
	}
}

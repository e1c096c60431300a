package store_test

import (
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/krosai/telephony/shared/call"
)

func inboundCall() call.Call {
	c := newCall("1")
	c.Direction, c.DialedAt, c.RoomName, c.Country = call.Inbound, c.CreatedAt, "h7yq2m0c-demo-_+14155550100_x", ""
	c.SystemPrompt, c.Metadata, c.Voice = "", nil, nil // only a call that is asked for has them
	return c
}

// However often and however many at once tell of a call that came in, there is
// one record and it is counted once.
func TestCreateInboundOnce(t *testing.T) {
	t.Parallel()
	db, ctx := open(t), t.Context()
	var race sync.WaitGroup
	for range 20 {
		race.Go(func() {
			c, err := db.CreateInbound(ctx, inboundCall())
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
	c, err := db.CreateInbound(ctx, inboundCall())
	if err != nil || c.Status != call.Ringing {
		t.Errorf("again: %s, %v; the record must stand", c.Status, err)
	}
	db.LoseReplies(1)
	other := inboundCall()
	other.ID = "call_2"
	if c, err := db.CreateInbound(ctx, other); err != nil || c.Status != call.Initiated {
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

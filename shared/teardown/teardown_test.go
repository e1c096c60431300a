package teardown_test

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/krosai/telephony/shared/call"
	"github.com/krosai/telephony/shared/obs"
	"github.com/krosai/telephony/shared/store/storetest"
)

// TestAnEndCountsOnce: an end is counted once, although the first answer is lost and others want to
// end the call too.
func TestAnEndCountsOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { // a retry waits a while
		db := storetest.Open(t, nil)
		c := call.Call{ID: "call_1", UserID: "user", Direction: call.Outbound, Remote: "+14155550100", Own: "+2348012345678",
			Country: "US", RingingTimeout: 30, MaxDuration: 60, Status: call.Initiated, CreatedAt: noon}
		place(t, db, c)
		var metrics bytes.Buffer
		ctx := obs.WithOutput(t.Context(), &metrics)
		a := (&history{T: t, db: db, random: rand.New(rand.NewPCG(1, 1))}).actor()
		unknown := func(call.Call) call.End { return call.End{Status: call.Failed, Cause: call.Unknown, At: a.now} }
		db.LoseReplies(1)
		for range 3 {
			a.now = a.now.Add(time.Second)
			if _, err := a.End(ctx, c, unknown); err != nil {
				t.Fatal(err)
			}
		}
		if got := metrics.String(); strings.Count(got, `"CallsEnded":1`) != 1 || !strings.Contains(got, `"Status":"failed"`) || strings.Count(got, `"OutcomesUnknown":1`) != 1 {
			t.Errorf("one call ended as nobody knows, and the metrics are\n%s", got)
		}
	})
}

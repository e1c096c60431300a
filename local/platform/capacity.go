package platform

import (
	"cmp"
	"context"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/call"
	"github.com/krosai/telephony/shared/store"
)

// callsPerCore is how many calls a core carries with their audio, their SIP and the
// agent's work: on two cores 120 did well and 150 did not.
const callsPerCore = 60

// A core starts startsPerCore calls within startTime: each takes a room, and two
// connections to it. Of 100 calls that two cores were given at once LiveKit answered 8
// too late.
const (
	startsPerCore = 20
	startTime     = 4 * time.Second
)

// The collector keeps the platform within platformMemory and callMemory for each call, in bytes.
// A call was measured at 8.2 MB.
const (
	platformMemory = 512 << 20
	callMemory     = 16 << 20
)

// TuneMemory has the process collect its garbage a fourth as often as Go does by itself, as
// template.yaml has the functions do, up to a limit from which it collects more often. GOGC
// and GOMEMLIMIT in the environment are left as they are.
func TuneMemory(c Config) {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(400)
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(platformMemory + callMemory*int64(mostCalls(c)))
	}
}

// mostCalls is how many calls at a time this machine carries.
func mostCalls(c Config) int { return cmp.Or(c.MaxCalls, callsPerCore*runtime.GOMAXPROCS(0)) }

// admission accepts calls while this machine can carry them, and tells the others that
// it cannot. On AWS the places to dial are what runs out (MaxDialsAtOnce); here it is
// the processor.
type admission struct {
	*store.DB
	most, starts int
	now          func() time.Time

	mu      sync.Mutex
	known   int         // calls that had not ended when they were last counted
	since   int         // calls accepted since
	pending int         // calls that are being accepted
	counted time.Time   // the last count
	started []time.Time // when the last calls were accepted, at most starts
}

const (
	countEvery = 100 * time.Millisecond // how often the calls are counted at most, while there is no place
	countTime  = 5 * time.Second        // how long counting them may take
)

// CreateCall is that of the database if there is a place, and fault.Upstream
// AT_CAPACITY if there is none. A request that was accepted before has its answer.
func (a *admission) CreateCall(ctx context.Context, c call.Call, may store.Permit, once store.Once) (made call.Call, replayed bool, hour account.Limit, err error) {
	wait, err := a.take()
	if err != nil {
		return c, false, may.Hour(), err
	}
	if wait > 0 {
		if once.Key != "" {
			if made, found, err := a.DB.Replay(ctx, once); err != nil || found {
				return made, found, may.Hour(), err
			}
		}
		return c, false, may.Hour(), store.AtCapacity(wait)
	}
	made, replayed, hour, err = a.DB.CreateCall(ctx, c, may, once)
	a.settle(err == nil && !replayed)
	return made, replayed, hour, err
}

// take takes a place, or says when to try again. While there is none the calls are counted
// again.
func (a *admission) take() (wait time.Duration, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.started = slices.DeleteFunc(a.started, func(at time.Time) bool { return a.now().Sub(at) >= startTime })
	if a.full() && a.now().Sub(a.counted) >= countEvery {
		// The platform counts, with rights that createcall does not have. A call that is
		// being accepted may be counted twice for a moment, and is never missed.
		ctx, cancel := context.WithTimeout(context.Background(), countTime)
		defer cancel()
		ids, err := a.DB.ActiveCalls(ctx, a.now().Add(time.Minute))
		if err != nil {
			return 0, err
		}
		a.known, a.since, a.counted = len(ids), 0, a.now()
	}
	switch {
	case a.full():
		return 5 * time.Second, nil
	case len(a.started)+a.pending >= a.starts:
		return time.Second, nil
	}
	a.pending++
	return 0, nil
}

func (a *admission) full() bool { return a.known+a.since+a.pending >= a.most }

// settle gives back the place of a call that did not come to be.
func (a *admission) settle(accepted bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.pending--; accepted {
		a.since++
		a.started = append(a.started, a.now())
	}
}

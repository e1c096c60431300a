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

	"github.com/krosai/telephony/functions/preparecall"
	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/call"
	"github.com/krosai/telephony/shared/livekit"
	"github.com/krosai/telephony/shared/store"
)

// callsPerCore is the number of calls that one core can carry, with their audio, their SIP and the
// agent's work. In a test on two cores, 120 calls ran well and 150 did not.
const callsPerCore = 60

// A core can start startsPerCore calls within startTime, because each call needs a room and two
// connections to it. When two cores got 100 calls at once, LiveKit answered 8 of them too late.
const (
	startsPerCore = 20
	startTime     = 4 * time.Second
)

// The garbage collector keeps the platform within platformMemory plus callMemory per call, in
// bytes. A call was measured at 8.2 MB.
const (
	platformMemory = 512 << 20
	callMemory     = 16 << 20
)

// TuneMemory makes the process collect its garbage a fourth as often as Go does by default, as
// template.yaml does for the functions. Near a memory limit it collects more often. If the
// environment sets GOGC or GOMEMLIMIT, that value is kept.
func TuneMemory(c Config) {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(400)
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(platformMemory + callMemory*int64(mostCalls(c)))
	}
}

// mostCalls is the number of concurrent calls that this machine can carry.
func mostCalls(c Config) int { return cmp.Or(c.MaxCalls, callsPerCore*runtime.GOMAXPROCS(0)) }

// admission accepts calls while this machine can carry them, and refuses the others as over
// capacity. On AWS the limit is the number of phones that ring at the same time (MaxDialsAtOnce).
// Here it is the processor.
type admission struct {
	*store.DB
	most, starts int
	now          func() time.Time

	mu      sync.Mutex
	known   int         // calls not ended at the last count
	since   int         // calls accepted since the last count
	pending int         // calls being accepted
	counted time.Time   // time of the last count
	started []time.Time // times at which the last calls were accepted, at most starts entries
}

const (
	countEvery = 100 * time.Millisecond // shortest interval between two counts while at capacity
	countTime  = 5 * time.Second        // timeout of a count
)

// CreateCall creates the call in the database if this machine has capacity. Otherwise it returns
// fault.Upstream AT_CAPACITY. A request accepted earlier gets its earlier answer.
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
	a.finish(err == nil && !replayed)
	return made, replayed, hour, err
}

// take reserves a place, or returns how long to wait before the next attempt. At capacity it counts
// the calls again.
func (a *admission) take() (wait time.Duration, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.started = slices.DeleteFunc(a.started, func(at time.Time) bool { return a.now().Sub(at) >= startTime })
	if a.full() && a.now().Sub(a.counted) >= countEvery {
		// The platform itself counts, with rights that createcall does not have. A call that is
		// being accepted may be counted twice for a moment, but is never missed.
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

// finish ends a reservation. An accepted call keeps its place. Otherwise the place is free again.
func (a *admission) finish(accepted bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.pending--; accepted {
		a.since++
		a.started = append(a.started, a.now())
	}
}

// roomsPerCore is how many rooms LiveKit makes at a time for each core. With 50 at once on two
// cores it answers some requests only after their timeout.
const roomsPerCore = 2

// rooms makes no more rooms at a time than places has room for. The others wait.
type rooms struct {
	preparecall.Rooms
	places chan struct{}
}

// CreateRoom waits for a place and makes the room.
func (r rooms) CreateRoom(ctx context.Context, room livekit.Room) error {
	select {
	case r.places <- struct{}{}:
		defer func() { <-r.places }()
		return r.Rooms.CreateRoom(ctx, room)
	case <-ctx.Done():
		return ctx.Err()
	}
}

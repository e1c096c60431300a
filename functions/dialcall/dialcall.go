// Package dialcall is the task of a call's workflow that dials the phone. It dials at most once in
// the life of a call.
package dialcall

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/krosai/telephony/shared/call"
	"github.com/krosai/telephony/shared/livekit"
	"github.com/krosai/telephony/shared/number"
	"github.com/krosai/telephony/shared/obs"
	"github.com/krosai/telephony/shared/teardown"
)

// Calls is the record of calls. DialPermit reads the number to call from. It fails with
// fault.Forbidden or fault.Conflict when the call may no longer be placed. RecordWait records how
// long a dial waited for its place, for the functions that accept calls.
type Calls interface {
	teardown.Calls
	DialPermit(ctx context.Context, c call.Call) (number.Number, error)
	ClaimDial(ctx context.Context, id, owner string, at time.Time) (c call.Call, mine bool, err error)
	RecordWait(ctx context.Context, wait time.Duration, at time.Time) error
}

// Carriers checks the IP addresses that a trunk's address resolves to. It refuses
// with fault.Invalid.
type Carriers interface {
	Check(ctx context.Context, field, address string) error
}

// Phone dials through LiveKit and returns when the callee has answered.
type Phone interface {
	teardown.Rooms
	Dial(ctx context.Context, d livekit.Dial) (participantID string, err error)
}

// Task dials calls.
type Task struct {
	Calls    Calls
	Phone    Phone
	Carriers Carriers
	Teardown *teardown.Ender
	Now      func() time.Time
	Log      *slog.Logger

	recorded atomic.Int64 // when this instance last recorded a wait, Unix seconds
}

// Input names the call. Since is when the workflow reached this task, from when the call has waited
// to be dialed. The zero time means that this is not known.
type Input struct {
	CallID string    `json:"call_id"`
	Since  time.Time `json:"waiting_since"`
}

// Output is "answered", "ended", or "unclear" when only the room shows the outcome.
type Output struct {
	Outcome string `json:"outcome"`
}

// looks are the moments after the dial at which the room is read, to record that the phone rings
// and to delete the room if a hangup came in between.
var looks = []time.Duration{300 * time.Millisecond, 700 * time.Millisecond, 1500 * time.Millisecond,
	3 * time.Second, 7 * time.Second, 15 * time.Second}

// Run claims the dial and dials. Without the claim it never dials: either the call is over, or
// another invocation has dialed and the room must be read.
func (t *Task) Run(ctx context.Context, in Input) (Output, error) {
	if refused, err := t.refused(ctx, in.CallID); refused || err != nil {
		return Output{"ended"}, err
	}
	c, mine, err := t.Calls.ClaimDial(ctx, in.CallID, rand.Text(), t.Now())
	t.recordWait(ctx, in)
	switch {
	case err != nil:
		return Output{}, err
	case !mine && (c.Status.Ended() || !c.HangupRequested.IsZero()):
		_, err := t.Teardown.TakeDown(ctx, c, t.Teardown.HungUp)
		return Output{"ended"}, err
	case !mine:
		return Output{"unclear"}, nil
	}
	ringing := time.Duration(c.RingingTimeout) * time.Second
	dialing, stop := context.WithTimeout(ctx, ringing+call.KeyingTime(c.DTMF)+10*time.Second)
	var rang atomic.Bool
	var watching sync.WaitGroup
	watching.Go(func() { t.watch(dialing, c, &rang) })
	obs.Count(ctx, "Dials", 1)
	_, err = t.Phone.Dial(dialing, livekit.Dial{Room: c.RoomName, TrunkID: c.TrunkID, To: c.Remote, From: c.Own,
		RingingTimeout: ringing, MaxDuration: ringing + time.Duration(c.MaxDuration)*time.Second, DTMF: c.DTMF}) // LiveKit counts the ringing as part of the duration
	stop()
	watching.Wait()
	return t.outcome(ctx, c, err, rang.Load())
}

func (t *Task) outcome(ctx context.Context, c call.Call, dialed error, rang bool) (Output, error) {
	failure, refused := errors.AsType[*livekit.DialError](dialed)
	switch {
	case dialed == nil:
		c, err := t.Calls.Advance(ctx, c.ID, call.InProgress, t.answeredAt(ctx, c))
		if err == nil && (c.Status.Ended() || !c.HangupRequested.IsZero()) {
			_, err = t.Teardown.TakeDown(ctx, c, t.Teardown.HungUp)
			return Output{"ended"}, err
		}
		return Output{"answered"}, err
	case !refused || !failure.Certain:
		t.Log.WarnContext(ctx, "dial outcome unclear", "call_id", c.ID, "error", dialed)
		return Output{"unclear"}, nil
	}
	c, err := t.Teardown.End(ctx, c, func(c call.Call) call.End { return t.endOf(c, failure, rang) })
	if err != nil {
		return Output{}, err
	}
	if err := t.Phone.DeleteRoom(ctx, c.RoomName); err != nil { // without this the agent leaves by itself, only later
		t.Log.WarnContext(ctx, "room left to its time-out", "call_id", c.ID, "error", err)
	}
	return Output{"ended"}, nil
}

// answerLook is the timeout of the read that asks LiveKit when the phone was picked up.
const answerLook = time.Second

// answeredAt returns when the phone was picked up, after the dial has returned. It is the time that
// LiveKit reports, if that is plausible. Otherwise it is the task's own time less the time for the
// digits, because LiveKit sends the digits before the dial returns.
func (t *Task) answeredAt(ctx context.Context, c call.Call) time.Time {
	now := t.Now()
	looking, cancel := context.WithTimeout(ctx, answerLook)
	defer cancel()
	if room, err := t.Phone.ReadRoom(looking, c.RoomName); err == nil {
		if at := c.Answered(room.Callee, now); at.Before(now) {
			return at
		}
	}
	at := now.Add(-call.KeyingTime(c.DTMF))
	if at.Before(c.DialedAt) {
		return c.DialedAt
	}
	return at
}

// endOf is the end of a call whose dial is certain to have failed.
func (t *Task) endOf(c call.Call, failure *livekit.DialError, rang bool) call.End {
	return c.DialRefused(call.Attempt{
		SIPStatus: failure.SIPStatus,
		Rang:      rang || c.Status == call.Ringing,
		Certain:   true,
		NotAsked:  failure.Code == livekit.DialNotSent || failure.Code == livekit.DialRefused,
	}, t.Now())
}

// watch records the ringing. It also handles the race with a hangup that deleted the room before
// the phone joined it. It is done once the phone rings.
func (t *Task) watch(ctx context.Context, c call.Call, rang *atomic.Bool) {
	start := time.Now()
	last := time.Duration(c.RingingTimeout)*time.Second - 500*time.Millisecond
	for _, at := range append(slices.Clone(looks), last) {
		if at > last || rang.Load() {
			continue
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(at - time.Since(start)):
		}
		if err := t.look(ctx, c, rang); err != nil && ctx.Err() == nil {
			t.Log.WarnContext(ctx, "look at a ringing call", "call_id", c.ID, "error", err)
		}
	}
}

// look reads the room before the record. A hangup is recorded before it deletes the room. A hangup
// that is not in the record yet therefore finds the phone that was seen in the room.
func (t *Task) look(ctx context.Context, c call.Call, rang *atomic.Bool) error {
	room, err := t.Phone.ReadRoom(ctx, c.RoomName)
	if err != nil {
		return err
	}
	now, err := t.Calls.Call(ctx, c.ID)
	if err != nil {
		return err
	}
	if now.Status.Ended() || !now.HangupRequested.IsZero() {
		return t.takeDown(ctx, c.RoomName, room)
	}
	if !room.Ringing() {
		return nil
	}
	rang.Store(true)
	_, err = t.Calls.Advance(ctx, c.ID, call.Ringing, t.Now())
	return err
}

// joinPause is the pause between two checks whether the phone has joined the room of a
// call that was hung up.
const joinPause = 100 * time.Millisecond

// takeDown deletes the room once the phone is in it (see teardown.DeleteRoom). It gives up when the
// dial is over, and Run then handles the outcome of the dial.
func (t *Task) takeDown(ctx context.Context, name string, room call.Room) error {
	for room.Callee == nil {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(joinPause):
		}
		var err error
		if room, err = t.Phone.ReadRoom(ctx, name); err != nil {
			return err
		}
	}
	return t.Phone.DeleteRoom(ctx, name)
}

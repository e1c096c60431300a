package sweepcalls

import (
	"context"
	"time"

	"github.com/krosai/telephony/shared/call"
)

// A room that LiveKit does not know proves little: LiveKit may have answered before it had read its
// own records. So a room must be missing in two runs. If more than fewMissing rooms are missing at
// once, and these are most of the rooms that were looked for, the run ends none of their calls.
// Such calls end at the latest when they are overdue.
const (
	fewMissing  = 5
	secondSight = 30 * time.Second // runs are further apart than this, unless they overlap
	staleDoubt  = 5 * time.Minute  // runs have been skipped: the doubt starts anew
)

// resolve reads the rooms of doubtful calls, and ends the calls whose phone has left or is alone.
func (r *run) resolve(ctx context.Context) {
	if len(r.doubtful) > 0 {
		select {
		case <-time.After(doubtGrace):
		case <-ctx.Done():
		}
		each(ctx, r, r.read(ctx, r.doubtful), callID, r.look)
	}
	if n := len(r.missing); n > fewMissing && 2*n > r.seen {
		r.report.Withheld = n
		r.Log.ErrorContext(ctx, "too many rooms are missing to believe it", "missing", n, "looked_for", r.seen)
		return
	}
	each(ctx, r, r.missing, callID, r.miss)
}

// look reads the room of one doubtful call. If the room was listed without its phone, the phone
// hung up, because nobody has deleted the room.
func (r *run) look(ctx context.Context, c call.Call) error {
	if c.Status.Ended() {
		return nil
	}
	r.add(&r.report.Doubtful, 1)
	if c.Transferring(r.Now()) {
		return nil
	}
	is, err := r.livekit.ReadRoom(ctx, c.RoomName)
	if err != nil {
		return err
	}
	left, at := call.Leave{}, r.Now()
	room, there := r.rooms[c.RoomName]
	if there && room.Participants == 0 {
		left.Status, at = call.PhoneHungUp, r.listed
	}
	switch {
	case is == (call.Room{}) && left == (call.Leave{}):
		r.lost(c)
		return nil
	case is.Up() && !is.Alone():
		return r.trust(ctx, c)
	}
	r.add(&r.seen, 1)
	return r.ended(r.ender.CheckRoom(ctx, c, is, left, at))
}

// lost records a call whose room is missing.
func (r *run) lost(c call.Call) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.missing, r.seen = append(r.missing, c), r.seen+1
}

// miss ends a call whose room is missing for the second time. The call ended when the first run
// missed its room.
func (r *run) miss(ctx context.Context, c call.Call) error {
	if since := r.listed.Sub(c.MissedAt); since < 0 || since > staleDoubt {
		return r.Calls.MissCall(ctx, c.ID, r.listed)
	} else if since < secondSight {
		return nil
	}
	return r.ended(r.ender.PhoneGone(ctx, c, call.Leave{}, c.MissedAt))
}

// ended counts the call if it has ended.
func (r *run) ended(c call.Call, err error) error {
	if err == nil && c.Status.Ended() {
		r.add(&r.report.Ended, 1)
	}
	return err
}

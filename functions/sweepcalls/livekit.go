package sweepcalls

import (
	"context"
	"errors"
	"sync/atomic"

	"github.com/krosai/telephony/shared/call"
	"github.com/krosai/telephony/shared/livekit"
)

// maxTimeouts is how many requests of a run may time out before the run leaves LiveKit alone. Each
// of them holds a worker for as long as a request may take.
const maxTimeouts = 3

// errLeftAlone is the error of requests that the run no longer sends to LiveKit.
var errLeftAlone = errors.New("LiveKit is left alone for the rest of this run")

// guarded is LiveKit for one run. After maxTimeouts timeouts, ReadRoom and DeleteRoom fail
// with errLeftAlone.
type guarded struct {
	rooms    Rooms
	timeouts atomic.Int32
}

func (g *guarded) alone() bool { return g.timeouts.Load() >= maxTimeouts }

// note counts an error that is a timeout of the request, not of the run.
func (g *guarded) note(ctx context.Context, err error) error {
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		g.timeouts.Add(1)
	}
	return err
}

// ReadRoom reads who is in a room.
func (g *guarded) ReadRoom(ctx context.Context, room string) (call.Room, error) {
	if g.alone() {
		return call.Room{}, errLeftAlone
	}
	is, err := g.rooms.ReadRoom(ctx, room)
	return is, g.note(ctx, err)
}

// DeleteRoom deletes a room.
func (g *guarded) DeleteRoom(ctx context.Context, room string) error {
	if g.alone() {
		return errLeftAlone
	}
	return g.note(ctx, g.rooms.DeleteRoom(ctx, room))
}

// List lists the rooms of the project.
func (g *guarded) List(ctx context.Context) ([]livekit.RoomInfo, error) {
	rooms, err := g.rooms.Rooms(ctx)
	return rooms, g.note(ctx, err)
}

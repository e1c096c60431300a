package sweepcalls

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/krosai/telephony/shared/call"
	"github.com/krosai/telephony/shared/id"
	"github.com/krosai/telephony/shared/livekit"
	"github.com/krosai/telephony/shared/number"
)

// maxOrphans is how many rooms one run deletes. More orphans are a sign that something is wrong,
// and the limit leaves time to react to the alarm.
const maxOrphans = 20

// callIn returns the id of the call to which a room belongs by its name. The room of an outbound
// call has the call's id as its name. The id of an inbound call follows from its room.
func callIn(room livekit.RoomInfo) (callID string, ok bool) {
	if number.InboundRoom(room.Name) {
		return inboundID(room), true
	}
	return room.Name, id.Call.Valid(room.Name)
}

// orphans deletes the rooms of calls that had ended when the rooms were listed, the oldest first.
// It leaves the rooms that a phone may still join. The room of a call that is not in the table
// belongs to another deployment in the same LiveKit project.
func (r *run) orphans(ctx context.Context, rooms []livekit.RoomInfo, active []string) error {
	going := setOf(active)
	made, ids := map[string]time.Time{}, []string(nil)
	for _, room := range rooms {
		if callID, named := callIn(room); named && !going[callID] {
			made[callID], ids = room.CreatedAt, append(ids, callID)
		}
	}
	var orphans []call.Call
	for _, c := range r.read(ctx, ids) {
		if c.Status.Ended() && !c.EndedAt.After(r.listed) && !c.Joining(r.Now()) {
			orphans = append(orphans, c)
		}
	}
	slices.SortFunc(orphans, func(a, b call.Call) int { return made[a.ID].Compare(made[b.ID]) })
	if n := len(orphans); n > maxOrphans {
		r.report.OrphansLeft, orphans = n-maxOrphans, orphans[:maxOrphans]
	}
	failures := r.report.Failures
	each(ctx, r, orphans, callID, r.takeDown)
	if n := r.report.Failures - failures; n > 0 {
		return fmt.Errorf("%d rooms of calls that have ended are still there", n)
	}
	return nil
}

func (r *run) takeDown(ctx context.Context, c call.Call) error {
	err := r.livekit.DeleteRoom(ctx, c.RoomName)
	if err == nil {
		r.add(&r.report.Orphans, 1)
	}
	return err
}

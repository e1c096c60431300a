package sweepcalls

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/oklog/ulid/v2"

	"github.com/krosai/telephony/shared/livekit"
	"github.com/krosai/telephony/shared/number"
)

// maxOrphans is how many rooms one run takes down: more are a sign that
// something is wrong, and the alarm gets time to be heard.
const maxOrphans = 20

// callIn is the id of the call that a room is named as the room of: an outbound
// call's room is named after it, an inbound call's id follows from its room.
func callIn(room livekit.RoomInfo) (id string, ok bool) {
	if number.InboundRoom(room.Name) {
		return inboundID(room), true
	}
	text, ok := strings.CutPrefix(room.Name, "call_")
	parsed, err := ulid.ParseStrict(text)
	return room.Name, ok && err == nil && parsed.String() == text // ParseStrict takes small letters too
}

// orphans deletes rooms of calls that had ended when the rooms were listed, the
// oldest first. A room of a call that is not in the table belongs to another
// deployment in the same LiveKit project.
func (r *run) orphans(ctx context.Context, rooms []livekit.RoomInfo, active []string) error {
	going := setOf(active)
	of, ids := map[string]livekit.RoomInfo{}, []string(nil)
	for _, room := range rooms {
		if id, named := callIn(room); named && !going[id] {
			of[id], ids = room, append(ids, id)
		}
	}
	var orphans []livekit.RoomInfo
	for _, c := range r.read(ctx, ids) {
		if c.Status.Ended() && !c.EndedAt.After(r.listed) {
			orphans = append(orphans, of[c.ID])
		}
	}
	slices.SortFunc(orphans, func(a, b livekit.RoomInfo) int { return a.CreatedAt.Compare(b.CreatedAt) })
	if n := len(orphans); n > maxOrphans {
		r.report.OrphansLeft, orphans = n-maxOrphans, orphans[:maxOrphans]
	}
	failures := r.report.Failures
	each(ctx, r, orphans, orphanID, r.takeDown)
	if n := r.report.Failures - failures; n > 0 {
		return fmt.Errorf("%d rooms of calls that have ended are still there", n)
	}
	return nil
}

func orphanID(room livekit.RoomInfo) string {
	id, _ := callIn(room)
	return id
}

func (r *run) takeDown(ctx context.Context, room livekit.RoomInfo) error {
	err := r.livekit.DeleteRoom(ctx, room.Name)
	if err == nil {
		r.add(&r.report.Orphans, 1)
	}
	return err
}

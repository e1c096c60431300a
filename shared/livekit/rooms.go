package livekit

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/livekit/protocol/livekit"

	"github.com/krosai/telephony/shared/call"
	"github.com/krosai/telephony/shared/fault"
)

// Room is a room to create. LiveKit counts its timeouts in whole seconds.
type Room struct {
	Name             string
	AgentName        string        // dispatched with the room; empty for no agent
	Metadata         string        // passed to the agent with its job, JSON
	EmptyTimeout     time.Duration // until LiveKit closes an unused room
	DepartureTimeout time.Duration // the same after the last person left; agents do not count
}

// DepartureTimeout is how long the room of a call outlives its phone unless it is deleted, as it is
// when the call ends normally. It is longer than the period of the sweep plus its tolerance. So if
// no webhook came, the sweep still finds a room without its phone, which shows that the phone hung
// up and that the room was not deleted.
const DepartureTimeout = 90 * time.Second

// CreateRoom creates the room and dispatches the agent in one request. Repeating it is harmless: an
// existing room stays, and its agent is not dispatched twice. Success does not mean that an agent
// joins. ReadRoom shows whether one did.
func (c *Client) CreateRoom(ctx context.Context, r Room) error {
	request := &livekit.CreateRoomRequest{Name: r.Name,
		EmptyTimeout:     uint32(r.EmptyTimeout / time.Second),
		DepartureTimeout: uint32(r.DepartureTimeout / time.Second),
	}
	if r.AgentName != "" {
		request.Agents = []*livekit.RoomAgentDispatch{{AgentName: r.AgentName, Metadata: r.Metadata}}
	}
	_, err := send(ctx, c.rooms.CreateRoom, request)
	return err
}

// The attributes of a phone: its state, the rule that let it in if it called in, and the time of
// its answer (Unix milliseconds, since LiveKit SIP 1.11).
const (
	callStatus = "sip.callStatus"
	ruleID     = "sip.ruleID"
	answerTime = "lk.sip.answerTime"
)

// ReadRoom reports which participants are in a room. A room that does not exist counts as empty.
func (c *Client) ReadRoom(ctx context.Context, name string) (call.Room, error) {
	answer, err := send(ctx, c.rooms.ListParticipants,
		&livekit.ListParticipantsRequest{Room: name})
	if fault.Is(err, fault.NotFound) {
		return call.Room{}, nil
	}
	if err != nil {
		return call.Room{}, err
	}
	var room call.Room
	for _, p := range answer.GetParticipants() {
		switch {
		case p.State == livekit.ParticipantInfo_DISCONNECTED:
		case p.Kind == livekit.ParticipantInfo_AGENT:
			room.Agent = true
		case p.Identity == call.CalleeIdentity, p.Attributes[ruleID] != "", p.Kind == livekit.ParticipantInfo_SIP && room.Callee == nil:
			room.Others = room.Others || room.Callee != nil
			room.Callee = phoneOf(p)
		case p.Kind != livekit.ParticipantInfo_INGRESS && p.Kind != livekit.ParticipantInfo_EGRESS && !p.GetPermission().GetHidden():
			room.Others = true
		}
	}
	return room, nil
}

// phoneOf reads a SIP participant. If the rule of an inbound call hides the caller, LiveKit leaves
// out both numbers.
func phoneOf(p *livekit.ParticipantInfo) *call.Phone {
	a := p.GetAttributes()
	return &call.Phone{ID: p.GetSid(), Identity: p.GetIdentity(), Status: call.PhoneStatus(a[callStatus]), AnsweredAt: unixMilli(a[answerTime]),
		TrunkID: a["sip.trunkID"], RuleID: a[ruleID], Caller: a["sip.phoneNumber"], Called: a["sip.trunkPhoneNumber"]}
}

// unixMilli reads a time in Unix milliseconds. Any other text gives the zero time.
func unixMilli(text string) time.Time {
	ms, err := strconv.ParseInt(text, 10, 64)
	if err != nil || ms <= 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

// UpdateRoomMetadata replaces the metadata that every participant of a room can read. A room that
// does not exist is fault.NotFound.
func (c *Client) UpdateRoomMetadata(ctx context.Context, room, metadata string) error {
	_, err := send(ctx, c.rooms.UpdateRoomMetadata, &livekit.UpdateRoomMetadataRequest{Room: room, Metadata: metadata})
	return err
}

// DeleteRoom ends the room and every leg in it: a ringing phone is canceled, an answered phone
// gets a BYE. A missing room is success. A phone that enters the room at the same moment may stay:
// see teardown.Ender.DeleteRoom.
//
// If another participant enters at that moment, as the agent may, LiveKit (1.13) loses its own
// request or the room. DeleteRoom sends a lost request again. It creates a lost room again before
// it deletes it.
func (c *Client) DeleteRoom(ctx context.Context, name string) error {
	request := &livekit.DeleteRoomRequest{Room: name}
	soon, cancel := context.WithTimeout(ctx, deleteAgain)
	defer cancel()
	_, err := send(soon, c.rooms.DeleteRoom, request)
	switch {
	case err != nil && strings.Contains(err.Error(), roomLost):
		if _, err = send(ctx, c.rooms.CreateRoom, &livekit.CreateRoomRequest{Name: name}); err != nil {
			return err
		}
		_, err = send(ctx, c.rooms.DeleteRoom, request)
	case soon.Err() != nil && ctx.Err() == nil:
		_, err = send(ctx, c.rooms.DeleteRoom, request)
	}
	if fault.Is(err, fault.NotFound) {
		return nil
	}
	return err
}

// deleteAgain is how long DeleteRoom waits for an answer before it sends the request again. LiveKit
// gives up its own request after 3 s and then waits 2 s more.
const deleteAgain = 2 * time.Second

// roomLost is LiveKit's error (routing.ErrNotFound) for a room that it lists but whose node it has
// forgotten. Until the room is created again, every request to delete it fails.
const roomLost = "could not find object"

// RoomInfo is a room of the project.
type RoomInfo struct {
	Name         string
	ID           string // RM_…, never used twice
	CreatedAt    time.Time
	Participants int // phones and people; LiveKit does not count agents here
	Publishers   int // participants that have published a track, agents included
}

// Settled reports whether the room's counts are those of a call in progress: a phone and a
// participant that talks with it. The counts lag behind the room by up to five seconds. They are
// misleading if an agent only listens, or if a person stays after the phone has gone. ReadRoom
// decides such cases.
//
// (LiveKit 1.13 keeps the counts with the room's record, which it writes at most every five
// seconds. The local platform's tests count phones and agents.)
func (r RoomInfo) Settled() bool { return r.Participants > 0 && r.Publishers > 1 }

// Rooms lists all rooms of the project, including those of other applications.
func (c *Client) Rooms(ctx context.Context) ([]RoomInfo, error) {
	answer, err := send(ctx, c.rooms.ListRooms, &livekit.ListRoomsRequest{})
	if err != nil {
		return nil, err
	}
	rooms := make([]RoomInfo, 0, len(answer.GetRooms()))
	for _, r := range answer.GetRooms() {
		rooms = append(rooms, RoomInfo{Name: r.Name, ID: r.Sid, CreatedAt: createdAt(r), Participants: int(r.NumParticipants), Publishers: int(r.NumPublishers)})
	}
	return rooms, nil
}

// createdAt is the creation time of a room, or the zero time if LiveKit does not report it.
func createdAt(r *livekit.Room) time.Time {
	switch {
	case r.GetCreationTimeMs() != 0:
		return time.UnixMilli(r.GetCreationTimeMs()).UTC()
	case r.GetCreationTime() != 0:
		return time.Unix(r.GetCreationTime(), 0).UTC() // servers before 1.9
	}
	return time.Time{}
}

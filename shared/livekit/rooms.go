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

// Room is a room to make. LiveKit counts its time-outs in whole seconds.
type Room struct {
	Name             string
	AgentName        string        // dispatched with the room; empty: no agent
	Metadata         string        // handed to the agent with its job, JSON
	EmptyTimeout     time.Duration // until an unused room goes
	DepartureTimeout time.Duration // until the room goes once the last person left; agents do not count
}

// DepartureTimeout is how long the room of a call outlives its phone if nobody
// deletes it, which who ends the call does at once. It is longer than a sweep's
// period with its patience: when no webhook came, a room without its phone is
// still there to tell that the phone hung up and nobody deleted the room.
const DepartureTimeout = 90 * time.Second

// CreateRoom makes the room and calls the agent in, in one request. Repeating
// it is harmless: a room that exists stays, and its agent is not called twice.
// Success does not mean that an agent comes; ReadRoom shows whether one did.
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

// Attributes of a phone: its state, the rule that let it in if it has come in, and when it was
// answered (Unix milliseconds, since LiveKit SIP 1.11).
const (
	callStatus = "sip.callStatus"
	ruleID     = "sip.ruleID"
	answerTime = "lk.sip.answerTime"
)

// ReadRoom says who is in a room. A room that does not exist is an empty one.
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

// phoneOf reads a SIP participant. Where the rule of an inbound call hides the
// caller, LiveKit leaves out both numbers.
func phoneOf(p *livekit.ParticipantInfo) *call.Phone {
	a := p.GetAttributes()
	return &call.Phone{ID: p.GetSid(), Identity: p.GetIdentity(), Status: a[callStatus], AnsweredAt: unixMilli(a[answerTime]),
		TrunkID: a["sip.trunkID"], RuleID: a[ruleID], Caller: a["sip.phoneNumber"], Called: a["sip.trunkPhoneNumber"]}
}

// unixMilli reads a time in Unix milliseconds, as the zero time if it is none.
func unixMilli(text string) time.Time {
	ms, err := strconv.ParseInt(text, 10, 64)
	if err != nil || ms <= 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

// UpdateRoomMetadata replaces what everybody in a room can read about it. A room
// that does not exist is fault.NotFound.
func (c *Client) UpdateRoomMetadata(ctx context.Context, room, metadata string) error {
	_, err := send(ctx, c.rooms.UpdateRoomMetadata, &livekit.UpdateRoomMetadataRequest{Room: room, Metadata: metadata})
	return err
}

// DeleteRoom ends the room and every leg in it: a ringing phone is cancelled, a
// talking one gets a BYE. A room that is gone already is success. A phone that
// enters the room at the same moment may stay: see settle.TakeDown.
//
// Somebody else who enters at that moment, as the agent may, makes LiveKit (1.13)
// lose its own request, which is then sent again, or the room, which is then made
// again first.
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

// deleteAgain is how long the answer to a deletion is waited for before it is asked
// for again. LiveKit gives its own request up after 3 s, and waits 2 s more.
const deleteAgain = 2 * time.Second

// roomLost is what LiveKit says (routing.ErrNotFound) of a room that it lists and of
// which it has forgotten the node. Until the room is made again, every request to
// delete it fails.
const roomLost = "could not find object"

// RoomInfo is a room of the project.
type RoomInfo struct {
	Name         string
	ID           string // RM_…, never used twice
	CreatedAt    time.Time
	Participants int // phones and people: LiveKit does not count agents here
	Publishers   int // who has published a track, agents too
}

// Settled reports whether a room's counts are those of a call that goes on: a
// phone, and somebody who talks with it. The counts trail the room by up to five
// seconds. An agent that listens only, or a person who stays when the phone has
// gone, makes them misleading: where they are in doubt, ReadRoom tells.
//
// (LiveKit 1.13 keeps the counts with the room's record, which it writes at most
// every five seconds; the local platform's tests count phones and agents.)
func (r RoomInfo) Settled() bool { return r.Participants > 0 && r.Publishers > 1 }

// Rooms lists the rooms of the whole project, other people's included.
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

// createdAt is when a room was made, the zero time if that is not said.
func createdAt(r *livekit.Room) time.Time {
	switch {
	case r.GetCreationTimeMs() != 0:
		return time.UnixMilli(r.GetCreationTimeMs()).UTC()
	case r.GetCreationTime() != 0:
		return time.Unix(r.GetCreationTime(), 0).UTC() // servers before 1.9
	}
	return time.Time{}
}

package livekit

import (
	"context"
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

// callStatus is the attribute LiveKit keeps a phone's state in.
const callStatus = "sip.callStatus"

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
		case p.Identity == call.CalleeIdentity, p.Kind == livekit.ParticipantInfo_SIP && room.Callee == nil:
			room.Callee = &call.Phone{ID: p.Sid, Status: p.Attributes[callStatus]}
		}
	}
	return room, nil
}

// DeleteRoom ends the room and every leg in it: a ringing phone is cancelled, a
// talking one gets a BYE. A room that is gone already is success.
func (c *Client) DeleteRoom(ctx context.Context, name string) error {
	_, err := send(ctx, c.rooms.DeleteRoom, &livekit.DeleteRoomRequest{Room: name})
	if fault.Is(err, fault.NotFound) {
		return nil
	}
	return err
}

// RoomInfo is a room of the project.
type RoomInfo struct {
	Name         string
	CreatedAt    time.Time
	Participants int
}

// Rooms lists the rooms of the whole project, other people's included.
func (c *Client) Rooms(ctx context.Context) ([]RoomInfo, error) {
	answer, err := send(ctx, c.rooms.ListRooms, &livekit.ListRoomsRequest{})
	if err != nil {
		return nil, err
	}
	rooms := make([]RoomInfo, 0, len(answer.GetRooms()))
	for _, r := range answer.GetRooms() {
		created := time.UnixMilli(r.CreationTimeMs)
		if r.CreationTimeMs == 0 {
			created = time.Unix(r.CreationTime, 0) // servers before 1.9
		}
		rooms = append(rooms, RoomInfo{Name: r.Name, CreatedAt: created.UTC(), Participants: int(r.NumParticipants)})
	}
	return rooms, nil
}

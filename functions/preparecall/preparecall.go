// Package preparecall is the first task of a call's workflow. It creates the room, dispatches the
// agent and waits until the agent is there, so that no phone rings for a conversation that cannot
// take place. For an inbound call it waits for the answer.
package preparecall

import (
	"context"
	"fmt"
	"time"

	"github.com/krosai/telephony/shared/call"
	"github.com/krosai/telephony/shared/livekit"
	"github.com/krosai/telephony/shared/teardown"
)

// Rooms creates and reads LiveKit rooms, and sets the metadata that their participants see.
type Rooms interface {
	teardown.Rooms
	CreateRoom(ctx context.Context, r livekit.Room) error
	UpdateRoomMetadata(ctx context.Context, room, metadata string) error
}

// Calls reads calls with the details that their agents need.
type Calls interface {
	CallWithDetails(ctx context.Context, id string) (call.Call, error)
}

// Task prepares calls.
type Task struct {
	Calls    Calls
	Rooms    Rooms
	Teardown *teardown.Ender
	Agents   Agents
	Now      func() time.Time
}

// Input is the workflow's input.
type Input struct {
	CallID string `json:"call_id"`
}

// Output says whether the call may be dialed ("ready") or is over ("ended"). For an inbound call it
// says whether the call was answered ("answered", or "unclear" if LiveKit does not say).
// DialSeconds and TalkSeconds are how long, in seconds, the dial may take and the talk may last.
type Output struct {
	Outcome     string `json:"outcome"`
	DialSeconds int    `json:"dial_seconds"`
	TalkSeconds int    `json:"talk_seconds"`
}

// agentTimeout is how long an agent may take to join. firstLook is when the room is first read:
// LiveKit hands a job to a worker in about 0.2 s.
const (
	agentTimeout = 10 * time.Second
	firstLook    = 150 * time.Millisecond
)

// nextLook is the pause before the next read of a room that was created waited ago. The pause is
// part of every call's way to the phone, so an agent that takes 0.2 s is seen at most 10 ms late. A
// slower agent is seen late by at most a sixth of its own time, and by at most 1 s.
func nextLook(waited time.Duration) time.Duration {
	if waited == 0 {
		return firstLook
	}
	return min(max((waited-firstLook)/6, 10*time.Millisecond), time.Second)
}

// emptyTimeout is how long LiveKit keeps a room that nobody joins.
const emptyTimeout = time.Minute

// Run may be repeated: the room is an upsert and the states only move forward.
func (t *Task) Run(ctx context.Context, in Input) (Output, error) {
	c, err := t.Calls.CallWithDetails(ctx, in.CallID)
	if err == nil && c.Direction == call.Inbound {
		return t.inbound(ctx, c)
	}
	if err != nil || c.Status.Ended() {
		return Output{Outcome: "ended"}, err
	}
	metadata, err := t.Agents.Metadata(c)
	if err != nil {
		return Output{}, err
	}
	err = t.Rooms.CreateRoom(ctx, livekit.Room{Name: c.RoomName, AgentName: c.AgentName, Metadata: metadata,
		EmptyTimeout: emptyTimeout, DepartureTimeout: livekit.DepartureTimeout})
	if err != nil {
		return Output{}, fmt.Errorf("create room: %w", err)
	}
	there, err := t.awaitAgent(ctx, c.RoomName)
	if err != nil {
		return Output{}, err
	}
	if !there {
		_, err := t.Teardown.TakeDown(ctx, c, func(c call.Call) call.End {
			return c.NeverDialed(call.AgentUnavailable, t.Now())
		})
		return Output{Outcome: "ended"}, err
	}
	return Output{Outcome: "ready", DialSeconds: c.RingingTimeout + int(call.KeyingTime(c.DTMF).Seconds()) + 30, TalkSeconds: c.MaxDuration}, nil
}

// awaitAgent reads the room with growing pauses until an agent is in it or agentTimeout is over.
func (t *Task) awaitAgent(ctx context.Context, room string) (bool, error) {
	began := t.Now()
	deadline := began.Add(agentTimeout)
	for now := began; now.Before(deadline); now = t.Now() {
		select {
		case <-time.After(min(nextLook(now.Sub(began)), deadline.Sub(now))):
		case <-ctx.Done():
			return false, ctx.Err()
		}
		r, err := t.Rooms.ReadRoom(ctx, room)
		if err != nil {
			return false, fmt.Errorf("look for the agent: %w", err)
		}
		if r.Agent {
			return true, nil
		}
	}
	return false, nil
}

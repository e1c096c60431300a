package livekitwebhook_test

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/krosai/telephony/functions/livekitwebhook"
	"github.com/krosai/telephony/shared/api/apitest"
	"github.com/krosai/telephony/shared/call"
	"github.com/krosai/telephony/shared/livekit"
	"github.com/krosai/telephony/shared/teardown"
)

// bubble serves the function in a synctest bubble. It is also a LiveKit with one room and
// unsigned events.
type bubble struct {
	apitest.Bench
	ender *teardown.Ender

	mu      sync.Mutex
	room    call.Room
	looks   int
	deleted bool
}

var (
	onTheLine = &call.Phone{Identity: call.CalleeIdentity, Status: "active"}
	both      = call.Room{Agent: true, Callee: onTheLine}
	alone     = call.Room{Callee: onTheLine}
)

// inBubble runs f on a bench that is opened outside the bubble, because the bubble's clock stands
// still while the bench's issuer waits for connections.
func inBubble(t *testing.T, status call.Status, room call.Room, f func(*bubble)) {
	t.Parallel()
	outside := apitest.Open(t, nil)
	synctest.Test(t, func(t *testing.T) {
		b := &bubble{Bench: *outside, room: room}
		b.TB = t
		c := call.Call{ID: id, UserID: "ada", RoomName: id, Country: "US", RingingTimeout: 30, MaxDuration: 600, Status: status, CreatedAt: time.Now(), DialedAt: time.Now()}
		if status == call.InProgress {
			c.AnsweredAt = time.Now()
		}
		b.check(b.Place(t.Context(), c))
		b.ender = &teardown.Ender{Calls: b.DB, Rooms: b, Now: time.Now}
		b.Serve(&livekitwebhook.Endpoint{LiveKit: b, Teardown: b.ender, Now: time.Now})
		f(b)
	})
}

// check is Must for steps outside the goroutine of the test.
func (b *bubble) check(err error) {
	b.Helper()
	if err != nil {
		b.Error(err)
	}
}

func (b *bubble) ReceiveWebhook(raw []byte, _ string) (e livekit.Event, err error) {
	return e, json.Unmarshal(raw, &e)
}

func (b *bubble) ReadRoom(context.Context, string) (call.Room, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.looks++
	return b.room, nil
}

func (b *bubble) DeleteRoom(context.Context, string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.deleted, b.room = true, call.Room{}
	return nil
}

func (b *bubble) becomes(room call.Room) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.room = room
}

// send delivers an event about the call's room.
func (b *bubble) send(e livekit.Event) {
	b.Helper()
	e.Room, e.CreatedAt = id, time.Now()
	body, err := json.Marshal(e)
	b.check(err)
	a := b.Ask("", "POST", "/webhooks/livekit", string(body), "Content-Type", "application/webhook+json")
	if a.Status != http.StatusOK {
		b.Errorf("%s: %d %s", e.Name, a.Status, a.Text)
	}
}

// is checks the status and the cause of the call.
func (b *bubble) is(want string) {
	b.Helper()
	c, err := b.Call(b.Context(), id)
	b.check(err)
	if got := string(c.Status) + " " + string(c.Cause); got != want {
		b.Errorf("%s, want %s", got, want)
	}
}

func (b *bubble) hangUp() {
	c, open, err := b.RequestHangup(b.Context(), "ada", id, time.Now())
	b.check(err)
	if open {
		_, err = b.ender.TakeDown(b.Context(), c, b.ender.HungUp)
		b.check(err)
	}
}

func (b *bubble) transfer() {
	c, err := b.Call(b.Context(), id)
	b.check(err)
	b.check(b.Transfer(b.Context(), c, call.Transfer{ID: "tr_1", To: "+14155550109", At: time.Now()}))
}

// An agent that leaves ends the call only if it leaves the phone alone.
func TestAgentLeft(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		room  call.Room     // when the event comes
		soon  func(*bubble) // a second later
		want  string
		looks int
	}{
		{"the phone is alone", alone, nil, "completed agent_hangup", 2},
		{"another agent is there", both, nil, "in_progress ", 1},
		{"another agent comes", alone, func(b *bubble) { b.becomes(both) }, "in_progress ", 2},
		{"a person is there", call.Room{Callee: onTheLine, Others: true}, nil, "in_progress ", 1},
		{"the phone left before", call.Room{}, nil, "in_progress ", 1},
		{"the phone leaves too", alone, func(b *bubble) { b.becomes(call.Room{}) }, "in_progress ", 2},
		{"hung up by its user meanwhile", alone, (*bubble).hangUp, "completed api_hangup", 2},
		{"being transferred", alone, (*bubble).transfer, "in_progress ", 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, call.InProgress, tt.room, func(b *bubble) {
				if tt.soon != nil {
					time.AfterFunc(time.Second, func() { tt.soon(b) })
				}
				b.send(livekit.Event{Name: "participant_left", Identity: "agent", Agent: true})
				b.is(tt.want)
				if b.looks != tt.looks || b.deleted != strings.HasPrefix(tt.want, "completed") {
					b.Errorf("looked %d times, deleted %t", b.looks, b.deleted)
				}
			})
		})
	}
}

// While a call is being transferred, its agent may leave at once.
func TestAgentLeftATransfer(t *testing.T) {
	inBubble(t, call.InProgress, alone, func(b *bubble) {
		b.transfer()
		b.send(livekit.Event{Name: "participant_left", Identity: "agent", Agent: true})
		if b.is("in_progress "); b.looks != 0 || b.deleted {
			b.Errorf("looked %d times, deleted %t", b.looks, b.deleted)
		}
	})
}

// TestRoomFinishedFirst checks that after a room_finished the handler waits for the phone's
// participant_left, because only that event says who ended the call.
func TestRoomFinishedFirst(t *testing.T) {
	inBubble(t, call.InProgress, call.Room{}, func(b *bubble) {
		time.AfterFunc(time.Second, func() {
			b.is("in_progress ")
			b.send(livekit.Event{Name: "participant_left", Identity: call.CalleeIdentity, Phone: true, Leave: call.Leave{Reason: "ROOM_DELETED", Status: "active"}})
		})
		b.send(livekit.Event{Name: "room_finished"})
		b.is("completed agent_hangup")
	})
}

func TestRoomFinishedAlone(t *testing.T) {
	inBubble(t, call.InProgress, call.Room{}, func(b *bubble) {
		b.send(livekit.Event{Name: "room_finished"})
		b.is("completed unknown")
	})
}

// TestLeftBeforeTheAnswerIsWritten checks a phone that was answered and has left before its dial
// recorded the answer.
func TestLeftBeforeTheAnswerIsWritten(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name     string
		answered bool          // as LiveKit says
		soon     func(*bubble) // half a second later
		want     string
	}{
		{"it is written", true, func(b *bubble) {
			_, err := b.Advance(b.Context(), id, call.InProgress, time.Now())
			b.check(err)
		}, "completed callee_hangup"},
		{"the call ends", true, (*bubble).hangUp, "canceled api_hangup"},
		{"it never is", true, func(*bubble) {}, "ringing "},
		{"it was not answered", false, func(*bubble) {}, "ringing "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, call.Ringing, call.Room{Agent: true}, func(b *bubble) {
				time.AfterFunc(500*time.Millisecond, func() { tt.soon(b) })
				start := time.Now()
				b.send(livekit.Event{Name: "participant_left", Identity: call.CalleeIdentity, Phone: true, Answered: tt.answered,
					Leave: call.Leave{Reason: "CLIENT_INITIATED", Status: "hangup"}})
				if waited := time.Since(start); waited > 3*time.Second || !tt.answered && waited > 0 {
					b.Errorf("waited %s", waited)
				}
				b.is(tt.want)
				time.Sleep(time.Second) // let the timer of half a second fire
			})
		})
	}
}

// TestLeftDuringATransfer checks a phone that leaves, with its agent, before the outcome of its
// transfer is recorded.
func TestLeftDuringATransfer(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		outcome call.TransferStatus // half a second later; empty: never
		event   livekit.Event
		want    string
	}{
		{"it failed", call.TransferFailed, phoneLeft, "completed callee_hangup"},
		{"it succeeded", call.TransferCompleted, phoneLeft, "completed transferred"},
		{"nobody knows", call.TransferUnknown, phoneLeft, "completed unknown"},
		{"no outcome yet", "", phoneLeft, "in_progress "},
		{"it failed, the end of the room is told", call.TransferFailed, livekit.Event{Name: "room_finished"}, "completed unknown"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, call.InProgress, call.Room{}, func(b *bubble) {
				b.transfer()
				time.AfterFunc(500*time.Millisecond, func() {
					if tt.outcome != "" {
						_, err := b.FinishTransfer(b.Context(), id, call.Transfer{ID: "tr_1", To: "+14155550109", Status: tt.outcome, At: time.Now()})
						b.check(err)
					}
				})
				start := time.Now()
				b.send(tt.event)
				if waited := time.Since(start); waited > 3*time.Second {
					b.Errorf("waited %s", waited)
				}
				b.is(tt.want)
			})
		})
	}
}

// phoneLeft is LiveKit's event of a phone that hangs up.
var phoneLeft = livekit.Event{Name: "participant_left", Identity: call.CalleeIdentity, Phone: true,
	Leave: call.Leave{Reason: "CLIENT_INITIATED", Status: "hangup"}}

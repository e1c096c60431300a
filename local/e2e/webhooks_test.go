package e2e

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	lkproto "github.com/livekit/protocol/livekit"
	lksdk "github.com/livekit/server-sdk-go/v2"
)

// webhookTrouble is the variable that makes a child process of this test binary treat LiveKit's
// webhooks in one of the ways of troubles.
const webhookTrouble = "E2E_WEBHOOKS"

// troubles are possible disturbances of webhooks between LiveKit and the function. LiveKit always
// gets a success answer.
var troubles = map[string]func(deliver func(*http.Request)) func(*http.Request){
	"lost": func(func(*http.Request)) func(*http.Request) { return func(*http.Request) {} },
	"delayed": func(deliver func(*http.Request)) func(*http.Request) {
		return func(r *http.Request) { time.AfterFunc(4*time.Second, func() { deliver(r) }) }
	},
	"doubled": func(deliver func(*http.Request)) func(*http.Request) {
		return func(r *http.Request) {
			again := copyOf(r)
			time.AfterFunc(500*time.Millisecond, func() { deliver(again) })
			deliver(r)
		}
	},
	"shuffled": func(deliver func(*http.Request)) func(*http.Request) {
		var mu sync.Mutex
		var waiting []*http.Request
		return func(r *http.Request) { // reverses the events of each second
			mu.Lock()
			defer mu.Unlock()
			if waiting = append(waiting, r); len(waiting) > 1 {
				return
			}
			time.AfterFunc(time.Second, func() {
				mu.Lock()
				turned := waiting
				waiting = nil
				mu.Unlock()
				slices.Reverse(turned)
				for _, r := range turned {
					go deliver(r)
					time.Sleep(time.Millisecond)
				}
			})
		}
	},
}

// troubled puts a trouble in front of the function.
func troubled(kind string) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		take := troubles[kind](func(r *http.Request) { next.ServeHTTP(httptest.NewRecorder(), r) })
		return http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			take(copyOf(r))
		})
	}
}

// copyOf is a copy of a request that can be delivered after the original has ended.
func copyOf(r *http.Request) *http.Request {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(err)
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	c := r.Clone(context.WithoutCancel(r.Context()))
	c.Body = io.NopCloser(bytes.NewReader(body))
	return c
}

// TestWebhookTrouble checks that each call ends correctly, whatever happens to LiveKit's webhooks.
// If all webhooks are lost, the sweep detects the end, here up to twenty seconds later, and cannot
// tell who deleted a room.
func TestWebhookTrouble(t *testing.T) {
	t.Parallel()
	for kind := range troubles {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			p := spawn(t, dir, webhookTrouble+"="+kind)
			// The platform does not believe a LiveKit without any room while calls are known.
			// Therefore one call lasts as long as the others.
			bystander := p.user
			bystander.t = t
			lasting := bystander.place("+14155550100", request{"max_duration_seconds": 600}).CallID
			bystander.until(lasting, is("in_progress"))
			// The group returns after all of its parallel tests have ended. Then no rooms may
			// be left.
			t.Run("calls", func(t *testing.T) {
				for _, part := range cast() {
					if kind != "lost" && part.cause != "callee_hangup" && part.cause != "max_duration" {
						continue // needs no webhook
					}
					t.Run(part.name, func(t *testing.T) {
						t.Parallel()
						u := p.user
						u.t = t
						part.play(t, u)
					})
				}
				p.takeCallsIn(t, dir, kind)
				for name, callee := range map[string]string{"transferred": "+14155550131", "transferred, the carrier hangs up": "+14155550130"} {
					t.Run(name, func(t *testing.T) {
						t.Parallel()
						u := p.user
						u.t = t
						endsTransferred(t, u, callee)
					})
				}
				ended := map[bool]string{true: "unknown", false: "agent_hangup"}
				t.Run("agent deletes the room", func(t *testing.T) {
					t.Parallel()
					p.agentEnds(t, ended[kind == "lost"], func(rooms *lksdk.RoomServiceClient, room, _ string) error {
						_, err := rooms.DeleteRoom(t.Context(), &lkproto.DeleteRoomRequest{Room: room})
						return err
					})
				})
				t.Run("agent leaves", func(t *testing.T) {
					t.Parallel()
					p.agentEnds(t, "agent_hangup", func(rooms *lksdk.RoomServiceClient, room, agent string) error {
						_, err := rooms.RemoveParticipant(t.Context(), &lkproto.RoomParticipantIdentity{Room: room, Identity: agent})
						return err
					})
				})
			})
			bystander.hangUp(lasting)
			noRooms(t, p.livekit)
		})
	}
}

// agentEnds places a lasting call, lets its agent end it, and checks the cause.
func (p process) agentEnds(t *testing.T, cause string, end func(rooms *lksdk.RoomServiceClient, room, agent string) error) {
	t.Helper()
	u := p.user
	u.t = t
	id := u.place("+14155550100", request{"max_duration_seconds": 300}).CallID
	u.until(id, is("in_progress"))
	rooms := lksdk.NewRoomServiceClient(p.access.URL, p.access.APIKey, p.access.APISecret.Reveal())
	in, err := rooms.ListParticipants(t.Context(), &lkproto.ListParticipantsRequest{Room: id})
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(in.Participants, func(p *lkproto.ParticipantInfo) bool { return p.Kind == lkproto.ParticipantInfo_AGENT })
	if i < 0 {
		t.Fatalf("no agent among %v", in.Participants)
	}
	if err := end(rooms, id, in.Participants[i].Identity); err != nil {
		t.Fatal(err)
	}
	if d := u.until(id, details.over); d.Status != "completed" || d.Cause != cause {
		t.Errorf("%s %s, want completed %s", d.Status, d.Cause, cause)
	}
}

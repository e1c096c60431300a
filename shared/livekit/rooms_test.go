package livekit

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	lk "github.com/livekit/protocol/livekit"

	"github.com/krosai/telephony/shared/call"
	"github.com/krosai/telephony/shared/fault"
	"github.com/krosai/telephony/shared/livekit/livekittest"
	"github.com/krosai/telephony/shared/secret"
)

func TestRooms(t *testing.T) {
	t.Parallel()
	server := livekittest.New(t)
	client := Open(config(server.URL))
	ctx := t.Context()

	room := Room{Name: "call_1", AgentName: "support", Metadata: `{"call_id":"call_1"}`, EmptyTimeout: time.Minute, DepartureTimeout: 5 * time.Second}
	for range 2 {
		if err := client.CreateRoom(ctx, room); err != nil {
			t.Fatal(err)
		}
	}
	made := server.Room("call_1").Request
	if diff := cmp.Diff([]any{"support", `{"call_id":"call_1"}`, uint32(60), uint32(5)},
		[]any{made.Agents[0].AgentName, made.Agents[0].Metadata, made.EmptyTimeout, made.DepartureTimeout}); diff != "" {
		t.Error(diff)
	}
	rooms, err := client.Rooms(ctx)
	if diff := cmp.Diff([]RoomInfo{{Name: "call_1", ID: "RM_000001", CreatedAt: time.UnixMilli(1795328695783).UTC()}}, rooms); err != nil || diff != "" {
		t.Error(err, diff)
	}
	if err := client.UpdateRoomMetadata(ctx, "call_1", "{}"); err != nil || server.Room("call_1").Metadata != "{}" {
		t.Errorf("metadata %q, %v", server.Room("call_1").Metadata, err)
	}
	server.Lose("call_1")
	for range 2 {
		if err := client.DeleteRoom(ctx, "call_1"); err != nil {
			t.Fatal(err)
		}
	}
	if err := client.UpdateRoomMetadata(ctx, "call_1", "{}"); !fault.Is(err, fault.NotFound) {
		t.Errorf("metadata of a room that is gone: %v", err)
	}
	if got, err := client.ReadRoom(ctx, "call_1"); err != nil || got != (call.Room{}) {
		t.Errorf("a room that is gone: %v, %v", got, err)
	}
}

func TestReadRoom(t *testing.T) {
	t.Parallel()
	phone := func(identity, sid, status string) *lk.ParticipantInfo {
		return &lk.ParticipantInfo{Identity: identity, Sid: sid, Kind: lk.ParticipantInfo_SIP, State: lk.ParticipantInfo_ACTIVE,
			Attributes: map[string]string{"sip.callStatus": status}}
	}
	answered := func(at string) *lk.ParticipantInfo {
		p := phone("callee", "PA_1", "active")
		p.Attributes["lk.sip.answerTime"] = at
		return p
	}
	agent := &lk.ParticipantInfo{Identity: "agent-AJ_1", Kind: lk.ParticipantInfo_AGENT, State: lk.ParticipantInfo_ACTIVE}
	gone := &lk.ParticipantInfo{Identity: "agent-AJ_2", Kind: lk.ParticipantInfo_AGENT, State: lk.ParticipantInfo_DISCONNECTED}
	tests := map[string]struct {
		in   []*lk.ParticipantInfo
		want call.Room
	}{
		"agent alone":    {[]*lk.ParticipantInfo{agent}, call.Room{Agent: true}},
		"agent has left": {[]*lk.ParticipantInfo{gone}, call.Room{}},
		"ringing":        {[]*lk.ParticipantInfo{agent, phone("callee", "PA_1", "ringing")}, call.Room{Agent: true, Callee: &call.Phone{ID: "PA_1", Identity: "callee", Status: "ringing"}}},
		"answered": {[]*lk.ParticipantInfo{answered("1795328695782")},
			call.Room{Callee: &call.Phone{ID: "PA_1", Identity: "callee", Status: "active", AnsweredAt: time.UnixMilli(1795328695782).UTC()}}},
		"answered at no time": {[]*lk.ParticipantInfo{answered("2026-11-29")}, call.Room{Callee: &call.Phone{ID: "PA_1", Identity: "callee", Status: "active"}}},
		"answered in 1970":    {[]*lk.ParticipantInfo{answered("0")}, call.Room{Callee: &call.Phone{ID: "PA_1", Identity: "callee", Status: "active"}}},
		"an inbound call": {[]*lk.ParticipantInfo{{Sid: "PA_1", Identity: "sip_+1555", Kind: lk.ParticipantInfo_SIP, Attributes: map[string]string{"sip.callStatus": "ringing",
			"sip.trunkID": "ST_1", "sip.ruleID": "SDR_1", "sip.phoneNumber": "+1555", "sip.trunkPhoneNumber": "+2348012345678"}}},
			call.Room{Callee: &call.Phone{ID: "PA_1", Identity: "sip_+1555", Status: "ringing", TrunkID: "ST_1", RuleID: "SDR_1", Caller: "+1555", Called: "+2348012345678"}}},
		"the caller before a phone that the agent called in": {[]*lk.ParticipantInfo{phone("colleague", "PA_3", "active"),
			{Sid: "PA_1", Identity: "sip_+1555", Kind: lk.ParticipantInfo_SIP, Attributes: map[string]string{"sip.callStatus": "active", "sip.ruleID": "SDR_1"}},
			phone("another", "PA_4", "active")}, call.Room{Others: true, Callee: &call.Phone{ID: "PA_1", Identity: "sip_+1555", Status: "active", RuleID: "SDR_1"}}},
		"inbound":                         {[]*lk.ParticipantInfo{phone("sip_+1555", "PA_2", "active")}, call.Room{Callee: &call.Phone{ID: "PA_2", Identity: "sip_+1555", Status: "active"}}},
		"the callee before another phone": {[]*lk.ParticipantInfo{phone("sip_+1555", "PA_2", "active"), phone("callee", "PA_1", "dialing")}, call.Room{Others: true, Callee: &call.Phone{ID: "PA_1", Identity: "callee", Status: "dialing"}}},
		"a browser":                       {[]*lk.ParticipantInfo{{Identity: "supervisor", State: lk.ParticipantInfo_ACTIVE}}, call.Room{Others: true}},
		"nobody to talk to": {[]*lk.ParticipantInfo{
			{Identity: "recorder", Kind: lk.ParticipantInfo_EGRESS, State: lk.ParticipantInfo_ACTIVE},
			{Identity: "music", Kind: lk.ParticipantInfo_INGRESS, State: lk.ParticipantInfo_ACTIVE},
			{Identity: "left", State: lk.ParticipantInfo_DISCONNECTED},
			{Identity: "listener", State: lk.ParticipantInfo_ACTIVE, Permission: &lk.ParticipantPermission{Hidden: true}}}, call.Room{}},
	}
	server := livekittest.New(t)
	client := Open(config(server.URL))
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, p := range tt.in {
				server.Join(name, p)
			}
			got, err := client.ReadRoom(t.Context(), name)
			if diff := cmp.Diff(tt.want, got); err != nil || diff != "" {
				t.Error(err, diff)
			}
		})
	}
}

// If LiveKit is down, slow, redirecting, throttling or refusing our key, the error is a fault of
// the right kind, comes in time and contains no secret.
func TestRequestFaults(t *testing.T) {
	t.Parallel()
	down := httptest.NewServer(http.NotFoundHandler())
	down.Close()
	serve := func(h http.HandlerFunc) string {
		s := httptest.NewServer(h)
		t.Cleanup(s.Close)
		return s.URL
	}
	twirpError := func(status int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(status)
			_, _ = w.Write([]byte(body))
		}
	}
	tests := map[string]struct {
		url  string
		want fault.Kind
	}{
		"down":       {down.URL, fault.Upstream},
		"503":        {serve(twirpError(503, `{"code":"unavailable","msg":"no response from servers"}`)), fault.Upstream},
		"429":        {serve(twirpError(429, `{"code":"resource_exhausted","msg":"too many requests"}`)), fault.Upstream},
		"a proxy":    {serve(twirpError(502, `<html>`)), fault.Upstream},
		"wrong key":  {serve(twirpError(401, `{"code":"unauthenticated","msg":"invalid API key"}`)), fault.Internal},
		"refused":    {serve(twirpError(400, `{"code":"invalid_argument","msg":"no"}`)), fault.Invalid},
		"redirected": {serve(http.RedirectHandler(down.URL, http.StatusTemporaryRedirect).ServeHTTP), fault.Upstream},
		"hangs": {serve(func(_ http.ResponseWriter, r *http.Request) {
			// Without this the server does not notice that the client goes.
			_, _ = io.Copy(io.Discard, r.Body)
			<-r.Context().Done()
		}), fault.Upstream},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx := t.Context()
			if name == "hangs" {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, 100*time.Millisecond)
				defer cancel()
			}
			c := config(tt.url)
			c.APISecret = secret.New("canary-canary-canary-canary-canary")
			err := Open(c).CreateRoom(ctx, Room{Name: "call_1"})
			if got := fault.KindOf(err); err == nil || got != tt.want {
				t.Errorf("kind %v, error %v", got, err)
			}
			if err != nil && strings.Contains(err.Error(), "canary") {
				t.Errorf("the secret is in %v", err)
			}
		})
	}
}

package livekitd

import (
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/livekit/protocol/auth"
	lkproto "github.com/livekit/protocol/livekit"
	"github.com/livekit/protocol/logger"
	lksdk "github.com/livekit/server-sdk-go/v2"
	"github.com/pion/webrtc/v4"

	"github.com/krosai/telephony/shared/call"
	"github.com/krosai/telephony/shared/livekit"
	sharedsecret "github.com/krosai/telephony/shared/secret"
)

// TestWhatRoomsCount checks the behavior of LiveKit that the sweep relies on
// (livekit.RoomInfo.Settled): which participants ListRooms counts, and that a room outlives
// its phone.
func TestWhatRoomsCount(t *testing.T) {
	s := mustStart(t, Options{})
	client := livekit.Open(livekit.Config{URL: s.HTTPURL(), APIKey: key, APISecret: sharedsecret.New(secret)})
	up := &call.Phone{Status: "active"}
	var rooms sync.WaitGroup
	defer rooms.Wait()
	for _, tt := range []struct {
		name                     string
		come, leave              []string
		participants, publishers int
		settled                  bool
		room                     call.Room
	}{
		{"an agent", []string{"agent"}, nil, 0, 1, false, call.Room{Agent: true}},
		{"an agent that listens", []string{"listener"}, nil, 0, 0, false, call.Room{Agent: true}},
		{"a phone", []string{"phone"}, nil, 1, 1, false, call.Room{Callee: up}},
		{"both", []string{"agent", "phone"}, nil, 1, 2, true, call.Room{Agent: true, Callee: up}},
		{"a phone and an agent that listens", []string{"listener", "phone"}, nil, 1, 1, false, call.Room{Agent: true, Callee: up}},
		{"the agent left", []string{"agent", "phone"}, []string{"agent"}, 1, 1, false, call.Room{Callee: up}},
		{"the agent handed over", []string{"agent", "phone", "agent 2"}, []string{"agent"}, 1, 2, true, call.Room{Agent: true, Callee: up}},
		{"a person took over", []string{"agent", "phone", "person"}, []string{"agent"}, 2, 2, true, call.Room{Callee: up, Others: true}},
		{"the phone left", []string{"agent", "phone"}, []string{"phone"}, 0, 1, false, call.Room{Agent: true}},
		{"everybody left", []string{"agent", "phone"}, []string{"phone", "agent"}, 0, 0, false, call.Room{}},
	} {
		rooms.Go(func() {
			err := client.CreateRoom(t.Context(), livekit.Room{Name: tt.name, EmptyTimeout: time.Minute, DepartureTimeout: livekit.DepartureTimeout})
			if err != nil {
				t.Error(err)
				return
			}
			in := map[string]*lksdk.Room{}
			defer func() {
				for _, room := range in {
					room.Disconnect()
				}
			}()
			for _, who := range tt.come {
				room, err := enter(s, tt.name, who)
				if err != nil {
					t.Errorf("%s: %s: %v", tt.name, who, err)
					return
				}
				in[who] = room
			}
			for _, who := range tt.leave {
				in[who].Disconnect()
			}
			want := livekit.RoomInfo{Name: tt.name, Participants: tt.participants, Publishers: tt.publishers}
			wrong := "not read" // on a busy machine a lost leave message keeps a ghost for 21 s
			for begin := time.Now(); wrong != "" && time.Since(begin) < 2*time.Minute; time.Sleep(50 * time.Millisecond) {
				wrong = compare(t, client, want, tt.room)
			}
			if wrong != "" || want.Settled() != tt.settled {
				t.Errorf("%s: settled %t (-want +got):\n%s", tt.name, want.Settled(), wrong)
			}
		})
	}
}

// compare returns the differences between a room and the wanted one, both listed and read.
func compare(t *testing.T, c *livekit.Client, want livekit.RoomInfo, who call.Room) string {
	rooms, err := c.Rooms(t.Context())
	if err != nil {
		return err.Error()
	}
	i := slices.IndexFunc(rooms, func(r livekit.RoomInfo) bool { return r.Name == want.Name })
	if i < 0 {
		return "not listed"
	}
	room, err := c.ReadRoom(t.Context(), want.Name)
	if err != nil {
		return err.Error()
	}
	if room.Callee != nil {
		room.Callee = &call.Phone{Status: room.Callee.Status}
	}
	return cmp.Diff(want, livekit.RoomInfo{Name: want.Name, Participants: rooms[i].Participants, Publishers: rooms[i].Publishers}) + cmp.Diff(who, room)
}

// enter joins a room as a phone, a person or an agent. All except the listener publish a voice.
func enter(s *Server, name, who string) (*lksdk.Room, error) {
	token := auth.NewAccessToken(key, secret).SetIdentity(who).SetVideoGrant(&auth.VideoGrant{RoomJoin: true, Room: name})
	switch who {
	case "phone":
		token.SetKind(lkproto.ParticipantInfo_SIP).SetAttributes(map[string]string{"sip.callStatus": "active"})
	case "person":
	default:
		token.SetKind(lkproto.ParticipantInfo_AGENT).SetVideoGrant(&auth.VideoGrant{RoomJoin: true, Room: name, Agent: true})
	}
	text, err := token.ToJWT()
	if err != nil {
		return nil, err
	}
	room := lksdk.NewRoom(lksdk.NewRoomCallback())
	err = room.JoinWithToken(s.URL(), text, lksdk.WithLogger(logger.GetDiscardLogger()), lksdk.WithAutoSubscribe(false), lksdk.WithDisableRegionDiscovery(), lksdk.WithConnectTimeout(time.Minute))
	if err != nil || who == "listener" {
		return room, err
	}
	track, err := lksdk.NewLocalTrack(webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypePCMU, ClockRate: 8000, Channels: 1})
	if err == nil {
		_, err = room.LocalParticipant.PublishTrack(track, &lksdk.TrackPublicationOptions{Name: who, Source: lkproto.TrackSource_MICROPHONE})
	}
	return room, err
}

package bridge

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/livekit/protocol/auth"
	"github.com/livekit/protocol/livekit"
	"github.com/livekit/protocol/logger"
	lksdk "github.com/livekit/server-sdk-go/v2"
	"github.com/pion/webrtc/v4"
	"github.com/pion/webrtc/v4/pkg/media"
	"google.golang.org/protobuf/proto"
)

// worker is an agent worker that speaks LiveKit's protocol. Its agents join, publish a tone and
// report what they see.
type worker struct {
	url  string
	seen func(room string, e entry) // gets each event that an agent sees

	conn *websocket.Conn
	mu   sync.Mutex
	jobs sync.WaitGroup
	room map[string]*lksdk.Room
	// heard counts the loud packets that agents received from others, by room.
	heard map[string]int
}

func startWorker(t *testing.T, url, name string, seen func(room string, e entry)) *worker {
	t.Helper()
	token, err := auth.NewAccessToken(testKey, testSecret).SetVideoGrant(&auth.VideoGrant{Agent: true}).SetValidFor(time.Hour).ToJWT()
	if err != nil {
		t.Fatal(err)
	}
	conn, _, err := websocket.DefaultDialer.Dial(url+"/agent?protocol=1", http.Header{"Authorization": {"Bearer " + token}})
	if err != nil {
		t.Fatal(err)
	}
	w := &worker{url: url, seen: seen, conn: conn, room: map[string]*lksdk.Room{}, heard: map[string]int{}}
	allowed := &livekit.ParticipantPermission{CanPublish: true, CanSubscribe: true, CanPublishData: true, CanUpdateMetadata: true}
	w.send(&livekit.WorkerMessage{Message: &livekit.WorkerMessage_Register{Register: &livekit.RegisterWorkerRequest{
		Type: livekit.JobType_JT_ROOM, AgentName: name, Version: "test", AllowedPermissions: allowed}}})
	read := make(chan struct{})
	go func() {
		defer close(read)
		w.read()
	}()
	t.Cleanup(func() {
		conn.Close()
		<-read
		w.jobs.Wait()
	})
	return w
}

func (w *worker) send(m *livekit.WorkerMessage) {
	raw, err := proto.Marshal(m)
	if err != nil {
		panic(err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	_ = w.conn.WriteMessage(websocket.BinaryMessage, raw)
}

func (w *worker) status(job string, s livekit.JobStatus) {
	w.send(&livekit.WorkerMessage{Message: &livekit.WorkerMessage_UpdateJob{UpdateJob: &livekit.UpdateJobStatus{JobId: job, Status: s}}})
}

func (w *worker) read() {
	for {
		_, raw, err := w.conn.ReadMessage()
		if err != nil {
			return
		}
		var m livekit.ServerMessage
		if proto.Unmarshal(raw, &m) != nil {
			continue
		}
		switch m := m.Message.(type) {
		case *livekit.ServerMessage_Availability:
			id := m.Availability.Job.Id
			w.send(&livekit.WorkerMessage{Message: &livekit.WorkerMessage_Availability{Availability: &livekit.AvailabilityResponse{
				JobId: id, Available: true, ParticipantIdentity: "agent-" + id, ParticipantName: "agent"}}})
		case *livekit.ServerMessage_Assignment:
			// LiveKit starts a job that ends without success again, in a room created again.
			w.status(m.Assignment.Job.Id, livekit.JobStatus_JS_RUNNING)
			w.jobs.Go(func() {
				w.work(m.Assignment)
				w.status(m.Assignment.Job.Id, livekit.JobStatus_JS_SUCCESS)
			})
		}
	}
}

// work is one job: it lasts until the room ends.
func (w *worker) work(a *livekit.JobAssignment) {
	name := a.Job.Room.Name
	ended := make(chan struct{})
	var once sync.Once
	cb := lksdk.NewRoomCallback()
	cb.OnDisconnected = func() { once.Do(func() { close(ended) }) }
	cb.OnParticipantConnected = func(p *lksdk.RemoteParticipant) {
		w.seen(name, entry{Source: "agent", Event: "attributes_changed", Identity: p.Identity(), Changed: maps.Clone(p.Attributes())})
	}
	cb.OnAttributesChanged = func(changed map[string]string, p lksdk.Participant) {
		w.seen(name, entry{Source: "agent", Event: "attributes_changed", Identity: p.Identity(), Changed: maps.Clone(changed)})
	}
	cb.OnDataPacket = func(d lksdk.DataPacket, from lksdk.DataReceiveParams) {
		if d, ok := d.(*livekit.SipDTMF); ok {
			w.seen(name, entry{Source: "agent", Event: "sip_dtmf", Digit: d.Digit, Code: d.Code, From: from.SenderIdentity})
		}
	}
	cb.OnTrackSubscribed = func(t *webrtc.TrackRemote, _ *lksdk.RemoteTrackPublication, p *lksdk.RemoteParticipant) {
		for n := 0; ; n++ {
			packet, _, err := t.ReadRTP()
			if err != nil {
				return
			}
			if slices.ContainsFunc(packet.Payload, func(b byte) bool { return b != 0xff && b != 0x7f }) {
				w.mu.Lock()
				w.heard[name]++
				w.mu.Unlock()
			}
			if n == 0 {
				w.seen(name, entry{Source: "agent", Event: "first_rtp_from_sip", Identity: p.Identity()})
			}
		}
	}
	room, err := lksdk.ConnectToRoomWithToken(w.url, a.Token, cb, lksdk.WithLogger(logger.GetDiscardLogger()), lksdk.WithConnectTimeout(time.Minute))
	if err != nil {
		return // the room is already gone
	}
	defer room.Disconnect()
	for _, p := range room.GetRemoteParticipants() {
		w.seen(name, entry{Source: "agent", Event: "attributes_changed", Identity: p.Identity(), Changed: maps.Clone(p.Attributes())})
	}
	w.mu.Lock()
	w.room[name] = room
	w.mu.Unlock()
	track, err := lksdk.NewLocalTrack(webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypePCMU, ClockRate: 8000, Channels: 1})
	if err != nil {
		return
	}
	if _, err := room.LocalParticipant.PublishTrack(track, &lksdk.TrackPublicationOptions{Name: "agent", Source: livekit.TrackSource_MICROPHONE}); err != nil {
		return
	}
	w.speak(track, ended)
}

func (w *worker) speak(track *lksdk.LocalTrack, ended <-chan struct{}) {
	tone := make([]byte, frameSize)
	for i := range tone {
		tone[i] = toULaw((i%20 - 10) * 800) // 400 Hz
	}
	tick := time.NewTicker(frameTime)
	defer tick.Stop()
	for {
		select {
		case <-ended:
			return
		case <-tick.C:
			_ = track.WriteSample(media.Sample{Data: tone, Duration: frameTime}, nil)
		}
	}
}

// press makes the agent in a room send a digit to the phone.
func (w *worker) press(room, digit string) {
	w.mu.Lock()
	r := w.room[room]
	w.mu.Unlock()
	if r != nil {
		_ = r.LocalParticipant.PublishDataPacket(&livekit.SipDTMF{Code: digitCode(digit[0]), Digit: digit}, lksdk.WithDataPublishReliable(true))
	}
}

// client calls LiveKit's API with JSON, as the recordings were made.
type client struct{ url string }

// reply is an answer of the API, in the form of the recordings.
type reply struct {
	HTTPStatus     int             `json:"http_status"`
	Body           json.RawMessage `json:"body"`
	TookMS         float64         `json:"took_ms"`
	TransportError string          `json:"transport_error"`
}

func (c client) call(ctx context.Context, method, room string, body []byte) reply {
	services := map[string]string{
		"CreateRoom": "RoomService", "DeleteRoom": "RoomService", "ListRooms": "RoomService", "RemoveParticipant": "RoomService",
		"CreateDispatch": "AgentDispatchService",
	}
	service := services[method]
	if service == "" {
		service = "SIP"
	}
	token, err := auth.NewAccessToken(testKey, testSecret).
		SetVideoGrant(&auth.VideoGrant{RoomCreate: true, RoomList: true, RoomAdmin: true, Room: room}).
		SetSIPGrant(&auth.SIPGrant{Admin: true, Call: true}).ToJWT()
	if err != nil {
		return reply{TransportError: err.Error()}
	}
	begin := time.Now()
	r := c.post(ctx, "/twirp/livekit."+service+"/"+method, token, body)
	r.TookMS = float64(time.Since(begin).Microseconds()) / 1000
	return r
}

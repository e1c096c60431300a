package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/livekit/protocol/auth"
	"github.com/livekit/protocol/livekit"
	lksdk "github.com/livekit/server-sdk-go/v2"
	"github.com/pion/webrtc/v4"
	"go.uber.org/goleak"

	"github.com/krosai/telephony/local/livekitd"
)

const key, secret = "devkey", "secretsecretsecretsecretsecretsecret"

func TestMain(m *testing.M) {
	known := []goleak.Option{
		// The LiveKit SDK ends these a moment after Disconnect.
		goleak.IgnoreAnyFunction("github.com/livekit/mediatransportutil/pkg/pacer.(*NoQueue).sendWorker"),
	}
	for _, f := range livekitd.Leftovers() {
		known = append(known, goleak.IgnoreAnyFunction(f))
	}
	goleak.VerifyTestMain(m, known...)
}

// stage is a LiveKit server with what the tests do to it.
type stage struct {
	t      *testing.T
	server *livekitd.Server
	rooms  *lksdk.RoomServiceClient
}

func newStage(t *testing.T) *stage {
	t.Helper()
	server, err := livekitd.Start(t.Context(), livekitd.Options{APIKey: key, APISecret: secret})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	return &stage{t: t, server: server, rooms: lksdk.NewRoomServiceClient(server.HTTPURL(), key, secret)}
}

func (s *stage) agent(o Options) *Agent {
	s.t.Helper()
	o.URL, o.APIKey, o.APISecret = s.server.URL(), key, secret
	if o.Names == nil {
		o.Names = []string{"demo-agent"}
	}
	a, err := Start(s.t.Context(), o)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { a.Close() })
	return a
}

// dispatch makes a room with the agent in it.
func (s *stage) dispatch(room, agent string, told any) {
	s.t.Helper()
	metadata, err := json.Marshal(told)
	if err != nil {
		s.t.Fatal(err)
	}
	_, err = s.rooms.CreateRoom(s.t.Context(), &livekit.CreateRoomRequest{
		Name: room, EmptyTimeout: 30, DepartureTimeout: 5,
		Agents: []*livekit.RoomAgentDispatch{{AgentName: agent, Metadata: string(metadata)}},
	})
	if err != nil {
		s.t.Fatal(err)
	}
}

// phone is a participant like LiveKit SIP's.
type phone struct {
	room   *lksdk.Room
	audio  atomic.Int64 // packets heard
	loud   atomic.Int64 // of them, not silent
	mu     sync.Mutex
	texts  []string
	tracks chan struct{} // the agent's track is here
}

func (s *stage) phone(room, status string) *phone {
	s.t.Helper()
	p := &phone{tracks: make(chan struct{}, 1)}
	callback := lksdk.NewRoomCallback()
	callback.OnTrackSubscribed = func(track *webrtc.TrackRemote, _ *lksdk.RemoteTrackPublication, _ *lksdk.RemoteParticipant) {
		select {
		case p.tracks <- struct{}{}:
		default:
		}
		for {
			packet, _, err := track.ReadRTP()
			if err != nil {
				return
			}
			if len(packet.Payload) == 0 {
				continue
			}
			p.audio.Add(1)
			if strings.Trim(string(packet.Payload), "\xff") != "" {
				p.loud.Add(1)
			}
		}
	}
	p.room = lksdk.NewRoom(callback)
	err := p.room.RegisterTextStreamHandler("lk.transcription", func(r *lksdk.TextStreamReader, _ string) {
		text := r.ReadAll()
		p.mu.Lock()
		p.texts = append(p.texts, text)
		p.mu.Unlock()
	})
	if err != nil {
		s.t.Fatal(err)
	}
	err = p.room.Join(s.server.URL(), lksdk.ConnectInfo{
		APIKey: key, APISecret: secret, RoomName: room, ParticipantIdentity: "callee-" + room,
		ParticipantKind:       lksdk.ParticipantSIP,
		ParticipantAttributes: map[string]string{livekit.AttrSIPCallStatus: status},
	})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(p.room.Disconnect)
	return p
}

// status changes the callee's status as LiveKit SIP does.
func (s *stage) status(room, status string) {
	s.t.Helper()
	_, err := s.rooms.UpdateParticipant(s.t.Context(), &livekit.UpdateParticipantRequest{
		Room: room, Identity: "callee-" + room, Attributes: map[string]string{livekit.AttrSIPCallStatus: status},
	})
	if err != nil {
		s.t.Fatal(err)
	}
}

func (p *phone) heard() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.texts...)
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for range 1000 {
		if ok() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("%s: not in 10 s", what)
}

// board is where transcripts are posted.
type board struct {
	*httptest.Server
	mu     sync.Mutex
	turns  []turn
	tokens map[string]bool
	fail   []int // statuses of the next answers
	posts  int
}

func newBoard(t *testing.T, fail ...int) *board {
	b := &board{tokens: map[string]bool{}, fail: fail}
	b.Server = httptest.NewServer(b)
	t.Cleanup(b.Close)
	return b
}

func (b *board) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.posts++
	if len(b.fail) > 0 {
		w.WriteHeader(b.fail[0])
		b.fail = b.fail[1:]
		return
	}
	var body struct{ Turns []turn }
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	b.turns = append(b.turns, body.Turns...)
	b.tokens[r.Header.Get("Authorization")] = true
	w.WriteHeader(http.StatusAccepted)
}

func (b *board) posted() (turns []turn, posts int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]turn(nil), b.turns...), b.posts
}

func TestConversation(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	b := newBoard(t)
	began := make(chan string, 1)
	a := s.agent(Options{
		Script: []Line{{"callee", "Who?"}, {"agent", "Me."}}, OnJob: func(room string) { began <- room },
	})
	s.dispatch("r1", "demo-agent", map[string]any{
		"call_id": "call_1", "system_prompt": "be kind", "welcome_message": "Good day!", "metadata": map[string]int{"n": 1},
		"transcript_url": b.URL, "call_token": "tok",
	})
	if room := <-began; room != "r1" {
		t.Errorf("job in room %q", room)
	}
	p := s.phone("r1", "ringing")
	select {
	case <-p.tracks:
	case <-time.After(5 * time.Second):
		t.Fatal("the agent has not published")
	}
	time.Sleep(300 * time.Millisecond)
	if n, texts := p.audio.Load(), p.heard(); n != 0 || len(texts) != 0 {
		t.Errorf("before the answer: %d packets, %q", n, texts)
	}

	s.status("r1", "active")
	eventually(t, "conversation", func() bool { return len(p.heard()) == 2 })
	if diff := cmp.Diff([]string{"Good day!", "Me."}, p.heard()); diff != "" {
		t.Error(diff)
	}
	eventually(t, "transcript", func() bool { turns, _ := b.posted(); return len(turns) == 3 })
	turns, _ := b.posted()
	var got []turn
	for i, one := range turns {
		if i > 0 && one.At.Sub(turns[i-1].At) < time.Second {
			t.Errorf("turn %d comes %v after the one before", i, one.At.Sub(turns[i-1].At))
		}
		one.At = time.Time{}
		got = append(got, one)
	}
	want := []turn{
		{ID: "call_1-1", Role: "agent", Content: "Good day!"},
		{ID: "call_1-2", Role: "callee", Content: "Who?"},
		{ID: "call_1-3", Role: "agent", Content: "Me."},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if !b.tokens["Bearer tok"] || len(b.tokens) != 1 {
		t.Errorf("authorization %v", b.tokens)
	}
	time.Sleep(1500 * time.Millisecond)
	if loud, all := p.loud.Load(), p.audio.Load(); loud < 40 || all-loud < 40 {
		t.Errorf("heard %d packets, %d of them voice", all, loud)
	}

	if a.Jobs() != 1 {
		t.Errorf("%d jobs while the callee is there", a.Jobs())
	}
	p.room.Disconnect()
	eventually(t, "agent leaves", func() bool { return a.Jobs() == 0 })
}

// Each way a call can end takes the agent out of the room.
func TestAgentLeaves(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	a := s.agent(Options{})
	for name, end := range map[string]func(room string, p *phone){
		"callee hangs up while talking": func(room string, p *phone) {
			s.status(room, "active")
			eventually(t, "voice", func() bool { return p.loud.Load() > 0 })
			p.room.Disconnect()
		},
		"status hangup, participant lingers": func(room string, _ *phone) {
			s.status(room, "active")
			s.status(room, "hangup")
		},
		"never answered": func(_ string, p *phone) { p.room.Disconnect() },
		"room deleted": func(room string, _ *phone) {
			if _, err := s.rooms.DeleteRoom(context.Background(), &livekit.DeleteRoomRequest{Room: room}); err != nil {
				t.Error(err)
			}
		},
	} {
		room := strings.ReplaceAll(name, " ", "-")
		s.dispatch(room, "demo-agent", map[string]string{})
		eventually(t, "job", func() bool { return a.Jobs() == 1 })
		p := s.phone(room, "ringing")
		select {
		case <-p.tracks:
		case <-time.After(5 * time.Second):
			t.Fatalf("%s: no agent", name)
		}
		end(room, p)
		eventually(t, name, func() bool { return a.Jobs() == 0 })
	}
}

func TestNames(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	a := s.agent(Options{Names: []string{"one"}})
	for range 2 {
		if err := a.Register("another"); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff([]string{"another", "one"}, a.Names()); diff != "" {
		t.Error(diff)
	}
	if err := a.Register(""); err == nil {
		t.Error("a worker without a name was registered")
	}
	s.dispatch("r", "another", map[string]string{})
	eventually(t, "job of the second name", func() bool { return a.Jobs() == 1 })
	a.Close()
	if a.Jobs() != 0 {
		t.Errorf("%d jobs after close", a.Jobs())
	}
	if err := a.Register("late"); err == nil {
		t.Error("a closed agent registered a worker")
	}
}

func TestStartRefused(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	began := time.Now()
	_, err := Start(t.Context(), Options{URL: s.server.URL(), APIKey: key, APISecret: "wrong" + secret, Names: []string{"x"}})
	if !errors.Is(err, errRefused) || time.Since(began) > 2*time.Second {
		t.Errorf("after %v: %v", time.Since(began), err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := Start(ctx, Options{URL: "ws://127.0.0.1:1", APIKey: key, APISecret: secret, Names: []string{"x"}}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("nobody listening: %v", err)
	}
}

// The worker finds its way back when the server returns on the same port.
func TestReconnect(t *testing.T) {
	t.Parallel()
	first, err := livekitd.Start(t.Context(), livekitd.Options{APIKey: key, APISecret: secret})
	if err != nil {
		t.Fatal(err)
	}
	a, err := Start(t.Context(), Options{URL: first.URL(), APIKey: key, APISecret: secret, Names: []string{"demo-agent"}})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	var port int
	if _, err := fmt.Sscanf(first.URL(), "ws://127.0.0.1:%d", &port); err != nil {
		t.Fatal(err)
	}
	second, err := livekitd.Start(t.Context(), livekitd.Options{APIKey: key, APISecret: secret, Port: port})
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	s := &stage{t: t, server: second, rooms: lksdk.NewRoomServiceClient(second.HTTPURL(), key, secret)}
	for i := 0; a.Jobs() == 0 && i < 20; i++ { // a dispatch finds no worker until ours is back
		s.dispatch(fmt.Sprint("r", i), "demo-agent", map[string]string{})
		time.Sleep(500 * time.Millisecond)
	}
	if a.Jobs() == 0 {
		t.Error("no job after the restart")
	}
}

func TestTranscriptRetries(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fail  []int
		turns int
		posts int
	}{
		"at once":       {nil, 1, 1},
		"server errors": {[]int{503, 500}, 1, 3},
		"too many":      {[]int{429}, 1, 2},
		"refused":       {[]int{401}, 0, 1},
		"given up":      {[]int{500, 500, 500, 500, 500}, 0, 5},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBoard(t, c.fail...)
			a, err := Start(t.Context(), Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer a.Close()
			script := a.newTranscript(b.URL, "tok", "call_1")
			script.add(Line{"agent", "hello"})
			script.finish()
			if turns, posts := b.posted(); len(turns) != c.turns || posts != c.posts {
				t.Errorf("%d turns in %d posts, want %d in %d", len(turns), posts, c.turns, c.posts)
			}
		})
	}
	t.Run("connection lost", func(t *testing.T) {
		t.Parallel()
		b := newBoard(t)
		broken := atomic.Bool{}
		client := &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
			if broken.CompareAndSwap(false, true) {
				return nil, io.ErrUnexpectedEOF
			}
			return http.DefaultTransport.RoundTrip(r)
		})}
		a, err := Start(t.Context(), Options{HTTP: client})
		if err != nil {
			t.Fatal(err)
		}
		defer a.Close()
		script := a.newTranscript(b.URL, "tok", "call_1")
		script.add(Line{"agent", "hello"})
		script.finish()
		if turns, _ := b.posted(); len(turns) != 1 {
			t.Errorf("%d turns", len(turns))
		}
		client.CloseIdleConnections()
		http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	})
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestFiftyJobs(t *testing.T) {
	s := newStage(t)
	a := s.agent(Options{})
	const n = 50
	before := cpu(t)
	for i := range n {
		room := fmt.Sprint("r", i)
		s.dispatch(room, "demo-agent", map[string]string{"welcome_message": "hello"})
	}
	eventually(t, "jobs", func() bool { return a.Jobs() == n })
	t.Logf("joining: %v of CPU for server and agent", cpu(t)-before)
	for i := range n { // callees with no media of their own: only the agent's cost is of interest
		s.silentCallee(fmt.Sprint("r", i))
	}
	before = cpu(t)
	time.Sleep(3 * time.Second)
	t.Logf("talking: %.0f %% of one core for server, agent and %d callees' signalling", float64(cpu(t)-before)/3e7, n)
	if a.Jobs() != n {
		t.Errorf("%d jobs left", a.Jobs())
	}
	for i := range n {
		if _, err := s.rooms.DeleteRoom(t.Context(), &livekit.DeleteRoomRequest{Room: fmt.Sprint("r", i)}); err != nil {
			t.Error(err)
		}
	}
	eventually(t, "all left", func() bool { return a.Jobs() == 0 })
}

// silentCallee is a telephone participant on the line that subscribes to nothing.
func (s *stage) silentCallee(room string) {
	s.t.Helper()
	token, err := auth.NewAccessToken(key, secret).SetIdentity("callee-" + room).SetKind(livekit.ParticipantInfo_SIP).
		SetAttributes(map[string]string{livekit.AttrSIPCallStatus: "active"}).
		SetVideoGrant(&auth.VideoGrant{RoomJoin: true, Room: room}).ToJWT()
	if err != nil {
		s.t.Fatal(err)
	}
	r, err := lksdk.ConnectToRoomWithToken(s.server.URL(), token, lksdk.NewRoomCallback(), lksdk.WithAutoSubscribe(false))
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(r.Disconnect)
}

package agent

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/livekit/protocol/livekit"
	lksdk "github.com/livekit/server-sdk-go/v2"
	"github.com/pion/webrtc/v4"
	"go.uber.org/goleak"

	"github.com/krosai/telephony/local/calltest"
	"github.com/krosai/telephony/local/livekitd"
)

const key, secret = "devkey", "secretsecretsecretsecretsecretsecret"

// server is the LiveKit server of all tests. LiveKit's logger is global, so one process cannot
// start two servers at a time. Each test uses its own agent names and rooms.
var server *livekitd.Server

// TestMain checks for leaks at the end. LiveKit needs some seconds to release the connections of
// its rooms.
func TestMain(m *testing.M) {
	var err error
	if server, err = livekitd.Start(context.Background(), livekitd.Options{APIKey: key, APISecret: secret}); err != nil {
		panic(err)
	}
	code := calltest.Judged(m)
	if err := server.Close(); err != nil {
		panic(err)
	}
	var known []goleak.Option
	for _, f := range livekitd.Leftovers() {
		known = append(known, goleak.IgnoreAnyFunction(f))
	}
	os.Exit(calltest.Leaks(code, known...))
}

// stage gives a test access to LiveKit.
type stage struct {
	t     *testing.T
	rooms *lksdk.RoomServiceClient
}

func newStage(t *testing.T) *stage {
	return &stage{t: t, rooms: lksdk.NewRoomServiceClient(server.HTTPURL(), key, secret)}
}

func (s *stage) agent(o Options) *Agent {
	s.t.Helper()
	o.URL, o.APIKey, o.APISecret = server.URL(), key, secret
	a, err := Start(s.t.Context(), o)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { a.Close() })
	return a
}

// dispatch makes a room and dispatches the agent to it.
func (s *stage) dispatch(room, agent string, told any) {
	s.t.Helper()
	metadata, err := json.Marshal(told)
	if err != nil {
		s.t.Fatal(err)
	}
	_, err = s.rooms.CreateRoom(s.t.Context(), &livekit.CreateRoomRequest{
		Name: room, EmptyTimeout: 300, DepartureTimeout: 5,
		Agents: []*livekit.RoomAgentDispatch{{AgentName: agent, Metadata: string(metadata)}},
	})
	if err != nil {
		s.t.Fatal(err)
	}
}

// phone is a participant like the telephone of LiveKit SIP.
type phone struct {
	room   *lksdk.Room
	audio  atomic.Int64 // received packets
	loud   atomic.Int64 // received packets that are not silent
	mu     sync.Mutex
	texts  []string
	tracks chan struct{} // gets a value when the agent's track arrives
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
			if bytes.Count(packet.Payload, []byte{0xff}) != len(packet.Payload) {
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
	err = p.room.Join(server.URL(), lksdk.ConnectInfo{
		APIKey: key, APISecret: secret, RoomName: room, ParticipantIdentity: "callee-" + room,
		ParticipantKind:       lksdk.ParticipantSIP,
		ParticipantAttributes: map[string]string{livekit.AttrSIPCallStatus: status},
	})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(p.room.Disconnect)
	// A track like the telephone's. Without a track, news of a participant is up to 3 s late.
	track, err := lksdk.NewLocalTrack(webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypePCMU, ClockRate: 8000, Channels: 1})
	if err != nil {
		s.t.Fatal(err)
	}
	if _, err := p.room.LocalParticipant.PublishTrack(track, &lksdk.TrackPublicationOptions{Name: "phone"}); err != nil {
		s.t.Fatal(err)
	}
	return p
}

// status changes the callee's status, as LiveKit SIP does.
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
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Errorf("%s: not in a minute", what)
}

// board is the server to which transcripts are posted.
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
		Names: []string{"talker"}, Script: []Line{{"callee", "Who?"}, {"agent", "Me."}}, OnJob: func(room string) { began <- room },
	})
	s.dispatch("r1", "talker", map[string]any{
		"call_id": "call_1", "system_prompt": "be kind", "welcome_message": "Good day!", "metadata": map[string]int{"n": 1},
		"transcript_url": b.URL, "call_token": "tok",
	})
	select {
	case room := <-began:
		if room != "r1" {
			t.Errorf("job in room %q", room)
		}
	case <-time.After(time.Minute):
		t.Fatal("no job")
	}
	p := s.phone("r1", "ringing")
	select {
	case <-p.tracks:
	case <-time.After(time.Minute):
		t.Fatal("the agent has not published")
	}
	time.Sleep(300 * time.Millisecond)
	// LiveKit itself begins a subscription with some silent packets.
	if n, texts := p.loud.Load(), p.heard(); n != 0 || len(texts) != 0 {
		t.Errorf("before the answer: %d packets of voice, %q", n, texts)
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
	eventually(t, "40 packets of voice and 40 without", func() bool {
		loud := p.loud.Load()
		return loud >= 40 && p.audio.Load()-loud >= 40
	})

	if a.Jobs() != 1 {
		t.Errorf("%d jobs while the callee is there", a.Jobs())
	}
	p.room.Disconnect()
	eventually(t, "agent leaves", func() bool { return a.Jobs() == 0 })
}

// TestRoomMetadata checks that the agent of an inbound call reads the room's metadata, set before
// or after it joins.
func TestRoomMetadata(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("takes 6 s: not with -short")
	}
	s := newStage(t)
	s.agent(Options{Names: []string{"receiver"}, Script: []Line{{"callee", "Hello?"}}})
	for name, early := range map[string]bool{"inbound-early": true, "inbound-late": false} {
		b := newBoard(t)
		tell := func() {
			metadata := fmt.Sprintf(`{"call_id":"call_1","direction":"inbound","transcript_url":%q,"call_token":"tok"}`, b.URL)
			_, err := s.rooms.UpdateRoomMetadata(t.Context(), &livekit.UpdateRoomMetadataRequest{Room: name, Metadata: metadata})
			if err != nil {
				t.Fatal(err)
			}
		}
		p := s.phone(name, "ringing") // creates the room
		if early {
			tell()
		}
		dispatches := lksdk.NewAgentDispatchServiceClient(server.HTTPURL(), key, secret)
		if _, err := dispatches.CreateDispatch(t.Context(), &livekit.CreateAgentDispatchRequest{Room: name, AgentName: "receiver"}); err != nil {
			t.Fatal(err)
		}
		s.status(name, "active")
		eventually(t, "welcome", func() bool { return len(p.heard()) == 1 })
		if !early {
			tell()
		}
		eventually(t, "transcript", func() bool { turns, _ := b.posted(); return len(turns) == 2 })
		if !b.tokens["Bearer tok"] {
			t.Errorf("authorization %v", b.tokens)
		}
		p.room.Disconnect()
	}
}

// TestAgentLeaves checks that the agent leaves the room, however the call ends.
func TestAgentLeaves(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	a := s.agent(Options{Names: []string{"leaver"}})
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
		s.dispatch(room, "leaver", map[string]string{})
		eventually(t, "job", func() bool { return a.Jobs() == 1 })
		p := s.phone(room, "ringing")
		select {
		case <-p.tracks:
		case <-time.After(time.Minute):
			t.Fatalf("%s: no agent", name)
		}
		began := time.Now()
		end(room, p)
		eventually(t, name, func() bool { return a.Jobs() == 0 })
		t.Logf("%s: gone after %v", name, time.Since(began))
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
	s.dispatch("r-names", "another", map[string]string{})
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
	_, err := Start(t.Context(), Options{URL: server.URL(), APIKey: key, APISecret: "wrong" + secret, Names: []string{"x"}})
	if !errors.Is(err, errRefused) {
		t.Error(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := Start(ctx, Options{URL: "ws://127.0.0.1:1", APIKey: key, APISecret: secret, Names: []string{"x"}}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("nobody listening: %v", err)
	}
}

// proxy is a TCP relay to the server. Tests can cut and restore it.
type proxy struct {
	net.Listener
	target string
	mu     sync.Mutex
	cut    bool
	conns  []net.Conn
	relays sync.WaitGroup
}

func newProxy(t *testing.T, target string) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{Listener: l, target: target}
	p.relays.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			p.relays.Go(func() { p.relay(conn) })
		}
	})
	t.Cleanup(func() { l.Close(); p.set(true); p.relays.Wait() })
	return p
}

func (p *proxy) relay(conn net.Conn) {
	defer conn.Close()
	up, err := net.Dial("tcp", p.target)
	if err != nil {
		return
	}
	defer up.Close()
	p.mu.Lock()
	cut := p.cut
	p.conns = append(p.conns, conn, up)
	p.mu.Unlock()
	if cut {
		return
	}
	p.relays.Go(func() { io.Copy(up, conn); up.Close() })
	io.Copy(conn, up)
}

func (p *proxy) set(cut bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut = cut
	for _, c := range p.conns {
		c.Close()
	}
	p.conns = nil
}

// TestReconnect checks that the worker registers again after the server was unreachable, and that
// its jobs survive the gap.
func TestReconnect(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	p := newProxy(t, strings.TrimPrefix(server.URL(), "ws://"))
	log := &lines{}
	a, err := Start(t.Context(), Options{
		URL: "ws://" + p.Addr().String(), APIKey: key, APISecret: secret, Names: []string{"returner"},
		Log: slog.New(slog.NewTextHandler(log, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	began := time.Now()
	p.set(true)
	eventually(t, "three attempts", func() bool { return log.count("agent worker disconnected") >= 3 })
	if took := time.Since(began); took < firstWait+2*firstWait {
		t.Errorf("three attempts in %v", took)
	}
	p.set(false)
	eventually(t, "second registration", func() bool { return log.count("agent worker registered") == 2 })
	time.Sleep(200 * time.Millisecond)
	s.dispatch("r-reconnect", "returner", map[string]string{})
	eventually(t, "job", func() bool { return a.Jobs() == 1 })
}

// lines collects log output.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *lines) count(s string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.text.String(), s)
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
			script := a.newTranscript("call_1")
			script.sendTo(b.URL, "tok")
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
		script := a.newTranscript("call_1")
		script.sendTo(b.URL, "tok")
		script.add(Line{"agent", "hello"})
		script.finish()
		if turns, _ := b.posted(); len(turns) != 1 {
			t.Errorf("%d turns", len(turns))
		}
		client.CloseIdleConnections()
		http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	})
}

// TestTranscriptToldLate checks that an agent may speak before it gets its transcript's URL, and
// that it may never get one.
func TestTranscriptToldLate(t *testing.T) {
	t.Parallel()
	b, other := newBoard(t), newBoard(t)
	a, err := Start(t.Context(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	script := a.newTranscript("RM_1")
	script.add(Line{"agent", "hello"})
	script.sendTo("", "tok")
	script.sendTo(b.URL, "")
	script.sendTo(b.URL, "tok")
	script.sendTo(other.URL, "tok")
	script.add(Line{"agent", "goodbye"})
	script.finish()
	if turns, _ := b.posted(); len(turns) != 2 {
		t.Errorf("%d turns", len(turns))
	}
	never := a.newTranscript("RM_2")
	never.add(Line{"agent", "hello"})
	never.finish()
	never.sendTo(other.URL, "tok")
	if _, posts := other.posted(); posts != 0 {
		t.Errorf("%d posts to where no transcript was to go", posts)
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

package livekitd

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/livekit/protocol/auth"
	"github.com/livekit/protocol/livekit"
	"github.com/livekit/protocol/webhook"
	lksdk "github.com/livekit/server-sdk-go/v2"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/krosai/telephony/local/calltest"
)

const key, secret = "devkey", "secretsecretsecretsecretsecretsecret"

func TestMain(m *testing.M) {
	var known []goleak.Option
	for _, f := range Leftovers() {
		known = append(known, goleak.IgnoreAnyFunction(f))
	}
	os.Exit(calltest.Leaks(calltest.Judged(m), known...))
}

func mustStart(t *testing.T, o Options) *Server {
	t.Helper()
	o.APIKey, o.APISecret = key, secret
	s, err := Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestStart(t *testing.T) {
	begin := time.Now()
	mustStart(t, Options{})
	t.Logf("start took %v", time.Since(begin)) // half a second on an idle machine
}

func TestStartRefusesWeakKeys(t *testing.T) {
	for _, o := range []Options{{}, {APIKey: key}, {APIKey: key, APISecret: "short"}} {
		if s, err := Start(t.Context(), o); err == nil {
			s.Close()
			t.Errorf("started with key %q and secret %q", o.APIKey, o.APISecret)
		}
	}
}

func TestStartReportsPortInUse(t *testing.T) {
	first := mustStart(t, Options{})
	o := Options{APIKey: key, APISecret: secret, Port: first.port}
	if s, err := Start(t.Context(), o); err == nil {
		s.Close()
		t.Error("two servers listen on one port")
	}
}

func TestListensElsewhereToo(t *testing.T) {
	const also = "127.0.0.2" // on Linux 127.0.0.0/8 is this machine
	l, err := net.Listen("tcp", also+":0")
	if err != nil {
		t.Skipf("skipped: %v", err)
	}
	l.Close()
	s := mustStart(t, Options{ListenAlso: also})
	for _, url := range []string{s.HTTPURL(), strings.Replace(s.HTTPURL(), "127.0.0.1", also, 1)} {
		res, err := http.Get(url)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != http.StatusOK {
			t.Errorf("%s: %s", url, res.Status)
		}
	}
	if res, err := http.Get(strings.Replace(s.HTTPURL(), "127.0.0.1", "127.0.0.3", 1)); err == nil {
		res.Body.Close()
		t.Error("it listens at an address that nobody named")
	}
}

func TestRoomsSpeakPCMUAndWebhooksAreSigned(t *testing.T) {
	events := make(chan *livekit.WebhookEvent, 10)
	hook := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		e, err := webhook.ReceiveWebhookEvent(r, auth.NewSimpleKeyProvider(key, secret))
		if err != nil {
			t.Errorf("webhook: %v", err)
			return
		}
		events <- e
	}))
	t.Cleanup(hook.Close)
	s := mustStart(t, Options{WebhookURLs: []string{hook.URL}})

	rooms := lksdk.NewRoomServiceClient(s.HTTPURL(), key, secret)
	room, err := rooms.CreateRoom(t.Context(), &livekit.CreateRoomRequest{Name: "r"})
	if err != nil {
		t.Fatal(err)
	}
	want := []*livekit.Codec{{Mime: "audio/PCMU"}}
	if diff := cmp.Diff(want, room.EnabledCodecs, protocmp.Transform()); diff != "" {
		t.Errorf("codecs (-want +got):\n%s", diff)
	}
	select {
	case e := <-events:
		if e.Event != "room_started" || e.Room.GetName() != "r" {
			t.Errorf("first event is %s of room %q", e.Event, e.Room.GetName())
		}
	case <-time.After(time.Minute):
		t.Error("no webhook")
	}
}

func TestTrunksSurviveARestart(t *testing.T) {
	dir := t.TempDir()
	ctx := context.Background()
	s := mustStart(t, Options{Dir: dir})
	sip := lksdk.NewSIPClient(s.HTTPURL(), key, secret)
	trunk, err := sip.CreateSIPOutboundTrunk(ctx, &livekit.CreateSIPOutboundTrunkRequest{Trunk: &livekit.SIPOutboundTrunkInfo{
		Name: "n", Address: "127.0.0.1:5060", Numbers: []string{"+15550000001"}, AuthUsername: "u", AuthPassword: "pässword"}})
	if err != nil {
		t.Fatal(err)
	}
	gone, err := sip.CreateSIPInboundTrunk(ctx, &livekit.CreateSIPInboundTrunkRequest{Trunk: &livekit.SIPInboundTrunkInfo{Name: "gone", Numbers: []string{"+15550000002"}}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := sip.DeleteSIPTrunk(ctx, &livekit.DeleteSIPTrunkRequest{SipTrunkId: gone.SipTrunkId}); err != nil {
		t.Fatal(err)
	}
	// The copy holds the state that a kill at this moment would leave.
	killed := copyOnce(t, dir, func(kept string) bool {
		return strings.Contains(kept, trunk.SipTrunkId) && !strings.Contains(kept, gone.SipTrunkId)
	})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}

	for name, dir := range map[string]string{"closed": dir, "killed": killed} {
		t.Run(name, func(t *testing.T) {
			again := lksdk.NewSIPClient(mustStart(t, Options{Dir: dir}).HTTPURL(), key, secret)
			got, err := again.ListSIPOutboundTrunk(ctx, &livekit.ListSIPOutboundTrunkRequest{})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]*livekit.SIPOutboundTrunkInfo{trunk}, got.Items, protocmp.Transform()); diff != "" {
				t.Errorf("trunks (-want +got):\n%s", diff)
			}
			in, err := again.ListSIPInboundTrunk(ctx, &livekit.ListSIPInboundTrunkRequest{})
			if err != nil {
				t.Fatal(err)
			}
			if len(in.Items) != 0 {
				t.Errorf("a deleted trunk came back: %v", in.Items)
			}
		})
	}
}

// copyOnce waits until the file is as wanted, checks its mode and copies it to a new folder.
func copyOnce(t *testing.T, dir string, wanted func(kept string) bool) string {
	t.Helper()
	from := filepath.Join(dir, "livekit-sip.json")
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(keepEvery / 10) {
		if kept, err := os.ReadFile(from); err == nil && wanted(string(kept)) {
			break
		}
	}
	info, err := os.Stat(from)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("file mode is %v", info.Mode())
	}
	raw, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	to := t.TempDir()
	if err := os.WriteFile(filepath.Join(to, "livekit-sip.json"), raw, 0o600); err != nil {
		t.Fatal(err)
	}
	return to
}

func TestBrokenFileIsAnError(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "livekit-sip.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if s, err := Start(t.Context(), Options{Dir: dir, APIKey: key, APISecret: secret}); err == nil {
		s.Close()
		t.Error("started over a broken file")
	}
}

func TestRedisForgetsWithTime(t *testing.T) {
	s := mustStart(t, Options{})
	if err := s.redis.Set("k", "v"); err != nil {
		t.Fatal(err)
	}
	s.redis.SetTTL("k", 50*time.Millisecond)
	for end := time.Now().Add(time.Minute); s.redis.Exists("k"); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("a key outlives its TTL")
		}
	}
}

func TestLogHoldsNoRequests(t *testing.T) {
	var out strings.Builder
	setLogger(slog.New(slog.NewTextHandler(&out, nil)))
	log := slog.New(errorsOnly{})
	log.Info("quiet")
	log.With("request", &livekit.SIPOutboundTrunkInfo{AuthPassword: "hidden"}, "room", "r", "transferTo", "tel:+14155550177").
		Error("loud", "error", io.EOF, "request", &livekit.SIPOutboundTrunkInfo{AuthPassword: "hidden"}, "toUser", "14155550177", "trunkID", "ST_1")
	got := out.String()
	for _, hidden := range []string{"quiet", "hidden", "4155550177"} {
		if strings.Contains(got, hidden) {
			t.Errorf("%s is logged: %s", hidden, got)
		}
	}
	for _, told := range []string{"EOF", "room=r", "trunkID=ST_1"} {
		if !strings.Contains(got, told) {
			t.Errorf("%s is not logged: %s", told, got)
		}
	}
}

// Package livekitd runs the real LiveKit server inside this process, with an in-memory Redis as
// its bus.
//
// Rooms live as long as the process. SIP trunks and dispatch rules survive a restart, even after a
// kill, because they are written to a file whenever they change.
package livekitd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/livekit/livekit-server/pkg/config"
	"github.com/livekit/livekit-server/pkg/routing"
	"github.com/livekit/livekit-server/pkg/service"
	"github.com/livekit/livekit-server/pkg/telemetry/prometheus"
	"gopkg.in/yaml.v3"
)

// Options configure the server. The zero value of every field except the keys is usable.
type Options struct {
	// Dir is the folder for trunks and rules (file livekit-sip.json, mode 0600 because it contains
	// trunk passwords). If it is empty, nothing survives a restart.
	Dir string
	// APIKey and APISecret sign requests, room tokens and webhooks. LiveKit requires a secret of at
	// least 32 characters.
	APIKey, APISecret string
	// WebhookURLs receive LiveKit's events, signed with APIKey.
	WebhookURLs []string
	// Port is the port of HTTP and WebSocket on 127.0.0.1. 0 takes a free one. Media ports are
	// always free ones.
	Port int
	// ListenAlso is an IP address besides 127.0.0.1 for HTTP and WebSocket. Empty means none.
	ListenAlso string
	// RedisAddr is the address of the bus. Empty takes a free port on 127.0.0.1.
	RedisAddr string
	// Opus allows Opus besides PCMU in rooms, because LiveKit's own SIP service publishes
	// only Opus.
	Opus bool
	// Log receives LiveKit's errors and nothing below that level. Nil discards them.
	Log *slog.Logger
}

// Server is a running LiveKit server.
type Server struct {
	port      int
	redis     *miniredis.Miniredis
	livekit   *service.LivekitServer
	keeper    *keeper
	served    chan error
	closeOnce sync.Once
	closeErr  error
}

// Start returns when the server answers HTTP, or with an error. Several servers may run in one
// process, one after another or side by side. Only the first one registers LiveKit's Prometheus
// metrics, which are not served here. LiveKit's logger is the one of the server started last.
func Start(ctx context.Context, o Options) (*Server, error) {
	if o.APIKey == "" || len(o.APISecret) < 32 {
		return nil, errors.New("livekit needs an API key and a secret of at least 32 characters")
	}
	setLogger(o.Log)

	s := &Server{redis: miniredis.NewMiniRedis(), served: make(chan error, 1)}
	s.redis.ClockTTL(true)
	if err := startRedis(s.redis, o.RedisAddr); err != nil {
		return nil, fmt.Errorf("start redis: %w", err)
	}
	var err error
	if o.Dir != "" {
		if s.keeper, err = keep(s.redis, filepath.Join(o.Dir, "livekit-sip.json"), o.Log); err != nil {
			s.redis.Close()
			return nil, err
		}
	}
	for range 5 { // another process may take a chosen port before LiveKit listens on it
		if err = s.serve(ctx, o); o.Port != 0 || !errors.Is(err, syscall.EADDRINUSE) {
			break
		}
	}
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func startRedis(m *miniredis.Miniredis, addr string) error {
	if addr == "" {
		addr = "127.0.0.1:0"
	}
	return m.StartAddr(addr)
}

func (s *Server) serve(ctx context.Context, o Options) error {
	conf, err := s.config(o)
	if err != nil {
		return err
	}
	s.port = int(conf.Port)
	node, err := routing.NewLocalNode(conf)
	if err != nil {
		return fmt.Errorf("livekit node: %w", err)
	}
	if err := prometheus.Init(string(node.NodeID()), node.NodeType()); err != nil {
		return fmt.Errorf("livekit metrics: %w", err)
	}
	lk, err := service.InitializeServer(conf, node)
	if err != nil {
		return fmt.Errorf("livekit: %w", err)
	}
	s.livekit = lk
	go func() { s.served <- lk.Start() }()
	return s.untilReady(ctx)
}

// untilReady waits for an HTTP answer and for IsRunning, because Stop does nothing before the
// server is running.
func (s *Server) untilReady(ctx context.Context) error {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: time.Second}
	for {
		if s.livekit.IsRunning() {
			if res, err := client.Get(s.HTTPURL()); err == nil {
				return res.Body.Close()
			}
		}
		select {
		case err := <-s.served:
			s.livekit = nil
			return fmt.Errorf("livekit stopped: %w", err)
		case <-ctx.Done():
			return fmt.Errorf("livekit did not answer: %w", ctx.Err())
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// config is LiveKit's configuration: media on loopback only, no public STUN servers, rooms
// with PCMU.
func (s *Server) config(o Options) (*config.Config, error) {
	ports, err := freePorts(3)
	if err != nil {
		return nil, err
	}
	if o.Port != 0 {
		// LiveKit would detect a taken port later, and leave its media ports open.
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(o.Port)))
		if err != nil {
			return nil, err
		}
		l.Close()
		ports[0] = o.Port
	}
	codecs := []map[string]string{{"mime": "audio/PCMU"}}
	if o.Opus {
		codecs = append(codecs, map[string]string{"mime": "audio/opus"})
	}
	addresses := []string{"127.0.0.1"}
	if o.ListenAlso != "" {
		addresses = append(addresses, o.ListenAlso)
	}
	text, err := yaml.Marshal(map[string]any{
		"port":           ports[0],
		"bind_addresses": addresses,
		"rtc": map[string]any{
			"udp_port": ports[1], "tcp_port": ports[2], "node_ip": "127.0.0.1", "use_external_ip": false,
			"enable_loopback_candidate": true,
			// With an empty list LiveKit would ask public servers. No server listens here, and none
			// is needed.
			"stun_servers": []string{"127.0.0.1:9"},
			"interfaces":   map[string]any{"includes": []string{"lo", "lo0"}},
		},
		"redis":   map[string]any{"address": s.redis.Addr()},
		"keys":    map[string]string{o.APIKey: o.APISecret},
		"webhook": map[string]any{"api_key": o.APIKey, "urls": o.WebhookURLs},
		"room": map[string]any{
			"auto_create":    true,
			"enabled_codecs": codecs,
		},
	})
	if err != nil {
		return nil, err
	}
	conf, err := config.NewConfig(string(text), true, nil, nil)
	if err != nil {
		return nil, fmt.Errorf("livekit configuration: %w", err)
	}
	return conf, nil
}

// freePorts returns n ports that are free for TCP and UDP on 127.0.0.1 at this moment. They are
// below the range that systems assign to clients and to listeners on port 0, so no other program
// takes them before LiveKit does.
func freePorts(n int) ([]int, error) {
	const from, to, tries = 20000, 30000, 1000
	var ports []int
	for range tries {
		if len(ports) == n {
			return ports, nil
		}
		port := from + rand.IntN(to-from)
		addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
		l, err := net.Listen("tcp", addr)
		if err != nil {
			continue
		}
		defer l.Close()
		u, err := net.ListenPacket("udp", addr)
		if err != nil {
			continue
		}
		defer u.Close()
		ports = append(ports, port)
	}
	return nil, errors.New("no free ports")
}

// URL is the WebSocket address for participants and agents.
func (s *Server) URL() string { return fmt.Sprintf("ws://127.0.0.1:%d", s.port) }

// HTTPURL is the address of LiveKit's API.
func (s *Server) HTTPURL() string { return fmt.Sprintf("http://127.0.0.1:%d", s.port) }

// RedisAddr is the address of the bus. A SIP service reaches the server through it.
func (s *Server) RedisAddr() string { return s.redis.Addr() }

// Close ends all rooms, stops the server and its Redis, and writes trunks and rules for the
// last time.
func (s *Server) Close() error {
	s.closeOnce.Do(func() {
		if s.livekit != nil {
			s.livekit.Stop(true)
			if err := <-s.served; err != nil {
				s.closeErr = fmt.Errorf("livekit: %w", err)
			}
		}
		if s.keeper != nil {
			s.closeErr = errors.Join(s.closeErr, s.keeper.close())
		}
		s.redis.Close()
	})
	return s.closeErr
}

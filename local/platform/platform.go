// Package platform runs the whole platform in one process: the functions, state machines and tables
// of template.yaml, a real LiveKit server, a SIP bridge, a simulated carrier and a demo agent.
package platform

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"

	dynamodbsdk "github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/krosai/telephony/emulator/dynamodb"
	"github.com/krosai/telephony/emulator/file"
	"github.com/krosai/telephony/emulator/iam"
	"github.com/krosai/telephony/emulator/inprocess"
	"github.com/krosai/telephony/emulator/stepfunctions"
	"github.com/krosai/telephony/emulator/template"
	"github.com/krosai/telephony/local/agent"
	"github.com/krosai/telephony/local/bridge"
	"github.com/krosai/telephony/local/carrier"
	"github.com/krosai/telephony/local/gateway"
	"github.com/krosai/telephony/local/issuer"
	"github.com/krosai/telephony/local/livekitd"
	"github.com/krosai/telephony/shared/call/summary"
	"github.com/krosai/telephony/shared/livekit"
	"github.com/krosai/telephony/shared/oidc"
	"github.com/krosai/telephony/shared/store"
	"github.com/krosai/telephony/shared/webhook/queue"
)

// Config configures the platform. The zero value of each field except Root, Dir and SweepEvery is
// a sensible default. SweepEvery must be more than 0.
type Config struct {
	// Root is the repository. template.yaml and statemachines/ are read from it.
	Root string `env:"KROS_ROOT" envDefault:"."`
	Dir  string `env:"KROS_DIR" envDefault:".local"` // folder for the data
	Port int    `env:"PORT" envDefault:"8080"`       // of the API; 0 takes a free port

	// The settings' names differ from the variables that the platform writes to .local/env
	// for agents and tools. Therefore a shell that has sourced that file starts the same
	// platform again.
	LiveKitURL    string `env:"KROS_LIVEKIT_URL"` // a LiveKit to use instead of the embedded one
	LiveKitKey    string `env:"KROS_LIVEKIT_API_KEY"`
	LiveKitSecret string `env:"KROS_LIVEKIT_API_SECRET"`
	// LiveKitSIP is the livekit-sip binary to run instead of the bridge.
	LiveKitSIP string `env:"KROS_LIVEKIT_SIP"`
	DynamoDB   string `env:"KROS_DYNAMODB_ENDPOINT"`
	// Lambda is the address of sam local start-lambda, which then runs the workflows' tasks instead
	// of this process.
	Lambda string `env:"KROS_LAMBDA_ENDPOINT"`
	// ListenAlso is an IP address besides 127.0.0.1 for the emulators and LiveKit, so that
	// containers reach them.
	ListenAlso string `env:"LISTEN_ALSO"`

	// AllowedHosts are further host names, besides this machine's own, by which clients may call
	// the API and the emulators.
	AllowedHosts []string `env:"KROS_ALLOWED_HOSTS"`

	Summary summary.Config // summarizes calls

	// MaxCalls is the number of concurrent calls. 0 is 60 per core.
	MaxCalls int `env:"MAX_CALLS"`
	// SweepEvery is the interval of the schedules here. It replaces the intervals of template.yaml.
	SweepEvery time.Duration `env:"SWEEP_EVERY" envDefault:"15s"`
	// Script returns a callee's script. Nil is the carrier's own cast.
	Script func(string) carrier.Script `env:"-"`
	// LiveKitWebhooks, for tests, stands between LiveKit's webhooks and the function that receives
	// them. It may lose, delay, double or shuffle them on their way to next.
	LiveKitWebhooks func(next http.Handler) http.Handler `env:"-"`
	Log             *slog.Logger                         `env:"-"`
}

// Platform is the running platform.
type Platform struct {
	Config  Config
	Access  Access // for a user of the platform
	Carrier *carrier.Carrier
	LiveKit *livekit.Client
	DB      *store.DB
	Flows   *stepfunctions.Service
	Agent   *agent.Agent
	Server  *livekitd.Server // nil if another LiveKit is used

	log       *slog.Logger
	issuer    *issuer.Issuer // of users' tokens
	users     *oidc.Verifier // verifies the issuer's tokens
	functions map[string]function
	closers   []func() error // run in reverse
	running   sync.WaitGroup
	cancel    context.CancelFunc
}

// tables have the template's names for a stack called kros.
var tables = store.Config{Numbers: "kros-numbers", Requests: "kros-requests", Calls: "kros-calls", Stats: "kros-stats",
	Keys: "kros-keys", Limits: "kros-limits", Audit: "kros-audit", Webhooks: "kros-webhooks", Events: "kros-events"}

// sipService is the bridge or the real livekit-sip.
type sipService interface {
	SIPAddr() string
	Close() error
}

// Start starts everything and returns when calls can be placed. After an error nothing is
// left running.
func Start(ctx context.Context, c Config) (*Platform, error) {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	p := &Platform{Config: c, log: c.Log}
	if err := p.start(ctx); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	return p, nil
}

func (p *Platform) start(ctx context.Context) error {
	background, cancel := context.WithCancel(context.Background())
	p.cancel = cancel
	if p.Config.Summary.BedrockModel != "" && os.Getenv("AWS_ACCESS_KEY_ID") == anyCredential {
		return fmt.Errorf("BEDROCK_MODEL_ID needs credentials of AWS, and this shell has those of %s, which are the emulators': "+
			"use another shell", p.envFile())
	}
	if err := os.MkdirAll(p.Config.Dir, 0o700); err != nil {
		return err
	}
	tmpl, err := template.Open(filepath.Join(p.Config.Root, "template.yaml"), template.Values{"LiveKitUrl": "ws://127.0.0.1", "LiveKitApiKey": "kros", "LiveKitApiSecret": "unused here, the functions get the real one"})
	if err != nil {
		return err
	}
	if err := p.recall(); err != nil {
		return err
	}
	api, err := p.listenAPI()
	if err != nil {
		return err
	}
	aws, err := p.startAWS(ctx, tmpl)
	if err != nil {
		return err
	}
	if err := p.startLiveKit(ctx); err != nil {
		return err
	}
	if err := p.startIssuer(); err != nil {
		return err
	}
	deps := p.dependencies(aws, tables)
	deps.Queue = queue.Open(config(aws.sqs, ""), queue.Config{Deliveries: deliveriesQueue(tmpl)})
	p.functions = p.build(tmpl, p.endpoints(deps), tasks(deps), deps)
	sources, err := p.openSources(ctx, tmpl, aws)
	if err != nil {
		return err
	}
	served := gateway.New(tmpl.Routes(), p.invoke, gateway.Options{Log: p.log, Fallback: tmpl.Fallback()})
	if err := p.startPhones(ctx); err != nil {
		return err
	}
	p.Flows.Start()
	sources.Start()
	if err := p.seed(ctx, inprocess.Client(served)); err != nil {
		return err
	}
	p.serve(api, p.wrapWebhooks(served)) // requests wait at the open port until now
	p.schedule(background, tmpl.Schedules())
	p.keepTokensFresh(background)
	return p.remember()
}

// startAWS opens the emulators, creates the tables and queues and loads the workflows.
func (p *Platform) startAWS(ctx context.Context, tmpl *template.Template) (clients, error) {
	var c clients
	roles, err := iam.New(tmpl.Functions(), nil)
	if err != nil {
		return c, err
	}
	if p.Config.DynamoDB == "" {
		db, err := dynamodb.Open(filepath.Join(p.Config.Dir, "dynamodb.bolt"), dynamodb.Options{})
		if err != nil {
			return c, p.inUse(err)
		}
		p.onClose(db.Close)
		c.dynamodb, c.written = &http.Client{Transport: roles.Guard(db.Client().Transport, nil)}, db.Written
		if p.Access.DynamoDB, err = p.serveOn(p.port(1), db); err != nil {
			return c, err
		}
	} else {
		p.Access.DynamoDB = p.Config.DynamoDB
		c.dynamodb = &http.Client{Transport: roles.Guard(http.DefaultTransport, nil)}
	}
	flows, err := stepfunctions.Open(stepfunctions.Options{Path: filepath.Join(p.Config.Dir, "stepfunctions.bolt"),
		Invoke: p.invokeTask, Log: p.log})
	if err != nil {
		return c, p.inUse(err)
	}
	p.onClose(flows.Close)
	p.Flows, c.sfn = flows, &http.Client{Transport: roles.Guard(flows.Client().Transport, flows.MachineOf)}
	if p.Access.StepFunctions, err = p.serveOn(p.port(2), flows); err != nil {
		return c, err
	}
	if c.sqs, err = p.startQueues(ctx, tmpl, roles); err != nil {
		return c, err
	}
	for _, m := range tmpl.StateMachines() {
		arn, err := flows.Load(m.Name, m.Definition)
		if err != nil {
			return c, fmt.Errorf("state machine %s: %w", m.Name, err)
		}
		switch m.LogicalID {
		case "CallMachine":
			c.machines.CallMachine = arn
		case "ApprovalMachine":
			c.machines.ApprovalMachine = arn
		}
	}
	return c, createTables(ctx, dynamodbsdk.NewFromConfig(config(c.dynamodb, p.Config.DynamoDB)), tmpl.Tables())
}

// startLiveKit starts the embedded LiveKit server unless the configuration names another.
func (p *Platform) startLiveKit(ctx context.Context) error {
	if p.Config.LiveKitURL != "" {
		p.Access.LiveKitURL, p.Access.LiveKitKey, p.Access.LiveKitSecret = p.Config.LiveKitURL, p.Config.LiveKitKey, p.Config.LiveKitSecret
		return nil
	}
	server, err := livekitd.Start(ctx, livekitd.Options{Dir: p.Config.Dir, APIKey: p.Access.LiveKitKey, APISecret: p.Access.LiveKitSecret,
		WebhookURLs: []string{p.Access.URL + webhookPath}, Port: p.freePort(7880), ListenAlso: p.Config.ListenAlso, Opus: p.Config.LiveKitSIP != "", Log: p.log})
	if err != nil {
		return err
	}
	p.Server = server
	p.onClose(server.Close)
	p.Access.LiveKitURL, p.Access.redis = server.URL(), server.RedisAddr()
	return nil
}

// webhookPath is the path that receives LiveKit's webhooks.
const webhookPath = "/webhooks/livekit"

// wrapWebhooks routes LiveKit's webhooks through Config.LiveKitWebhooks, if set.
func (p *Platform) wrapWebhooks(api http.Handler) http.Handler {
	if p.Config.LiveKitWebhooks == nil {
		return api
	}
	webhooks := p.Config.LiveKitWebhooks(api)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == webhookPath {
			webhooks.ServeHTTP(w, r)
		} else {
			api.ServeHTTP(w, r)
		}
	})
}

// startPhones starts the carrier, the SIP service for the embedded LiveKit, and the demo agent.
func (p *Platform) startPhones(ctx context.Context) error {
	var err error
	p.Carrier, err = carrier.Start(carrier.Options{Addr: fmt.Sprintf("127.0.0.1:%d", p.freePort(5070)),
		Username: carrierUser, Password: carrierPassword, Realm: "carrier", Script: p.Config.Script, Log: p.log})
	if err != nil {
		return fmt.Errorf("carrier: %w", err)
	}
	p.onClose(p.Carrier.Close)
	p.Access.Carrier = p.Carrier.Addr()
	if p.Access.redis != "" {
		sip, err := p.startSIP(ctx)
		if err != nil {
			return err
		}
		p.onClose(sip.Close)
		p.Access.SIP = sip.SIPAddr()
	}
	p.Agent, err = agent.Start(ctx, agent.Options{URL: p.Access.LiveKitURL, APIKey: p.Access.LiveKitKey,
		APISecret: p.Access.LiveKitSecret, Names: []string{demoAgent}, Log: p.log})
	if err != nil {
		return fmt.Errorf("demo agent: %w", err)
	}
	p.onClose(p.Agent.Close)
	return nil
}

func (p *Platform) startSIP(ctx context.Context) (sipService, error) {
	o := bridge.Options{RedisAddr: p.Access.redis, LiveKitURL: p.Access.LiveKitURL, APIKey: p.Access.LiveKitKey,
		APISecret: p.Access.LiveKitSecret, SIPAddr: fmt.Sprintf("127.0.0.1:%d", p.freePort(5060)), Log: p.log}
	if p.Config.LiveKitSIP != "" {
		return bridge.StartReal(ctx, p.Config.LiveKitSIP, o)
	}
	return bridge.Start(ctx, o)
}

// Close stops everything in the reverse order of its start. Calls in progress end. Executions and
// tables are kept for the next start.
func (p *Platform) Close() error {
	if p.cancel != nil {
		p.cancel()
	}
	p.running.Wait()
	var errs []error
	for _, closer := range slices.Backward(p.closers) {
		errs = append(errs, closer())
	}
	p.closers = nil
	return errors.Join(errs...)
}

func (p *Platform) onClose(f func() error) { p.closers = append(p.closers, f) }

// port is the preferred port of the n-th neighbor of the API. It is 0 if the API takes any
// free port.
func (p *Platform) port(n int) int {
	if p.Config.Port == 0 {
		return 0
	}
	return p.Config.Port + n
}

// listenAPI opens the API's port. Clients wait until the port is served.
func (p *Platform) listenAPI() (net.Listener, error) {
	l, err := p.listen(p.Config.Port)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("port %d is taken, by another platform or program: PORT moves the API, and a second platform "+
			"needs a folder too (PORT=%d KROS_DIR=.local2 make run)", p.Config.Port, p.Config.Port+10)
	}
	if err != nil {
		return nil, fmt.Errorf("%w (PORT moves the API)", err)
	}
	p.onClose(func() error {
		_ = l.Close() // if it was served, the server has closed it
		return nil
	})
	p.Access.URL = "http://" + l.Addr().String()
	p.Access.Console = p.Access.URL + "/console/"
	return l, nil
}

// inUse explains why the data in the platform's folder cannot be opened.
func (p *Platform) inUse(err error) error {
	if !errors.Is(err, file.ErrInUse) {
		return fmt.Errorf("open the data in %s: %w", p.Config.Dir, err)
	}
	return fmt.Errorf("another platform uses the data in %s (%w): KROS_DIR takes another folder", p.Config.Dir, err)
}

// listen opens a TCP port of this machine.
func (p *Platform) listen(port int) (net.Listener, error) {
	return net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
}

// freePort returns port if it is free for TCP and UDP. Otherwise, or if the API takes any free
// port, it returns 0.
func (p *Platform) freePort(port int) int {
	if p.Config.Port == 0 {
		return 0
	}
	l, err := p.listen(port)
	if err != nil {
		return 0
	}
	defer l.Close()
	u, err := net.ListenPacket("udp", l.Addr().String())
	if err != nil {
		return 0
	}
	u.Close()
	return port
}

// serveOn serves h on a port, or on a free one if that port is taken, and returns its URL. With
// LISTEN_ALSO, h is served on the same port of that address too.
func (p *Platform) serveOn(port int, h http.Handler) (string, error) {
	l, err := p.listenOn(port)
	if err != nil {
		return "", err
	}
	p.serve(l, h)
	if p.Config.ListenAlso != "" {
		_, number, _ := net.SplitHostPort(l.Addr().String())
		also, err := net.Listen("tcp", net.JoinHostPort(p.Config.ListenAlso, number))
		if err != nil {
			return "", fmt.Errorf("%w (LISTEN_ALSO is an address of this machine)", err)
		}
		p.serve(also, h)
	}
	return "http://" + l.Addr().String(), nil
}

// listenOn opens a port, or a free one if that port is taken.
func (p *Platform) listenOn(port int) (net.Listener, error) {
	if l, err := p.listen(port); err == nil {
		return l, nil
	}
	return p.listen(0)
}

func (p *Platform) serve(l net.Listener, h http.Handler) {
	server := &http.Server{Handler: p.hostsOnly(h), ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = server.Serve(l) }() // ends with ErrServerClosed when the platform closes it
	p.onClose(func() error {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		if err := server.Shutdown(ctx); err != nil {
			return server.Close()
		}
		return nil
	})
}

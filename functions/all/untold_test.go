package all_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/service/sfn"

	"github.com/krosai/telephony/emulator/iam"
	"github.com/krosai/telephony/emulator/stepfunctions"
	"github.com/krosai/telephony/functions/all"
	"github.com/krosai/telephony/functions/awaitcall"
	"github.com/krosai/telephony/functions/deliverwebhook"
	"github.com/krosai/telephony/functions/dialcall"
	"github.com/krosai/telephony/functions/finishcall"
	"github.com/krosai/telephony/functions/hangupcall"
	"github.com/krosai/telephony/functions/livekitwebhook"
	"github.com/krosai/telephony/functions/preparecall"
	"github.com/krosai/telephony/functions/sweepcalls"
	"github.com/krosai/telephony/functions/transfercall"
	"github.com/krosai/telephony/shared/api"
	"github.com/krosai/telephony/shared/call"
	"github.com/krosai/telephony/shared/call/summary"
	"github.com/krosai/telephony/shared/event"
	"github.com/krosai/telephony/shared/livekit"
	"github.com/krosai/telephony/shared/secret"
	"github.com/krosai/telephony/shared/store"
	"github.com/krosai/telephony/shared/store/storetest"
	"github.com/krosai/telephony/shared/teardown"
	"github.com/krosai/telephony/shared/validate/carrier"
	"github.com/krosai/telephony/shared/validate/carrier/carriertest"
	"github.com/krosai/telephony/shared/webhook"
	"github.com/krosai/telephony/shared/workflow"
)

// doom is how one function dies: one process of it ends after its n-th write, counted over all its
// runs. Later processes live.
type doom struct {
	function string

	mu   sync.Mutex
	left int // writes until the death
	died bool
}

// life is one run of a function.
type life struct {
	*doom   // nil for a function that lives
	over    bool
	written bool
}

// live returns nil while the process may go on. A write after the n-th kills the process.
func (l *life) live(write bool) error {
	if l.doom == nil {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.over && write && !l.died {
		if l.left == 0 {
			l.over, l.died = true, true
		} else {
			l.left, l.written = l.left-1, true
		}
	}
	if l.over {
		return context.Canceled // AWS clients do not retry after it
	}
	return nil
}

// end reports whether the run is dead. A run that has just done the n-th write dies before it
// can answer.
func (l *life) end() bool {
	if l.doom == nil {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.written && l.left == 0 && !l.died {
		l.over, l.died = true, true
	}
	return l.over
}

// wire is the connection of a run to a service of AWS.
func (l *life) wire(next http.RoundTripper) http.RoundTripper {
	return roundTrip(func(r *http.Request) (*http.Response, error) {
		_, operation, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
		if err := l.live(!strings.Contains(operation, "Get") && operation != "Query"); err != nil {
			return nil, err
		}
		return next.RoundTrip(r)
	})
}

// phones is the exchange as a run reaches it.
type phones struct {
	*exchange
	life *life
}

func (p phones) CreateRoom(ctx context.Context, r livekit.Room) error {
	if err := p.life.live(true); err != nil {
		return err
	}
	return p.exchange.CreateRoom(ctx, r)
}

func (p phones) DeleteRoom(ctx context.Context, room string) error {
	if err := p.life.live(true); err != nil {
		return err
	}
	return p.exchange.DeleteRoom(ctx, room)
}

func (p phones) Dial(ctx context.Context, d livekit.Dial) (string, error) {
	if err := p.life.live(true); err != nil {
		return "", err
	}
	return p.exchange.Dial(ctx, d)
}

// Transfer takes a second. Then the phone has left.
func (p phones) Transfer(context.Context, string, string, string, time.Duration) (livekit.Transferred, error) {
	if err := p.life.live(true); err != nil {
		return livekit.Transferred{}, err
	}
	time.Sleep(time.Second)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.hangsUp = min(p.hangsUp, time.Since(p.dialed)-p.answers)
	return livekit.Transferred{SIPStatus: 200}, nil
}

// ReceiveWebhook accepts unsigned events.
func (phones) ReceiveWebhook(raw []byte, _ string) (e livekit.Event, err error) {
	return e, json.Unmarshal(raw, &e)
}

// lifetime is the life of one call, from its workflow to a receiver of its events, in a synctest
// bubble. One function dies once.
type lifetime struct {
	*testing.T
	db      *storetest.Database
	roles   *iam.Roles
	x       *exchange
	doom    *doom
	flows   *stepfunctions.Service
	machine string
	sources *sources
	sweeps  int // second of each minute

	mu  sync.Mutex
	got []message
}

// message is a message that the receiver got.
type message struct {
	at time.Time
	id string
}

// receiver accepts everything that a run sends it.
func (l *lifetime) receiver(run *life) http.RoundTripper {
	return roundTrip(func(r *http.Request) (*http.Response, error) {
		if err := run.live(true); err != nil {
			return nil, err
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		l.got = append(l.got, message{time.Now(), r.Header.Get("Webhook-Id")})
		return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: http.NoBody, Request: r}, nil
	})
}

func (l *lifetime) must(err error) {
	l.Helper()
	if err != nil {
		l.Fatal(err)
	}
}

func openLifetime(t *testing.T, x *exchange, d *doom) *lifetime {
	t.Helper()
	l := &lifetime{T: t, x: x, doom: d}
	l.db, l.roles = obedient(t)
	folders := map[string]string{}
	for _, f := range l.db.Template.Functions() {
		folders[f.Name] = f.Folder
	}
	var err error
	l.flows, err = stepfunctions.Open(stepfunctions.Options{Log: slog.New(slog.DiscardHandler),
		Invoke: func(ctx context.Context, name string, payload []byte) ([]byte, error) {
			return l.invoke(ctx, folders[name], payload)
		}})
	l.must(err)
	t.Cleanup(func() { l.must(l.flows.Close()) })
	l.machine = load(t, l.flows, l.db.Template, "CallMachine")
	ready := make(chan struct{})
	l.sources = openSources(t, l.db, l.roles, func(ctx context.Context, folder string, payload []byte) ([]byte, error) {
		<-ready
		return l.invoke(ctx, folder, payload)
	}, "queuedeliveries", "deliverwebhook", "resumecall")
	close(ready)
	l.must(l.db.AllowCountries(t.Context(), "ada", "US"))
	l.must(l.db.AddEndpoint(t.Context(), webhook.Endpoint{ID: "whe_01KAMPJ5V0SAMPMEWHE0000001", UserID: "ada", URL: "https://hooks.acme.co/",
		Events: []string{event.CallEnded}, Secret: secret.New(webhookSecret), CreatedAt: time.Now()}))
	l.flows.Start()
	return l
}

// run returns a new process of a function, with its dependencies.
func (l *lifetime) run(function string) (*life, all.Deps, phones) {
	run := &life{}
	if function == l.doom.function {
		run.doom = l.doom
	}
	d := all.Deps{DB: l.db.Through(run.wire), Queue: l.sources.through(run.wire), Now: time.Now, Log: slog.New(slog.DiscardHandler),
		Workflow: workflow.Open(awsConfig(run.wire(workflows(l.roles, l.flows).Transport)), workflow.Config{CallMachine: l.machine})}
	return run, d, phones{l.x, run}
}

// invoke runs a task. A task that dies has no answer.
func (l *lifetime) invoke(ctx context.Context, folder string, payload []byte) ([]byte, error) {
	run, d, x := l.run(folder)
	s := &teardown.Ender{Calls: d.DB, Rooms: x, Now: time.Now}
	d.Summary = summary.Open(awsConfig(http.DefaultTransport), summary.Config{})
	tasks := map[string]any{}
	maps.Copy(tasks, all.Tasks(d))
	tasks["preparecall"] = (&preparecall.Task{Calls: d.DB, Rooms: x, Teardown: s, Now: time.Now}).Run
	tasks["dialcall"] = (&dialcall.Task{Calls: d.DB, Phone: x, Carriers: &carrier.Checker{Resolver: carriertest.Zone{}}, Teardown: s, Now: time.Now, Log: d.Log}).Run
	tasks["awaitcall"] = (&awaitcall.Task{Calls: d.DB, Teardown: s, Workflow: d.Workflow, Now: time.Now, Log: d.Log}).Run
	tasks["finishcall"] = (&finishcall.Task{Teardown: s, Now: time.Now}).Run
	tasks["sweepcalls"] = (&sweepcalls.Task{Calls: d.DB, Rooms: x, Workflow: d.Workflow, Teardown: s, Now: time.Now, Log: d.Log}).Run
	tasks["deliverwebhook"] = (&deliverwebhook.Task{Webhooks: d.DB, Queue: d.Queue, Client: &http.Client{Transport: l.receiver(run)}, Now: time.Now, Log: d.Log}).Run
	out, err := lambda.NewHandler(tasks[folder]).Invoke(as(ctx, folder), payload)
	if run.end() {
		return nil, errDied
	}
	return out, err
}

// ask sends a request to an HTTP function once. The caller does not try again.
func (l *lifetime) ask(function, path, body string) {
	run, d, x := l.run(function)
	s := &teardown.Ender{Calls: d.DB, Rooms: x, Now: time.Now}
	endpoint := map[string]api.Endpoint{
		"hangupcall":     &hangupcall.Endpoint{Calls: d.DB, Teardown: s, Now: time.Now},
		"transfercall":   &transfercall.Endpoint{Calls: d.DB, Phone: x, Teardown: s, Now: time.Now, Log: d.Log},
		"livekitwebhook": &livekitwebhook.Endpoint{LiveKit: x, Teardown: s, Now: time.Now},
	}[function]
	edge := &api.Edge{Keys: d.DB, Answers: d.DB, Tokens: anyJWT{}, Now: time.Now, Log: d.Log, CursorKey: secret.New("the cursor key of tests")}
	r := httptest.NewRequestWithContext(as(l.Context(), function), http.MethodPost, path, strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer "+adasJWT)
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	w := httptest.NewRecorder()
	edge.Handler(endpoint).ServeHTTP(w, r)
	if !run.end() && w.Code/100 != 2 && l.doom.function != function {
		l.Errorf("%s: %d %s", function, w.Code, w.Body)
	}
}

// webhook sends LiveKit's event that the phone has left.
func (l *lifetime) webhook() {
	body, err := json.Marshal(livekit.Event{Name: "participant_left", Room: theCall, Identity: call.CalleeIdentity, CreatedAt: time.Now().Truncate(time.Second),
		Answered: true, Phone: true, Leave: call.Leave{Reason: "CLIENT_INITIATED", Status: "hangup"}})
	l.must(err)
	l.ask("livekitwebhook", "/webhooks/livekit", string(body))
}

// pass places the call and lets ten minutes pass, with a sweep in each. happens holds what else
// happens, by its moment.
func (l *lifetime) pass(happens map[time.Duration]func(*lifetime)) {
	c, err := l.db.Own(l.Context(), call.Call{ID: theCall, UserID: "ada", Direction: call.Outbound, Remote: "+14155550100", Own: "+2348012345678",
		RoomName: theCall, TrunkID: "ST_1", AgentName: "a", Country: "US", RingingTimeout: 30, MaxDuration: 120, Status: call.Initiated, CreatedAt: time.Now().UTC()})
	l.must(err)
	l.must(l.db.Place(l.Context(), c))
	began := time.Now()
	_, d, _ := l.run("")
	l.must(d.Workflow.StartCall(as(l.Context(), "createcall"), theCall))
	for second := range 600 {
		if do := happens[time.Duration(second)*time.Second]; do != nil {
			do(l)
		}
		if second%60 == l.sweeps {
			_, _ = l.invoke(l.Context(), "sweepcalls", []byte("{}")) // it may be the one to die
		}
		time.Sleep(time.Until(began.Add(time.Duration(second+1) * time.Second)))
	}
	synctest.Wait()
}

// check checks that the end was notified once, within 90 s of the moment when the phone was quiet,
// and that the workflow is over.
func (l *lifetime) check() {
	l.Helper()
	c, err := l.db.Call(l.Context(), theCall)
	l.must(err)
	logged, _, err := l.db.EventsOf(l.Context(), "ada", store.Log{}, 100, "")
	l.must(err)
	ends := 0
	for _, e := range logged {
		if e.Type == event.CallEnded {
			ends++
		}
	}
	ids := map[string]bool{}
	for _, m := range l.got {
		ids[m.id] = true
	}
	if !c.Status.Ended() || ends != 1 || len(ids) != 1 {
		l.Fatalf("%s %s, %d events of the end, and the receiver has %v", c.Status, c.Cause, ends, l.got)
	}
	if len(l.got) > 1 && l.doom.function != "deliverwebhook" {
		l.Errorf("the receiver was told %d times", len(l.got))
	}
	quiet := l.x.end()
	if quiet.IsZero() {
		quiet = c.EndedAt // no phone rang
	}
	if quiet.Sub(c.EndedAt) > 90*time.Second {
		l.Errorf("the phone was quiet %s after the end", quiet.Sub(c.EndedAt))
	}
	late := l.got[0].at.Sub(quiet)
	l.Logf("%s %s was told %s after the phone was quiet", c.Status, c.Cause, late)
	if late > 90*time.Second {
		l.Error("that is late")
	}
	l.x.mu.Lock()
	defer l.x.mu.Unlock()
	if !l.x.over(time.Now()) {
		l.Error("the room is left over")
	}
	arn := strings.Replace(l.machine, ":stateMachine:", ":execution:", 1) + ":" + theCall
	out, err := sfn.NewFromConfig(awsConfig(l.flows.Client().Transport)).DescribeExecution(l.Context(), &sfn.DescribeExecutionInput{ExecutionArn: &arn})
	l.must(err)
	if out.Status != "SUCCEEDED" {
		l.Errorf("the workflow is %s", out.Status)
	}
}

// TestEndIsToldWhoeverDies ends the process of one function after each of its writes in turn, to
// DynamoDB, Step Functions, SQS or LiveKit. Only the mappings, the workflow and the sweep run the
// function again.
func TestEndIsToldWhoeverDies(t *testing.T) {
	t.Parallel()
	talks := callee{rings: 100 * time.Millisecond, answers: time.Second, hangsUp: never, agentLeaves: never, nextAgent: never, agentDeletes: never}
	hangsUp, alone, busy := talks, talks, talks
	hangsUp.hangsUp, alone.agentLeaves, busy.sip = 39*time.Second, 0, 486
	at := func(second int, do func(*lifetime)) map[time.Duration]func(*lifetime) {
		return map[time.Duration]func(*lifetime){time.Duration(second) * time.Second: do}
	}
	told := at(42, (*lifetime).webhook)
	for function, tt := range map[string]struct {
		callee  callee
		happens map[time.Duration]func(*lifetime)
		sweeps  int // second of each minute at which the end is notified as late as possible
		least   int // writes after which the function can die
	}{
		"hangupcall": {talks, at(20, func(l *lifetime) { l.ask("hangupcall", "/outbound-calls/"+theCall+"/hangup", "") }), 29, 3},
		"transfercall": {talks, at(20, func(l *lifetime) {
			l.ask("transfercall", "/outbound-calls/"+theCall+"/transfer", `{"phone_number":"+14155550111"}`)
		}), 44, 3},
		"livekitwebhook":  {hangsUp, told, 39, 2},
		"sweepcalls":      {hangsUp, nil, 39, 2},
		"finishcall":      {talks, nil, 10, 2},
		"awaitcall":       {alone, nil, 0, 3},
		"dialcall":        {busy, nil, 0, 3},
		"queuedeliveries": {hangsUp, told, 39, 1},
		"resumecall":      {hangsUp, told, 39, 1},
		"deliverwebhook":  {hangsUp, told, 39, 2},
	} {
		t.Run(function, func(t *testing.T) {
			t.Parallel()
			for n := 0; ; n++ {
				d := &doom{function: function, left: n}
				if !t.Run(fmt.Sprint(n), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						l := openLifetime(t, &exchange{callee: tt.callee, room: theCall}, d)
						l.sweeps = tt.sweeps
						l.pass(tt.happens)
						l.check()
					})
				}) && n > 20 {
					break
				}
				if !d.died {
					if n <= tt.least {
						t.Errorf("it writes %d times, not at least %d", n-1, tt.least)
					}
					break
				}
			}
		})
	}
}

package all_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/google/go-cmp/cmp"
	"github.com/oklog/ulid/v2"

	"github.com/krosai/telephony/emulator/iam"
	"github.com/krosai/telephony/emulator/stepfunctions"
	"github.com/krosai/telephony/emulator/template"
	"github.com/krosai/telephony/functions/all"
	"github.com/krosai/telephony/functions/awaitcall"
	"github.com/krosai/telephony/functions/dialcall"
	"github.com/krosai/telephony/functions/finishcall"
	"github.com/krosai/telephony/functions/preparecall"
	"github.com/krosai/telephony/functions/sweepcalls"
	"github.com/krosai/telephony/shared/call"
	"github.com/krosai/telephony/shared/livekit"
	"github.com/krosai/telephony/shared/store/storetest"
	"github.com/krosai/telephony/shared/teardown"
	"github.com/krosai/telephony/shared/validate/carrier"
	"github.com/krosai/telephony/shared/validate/carrier/carriertest"
	"github.com/krosai/telephony/shared/workflow"
)

// exchange is a LiveKit with one call in it, as its recordings show it. The clock alone determines
// who is in the room. It never sends a webhook.
type exchange struct {
	callee
	room string // its name

	mu        sync.Mutex
	made      time.Time // the room
	dialed    time.Time
	longest   time.Duration // LiveKit's own limit, from the dial
	departure time.Duration
	deleted   time.Time
}

// callee is the behavior of the other side. Times run from the dial, and those of the end from the
// answer. never stands for an event that does not happen.
type callee struct {
	rings, answers  time.Duration
	sip             int           // status of a refusal, at answers
	hangsUp         time.Duration // the phone
	agentLeaves     time.Duration
	nextAgent       time.Duration // another one comes
	agentDeletes    time.Duration // the room
	noAgent         bool
	replyLost       bool // of the dial
	hangUpRequested time.Duration
}

const never = 1000 * time.Hour

// over reports whether the room is gone. A room without a phone closes by itself.
func (x *exchange) over(now time.Time) bool {
	if x.made.IsZero() || !x.deleted.IsZero() && !now.Before(x.deleted) {
		return true
	}
	if x.dialed.IsZero() {
		return now.Sub(x.made) > time.Minute
	}
	answered := x.dialed.Add(x.answers)
	return !now.Before(answered.Add(x.agentDeletes)) || now.After(x.left().Add(x.departure))
}

// left returns when the phone leaves a room that nobody deletes.
func (x *exchange) left() time.Time {
	if x.sip != 0 {
		return x.dialed.Add(x.answers)
	}
	return x.dialed.Add(min(x.answers+x.hangsUp, x.longest))
}

// end returns when the phone was quiet, or the zero time if it was never called.
func (x *exchange) end() time.Time {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.dialed.IsZero() {
		return time.Time{}
	}
	end := x.left()
	if deletes := x.dialed.Add(x.answers + x.agentDeletes); deletes.Before(end) {
		end = deletes
	}
	if !x.deleted.IsZero() && x.deleted.Before(end) {
		end = x.deleted
	}
	return end
}

func (x *exchange) CreateRoom(_ context.Context, r livekit.Room) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.made.IsZero() {
		x.made, x.departure = time.Now(), r.DepartureTimeout
	}
	return nil
}

func (x *exchange) UpdateRoomMetadata(context.Context, string, string) error { return nil }

func (x *exchange) DeleteRoom(context.Context, string) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if !x.over(time.Now()) {
		x.deleted = time.Now()
	}
	return nil
}

func (x *exchange) ReadRoom(context.Context, string) (call.Room, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	var room call.Room
	now := time.Now()
	if x.over(now) {
		return room, nil
	}
	room.Agent = !x.noAgent && now.Sub(x.made) > 200*time.Millisecond
	if x.dialed.IsZero() {
		return room, nil
	}
	since := now.Sub(x.dialed)
	if since >= x.answers+x.agentLeaves {
		room.Agent = since >= x.answers+x.nextAgent
	}
	if now.Before(x.left()) {
		room.Callee = &call.Phone{Identity: call.CalleeIdentity, Status: "dialing"}
		if since >= x.rings {
			room.Callee.Status = "ringing"
		}
		if since >= x.answers {
			room.Callee.Status = "active"
		}
	}
	return room, nil
}

func (x *exchange) Rooms(ctx context.Context) ([]livekit.RoomInfo, error) {
	room, err := x.ReadRoom(ctx, "")
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.over(time.Now()) {
		return nil, err
	}
	info := livekit.RoomInfo{Name: x.room, CreatedAt: x.made}
	if room.Agent {
		info.Publishers++
	}
	if room.Callee != nil {
		info.Participants, info.Publishers = 1, info.Publishers+1
	}
	return []livekit.RoomInfo{info}, err
}

func (x *exchange) Dial(ctx context.Context, d livekit.Dial) (string, error) {
	x.mu.Lock()
	if !x.dialed.IsZero() {
		panic("dialed twice")
	}
	x.dialed, x.longest = time.Now(), d.MaxDuration
	if x.sip == 0 && x.answers > d.RingingTimeout {
		x.longest = d.RingingTimeout // until LiveKit gives up
	}
	x.mu.Unlock()
	select {
	case <-time.After(min(x.answers, d.RingingTimeout)):
	case <-ctx.Done():
		return "", &livekit.DialError{Code: livekit.DialUnclear, Err: ctx.Err()}
	}
	switch {
	case x.replyLost:
		return "", &livekit.DialError{Code: livekit.DialUnclear, Err: errors.New("connection reset")}
	case x.sip != 0:
		return "", &livekit.DialError{Code: livekit.DialSIP, SIPStatus: x.sip, Certain: true}
	case x.answers > d.RingingTimeout:
		return "", &livekit.DialError{Code: livekit.DialNoAnswer, Certain: true}
	}
	return "PA_1", nil
}

// theCall has an id of the bubble's time, midnight of 2000-01-01 UTC.
var theCall = "call_" + ulid.MustNew(ulid.Timestamp(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)), nil).String()

// TestTruthWithoutWebhooks runs calls without webhooks. Two sweeps run each minute, and one of the
// workflow's functions may be dead. Each call still reaches its true end in time. No phone outlives
// its call, and no call that goes on is ended.
func TestTruthWithoutWebhooks(t *testing.T) {
	t.Parallel()
	usual := callee{rings: 100 * time.Millisecond, answers: time.Second, hangsUp: never, agentLeaves: never, nextAgent: never, agentDeletes: never, hangUpRequested: never}
	who := func(change func(*callee)) callee {
		c := usual
		change(&c)
		return c
	}
	refuses := func(sip int) callee { return who(func(c *callee) { c.sip = sip }) }
	for _, tt := range []struct {
		name   string
		callee callee
		want   string // the end when all the functions live
	}{
		{"talks until hung up", who(func(c *callee) { c.hangUpRequested = 20 * time.Second }), "completed api_hangup"},
		{"hangs up after 3 s", who(func(c *callee) { c.hangsUp = 3 * time.Second }), "completed callee_hangup"},
		{"hangs up after 3 minutes", who(func(c *callee) { c.hangsUp = 3 * time.Minute }), "completed callee_hangup"},
		{"hangs up at once", who(func(c *callee) { c.hangsUp = 10 * time.Millisecond }), "completed callee_hangup"},
		{"hangs up at once, and the agent goes", who(func(c *callee) { c.hangsUp, c.agentLeaves = time.Millisecond, 2*time.Millisecond }), "completed callee_hangup"},
		{"hangs up, and the agent goes", who(func(c *callee) { c.hangsUp, c.agentLeaves = 3*time.Second, 3100*time.Millisecond }), "completed callee_hangup"},
		{"busy", refuses(486), "busy busy"},
		{"declines", refuses(603), "busy declined"},
		{"never answers", who(func(c *callee) { c.answers = never }), "no_answer no_answer"},
		{"does not exist", refuses(404), "failed invalid_number"},
		{"carrier failure", refuses(503), "failed trunk_unreachable"},
		{"answers after 10 s", who(func(c *callee) { c.answers, c.hangsUp = 10*time.Second, 5*time.Second }), "completed callee_hangup"},
		{"talk time spent", usual, "completed max_duration"},
		{"no agent", who(func(c *callee) { c.noAgent = true }), "failed agent_unavailable"},
		{"agent leaves", who(func(c *callee) { c.agentLeaves = 100 * time.Second }), "completed agent_hangup"},
		{"agent hands over", who(func(c *callee) {
			c.agentLeaves, c.nextAgent, c.hangsUp = 58*time.Second, 59*time.Second, 200*time.Second
		}), "completed callee_hangup"},
		{"agent deletes the room", who(func(c *callee) { c.agentDeletes = 20 * time.Second }), "completed unknown"},
		{"the dial's reply is lost", who(func(c *callee) { c.replyLost, c.hangsUp = true, 40*time.Second }), "completed callee_hangup"},
	} {
		for _, dead := range []string{"", "preparecall", "dialcall", "awaitcall", "finishcall"} {
			for _, phase := range []time.Duration{0, 25 * time.Second, 50 * time.Second} {
				if dead != "" && (phase != 0 || tt.callee.sip > 486) {
					continue // one moment and one refusal are enough
				}
				t.Run(fmt.Sprintf("%s/%s dead/%s", tt.name, dead, phase), func(t *testing.T) {
					t.Parallel()
					synctest.Test(t, func(t *testing.T) {
						x := &exchange{callee: tt.callee, room: theCall}
						c := run(t, x, dead, phase)
						got := string(c.Status) + " " + string(c.Cause)
						if dead == "" && got != tt.want {
							t.Errorf("%s, want %s", got, tt.want)
						}
						if dead == "preparecall" && got != "failed network_error" || dead == "dialcall" && !x.dialed.IsZero() {
							t.Errorf("%s, dialed %v", got, x.dialed)
						}
						x.check(t, c)
					})
				})
			}
		}
	}
}

// check checks what is true of every end.
func (x *exchange) check(t *testing.T, c call.Call) {
	t.Helper()
	const limit = 2*time.Minute + 5*time.Second // the sweep waits to be sure
	if took, most := c.EndedAt.Sub(c.CreatedAt), time.Duration(c.MaxDuration+c.RingingTimeout)*time.Second+limit; took > most {
		t.Errorf("%s %s after %s, want %s", c.Status, c.Cause, took, most)
	}
	quiet := x.end()
	late := time.Second
	if c.Cause == call.MaxDuration { // LiveKit ended it, and counts the ringing too: this time is not charged
		late = time.Duration(c.RingingTimeout) * time.Second
	}
	if quiet.After(c.EndedAt.Add(late)) {
		t.Errorf("%s %s at %s, and the phone was quiet %s later", c.Status, c.Cause, c.EndedAt, quiet.Sub(c.EndedAt))
	}
	if found := c.EndedAt.Sub(quiet); c.Status == call.Completed && found > 70*time.Second {
		t.Errorf("%s %s, found out after %s", c.Status, c.Cause, found)
	}
	if !x.deleted.IsZero() && c.Cause == call.CalleeHangup && x.deleted.Before(x.left()) {
		t.Error("a call that went on was ended")
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if !x.over(time.Now()) {
		t.Error("the room is left over")
	}
}

// run places the call and lets time pass until well after its end.
func run(t *testing.T, x *exchange, dead string, phase time.Duration) call.Call {
	t.Helper()
	p := newCallPlatform(t, x, dead)
	db, flows, s, sweep := p.db, p.flows, p.ender, p.sweep
	c := call.Call{ID: theCall, UserID: "ada", Direction: call.Outbound, Remote: "+14155550100", Own: "+2348012345678",
		RoomName: theCall, TrunkID: "ST_1", AgentName: "a", Country: "US", RingingTimeout: 30, MaxDuration: 300,
		Status: call.Initiated, CreatedAt: time.Now().UTC()}
	c, err := db.Own(t.Context(), c)
	if err == nil {
		err = db.Place(t.Context(), c)
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := flows.StartCall(t.Context(), c.ID); err != nil {
		t.Fatal(err)
	}
	if x.hangUpRequested != never {
		time.AfterFunc(x.hangUpRequested, func() {
			ctx := as(context.Background(), "hangupcall")
			if c, open, err := db.RequestHangup(ctx, "ada", c.ID, time.Now()); err == nil && open {
				_, _ = s.TakeDown(ctx, c, s.HungUp) // if it fails, the sweep stops the call
			}
		})
	}
	time.Sleep(phase)
	for range 10 { // minutes
		var sweeps sync.WaitGroup
		for range 2 {
			sweeps.Go(func() {
				if _, err := sweep.Run(as(t.Context(), "sweepcalls")); err != nil {
					t.Error(err)
				}
			})
		}
		sweeps.Wait()
		time.Sleep(time.Minute - time.Duration(time.Now().Second())*time.Second + phase)
	}
	details, err := db.CallDetails(t.Context(), "ada", c.ID, false)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]int{}
	for _, e := range details.Events {
		seen[e.Name]++
	}
	if !details.Call.Status.Ended() || seen["ended"] != 1 || seen["answered"] > 1 {
		t.Errorf("%s %s, timeline %v", details.Call.Status, details.Call.Cause, details.Events)
	}
	if d := cmp.Diff(details.Call.AnsweredAt.IsZero(), details.Call.Status != call.Completed); d != "" {
		t.Errorf("%s, answered %v", details.Call.Status, details.Call.AnsweredAt)
	}
	return details.Call
}

// callPlatform is the part of the platform that handles calls: the workflow with its functions, the
// Ender of a hang-up and the sweep.
type callPlatform struct {
	db    *storetest.Database
	flows *workflow.Client
	ender *teardown.Ender
	sweep *sweepcalls.Task
}

// sipRooms is LiveKit.
type sipRooms interface {
	preparecall.Rooms
	dialcall.Phone
	sweepcalls.Rooms
}

// newCallPlatform makes a platform on a LiveKit. The function dead fails whenever it is called.
func newCallPlatform(t *testing.T, x sipRooms, dead string) *callPlatform {
	t.Helper()
	db, roles := obedient(t)
	tasks := map[string]any{}
	flows := openCallFlow(t, db.Template, roles, func(ctx context.Context, folder string, payload []byte) ([]byte, error) {
		if folder == dead {
			return nil, errors.New("the function is dead")
		}
		return lambda.NewHandler(tasks[folder]).Invoke(as(ctx, folder), payload)
	})
	log := slog.New(slog.DiscardHandler)
	s := &teardown.Ender{Calls: db, Rooms: x, Now: time.Now}
	maps.Copy(tasks, all.Tasks(all.Deps{Resolver: carriertest.Zone{}, DB: db.DB, Workflow: flows, Now: time.Now, Log: log}))
	tasks["preparecall"] = (&preparecall.Task{Calls: db, Rooms: x, Teardown: s, Now: time.Now}).Run
	tasks["dialcall"] = (&dialcall.Task{Calls: db, Phone: x, Carriers: &carrier.Checker{Resolver: carriertest.Zone{}}, Teardown: s, Now: time.Now, Log: log}).Run
	tasks["awaitcall"] = (&awaitcall.Task{Calls: db, Teardown: s, Workflow: flows, Now: time.Now, Log: log}).Run
	tasks["finishcall"] = (&finishcall.Task{Teardown: s, Now: time.Now}).Run
	openSources(t, db, roles, func(ctx context.Context, folder string, payload []byte) ([]byte, error) {
		return lambda.NewHandler(tasks[folder]).Invoke(as(ctx, folder), payload)
	}, "resumecall")
	sweep := &sweepcalls.Task{Calls: db, Rooms: x, Workflow: flows, Teardown: s, Now: time.Now, Log: log}
	return &callPlatform{db: db, flows: flows, ender: s, sweep: sweep}
}

// openCallFlow returns a client of the call's workflow, which runs the given functions.
func openCallFlow(t *testing.T, tmpl *template.Template, roles *iam.Roles, invoke func(ctx context.Context, folder string, payload []byte) ([]byte, error)) *workflow.Client {
	t.Helper()
	folders := map[string]string{}
	for _, f := range tmpl.Functions() {
		folders[f.Name] = f.Folder
	}
	flows, err := stepfunctions.Open(stepfunctions.Options{Log: slog.New(slog.DiscardHandler),
		Invoke: func(ctx context.Context, name string, payload []byte) ([]byte, error) {
			return invoke(ctx, folders[name], payload)
		}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := flows.Close(); err != nil {
			t.Error(err)
		}
	})
	arn := load(t, flows, tmpl, "CallMachine")
	flows.Start()
	anyone := aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{AccessKeyID: "test", SecretAccessKey: "test"}, nil
	})
	return workflow.Open(aws.Config{Region: "us-east-1", HTTPClient: workflows(roles, flows), Credentials: anyone}, workflow.Config{CallMachine: arn})
}

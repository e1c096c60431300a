package all_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/aws"
	lk "github.com/livekit/protocol/livekit"

	"github.com/krosai/telephony/emulator/stepfunctions"
	"github.com/krosai/telephony/emulator/template"
	"github.com/krosai/telephony/functions/all"
	"github.com/krosai/telephony/functions/sweepcalls"
	"github.com/krosai/telephony/shared/call"
	"github.com/krosai/telephony/shared/call/summary"
	"github.com/krosai/telephony/shared/livekit"
	"github.com/krosai/telephony/shared/livekit/livekittest"
	"github.com/krosai/telephony/shared/secret"
	"github.com/krosai/telephony/shared/store/storetest"
	"github.com/krosai/telephony/shared/teardown"
	"github.com/krosai/telephony/shared/validate/carrier/carriertest"
	"github.com/krosai/telephony/shared/workflow"
)

// world is the call workflow with all its functions, a database, and a LiveKit that fails
// on demand.
type world struct {
	t       *testing.T
	db      *storetest.Database
	livekit *livekittest.Server
	deps    all.Deps
	id      string
	crash   map[string]int // by function: how many of its next runs die after their work
	dials   atomic.Int64
	looks   atomic.Int64
	onLook  func(n int64) // if set, it is called at the n-th read of a room
}

func newWorld(t *testing.T) *world {
	t.Helper()
	db, roles := obedient(t)
	w := &world{t: t, db: db, livekit: livekittest.New(t), id: "call_01ARZ3NDEKTSV4RRFFQ69G5FAV", crash: map[string]int{}}
	folders := map[string]string{}
	for _, f := range db.Template.Functions() {
		folders[f.Name] = f.Folder
	}
	flows, err := stepfunctions.Open(stepfunctions.Options{Invoke: func(ctx context.Context, name string, payload []byte) ([]byte, error) {
		return w.invoke(ctx, folders[name], payload)
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := flows.Close(); err != nil {
			t.Error(err)
		}
	})
	arn := load(t, flows, db.Template, "CallMachine")
	flows.Start()
	anyone := aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{AccessKeyID: "test", SecretAccessKey: "test"}, nil
	})
	w.deps = all.Deps{Resolver: carriertest.Zone{}, DB: w.db.DB, Now: time.Now, Log: slog.New(slog.DiscardHandler), Summary: summary.Open(aws.Config{}, summary.Config{}),
		LiveKit:  livekit.Open(livekit.Config{URL: w.livekit.URL, APIKey: livekittest.APIKey, APISecret: secret.New(livekittest.APISecret)}),
		Workflow: workflow.Open(aws.Config{Region: "us-east-1", HTTPClient: workflows(roles, flows), Credentials: anyone}, workflow.Config{CallMachine: arn})}
	w.livekit.Dial, w.livekit.Look = w.answer, w.look
	openSources(t, db, roles, w.invoke, "resumecall")
	return w
}

// load loads a state machine of the template by its logical id.
func load(t *testing.T, flows *stepfunctions.Service, tmpl *template.Template, id string) (arn string) {
	t.Helper()
	for _, m := range tmpl.StateMachines() {
		if m.LogicalID != id {
			continue
		}
		arn, err := flows.Load(m.Name, m.Definition)
		if err != nil {
			t.Fatal(err)
		}
		return arn
	}
	t.Fatalf("no state machine %s", id)
	return ""
}

func (w *world) invoke(ctx context.Context, folder string, payload []byte) ([]byte, error) {
	out, err := lambda.NewHandler(all.Tasks(w.deps)[folder]).Invoke(as(ctx, folder), payload)
	if w.crash[folder] > 0 {
		w.crash[folder]--
		return nil, errors.New("the sandbox died")
	}
	return out, err
}

// answer picks up a dial at once, and puts the phone into the room.
func (w *world) answer(q *lk.CreateSIPParticipantRequest) (*lk.SIPParticipantInfo, error) {
	w.dials.Add(1)
	w.livekit.Join(q.RoomName, &lk.ParticipantInfo{Sid: "PA_callee", Identity: call.CalleeIdentity, Kind: lk.ParticipantInfo_SIP,
		State: lk.ParticipantInfo_ACTIVE, Attributes: map[string]string{"sip.callStatus": "active"}})
	return &lk.SIPParticipantInfo{ParticipantId: "PA_callee", ParticipantIdentity: q.ParticipantIdentity, RoomName: q.RoomName}, nil
}

// look lets an agent join at the first read of a room, if it is the room of the placed call.
func (w *world) look(room string) {
	n := w.looks.Add(1)
	if w.livekit.Room(w.id) != nil && room == w.id && n == 1 {
		w.livekit.Join(w.id, &lk.ParticipantInfo{Identity: "agent", Kind: lk.ParticipantInfo_AGENT, State: lk.ParticipantInfo_ACTIVE})
	}
	if w.onLook != nil {
		w.onLook(n)
	}
}

// place records a call and starts its workflow.
func (w *world) place() {
	w.t.Helper()
	c := call.Call{ID: w.id, UserID: "ada", Direction: call.Outbound, Remote: "+14155550100", Own: "+2348012345678",
		RoomName: w.id, TrunkID: "ST_1", AgentName: "a", Country: "US", RingingTimeout: 5, MaxDuration: 60,
		Status: call.Initiated, CreatedAt: time.Now().UTC().Truncate(time.Millisecond)}
	c, err := w.db.Own(w.t.Context(), c)
	if err == nil {
		err = w.db.Place(w.t.Context(), c)
	}
	if err != nil {
		w.t.Fatal(err)
	}
	if err := w.deps.Workflow.StartCall(w.t.Context(), w.id); err != nil {
		w.t.Fatal(err)
	}
}

// until waits for the call to be as wanted, and returns it.
func (w *world) until(wanted func(call.Call) bool) call.Call {
	w.t.Helper()
	// The workflow waits for an unclear dial as long as the phone may ring, 30 s and some more.
	for end := time.Now().Add(2 * time.Minute); ; time.Sleep(10 * time.Millisecond) {
		c, err := w.db.Call(w.t.Context(), w.id)
		if err != nil {
			w.t.Fatal(err)
		}
		if wanted(c) {
			return c
		}
		if time.Now().After(end) {
			w.t.Fatalf("still %s %s", c.Status, c.Cause)
		}
	}
}

func (w *world) sweep() sweepcalls.Report {
	w.t.Helper()
	out, err := w.invoke(w.t.Context(), "sweepcalls", []byte("{}"))
	if err != nil {
		w.t.Fatal(err)
	}
	var r sweepcalls.Report
	if err := json.Unmarshal(out, &r); err != nil {
		w.t.Fatal(err)
	}
	return r
}

func ended(c call.Call) bool { return c.Status.Ended() }

// up reports whether the call is in progress and its workflow waits for the end.
func (w *world) up(c call.Call) bool {
	w.t.Helper()
	if c.Status != call.InProgress {
		return false
	}
	token, err := w.db.EndToken(w.t.Context(), c.ID)
	if err != nil {
		w.t.Fatal(err)
	}
	return token != ""
}

// TestOneFaultAtEachRequest fails each request to LiveKit in turn, in each way, before and after
// its effect. In every case the phone is dialed at most once, the call ends once, and no answered
// call is recorded as unanswered.
func TestOneFaultAtEachRequest(t *testing.T) {
	t.Parallel()
	for n := range 5 { // CreateRoom, ListParticipants, CreateSIPParticipant, and what follows
		for _, f := range livekittest.Faults {
			t.Run(fmt.Sprintf("request %d fault %d", n, f), func(t *testing.T) {
				t.Parallel()
				w := newWorld(t)
				w.livekit.FailAt(n, f)
				w.place()
				c := w.until(func(c call.Call) bool { return ended(c) || w.up(c) })
				if w.up(c) {
					w.livekit.Leave(w.id, call.CalleeIdentity)
					w.deps.Now = func() time.Time { return time.Now().Add(time.Minute / 2) }
					for range 2 { // the fault may hit the first
						_, _ = w.invoke(t.Context(), "sweepcalls", []byte("{}"))
					}
					c = w.until(ended)
				}
				dials := w.dials.Load()
				if dials > 1 {
					t.Errorf("dialed %d times", dials)
				}
				got := string(c.Status) + " " + string(c.Cause)
				if dials == 1 && got != "completed callee_hangup" {
					t.Errorf("an answered call ended %s", got)
				}
				if dials == 0 && got != "failed unknown" && got != "failed network_error" {
					t.Errorf("a call that was never dialed ended %s", got)
				}
			})
		}
	}
}

// TestACrashedDialIsNotRepeated checks that a dial is not repeated if the function dies after it.
func TestACrashedDialIsNotRepeated(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.crash["dialcall"] = 1
	w.place()
	w.until(w.up)
	if n := w.dials.Load(); n != 1 {
		t.Errorf("dialed %d times", n)
	}
}

// TestOrdinaryCallAsksLittleOfLiveKit counts the requests of one call.
func TestOrdinaryCallAsksLittleOfLiveKit(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	rings := make(chan struct{})
	w.onLook = func(n int64) {
		if n == 3 { // the second one of the dial, after 700 ms
			w.livekit.Join(w.id, &lk.ParticipantInfo{Identity: call.CalleeIdentity, Kind: lk.ParticipantInfo_SIP,
				State: lk.ParticipantInfo_ACTIVE, Attributes: map[string]string{"sip.callStatus": "ringing"}})
			close(rings)
		}
	}
	w.livekit.Dial = func(q *lk.CreateSIPParticipantRequest) (*lk.SIPParticipantInfo, error) {
		<-rings
		w.livekit.Leave(w.id, call.CalleeIdentity)
		return w.answer(q)
	}
	w.place()
	w.until(w.up)
	w.livekit.Leave(w.id, call.CalleeIdentity)
	c, err := w.db.Call(t.Context(), w.id)
	if err != nil {
		t.Fatal(err)
	}
	s := &teardown.Ender{Calls: w.db, Rooms: w.deps.LiveKit, Now: time.Now}
	if _, err := s.PhoneLeft(t.Context(), c, call.Leave{Reason: "CLIENT_INITIATED", Status: "hangup"}, time.Now()); err != nil { // as the webhook does
		t.Fatal(err)
	}
	w.until(ended)
	if asked := w.livekit.Requests(); len(asked) > 9 { // one of them reads the time of the answer
		t.Errorf("%d requests, want at most 9: %v", len(asked), asked)
	}
}

// TestSweepLeavesLiveCallsAlone checks that an empty or failing answer of LiveKit about other
// things never ends a call whose phone is there.
func TestSweepLeavesLiveCallsAlone(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("takes 5 s: not with -short")
	}
	w := newWorld(t)
	w.place()
	w.until(w.up)
	w.deps.Now = func() time.Time { return time.Now().Add(30 * time.Second) }
	if r := w.sweep(); r.Active != 1 || r.Ended != 0 || r.Orphans != 0 {
		t.Errorf("%+v", r)
	}
	w.livekit.Fail("ListParticipants", livekittest.ErrorBefore)
	if r := w.sweep(); r.Ended != 0 || r.Failures != 0 {
		t.Errorf("nothing to ask LiveKit: %+v", r)
	}
	w.livekit.Leave(w.id, "agent")
	if r := w.sweep(); r.Ended != 0 || r.Doubtful != 1 || r.Failures != 1 {
		t.Errorf("LiveKit silent: %+v", r)
	}
	w.livekit.Fail("ListRooms", livekittest.ErrorBefore)
	if _, err := w.invoke(t.Context(), "sweepcalls", []byte("{}")); err == nil {
		t.Error("a sweep without LiveKit's word succeeded")
	}
	if c, _ := w.db.Call(t.Context(), w.id); c.Status != call.InProgress {
		t.Errorf("the call is %s", c.Status)
	}
}

// TestSweepEndsWhatIsOverdue checks that a call ends two minutes after the longest time that it
// might have taken, even if LiveKit is gone for good.
func TestSweepEndsWhatIsOverdue(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.place()
	w.until(w.up)
	w.livekit.Fail("ListParticipants", livekittest.ErrorBefore)
	w.livekit.Fail("DeleteRoom", livekittest.ErrorBefore)
	w.livekit.Fail("ListRooms", livekittest.ErrorBefore)
	w.deps.Now = func() time.Time { return time.Now().Add(5*time.Second + time.Minute + 2*time.Minute) }
	if _, err := w.invoke(t.Context(), "sweepcalls", []byte("{}")); err == nil {
		t.Error("LiveKit could not be asked and nobody was told")
	}
	if c := w.until(ended); c.Cause != call.MaxDuration || c.Duration() != 60 {
		t.Errorf("%s after %d s", c.Cause, c.Duration())
	}
}

// TestSweepStartsForgottenCalls checks that the sweep starts the workflow of a recorded call that
// has no workflow.
func TestSweepStartsForgottenCalls(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := call.Call{ID: w.id, UserID: "ada", RoomName: w.id, TrunkID: "ST_1", Remote: "+14155550100", Own: "+2348012345678",
		Country: "US", RingingTimeout: 5, MaxDuration: 60, Status: call.Initiated, CreatedAt: time.Now().Add(-time.Minute)}
	c, err := w.db.Own(t.Context(), c)
	if err == nil {
		err = w.db.Place(t.Context(), c)
	}
	if err != nil {
		t.Fatal(err)
	}
	if r := w.sweep(); r.Started != 1 {
		t.Errorf("%+v", r)
	}
	w.until(func(c call.Call) bool { return c.Status != call.Initiated })
}

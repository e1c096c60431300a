package platform

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"

	"github.com/krosai/telephony/local/carrier"
	"github.com/krosai/telephony/shared/livekit"
	"github.com/krosai/telephony/shared/number"
)

// BenchmarkInvite measures the time of a call from the request to the INVITE at the carrier,
// through the API and with the same LiveKit used directly. The calls alternate, one at a time. It
// also measures how long the end of a call takes to reach a webhook endpoint. It prints the medians
// and asserts none of them.
//
//	go test ./platform -run '^$' -bench Invite -benchtime 30x
func BenchmarkInvite(b *testing.B) {
	l := newLine(b)
	l.call(l.direct) // connections, files and code are coldest here
	l.call(l.create)
	l.took = map[string][]time.Duration{}
	for b.Loop() {
		l.call(l.direct)
		l.call(l.create)
	}
	create, direct := median(l.took["create, INVITE"]), median(l.took["direct, INVITE"])
	b.ReportMetric(ms(create), "create-ms")
	b.ReportMetric(ms(direct), "direct-ms")
	b.ReportMetric(float64(create)/float64(direct), "create/direct")
	b.ReportMetric(ms(median(l.took["end, webhook"])), "end-ms")
	fmt.Print("\n", l.table()) // a benchmark's log ends after ten lines
}

// directLook is the interval at which a program that uses LiveKit directly asks for the agent. It
// is short, so that the comparison does not favor the platform.
const directLook = 10 * time.Millisecond

// rest is the pause between two calls, in which LiveKit closes the last call's room.
const rest = time.Second

// line is a platform with one user, who calls one callee after another.
type line struct {
	*testing.B
	p       *Platform
	flows   *sfn.Client
	machine string // state machine of the calls
	trunk   string
	callees int
	took    map[string][]time.Duration // by step
	steps   []string                   // the names in took, in order of their first appearance

	mu   sync.Mutex
	told map[string]time.Time // by call: when the end of the call reached the webhook endpoint
}

func newLine(b *testing.B) *line {
	b.Helper()
	ring := func(string) carrier.Script { return carrier.Script{Ring: 300 * time.Millisecond} }
	p, err := Start(b.Context(), Config{Root: "../..", Dir: b.TempDir(), SweepEvery: time.Minute, Script: ring})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := p.Close(); err != nil {
			b.Error(err)
		}
	})
	n, err := p.DB.Number(b.Context(), demoUser, number.ID(DemoNumber))
	if err != nil {
		b.Fatal(err)
	}
	l := &line{B: b, p: p, flows: sfn.NewFromConfig(config(p.Flows.Client(), "")), trunk: n.Trunk.OutboundID,
		took: map[string][]time.Duration{}, told: map[string]time.Time{}}
	l.machine = l.callMachine()
	server := httptest.NewServer(http.HandlerFunc(l.receive))
	b.Cleanup(server.Close)
	l.ask(http.MethodPost, "/webhook-endpoints", map[string]any{"url": server.URL, "events": []string{"call.ended"}}, nil)
	return l
}

// receive is the webhook endpoint.
func (l *line) receive(_ http.ResponseWriter, r *http.Request) {
	now := time.Now()
	var body struct {
		Data struct {
			CallID string `json:"call_id"`
		}
	}
	if b, err := io.ReadAll(r.Body); err != nil || json.Unmarshal(b, &body) != nil {
		l.Error("a webhook nobody can read")
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.told[body.Data.CallID] = now
}

func (l *line) ask(method, path string, in, out any) {
	l.Helper()
	if err := l.p.call(l.Context(), method, path, in, out); err != nil {
		l.Fatal(err)
	}
}

// call places one call, waits until the room, the agent and the phone are free again, and stores
// the call's steps in took.
func (l *line) call(place func(callee string)) {
	l.Helper()
	l.callees++
	place(fmt.Sprintf("+1415570%04d", l.callees))
	l.until("the agent leaves", func() bool { return l.p.Agent.Jobs() == 0 })
	time.Sleep(rest)
}

func (l *line) reached(step string, took time.Duration) {
	if !slices.Contains(l.steps, step) {
		l.steps = append(l.steps, step)
	}
	l.took[step] = append(l.took[step], took)
}

// create places a call through the API and hangs up.
func (l *line) create(callee string) {
	l.Helper()
	var c story
	began := time.Now()
	l.ask(http.MethodPost, "/outbound-calls/create", map[string]any{"phone_number": callee}, &c)
	l.reached("create, answered", time.Since(began))
	invited := l.invited(callee)
	for step, at := range l.tasks(c.CallID) {
		l.reached("create, "+step, at.Sub(began))
	}
	l.ask(http.MethodGet, "/outbound-calls/"+c.CallID+"/details", nil, &c)
	l.reached("create, dial claimed", c.Timeline[0].At.Sub(began))
	l.reached("create, INVITE", invited.Sub(began))

	ended := time.Now()
	l.ask(http.MethodPost, "/outbound-calls/"+c.CallID+"/hangup", nil, nil)
	var told time.Time
	l.until("the webhook", func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		told = l.told[c.CallID]
		return !told.IsZero()
	})
	l.reached("end, webhook", told.Sub(ended))
}

// tasks returns the begin and the end of the first task of a call's workflow. The dial begins at
// that end.
func (l *line) tasks(call string) func(yield func(string, time.Time) bool) {
	l.Helper()
	execution := strings.Replace(l.machine, ":stateMachine:", ":execution:", 1) + ":" + call
	out, err := l.flows.GetExecutionHistory(l.Context(), &sfn.GetExecutionHistoryInput{ExecutionArn: &execution})
	if err != nil {
		l.Fatal(err)
	}
	return func(yield func(string, time.Time) bool) {
		names := []string{"TaskScheduled Prepare begins", "TaskSucceeded Prepare ends"}
		for _, e := range out.Events {
			kind, name, _ := strings.Cut(names[0], " ")
			if string(e.Type) != kind {
				continue
			}
			if names = names[1:]; !yield(name, aws.ToTime(e.Timestamp)) || len(names) == 0 {
				return
			}
		}
	}
}

// callMachine is the state machine of calls.
func (l *line) callMachine() string {
	l.Helper()
	out, err := l.flows.ListStateMachines(l.Context(), &sfn.ListStateMachinesInput{})
	if err != nil {
		l.Fatal(err)
	}
	i := slices.IndexFunc(out.StateMachines, func(m types.StateMachineListItem) bool {
		return strings.HasSuffix(aws.ToString(m.Name), "-call")
	})
	if i < 0 {
		l.Fatal("calls have no state machine")
	}
	return aws.ToString(out.StateMachines[i].StateMachineArn)
}

// direct places a call as a program without the platform does: it creates the room, waits for the
// agent and dials. Then it deletes the room.
func (l *line) direct(callee string) {
	l.Helper()
	ctx, room := l.Context(), "direct-"+callee
	began := time.Now()
	err := l.p.LiveKit.CreateRoom(ctx, livekit.Room{Name: room, AgentName: demoAgent, Metadata: "{}", EmptyTimeout: time.Minute})
	if err != nil {
		l.Fatal(err)
	}
	l.reached("direct, room made", time.Since(began))
	for there := false; !there; {
		time.Sleep(directLook)
		r, err := l.p.LiveKit.ReadRoom(ctx, room)
		if err != nil {
			l.Fatal(err)
		}
		there = r.Agent
	}
	l.reached("direct, agent seen", time.Since(began))
	dialing, stop := context.WithCancel(ctx)
	var dial sync.WaitGroup
	dial.Go(func() { // ends with an error, because the room is deleted
		_, _ = l.p.LiveKit.Dial(dialing, livekit.Dial{Room: room, TrunkID: l.trunk, To: callee, From: DemoNumber,
			RingingTimeout: 20 * time.Second, MaxDuration: time.Minute})
	})
	l.reached("direct, INVITE", l.invited(callee).Sub(began))
	if err := l.p.LiveKit.DeleteRoom(ctx, room); err != nil {
		l.Error(err)
	}
	stop()
	dial.Wait()
}

// invited returns when the carrier received the INVITE to a callee. It waits until the phone rings.
func (l *line) invited(callee string) (at time.Time) {
	l.Helper()
	l.until("the ringing", func() (rings bool) {
		for _, c := range l.p.Carrier.Calls() {
			if c.Callee != callee {
				continue
			}
			rings = rings || c.State == "ringing"
			if at.IsZero() || c.Started.Before(at) { // the challenged INVITE comes first
				at = c.Started
			}
		}
		return rings
	})
	return at
}

// until waits for a condition, for 30 seconds at most.
func (l *line) until(what string, came func() bool) {
	l.Helper()
	for end := time.Now().Add(30 * time.Second); !came(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			l.Fatalf("%s does not come", what)
		}
	}
}

// table prints the quartiles of each step.
func (l *line) table() string {
	var out strings.Builder
	w := tabwriter.NewWriter(&out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(w, "step\tmedian\tquarter\tthree quarters\tof\t\n")
	for _, step := range l.steps {
		all := slices.Sorted(slices.Values(l.took[step]))
		if n := len(all); n > 0 {
			fmt.Fprintf(w, "%s\t%.0f\t%.0f\t%.0f\t%d\t\n", step, ms(median(all)), ms(all[n/4]), ms(all[n*3/4]), n)
		}
	}
	_ = w.Flush() // a strings.Builder never fails
	return out.String()
}

func median(took []time.Duration) time.Duration {
	sorted := slices.Sorted(slices.Values(took))
	if len(sorted) == 0 {
		return 0
	}
	return sorted[len(sorted)/2]
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

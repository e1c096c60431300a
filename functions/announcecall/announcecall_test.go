package announcecall_test

import (
	"encoding/json"
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/krosai/telephony/functions/announcecall"
	"github.com/krosai/telephony/shared/announce"
	"github.com/krosai/telephony/shared/api/apitest"
	"github.com/krosai/telephony/shared/call"
	"github.com/krosai/telephony/shared/fault"
	"github.com/krosai/telephony/shared/secret"
	"github.com/krosai/telephony/shared/webhook"
)

const (
	id         = "call_01KAMPJ5V0SAMPMECA00000000" // of the sample event
	endpointID = "whe_01KAMPJ5V0SAMPMEWHE0000000"
)

var t0 = time.Date(2026, 11, 22, 9, 30, 0, 0, time.UTC)

// bench is a call of ada's, and an endpoint of hers that wants everything.
type bench struct {
	*apitest.Bench
	task *announcecall.Task
}

func open(t *testing.T) *bench {
	t.Helper()
	b := &bench{Bench: apitest.Open(t, func() time.Time { return t0.Add(time.Minute) })}
	b.task = &announcecall.Task{Stories: b.DB, Announce: &announce.Announcer{Webhooks: b.DB, Flow: b.Flow, Now: b.Now}}
	b.Must(b.AddEndpoint(t.Context(), webhook.Endpoint{ID: endpointID, UserID: "ada", URL: "https://hooks.acme.co/", Secret: secret.New("whsec_c2VjcmV0"), CreatedAt: t0,
		Events: []string{webhook.CallAnswered, webhook.CallEnded, webhook.CallSummaryReady}}))
	c := call.Call{ID: id, UserID: "ada", RoomName: id, Country: "US", Status: call.Initiated, CreatedAt: t0, RingingTimeout: 30, MaxDuration: 600}
	b.Must(b.Place(t.Context(), c))
	return b
}

func (b *bench) answer() {
	_, err := b.Advance(b.Context(), id, call.InProgress, t0.Add(time.Second))
	b.Must(err)
}

func (b *bench) end() {
	c, err := b.DB.Call(b.Context(), id)
	b.Must(err)
	_, err = b.EndCall(b.Context(), c, call.End{Status: call.Completed, Cause: call.CalleeHangup, At: t0.Add(2 * time.Second)})
	b.Must(err)
}

func (b *bench) summarise() {
	c, err := b.DB.Call(b.Context(), id)
	b.Must(err)
	_, err = b.SaveSummary(b.Context(), c, call.Summary{Status: call.SummaryReady, Text: "All is well.", Model: "m", CreatedAt: t0.Add(3 * time.Second)})
	b.Must(err)
}

// run announces the sample event's call, and returns the types of all events so
// far, oldest first.
func (b *bench) run() (out announcecall.Output, types []string) {
	b.Helper()
	event, err := os.ReadFile("../../events/announcecall.json")
	b.Must(err)
	var in announcecall.Input
	b.Must(json.Unmarshal(event, &in))
	out, err = b.task.Run(b.Context(), in)
	b.Must(err)
	list, _, err := b.DeliveriesOf(b.Context(), "ada", endpointID, "", 100, "")
	b.Must(err)
	for _, d := range list {
		types = append([]string{d.Event.Type}, types...)
	}
	return out, types
}

func TestRun(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		steps    []func(*bench)
		answered bool
		want     []string
	}{
		"on its way":     {nil, false, nil},
		"answered":       {[]func(*bench){(*bench).answer}, true, []string{webhook.CallAnswered}},
		"never answered": {[]func(*bench){(*bench).end}, false, []string{webhook.CallEnded}},
		"ended":          {[]func(*bench){(*bench).answer, (*bench).end}, true, []string{webhook.CallAnswered, webhook.CallEnded}},
		"summed up": {[]func(*bench){(*bench).answer, (*bench).end, (*bench).summarise}, true,
			[]string{webhook.CallAnswered, webhook.CallEnded, webhook.CallSummaryReady}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := open(t)
			for _, step := range tt.steps {
				step(b)
				b.run()
			}
			for range 2 {
				out, types := b.run()
				if diff := cmp.Diff(tt.want, types); out.Answered != tt.answered || diff != "" {
					t.Errorf("%+v %s", out, diff)
				}
			}
			if n := len(b.Workflows.Started()); n < len(tt.want) {
				t.Errorf("%d deliveries were started", n)
			}
		})
	}
}

func TestTrouble(t *testing.T) {
	t.Parallel()
	b := open(t)
	if _, err := b.task.Run(t.Context(), announcecall.Input{CallID: "call_01ARZ3NDEKTSV4RRFFQ69G5FAV"}); !fault.Is(err, fault.NotFound) {
		t.Errorf("an unknown call: %v", err)
	}
	b.end()
	b.Workflows.Down(true)
	if _, err := b.task.Run(t.Context(), announcecall.Input{CallID: id}); err == nil {
		t.Error("nothing failed")
	}
	b.Workflows.Down(false)
	if _, types := b.run(); len(types) != 1 || len(b.Workflows.Started()) != 1 {
		t.Errorf("%v, started %v", types, b.Workflows.Started())
	}
}

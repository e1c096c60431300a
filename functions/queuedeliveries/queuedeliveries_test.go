package queuedeliveries_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/krosai/telephony/functions/queuedeliveries"
	"github.com/krosai/telephony/shared/event"
	"github.com/krosai/telephony/shared/fault"
	"github.com/krosai/telephony/shared/invocation"
	"github.com/krosai/telephony/shared/store"
	"github.com/krosai/telephony/shared/webhook"
	"github.com/krosai/telephony/shared/webhook/queue"
)

// world holds the users' endpoints, and is the queue.
type world struct {
	endpoints map[string][]webhook.Endpoint
	reads     []string
	down      string // the user whose endpoints cannot be read
	sent      []webhook.Message
	err       error // of the queue
}

func (w *world) EndpointsOf(_ context.Context, userID string, _ int, _ string) ([]webhook.Endpoint, string, error) {
	w.reads = append(w.reads, userID)
	if userID == w.down {
		return nil, "", fault.Unavailable("the database", nil)
	}
	return w.endpoints[userID], "", nil
}

func (w *world) Send(_ context.Context, messages []queue.Message) error {
	for _, m := range messages {
		var sent webhook.Message
		if err := json.Unmarshal(m.Body, &sent); err != nil {
			return err
		}
		w.sent = append(w.sent, sent)
	}
	return w.err
}

func (w *world) task() *queuedeliveries.Task {
	return &queuedeliveries.Task{Endpoints: w, Queue: w, Log: slog.New(slog.DiscardHandler)}
}

var early = time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)

func endpoint(id string, events ...string) webhook.Endpoint {
	return webhook.Endpoint{ID: id, Events: events, CreatedAt: early}
}

// record returns a record of the stream with an event of a user.
func record(n int, user, kind, more string) string {
	return fmt.Sprintf(`{"eventName":"INSERT","dynamodb":{"SequenceNumber":"%d","NewImage":{"user_id":{"S":%q},"sk":{"S":"2026-11-22T09:30:0%[1]d.000Z#evt_%[1]d"},`+
		`"event_id":{"S":"evt_%[1]d"},"event_type":{"S":%[3]q},"at":{"S":"2026-11-22T09:30:00.000Z"},"data":{"S":"{}"}%[4]s}}}`, n, user, kind, more)
}

func stream(t *testing.T, records ...string) (in store.Stream) {
	t.Helper()
	for _, r := range records {
		var one store.Record
		if err := json.Unmarshal([]byte(r), &one); err != nil {
			t.Fatal(err)
		}
		in.Records = append(in.Records, one)
	}
	return in
}

// TestRun checks that each event goes to each endpoint that wants it, and that a user's endpoints
// are read once.
func TestRun(t *testing.T) {
	t.Parallel()
	paused := endpoint("whe_3", event.CallEnded)
	paused.Paused = true
	w := &world{endpoints: map[string][]webhook.Endpoint{
		"ada": {endpoint("whe_1", event.CallEnded, event.CallAnswered), endpoint("whe_2", event.CallEnded), paused},
		"bob": {endpoint("whe_4", event.KeyCreated)}}}
	answer, err := w.task().Run(t.Context(), stream(t, record(1, "ada", event.CallAnswered, ""), record(2, "bob", event.CallEnded, ""),
		record(3, "ada", event.CallEnded, `,"call_id":{"S":"call_1"},"has_metadata":{"BOOL":true}`), `{"dynamodb":{"SequenceNumber":"4","NewImage":{"at":{"S":"x"}}}}`))
	if err != nil || len(answer.Failures) > 0 {
		t.Errorf("%v %v", answer, err)
	}
	id := func(n int, endpoint string) string {
		return event.DeliveryID(event.Event{ID: fmt.Sprint("evt_", n), At: time.Date(2026, 11, 22, 9, 30, 0, 0, time.UTC)}, endpoint)
	}
	want := []webhook.Message{
		{UserID: "ada", EndpointID: "whe_1", DeliveryID: id(1, "whe_1"), Event: "2026-11-22T09:30:01.000Z#evt_1"},
		{UserID: "ada", EndpointID: "whe_1", DeliveryID: id(3, "whe_1"), Event: "2026-11-22T09:30:03.000Z#evt_3", CallID: "call_1"},
		{UserID: "ada", EndpointID: "whe_2", DeliveryID: id(3, "whe_2"), Event: "2026-11-22T09:30:03.000Z#evt_3", CallID: "call_1"},
	}
	if diff := cmp.Diff(want, w.sent) + cmp.Diff([]string{"ada", "bob"}, w.reads); diff != "" {
		t.Error(diff)
	}
}

// TestTrouble checks that Lambda delivers again what was not sent: the records from the first
// failed one on, or the whole batch if the queue is down.
func TestTrouble(t *testing.T) {
	t.Parallel()
	both := map[string][]webhook.Endpoint{"ada": {endpoint("whe_1", event.CallEnded)}, "bob": {endpoint("whe_2", event.CallEnded)}}
	in := stream(t, record(1, "ada", event.CallEnded, ""), record(2, "bob", event.CallEnded, ""), record(3, "ada", event.CallEnded, ""))
	w := &world{endpoints: both, down: "bob"}
	answer, err := w.task().Run(t.Context(), in)
	if diff := cmp.Diff(invocation.Failed("2"), answer); err != nil || diff != "" || len(w.sent) != 1 {
		t.Errorf("%v %s %v", err, diff, w.sent)
	}
	w = &world{endpoints: both, err: errors.New("down")}
	if _, err := w.task().Run(t.Context(), in); err == nil {
		t.Error("the queue is down and nothing failed")
	}
}

func TestSample(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../events/queuedeliveries.json")
	if err != nil {
		t.Fatal(err)
	}
	var in store.Stream
	if err := json.Unmarshal(text, &in); err != nil {
		t.Fatal(err)
	}
	w := &world{endpoints: map[string][]webhook.Endpoint{"demo": {endpoint("whe_1", event.CallEnded)}}}
	if answer, err := w.task().Run(t.Context(), in); err != nil || len(answer.Failures) > 0 || len(w.sent) != 1 {
		t.Errorf("%v %v %v", answer, err, w.sent)
	}
}

package resumecall_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/krosai/telephony/functions/resumecall"
	"github.com/krosai/telephony/shared/invocation"
	"github.com/krosai/telephony/shared/store"
)

// world holds the tokens by call, and records the tokens that were sent.
type world struct {
	tokens map[string]string
	told   []string
	broken string // a call whose token cannot be read
	down   string // a token that cannot be sent
}

func (w *world) EndToken(_ context.Context, id string) (string, error) {
	if id == w.broken {
		return "", errors.New("down")
	}
	return w.tokens[id], nil
}

func (w *world) CallEnded(_ context.Context, token string) error {
	if token != "" && token == w.down {
		return errors.New("down")
	}
	w.told = append(w.told, token)
	return nil
}

func TestRun(t *testing.T) {
	t.Parallel()
	tokens := map[string]string{"call_1": "one", "call_3": "three"}
	for name, tt := range map[string]struct {
		world  world
		told   []string
		answer invocation.BatchAnswer
	}{
		"all":                       {world{tokens: tokens}, []string{"one", "", "three"}, invocation.Failed()},
		"the database is down":      {world{tokens: tokens, broken: "call_2"}, []string{"one"}, invocation.Failed("2")},
		"Step Functions is down":    {world{tokens: tokens, down: "three"}, []string{"one", ""}, invocation.Failed("3")},
		"it is down from the start": {world{tokens: tokens, down: "one"}, nil, invocation.Failed("1")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var in store.Stream
			for n := 1; n <= 3; n++ {
				var r store.Record
				if err := json.Unmarshal(fmt.Appendf(nil, `{"dynamodb":{"SequenceNumber":"%d","NewImage":{"event_type":{"S":"call.ended"},"call_id":{"S":"call_%[1]d"}}}}`, n), &r); err != nil {
					t.Fatal(err)
				}
				in.Records = append(in.Records, r)
			}
			answer, err := (&resumecall.Task{Calls: &tt.world, Workflow: &tt.world, Log: slog.New(slog.DiscardHandler)}).Run(t.Context(), in)
			if diff := cmp.Diff(tt.answer, answer) + cmp.Diff(tt.told, tt.world.told); err != nil || diff != "" {
				t.Errorf("%v %s", err, diff)
			}
		})
	}
}

// TestStrange checks that a record that is not an event does not block the records behind it.
func TestStrange(t *testing.T) {
	t.Parallel()
	var in store.Stream
	if err := json.Unmarshal([]byte(`{"Records":[{"dynamodb":{"SequenceNumber":"1"}},{"dynamodb":{"SequenceNumber":"2","NewImage":{"call_id":{"S":"call_1"}}}}]}`), &in); err != nil {
		t.Fatal(err)
	}
	w := world{tokens: map[string]string{"call_1": "one"}}
	answer, err := (&resumecall.Task{Calls: &w, Workflow: &w, Log: slog.New(slog.DiscardHandler)}).Run(t.Context(), in)
	if diff := cmp.Diff([]string{"one"}, w.told); err != nil || len(answer.Failures) > 0 || diff != "" {
		t.Errorf("%v %v %s", answer, err, diff)
	}
}

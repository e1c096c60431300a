package queue_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/google/go-cmp/cmp"

	"github.com/krosai/telephony/emulator/sqs"
	"github.com/krosai/telephony/shared/fault"
	"github.com/krosai/telephony/shared/webhook/queue"
)

// bench is a client of a queue in the emulator. It records the batches that the client sends.
type bench struct {
	queue   *queue.Client
	sqs     *sdk.Client
	url     *string
	batches []string                   // the delays in a batch in seconds: "0 60 0"
	answer  func(answer string) string // changes the emulator's answer to the client
}

func newBench(t *testing.T) *bench {
	t.Helper()
	s, err := sqs.Open("", sqs.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	b := &bench{answer: func(answer string) string { return answer }}
	b.sqs = sdk.NewFromConfig(config(s.Client().Transport))
	out, err := b.sqs.CreateQueue(t.Context(), &sdk.CreateQueueInput{QueueName: aws.String("deliveries")})
	if err != nil {
		t.Fatal(err)
	}
	b.url = out.QueueUrl
	b.queue = queue.Open(config(wire(func(r *http.Request) (*http.Response, error) { return b.pass(s.Client().Transport, r) })), queue.Config{Deliveries: *b.url})
	return b
}

type wire func(*http.Request) (*http.Response, error)

func (w wire) RoundTrip(r *http.Request) (*http.Response, error) { return w(r) }

func config(transport http.RoundTripper) aws.Config {
	return aws.Config{Region: "us-east-1", RetryMaxAttempts: 1, HTTPClient: &http.Client{Transport: transport}, BaseEndpoint: aws.String("http://sqs"),
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "test", SecretAccessKey: "test"}, nil
		})}
}

// pass records a batch and lets it through.
func (b *bench) pass(next http.RoundTripper, r *http.Request) (*http.Response, error) {
	asked, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	var in struct{ Entries []struct{ DelaySeconds int } }
	if err := json.Unmarshal(asked, &in); err != nil {
		return nil, err
	}
	var delays []string
	for _, e := range in.Entries {
		delays = append(delays, fmt.Sprint(e.DelaySeconds))
	}
	b.batches = append(b.batches, strings.Join(delays, " "))
	r.Body = io.NopCloser(strings.NewReader(string(asked)))
	response, err := next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	answered, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, err
	}
	text := b.answer(string(answered))
	response.Body, response.ContentLength = io.NopCloser(strings.NewReader(text)), int64(len(text))
	return response, nil
}

func (b *bench) stored(t *testing.T) string {
	t.Helper()
	out, err := b.sqs.GetQueueAttributes(t.Context(), &sdk.GetQueueAttributesInput{QueueUrl: b.url, AttributeNames: []types.QueueAttributeName{"All"}})
	if err != nil {
		t.Fatal(err)
	}
	return out.Attributes["ApproximateNumberOfMessages"] + " " + out.Attributes["ApproximateNumberOfMessagesDelayed"]
}

// TestSend: messages go in batches that SQS accepts. Delays become whole seconds and are
// never shorter.
func TestSend(t *testing.T) {
	t.Parallel()
	large := queue.Message{Body: []byte(strings.Repeat("x", 100<<10))}
	for name, c := range map[string]struct {
		messages []queue.Message
		batches  []string
		stored   string
	}{
		"nothing": {nil, nil, "0 0"},
		"delays": {[]queue.Message{{Body: []byte("a"), Delay: -time.Second}, {Body: []byte("b"), Delay: time.Nanosecond}, {Body: []byte("c"), Delay: 15 * time.Minute}, {Body: []byte("d"), Delay: time.Hour}},
			[]string{"0 1 900 900"}, "1 3"},
		"many":  {make12(), []string{"0 0 0 0 0 0 0 0 0 0", "0 0"}, "12 0"},
		"large": {[]queue.Message{large, large, large, large, large}, []string{"0 0", "0 0", "0"}, "5 0"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			if err := b.queue.Send(t.Context(), c.messages); err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(c.batches, b.batches); d != "" {
				t.Errorf("batches (-want +got)\n%s", d)
			}
			if got := b.stored(t); got != c.stored {
				t.Errorf("visible and delayed: %s, want %s", got, c.stored)
			}
		})
	}
}

func make12() []queue.Message {
	messages := make([]queue.Message, 12)
	for i := range messages {
		messages[i].Body = []byte("x")
	}
	return messages
}

// TestFailures: messages that SQS could not take for its own reasons are sent again, once. A
// message that SQS never accepts is an error of ours.
func TestFailures(t *testing.T) {
	t.Parallel()
	three := []queue.Message{{Body: []byte("a")}, {Body: []byte("b"), Delay: time.Minute}, {Body: []byte("c")}}
	const busy = `{"Successful":[{"Id":"0","MessageId":"x","MD5OfMessageBody":"0cc175b9c0f1b6a831c399e269772661"}],
		"Failed":[{"Id":"1","SenderFault":false,"Code":"InternalError"},{"Id":"2","SenderFault":false,"Code":"InternalError"}]}`
	for name, c := range map[string]struct {
		messages []queue.Message
		answer   func(n int, answer string) string
		batches  []string
		upstream bool
		want     string // how the error begins; "" for no error
	}{
		"once":  {three, func(n int, answer string) string { return []string{busy, answer}[n-1] }, []string{"0 60 0", "60 0"}, false, ""},
		"twice": {three, func(int, string) string { return busy }, []string{"0 60 0", "60 0"}, true, "TELEPHONY_UNAVAILABLE: the queue is unavailable, try again shortly: 2 of 3 messages were refused twice"},
		"never": {[]queue.Message{{Body: []byte("a")}, {Body: []byte("\x00")}}, func(_ int, answer string) string { return answer }, []string{"0 0"}, false,
			"queue message 1: InvalidMessageContents: "},
		"down": {three, func(int, string) string { return "?" }, []string{"0 60 0"}, true, "TELEPHONY_UNAVAILABLE: the queue is unavailable"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.answer = func(answer string) string { return c.answer(len(b.batches), answer) }
			err := b.queue.Send(t.Context(), c.messages)
			if (err == nil) != (c.want == "") || err != nil && !strings.HasPrefix(err.Error(), c.want) || fault.Is(err, fault.Upstream) != c.upstream {
				t.Errorf("got %v", err)
			}
			if d := cmp.Diff(c.batches, b.batches); d != "" {
				t.Errorf("batches (-want +got)\n%s", d)
			}
		})
	}
}

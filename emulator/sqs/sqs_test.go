package sqs_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"
	"github.com/google/go-cmp/cmp"

	"github.com/krosai/telephony/emulator/sqs"
)

// fixture is a service with the SDK's client of it.
type fixture struct {
	t       *testing.T
	service *sqs.Service
	client  *sdk.Client
}

func open(t *testing.T, path string) fixture {
	t.Helper()
	s, err := sqs.Open(path, sqs.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return fixture{t, s, connect(s.Client(), "http://sqs")}
}

// connect returns the SDK's client at an address.
func connect(client *http.Client, url string) *sdk.Client {
	return sdk.New(sdk.Options{
		Region: "us-east-1", HTTPClient: client, BaseEndpoint: aws.String(url), RetryMaxAttempts: 1,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "local", SecretAccessKey: "local"}, nil
		}),
	})
}

func (f fixture) create(name string, attributes map[string]string) *string {
	f.t.Helper()
	out, err := f.client.CreateQueue(f.t.Context(), &sdk.CreateQueueInput{QueueName: &name, Attributes: attributes})
	if err != nil {
		f.t.Fatal(err)
	}
	return out.QueueUrl
}

func (f fixture) send(queue *string, body string, delay int32) {
	f.t.Helper()
	if _, err := f.client.SendMessage(f.t.Context(), &sdk.SendMessageInput{QueueUrl: queue, MessageBody: &body, DelaySeconds: delay}); err != nil {
		f.t.Fatal(err)
	}
}

func (f fixture) receive(in sdk.ReceiveMessageInput) []types.Message {
	f.t.Helper()
	out, err := f.client.ReceiveMessage(f.t.Context(), &in)
	if err != nil {
		f.t.Fatal(err)
	}
	return out.Messages
}

func (f fixture) delete(queue *string, m types.Message) {
	f.t.Helper()
	if _, err := f.client.DeleteMessage(f.t.Context(), &sdk.DeleteMessageInput{QueueUrl: queue, ReceiptHandle: m.ReceiptHandle}); err != nil {
		f.t.Fatal(err)
	}
}

// counts are the visible, invisible and delayed messages of a queue.
func (f fixture) counts(queue *string) [3]string {
	f.t.Helper()
	out, err := f.client.GetQueueAttributes(f.t.Context(), &sdk.GetQueueAttributesInput{QueueUrl: queue, AttributeNames: []types.QueueAttributeName{"All"}})
	if err != nil {
		f.t.Fatal(err)
	}
	return [3]string{out.Attributes["ApproximateNumberOfMessages"], out.Attributes["ApproximateNumberOfMessagesNotVisible"], out.Attributes["ApproximateNumberOfMessagesDelayed"]}
}

func bodies(messages []types.Message) []string {
	var all []string
	for _, m := range messages {
		all = append(all, *m.Body)
	}
	return all
}

func (f fixture) want(what string, want, got any) {
	f.t.Helper()
	if d := cmp.Diff(want, got); d != "" {
		f.t.Errorf("%s (-want +got)\n%s", what, d)
	}
}

// TestDue: a reader in the process is told when there is something to receive: at once, when a
// delay or a timeout is over, and when it is sent; or that it waited in vain.
func TestDue(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, began := open(t, ""), time.Now()
		queue := f.create("q", map[string]string{"VisibilityTimeout": "30"})
		due := func(what string, after time.Duration) {
			t.Helper()
			if err := f.service.Due(t.Context(), "q"); err != nil {
				t.Errorf("%s: %v", what, err)
			}
			f.want(what, after, time.Since(began))
		}
		f.send(queue, "later", 900)
		due("delayed", 900*time.Second)
		due("still there", 900*time.Second)
		f.receive(sdk.ReceiveMessageInput{QueueUrl: queue})
		due("visible again", 930*time.Second)
		f.delete(queue, f.receive(sdk.ReceiveMessageInput{QueueUrl: queue})[0])
		time.AfterFunc(48*time.Hour, func() { f.send(queue, "sent", 0) })
		due("sent", 48*time.Hour+930*time.Second)
		f.delete(queue, f.receive(sdk.ReceiveMessageInput{QueueUrl: queue})[0])
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		if err := f.service.Due(ctx, "q"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("an empty queue: %v", err)
		}
		if err := f.service.Due(t.Context(), "other"); err == nil {
			t.Error("a queue that is not there is due")
		}
	})
}

// TestLifeOfAMessage: a delayed message is received once it is due, is invisible then,
// comes back when its timeout is over, and is gone once it is deleted.
func TestLifeOfAMessage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := open(t, "")
		queue := f.create("q", map[string]string{"VisibilityTimeout": "30"})
		f.send(queue, "<now> & \"é\"", 0)
		f.send(queue, "later", 900)
		f.want("at first", [3]string{"1", "0", "1"}, f.counts(queue))
		got := f.receive(sdk.ReceiveMessageInput{QueueUrl: queue, MaxNumberOfMessages: 10})
		f.want("received", []string{"<now> & \"é\""}, bodies(got))
		f.want("in flight", [3]string{"0", "1", "1"}, f.counts(queue))

		// A long poll ends when the timeout does.
		begun := time.Now()
		time.Sleep(15 * time.Second)
		again := f.receive(sdk.ReceiveMessageInput{QueueUrl: queue, WaitTimeSeconds: 20, MessageSystemAttributeNames: []types.MessageSystemAttributeName{"All"}})
		f.want("again", []string{"<now> & \"é\""}, bodies(again))
		f.want("after", 30*time.Second, time.Since(begun))
		f.want("attributes", map[string]string{"ApproximateReceiveCount": "2", "ApproximateFirstReceiveTimestamp": strconv.FormatInt(begun.UnixMilli(), 10),
			"SentTimestamp": strconv.FormatInt(begun.UnixMilli(), 10), "SenderId": "000000000000"}, again[0].Attributes)

		f.delete(queue, got[0]) // an old handle deletes nothing
		f.want("still there", [3]string{"0", "1", "1"}, f.counts(queue))
		f.delete(queue, again[0])
		f.delete(queue, again[0])
		f.want("deleted", [3]string{"0", "0", "1"}, f.counts(queue))

		time.Sleep(900*time.Second - time.Since(begun) - time.Millisecond)
		f.want("not yet", []string(nil), bodies(f.receive(sdk.ReceiveMessageInput{QueueUrl: queue})))
		time.Sleep(time.Millisecond)
		f.want("due", []string{"later"}, bodies(f.receive(sdk.ReceiveMessageInput{QueueUrl: queue})))
	})
}

// TestLongPoll: a receive that waits is answered when something is sent, by its own time
// otherwise, and by Close.
func TestLongPoll(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := open(t, "")
		queue := f.create("q", nil)
		begun := time.Now()
		f.want("nothing", []string(nil), bodies(f.receive(sdk.ReceiveMessageInput{QueueUrl: queue, WaitTimeSeconds: 20})))
		f.want("after", 20*time.Second, time.Since(begun))
		go func() {
			time.Sleep(7 * time.Second)
			f.send(queue, "sent", 2)
		}()
		begun = time.Now()
		f.want("something", []string{"sent"}, bodies(f.receive(sdk.ReceiveMessageInput{QueueUrl: queue, WaitTimeSeconds: 20})))
		f.want("after", 9*time.Second, time.Since(begun))
		go func() {
			time.Sleep(time.Second)
			_ = f.service.Close()
		}()
		if _, err := f.client.ReceiveMessage(t.Context(), &sdk.ReceiveMessageInput{QueueUrl: queue, WaitTimeSeconds: 20}); codeOf(err) != "ServiceUnavailable" {
			t.Errorf("closed: %v", err)
		}
		synctest.Wait()
	})
}

// TestDefaultsOfTheQueue: a queue's own delay and wait hold where a request has none.
func TestDefaultsOfTheQueue(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := open(t, "")
		queue := f.create("q", map[string]string{"DelaySeconds": "3", "ReceiveMessageWaitTimeSeconds": "5", "VisibilityTimeout": "0"})
		begun := time.Now()
		if _, err := f.client.SendMessageBatch(t.Context(), &sdk.SendMessageBatchInput{QueueUrl: queue,
			Entries: []types.SendMessageBatchRequestEntry{{Id: aws.String("a"), MessageBody: aws.String("one")}}}); err != nil {
			t.Fatal(err)
		}
		// The SDK does not send a WaitTimeSeconds of 0.
		f.want("received", []string{"one"}, bodies(f.receive(sdk.ReceiveMessageInput{QueueUrl: queue})))
		f.want("after", 3*time.Second, time.Since(begun))
		f.want("visible at once", [3]string{"1", "0", "0"}, f.counts(queue))
	})
}

// TestDeadLetters: what was received maxReceiveCount times goes to the dead-letter queue
// when it would be received again, with what is known of it, and blocks nothing else.
func TestDeadLetters(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := open(t, "")
		dead := f.create("dead", nil)
		queue := f.create("q", map[string]string{"VisibilityTimeout": "10", "RedrivePolicy": `{"deadLetterTargetArn":"` + f.service.ARN("dead") + `","maxReceiveCount":"2"}`})
		sent := time.Now()
		f.send(queue, "poison", 0)
		for range 2 {
			f.want("received", []string{"poison"}, bodies(f.receive(sdk.ReceiveMessageInput{QueueUrl: queue})))
			time.Sleep(10 * time.Second)
		}
		f.send(queue, "good", 0)
		waiting := make(chan []types.Message)
		go func() {
			waiting <- f.receive(sdk.ReceiveMessageInput{QueueUrl: dead, WaitTimeSeconds: 20, MessageSystemAttributeNames: []types.MessageSystemAttributeName{"All"}})
		}()
		synctest.Wait()
		f.want("the rest", []string{"good"}, bodies(f.receive(sdk.ReceiveMessageInput{QueueUrl: queue, MaxNumberOfMessages: 10})))
		got := <-waiting
		f.want("dead", []string{"poison"}, bodies(got))
		f.want("known of it", map[string]string{"ApproximateReceiveCount": "3", "ApproximateFirstReceiveTimestamp": strconv.FormatInt(sent.UnixMilli(), 10), "SenderId": "000000000000",
			"SentTimestamp": strconv.FormatInt(sent.UnixMilli(), 10), "DeadLetterQueueSourceArn": f.service.ARN("q")}, got[0].Attributes)
		f.want("left", [3]string{"0", "1", "0"}, f.counts(queue))
	})
}

func TestRetention(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := open(t, "")
		queue := f.create("q", map[string]string{"MessageRetentionPeriod": "60"})
		f.send(queue, "old", 0)
		time.Sleep(30 * time.Second)
		f.send(queue, "new", 0)
		time.Sleep(30 * time.Second)
		f.want("counted", [3]string{"1", "0", "0"}, f.counts(queue))
		f.want("received", []string{"new"}, bodies(f.receive(sdk.ReceiveMessageInput{QueueUrl: queue, MaxNumberOfMessages: 10})))
	})
}

func TestChangeMessageVisibility(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := open(t, "")
		queue := f.create("q", nil)
		f.send(queue, "one", 0)
		got := f.receive(sdk.ReceiveMessageInput{QueueUrl: queue})
		change := func(seconds int32) string {
			_, err := f.client.ChangeMessageVisibility(t.Context(), &sdk.ChangeMessageVisibilityInput{QueueUrl: queue, ReceiptHandle: got[0].ReceiptHandle, VisibilityTimeout: seconds})
			return codeOf(err)
		}
		time.Sleep(20 * time.Second)
		f.want("longer", "", change(100))
		time.Sleep(99 * time.Second)
		f.want("invisible", [3]string{"0", "1", "0"}, f.counts(queue))
		f.want("beyond 12 hours", "InvalidParameterValue", change(43200))
		f.want("at once", "", change(0))
		f.want("visible", [3]string{"1", "0", "0"}, f.counts(queue))
		f.want("not in flight", "AWS.SimpleQueueService.MessageNotInflight", change(1))
		f.delete(queue, got[0]) // its handle still deletes it
		f.want("deleted", "InvalidParameterValue", change(1))
	})
}

func TestBatches(t *testing.T) {
	t.Parallel()
	f := open(t, "")
	queue := f.create("q", nil)
	entry := func(id, body string, delay int32) types.SendMessageBatchRequestEntry {
		return types.SendMessageBatchRequestEntry{Id: &id, MessageBody: &body, DelaySeconds: delay}
	}
	out, err := f.client.SendMessageBatch(t.Context(), &sdk.SendMessageBatchInput{QueueUrl: queue,
		Entries: []types.SendMessageBatchRequestEntry{entry("a", "one", 0), entry("b", "", 0), entry("c", "x\x00", 0), entry("d", "two", 901), entry("e", "three", 0)}})
	if err != nil {
		t.Fatal(err)
	}
	var sent, failed []string
	for _, e := range out.Successful {
		sent = append(sent, *e.Id)
	}
	for _, e := range out.Failed {
		failed = append(failed, fmt.Sprint(*e.Id, " ", *e.Code, " ", e.SenderFault))
	}
	f.want("sent", []string{"a", "e"}, sent)
	f.want("failed", []string{"b MissingParameter true", "c InvalidMessageContents true", "d InvalidParameterValue true"}, failed)
	got := f.receive(sdk.ReceiveMessageInput{QueueUrl: queue, MaxNumberOfMessages: 10})
	f.want("received", []string{"one", "three"}, bodies(got))
	deleted, err := f.client.DeleteMessageBatch(t.Context(), &sdk.DeleteMessageBatchInput{QueueUrl: queue, Entries: []types.DeleteMessageBatchRequestEntry{
		{Id: aws.String("1"), ReceiptHandle: got[0].ReceiptHandle}, {Id: aws.String("2"), ReceiptHandle: aws.String("?")}, {Id: aws.String("3"), ReceiptHandle: got[1].ReceiptHandle}}})
	if err != nil || len(deleted.Successful) != 2 || len(deleted.Failed) != 1 || *deleted.Failed[0].Code != "ReceiptHandleIsInvalid" {
		t.Errorf("deleted %+v, %v", deleted, err)
	}
	f.want("left", [3]string{"0", "0", "0"}, f.counts(queue))
}

func codeOf(err error) string {
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		return api.ErrorCode()
	}
	if err != nil {
		return err.Error()
	}
	return ""
}

// TestErrors: requests that the service refuses, with its codes, and that the emulator
// does not support.
func TestErrors(t *testing.T) {
	t.Parallel()
	f := open(t, "")
	ctx := t.Context()
	queue := f.create("q", map[string]string{"DelaySeconds": "1"})
	long := strings.Repeat("x", 256<<10)
	none := aws.String("http://sqs/000000000000/none")
	create := func(name string, attributes map[string]string) error {
		_, err := f.client.CreateQueue(ctx, &sdk.CreateQueueInput{QueueName: &name, Attributes: attributes})
		return err
	}
	send := func(in sdk.SendMessageInput) error {
		_, err := f.client.SendMessage(ctx, &in)
		return err
	}
	receive := func(in sdk.ReceiveMessageInput) error {
		_, err := f.client.ReceiveMessage(ctx, &in)
		return err
	}
	batch := func(bodies map[string]string, more ...string) error {
		in := &sdk.SendMessageBatchInput{QueueUrl: queue, Entries: []types.SendMessageBatchRequestEntry{}}
		for _, id := range append(slices.Sorted(maps.Keys(bodies)), more...) {
			in.Entries = append(in.Entries, types.SendMessageBatchRequestEntry{Id: &id, MessageBody: aws.String(bodies[id] + "x")})
		}
		_, err := f.client.SendMessageBatch(ctx, in)
		return err
	}
	redrive := func(policy string) error { return create("r", map[string]string{"RedrivePolicy": policy}) }
	for name, c := range map[string]struct {
		err  error
		want string
	}{
		"the same queue":     {create("q", map[string]string{"DelaySeconds": "1"}), ""},
		"another delay":      {create("q", map[string]string{"DelaySeconds": "2"}), "QueueAlreadyExists"},
		"bad name":           {create("a.fifo", nil), "InvalidParameterValue"},
		"fifo":               {create("a", map[string]string{"FifoQueue": "true"}), "InvalidAttributeName"},
		"long delay":         {create("a", map[string]string{"DelaySeconds": "901"}), "InvalidAttributeValue"},
		"short retention":    {create("a", map[string]string{"MessageRetentionPeriod": "59"}), "InvalidAttributeValue"},
		"redrive: no JSON":   {redrive("x"), "InvalidParameterValue"},
		"redrive: no queue":  {redrive(`{"deadLetterTargetArn":"` + f.service.ARN("none") + `","maxReceiveCount":1}`), "InvalidParameterValue"},
		"redrive: no count":  {redrive(`{"deadLetterTargetArn":"` + f.service.ARN("q") + `"}`), "InvalidParameterValue"},
		"redrive: zero":      {redrive(`{"deadLetterTargetArn":"` + f.service.ARN("q") + `","maxReceiveCount":0}`), "InvalidParameterValue"},
		"redrive: fine":      {redrive(`{"deadLetterTargetArn":"` + f.service.ARN("q") + `","maxReceiveCount":"3"}`), ""},
		"no such queue":      {send(sdk.SendMessageInput{QueueUrl: none, MessageBody: aws.String("x")}), "AWS.SimpleQueueService.NonExistentQueue"},
		"not a URL":          {receive(sdk.ReceiveMessageInput{QueueUrl: aws.String("q")}), "AWS.SimpleQueueService.NonExistentQueue"},
		"empty body":         {send(sdk.SendMessageInput{QueueUrl: queue, MessageBody: aws.String("")}), "MissingParameter"},
		"largest body":       {send(sdk.SendMessageInput{QueueUrl: queue, MessageBody: &long}), ""},
		"too large a body":   {send(sdk.SendMessageInput{QueueUrl: queue, MessageBody: aws.String(long + "x")}), "InvalidParameterValue"},
		"delay":              {send(sdk.SendMessageInput{QueueUrl: queue, MessageBody: aws.String("x"), DelaySeconds: 901}), "InvalidParameterValue"},
		"control character":  {send(sdk.SendMessageInput{QueueUrl: queue, MessageBody: aws.String("\x1b")}), "InvalidMessageContents"},
		"message group":      {send(sdk.SendMessageInput{QueueUrl: queue, MessageBody: aws.String("x"), MessageGroupId: aws.String("g")}), "AWS.SimpleQueueService.UnsupportedOperation"},
		"message attributes": {send(sdk.SendMessageInput{QueueUrl: queue, MessageBody: aws.String("x"), MessageAttributes: map[string]types.MessageAttributeValue{"a": {DataType: aws.String("String"), StringValue: aws.String("b")}}}), "AWS.SimpleQueueService.UnsupportedOperation"},
		"eleven messages":    {receive(sdk.ReceiveMessageInput{QueueUrl: queue, MaxNumberOfMessages: 11}), "InvalidParameterValue"},
		"long wait":          {receive(sdk.ReceiveMessageInput{QueueUrl: queue, WaitTimeSeconds: 21}), "InvalidParameterValue"},
		"long visibility":    {receive(sdk.ReceiveMessageInput{QueueUrl: queue, VisibilityTimeout: 43201}), "InvalidParameterValue"},
		"unknown attribute":  {receive(sdk.ReceiveMessageInput{QueueUrl: queue, MessageSystemAttributeNames: []types.MessageSystemAttributeName{"X"}}), "InvalidAttributeName"},
		"empty batch":        {batch(nil), "AWS.SimpleQueueService.EmptyBatchRequest"},
		"repeated id":        {batch(nil, "a", "a"), "AWS.SimpleQueueService.BatchEntryIdsNotDistinct"},
		"bad id":             {batch(nil, "a b"), "AWS.SimpleQueueService.InvalidBatchEntryId"},
		"eleven entries":     {batch(nil, strings.Fields("a b c d e f g h i j k")...), "AWS.SimpleQueueService.TooManyEntriesInBatchRequest"},
		"too large a batch":  {batch(map[string]string{"a": long[:128<<10], "b": long[:128<<10]}), "AWS.SimpleQueueService.BatchRequestTooLong"},
		"unknown to the name": {func() error {
			_, err := f.client.GetQueueUrl(ctx, &sdk.GetQueueUrlInput{QueueName: aws.String("none")})
			return err
		}(), "AWS.SimpleQueueService.NonExistentQueue"},
		"another's queue": {func() error {
			_, err := f.client.GetQueueUrl(ctx, &sdk.GetQueueUrlInput{QueueName: aws.String("q"), QueueOwnerAWSAccountId: aws.String("111111111111")})
			return err
		}(), "AWS.SimpleQueueService.NonExistentQueue"},
		"its URL": {func() error {
			_, err := f.client.GetQueueUrl(ctx, &sdk.GetQueueUrlInput{QueueName: aws.String("q")})
			return err
		}(), ""},
		"operation": {func() error { _, err := f.client.DeleteQueue(ctx, &sdk.DeleteQueueInput{QueueUrl: queue}); return err }(), "UnknownOperationException"},
		"attribute of none": {func() error {
			_, err := f.client.GetQueueAttributes(ctx, &sdk.GetQueueAttributesInput{QueueUrl: queue, AttributeNames: []types.QueueAttributeName{"X"}})
			return err
		}(), "InvalidAttributeName"},
		"handle": {func() error {
			_, err := f.client.DeleteMessage(ctx, &sdk.DeleteMessageInput{QueueUrl: queue, ReceiptHandle: aws.String("x")})
			return err
		}(), "ReceiptHandleIsInvalid"},
	} {
		if got := codeOf(c.err); got != c.want {
			t.Errorf("%s: got %s (%v), want %s", name, got, c.err, c.want)
		}
	}
}

func TestSetAttributesAndPurge(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := open(t, "")
		queue := f.create("q", nil)
		f.send(queue, "one", 0)
		purge := func() string {
			_, err := f.client.PurgeQueue(t.Context(), &sdk.PurgeQueueInput{QueueUrl: queue})
			return codeOf(err)
		}
		f.want("purge", "", purge())
		f.want("empty", [3]string{"0", "0", "0"}, f.counts(queue))
		f.want("too soon", "AWS.SimpleQueueService.PurgeQueueInProgress", purge())
		time.Sleep(time.Minute)
		f.want("later", "", purge())
		if _, err := f.client.SetQueueAttributes(t.Context(), &sdk.SetQueueAttributesInput{QueueUrl: queue, Attributes: map[string]string{"DelaySeconds": "9"}}); err != nil {
			t.Fatal(err)
		}
		f.create("q", map[string]string{"DelaySeconds": "9"})
	})
}

// TestProtocol is the protocol by hand, over a real connection: what the SDK hides.
func TestProtocol(t *testing.T) {
	t.Parallel()
	s, err := sqs.Open("", sqs.Options{Hook: func(op, queue string) error {
		if queue == "hooked" {
			return errors.New(op + " is on fire")
		}
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	for _, c := range []struct {
		target, authorization, body string
		status                      int
		code, want                  string
	}{
		{"AmazonSQS.CreateQueue", "x", `{"QueueName":"q"}`, 200, "", `{"QueueUrl":"` + server.URL + `/000000000000/q"}`},
		{"AmazonSQS.ReceiveMessage", "x", `{"QueueUrl":"/000000000000/q"}`, 200, "", `{}`},
		{"AmazonSQS.GetQueueAttributes", "x", `{"QueueUrl":"/000000000000/q"}`, 200, "", `{}`},
		{"AmazonSQS.CreateQueue", "", `{"QueueName":"q"}`, 400, "MissingAuthenticationTokenException;Sender", `{"__type":"com.amazon.coral.service#MissingAuthenticationTokenException","message":"Request is missing Authentication Token"}`},
		{"AmazonSQS.CreateQueue", "x", `{"QueueName":"q","tags":{}}`, 400, "AWS.SimpleQueueService.UnsupportedOperation;Sender", `{"__type":"com.amazonaws.sqs#UnsupportedOperation","message":"not supported by this emulator: parameter \"tags\""}`},
		{"AmazonSQS.ListQueues", "x", `{}`, 400, "UnknownOperationException;Sender", `{"__type":"com.amazon.coral.service#UnknownOperationException","message":"An unknown operation was requested: AmazonSQS.ListQueues"}`},
		{"AmazonSQS.PurgeQueue", "x", `{`, 400, "SerializationException;Sender", `{"__type":"com.amazon.coral.service#SerializationException","message":"unexpected EOF"}`},
		{"AmazonSQS.PurgeQueue", "x", `{}`, 400, "MissingParameter;Sender", `{"__type":"com.amazon.coral.service#MissingRequiredParameterException","message":"The request must contain the parameter QueueUrl."}`},
		{"AmazonSQS.PurgeQueue", "x", `{"QueueUrl":"/1/hooked"}`, 500, "InternalFailure;Receiver", `{"__type":"com.amazon.coral.service#InternalFailure","message":"PurgeQueue is on fire"}`},
	} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL, strings.NewReader(c.body))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("X-Amz-Target", c.target)
		request.Header.Set("Authorization", c.authorization)
		response, err := server.Client().Do(request)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(response.Body)
		_ = response.Body.Close()
		if code := response.Header.Get("X-Amzn-Query-Error"); err != nil || response.StatusCode != c.status || string(body) != c.want || code != c.code {
			t.Errorf("%s %s: %d %s %s %v", c.target, c.body, response.StatusCode, code, body, err)
		}
	}
}

package sqs_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/krosai/telephony/emulator/sqs"
)

// crashFile tells a child process of this test binary where to work until it is killed.
const crashFile = "SQS_CRASH_FILE"

func TestMain(m *testing.M) {
	if path := os.Getenv(crashFile); path != "" {
		if err := workForever(path); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// workForever sends messages from several goroutines and deletes every third. It prints
// "sent <body>" once that is answered, "deleting" before and "deleted" after a deletion.
func workForever(path string) error {
	s, err := sqs.Open(path, sqs.Options{})
	if err != nil {
		return err
	}
	c := connect(s.Client(), "http://sqs")
	queue := aws.String("http://sqs/000000000000/q")
	var out sync.Mutex
	say := func(what, body string) {
		out.Lock()
		defer out.Unlock()
		fmt.Println(what, body)
	}
	failed := make(chan error)
	for worker := range 8 {
		go func() {
			for i := 0; ; i++ {
				body := fmt.Sprintf("%d-%d-%d", os.Getpid(), worker, i)
				if _, err := c.SendMessage(context.Background(), &sdk.SendMessageInput{QueueUrl: queue, MessageBody: &body}); err != nil {
					failed <- err
				}
				say("sent", body)
				if i%3 != 0 {
					continue
				}
				got, err := c.ReceiveMessage(context.Background(), &sdk.ReceiveMessageInput{QueueUrl: queue})
				if err != nil || len(got.Messages) == 0 {
					failed <- fmt.Errorf("received %v: %w", got, err)
				}
				say("deleting", *got.Messages[0].Body)
				if _, err := c.DeleteMessage(context.Background(), &sdk.DeleteMessageInput{QueueUrl: queue, ReceiptHandle: got.Messages[0].ReceiptHandle}); err != nil {
					failed <- err
				}
				say("deleted", *got.Messages[0].Body)
			}
		}()
	}
	return <-failed
}

// TestKill kills a process that works on a queue. All that was answered is in its file:
// what was sent is there, but for what was deleted.
func TestKill(t *testing.T) {
	t.Parallel()
	path := t.TempDir() + "/db"
	f := open(t, path)
	f.create("q", map[string]string{"VisibilityTimeout": "43200"})
	if err := f.service.Close(); err != nil {
		t.Fatal(err)
	}
	said := map[string]map[string]bool{"sent": {}, "deleting": {}, "deleted": {}}
	for range 2 {
		for _, line := range workAndKill(t, path, 300) {
			what, body, _ := strings.Cut(line, " ")
			said[what][body] = true
		}
	}
	// A day later nothing is in flight.
	s, err := sqs.Open(path, sqs.Options{Now: func() time.Time { return time.Now().Add(24 * time.Hour) }})
	if err != nil {
		t.Fatal(err)
	}
	f = fixture{t, s, connect(s.Client(), "http://sqs")}
	t.Cleanup(func() { _ = s.Close() })
	left := map[string]bool{}
	for {
		got := f.receive(sdk.ReceiveMessageInput{QueueUrl: aws.String("http://sqs/000000000000/q"), MaxNumberOfMessages: 10})
		if len(got) == 0 {
			break
		}
		for _, body := range bodies(got) {
			if left[body] || said["deleted"][body] {
				t.Errorf("%s is there again", body)
			}
			left[body] = true
		}
	}
	for body := range said["sent"] {
		if !left[body] && !said["deleting"][body] {
			t.Errorf("%s was sent and is lost", body)
		}
	}
	if len(said["deleted"]) == 0 {
		t.Error("nothing was deleted")
	}
}

// workAndKill runs workForever in a child until it has said that many lines, kills it and
// returns them all.
func workAndKill(t *testing.T, path string, enough int) []string {
	t.Helper()
	executable, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	child := exec.CommandContext(t.Context(), executable)
	child.Env = append(os.Environ(), crashFile+"="+path)
	child.Stderr = os.Stderr
	stdout, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	var said []string
	for lines := bufio.NewScanner(stdout); lines.Scan(); {
		if said = append(said, lines.Text()); len(said) == enough {
			if err := child.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := child.Wait(); err == nil || len(said) < enough {
		t.Fatalf("child ended by itself after %d: %v", len(said), err)
	}
	return said
}

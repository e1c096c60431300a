package eventsource_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams"
	"github.com/google/go-cmp/cmp"

	"github.com/krosai/telephony/emulator/dynamodb"
	"github.com/krosai/telephony/emulator/eventsource"
)

// These tell a child process of this test binary what to read until it is killed.
const (
	crashDir    = "EVENTSOURCE_CRASH_DIR"
	crashStream = "EVENTSOURCE_CRASH_STREAM"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(crashDir); dir != "" {
		if err := readForever(dir, os.Getenv(crashStream)); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// readForever prints the id of each record that it is invoked with, one at a time.
func readForever(dir, stream string) error {
	db, err := dynamodb.Open(dir+"/db", dynamodb.Options{})
	if err != nil {
		return err
	}
	s, err := eventsource.Open(eventsource.Options{Path: dir + "/checkpoints", Streams: dynamodbstreams.NewFromConfig(config(db.Client())), Written: db.Written,
		Invoke: func(_ context.Context, _ string, payload []byte) ([]byte, error) {
			texts, err := textsOf(payload)
			fmt.Println(texts[0])
			return nil, err
		}})
	if err != nil {
		return err
	}
	if err := s.AddStream(eventsource.StreamMapping{Function: "work", Stream: stream, StartingPosition: "TRIM_HORIZON", BatchSize: 1}); err != nil {
		return err
	}
	s.Start()
	time.Sleep(time.Minute)
	return fmt.Errorf("nobody killed this process")
}

// TestKill kills a process that reads a stream, again and again, wherever it is. Each
// record is invoked with, in order; one may come twice where a process was killed between
// its invocation and the checkpoint, and none is skipped.
func TestKill(t *testing.T) {
	t.Parallel()
	const records, atLeast = 60, 15
	dir := t.TempDir()
	b := newBench(t, dir+"/db")
	var want []string
	for i := range records {
		want = append(want, fmt.Sprintf("%03d", i))
		b.put(want[i], "x")
	}
	b.close()
	var got []string
	for len(got) < records || got[len(got)-1] != want[records-1] {
		got = append(got, readAndKill(t, dir, b.stream, min(atLeast, records-len(slices.Compact(slices.Clone(got)))))...)
	}
	if d := cmp.Diff(want, slices.Compact(got)); d != "" {
		t.Errorf("records (-want +got)\n%s", d)
	}
}

// readAndKill runs readForever in a child until it has printed that many ids, kills it and
// returns all that it printed.
func readAndKill(t *testing.T, dir, stream string, enough int) []string {
	t.Helper()
	executable, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	child := exec.CommandContext(t.Context(), executable)
	child.Env = append(os.Environ(), crashDir+"="+dir, crashStream+"="+stream)
	child.Stderr = os.Stderr
	stdout, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	var printed []string
	for lines := bufio.NewScanner(stdout); lines.Scan(); {
		if printed = append(printed, lines.Text()); len(printed) == enough {
			if err := child.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := child.Wait(); err == nil || len(printed) < enough {
		t.Fatalf("child ended by itself after %d: %v", len(printed), err)
	}
	return printed
}

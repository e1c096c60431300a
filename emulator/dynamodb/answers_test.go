package dynamodb_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/krosai/telephony/emulator/dynamodb"
)

// answer is a line of testdata/answers.jsonl: a request and what Amazon's DynamoDB Local
// (version 2.6.1) answered when the lines were sent to it in their order. Where the
// emulator means to differ, Ours holds its answer and the reason.
type answer struct {
	Op      string
	Request json.RawMessage
	Status  int
	Answer  any // nil: only the status counts
	Ours    *struct {
		Status int
		Answer any
		Why    string
	}
}

// TestAnswers sends every recorded request and compares the answers, errors and their
// messages included.
func TestAnswers(t *testing.T) {
	t.Parallel()
	client, url := open(t, dynamodb.Options{}).Client(), "http://dynamodb.local"
	file, err := os.Open("testdata/answers.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<20)
	count := 0
	for ; lines.Scan(); count++ {
		var want answer
		if err := json.Unmarshal(lines.Bytes(), &want); err != nil {
			t.Fatal(err)
		}
		if want.Ours != nil {
			want.Status, want.Answer = want.Ours.Status, want.Ours.Answer
		}
		status, got := send(t, client, url, want.Op, want.Request)
		if want.Answer == nil {
			got = nil
		}
		if diff := cmp.Diff(fmt.Sprint(want.Status), fmt.Sprint(status)) + cmp.Diff(want.Answer, got); diff != "" {
			t.Errorf("line %d: %s %s: (-want +got)\n%s", count+1, want.Op, want.Request, diff)
		}
	}
	if lines.Err() != nil || count < 1000 {
		t.Fatalf("read %d lines: %v", count, lines.Err())
	}
}

// send posts one request and returns the answer in the form of the recording.
func send(t testing.TB, client *http.Client, url, op string, body []byte) (int, any) {
	t.Helper()
	status, got, err := ask(t, client, url, op, body)
	if err != nil {
		t.Fatal(err)
	}
	return status, got
}

// ask is send to a server that may fail.
func ask(t testing.TB, client *http.Client, url, op string, body []byte) (int, any, error) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	request.Header.Set("X-Amz-Target", "DynamoDB_20120810."+op)
	request.Header.Set("Content-Type", "application/x-amz-json-1.0")
	request.Header.Set("X-Amz-Date", "20261122T175700Z")
	request.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=test/20261122/us-east-1/dynamodb/aws4_request, SignedHeaders=host, Signature=abc")
	response, err := client.Do(request)
	if err != nil {
		return 0, nil, err
	}
	defer response.Body.Close()
	raw, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, nil, err
	}
	var got any
	if err := json.Unmarshal(raw, &got); err != nil {
		return 0, nil, fmt.Errorf("%s: %s: %w", op, raw, err)
	}
	if members := got.(map[string]any); response.StatusCode != http.StatusOK {
		if message, found := members["message"]; found {
			members["Message"] = message
			delete(members, "message")
		}
		_, members["__type"], _ = strings.Cut(members["__type"].(string), "#")
	}
	return response.StatusCode, got, nil
}

// open opens an in-memory database for the length of a test.
func open(t testing.TB, opts dynamodb.Options) *dynamodb.DB {
	t.Helper()
	db, err := dynamodb.Open("", opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

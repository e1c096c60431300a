package storetest

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"net/http"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	dynamodbsdk "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/krosai/telephony/emulator/template"
)

// stack is template.yaml under a name that no other running test uses. The tests share one DynamoDB
// if it is not the emulator.
type stack struct {
	*template.Template
	name string
}

// spare holds the stacks of tests that have ended. Reading the template takes 0.1 s under the race
// detector, and some hundred tests need one.
var spare struct {
	sync.Mutex
	stacks []stack
}

// borrow lends a test a stack until the test ends.
func borrow(t testing.TB) stack {
	t.Helper()
	spare.Lock()
	defer spare.Unlock()
	if len(spare.stacks) == 0 {
		spare.stacks = append(spare.stacks, readStack(t))
	}
	last := len(spare.stacks) - 1
	s := spare.stacks[last]
	spare.stacks = spare.stacks[:last]
	t.Cleanup(func() {
		spare.Lock()
		defer spare.Unlock()
		spare.stacks = append(spare.stacks, s)
	})
	return s
}

func readStack(t testing.TB) stack {
	t.Helper()
	_, file, _, _ := runtime.Caller(0)
	name := "t" + rand.Text()[:8]
	tmpl, err := template.Open(filepath.Join(filepath.Dir(file), "..", "..", "..", "template.yaml"), template.Values{"AWS::StackName": name,
		"LiveKitUrl": "ws://127.0.0.1", "LiveKitApiKey": "k", "LiveKitApiSecret": "s"})
	if err != nil {
		t.Fatal(err)
	}
	for _, table := range tmpl.Tables() {
		table.Create.DeletionProtectionEnabled = nil // the test deletes the tables
	}
	return stack{tmpl, name}
}

// tables makes a table before the first request that names it. Most tests use few tables, and a
// DynamoDB other than the emulator may take longer to make one than to answer ten requests.
type tables struct {
	next  http.RoundTripper
	admin *dynamodbsdk.Client

	mu            sync.Mutex
	missing, made []template.Table
}

func (s *tables) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	if err := s.make(string(body)); err != nil {
		return nil, err
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	return s.next.RoundTrip(r)
}

// make makes the missing tables that a request names.
func (s *tables) make(request string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var still []template.Table
	for i, table := range s.missing {
		if !strings.Contains(request, `"`+*table.Create.TableName+`"`) {
			still = append(still, table)
			continue
		}
		if _, err := s.admin.CreateTable(context.Background(), table.Create); err != nil {
			s.missing = append(still, s.missing[i:]...)
			return err
		}
		s.made = append(s.made, table)
	}
	s.missing = still
	return nil
}

// delete deletes the tables. The SDK repeats a request whose answer is lost, and then the table is
// already gone.
func (s *tables) delete(t testing.TB) {
	for _, table := range s.made {
		_, err := s.admin.DeleteTable(context.Background(), &dynamodbsdk.DeleteTableInput{TableName: table.Create.TableName})
		if _, gone := errors.AsType[*types.ResourceNotFoundException](err); err != nil && !gone {
			t.Error(err)
		}
	}
}

// Package storetest gives tests a database of their own: the tables of
// template.yaml in the emulator, or in the DynamoDB that
// AWS_ENDPOINT_URL_DYNAMODB names.
package storetest

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	dynamodbsdk "github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/krosai/telephony/emulator/dynamodb"
	"github.com/krosai/telephony/emulator/iam"
	"github.com/krosai/telephony/emulator/template"
	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/store"
)

// Database is a database for one test.
type Database struct {
	*store.DB
	Template *template.Template // with a stack of the test's own, whose tables these are

	wire  *wire
	admin *dynamodbsdk.Client
}

// Open makes the tables anew. now is the database's clock; nil is time.Now.
func Open(t testing.TB, now func() time.Time) *Database {
	t.Helper()
	if now == nil {
		now = time.Now
	}
	_, file, _, _ := runtime.Caller(0)
	root := filepath.Join(filepath.Dir(file), "..", "..", "..")
	stack := "t" + rand.Text()[:8] // tests share one DynamoDB when it is not the emulator
	tmpl, err := template.Open(filepath.Join(root, "template.yaml"), template.Values{"AWS::StackName": stack,
		"LiveKitUrl": "ws://127.0.0.1", "LiveKitApiKey": "k", "LiveKitApiSecret": "s"})
	if err != nil {
		t.Fatal(err)
	}
	// A connection that is kept would hold the clock of a testing/synctest bubble.
	w := &wire{next: &http.Transport{DisableKeepAlives: true}}
	cfg := aws.Config{Region: "us-east-1", HTTPClient: &http.Client{Transport: w},
		Credentials: aws.CredentialsProviderFunc(anyone)}
	url := os.Getenv("AWS_ENDPOINT_URL_DYNAMODB")
	if url != "" {
		cfg.BaseEndpoint = &url
	} else {
		db, err := dynamodb.Open("", dynamodb.Options{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := db.Close(); err != nil {
				t.Error(err)
			}
		})
		w.next = db.Client().Transport
	}
	admin := dynamodbsdk.NewFromConfig(cfg)
	for _, table := range tmpl.Tables() {
		table.Create.DeletionProtectionEnabled = nil // the tables go with the test
		if _, err := admin.CreateTable(context.Background(), table.Create); err != nil {
			t.Fatal(err)
		}
		if url == "" {
			continue
		}
		t.Cleanup(func() {
			w.lose.Store(0)
			w.at.Store(0)
			if _, err := admin.DeleteTable(context.Background(), &dynamodbsdk.DeleteTableInput{TableName: table.Create.TableName}); err != nil {
				t.Error(err)
			}
		})
	}
	w.trips.Store(0)
	return &Database{Template: tmpl, wire: w, admin: admin, DB: store.Open(cfg, store.Config{Numbers: stack + "-numbers", Requests: stack + "-requests", Calls: stack + "-calls",
		Stats: stack + "-stats", Keys: stack + "-keys", Limits: stack + "-limits", Audit: stack + "-audit", Webhooks: stack + "-webhooks"}, now)}
}

// Obey holds functions to the rights of their roles from now on: iam.As says for
// which function the database is asked.
func (d *Database) Obey(roles *iam.Roles) { d.wire.next = roles.Guard(d.wire.next, nil) }

// Trips counts the requests sent to DynamoDB since the last call of Trips.
func (d *Database) Trips() int { return int(d.wire.trips.Swap(0)) }

// LoseReplies carries out the next n requests but loses their answers, as a
// network does at its worst.
func (d *Database) LoseReplies(n int) { d.wire.lose.Store(int64(n)) }

// Collide has DynamoDB cancel the next n transactions because of others that are
// at the same rows. The emulator never does: it carries out one at a time.
func (d *Database) Collide(n int) { d.wire.collide.Store(int64(n)) }

// AllowCountries gives a user the default policy with these countries.
func (d *Database) AllowCountries(ctx context.Context, userID string, countries ...string) error {
	p := account.DefaultPolicy()
	p.AllowedCountries = countries
	return d.PutPolicy(ctx, userID, p)
}

// Watch shows see the body of every request sent to DynamoDB from now on. It
// must be safe for concurrent use if requests are.
func (d *Database) Watch(see func(body []byte)) { d.wire.see.Store(&see) }

// LoseReplyAt carries out the n-th request from now (0 is the next) but loses its
// answer.
func (d *Database) LoseReplyAt(n int) { d.wire.at.Store(int64(n) + 1) }

type wire struct {
	next    http.RoundTripper
	trips   atomic.Int64
	lose    atomic.Int64
	at      atomic.Int64
	collide atomic.Int64
	see     atomic.Pointer[func(body []byte)]
}

var errLost = errors.New("the reply was lost")

func (w *wire) RoundTrip(r *http.Request) (*http.Response, error) {
	w.trips.Add(1)
	if see := w.see.Load(); see != nil {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		(*see)(body)
		r.Body = io.NopCloser(bytes.NewReader(body))
	}
	if strings.HasSuffix(r.Header.Get("X-Amz-Target"), ".TransactWriteItems") && w.collide.Add(-1) >= 0 {
		return collision(r), nil
	}
	resp, err := w.next.RoundTrip(r)
	lost := w.at.Add(-1) == 0
	if err == nil && (w.lose.Add(-1) >= 0 || lost) {
		resp.Body.Close()
		return nil, errLost
	}
	return resp, err
}

func collision(r *http.Request) *http.Response {
	const body = `{"__type":"com.amazonaws.dynamodb.v20120810#TransactionCanceledException",` +
		`"CancellationReasons":[{"Code":"None"},{"Code":"TransactionConflict","Message":"Transaction is ongoing for the item"}]}`
	return &http.Response{StatusCode: http.StatusBadRequest, Header: http.Header{"Content-Type": {"application/x-amz-json-1.0"}},
		Body: io.NopCloser(strings.NewReader(body)), Request: r}
}

// anyone signs requests with credentials that mean nothing.
func anyone(context.Context) (aws.Credentials, error) {
	return aws.Credentials{AccessKeyID: "test", SecretAccessKey: "test"}, nil
}

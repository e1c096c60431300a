// Package storetest gives tests a database of their own: the tables of template.yaml in the
// emulator, or in the DynamoDB that KROS_DYNAMODB_ENDPOINT names.
package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	dynamodbsdk "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams"

	"github.com/krosai/telephony/emulator/dynamodb"
	"github.com/krosai/telephony/emulator/iam"
	"github.com/krosai/telephony/emulator/template"
	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/call"
	"github.com/krosai/telephony/shared/number"
	"github.com/krosai/telephony/shared/store"
)

// Database is a database for one test.
type Database struct {
	*store.DB
	Template *template.Template // a stack of the test's own, to which the tables belong

	// Written reports records of a table's stream, as eventsource.Options describes it. It is nil
	// for a DynamoDB other than the emulator.
	Written func(table string) <-chan struct{}

	wire   *wire
	admin  *dynamodbsdk.Client
	direct aws.Config // bypasses the wire, which counts requests and loses replies
	names  store.Config
	now    func() time.Time
}

// Open gives a test tables of its own. Each table is made when a request first names it. now is the
// clock of the database. nil means time.Now.
func Open(t testing.TB, now func() time.Time) *Database {
	t.Helper()
	if now == nil {
		now = time.Now
	}
	stack := borrow(t)
	tables := &tables{missing: stack.Tables()}
	var written func(table string) <-chan struct{}
	w := &wire{next: tables}
	cfg := aws.Config{Region: "us-east-1", HTTPClient: &http.Client{Transport: w},
		Credentials: aws.CredentialsProviderFunc(anyone)}
	if url := os.Getenv("KROS_DYNAMODB_ENDPOINT"); url != "" {
		cfg.BaseEndpoint = &url
		// A connection that is kept alive would hold the clock of a testing/synctest bubble.
		tables.next = &http.Transport{DisableKeepAlives: true}
		t.Cleanup(func() { tables.delete(t) })
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
		tables.next, written = db.Client().Transport, db.Written
	}
	direct := cfg
	direct.HTTPClient = &http.Client{Transport: tables.next}
	tables.admin = dynamodbsdk.NewFromConfig(direct)
	of := func(table string) string { return stack.name + "-" + table }
	names := store.Config{Numbers: of("numbers"), Requests: of("requests"), Calls: of("calls"), Stats: of("stats"),
		Keys: of("keys"), Limits: of("limits"), Audit: of("audit"), Webhooks: of("webhooks"), Events: of("events")}
	return &Database{Template: stack.Template, Written: written, wire: w, direct: direct, names: names, now: now,
		admin: dynamodbsdk.NewFromConfig(cfg), DB: store.Open(cfg, names, now)}
}

// Streams is a client for the streams of the tables.
func (d *Database) Streams() *dynamodbstreams.Client { return dynamodbstreams.NewFromConfig(d.direct) }

// StreamOf is the ARN of a table's stream.
func (d *Database) StreamOf(ctx context.Context, table string) (string, error) {
	out, err := d.admin.DescribeTable(ctx, &dynamodbsdk.DescribeTableInput{TableName: &table})
	if err != nil {
		return "", err
	}
	return aws.ToString(out.Table.LatestStreamArn), nil
}

// Through returns a store of the same database whose requests also pass through wrap.
func (d *Database) Through(wrap func(next http.RoundTripper) http.RoundTripper) *store.DB {
	cfg := d.direct
	cfg.HTTPClient = &http.Client{Transport: wrap(d.wire)}
	return store.Open(cfg, d.names, d.now)
}

// Obey restricts functions to the rights of their roles from now on. iam.As says which function a
// request comes from.
func (d *Database) Obey(roles *iam.Roles) { d.wire.next = roles.Guard(d.wire.next, nil) }

// Trips counts the requests sent to DynamoDB since the last call of Trips.
func (d *Database) Trips() int { return int(d.wire.trips.Swap(0)) }

// LoseReplies loses the answers to the next n requests, which are still carried out.
func (d *Database) LoseReplies(n int) { d.wire.lose.Store(int64(n)) }

// Collide makes DynamoDB cancel the next n transactions because of other transactions on the same
// rows. The emulator never does this by itself, because it carries out one transaction at a time.
func (d *Database) Collide(n int) { d.wire.collide.Store(int64(n)) }

// AllowCountries gives a user the default policy with these allowed countries.
func (d *Database) AllowCountries(ctx context.Context, userID string, countries ...string) error {
	p := account.DefaultPolicy()
	p.AllowedCountries = countries
	return d.PutPolicy(ctx, userID, p)
}

// Place records a new call like CreateCall. It assumes that the call comes from a number of the
// country that it calls.
func (d *Database) Place(ctx context.Context, c call.Call) error {
	_, may, err := d.CallPermit(ctx, c.UserID, "")
	if err != nil {
		return err
	}
	may.Home = c.Country
	_, _, _, err = d.CreateCall(ctx, c, may, store.Once{})
	return err
}

// Own gives a call's user the number in the call's FromNumber, with the call's trunk. It returns
// the call as one from that number.
func (d *Database) Own(ctx context.Context, c call.Call) (call.Call, error) {
	c.NumberID = number.ID(c.Own)
	return c, d.PutNumber(ctx, number.Number{ID: c.NumberID, E164: c.Own, Country: c.Country, Type: "mobile", UserID: c.UserID,
		Trunk: &number.Trunk{Name: "carrier", Address: "sbc.acme.net", Numbers: []string{c.Own}, Transport: "auto",
			Directions: []string{"outbound"}, OutboundID: c.TrunkID}})
}

// Transfer begins a transfer of a call like BeginTransfer, within the limits of the call's user.
func (d *Database) Transfer(ctx context.Context, c call.Call, t call.Transfer) error {
	_, may, err := d.CallPermit(ctx, c.UserID, "")
	if err != nil {
		return err
	}
	_, _, err = d.BeginTransfer(ctx, c, may, t)
	return err
}

// Watch passes the body of every request that is sent to DynamoDB from now on to see. see must be
// safe for concurrent use if the requests are concurrent.
func (d *Database) Watch(see func(body []byte)) { d.wire.see.Store(&see) }

// LoseReplyAt loses the answer to the n-th request from now (0 is the next), which is still
// carried out.
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

// anyone signs requests with meaningless credentials. They differ for each test process, because
// some DynamoDB stand-ins keep a database for each access key. So the tests of two packages do not
// wait for each other.
func anyone(context.Context) (aws.Credentials, error) {
	return aws.Credentials{AccessKeyID: fmt.Sprintf("test%d", os.Getpid()), SecretAccessKey: "test"}, nil
}

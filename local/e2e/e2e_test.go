// Package e2e tests the running platform over HTTP, as its users use it. It checks at the carrier
// what really happened on the phone.
//
// KROS_LIVEKIT_SIP=/path/to/livekit-sip runs the same suite with the real SIP service instead of
// the bridge. KROS_DYNAMODB_ENDPOINT runs it on another DynamoDB.
package e2e

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"hash/fnv"
	"io"
	"iter"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/krosai/telephony/local/calltest"
	"github.com/krosai/telephony/local/carrier"
	"github.com/krosai/telephony/local/platform"
	"github.com/krosai/telephony/shared/number"
)

// shared is the platform for the parallel tests of this package.
var shared *platform.Platform

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		os.Exit(child(dir))
	}
	os.Exit(run(m))
}

// shortly selects the tests of `go test -short`: one call in each direction, and tests without
// a call.
const shortly = "^(TestHealth|TestUsersTokens|TestAgentHangsUp|TestInboundOfOthers|TestConfigureTwiceLeavesOneOfEach)$"

func run(m *testing.M) int {
	flag.Parse()
	if only := flag.Lookup("test.run"); testing.Short() && only.Value.String() == "" {
		fmt.Println("with -short only these end-to-end tests run, the others take minutes: " + shortly)
		if err := only.Value.Set(shortly); err != nil {
			panic(err)
		}
	}
	dir, err := os.MkdirTemp("", "kros-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	shared, err = platform.Start(context.Background(), settings(dir))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if err := flag.Set("test.parallel", "10"); err != nil { // calls mostly wait
		panic(err)
	}
	status := calltest.Judged(m)
	if err := shared.Close(); err != nil {
		fmt.Fprintln(os.Stderr, "close:", err)
		return 1
	}
	return status
}

// settings returns the settings of a platform for tests: its own ports, and a log in its folder or
// in E2E_LOG.
func settings(dir string) platform.Config {
	c := platform.Config{Root: "../..", Dir: dir, SweepEvery: time.Second, Script: script, LiveKitSIP: os.Getenv("KROS_LIVEKIT_SIP")}
	if address := os.Getenv("KROS_DYNAMODB_ENDPOINT"); address != "" {
		c.DynamoDB = databaseOf(dir, address)
	}
	if address := os.Getenv(faultyDatabase); address != "" {
		c.DynamoDB = address
	}
	if kind := os.Getenv(webhookTrouble); kind != "" {
		c.LiveKitWebhooks = troubled(kind)
	}
	f, err := os.OpenFile(logFile(dir), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		panic(err)
	}
	c.Log = platform.Log(f)
	return c
}

func logFile(dir string) string { return cmp.Or(os.Getenv("E2E_LOG"), filepath.Join(dir, "log")) }

// databaseOf is the address of a folder's own database in another DynamoDB, if that keeps one
// database per access key. The platforms of these tests have tables with the same names.
func databaseOf(dir, address string) string {
	local, err := url.Parse(address)
	if err != nil {
		panic(err)
	}
	name := fnv.New64a()
	name.Write([]byte(dir))
	key := fmt.Sprintf("Credential=e2e%x/", name.Sum(nil))
	signer := regexp.MustCompile("Credential=[^/]*/")
	return httptest.NewServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(local)
		r.Out.Header.Set("Authorization", signer.ReplaceAllString(r.In.Header.Get("Authorization"), key))
	}}).URL
}

// ring is how long the phones of callees that accept a transfer take until they ring, and again
// until they answer.
const ring = 600 * time.Millisecond

// more are callees besides the carrier's cast. Each behaves like one of the recordings of the real
// LiveKit SIP.
var more = map[string]carrier.Script{
	"+14155550120": {Status: 480, RingFor: 500 * time.Millisecond},
	"+14155550121": {Status: 600, RingFor: 500 * time.Millisecond},
	"+14155550122": {Status: 403, NoRing: true},
	"+14155550123": {Status: 484, NoRing: true},
	"+14155550124": {Status: 500, NoRing: true},
	"+14155550125": {Status: 408, RingFor: 500 * time.Millisecond},
	"+14155550126": {Status: 200, Auth: carrier.AuthAlways},
	"+14155550127": {Status: 200, RingFor: 400 * time.Millisecond, HangUpAfter: 50 * time.Millisecond},
	"+14155550128": {Status: 200, NoRing: true},
	"+14155550130": {Ring: ring, RingFor: ring, Status: 200, Refer: carrier.Refer{Notify: []int{100, 180, 200}, Bye: true}},
	"+14155550131": {Ring: ring, RingFor: ring, Status: 200, Refer: carrier.Refer{Notify: []int{100, 180, 200}}},
	"+14155550132": {Ring: ring, RingFor: ring, Status: 200, Refer: carrier.Refer{Notify: []int{100, 603}}},
	"+14155550133": {Ring: ring, RingFor: ring, Status: 200, Refer: carrier.Refer{Notify: []int{100, 503}}},
	"+14155550134": {Ring: ring, RingFor: ring, Status: 200, Refer: carrier.Refer{Notify: []int{}}},
	"+14155550135": {Ring: ring, RingFor: ring, Status: 200, Refer: carrier.Refer{Notify: []int{100, 200}, NotifyAfter: 21 * time.Second, Bye: true}},
	"+14155550136": {Ring: ring, RingFor: ring, Status: 200, Refer: carrier.Refer{Notify: []int{100, 180, 200}, NotifyAfter: 3 * time.Second}},
	"+14155550137": {Ring: ring, RingFor: 5 * time.Second, Status: 200},
	"+14155550138": {Ring: ring, RingFor: ring, Status: 200},
	"+14155550139": {Ring: ring, RingFor: ring, Status: 200, Refer: carrier.Refer{Notify: []int{}, Bye: true}},
	"+14155550140": {Ring: 300 * time.Millisecond, RingFor: 300 * time.Millisecond, Status: 200}, // TestPythonAgent's
}

func script(callee string) carrier.Script {
	if s, ok := more[callee]; ok {
		return s
	}
	if m, ok := memberOf(callee); ok {
		return m.script
	}
	return carrier.Cast(callee)
}

// demoNumber is the id of the number with which every platform starts.
var demoNumber = number.ID("+2348012345678")

// user is a caller of the API.
type user struct {
	t   *testing.T
	url string
	key string
}

func demo(t *testing.T, p *platform.Platform) user { return user{t, p.Access.URL, p.Access.APIKey} }

// answer is an answer of the API.
type answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// problem decodes an error document.
func (a answer) problem(t *testing.T) (p struct {
	Status int
	Code   string
	Errors []struct{ Field, Code string }
}) {
	t.Helper()
	if got := a.Header.Get("Content-Type"); got != "application/problem+json" {
		t.Errorf("content type %q: %s", got, a.Body)
	}
	if err := json.Unmarshal(a.Body, &p); err != nil {
		t.Errorf("%v: %s", err, a.Body)
	}
	return p
}

// do sends a request, and checks the answer against openapi.json. A string body is sent unchanged.
func (u user) do(method, path string, body any, headers ...string) answer {
	u.t.Helper()
	var r io.Reader
	switch b := body.(type) {
	case nil:
	case string:
		r = strings.NewReader(b)
	default:
		text, err := json.Marshal(b)
		if err != nil {
			u.t.Fatal(err)
		}
		r = bytes.NewReader(text)
	}
	req, err := http.NewRequest(method, u.url+path, r)
	if err != nil {
		u.t.Fatal(err)
	}
	if u.key != "" {
		req.Header.Set("Authorization", "Bearer "+u.key)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		u.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		u.t.Fatal(err)
	}
	a := answer{resp.StatusCode, resp.Header, b}
	if err := document().check(method, path, a); err != nil {
		u.t.Errorf("not as in openapi.json: %v: %s", err, b)
	}
	return a
}

// must sends a request that has to succeed and decodes its answer.
func must[T any](u user, method, path string, body any) T {
	u.t.Helper()
	a := u.do(method, path, body)
	var out T
	if a.Status/100 != 2 {
		u.t.Fatalf("%s %s: %d %s", method, path, a.Status, a.Body)
	}
	if err := json.Unmarshal(a.Body, &out); err != nil {
		u.t.Fatalf("%s %s: %v: %s", method, path, err, a.Body)
	}
	return out
}

// details are a call's details from the API.
type details struct {
	CallID      string      `json:"call_id"`
	Status      string      `json:"status"`
	Cause       string      `json:"hangup_cause"`
	SIP         int         `json:"sip_status_code"`
	RoomName    string      `json:"room_name"`
	CreatedAt   time.Time   `json:"created_at"`
	AnsweredAt  time.Time   `json:"answered_at"`
	EndedAt     time.Time   `json:"ended_at"`
	Duration    int         `json:"duration_seconds"`
	PhoneNumber string      `json:"phone_number"`
	Transfer    transferred `json:"transfer"`
	Timeline    []struct {
		At            time.Time
		Event, Detail string
	} `json:"timeline"`
}

// events are the names of the events in the timeline.
func (d details) events() string {
	var names []string
	for _, e := range d.Timeline {
		names = append(names, e.Event)
	}
	return strings.Join(names, " ")
}

func (d details) over() bool { return d.Cause != "" }

type request map[string]any

func (u user) place(to string, extra request) details {
	u.t.Helper()
	body := request{"phone_number": to, "phone_number_id": demoNumber, "ringing_timeout_seconds": 20, "max_duration_seconds": 60}
	maps.Copy(body, extra)
	return must[details](u, "POST", "/outbound-calls/create", body)
}

func (u user) details(id string) details {
	u.t.Helper()
	return must[details](u, "GET", "/outbound-calls/"+id+"/details", nil)
}

func (u user) hangUp(id string) details {
	u.t.Helper()
	return must[details](u, "POST", "/outbound-calls/"+id+"/hangup", nil)
}

// timeout is how long a test waits for an expected result. A slow machine uses more of it than a
// fast one. No test requires a certain speed of calls.
const timeout = 4 * time.Minute

// looks is a loop that ends after timeout. Its iterations begin 50 ms apart and end 1 s apart,
// because each counts against the user's hourly limit of requests.
func looks() iter.Seq[int] {
	return func(yield func(int) bool) {
		pause := 50 * time.Millisecond
		for i, end := 0, time.Now().Add(timeout); time.Now().Before(end) && yield(i); i++ {
			time.Sleep(pause)
			pause = min(pause*21/20, time.Second)
		}
	}
}

// until reads a call until wanted is true. It fails the test if the call ends first.
func (u user) until(id string, wanted func(details) bool) (d details) {
	u.t.Helper()
	for range looks() {
		if d = u.details(id); wanted(d) {
			return d
		}
		if d.over() {
			break // an ended call does not change
		}
	}
	u.t.Fatalf("call %s to %s is %s %s; timeline %s", id, d.PhoneNumber, d.Status, d.Cause, d.events())
	return d
}

func is(status string) func(details) bool {
	return func(d details) bool { return d.Status == status }
}

// fresh is a callee that no other test calls: one of 1 415 560 0000 and up. These callees answer
// after one second and hang up after five.
func fresh() string { return fmt.Sprintf("+1415560%04d", last.Add(1)) }

var last atomic.Int64

// phone is the carrier's record of the only call to a callee.
func phone(t *testing.T, p *platform.Platform, callee string) (carrier.CallInfo, bool) {
	t.Helper()
	var found []carrier.CallInfo
	for _, c := range p.Carrier.Calls() {
		if c.Callee == callee {
			found = append(found, c)
		}
	}
	if len(found) > 1 {
		t.Errorf("%s was dialed %d times", callee, len(found))
	}
	if len(found) == 0 {
		return carrier.CallInfo{}, false
	}
	return found[0], true
}

package e2e

import (
	"bytes"
	cryptorand "crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/krosai/telephony/emulator/dynamodb"
	"github.com/krosai/telephony/local/carrier"
	"github.com/krosai/telephony/local/platform"
	"github.com/krosai/telephony/shared/store/storetest"
	"github.com/krosai/telephony/shared/webhook/webhooktest"
)

// member is one kind of callee in a crowd, and the end of a call to them.
type member struct {
	name   string
	script carrier.Script
	hangUp bool // hung up by the API, once answered
	end    string
}

// crowd are the kinds of callees, by the digit after crowdPrefix. Each kind has 1,000 numbers, so
// that each call of a test has its own callee, whose dials the carrier counts.
var crowd = []member{
	{"busy", carrier.Script{Status: 486, RingFor: 300 * time.Millisecond}, false, "busy busy"},
	{"declines", carrier.Script{Status: 603, RingFor: 300 * time.Millisecond}, false, "busy declined"},
	{"hangs up", carrier.Script{Status: 200, RingFor: 300 * time.Millisecond, HangUpAfter: time.Second}, false, "completed callee_hangup"},
	{"is hung up on", carrier.Script{Status: 200, RingFor: 300 * time.Millisecond}, true, "completed api_hangup"},
	{"does not exist", carrier.Script{Status: 404, NoRing: true}, false, "failed invalid_number"},
}

const crowdPrefix = "+1415562"

// memberOf is the kind of a callee of the crowd.
func memberOf(callee string) (member, bool) {
	rest, ok := strings.CutPrefix(callee, crowdPrefix)
	if !ok || rest == "" || int(rest[0]-'0') >= len(crowd) {
		return member{}, false
	}
	return crowd[rest[0]-'0'], true
}

// inCrowd is the i-th callee of the crowd.
func inCrowd(i int) string { return fmt.Sprintf("%s%d%03d", crowdPrefix, i%len(crowd), i) }

// faultyDatabase is the variable with the address of a DynamoDB for a child process of this
// test binary.
const faultyDatabase = "E2E_DYNAMODB"

// dialsFile is the file to which a child process writes how often each callee was dialed.
const dialsFile = "dials.json"

func writeDials(p *platform.Platform, path string) error {
	dials := map[string]int{}
	for _, c := range p.Carrier.Calls() {
		dials[c.Callee]++
	}
	text, err := json.Marshal(dials)
	if err != nil {
		return err
	}
	return os.WriteFile(path, text, 0o600)
}

// faultyDB is a proxy in front of the DynamoDB emulator. While it is in trouble, one request in
// five gets one of the failures that storetest.Refusals lists. DynamoDB refuses the request, or its
// connection is reset before or after the request was carried out.
type faultyDB struct {
	*httptest.Server
	db http.RoundTripper

	mu      sync.Mutex
	random  *rand.Rand // nil while there is no trouble
	asked   int
	refused map[string]int
}

func newFaultyDB(t *testing.T) *faultyDB {
	t.Helper()
	db, err := dynamodb.Open("", dynamodb.Options{})
	if err != nil {
		t.Fatal(err)
	}
	f := &faultyDB{db: db.Client().Transport, refused: map[string]int{}}
	f.Server = httptest.NewServer(f)
	t.Cleanup(func() {
		f.CloseClientConnections()
		f.Close()
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return f
}

// trouble starts with the failures drawn from the seed. The seed 0 ends it.
func (f *faultyDB) trouble(seed uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.random = nil; seed != 0 {
		f.random = rand.New(rand.NewPCG(seed, 0))
	}
}

// draw is the failure of the next request, "" for none.
func (f *faultyDB) draw(operation string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.random == nil {
		return ""
	}
	f.asked++
	if f.random.IntN(5) != 0 {
		return ""
	}
	names := storetest.Refusals(operation)
	name := names[f.random.IntN(len(names))]
	f.refused[name]++
	return name
}

// seen returns the failures so far, and the number of all requests.
func (f *faultyDB) seen() (refused map[string]int, asked int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return maps.Clone(f.refused), f.asked
}

// ServeHTTP answers like DynamoDB in trouble.
func (f *faultyDB) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the client is gone
	}
	r.Body, r.RequestURI = io.NopCloser(bytes.NewReader(body)), ""
	r.URL = &url.URL{Scheme: "http", Host: "emulator", Path: r.URL.Path}
	answer, err := f.db.RoundTrip, error(nil)
	if name := f.draw(storetest.Operation(r)); name != "" {
		answer = func(r *http.Request) (*http.Response, error) { return storetest.Refuse(name, r, f.db) }
	}
	resp, err := answer(r)
	if err != nil {
		reset(w)
		return
	}
	defer resp.Body.Close()
	maps.Copy(w.Header(), resp.Header)
	text, err := io.ReadAll(resp.Body)
	if err == nil {
		w.Header().Set("Content-Length", fmt.Sprint(len(text)))
	} else {
		w.Header().Set("Content-Length", fmt.Sprint(2*len(text)+1)) // but only half of it is sent
	}
	w.WriteHeader(resp.StatusCode)
	_, _ = w.Write(text) // an error means that the client is gone
	if err != nil {
		panic(http.ErrAbortHandler)
	}
}

// reset ends a connection with a TCP reset, as a crashing machine does.
func reset(w http.ResponseWriter) {
	conn, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // the connection may be gone already
	}
	_ = conn.Close()
}

// TestDatabaseInTrouble makes 200 calls while DynamoDB fails one request in five, with every known
// failure. The API never answers 503 because of the database. Each call is dialed at most once and
// ends once. Its end is once in the log of events and once at a receiver.
func TestDatabaseInTrouble(t *testing.T) {
	const waves, each = 8, 25
	db, dir := newFaultyDB(t), t.TempDir()
	p := spawn(t, dir, faultyDatabase+"="+db.URL)
	r := webhooktest.NewReceiver(t)
	made := must[struct {
		SigningSecret string `json:"signing_secret"`
	}](p.user, "POST", "/webhook-endpoints", map[string]any{"url": r.URL, "events": []string{"call.ended"}})
	r.Trust(t, made.SigningSecret)
	db.trouble(1)
	f := &flood{user: p.user, ends: map[string]string{}, callees: map[string]string{}}
	for wave := range waves {
		var calls sync.WaitGroup
		for i := range each {
			callee := inCrowd(wave*each + i)
			m, _ := memberOf(callee)
			calls.Go(func() { f.call(callee, m) })
		}
		calls.Wait()
	}
	f.told(t, r)
	refused, asked := db.seen()
	db.trouble(0)
	t.Logf("of %d requests to the database these failed: %v; LiveKit was too busy for %d calls: %v", asked, refused, len(f.others), f.others)
	if len(refused) < 13 || len(f.ends) != waves*each {
		t.Errorf("%d calls were accepted, under the failures %v", len(f.ends), refused)
	}
	p.tell("write dials")
	text, err := os.ReadFile(filepath.Join(dir, dialsFile))
	dials := map[string]int{}
	if err = errors.Join(err, json.Unmarshal(text, &dials)); err != nil {
		t.Fatal(err)
	}
	for id, callee := range f.callees {
		if dials[callee] > 1 || dials[callee] == 0 && !strings.HasPrefix(f.ends[id], "failed ") {
			t.Errorf("%s, to %s, was dialed %d times", id, callee, dials[callee])
		}
	}
}

// flood is a user with many calls.
type flood struct {
	user
	mu      sync.Mutex
	ends    map[string]string // by call
	callees map[string]string
	others  []string // ends that happen only if LiveKit is too busy
}

// ask sends a request until it succeeds. LiveKit may be unavailable on a busy machine. The database
// must never be, because a function repeats its requests until its deadline.
func (f *flood) ask(method, path string, body any) (d details) {
	f.t.Helper()
	key := cryptorand.Text()
	for end := time.Now().Add(timeout); ; time.Sleep(200 * time.Millisecond) {
		a := f.do(method, path, body, "Idempotency-Key", key)
		if a.Status/100 == 2 {
			if err := json.Unmarshal(a.Body, &d); err != nil {
				f.t.Fatal(err)
			}
			return d
		}
		busy := a.Status == http.StatusServiceUnavailable && !strings.Contains(string(a.Body), "database") || a.problem(f.t).Code == "IDEMPOTENCY_IN_PROGRESS"
		if !busy || time.Now().After(end) {
			f.t.Fatalf("%s %s: %d %s", method, path, a.Status, a.Body)
		}
	}
}

// call places a call to a callee of kind m and follows it to its end.
func (f *flood) call(callee string, m member) {
	id := f.ask("POST", "/outbound-calls/create", request{"phone_number": callee, "phone_number_id": demoNumber,
		"ringing_timeout_seconds": 20, "max_duration_seconds": 60}).CallID
	f.mu.Lock()
	f.callees[id] = callee
	f.mu.Unlock()
	path := "/outbound-calls/" + id
	d := f.poll(path, func(d details) bool { return d.over() || m.hangUp && d.Status == "in_progress" })
	if !d.over() {
		f.ask("POST", path+"/hangup", nil)
		d = f.poll(path, details.over)
	}
	if n := strings.Count(d.events(), "ended"); n != 1 {
		f.t.Errorf("%s: %d ends in %s", m.name, n, d.events())
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ends[id] = d.Status + " " + d.Cause
	if f.ends[id] != m.end {
		f.others = append(f.others, m.name+": "+f.ends[id])
	}
}

// poll reads a call until wanted is true. Every call ends within its maximum duration and
// two minutes.
func (f *flood) poll(path string, wanted func(details) bool) (d details) {
	f.t.Helper()
	for range looks() {
		if d = f.ask("GET", path+"/details", nil); wanted(d) {
			return d
		}
	}
	f.t.Fatalf("%s is %s; timeline %s", path, d.Status, d.events())
	return d
}

// told waits until every end is in the log of events and at the receiver, and checks that each is
// there once.
func (f *flood) told(t *testing.T, r *webhooktest.Receiver) {
	t.Helper()
	want := f.ends
	var logged, sent map[string]string
	for range looks() {
		logged, sent = f.logged(t), received(t, r)
		if len(logged) >= len(want) && len(sent) >= len(want) {
			break
		}
	}
	if d := cmp.Diff(want, logged); d != "" {
		t.Errorf("in the log of events (-want +got):\n%s", d)
	}
	if d := cmp.Diff(want, sent); d != "" {
		t.Errorf("at the receiver (-want +got):\n%s", d)
	}
}

// ended is an event that reports a call's end.
type ended struct {
	Type string
	Data struct {
		CallID      string `json:"call_id"`
		Status      string
		HangupCause string `json:"hangup_cause"`
	}
}

// add records an end. A second end of the same call is appended to the first.
func (e ended) add(to map[string]string) {
	text := e.Data.Status + " " + e.Data.HangupCause
	if before, again := to[e.Data.CallID]; again {
		text = before + ", " + text
	}
	to[e.Data.CallID] = text
}

// logged are the ends in the log of events, by call.
func (f *flood) logged(t *testing.T) map[string]string {
	t.Helper()
	ends, after := map[string]string{}, ""
	for {
		path := "/events?types=call.ended"
		if after != "" {
			path += "&after=" + url.QueryEscape(after)
		}
		page := must[struct {
			Data      []ended
			NextAfter string `json:"next_after"`
		}](f.user, "GET", path, nil)
		for _, e := range page.Data {
			e.add(ends)
		}
		if len(page.Data) == 0 {
			return ends
		}
		after = page.NextAfter
	}
}

// received are the ends at a receiver, by call.
func received(t *testing.T, r *webhooktest.Receiver) map[string]string {
	t.Helper()
	ends := map[string]string{}
	for _, m := range r.Messages() {
		var e ended
		if err := errors.Join(m.Err, json.Unmarshal([]byte(m.Body), &e)); err != nil {
			t.Errorf("%v: %s", err, m.Body)
			continue
		}
		e.add(ends)
	}
	return ends
}

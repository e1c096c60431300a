package all_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/google/go-cmp/cmp"

	"github.com/krosai/telephony/functions/all"
	"github.com/krosai/telephony/functions/deliverwebhook"
	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/call"
	"github.com/krosai/telephony/shared/event"
	"github.com/krosai/telephony/shared/numberrequest"
	"github.com/krosai/telephony/shared/secret"
	"github.com/krosai/telephony/shared/store"
	"github.com/krosai/telephony/shared/store/storetest"
	"github.com/krosai/telephony/shared/webhook"
	"github.com/krosai/telephony/shared/webhook/queue"
	"github.com/krosai/telephony/shared/webhook/webhooktest"
)

// post is the way of an event from the transaction that makes it true to a user's server, with its
// functions, its queue and a database. It is in a synctest bubble, where time passes at once. The
// receiver is outside the bubble.
type post struct {
	*testing.T
	db       *storetest.Database
	deps     all.Deps
	receiver *webhooktest.Receiver
	endpoint webhook.Endpoint
	client   *http.Client // of deliverwebhook
	calls    int

	mu    sync.Mutex
	seen  strings.Builder // what functions were given, and their log
	crash map[string]int  // how many of the next runs of a function die after their work

	sources *sources
	mortal  map[string]all.Deps // of the next run of a function, which dies
}

const webhookSecret = "whsec_Y2FuYXJ5Y2FuYXJ5Y2FuYXJ5Y2FuYXJ5"

// inBubble runs a test with a post and an endpoint of ada's. The endpoint answers the n-th message
// with the status answer(n).
func inBubble(t *testing.T, answer func(n int) int, test func(p *post)) {
	t.Helper()
	r := webhooktest.NewReceiver(t)
	r.Trust(t, webhookSecret)
	r.Answer(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(answer(len(r.Messages()))) })
	synctest.Test(t, func(t *testing.T) { test(openPost(t, r)) })
}

// from answers first before the n-th message, and then from the n-th message on.
func from(n, first, then int) func(int) int {
	return func(message int) int {
		if message < n {
			return first
		}
		return then
	}
}

func openPost(t *testing.T, r *webhooktest.Receiver) *post {
	t.Helper()
	db, roles := obedient(t)
	p := &post{T: t, db: db, receiver: r, crash: map[string]int{}, client: deliverwebhook.NewClient(nil, true)}
	p.deps = all.Deps{DB: p.db.DB, Now: time.Now, Log: slog.New(slog.NewJSONHandler(p, nil)), AllowLoopback: true}
	ready := make(chan struct{})
	p.sources = openSources(t, db, roles, func(ctx context.Context, folder string, payload []byte) ([]byte, error) {
		<-ready
		return p.invoke(ctx, folder, payload)
	}, "queuedeliveries", "deliverwebhook")
	p.deps.Queue = p.sources.Queue
	p.endpoint = p.subscribe(1, "ada", r.URL, event.CallEnded)
	close(ready)
	return p
}

// subscribe gives a user an endpoint.
func (p *post) subscribe(n int, user, url string, events ...string) webhook.Endpoint {
	p.Helper()
	e := webhook.Endpoint{ID: fmt.Sprintf("whe_01KAMPJ5V0SAMPMEWHE000000%d", n), UserID: user, URL: url, Events: events,
		Secret: secret.New(webhookSecret), CreatedAt: time.Now()}
	p.must(p.db.AddEndpoint(p.Context(), e))
	return e
}

func (p *post) must(err error) {
	p.Helper()
	if err != nil {
		p.Fatal(err)
	}
}

// Write takes the functions' log.
func (p *post) Write(line []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.seen.Write(line)
}

func (p *post) invoke(ctx context.Context, folder string, payload []byte) ([]byte, error) {
	_, _ = p.Write(payload)
	p.mu.Lock()
	deps, dies := p.mortal[folder]
	delete(p.mortal, folder)
	p.mu.Unlock()
	if !dies {
		deps = p.deps
	}
	run := all.Tasks(deps)[folder]
	if folder == "deliverwebhook" {
		run = (&deliverwebhook.Task{Webhooks: deps.DB, Queue: deps.Queue, Client: p.client, Now: time.Now, Log: deps.Log}).Run
	}
	out, err := lambda.NewHandler(run).Invoke(as(ctx, folder), payload)
	if dies {
		return nil, errDied
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.crash[folder] > 0 {
		p.crash[folder]--
		return nil, errDied
	}
	return out, err
}

// end makes a call of a user's and ends it, so that there is an event.
func (p *post) end(user string) call.Call {
	p.Helper()
	p.calls++
	now := time.Now().UTC().Truncate(time.Millisecond)
	c := call.Call{ID: fmt.Sprintf("call_01KAMPJ5V0SAMPMECA%08d", p.calls), UserID: user, Country: "US", Remote: fmt.Sprintf("+1415555%04d", p.calls),
		Direction: call.Outbound, Status: call.Ringing, MaxDuration: 10, CreatedAt: now, Metadata: map[string]string{"order": "A-1"}}
	policy := account.DefaultPolicy()
	policy.AllowedCountries, policy.CallsPerHour, policy.MaxConcurrentCalls = []string{"US"}, 1000, 100
	p.must(p.db.PutPolicy(p.Context(), user, policy))
	_, may, err := p.db.CallPermit(p.Context(), user, "")
	p.must(err)
	c, _, _, err = p.db.CreateCall(p.Context(), c, may, store.Once{})
	p.must(err)
	c, err = p.db.EndCall(p.Context(), c, call.End{Status: call.Busy, Cause: call.CalleeBusy, At: now})
	p.must(err)
	return c
}

// deliveries returns the deliveries to an endpoint, the oldest first, after a pause in the
// bubble's time.
func (p *post) deliveries(e webhook.Endpoint, after time.Duration) []webhook.Delivery {
	p.Helper()
	time.Sleep(after)
	synctest.Wait()
	list, _, err := p.db.DeliveriesOf(p.Context(), e.UserID, e.ID, "", 100, "")
	p.must(err)
	slices.Reverse(list)
	return list
}

// delivery returns the only delivery to ada's endpoint.
func (p *post) delivery(after time.Duration) webhook.Delivery {
	p.Helper()
	list := p.deliveries(p.endpoint, after)
	if len(list) != 1 {
		p.Fatalf("%d deliveries", len(list))
	}
	return list[0]
}

// TestADayOfTrouble checks that a receiver that never accepts the event gets it twelve times, at
// the times in the log of deliveries, and then never again. SQS counts in whole seconds, so each
// attempt may come one second late.
func TestADayOfTrouble(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes half a minute of computing")
	}
	t.Parallel()
	inBubble(t, from(1, 0, 500), func(p *post) {
		begin := time.Now()
		p.end("ada")
		var at []time.Duration
		d := p.delivery(time.Second)
		for d.Status == webhook.Pending && !d.NextAt.IsZero() {
			at = append(at, d.LastAt.Sub(begin))
			n, next := d.Attempts, d.NextAt
			d = p.delivery(time.Until(next) + 2*time.Second)
			if late := d.LastAt.Sub(next); d.Attempts != n+1 || late < 0 || late > 2*time.Second {
				p.Fatalf("the next attempt was to be at %s and was at %s: %+v", next, d.LastAt, d)
			}
		}
		at = append(at, d.LastAt.Sub(begin))
		want := time.Duration(0)
		for n, got := range at {
			if got < want || got > want+time.Duration(n+1)*2*time.Second {
				p.Errorf("attempt %d after %s, want %s", n+1, got, want)
			}
			pause, _ := webhook.Pause(n + 1)
			want += pause
		}
		d = p.delivery(12 * time.Hour)
		if n := len(p.receiver.Messages()); n != 12 || len(at) != 12 || d.Status != webhook.Dead || d.Attempts != 12 || d.LastStatus != 500 {
			p.Errorf("%d messages at %v, %+v", n, at, d)
		}
		p.keepsSecrets()
	})
}

// keepsSecrets checks that the signing secret and the endpoint's address appear neither in what the
// functions were given nor in their log.
func (p *post) keepsSecrets() {
	p.Helper()
	p.mu.Lock()
	all := p.seen.String()
	p.mu.Unlock()
	if !strings.Contains(all, p.endpoint.ID) {
		p.Errorf("nothing to look at: %s", all)
	}
	for _, canary := range []string{"canary", "Y2FuYXJ5", "whsec", "127.0.0.1"} {
		if strings.Contains(all, canary) {
			p.Errorf("%q is in %s", canary, all)
		}
	}
}

func TestDeliveries(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		answer   func(n int) int
		during   func(p *post) // after the first attempt
		crash    map[string]int
		status   webhook.Status
		attempts int
		messages int
	}{
		"taken at once":                   {answer: from(1, 0, 200), status: webhook.Delivered, attempts: 1, messages: 1},
		"taken at the fourth attempt":     {answer: from(4, 503, 204), status: webhook.Delivered, attempts: 4, messages: 4},
		"never wanted again":              {answer: from(1, 0, 410), status: webhook.Dead, attempts: 1, messages: 1},
		"not wanted again later":          {answer: from(3, 500, 410), status: webhook.Dead, attempts: 3, messages: 3},
		"the endpoint is deleted":         {answer: from(1, 0, 500), during: (*post).deleteEndpoint, status: webhook.Dead, attempts: 1, messages: 1},
		"the function dies when it is":    {answer: from(1, 0, 200), crash: map[string]int{"deliverwebhook": 1}, status: webhook.Delivered, attempts: 1, messages: 1},
		"it dies and the answer was none": {answer: from(2, 500, 200), crash: map[string]int{"deliverwebhook": 1}, status: webhook.Delivered, attempts: 2, messages: 2},
		"sent over and over":              {answer: from(3, 500, 200), crash: map[string]int{"queuedeliveries": 3}, status: webhook.Delivered, attempts: 3, messages: 3},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, tt.answer, func(p *post) {
				if tt.crash != nil {
					p.crash = tt.crash
				}
				p.end("ada")
				p.delivery(time.Second)
				if tt.during != nil {
					tt.during(p)
				}
				d := p.delivery(time.Hour)
				if d.Status != tt.status || d.Attempts != tt.attempts || !d.NextAt.IsZero() {
					p.Errorf("%+v", d)
				}
				messages := p.receiver.Messages()
				if len(messages) != tt.messages {
					p.Errorf("%d messages", len(messages))
				}
				for _, m := range messages {
					if m.Err != nil || m.ID != d.Event.ID || m.Body != messages[0].Body || m.Body != string(d.Event.Body) || !strings.Contains(m.Body, `"metadata":{"order":"A-1"}`) {
						p.Errorf("%+v", m)
					}
				}
				p.keepsSecrets()
			})
		})
	}
}

func (p *post) deleteEndpoint() { p.must(p.db.DeleteEndpoint(p.Context(), "ada", p.endpoint.ID)) }

// dying is a connection to AWS that fails all writes after the first n.
type dying struct {
	mu     sync.Mutex
	writes int // left
}

// to returns the connection to one service.
func (d *dying) to(next http.RoundTripper) http.RoundTripper {
	return roundTrip(func(r *http.Request) (*http.Response, error) {
		_, operation, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
		reads := strings.Contains(operation, "Get") || operation == "Query"
		d.mu.Lock()
		down := d.writes <= 0 && !reads
		if !reads {
			d.writes--
		}
		d.mu.Unlock()
		if down {
			return nil, context.Canceled // clients do not retry after it
		}
		return next.RoundTrip(r)
	})
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// TestKilledAfterEachWrite checks that a function that dies after any of its writes leaves nothing
// undelivered, and that a receiver that has answered is not sent the event again.
func TestKilledAfterEachWrite(t *testing.T) {
	t.Parallel()
	for _, function := range []string{"queuedeliveries", "deliverwebhook"} {
		for n := range 5 {
			for name, answer := range map[string]func(int) int{"taken": from(1, 0, 200), "taken at the third": from(3, 500, 200)} {
				t.Run(fmt.Sprintf("%s/%d/%s", function, n, name), func(t *testing.T) {
					t.Parallel()
					inBubble(t, answer, func(p *post) {
						p.killAfter(function, n)
						p.end("ada")
						d := p.deliveries(p.endpoint, 15*time.Minute)
						messages := p.receiver.Messages()
						if len(d) != 1 || d[0].Status != webhook.Delivered || len(messages) != d[0].Attempts && n > 0 {
							p.Errorf("%d messages, %+v", len(messages), d)
						}
					})
				})
			}
		}
	}
}

// killAfter lets the next run of a function die after its n-th write to DynamoDB or SQS.
func (p *post) killAfter(function string, n int) {
	p.Helper()
	wire := &dying{writes: n}
	mortal := p.deps
	mortal.DB = p.db.Through(func(next http.RoundTripper) http.RoundTripper { return wire.to(next) })
	mortal.Queue = p.sources.through(func(next http.RoundTripper) http.RoundTripper { return wire.to(next) })
	p.mortal = map[string]all.Deps{function: mortal}
}

// TestOwnerIsTold checks that the owner is notified of the approval when it is given, and of the
// number when it is assigned.
func TestOwnerIsTold(t *testing.T) {
	inOffice(t, func(o *office) {
		e := webhook.Endpoint{ID: "whe_01KAMPJ5V0SAMPMEWHE0000000", UserID: "ada", URL: "https://127.0.0.1/", Secret: secret.New(webhookSecret), CreatedAt: time.Now(),
			Events: []string{event.RequestDecided, event.RequestAssigned}}
		if err := o.db.AddEndpoint(o.Context(), e); err != nil {
			o.Fatal(err)
		}
		r := o.submit("ada")
		o.decide(r, numberrequest.Decision{Approve: true})
		time.Sleep(time.Minute)
		o.is(r, numberrequest.Approved)
		o.told(e, event.RequestDecided)
		o.offer(o.inventory(1))
		o.is(r, numberrequest.Assigned)
		o.told(e, event.RequestDecided, event.RequestAssigned)
	})
}

// told compares the deliveries to an endpoint of ada's with the wanted ones.
func (o *office) told(e webhook.Endpoint, want ...string) {
	o.Helper()
	o.finish()
	list, _, err := o.db.DeliveriesOf(o.Context(), "ada", e.ID, "", 100, "")
	if err != nil {
		o.Fatal(err)
	}
	var types []string
	for _, d := range slices.Backward(list) {
		types = append(types, d.Event.Type)
	}
	if diff := cmp.Diff(want, types); diff != "" {
		o.Error(diff)
	}
}

// hosts answers for some hosts in place of the network.
type hosts struct {
	next http.RoundTripper
	some map[string]func(*http.Request) (int, error)
}

func (e hosts) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, ok := e.some[r.URL.Hostname()]
	if !ok {
		return e.next.RoundTrip(r)
	}
	status, err := answer(r)
	if err != nil {
		return nil, err
	}
	return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader("")), Request: r}, nil
}

// silent never answers.
func silent(r *http.Request) (int, error) {
	<-r.Context().Done()
	return 0, r.Context().Err()
}

// TestHangingEndpoint checks a user's endpoint that hangs. It is soon tried by one message at a
// time, and other users' deliveries go on. In the end it is disabled, and another endpoint of its
// owner is notified. A new URL enables it.
func TestHangingEndpoint(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes half a minute of computing")
	}
	t.Parallel()
	inBubble(t, from(1, 0, 200), func(p *post) {
		var mu sync.Mutex
		tried, at := 0, []time.Duration{}
		begin := time.Now()
		p.client = &http.Client{Timeout: 10 * time.Second, Transport: hosts{p.client.Transport, map[string]func(*http.Request) (int, error){
			"bad.acme.co": func(r *http.Request) (int, error) {
				mu.Lock()
				tried++
				at = append(at, time.Since(begin).Round(time.Second))
				mu.Unlock()
				return silent(r)
			}}}}
		bad := p.subscribe(2, "bob", "https://bad.acme.co/", event.CallEnded)
		watch := p.subscribe(3, "bob", p.receiver.URL, event.EndpointDisabled)
		for range 60 {
			p.end("bob")
		}
		for n := range 10 { // after the first minute, by which the endpoint is held
			time.Sleep(time.Minute)
			start := time.Now()
			p.end("ada")
			list := p.deliveries(p.endpoint, 15*time.Second)
			if d := list[len(list)-1]; len(list) != n+1 || d.Status != webhook.Delivered || d.LastAt.Sub(start) > 11*time.Second {
				p.Fatalf("%d deliveries of another user's, the last %+v after %s", len(list), d, d.LastAt.Sub(start))
			}
		}
		mu.Lock()
		n := tried
		mu.Unlock()
		if n > 60+10*2 {
			p.Errorf("the endpoint was tried %d times: %v", n, at)
		}
		time.Sleep(2 * time.Hour)
		e, err := p.db.Endpoint(p.Context(), "bob", bad.ID)
		p.must(err)
		if e.Status() != webhook.Disabled || e.Failures < 20 || e.DisabledReason != webhook.Failures {
			p.Errorf("%+v", e)
		}
		dead := 0
		for _, d := range p.deliveries(bad, 6*time.Hour) {
			if d.Status == webhook.Dead && d.LastError == webhook.EndpointDisabled {
				dead++
			}
		}
		if dead != 60 {
			p.Errorf("%d deliveries were given up", dead)
		}
		told := p.deliveries(watch, 0)
		if len(told) != 1 || told[0].Status != webhook.Delivered || !strings.Contains(string(told[0].Event.Body), bad.ID) {
			p.Errorf("told: %+v", told)
		}
		url := p.receiver.URL
		_, err = p.db.UpdateEndpoint(p.Context(), "bob", bad.ID, store.EndpointChange{URL: &url})
		p.must(err)
		p.end("bob")
		list := p.deliveries(bad, time.Second)
		if d := list[len(list)-1]; d.Status != webhook.Delivered {
			p.Errorf("after it was enabled: %+v", d)
		}
	})
}

// TestBriefTrouble checks that an endpoint that was held works again at its first answer, and that
// waiting events are delivered.
func TestBriefTrouble(t *testing.T) {
	t.Parallel()
	inBubble(t, from(9, 500, 200), func(p *post) {
		for range 8 {
			p.end("ada")
		}
		for _, d := range p.deliveries(p.endpoint, time.Hour) {
			if d.Status != webhook.Delivered {
				p.Errorf("%+v", d)
			}
		}
		e, err := p.db.Endpoint(p.Context(), "ada", p.endpoint.ID)
		p.must(err)
		if e.Failures != 0 || !e.HeldUntil.IsZero() {
			p.Errorf("%+v", e)
		}
	})
}

// TestRepeatedMessages checks that an event is delivered once even if its message comes again
// and again.
func TestRepeatedMessages(t *testing.T) {
	t.Parallel()
	inBubble(t, from(2, 500, 200), func(p *post) {
		p.end("ada")
		d := p.delivery(time.Second)
		events, _, err := p.db.EventsOf(p.Context(), "ada", store.Log{}, 10, "")
		p.must(err)
		i := slices.IndexFunc(events, func(e event.Event) bool { return e.Type == event.CallEnded })
		body, err := json.Marshal(webhook.Message{UserID: "ada", EndpointID: p.endpoint.ID, DeliveryID: d.ID, Event: store.EventKey(events[i])})
		p.must(err)
		for range 3 {
			p.must(p.deps.Queue.Send(p.Context(), slices.Repeat([]queue.Message{{Body: body}}, 10)))
			p.delivery(time.Minute)
		}
		if n := len(p.receiver.Messages()); n != 2 || p.delivery(0).Status != webhook.Delivered {
			p.Errorf("%d messages", n)
		}
	})
}

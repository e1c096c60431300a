package all_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/google/go-cmp/cmp"

	"github.com/krosai/telephony/emulator/stepfunctions"
	"github.com/krosai/telephony/functions/all"
	"github.com/krosai/telephony/shared/announce"
	"github.com/krosai/telephony/shared/call"
	"github.com/krosai/telephony/shared/event"
	"github.com/krosai/telephony/shared/flow"
	"github.com/krosai/telephony/shared/request"
	"github.com/krosai/telephony/shared/secret"
	"github.com/krosai/telephony/shared/store/storetest"
	"github.com/krosai/telephony/shared/webhook"
	"github.com/krosai/telephony/shared/webhook/webhooktest"
)

// post is the webhook workflow with its function and a database, in a bubble of
// synctest, whose time passes at once. The receiver is outside of it.
type post struct {
	*testing.T
	db        *storetest.Database
	deps      all.Deps
	announcer *announce.Announcer
	receiver  *webhooktest.Receiver
	history   *sfn.Client
	machine   string
	endpoint  webhook.Endpoint

	mu    sync.Mutex
	seen  strings.Builder // what functions were given, and their log
	crash int             // how many of the next attempts die after their work
}

const hookSecret = "whsec_Y2FuYXJ5Y2FuYXJ5Y2FuYXJ5Y2FuYXJ5"

// inBubble runs a test with a post and an endpoint of ada's, which answers as
// answer says to the n-th message.
func inBubble(t *testing.T, answer func(n int) int, test func(p *post)) {
	t.Helper()
	r := webhooktest.NewReceiver(t)
	r.Trust(t, hookSecret)
	r.Answer(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(answer(len(r.Messages()))) })
	synctest.Test(t, func(t *testing.T) { test(openPost(t, r)) })
}

// from answers then from the n-th message on, and before it first.
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
	p := &post{T: t, db: db, receiver: r}
	flows, err := stepfunctions.Open(stepfunctions.Options{Log: slog.New(slog.DiscardHandler), Invoke: p.invoke})
	p.must(err)
	t.Cleanup(func() { p.must(flows.Close()) })
	p.machine = load(t, flows, db.Template, "WebhookMachine")
	flows.Start()
	cfg := aws.Config{Region: "us-east-1", HTTPClient: workflows(roles, flows), Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{AccessKeyID: "test", SecretAccessKey: "test"}, nil
	})}
	p.history = sfn.NewFromConfig(cfg)
	p.deps = all.Deps{DB: p.db.DB, Now: time.Now, Log: slog.New(slog.NewJSONHandler(p, nil)), AllowLoopback: true,
		Flow: flow.Open(cfg, flow.Config{WebhookMachine: p.machine})}
	p.announcer = &announce.Announcer{Webhooks: p.db, Flow: p.deps.Flow, Now: time.Now}
	p.endpoint = webhook.Endpoint{ID: "whe_01KAMPJ5V0SAMPMEWHE0000000", UserID: "ada", URL: r.URL, Events: []string{event.CallEnded},
		Secret: secret.New(hookSecret), CreatedAt: time.Now()}
	p.must(p.db.AddEndpoint(t.Context(), p.endpoint))
	return p
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

func (p *post) invoke(ctx context.Context, _ string, payload []byte) ([]byte, error) {
	_, _ = p.Write(payload)
	out, err := lambda.NewHandler(all.Tasks(p.deps)["deliverwebhook"]).Invoke(as(ctx, "deliverwebhook"), payload)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.crash > 0 {
		p.crash--
		return nil, errDied
	}
	return out, err
}

// announce tells of the end of a call.
func (p *post) announce() {
	p.Helper()
	now := time.Now().UTC().Truncate(time.Millisecond)
	c := call.Call{ID: "call_01KAMPJ5V0SAMPMECA00000000", UserID: "ada", Status: call.Busy, Cause: call.CalleeBusy, CreatedAt: now, EndedAt: now}
	p.must(p.announcer.Call(p.Context(), c, call.Summary{}))
}

// delivery is the only one, after a pause that time passes over.
func (p *post) delivery(after time.Duration) webhook.Delivery {
	p.Helper()
	time.Sleep(after)
	synctest.Wait()
	list, _, err := p.db.DeliveriesOf(p.Context(), "ada", p.endpoint.ID, "", 100, "")
	p.must(err)
	if len(list) != 1 {
		p.Fatalf("%d deliveries", len(list))
	}
	return list[0]
}

// TestADayOfTrouble: a receiver that never takes the event is asked twelve times,
// at the times that the log of deliveries tells, and then never again.
func TestADayOfTrouble(t *testing.T) {
	t.Parallel()
	inBubble(t, from(1, 0, 500), func(p *post) {
		begin := time.Now()
		p.announce()
		var at []time.Duration
		d := p.delivery(time.Second)
		for d.Status == webhook.Pending && !d.NextAt.IsZero() {
			at = append(at, d.LastAt.Sub(begin).Round(time.Second))
			n, next := d.Attempts, d.NextAt
			d = p.delivery(time.Until(next) + time.Second)
			if d.Attempts != n+1 || d.LastAt.Sub(next).Abs() > time.Second/2 {
				p.Fatalf("the next attempt was to be at %s and was at %s: %+v", next, d.LastAt, d)
			}
		}
		at = append(at, d.LastAt.Sub(begin).Round(time.Second))
		want := []time.Duration{0, 10 * time.Second}
		for n := 2; len(want) < 12; n++ {
			pause, _ := webhook.Pause(n)
			want = append(want, want[len(want)-1]+pause)
		}
		if diff := cmp.Diff(want, at); diff != "" || at[11] != 24*time.Hour+130*time.Second {
			p.Errorf("attempts at %v: %s", at, diff)
		}
		d = p.delivery(48 * time.Hour)
		if n := len(p.receiver.Messages()); n != 12 || d.Status != webhook.Dead || d.Attempts != 12 || d.LastStatus != 500 {
			p.Errorf("%d messages, %+v", n, d)
		}
		p.keepsSecrets()
	})
}

// keepsSecrets looks for the signing secret and the endpoint's address wherever
// the workflow leaves something.
func (p *post) keepsSecrets() {
	p.Helper()
	executions, err := p.history.ListExecutions(p.Context(), &sfn.ListExecutionsInput{StateMachineArn: &p.machine})
	p.must(err)
	p.mu.Lock()
	all := p.seen.String()
	p.mu.Unlock()
	for _, x := range executions.Executions {
		h, err := p.history.GetExecutionHistory(p.Context(), &sfn.GetExecutionHistoryInput{ExecutionArn: x.ExecutionArn, MaxResults: 1000, IncludeExecutionData: aws.Bool(true)})
		p.must(err)
		text, err := json.Marshal(h.Events)
		p.must(err)
		all += string(text)
	}
	if len(executions.Executions) == 0 || !strings.Contains(all, p.endpoint.ID) {
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
		crash    int
		status   webhook.Status
		attempts int
		messages int
	}{
		"taken at once":                   {answer: from(1, 0, 200), status: webhook.Delivered, attempts: 1, messages: 1},
		"taken at the fourth attempt":     {answer: from(4, 503, 204), status: webhook.Delivered, attempts: 4, messages: 4},
		"never wanted again":              {answer: from(1, 0, 410), status: webhook.Dead, attempts: 1, messages: 1},
		"not wanted again later":          {answer: from(3, 500, 410), status: webhook.Dead, attempts: 3, messages: 3},
		"the endpoint is deleted":         {answer: from(1, 0, 500), during: (*post).deleteEndpoint, status: webhook.Dead, attempts: 1, messages: 1},
		"the function dies when it is":    {answer: from(1, 0, 200), crash: 1, status: webhook.Delivered, attempts: 1, messages: 1},
		"it dies and the answer was none": {answer: from(2, 500, 200), crash: 1, status: webhook.Delivered, attempts: 2, messages: 2},
		"announced over and over":         {answer: from(3, 500, 200), during: (*post).again, status: webhook.Delivered, attempts: 3, messages: 3},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, tt.answer, func(p *post) {
				p.crash = tt.crash
				p.announce()
				p.delivery(time.Second)
				if tt.during != nil {
					tt.during(p)
				}
				d := p.delivery(48 * time.Hour)
				if d.Status != tt.status || d.Attempts != tt.attempts || !d.NextAt.IsZero() {
					p.Errorf("%+v", d)
				}
				messages := p.receiver.Messages()
				if len(messages) != tt.messages {
					p.Errorf("%d messages", len(messages))
				}
				for _, m := range messages {
					if m.Err != nil || m.ID != d.Event.ID || m.Body != messages[0].Body {
						p.Errorf("%+v", m)
					}
				}
				p.keepsSecrets()
			})
		})
	}
}

func (p *post) deleteEndpoint() { p.must(p.db.DeleteEndpoint(p.Context(), "ada", p.endpoint.ID)) }

// again announces the same end from many sides at once, while it is on its way.
func (p *post) again() {
	d := p.delivery(0)
	c := call.Call{ID: "call_01KAMPJ5V0SAMPMECA00000000", UserID: "ada", Status: call.Busy, Cause: call.CalleeBusy, CreatedAt: d.Event.At, EndedAt: d.Event.At}
	var wg sync.WaitGroup
	for range 10 {
		wg.Go(func() {
			if err := p.announcer.Call(p.Context(), c, call.Summary{}); err != nil {
				p.Error(err)
			}
		})
	}
	wg.Wait()
}

// TestOwnerIsTold of the approval when it is given, or when the function that
// tells of it works again, and of the number when it is there.
func TestOwnerIsTold(t *testing.T) {
	for name, tt := range map[string]struct {
		deaths int // of the function that tells
		soon   []string
	}{
		"at once": {0, []string{event.RequestDecided}},
		"later":   {4, nil},
	} {
		t.Run(name, func(t *testing.T) {
			inOffice(t, func(o *office) {
				e := webhook.Endpoint{ID: "whe_01KAMPJ5V0SAMPMEWHE0000000", UserID: "ada", URL: "https://127.0.0.1/", Secret: secret.New(hookSecret), CreatedAt: time.Now(),
					Events: []string{event.RequestDecided, event.RequestAssigned}}
				if err := o.db.AddEndpoint(o.Context(), e); err != nil {
					o.Fatal(err)
				}
				r := o.submit("ada")
				o.crash["notifyrequest"] = crash{before: tt.deaths}
				o.decide(r, request.Decision{Approve: true})
				time.Sleep(time.Minute)
				o.is(r, request.Approved)
				o.told(e, tt.soon...)
				o.offer(o.stock(1))
				o.is(r, request.Assigned)
				o.told(e, event.RequestDecided, event.RequestAssigned)
			})
		})
	}
}

// told compares what an endpoint of ada's gets with what it should.
func (o *office) told(e webhook.Endpoint, want ...string) {
	o.Helper()
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

package createwebhook_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/krosai/telephony/functions/createwebhook"
	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/api/apitest"
	"github.com/krosai/telephony/shared/event"
	"github.com/krosai/telephony/shared/id"
	"github.com/krosai/telephony/shared/secret"
	"github.com/krosai/telephony/shared/validate"
	"github.com/krosai/telephony/shared/webhook"
	"github.com/krosai/telephony/shared/webhook/webhooktest"
)

var morning = time.Date(2026, 11, 22, 9, 30, 0, 123e6, time.UTC)

// random yields bytes that are all the same.
type random byte

func (r random) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = byte(r)
	}
	return len(b), nil
}

// public is a resolver that returns the same public addresses for every name.
func public(t *testing.T) validate.Resolver {
	return webhooktest.Resolver(t, func(string) []netip.Addr {
		return []netip.Addr{netip.MustParseAddr("93.184.216.34"), netip.MustParseAddr("2606:2800:220:1::1")}
	})
}

const path = "/webhook-endpoints"

func open(t *testing.T, resolver validate.Resolver, allowLoopback bool) *apitest.Bench {
	t.Helper()
	b := apitest.Open(t, func() time.Time { return morning })
	b.Serve(&createwebhook.Endpoint{Endpoints: b.DB, Resolver: resolver, Now: b.Now, Random: random('k'), AllowLoopback: allowLoopback})
	return b
}

const wanted = `{"url":"https://hooks.acme.co/a?b=c","events":["call.ended","call.answered"]}`

func TestCreate(t *testing.T) {
	t.Parallel()
	b := open(t, public(t), false)
	b.SampleKey("ada", account.WebhooksWrite)
	a := b.Replay("createwebhook", "")
	made, _ := a.Body["endpoint_id"].(string)
	delete(a.Body, "endpoint_id")
	want := map[string]any{
		"url":               "https://hooks.acme.co/krosai",
		"events":            []any{"call.answered", "call.ended", "call.summary_ready"},
		"status":            "active",
		"disabled_at":       nil,
		"disabled_reason":   nil,
		"failures_in_a_row": 0.0,
		"created_at":        "2026-11-22T09:30:00.123Z",
		"signing_secret":    "whsec_a2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2s=",
	}
	if diff := cmp.Diff(want, a.Body); a.Status != 201 || diff != "" || !id.Endpoint.Valid(made) {
		t.Errorf("%d %s %s", a.Status, a.Text, diff)
	}
	stored, _, err := b.EndpointsOf(t.Context(), "ada", 10, "")
	b.Must(err)
	if len(stored) != 1 || stored[0].ID != made || stored[0].URL != "https://hooks.acme.co/krosai" || !stored[0].CreatedAt.Equal(morning) || !stored[0].Secret.IsZero() {
		t.Errorf("stored %+v", stored)
	}
	again := b.Replay("createwebhook", "")
	if again.Header.Get("Idempotency-Replayed") != "true" || again.Body["endpoint_id"] != made {
		t.Errorf("the same once more: %s", again.Text)
	}

	// The secret that is shown is the one that signs.
	signer, err := standardwebhooks.NewWebhook(signs(b, made))
	b.Must(err)
	verifier, err := standardwebhooks.NewWebhook(want["signing_secret"].(string))
	b.Must(err)
	signature, err := signer.Sign("evt_1", time.Now(), []byte("body"))
	b.Must(err)
	header := http.Header{}
	header.Set("webhook-id", "evt_1")
	header.Set("webhook-timestamp", fmt.Sprint(time.Now().Unix()))
	header.Set("webhook-signature", signature)
	b.Must(verifier.Verify([]byte("body"), header))
}

// signs returns the secret that signs deliveries to an endpoint of ada's.
func signs(b *apitest.Bench, endpointID string) string {
	b.Helper()
	d := webhook.Delivery{ID: "dlv_01KAMPJ5V0SAMPMEDEV0000000", EndpointID: endpointID, CreatedAt: b.Now(), Event: webhook.Event{UserID: "ada", ID: "evt_1"}}
	_, err := b.AddDelivery(b.Context(), d)
	b.Must(err)
	_, e, err := b.DB.Delivery(b.Context(), "ada", endpointID, d.ID)
	b.Must(err)
	return e.Secret.Reveal()
}

func TestWhereItLeads(t *testing.T) {
	t.Parallel()
	for addresses, want := range map[string]string{
		"93.184.216.34":                 "",
		"93.184.216.34 2606:2800::1":    "",
		"":                              "unknown_host",
		"127.0.0.1":                     "malformed",
		"10.0.0.1":                      "malformed",
		"169.254.169.254":               "malformed",
		"100.64.0.1":                    "malformed",
		"198.18.0.1":                    "malformed",
		"0.0.0.0":                       "malformed",
		"224.0.0.1":                     "malformed",
		"240.0.0.1":                     "malformed",
		"::1":                           "malformed",
		"fd00:ec2::254":                 "malformed",
		"fe80::1":                       "malformed",
		"64:ff9b::a9fe:a9fe":            "malformed",
		"2002:7f00:1::1":                "malformed",
		"::ffff:10.0.0.1":               "malformed",
		"93.184.216.34 10.0.0.1":        "malformed",
		"10.0.0.1 93.184.216.34":        "malformed",
		"93.184.216.34 ::1":             "malformed",
		"93.184.216.34 169.254.169.254": "malformed",
	} {
		t.Run(addresses, func(t *testing.T) {
			t.Parallel()
			asked := ""
			var mu sync.Mutex
			resolver := webhooktest.Resolver(t, func(name string) (found []netip.Addr) {
				mu.Lock()
				defer mu.Unlock()
				asked = name
				for s := range strings.FieldsSeq(addresses) {
					found = append(found, netip.MustParseAddr(s))
				}
				return found
			})
			for _, laptop := range []bool{false, true} {
				b := open(t, resolver, laptop)
				a := b.Ask(b.User("ada"), "POST", path, wanted)
				if status := map[bool]int{true: 201, false: 400}[want == ""]; a.Status != status || a.Fields()["url"] != want {
					t.Errorf("%d %s", a.Status, a.Text)
				}
				stored, _, err := b.EndpointsOf(t.Context(), "ada", 10, "")
				b.Must(err)
				if (len(stored) == 1) != (want == "") {
					t.Errorf("stored %+v", stored)
				}
			}
			mu.Lock()
			defer mu.Unlock()
			if asked != "hooks.acme.co" {
				t.Errorf("asked for %q", asked)
			}
		})
	}
}

// never is a resolver that does not answer.
type never struct{}

func (never) LookupNetIP(ctx context.Context, _, _ string) ([]netip.Addr, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func TestDNSIsDown(t *testing.T) {
	t.Parallel()
	b := open(t, never{}, false)
	ada := b.User("ada")
	b.Ask(ada, "POST", path, "{}") // the issuer's keys are fetched outside of the bubble
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		if a := b.Ask(ada, "POST", path, wanted); a.Status != 400 || a.Fields()["url"] != "unknown_host" {
			t.Errorf("%d %s", a.Status, a.Text)
		}
		if took := time.Since(start); took != 3*time.Second {
			t.Errorf("it took %s", took)
		}
	})
}

func TestLoopback(t *testing.T) {
	t.Parallel()
	const body = `{"url":"http://127.0.0.1:8099/","events":["call.ended"]}`
	for laptop, status := range map[bool]int{false: 400, true: 201} {
		b := open(t, never{}, laptop)
		if a := b.Ask(b.User("ada"), "POST", path, body); a.Status != status {
			t.Errorf("%v: %d %s", laptop, a.Status, a.Text)
		}
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	b := open(t, public(t), false)
	for body, want := range map[string]map[string]string{
		`{"events":["call.ended"]}`:                                                {"url": "required"},
		`{"url":"https://hooks.acme.co/"}`:                                         {"events": "required"},
		`{"url":"https://hooks.acme.co/","events":[]}`:                             {"events": "too_few"},
		`{"url":"http://hooks.acme.co/","events":["call.ended"]}`:                  {"url": "malformed"},
		`{"url":"https://user:pw@hooks.acme.co/","events":["call.ended"]}`:         {"url": "malformed"},
		`{"url":"https://10.0.0.1/","events":["call.ended"]}`:                      {"url": "malformed"},
		`{"url":"https://hooks.acme.co:22/","events":["call.ended"]}`:              {"url": "malformed"},
		`{"url":"https://hooks.acme.co/","events":["call.started"]}`:               {"events[0]": "enum"},
		`{"url":"https://hooks.acme.co/","events":["call.ended"],"secret":"mine"}`: {"secret": "unknown"},
	} {
		a := b.Ask(b.User("ada"), "POST", path, body)
		if diff := cmp.Diff(want, a.Fields()); a.Status != 400 || diff != "" {
			t.Errorf("%s: %d %s", body, a.Status, a.Text)
		}
	}
	if a := b.Ask(b.User("ada"), "POST", path, `{"url":"https://hooks.acme.co/","events":["call.ended","call.ended"]}`); a.Status != 400 {
		t.Errorf("the same event twice: %d %s", a.Status, a.Text)
	}
	for i := range webhook.MaxEndpoints {
		b.Must(b.AddEndpoint(t.Context(), webhook.Endpoint{ID: fmt.Sprintf("whe_%d", i), UserID: "ada", Events: []string{event.CallEnded}, Secret: secret.New("s")}))
	}
	if a := b.Ask(b.User("ada"), "POST", path, wanted); a.Outcome() != "409 CONFLICT" {
		t.Errorf("one too many: %d %s", a.Status, a.Text)
	}
	if a := b.Ask(b.User("bob"), "POST", path, wanted); a.Status != 201 {
		t.Errorf("another user's first: %d %s", a.Status, a.Text)
	}
}

// TestSecret checks that the signing secret is only in the answer, its replay and the endpoint's
// row. It is not in a log or an error. The answer that an Idempotency-Key keeps is sealed.
func TestSecret(t *testing.T) {
	t.Parallel()
	b := open(t, public(t), false)
	_, key := b.Key("ada", account.WebhooksWrite)
	rows := 0
	const canary = "a2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2s="
	b.Watch(func(body []byte) {
		if n := bytes.Count(body, []byte(canary)); n > 0 {
			rows += n
			if !bytes.Contains(body, []byte(`"e#whe_`)) {
				t.Errorf("it is in %s", body)
			}
		}
	})
	for i := range 2 {
		a := b.Ask(key, "POST", path, wanted, "Idempotency-Key", "once")
		if n := strings.Count(a.Text, canary); n != 1 || a.Status != 201 {
			t.Errorf("answer %d: %d %s", i, a.Status, a.Text)
		}
	}
	if rows != 1 {
		t.Errorf("written %d times", rows)
	}
	if log := b.Logged.String(); log == "" || strings.Contains(log, canary) || strings.Contains(log, "hooks.acme.co") {
		t.Errorf("the log: %s", log)
	}
	e := webhook.Endpoint{Secret: secret.New(canary)}
	text, err := json.Marshal(e)
	b.Must(err)
	for _, printed := range []string{string(text), fmt.Sprintf("%+v %#v", e, e)} {
		if strings.Contains(printed, canary) {
			t.Errorf("printed: %s", printed)
		}
	}
}

// TestTheSameRequestMakesOneEndpoint checks that a second attempt, after the first died before its
// answer, finds the stored endpoint and gives it the secret that is shown.
func TestTheSameRequestMakesOneEndpoint(t *testing.T) {
	t.Parallel()
	at := morning
	b := apitest.Open(t, func() time.Time { return at })
	dying := &dies{b.DB, true}
	serve := func(secret random) {
		b.Serve(&createwebhook.Endpoint{Endpoints: dying, Resolver: public(t), Now: b.Now, Random: secret})
	}
	token := b.User("ada")
	post := func() apitest.Answer {
		return b.Ask(token, "POST", path, wanted, "Idempotency-Key", "k")
	}
	serve('a')
	if a := post(); a.Status != 500 {
		t.Fatalf("%d %s", a.Status, a.Text)
	}
	dying.now, at = false, morning.Add(2*time.Minute)
	serve('b')
	a := post()
	stored, _, err := b.EndpointsOf(t.Context(), "ada", 10, "")
	b.Must(err)
	if a.Status != 201 || len(stored) != 1 || a.Body["endpoint_id"] != stored[0].ID {
		t.Fatalf("%d %s, %d endpoints", a.Status, a.Text, len(stored))
	}
	if signs(b, stored[0].ID) != a.Body["signing_secret"] {
		t.Error("the secret that is shown is not the one that signs")
	}
}

// dies panics once the endpoint is stored, as if the function was killed.
type dies struct {
	createwebhook.Endpoints
	now bool
}

func (d *dies) AddEndpoint(ctx context.Context, e webhook.Endpoint) error {
	err := d.Endpoints.AddEndpoint(ctx, e)
	if d.now {
		panic("killed")
	}
	return err
}

package all_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/krosai/telephony/functions/all"
	"github.com/krosai/telephony/functions/transfercall"
	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/api"
	"github.com/krosai/telephony/shared/api/apitest"
	"github.com/krosai/telephony/shared/call"
	"github.com/krosai/telephony/shared/event"
	"github.com/krosai/telephony/shared/livekit"
	"github.com/krosai/telephony/shared/number"
	"github.com/krosai/telephony/shared/secret"
	"github.com/krosai/telephony/shared/store/storetest"
	"github.com/krosai/telephony/shared/teardown"
	"github.com/krosai/telephony/shared/validate/carrier/carriertest"
	"github.com/krosai/telephony/shared/webhook"
)

// flooded is the whole API at one moment, with ada, who floods it, and bob, who does not.
type flooded struct {
	*apitest.Bench
	refers atomic.Int64 // transfers that the carrier was asked for
	home   string       // ada's number
	bobs   string       // a call of bob's
}

// declining is a phone whose carrier declines every transfer, so that the call goes on.
type declining struct{ *flooded }

func (declining) ReadRoom(context.Context, string) (call.Room, error) {
	return call.Room{Agent: true, Callee: &call.Phone{Identity: call.CalleeIdentity, Status: "active"}}, nil
}

func (declining) DeleteRoom(context.Context, string) error { return nil }

func (d declining) Transfer(context.Context, string, string, string, time.Duration) (livekit.Transferred, error) {
	d.refers.Add(1)
	return livekit.Transferred{}, &livekit.TransferError{Code: livekit.TransferRejected, SIPStatus: 603, Err: errors.New("declined")}
}

func newFlooded(t *testing.T) *flooded {
	t.Helper()
	now := func() time.Time { return sampleTime }
	f := &flooded{Bench: apitest.Open(t, now), home: number.ID("+2348030000001")}
	log := slog.New(slog.DiscardHandler)
	table := all.HTTP(all.Deps{Resolver: carriertest.Zone{}, DB: f.DB, Now: now, Log: log, Workflow: f.Workflow, Queue: f.Queue, AllowLoopback: true})
	phone := declining{f}
	table["transfercall"] = &transfercall.Endpoint{Calls: f.DB, Phone: phone, Now: now, Log: log,
		Teardown: &teardown.Ender{Calls: f.DB, Rooms: phone, Now: now}}
	var endpoints []api.Endpoint
	for _, e := range table {
		endpoints = append(endpoints, e)
	}
	f.Serve(endpoints...)
	policy := account.DefaultPolicy()
	policy.AllowedCountries, policy.MaxConcurrentCalls, policy.MinutesPerDay = []string{"US"}, 100, 1000
	for _, user := range []string{"ada", "bob"} {
		f.Must(f.PutPolicy(t.Context(), user, policy))
	}
	f.Must(f.PutNumber(t.Context(), number.Number{ID: f.home, E164: "+2348030000001", Country: "NG", UserID: "ada"}))
	f.bobs = f.talk("bob", 0)
	f.Ask(f.User("carol"), "GET", "/outbound-calls", "") // the issuer's keys are fetched outside of the bubble
	return f
}

// talk records a call that is in progress.
func (f *flooded) talk(user string, i int) string {
	f.Helper()
	id := fmt.Sprintf("call_01KAMPJ5V0SAMPMEC%s%08d", map[string]string{"ada": "A", "bob": "B"}[user], i)
	c := call.Call{ID: id, UserID: user, Direction: call.Outbound, Remote: fmt.Sprintf("+1415555%04d", i), RoomName: id,
		Own: "+2348030000001", Country: "US", MaxDuration: 60, Status: call.InProgress, CreatedAt: sampleTime, AnsweredAt: sampleTime}
	if user == "ada" {
		c.NumberID = f.home
	}
	f.Must(f.Place(f.Context(), c))
	return id
}

// TestFloods lets one user send more than the limits allow. Exactly the allowed number passes, and
// each refusal says which limit was reached and when to come back. Meanwhile all requests of
// another user succeed, and their p99 at most doubles.
func TestFloods(t *testing.T) {
	for name, tt := range map[string]struct {
		requests int
		send     func(f *flooded) func(i int) apitest.Answer // the i-th request
		lanes    int                                         // requests whose numbers have the same remainder are sent one after the other
		want     map[string]int
		refers   int64
	}{
		"requests with one key": {requests: 2500, lanes: 8, send: reads(1),
			want: map[string]int{"200": 1000, "429 RATE_LIMIT_EXCEEDED requests": 1500}},
		"requests with three keys": {requests: 2500, lanes: 9, send: reads(3),
			want: map[string]int{"200": 2000, "429 RATE_LIMIT_EXCEEDED user_requests": 500}},
		"requests with a token": {requests: 2500, lanes: 8, send: reads(0),
			want: map[string]int{"200": 1000, "429 RATE_LIMIT_EXCEEDED requests": 1500}},
		"transfers of one call": {requests: 120, lanes: 1, send: transfers(1, 120), refers: 5,
			want: map[string]int{"200": 5, "409 TRANSFER_LIMIT_REACHED": 115}},
		"transfers of many calls": {requests: 120, lanes: 24, send: transfers(24, 120), refers: 76,
			want: map[string]int{"200": 76, "429 RATE_LIMIT_EXCEEDED calls": 44}},
		"transfers to one number": {requests: 120, lanes: 24, send: transfers(24, 1), refers: 5,
			want: map[string]int{"200": 5, "429 RATE_LIMIT_EXCEEDED calls_to_number": 115}},
		"replays of one delivery": {requests: 400, lanes: 8, send: replays(1),
			want: map[string]int{"202": 10, "429 RATE_LIMIT_EXCEEDED repetitions": 390}},
		"replays of many deliveries": {requests: 400, lanes: 8, send: replays(40),
			want: map[string]int{"202": 100, "429 RATE_LIMIT_EXCEEDED deliveries": 300}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFlooded(t)
			_, bobs := f.Key("bob", account.CallsRead)
			send := tt.send(f)
			f.Between(slow)
			synctest.Test(t, func(t *testing.T) {
				quiet := f.meanwhile(bobs, func() bool { return false })
				var over atomic.Bool
				var others []time.Duration
				var bob sync.WaitGroup
				bob.Go(func() { others = f.meanwhile(bobs, over.Load) })
				got := f.flood(tt.requests, tt.lanes, send)
				over.Store(true)
				bob.Wait()
				if d := cmp.Diff(tt.want, got); d != "" || f.refers.Load() != tt.refers {
					t.Errorf("the carrier was asked %d times, want %d; answers (-want +got):\n%s", f.refers.Load(), tt.refers, d)
				}
				a, b := p99(quiet), p99(others)
				t.Logf("another user's p99 was %s of %d requests alone, %s of %d in the flood", a, len(quiet), b, len(others))
				if b > 2*a {
					t.Error("another user waits for the one who floods")
				}
			})
		})
	}
}

// reads lets ada read a call with n keys in turn, or with a token if n is 0.
func reads(n int) func(*flooded) func(int) apitest.Answer {
	return func(f *flooded) func(int) apitest.Answer {
		credentials, id := []string{f.User("ada")}, f.talk("ada", 1)
		if n > 0 {
			credentials = nil
		}
		for range n {
			_, text := f.Key("ada", account.CallsRead)
			credentials = append(credentials, text)
		}
		return func(i int) apitest.Answer {
			return f.Ask(credentials[i%len(credentials)], "GET", "/outbound-calls/"+id+"/details", "")
		}
	}
}

// transfers lets ada transfer that many calls in turn, to that many numbers.
func transfers(calls, numbers int) func(*flooded) func(int) apitest.Answer {
	return func(f *flooded) func(int) apitest.Answer {
		var ids []string
		for i := range calls {
			ids = append(ids, f.talk("ada", i))
		}
		_, key := f.Key("ada", account.CallsWrite)
		return func(i int) apitest.Answer {
			return f.Ask(key, "POST", "/outbound-calls/"+ids[i%calls]+"/transfer", fmt.Sprintf(`{"phone_number":"+1415556%04d"}`, i%numbers))
		}
	}
}

// replays lets ada replay that many deliveries in turn.
func replays(deliveries int) func(*flooded) func(int) apitest.Answer {
	return func(f *flooded) func(int) apitest.Answer {
		endpoint := webhook.Endpoint{ID: "whe_01KAMPJ5V0SAMPMEWHE0000000", UserID: "ada", URL: "https://hooks.acme.co/",
			Events: []string{event.CallEnded}, Secret: secret.New("whsec_canary"), CreatedAt: sampleTime}
		f.Must(f.AddEndpoint(f.Context(), endpoint))
		var ids []string
		for i := range deliveries {
			d := webhook.Delivery{ID: fmt.Sprintf("dlv_01KAMPJ5V0SAMPMEDEV%07d", i), EndpointID: endpoint.ID, Status: webhook.Pending,
				CreatedAt: sampleTime, NextAt: sampleTime,
				Event: webhook.Event{ID: fmt.Sprintf("evt_01KAMPJ5V0SAMPMEEVT%07d", i), UserID: "ada", Type: event.CallEnded, At: sampleTime, Body: []byte("{}")}}
			f.Must(f.SaveDelivery(f.Context(), d.With(webhook.Attempt{At: sampleTime, Status: webhook.Dead, Code: 500}), 0))
			ids = append(ids, d.ID)
		}
		_, key := f.Key("ada", account.WebhooksWrite)
		return func(i int) apitest.Answer {
			return f.Ask(key, "POST", "/webhook-endpoints/"+endpoint.ID+"/deliveries/"+ids[i%deliveries]+"/replay", "")
		}
	}
}

// flood sends n requests, lanes at a time, and counts the answers.
func (f *flooded) flood(n, lanes int, send func(i int) apitest.Answer) map[string]int {
	f.Helper()
	var mu sync.Mutex
	got := map[string]int{}
	var flood sync.WaitGroup
	for lane := range lanes {
		flood.Go(func() {
			for i := lane; i < n; i += lanes {
				outcome := outcomeOf(send(i))
				mu.Lock()
				got[outcome]++
				mu.Unlock()
			}
		})
	}
	flood.Wait()
	return got
}

var spent = regexp.MustCompile(`"([a-z_]+)";r=0;t=[1-9][0-9]*`)

// outcomeOf returns an answer's status and a problem's code. For a 429 it adds the limit that the
// answer names, or what its headers lack.
func outcomeOf(a apitest.Answer) string {
	if a.Status != http.StatusTooManyRequests {
		return map[bool]string{true: fmt.Sprint(a.Status), false: fmt.Sprintf("%d %s", a.Status, a.Code())}[a.Status < http.StatusBadRequest]
	}
	outcome := fmt.Sprintf("429 %s", a.Code())
	for _, name := range []string{"Retry-After", "X-RateLimit-Limit", "X-RateLimit-Reset"} {
		if n, err := strconv.Atoi(a.Header.Get(name)); err != nil || n <= 0 {
			outcome += " " + name + " " + a.Header.Get(name)
		}
	}
	limit := spent.FindStringSubmatch(a.Header.Get("RateLimit"))
	if limit == nil || a.Header.Get("X-RateLimit-Remaining") != "0" {
		return outcome + " " + a.Header.Get("RateLimit") + " " + a.Header.Get("X-RateLimit-Remaining")
	}
	if !regexp.MustCompile(`"` + limit[1] + `";q=` + a.Header.Get("X-RateLimit-Limit") + `(;|,|$)`).MatchString(a.Header.Get("RateLimit-Policy")) {
		outcome += " not in " + a.Header.Get("RateLimit-Policy")
	}
	return outcome + " " + limit[1]
}

// slow is the way to a DynamoDB that takes 5 ms to answer, however many requests come at once.
// In a synctest bubble nothing else takes time, so the time of a request shows whether it waits
// for others.
func slow(next http.RoundTripper) http.RoundTripper {
	return storetest.RoundTrip(func(r *http.Request) (*http.Response, error) {
		time.Sleep(5 * time.Millisecond)
		return next.RoundTrip(r)
	})
}

// meanwhile lets bob read his call until over reports true, or 200 times. It returns how long each
// answer took. Each request must succeed.
func (f *flooded) meanwhile(key string, over func() bool) (took []time.Duration) {
	f.Helper()
	for i := 0; i < 200 && (i == 0 || !over()); i++ {
		began := time.Now()
		if a := f.Ask(key, "GET", "/outbound-calls/"+f.bobs+"/details", ""); a.Status != http.StatusOK {
			f.Errorf("bob: %d %s", a.Status, a.Text)
		}
		took = append(took, time.Since(began))
	}
	return took
}

func p99(took []time.Duration) time.Duration {
	sorted := slices.Sorted(slices.Values(took))
	return sorted[(len(sorted)-1)*99/100]
}

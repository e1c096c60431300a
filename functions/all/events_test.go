package all_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/google/go-cmp/cmp"
	"github.com/livekit/protocol/auth"
	lk "github.com/livekit/protocol/livekit"

	"github.com/krosai/telephony/functions/all"
	"github.com/krosai/telephony/functions/console"
	"github.com/krosai/telephony/functions/createwebhook"
	"github.com/krosai/telephony/functions/preparecall"
	"github.com/krosai/telephony/functions/rotatewebhooksecret"
	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/api"
	"github.com/krosai/telephony/shared/api/apitest"
	"github.com/krosai/telephony/shared/call"
	"github.com/krosai/telephony/shared/call/summary"
	"github.com/krosai/telephony/shared/event"
	"github.com/krosai/telephony/shared/livekit"
	"github.com/krosai/telephony/shared/livekit/livekittest"
	"github.com/krosai/telephony/shared/number"
	"github.com/krosai/telephony/shared/numberrequest"
	"github.com/krosai/telephony/shared/secret"
	"github.com/krosai/telephony/shared/validate/carrier/carriertest"
	"github.com/krosai/telephony/shared/webhook"
	"github.com/krosai/telephony/shared/webhook/webhooktest"
)

// These are the names in the sample events. sampleTime is the moment at which they are replayed.
const (
	sampleUser     = "demo"
	sampleE164     = "+2348012345678"
	sampleCall     = "call_01KAMPJ5V0SAMPMECA00000000"
	sampleRequest  = "req_01KAMPJ5V0SAMP0REQ00000000"
	sampleEndpoint = "whe_01KAMPJ5V0SAMPMEWHE0000000"
	sampleDelivery = "dlv_01KAMPJ5V0SAMPMEDEV0000000"
)

var sampleTime = time.Date(2026, 11, 22, 9, 31, 0, 0, time.UTC)

// prepare makes, for each function, the world in which its sample event succeeds. A nil entry means
// that the user's key and policy suffice.
var prepare = map[string]func(*stage){
	"addnumber":           nil,
	"addtranscript":       (*stage).talk,
	"approverequest":      func(s *stage) { s.inventory(); s.request() },
	"assignnumber":        func(s *stage) { s.inventory(); s.request(); s.decide(true) },
	"awaitcall":           (*stage).talk,
	"awaitrequest":        (*stage).request,
	"console":             nil,
	"createcall":          func(s *stage) { s.own(true) },
	"createkey":           nil,
	"createwebhook":       nil,
	"deleteconfiguration": func(s *stage) { s.own(true) },
	"deletewebhook":       func(s *stage) { s.subscribe("https://hooks.acme.co/") },
	"deliverwebhook":      func(s *stage) { s.subscribe(s.receiver()) },
	"dialcall":            func(s *stage) { s.own(true); s.call(call.Initiated, time.Second); s.livekit.Dial = s.pickUp },
	"expirerequest":       (*stage).request,
	"finishcall":          func(s *stage) { s.talkSince(11 * time.Minute) },
	"getcall":             func(s *stage) { s.hangUp(); s.sumUp() },
	"getcallstats":        (*stage).hangUp,
	"getconfiguration":    func(s *stage) { s.own(true) },
	"getpolicy":           nil,
	"getrequest":          (*stage).request,
	"getswitch":           nil,
	"givenumber":          (*stage).inventory,
	"hangupanycall":       (*stage).talk,
	"hangupcall":          (*stage).talk,
	"health":              nil,
	"importnumbers":       nil,
	"listallcalls":        (*stage).talk,
	"listallrequests":     (*stage).request,
	"listaudit":           func(s *stage) { s.request(); s.decide(true) },
	"listcallevents":      (*stage).hangUp,
	"listcalls":           (*stage).hangUp,
	"listdeliveries":      func(s *stage) { s.subscribe("https://hooks.acme.co/"); s.deliver(webhook.Dead) },
	"listevents":          (*stage).hangUp,
	"listinventory":       (*stage).inventory,
	"listkeys":            nil,
	"listnumbers":         func(s *stage) { s.own(true) },
	"listrequests":        (*stage).request,
	"listuserkeys":        nil,
	"listusers":           func(s *stage) { s.talk(); s.request() },
	"listwebhooks":        func(s *stage) { s.subscribe("https://hooks.acme.co/") },
	"livekitwebhook":      func(s *stage) { s.talk(); s.livekit.Leave(sampleCall, call.CalleeIdentity) },
	"notifyrequest":       func(s *stage) { s.request(); s.decide(false) },
	"preparecall":         func(s *stage) { s.call(call.Initiated, time.Second) },
	"rejectrequest":       (*stage).request,
	"releasenumber":       func(s *stage) { s.own(true) },
	"replaydelivery":      func(s *stage) { s.subscribe("https://hooks.acme.co/"); s.deliver(webhook.Dead) },
	"requestnumber":       nil,
	"resumecall":          func(s *stage) { s.hangUp(); s.await() },
	"retirenumber":        (*stage).inventory,
	"revokekey":           nil,
	"revokeuserkey":       nil,
	"rotatekey":           nil,
	"rotatewebhooksecret": func(s *stage) { s.subscribe("https://hooks.acme.co/") },
	"sendevents":          func(s *stage) { s.subscribe("https://hooks.acme.co/") },
	"setconfiguration":    func(s *stage) { s.own(false) },
	"setpolicy":           nil,
	"setswitch":           nil,
	"summarizecall":       (*stage).hangUp,
	"sweepcalls":          (*stage).talk,
	"sweepnumbers":        (*stage).request,
	"testwebhook":         func(s *stage) { s.subscribe("https://hooks.acme.co/") },
	"transfercall":        (*stage).talk,
	"updatewebhook":       func(s *stage) { s.subscribe("https://hooks.acme.co/") },
}

// stage is one function as Lambda runs it, in the world of the samples.
type stage struct {
	*apitest.Bench
	function string
	route    bool
	livekit  *livekittest.Server
	task     lambda.Handler
	deps     all.Deps
}

func newStage(t *testing.T, function string) *stage {
	t.Helper()
	s := openStage(t, function)
	if f := prepare[function]; f != nil {
		f(s)
	}
	return s
}

// openStage returns a stage with nothing but the user's key and policy. The function's role lacks
// the rights to the actions in without.
func openStage(t *testing.T, function string, without ...string) *stage {
	t.Helper()
	s := &stage{Bench: apitest.Open(t, func() time.Time { return sampleTime }), function: function, livekit: livekittest.New(t)}
	s.Obey(roles(t, deprive(s.Template.Functions(), function, without)))
	s.Function = function
	d := all.Deps{Resolver: carriertest.Zone{}, DB: s.DB, Flow: s.Flow, Queue: s.Queue, Now: s.Now, Log: slog.New(slog.DiscardHandler), Version: "1.0.0", AllowLoopback: true,
		Summary: summary.Open(aws.Config{}, summary.Config{}),
		Agents:  preparecall.Agents{APIURL: "https://api.example.com", TokenKey: secret.New("a call token key for the sample events")},
		Console: console.Config{Issuer: "https://id.example.com", ClientID: "console", Scope: "openid profile", Version: "1.0.0", Account: "aws"},
		LiveKit: livekit.Open(livekit.Config{URL: s.livekit.URL, APIKey: livekittest.APIKey, APISecret: secret.New(livekittest.APISecret)})}
	s.deps = d
	ep, route := all.HTTP(d)[function]
	s.route = route
	if route {
		foresee(t, ep)
		s.Serve(ep)
	} else {
		s.task = lambda.NewHandler(all.Tasks(d)[function])
	}
	s.SampleKey(sampleUser, account.Scopes()...)
	s.Must(s.AllowCountries(t.Context(), sampleUser, "US"))
	return s
}

// foresee makes the endpoints that draw a secret, and the one that resolves an address, answer the
// same each time.
func foresee(t *testing.T, ep api.Endpoint) {
	if e, ok := ep.(*createwebhook.Endpoint); ok {
		e.Random = rand.NewChaCha8([32]byte{})
		e.Resolver = webhooktest.Resolver(t, func(string) []netip.Addr { return []netip.Addr{netip.MustParseAddr("93.184.216.34")} })
	}
	if e, ok := ep.(*rotatewebhooksecret.Endpoint); ok {
		e.Random = rand.NewChaCha8([32]byte{})
	}
}

// send gives the function an event and returns its answer.
func (s *stage) send(event []byte) []byte {
	s.Helper()
	ctx := as(s.Context(), s.function)
	if s.route {
		return s.Invoke(event)
	}
	out, err := s.task.Invoke(ctx, event)
	s.Must(err)
	return out
}

// event returns the function's sample, as the user or the administrator sends it. It signs
// LiveKit's sample anew, because LiveKit's signatures are valid for five minutes.
func (s *stage) event() []byte {
	s.Helper()
	event := apitest.Event(s, s.function, map[string]string{"KROS_USER_JWT": s.User(sampleUser), "KROS_ADMIN_JWT": s.Admin("carol")})
	if s.function == "livekitwebhook" {
		return s.signed(event)
	}
	return event
}

// signed returns an event with LiveKit's signature over its body.
func (s *stage) signed(event []byte) []byte {
	s.Helper()
	e := readEvent(s, event)
	token, err := auth.NewAccessToken(livekittest.APIKey, livekittest.APISecret).SetValidFor(5 * time.Minute).SetSha256(digest(s, e)).ToJWT()
	s.Must(err)
	return bytes.Replace(event, []byte(e.Headers["authorization"]), []byte(token), 1)
}

// inventory adds the sample's number to the inventory.
func (s *stage) inventory() {
	s.Must(s.AddNumber(s.Context(), number.Number{ID: number.ID(sampleE164), E164: sampleE164, Country: "NG", Type: "mobile",
		Capabilities: []string{"inbound", "outbound"}, Provider: "Twilio", UpdatedAt: sampleTime.Add(-24 * time.Hour)}, "carol"))
}

// own gives the user the sample's number.
func (s *stage) own(configured bool) {
	n := number.Number{ID: number.ID(sampleE164), E164: sampleE164, Country: "NG", Type: "mobile", Provider: "Twilio", UserID: sampleUser,
		Capabilities: []string{"inbound", "outbound"}, AssignedAt: sampleTime.Add(-time.Hour), UpdatedAt: sampleTime.Add(-time.Hour)}
	if configured {
		n.Trunk = &number.Trunk{Name: "Sample carrier", Address: "sample.pstn.twilio.com", Numbers: []string{sampleE164}, AuthUsername: "kros",
			HasAuthPassword: true, DestinationCountry: "NG", Transport: "tls", Directions: []string{"outbound", "inbound"},
			AllowedAddresses: []string{"54.172.60.0/30"}, OutboundID: "ST_out", InboundID: "ST_in"}
		n.Rule = &number.Rule{Name: "Support line", RoomPrefix: "support-", AgentName: "support-agent", ID: "SDR_1"}
	}
	s.Must(s.PutNumber(s.Context(), n))
}

// call places the sample's call some time before the event, with its agent in the room.
func (s *stage) call(status call.Status, ago time.Duration) call.Call {
	placed := sampleTime.Add(-ago)
	c := call.Call{ID: sampleCall, UserID: sampleUser, Direction: call.Outbound, Remote: "+14155550100", Own: sampleE164,
		NumberID: number.ID(sampleE164), RoomName: sampleCall, TrunkID: "ST_out", AgentName: "support-agent", Country: "US",
		SystemPrompt: "You confirm deliveries.", WelcomeMessage: "Hello, this is Ada from Acme.", Metadata: map[string]string{"order": "A-1001"}, HasMetadata: true,
		RingingTimeout: 30, MaxDuration: 600, Status: status, CreatedAt: placed}
	if status == call.InProgress {
		c.DialedAt, c.AnsweredAt = placed.Add(time.Second), placed.Add(10*time.Second)
	}
	s.Must(s.Place(s.Context(), c))
	s.livekit.Join(sampleCall, &lk.ParticipantInfo{Identity: "agent", Kind: lk.ParticipantInfo_AGENT, State: lk.ParticipantInfo_ACTIVE})
	return c
}

// talk places a call on a number of the user's, in progress for a minute.
func (s *stage) talk() { s.talkSince(time.Minute) }

func (s *stage) talkSince(ago time.Duration) {
	s.own(true)
	s.call(call.InProgress, ago)
	_, _ = s.pickUp(nil)
}

// pickUp puts the phone into the room, as the answer to a dial.
func (s *stage) pickUp(*lk.CreateSIPParticipantRequest) (*lk.SIPParticipantInfo, error) {
	s.livekit.Join(sampleCall, &lk.ParticipantInfo{Sid: "PA_1", Identity: call.CalleeIdentity, Kind: lk.ParticipantInfo_SIP,
		State: lk.ParticipantInfo_ACTIVE, Attributes: map[string]string{"sip.callStatus": "active"}})
	return &lk.SIPParticipantInfo{ParticipantId: "PA_1", ParticipantIdentity: call.CalleeIdentity, RoomName: sampleCall}, nil
}

// hangUp ends the call half a minute before the event, with its whole transcript.
func (s *stage) hangUp() {
	c := s.call(call.InProgress, time.Minute)
	at := sampleTime.Add(-45 * time.Second)
	s.Must(s.AddTurns(s.Context(), sampleCall, []call.Turn{
		{ID: "1", Role: call.RoleAgent, Content: "Hello, this is Ada from Acme. Your order arrives tomorrow.", At: at},
		{ID: "2", Role: call.RoleCallee, Content: "Thank you, tomorrow is fine.", At: at.Add(5 * time.Second)}}, at))
	_, err := s.EndCall(s.Context(), c, call.End{Status: call.Completed, Cause: call.CalleeHangup, SIPStatus: 200, At: sampleTime.Add(-30 * time.Second)})
	s.Must(err)
}

func (s *stage) sumUp() {
	c, err := s.DB.Call(s.Context(), sampleCall)
	s.Must(err)
	_, err = s.SaveSummary(s.Context(), c, call.Summary{Status: call.SummaryReady, Text: "The order arrives tomorrow.", Model: "sample", CreatedAt: sampleTime})
	s.Must(err)
}

// request submits a request for a number, whose workflow waits for the decision.
func (s *stage) request() {
	_, _, err := s.CreateRequest(s.Context(), numberrequest.Request{ID: sampleRequest, UserID: sampleUser, Country: "NG", Type: "mobile",
		Capabilities: []string{"outbound"}, Purpose: "Order follow-up calls", CreatedAt: sampleTime.Add(-time.Hour)})
	s.Must(err)
	_, _, err = s.AwaitRequest(s.Context(), sampleRequest, "a task token", numberrequest.AwaitsDecision)
	s.Must(err)
}

func (s *stage) decide(approve bool) {
	_, err := s.Decide(s.Context(), sampleRequest, numberrequest.Decision{Approve: approve, By: "carol", Reason: "Not now", Note: "Known customer"}, sampleTime.Add(-time.Minute))
	s.Must(err)
}

// receiver returns the URL of a user's server that accepts everything.
func (s *stage) receiver() string { return webhooktest.NewReceiver(s).URL }

func (s *stage) subscribe(url string) {
	s.Must(s.AddEndpoint(s.Context(), webhook.Endpoint{ID: sampleEndpoint, UserID: sampleUser, URL: url, Secret: secret.New("whsec_c2VjcmV0"),
		Events: []string{event.CallAnswered, event.CallEnded, event.CallSummaryReady}, CreatedAt: sampleTime.Add(-time.Hour)}))
}

// deliver records a delivery of the end of a call, with one failed attempt.
func (s *stage) deliver(end webhook.Status) {
	at := sampleTime.Add(-time.Minute)
	d := webhook.Delivery{ID: sampleDelivery, EndpointID: sampleEndpoint, Status: webhook.Pending, CreatedAt: at, NextAt: at,
		Event: webhook.Event{ID: "evt_01KAMPJ5V0SAMPMEEVT0000000", UserID: sampleUser, Type: event.CallEnded, At: at, Body: []byte(`{"type":"call.ended"}`)}}
	s.Must(s.SaveDelivery(s.Context(), d.With(webhook.Attempt{At: at.Add(time.Second), Status: end, Code: 410, Error: "status", Answer: "Gone"}), 0))
}

// New ids hold 80 random bits. The keys that contain them are random, too, to their last four
// characters. The samples' own ids contain SAMP.
var (
	lastFour = regexp.MustCompile(`(\\"last_four\\":\\")\w{4}\\"`)
	madeKey  = regexp.MustCompile(`kros_live_[0-9A-Z]{26}_\w+`)
	madeNext = regexp.MustCompile(`(\\"next_after\\":\\")[\w-]+\\"`) // sealed with a nonce
	madeID   = regexp.MustCompile(`\b(call|dlv|evt|key|req|tr|whe)_[0-9A-HJKMNP-TV-Z]{26}`)
)

// fixed returns an answer with its random parts replaced, so that it is the same each time.
func fixed(t *testing.T, answer []byte) string {
	t.Helper()
	text := madeKey.ReplaceAllString(string(answer), "kros_live_MADE")
	text = lastFour.ReplaceAllString(text, `${1}MADE\"`)
	text = madeNext.ReplaceAllString(text, `${1}MADE\"`)
	text = madeID.ReplaceAllStringFunc(text, func(id string) string {
		if strings.Contains(id, "SAMP") {
			return id
		}
		return strings.SplitAfter(id, "_")[0] + "MADE"
	})
	var out bytes.Buffer
	if err := json.Indent(&out, []byte(text), "", "  "); err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(out.String()) + "\n"
}

func golden(function string) string { return filepath.Join("../../events/golden", function+".json") }

// TestEvents gives each function its sample event as Lambda does, and compares its answer byte by
// byte with the file in events/golden. After a change:
//
//	go test ./functions/all -run TestEvents -update
func TestEvents(t *testing.T) {
	t.Parallel()
	functions := slices.Concat(sortedKeys(all.HTTP(all.Deps{})), sortedKeys(all.Tasks(all.Deps{})))
	for _, function := range functions {
		t.Run(function, func(t *testing.T) {
			t.Parallel()
			if _, ok := prepare[function]; !ok {
				t.Fatalf("add %s to prepare in functions/all/events_test.go: what must there be for its sample event to succeed?", function)
			}
			s := newStage(t, function)
			got := fixed(t, s.send(s.event()))
			if status := statusOf(t, got); s.route && status/100 != 2 {
				t.Errorf("status %d: %s", status, got)
			}
			if *update {
				s.Must(os.WriteFile(golden(function), []byte(got), 0o644))
				return
			}
			want, err := os.ReadFile(golden(function))
			s.Must(err)
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("the answer is not that of %s; go test ./functions/all -run TestEvents -update\n%s", golden(function), diff)
			}
		})
	}
	same := func(what string, got []string) {
		slices.Sort(got)
		if diff := cmp.Diff(slices.Sorted(slices.Values(functions)), got); diff != "" {
			t.Errorf("-functions/ +%s:\n%s", what, diff)
		}
	}
	same("prepare", slices.Collect(maps.Keys(prepare)))
	if !*update {
		same("events/golden/", fileNames(t, "../../events/golden"))
	}
}

func statusOf(t *testing.T, answer string) int {
	t.Helper()
	var a struct{ StatusCode int }
	if err := json.Unmarshal([]byte(answer), &a); err != nil {
		t.Fatal(err)
	}
	return a.StatusCode
}

// TestEventsWithoutCredentials checks that a sample event without its credential gets a 401 and
// nothing else.
func TestEventsWithoutCredentials(t *testing.T) {
	t.Parallel()
	for _, function := range sortedKeys(all.HTTP(all.Deps{})) {
		if function == "health" {
			continue // it has no credential to leave out
		}
		t.Run(function, func(t *testing.T) {
			t.Parallel()
			s := newStage(t, function)
			var e map[string]any
			s.Must(json.Unmarshal(s.event(), &e))
			delete(e["headers"].(map[string]any), "authorization")
			event, err := json.Marshal(e)
			s.Must(err)
			answer := string(s.send(event))
			if statusOf(t, answer) != 401 || !strings.Contains(answer, `\"code\":\"UNAUTHENTICATED\"`) {
				t.Error(answer)
			}
		})
	}
}

// fileNames returns the names of the JSON files of a folder, without .json.
func fileNames(t testing.TB, folder string) (names []string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(folder, "*.json"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no files in %s, %v", folder, err)
	}
	for _, f := range files {
		names = append(names, strings.TrimSuffix(filepath.Base(f), ".json"))
	}
	return names
}

// digest returns the digest that LiveKit signs of an event's body.
func digest(t testing.TB, e gatewayEvent) string {
	t.Helper()
	sum := sha256.Sum256(e.body(t))
	return base64.StdEncoding.EncodeToString(sum[:])
}

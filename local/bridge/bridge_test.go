package bridge

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/livekit/protocol/livekit"
	lksdk "github.com/livekit/server-sdk-go/v2"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/krosai/telephony/local/carrier"
	"github.com/krosai/telephony/local/livekitd"
)

// TestSDKErrors replays the recording outbound-sdk-errors: the errors of the Go SDK for a
// busy callee.
func TestSDKErrors(t *testing.T) {
	t.Parallel()
	st := newStage(t)
	_, trunk := st.carrier(t, carrier.Options{Script: callee}, nil)
	req := &livekit.CreateSIPParticipantRequest{
		SipTrunkId: trunk, SipCallTo: "+15554860067", RoomName: "sdk", ParticipantIdentity: "callee", WaitUntilAnswered: true}
	_, err := st.sdk().CreateSIPParticipant(lksdk.WithFailover(t.Context(), false), req)
	type result struct {
		Type, Text, Status string
		Code               int
		Ringing            time.Duration
	}
	got := result{Type: fmt.Sprintf("%T", err), Text: fmt.Sprint(err), Ringing: req.RingingTimeout.AsDuration()}
	if s := lksdk.SIPStatusFrom(err); s != nil {
		got.Code, got.Status = int(s.Code), s.Status
	}
	want := result{
		Type: "*status.Error", Text: "rpc error: code = ResourceExhausted desc = INVITE failed: sip status: 486: Busy Here",
		Code: 486, Status: "Busy Here", Ringing: 30 * time.Second}
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Errorf("recorded (-) and got (+):\n%s", diff)
	}
}

// TestServiceDown replays the recording outbound-sip-service-down-wait.
func TestServiceDown(t *testing.T) {
	t.Parallel()
	lk, err := livekitd.Start(t.Context(), livekitd.Options{APIKey: testKey, APISecret: testSecret})
	if err != nil {
		t.Fatal(err)
	}
	closeAtEnd(t, lk)
	st := &stage{livekit: lk, api: client{url: lk.HTTPURL()}}
	_, trunk := st.carrier(t, carrier.Options{}, nil)
	var rec recording
	for _, r := range readRecordings(t) {
		if r.name == "outbound-sip-service-down-wait" {
			rec = r
		}
	}
	var req struct{ Body map[string]any }
	must(json.Unmarshal(rec.Request, &req))
	var want reply
	must(json.Unmarshal(rec.Error, &want))
	req.Body["sip_trunk_id"] = trunk
	body, err := json.Marshal(req.Body)
	must(err)
	got := st.api.call(t.Context(), "CreateSIPParticipant", "", body)
	if got.HTTPStatus != want.HTTPStatus || same(string(got.Body)) != same(compact(want.Body)) {
		t.Errorf("got %d %s, recorded %d %s", got.HTTPStatus, got.Body, want.HTTPStatus, want.Body)
	}
	if got.TookMS < 900 {
		t.Errorf("took %.0f ms, recorded %.0f ms", got.TookMS, want.TookMS)
	}
}

func compact(raw json.RawMessage) string {
	var b bytes.Buffer
	must(json.Compact(&b, raw))
	return b.String()
}

// TestTrunksAndRules replays the recording api-trunks-and-rules. Only LiveKit's server decides
// here, so the test guards the embedded server.
func TestTrunksAndRules(t *testing.T) {
	t.Parallel()
	lk, err := livekitd.Start(t.Context(), livekitd.Options{APIKey: testKey, APISecret: testSecret})
	if err != nil {
		t.Fatal(err)
	}
	closeAtEnd(t, lk)
	api := client{url: lk.HTTPURL()}
	var cases []struct {
		Case, Method string
		Request      json.RawMessage
		Response     reply
	}
	for _, r := range readRecordings(t) {
		if r.name == "api-trunks-and-rules" {
			must(json.Unmarshal(r.Result, &cases))
		}
	}
	if len(cases) == 0 {
		t.Fatal("no cases")
	}
	ours := map[string]string{} // recorded id → ours
	rename := func(text string) string {
		for recorded, id := range ours {
			text = strings.ReplaceAll(text, recorded, id)
		}
		return text
	}
	for _, c := range cases {
		got := api.call(t.Context(), c.Method, "", []byte(rename(string(c.Request))))
		if got.TransportError != "" {
			t.Fatal(got.TransportError)
		}
		for _, name := range []string{"sip_trunk_id", "sip_dispatch_rule_id"} {
			recorded, id := field(c.Response.Body, name), field(got.Body, name)
			if recorded != "" && id != "" {
				ours[recorded] = id
			}
		}
		want := rename(string(c.Response.Body))
		if got.HTTPStatus != c.Response.HTTPStatus || canonical(want) != canonical(string(got.Body)) {
			t.Errorf("%s: got %d %s, recorded %d %s", c.Case, got.HTTPStatus, canonical(string(got.Body)), c.Response.HTTPStatus, canonical(want))
		}
	}
}

// canonical sorts lists of items by name, because LiveKit returns them in the order of random ids,
// and makes ids equal. A rule conflict names one of two rules, whichever came first in that order.
func canonical(text string) string {
	var v map[string]any
	must(json.Unmarshal([]byte(text), &v))
	if items, ok := v["items"].([]any); ok {
		// The recorded server held rules of other recordings too.
		items = slices.DeleteFunc(items, func(i any) bool { return !regexp.MustCompile(`^[a-z]\d?$`).MatchString(itemName(i)) })
		v["items"] = items
		slices.SortFunc(items, func(a, b any) int { return strings.Compare(itemName(a), itemName(b)) })
	}
	if msg, ok := v["msg"].(string); ok {
		v["msg"], _, _ = strings.Cut(msg, "already exists in dispatch rule")
		if strings.HasPrefix(msg, "Conflicting inbound SIP Trunks") {
			v["msg"] = "Conflicting inbound SIP Trunks"
		}
	}
	raw, err := json.Marshal(v)
	must(err)
	return same(string(raw))
}

func itemName(item any) string {
	m, _ := item.(map[string]any)
	name, _ := m["name"].(string)
	return name
}

func field(body json.RawMessage, name string) string {
	var v map[string]any
	must(json.Unmarshal(body, &v))
	s, _ := v[name].(string)
	return s
}

// carrier starts a carrier and makes an outbound trunk to it.
func (st *stage) carrier(t *testing.T, o carrier.Options, change func(*livekit.SIPOutboundTrunkInfo)) (*carrier.Carrier, string) {
	t.Helper()
	ca, err := carrier.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	closeAtEnd(t, ca)
	trunk := &livekit.SIPOutboundTrunkInfo{Name: t.Name(), Address: ca.Addr(), Numbers: []string{"+15550000001"}}
	if change != nil {
		change(trunk)
	}
	made, err := st.sdk().CreateSIPOutboundTrunk(t.Context(), &livekit.CreateSIPOutboundTrunkRequest{Trunk: trunk})
	if err != nil {
		t.Fatal(err)
	}
	return ca, made.SipTrunkId
}

func (st *stage) sdk() *lksdk.SIPClient {
	return lksdk.NewSIPClient(st.livekit.HTTPURL(), testKey, testSecret)
}

func (st *stage) rooms() *lksdk.RoomServiceClient {
	return lksdk.NewRoomServiceClient(st.livekit.HTTPURL(), testKey, testSecret)
}

// dial calls +1555… and waits for the answer. LiveKit gives a SIP service one second to take a call
// and a connection five seconds to come up, so on a busy machine dial tries again.
func (st *stage) dial(t *testing.T, trunk, to, room string, change func(*livekit.CreateSIPParticipantRequest)) error {
	req := &livekit.CreateSIPParticipantRequest{
		SipTrunkId: trunk, SipCallTo: to, RoomName: room, ParticipantIdentity: "callee", WaitUntilAnswered: true,
		RingingTimeout: durationpb.New(10 * time.Second)}
	if change != nil {
		change(req)
	}
	for end := time.Now().Add(2 * time.Minute); ; {
		_, err := st.sdk().CreateSIPParticipant(lksdk.WithFailover(t.Context(), false), req)
		busy := err != nil && (strings.Contains(err.Error(), "no response from servers") || strings.Contains(err.Error(), "could not establish signal connection"))
		if !busy || time.Now().After(end) {
			return err
		}
	}
}

// lastCall waits until the carrier's last call is as wanted, for two minutes at most.
func lastCall(t *testing.T, ca *carrier.Carrier, want func(carrier.CallInfo) bool) carrier.CallInfo {
	t.Helper()
	var calls []carrier.CallInfo
	for limit := time.Now().Add(2 * time.Minute); time.Now().Before(limit); time.Sleep(5 * time.Millisecond) {
		if calls = ca.Calls(); len(calls) > 0 && want(calls[len(calls)-1]) {
			return calls[len(calls)-1]
		}
	}
	t.Fatalf("the carrier's calls: %+v", calls)
	return carrier.CallInfo{}
}

func ended(by string) func(carrier.CallInfo) bool {
	return func(c carrier.CallInfo) bool { return c.State == "ended" && c.EndedBy == by }
}

func TestCallOverTCP(t *testing.T) {
	t.Parallel()
	st := newStage(t)
	ca, trunk := st.carrier(t, carrier.Options{Script: callee, Username: "u", Password: "p"}, func(tr *livekit.SIPOutboundTrunkInfo) {
		tr.Transport, tr.AuthUsername, tr.AuthPassword = livekit.SIPTransport_SIP_TRANSPORT_TCP, "u", "p"
	})
	if err := st.dial(t, trunk, "+15554070001", "tcp", nil); err != nil {
		t.Fatal(err)
	}
	if _, err := st.rooms().DeleteRoom(t.Context(), &livekit.DeleteRoomRequest{Room: "tcp"}); err != nil {
		t.Fatal(err)
	}
	lastCall(t, ca, ended("bye-in"))
}

func TestAudioPassesBothWays(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("takes 24 s: not with -short")
	}
	st := newStage(t)
	ca, trunk := st.carrier(t, carrier.Options{Script: callee}, nil)
	if _, err := st.rooms().CreateRoom(t.Context(), &livekit.CreateRoomRequest{
		Name: "audio", Agents: []*livekit.RoomAgentDispatch{{AgentName: "phone-agent"}}}); err != nil {
		t.Fatal(err)
	}
	if err := st.dial(t, trunk, "+15551000001", "audio", nil); err != nil {
		t.Fatal(err)
	}
	// The agent publishes a tone at 50 packets a second. It receives the phone's voice at the
	// same rate.
	lastCall(t, ca, func(c carrier.CallInfo) bool { return c.RTPReceived > 100 })
	waitFor(t, "fifty packets at the agent", func() bool {
		st.worker.mu.Lock()
		defer st.worker.mu.Unlock()
		return st.worker.heard["audio"] >= 50
	})
}

func TestSilentPhoneIsHungUp(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("takes 30 s")
	}
	st := newStage(t)
	script := func(number string) carrier.Script {
		s := callee(number)
		s.Silent = true
		return s
	}
	ca, trunk := st.carrier(t, carrier.Options{Script: script}, nil)
	dialed := time.Now()
	if err := st.dial(t, trunk, "+15551000001", "silent", nil); err != nil {
		t.Fatal(err)
	}
	lastCall(t, ca, ended("bye-in"))
	if took := time.Since(dialed); took < 30*time.Second {
		t.Errorf("hung up after %v, recorded 30 s after the answer", took)
	}
}

func TestCloseEndsEveryCall(t *testing.T) {
	t.Parallel()
	st := newStage(t)
	talking, trunk := st.carrier(t, carrier.Options{Script: callee}, nil)
	if err := st.dial(t, trunk, "+15551000001", "talking", nil); err != nil {
		t.Fatal(err)
	}
	ringing, trunk := st.carrier(t, carrier.Options{Script: callee}, nil)
	if err := st.dial(t, trunk, "+15554080001", "ringing", func(r *livekit.CreateSIPParticipantRequest) { r.WaitUntilAnswered = false }); err != nil {
		t.Fatal(err)
	}
	lastCall(t, ringing, func(c carrier.CallInfo) bool { return c.State == "ringing" })
	out, err := ringing.Call(t.Context(), st.sip.SIPAddr(), carrier.CallOptions{From: "+2348000000001", To: "+15557777777"})
	if err != nil {
		t.Fatal(err)
	}
	waitFor(t, "180 to the caller", func() bool { return slices.Contains(out.Provisional(), 180) })
	if err := st.sip.Close(); err != nil {
		t.Fatal(err)
	}
	lastCall(t, talking, ended("bye-in"))
	if c := ringing.Calls()[0]; c.EndedBy != "cancel" {
		t.Errorf("the ringing call: %+v", c)
	}
	var refused *carrier.StatusError
	if err := out.Answered(t.Context()); !errors.As(err, &refused) || refused.Code != 503 {
		t.Errorf("the inbound call: %v", err)
	}
}

func TestInboundAuthentication(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("takes 21 s: not with -short")
	}
	st := newStage(t)
	ca, _ := st.carrier(t, carrier.Options{}, nil)
	trunk, err := st.sdk().CreateSIPInboundTrunk(t.Context(), &livekit.CreateSIPInboundTrunkRequest{Trunk: &livekit.SIPInboundTrunkInfo{
		Name: "in", Numbers: []string{"+15550000009"}, AuthUsername: "caller", AuthPassword: "secret"}})
	if err != nil {
		t.Fatal(err)
	}
	st.agentRule(t, trunk.SipTrunkId)
	for _, c := range []struct {
		user, password string
		refused        int
	}{{"caller", "secret", 0}, {"caller", "wrong", 401}, {"other", "secret", 401}, {"", "", 407}} {
		t.Run(c.user+" "+c.password, func(t *testing.T) {
			for _, transport := range []string{"udp", "tcp"} {
				got, err := st.callIn(t, ca, c.user, c.password, transport)
				for end := time.Now().Add(time.Minute); got == 503 && time.Now().Before(end); {
					got, err = st.callIn(t, ca, c.user, c.password, transport) // the room was late
				}
				if err != nil || got != c.refused {
					t.Errorf("over %s: refused with %d, want %d; %v", transport, got, c.refused, err)
				}
			}
		})
	}
}

// callIn calls +15550000009 and hangs up after the answer. If the call is refused, callIn returns
// the status.
func (st *stage) callIn(t *testing.T, ca *carrier.Carrier, user, password, transport string) (refused int, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	out, err := ca.Call(ctx, st.sip.SIPAddr(), carrier.CallOptions{
		From: fmt.Sprintf("+234800%07d", rand.IntN(1e7)), To: "+15550000009", Username: user, Password: password, Transport: transport})
	if err != nil {
		return 0, err
	}
	err = out.Answered(ctx)
	if status, ok := errors.AsType[*carrier.StatusError](err); ok {
		return status.Code, nil
	}
	if err != nil {
		return 0, err
	}
	return 0, out.Hangup(ctx)
}

func (st *stage) agentRule(t *testing.T, trunk string) {
	t.Helper()
	_, err := st.sdk().CreateSIPDispatchRule(t.Context(), &livekit.CreateSIPDispatchRuleRequest{DispatchRule: &livekit.SIPDispatchRuleInfo{
		TrunkIds: []string{trunk},
		Rule: &livekit.SIPDispatchRule{Rule: &livekit.SIPDispatchRule_DispatchRuleIndividual{
			DispatchRuleIndividual: &livekit.SIPDispatchRuleIndividual{RoomPrefix: "in-"}}},
		RoomConfig: &livekit.RoomConfiguration{Agents: []*livekit.RoomAgentDispatch{{AgentName: "phone-agent"}}}}})
	if err != nil {
		t.Fatal(err)
	}
}

func TestCallerGivesUp(t *testing.T) {
	t.Parallel()
	st := newStage(t)
	ca, _ := st.carrier(t, carrier.Options{}, nil)
	trunk, err := st.sdk().CreateSIPInboundTrunk(t.Context(), &livekit.CreateSIPInboundTrunkRequest{Trunk: &livekit.SIPInboundTrunkInfo{
		Name: "in", Numbers: []string{"+15550000009"}}})
	if err != nil {
		t.Fatal(err)
	}
	_, err = st.sdk().CreateSIPDispatchRule(t.Context(), &livekit.CreateSIPDispatchRuleRequest{DispatchRule: &livekit.SIPDispatchRuleInfo{
		TrunkIds: []string{trunk.SipTrunkId},
		Rule:     &livekit.SIPDispatchRule{Rule: &livekit.SIPDispatchRule_DispatchRuleDirect{DispatchRuleDirect: &livekit.SIPDispatchRuleDirect{RoomName: "lonely"}}}}})
	if err != nil {
		t.Fatal(err)
	}
	sc := &scene{begin: time.Now()}
	st.addScene(sc, "lonely")
	out, err := ca.Call(t.Context(), st.sip.SIPAddr(), carrier.CallOptions{From: "+2348000000002", To: "+15550000009"})
	if err != nil {
		t.Fatal(err)
	}
	waitFor(t, "participant in the room", func() bool { return len(digestOf(sc.snapshot()).Webhooks["sip_+2348000000002"]) > 0 })
	if err := out.Cancel(t.Context()); err != nil {
		t.Fatal(err)
	}
	var refused *carrier.StatusError
	if err := out.Answered(t.Context()); !errors.As(err, &refused) || refused.Code != 487 {
		t.Errorf("the caller was answered %v, want 487", err)
	}
	waitFor(t, "participant_left", func() bool {
		events := digestOf(sc.snapshot()).Webhooks["sip_+2348000000002"]
		last := events[len(events)-1]
		return strings.HasPrefix(last, "participant_left") && strings.Contains(last, "reason=CLIENT_INITIATED") && strings.Contains(last, "sip.callStatus=hangup")
	})
}

func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for limit := time.Now().Add(time.Minute); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(limit) {
			t.Fatal("never: " + what)
		}
	}
}

func TestReasonOfStatus(t *testing.T) {
	t.Parallel()
	// The reasons are as recorded, except for the 5xx, which 1.11 attributes to the trunk.
	for status, want := range map[int]livekit.DisconnectReason{
		403: livekit.DisconnectReason_USER_REJECTED, 404: livekit.DisconnectReason_USER_UNAVAILABLE,
		408: livekit.DisconnectReason_USER_UNAVAILABLE, 480: livekit.DisconnectReason_USER_UNAVAILABLE,
		484: livekit.DisconnectReason_USER_REJECTED, 486: livekit.DisconnectReason_USER_REJECTED,
		500: livekit.DisconnectReason_SIP_TRUNK_FAILURE, 503: livekit.DisconnectReason_SIP_TRUNK_FAILURE,
		600: livekit.DisconnectReason_USER_REJECTED, 603: livekit.DisconnectReason_USER_REJECTED,
	} {
		if got := reasonOfStatus(status); got != want {
			t.Errorf("%d: %s, want %s", status, got, want)
		}
	}
}

func TestParseFragment(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{
		"SIP/2.0 200 OK":                       "200 OK",
		"SIP/2.0 486 Busy Here\r\nTo: <sip:a>": "486 Busy Here",
		"SIP/2.0 603":                          "603 ",
		"":                                     "error",
		"HTTP/1.1 200 OK":                      "error",
		"SIP/2.0 99 Low":                       "error",
		"SIP/2.0 x y":                          "error",
	} {
		got := "error"
		if s, err := parseFragment([]byte(body)); err == nil {
			got = fmt.Sprintf("%d %s", s.Code, s.Status)
		}
		if got != want {
			t.Errorf("%q: got %q, want %q", body, got, want)
		}
	}
}

func TestMixer(t *testing.T) {
	t.Parallel()
	m := newMixer()
	frame := make([]byte, frameSize)
	m.read(frame)
	if !bytes.Equal(frame, bytes.Repeat([]byte{0xff}, frameSize)) {
		t.Error("nobody speaks, and it is not silent")
	}
	a, b := m.add(), m.add()
	speech := make([]byte, frameSize)
	for i := range speech {
		speech[i] = byte(i * 7)
	}
	a.write(speech[:100])
	a.write(speech[100:])
	m.read(frame)
	if !bytes.Equal(frame, speech) {
		t.Error("one speaker's audio is changed")
	}
	a.write(bytes.Repeat([]byte{toULaw(1000)}, frameSize))
	b.write(bytes.Repeat([]byte{toULaw(-400)}, frameSize))
	m.read(frame)
	if got := fromULaw(frame[0]); got < 560 || got > 640 {
		t.Errorf("1000 and -400 mix to %d", got)
	}
	m.remove(a)
	a.write(speech)
	m.read(frame)
	if frame[0] != 0xff {
		t.Error("a speaker who left is heard")
	}
}

func TestULawIsG711(t *testing.T) {
	t.Parallel()
	// ITU-T G.711 table 2: the ends and the decision at zero.
	for code, want := range map[byte]int{0xff: 0, 0x7f: 0, 0x80: 32124, 0x00: -32124, 0xfe: 8, 0x7e: -8} {
		if got := fromULaw(code); got != want {
			t.Errorf("%#x decodes to %d, want %d", code, got, want)
		}
	}
	for code := range 256 {
		if got := fromULaw(toULaw(fromULaw(byte(code)))); got != fromULaw(byte(code)) {
			t.Errorf("%#x comes back as %d", code, got)
		}
	}
	if toULaw(1e6) != toULaw(32635) || toULaw(-1e6) != toULaw(-32635) {
		t.Error("loud samples are not clipped")
	}
}

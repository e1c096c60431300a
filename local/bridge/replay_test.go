package bridge

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/livekit/protocol/auth"
	"github.com/livekit/protocol/livekit"
	"github.com/livekit/protocol/webhook"
	lksdk "github.com/livekit/server-sdk-go/v2"
	"go.uber.org/goleak"

	"github.com/krosai/telephony/local/calltest"
	"github.com/krosai/telephony/local/carrier"
	"github.com/krosai/telephony/local/livekitd"
)

const testKey, testSecret = "devkey", "secretsecretsecretsecretsecretsecret"

func TestMain(m *testing.M) {
	if os.Getenv(standIn) != "" {
		must(runStandIn())
		return
	}
	if os.Getenv(killed) != "" {
		must(runKilled())
		return
	}
	flag.Parse()
	// Calls mostly wait, so many run at a time even on few processors.
	must(flag.Set("test.parallel", "16"))
	known := []goleak.Option{
		// Kept-alive connections of the test's own API client.
		goleak.IgnoreAnyFunction("net/http.(*persistConn).readLoop"), goleak.IgnoreAnyFunction("net/http.(*persistConn).writeLoop"),
	}
	for _, f := range livekitd.Leftovers() {
		known = append(known, goleak.IgnoreAnyFunction(f))
	}
	// LiveKit's server needs some 20 s to give up on a participant whose process has
	// died (TestStartRealRunsTheProcess).
	os.Exit(calltest.Leaks(calltest.Judged(m), known...))
}

// notReplayed explains why a recording is not replayed as a scenario.
var notReplayed = map[string]string{
	"outbound-bye-to-participant_left-lag-40calls":       "statistics of times, without a timeline",
	"outbound-bye-to-participant_left-lag-60calls-agent": "statistics of times, without a timeline",
	"outbound-sdk-errors":                                "about the Go SDK: TestSDKErrors",
	"api-trunks-and-rules":                               "about LiveKit's server alone: TestTrunksAndRules",
	"outbound-sip-service-down-wait":                     "needs a server without a SIP service: TestServiceDown",
}

// difference is an intended difference between the recordings and this bridge.
type difference struct {
	recordings string // path.Match pattern
	what       string
	reason     string
	apply      func(o *outcome) // makes both outcomes equal in this respect
}

var differences = []difference{
	{"*", "codec of the phone's track", "rooms here speak PCMU only, so that audio passes untouched; the recordings used opus",
		func(o *outcome) { o.replaceWebhooks("audio/opus", "audio/PCMU") }},
	{"*", "codecs offered to and accepted from the carrier", "PCMU only, for the same reason; LiveKit offers G.722 and PCMA too",
		func(o *outcome) {
			o.replaceSIP("RTP/AVP 9 0 8 101 a=rtpmap:9 G722/8000 a=rtpmap:0 PCMU/8000 a=rtpmap:8 PCMA/8000", "RTP/AVP 0 101 a=rtpmap:0 PCMU/8000")
			o.replaceSIP("a=fmtp:101 0-16", "a=fmtp:101 0-15")
		}},
	{"*", "why the agent leaves at the very end", "a race between the room's departure timeout, which LiveKit checks about once a second, and the clean-up",
		func(o *outcome) { o.replaceWebhooks("reason=ROOM_CLOSED", "reason=ROOM_DELETED") }},
	{"*", "answer to the clean-up", "the same race: the room is gone already or it is not",
		func(o *outcome) {
			o.Answers = slices.DeleteFunc(o.Answers, func(a string) bool { return strings.HasPrefix(a, "DeleteRoom: ") })
		}},
	{"*", "how LiveKit says that it heard nothing of a transfer in time", "a race inside LiveKit: its wait ends, or the wait around it does",
		func(o *outcome) {
			for i, a := range o.Answers {
				if strings.HasPrefix(a, "TransferSIPParticipant: 408 ") {
					o.Answers[i] = strings.ReplaceAll(a, `"canceled","msg":"twirp error unknown: request canceled"`, `"deadline_exceeded","msg":"twirp error unknown: request timed out"`)
				}
			}
		}},
	{"*", "the times of INVITE and answer", "LiveKit SIP 1.11 tells them in attributes; the recordings are of 1.10",
		(*outcome).dropTimes},
	{"outbound-service-unavailable-503-wait", "why the callee leaves", "LiveKit SIP 1.11 blames a 5xx on the trunk (livekit/sip#861)",
		(*outcome).blameTrunk},
	{"outbound-unreachable-*", "why the callee leaves", "LiveKit SIP 1.11 blames the trunk when it cannot be reached or never answers (livekit/sip#861)",
		(*outcome).blameTrunk},
	{"outbound-auth407-wrong-*", "track events of a call that fails at once", "a race between the end of the call and the media connection, about 40 ms after the request",
		(*outcome).dropTracksOfCallee},
	{"inbound-transfer-ok", "why the caller leaves", "the recording is one of the ghosts: LiveKit kept the participant until the room was deleted; this bridge makes none",
		func(o *outcome) {
			o.replaceWebhooks("reason=ROOM_DELETED rule.attr", "reason=CLIENT_INITIATED rule.attr")
		}},
	{"*", "order of participant_joined and track_published", "webhooks of one participant come reordered when the machine is busy",
		(*outcome).joinedFirst},
	{"*", "order of the carrier's answers to a CANCEL", "the two belong to different transactions; this carrier answers the INVITE first",
		(*outcome).cancelAnsweredFirst},
	{"outbound-transfer-while-ringing", "ACK before or after REFER", "LiveKit sends REFER some ms before it acknowledges the answer; this bridge acknowledges first, as RFC 3261 section 13.2.2.4 says",
		func(o *outcome) {
			o.SIP["call 1"] = slices.DeleteFunc(o.SIP["call 1"], func(m string) bool { return strings.HasPrefix(m, "> ACK ") })
		}},
	{"outbound-dtmf-both-ways", "first digit that the carrier heard", "it came 2 ms after the answer, before the recording's carrier listened",
		func(o *outcome) { o.CarrierDigits = strings.TrimPrefix(o.CarrierDigits, "1") }},
	{"outbound-bad-requests", "the SIP messages", "the recording has none of the carrier's entries", func(o *outcome) { o.SIP = nil }},
}

// joinedFirst swaps a participant's first two webhooks if they came in the other order.
func (o *outcome) joinedFirst() {
	for _, events := range o.Webhooks {
		for i := range events[:max(0, len(events)-1)] {
			if strings.HasPrefix(events[i], "track_published") && strings.HasPrefix(events[i+1], "participant_joined") {
				events[i], events[i+1] = events[i+1], events[i]
			}
		}
	}
}

// cancelAnsweredFirst moves the answer to a CANCEL directly behind it.
func (o *outcome) cancelAnsweredFirst() {
	for _, messages := range o.SIP {
		from := slices.Index(messages, "< 200 to CANCEL")
		if from < 0 {
			continue
		}
		answer := messages[from]
		messages = slices.Delete(messages, from, from+1)
		to := slices.IndexFunc(messages, func(m string) bool { return strings.HasPrefix(m, "> CANCEL ") })
		_ = slices.Insert(messages, to+1, answer) // in place: the deletion left room for one
	}
}

func (o *outcome) dropTimes() {
	o.replaceWebhooks(" "+attrInviteTime+"=…", "")
	o.replaceWebhooks(" "+attrAnswerTime+"=…", "")
}

// blameTrunk replaces LiveKit SIP 1.10's reasons for a failed trunk where the participant has left.
func (o *outcome) blameTrunk() {
	for i, w := range o.Webhooks["callee"] {
		if strings.HasPrefix(w, "participant_left") {
			o.Webhooks["callee"][i] = trunkReasons.ReplaceAllString(w, "reason=SIP_TRUNK_FAILURE")
		}
	}
}

var trunkReasons = regexp.MustCompile(`reason=(CLIENT_INITIATED|USER_UNAVAILABLE)\b`)

func (o *outcome) dropTracksOfCallee() {
	o.Webhooks["callee"] = slices.DeleteFunc(o.Webhooks["callee"], func(w string) bool { return strings.HasPrefix(w, "track_") })
}

func (o *outcome) replaceWebhooks(before, after string) {
	for who := range o.Webhooks {
		for i := range o.Webhooks[who] {
			o.Webhooks[who][i] = strings.ReplaceAll(o.Webhooks[who][i], before, after)
		}
	}
}

func (o *outcome) replaceSIP(before, after string) {
	for id := range o.SIP {
		for i := range o.SIP[id] {
			o.SIP[id][i] = strings.ReplaceAll(o.SIP[id][i], before, after)
		}
	}
}

// callee returns the script of the recordings' carrier, by the three digits after
// +1555 (request.carrier_behaviour).
func callee(number string) carrier.Script {
	const ring = 200 * time.Millisecond
	answers := func(after, hangUp time.Duration) carrier.Script {
		return carrier.Script{Ring: ring, RingFor: after, Status: 200, HangUpAfter: hangUp, Auth: carrier.AuthNone, ReferTo: transferTarget}
	}
	refuses := func(status int, rings bool) carrier.Script {
		s := carrier.Script{Ring: ring, RingFor: 800 * time.Millisecond, Status: status, Auth: carrier.AuthNone}
		if !rings {
			s.NoRing, s.Ring, s.RingFor = true, 0, 300*time.Millisecond
		}
		return s
	}
	switch number[5:8] {
	case "100":
		return answers(1500*time.Millisecond, 0)
	case "222":
		return answers(1500*time.Millisecond, 2500*time.Millisecond)
	case "180":
		return answers(12*time.Second, 2500*time.Millisecond)
	case "181":
		return answers(4*time.Second, 0)
	case "777":
		s := answers(1500*time.Millisecond, 0)
		s.DTMF = "www12www#"
		return s
	case "407":
		s := answers(1500*time.Millisecond, 0)
		s.Auth = carrier.AuthDefault
		return s
	case "417":
		s := answers(1500*time.Millisecond, 0)
		s.Auth = carrier.AuthForbidden
		return s
	case "408":
		return carrier.Script{Ring: ring, Auth: carrier.AuthNone}
	case "480":
		return refuses(480, true)
	case "486":
		return refuses(486, true)
	case "603":
		return refuses(603, true)
	case "403":
		return refuses(403, false)
	case "404":
		return refuses(404, false)
	case "503":
		return refuses(503, false)
	}
	panic("no part for " + number)
}

// transferTarget is the answer of the recordings' carrier to a transfer, by the four digits
// after tel:+1555.
func transferTarget(target string) carrier.Refer {
	const last = 850 * time.Millisecond
	switch target[len("tel:+1555"):][:4] {
	case "2000":
		return carrier.Refer{Notify: []int{100, 180, 200}, NotifyAfter: last}
	case "2001":
		return carrier.Refer{Notify: []int{100, 180, 200}, NotifyAfter: last, Bye: true}
	case "4860":
		return carrier.Refer{Notify: []int{100, 180, 486}, NotifyAfter: last}
	case "6030":
		return carrier.Refer{Status: 603}
	case "6031":
		return carrier.Refer{Notify: []int{100, 603}, NotifyAfter: 350 * time.Millisecond}
	case "4080":
		return carrier.Refer{Notify: []int{}}
	case "4081":
		return carrier.Refer{Notify: []int{100, 200}, NotifyAfter: 5050 * time.Millisecond}
	}
	panic("no transfer for " + target)
}

// stage is the platform on which all scenarios play at once. Each has its own room and carrier.
type stage struct {
	livekit *livekitd.Server
	sip     Service
	api     client
	worker  *worker

	mu     sync.Mutex
	scenes map[string]*scene // by a part of the room's name
}

func newStage(t *testing.T) *stage {
	t.Helper()
	st := &stage{scenes: map[string]*scene{}}
	hook := httptest.NewServer(http.HandlerFunc(st.onWebhook))
	t.Cleanup(hook.Close)
	var err error
	log := slog.New(slog.DiscardHandler)
	binary := os.Getenv("KROS_LIVEKIT_SIP")
	if st.livekit, err = livekitd.Start(t.Context(), livekitd.Options{APIKey: testKey, APISecret: testSecret, WebhookURLs: []string{hook.URL}, Opus: binary != "", Log: log}); err != nil {
		t.Fatal(err)
	}
	closeAtEnd(t, st.livekit)
	o := Options{RedisAddr: st.livekit.RedisAddr(), LiveKitURL: st.livekit.URL(), APIKey: testKey, APISecret: testSecret, Log: slog.New(slog.NewTextHandler(os.Stderr, nil))}
	if binary != "" {
		t.Logf("against %s", binary)
		st.sip, err = StartReal(t.Context(), binary, o)
	} else {
		st.sip, err = Start(t.Context(), o)
	}
	if err != nil {
		t.Fatal(err)
	}
	closeAtEnd(t, st.sip)
	st.api = client{url: st.livekit.HTTPURL()}
	st.worker = startWorker(t, st.livekit.URL(), "phone-agent", st.seen)
	return st
}

func closeAtEnd(t *testing.T, c io.Closer) {
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
}

func (st *stage) onWebhook(w http.ResponseWriter, r *http.Request) {
	raw, err := webhook.Receive(r, auth.NewSimpleKeyProvider(testKey, testSecret))
	if err != nil {
		http.Error(w, err.Error(), http.StatusUnauthorized)
		return
	}
	var e struct {
		Event string
		Room  struct{ Name string }
	}
	must(json.Unmarshal(raw, &e))
	st.seen(e.Room.Name, entry{Source: "webhook", Event: word(e.Event), Body: raw})
}

// seen records an event of a room in the timeline of its scene.
func (st *stage) seen(room string, e entry) {
	st.mu.Lock()
	defer st.mu.Unlock()
	for key, sc := range st.scenes {
		if strings.Contains(room, key) {
			sc.room = room
			e.Body = []byte(sc.recorded(string(e.Body)))
			sc.note(e)
		}
	}
}

// scene is one recording being replayed.
type scene struct {
	st      *stage
	rec     recording
	attempt int
	carrier *carrier.Carrier
	begin   time.Time
	renamed []string                         // pairs: our name, the recording's name
	names   atomic.Pointer[strings.Replacer] // of all of them
	room    string                           // guarded by stage.mu

	mu       sync.Mutex
	timeline []entry
}

func (sc *scene) note(e entry) {
	sc.mu.Lock()
	defer sc.mu.Unlock()
	e.T = float64(time.Since(sc.begin).Microseconds()) / 1000
	sc.timeline = append(sc.timeline, e)
}

// recorded replaces our names with the recorded ones.
func (sc *scene) recorded(text string) string {
	if names := sc.names.Load(); names != nil {
		return names.Replace(text)
	}
	return text
}

func (sc *scene) snapshot() []entry {
	sc.mu.Lock()
	defer sc.mu.Unlock()
	return slices.Clone(sc.timeline)
}

// onTime is the lateness up to which a replay is judged. A recording is of telephones in real time,
// with some steps 200 ms apart. If goroutines run later than onTime, a scene proves nothing about
// the bridge.
const onTime = 50 * time.Millisecond

// TestReplay plays all scenes at once. Scenes that differ while the machine is late are played
// again, a few at a time. If the machine is still late, they are not judged.
func TestReplay(t *testing.T) {
	t.Parallel()
	recordings := readRecordings(t)
	// The longest scenes start first, because they decide the total time.
	slices.SortStableFunc(recordings, func(a, b recording) int { return int(b.length() - a.length()) })
	st := newStage(t)
	var again sync.Map // by name: the recordings to play again
	t.Run("all", func(t *testing.T) {
		for _, rec := range recordings {
			t.Run(rec.name, func(t *testing.T) {
				if why := notReplayed[rec.name]; why != "" {
					t.Skip(why)
				}
				if testing.Short() && rec.length() > 5_000 {
					t.Skipf("takes %.0f s", rec.length()/1000)
				}
				t.Parallel()
				if wrong, late := st.replay(t, rec, 0); wrong != "" && late <= onTime {
					t.Error(wrong)
				} else if wrong != "" {
					t.Logf("the machine was %v late", late)
					again.Store(rec.name, rec)
				}
			})
		}
	})
	t.Run("again", func(t *testing.T) {
		few := make(chan struct{}, 3)
		again.Range(func(name, rec any) bool {
			t.Run(name.(string), func(t *testing.T) {
				t.Parallel()
				few <- struct{}{}
				defer func() { <-few }()
				st.replayAgain(t, rec.(recording))
			})
			return true
		})
	})
}

// replayAgain plays a recording again, at most twice, until it passes or the machine was on time.
func (st *stage) replayAgain(t *testing.T, rec recording) {
	for attempt := 1; ; attempt++ {
		wrong, late := st.replay(t, rec, attempt)
		switch {
		case wrong == "":
			return
		case late <= onTime:
			t.Fatal(wrong)
		case attempt == 2:
			fmt.Printf("not judged: the recording %s, because this machine runs goroutines up to %v late\n", rec.name, late)
			t.Skip(wrong)
		}
	}
}

// lateness measures the largest delay of a goroutine until stop is closed.
func lateness(stop <-chan struct{}) (most time.Duration) {
	const every = 10 * time.Millisecond
	for {
		began := time.Now()
		select {
		case <-stop:
			return most
		case <-time.After(every):
			most = max(most, time.Since(began)-every)
		}
	}
}

// length is the time of the recording's last request, in ms.
func (r recording) length() float64 {
	last := 0.0
	for _, x := range exchanges(r.Timeline) {
		last = max(last, x.at)
	}
	return last
}

// replay plays a recording. It returns the differences and how late the machine was meanwhile.
func (st *stage) replay(t *testing.T, rec recording, attempt int) (wrong string, late time.Duration) {
	stop, measured := make(chan struct{}), make(chan time.Duration)
	go func() { measured <- lateness(stop) }()
	wrong = st.play(t, rec, attempt)
	close(stop)
	return wrong, <-measured
}

func (st *stage) play(t *testing.T, rec recording, attempt int) (wrong string) {
	sc := &scene{st: st, rec: rec, attempt: attempt, begin: time.Now()}
	var err error
	sc.carrier, err = carrier.Start(carrier.Options{Username: "u", Password: "p", Script: callee, Trace: sc.onSIP})
	if err != nil {
		t.Fatal(err)
	}
	defer sc.carrier.Close()
	if strings.HasPrefix(rec.name, "inbound-") {
		err = sc.playInbound(t)
	} else {
		err = sc.playOutbound(t)
	}
	if err != nil {
		return err.Error()
	}
	for _, c := range sc.carrier.Calls() {
		for _, d := range c.DTMFReceived {
			sc.note(entry{Source: "carrier", Note: "DTMF received", Digit: string(d)})
		}
	}
	if wrong = sc.compare(); wrong != "" {
		sc.dump(t)
	}
	return wrong
}

func (sc *scene) onSIP(m carrier.Message) {
	dir := "carrier->livekit"
	if m.In {
		dir = "livekit->carrier"
	}
	head, body, _ := strings.Cut(sc.recorded(m.Text), "\r\n\r\n")
	lines := strings.Split(head, "\r\n")
	headers, err := json.Marshal(lines[1:])
	must(err)
	text, err := json.Marshal(body)
	must(err)
	sc.note(entry{Source: "carrier", Dir: dir, SIP: lines[0], Headers: headers, Body: text})
}

// compare describes the differences between the replay and the recording.
func (sc *scene) compare() (wrong string) {
	want, got := digestOf(sc.rec.Timeline), digestOf(sc.snapshot())
	for _, d := range differences {
		if ok, err := path.Match(d.recordings, sc.rec.name); err != nil || !ok {
			continue
		}
		d.apply(&want)
		d.apply(&got)
	}
	if d := diff(want.lines(), got.lines()); d != "" {
		wrong = "recorded (-) and replayed (+) differ:\n" + d
	}
	for i := range min(len(want.took), len(got.took)) {
		if !strings.HasSuffix(want.asked[i], "SIPParticipant") {
			continue // answered by LiveKit's server alone
		}
		early, late := 300+0.15*want.took[i], 2500+0.15*want.took[i]
		if d := got.took[i] - want.took[i]; d > late || d < -early {
			wrong += fmt.Sprintf("\nanswer %d took %.0f ms, recorded %.0f ms", i, got.took[i], want.took[i])
		}
	}
	return wrong
}

func (sc *scene) dump(t *testing.T) {
	if os.Getenv("DUMP") == "" {
		return
	}
	for _, e := range sc.snapshot() {
		t.Logf("%8.1f %s %s %s %s %s %s %v %.200s", e.T, e.Source, e.Event, e.Dir, e.SIP, e.Call, e.Phase, e.Changed, e.Response)
	}
}

// trunkOf makes the trunk that a recording used. The recorded id identifies it.
func (sc *scene) trunkOf(t *testing.T, id string) string {
	t.Helper()
	trunk := &livekit.SIPOutboundTrunkInfo{
		Name: sc.rec.name, Address: sc.carrier.Addr(), Numbers: []string{"+15550000001"}, AuthUsername: "u", AuthPassword: "p"}
	switch id {
	case "ST_Riv5kVvkaqXP", "ST_JEytgEMzDwY8":
	case "ST_sTXwPKkrLQSR":
		trunk.AuthPassword, trunk.Numbers = "wrong", []string{"+15550000002"}
	case "ST_YgVkwUPzF77c":
		trunk.Address, trunk.Transport, trunk.Numbers = closedAddr(t), livekit.SIPTransport_SIP_TRANSPORT_UDP, []string{"+15550000003"}
	case "ST_TT6FX5b9q2fV":
		trunk.Address, trunk.Transport, trunk.Numbers = closedAddr(t), livekit.SIPTransport_SIP_TRANSPORT_TCP, []string{"+15550000004"}
	case "ST_GpmdfW2mJgtE":
		// Only one trunk may have a number.
		return sc.inboundTrunk(t, fmt.Sprintf("+1555%d000098", sc.attempt), nil)
	default:
		return id
	}
	made, err := lksdk.NewSIPClient(sc.st.livekit.HTTPURL(), testKey, testSecret).
		CreateSIPOutboundTrunk(t.Context(), &livekit.CreateSIPOutboundTrunkRequest{Trunk: trunk})
	if err != nil {
		t.Fatal(err)
	}
	if trunk.Address != sc.carrier.Addr() {
		sc.renamed = append(sc.renamed, trunk.Address, "127.0.0.1:15999")
	}
	return made.SipTrunkId
}

// closedAddr is an address without a listener.
func closedAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// playOutbound makes the recording's requests at the recording's times.
func (sc *scene) playOutbound(t *testing.T) error {
	xs := exchanges(sc.rec.Timeline)
	room := fmt.Sprintf("replay-%d-%s-room", sc.attempt, sc.rec.name)
	recordedRoom, trunks := "", map[string]string{}
	for _, x := range xs {
		var b struct {
			RoomName   string `json:"room_name"`
			SIPTrunkID string `json:"sip_trunk_id"`
		}
		must(json.Unmarshal(x.request, &b))
		if recordedRoom == "" {
			recordedRoom = b.RoomName
		}
		if b.SIPTrunkID != "" && trunks[b.SIPTrunkID] == "" {
			trunks[b.SIPTrunkID] = sc.trunkOf(t, b.SIPTrunkID)
		}
	}
	sc.rename(room, recordedRoom)
	var back []string
	for recorded, ours := range trunks {
		back = append(back, `"`+recorded+`"`, `"`+ours+`"`)
	}
	toOurs := strings.NewReplacer(append(back, recordedRoom, room)...)
	sc.st.addScene(sc, room)
	return sc.playRequests(xs, toOurs, room)
}

// rename adds names of ours and the recorded names that replace them, and the addresses: the
// recordings' carrier is on port 15090, LiveKit's SIP on 15080, and nothing on 15999.
func (sc *scene) rename(pairs ...string) {
	sc.renamed = append(sc.renamed, pairs...)
	sc.names.Store(strings.NewReplacer(append(sc.renamed, sc.carrier.Addr(), "127.0.0.1:15090", sc.st.sip.SIPAddr(), "127.0.0.1:15080")...))
}

func (st *stage) addScene(sc *scene, key string) {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.scenes[key] = sc
}

// playRequests sends each request at its time, but not before the requests that had been answered
// by then are answered. Times count from the first request after the agent has joined.
func (sc *scene) playRequests(xs []exchange, toOurs *strings.Replacer, room string) error {
	var answered sync.WaitGroup
	done := make(chan struct{}, len(xs))
	finished := 0
	var zero time.Time
	last := 0.0
	for _, x := range xs {
		prepare := x.method == "CreateRoom" || x.method == "CreateDispatch"
		for finished < x.after {
			<-done
			finished++
		}
		if !prepare {
			if zero.IsZero() {
				if xs[0].method == "CreateRoom" {
					if err := sc.awaitAgent(); err != nil {
						return err
					}
				}
				zero = time.Now().Add(-ms(x.at))
				sc.pressDigits(room, zero)
			}
			time.Sleep(time.Until(zero.Add(ms(x.at))))
		}
		last = x.at
		answered.Go(func() {
			sc.ask(x, toOurs)
			done <- struct{}{}
		})
	}
	answered.Wait()
	time.Sleep(time.Until(zero.Add(ms(last + 400))))
	return nil
}

func (sc *scene) ask(x exchange, toOurs *strings.Replacer) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	if x.reply.TransportError != "" { // the client gave up
		ctx, cancel = context.WithTimeout(context.Background(), ms(x.reply.TookMS))
	}
	defer cancel()
	body := []byte(sc.ourAgent(toOurs.Replace(string(x.request))))
	var named struct {
		Room     string `json:"room"`
		RoomName string `json:"room_name"`
	}
	must(json.Unmarshal(body, &named))
	room := named.Room + named.RoomName
	sc.note(entry{Source: "client", Call: x.method, Phase: "request", Request: body})
	r := sc.st.api.call(ctx, x.method, room, body)
	raw, err := json.Marshal(r)
	must(err)
	sc.note(entry{Source: "client", Call: x.method, Phase: "response", Response: json.RawMessage(sc.recorded(string(raw)))})
}

// ourAgent replaces the recording's agent with our agent.
func (sc *scene) ourAgent(request string) string {
	return regexp.MustCompile(`agent-AJ_[A-Za-z0-9]+`).ReplaceAllStringFunc(request, func(recorded string) string {
		for _, e := range sc.snapshot() {
			if e.Source == "agent" && strings.HasPrefix(e.Identity, "agent-AJ_") {
				return e.Identity
			}
		}
		return recorded
	})
}

// awaitAgent waits until the agent has published.
func (sc *scene) awaitAgent() error {
	for limit := time.Now().Add(time.Minute); time.Now().Before(limit); time.Sleep(10 * time.Millisecond) {
		for _, e := range sc.snapshot() {
			if e.Source == "webhook" && e.Event == "track_published" {
				time.Sleep(200 * time.Millisecond)
				return nil
			}
		}
	}
	return errors.New("no agent came")
}

// pressDigits makes the agent send the recorded digits.
func (sc *scene) pressDigits(room string, zero time.Time) {
	for _, e := range sc.rec.Timeline {
		if digit, ok := strings.CutPrefix(string(e.Event), "publishes SipDTMF "); ok && e.Source == "agent" {
			time.AfterFunc(time.Until(zero.Add(ms(e.T))), func() { sc.st.worker.press(room, digit) })
		}
	}
}

func ms(v float64) time.Duration { return time.Duration(v * float64(time.Millisecond)) }

// playInbound makes the carrier call as in the recording.
func (sc *scene) playInbound(t *testing.T) error {
	var req struct {
		From string `json:"carrier_invite_from"`
		To   string `json:"carrier_invite_to"`
	}
	must(json.Unmarshal(sc.rec.Request, &req))
	// All scenes share one LiveKit, so each has its own caller and called number.
	from, to := fmt.Sprintf("+23%d%s", 48+sc.attempt, req.From[5:]), fmt.Sprintf("+1%d%s", 666+sc.attempt, req.From[len(req.From)-7:])
	xs := exchanges(sc.rec.Timeline)
	room, recordedRoom := "_"+from+"_", ""
	for _, e := range sc.rec.Timeline {
		if e.Source == "webhook" {
			var b struct{ Room struct{ Name string } }
			must(json.Unmarshal(e.Body, &b))
			recordedRoom = b.Room.Name
		}
	}
	sc.rename(to, req.To, from, req.From)
	if sc.rec.name != "inbound-no-matching-trunk" && sc.rec.name != "inbound-no-matching-trunk-with-rule" {
		trunk := sc.inboundTrunk(t, to, sc.ringTimeout())
		if sc.rec.name != "inbound-matching-trunk-no-rule" {
			sc.rule(t, trunk, recordedRoom)
		}
	}
	sc.st.addScene(sc, room)

	zero := time.Now()
	call, err := sc.carrier.Call(t.Context(), sc.st.sip.SIPAddr(), carrier.CallOptions{
		From: from, To: to, Script: carrier.Script{ReferTo: transferTarget}})
	if err != nil {
		return err
	}
	if strings.HasSuffix(sc.rec.name, "caller-hangup") {
		time.AfterFunc(ms(4273), func() { _ = call.Hangup(context.Background()) })
	}
	last := 2500.0
	for _, x := range xs {
		time.Sleep(time.Until(zero.Add(ms(x.at))))
		sc.st.mu.Lock()
		ours := sc.room
		sc.st.mu.Unlock()
		sc.ask(x, strings.NewReplacer(recordedRoom, ours, req.From, from))
		last = x.at + 400
	}
	time.Sleep(time.Until(zero.Add(ms(last))))
	if len(xs) == 0 { // LiveKit is silent: check that it stays so until the carrier gives up
		sc.compareSoFar()
	}
	return nil
}

// compareSoFar freezes the timeline, because the recording does not contain the closing of
// the carrier.
func (sc *scene) compareSoFar() {
	frozen := sc.snapshot()
	_ = sc.carrier.Close()
	sc.mu.Lock()
	sc.timeline = frozen
	sc.mu.Unlock()
}

func (sc *scene) ringTimeout() *time.Duration {
	if sc.rec.name == "inbound-individual-no-agent-ringtimeout5" {
		d := 5 * time.Second
		return &d
	}
	return nil
}

func (sc *scene) rule(t *testing.T, trunk, recordedRoom string) {
	t.Helper()
	prefix, _, _ := strings.Cut(recordedRoom, "_+")
	rule := map[string]any{
		"name": sc.rec.name, "trunk_ids": []string{trunk},
		"rule": map[string]any{"dispatch_rule_individual": map[string]any{"room_prefix": prefix}},
	}
	if prefix != "rt5-" {
		config := map[string]any{"empty_timeout": 20, "departure_timeout": 3, "agents": []any{map[string]any{"agent_name": "phone-agent"}}}
		if prefix == "call-in-" {
			rule["metadata"], rule["attributes"] = `{"pm":1}`, map[string]string{"rule.attr": "x"}
			config["metadata"] = "room-meta"
		}
		rule["room_config"] = config
	}
	body, err := json.Marshal(map[string]any{"dispatch_rule": rule})
	must(err)
	if r := sc.st.api.call(t.Context(), "CreateSIPDispatchRule", "", body); r.HTTPStatus != 200 {
		t.Fatalf("rule: %s", fmt.Sprint(string(r.Body), r.TransportError))
	}
}

func (sc *scene) inboundTrunk(t *testing.T, number string, ringing *time.Duration) string {
	t.Helper()
	trunk := map[string]any{"name": sc.rec.name, "numbers": []string{number}}
	if ringing != nil {
		trunk["ringing_timeout"] = fmt.Sprintf("%.0fs", ringing.Seconds())
	}
	body, err := json.Marshal(map[string]any{"trunk": trunk})
	must(err)
	r := sc.st.api.call(t.Context(), "CreateSIPInboundTrunk", "", body)
	var made struct {
		ID string `json:"sip_trunk_id"`
	}
	if r.HTTPStatus != 200 || json.Unmarshal(r.Body, &made) != nil {
		t.Fatalf("trunk: %s %s", r.Body, r.TransportError)
	}
	return made.ID
}

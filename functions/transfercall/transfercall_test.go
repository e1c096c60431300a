package transfercall_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	lk "github.com/livekit/protocol/livekit"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/krosai/telephony/functions/transfercall"
	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/api"
	"github.com/krosai/telephony/shared/api/apitest"
	"github.com/krosai/telephony/shared/call"
	"github.com/krosai/telephony/shared/fault"
	"github.com/krosai/telephony/shared/id"
	"github.com/krosai/telephony/shared/livekit"
	"github.com/krosai/telephony/shared/livekit/livekittest"
	"github.com/krosai/telephony/shared/number"
	"github.com/krosai/telephony/shared/secret"
	"github.com/krosai/telephony/shared/teardown"
)

const (
	callID = "call_01KAMPJ5V0SAMPMECA00000000" // of the sample event
	target = "+14155550111"
)

var now = time.Date(2026, 11, 22, 9, 31, 0, 0, time.UTC)

// bench serves the function. ada's call from a number in NG was answered 42 s ago. She may also
// call the US.
type bench struct {
	*apitest.Bench
	livekit  *livekittest.Server
	endpoint *transfercall.Endpoint
	key      string
}

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{Bench: apitest.Open(t, func() time.Time { return now }), livekit: livekittest.New(t)}
	b.Must(b.AllowCountries(t.Context(), "ada", "US"))
	b.Must(b.PutNumber(t.Context(), number.Number{ID: number.ID("+2348012345678"), E164: "+2348012345678", Country: "NG", UserID: "ada", AssignedAt: now}))
	b.call(callID, "ada", call.InProgress)
	b.livekit.Join(callID, phone(call.CalleeIdentity))
	b.livekit.Join(callID, agent)
	_, b.key = b.Key("ada", account.CallsWrite)
	b.serve(b.livekit.URL)
	return b
}

// serve serves the function with the LiveKit at a URL.
func (b *bench) serve(livekitURL string) {
	b.Helper()
	lkc := livekit.Open(livekit.Config{URL: livekitURL, APIKey: livekittest.APIKey, APISecret: secret.New(livekittest.APISecret)})
	b.endpoint = &transfercall.Endpoint{Calls: b.DB, Phone: lkc, Now: b.Now, Log: slog.New(slog.DiscardHandler),
		Teardown: &teardown.Ender{Calls: b.DB, Rooms: lkc, Now: b.Now}}
	b.Serve(b.endpoint)
}

var agent = &lk.ParticipantInfo{Identity: "agent", Kind: lk.ParticipantInfo_AGENT, IsPublisher: true}

func phone(identity string) *lk.ParticipantInfo {
	return &lk.ParticipantInfo{Identity: identity, Kind: lk.ParticipantInfo_SIP, Attributes: map[string]string{"sip.callStatus": "active"}}
}

// call records a call of a user.
func (b *bench) call(callID, user string, status call.Status) {
	b.Helper()
	c := call.Call{ID: callID, UserID: user, Direction: call.Outbound, RoomName: callID, NumberID: number.ID("+2348012345678"), Country: "NG",
		RingingTimeout: 30, MaxDuration: 600, Status: status, CreatedAt: now.Add(-time.Minute)}
	if status == call.InProgress {
		c.AnsweredAt = now.Add(-42 * time.Second)
	}
	b.Must(b.Place(b.Context(), c))
	_, _, err := b.AwaitEnd(b.Context(), callID, "token")
	b.Must(err)
}

// record returns the call from the database.
func (b *bench) record() call.Call {
	b.Helper()
	c, err := b.DB.Call(b.Context(), callID)
	b.Must(err)
	return c
}

// shown is the transfer that an answer shows.
func shown(a apitest.Answer) map[string]any {
	t, _ := a.Body["transfer"].(map[string]any)
	return t
}

// outcome is the status and the code of a problem, or the outcome of the transfer.
func outcome(a apitest.Answer) string {
	status, _ := shown(a)["status"].(string)
	return strings.TrimSpace(http.StatusText(a.Status) + " " + a.Code() + status)
}

func (b *bench) ask(callID, body string, header ...string) apitest.Answer {
	b.Helper()
	return b.Ask(b.key, "POST", "/outbound-calls/"+callID+"/transfer", body, header...)
}

func (b *bench) transfer() apitest.Answer {
	b.Helper()
	return b.ask(callID, `{"phone_number":"`+target+`"}`)
}

// TestRecordings checks the API's answer to each recorded answer of LiveKit. The call stays up
// each time.
func TestRecordings(t *testing.T) {
	t.Parallel()
	const completed, unclear = "OK completed", "OK unknown"
	want := map[string][]string{
		"outbound-transfer-ok-livekit-bye":           {completed},
		"outbound-transfer-ok-carrier-bye":           {completed},
		"outbound-transfer-refused-603":              {"OK failed 603"},
		"outbound-transfer-notify-603":               {"OK failed 603"},
		"outbound-transfer-notify-486":               {"OK failed 486"},
		"outbound-transfer-timeout-no-notify":        {unclear},
		"outbound-transfer-notify-after-timeout":     {unclear, completed},
		"outbound-transfer-concurrent-second-target": {"Conflict TRANSFER_IN_PROGRESS", completed},
		// Requests that this platform never makes: for an unknown phone, for the agent, to garbage,
		// and in no room. The carrier was not asked.
		"outbound-transfer-unknown-and-agent-identity": {"Service Unavailable TELEPHONY_UNAVAILABLE", "Service Unavailable TELEPHONY_UNAVAILABLE",
			"Service Unavailable TELEPHONY_UNAVAILABLE", "Service Unavailable TELEPHONY_UNAVAILABLE"},
		"outbound-transfer-while-ringing": {completed}, // the platform never asks for this: TestStates
		"inbound-transfer-ok":             {completed},
		"inbound-transfer-ok-carrier-bye": {completed},
		"inbound-transfer-ok-long-1":      {completed},
	}
	files, err := filepath.Glob("../../local/bridge/testdata/recordings/*transfer*.json")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".json")
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for i, a := range recorded(t, file) {
				b := newBench(t)
				b.playBack(a)
				got := b.transfer()
				outcome := outcome(got)
				if sip, ok := shown(got)["sip_status_code"].(float64); ok && sip != 200 {
					outcome += fmt.Sprint(" ", sip)
				}
				if i >= len(want[name]) || outcome != want[name][i] {
					t.Errorf("answer %d: %q, %s; want %q", i, outcome, got.Text, want[name])
				}
				if c := b.record(); c.Status != call.InProgress {
					t.Errorf("answer %d: the call is %s", i, c.Status)
				}
			}
		})
	}
}

// reply is an answer of LiveKit.
type reply struct {
	Status int             `json:"http_status"`
	Body   json.RawMessage `json:"body"`
}

// recorded returns the answers to TransferSIPParticipant in a recording.
func recorded(t *testing.T, file string) (answers []reply) {
	t.Helper()
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var r struct {
		Timeline []struct {
			Call, Phase string
			Response    json.RawMessage
		}
	}
	if err := json.Unmarshal(raw, &r); err != nil {
		t.Fatal(err)
	}
	for _, e := range r.Timeline {
		if e.Call == "TransferSIPParticipant" && e.Phase == "response" {
			var a reply
			if err := json.Unmarshal(e.Response, &a); err != nil {
				t.Fatal(err)
			}
			answers = append(answers, a)
		}
	}
	return answers
}

// playBack answers transfers with a recorded reply, and sends everything else to the
// bench's LiveKit.
func (b *bench) playBack(a reply) {
	b.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasSuffix(r.URL.Path, "/TransferSIPParticipant") {
			r.URL.Host, r.URL.Scheme, r.RequestURI = strings.TrimPrefix(b.livekit.URL, "http://"), "http", ""
			resp, err := http.DefaultTransport.RoundTrip(r)
			if err != nil {
				panic(http.ErrAbortHandler)
			}
			defer resp.Body.Close()
			w.Header().Set("Content-Type", resp.Header.Get("Content-Type"))
			w.WriteHeader(resp.StatusCode)
			_, _ = io.Copy(w, resp.Body)
			return
		}
		if a.Status == http.StatusOK { // the SDK asks for protobuf, and this is an empty message
			w.Header().Set("Content-Type", "application/protobuf")
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(a.Status)
		_, _ = w.Write(a.Body)
	}))
	b.Cleanup(server.Close)
	b.serve(server.URL)
}

// A number that may not be called never reaches LiveKit.
func TestGate(t *testing.T) {
	t.Parallel()
	bad, no := "Bad Request INVALID_REQUEST", "Forbidden DESTINATION_NOT_ALLOWED"
	for to, want := range map[string]string{
		"sip:+14155550111@203.0.113.9": bad, "sips:eve@example.com": bad, "tel:+14155550111": bad, "tel:+14155550111;isub=1": bad,
		"+14155550111;isub=1": bad, "+14155550111;phone-context=x": bad, "<+14155550111>": bad, "<sip:eve@example.com>": bad,
		"+14155550111\\r\\nX-Evil: 1": bad, "+14155550111?Replaces=x": bad, "+14155550111@example.com": bad, "+1 415 555 0111": bad,
		"＋14155550111": bad, "+1４155550111": bad, "14155550111": bad, "+04155550111": bad, "911": bad, "+1911": bad, "": bad,
		"+14155550111x1": bad, "+999999999999": bad, "+12005550100": bad, "\\u0000+14155550111": bad,
		"+19115550100": no, "+14154110000": no, "+14159760000": no, "+19005550100": no, "+881612345678": no, "+97912345678": no,
		"+442079460000": no, "+4915112345678": no, "+18765550123": no, // not among the countries
	} {
		t.Run(to, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			if a := b.ask(callID, `{"phone_number":"`+to+`"}`); outcome(a) != want {
				t.Errorf("%s, want %s", a.Text, want)
			}
			if c := b.record(); len(b.livekit.Requests()) != 0 || c.Transfer.ID != "" {
				t.Errorf("asked LiveKit %v, transfer %+v", b.livekit.Requests(), c.Transfer)
			}
		})
	}
	for name, body := range map[string]string{"none": `{}`, "null": `{"phone_number":null}`, "a number": `{"phone_number":14155550111}`,
		"a list": `{"phone_number":["+14155550111"]}`, "one too many": `{"phone_number":"+14155550111","headers":{"X":"y"}}`,
		"twice": `{"phone_number":"+14155550111","phone_number":"+14155550112"}`, "sip": `{"phone_number":"+14155550111","transfer_to":"sip:eve@example.com"}`} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			if a := b.ask(callID, body); a.Status != http.StatusBadRequest || len(b.livekit.Requests()) != 0 {
				t.Errorf("%s, asked LiveKit %v", a.Text, b.livekit.Requests())
			}
		})
	}
}

// The kill switch and the policy of the moment hold for transfers too.
func TestPolicy(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		change func(b *bench) error
		to     string
		want   string
	}{
		"own country": {func(*bench) error { return nil }, "+2348012345679", "OK completed"},
		"allowed":     {func(*bench) error { return nil }, target, "OK completed"},
		"no country allowed": {func(b *bench) error { return b.PutPolicy(b.Context(), "ada", account.DefaultPolicy()) },
			target, "Forbidden DESTINATION_NOT_ALLOWED"},
		"own country without a list": {func(b *bench) error { return b.PutPolicy(b.Context(), "ada", account.DefaultPolicy()) },
			"+2348012345679", "OK completed"},
		"user switched off": {func(b *bench) error {
			p := account.DefaultPolicy()
			p.CallsEnabled = false
			return b.PutPolicy(b.Context(), "ada", p)
		}, "+2348012345679", "Forbidden CALLS_DISABLED"},
		"everybody switched off": {func(b *bench) error { return b.SetSwitch(b.Context(), false, "", "boss") }, target, "Forbidden CALLS_DISABLED"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.Must(tt.change(b))
			a := b.ask(callID, `{"phone_number":"`+tt.to+`"}`)
			if outcome(a) != tt.want {
				t.Errorf("%s, want %s", a.Text, tt.want)
			}
			if a.Status != http.StatusOK && len(b.livekit.Requests()) != 0 {
				t.Errorf("asked LiveKit %v", b.livekit.Requests())
			}
		})
	}
}

// TestTransfersAreCounted checks that transfers count against the user's limits for calls, and that
// a call has a limited number of transfers.
func TestTransfersAreCounted(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		policy account.Policy
		left   string   // of the limit with the least left, at the end
		to     []string // in turn; the last one is refused
		want   string
	}{
		"in an hour": {account.Policy{CallsPerHour: 3}, "0", // the call itself is the first of them
			[]string{"+14155550111", "+14155550112", "+14155550113"}, "Too Many Requests RATE_LIMIT_EXCEEDED"},
		"to one number in an hour": {account.Policy{CallsPerDestination: 2}, "0",
			[]string{target, target, target}, "Too Many Requests RATE_LIMIT_EXCEEDED"},
		"on one call": {account.Policy{}, "94",
			[]string{"+14155550111", "+14155550112", "+14155550113", "+14155550114", "+14155550115", "+14155550116"}, "Conflict TRANSFER_LIMIT_REACHED"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			tt.policy.CallsEnabled, tt.policy.AllowedCountries = true, []string{"US"}
			b.Must(b.PutPolicy(t.Context(), "ada", tt.policy))
			b.livekit.Fail("TransferSIPParticipant", livekittest.ErrorAfter)
			last := len(tt.to) - 1
			for _, to := range tt.to[:last] {
				if a := b.ask(callID, `{"phone_number":"`+to+`"}`); outcome(a) != "OK unknown" {
					t.Errorf("%s: %d %s", to, a.Status, a.Text)
				}
			}
			asked := len(b.livekit.Requests())
			a := b.ask(callID, `{"phone_number":"`+tt.to[last]+`"}`)
			if outcome(a) != tt.want || a.Header.Get("X-RateLimit-Remaining") != tt.left || len(b.livekit.Requests()) != asked {
				t.Errorf("%d %s with %s left, asked LiveKit %v; want %s with %s left",
					a.Status, a.Text, a.Header.Get("X-RateLimit-Remaining"), b.livekit.Requests()[asked:], tt.want, tt.left)
			}
			if a.Status == http.StatusTooManyRequests && a.Header.Get("Retry-After") == "" {
				t.Error("no Retry-After")
			}
		})
	}
}

// A user cannot transfer a call on a number that is no longer theirs.
func TestNumberTakenAway(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	eves := number.ID("+2348012345670")
	b.Must(b.PutNumber(t.Context(), number.Number{ID: eves, E164: "+2348012345670", Country: "NG", UserID: "eve", AssignedAt: now}))
	other := id.Call.New(time.Now())
	b.Must(b.Place(t.Context(), call.Call{ID: other, UserID: "ada", RoomName: other, NumberID: eves, Country: "NG",
		Status: call.InProgress, CreatedAt: now, AnsweredAt: now}))
	if a := b.ask(other, `{"phone_number":"+2348012345679"}`); outcome(a) != "Conflict NUMBER_NOT_CONFIGURED" || len(b.livekit.Requests()) != 0 {
		t.Errorf("%s, asked LiveKit %v", a.Text, b.livekit.Requests())
	}
}

// Only a call in progress can be transferred. LiveKit would delay the transfer of a ringing phone
// until it is answered.
func TestStates(t *testing.T) {
	t.Parallel()
	for _, s := range []call.Status{call.Initiated, call.Dialing, call.Ringing} {
		b := newBench(t)
		other := id.Call.New(time.Now())
		b.call(other, "ada", s)
		b.livekit.Join(other, phone(call.CalleeIdentity))
		if a := b.ask(other, `{"phone_number":"`+target+`"}`); outcome(a) != "Conflict CALL_NOT_ACTIVE" || len(b.livekit.Requests()) != 0 {
			t.Errorf("%s: %s, asked LiveKit %v", s, a.Text, b.livekit.Requests())
		}
	}
	b := newBench(t)
	_, err := b.EndCall(t.Context(), b.record(), call.End{Status: call.Completed, Cause: call.CalleeHangup, At: now})
	b.Must(err)
	if a := b.transfer(); outcome(a) != "Conflict CALL_NOT_ACTIVE" || len(b.livekit.Requests()) != 0 {
		t.Errorf("ended: %s", a.Text)
	}
	b = newBench(t)
	_, _, err = b.RequestHangup(t.Context(), "ada", callID, now)
	b.Must(err)
	if a := b.transfer(); outcome(a) != "Conflict CALL_NOT_ACTIVE" || len(b.livekit.Requests()) != 0 {
		t.Errorf("being hung up: %s", a.Text)
	}
}

func TestAnothersCallIsNoCall(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	foreign := id.Call.New(time.Now())
	b.call(foreign, "eve", call.InProgress)
	b.livekit.Join(foreign, phone(call.CalleeIdentity))
	for _, other := range []string{foreign, id.Call.New(time.Now()), "call_1"} {
		a := b.ask(other, `{"phone_number":"`+target+`"}`)
		if outcome(a) != "Not Found NOT_FOUND" || len(b.livekit.Requests()) != 0 {
			t.Errorf("%s: %s, asked LiveKit %v", other, a.Text, b.livekit.Requests())
		}
	}
}

// TestTransfer checks that the phone in the room, whatever its identity, is transferred once, and
// that the call ends once the phone has left.
func TestTransfer(t *testing.T) {
	t.Parallel()
	for _, identity := range []string{call.CalleeIdentity, "sip_+2348000000012"} {
		b := newBench(t)
		b.livekit.Leave(callID, call.CalleeIdentity)
		b.livekit.Join(callID, phone(identity))
		var asked *lk.TransferSIPParticipantRequest
		b.livekit.Transfer = func(_ context.Context, q *lk.TransferSIPParticipantRequest) (*emptypb.Empty, error) {
			asked = q
			b.livekit.Leave(callID, identity) // the carrier hangs up at once
			return livekittest.Transferred(), nil
		}
		a := b.transfer()
		c := b.record()
		want := map[string]any{"call_id": callID, "transfer": map[string]any{
			"transfer_id":     c.Transfer.ID,
			"phone_number":    target,
			"status":          "completed",
			"sip_status_code": 200.0,
		}}
		if d := cmp.Diff(want, a.Body); d != "" || !strings.HasPrefix(c.Transfer.ID, "tr_") {
			t.Error(d)
		}
		if asked.TransferTo != "tel:"+target || asked.ParticipantIdentity != identity || asked.RingingTimeout.AsDuration() != 20*time.Second {
			t.Errorf("asked %v", asked)
		}
		if c.Status != call.Completed || c.Cause != call.Transferred || c.Duration() != 42 || b.livekit.Room(callID) != nil {
			t.Errorf("%s %s after %d s", c.Status, c.Cause, c.Duration())
		}
		if d := cmp.Diff([]string{"ListParticipants", "TransferSIPParticipant", "ListParticipants", "DeleteRoom"}, b.livekit.Requests()); d != "" {
			t.Error(d)
		}
	}
}

// TestTrouble checks what LiveKit and the network may do besides answering.
func TestTrouble(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		setUp func(b *bench)
		want  string
		left  string // status of the transfer and the call's status and cause
		posts int    // TransferSIPParticipant
		sip   bool   // the answer has the carrier's 200
	}{
		"answer lost": {
			setUp: fails("TransferSIPParticipant", livekittest.ResetAfter),
			want:  "OK unknown",
			left:  "unknown in_progress",
			posts: 1,
		},
		"LiveKit stumbles": {
			setUp: fails("TransferSIPParticipant", livekittest.ErrorAfter),
			want:  "OK unknown",
			left:  "unknown in_progress",
			posts: 1,
		},
		"room not readable": {
			setUp: fails("ListParticipants", livekittest.ErrorBefore),
			want:  "Service Unavailable TELEPHONY_UNAVAILABLE",
			left:  "failed in_progress",
		},
		"phone rings, oddly":         {setUp: rejoins("ringing"), want: "Conflict CALL_NOT_ACTIVE", left: "failed in_progress"},
		"phone has hung up":          {setUp: rejoins("hangup"), want: "Conflict CALL_NOT_ACTIVE", left: "failed completed callee_hangup"},
		"phone has left":             {setUp: phoneLeaves, want: "Conflict CALL_NOT_ACTIVE", left: "failed completed callee_hangup"},
		"room was deleted meanwhile": {setUp: meanwhile(everybodyLeaves), want: "OK unknown", left: "unknown completed unknown", posts: 1},
		"phone left, unclear": {
			setUp: func(b *bench) {
				fails("TransferSIPParticipant", livekittest.ErrorAfter)(b)
				meanwhile(phoneLeaves)(b)
			},
			want:  "OK unknown",
			left:  "unknown completed unknown",
			posts: 1,
		},
		"hung up by its user meanwhile": {setUp: meanwhile(hangUp), want: "OK unknown", left: "unknown completed api_hangup", posts: 1},
		"agent leaves when it is done": {
			setUp: meanwhile(func(b *bench) { b.livekit.Leave(callID, "agent") }),
			want:  "OK completed",
			left:  "completed completed transferred",
			posts: 1,
			sip:   true,
		},
		"phone leaves before the carrier has said anything": {
			setUp: meanwhile(phoneLeaves),
			want:  "OK completed",
			left:  "completed completed transferred",
			posts: 1,
		},
		"everybody leaves when it is done": {
			setUp: answers(livekittest.Transferred(), everybodyLeaves),
			want:  "OK completed",
			left:  "completed completed transferred",
			posts: 1,
			sip:   true,
		},
		"callee hangs up first": {
			setUp: answers(outcomeOf(livekittest.CallEnded), phoneLeaves),
			want:  "OK failed",
			left:  "failed completed callee_hangup",
			posts: 1,
		},
		"everybody leaves first": {
			setUp: answers(outcomeOf(livekittest.CallEnded), everybodyLeaves),
			want:  "OK failed",
			left:  "failed in_progress", // the event of the phone's leaving says how it ended
			posts: 1,
		},
		"user hangs up first": {
			setUp: answers(outcomeOf(livekittest.CallEnded), hangUp),
			want:  "OK failed",
			left:  "failed completed api_hangup",
			posts: 1,
		},
		"rejected without a status": {
			setUp: answers(outcomeOf(livekittest.Rejected), nothing),
			want:  "OK failed",
			left:  "failed in_progress",
			posts: 1,
		},
		"nobody answers in time": {
			setUp: answers(outcomeOf(livekittest.RingingTimeout), nothing),
			want:  "OK unknown",
			left:  "unknown in_progress",
			posts: 1,
		},
		"the carrier reports no more, phone left": {
			setUp: answers(outcomeOf(livekittest.SubscriptionTerminated), phoneLeaves),
			want:  "OK unknown",
			left:  "unknown completed unknown",
			posts: 1,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			tt.setUp(b)
			a := b.transfer()
			if outcome(a) != tt.want || (shown(a)["sip_status_code"] != nil) != tt.sip {
				t.Errorf("%s, want %s", a.Text, tt.want)
			}
			if a.Status == http.StatusServiceUnavailable && a.Header.Get("Retry-After") == "" {
				t.Error("no Retry-After")
			}
			c := b.record()
			if got := strings.TrimSpace(string(c.Transfer.Status) + " " + string(c.Status) + " " + string(c.Cause)); got != tt.left {
				t.Errorf("left %s, want %s", got, tt.left)
			}
			posts := 0
			for _, r := range b.livekit.Requests() {
				if r == "TransferSIPParticipant" {
					posts++
				}
			}
			if posts != tt.posts {
				t.Errorf("%d transfers asked for, want %d", posts, tt.posts)
			}
		})
	}
}

func fails(method string, f livekittest.Fault) func(b *bench) {
	return func(b *bench) { b.livekit.Fail(method, f) }
}

// rejoins sets the phone's status.
func rejoins(status string) func(b *bench) {
	return func(b *bench) {
		b.livekit.Leave(callID, call.CalleeIdentity)
		p := phone(call.CalleeIdentity)
		p.Attributes["sip.callStatus"] = status
		b.livekit.Join(callID, p)
	}
}

// meanwhile runs do while the carrier is being asked. An old LiveKit SIP then reports success.
func meanwhile(do func(b *bench)) func(b *bench) {
	return answers(&emptypb.Empty{}, do)
}

// answers runs do while the carrier is being asked, and then lets LiveKit answer.
func answers(answer *emptypb.Empty, do func(b *bench)) func(b *bench) {
	return func(b *bench) {
		b.livekit.Transfer = func(context.Context, *lk.TransferSIPParticipantRequest) (*emptypb.Empty, error) {
			do(b)
			return answer, nil
		}
	}
}

// outcomeOf is LiveKit's answer to a transfer that did not succeed.
func outcomeOf(reason int32) *emptypb.Empty {
	return livekittest.Transfer{Status: lk.SIPTransferStatus_STS_TRANSFER_FAILED, Reason: reason}.Answer()
}

func nothing(*bench) {}

func hangUp(b *bench) {
	c, _, err := b.RequestHangup(b.Context(), "ada", callID, now)
	b.Must(err)
	_, err = b.endpoint.Teardown.TakeDown(b.Context(), c, b.endpoint.Teardown.HungUp)
	b.Must(err)
}

func phoneLeaves(b *bench) { b.livekit.Leave(callID, call.CalleeIdentity) }

func everybodyLeaves(b *bench) {
	phoneLeaves(b)
	b.livekit.Leave(callID, "agent")
}

// If many requests come at once, one transfers the call and the others are refused.
func TestOneAtATime(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	release := make(chan struct{})
	b.livekit.Transfer = func(context.Context, *lk.TransferSIPParticipantRequest) (*emptypb.Empty, error) {
		<-release
		return livekittest.Transferred(), nil
	}
	var race sync.WaitGroup
	outcomes := make(chan string, 10)
	for range cap(outcomes) {
		race.Go(func() { outcomes <- outcome(b.transfer()) })
	}
	for range cap(outcomes) - 1 {
		if o := <-outcomes; o != "Conflict TRANSFER_IN_PROGRESS" {
			t.Error(o)
		}
	}
	close(release)
	race.Wait()
	if o := <-outcomes; o != "OK completed" {
		t.Error(o)
	}
}

// Two requests with the same Idempotency-Key ask the carrier once.
func TestIdempotencyKey(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	var texts []string
	for range 2 {
		texts = append(texts, b.ask(callID, `{"phone_number":"`+target+`"}`, "Idempotency-Key", "k").Text)
	}
	asked := strings.Count(strings.Join(b.livekit.Requests(), " "), "TransferSIPParticipant")
	if texts[0] != texts[1] || asked != 1 {
		t.Errorf("%v, asked %d times", texts, asked)
	}
	if a := b.ask(callID, `{"phone_number":"+14155550112"}`, "Idempotency-Key", "k"); a.Status != http.StatusUnprocessableEntity {
		t.Errorf("another body: %s", a.Text)
	}
}

// The outcome is recorded even if the client has gone away.
func TestClientGoesAway(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	ctx, leave := context.WithCancel(t.Context())
	b.livekit.Transfer = func(context.Context, *lk.TransferSIPParticipantRequest) (*emptypb.Empty, error) {
		leave()
		return livekittest.Transferred(), nil
	}
	edge := &api.Edge{Keys: b.DB, Now: b.Now, Log: slog.New(slog.DiscardHandler)}
	server := httptest.NewServer(edge.Handler(b.endpoint))
	defer server.Close()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, server.URL+"/outbound-calls/"+callID+"/transfer", strings.NewReader(`{"phone_number":"`+target+`"}`))
	b.Must(err)
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer "+b.key)
	if resp, err := http.DefaultClient.Do(r); err == nil {
		resp.Body.Close()
		t.Error("the client stayed")
	}
	for end := time.Now().Add(time.Minute); b.record().Transfer.Status != call.TransferCompleted; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%+v", b.record().Transfer)
		}
	}
}

// slow is a LiveKit whose requests take the given times, unless their contexts end before.
type slow struct{ read, transfer, readAgain time.Duration }

func wait(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return fault.Unavailable("LiveKit", ctx.Err())
	}
}

func (s *slow) ReadRoom(ctx context.Context, _ string) (call.Room, error) {
	d := s.read
	s.read = s.readAgain
	return call.Room{Agent: true, Callee: &call.Phone{Identity: "callee", Status: "active"}}, wait(ctx, d)
}

func (s *slow) DeleteRoom(ctx context.Context, _ string) error { return wait(ctx, s.readAgain) }

func (s *slow) Transfer(ctx context.Context, _, _, _ string, ringing time.Duration) (livekit.Transferred, error) {
	ctx, cancel := context.WithTimeout(ctx, ringing+2*time.Second)
	defer cancel()
	if err := wait(ctx, s.transfer); err != nil {
		return livekit.Transferred{}, &livekit.TransferError{Code: livekit.TransferUnclear, Err: err}
	}
	return livekit.Transferred{Assumed: true}, nil
}

// However slow LiveKit is, the answer comes within 25 s and says what is known.
func TestAnswerComesInTime(t *testing.T) {
	t.Parallel()
	const never = time.Hour
	for name, tt := range map[string]struct {
		phone   slow
		outcome string
		took    time.Duration
	}{
		"nobody reads the room": {slow{read: never}, "TELEPHONY_UNAVAILABLE", 22500 * time.Millisecond},
		"nobody answers":        {slow{transfer: never}, "unknown", 22 * time.Second},
		"everything is slow":    {slow{read: 4 * time.Second, transfer: never, readAgain: never}, "unknown", 24500 * time.Millisecond},
		"the target rings long": {slow{transfer: 20 * time.Second, readAgain: 5 * time.Second}, "completed", 24500 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			outside, key := openForBubbles(t)
			synctest.Test(t, func(t *testing.T) {
				b := inBubble(t, outside)
				talk(b, callID)
				start := time.Now()
				a := askInBubble(b, key, callID, &transfercall.Endpoint{Calls: b.DB, Phone: &tt.phone, Now: time.Now, Log: slog.New(slog.DiscardHandler),
					Teardown: &teardown.Ender{Calls: b.DB, Rooms: &tt.phone, Now: time.Now}})
				if took := time.Since(start); took != tt.took || !strings.Contains(a.Text, tt.outcome) {
					t.Errorf("after %s: %s; want %s after %s", took, a.Text, tt.outcome, tt.took)
				}
				if c, err := b.Call(t.Context(), callID); err != nil || c.Transfer.Status == call.TransferPending {
					t.Errorf("%+v, %v", c.Transfer, err)
				}
			})
		})
	}
}

// The sample event is a request that works.
func TestSampleEvent(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.SampleKey("ada", account.CallsWrite)
	if a := b.Replay("transfercall", ""); a.Status != http.StatusOK {
		t.Error(a.Text)
	}
}

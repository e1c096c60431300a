package all_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	lk "github.com/livekit/protocol/livekit"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/call"
	"github.com/krosai/telephony/shared/event"
	"github.com/krosai/telephony/shared/id"
	"github.com/krosai/telephony/shared/livekit/livekittest"
	"github.com/krosai/telephony/shared/number"
	"github.com/krosai/telephony/shared/numberrequest"
	"github.com/krosai/telephony/shared/store"
)

// This file tests the rare paths of the functions, each with the rights that it takes.

const waiting = "the token of a workflow that waits"

// put changes a sample event's Idempotency-Key and body. An empty value changes nothing.
func (s *stage) put(event []byte, key, body string) []byte {
	s.Helper()
	var e map[string]any
	s.Must(json.Unmarshal(event, &e))
	if key != "" {
		e["headers"].(map[string]any)["idempotency-key"] = key
	}
	if body != "" {
		e["body"], e["isBase64Encoded"] = body, false
	}
	out, err := json.Marshal(e)
	s.Must(err)
	return out
}

// await stores the token of the call's workflow.
func (s *stage) await() {
	_, _, err := s.AwaitEnd(s.Context(), sampleCall, waiting)
	s.Must(err)
}

// awaitNumber makes an approved request whose workflow waits for a number.
func (s *stage) awaitNumber() {
	s.request()
	s.decide(true)
	_, _, err := s.AwaitRequest(s.Context(), sampleRequest, waiting, numberrequest.AwaitsNumber)
	s.Must(err)
}

// anotherNumber gives the user one more number.
func (s *stage) anotherNumber() {
	const e164 = "+2348012345679"
	s.Must(s.PutNumber(s.Context(), number.Number{ID: number.ID(e164), E164: e164, Country: "NG", Type: "mobile", UserID: sampleUser,
		Capabilities: []string{"inbound", "outbound"}}))
}

// fillKeys gives the user as many API keys as an account can have.
func (s *stage) fillKeys() {
	s.Must(s.PutKeyQuotas(s.Context(), sampleUser, account.RequestsPerHour, account.MaxKeys+1))
	for range account.MaxKeys {
		_, err := s.AddKey(s.Context(), account.Key{ID: id.Key.New(time.Now()), UserID: sampleUser, Hash: []byte("h"), CreatedAt: sampleTime})
		s.Must(err)
	}
}

const arrivalRoom = "_+14155550100_x"

// arrive lets a phone ring for the user's number. No webhook reports it.
func (s *stage) arrive() {
	s.own(true)
	s.livekit.Join(number.RoomPrefix(sampleUser, "support-")+arrivalRoom, &lk.ParticipantInfo{Identity: caller, Kind: lk.ParticipantInfo_SIP,
		State: lk.ParticipantInfo_ACTIVE, Attributes: map[string]string{"sip.callStatus": "ringing", "sip.phoneNumber": "+14155550100",
			"sip.trunkPhoneNumber": sampleE164, "sip.trunkID": "ST_in", "sip.ruleID": "SDR_1"}})
}

func TestRarePaths(t *testing.T) {
	t.Parallel()
	const repeated = "01KAMPJ5V0"
	for name, tc := range map[string]struct {
		function  string
		prepare   func(*stage) // instead of what the sample needs
		key, body string       // instead of the sample's
		status    int          // of an HTTP function
		then      func(*stage) // runs before the same event is sent once more
		again     int          // its status
		told      bool         // whether the workflow that waits is notified
		ends      bool         // whether the call ends, with an event
		started   int          // workflows started
		answer    string       // must be part of the answer
	}{
		"a call without naming the number": {function: "createcall", body: `{"phone_number":"+14155550100","agent_name":"a"}`, status: 201, started: 1},
		"a call again":                     {function: "createcall", key: repeated, status: 201, started: 2, then: func(*stage) {}, again: 201},
		"a call again that would be refused today": {function: "createcall", key: repeated, status: 201, again: 201, started: 1,
			then: func(s *stage) { s.Forget(s, "numbers", number.ID(sampleE164)) }},
		"a call whose workflow cannot be started": {function: "createcall", ends: true, key: repeated, status: 503, again: 201, started: 1,
			prepare: func(s *stage) { s.own(true); s.Workflows.Down(true) }, then: func(s *stage) { s.Workflows.Down(false) }},
		"a replay that nobody can be asked for": {function: "replaydelivery", status: 503,
			prepare: func(s *stage) { prepare["replaydelivery"](s); s.Messages.Down(true) }},
		"a key too many":    {function: "createkey", prepare: (*stage).fillKeys, status: 409},
		"a rotated key too": {function: "rotatekey", prepare: (*stage).fillKeys, status: 409},
		"two caller ids": {function: "setconfiguration", prepare: func(s *stage) { s.own(false); s.anotherNumber() }, status: 200,
			body: `{"sip_trunk":{"name":"t","address":"a.carrier.net","numbers":["` + sampleE164 + `","+2348012345679"],"directions":["outbound"]}}`},
		"another number than the one asked for": {function: "approverequest", status: 200, prepare: func(s *stage) {
			s.inventory()
			_, _, err := s.CreateRequest(s.Context(), numberrequest.Request{ID: sampleRequest, UserID: sampleUser, PhoneNumber: "+2348012345679", CreatedAt: sampleTime})
			s.Must(err)
		}, body: `{"phone_number_id":"` + number.ID(sampleE164) + `"}`},
		"a number that somebody waits for":          {function: "addnumber", prepare: (*stage).awaitNumber, status: 201, told: true},
		"imported numbers that somebody waits for":  {function: "importnumbers", prepare: (*stage).awaitNumber, status: 200, told: true},
		"a released number that somebody waits for": {function: "releasenumber", prepare: func(s *stage) { s.own(true); s.awaitNumber() }, status: 200, told: true},
		"the number is there already":               {function: "awaitrequest", prepare: func(s *stage) { s.inventory(); s.awaitNumber() }, body: `{"request_id":"` + sampleRequest + `","what":"number","task_token":"` + waiting + `"}`, told: true},
		"a lease that ran out": {function: "sweepnumbers", answer: `"leases":1`, prepare: func(s *stage) {
			s.own(true)
			_, err := s.LeaseNumber(s.Context(), sampleUser, number.ID(sampleE164), "nobody", -time.Hour)
			s.Must(err)
		}},
		"a call that came in unnoticed": {function: "sweepcalls", prepare: (*stage).arrive, answer: `"adopted":1`, started: 1},
		"a phone that left before its end was awaited": {function: "awaitcall", ends: true,
			body:    `{"call_id":"` + sampleCall + `","task_token":"` + waiting + `"}`,
			prepare: func(s *stage) { s.talk(); s.livekit.Leave(sampleCall, call.CalleeIdentity) }},
		"a call that ended before its end was awaited": {function: "awaitcall", ends: true, told: true, prepare: (*stage).hangUp,
			body: `{"call_id":"` + sampleCall + `","task_token":"` + waiting + `"}`},
		"events that are waited for":           {function: "listevents", prepare: func(*stage) {}, status: 200},
		"events of a call that are waited for": {function: "listcallevents", prepare: func(s *stage) { s.call(call.Initiated, time.Second) }, status: 200},
		"an end":                               {function: "resumecall", told: true},
		"a hang-up":                            {function: "hangupcall", ends: true, status: 200, prepare: func(s *stage) { s.talk(); s.await() }},
		"a talk whose time is up":              {function: "finishcall", ends: true, prepare: func(s *stage) { s.talkSince(11 * time.Minute); s.await() }},
		"a talk that nobody ends":              {function: "sweepcalls", ends: true, answer: `"ended":1`, prepare: func(s *stage) { s.talkSince(15 * time.Minute); s.await() }},
		// Step Functions gives up an attempt that does not answer, and goes on. The attempt may
		// still be at work when the workflow waits for the end.
		"a preparation that was given up": {function: "preparecall", ends: true, prepare: func(s *stage) {
			s.own(true)
			_, err := s.CreateInbound(s.Context(), call.Call{ID: sampleCall, UserID: sampleUser, Direction: call.Inbound, RoomName: "gone",
				RingingTimeout: 30, MaxDuration: 600, Status: call.Initiated, CreatedAt: sampleTime.Add(-10 * time.Second)}, 0)
			s.Must(err)
			s.await()
		}},
		"a dial that was given up": {function: "dialcall", ends: true, prepare: func(s *stage) {
			s.call(call.Initiated, time.Second)
			s.await()
			_, _, err := s.RequestHangup(s.Context(), sampleUser, sampleCall, sampleTime)
			s.Must(err)
		}},
		"a phone that leaves while it is transferred": {function: "transfercall", ends: true, status: 200, prepare: func(s *stage) {
			s.talk()
			s.await()
			s.livekit.Transfer = func(context.Context, *lk.TransferSIPParticipantRequest) (*emptypb.Empty, error) {
				s.livekit.Leave(sampleCall, call.CalleeIdentity)
				s.livekit.Leave(sampleCall, "agent")
				return livekittest.Transferred(), nil
			}
		}},
		"LiveKit tells of the end": {function: "livekitwebhook", ends: true, status: 200, prepare: func(s *stage) { prepare["livekitwebhook"](s); s.await() }},
		"LiveKit tells of a call that came in": {function: "livekitwebhook", status: 200, started: 1, prepare: (*stage).arrive,
			body: fmt.Sprintf(`{"event":"participant_joined","id":"EV_1","createdAt":"%d","room":{"name":%q,"sid":"RM_1","creationTime":"%[1]d"},`+
				`"participant":{"sid":"PA_1","identity":%[3]q,"kind":"SIP","attributes":{"sip.callStatus":"ringing","sip.phoneNumber":"+14155550100",`+
				`"sip.trunkPhoneNumber":%[4]q,"sip.trunkID":"ST_in","sip.ruleID":"SDR_1"}}}`,
				sampleTime.Unix(), number.RoomPrefix(sampleUser, "support-")+arrivalRoom, caller, sampleE164)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := openStage(t, tc.function)
			if tc.prepare != nil {
				tc.prepare(s)
			} else {
				prepare[tc.function](s)
			}
			sample := s.event()
			switch {
			case !s.route && tc.body != "":
				sample = []byte(tc.body)
			case s.route:
				sample = s.put(sample, tc.key, tc.body)
			}
			if tc.function == "livekitwebhook" {
				sample = s.signed(sample)
			}
			answer := string(s.send(sample))
			if s.route && statusOf(t, answer) != tc.status || !strings.Contains(answer, tc.answer) {
				t.Errorf("answered %s, want status %d with %q", answer, tc.status, tc.answer)
			}
			if tc.then != nil {
				tc.then(s)
				if answer := string(s.send(sample)); statusOf(t, answer) != tc.again {
					t.Errorf("answered %s, want status %d the second time", answer, tc.again)
				}
			}
			if told := slices.Contains(s.Workflows.Sent(), waiting); told != tc.told {
				t.Errorf("the workflow was told: %v", told)
			}
			events, _, err := s.EventsOf(t.Context(), sampleUser, store.Log{}, 100, "")
			s.Must(err)
			if tc.ends != slices.ContainsFunc(events, func(e event.Event) bool { return e.Type == event.CallEnded }) && tc.function != "resumecall" {
				t.Errorf("events: %+v", events)
			}
			if started := s.Workflows.Started(); len(started) != tc.started {
				t.Errorf("workflows that were started: %v, want %d", started, tc.started)
			}
		})
	}
}

// TestOtherQueries checks lists that read another index for a query other than their sample's.
func TestOtherQueries(t *testing.T) {
	t.Parallel()
	for function, query := range map[string]string{"listallcalls": "user_id=" + sampleUser, "listaudit": "limit=5"} {
		t.Run(function, func(t *testing.T) {
			t.Parallel()
			s := newStage(t, function)
			var e map[string]any
			s.Must(json.Unmarshal(s.event(), &e))
			e["rawQueryString"] = query
			event, err := json.Marshal(e)
			s.Must(err)
			if answer := string(s.send(event)); statusOf(t, answer) != 200 || strings.Contains(answer, `\"data\":[]`) {
				t.Error(answer)
			}
		})
	}
}

// TestEveryPostMayBeRepeated checks that a POST with an Idempotency-Key is carried out once and
// answered twice.
func TestEveryPostMayBeRepeated(t *testing.T) {
	t.Parallel()
	for _, r := range routes(t) {
		if r.Method != "POST" {
			continue
		}
		t.Run(r.Function, func(t *testing.T) {
			t.Parallel()
			s := openStage(t, r.Function)
			if f := prepare[r.Function]; f != nil {
				f(s)
			}
			event := s.put(s.event(), "01KAMPJ5V0", "")
			first, second := s.send(event), s.send(event)
			if statusOf(t, string(first))/100 != 2 || statusOf(t, string(second)) != statusOf(t, string(first)) || !strings.Contains(string(second), "eplayed") {
				t.Errorf("answered %s, then %s", first, second)
			}
		})
	}
}

package event_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/call"
	"github.com/krosai/telephony/shared/event"
	"github.com/krosai/telephony/shared/number"
	"github.com/krosai/telephony/shared/numberrequest"
)

var t0 = time.Date(2026, 11, 22, 9, 30, 0, 123_456_789, time.UTC)

// aCall is a call that a transfer has ended. Fields that no event may contain are "canary".
func aCall() call.Call {
	return call.Call{ID: "call_01KAMPJ5V0SAMPMECA00000000", UserID: "ada", Direction: call.Outbound, Remote: "+14155550100",
		Own: "+2348012345678", NumberID: "pn_AAAAAAAAAAAAAAAAAAAAAAAAAA", RoomName: "canary", TrunkID: "canary", AgentName: "canary",
		SystemPrompt: "canary", WelcomeMessage: "canary", Voice: &call.Voice{Language: "canary"}, Metadata: map[string]string{"canary": "canary"},
		HasMetadata: true, DTMF: "canary", Status: call.Completed, Cause: call.Transferred, SIPStatus: 200,
		CreatedAt: t0, DialedAt: t0, AnsweredAt: t0.Add(2 * time.Second), EndedAt: t0.Add(44 * time.Second),
		Timeline: []call.Event{{At: t0, Name: "canary"}}, Transfers: 1,
		Transfer: call.Transfer{ID: "tr_01KAMPJ5V0SAMPMETR00000000", To: "+14155550199", Status: call.TransferCompleted, SIPStatus: 202, At: t0.Add(44 * time.Second)}}
}

func busy() call.Call {
	c := aCall()
	c.Direction, c.HasMetadata, c.AnsweredAt, c.Transfer = call.Inbound, false, time.Time{}, call.Transfer{}
	c.Status, c.Cause, c.SIPStatus, c.EndedAt = call.Busy, call.Declined, 603, t0.Add(5*time.Second)
	return c
}

func aRequest() numberrequest.Request {
	return numberrequest.Request{ID: "req_01KAMPJ5V0SAMPMERE00000000", UserID: "ada", Country: "NG", Type: "mobile", AreaCode: "803",
		PhoneNumber: "+2348031234567", Capabilities: []string{"outbound"}, Purpose: "Orders <b>now</b>", Status: numberrequest.Rejected, Reason: "No such purpose",
		WantedNumberID: "canary", DecidedBy: "canary", TaskToken: "canary", CreatedAt: t0, UpdatedAt: t0.Add(time.Minute), DecidedAt: t0.Add(time.Minute)}
}

func assigned() numberrequest.Request {
	r := aRequest()
	r.AreaCode, r.PhoneNumber, r.Reason, r.Status, r.NumberID = "", "", "", numberrequest.Assigned, "pn_AAAAAAAAAAAAAAAAAAAAAAAAAA"
	r.UpdatedAt = t0.Add(2 * time.Minute)
	return r
}

func aNumber() number.Number {
	return number.Number{ID: "pn_AAAAAAAAAAAAAAAAAAAAAAAAAA", E164: "+2348012345678", UserID: "ada", Provider: "canary", UpdatedAt: t0,
		Trunk: &number.Trunk{Name: "canary", Directions: []string{"outbound"}, OutboundID: "canary", AuthUsername: "canary"}}
}

func aKey() account.Key {
	return account.Key{ID: "key_01KAMPJ5V0SAMPMEKE00000000", UserID: "ada", Name: "CI", LastFour: "9f3c", Scopes: []string{"calls:read"}, CreatedAt: t0}
}

const (
	same = `"direction":"outbound","phone_number":"+14155550100","from_number":"+2348012345678","phone_number_id":"pn_AAAAAAAAAAAAAAAAAAAAAAAAAA",`
	ends = `"hangup_cause":"transferred","sip_status_code":200,"metadata":%s,"created_at":"2026-11-22T09:30:00.123Z","answered_at":"2026-11-22T09:30:02.123Z",` +
		`"ended_at":"2026-11-22T09:30:44.123Z","duration_seconds":42,"transfer":{"transfer_id":"tr_01KAMPJ5V0SAMPMETR00000000","phone_number":"+14155550199","status":"completed","sip_status_code":202}}`
	theCall = `{"call_id":"call_01KAMPJ5V0SAMPMECA00000000","status":"completed",` + same + ends
	theBusy = `{"call_id":"call_01KAMPJ5V0SAMPMECA00000000","status":"busy","direction":"inbound","phone_number":"+14155550100",` +
		`"from_number":"+2348012345678","phone_number_id":"pn_AAAAAAAAAAAAAAAAAAAAAAAAAA","hangup_cause":"declined","sip_status_code":603,"metadata":%s,` +
		`"created_at":"2026-11-22T09:30:00.123Z","answered_at":null,"ended_at":"2026-11-22T09:30:05.123Z","duration_seconds":0,"transfer":null}`
	theAnswered = `{"call_id":"call_01KAMPJ5V0SAMPMECA00000000","status":"in_progress",` + same + `"hangup_cause":null,"sip_status_code":null,"metadata":%s,` +
		`"created_at":"2026-11-22T09:30:00.123Z","answered_at":"2026-11-22T09:30:02.123Z","ended_at":null,"duration_seconds":0,"transfer":null}`
	theSummary = `{"call_id":"call_01KAMPJ5V0SAMPMECA00000000","metadata":%s,` +
		`"summary":{"text":"Delivery \u003cb\u003eon Monday\u003c/b\u003e.","model":"m","created_at":"2026-11-22T09:31:00.123Z"}}`
	theRejected = `{"request_id":"req_01KAMPJ5V0SAMPMERE00000000","status":"rejected","country":"NG","number_type":"mobile","area_code":"803","phone_number":"+2348031234567",` +
		`"capabilities":["outbound"],"purpose":"Orders \u003cb\u003enow\u003c/b\u003e","reason":"No such purpose","phone_number_id":null,` +
		`"created_at":"2026-11-22T09:30:00.123Z","updated_at":"2026-11-22T09:31:00.123Z"}`
	theAssigned = `{"request_id":"req_01KAMPJ5V0SAMPMERE00000000","status":"assigned","country":"NG","number_type":"mobile","area_code":null,"phone_number":null,` +
		`"capabilities":["outbound"],"purpose":"Orders \u003cb\u003enow\u003c/b\u003e","reason":null,"phone_number_id":"pn_AAAAAAAAAAAAAAAAAAAAAAAAAA",` +
		`"created_at":"2026-11-22T09:30:00.123Z","updated_at":"2026-11-22T09:32:00.123Z"}`
	theNumber   = `{"phone_number_id":"pn_AAAAAAAAAAAAAAAAAAAAAAAAAA","phone_number":"+2348012345678","configuration_status":%q}`
	theKey      = `{"key_id":"key_01KAMPJ5V0SAMPMEKE00000000","name":"CI","last_four":"9f3c","scopes":["calls:read"]}`
	theEndpoint = `{"endpoint_id":"whe_01KAMPJ5V0SAMPMEWHE000000","url":"https://hooks.acme.co/","reason":"failures"}`
)

type example struct {
	event  event.Event
	kind   string
	at     time.Time
	callID string
	data   string // with %s for a call's metadata, if it is an event of a call
}

func examples() map[string]example {
	c, minute := aCall(), t0.Add(time.Minute)
	summary := call.Summary{Status: call.SummaryReady, Text: "Delivery <b>on Monday</b>.", Model: "m", Reason: "canary", CreatedAt: minute}
	released := aNumber()
	released.UserID, released.Trunk = "", nil
	return map[string]example{
		"answered":    {event.Answered(c), event.CallAnswered, c.AnsweredAt, c.ID, theAnswered},
		"ended":       {event.Ended(c), event.CallEnded, c.EndedAt, c.ID, theCall},
		"busy":        {event.Ended(busy()), event.CallEnded, busy().EndedAt, c.ID, theBusy},
		"transferred": {event.Transferred(c), event.CallTransferFinished, c.Transfer.At, c.ID, theCall},
		"summarized":  {event.Summarized(c, summary), event.CallSummaryReady, minute, c.ID, theSummary},
		"rejected":    {event.Decided(aRequest()), event.RequestDecided, minute, "", theRejected},
		"assigned":    {event.Assigned(assigned()), event.RequestAssigned, t0.Add(2 * time.Minute), "", theAssigned},
		"configured":  {event.Configured(aNumber()), event.NumberConfigured, t0, "", fmt.Sprintf(theNumber, "partial")},
		"given":       {event.Given(aNumber()), event.NumberAssigned, t0, "", fmt.Sprintf(theNumber, "partial")},
		"released":    {event.Released(released, "ada"), event.NumberReleased, t0, "", fmt.Sprintf(theNumber, "unconfigured")},
		"key made":    {event.KeyMade(aKey()), event.KeyCreated, t0, "", theKey},
		"key revoked": {event.KeyEnded(aKey(), minute), event.KeyRevoked, minute, "", theKey},
		"disabled":    {event.Disabled("ada", "whe_01KAMPJ5V0SAMPMEWHE000000", "https://hooks.acme.co/", t0), event.EndpointDisabled, t0, "", theEndpoint},
	}
}

// TestEvents checks the data of each event, with and without metadata, to the byte. No event
// contains anything else.
func TestEvents(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for name, tt := range examples() {
		e := tt.event
		seen[e.Type] = true
		want := event.Event{ID: e.ID, UserID: "ada", Type: tt.kind, At: tt.at.Truncate(time.Millisecond), CallID: tt.callID,
			HasMetadata: tt.callID != "" && name != "busy"}
		for _, metadata := range []map[string]string{nil, {}, {"order": "A-1001", "a": "<>"}} {
			shown := "{}"
			if len(metadata) > 0 {
				shown = `{"a":"\u003c\u003e","order":"A-1001"}`
			}
			data := tt.data
			if tt.callID != "" {
				data = fmt.Sprintf(data, shown)
			}
			if d := cmp.Diff(data, string(e.DataWith(metadata))); d != "" {
				t.Errorf("%s, data with %v (-want +got):\n%s", name, metadata, d)
			}
			body := `{"type":"` + tt.kind + `","timestamp":"` + tt.at.Format("2006-01-02T15:04:05.000Z") + `","data":` + data + `}`
			if d := cmp.Diff(body, string(e.Body(metadata))); d != "" {
				t.Errorf("%s, body with %v (-want +got):\n%s", name, metadata, d)
			}
			if len(metadata) == 0 {
				want.Data = []byte(data)
			}
		}
		if d := cmp.Diff(want, e); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
		if strings.Contains(string(e.Data), "canary") {
			t.Errorf("%s tells a secret: %s", name, e.Data)
		}
	}
	for _, kind := range event.Types() {
		if !seen[kind] {
			t.Errorf("no event of type %s", kind)
		}
	}
	if len(seen) != len(event.Types()) {
		t.Errorf("events of types %v, and the types are %v", seen, event.Types())
	}
}

// TestIDs checks that the same event has the same id whenever it is created and whatever has
// happened since, and that other events have other ids. Ids are in the order of the times.
func TestIDs(t *testing.T) {
	t.Parallel()
	ids := map[string]string{}
	for name, tt := range examples() {
		id := tt.event.ID
		if again := examples()[name].event.ID; again != id {
			t.Errorf("%s has the ids %s and %s", name, id, again)
		}
		if other, taken := ids[id]; taken {
			t.Errorf("%s and %s have the id %s", name, other, id)
		}
		ids[id] = name
	}
	ended := aCall()
	talking := ended
	talking.Status, talking.Cause, talking.SIPStatus, talking.EndedAt, talking.Transfer = call.InProgress, "", 0, time.Time{}, call.Transfer{}
	if d := cmp.Diff(event.Answered(talking), event.Answered(ended)); d != "" {
		t.Errorf("the answer told at once and at the end (-at once +at the end):\n%s", d)
	}
	for _, pair := range [][2]string{
		{event.ID(t0, "a", "b"), event.ID(t0, "a\" \"b")},
		{event.ID(t0, "ab", "c"), event.ID(t0, "a", "bc")},
		{event.ID(t0, "a"), event.ID(t0.Add(time.Millisecond), "a")},
		{event.DeliveryID(event.Ended(ended), "whe_1"), event.DeliveryID(event.Ended(ended), "whe_2")},
		{event.DeliveryID(event.Ended(ended), "whe_1"), event.DeliveryID(event.Answered(ended), "whe_1")},
	} {
		if pair[0] == pair[1] {
			t.Errorf("two things have the id %s", pair[0])
		}
	}
	// Endpoints have received this id and look the event up by it.
	const fixed = "evt_01M819EKHV5410C75T7ACZ5Z51"
	if got := event.ID(t0, event.CallEnded, ended.ID); got != fixed {
		t.Errorf("id %s, want %s", got, fixed)
	}
	var inOrder []string
	for i := range 50 {
		e := event.Ended(ended)
		e.At = t0.Add(time.Duration(i) * time.Millisecond)
		inOrder = append(inOrder, event.DeliveryID(e, "whe_1"))
	}
	if !slices.IsSorted(inOrder) {
		t.Errorf("out of order: %v", inOrder)
	}
}

// TestOldData checks that data that this version cannot read is sent as it was stored.
func TestOldData(t *testing.T) {
	t.Parallel()
	for _, tt := range [][2]string{
		{event.CallEnded, `{"call_id":7}`}, {event.CallEnded, `[]`}, {event.CallEnded, `{"created_at":"yesterday"}`},
		{event.CallSummaryReady, `{"call_id":7}`}, {event.CallSummaryReady, `[]`},
	} {
		e := event.Event{Type: tt[0], CallID: "call_1", Data: []byte(tt[1])}
		if got := string(e.DataWith(map[string]string{"a": "b"})); got != tt[1] {
			t.Errorf("%s of %s became %s", tt[1], tt[0], got)
		}
	}
}

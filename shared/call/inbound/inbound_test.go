package inbound_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/krosai/telephony/shared/call"
	"github.com/krosai/telephony/shared/call/inbound"
	"github.com/krosai/telephony/shared/event"
	"github.com/krosai/telephony/shared/number"
	"github.com/krosai/telephony/shared/store"
	"github.com/krosai/telephony/shared/store/storetest"
)

var t0 = time.Date(2026, 11, 22, 9, 30, 0, 0, time.UTC)

const e164 = "+2348012345678"

// arrival is a call to ada's number as LiveKit shows it.
func arrival() call.Arrival {
	return call.Arrival{Room: number.RoomPrefix("ada", "support-") + "_+14155550100_x", RoomID: "RM_1", CreatedAt: t0,
		TrunkID: "ST_in", RuleID: "SDR_1", Caller: "+14155550100", Called: e164}
}

// flow records the workflows that are started. The next fails starts fail.
type flow struct {
	started []string
	fails   int
}

func (f *flow) StartCall(_ context.Context, id string) error {
	if f.fails--; f.fails >= 0 {
		return errors.New("the workflows are down")
	}
	f.started = append(f.started, id)
	return nil
}

// rooms records the rooms that are deleted. The next fails deletions fail.
type rooms struct {
	deleted []string
	fails   int
}

func (r *rooms) DeleteRoom(_ context.Context, name string) error {
	if r.fails--; r.fails >= 0 {
		return errors.New("LiveKit is down")
	}
	r.deleted = append(r.deleted, name)
	return nil
}

func adopter(t *testing.T) (*storetest.Database, *flow, *inbound.Adopter) {
	t.Helper()
	db, f := storetest.Open(t, nil), &flow{}
	for owner, n := range map[string]string{"ada": e164, "bob": "+2348000000001", "": "+2348000000002"} {
		err := db.PutNumber(t.Context(), number.Number{ID: number.ID(n), E164: n, Country: "NG", Type: "mobile", UserID: owner,
			Trunk: &number.Trunk{OutboundID: "ST_out", InboundID: "ST_in" + owner[:min(1, len(owner))]},
			Rule:  &number.Rule{RoomPrefix: "support-", AgentName: "support-agent", ID: "SDR_" + owner}})
		if err != nil {
			t.Fatal(err)
		}
	}
	return db, f, &inbound.Adopter{Numbers: db, Calls: db, Rooms: &rooms{}, Workflow: f}
}

func TestAdopt(t *testing.T) {
	t.Parallel()
	db, f, a := adopter(t)
	in := arrival()
	in.TrunkID, in.RuleID = "ST_ina", "SDR_ada"
	want := call.Call{ID: call.InboundID("RM_1", t0), UserID: "ada", Direction: call.Inbound, Remote: "+14155550100", Own: e164,
		NumberID: number.ID(e164), RoomName: in.Room, TrunkID: "ST_ina", AgentName: "support-agent", Country: "US",
		RingingTimeout: 30, MaxDuration: 14400, Status: call.Initiated, CreatedAt: t0, DialedAt: t0}
	f.fails = 1
	if _, ours, err := a.Adopt(t.Context(), in); err == nil || !ours {
		t.Errorf("the workflow did not start, and yet %t, %v", ours, err)
	}
	for range 3 {
		c, ours, err := a.Adopt(t.Context(), in)
		if d := cmp.Diff(want, c); err != nil || !ours || d != "" {
			t.Errorf("%t, %v (-want +got):\n%s", ours, err, d)
		}
	}
	if f.started = slices.Compact(f.started); len(f.started) != 1 || f.started[0] != want.ID {
		t.Errorf("started %v", f.started)
	}
	if _, err := db.Advance(t.Context(), want.ID, call.Ringing, t0); err != nil {
		t.Fatal(err)
	}
	f.started = nil
	if c, ours, err := a.Adopt(t.Context(), in); err != nil || !ours || c.Status != call.Ringing || len(f.started) != 0 {
		t.Errorf("when its workflow runs: %s, %t, %v, started %v", c.Status, ours, err, f.started)
	}
}

func TestAdoptNothingOfOthers(t *testing.T) {
	t.Parallel()
	_, f, a := adopter(t)
	for name, change := range map[string]func(*call.Arrival){
		"nothing changed":          func(*call.Arrival) {},
		"unknown number":           func(in *call.Arrival) { in.Called = "+2348099999999" },
		"hidden numbers":           func(in *call.Arrival) { in.Caller, in.Called = "", "" },
		"another trunk":            func(in *call.Arrival) { in.TrunkID = "ST_out" },
		"another number's trunk":   func(in *call.Arrival) { in.TrunkID = "ST_inb" },
		"no trunk":                 func(in *call.Arrival) { in.TrunkID = "" },
		"another rule":             func(in *call.Arrival) { in.RuleID = "SDR_bob" },
		"no rule":                  func(in *call.Arrival) { in.RuleID = "" },
		"another user's room":      func(in *call.Arrival) { in.Room = number.RoomPrefix("bob", "support-") + "_+14155550100_x" },
		"a room of no name space":  func(in *call.Arrival) { in.Room = "support-_+14155550100_x" },
		"nobody's number":          func(in *call.Arrival) { in.Called, in.TrunkID, in.RuleID = "+2348000000002", "ST_in", "SDR_" },
		"no room id":               func(in *call.Arrival) { in.RoomID = "" },
		"no moment":                func(in *call.Arrival) { in.CreatedAt = time.Time{} },
		"another user's own trunk": func(in *call.Arrival) { in.Called, in.TrunkID, in.RuleID = "+2348000000001", "ST_inb", "SDR_bob" },
	} {
		in := arrival()
		in.TrunkID, in.RuleID = "ST_ina", "SDR_ada"
		change(&in)
		c, ours, err := a.Adopt(t.Context(), in)
		if wanted := name == "nothing changed"; ours != wanted || err != nil || (c.ID != "") != wanted {
			t.Errorf("%s: %t, %v, call %q", name, ours, err, c.ID)
		}
	}
	if len(slices.Compact(f.started)) != 1 {
		t.Errorf("started %v", f.started)
	}
}

func TestCaller(t *testing.T) {
	t.Parallel()
	for said, want := range map[string][2]string{
		"+14155550100":       {"+14155550100", "US"},
		"14155550100":        {"+14155550100", "US"}, // some carriers leave the plus out
		"+18765551234":       {"+18765551234", "JM"},
		"+2348012345678":     {"+2348012345678", "NG"},
		"+870773111632":      {"+870773111632", ""}, // a satellite phone
		"+14155550100;ext=1": {"+14155550100", "US"},
		"+1-415-555-0179":    {"+14155550179", "US"},
		"08012345678":        {"+2348012345678", "NG"}, // the called number is Nigerian
		"8012345678":         {"+2348012345678", "NG"},
		"2125550173":         {"anonymous", ""},
		"+123456789012345":   {"anonymous", ""},
		"anonymous":          {"anonymous", ""},
		"":                   {"anonymous", ""},
		"+1415555０100":       {"anonymous", ""},
		"+911":               {"anonymous", ""},
	} {
		_, _, a := adopter(t)
		in := arrival()
		in.TrunkID, in.RuleID, in.Caller, in.Called = "ST_ina", "SDR_ada", said, e164[1:]
		c, ours, err := a.Adopt(t.Context(), in)
		if got := [2]string{c.Remote, c.Country}; err != nil || !ours || got != want {
			t.Errorf("%q: %v, %t, %v; want %v", said, got, ours, err, want)
		}
	}
}

// A call over a limit is recorded as ended: no workflow starts, its room is deleted, and its owner
// is notified. If the first announcement of the call fails to delete the room, the next one
// deletes it.
func TestAdoptOverALimit(t *testing.T) {
	t.Parallel()
	db, f, a := adopter(t)
	n, err := db.LeaseNumber(t.Context(), "ada", number.ID(e164), "me", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	n.Rule.MaxConcurrent, n.Rule.MaxDuration = 1, 120
	if err := db.SaveConfiguration(t.Context(), n, "me"); err != nil {
		t.Fatal(err)
	}
	in := arrival()
	in.TrunkID, in.RuleID = "ST_ina", "SDR_ada"
	first, _, err := a.Adopt(t.Context(), in)
	if err != nil || first.Status != call.Initiated || first.MaxDuration != 120 {
		t.Fatalf("%+v, %v", first, err)
	}
	f.started = nil
	in.RoomID, in.Room = "RM_2", in.Room+"2"
	down := &rooms{fails: 1}
	a.Rooms = down
	if _, ours, err := a.Adopt(t.Context(), in); err == nil || !ours {
		t.Errorf("the room is still there, and yet %t, %v", ours, err)
	}
	c, ours, err := a.Adopt(t.Context(), in)
	if err != nil || !ours || c.Status != call.Failed || c.Cause != call.Capacity || len(f.started) != 0 {
		t.Errorf("%s %s, %t, %v; started %v", c.Status, c.Cause, ours, err, f.started)
	}
	if d := cmp.Diff([]string{in.Room}, down.deleted); d != "" {
		t.Error(d)
	}
	events, _, err := db.EventsOf(t.Context(), "ada", store.Log{}, 10, "")
	if last := events[len(events)-1]; err != nil || last.Type != event.CallEnded || last.CallID != c.ID {
		t.Errorf("told of %+v, %v", last, err)
	}
}

// The name of an inbound room contains the text that a stranger gives as their number. Users see
// the name only if it has no other characters than a room's name may have.
func TestShownRoom(t *testing.T) {
	t.Parallel()
	for room, want := range map[string]string{
		"h7yq2m0c-support-_+14155550100_x7Kd": "h7yq2m0c-support-_+14155550100_x7Kd",
		"h7yq2m0c-_anonymous_x7Kd":            "h7yq2m0c-_anonymous_x7Kd",
		"call_01KAMPJ5V0SAMPMECA00000000":     "call_01KAMPJ5V0SAMPMECA00000000",
		"":                                    "",
		"h7yq2m0c-_'+alert(1)+'_x7Kd":         "anonymous",
		`h7yq2m0c-_=cmd|' /C calc'!A0_x7Kd`:   "anonymous",
		"h7yq2m0c-_a b_x7Kd":                  "anonymous",
		"h7yq2m0c-_<b>_x7Kd":                  "anonymous",
		"h7yq2m0c-_\u202e100_x7Kd":            "anonymous",
		"h7yq2m0c-_٣_x7Kd":                    "anonymous",
		"h7yq2m0c-_\xff_x7Kd":                 "anonymous",
	} {
		if got := (call.Call{RoomName: room}).ShownRoom(); got != want {
			t.Errorf("%q is shown as %q, want %q", room, got, want)
		}
	}
}

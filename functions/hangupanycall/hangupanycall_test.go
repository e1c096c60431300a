package hangupanycall_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	lk "github.com/livekit/protocol/livekit"

	"github.com/krosai/telephony/functions/hangupanycall"
	"github.com/krosai/telephony/shared/api/apitest"
	"github.com/krosai/telephony/shared/call"
	"github.com/krosai/telephony/shared/livekit"
	"github.com/krosai/telephony/shared/livekit/livekittest"
	"github.com/krosai/telephony/shared/numberrequest"
	"github.com/krosai/telephony/shared/secret"
	"github.com/krosai/telephony/shared/teardown"
)

var now = time.Date(2026, 11, 22, 9, 31, 0, 0, time.UTC)

const id = "call_01KAMPJ5V0SAMPMECA00000000" // the call of the sample event

// setup creates a call of ada's that was placed a minute ago and is in progress.
func setup(t *testing.T) (*apitest.Bench, *livekittest.Server) {
	t.Helper()
	b, server := apitest.Open(t, func() time.Time { return now }), livekittest.New(t)
	lkc := livekit.Open(livekit.Config{URL: server.URL, APIKey: livekittest.APIKey, APISecret: secret.New(livekittest.APISecret)})
	b.Serve(&hangupanycall.Endpoint{Calls: b.DB, Now: b.Now, Teardown: &teardown.Ender{Calls: b.DB, Rooms: lkc, Now: b.Now}})
	b.Must(b.AllowCountries(t.Context(), "ada", "US"))
	b.Must(b.Place(t.Context(), call.Call{ID: id, UserID: "ada", Direction: call.Outbound, Remote: "+14155550100", RoomName: id, Country: "US",
		MaxDuration: 600, Status: call.InProgress, CreatedAt: now.Add(-time.Minute), AnsweredAt: now.Add(-42 * time.Second)}))
	server.Join(id, &lk.ParticipantInfo{Identity: call.CalleeIdentity, Kind: lk.ParticipantInfo_SIP})
	return b, server
}

// TestHangUp checks that the call ends once, as after its owner's own hangup, and that the audit
// names the administrator and the owner.
func TestHangUp(t *testing.T) {
	t.Parallel()
	b, server := setup(t)
	want := map[string]any{"call_id": id, "user_id": "ada", "status": "completed", "hangup_cause": "api_hangup", "ended_at": "2026-11-22T09:31:00.000Z"}
	for range 2 {
		a := b.Ask(b.Admin("carol"), "POST", "/admin/calls/"+id+"/hangup", "")
		if d := cmp.Diff(want, a.Body); a.Status != 200 || d != "" {
			t.Errorf("%d %s %s", a.Status, a.Text, d)
		}
	}
	if server.Room(id) != nil {
		t.Error("the room is there")
	}
	entries, _, err := b.Audit(t.Context(), id, 10, "")
	b.Must(err)
	if d := cmp.Diff([]numberrequest.Entry{{At: now, Actor: "carol", Action: "hung_up", From: "in_progress", Note: "of ada"}}, entries); d != "" {
		t.Error(d)
	}
}

func TestRefused(t *testing.T) {
	t.Parallel()
	b, _ := setup(t)
	if a := b.Ask(b.User("ada"), "POST", "/admin/calls/"+id+"/hangup", ""); a.Status != 403 {
		t.Errorf("%d %s", a.Status, a.Text)
	}
	if a := b.Ask(b.Admin("carol"), "POST", "/admin/calls/"+id[:len(id)-1]+"1/hangup", ""); a.Status != 404 {
		t.Errorf("%d %s", a.Status, a.Text)
	}
}

// TestLiveKitIsDown checks that the hangup request is recorded, so that the sweep carries it out.
func TestLiveKitIsDown(t *testing.T) {
	t.Parallel()
	b, server := setup(t)
	server.Fail("DeleteRoom", livekittest.ErrorBefore)
	if a := b.Ask(b.Admin("carol"), "POST", "/admin/calls/"+id+"/hangup", ""); a.Status != 503 {
		t.Errorf("%d %s", a.Status, a.Text)
	}
	if c, err := b.Call(t.Context(), id); err != nil || c.HangupRequested.IsZero() || c.Status.Ended() {
		t.Errorf("%+v, %v", c, err)
	}
}

package hangupcall_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	lk "github.com/livekit/protocol/livekit"

	"github.com/krosai/telephony/functions/hangupcall"
	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/api/apitest"
	"github.com/krosai/telephony/shared/call"
	"github.com/krosai/telephony/shared/livekit"
	"github.com/krosai/telephony/shared/livekit/livekittest"
	"github.com/krosai/telephony/shared/secret"
	"github.com/krosai/telephony/shared/store"
	"github.com/krosai/telephony/shared/teardown"
)

const id = "call_01KAMPJ5V0SAMPMECA00000000" // the call of the sample event

// now is the time of the hangup, a minute after the call was created.
var now = time.Date(2026, 11, 22, 9, 31, 0, 0, time.UTC)

var phone = &lk.ParticipantInfo{Identity: call.CalleeIdentity, Kind: lk.ParticipantInfo_SIP}

// bench serves the function with a call whose room exists, and with ada's API key.
type bench struct {
	*apitest.Bench
	livekit  *livekittest.Server
	endpoint *hangupcall.Endpoint
	key      string
}

func open(t *testing.T, owner string, status call.Status) *bench {
	t.Helper()
	b := &bench{Bench: apitest.Open(t, func() time.Time { return now }), livekit: livekittest.New(t)}
	b.key = b.SampleKey("ada", account.CallsWrite)
	c := call.Call{ID: id, UserID: owner, RoomName: id, Country: "US", RingingTimeout: 30, MaxDuration: 600, Status: status,
		CreatedAt: now.Add(-time.Minute)}
	switch status {
	case call.InProgress:
		c.AnsweredAt = now.Add(-42 * time.Second)
	case call.Busy:
		c.Cause, c.EndedAt = call.Declined, now.Add(-30*time.Second)
	}
	b.Must(b.Place(t.Context(), c))
	_, _, err := b.AwaitEnd(t.Context(), id, "token")
	b.Must(err)
	b.livekit.Join(id, phone)
	rooms := livekit.Open(livekit.Config{URL: b.livekit.URL, APIKey: livekittest.APIKey, APISecret: secret.New(livekittest.APISecret)})
	b.endpoint = &hangupcall.Endpoint{Calls: b.DB, Now: b.Now, Teardown: &teardown.Ender{Calls: b.DB, Rooms: rooms, Now: b.Now}}
	b.Serve(b.endpoint)
	return b
}

func (b *bench) hangUp(callID string) apitest.Answer {
	b.Helper()
	return b.Ask(b.key, "POST", "/outbound-calls/"+callID+"/hangup", "")
}

func (b *bench) call() call.Call {
	b.Helper()
	c, err := b.DB.Call(b.Context(), id)
	b.Must(err)
	return c
}

// ended is the answer for a call with this end.
func ended(status call.Status, cause call.Cause, at string) map[string]any {
	return map[string]any{"call_id": id, "status": string(status), "hangup_cause": string(cause), "ended_at": at}
}

func TestHangup(t *testing.T) {
	t.Parallel()
	for before, want := range map[call.Status]map[string]any{
		call.Initiated:  ended(call.Canceled, call.APIHangup, "2026-11-22T09:31:00.000Z"),
		call.Dialing:    ended(call.Canceled, call.APIHangup, "2026-11-22T09:31:00.000Z"),
		call.Ringing:    ended(call.Canceled, call.APIHangup, "2026-11-22T09:31:00.000Z"),
		call.InProgress: ended(call.Completed, call.APIHangup, "2026-11-22T09:31:00.000Z"),
		call.Busy:       ended(call.Busy, call.Declined, "2026-11-22T09:30:30.000Z"),
	} {
		t.Run(string(before), func(t *testing.T) {
			t.Parallel()
			b := open(t, "ada", before)
			var asked []string
			for _, when := range []string{"first", "again"} {
				asked = append(asked, "DeleteRoom")
				a := b.Replay("hangupcall", "")
				if d := cmp.Diff(want, a.Body); a.Status != 200 || d != "" {
					t.Errorf("%s: %d (-want +got):\n%s", when, a.Status, d)
				}
				if d := cmp.Diff(asked, b.livekit.Requests()); d != "" {
					t.Errorf("%s: asked LiveKit (-want +got):\n%s", when, d)
				}
			}
			if c := b.call(); before == call.InProgress && c.Duration() != 42 {
				t.Errorf("%d s of talk, want 42", c.Duration())
			}
		})
	}
}

// TestLiveKitIsDown checks that the hangup request stays recorded while LiveKit is down, so that
// the sweep can carry it out.
func TestLiveKitIsDown(t *testing.T) {
	t.Parallel()
	b := open(t, "ada", call.Ringing)
	b.livekit.Fail("DeleteRoom", livekittest.ErrorBefore)
	a := b.hangUp(id)
	if a.Outcome() != "503 TELEPHONY_UNAVAILABLE" || a.Header.Get("Retry-After") == "" {
		t.Errorf("%s %v", a.Text, a.Header)
	}
	if c := b.call(); c.Status != call.Ringing || !c.HangupRequested.Equal(now) {
		t.Errorf("the call is %s, hang-up requested at %v", c.Status, c.HangupRequested)
	}
	b.livekit.Fail("DeleteRoom", livekittest.None)
	if a := b.hangUp(id); a.Status != 200 || b.call().Status != call.Canceled || b.livekit.Room(id) != nil {
		t.Errorf("again: %d %s", a.Status, a.Text)
	}
}

// TestThePhoneRingsAfterTheEnd checks that each hangup of an ended call deletes its room, which a
// late dial in LiveKit creates again.
func TestThePhoneRingsAfterTheEnd(t *testing.T) {
	t.Parallel()
	b := open(t, "ada", call.Ringing)
	for range 3 {
		b.livekit.Join(id, phone)
		if a := b.hangUp(id); a.Status != 200 || b.livekit.Room(id) != nil || b.call().Status != call.Canceled {
			t.Errorf("%d %s; the room is there: %t", a.Status, a.Text, b.livekit.Room(id) != nil)
		}
	}
	b.livekit.Fail("DeleteRoom", livekittest.ErrorBefore)
	if a := b.hangUp(id); a.Status != 200 || b.call().Status != call.Canceled {
		t.Errorf("LiveKit is down, and the call has its end: %d %s", a.Status, a.Text)
	}
}

// overtaken is a database in which the dial ends the call right after the hangup
// request was recorded.
type overtaken struct{ *store.DB }

func (o overtaken) RequestHangup(ctx context.Context, userID, id string, at time.Time) (call.Call, bool, error) {
	c, open, err := o.DB.RequestHangup(ctx, userID, id, at)
	if err == nil {
		_, err = o.EndCall(ctx, c, call.End{Status: call.NoAnswer, Cause: call.Unanswered, At: at.Add(-time.Second)})
	}
	return c, open, err
}

func TestTheDialEndsTheCallFirst(t *testing.T) {
	t.Parallel()
	b := open(t, "ada", call.Ringing)
	b.endpoint.Calls = overtaken{b.DB}
	a := b.hangUp(id)
	if d := cmp.Diff(ended(call.NoAnswer, call.Unanswered, "2026-11-22T09:30:59.000Z"), a.Body); a.Status != 200 || d != "" {
		t.Errorf("%d (-want +got):\n%s", a.Status, d)
	}
}

func TestAnothersCallIsNoCall(t *testing.T) {
	t.Parallel()
	b := open(t, "eve", call.InProgress)
	foreign := b.hangUp(id)
	if foreign.Status != 404 || !b.call().HangupRequested.IsZero() || len(b.livekit.Requests()) != 0 {
		t.Errorf("%d %s, asked LiveKit %v", foreign.Status, foreign.Text, b.livekit.Requests())
	}
	for _, absent := range []string{"call_01KAMPJ5V0SAMPMECA00000001", "call_1"} {
		got := b.hangUp(absent)
		for _, counts := range []string{"Ratelimit", "X-Ratelimit-Remaining"} {
			got.Header[counts] = foreign.Header[counts]
		}
		if d := cmp.Diff(foreign, got); d != "" {
			t.Errorf("%s (-foreign +absent):\n%s", absent, d)
		}
	}
}

// TestManyHangups checks that concurrent hangups all get the same end.
func TestManyHangups(t *testing.T) {
	t.Parallel()
	b := open(t, "ada", call.InProgress)
	var race sync.WaitGroup
	answers := make([]string, 10)
	for i := range answers {
		race.Go(func() { answers[i] = b.hangUp(id).Text })
	}
	race.Wait()
	want := `{"call_id":"` + id + `","status":"completed","hangup_cause":"api_hangup","ended_at":"2026-11-22T09:31:00.000Z"}` + "\n"
	if all := slices.Compact(answers); !slices.Equal(all, []string{want}) {
		t.Errorf("answers %q", all)
	}
}

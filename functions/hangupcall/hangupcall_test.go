package hangupcall_test

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	lk "github.com/livekit/protocol/livekit"

	"github.com/krosai/telephony/functions/hangupcall"
	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/api"
	"github.com/krosai/telephony/shared/api/apitest"
	"github.com/krosai/telephony/shared/call"
	"github.com/krosai/telephony/shared/lambdahttp"
	"github.com/krosai/telephony/shared/livekit"
	"github.com/krosai/telephony/shared/livekit/livekittest"
	"github.com/krosai/telephony/shared/secret"
	"github.com/krosai/telephony/shared/store/storetest"
	"github.com/krosai/telephony/shared/teardown"
)

const (
	id  = "call_01KAMPJ5V0SAMPMECA00000000" // the call of the sample event
	key = "kros_live_01KAMPJ5V0SAMPMEKEY0000000_ThisIsTheSampleKeyOfEventsOnly1iVkyP"
)

// now is the time of the hangup, a minute after the call was created.
var now = time.Date(2026, 11, 22, 9, 31, 0, 0, time.UTC)

// bench is the function with the sample key, which is ada's, and a call whose room exists.
type bench struct {
	*testing.T
	db       *storetest.Database
	livekit  *livekittest.Server
	endpoint *hangupcall.Endpoint
	handler  http.Handler
}

func newBench(t *testing.T, owner string, status call.Status) *bench {
	t.Helper()
	clock := func() time.Time { return now }
	b := &bench{T: t, db: storetest.Open(t, clock), livekit: livekittest.New(t)}
	keyID, sum, _ := account.ParseKey(key)
	b.must(b.db.PutKey(t.Context(), account.Key{ID: keyID, UserID: "ada", Hash: sum[:], Scopes: []string{account.CallsWrite}}))
	c := call.Call{ID: id, UserID: owner, RoomName: id, Country: "US", RingingTimeout: 30, MaxDuration: 600, Status: status,
		CreatedAt: now.Add(-time.Minute)}
	switch status {
	case call.InProgress:
		c.AnsweredAt = now.Add(-42 * time.Second)
	case call.Busy:
		c.Cause, c.EndedAt = call.Declined, now.Add(-30*time.Second)
	}
	b.must(b.db.Place(t.Context(), c))
	_, _, err := b.db.AwaitEnd(t.Context(), id, "token")
	b.must(err)
	b.livekit.Join(id, &lk.ParticipantInfo{Identity: call.CalleeIdentity, Kind: lk.ParticipantInfo_SIP})
	lkc := livekit.Open(livekit.Config{URL: b.livekit.URL, APIKey: livekittest.APIKey, APISecret: secret.New(livekittest.APISecret)})
	edge := &api.Edge{Keys: b.db, Now: clock, Log: slog.New(slog.DiscardHandler)}
	b.endpoint = &hangupcall.Endpoint{Calls: b.db, Now: clock,
		Teardown: &teardown.Ender{Calls: b.db, Rooms: lkc, Now: clock}}
	b.handler = edge.Handler(b.endpoint)
	b.db.Trips()
	return b
}

func (b *bench) must(err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

func (b *bench) call() call.Call {
	b.Helper()
	c, err := b.db.Call(b.Context(), id)
	b.must(err)
	return c
}

type reply struct {
	StatusCode int
	Headers    map[string]string
	Body       string
}

// hangUp sends the sample event for the given call.
func (b *bench) hangUp(callID string) reply {
	b.Helper()
	event := apitest.Event(b, "hangupcall", nil)
	out, err := lambdahttp.Handler(b.handler).Invoke(context.Background(), bytes.ReplaceAll(event, []byte(id), []byte(callID)))
	b.must(err)
	var r reply
	b.must(json.Unmarshal(out, &r))
	return r
}

func TestHangup(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		before call.Status
		want   string // status, cause and end
		asked  []string
	}{
		{call.Initiated, `"canceled","hangup_cause":"api_hangup","ended_at":"2026-11-22T09:31:00.000Z"`, []string{"DeleteRoom"}},
		{call.Dialing, `"canceled","hangup_cause":"api_hangup","ended_at":"2026-11-22T09:31:00.000Z"`, []string{"DeleteRoom"}},
		{call.Ringing, `"canceled","hangup_cause":"api_hangup","ended_at":"2026-11-22T09:31:00.000Z"`, []string{"DeleteRoom"}},
		{call.InProgress, `"completed","hangup_cause":"api_hangup","ended_at":"2026-11-22T09:31:00.000Z"`, []string{"DeleteRoom"}},
		{call.Busy, `"busy","hangup_cause":"declined","ended_at":"2026-11-22T09:30:30.000Z"`, []string{"DeleteRoom"}},
	} {
		t.Run(string(tt.before), func(t *testing.T) {
			t.Parallel()
			b := newBench(t, "ada", tt.before)
			want := `{"call_id":"` + id + `","status":` + tt.want + "}\n"
			var asked []string
			for _, when := range []string{"first", "again"} {
				asked = append(asked, tt.asked...)
				if r := b.hangUp(id); r.StatusCode != http.StatusOK || r.Body != want {
					t.Errorf("%s: %+v, want %s", when, r, want)
				}
				if d := cmp.Diff(asked, b.livekit.Requests()); d != "" {
					t.Errorf("%s: asked LiveKit (-want +got):\n%s", when, d)
				}
			}
			if c := b.call(); tt.before == call.InProgress && c.Duration() != 42 {
				t.Errorf("%d s of talk, want 42", c.Duration())
			}
		})
	}
}

// TestLiveKitIsDown checks that the hangup request stays recorded while LiveKit is down, so that
// the sweep can carry it out.
func TestLiveKitIsDown(t *testing.T) {
	t.Parallel()
	b := newBench(t, "ada", call.Ringing)
	b.livekit.Fail("DeleteRoom", livekittest.ErrorBefore)
	r := b.hangUp(id)
	if r.StatusCode != http.StatusServiceUnavailable || r.Headers["Retry-After"] == "" || !strings.Contains(r.Body, `"code":"TELEPHONY_UNAVAILABLE"`) {
		t.Errorf("%+v", r)
	}
	if c := b.call(); c.Status != call.Ringing || !c.HangupRequested.Equal(now) {
		t.Errorf("the call is %s, hang-up requested at %v", c.Status, c.HangupRequested)
	}
	b.livekit.Fail("DeleteRoom", livekittest.None)
	if r := b.hangUp(id); r.StatusCode != http.StatusOK || b.call().Status != call.Canceled || b.livekit.Room(id) != nil {
		t.Errorf("again: %+v", r)
	}
}

// TestThePhoneRingsAfterTheEnd checks that each hangup of an ended call deletes its room, which a
// late dial in LiveKit creates again.
func TestThePhoneRingsAfterTheEnd(t *testing.T) {
	t.Parallel()
	b := newBench(t, "ada", call.Ringing)
	for range 3 {
		b.livekit.Join(id, &lk.ParticipantInfo{Identity: call.CalleeIdentity, Kind: lk.ParticipantInfo_SIP})
		if r := b.hangUp(id); r.StatusCode != http.StatusOK || b.livekit.Room(id) != nil || b.call().Status != call.Canceled {
			t.Errorf("%+v; the room is there: %t", r, b.livekit.Room(id) != nil)
		}
	}
	b.livekit.Fail("DeleteRoom", livekittest.ErrorBefore)
	if r := b.hangUp(id); r.StatusCode != http.StatusOK || b.call().Status != call.Canceled {
		t.Errorf("LiveKit is down, and the call has its end: %+v", r)
	}
}

// overtaken is a database in which the dial ends the call right after the hangup
// request was recorded.
type overtaken struct{ *storetest.Database }

func (o overtaken) RequestHangup(ctx context.Context, userID, id string, at time.Time) (call.Call, bool, error) {
	c, open, err := o.Database.RequestHangup(ctx, userID, id, at)
	if err == nil {
		_, err = o.EndCall(ctx, c, call.End{Status: call.NoAnswer, Cause: call.Unanswered, At: at.Add(-time.Second)})
	}
	return c, open, err
}

func TestTheDialEndsTheCallFirst(t *testing.T) {
	t.Parallel()
	b := newBench(t, "ada", call.Ringing)
	b.endpoint.Calls = overtaken{b.db}
	want := `{"call_id":"` + id + `","status":"no_answer","hangup_cause":"no_answer","ended_at":"2026-11-22T09:30:59.000Z"}` + "\n"
	if r := b.hangUp(id); r.StatusCode != http.StatusOK || r.Body != want {
		t.Errorf("%+v, want %s", r, want)
	}
}

func TestAnothersCallIsNoCall(t *testing.T) {
	t.Parallel()
	b := newBench(t, "eve", call.InProgress)
	foreign := b.hangUp(id)
	if foreign.StatusCode != http.StatusNotFound || !b.call().HangupRequested.IsZero() || len(b.livekit.Requests()) != 0 {
		t.Errorf("%+v, asked LiveKit %v", foreign, b.livekit.Requests())
	}
	for _, absent := range []string{"call_01KAMPJ5V0SAMPMECA00000001", "call_1"} {
		got := b.hangUp(absent)
		for _, counts := range []string{"Ratelimit", "X-Ratelimit-Remaining"} {
			got.Headers[counts] = foreign.Headers[counts]
		}
		if d := cmp.Diff(foreign, got); d != "" { // the sample event has a fixed request_id
			t.Errorf("%s (-foreign +absent):\n%s", absent, d)
		}
	}
}

// TestManyHangups checks that concurrent hangups all get the same end.
func TestManyHangups(t *testing.T) {
	t.Parallel()
	b := newBench(t, "ada", call.InProgress)
	var race sync.WaitGroup
	bodies := make([]string, 10)
	for i := range bodies {
		race.Go(func() { bodies[i] = b.hangUp(id).Body })
	}
	race.Wait()
	if all := slices.Compact(bodies); len(all) != 1 || !strings.Contains(all[0], `"completed","hangup_cause":"api_hangup"`) {
		t.Errorf("answers %q", all)
	}
}

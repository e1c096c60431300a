package store_test

import (
	"bytes"
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/call"
	"github.com/krosai/telephony/shared/event"
	"github.com/krosai/telephony/shared/fault"
	"github.com/krosai/telephony/shared/number"
	"github.com/krosai/telephony/shared/numberrequest"
	"github.com/krosai/telephony/shared/store"
	"github.com/krosai/telephony/shared/store/storetest"
)

// eventBench is a database in which ada has a request, a number and a call.
type eventBench struct {
	desk
	ctx     context.Context
	made    call.Call // as CreateCall returned it
	request numberrequest.Request
	number  number.Number

	key, fresh account.Key
}

// done ends the test if err is not nil, and returns c otherwise.
func (b *eventBench) done(c call.Call, err error) call.Call {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
	return c
}

func (b *eventBench) called() {
	b.t.Helper()
	c, _, _, err := b.CreateCall(b.ctx, newCall("1"), permit(b.t, b.Database, "ada", "US"), store.Once{})
	b.made = b.done(c, err)
}

func (b *eventBench) answered() {
	b.t.Helper()
	b.called()
	b.made = b.done(b.Advance(b.ctx, "call_1", call.InProgress, t0.Add(4*time.Second)))
}

func (b *eventBench) transferred() {
	b.t.Helper()
	b.answered()
	b.made = b.done(begin(b.t, b.Database, "call_1", pending("1", t0)))
}

func (b *eventBench) asked() { b.request = b.submit(asked("ada")) }

func (b *eventBench) granted() { b.request = b.desk.granted(asked("ada")) }

func (b *eventBench) stocked() {
	b.number = spare(1)
	b.add(b.number)
	b.granted()
}

func (b *eventBench) owns() {
	b.t.Helper()
	b.number = aNumber("+2348012345678", "ada")
	if err := b.PutNumber(b.ctx, b.number); err != nil {
		b.t.Fatal(err)
	}
}

func (b *eventBench) leased() {
	b.t.Helper()
	b.owns()
	if _, err := b.LeaseNumber(b.ctx, "ada", b.number.ID, "me", time.Minute); err != nil {
		b.t.Fatal(err)
	}
}

func (b *eventBench) spared() {
	b.number = spare(1)
	b.add(b.number)
}

// keyed gives ada a key and prepares another.
func (b *eventBench) keyed() {
	b.t.Helper()
	b.key, _ = aKey(b.t, "ada", nil)
	b.fresh, _ = aKey(b.t, "ada", nil)
	_, err := b.AddKey(b.ctx, b.key)
	must(b.t, err)
}

// revoked is the event for b.key, which was revoked ten minutes after t0.
func revoked(b *eventBench) event.Event { return event.KeyEnded(b.key, t0.Add(10*time.Minute)) }

// ofCall, ofRequest and ofNumber make the event from the stored record.
func ofCall(make func(call.Call) event.Event) func(b *eventBench) event.Event {
	return func(b *eventBench) event.Event { return make(b.done(b.Call(b.ctx, "call_1"))) }
}

func ofRequest(make func(numberrequest.Request) event.Event) func(b *eventBench) event.Event {
	return func(b *eventBench) event.Event {
		r, err := b.RequestByID(b.ctx, b.request.ID)
		b.done(call.Call{}, err)
		return make(r)
	}
}

func ofNumber(make func(number.Number) event.Event) func(b *eventBench) event.Event {
	return func(b *eventBench) event.Event {
		n, err := b.NumberByID(b.ctx, b.number.ID)
		b.done(call.Call{}, err)
		return make(n)
	}
}

var summary = call.Summary{Status: call.SummaryReady, Text: "They agreed.", Model: "m", CreatedAt: t0.Add(time.Minute)}

// eventWrites are the writes that write an event, and similar writes that do not.
func eventWrites() []eventWrite {
	end := call.End{Status: call.Completed, Cause: call.CalleeHangup, SIPStatus: 200, At: t0.Add(46 * time.Second)}
	lost := call.End{Status: call.Failed, Cause: call.NetworkError, At: t0.Add(time.Second)}
	endCall := func(end call.End) func(b *eventBench) error {
		return func(b *eventBench) error { _, err := b.EndCall(b.ctx, b.made, end); return err }
	}
	finish := func(s call.TransferStatus) func(b *eventBench) error {
		return func(b *eventBench) error {
			_, err := b.FinishTransfer(b.ctx, "call_1", outcome(pending("1", t0), s, 202, t0.Add(9*time.Second)))
			return err
		}
	}
	decide := func(d numberrequest.Decision) func(b *eventBench) error {
		d.By = "root"
		return func(b *eventBench) error {
			_, err := b.Decide(b.ctx, b.request.ID, d, t0.Add(time.Minute))
			return err
		}
	}
	summarize := func(s call.Summary) func(b *eventBench) error {
		return func(b *eventBench) error { _, err := b.SaveSummary(b.ctx, b.made, s); return err }
	}
	return []eventWrite{
		{"created", "calls", (*eventBench).asked, func(b *eventBench) error {
			_, _, _, err := b.CreateCall(b.ctx, newCall("1"), permit(b.t, b.Database, "ada", "US"), store.Once{Route: "r", Key: "k"})
			return err
		}, nil},
		{"dialing", "calls", (*eventBench).called, func(b *eventBench) error { _, _, err := b.ClaimDial(b.ctx, "call_1", "me", t0); return err }, nil},
		{"ringing", "calls", (*eventBench).called, func(b *eventBench) error { _, err := b.Advance(b.ctx, "call_1", call.Ringing, t0); return err }, nil},
		{"answered", "calls", (*eventBench).called, func(b *eventBench) error {
			_, err := b.Advance(b.ctx, "call_1", call.InProgress, t0.Add(4*time.Second))
			return err
		}, ofCall(event.Answered)},
		{"never answered", "calls", (*eventBench).called, endCall(lost), ofCall(event.Ended)},
		{"ended", "calls", (*eventBench).answered, endCall(end), ofCall(event.Ended)},
		{"never started", "calls", (*eventBench).called, func(b *eventBench) error {
			_, err := b.RefuseCall(b.ctx, b.made, lost, store.Once{})
			return err
		}, ofCall(event.Ended)},
		{"being transferred", "calls", (*eventBench).answered, func(b *eventBench) error {
			_, err := begin(b.t, b.Database, "call_1", pending("1", t0))
			return err
		}, nil},
		{"transferred", "calls", (*eventBench).transferred, finish(call.TransferCompleted), ofCall(event.Transferred)},
		{"not transferred", "calls", (*eventBench).transferred, finish(call.TransferFailed), ofCall(event.Transferred)},
		{"summarized", "calls", (*eventBench).answered, summarize(summary),
			ofCall(func(c call.Call) event.Event { return event.Summarized(c, summary) })},
		{"not summarized", "calls", (*eventBench).answered, summarize(call.Summary{Status: call.SummaryFailed, CreatedAt: t0}), nil},
		{"asked for", "requests", (*eventBench).called, func(b *eventBench) error { _, _, err := b.CreateRequest(b.ctx, asked("ada")); return err }, nil},
		{"approved", "requests", (*eventBench).asked, decide(numberrequest.Decision{Approve: true, Note: "fine"}), ofRequest(event.Decided)},
		{"rejected", "requests", (*eventBench).asked, decide(numberrequest.Decision{Reason: "no such purpose", Note: "spam"}), ofRequest(event.Decided)},
		{"expired", "requests", (*eventBench).asked, func(b *eventBench) error {
			_, err := b.ExpireRequest(b.ctx, b.request.ID, t0.Add(time.Minute))
			return err
		}, ofRequest(event.Decided)},
		{"assigned", "requests", (*eventBench).stocked, func(b *eventBench) error { _, _, err := b.FulfillRequest(b.ctx, b.request.ID); return err },
			ofRequest(event.Assigned)},
		{"nothing to assign", "requests", (*eventBench).granted, func(b *eventBench) error { _, _, err := b.FulfillRequest(b.ctx, b.request.ID); return err }, nil},
		{"configured", "numbers", (*eventBench).leased, func(b *eventBench) error { return b.SaveConfiguration(b.ctx, configured(b.number), "me") },
			ofNumber(event.Configured)},
		{"lost its lease", "numbers", (*eventBench).leased, func(b *eventBench) error {
			err := b.SaveConfiguration(b.ctx, configured(b.number), "another")
			if fault.Is(err, fault.Conflict) {
				return nil
			}
			return fmt.Errorf("saved without the lease: %w", err)
		}, nil},
		{"released", "numbers", (*eventBench).owns, func(b *eventBench) error { _, err := b.Unassign(b.ctx, b.number.ID, "ada", "root"); return err },
			ofNumber(func(n number.Number) event.Event { return event.Released(n, "ada") })},
		{"given", "numbers", (*eventBench).spared, func(b *eventBench) error { _, err := b.AssignNumber(b.ctx, b.number.ID, "ada", "root"); return err },
			ofNumber(event.Given)},
		{"key made", "keys", (*eventBench).keyed, func(b *eventBench) error { _, err := b.AddKey(b.ctx, b.fresh); return err },
			func(b *eventBench) event.Event { return event.KeyMade(b.fresh) }},
		{"key rotated", "keys", (*eventBench).keyed, func(b *eventBench) error {
			old := b.key
			old.RevokedAt = t0.Add(time.Hour)
			_, err := b.RotateKey(b.ctx, old, b.fresh)
			return err
		}, func(b *eventBench) event.Event { return event.KeyMade(b.fresh) }},
		{"key revoked", "keys", (*eventBench).keyed, func(b *eventBench) error { return b.RevokeKey(b.ctx, "ada", b.key.ID) }, revoked},
		{"key revoked by an administrator", "keys", (*eventBench).keyed, func(b *eventBench) error { return b.RevokeAnyKey(b.ctx, "", b.key.ID, "root") }, revoked},
	}
}

type eventWrite struct {
	name, table string
	before      func(b *eventBench)
	do          func(b *eventBench) error
	want        func(b *eventBench) event.Event // nil means no event
}

// TestEventsAreWrittenWithWhatTheyTellOf: each event is one row, written by the transaction that it
// describes, no matter how often that transaction is tried and which answer gets lost.
func TestEventsAreWrittenWithWhatTheyTellOf(t *testing.T) {
	t.Parallel()
	for _, w := range eventWrites() {
		for name, trouble := range map[string]func(b *eventBench){
			"no trouble": func(*eventBench) {}, "a collision": func(b *eventBench) { b.Collide(1) },
			"1st reply lost": func(b *eventBench) { b.LoseReplyAt(0) }, "2nd reply lost": func(b *eventBench) { b.LoseReplyAt(1) },
		} {
			t.Run(w.name+", "+name, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) { w.test(t, trouble) }) // the SDK waits before it sends a request again
			})
		}
	}
}

func (w eventWrite) test(t *testing.T, trouble func(b *eventBench)) {
	now := t0
	b := &eventBench{desk: desk{storetest.Open(t, func() time.Time { return now }), t}, ctx: t.Context()}
	w.before(b)
	before := b.events()
	now = t0.Add(10 * time.Minute)
	b.Watch(func(body []byte) {
		if bytes.Contains(body, []byte(`-events"`)) && !(bytes.Contains(body, []byte(`"TransactItems"`)) && bytes.Contains(body, []byte("-"+w.table+`"`))) {
			t.Errorf("an event is written by itself: %s", body)
		}
	})
	trouble(b)
	if err := w.do(b); err != nil {
		t.Error(err)
	}
	b.Collide(0)
	b.LoseReplyAt(-1)
	_ = w.do(b) // the second time is refused or changes nothing
	b.Watch(func([]byte) {})
	var want []event.Event
	if w.want != nil {
		e := w.want(b)
		e.Recorded = now
		want = append(want, e)
	}
	if d := cmp.Diff(want, b.events()[len(before):]); d != "" && (want != nil || len(b.events()) != len(before)) {
		t.Errorf("(-want +got):\n%s", d)
	}
}

// events are ada's events, in the order in which they were written.
func (b *eventBench) events() []event.Event {
	b.t.Helper()
	events, _, err := b.EventsOf(b.ctx, "ada", store.Log{}, 100, "")
	if err != nil {
		b.t.Fatal(err)
	}
	return events
}

// TestEventLog: the owner can read events in the order of their writing, from any position on, and
// events expire.
func TestEventLog(t *testing.T) {
	t.Parallel()
	now := t0
	db, ctx := storetest.Open(t, func() time.Time { return now }), t.Context()
	for i := range 4 { // each event is written later and happened earlier than the last
		c := newCall(fmt.Sprint(i))
		c.MaxDuration = 60
		create(t, db, c)
		now = t0.Add(time.Duration(i) * time.Second)
		if _, err := db.EndCall(ctx, c, call.End{Status: call.Busy, Cause: call.CalleeBusy, At: t0.Add(-time.Duration(i) * time.Second)}); err != nil {
			t.Fatal(err)
		}
	}
	all, _, err := db.EventsOf(ctx, "ada", store.Log{}, 100, "")
	if err != nil || len(all) != 4 {
		t.Fatal(len(all), err)
	}
	for i, e := range all {
		if want := fmt.Sprintf("call_%d", i); e.CallID != want || !e.Recorded.Equal(t0.Add(time.Duration(i)*time.Second)) {
			t.Errorf("%d: %s, recorded at %s", i, e.CallID, e.Recorded)
		}
		for limit := 1; limit <= 4; limit++ {
			page, next, err := db.EventsOf(ctx, "ada", store.Log{}, limit, store.EventKey(e))
			if d := cmp.Diff(all[i+1:min(i+1+limit, 4)], page, cmpopts.EquateEmpty()); d != "" || err != nil || (next != "") != (i+limit < 4) {
				t.Errorf("%d from %d: %v (-want +got):\n%s", limit, i, err, d)
			}
		}
	}
	if events, _, err := db.EventsOf(ctx, "eve", store.Log{}, 100, ""); events != nil || err != nil {
		t.Errorf("eve has %v, %v", events, err)
	}
	expires, _ := db.Rows(t, "events", "ada", store.EventKey(all[1]))[0]["expires_at"].(*types.AttributeValueMemberN)
	if want := fmt.Sprint(t0.Add(time.Second + event.Kept).Unix()); expires == nil || expires.Value != want {
		t.Errorf("expires at %v, want %s", expires, want)
	}
}

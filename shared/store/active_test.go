package store_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/google/go-cmp/cmp"

	"github.com/krosai/telephony/shared/call"
	"github.com/krosai/telephony/shared/fault"
	"github.com/krosai/telephony/shared/numberrequest"
	"github.com/krosai/telephony/shared/store/storetest"
)

// TestReadCalls: a request reads a hundred calls, unknown ids are left out, and the keys that
// DynamoDB leaves unprocessed (it stops at 16 MB) are requested again.
func TestReadCalls(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name         string
		calls, asked int
		size         int // of each row, in bytes
		trips        int
	}{
		{name: "none"},
		{name: "one", calls: 1, asked: 1, trips: 1},
		{name: "unknown ones", calls: 100, asked: 120, trips: 2},
		{name: "many", calls: 250, asked: 250, trips: 3},
		{name: "of 18 MB", calls: 60, asked: 60, size: 300_000, trips: 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				db := storetest.Open(t, nil)
				raw := storetest.Row{"sk": &types.AttributeValueMemberS{Value: "call"}, "status": &types.AttributeValueMemberS{Value: "ringing"},
					"filling": &types.AttributeValueMemberS{Value: strings.Repeat("x", tt.size)}}
				db.Fill(t, "calls", tt.calls, raw, func(i int, raw storetest.Row) {
					raw["call_id"] = &types.AttributeValueMemberS{Value: fmt.Sprint("call_", i)}
				})
				ids := make([]string, tt.asked)
				for i := range ids {
					ids[i] = fmt.Sprint("call_", i)
				}
				db.Trips()
				calls, err := db.ReadCalls(t.Context(), ids)
				if err != nil || len(calls) != tt.calls || db.Trips() != tt.trips {
					t.Fatalf("%d calls, %v", len(calls), err)
				}
				for i, c := range calls {
					if c.ID != ids[i] || c.Status != call.Ringing {
						t.Errorf("%d is %s, %s", i, c.ID, c.Status)
					}
				}
			})
		})
	}
}

func TestDoubtCall(t *testing.T) {
	t.Parallel()
	db := storetest.Open(t, nil)
	c := newCall("1")
	create(t, db, c)
	for _, at := range []time.Time{t0, {}, t0.Add(time.Minute)} {
		if err := db.MissCall(t.Context(), c.ID, at); err != nil {
			t.Fatal(err)
		}
		now, err := db.Call(t.Context(), c.ID)
		if err != nil || !now.MissedAt.Equal(at) {
			t.Errorf("doubted at %v, want %v; %v", now.MissedAt, at, err)
		}
		c = now
	}
	if _, err := db.EndCall(t.Context(), c, call.End{Status: call.Failed, Cause: call.Unknown, At: t0}); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{c.ID, "call_2"} {
		if err := db.MissCall(t.Context(), id, t0.Add(time.Hour)); err != nil {
			t.Error(err)
		}
	}
	if now, err := db.Call(t.Context(), c.ID); err != nil || !now.MissedAt.Equal(t0.Add(time.Minute)) {
		t.Errorf("%v, %v", now.MissedAt, err)
	}
}

// TestGoing: the list shows every call that has not ended once, newest first, including calls of
// the same millisecond. A page costs one query of each shard and one read.
func TestGoing(t *testing.T) {
	t.Parallel()
	db := storetest.Open(t, nil)
	str := func(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }
	raw := storetest.Row{"sk": str("call"), "status": str("ringing"), "user_id": str("ada")}
	const calls = 230
	var want []string
	db.Fill(t, "calls", calls, raw, func(i int, raw storetest.Row) {
		id := fmt.Sprintf("call_%03d", i)
		at := t0.Add(time.Duration(i/60) * time.Millisecond).Format("2006-01-02T15:04:05.000Z")
		raw["call_id"], raw["created_at"], raw["active_shard"] = str(id), str(at), str(fmt.Sprint(i%3))
		want = append(want, at+" "+id)
	})
	slices.Sort(want)
	slices.Reverse(want)
	for _, limit := range []int{1, 7, 100} {
		var got []string
		for after := ""; ; {
			page, next, err := db.Going(t.Context(), limit, after)
			must(t, err)
			for _, c := range page {
				got = append(got, c.CreatedAt.Format("2006-01-02T15:04:05.000Z")+" "+c.ID)
			}
			if after = next; next == "" {
				break
			}
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("limit %d (-want +got):\n%s", limit, d)
		}
	}
	few := storetest.Open(t, nil)
	create(t, few, newCall("1"))
	few.Trips()
	page, _, err := few.Going(t.Context(), 1, "")
	if trips := few.Trips(); len(page) != 1 || err != nil || trips > 8+1 {
		t.Errorf("%d calls, %v, in %d trips", len(page), err, trips)
	}
}

// TestRequestAnyHangup: an administrator's hangup request has the effect of the owner's, and its
// audit line names both. An ended call does not change.
func TestRequestAnyHangup(t *testing.T) {
	t.Parallel()
	db := storetest.Open(t, nil)
	c := newCall("1")
	create(t, db, c)
	now, open, err := db.RequestAnyHangup(t.Context(), c.ID, "root", t0)
	if err != nil || !open || !now.HangupRequested.Equal(t0.Truncate(time.Millisecond)) {
		t.Errorf("%+v, %t, %v", now, open, err)
	}
	now, err = db.EndCall(t.Context(), now, call.End{Status: call.Canceled, Cause: call.APIHangup, At: t0})
	must(t, err)
	again, open, err := db.RequestAnyHangup(t.Context(), c.ID, "root", t0)
	if d := cmp.Diff(now, again); open || err != nil || d != "" {
		t.Errorf("an ended call: %t, %v, %s", open, err, d)
	}
	if _, _, err := db.RequestAnyHangup(t.Context(), "call_2", "root", t0); !fault.Is(err, fault.NotFound) {
		t.Error(err)
	}
	entries, _, err := db.Audit(t.Context(), c.ID, 10, "")
	want := []numberrequest.Entry{{At: t0.Truncate(time.Millisecond), Actor: "root", Action: "hung_up", From: "initiated", Note: "of " + c.UserID}}
	if d := cmp.Diff(want, entries); d != "" || err != nil {
		t.Errorf("%v, %s", err, d)
	}
}

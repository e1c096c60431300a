package store_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/krosai/telephony/shared/call"
	"github.com/krosai/telephony/shared/store/storetest"
)

// Many calls are read a hundred a request; ids of no call are left out, and what
// DynamoDB has not got to (it stops at 16 MB) is asked for again.
func TestReadCalls(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name         string
		calls, asked int
		size         int // of each row
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
				row := storetest.Row{"sk": &types.AttributeValueMemberS{Value: "call"}, "status": &types.AttributeValueMemberS{Value: "ringing"},
					"filling": &types.AttributeValueMemberS{Value: strings.Repeat("x", tt.size)}}
				db.Fill(t, "calls", tt.calls, row, func(i int, row storetest.Row) {
					row["call_id"] = &types.AttributeValueMemberS{Value: fmt.Sprint("call_", i)}
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
		if err := db.DoubtCall(t.Context(), c.ID, at); err != nil {
			t.Fatal(err)
		}
		now, err := db.Call(t.Context(), c.ID)
		if err != nil || !now.DoubtedAt.Equal(at) {
			t.Errorf("doubted at %v, want %v; %v", now.DoubtedAt, at, err)
		}
		c = now
	}
	if _, err := db.EndCall(t.Context(), c, call.End{Status: call.Failed, Cause: call.Unknown, At: t0}); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{c.ID, "call_2"} {
		if err := db.DoubtCall(t.Context(), id, t0.Add(time.Hour)); err != nil {
			t.Error(err)
		}
	}
	if now, err := db.Call(t.Context(), c.ID); err != nil || !now.DoubtedAt.Equal(t0.Add(time.Minute)) {
		t.Errorf("%v, %v", now.DoubtedAt, err)
	}
}

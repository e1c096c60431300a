package store_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/google/go-cmp/cmp"

	"github.com/krosai/telephony/shared/call"
	"github.com/krosai/telephony/shared/store"
	"github.com/krosai/telephony/shared/store/storetest"
)

// TestStatsCountEachCallOnce: the start and the end of a call are counted once, on the day on which
// the call was created, whenever it ends.
func TestStatsCountEachCallOnce(t *testing.T) {
	t.Parallel()
	db, ctx := open(t), t.Context()
	midnight := time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		id, user, country string
		created           time.Time
		end               call.Status
		talk              time.Duration
	}{
		{"1", "ada", "US", midnight.Add(-time.Millisecond), call.Completed, 90 * time.Second},
		{"2", "ada", "US", midnight, call.Completed, 5*time.Second + 600*time.Millisecond},
		{"3", "ada", "NG", midnight.Add(time.Hour), call.Completed, 0},
		{"4", "ada", "NG", midnight.Add(24*time.Hour - time.Millisecond), call.Busy, 0},
		{"5", "ada", "", midnight.Add(time.Hour), call.NoAnswer, 0},
		{"6", "ada", "US", midnight.Add(time.Hour), "", 0},
		{"7", "ada", "US", midnight.Add(24 * time.Hour), call.Failed, 0},
		{"8", "bob", "US", midnight.Add(time.Hour), call.Canceled, 0},
	} {
		c := newCall(tt.id)
		c.UserID, c.Country, c.CreatedAt = tt.user, tt.country, tt.created
		create(t, db, c)
		if tt.end == "" {
			continue
		}
		at := tt.created.Add(10 * time.Second)
		if tt.end == call.Completed {
			var err error
			if c, err = db.Advance(ctx, c.ID, call.InProgress, at); err != nil {
				t.Fatal(err)
			}
		}
		for range 2 {
			if _, err := db.EndCall(ctx, c, call.End{Status: tt.end, Cause: call.Unknown, At: at.Add(tt.talk)}); err != nil {
				t.Fatal(err)
			}
		}
	}
	db.Trips()
	got, err := db.StatsOf(ctx, "ada", midnight.Add(-time.Second), midnight.Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	want := []call.Day{
		{Date: "2026-11-22", Started: 1, TalkSeconds: 90, Ended: map[call.Status]int{call.Completed: 1},
			Countries: map[string]call.Country{"US": {Total: 1, Completed: 1}}, Durations: histogram(90)},
		{Date: "2026-11-23", Started: 5, TalkSeconds: 6, Ended: map[call.Status]int{call.Completed: 2, call.Busy: 1, call.NoAnswer: 1},
			Countries: map[string]call.Country{"US": {Total: 1, Completed: 1}, "NG": {Total: 2, Completed: 1}, "ZZ": {Total: 1}},
			Durations: histogram(6, 0)},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if trips := db.Trips(); trips != 1 {
		t.Errorf("%d round trips", trips)
	}
	if days, err := db.StatsOf(ctx, "eve", midnight, midnight); err != nil || len(days) != 0 {
		t.Errorf("eve has %v, %v", days, err)
	}
}

// TestRefusedRequestsAreNotCounted: the second request with a key and a request that the policy
// forbids are not counted. A call whose workflow did not start counts as failed.
func TestRefusedRequestsAreNotCounted(t *testing.T) {
	t.Parallel()
	db, ctx := open(t), t.Context()
	once := store.Once{Route: "create-call", Key: "k", Hash: "h"}
	for _, id := range []string{"1", "2"} {
		if _, _, _, err := db.CreateCall(ctx, newCall(id), permit(t, db, "ada", "US"), once); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, _, err := db.CreateCall(ctx, newCall("3"), permit(t, db, "ada", "NG"), store.Once{}); err == nil {
		t.Fatal("a call abroad was accepted")
	}
	may := permit(t, db, "ada", "US")
	db.LoseReplies(1)
	if _, _, _, err := db.CreateCall(ctx, newCall("4"), may, store.Once{}); err != nil {
		t.Fatal(err)
	}
	if _, err := db.RefuseCall(ctx, newCall("4"), call.End{Status: call.Failed, Cause: call.NetworkError, At: t0}, store.Once{}); err != nil {
		t.Fatal(err)
	}
	days, err := db.StatsOf(ctx, "ada", t0, t0)
	if err != nil || len(days) != 1 {
		t.Fatal(days, err)
	}
	if days[0].Started != 2 || days[0].Active() != 1 || days[0].Ended[call.Failed] != 1 {
		t.Errorf("%+v", days[0])
	}
}

func histogram(seconds ...int) (h call.Histogram) {
	for _, s := range seconds {
		h[call.DurationBucket(s)]++
	}
	return h
}

// TestAYearIsOneQuery: one query reads a year of days on which calls of every length went to
// fifty countries.
func TestAYearIsOneQuery(t *testing.T) {
	t.Parallel()
	db, ctx := open(t), t.Context()
	c := newCall("1")
	create(t, db, c)
	if _, err := db.EndCall(ctx, c, call.End{Status: call.Busy, Cause: call.CalleeBusy, At: t0}); err != nil {
		t.Fatal(err)
	}
	many := func(digits int) types.AttributeValue {
		return &types.AttributeValueMemberN{Value: strings.Repeat("9", digits)}
	}
	db.Fill(t, "stats", 366, db.Rows(t, "stats", "ada")[0], func(i int, raw storetest.Row) {
		raw["day"] = &types.AttributeValueMemberS{Value: t0.AddDate(0, 0, i).Format(time.DateOnly)}
		for n := range 19 {
			raw[fmt.Sprintf("hist_%d", n)] = many(36)
		}
		for n := range 50 {
			country := fmt.Sprintf("country_%c%c", 'A'+n/26, 'A'+n%26)
			raw[country], raw[country+"_completed"] = many(5), many(5)
		}
	})
	db.Trips()
	days, err := db.StatsOf(ctx, "ada", t0, t0.AddDate(0, 0, 365))
	if err != nil || len(days) != 366 || db.Trips() != 1 {
		t.Fatalf("%d days, %v", len(days), err)
	}
	for bucket, n := range days[365].Durations {
		if n != 999_999 {
			t.Errorf("bucket %d has %d calls", bucket, n)
		}
	}
}

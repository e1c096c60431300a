package expirerequest_test

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/krosai/telephony/functions/expirerequest"
	"github.com/krosai/telephony/shared/fault"
	"github.com/krosai/telephony/shared/numberrequest"
	"github.com/krosai/telephony/shared/store/storetest"
)

const (
	id  = "req_01KAMPJ5V0SAMPMECA00000000"
	day = 24 * time.Hour
)

var t0 = time.Date(2026, 11, 22, 9, 30, 0, 0, time.UTC)

func TestRun(t *testing.T) {
	t.Parallel()
	week := int(7 * day / time.Second)
	for _, tt := range []struct {
		name    string
		decided *numberrequest.Decision
		after   []time.Duration // the ages at which the request is checked
		want    expirerequest.Output
		audit   []string
	}{
		{"at once", nil, []time.Duration{0}, expirerequest.Output{Status: numberrequest.Pending, Seconds: week}, nil},
		{"in the first week", nil, []time.Duration{3 * day}, expirerequest.Output{Status: numberrequest.Pending, Seconds: week * 4 / 7}, nil},
		{"after a week", nil, []time.Duration{7 * day}, expirerequest.Output{Status: numberrequest.Pending, Seconds: week}, []string{"reminded"}},
		{"twice after a week", nil, []time.Duration{7 * day, 7 * day}, expirerequest.Output{Status: numberrequest.Pending, Seconds: week}, []string{"reminded"}},
		{"each week", nil, []time.Duration{7 * day, 14 * day}, expirerequest.Output{Status: numberrequest.Pending, Seconds: week}, []string{"reminded", "reminded"}},
		{"late", nil, []time.Duration{22 * day}, expirerequest.Output{Status: numberrequest.Pending, Seconds: week * 6 / 7}, []string{"reminded"}},
		{"in the last days", nil, []time.Duration{29 * day}, expirerequest.Output{Status: numberrequest.Pending, Seconds: week / 7}, []string{"reminded"}},
		{"at the end", nil, []time.Duration{30 * day}, expirerequest.Output{Status: numberrequest.Rejected, Seconds: 1}, []string{"rejected"}},
		{"twice at the end", nil, []time.Duration{40 * day, 40 * day}, expirerequest.Output{Status: numberrequest.Rejected, Seconds: 1}, []string{"rejected"}},
		{"approved", &numberrequest.Decision{Approve: true, By: "root"}, []time.Duration{40 * day}, expirerequest.Output{Status: numberrequest.Approved, Seconds: 1}, []string{"approved"}},
		{"rejected", &numberrequest.Decision{By: "root"}, []time.Duration{8 * day}, expirerequest.Output{Status: numberrequest.Rejected, Seconds: week * 6 / 7}, []string{"rejected"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			db := storetest.Open(t, nil)
			if _, _, err := db.CreateRequest(t.Context(), numberrequest.Request{ID: id, UserID: "ada", Country: "NG", CreatedAt: t0}); err != nil {
				t.Fatal(err)
			}
			if tt.decided != nil {
				if _, err := db.Decide(t.Context(), id, *tt.decided, t0); err != nil {
					t.Fatal(err)
				}
			}
			var log bytes.Buffer
			var got expirerequest.Output
			for _, age := range tt.after {
				task := &expirerequest.Task{Requests: db, Now: func() time.Time { return t0.Add(age) }, Log: slog.New(slog.NewTextHandler(&log, nil))}
				var err error
				if got, err = task.Run(t.Context(), expirerequest.Input{RequestID: id}); err != nil {
					t.Fatal(err)
				}
			}
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Errorf("output (-want +got):\n%s", d)
			}
			entries, _, err := db.Audit(t.Context(), id, 10, "")
			if err != nil {
				t.Fatal(err)
			}
			var audit []string
			reminders := 0
			for _, e := range entries[1:] {
				audit = append(audit, e.Action)
				if e.Action == "reminded" {
					reminders++
				}
			}
			if d := cmp.Diff(tt.audit, audit); d != "" {
				t.Errorf("audit (-want +got):\n%s", d)
			}
			if n := strings.Count(log.String(), id); n != reminders {
				t.Errorf("%d lines in the log for %d reminders:\n%s", n, reminders, log.String())
			}
		})
	}
}

func TestUnknownRequest(t *testing.T) {
	t.Parallel()
	task := &expirerequest.Task{Requests: storetest.Open(t, nil), Now: time.Now}
	if _, err := task.Run(t.Context(), expirerequest.Input{RequestID: id}); !fault.Is(err, fault.NotFound) {
		t.Error(err)
	}
}

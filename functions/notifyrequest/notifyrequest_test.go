package notifyrequest_test

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/krosai/telephony/functions/notifyrequest"
	"github.com/krosai/telephony/shared/fault"
	"github.com/krosai/telephony/shared/numberrequest"
	"github.com/krosai/telephony/shared/store/storetest"
)

const id = "req_01KAMPJ5V0SAMPMECA00000000"

var t0 = time.Date(2026, 11, 22, 9, 30, 0, 0, time.UTC)

// TestRun checks that the end of a request is notified once, and nothing before the end. The log
// contains neither the purpose nor the reason, because people wrote them.
func TestRun(t *testing.T) {
	t.Parallel()
	db := storetest.Open(t, nil)
	var log bytes.Buffer
	task := &notifyrequest.Task{Requests: db, Now: func() time.Time { return t0 }, Log: slog.New(slog.NewTextHandler(&log, nil))}
	run := func(lines int) {
		t.Helper()
		if err := task.Run(t.Context(), notifyrequest.Input{RequestID: id}); err != nil {
			t.Error(err)
		}
		if n := strings.Count(log.String(), id); n != lines {
			t.Errorf("%d lines, want %d: %s", n, lines, &log)
		}
	}
	if err := task.Run(t.Context(), notifyrequest.Input{RequestID: id}); !fault.Is(err, fault.NotFound) {
		t.Errorf("unknown request: %v", err)
	}
	if _, _, err := db.CreateRequest(t.Context(), numberrequest.Request{ID: id, UserID: "ada", Country: "NG", Purpose: "private purpose", CreatedAt: t0}); err != nil {
		t.Fatal(err)
	}
	run(0)
	if _, err := db.Decide(t.Context(), id, numberrequest.Decision{By: "root", Reason: "private reason"}, t0); err != nil {
		t.Fatal(err)
	}
	run(1)
	run(1)
	if strings.Contains(log.String(), "private") {
		t.Errorf("log: %s", &log)
	}
	r, err := db.RequestByID(t.Context(), id)
	if err != nil || !r.NotifiedAt.Equal(t0) {
		t.Errorf("%+v, %v", r, err)
	}
}

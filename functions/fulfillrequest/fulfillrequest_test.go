package fulfillrequest_test

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/krosai/telephony/functions/fulfillrequest"
	"github.com/krosai/telephony/shared/fault"
	"github.com/krosai/telephony/shared/number"
	"github.com/krosai/telephony/shared/numberrequest"
	"github.com/krosai/telephony/shared/store/storetest"
)

const id = "req_01KAMPJ5V0SAMPMECA00000000"

var t0 = time.Date(2026, 11, 22, 9, 30, 0, 0, time.UTC)

// TestRun checks that Run leaves a request approved without a number, assigns a number when there
// is one, and changes nothing when repeated.
func TestRun(t *testing.T) {
	t.Parallel()
	db := storetest.Open(t, nil)
	var log bytes.Buffer
	task := &fulfillrequest.Task{Requests: db, Log: slog.New(slog.NewTextHandler(&log, nil))}
	run := func(want numberrequest.Status) {
		t.Helper()
		got, err := task.Run(t.Context(), fulfillrequest.Input{RequestID: id})
		if err != nil || got.Status != want {
			t.Errorf("%+v, %v, want %s", got, err, want)
		}
	}
	if _, err := task.Run(t.Context(), fulfillrequest.Input{RequestID: id}); !fault.Is(err, fault.NotFound) {
		t.Errorf("unknown request: %v", err)
	}
	if _, _, err := db.CreateRequest(t.Context(), numberrequest.Request{ID: id, UserID: "ada", Country: "NG", CreatedAt: t0}); err != nil {
		t.Fatal(err)
	}
	if _, err := task.Run(t.Context(), fulfillrequest.Input{RequestID: id}); !fault.Is(err, fault.Conflict) {
		t.Errorf("pending request: %v", err)
	}
	if _, err := db.Decide(t.Context(), id, numberrequest.Decision{Approve: true, By: "root"}, t0); err != nil {
		t.Fatal(err)
	}
	run(numberrequest.Approved)
	if !strings.Contains(log.String(), "no number is free") || !strings.Contains(log.String(), id) {
		t.Errorf("log: %s", &log)
	}
	n := number.Number{ID: number.ID("+23412345678"), E164: "+23412345678", Country: "NG", Type: "local", UpdatedAt: t0}
	if err := db.AddNumber(t.Context(), n, "root"); err != nil {
		t.Fatal(err)
	}
	run(numberrequest.Assigned)
	run(numberrequest.Assigned)
	if _, err := db.Number(t.Context(), "ada", n.ID); err != nil {
		t.Error(err)
	}
}

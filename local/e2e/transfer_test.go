package e2e

import (
	"bytes"
	"encoding/json"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/krosai/telephony/local/carrier"
)

// transferred is a transfer in the API's answers.
type transferred struct {
	ID     string `json:"transfer_id"`
	To     string `json:"phone_number"`
	Status string `json:"status"`
	SIP    int    `json:"sip_status_code"`
}

// transfer requests a transfer and measures the time of the answer.
func (u user) transfer(id, to string) (answer, transferred, time.Duration) {
	u.t.Helper()
	asked := time.Now()
	a := u.do("POST", "/outbound-calls/"+id+"/transfer", request{"phone_number": to})
	var out struct{ Transfer transferred }
	if err := json.Unmarshal(a.Body, &out); err != nil {
		u.t.Fatalf("%d %s: %v", a.Status, a.Body, err)
	}
	return a, out.Transfer, time.Since(asked)
}

// answered places a call and waits until it is answered.
func (u user) answered(callee string) string {
	u.t.Helper()
	id := u.place(callee, nil).CallID
	u.until(id, is("in_progress"))
	return id
}

// referred is the carrier's record of the call for which a transfer to this number was requested.
func referred(to string) (carrier.CallInfo, bool) {
	for _, c := range shared.Carrier.Calls() {
		if slices.Contains(c.Refers, "tel:"+to) {
			return c, true
		}
	}
	return carrier.CallInfo{}, false
}

// untilReferred waits until the carrier gets a request to transfer a call to this number.
func untilReferred(t *testing.T, to string) {
	t.Helper()
	for range looks() {
		if _, asked := referred(to); asked {
			return
		}
	}
	t.Fatal("the carrier was not asked")
}

// TestTransfer covers each reaction of a carrier to a transfer, as in the recordings of the real
// LiveKit SIP.
func TestTransfer(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, callee string
		status       string
		sip          int
		least        time.Duration // minimum time to the answer
		cause        string        // hangup cause; empty: the call goes on
		endedBy      string        // in the carrier's record
	}{
		{"LiveKit hangs up", "+14155550131", "completed", 200, 0, "transferred", "bye-in"},
		{"the carrier hangs up", "+14155550130", "completed", 200, 0, "transferred", "bye-out"},
		{"the carrier hangs up without a word", "+14155550139", "failed", 0, 0, "callee_hangup", "bye-out"},
		{"refused", "+14155550108", "failed", 603, 0, "", ""},
		{"target busy", "+14155550109", "failed", 486, 0, "", ""},
		{"target declines", "+14155550132", "failed", 603, 0, "", ""},
		{"target unreachable", "+14155550133", "failed", 503, 0, "", ""},
		{"no word", "+14155550134", "unknown", 0, 19 * time.Second, "", ""},
		{"no answer", "+14155550153", "unknown", 0, 19 * time.Second, "", ""},
		{"the word comes late", "+14155550135", "unknown", 0, 19 * time.Second, "unknown", "bye-out"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			u, to := demo(t, shared), fresh()
			id := u.answered(tt.callee)
			a, got, took := u.transfer(id, to)
			if tt.endedBy == "bye-out" && got.SIP == 0 {
				// The phone was gone before the platform could check whether the carrier had
				// sent 200.
				tt.sip = 0
			}
			if d := cmp.Diff(transferred{ID: got.ID, To: to, Status: tt.status, SIP: tt.sip}, got); a.Status != http.StatusOK || d != "" {
				t.Errorf("%s: %s", a.Body, d)
			}
			if took < tt.least {
				t.Errorf("took %s, want %s at least", took, tt.least)
			}
			if c, ok := referred(to); !ok || len(c.Refers) != 1 {
				t.Errorf("the carrier was asked %v", c.Refers)
			}
			if tt.cause == "" {
				time.Sleep(1500 * time.Millisecond)
				if d := u.details(id); d.Status != "in_progress" || d.Transfer != got {
					t.Errorf("after it the call is %s %s, transfer %+v", d.Status, d.Cause, d.Transfer)
				}
				if end := u.hangUp(id); end.Status != "completed" || end.Cause != "api_hangup" {
					t.Errorf("hung up: %s %s", end.Status, end.Cause)
				}
				return
			}
			d := u.until(id, details.over)
			if d.Status != "completed" || d.Cause != tt.cause || !strings.HasSuffix(d.events(), " answered transfer ended") || d.Transfer != got {
				t.Errorf("ended as %s %s, %s, transfer %+v", d.Status, d.Cause, d.events(), d.Transfer)
			}
			if c, _ := referred(to); c.EndedBy != tt.endedBy {
				t.Errorf("the carrier saw it end by %q, want %q", c.EndedBy, tt.endedBy)
			}
		})
	}
}

// TestLogHidesTargets checks that the log shows a failed transfer without its target.
func TestLogHidesTargets(t *testing.T) {
	t.Parallel()
	u, to := demo(t, shared), fresh()
	id := u.answered("+14155550108")
	if a, got, _ := u.transfer(id, to); got.SIP != 603 {
		t.Errorf("the transfer is %s", a.Body)
	}
	u.hangUp(id)
	for range looks() {
		log, err := os.ReadFile(logFile(shared.Config.Dir))
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(log, []byte(to)) {
			t.Fatalf("the log holds the target %s", to)
		}
		for line := range bytes.Lines(log) {
			if bytes.Contains(line, []byte("cannot transfer sip participant")) && bytes.Contains(line, []byte(id)) {
				return
			}
		}
	}
	t.Error("LiveKit's error is not in the log")
}

// endsTransferred transfers a call and waits for its end. The end needs no webhook.
func endsTransferred(t *testing.T, u user, callee string) {
	t.Helper()
	id := u.answered(callee)
	if a, got, _ := u.transfer(id, fresh()); got.Status != "completed" {
		t.Errorf("%d %s", a.Status, a.Body)
	}
	if d := u.until(id, details.over); d.Status != "completed" || d.Cause != "transferred" {
		t.Errorf("%s %s", d.Status, d.Cause)
	}
}

// TestSecondTransfer checks that a second transfer is refused while the first is in progress, and
// that the first is not disturbed.
func TestSecondTransfer(t *testing.T) {
	t.Parallel()
	u, first, second := demo(t, shared), fresh(), fresh()
	id := u.answered("+14155550136")
	done := make(chan transferred, 1)
	go func() {
		_, got, _ := u.transfer(id, first)
		done <- got
	}()
	untilReferred(t, first)
	for _, to := range []string{second, first} {
		if a, _, _ := u.transfer(id, to); a.Status != http.StatusConflict || a.problem(t).Code != "TRANSFER_IN_PROGRESS" {
			t.Errorf("%d %s", a.Status, a.Body)
		}
	}
	if got := <-done; got.Status != "completed" {
		t.Errorf("the first: %+v", got)
	}
	if d := u.until(id, details.over); d.Cause != "transferred" {
		t.Errorf("ended as %s", d.Cause)
	}
	if c, _ := referred(first); len(c.Refers) != 1 {
		t.Errorf("the carrier was asked %v", c.Refers)
	}
}

// TestTransferWhileRinging checks that a ringing phone is not transferred. LiveKit would keep the
// transfer and carry it out after the answer.
func TestTransferWhileRinging(t *testing.T) {
	t.Parallel()
	u, to := demo(t, shared), fresh()
	id := u.place("+14155550137", nil).CallID
	u.until(id, is("ringing"))
	if a, _, _ := u.transfer(id, to); a.Status != http.StatusConflict || a.problem(t).Code != "CALL_NOT_ACTIVE" {
		t.Errorf("%d %s", a.Status, a.Body)
	}
	u.until(id, is("in_progress"))
	time.Sleep(time.Second)
	if c, asked := referred(to); asked {
		t.Errorf("the carrier was asked %v", c.Refers)
	}
	u.hangUp(id)
	if a, _, _ := u.transfer(id, to); a.Status != http.StatusConflict || a.problem(t).Code != "CALL_NOT_ACTIVE" {
		t.Errorf("over: %d %s", a.Status, a.Body)
	}
}

// TestTransferGate checks that only a number that may be called reaches the carrier.
func TestTransferGate(t *testing.T) {
	t.Parallel()
	u := demo(t, shared)
	id := u.answered("+14155550138")
	for to, code := range map[string]string{"sip:+14155550111@203.0.113.9": "INVALID_REQUEST", "tel:+14155550111": "INVALID_REQUEST",
		"+14155550111;isub=1": "INVALID_REQUEST", "+442079460000": "DESTINATION_NOT_ALLOWED", "+19005550100": "DESTINATION_NOT_ALLOWED"} {
		if a, _, _ := u.transfer(id, to); a.problem(t).Code != code {
			t.Errorf("%s: %d %s", to, a.Status, a.Body)
		}
	}
	for _, c := range shared.Carrier.Calls() {
		if c.Callee == "+14155550138" && len(c.Refers) > 0 {
			t.Errorf("the carrier was asked %v", c.Refers)
		}
	}
	if d := u.details(id); d.Status != "in_progress" || d.Transfer != (transferred{}) || strings.Contains(d.events(), "transfer") {
		t.Errorf("%s, %+v, %s", d.Status, d.Transfer, d.events())
	}
	u.hangUp(id)
}

// TestHangUpDuringTransfer checks that a hang-up during a transfer ends the call at once, and that
// the transfer fails.
func TestHangUpDuringTransfer(t *testing.T) {
	t.Parallel()
	u, to := demo(t, shared), fresh()
	id := u.answered("+14155550134")
	done := make(chan transferred, 1)
	go func() {
		_, got, _ := u.transfer(id, to)
		done <- got
	}()
	untilReferred(t, to)
	if end := u.hangUp(id); end.Status != "completed" || end.Cause != "api_hangup" {
		t.Errorf("%s %s", end.Status, end.Cause)
	}
	if got := <-done; got.Status != "failed" {
		t.Errorf("%+v", got)
	}
	if d := u.details(id); d.Transfer.Status != "failed" || d.Cause != "api_hangup" {
		t.Errorf("%+v, %s", d.Transfer, d.Cause)
	}
}

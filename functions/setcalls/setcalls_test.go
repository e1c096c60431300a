package setcalls_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/krosai/telephony/functions/setcalls"
	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/api"
	"github.com/krosai/telephony/shared/fault"
	"github.com/krosai/telephony/shared/lambdahttp"
	"github.com/krosai/telephony/shared/request"
	"github.com/krosai/telephony/shared/store/storetest"
)

// carol is an administrator, or not, whatever token she comes with.
type carol bool

func (admin carol) Verify(context.Context, string) (account.Caller, error) {
	return account.Caller{UserID: "carol", Admin: bool(admin)}, nil
}

type reply struct {
	StatusCode int
	Body       string
}

// send sends the sample event, which switches off, with another position.
func send(t *testing.T, db *storetest.Database, admin carol, position string) reply {
	t.Helper()
	text, err := os.ReadFile("../../events/setcalls.json")
	if err != nil {
		t.Fatal(err)
	}
	edge := &api.Edge{Keys: db, Tokens: admin, Now: time.Now, Log: slog.New(slog.DiscardHandler)}
	event := strings.Replace(string(text), "false", position, 1)
	out, err := lambdahttp.Handler(edge.Handler(&setcalls.Endpoint{Switch: db})).Invoke(t.Context(), []byte(event))
	if err != nil {
		t.Fatal(err)
	}
	var r reply
	if err := json.Unmarshal(out, &r); err != nil {
		t.Fatal(err)
	}
	return r
}

func TestSwitch(t *testing.T) {
	t.Parallel()
	db := storetest.Open(t, nil)
	on := func() bool {
		_, _, err := db.CallPermit(t.Context(), "anybody", "")
		if f, ok := errors.AsType[*fault.Error](err); err != nil && (!ok || f.Code != "CALLS_DISABLED") {
			t.Error(err)
		}
		return err == nil
	}
	if !on() {
		t.Error("off before anybody switched")
	}
	for _, position := range []string{"false", "false", "true"} {
		if r := send(t, db, true, position); r.StatusCode != 200 || r.Body != `{"enabled":`+position+"}\n" || on() != (position == "true") {
			t.Errorf("%s: %+v, calls are on: %t", position, r, on())
		}
	}
	entries, _, err := db.Audit(t.Context(), "calls", 10, "")
	if err != nil {
		t.Fatal(err)
	}
	var want []request.Entry
	for i, e := range [][2]string{{"on", "off"}, {"off", "off"}, {"off", "on"}} {
		want = append(want, request.Entry{At: entries[min(i, len(entries)-1)].At, Actor: "carol", Action: "calls_switched", From: e[0], To: e[1]})
	}
	if d := cmp.Diff(want, entries); d != "" {
		t.Errorf("audit (-want +got):\n%s", d)
	}
}

func TestOthersCannot(t *testing.T) {
	t.Parallel()
	db := storetest.Open(t, nil)
	if r := send(t, db, false, "false"); r.StatusCode != 403 {
		t.Errorf("%+v", r)
	}
	if r := send(t, db, true, "null"); r.StatusCode != 400 {
		t.Errorf("%+v", r)
	}
	if _, _, err := db.CallPermit(t.Context(), "anybody", ""); err != nil {
		t.Error(err)
	}
}

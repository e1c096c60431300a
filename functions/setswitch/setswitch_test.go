package setswitch_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/krosai/telephony/functions/setswitch"
	"github.com/krosai/telephony/shared/api/apitest"
	"github.com/krosai/telephony/shared/fault"
	"github.com/krosai/telephony/shared/numberrequest"
)

func setup(t *testing.T) *apitest.Bench {
	t.Helper()
	b := apitest.Open(t, nil)
	b.Serve(&setswitch.Endpoint{Switch: b.DB})
	return b
}

func TestSwitch(t *testing.T) {
	t.Parallel()
	b := setup(t)
	on := func() bool {
		_, _, err := b.CallPermit(t.Context(), "anybody", "")
		if f, ok := errors.AsType[*fault.Error](err); err != nil && (!ok || f.Code != "CALLS_DISABLED") {
			t.Error(err)
		}
		return err == nil
	}
	if !on() {
		t.Error("off before anybody switched")
	}
	if a := b.Replay("setswitch", b.Admin("carol")); a.Status != 200 || a.Text != `{"enabled":false}`+"\n" || on() {
		t.Errorf("%d %s, calls are on: %t", a.Status, a.Text, on())
	}
	for _, position := range []string{"false", "true"} {
		a := b.Ask(b.Admin("carol"), "PUT", "/admin/calls", `{"enabled":`+position+`}`)
		if a.Status != 200 || a.Text != `{"enabled":`+position+"}\n" || on() != (position == "true") {
			t.Errorf("%s: %d %s, calls are on: %t", position, a.Status, a.Text, on())
		}
	}
	entries, _, err := b.Audit(t.Context(), "calls", 10, "")
	b.Must(err)
	var want []numberrequest.Entry
	for i, e := range [][2]string{{"on", "off"}, {"off", "off"}, {"off", "on"}} {
		want = append(want, numberrequest.Entry{At: entries[min(i, len(entries)-1)].At, Actor: "carol", Action: "calls_switched", From: e[0], To: e[1]})
	}
	if d := cmp.Diff(want, entries); d != "" {
		t.Errorf("audit (-want +got):\n%s", d)
	}
}

func TestOthersCannot(t *testing.T) {
	t.Parallel()
	b := setup(t)
	if a := b.Replay("setswitch", b.User("carol")); a.Status != 403 {
		t.Errorf("%d %s", a.Status, a.Text)
	}
	if a := b.Ask(b.Admin("carol"), "PUT", "/admin/calls", `{"enabled":null}`); a.Status != 400 {
		t.Errorf("%d %s", a.Status, a.Text)
	}
	if _, _, err := b.CallPermit(t.Context(), "anybody", ""); err != nil {
		t.Error(err)
	}
}

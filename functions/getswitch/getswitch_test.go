package getswitch_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/krosai/telephony/functions/getswitch"
	"github.com/krosai/telephony/functions/setswitch"
	"github.com/krosai/telephony/shared/api/apitest"
)

var now = time.Date(2026, 11, 22, 9, 31, 0, 0, time.UTC)

// TestSwitch checks that the endpoint shows what PUT /admin/calls sets, with the reason
// while calls are off.
func TestSwitch(t *testing.T) {
	t.Parallel()
	b := apitest.Open(t, func() time.Time { return now })
	b.Serve(&getswitch.Endpoint{Switch: b.DB}, &setswitch.Endpoint{Switch: b.DB})
	at := "2026-11-22T09:31:00.000Z"
	for _, step := range []struct {
		set  string
		want map[string]any
	}{
		{"", map[string]any{"enabled": true, "reason": nil, "changed_at": nil, "changed_by": nil}},
		{`{"enabled":false,"reason":"Carrier trouble"}`, map[string]any{"enabled": false, "reason": "Carrier trouble", "changed_at": at, "changed_by": "carol"}},
		{`{"enabled":false}`, map[string]any{"enabled": false, "reason": nil, "changed_at": at, "changed_by": "carol"}},
		{`{"enabled":false,"reason":"Again"}`, map[string]any{"enabled": false, "reason": "Again", "changed_at": at, "changed_by": "carol"}},
		{`{"enabled":true,"reason":"Mended"}`, map[string]any{"enabled": true, "reason": nil, "changed_at": at, "changed_by": "carol"}},
	} {
		if step.set != "" {
			if a := b.Ask(b.Admin("carol"), "PUT", "/admin/calls", step.set); a.Status != 200 {
				t.Errorf("%s: %d %s", step.set, a.Status, a.Text)
			}
		}
		a := b.Ask(b.Admin("carol"), "GET", "/admin/calls/switch", "")
		if d := cmp.Diff(step.want, a.Body); a.Status != 200 || d != "" {
			t.Errorf("%s: %d %s", step.set, a.Status, d)
		}
	}
	entries, _, err := b.Audit(t.Context(), "calls", 10, "")
	b.Must(err)
	var notes []string
	for _, e := range entries {
		notes = append(notes, e.To+" "+e.Note)
	}
	if d := cmp.Diff([]string{"off Carrier trouble", "off ", "off Again", "on Mended"}, notes); d != "" {
		t.Error(d)
	}
	if a := b.Ask(b.User("carol"), "GET", "/admin/calls/switch", ""); a.Status != 403 {
		t.Errorf("%d %s", a.Status, a.Text)
	}
	for _, reason := range []string{`""`, `"` + strings.Repeat("x", 201) + `"`, `"a\u0000b"`} {
		if a := b.Ask(b.Admin("carol"), "PUT", "/admin/calls", `{"enabled":false,"reason":`+reason+`}`); a.Status != 400 {
			t.Errorf("%s: %d %s", reason, a.Status, a.Text)
		}
	}
}

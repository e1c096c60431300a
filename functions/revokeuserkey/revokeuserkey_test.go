package revokeuserkey_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/krosai/telephony/functions/listkeys"
	"github.com/krosai/telephony/functions/revokeuserkey"
	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/api/apitest"
	"github.com/krosai/telephony/shared/event"
	"github.com/krosai/telephony/shared/numberrequest"
	"github.com/krosai/telephony/shared/store"
)

var now = time.Date(2026, 11, 22, 9, 31, 0, 0, time.UTC)

// TestRevoke checks that the key stops working at once, that its owner is notified once, and that
// the audit names the administrator.
func TestRevoke(t *testing.T) {
	t.Parallel()
	b := apitest.Open(t, func() time.Time { return now })
	b.Serve(&revokeuserkey.Endpoint{Keys: b.DB}, &listkeys.Endpoint{Keys: b.DB})
	id, text := b.Key("ada", account.KeysWrite)
	if a := b.Ask(text, "GET", "/api-keys", ""); a.Status != 200 {
		t.Fatalf("%d %s", a.Status, a.Text)
	}
	for _, step := range []struct {
		path string
		want int
	}{{id + "?user_id=bob", 404}, {"key_01ARZ3NDEKTSV4RRFFQ69G5FAV", 404}, {id + "?user_id=ada", 204}, {id, 204}} {
		if a := b.Ask(b.Admin("carol"), "DELETE", "/admin/api-keys/"+step.path, ""); a.Status != step.want {
			t.Errorf("%s: %d %s", step.path, a.Status, a.Text)
		}
	}
	if a := b.Ask(text, "GET", "/api-keys", ""); a.Status != 401 {
		t.Errorf("the dead key: %d %s", a.Status, a.Text)
	}
	if a := b.Ask(b.User("ada"), "DELETE", "/admin/api-keys/"+id, ""); a.Status != 403 {
		t.Errorf("%d %s", a.Status, a.Text)
	}
	entries, _, err := b.Audit(t.Context(), id, 10, "")
	b.Must(err)
	if d := cmp.Diff([]numberrequest.Entry{{At: now, Actor: "carol", Action: "revoked", Note: "of ada"}}, entries); d != "" {
		t.Error(d)
	}
	events, _, err := b.EventsOf(t.Context(), "ada", store.Log{}, 10, "")
	b.Must(err)
	if len(events) != 1 || events[0].Type != event.KeyRevoked {
		t.Errorf("%+v", events)
	}
}

package listuserkeys_test

import (
	"testing"
	"time"

	"github.com/krosai/telephony/functions/listuserkeys"
	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/api/apitest"
)

var now = time.Date(2026, 11, 22, 9, 31, 0, 0, time.UTC)

func TestList(t *testing.T) {
	t.Parallel()
	b := apitest.Open(t, func() time.Time { return now })
	b.Serve(&listuserkeys.Endpoint{Keys: b.DB})
	id, text := b.Key("ada", account.Scopes()...)
	dead, _ := b.Key("ada", account.CallsRead)
	b.Key("bob", account.CallsRead)
	b.Must(b.RevokeKey(t.Context(), "ada", dead))
	a := b.Ask(b.Admin("carol"), "GET", "/admin/api-keys?user_id=ada", "")
	found := map[string]bool{}
	for _, item := range a.Body["data"].([]any) {
		k := item.(map[string]any)
		found[k["key_id"].(string)] = k["revoked_at"] == nil
	}
	if a.Status != 200 || len(found) != 2 || !found[id] || found[dead] {
		t.Errorf("%d %s", a.Status, a.Text)
	}
	for path, want := range map[string]int{"?user_id=nobody": 200, "": 400, "?user_id=a/b": 400} {
		if a := b.Ask(b.Admin("carol"), "GET", "/admin/api-keys"+path, ""); a.Status != want {
			t.Errorf("%s: %d %s", path, a.Status, a.Text)
		}
	}
	for name, credential := range map[string]string{"a key": text, "a user": b.User("ada")} {
		if a := b.Ask(credential, "GET", "/admin/api-keys?user_id=ada", ""); a.Status != 403 {
			t.Errorf("%s: %d %s", name, a.Status, a.Text)
		}
	}
}

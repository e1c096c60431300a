package getpolicy_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/krosai/telephony/functions/getpolicy"
	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/api"
	"github.com/krosai/telephony/shared/call"
	"github.com/krosai/telephony/shared/lambdahttp"
	"github.com/krosai/telephony/shared/store"
	"github.com/krosai/telephony/shared/store/storetest"
)

const user = "auth0|5f7c8ec7c33c6c004bbafe82"

// carol is an administrator, or not, whatever token she comes with.
type carol bool

func (admin carol) Verify(context.Context, string) (account.Caller, error) {
	return account.Caller{UserID: "carol", Admin: bool(admin)}, nil
}

type reply struct {
	StatusCode int
	Body       string
}

// send sends the sample event with another query, if one is given.
func send(t *testing.T, db *storetest.Database, admin carol, query string) reply {
	t.Helper()
	text, err := os.ReadFile("../../events/getpolicy.json")
	if err != nil {
		t.Fatal(err)
	}
	if query != "" {
		text = []byte(strings.Replace(string(text), "user_id=auth0%7C5f7c8ec7c33c6c004bbafe82", query, 1))
	}
	edge := &api.Edge{Keys: db, Tokens: admin, Now: time.Now, Log: slog.New(slog.DiscardHandler)}
	out, err := lambdahttp.Handler(edge.Handler(&getpolicy.Endpoint{Policies: db})).Invoke(t.Context(), text)
	if err != nil {
		t.Fatal(err)
	}
	var r reply
	if err := json.Unmarshal(out, &r); err != nil {
		t.Fatal(err)
	}
	return r
}

func TestGet(t *testing.T) {
	t.Parallel()
	db := storetest.Open(t, nil)
	const default5 = `{"user_id":"` + user + `","allowed_countries":[],"calls_enabled":true,"max_concurrent_calls":5,"active_calls":0}` + "\n"
	if r := send(t, db, true, ""); r.StatusCode != 200 || r.Body != default5 {
		t.Errorf("%+v, want %s", r, default5)
	}
	if err := db.PutPolicy(t.Context(), user, account.Policy{AllowedCountries: []string{"US", "GB"}, CallsEnabled: true, MaxConcurrentCalls: 7}); err != nil {
		t.Fatal(err)
	}
	c := call.Call{ID: "call_1", UserID: user, Direction: call.Outbound, Country: "NG", Status: call.Initiated, CreatedAt: time.Now()}
	if _, _, _, err := db.CreateCall(t.Context(), c, store.Permit{Home: "NG"}, store.Once{}); err != nil {
		t.Fatal(err)
	}
	const changed = `{"user_id":"` + user + `","allowed_countries":["GB","US"],"calls_enabled":true,"max_concurrent_calls":7,"active_calls":1}` + "\n"
	if r := send(t, db, true, ""); r.StatusCode != 200 || r.Body != changed {
		t.Errorf("%+v, want %s", r, changed)
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	db := storetest.Open(t, nil)
	for name, tt := range map[string]struct {
		admin  carol
		query  string
		status int
	}{
		"no administrator": {false, "", 403},
		"nobody":           {true, "user_id=", 400},
		"a space":          {true, "user_id=a%20b", 400},
		"too long":         {true, "user_id=" + strings.Repeat("a", 129), 400},
	} {
		if r := send(t, db, tt.admin, tt.query); r.StatusCode != tt.status {
			t.Errorf("%s: %+v", name, r)
		}
	}
}

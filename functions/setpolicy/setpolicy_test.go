package setpolicy_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/krosai/telephony/functions/setpolicy"
	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/api"
	"github.com/krosai/telephony/shared/lambdahttp"
	"github.com/krosai/telephony/shared/request"
	"github.com/krosai/telephony/shared/store/storetest"
)

var now = time.Date(2026, 11, 22, 9, 30, 0, 0, time.UTC)

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

// send posts the sample event with another body, if one is given.
func send(t *testing.T, db *storetest.Database, admin carol, body string) reply {
	t.Helper()
	text, err := os.ReadFile("../../events/setpolicy.json")
	if err != nil {
		t.Fatal(err)
	}
	var event map[string]any
	if err := json.Unmarshal(text, &event); err != nil {
		t.Fatal(err)
	}
	if body != "" {
		event["body"] = body
	}
	payload, err := json.Marshal(event)
	if err != nil {
		t.Fatal(err)
	}
	edge := &api.Edge{Keys: db, Tokens: admin, Now: func() time.Time { return now }, Log: slog.New(slog.DiscardHandler)}
	out, err := lambdahttp.Handler(edge.Handler(&setpolicy.Endpoint{Policies: db})).Invoke(t.Context(), payload)
	if err != nil {
		t.Fatal(err)
	}
	var r reply
	if err := json.Unmarshal(out, &r); err != nil {
		t.Fatal(err)
	}
	return r
}

func TestSet(t *testing.T) {
	t.Parallel()
	db := storetest.Open(t, func() time.Time { return now })
	want := `{"user_id":"` + user + `","allowed_countries":["GB","US"],"calls_enabled":true,"max_concurrent_calls":10}` + "\n"
	if r := send(t, db, true, ""); r.StatusCode != 200 || r.Body != want {
		t.Errorf("%+v, want %s", r, want)
	}
	if r := send(t, db, true, `{"user_id":"`+user+`","allowed_countries":[],"calls_enabled":false,"max_concurrent_calls":1}`); r.StatusCode != 200 {
		t.Errorf("%+v", r)
	}
	p, _, err := db.Policy(t.Context(), user)
	if d := cmp.Diff(account.Policy{MaxConcurrentCalls: 1, CallsPerHour: 100, ConfigurationsPerHour: 10}, p); d != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, d)
	}
	entries, _, err := db.Audit(t.Context(), "user_"+user, 10, "")
	if err != nil {
		t.Fatal(err)
	}
	first, second, third := "calls on, 5 at a time, countries none", "calls on, 10 at a time, countries GB US", "calls off, 1 at a time, countries none"
	line := func(from, to string) request.Entry {
		return request.Entry{At: now, Actor: "carol", Action: "policy_set", From: from, To: to}
	}
	if d := cmp.Diff([]request.Entry{line(first, second), line(second, third)}, entries); d != "" {
		t.Errorf("audit (-want +got):\n%s", d)
	}
}

// What only the platform sets stays as it is.
func TestCallsPerHourStay(t *testing.T) {
	t.Parallel()
	db := storetest.Open(t, nil)
	if err := db.PutPolicy(t.Context(), user, account.Policy{CallsPerHour: 500, MaxConcurrentCalls: 50}); err != nil {
		t.Fatal(err)
	}
	send(t, db, true, "")
	if p, _, err := db.Policy(t.Context(), user); err != nil || p.CallsPerHour != 500 || p.MaxConcurrentCalls != 10 || !p.CallsEnabled {
		t.Errorf("%+v, %v", p, err)
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	const rest = `,"allowed_countries":["GB"],"calls_enabled":true,"max_concurrent_calls":1}`
	for name, tt := range map[string]struct {
		admin  carol
		body   string
		status int
		says   string
	}{
		"no administrator":    {false, "", 403, `"code":"FORBIDDEN"`},
		"no user":             {true, `{"user_id":""` + rest, 400, `"field":"user_id"`},
		"a user with a space": {true, `{"user_id":"a b"` + rest, 400, `"field":"user_id"`},
		"a user with a hash":  {true, `{"user_id":"a#b"` + rest, 400, `"field":"user_id"`},
		"a user too long":     {true, `{"user_id":"` + strings.Repeat("a", 129) + `"` + rest, 400, `"field":"user_id"`},
		"not a country":       {true, `{"user_id":"a","allowed_countries":["gb"],"calls_enabled":true,"max_concurrent_calls":1}`, 400, `"field":"allowed_countries[0]"`},
		"the same twice":      {true, `{"user_id":"a","allowed_countries":["GB","GB"],"calls_enabled":true,"max_concurrent_calls":1}`, 400, `"field":"allowed_countries"`},
		"none at a time":      {true, `{"user_id":"a","allowed_countries":[],"calls_enabled":true,"max_concurrent_calls":0}`, 400, `"field":"max_concurrent_calls"`},
		"101 at a time":       {true, `{"user_id":"a","allowed_countries":[],"calls_enabled":true,"max_concurrent_calls":101}`, 400, `"field":"max_concurrent_calls"`},
		"more calls an hour":  {true, `{"user_id":"a","allowed_countries":[],"calls_enabled":true,"max_concurrent_calls":1,"calls_per_hour":101}`, 400, `"field":"calls_per_hour"`},
		"without the switch":  {true, `{"user_id":"a","allowed_countries":[],"max_concurrent_calls":1}`, 400, `"field":"calls_enabled"`},
		"without countries":   {true, `{"user_id":"a","calls_enabled":true,"max_concurrent_calls":1}`, 400, `"field":"allowed_countries"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := storetest.Open(t, nil)
			if r := send(t, db, tt.admin, tt.body); r.StatusCode != tt.status || !strings.Contains(r.Body, tt.says) {
				t.Errorf("%+v", r)
			}
			for _, who := range []string{"a", user} {
				p, _, err := db.Policy(t.Context(), who)
				if d := cmp.Diff(account.DefaultPolicy(), p); d != "" || err != nil {
					t.Errorf("%v (-default +got):\n%s", err, d)
				}
			}
		})
	}
}

package store_test

import (
	"cmp"
	"errors"
	"testing"
	"time"

	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/call"
	"github.com/krosai/telephony/shared/fault"
	"github.com/krosai/telephony/shared/number"
	"github.com/krosai/telephony/shared/store"
	"github.com/krosai/telephony/shared/store/storetest"
)

// TestDialPermit: the permit of a dial is read just before the dial, so it obeys every change since
// the call was accepted.
func TestDialPermit(t *testing.T) {
	t.Parallel()
	us := account.DefaultPolicy()
	us.AllowedCountries = []string{"US"}
	for name, tt := range map[string]struct {
		change func(*storetest.Database) error
		want   string
	}{
		"nothing changed": {want: ""},
		"calls switched off": {want: "CALLS_DISABLED",
			change: func(db *storetest.Database) error { return db.SetSwitch(t.Context(), false, "", "root") }},
		"the user's calls switched off": {want: "CALLS_DISABLED", change: func(db *storetest.Database) error {
			p := us
			p.CallsEnabled = false
			return db.PutPolicy(t.Context(), "ada", p)
		}},
		"the country taken away": {want: "DESTINATION_NOT_ALLOWED",
			change: func(db *storetest.Database) error { return db.PutPolicy(t.Context(), "ada", account.DefaultPolicy()) }},
		"the agent taken away": {want: "AGENT_NOT_ALLOWED", change: func(db *storetest.Database) error {
			p := us
			p.AllowedAgents = []string{"another"}
			return db.PutPolicy(t.Context(), "ada", p)
		}},
		"the agent allowed by name": {want: "", change: func(db *storetest.Database) error {
			p := us
			p.AllowedAgents = []string{"a", "another"}
			return db.PutPolicy(t.Context(), "ada", p)
		}},
		"the number configured to another trunk": {want: "NUMBER_NOT_CONFIGURED", change: func(db *storetest.Database) error {
			return configure(t, db, "ada", &number.Trunk{OutboundID: "ST_2"})
		}},
		"the number without a trunk": {want: "NUMBER_NOT_CONFIGURED",
			change: func(db *storetest.Database) error { return configure(t, db, "ada", nil) }},
		"the number given back": {want: "NUMBER_NOT_CONFIGURED", change: func(db *storetest.Database) error {
			if err := configure(t, db, "ada", nil); err != nil {
				return err
			}
			_, err := db.Unassign(t.Context(), number.ID("+2348012345678"), "ada", "root")
			return err
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := open(t)
			n := number.Number{ID: number.ID("+2348012345678"), E164: "+2348012345678", Country: "NG", Type: "mobile", UserID: "ada",
				Trunk: &number.Trunk{Address: "sbc.acme.net", OutboundID: "ST_1"}}
			if err := errors.Join(db.PutNumber(t.Context(), n), db.PutPolicy(t.Context(), "ada", us)); err != nil {
				t.Fatal(err)
			}
			c := newCall("1")
			c.NumberID = n.ID
			create(t, db, c)
			if tt.change != nil {
				if err := tt.change(db); err != nil {
					t.Fatal(err)
				}
			}
			db.Trips()
			got, err := db.DialPermit(t.Context(), c)
			if want := cmp.Or(tt.want, "<nil>"); codeOf(err) != want {
				t.Errorf("%v, want %s", err, want)
			}
			if err == nil && got.Trunk.Address != "sbc.acme.net" {
				t.Errorf("number %+v", got)
			}
			if trips := db.Trips(); trips != 1 {
				t.Errorf("%d requests, want 1", trips)
			}
		})
	}
}

// configure gives a user's number another trunk.
func configure(t *testing.T, db *storetest.Database, user string, trunk *number.Trunk) error {
	n, err := db.LeaseNumber(t.Context(), user, number.ID("+2348012345678"), "me", time.Minute)
	if err != nil {
		return err
	}
	n.Trunk, n.UpdatedAt = trunk, t0
	return db.SaveConfiguration(t.Context(), n, "me")
}

// TestRoom: a call that could not be dialed in time is refused. Users who hold their share of the
// places are refused first.
func TestRoom(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		wait, age time.Duration // of the last long wait
		active    int
		share     int
		want      string
		after     time.Duration
	}{
		"a short wait":                 {wait: 4 * time.Second, active: 3, share: 2},
		"some wait, less than a share": {wait: 5 * time.Second, active: 1, share: 2},
		"some wait, a share":           {wait: 5 * time.Second, active: 2, share: 2, want: "AT_CAPACITY", after: 30 * time.Second},
		"some wait, more":              {wait: 59 * time.Second, age: 10 * time.Second, active: 3, share: 2, want: "AT_CAPACITY", after: 20 * time.Second},
		"a long wait":                  {wait: time.Minute, share: 2, want: "AT_CAPACITY", after: 30 * time.Second},
		"a long wait, nearly old":      {wait: time.Minute, age: 29 * time.Second, share: 2, want: "AT_CAPACITY", after: time.Second},
		"an old wait":                  {wait: time.Minute, age: 30 * time.Second, active: 3, share: 2},
		"by a clock that is ahead":     {wait: time.Minute, age: -5 * time.Second, want: "AT_CAPACITY", after: 30 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := open(t)
			for i := range tt.active {
				create(t, db, newCall(string(rune('a'+i))))
			}
			if err := db.RecordWait(t.Context(), tt.wait, t0.Add(-tt.age)); err != nil {
				t.Fatal(err)
			}
			if err := db.RecordWait(t.Context(), time.Second, t0.Add(-tt.age-time.Second)); err != nil { // an older record
				t.Fatal(err)
			}
			err := permit(t, db, "ada", "US").Room(tt.share)
			if want := cmp.Or(tt.want, "<nil>"); codeOf(err) != want {
				t.Fatalf("%v, want %s", err, want)
			}
			if e, ok := errors.AsType[*fault.Error](err); ok && (e.RetryAfter != tt.after || e.Kind != fault.Upstream) {
				t.Errorf("try again after %s, want %s", e.RetryAfter, tt.after)
			}
		})
	}
}

// TestLimitsTellThemselves: when a limit is reached, the answer has its name and its state.
func TestLimitsTellThemselves(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		policy account.Policy
		want   account.Limit
		code   string
	}{
		"calls at a time": {account.Policy{MaxConcurrentCalls: 2},
			account.Limit{Name: "concurrent_calls", Quota: 2, Used: 2, Resets: t0.Add(10 * time.Second), Window: account.NoWindow}, "CONCURRENT_LIMIT_EXCEEDED"},
		"calls an hour": {account.Policy{CallsPerHour: 2},
			account.Limit{Name: "calls", Quota: 2, Used: 2, Resets: t0.Add(30 * time.Minute)}, "RATE_LIMIT_EXCEEDED"},
		"calls to one number": {account.Policy{CallsPerDestination: 2},
			account.Limit{Name: "calls_to_number", Quota: 2, Used: 2, Resets: t0.Add(30 * time.Minute)}, "RATE_LIMIT_EXCEEDED"},
		"minutes a day": {account.Policy{MinutesPerDay: 25}, // each call reserves ten
			account.Limit{Name: "minutes", Quota: 25, Used: 20, Resets: t0.Add(14*time.Hour + 30*time.Minute), Window: 86400}, "RATE_LIMIT_EXCEEDED"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := open(t)
			tt.policy.CallsEnabled = true
			if err := db.PutPolicy(t.Context(), "ada", tt.policy); err != nil {
				t.Fatal(err)
			}
			create(t, db, newCall("1"))
			create(t, db, newCall("2"))
			_, _, got, err := db.CreateCall(t.Context(), newCall("3"), permit(t, db, "ada", "US"), store.Once{})
			if got != tt.want || codeOf(err) != tt.code {
				t.Errorf("%+v, %v; want %+v", got, err, tt.want)
			}
		})
	}
}

// TestTransferObeysAChangedPolicy: a transfer obeys a policy that changes between the reading of
// the permit and the transaction, including the countries.
func TestTransferObeysAChangedPolicy(t *testing.T) {
	t.Parallel()
	db := open(t)
	if err := db.AllowCountries(t.Context(), "ada", "US", "GB"); err != nil {
		t.Fatal(err)
	}
	c := newCall("1")
	create(t, db, c)
	if _, err := db.Advance(t.Context(), c.ID, call.InProgress, t0); err != nil {
		t.Fatal(err)
	}
	may := permit(t, db, "ada", "NG")
	if err := db.AllowCountries(t.Context(), "ada", "US"); err != nil {
		t.Fatal(err)
	}
	_, _, err := db.BeginTransfer(t.Context(), c, may, call.Transfer{ID: "tr_1", To: "+442071838750", Country: "GB", Status: call.TransferPending, At: t0})
	if codeOf(err) != "DESTINATION_NOT_ALLOWED" {
		t.Errorf("%v, want DESTINATION_NOT_ALLOWED", err)
	}
}

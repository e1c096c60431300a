package setconfiguration_test

import (
	"context"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/krosai/telephony/functions/setconfiguration"
	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/api/apitest"
	"github.com/krosai/telephony/shared/fault"
	"github.com/krosai/telephony/shared/invocation"
	lk "github.com/krosai/telephony/shared/livekit"
	"github.com/krosai/telephony/shared/number"
	"github.com/krosai/telephony/shared/numberconfig"
)

// slow implements LiveKit, the numbers and the limits with a delay for each operation, and records
// what became of the number. An operation without a delay hangs.
type slow struct {
	lease, spend, read, apply, restore, save time.Duration

	Released, Broken, Counted bool
	Late                      []string // operations that were cut off although time is reserved for them
}

// take waits for d, or fails when ctx ends first.
func take(ctx context.Context, d time.Duration) error {
	if d == 0 {
		d = time.Hour
	}
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return fault.Unavailable("the service", ctx.Err())
	}
}

// kept is take for an operation that time is reserved for.
func (s *slow) kept(ctx context.Context, what string, d time.Duration) error {
	err := take(ctx, d)
	if err != nil {
		s.Late = append(s.Late, what)
	}
	return err
}

func (s *slow) Number(context.Context, string, string) (number.Number, error) {
	return number.Number{}, nil // no other number is read
}

func (s *slow) LeaseNumber(ctx context.Context, userID, id, _ string, _ time.Duration) (number.Number, error) {
	return number.Number{ID: id, E164: mine, Country: "NG", UserID: userID, Capabilities: []string{"inbound", "outbound"}}, take(ctx, s.lease)
}

func (s *slow) SaveConfiguration(ctx context.Context, n number.Number, _ string) error {
	s.Released, s.Broken = true, n.Fault
	return s.kept(ctx, "save", s.save)
}

func (s *slow) ReleaseLease(ctx context.Context, _ number.Number, _ string) error {
	s.Released = true
	return s.kept(ctx, "release", s.save)
}

func (s *slow) SpendConfiguration(ctx context.Context, _, _ string, _ time.Time) (account.Limit, error) {
	s.Counted = ctx.Err() == nil
	return account.Limit{}, take(ctx, s.spend)
}

func (s *slow) GiveBackConfiguration(ctx context.Context, _ string, _ time.Time) error {
	s.Counted = false
	return s.kept(ctx, "give back", time.Second)
}

func (s *slow) SIPConfiguration(ctx context.Context, _ number.Number) (lk.SIPConfiguration, error) {
	return lk.SIPConfiguration{}, take(ctx, s.read)
}

func (s *slow) Apply(ctx context.Context, _ lk.SIPConfiguration, _ lk.Desired) (lk.SIPConfiguration, error) {
	return lk.SIPConfiguration{}, take(ctx, s.apply)
}

func (s *slow) Restore(ctx context.Context, _ lk.SIPConfiguration) (lk.SIPConfiguration, error) {
	if s.restore == 0 { // a restore that hangs marks the number
		return lk.SIPConfiguration{}, take(ctx, 0)
	}
	return lk.SIPConfiguration{}, s.kept(ctx, "restore", s.restore)
}

// TestTimeIsKept checks that whatever is slow or hangs, there is time to undo the changes, release
// the number, give the hour's count back and answer before Lambda ends the function.
func TestTimeIsKept(t *testing.T) {
	t.Parallel()
	const lambda = 28 * time.Second // as in the template
	const s, quick = time.Second, time.Millisecond
	for name, tt := range map[string]struct{ have, want slow }{
		"nothing": {slow{lease: quick, spend: quick, read: quick, apply: quick, restore: quick, save: quick}, slow{Released: true, Counted: true}},
		"all of it, a little": {slow{lease: 3 * s, spend: 3 * s, read: 3 * s, apply: 3 * s, restore: 5 * s, save: 2 * s},
			slow{Released: true, Counted: true}},
		"the lease hangs":                       {slow{lease: 0, spend: quick, read: quick, apply: quick, restore: quick, save: quick}, slow{}},
		"the lease takes long":                  {slow{lease: 20 * s, spend: quick, read: quick, apply: quick, restore: quick, save: 2 * s}, slow{Released: true}},
		"the count hangs":                       {slow{lease: quick, spend: 0, read: quick, apply: quick, restore: quick, save: 2 * s}, slow{Released: true, Counted: true}},
		"reading LiveKit hangs":                 {slow{lease: 3 * s, spend: 3 * s, read: 0, apply: quick, restore: quick, save: 2 * s}, slow{Released: true}},
		"changing LiveKit hangs":                {slow{lease: quick, spend: quick, read: quick, apply: 0, restore: 5 * s, save: 2 * s}, slow{Released: true}},
		"changing LiveKit hangs after a slow":   {slow{lease: 6 * s, spend: 3 * s, read: 3 * s, apply: 0, restore: 5 * s, save: 2 * s}, slow{Released: true}},
		"LiveKit hangs altogether":              {slow{lease: quick, spend: quick, read: quick, apply: 0, restore: 0, save: 2 * s}, slow{Released: true, Broken: true}},
		"LiveKit hangs altogether after a slow": {slow{lease: 6 * s, spend: 3 * s, read: 3 * s, apply: 0, restore: 0, save: 2 * s}, slow{Released: true, Broken: true}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			// The bench is opened outside the bubble, whose clock stands still while the bench's
			// issuer waits for connections.
			outside := apitest.Open(t, nil)
			_, key := outside.Key(user, account.NumbersWrite)
			synctest.Test(t, func(t *testing.T) {
				got := tt.have
				b := *outside
				b.TB, b.Timeout = t, lambda-invocation.Margin
				b.Serve(&setconfiguration.Endpoint{Numbers: &got, Limits: &got, Now: time.Now,
					Configurer: &numberconfig.Configurer{Numbers: &got, LiveKit: &got, Now: time.Now}})
				start := time.Now()
				a := b.Ask(key, "POST", "/outbound-calls/phone-numbers/"+number.ID(mine)+"/configure",
					`{"dispatch_rule":{"rule_name":"Support line","agent_name":"support-agent"}}`)
				if took := time.Since(start); took >= lambda || a.Status != http.StatusOK && a.Status != http.StatusServiceUnavailable {
					t.Errorf("%d %s after %s", a.Status, a.Text, took)
				}
				if d := cmp.Diff(tt.want, slow{Released: got.Released, Broken: got.Broken, Counted: got.Counted, Late: got.Late}, cmp.AllowUnexported(slow{})); d != "" {
					t.Error(d)
				}
			})
		})
	}
}

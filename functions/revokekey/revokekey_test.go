package revokekey_test

import (
	"crypto/rand"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/krosai/telephony/functions/revokekey"
	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/api/apitest"
)

const (
	keyID    = "key_01JD8Z7N5R4T3V2W1X0YABCDEG"
	othersID = "key_01JD8Z7N5R4T3V2W1X0YABCDEH"
	absentID = "key_01JD8Z7N5R4T3V2W1X0YABCDEJ"
)

var morning = time.Date(2026, 11, 22, 9, 30, 0, 123e6, time.UTC)

// bench serves the function and holds a key of ada's.
type bench struct {
	*apitest.Bench
	caller string
}

func setup(t *testing.T, scope string) *bench {
	t.Helper()
	b := &bench{Bench: apitest.Open(t, func() time.Time { return morning })}
	b.Serve(&revokekey.Endpoint{Keys: b.DB})
	_, b.caller = b.Key("ada", scope)
	return b
}

func (b *bench) key(id, user string, revoked time.Time) (sum [32]byte) {
	b.Helper()
	k, text, err := account.Issue(account.Key{ID: id, UserID: user, Scopes: account.Scopes(), CreatedAt: morning, RevokedAt: revoked}, rand.Reader)
	b.Must(err)
	b.Must(b.PutKey(b.Context(), k))
	_, sum, _ = account.ParseKey(text)
	return sum
}

func (b *bench) revoke(id string) apitest.Answer {
	b.Helper()
	return b.Ask(b.caller, "DELETE", "/api-keys/"+id, "")
}

func TestRevoke(t *testing.T) {
	t.Parallel()
	for name, before := range map[string]time.Time{"live": {}, "in its time of grace": morning.Add(time.Hour), "revoked": morning.Add(-time.Hour)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, account.KeysWrite)
			sum := b.key(keyID, "ada", before)
			want := morning
			if !before.IsZero() && before.Before(morning) {
				want = before
			}
			for i, when := range []string{"first", "again"} {
				b.Trips()
				most := 3 - i // a key that is revoked is not written again
				if a, trips := b.revoke(keyID), b.Trips(); a.Status != 204 || a.Text != "" || trips > most {
					t.Errorf("%s: %d %s, %d DynamoDB round trips", when, a.Status, a.Text, trips)
				}
				if _, err := b.UseKey(t.Context(), keyID, sum); err == nil {
					t.Errorf("%s: the key is still let in", when)
				}
				if k, err := b.DB.Key(t.Context(), "ada", keyID); err != nil || !k.RevokedAt.Equal(want) {
					t.Errorf("%s: revoked at %v, want %v; %v", when, k.RevokedAt, want, err)
				}
			}
		})
	}
}

// TestItself checks the sample event, in which a key revokes itself.
func TestItself(t *testing.T) {
	t.Parallel()
	b := setup(t, account.KeysWrite)
	b.SampleKey("ada", account.KeysWrite)
	if a := b.Replay("revokekey", ""); a.Status != 204 {
		t.Errorf("%d %s", a.Status, a.Text)
	}
	if a := b.Replay("revokekey", ""); a.Status != 401 {
		t.Errorf("by a revoked key: %d %s", a.Status, a.Text)
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	b := setup(t, account.KeysWrite)
	sum := b.key(othersID, "bob", time.Time{})
	anothers, absent := b.revoke(othersID), b.revoke(absentID)
	if diff := cmp.Diff(absent.Text, anothers.Text); anothers.Status != 404 || diff != "" {
		t.Errorf("another user's key and none differ: %d %s", anothers.Status, diff)
	}
	if _, err := b.UseKey(t.Context(), othersID, sum); err != nil {
		t.Errorf("another user's key is dead: %v", err)
	}
	other := setup(t, account.CallsWrite)
	other.key(keyID, "ada", time.Time{})
	if a := other.revoke(keyID); a.Status != 403 {
		t.Errorf("without the scope: %d %s", a.Status, a.Text)
	}
}

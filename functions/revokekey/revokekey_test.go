package revokekey_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"log/slog"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/krosai/telephony/functions/revokekey"
	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/api"
	"github.com/krosai/telephony/shared/api/apitest"
	"github.com/krosai/telephony/shared/lambdahttp"
	"github.com/krosai/telephony/shared/secret"
	"github.com/krosai/telephony/shared/store/storetest"
)

const (
	sampleKey = "kros_live_01KAMPJ5V0SAMPMEKEY0000000_ThisIsTheSampleKeyOfEventsOnly1iVkyP"
	sampleID  = "key_01KAMPJ5V0SAMPMEKEY0000000"
	keyID     = "key_01JD8Z7N5R4T3V2W1X0YABCDEG"
	othersID  = "key_01JD8Z7N5R4T3V2W1X0YABCDEH"
	absentID  = "key_01JD8Z7N5R4T3V2W1X0YABCDEJ"
)

var morning = time.Date(2026, 11, 22, 9, 30, 0, 123e6, time.UTC)

type bench struct {
	*testing.T
	*storetest.Database
	lambda interface {
		Invoke(context.Context, []byte) ([]byte, error)
	}
}

// newBench serves the function with a database in which the sample key is ada's.
func newBench(t *testing.T, scopes ...string) *bench {
	t.Helper()
	now := func() time.Time { return morning }
	b := &bench{T: t, Database: storetest.Open(t, now)}
	_, sum, _ := account.ParseKey(sampleKey)
	b.must(b.PutKey(t.Context(), account.Key{ID: sampleID, UserID: "ada", Hash: sum[:], Scopes: scopes}))
	edge := &api.Edge{Keys: b.DB, Now: now, Log: slog.New(slog.DiscardHandler), CursorKey: secret.New("a cursor key for the tests of keys")}
	b.lambda = lambdahttp.Handler(edge.Handler(&revokekey.Endpoint{Keys: b.DB}))
	return b
}

func (b *bench) must(err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

func (b *bench) key(id, user string, revoked time.Time) (sum [32]byte) {
	b.Helper()
	k, text, err := account.Issue(account.Key{ID: id, UserID: user, Scopes: account.Scopes(), CreatedAt: morning, RevokedAt: revoked}, rand.Reader)
	b.must(err)
	b.must(b.PutKey(b.Context(), k))
	_, sum, _ = account.ParseKey(text)
	return sum
}

type reply struct {
	StatusCode int
	Body       string
}

// revoke sends the sample event for the key id.
func (b *bench) revoke(id string) reply {
	b.Helper()
	event := apitest.Event(b, "revokekey", nil)
	out, err := b.lambda.Invoke(b.Context(), []byte(strings.ReplaceAll(string(event), sampleID, id)))
	b.must(err)
	var r reply
	b.must(json.Unmarshal(out, &r))
	return r
}

func TestRevoke(t *testing.T) {
	t.Parallel()
	for name, before := range map[string]time.Time{"live": {}, "in its time of grace": morning.Add(time.Hour), "revoked": morning.Add(-time.Hour)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, account.KeysWrite)
			sum := b.key(keyID, "ada", before)
			want := morning
			if !before.IsZero() && before.Before(morning) {
				want = before
			}
			for i, when := range []string{"first", "again"} {
				b.Trips()
				most := 3 - i // a key that is revoked is not written again
				if r, trips := b.revoke(keyID), b.Trips(); r.StatusCode != 204 || r.Body != "" || trips > most {
					t.Errorf("%s: %+v, %d DynamoDB round trips", when, r, trips)
				}
				if _, err := b.UseKey(t.Context(), keyID, sum); err == nil {
					t.Errorf("%s: the key is still let in", when)
				}
				if k, err := b.Key(t.Context(), "ada", keyID); err != nil || !k.RevokedAt.Equal(want) {
					t.Errorf("%s: revoked at %v, want %v; %v", when, k.RevokedAt, want, err)
				}
			}
		})
	}
}

func TestItself(t *testing.T) {
	t.Parallel()
	b := newBench(t, account.KeysWrite)
	if r := b.revoke(sampleID); r.StatusCode != 204 {
		t.Errorf("%+v", r)
	}
	if r := b.revoke(sampleID); r.StatusCode != 401 {
		t.Errorf("by a revoked key: %+v", r)
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	b := newBench(t, account.KeysWrite)
	sum := b.key(othersID, "bob", time.Time{})
	id := regexp.MustCompile(`"request_id":"[^"]*"`)
	anothers, absent := b.revoke(othersID), b.revoke(absentID)
	if diff := cmp.Diff(id.ReplaceAllString(absent.Body, ""), id.ReplaceAllString(anothers.Body, "")); anothers.StatusCode != 404 || diff != "" {
		t.Errorf("another user's key and none differ: %d %s", anothers.StatusCode, diff)
	}
	if _, err := b.UseKey(t.Context(), othersID, sum); err != nil {
		t.Errorf("another user's key is dead: %v", err)
	}
	if r := newBench(t, account.CallsWrite).revoke(sampleID); r.StatusCode != 403 {
		t.Errorf("without the scope: %+v", r)
	}
}

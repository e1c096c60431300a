package api_test

import (
	"context"
	"errors"
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/api"
	"github.com/krosai/telephony/shared/fault"
)

// tokens accepts some tokens and counts the calls.
type tokens struct {
	callers map[string]account.Caller
	err     error // for other tokens
	asked   int
}

func (k *tokens) Verify(_ context.Context, token string) (account.Caller, error) {
	k.asked++
	if c, ok := k.callers[token]; ok {
		return c, nil
	}
	return account.Caller{}, k.err
}

var badToken = fault.New(fault.Unauthenticated, "UNAUTHENTICATED", "a reason that nobody is told")

func TestTokens(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	known := &tokens{err: badToken, callers: map[string]account.Caller{
		"user.of.ours": {UserID: "ada"}, "admin.of.ours": {UserID: "root", Admin: true}, "nobody.at.all": {},
	}}
	b.edge.Tokens = known
	h := b.edge.Handler(things{})
	none := overHTTP(t, h, ask{method: "GET", target: "/things"})
	for _, c := range []struct {
		name, token, target string
		status, asked       int
	}{
		{"a user may do everything of theirs", "user.of.ours", "/things", 200, 1},
		{"a user is no administrator", "user.of.ours", "/admin/things", 403, 1},
		{"an administrator", "admin.of.ours", "/admin/things", 200, 1},
		{"a token without a user", "nobody.at.all", "/things", 401, 1},
		{"an unknown token", "a.b.c", "/things", 401, 1},
		{"one dot", "user.of", "/things", 401, 0},
		{"three dots", "user.of.ours.", "/things", 401, 0},
		{"no dots", "nonsense", "/things", 401, 0},
		{"nothing", "", "/things", 401, 0},
		{"an API key", b.reader, "/things", 200, 0},
		{"an API key with a wrong checksum", b.reader[:72] + "-", "/things", 401, 0},
	} {
		known.asked, b.keys.asked = 0, 0
		got := overHTTP(t, h, ask{method: "GET", target: c.target, header: http.Header{"Authorization": {"Bearer " + c.token}}})
		if got.status != c.status || known.asked != c.asked {
			t.Errorf("%s: status %d after %d questions, want %d after %d", c.name, got.status, known.asked, c.status, c.asked)
		}
		if c.asked > 0 && b.keys.asked > 0 {
			t.Errorf("%s: looked for an API key as well", c.name)
		}
		if diff := cmp.Diff(withoutRequestID(none), withoutRequestID(got)); c.status == 401 && diff != "" {
			t.Errorf("%s: not the 401 of a request without a credential: %s", c.name, diff)
		}
	}
}

// TestTokensCannotBeChecked checks that the answer is 503, because a token that cannot be checked
// may be valid.
func TestTokensCannotBeChecked(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.edge.Tokens = &tokens{err: fault.Unavailable("the issuer", errors.New(causeIs))}
	got := overLambda(t, b.edge.Handler(things{}), ask{method: "GET", target: "/things", key: "a.b.c"})
	if got.status != 503 || got.header.Get("Retry-After") != "5" {
		t.Errorf("status %d, Retry-After %q: %s", got.status, got.header.Get("Retry-After"), got.body)
	}
}

var _ api.Tokens = (*tokens)(nil)

package e2e

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/krosai/telephony/local/issuer"
	"github.com/krosai/telephony/local/platform"
)

// TestUsersTokens checks that a user sees the same with a token as with an API key, and that other
// users do not see it.
func TestUsersTokens(t *testing.T) {
	t.Parallel()
	a := shared.Access
	alice, err := platform.Token(shared.Config, "alice", nil, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	old, err := platform.Token(shared.Config, "demo", nil, -time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	impostor, err := issuer.Open(filepath.Join(t.TempDir(), "issuer.pem"), issuer.Config{URL: a.Issuer})
	if err != nil {
		t.Fatal(err)
	}
	forged, err := impostor.Token("demo", nil, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(a.UserJWT, ".")
	for name, c := range map[string]struct {
		credential string
		status     int // of a read of the demo user's number
	}{
		"the demo user's key":       {a.APIKey, 200},
		"the demo user's token":     {a.UserJWT, 200},
		"alice's token":             {alice, 404},
		"the administrator's token": {a.AdminJWT, 404},
		"an old token":              {old, 401},
		"another key's signature":   {forged, 401},
		"another token's signature": {parts[0] + "." + strings.Split(a.AdminJWT, ".")[1] + "." + parts[2], 401},
		"an unsigned token":         {"eyJhbGciOiJub25lIn0." + parts[1] + ".", 401},
	} {
		got := user{t, a.URL, c.credential}.do("GET", "/outbound-calls/phone-numbers/"+a.NumberID+"/configuration", nil)
		if got.Status != c.status {
			t.Errorf("%s: status %d, want %d: %s", name, got.Status, c.status, got.Body)
		}
	}
}

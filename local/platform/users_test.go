package platform

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/caarlos0/env/v11"
	"github.com/google/go-cmp/cmp"

	"github.com/krosai/telephony/shared/account"
)

// TestTokens checks that tokens from .local/env and from "kros token" are valid for the users that
// they name, and stay valid after the platform restarts.
func TestTokens(t *testing.T) {
	t.Parallel()
	c := Config{Dir: t.TempDir()}
	if token, err := Token(c, "alice", nil, time.Hour); err == nil {
		t.Errorf("a token of a platform that never ran: %s", token)
	}
	p := &Platform{Config: c}
	if err := p.startIssuer(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	if err := p.remember(); err != nil {
		t.Fatal(err)
	}
	vars, err := readEnv(filepath.Join(c.Dir, "env"))
	if err != nil {
		t.Fatal(err)
	}
	alice, err := Token(c, "alice", nil, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	bob, err := Token(c, "bob", []string{account.Admin}, 24*time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	for token, want := range map[string]account.Caller{
		vars["KROS_USER_JWT"]:  {UserID: demoUser},
		vars["KROS_ADMIN_JWT"]: {UserID: adminUser, Admin: true},
		alice:                  {UserID: "alice"},
		bob:                    {UserID: "bob", Admin: true},
	} {
		got, err := p.users.Verify(t.Context(), token)
		if err != nil {
			t.Errorf("%s: %v", want.UserID, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	}
	for _, name := range []string{"env", "issuer.pem"} {
		info, err := os.Stat(filepath.Join(c.Dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %o, want 600", name, info.Mode().Perm())
		}
	}
}

func TestDue(t *testing.T) {
	t.Parallel()
	issued := time.Now()
	for after, want := range map[time.Duration]bool{0: false, 12*time.Hour - 1: false, 12 * time.Hour: true, 30 * time.Hour: true} {
		if got := due(issued, issued.Add(after)); got != want {
			t.Errorf("after %s: %v", after, got)
		}
	}
}

// TestOfferedNames checks that no variable of .local/env is a setting of the platform.
func TestOfferedNames(t *testing.T) {
	t.Parallel()
	p := &Platform{Config: Config{Dir: t.TempDir()}}
	if err := p.remember(); err != nil {
		t.Fatal(err)
	}
	offered, err := readEnv(p.envFile())
	if err != nil || len(offered) < 15 {
		t.Fatal(offered, err)
	}
	settings, err := env.GetFieldParams(&Config{})
	if err != nil || len(settings) < 10 {
		t.Fatal(settings, err)
	}
	for _, s := range settings {
		if _, both := offered[s.Key]; both {
			t.Errorf("%s is a setting, and is offered", s.Key)
		}
	}
}

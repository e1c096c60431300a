package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/go-cmp/cmp"

	"github.com/krosai/telephony/local/platform"
)

func TestToken(t *testing.T) {
	t.Parallel()
	c := platform.Config{Dir: t.TempDir()}
	if err := token(c, []string{"-sub", "alice"}, os.Stdout); err == nil || !strings.Contains(err.Error(), "make run") {
		t.Errorf("before the first start: %v", err)
	}
	if err := os.WriteFile(filepath.Join(c.Dir, "env"), []byte("KROS_ISSUER=http://127.0.0.1:8083\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range []string{"-sub ", "-sub a#b", "-ttl 25h", "-ttl 0s", "alice", "-nope"} {
		var out bytes.Buffer
		if err := token(c, strings.Split(args, " "), &out); err == nil || out.Len() > 0 {
			t.Errorf("kros token %s: %v, printed %q", args, err, &out)
		}
	}
	for args, want := range map[string]jwt.MapClaims{
		"-sub alice":                {"sub": "alice", "roles": []any{}, "lives": 86400.0},
		"-sub bob -admin -ttl 1h":   {"sub": "bob", "roles": []any{"admin"}, "lives": 3600.0},
		"-sub=auth0|1:2 -admin=0":   {"sub": "auth0|1:2", "roles": []any{}, "lives": 86400.0},
		"--admin --sub carol@x.org": {"sub": "carol@x.org", "roles": []any{"admin"}, "lives": 86400.0},
	} {
		var out bytes.Buffer
		if err := token(c, strings.Split(args, " "), &out); err != nil {
			t.Errorf("kros token %s: %v", args, err)
			continue
		}
		got := jwt.MapClaims{}
		if _, _, err := jwt.NewParser().ParseUnverified(strings.TrimSpace(out.String()), got); err != nil {
			t.Fatal(err)
		}
		got["lives"] = got["exp"].(float64) - got["iat"].(float64)
		delete(got, "exp")
		delete(got, "iat")
		want["iss"], want["aud"] = "http://127.0.0.1:8083", "kros"
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("kros token %s: %s", args, diff)
		}
	}
}

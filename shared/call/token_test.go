package call_test

import (
	"strings"
	"testing"

	"github.com/krosai/telephony/shared/call"
	"github.com/krosai/telephony/shared/secret"
)

const id = "call_01KAMPJ5V0SAMPMECA00000000"

// TestToken checks the exact token, because agents rely on it: printf 'call token\0<id>' | openssl
// dgst -sha256 -hmac 'a key for tests' -binary | basenc --base64url.
func TestToken(t *testing.T) {
	t.Parallel()
	key := secret.New("a key for tests")
	if got, want := call.Token(key, id), "kct_LGcU1JnNdYUypAd5sdet5s9ZiNpLPYOntNejmQuN7pU"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestValid(t *testing.T) {
	t.Parallel()
	key := secret.New("a key for tests")
	good := call.Token(key, id)
	for name, tt := range map[string]struct {
		key    secret.Secret
		callID string
		token  string
		want   bool
	}{
		"the call's own":        {key, id, good, true},
		"another call":          {key, id[:len(id)-1] + "1", good, false},
		"another key":           {secret.New("another key for tests"), id, good, false},
		"none":                  {key, id, "", false},
		"no prefix":             {key, id, strings.TrimPrefix(good, "kct_"), false},
		"padded":                {key, id, good + "=", false},
		"cut short":             {key, id, good[:len(good)-1], false},
		"no key":                {secret.Secret{}, id, good, false},
		"no key and no token":   {secret.Secret{}, id, "", false},
		"of no call":            {key, "", call.Token(key, id), false},
		"the prefix and no mac": {key, id, "kct_", false},
	} {
		if got := call.ValidToken(tt.key, tt.callID, tt.token); got != tt.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}

// Package calltoken generates and checks call tokens. An agent presents a token to write the
// transcript of the call it is on. A token is valid for one call and nothing else, and nothing
// about it is stored.
package calltoken

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"

	"github.com/krosai/telephony/shared/secret"
)

const prefix = "kct_"

// Make is the token of a call: kct_ and the unpadded base64url HMAC-SHA256 of its id. Every
// function must have the same key. Without a key it is empty, and there are no tokens.
func Make(key secret.Secret, callID string) string {
	if key.IsZero() {
		return ""
	}
	mac := hmac.New(sha256.New, []byte(key.Reveal()))
	mac.Write([]byte("call token\x00" + callID))
	return prefix + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// Valid reports whether token is the token of this call. It compares in constant time. Without a
// key no token is valid.
func Valid(key secret.Secret, callID, token string) bool {
	want := Make(key, callID)
	return want != "" && hmac.Equal([]byte(want), []byte(token))
}

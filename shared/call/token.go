package call

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"

	"github.com/krosai/telephony/shared/secret"
)

const tokenPrefix = "kct_"

// Token is the token of a call, with which an agent writes the transcript of the call it is on. It
// is valid for this call and nothing else, and nothing about it is stored. The token is kct_ and
// the unpadded base64url HMAC-SHA256 of its id. Every function must have the same key. Without a
// key it is empty, and there are no tokens.
func Token(key secret.Secret, callID string) string {
	if key.IsZero() {
		return ""
	}
	mac := hmac.New(sha256.New, []byte(key.Reveal()))
	mac.Write([]byte("call token\x00" + callID))
	return tokenPrefix + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// ValidToken reports whether token is the token of this call. It compares in constant time. Without
// a key no token is valid.
func ValidToken(key secret.Secret, callID, token string) bool {
	want := Token(key, callID)
	return want != "" && hmac.Equal([]byte(want), []byte(token))
}

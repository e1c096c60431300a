package account

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"strings"
	"time"

	"github.com/krosai/telephony/shared/id"
)

// The text of an API key is
//
//	kros_live_<ULID of the key id>_<30 random base62><6 base62 CRC-32 of all before>
//
// The fixed prefix lets secret scanners find leaked keys. The id makes a lookup one read by primary
// key. The checksum rejects typing errors and guesses before any read.
const (
	keyStart  = "kros_live_"
	randomLen = 30
	sumLen    = 6
	keyLen    = len(keyStart) + id.Length + 1 + randomLen + sumLen

	base62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
)

// NewKey generates the text of a new key for a key id. It fails if keyID is not such an id or if
// random ends.
func NewKey(keyID string, random io.Reader) (string, error) {
	if !id.Key.Valid(keyID) {
		return "", errors.New("key id is not key_ and a ULID")
	}
	text := []byte(keyStart + strings.TrimPrefix(keyID, string(id.Key)) + "_")
	var b [1]byte
	for n := 0; n < randomLen; {
		if _, err := io.ReadFull(random, b[:]); err != nil {
			return "", fmt.Errorf("random characters of a key: %w", err)
		}
		if b[0] >= 4*62 {
			continue // keeps every character equally likely
		}
		text = append(text, base62[b[0]%62])
		n++
	}
	return string(text) + checksum(text), nil
}

// Issue generates the text of the key k.ID. It returns k with the stored part, the hash and the
// last four characters, and the text. It fails as NewKey does.
func Issue(k Key, random io.Reader) (Key, string, error) {
	text, err := NewKey(k.ID, random)
	if err != nil {
		return Key{}, "", err
	}
	sum := sha256.Sum256([]byte(text))
	k.Hash, k.LastFour = sum[:], text[keyLen-4:]
	return k, text, nil
}

// ParseKey checks the form and the checksum of a key's text. It returns the key id and the SHA-256
// of the text. It does not check that the key exists.
func ParseKey(text string) (keyID string, sum [32]byte, ok bool) {
	if len(text) != keyLen || !strings.HasPrefix(text, keyStart) {
		return "", sum, false
	}
	keyID = string(id.Key) + text[len(keyStart):len(keyStart)+id.Length]
	rest := text[len(keyStart)+id.Length:]
	if !id.Key.Valid(keyID) || rest[0] != '_' || !only(base62, rest[1:]) {
		return "", sum, false
	}
	if checksum([]byte(text[:keyLen-sumLen])) != text[keyLen-sumLen:] {
		return "", sum, false
	}
	return keyID, sha256.Sum256([]byte(text)), true
}

func checksum(text []byte) string {
	var out [sumLen]byte
	n := crc32.ChecksumIEEE(text)
	for i := sumLen - 1; i >= 0; i-- {
		out[i] = base62[n%62]
		n /= 62
	}
	return string(out[:])
}

func only(alphabet, s string) bool {
	for i := range len(s) {
		if strings.IndexByte(alphabet, s[i]) < 0 {
			return false
		}
	}
	return true
}

// SpentKeys is the exhausted limit of a user after KeysPerHour API keys created in the hour of now.
func SpentKeys(now time.Time) Limit {
	return Limit{Name: "api_keys", Quota: KeysPerHour, Used: KeysPerHour, Resets: now.UTC().Truncate(time.Hour).Add(time.Hour)}
}

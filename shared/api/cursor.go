package api

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/krosai/telephony/shared/fault"
	"github.com/krosai/telephony/shared/secret"
)

// maxCursor is the longest accepted cursor, in characters.
const maxCursor = 6144

// sealCursor encodes a position in a list as its next_cursor. The cursor is sealed with AES-256-GCM
// and valid only for this caller and this operation.
func sealCursor(ctx context.Context, at position) (string, error) {
	aead, bound, err := cursorCipher(ctx)
	if err != nil {
		return "", err
	}
	plain, err := json.Marshal(at)
	if err != nil {
		return "", fmt.Errorf("encode cursor: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(aead.Seal(nil, nil, plain, bound)), nil
}

// openCursor decodes a cursor from sealCursor into at. Any other text, and a cursor of another
// caller or operation, is a fault.Invalid about the field cursor.
func openCursor(ctx context.Context, cursor string, at *position) error {
	aead, bound, err := cursorCipher(ctx)
	if err != nil {
		return err
	}
	sealed, err := base64.RawURLEncoding.Strict().DecodeString(cursor)
	if err != nil || len(cursor) > maxCursor {
		return badCursor()
	}
	plain, err := aead.Open(nil, nil, sealed, bound)
	if err != nil || json.Unmarshal(plain, at) != nil {
		return badCursor()
	}
	return nil
}

func badCursor() error {
	return fault.InvalidField("cursor", "malformed", "is not a next_cursor of this list")
}

// cursorCipher returns the cipher of cursors, which generates its own nonces, and the data that a
// cursor is bound to.
func cursorCipher(ctx context.Context) (cipher.AEAD, []byte, error) {
	rq := requestOf(ctx)
	if rq == nil {
		return nil, nil, errors.New("cursor outside a request")
	}
	aead, err := newCipher("krosai cursor", rq.edge.CursorKey)
	return aead, []byte(rq.caller.UserID + "\x00" + rq.route), err
}

// newCipher derives the cipher of one purpose from the edge's key.
func newCipher(purpose string, key secret.Secret) (cipher.AEAD, error) {
	if key.IsZero() {
		return nil, errors.New("the edge has no cursor key")
	}
	sum := sha256.Sum256([]byte(purpose + "\x00" + key.Reveal()))
	block, err := aes.NewCipher(sum[:])
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

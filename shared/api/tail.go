package api

import (
	"context"

	"github.com/krosai/telephony/shared/fault"
)

// OpenAfter decodes the position that SealAfter sealed for this caller, this operation and this
// filter. An empty after is the empty position. Any other text is a fault.Invalid about the
// field after.
func OpenAfter(ctx context.Context, after, filter string) (string, error) {
	if after == "" {
		return "", nil
	}
	var at position
	if err := openCursor(ctx, after, &at); err != nil {
		if fault.Is(err, fault.Invalid) {
			err = fault.InvalidField("after", "malformed", "is not a next_after of this list")
		}
		return "", err
	}
	if at.Filter != filter {
		return "", fault.InvalidField("after", "mismatch", "belongs to a list that was asked for otherwise")
	}
	return at.After, nil
}

// SealAfter encodes a position in a list that continues as its next_after.
func SealAfter(ctx context.Context, at, filter string) (string, error) {
	return sealCursor(ctx, position{filter, at})
}

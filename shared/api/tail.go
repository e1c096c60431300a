package api

import (
	"context"

	"github.com/krosai/telephony/shared/fault"
)

// OpenAfter reads the position that SealAfter sealed for this caller, this
// operation and this filter. An empty after is the empty position. Any other is a
// fault.Invalid about the field after.
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

// SealAfter makes the next_after of a list that goes on, from a position in it.
func SealAfter(ctx context.Context, at, filter string) (string, error) {
	return sealCursor(ctx, position{filter, at})
}

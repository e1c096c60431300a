package api

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"

	"github.com/krosai/telephony/shared/fault"
)

// Page is the answer of every list endpoint: a part of the list. next_cursor is null at its end.
type Page[V any] struct {
	Data       []V     `json:"data"`
	NextCursor *string `json:"next_cursor"`
}

// position is the end of a page of a list, and the filter of the list.
type position struct {
	Filter string `json:"f,omitempty"`
	After  string `json:"a"`
}

// maxPage is the largest page in bytes of JSON, even if more was requested. maxEscaped is the same
// limit for the page as a JSON string, because Lambda returns at most 6 MB.
const (
	maxPage    = 4 << 20
	maxEscaped = 5 << 20
)

// List reads the page of a list that begins at cursor, or at the start if cursor is empty. A page
// holds at most limit things and maxPage bytes, but at least one thing if any are left. read
// returns at most limit things after the position after, and the position after them, empty at the
// end. view converts one thing. The next_cursor is valid only for this caller, this operation and
// this filter. filter is any canonical text of the query's filters. Any other cursor is a
// fault.Invalid about the field cursor.
func List[T, V any](ctx context.Context, cursor, filter string, limit int, view func(T) V,
	read func(after string, limit int) ([]T, string, error)) (page Page[V], err error) {
	var at position
	if cursor != "" {
		if err := openCursor(ctx, cursor, &at); err != nil {
			return page, err
		}
		if at.Filter != filter {
			return page, fault.InvalidField("cursor", "mismatch", "belongs to a list that was asked for otherwise")
		}
	}
	next := ""
	for {
		var things []T
		if things, next, err = read(at.After, limit); err != nil {
			return page, err
		}
		page.Data = make([]V, 0, len(things))
		for _, thing := range things {
			page.Data = append(page.Data, view(thing))
		}
		fit, err := fitting(page.Data)
		if err != nil {
			return page, err
		}
		if fit >= len(things) {
			break
		}
		limit = fit // only the store knows the position at the end of a shorter page
	}
	if next != "" {
		sealed, err := sealCursor(ctx, position{filter, next})
		if err != nil {
			return page, err
		}
		page.NextCursor = &sealed
	}
	return page, nil
}

// fitting is how many of the first views fit into a page, at least one.
func fitting[V any](views []V) (int, error) {
	size, escaped := 0, 0
	for i, v := range views {
		text, err := json.Marshal(v)
		if err != nil {
			return 0, fmt.Errorf("encode a page: %w", err)
		}
		size += len(text) + 1
		escaped += len(text) + 1 + bytes.Count(text, []byte(`"`)) + bytes.Count(text, []byte(`\`))
		if size > maxPage || escaped > maxEscaped {
			return max(1, i), nil
		}
	}
	return max(1, len(views)), nil
}

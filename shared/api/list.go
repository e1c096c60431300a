package api

import (
	"context"

	"github.com/krosai/telephony/shared/fault"
)

// Page is what every list endpoint answers: a part of the list; next_cursor is
// null at its end.
type Page[V any] struct {
	Data       []V     `json:"data"`
	NextCursor *string `json:"next_cursor"`
}

// position is where a page of a list ends, and what else the list was asked for.
type position struct {
	Filter string `json:"f,omitempty"`
	After  string `json:"a"`
}

// List reads the page of a list that begins where cursor says, or with the list
// when cursor is empty. read returns what comes behind the position after, and
// the after of the rest, empty at the end; view shows one of the things read.
// The next_cursor is good only for this caller, this operation and this filter:
// any text that is the same when the same is asked for. Another cursor is a
// fault.Invalid about the field cursor.
func List[T, V any](ctx context.Context, cursor, filter string, view func(T) V, read func(after string) ([]T, string, error)) (page Page[V], err error) {
	var at position
	if cursor != "" {
		if err := openCursor(ctx, cursor, &at); err != nil {
			return page, err
		}
		if at.Filter != filter {
			return page, fault.InvalidField("cursor", "mismatch", "belongs to a list that was asked for otherwise")
		}
	}
	things, next, err := read(at.After)
	if err != nil {
		return page, err
	}
	page.Data = make([]V, 0, len(things))
	for _, thing := range things {
		page.Data = append(page.Data, view(thing))
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

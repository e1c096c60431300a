package event

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"hash/fnv"
	"slices"
	"time"
)

// Overlap is how far before the latest event that a reader has met a new event may still appear, by
// its time of writing. The clocks of the writing functions differ, and a write takes time. The
// store attempts a transaction for at most 10 s. The rest is for clocks, which on Lambda differ by
// far less.
const Overlap = 20 * time.Second

// mostSeen is how many events a cursor remembers, so that it fits into a query string. For a user
// with more events within Overlap, a reader looks back less far.
const mostSeen = 250

// Cursor is a position in a user's log. Events are ordered by the time of their writing, and an
// event with an earlier time may appear after the cursor has passed it. A cursor therefore reads
// again the events written less than Overlap before the latest event it has met, and remembers
// which of them it has met. The zero Cursor is the beginning of the log.
type Cursor struct {
	From time.Time // read events recorded then and later
	seen []mark
}

// mark is an event that a cursor has met.
type mark struct {
	at   int64  // recorded, Unix milliseconds
	hash uint32 // of its id
}

func markOf(e Event) mark {
	h := fnv.New32a()
	h.Write([]byte(e.ID))
	return mark{e.Recorded.UnixMilli(), h.Sum32()}
}

// Latest is the cursor after all events recorded before now.
func Latest(now time.Time) Cursor { return Cursor{From: now.UTC().Truncate(time.Millisecond)} }

// Met reports whether the cursor has met an event.
func (c Cursor) Met(e Event) bool {
	return e.Recorded.Before(c.From) || slices.Contains(c.seen, markOf(e))
}

// Past is the cursor after events that it has not met, given in the order of their writing.
func (c Cursor) Past(events []Event) Cursor {
	if len(events) == 0 {
		return c
	}
	seen := slices.Clone(c.seen)
	for _, e := range events {
		seen = append(seen, markOf(e))
	}
	slices.SortFunc(seen, func(a, b mark) int { return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.hash, b.hash)) })
	from := max(c.From.UnixMilli(), seen[len(seen)-1].at-Overlap.Milliseconds())
	if extra := len(seen) - mostSeen; extra > 0 {
		from = max(from, seen[extra-1].at+1)
	}
	seen = slices.DeleteFunc(seen, func(m mark) bool { return m.at < from })
	return Cursor{From: time.UnixMilli(from).UTC(), seen: seen}
}

// End is the cursor of a reader that has met all events present at now. It need not look back
// further than Overlap.
func (c Cursor) End(now time.Time) Cursor {
	from := max(c.From.UnixMilli(), now.Add(-Overlap).UnixMilli())
	return Cursor{From: time.UnixMilli(from).UTC(), seen: slices.DeleteFunc(slices.Clone(c.seen), func(m mark) bool { return m.at < from })}
}

// markBytes is the size of an encoded mark: milliseconds since From, and a hash.
const markBytes = 4 + 4

// String encodes the cursor as text for ParseCursor.
func (c Cursor) String() string {
	if c.From.IsZero() {
		return ""
	}
	from := c.From.UnixMilli()
	b := binary.BigEndian.AppendUint64(nil, uint64(from))
	for _, m := range c.seen {
		b = binary.BigEndian.AppendUint32(b, uint32(m.at-from))
		b = binary.BigEndian.AppendUint32(b, m.hash)
	}
	return base64.RawURLEncoding.EncodeToString(b)
}

// ParseCursor decodes the text of a Cursor.
func ParseCursor(text string) (Cursor, error) {
	if text == "" {
		return Cursor{}, nil
	}
	b, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || len(b) < 8 || (len(b)-8)%markBytes != 0 {
		return Cursor{}, errors.New("not a cursor of events")
	}
	from := int64(binary.BigEndian.Uint64(b))
	c := Cursor{From: time.UnixMilli(from).UTC()}
	for b = b[8:]; len(b) > 0; b = b[markBytes:] {
		c.seen = append(c.seen, mark{from + int64(binary.BigEndian.Uint32(b)), binary.BigEndian.Uint32(b[4:])})
	}
	return c, nil
}

// Places limits how many requests of a user wait at the same time.
type Places interface {
	Wait(ctx context.Context, userID string, until time.Time) (place int, err error)
	StopWaiting(ctx context.Context, userID string, place int, until time.Time) error
}

// The pauses between checks of a log while a request waits.
const (
	firstPause   = 250 * time.Millisecond
	longestPause = time.Second
)

// Await calls look until it finds something, for at most wait. A request that has to wait takes one
// of the user's places. If all places are taken, the error is fault.Limited.
func Await(ctx context.Context, places Places, userID string, now func() time.Time, wait time.Duration, look func() (found bool, err error)) error {
	found, err := look()
	if found || err != nil || wait <= 0 {
		return err
	}
	until := now().UTC().Add(wait).Truncate(time.Millisecond)
	place, err := places.Wait(ctx, userID, until)
	if err != nil {
		return err
	}
	// A place that is not given back becomes free when its time is over.
	defer func() { _ = places.StopWaiting(context.WithoutCancel(ctx), userID, place, until) }()
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	for pause := firstPause; !found && err == nil; pause = min(2*pause, longestPause) {
		select {
		case <-time.After(pause):
			found, err = look()
		case <-ctx.Done():
			return nil // the wait is over, the client is gone or the function's time is up
		}
	}
	return err
}

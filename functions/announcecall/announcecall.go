// Package announcecall is the task of a call's workflow that tells the user's
// webhook endpoints what has become of the call.
package announcecall

import (
	"context"

	"github.com/krosai/telephony/shared/call"
)

// Stories reads a call with its summary.
type Stories interface {
	ShortStory(ctx context.Context, id string) (call.Story, error)
}

// Announcer announces what is due of a call. What it was told before it tells
// nobody again.
type Announcer interface {
	Call(ctx context.Context, c call.Call, s call.Summary) error
}

// Task announces calls.
type Task struct {
	Stories  Stories
	Announce Announcer
}

// Input names the call.
type Input struct {
	CallID string `json:"call_id"`
}

// Output says whether the call was answered: only then there is more to come of
// it.
type Output struct {
	Answered bool `json:"answered"`
}

// Run may be repeated, at any time.
func (t *Task) Run(ctx context.Context, in Input) (Output, error) {
	s, err := t.Stories.ShortStory(ctx, in.CallID)
	if err != nil {
		return Output{}, err
	}
	return Output{!s.Call.AnsweredAt.IsZero()}, t.Announce.Call(ctx, s.Call, s.Summary)
}
